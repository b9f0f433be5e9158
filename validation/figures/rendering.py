"""All figures of a run, drawn side by side on all cores, and their files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial

from simbg.io.safe_files import new_directory, new_file
from simbg.validation.figures.distributions import coverage_figure, pit_figure, pull_figure
from simbg.validation.figures.maps import maps_figure, residual_limit
from simbg.validation.figures.plots import compare_figure
from simbg.validation.figures.spectra import radial_figure, spectrum_figure
from simbg.validation.figures.style import Picture, look, save, to_png
from simbg.validation.figures.suite_plots import (
    convergence_figure,
    response_figure,
    self_check_figure,
)
from simbg.validation.metrics.bins import pulls
from simbg.validation.metrics.status import Status

__all__ = ["Pictures", "render", "slug", "write_pictures"]

# 2015's scenario: its story is told, its picture stands in the README.
STORY = "seed-2015"
# Scenarios of which images of every method are shown.
ALL_SHOWN = (STORY, "realistic")
CENTER, OFF_AXIS = (0.0, 0.0), (2.0, 2.0)
BAND = (
    "Band: one standard error of the expected counts, what counting alone allows. "
    "Arrowheads: beyond the edge."
)
GAMMA = " 2015's index Γc is that of counts per logarithmic bin; the rate falls with Γc + 1."
MAPS = (
    "Columns: true rate, rebuilt rate (one scale a row), rebuilt / true − 1 and pull, on scales "
    "that are the same for all energies and methods of the scenario. Grey: no events, no exposure."
)
PULLS = "Pulls against the truth, in its own errors. What is beyond ±5 is in the last bins."
PIT = "Probability integral transform of the counts: flat within the band if they follow the truth."
COVERAGE = "Coverage of the stated errors: zero is a normal's, and negative is too small an error."
CONVERGENCE = "Convergence with exposure; dotted: noise and floor, fitted. Dashed: 1 %."
SELF_CHECK = (
    "Left: mean pull of each metric at a defect's full size. Right: 1 is the best possible."
)
RESPONSE = "Exclusion response, from expectations without noise."


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
        rest = [self.self_check, self.response]
        return [*drawn, *self.maps.values(), *(picture for picture in rest if picture)]


def render(suite, executor=None):
    """Draw all figures of a run.

    Returns
    -------
    pictures : Pictures
        The same bytes for any executor.
    """
    jobs, keys = [], []
    for name in suite.scenarios:
        outcomes = [outcome for outcome in suite.outcomes if outcome.scenario.name == name]
        if any(outcome.pair is not None for outcome in outcomes):
            jobs.append(partial(_scenario, _Drawn.of(outcomes)))
            keys.append(name)
    # Last, since short.
    jobs += [partial(_self_check, suite.self_check), partial(_response, suite.response)]
    *drawn, check, response = (executor.map if executor else map)(_call, jobs)
    maps = {key: picture for _, found, _ in drawn for key, picture in found.items()}
    return Pictures(
        {name: pictures for name, (pictures, _, _) in zip(keys, drawn, strict=True)},
        maps,
        check,
        response,
        next((example for *_, example in drawn if example), None),
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


@dataclass(frozen=True, eq=False)
class _Drawn:
    """What figures of a scenario need, and no more: it goes to another process."""

    name: str
    title: str
    pairs: dict
    shown: tuple
    curves: tuple

    @classmethod
    def of(cls, outcomes):
        scenario = outcomes[0].scenario
        pairs = {outcome.method: outcome.pair for outcome in outcomes if outcome.pair is not None}
        failed = {o.method for o in outcomes if any(r.status == Status.FAIL for r in o.results)}
        every = scenario.name in ALL_SHOWN
        shown = [m for n, m in enumerate(pairs) if every or n == 0 or m in failed]
        curves = [outcome.convergence for outcome in outcomes if outcome.convergence]
        return cls(scenario.name, scenario.title, pairs, tuple(shown), tuple(curves))

    def save(self, figure, alt, caption, *kind):
        """A picture, with an alternative text that says of what."""
        return save(figure, slug(self.name, *kind), f"{self.title}: {alt}", caption)


def _call(job):
    return job()


def _scenario(drawn):
    """Pictures of a scenario, images by method, and the README's picture."""
    pairs, limit = drawn.pairs, residual_limit(drawn.pairs.values())
    pictures = [*_spectra(drawn), *_distributions(drawn)]
    maps = {}
    for method in drawn.shown:
        figure = maps_figure(pairs[method], limit)
        alt = f"true and rebuilt images, residuals and pulls of {method}, a row an energy."
        maps[drawn.name, method] = drawn.save(figure, alt, MAPS, method, "maps")
    return pictures, maps, _example(drawn) if drawn.name == STORY else None


def _spectra(drawn):
    pairs, methods = drawn.pairs, ", ".join(drawn.pairs)
    story = drawn.name == STORY
    for name, place in (("center", CENTER), ("off-axis", OFF_AXIS)):
        where = "({:g}, {:g}) deg".format(*place)
        alt = f"rate against energy at {where}, true and by {methods}; below, the ratios."
        caption = f"Spectrum at {where}. {BAND}{GAMMA if story else ''}"
        yield drawn.save(spectrum_figure(pairs, place, story), alt, caption, name)
    alt = f"rate against offset at some energies, true and by {methods}; below, the ratios."
    yield drawn.save(radial_figure(pairs), alt, f"Radial profiles. {BAND}", "radial")


def _distributions(drawn):
    pairs = drawn.pairs
    about = "; ".join(
        f"{method} has mean {values.mean():+.2f} and width {values.std():.2f}"
        for method, values in ((method, pulls(pair)[0]) for method, pair in pairs.items())
        if values.size
    )
    alt = f"histogram of pulls with a normal of mean 0 and width 1; {about or 'no bin is rich'}."
    yield drawn.save(pull_figure(pairs), alt, PULLS, "pulls")
    alt = "histogram of the probability integral transform of the counts, with a uniform band."
    yield drawn.save(pit_figure(pairs), alt, PIT, "pit")
    alt = "share of bins whose stated error covers the truth, less that of a normal."
    yield drawn.save(coverage_figure(pairs), alt, COVERAGE, "coverage")
    if drawn.curves:
        about = "; ".join(f"{c.method} falls with exponent {c.exponent:.2f}" for c in drawn.curves)
        alt = f"relative accuracy of the rate against hours of livetime; {about}."
        looks = {method: look(number) for number, method in enumerate(pairs)}
        figure = convergence_figure(drawn.curves, looks)
        yield drawn.save(figure, alt, CONVERGENCE, "convergence")


def _example(drawn):
    """2015's figure of the first method."""
    pair = next(iter(drawn.pairs.values()))
    reco = pair.reco.per("livetime")
    figure = compare_figure(pair.true, reco, ("true", "rebuilt"), error=pair.error)
    return to_png(figure, dpi=80)


def _self_check(found):
    if found is None:
        return None
    from simbg.validation.self_check.detection import PROBES

    alt = "Matrix of planted defects and the metrics that find them, and ratios of the smallest "
    alt += "sizes found to the Cramér–Rao limit."
    return save(self_check_figure(found[0], PROBES), "self-check", alt, SELF_CHECK)


def _response(response):
    if response is None:
        return None
    alt = "Relative bias of the rate against the radius of the mask in deg, for some fluxes."
    return save(response_figure(response), "exclusion-response", alt, RESPONSE)
