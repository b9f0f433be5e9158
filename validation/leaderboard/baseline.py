"""Baseline of a run: the accuracy of each method, and the losses of our own, from earlier runs."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from math import isclose, isfinite
from pathlib import Path
from typing import Self

from simbg.errors import in_brief
from simbg.io.files.work_places import complete
from simbg.io.safe_files import new_content
from simbg.simulation.scenario import Scenario
from simbg.validation.methods.candidates import Candidate
from simbg.validation.suite.baseline import Losses
from simbg.validation.suite.method_in_scenario import Outcome
from simbg.validation.suite.results import read_records, write_records
from simbg.validation.suite.suite import methods_of

__all__ = ["Accuracies", "Baseline"]

FILE = "accuracies.jsonl"
SCHEMA = 1
NOTHING = "the baseline had no accuracy of this run; --update-baseline adds it"
NO_FILE = "no such baseline; --update-baseline writes one"


@dataclass(frozen=True)
class Accuracy:
    """Accuracy of a method in a scenario.

    Parameters
    ----------
    scenario, digest, method : str
        The names, and the digest of the parameters of the scenario.
    seed, stores : int
        Seed of the simulation, and number of stores.
    accuracy, error : float
        Relative rms error of the rate, and its standard error (0 if it is not known).
    """

    scenario: str
    digest: str
    method: str
    seed: int
    stores: int
    accuracy: float
    error: float

    @property
    def setting(self) -> tuple[str, int, int]:
        """What must be the same so that two accuracies can be compared."""
        return self.digest, self.seed, self.stores

    def __post_init__(self) -> None:
        for name in ("scenario", "digest", "method"):
            if not isinstance(value := getattr(self, name), str):
                raise ValueError(f"{name}: got {in_brief(value)}, expected a text")
        if not isinstance(self.error, int | float):
            raise ValueError(f"error: got {in_brief(self.error)}, expected a number")
        if not (self.accuracy >= 0 and isfinite(self.accuracy)):
            raise ValueError(f"accuracy: got {self.accuracy}, expected a number, 0 or more")


@dataclass(frozen=True)
class AccuracyChange:
    """Change of the accuracy of a method in a scenario.

    Parameters
    ----------
    scenario, method : str
        The names.
    status : str
        "same", "better", "worse", "new", or "lost": there is no cube any more. "worse" and "lost"
        are failures.
    old, new : Accuracy or None
        The accuracies.
    """

    scenario: str
    method: str
    status: str
    old: Accuracy | None
    new: Accuracy | None

    @property
    def unchanged(self) -> bool:
        """Whether the accuracies differ by rounding only."""
        return bool(self.old and self.new and isclose(self.old.accuracy, self.new.accuracy))

    @property
    def text(self) -> str:
        """Description of the change in one line."""
        words = [_percent(each) for each in (self.old, self.new) if each is not None]
        text = f"{self.scenario} {self.method} accuracy: {self.status}, {' → '.join(words)}"
        if self.old and self.new and self.old.accuracy > 0:
            text += f", {100 * (self.new.accuracy / self.old.accuracy - 1):+.1f} %"
        return text


class Accuracies(dict[tuple[str, str], Accuracy]):
    """Accuracies by scenario and method.

    The stores of a scenario and a seed are the same in each run. Therefore the accuracy of an
    unchanged method does not change, although its standard error may be large.
    """

    @classmethod
    def of(cls, outcomes: Iterable[Outcome], seed: int) -> Self:
        """The accuracies of the methods that are not ours.

        Parameters
        ----------
        outcomes : iterable of Outcome
            With a `simbg.validation.leaderboard.score.Score`. Scenarios that ignore an effect are
            left out, since their bias is not that of the method.
        seed : int
            Seed of the run.

        Returns
        -------
        accuracies : Accuracies
            Without methods that have no cube.
        """
        found = cls()
        for outcome in outcomes:
            scenario, score = outcome.scenario, outcome.score
            if score is None or scenario.ignored or not isfinite(score.accuracy):
                continue
            error = score.accuracy_error if isfinite(score.accuracy_error) else 0.0
            found[scenario.name, outcome.method] = Accuracy(
                scenario=scenario.name,
                digest=scenario.digest,
                method=outcome.method,
                seed=seed,
                stores=score.stores,
                accuracy=float(score.accuracy),
                error=float(error),
            )
        return found

    @classmethod
    def read(cls, folder: Path | str) -> Self:
        """Read the accuracies of a baseline.

        Parameters
        ----------
        folder : path-like
            Contains accuracies.jsonl.

        Returns
        -------
        accuracies : Accuracies
            As written.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If a line is not a record of an accuracy.
        """
        path = Path(folder) / FILE
        if not path.is_file():
            raise FileNotFoundError(f"{path}: {NO_FILE}")
        found = cls()
        for number, record in read_records(path, SCHEMA):
            try:
                one = Accuracy(**{key: v for key, v in record.items() if key != "schema"})
            except (TypeError, ValueError, OverflowError) as error:
                raise ValueError(
                    f"{path}, line {number}: got {error}, expected a record of an accuracy"
                ) from None
            found[one.scenario, one.method] = one
        return found

    def write(self, folder: Path | str) -> None:
        """Write the accuracies, replacing an earlier file.

        Parameters
        ----------
        folder : path-like
            Gets the file accuracies.jsonl.
        """
        Path(folder).mkdir(parents=True, exist_ok=True)
        records = [{"schema": SCHEMA} | asdict(one) for _, one in sorted(self.items())]
        write_records(Path(folder) / FILE, records)

    def changes_since(self, old: "Accuracies", limit: float) -> list[AccuracyChange]:
        """Compare with older accuracies of the same scenarios and methods.

        Parameters
        ----------
        old : Accuracies
            The baseline. A scenario with other parameters, another seed or another number of
            stores is new.
        limit : float
            Largest relative increase.

        Returns
        -------
        changes : list of AccuracyChange
            One for each scenario and method of either.
        """
        changes = []
        for key in sorted(old.keys() | self.keys()):
            was, now = old.get(key), self.get(key)
            if was and now and was.setting != now.setting:
                was = None
            status = _status(was, now, limit)
            changes.append(AccuracyChange(*key, status, was, now))
        return changes


def _status(old, new, limit):
    if old is None:
        return "new"
    if new is None:
        return "lost"
    if new.accuracy > (1 + limit) * old.accuracy:
        return "worse"
    return "better" if new.accuracy < old.accuracy / (1 + limit) else "same"


def _percent(one):
    return f"{100 * one.accuracy:.4g} %"


@dataclass(frozen=True)
class Baseline:
    """Losses of our methods and accuracies of others, of the scenarios and methods of a run.

    Parameters
    ----------
    losses : Losses
        Empty if the run has none of our methods.
    accuracies : Accuracies
        Empty if the run has our methods only.
    """

    losses: Losses
    accuracies: Accuracies

    @classmethod
    def read(
        cls,
        folder: Path | str,
        scenarios: Sequence[Scenario],
        candidates: Sequence[Candidate],
        seed: int,
        may_be_missing: bool = False,
        only: Mapping[str, Collection[str]] | None = None,
    ) -> Self:
        """Read the part of a baseline that a run is compared with.

        Parameters
        ----------
        folder : path-like
            Contains losses.jsonl and accuracies.jsonl, as far as they are needed.
        scenarios, candidates : sequence
            Those of the run.
        seed : int
            Seed of the run.
        may_be_missing : bool
            Whether a file may be missing, since the run writes it.
        only : mapping, optional
            See `simbg.validation.suite.suite.run_suite`.

        Raises
        ------
        FileNotFoundError
            If a file is missing.
        ValueError
            If a file is not valid, or its accuracies are of another seed.
        """
        if may_be_missing and Path(folder).is_dir():
            complete(Path(folder))
        names = {scenario.name for scenario in scenarios}
        pairs = {(name, c.name) for name in names for c in methods_of(name, candidates, only or {})}
        ours, others = ({c.name for c in candidates if c.ours == flag} for flag in (True, False))
        losses, accuracies = Losses(), Accuracies()
        if ours and not (may_be_missing and not (Path(folder) / Losses.FILE).is_file()):
            losses = Losses.read(folder).of_run(pairs)
        if others and not (may_be_missing and not (Path(folder) / FILE).is_file()):
            stored = Accuracies.read(folder).items()
            accuracies = Accuracies({k: v for k, v in stored if k[0] in names and k[1] in others})
        if not may_be_missing and (seeds := {one.seed for one in accuracies.values()} - {seed}):
            raise ValueError(
                f"{Path(folder) / FILE}: got seed {seed}, expected {min(seeds)}, that of the "
                "baseline; --update-baseline replaces it"
            )
        return cls(losses, accuracies)

    @classmethod
    def of(
        cls,
        outcomes: Sequence[Outcome],
        candidates: Sequence[Candidate],
        seed: int,
        executor: Executor | None = None,
    ) -> Self:
        """The baseline of a run.

        Parameters
        ----------
        outcomes : sequence of Outcome
            Outcomes of the run, with scores of methods that are not ours.
        candidates : sequence of Candidate
            Methods of the run.
        seed : int
            Seed of the run.
        executor : concurrent.futures.Executor, optional
            Runs our methods in parallel.
        """
        ours = [candidate.name for candidate in candidates if candidate.ours]
        pairs = {(outcome.scenario.name, outcome.method) for outcome in outcomes}
        losses = Losses.measure(executor, pairs) if ours else Losses()
        others = [outcome for outcome in outcomes if outcome.method not in ours]
        return cls(losses, Accuracies.of(others, seed))

    def changes_since(self, old: "Baseline", limit: float) -> tuple[bool, list[str]]:
        """Compare with an older baseline.

        Parameters
        ----------
        old : Baseline
            From `read`.
        limit : float
            Largest relative increase of an accuracy.

        Returns
        -------
        good : bool
            Whether nothing is worse, and something could be compared.
        lines : list of str
            The changes, failures first.
        """
        good, lines = True, []
        if self.losses or old.losses:
            changes = self.losses.changes_since(old.losses)
            good, lines = changes.good, changes.lines
        if self.accuracies or old.accuracies:
            moved = self.accuracies.changes_since(old.accuracies, limit)
            failed = [change for change in moved if change.status in ("worse", "lost")]
            rest = [c for c in moved if c not in failed and not c.unchanged]
            lines = [*(c.text for c in (*failed, *rest)), *lines]
            same = sum(change.status == "same" for change in moved)
            if all(change.status == "new" for change in moved):
                lines.insert(0, NOTHING)
                good = False
            elif same:
                lines.append(f"accuracies without a change above {100 * limit:g} %: {same}")
            good = good and not failed
        return good, lines

    def update(self, folder: Path | str) -> None:
        """Write the losses and accuracies together; those of other scenarios and methods stay.

        Parameters
        ----------
        folder : path-like
            Gets the files losses.jsonl and accuracies.jsonl.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with new_content(folder) as place:
            if self.losses:
                losses = Losses.read(folder) if (folder / Losses.FILE).is_file() else Losses()
                new = {(scenario, method) for scenario, _, method, _ in self.losses}
                kept = {k: v for k, v in losses.items() if (k[0], k[2]) not in new}
                Losses({**kept, **self.losses}).write(place)
            if self.accuracies:
                stored = Accuracies.read(folder) if (folder / FILE).is_file() else Accuracies()
                Accuracies({**stored, **self.accuracies}).write(place)
