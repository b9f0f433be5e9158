"""Style of the figures, and their formats: for the page, for screens, for paper."""

import io
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

__all__ = ["encode"]

# Colours of Okabe & Ito (2008), which all readers can distinguish on white and on black.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"
COLORS = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = "os^vDP"
# Colour of text and frames: nearly black on paper; the page replaces it by its own.
INK = "#16181d"
STYLE = {
    **dict.fromkeys(("font.size", "axes.titlesize"), 9),
    "axes.titlelocation": "left",
    # A fixed position, without a slow search for overlaps.
    "axes.titley": 1.0,
    "axes.facecolor": "none",
    **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False),
    "legend.fontsize": 8,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor"), INK),
    **dict.fromkeys(("xtick.color", "ytick.color"), INK),
    # A $ in a name is not mathematical text.
    "text.parse_math": False,
    # Equal figures have equal bytes.
    "svg.hashsalt": "simbg",
    # Text as text is half as large as outlines of its letters.
    "svg.fonttype": "none",
}
# Decorator of functions that make or write a figure.
styled = rc_context(STYLE)
# Metadata that are left out, so that equal figures have equal bytes at any time.
UNDATED = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
# An image cannot inherit colours: these are those of the page.
THEME = (
    f"<style>svg{{color:{INK}}}"
    "@media (prefers-color-scheme:dark){svg{color:#dfe3e8}}"
    "@media print{svg{color:#000}}</style>"
)
# A group of one element, and how deep such groups are nested.
ALONE = re.compile(r"<g>(<(?:use|path|image)\b[^>]*/>|<text\b[^>]*>[^<]*</text>|)</g>")
DEPTH = 3
RATE = "rate / (s⁻¹ MeV⁻¹ sr⁻¹)"
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
DPI = 110


@dataclass(frozen=True)
class Picture:
    """A figure as SVG, and on request as PNG and PDF.

    Parameters
    ----------
    name : str
        Name of its files, without an ending.
    alt, caption : str
        Alternative text, which describes the figure, and caption, which explains it.
    size : tuple of int
        Width and height, points.
    svg, png, pdf : bytes
        Contents of the files; PNG and PDF are empty if they are not wanted.
    """

    name: str
    alt: str
    caption: str
    size: tuple[int, ...]
    svg: bytes
    png: bytes = b""
    pdf: bytes = b""


def make_picture(figure: Figure, name: str, alt: str, caption: str, files: bool) -> Picture:
    """A figure as SVG for the page; with ``files`` as PNG and PDF as well."""
    size = tuple(int(72 * inches) for inches in figure.get_size_inches())
    svg = _for_the_page(encode(figure, "svg"))
    others = [encode(figure, kind) for kind in ("png", "pdf") if files]
    return Picture(name, alt, caption, size, svg, *others)


@styled
def encode(figure: Figure, kind: str = "png", dpi: int = DPI) -> bytes:
    """The bytes of a figure as PNG, PDF or SVG. Equal figures have equal bytes.

    Parameters
    ----------
    figure : Figure
        The figure.
    kind : {"png", "pdf", "svg"}
        The format.
    dpi : int
        Resolution of pixels.

    Returns
    -------
    content : bytes
        Content of a file.
    """
    buffer = io.BytesIO()
    face: dict[str, Any] = {"facecolor": "none"} if kind == "svg" else {}
    figure.savefig(buffer, format=kind, metadata=UNDATED[kind], dpi=dpi, **face)
    return buffer.getvalue()


def new_figure(width: float, height: float, title: str = "") -> Figure:
    """An empty figure of this size (inches), outside pyplot."""
    figure = Figure(figsize=(width, height))
    if title:
        figure.suptitle(title, y=1 - 0.15 / height, va="top", size=11)
    return figure


def add_axes(
    figure: Figure, left: float, bottom: float, width: float, height: float, **options: Any
) -> Any:
    """Axes at a position in inches, which is two times faster than an automatic layout."""
    x, y = figure.get_size_inches()
    return figure.add_axes((left / x, bottom / y, width / x, height / y), **options)


