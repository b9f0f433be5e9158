"""All figures of a run, drawn side by side on all cores, and their files."""

import re
from dataclasses import dataclass
from functools import partial
from operator import call

from simbg.io.safe_files import new_directory, new_file
from simbg.validation.figures.curves import PLACES
from simbg.validation.figures.scenario import map_figures, scenario_figures
from simbg.validation.figures.style import Picture, encode, make_picture
from simbg.validation.figures.suite import convergence_figure, response_figure, self_check_figure
from simbg.validation.figures.two_cubes import compare_figure
from simbg.validation.metrics.status import Status

__all__ = ["Pictures", "render", "slug", "write_pictures"]

# 2015's scenario: its power laws are drawn, and its picture stands in the README.
EDITION_2015 = "seed-2015"
# Scenarios of which images of every method are shown.
ALL_SHOWN = (EDITION_2015, "realistic")
BAND = (
    "Band: one standard error of the expected counts, what counting alone allows. "
    "Arrowheads: beyond the edge."
)
LAWS = " The rate falls with Γ; 2015's index, that of counts per logarithmic bin, is Γ − 1."
MAPS = (
    "Columns: true rate, rebuilt rate (one scale a row), rebuilt / true − 1 and pull, on scales "
    "that are the same for all energies and methods of the scenario. Grey: no events, no exposure."
)
SPECTRA = [
    (
        f"rate against energy at {place} deg, true and by {{methods}}; below, the ratios.",
        f"Spectrum at {place} deg. {BAND}{{laws}}",
    )
    for place in ("({:g}, {:g})".format(*place) for place in PLACES)
]
# Of each figure of a scenario: alternative text and caption.
TEXTS = {
    "center": SPECTRA[0],
    "off-axis": SPECTRA[1],
    "radial": (
        "rate against offset at some energies, true and by {methods}; below, the ratios.",
        f"Radial profiles. {BAND}",
    ),
    "pulls": (
        "histogram of pulls with a normal of mean 0 and width 1; {pulls}.",
        "Pulls against the truth, in its own errors. What is beyond ±5 is in the last bins.",
    ),
    "pit": (
        "histogram of the probability integral transform of the counts, with a uniform band.",
        "Probability integral transform of the counts: flat within the band if they are right.",
    ),
    "coverage": (
        "share of bins whose stated error covers the truth, less that of a normal.",
        "Coverage of the stated errors: zero is a normal's, and negative is too small an error.",
    ),
    "convergence": (
        "relative accuracy of the rate against hours of livetime; {exponents}.",
        "Convergence with exposure; dotted: noise and floor, fitted. Dashed: 1 %.",
    ),
}
SELF_CHECK = (
    "Matrix of planted defects and the metrics that find them; least sizes over Cramér–Rao limits.",
    "Left: mean pull of each metric at a defect's full size. Right: 1 is the best possible.",
)
RESPONSE = (
    "Relative bias of the rate against the radius of the mask in deg, for some fluxes.",
    "Exclusion response, from expectations without noise.",
)


@dataclass(frozen=True)
class Pictures:
    """Figures by where they stand in the report.

    Parameters
    ----------
    scenarios : dict of str to list of Picture
    maps : dict of tuple of str to Picture
        By scenario and method.
    self_check, response : Picture or None
    example : bytes or None
        The README's, as PNG.
    """

    scenarios: dict
    maps: dict
    self_check: Picture | None = None
    response: Picture | None = None
    example: bytes | None = None

    @property
    def all(self):
        """All of them, in the order of the page."""
        drawn = [picture for pictures in self.scenarios.values() for picture in pictures]
        rest = filter(None, (self.self_check, self.response))
        return [*drawn, *self.maps.values(), *rest]


