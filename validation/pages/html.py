"""Pages from jinja templates, with functions for numbers and for images inside a page."""

import base64
import hashlib
import math
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, select_autoescape

from simbg.errors import in_markdown
from simbg.io.safe_files import check_directory, is_ours, new_file
from simbg.validation.suite.results import versions

__all__ = ["FILES", "check_page", "write_page"]

# Names of the files of a page in a folder of its own, as regular expressions.
FILES = (r"index\.html", r"[^/]+\.(png|pdf)")

UNESCAPED = " !$'()*+,-./:;=?@[]^_`{|}~"


def write_page(path: Path | str, template: str, **values: Any) -> None:
    """Write a template with these values: HTML without external files, or Markdown.

    Parameters
    ----------
    path : path-like
        The page.
    template : str
        Name of the template.
    **values
        What it shows.
    """
    page = ENVIRONMENT.get_template(template).render(values)
    with new_file(path, overwrite=True) as temporary:
        temporary.write_text(page, encoding="utf-8")


def check_page(out: Path | str, overwrite: bool) -> None:
    """Refuse a folder that holds other files than an earlier page of simbg and its figures.

    Parameters
    ----------
    out : path-like
        The folder.
    overwrite : bool
        Whether an earlier page in this folder may be replaced.

    Raises
    ------
    OSError
        If the folder must not be replaced.
    """
    check_directory(out, overwrite, FILES)
    if Path(out).is_dir() and any(Path(out).iterdir()) and not is_ours(Path(out, "index.html")):
        raise FileExistsError(
            f"{out}: got files that this command did not write, expected another folder"
        )


def data_uri(content: bytes, kind: str) -> str:
    """The address of an image that is part of the page."""
    if kind == "svg+xml":
        # Shorter than base64: only what ends an address or an attribute is escaped.
        return "data:image/svg+xml," + quote(content, safe=UNESCAPED)
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def number(value: float, missing: str = "") -> str:
    """A number with five digits. Rounding errors are 0; infinity and NaN are ``missing``."""
    return f"{value if abs(value) > 1e-12 else 0:.5g}" if math.isfinite(value) else missing


def digits(value: float, missing: str = "") -> str:
    """An error with two digits. Rounding errors are 0; infinity and NaN are ``missing``."""
    return f"{value if abs(value) > 1e-12 else 0:.2g}" if math.isfinite(value) else missing


def _hash(name):
    """Hash of a script or style: a page uses only scripts and styles with a stated hash."""
    source = ENVIRONMENT.get_template(name).render()
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


ENVIRONMENT = Environment(
    loader=PackageLoader("simbg.validation.pages"),
    autoescape=select_autoescape(["html"]),
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.filters |= {"number": number, "digits": digits, "uri": data_uri, "plain": in_markdown}
ENVIRONMENT.globals |= {"hash": _hash, "versions": versions}
