"""All figures of a run, drawn in parallel, and their files."""

import re
import tomllib
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from math import isfinite
from operator import call
from pathlib import Path
from typing import Any

from simbg.io.safe_files import new_directory, new_file
from simbg.validation.figures.curves import POSITIONS
from simbg.validation.figures.impact import flux_figure
from simbg.validation.figures.scenario import map_figures, scenario_figures
from simbg.validation.figures.style import Picture, encode, make_picture
from simbg.validation.figures.suite import (
    convergence_figure,
    overview_figure,
    response_figure,
    self_check_figure,
)
from simbg.validation.figures.two_cubes import compare_figure
from simbg.validation.metrics.status import Status

__all__ = ["Pictures", "draw", "draw_self_check", "named", "render", "slug", "write_pictures"]

# The scenario of 2015, with power laws, and with the example of the README.
EDITION_2015 = "seed-2015"
# Scenarios with images of every method, and with all figures.
ALL_SHOWN = (EDITION_2015, "realistic")
# With as many scenarios, the others have fewer figures.
MANY = 5
# Alternative text and caption of each figure.
TEXTS = tomllib.loads(Path(__file__).with_name("captions.toml").read_text(encoding="utf-8"))
WORDS = TEXTS.pop("words")


@dataclass(frozen=True)
class Pictures:
    """Figures by their position in the report.

    Parameters
    ----------
    scenarios : dict of str to list of Picture
        Figures of each scenario.
    maps : dict of tuple of str to Picture
        Images, by scenario and method.
    overview : Picture or None
        Bias and accuracy of each method in each scenario.
    flux : Picture or None
        Errors of the flux of a source against livetime.
    response : Picture or None
        Figure of the exclusion response.
    example : bytes or None
        The figure of the README, as PNG.
    """

    scenarios: dict[str, list[Picture]]
    maps: dict[tuple[str, str], Picture]
    overview: Picture | None = None
    flux: Picture | None = None
    response: Picture | None = None
    example: bytes | None = None

    @property
    def all(self) -> list[Picture]:
        """All figures, in the order of the page."""
        drawn = [picture for pictures in self.scenarios.values() for picture in pictures]
        return [
            *filter(None, [self.overview, self.flux]),
            *drawn,
            *self.maps.values(),
            *filter(None, [self.response]),
        ]


def render(suite: Any, executor: Executor | None = None, files: bool = False) -> Pictures:
    """Draw all figures of a run.

    Parameters
    ----------
    suite : Suite
        The run.
    executor : concurrent.futures.Executor, optional
        Draws figures in parallel.
    files : bool
        Whether each figure is drawn as PNG and PDF as well, and the example of the README.

    Returns
    -------
    pictures : Pictures
        The same bytes for any executor.
    """
    jobs: dict[str, Callable[[], Any]] = {}
    rest: dict[str, Callable[[], Any]] = {}
    for name, scenario in suite.scenarios.items():
        outcomes = [outcome for outcome in suite.outcomes if outcome.scenario.name == name]
        pairs = {outcome.method: outcome.cubes for outcome in outcomes if outcome.cubes is not None}
        if pairs:
            # Only what is drawn is sent to the other process.
            failed = {o.method for o in outcomes if any(r.status == Status.FAIL for r in o.results)}
            every = name in ALL_SHOWN
            # Methods that are shown for their history have similar images.
            more = set(pairs) - set(list(suite.history)[1:]) if every else set()
            shown = [m for n, m in enumerate(pairs) if n == 0 or m in failed | more]
            curves = [outcome.convergence for outcome in outcomes if outcome.convergence]
            every = every or bool(failed) or len(suite.scenarios) < MANY
            words = name, scenario.title
            jobs[name] = partial(_draw_scenario, files, words, pairs, shown, curves, every)
    if rows := _overview(suite):
        planned = [name for name, scenario in suite.scenarios.items() if scenario.ignored]
        arguments = rows, suite.history, planned
        rest["overview"] = partial(draw, files, overview_figure, arguments, "overview")
    if fluxes := suite.flux:
        rest["flux"] = partial(draw, files, flux_figure, (fluxes,), "flux")
    if suite.response is not None:
        rest["response"] = partial(
            draw, files, response_figure, (suite.response,), "exclusion-response"
        )
    # Scenarios first, since they take longest.
    done = list((executor.map if executor else map)(call, [*jobs.values(), *rest.values()]))
    pictures, maps, examples = zip(*done[: len(jobs)], strict=True) if jobs else ((), (), ())
    return Pictures(
        dict(zip(jobs, pictures, strict=True)),
        dict(item for drawn in maps for item in drawn.items()),
        example=next(filter(None, examples), None),
        **dict(zip(rest, done[len(jobs) :], strict=True)),
    )


