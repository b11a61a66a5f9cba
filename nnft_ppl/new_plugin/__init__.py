"""A new plugin package on disk, complete: installed, it passes its own tests.

In: a name. Out: a folder with an architecture that works, for its author to change.
"""

from nnft_ppl.new_plugin.names import PluginNames as PluginNames
from nnft_ppl.new_plugin.names import plugin_names as plugin_names
from nnft_ppl.new_plugin.writing import write_plugin as write_plugin