def render(suite, executor=None):
    """Draw all figures of a run.

    Parameters
    ----------
    suite : Suite
    executor : concurrent.futures.Executor, optional

    Returns
    -------
    pictures : Pictures
        The same bytes for any executor.
    """
    jobs, rest = {}, {}
    for name, scenario in suite.scenarios.items():
        outcomes = [outcome for outcome in suite.outcomes if outcome.scenario.name == name]
        pairs = {outcome.method: outcome.cubes for outcome in outcomes if outcome.cubes is not None}
        if pairs:
            # What goes to another process is what is drawn, and no more.
            failed = {o.method for o in outcomes if any(r.status == Status.FAIL for r in o.results)}
            every = name in ALL_SHOWN
            shown = [m for n, m in enumerate(pairs) if every or n == 0 or m in failed]
            curves = [outcome.convergence for outcome in outcomes if outcome.convergence]
            jobs[name] = partial(_draw_scenario, name, scenario.title, pairs, shown, curves)
    if suite.self_check is not None:
        detections, clean = suite.self_check
        # Its tests are those of the number of alarms, and of each metric.
        about = detections, list(clean.tests)[1:]
        rest["self_check"] = partial(_draw, self_check_figure, about, "self-check", SELF_CHECK)
    if suite.response is not None:
        about = (suite.response,)
        rest["response"] = partial(_draw, response_figure, about, "exclusion-response", RESPONSE)
    # Scenarios first, since they take longest.
    done = list((executor.map if executor else map)(call, [*jobs.values(), *rest.values()]))
    pictures, maps, examples = zip(*done[: len(jobs)], strict=True) if jobs else ((), (), ())
    return Pictures(
        dict(zip(jobs, pictures, strict=True)),
        dict(item for drawn in maps for item in drawn.items()),
        example=next(filter(None, examples), None),
        **dict(zip(rest, done[len(jobs) :], strict=True)),
    )


def write_pictures(folder, pictures):
    """Replace ``figures``, each as PNG and PDF, and the README's picture where it was drawn."""
    with new_directory(folder / "figures", True, (r"[^/]+\.(png|pdf)",)) as new:
        for picture in pictures.all:
            (new / f"{picture.name}.png").write_bytes(picture.png)
            (new / f"{picture.name}.pdf").write_bytes(picture.pdf)
    if pictures.example:
        with new_file(folder / "example.png", overwrite=True) as temporary:
            temporary.write_bytes(pictures.example)


def slug(*names):
    """Names as part of an address or of a file's name; what differs stays different."""
    odd = r"[^A-Za-z0-9_.-]|(?<=-)-|^[-.]|-$"
    return "--".join(re.sub(odd, lambda match: f"~{ord(match[0]):x}~", name) for name in names)


def _draw(function, arguments, name, texts):
    return make_picture(function(*arguments), name, *texts)


def _draw_scenario(name, title, pairs, shown, curves):
    """Pictures of a scenario, images by method, and the README's picture."""
    figures = scenario_figures(pairs, laws=name == EDITION_2015)
    if curves:
        numbers = {method: number for number, method in enumerate(pairs)}
        figures["convergence"] = convergence_figure(curves, numbers)
    widths = []
    for method, pair in pairs.items():
        if (values := pair.pulls).size:
            widths.append(f"{method} has mean {values.mean():+.2f} and width {values.std():.2f}")
    words = {
        "methods": ", ".join(pairs),
        "laws": LAWS if name == EDITION_2015 else "",
        "pulls": "; ".join(widths) or "no bin expects enough counts",
        "exponents": "; ".join(f"{c.method} falls with exponent {c.exponent:.2f}" for c in curves),
    }
    pictures = []
    for kind, figure in figures.items():
        alt, caption = (text.format(**words) for text in TEXTS[kind])
        pictures.append(make_picture(figure, slug(name, kind), f"{title}: {alt}", caption))
    maps = {}
    for method, figure in map_figures(pairs, shown):
        alt = f"{title}: true and rebuilt images, residuals and pulls of {method}, a row an energy."
        maps[name, method] = make_picture(figure, slug(name, method, "maps"), alt, MAPS)
    return pictures, maps, _draw_example(pairs) if name == EDITION_2015 else None


def _draw_example(pairs):
    """The first method beside the truth."""
    pair = next(iter(pairs.values()))
    reco = pair.reco.per("livetime")
    return encode(compare_figure(pair.true, reco, ("true", "rebuilt"), error=pair.error), dpi=80)