def small_figure() -> tuple[Figure, Any]:
    """A figure with the width of a column of the page, and its axes."""
    figure = new_figure(4.4, 3.3)
    return figure, add_axes(figure, 0.75, 0.48, 3.55, 2.54)


def look(number: int) -> dict[str, Any]:
    """Colour and marker of the method with this number."""
    return {"color": COLORS[number % 6], "marker": MARKERS[(number + number // 6) % 6]}


def points(number: int) -> dict[str, Any]:
    """Style of the points of the method with this number."""
    return {**look(number), "ls": "none", "ms": 4.5, "mfc": "none"}


def label(name: str) -> str:
    """A name for a legend. matplotlib leaves out names that begin with an underscore."""
    return f" {name}" if name.startswith("_") else name


def draw_normal(axes: Any) -> None:
    """Draw the density of ideal pulls."""
    x = np.linspace(-5, 5, 200)
    density = np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)
    axes.plot(x, density, color=INK, lw=1, label="N(0, 1)")


def set_log(axes: Any, which: str, plain: bool = False) -> None:
    """Set a logarithmic axis with plain labels, which are faster to draw than mathematical text.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Axes of the plot.
    which : {"x", "y"}
        The axis.
    plain : bool
        Whether labels are 0.1, 1, 10 instead of powers of ten.
    """
    axes.set(**{f"{which}scale": "log"})
    axis = getattr(axes, f"{which}axis")
    axis.set_major_formatter((lambda x, _: f"{x:g}") if plain else number_text)
    # Minor ticks of many decades would take most of the time.
    axis.set_minor_locator(LogLocator(subs=range(2, 10)) if plain else NullLocator())
    axis.set_minor_formatter(NullFormatter())


def number_text(x: float, _position: Any = None) -> str:
    """A number as 2×10⁻⁵, with at most three digits; a power of ten without a factor."""
    if x == 0 or not np.isfinite(x):
        return f"{x:g}"
    mantissa, exponent = f"{abs(x):.2e}".split("e")
    power = "10" + str(int(exponent)).translate(SUPERSCRIPT)
    sign = "−" if x < 0 else ""
    return sign + (power if mantissa == "1.00" else f"{float(mantissa):g}×{power}")


def _for_the_page(svg):
    """The SVG without what a page does not need, in the colours of the page."""
    text = svg.decode("utf-8")
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    # Two decimals of a point are enough; numbers below 1 are scales of glyphs.
    text = re.sub(r"([1-9]\d*\.\d\d)\d+", r"\1", text).replace(INK, "currentColor")
    # Names of groups and comments have no effect; what is referred to has a hash in its name.
    text = re.sub(r"<!--.*?-->", "", text)
    text = re.sub(r'<g id="[^"]*">', "<g>", text)
    text = re.sub(r"\s*\n\s*", " ", text).replace("> <", "><").replace("xlink:href", "href")
    text, styles = _with_classes(_with_short_names(text))
    for _ in range(DEPTH):
        text = ALONE.sub(r"\1", text)
    head, rest = text.split(">", 1)
    return f"{head}>{THEME.replace('</style>', styles)}{rest}".encode()


def _with_short_names(svg):
    """The SVG with short names of what is referred to."""
    names = {name: f"n{n}" for n, name in enumerate(dict.fromkeys(re.findall(r'id="(\w+)"', svg)))}
    return re.sub(r'(?<=id=")\w+|(?<=[("]#)\w+', lambda m: names.get(m[0], m[0]), svg)


def _with_classes(svg):
    """The SVG with a class for each style, which is shorter, and the styles."""
    classes: dict[str, str] = {}

    def name(match):
        return f'class="{classes.setdefault(match[1], f"s{len(classes)}")}"'

    svg = re.sub(r'style="([^"]*)"', name, svg)
    rules = (f".{name}{{{style}}}" for style, name in classes.items())
    return svg, "".join(rules) + "</style>"
