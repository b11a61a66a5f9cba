"""How Sphinx builds the site; `make docs` runs it by site/build.py."""

import logging
import sys
from pathlib import Path

import nnft_ppl

sys.path.insert(0, str(Path(__file__).parent / "site"))

project = "nnft_ppl"
author = "The nnft_ppl developers"
copyright = author
version = release = nnft_ppl.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "mathml",
    "public_names",
]
exclude_patterns = ["gallery", "site"]
# A pattern in index.md may match no page; Sphinx gives that warning no name.
logging.getLogger("sphinx.sphinx.directives.other").addFilter(
    lambda record: "didn't match any documents" not in str(record.msg)
)

smartquotes = False  # they make one dash of the two of --option
myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 3

# Backticks of docstrings: code, and a link where they name something public.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings give shapes and types in words
napoleon_custom_sections = [("Source", "notes_style")]
napoleon_use_rtype = False
python_maximum_signature_line_length = 72
python_use_unqualified_type_names = True
# Words in backticks that are no public name: parameters, formulas, others' classes.
nitpick_ignore_regex = [("py:.*", "(?s).*")]

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "filename_pattern": r"/plot_",
    "image_scrapers": ("figures.of_the_script",),
    "download_all_examples": False,
    "min_reported_time": 1e9,  # what they take is no news
    "write_computation_times": False,
    "show_memory": False,
    "show_signature": False,
    "abort_on_example_error": False,
}

html_theme = "furo"
html_title = f"nnft_ppl {version}"
html_math_renderer = "mathml"
html_copy_source = False
html_show_sphinx = False
copybutton_exclude = ".linenos, .gp, .go"
