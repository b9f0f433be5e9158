"""The gate: accuracy now against accuracy in reports/baseline, replicate by replicate.

Both see the same counts, so what the draws have in common cancels. Counts come
from the bits of a generator through the inverse of Poisson's cumulative: they
are the same with any release of numpy, and hardly change with the truth.
"""

import sys
from collections import ChainMap
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import click
import numpy as np
from scipy import special

from simbg.axes import edition2015_axes
from simbg.parallel import workers
from simbg.reconstruction.registry import METHODS
from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.validation.metrics.cube_pair import CubePair
from simbg.validation.metrics.metric import BUDGET
from simbg.validation.metrics.registry import CUBE_METRICS
from simbg.validation.suite.replicates import Setting
from simbg.validation.suite.results import read_records, write_records

__all__ = ["Losses", "stable_poisson"]

FILE = "losses.jsonl"
SCHEMA = 1
KEY = ("scenario", "digest", "method", "metric")
N_REPLICATES = 20
SEED = 2015
FAILURES = ("worse", "lost", "unkept")
# A loss of this much is accepted: a tenth of a standard error, or 1 % of information.
MARGIN_PULL, MARGIN_Q = 0.1, 0.01


@dataclass(frozen=True)
class Change:
    """How one metric of one method in one scenario changed.

    Parameters
    ----------
    scenario, method, metric : str
    status : str
        "same", "better", "worse" (a loss beyond the margin), "lost" (no longer measured, though
        the scenario is the same), "unkept" (missing in a baseline that has the rest of the
        scenario and method), "new" or "gone". Worse, lost and unkept fail.
    size, error : float
        Mean of the paired differences of the loss and its error.
    old, new : float
        Mean losses.
    """

    scenario: str
    method: str
    metric: str
    status: str
    size: float = np.nan
    error: float = np.nan
    old: float = np.nan
    new: float = np.nan

    @property
    def text(self):
        """In words."""
        where = f"{self.scenario} {self.method} {self.metric}"
        if not np.isfinite(self.size):
            return f"{where}: {self.status}"
        significance = f", {self.size / self.error:+.1f} σ" if self.error > 0 else ""
        return f"{where}: {self.status}, loss {self.old:.4g} → {self.new:.4g}{significance}"


class Changes(list):
    """How losses changed: a list of `Change`."""

    @property
    def good(self):
        """Whether nothing got worse, and there was something to get worse than."""
        return not self._foreign and not any(change.status in FAILURES for change in self)

    @property
    def lines(self):
        """What changed in words, failures first."""
        moved = [change for change in self if change.status != "same"]
        lines = [change.text for change in sorted(moved, key=lambda c: c.status not in FAILURES)]
        if self._foreign:
            return ["nothing of this suite is kept there; nox -s regenerate keeps it", *lines]
        return lines or [f"no change in {len(self)} losses"]

    @property
    def _foreign(self):
        return all(change.status in ("new", "gone") for change in self)


