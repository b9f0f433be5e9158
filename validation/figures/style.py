"""How figures look and how they are saved: for the page, for screens, for paper."""

import io
import re
from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

__all__ = ["encode"]

# Okabe & Ito: told apart by all eyes, on white and on black.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"
COLORS = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = "os^vDP"
# Text and frames: nearly black on paper; the page has them in its own colour.
INK = "#16181d"
STYLE = {
    **dict.fromkeys(("font.size", "axes.titlesize"), 9),
    "axes.titlelocation": "left",
    # Where it is, without a search for what it might hit.
    "axes.titley": 1.0,
    "axes.facecolor": "none",
    **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False),
    "legend.fontsize": 8,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor"), INK),
    **dict.fromkeys(("xtick.color", "ytick.color"), INK),
    # A name with $ in it is a name.
    "text.parse_math": False,
    # The same figure has the same bytes.
    "svg.hashsalt": "simbg",
}
# Decorates what makes or writes a figure.
styled = rc_context(STYLE)
# What a file must not hold, or the same figure would have other bytes at another time.
UNDATED = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
# An image has the colours of what it is in: these are the page's.
THEME = (
    f"<style>svg{{color:{INK}}}"
    "@media (prefers-color-scheme:dark){svg{color:#dfe3e8}}"
    "@media print{svg{color:#000}}</style>"
)
RATE = "rate / (s⁻¹ MeV⁻¹ sr⁻¹)"
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
DPI = 110


@dataclass(frozen=True)
class Picture:
    """A figure in the formats that are needed.

    Parameters
    ----------
    name : str
        Of its files, without an ending.
    alt, caption : str
        What it shows, for those who cannot see it; how to read it.
    size : tuple of int
        Points.
    svg, png, pdf : bytes
    """

    name: str
    alt: str
    caption: str
    size: tuple
    svg: bytes
    png: bytes
    pdf: bytes


def make_picture(figure, name, alt, caption):
    """A figure as SVG for the page, as PNG and as PDF."""
    size = tuple(int(72 * inches) for inches in figure.get_size_inches())
    svg, png, pdf = (encode(figure, kind) for kind in ("svg", "png", "pdf"))
    return Picture(name, alt, caption, size, _for_the_page(svg), png, pdf)


@styled
def encode(figure, kind="png", dpi=DPI):
    """The bytes of a figure as PNG, PDF or SVG: the same figure has the same bytes."""
    buffer = io.BytesIO()
    face = {"facecolor": "none"} if kind == "svg" else {}
    figure.savefig(buffer, format=kind, metadata=UNDATED[kind], dpi=dpi, **face)
    return buffer.getvalue()


def new_figure(width, height, title=""):
    """An empty figure of this size in inches, outside of pyplot."""
    figure = Figure(figsize=(width, height))
    if title:
        figure.suptitle(title, y=1 - 0.15 / height, va="top", size=11)
    return figure


def add_axes(figure, left, bottom, width, height, **options):
    """Axes at a place in inches: a layout of its own takes twice as long as to draw."""
    x, y = figure.get_size_inches()
    return figure.add_axes((left / x, bottom / y, width / x, height / y), **options)


def small_figure():
    """A figure of the page's column, with its axes."""
    figure = new_figure(4.4, 3.3)
    return figure, add_axes(figure, 0.75, 0.48, 3.55, 2.54)


def look(number):
    """Colour and marker of the method with this number."""
    return {"color": COLORS[number % 6], "marker": MARKERS[(number + number // 6) % 6]}


def points(number):
    """How the points of the method with this number look."""
    return {**look(number), "ls": "none", "ms": 4.5, "mfc": "none"}


def label(name):
    """A name for a legend, which leaves out what begins with an underscore."""
    return f" {name}" if name.startswith("_") else name


def draw_normal(axes):
    """The density of pulls that are as they should be."""
    x = np.linspace(-5, 5, 200)
    density = np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)
    axes.plot(x, density, color=INK, lw=1, label="N(0, 1)")


def set_log(axes, which, plain=False):
    """A logarithmic axis with labels in plain text: mathematical text takes three times as long.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    which : {"x", "y"}
    plain : bool
        0.1, 1, 10 rather than powers of ten.
    """
    axes.set(**{f"{which}scale": "log"})
    axis = getattr(axes, f"{which}axis")
    axis.set_major_formatter((lambda x, _: f"{x:g}") if plain else number_text)
    # Minor ticks of many decades take longer to draw than all the rest.
    axis.set_minor_locator(LogLocator(subs=np.arange(2, 10)) if plain else NullLocator())
    axis.set_minor_formatter(NullFormatter())


def number_text(x, _position=None):
    """A number as 2×10⁻⁵, with three digits at most; a power of ten without its factor."""
    if x == 0 or not np.isfinite(x):
        return f"{x:g}"
    mantissa, exponent = f"{abs(x):.2e}".split("e")
    power = "10" + str(int(exponent)).translate(SUPERSCRIPT)
    sign = "−" if x < 0 else ""
    return sign + (power if mantissa == "1.00" else f"{float(mantissa):g}×{power}")


def _for_the_page(svg):
    """Without prolog and needless digits, in the colours of light and dark."""
    text = svg.decode("utf-8")
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    # Hundredths of a point are finer than any screen; numbers below one are scales of glyphs.
    text = re.sub(r"([1-9]\d*\.\d\d)\d+", r"\1", text).replace(INK, "currentColor")
    head, rest = re.sub(r"\n\s*", "\n", text).split(">", 1)
    return f"{head}>{THEME}{rest}".encode()
