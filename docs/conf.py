"""How Sphinx builds the documentation; `make docs` runs it.

Everything works offline: no inventories of other projects are fetched, and the pages
load nothing from other sites. Sphinx finds `tfviz.priors` and `tfviz.cli` as they are
installed, in the environment that runs it.
"""

import os
import sys
import tomllib
from pathlib import Path
from typing import Generic, TypeVar

import numpy.typing

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))


class ArrayLike:
    """Stands for NumPy's, which would be shown as all types that it consists of."""


class NDArray(Generic[TypeVar("T")]):
    """Stands for NumPy's, to be shown as `NDArray[float32]`."""


for stand_in in (ArrayLike, NDArray):
    stand_in.__module__ = "numpy.typing"
    setattr(numpy.typing, stand_in.__name__, stand_in)

import tfviz  # noqa: E402 (which takes the types from there)

PROJECT = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
REPOSITORY = PROJECT["urls"]["Repository"]

project = "tfviz"
author = "the tfviz contributors"
copyright = f"2026, {author}"
release = version = tfviz.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinx_design",
    # In _ext:
    "click_help",
    "names",
    "repository_links",
]
exclude_patterns = ["_ext", "_static", "atlas-squeezenet", "**/.ipynb_checkpoints"]
# Curly quotation marks and dashes would spoil commands in the help.
smartquotes = False

# Markdown
myst_enable_extensions = ["attrs_inline", "colon_fence"]
myst_heading_anchors = 4
# Notebooks are committed with their outputs.
nb_execution_mode = "off"
# Widgets would load scripts from another site.
nb_ipywidgets_js: dict[str, dict[str, str]] = {}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# The reference of Python. A docstring's `name` is a link where tfviz has such a name.
default_role = "name"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_typehints_format = "short"
autosummary_generate = False
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
add_module_names = False
python_display_short_literal_types = True
toc_object_entries_show_parents = "hide"

nitpick_ignore_regex = [
    # Types of other libraries, whose inventories are not fetched.
    (r"py:.*", r"(collections|os|pathlib|typing)\..*"),
    (r"py:.*", r"(PIL|keras|np|numpy|tensorflow|tf)\..*"),
    # What `dataset_examples` passes to a function that works elsewhere.
    (r"py:.*", r"tfviz\.analysis\.(example_pass|photo_stream|responses)\..*"),
    # What an atlas reads of `tfviz.DatasetExamples`.
    ("py:class", r"tfviz\.site\.examples\.DatasetExamples"),
    # What becomes of a batch of an atlas that is made elsewhere.
    ("py:class", r"tfviz\.runs\.run\.FinishedBatch"),
    # Records of private modules, where no public name stands for them.
    (r"py:.*", r"tfviz\.(\w+\.)*_\w+\.\w+"),
]

# Pages
html_theme = "furo"
html_title = "tfviz"
html_baseurl = PROJECT["urls"]["Documentation"] + "/"
html_static_path = ["_static"]
html_css_files = ["tfviz.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "source_repository": REPOSITORY,
    "source_branch": "main",
    "source_directory": "docs/",
    "footer_icons": [],
    "light_css_variables": {
        "color-brand-primary": "#1f5fbf",
        "color-brand-content": "#1f5fbf",
    },
    "dark_css_variables": {
        "color-brand-primary": "#7fb2ff",
        "color-brand-content": "#7fb2ff",
    },
}
repository_links_base = f"{REPOSITORY}/blob/main"
linkcheck_anchors = False