def draw_self_check(check: Any) -> Picture:
    """The figure of a self-check."""
    arguments = check.detections, check.probes
    return draw(True, self_check_figure, arguments, "self-check")


def write_pictures(folder: Path, pictures: Pictures) -> None:
    """Replace the folder ``figures``, with PNG and PDF of each, and the example, if they are drawn.

    Parameters
    ----------
    folder : Path
        Folder of the report.
    pictures : Pictures
        The figures. Without files, those of an earlier report are removed.
    """
    files = [(f"{p.name}.{kind}", data) for p in pictures.all for kind, data in _files(p) if data]
    figures = folder / "figures"
    if files or figures.is_dir():
        with new_directory(figures, True, (r"[^/]+\.(png|pdf)",)) as new:
            for name, data in files:
                (new / name).write_bytes(data)
        if not files:
            figures.rmdir()
    if pictures.example:
        with new_file(folder / "example.png", overwrite=True) as temporary:
            temporary.write_bytes(pictures.example)


def _files(picture):
    return ("png", picture.png), ("pdf", picture.pdf)


def slug(*names: str) -> str:
    """Names as part of an address or a file name; different names stay different."""
    odd = r"[^A-Za-z0-9_.-]|(?<=-)-|^[-.]|-$"
    return "--".join(re.sub(odd, lambda match: f"~{ord(match[0]):x}~", name) for name in names)


def _overview(suite):
    """Scenario → method → its bias and accuracy."""
    rows: dict[str, dict[str, Any]] = {}
    for outcome in suite.outcomes:
        found = {result.metric: result for result in outcome.results}
        if "bias" in found and isfinite(found["bias"].value):
            pair = found["bias"], found.get("accuracy")
            rows.setdefault(outcome.scenario.name, {})[outcome.method] = pair
    return rows


def draw(
    files: bool, function: Callable[..., Any], arguments: tuple, name: str, **words: str
) -> Picture:
    """A figure with the texts of its name.

    Parameters
    ----------
    files : bool
        Whether it is drawn as PNG and PDF as well.
    function, arguments : callable, tuple
        Make the figure.
    name : str
        Its name in captions.toml.
    **words : str
        Replace words in braces of the texts.
    """
    return named(function(*arguments), name, files, **words)


def named(figure: Any, name: str, files: bool = False, **words: str) -> Picture:
    """A figure with the texts of its name.

    Parameters
    ----------
    figure : Figure
        The figure.
    name : str
        Its name in captions.toml.
    files : bool
        Whether it is drawn as PNG and PDF as well.
    **words : str
        Replace words in braces of the texts.
    """
    texts = {key: text.format(**words) for key, text in TEXTS[name].items()}
    return make_picture(figure, name, **texts, files=files)


def _draw_scenario(files, words, pairs, shown, curves, every):
    """Figures of a scenario, images by method, and the example of the README."""
    name, title = words
    figures = scenario_figures(pairs, name == EDITION_2015, every)
    if curves:
        numbers = {method: number for number, method in enumerate(pairs)}
        figures["convergence"] = convergence_figure(curves, numbers)
    widths = []
    for method, pair in pairs.items():
        if (values := pair.pulls).size:
            widths.append(f"{method} has mean {values.mean():+.2f} and width {values.std():.2f}")
    words = {
        "title": title,
        "methods": ", ".join(pairs),
        "band": WORDS["band"],
        "laws": WORDS["laws"] if name == EDITION_2015 else "",
        "pulls": "; ".join(widths) or "no bin expects enough counts",
        "exponents": "; ".join(f"{c.method} falls with exponent {c.exponent:.2f}" for c in curves),
    }
    pictures = []
    for kind, figure in figures.items():
        words["position"] = "({:g}, {:g})".format(*POSITIONS[kind == "off-axis"])
        texts = TEXTS["spectrum" if kind in ("center", "off-axis") else kind]
        texts = {key: text.format(**words) for key, text in texts.items()}
        pictures.append(make_picture(figure, slug(name, kind), **texts, files=files))
    maps = {}
    for method, figure in map_figures(pairs, shown):
        words["method"] = method
        texts = {key: text.format(**words) for key, text in TEXTS["maps"].items()}
        maps[name, method] = make_picture(figure, slug(name, method, "maps"), **texts, files=files)
    return pictures, maps, _draw_example(pairs) if files and name == EDITION_2015 else None


def _draw_example(pairs):
    """The first method and the truth."""
    pair = next(iter(pairs.values()))
    reco = pair.reco.per("livetime")
    labels = "true", "reconstructed"
    return encode(compare_figure(pair.true, reco, labels, error=pair.error), dpi=80)
