"""The baseline: accuracy now against accuracy in reports/baseline, replicate by replicate.

Old and new losses are from the same counts, so that fluctuations common to both cancel. The counts
are the inverse of the cumulative Poisson distribution at random bits of a generator. They are the
same with any release of numpy, and change little with the truth.
"""

import sys
from collections import ChainMap
from collections.abc import Collection
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import ClassVar, Self
from zlib import crc32

import click
import numpy as np
from scipy import special

from simbg.axes import edition2015_axes
from simbg.parallel.executors import workers
from simbg.reconstruction.registry import METHODS
from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.validation.metrics.cube_pair import CubePair
from simbg.validation.metrics.metric import BUDGET
from simbg.validation.metrics.registry import CUBE_METRICS
from simbg.validation.suite.replicates import Setting
from simbg.validation.suite.results import read_records, write_records

__all__ = ["OF_COSTLY", "Losses", "stable_poisson"]

SCHEMA = 1
KEY = ("scenario", "digest", "method", "metric")
N_REPLICATES = 20
# Scenarios in which the losses of costly methods are measured, and the number of replicates.
OF_COSTLY, N_COSTLY = ("realistic", "ring", "near-zenith"), 6
SEED = 2015
FAILURES = ("worse", "lost", "incomplete")
# Accepted increase of a loss: a tenth of a standard error, or 1 % of information.
MARGIN_PULL, MARGIN_Q = 0.1, 0.01


