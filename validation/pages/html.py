"""How pages are made of templates: one jinja environment, numbers as text, images as data."""

import base64
import hashlib
import math

from jinja2 import Environment, PackageLoader, select_autoescape

from simbg.io.safe_files import new_file
from simbg.validation.suite.results import versions

__all__ = []


def write_page(path, template, **values):
    """Write a template with these values in it: HTML that loads nothing, or Markdown."""
    page = ENVIRONMENT.get_template(template).render(values)
    with new_file(path, overwrite=True) as temporary:
        temporary.write_text(page, encoding="utf-8")


def data_uri(content, kind):
    """The address of an image that is in the page itself."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def number(value, missing=""):
    """Five digits; zero for what is zero but for rounding, ``missing`` for what is no number."""
    return f"{value if abs(value) > 1e-12 else 0:.5g}" if math.isfinite(value) else missing


def _hash(name):
    """By which a page lets only its own script and style work."""
    source = ENVIRONMENT.get_template(name).render()
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


ENVIRONMENT = Environment(
    loader=PackageLoader("simbg.validation.pages"),
    autoescape=select_autoescape(["html"]),
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.filters |= {"number": number, "uri": data_uri}
ENVIRONMENT.globals |= {"hash": _hash, "versions": versions}