class Losses(dict):
    """Losses of methods: (scenario, digest, method, metric) → list of float, one a replicate.

    A loss is the |pull| of a metric with a criterion, or Q of the information.
    """

    @classmethod
    def measure(cls, executor=None):
        """The losses of all our methods."""
        # What a scenario ignores is no loss of a method.
        jobs = [(s, method) for s in SCENARIOS.values() if not s.ignored for method in METHODS]
        return cls(ChainMap(*(executor.map if executor else map)(_measure, jobs)))

    @classmethod
    def read(cls, folder):
        """The losses of a baseline folder."""
        path = Path(folder) / FILE
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no baseline there; nox -s regenerate makes one")
        losses = cls()
        for number, record in read_records(path, SCHEMA):
            try:
                values = np.array(record["losses"], float)
                key = tuple(record[name] for name in KEY)
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{path}, line {number}: got {error!r}, expected losses") from None
            if values.shape != (N_REPLICATES,) or not np.all(np.isfinite(values)):
                raise ValueError(f"{path}, line {number}: expected {N_REPLICATES} finite losses")
            losses[key] = values.tolist()
        if not losses:
            raise ValueError(f"{path}: got an empty file, expected losses")
        return losses

    def write(self, folder):
        """Replace the losses of a baseline folder."""
        path = Path(folder) / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        records = []
        for key, values in sorted(self.items()):
            # Ten digits are more than the margins need, and the same on any machine.
            losses = {"losses": [float(f"{value:.10g}") for value in values]}
            records.append({"schema": SCHEMA} | dict(zip(KEY, key, strict=True)) | losses)
        write_records(path, records)

    def changes_since(self, old):
        """The `Changes` since older losses.

        A scenario that was edited has a new digest, and so no baseline instead of a failure.
        """
        from scipy import stats  # here, since it takes as long to load as all of astropy

        k = stats.t.isf(BUDGET / max(1, len(self)), N_REPLICATES - 1)
        scenarios, kept, changes = {key[:2] for key in self}, {key[:3] for key in old}, Changes()
        for key in sorted(old.keys() | self.keys()):
            scenario, _, method, metric = key
            if key in old and key in self:
                numbers = _difference(metric, np.array(old[key]), np.array(self[key]), k)
            elif key in old:
                numbers = ("lost" if key[:2] in scenarios else "gone",)
            else:
                # Nothing of a new scenario or method is kept yet; a hole in the rest is not new.
                numbers = ("unkept" if key[:3] in kept else "new",)
            changes.append(Change(scenario, method, metric, *numbers))
        return changes


def _measure(job):
    scenario, method = job
    setting = Setting.of(Experiment.of(scenario, SEED), METHODS[method](), edition2015_axes(8))
    pairs = []
    for number in range(N_REPLICATES):
        counts = stable_poisson(setting.expected.counts, f"{scenario.name} gate", number)
        cube = setting.estimate(setting.expected.with_counts(counts))
        pairs.append(CubePair(setting.true, cube, setting.perfect.rate_error))
    losses = {}
    for name, metric in CUBE_METRICS.items():
        values = [metric(pair) for pair in pairs]
        values = [v.value if name == "lost_information" else abs(v.pull) for v in values]
        if np.all(np.isfinite(values)):
            losses[scenario.name, scenario.digest, method, name] = [float(v) for v in values]
    return losses


def stable_poisson(expected, name, number):
    """Poisson counts that depend on nothing but their expectation and these names."""
    bits = np.random.PCG64(np.random.SeedSequence(SEED, spawn_key=(crc32(name.encode()), number)))
    uniform = (bits.random_raw(expected.size) >> np.uint64(11)) * 2.0**-53
    uniform = uniform.reshape(expected.shape)
    clipped = np.clip(uniform, 1e-16, 1 - 1e-16)
    guess = np.maximum(np.ceil(special.pdtrik(clipped, np.maximum(expected, 1e-12))), 0)
    lower = np.maximum(guess - 1, 0)
    counts = np.where(special.pdtr(lower, expected) >= uniform, lower, guess)
    return np.where(expected > 0, counts, 0).astype(np.int64)


def _difference(metric, old, new, k):
    """Status and numbers of a `Change`, at k errors of the paired differences."""
    difference = new - old
    size, error = difference.mean(), difference.std(ddof=1) / np.sqrt(difference.size)
    margin = MARGIN_Q * old.mean() if metric == "lost_information" else MARGIN_PULL
    status = "same"
    if size - k * error > margin:
        status = "worse"
    elif size + k * error < 0 and not np.allclose(old, new, rtol=1e-6, atol=1e-9):
        status = "better"
    return status, size, error, old.mean(), new.mean()


def main(folder="reports/baseline"):
    """Renew the baseline and print what changed."""
    with workers(label="baseline") as executor:
        new = Losses.measure(executor)
    try:
        lines = new.changes_since(Losses.read(folder)).lines
    except (FileNotFoundError, ValueError) as error:
        lines = [f"nothing to compare with: {error}"]
    click.echo("\n".join(lines))
    new.write(folder)
    click.echo(f"{folder}: {len(new)} losses of {N_REPLICATES} replicates")


if __name__ == "__main__":
    main(*sys.argv[1:2])