@dataclass(frozen=True)
class Change:
    """Change of the loss of one metric of one method in one scenario.

    Parameters
    ----------
    scenario, method, metric : str
        The names.
    status : str
        "same"; "better"; "worse": an increase beyond the margin; "lost": no longer measured in the
        same scenario; "incomplete": missing in a baseline that has other metrics of the scenario
        and method; "new" or "gone": of a scenario or method that only one of both has. "worse",
        "lost" and "incomplete" are failures.
    size, error : float
        Mean of the paired differences of the loss, and its standard error.
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
    def text(self) -> str:
        """Description of the change in one line."""
        where = f"{self.scenario} {self.method} {self.metric}"
        if not np.isfinite(self.size):
            return f"{where}: {self.status}"
        significance = f", {self.size / self.error:+.1f} σ" if self.error > 0 else ""
        return f"{where}: {self.status}, loss {self.old:.4g} → {self.new:.4g}{significance}"


class Changes(list[Change]):
    """Changes of all losses: a list of `Change`."""

    @property
    def good(self) -> bool:
        """Whether no loss increased, and at least one loss could be compared."""
        return not self._foreign and not any(change.status in FAILURES for change in self)

    @property
    def lines(self) -> list[str]:
        """A line for each change, failures first."""
        moved = [change for change in self if change.status != "same"]
        lines = [change.text for change in sorted(moved, key=lambda c: c.status not in FAILURES)]
        if self._foreign:
            return ["the baseline has no loss of this suite; --update-baseline writes it", *lines]
        return lines or [f"no change in {len(self)} compared numbers"]

    @property
    def _foreign(self):
        return all(change.status in ("new", "gone") for change in self)


class Losses(dict[tuple[str, str, str, str], list[float]]):
    """Losses of methods: (scenario, digest, method, metric) → list of float, one a replicate.

    The loss is the absolute pull of a metric with a criterion, or Q of the lost information.
    """

    FILE: ClassVar[str] = "losses.jsonl"

    @classmethod
    def measure(
        cls,
        executor: Executor | None = None,
        pairs: Collection[tuple[str, str]] | None = None,
    ) -> Self:
        """Measure the losses of our methods in scenarios of the library.

        Parameters
        ----------
        executor : concurrent.futures.Executor, optional
            Runs scenarios and methods in parallel.
        pairs : collection of (str, str), optional
            Names of scenarios with names of methods; by default all.

        Returns
        -------
        losses : Losses
            The same for any executor.
        """
        # In scenarios that ignore an effect, the loss is not due to the method.
        jobs = [
            (s, name)
            for s, name in product(SCENARIOS.values(), METHODS)
            if pairs is None or (s.name, name) in pairs
            if not s.ignored
            and (s.name in OF_COSTLY or not getattr(METHODS[name], "costly", False))
        ]
        return cls(ChainMap(*(executor.map if executor else map)(_measure, jobs)))

    @classmethod
    def read(cls, folder: Path | str) -> Self:
        """Read the losses of a baseline.

        Parameters
        ----------
        folder : path-like
            Holds losses.jsonl.

        Returns
        -------
        losses : Losses
            As written.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If a line is not a record of losses.
        """
        path = Path(folder) / cls.FILE
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such baseline; --update-baseline writes one")
        losses = cls()
        for number, record in read_records(path, SCHEMA):
            try:
                values = np.array(record["losses"], float)
                key = tuple(record[name] for name in KEY)
                if not all(isinstance(name, str) for name in key):
                    raise TypeError(f"{key}, expected texts")
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                raise ValueError(
                    f"{path}, line {number}: got {error!r}, expected a record of losses"
                ) from None
            if values.ndim != 1 or values.size < 2 or not np.all(np.isfinite(values)):
                expected = "expected a list of two or more finite losses (one a replicate)"
                raise ValueError(f"{path}, line {number}: {expected}")
            losses[(key[0], key[1], key[2], key[3])] = values.tolist()
        if not losses:
            raise ValueError(f"{path}: got an empty file, expected records of losses")
        return losses

    def of_run(self, pairs: Collection[tuple[str, str]]) -> "Losses":
        """Without the losses of scenarios and methods that exist and are not part of a run.

        Parameters
        ----------
        pairs : collection of (str, str)
            Names of scenarios with names of methods, those of the run.
        """
        existing = set(product(SCENARIOS, METHODS))
        # What no longer exists belongs to the runs of the other one of its pair.
        names = {name for pair in pairs for name in pair}
        unused = (SCENARIOS.keys() | METHODS.keys()) - names

        def is_used(key):
            pair = key[0], key[2]
            return pair in pairs if pair in existing else not unused & set(pair)

        return Losses({key: values for key, values in self.items() if is_used(key)})

    def write(self, folder: Path | str) -> None:
        """Write the losses of a baseline, replacing earlier ones.

        Parameters
        ----------
        folder : path-like
            Gets the file losses.jsonl.
        """
        path = Path(folder) / self.FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        records = []
        for key, values in sorted(self.items()):
            # Ten digits are more than the margins need, and are the same on any machine.
            losses = {"losses": [float(f"{value:.10g}") for value in values]}
            records.append({"schema": SCHEMA} | dict(zip(KEY, key, strict=True)) | losses)
        write_records(path, records)

    def changes_since(self, old: "Losses") -> Changes:
        """Compare with older losses.

        An edited scenario has a new digest. It has no baseline, which is not a failure.

        Parameters
        ----------
        old : Losses
            Losses of the baseline.

        Returns
        -------
        changes : Changes
            One for each key of either.
        """
        from scipy import stats  # imported here, since it is as slow to load as astropy

        scenarios, known, changes = {key[:2] for key in self}, {key[:3] for key in old}, Changes()
        for key in sorted(old.keys() | self.keys()):
            scenario, _, method, metric = key
            if key in old and key in self:
                # The replicates have numbers; those that both have are pairs.
                before, now = np.array(list(zip(old[key], self[key], strict=False))).T
                k = stats.t.isf(BUDGET / len(self), len(now) - 1)
                numbers = _difference(metric, before, now, k)
            elif key in old:
                numbers = ("lost" if key[:2] in scenarios else "gone",)
            else:
                # A metric that is missing among others of a known scenario and method is not new.
                numbers = ("incomplete" if key[:3] in known else "new",)
            changes.append(Change(scenario, method, metric, *numbers))
        return changes


def _measure(job):
    scenario, method = job
    setting = Setting.of(Experiment.of(scenario, SEED), METHODS[method](), edition2015_axes(8))
    pairs = []
    costly = getattr(METHODS[method], "costly", False)
    for number in range(N_COSTLY if costly else N_REPLICATES):
        counts = stable_poisson(setting.expected.counts, f"{scenario.name} gate", number)
        cube = setting.reconstruct(setting.expected.with_counts(counts))
        pairs.append(CubePair(setting.true, cube, setting.perfect.rate_error))
    losses = {}
    for name, metric in CUBE_METRICS.items():
        measured = [metric(pair) for pair in pairs]
        values = [v.value if name == "lost_information" else abs(v.pull) for v in measured]
        if np.all(np.isfinite(values)):
            losses[scenario.name, scenario.digest, method, name] = [float(v) for v in values]
    return losses


def stable_poisson(expected: np.ndarray, name: str, number: int) -> np.ndarray:
    """Poisson counts that depend only on their expectation and on a name and number.

    Parameters
    ----------
    expected : ndarray
        Expected counts.
    name, number : str, int
        Seed of the draw.

    Returns
    -------
    counts : ndarray of int, shape of ``expected``
        The same with any release of numpy.
    """
    bits = np.random.PCG64(np.random.SeedSequence(SEED, spawn_key=(crc32(name.encode()), number)))
    uniform = (bits.random_raw(expected.size) >> np.uint64(11)) * 2.0**-53
    uniform = uniform.reshape(expected.shape)
    clipped = np.clip(uniform, 1e-16, 1 - 1e-16)
    guess = np.maximum(np.ceil(special.pdtrik(clipped, np.maximum(expected, 1e-12))), 0)
    lower = np.maximum(guess - 1, 0)
    counts = np.where(special.pdtr(lower, expected) >= uniform, lower, guess)
    return np.where(expected > 0, counts, 0).astype(np.int64)


def _difference(metric, old, new, k):
    """Status and numbers of a `Change`; the limit is k errors of the mean paired difference."""
    difference = new - old
    size, error = difference.mean(), difference.std(ddof=1) / np.sqrt(difference.size)
    margin = MARGIN_Q * old.mean() if metric == "lost_information" else MARGIN_PULL
    status = "same"
    if size - k * error > margin:
        status = "worse"
    elif size + k * error < 0 and not np.allclose(old, new, rtol=1e-6, atol=1e-9):
        status = "better"
    return status, size, error, old.mean(), new.mean()


def main(folder: Path | str = "reports/baseline") -> None:
    """Renew the baseline and print the changes."""
    with workers(label="baseline") as executor:
        new = Losses.measure(executor)
    try:
        lines = new.changes_since(Losses.read(folder)).lines
    except (FileNotFoundError, ValueError) as error:
        lines = [f"no comparison with an earlier baseline: {error}"]
    click.echo("\n".join(lines))
    new.write(folder)
    click.echo(f"{folder}: {len(new)} losses of up to {N_REPLICATES} replicates")


if __name__ == "__main__":
    main(*sys.argv[1:2])
