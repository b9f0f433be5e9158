"""Routes to the cube of a method: in memory, through a store, or in a separate process."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Self

from simbg.io.cubes import read_cube
from simbg.models.pipeline import reconstruct_store
from simbg.models.runs import open_store
from simbg.models.selection import Selection
from simbg.observations.groups import Groups
from simbg.observations.observation import Observation
from simbg.reconstruction.contract import reconstruct
from simbg.reconstruction.registry import find_method
from simbg.simulation.experiment import Experiment
from simbg.validation.methods.candidates import Candidate
from simbg.validation.methods.isolation import Attempt

__all__ = []

# Scenarios in which the methods of simbg read a data store on disk, and the format of the store.
SCHEMES = {"realistic": "gadf", "night": "hess", "rolling-threshold": "gadf"}
# One scenario uses files of GADF, the other those of 2015, which have no errors.
KINDS = {"gadf": "gadf", "hess": "table"}
# Models of single runs are interpolated between groups of a fifth of the runs.
RUN_GROUPS = 5
ONE_GROUP = Groups((0, 90), (-90, 270))


def route_of_ours(
    experiment: Experiment, folder: Path, executor: Executor | None = None
) -> "InMemory | ThroughStore":
    """The route of our own methods in a scenario.

    Parameters
    ----------
    experiment : Experiment
        The scenario and its seed.
    folder : Path
        Folder for the store, if there is one.
    executor : concurrent.futures.Executor, optional
        Simulates runs in parallel.

    Returns
    -------
    route : InMemory or ThroughStore
        With ``observations()`` and ``reconstruct(candidate)``.
    """
    scenario = experiment.scenario
    scheme = SCHEMES.get(scenario.name)
    if scheme is None:
        return InMemory(experiment, executor)
    experiment.write(folder / "store", scheme, executor=executor)
    return ThroughStore(folder, scheme, executor)


@dataclass(frozen=True)
class InMemory:
    """Our methods on observations in memory, whose events are simulated when they are read.

    Parameters
    ----------
    experiment : Experiment
        Simulates the observations.
    executor : concurrent.futures.Executor or None
        Runs parts in parallel.
    """

    experiment: Experiment
    executor: Executor | None

    def observations(self) -> Sequence[Observation]:
        """The observations that methods get: the same objects each time."""
        return self._observations

    @cached_property
    def _observations(self):
        return self.experiment.observations()

    def reconstruct(self, candidate: Candidate) -> Attempt:
        """The `Attempt` of a candidate."""
        method = find_method(candidate.name)
        return Attempt(reconstruct(method, self.observations(), executor=self.executor))


@dataclass(frozen=True)
class ThroughStore:
    """Our methods as a user runs them: a store, `simbg reconstruct`, and the files that it writes.

    Parameters
    ----------
    folder : Path
        Folder that contains the store ``store``. The models are written to it.
    scheme : {"gadf", "hess"}
        Scheme of the store.
    executor : concurrent.futures.Executor or None
        Runs parts in parallel.
    """

    folder: Path
    scheme: str
    executor: Executor | None

    def observations(self) -> Sequence[Observation]:
        """The observations that methods get."""
        store = open_store(self.folder / "store")
        return store.observations(store.table)

    def reconstruct(self, candidate: Candidate) -> Attempt:
        """The `Attempt` of a candidate."""
        out, method = self.folder / f"models-{candidate.name}", candidate.name
        selection = Selection(exclude=("none",), groups=ONE_GROUP)
        store = self.folder / "store"
        reconstruct_store(store, out, self.scheme, method, selection, executor=self.executor)
        return Attempt(read_cube(out / f"bg_cube_model_group0_{KINDS[self.scheme]}.fits.gz"))


@dataclass(frozen=True)
class Isolated:
    """Any method on GADF stores, in a separate process for each store; or finished files.

    Parameters
    ----------
    attempts : dict
        Candidate → list of `Attempt`, one for each replicate. A folder of finished files has one.
    """

    attempts: dict[Candidate, list[Attempt]]

    @classmethod
    def of(
        cls,
        experiment: Experiment,
        candidates: Sequence[Candidate],
        stores: int,
        least: int,
        folder: Path,
        executor: Executor | None = None,
    ) -> Self:
        """Write the stores that methods need, and let each method reconstruct them.

        Parameters
        ----------
        experiment : Experiment
            The scenario and its seed.
        candidates : sequence of Candidate
            The methods.
        stores : int
            Number of stores for the methods of simbg.
        least : int
            Number of stores for all other methods.
        folder : Path
            Folder for the stores.
        executor : concurrent.futures.Executor, optional
            Runs attempts in parallel.

        Returns
        -------
        isolated : Isolated
            All attempts.
        """
        number = {c: stores if c.ours else least for c in candidates}
        number |= {c: 1 for c in candidates if c.kind == "files"}
        written = max((number[c] for c in candidates if c.kind != "files"), default=0)
        for n in range(written):
            replace(experiment, replicate=n).write(folder / f"isolated-{n}", executor=executor)
        folders = [folder / f"isolated-{n}" for n in range(max(number.values(), default=0))]
        job = partial(_isolated, experiment.scenario)
        jobs = [(candidate, folders[: number[candidate]]) for candidate in candidates]
        done = (executor.map if executor else map)(job, jobs)
        return cls(dict(zip(candidates, done, strict=True)))

    def reconstruct(self, candidate: Candidate) -> Attempt:
        """The `Attempt` of a candidate at the first store."""
        return self.attempts[candidate][0]


def _isolated(scenario, job):
    candidate, stores = job
    if not stores:
        return []
    number = scenario.n_obs // RUN_GROUPS if scenario.per_run else 0
    return candidate.reconstruct_all(stores, scenario, runs_of_group=number)
