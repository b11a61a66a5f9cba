"""The command line, `nnft`: parse, call one library function, print.

Results go to stdout (`--json`: one JSON document), everything else to stderr. Exit
codes: 0 good, 1 a check failed, 2 bad input, 70 a bug, 130 interrupted, 141 nobody
reads the output. Importing this package imports no heavy library; the commands import
what they need when they run.
"""

from nnft_ppl.cli.commands import main as main
