"""A run of the suite with all there is to report, for pages and figures."""

from dataclasses import replace

import numpy as np

from simbg.simulation.library import SCENARIOS
from simbg.validation.self_check.detection import EXACT, PROBES, CleanRuns, Detection, SelfCheck
from simbg.validation.suite.convergence import Convergence
from simbg.validation.suite.exclusion import ExclusionResponse
from simbg.validation.suite.results import Result
from simbg.validation.suite.suite import Suite, run_suite

TINY = replace(SCENARIOS["night"], name="tiny", title="Tiny", n_obs=2, ontime=600.0)
# 2015's name: its power laws and its figure are drawn.
EDITION_2015 = replace(TINY, name="seed-2015")
HOSTILE = '<img src=x onerror="alert(1)">&amp; \'"|`$\\frac{ ../_'
SEED = 3


def make_suite():
    """What holds, what is known, a failure, an error, hostile names, and a baseline."""
    good, smooth, _ = run_suite([TINY], ["histogram", "michi"], SEED)
    good, smooth = map(_as_2015, (good, smooth))
    name = "bad.module:Method"
    failure = Result("seed-2015", "0", name, "run", status="error", reason="no")
    error = replace(good, method=name, cubes=None, results=(failure,), convergence=None)
    changes = ("night histogram norm: worse", *(f"change {n}" for n in range(12)))
    response = ExclusionResponse((0.0, 0.1, 0.2), (0.1, 1e-3, 0.0), (0.3, 1e-2, 1e-5), 0.08)
    outcomes = good, smooth, error, _hostile(smooth)
    return Suite(outcomes, SEED, changes, False, response=response)


def make_self_check(found=False):
    """A self-check of one defect."""
    pulls = tuple(np.linspace(0, 9, len(PROBES)))
    sizes = (), ()
    defect = Detection(
        "flip", "a flip", "", 1e6, 1.0, found, pulls, "bias: norm", 0.1, "bias", 0.05, *sizes
    )
    clean = CleanRuns(
        *(np.linspace(0.01, 1, 20 * len(names)).reshape(20, -1) for names in (EXACT, PROBES))
    )
    return SelfCheck([defect], clean)


def _as_2015(outcome):
    """The same outcome under 2015's name, with a curve of convergence."""
    name = EDITION_2015.name
    results = tuple(replace(result, scenario=name) for result in outcome.results)
    about = (1.0, 10.0, 100.0), (1e3, 1e4, 1e5), (5.0, 6.0, 7.0), (0.1,) * 3
    curve = Convergence(name, outcome.method, *about)
    return replace(outcome, scenario=EDITION_2015, results=results, convergence=curve)


def _hostile(outcome):
    """The same outcome with a name in every place that a user can fill."""
    title = f"<script>alert(2)</script>{HOSTILE}"
    scenario = replace(outcome.scenario, name=HOSTILE, title=title, why=f"<b>{HOSTILE}</b>")
    results = [
        replace(r, scenario=HOSTILE, method=HOSTILE, reason=HOSTILE if r.reason else "")
        for r in outcome.results
    ]
    results[0] = replace(results[0], status="fail", reason=f"</td><script>{HOSTILE}\x00\x1b[0m")
    curve = replace(outcome.convergence, method=HOSTILE)
    changed = {"scenario": scenario, "method": HOSTILE, "convergence": curve}
    return replace(outcome, results=tuple(results), **changed)
