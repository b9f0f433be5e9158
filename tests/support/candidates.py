"""Candidates without a process of their own, where a test is not about the process."""

from dataclasses import dataclass, replace

from simbg.errors import in_one_line
from simbg.io.gadf.store import GadfStore
from simbg.reconstruction.contract import axes_for, check_cube
from simbg.reconstruction.registry import find_method
from simbg.validation.methods.candidates import Candidate
from simbg.validation.methods.isolation import Attempt

__all__ = ["InMemory"]


@dataclass(frozen=True)
class InMemory(Candidate):
    """A method that rebuilds the store here: what its process would, but a second sooner."""

    def reconstruct_all(self, stores, scenario, axes=None, runs_of_group=0):
        return [self.reconstruct_here(store, scenario, axes) for store in stores]

    def reconstruct_here(self, store, scenario, axes):
        opened = GadfStore(store)
        runs = [
            replace(run, excluded=scenario.regions) for run in opened.observations(opened.table)
        ]
        try:
            method = find_method(self.name)
            axes = axes_for(method, runs) if axes is None else axes
            cube = check_cube(method.reconstruct(runs, axes), axes)
        except (Exception, SystemExit) as error:
            return Attempt(None, in_one_line(error))
        own = {"threshold_bin": getattr(method, "threshold_bin", "drop")}
        own["promises"] = getattr(method, "promises", {})
        return Attempt(cube, seconds=0.0, megabytes=0.0, **own)
