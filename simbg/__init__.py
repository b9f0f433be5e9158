"""simbg: is your gamma-ray background model right?

A truth is a background model. simbg simulates observations of it, reconstructs a background cube
from their events, and compares this cube with the truth:

>>> import simbg
>>> night = simbg.simulate("night", seed=0)
>>> cube = simbg.reconstruct(night)
>>> simbg.compare(night.true_cube(cube.axes), cube).agree
True

What to use when:

==============================================  ================================================
real or simulated runs in a folder              `open_store`, and `Selection` for some of them
simulated observations of a known truth         `simulate`, one of `SCENARIOS` or a `Scenario`
a cube of observations                          `reconstruct`, with one of `METHODS` or your own
a radial model (BKG_2D)                         `reconstruct_radial`, `RadialModel`
energies and angles of your own                 `Axes.regular`; default: `edition2015_axes`
a cube in a file, in a figure, in gammapy       `BackgroundCube.read`, ``.write``, ``.plot``,
                                                ``.to_gammapy``
a background for each observation of gammapy    `attach`
a comparison of two cubes                       `compare`
a test of a method in simulated scenarios       `validate`
a truth of your own                             `GaussianTruth`, `ShapedTruth`, `CubeTruth` (from a
                                                file), `GammaSource`; `Truth` is their protocol
a method of your own                            `Reconstructor` is the protocol; a method gets an
                                                `Observation` with its `Events` for each run;
                                                `stack_observations` sums them: `StackedCounts`
a cube for each run                             `fit_models`; `ZenithGroups` with `Groups`
==============================================  ================================================

``print(simbg.SCENARIOS)`` lists the scenarios, and ``print(*simbg.METHODS)`` the methods.

Energies, angles and times are given as astropy Quantities of any unit, or as bare numbers in TeV,
deg and s. Results are bare numbers in TeV, deg, s and s-1 MeV-1 sr-1; arrays have the axes
(energy, fov_lon, fov_lat).
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = [
    "METHODS",
    "SCENARIOS",
    "Axes",
    "BackgroundCube",
    "CubeTruth",
    "Events",
    "Experiment",
    "GammaSource",
    "GaussianTruth",
    "Groups",
    "Observation",
    "RadialModel",
    "Reconstructor",
    "Scenario",
    "Selection",
    "ShapedTruth",
    "StackedCounts",
    "Truth",
    "ZenithGroups",
    "__version__",
    "attach",
    "compare",
    "edition2015_axes",
    "fit_models",
    "open_store",
    "reconstruct",
    "reconstruct_radial",
    "simulate",
    "stack_observations",
    "validate",
]

if TYPE_CHECKING:
    from simbg.axes import Axes as Axes
    from simbg.axes import edition2015_axes as edition2015_axes
    from simbg.cube import BackgroundCube as BackgroundCube
    from simbg.models.runs import open_store as open_store
    from simbg.models.selection import Selection as Selection
    from simbg.observations.exposure import StackedCounts as StackedCounts
    from simbg.observations.exposure import stack_observations as stack_observations
    from simbg.observations.groups import Groups as Groups
    from simbg.observations.observation import Events as Events
    from simbg.observations.observation import Observation as Observation
    from simbg.radial import RadialModel as RadialModel
    from simbg.reconstruction.contract import Reconstructor as Reconstructor
    from simbg.reconstruction.registry import METHODS as METHODS
    from simbg.reconstruction.zenith_groups import ZenithGroups as ZenithGroups
    from simbg.simulation.experiment import Experiment as Experiment
    from simbg.simulation.library import SCENARIOS as SCENARIOS
    from simbg.simulation.scenario import Scenario as Scenario
    from simbg.truth.from_file import CubeTruth as CubeTruth
    from simbg.truth.gaussian import GaussianTruth as GaussianTruth
    from simbg.truth.protocol import Truth as Truth
    from simbg.truth.shaped import ShapedTruth as ShapedTruth
    from simbg.truth.sources import GammaSource as GammaSource
    from simbg.verbs import attach as attach
    from simbg.verbs import compare as compare
    from simbg.verbs import fit_models as fit_models
    from simbg.verbs import reconstruct as reconstruct
    from simbg.verbs import reconstruct_radial as reconstruct_radial
    from simbg.verbs import simulate as simulate
    from simbg.verbs import validate as validate

    __version__: str

# Where the public names are: each is loaded when it is first used.
PLACES = {
    "axes": ("Axes", "edition2015_axes"),
    "cube": ("BackgroundCube",),
    "models.runs": ("open_store",),
    "models.selection": ("Selection",),
    "observations.exposure": ("StackedCounts", "stack_observations"),
    "observations.groups": ("Groups",),
    "observations.observation": ("Events", "Observation"),
    "radial": ("RadialModel",),
    "reconstruction.contract": ("Reconstructor",),
    "reconstruction.registry": ("METHODS",),
    "reconstruction.zenith_groups": ("ZenithGroups",),
    "simulation.experiment": ("Experiment",),
    "simulation.library": ("SCENARIOS",),
    "simulation.scenario": ("Scenario",),
    "truth.from_file": ("CubeTruth",),
    "truth.gaussian": ("GaussianTruth",),
    "truth.protocol": ("Truth",),
    "truth.shaped": ("ShapedTruth",),
    "truth.sources": ("GammaSource",),
    "verbs": (
        "attach",
        "compare",
        "fit_models",
        "reconstruct",
        "reconstruct_radial",
        "simulate",
        "validate",
    ),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value = version("simbg")
    else:
        modules = [module for module, names in PLACES.items() if name in names]
        if not modules:
            text = f"module 'simbg' has no attribute {name!r}"
            raise AttributeError(text, name=name, obj=sys.modules[__name__])
        value = getattr(import_module(f"simbg.{modules[0]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
