"""Configuration of Sphinx; `build.py` calls it."""

import re
from importlib import metadata

project = "simbg"
root_doc = "README"
author = "the simbg developers"
release = metadata.version("simbg")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
]
html_theme = "pydata_sphinx_theme"
html_title = f"simbg {release}"
html_theme_options = {"show_prev_next": False, "navbar_align": "left"}
html_copy_source = False
html_show_sourcelink = False
highlight_language = "none"
myst_heading_anchors = 4
myst_enable_extensions = ["html_image"]
# In docstrings, `name` is an object of Python if there is one with this name.
default_role = "py:obj"
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
autodoc_typehints = "none"  # the docstrings have them
autodoc_member_order = "bysource"
# Types of parameters are words: shape, number and others are names of several attributes, too.
suppress_warnings = ["ref.python"]
# Not needed to read the docstrings of the modules that use them.
autodoc_mock_imports = ["aiohttp", "baccmod", "dask", "distributed", "fsspec", "mpi4py", "s3fs"]


def setup(app):
    """Docstrings are read in terminals, too: |x| and *names are not markup of Sphinx."""
    app.connect("autodoc-process-docstring", escape, priority=100)


def escape(app, what, name, obj, options, lines):
    """Escape a bar outside of literals, and an asterisk before an argument."""
    for number, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...", "|", "+")):
            parts = re.split(r"(``.*?``)", line)
            parts[::2] = [
                re.sub(r"\||(?<=[ (])\*(?=[\w.]+[,) ])", r"\\\g<0>", p) for p in parts[::2]
            ]
            lines[number] = "".join(parts)
