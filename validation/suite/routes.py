"""How the cube of a method is had: in memory, through a store, or in a process of its own."""

from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from astropy.table import Table

from simbg.io.cubes import read_cube
from simbg.models.pipeline import reconstruct_store
from simbg.models.runs import open_store
from simbg.models.selection import Selection
from simbg.observations.groups import Groups
from simbg.reconstruction.contract import reconstruct
from simbg.reconstruction.registry import find_method
from simbg.simulation.experiment import Experiment
from simbg.validation.methods.isolation import Attempt

__all__ = []

# Scenarios whose events reach our methods as a data store on disk, and its scheme.
SCHEMES = {"realistic": "gadf", "night": "hess"}
# One scenario through GADF's file, the other through 2015's, which has no errors.
KINDS = {"gadf": "gadf", "hess": "table"}
ONE_GROUP = Groups((0, 90), (-90, 270))
# A model a run: groups of a fifth of the runs, interpolated, with a norm of its own.
RUN_GROUPS = 5


def route_of_ours(experiment, folder, executor=None):
    """The route of our own methods in a scenario."""
    scenario = experiment.scenario
    scheme = "gadf" if scenario.per_run else SCHEMES.get(scenario.name)
    if scheme is None:
        return InMemory(experiment, executor)
    experiment.write(folder / "store", scheme, executor=executor)
    return ThroughStore(folder, scheme, executor)


@dataclass(frozen=True)
class InMemory:
    """Our methods on observations that are simulated whenever they are asked for."""

    experiment: Experiment
    executor: Executor | None

    def observations(self):
        """The observations that methods see."""
        return self.experiment.observations()

    def rebuild(self, candidate):
        """The `Attempt` of a candidate."""
        method = find_method(candidate.name)
        return Attempt(reconstruct(method, self.observations(), executor=self.executor))


@dataclass(frozen=True)
class ThroughStore:
    """Our methods as a user has them: a store, `simbg reconstruct`, and the files it writes."""

    folder: Path
    scheme: str
    executor: Executor | None

    def observations(self):
        """The observations that methods see."""
        store = open_store(self.folder / "store")
        return store.observations(store.table)

    def rebuild(self, candidate):
        """The `Attempt` of a candidate."""
        out = self._models(candidate.name, candidate.name)
        return Attempt(read_cube(out / f"bg_cube_model_group0_{KINDS[self.scheme]}.fits.gz"))

    def models_of_runs(self):
        """Cube, per livetime, and relative variance of the norm of each run: dict by OBS_ID."""
        least = len(self.observations()) // RUN_GROUPS
        out = self._models("per-run", "histogram", group_by=f"runs:{least}")
        return {
            row["OBS_ID"]: (
                read_cube(out / f"bg_run_{row['OBS_ID']:06d}.fits.gz").per("livetime"),
                (row["NORM_ERR"] / row["NORM"]) ** 2,
            )
            for row in Table.read(out / "bg_run_norms.ecsv")
        }

    def _models(self, folder, method, **grouping):
        out = self.folder / f"models-{folder}"
        selection = Selection(exclude=("none",), groups=ONE_GROUP, **grouping)
        options = {"executor": self.executor, "per_run": bool(grouping)}
        reconstruct_store(self.folder / "store", out, self.scheme, method, selection, **options)
        return out


@dataclass(frozen=True)
class Isolated:
    """Any method on GADF stores, each in a process of its own; or finished files.

    Parameters
    ----------
    attempts : dict
        Candidate → list of Attempt, one a replicate; a folder of finished files has one.
    """

    attempts: dict

    @classmethod
    def of(cls, experiment, candidates, replicates, folder, executor=None):
        """Write the stores that methods need, and let each rebuild them.

        Parameters
        ----------
        experiment : Experiment
        candidates : sequence of Candidate
        replicates : int
            Stores for all methods; those that are not ours get one in any case.
        folder : Path
            Where the stores are written.
        executor : concurrent.futures.Executor, optional
        """
        number = {c: max(replicates, int(not c.ours)) for c in candidates}
        number |= {c: 1 for c in candidates if c.kind == "files"}
        written = max((number[c] for c in candidates if c.kind != "files"), default=0)
        for n in range(written):
            replace(experiment, replicate=n).write(folder / f"isolated-{n}", executor=executor)
        jobs = [(c, n) for c in candidates for n in range(number[c])]
        job = partial(_isolated, experiment.scenario, folder)
        done = iter((executor.map if executor else map)(job, jobs))
        return cls({c: [next(done) for _ in range(number[c])] for c in candidates})

    def rebuild(self, candidate):
        """The `Attempt` of a candidate at the first store."""
        return self.attempts[candidate][0]


def _isolated(scenario, folder, job):
    candidate, number = job
    return candidate.rebuild(folder / f"isolated-{number}", scenario)
