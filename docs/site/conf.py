"""Sphinx's settings. The source directory is the root of the repository, so that the links of its pages hold."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import henderson

project = "henderson"
author = "henderson developers"
version = release = henderson.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "api_reference", "image_sizes", "navigation"]
include_patterns = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/**.md"]
exclude_patterns = [".*", "build", "cpp", "python", "tests", "benchmarks"]
root_doc = "docs/index"

myst_heading_anchors = 4
default_role = "code"
suppress_warnings = ["ref.python"]  # attributes of several classes have one name
highlight_language = "none"

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
add_module_names = False
toc_object_entries_show_parents = "hide"
napoleon_google_docstring = False
napoleon_use_ivar = True

autodoc_type_aliases = {"ArrayLike": "ArrayLike", "Callback": "Callback"}
autodoc_member_order = "bysource"

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = "henderson"
html_static_path = ["static"]
html_css_files = ["style.css"]
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
html_extra_path = ["root"]
