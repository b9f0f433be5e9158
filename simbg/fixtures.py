"""Reference files for other projects' tests: a true and a rebuilt cube, in two editions.

``2015`` is the published pair, whose truth and simulator were two different
models; ``current`` has one truth for both, so that they match, and small files for
unit tests besides. All but the versions in the manifest is the same on every machine.
"""

from __future__ import annotations

import hashlib
import json
import platform

import astropy
import numpy as np
import scipy

from simbg import __version__
from simbg.axes import Axes, edition2015_axes
from simbg.exposure import stack_observations
from simbg.fixtures_readme import readme
from simbg.fixtures_small import SMALL, write_small
from simbg.io.cubes import read_cube, write_cube
from simbg.io.files import new_directory
from simbg.io.repack import repack
from simbg.observations import Events, Observation
from simbg.portable import geomspace
from simbg.reconstruct import Default, Histogram
from simbg.scenarios import SCENARIOS
from simbg.simulate import expected_stack, observe
from simbg.truth import edition2015_cube

__all__ = ["EDITIONS", "edition2015_pair", "write_fixtures"]

TRUE, RECO = "bg_cube_model_true.fits.gz", "bg_cube_model_reco.fits.gz"
README, MANIFEST = "README.md", "manifest.json"
FILES = (TRUE, RECO, README, MANIFEST, *(f"small/{pattern}" for pattern in SMALL))
SEED = 0


def write_fixtures(outdir, edition="current", overwrite=False):
    """Write both cubes in 2015's table format; with the current edition small files, too.

    ``README.md`` says what each file holds, ``manifest.json`` has checksums and seeds.

    Parameters
    ----------
    outdir : path-like
    edition : {"2015", "current"}
    overwrite : bool

    Returns
    -------
    names : list of str
        Files written, relative to ``outdir``. The same bytes on every machine, but for the
        versions in the manifest.
    """
    if edition not in EDITIONS:
        raise ValueError(f"edition: got {edition!r}, expected one of {sorted(EDITIONS)}")
    with new_directory(outdir, overwrite, FILES) as folder:
        true, reco, about = EDITIONS[edition]()
        for name, cube in ((TRUE, true), (RECO, reco)):
            write_cube(folder / name, cube, "table", energy_unit="TeV")
            # 2015's truth is a formula: all its digits are the same everywhere.
            repack(folder / name, exact=edition == "2015" and name == TRUE)
        if edition == "current":
            (folder / "small").mkdir()
            write_small(folder / "small", SEED)
        (folder / README).write_text(readme(folder, edition, about), encoding="utf-8", newline="\n")
        names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        manifest = _manifest(folder, names, edition, about)
        (folder / MANIFEST).write_text(
            json.dumps(manifest, indent=2) + "\n", encoding="utf-8", newline="\n"
        )
    return [*names, MANIFEST]


def _manifest(folder, names, edition, about):
    """Where the files come from; ``versions`` alone is not the same everywhere."""
    cubes = {name: read_cube(folder / name) for name in (TRUE, RECO)}
    return {
        "edition": edition,
        **about,
        "seed": SEED,
        "sha256": {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names
        },
        "sums": {
            name: {"counts": float(cube.counts.sum()), "rate_per_second": cube.total}
            for name, cube in cubes.items()
        },
        "versions": {
            "simbg": __version__,
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "astropy": astropy.__version__,
            "python": platform.python_version(),
        },
    }


def edition2015_pair():
    """The published pair: a model cube, and `default` on 100 runs of another model.

    Returns
    -------
    true, reco : BackgroundCube
    about : dict
    """
    axes = _axes()
    true = edition2015_cube(axes, altitude=81.0, sigma=5.0, index_counts=1.5)
    stack = stack_observations(_runs_2015(), axes, threshold_bin="whole")
    about = {
        "about": "The pair of 2015. The cubes differ: their truths are two different models.",
        "generator": f"numpy.random.RandomState({SEED})",
    }
    return true, Default().estimate(stack), about


def _runs_2015(n_obs=100):
    """The 2015 simulator, draw by draw; its energies have one more in index than was asked for."""
    random = np.random.RandomState(SEED)
    random.uniform(55197.0, 57023.0, n_obs)  # dates, hours and azimuths are drawn and not used
    random.uniform(22.0, 27.5, n_obs)
    random.uniform(90.0, 270.0, n_obs)
    altitude = np.rad2deg(np.arcsin(random.uniform(*np.sin(np.deg2rad([72, 90])), n_obs)))
    random.randint(3, 5, n_obs)
    random.uniform(0.6, 1.0, n_obs)
    for obs_id, alt in enumerate(altitude, 1):
        n_events = int(300.0 * 1500.0 * (0.5 + 0.5 * alt / 90))
        energy = random.uniform(0.1**-1.5, 100.0**-1.5, n_events) ** (-1 / 1.5)
        sigma = 2.5 * (energy / 0.1) ** (np.log(2) / np.log(1000.0))
        lon, lat = (random.normal(scale=sigma) for _ in range(2))
        yield Observation.in_memory(
            Events(energy, lon, lat),
            obs_id=obs_id,
            livetime=1500.0,
            ontime=1800.0,
            energy_threshold=0.1,
        )


def current_pair():
    """One truth for both: its exact bin averages, and `histogram` on events drawn from it."""
    scenario = SCENARIOS["seed-2015"]
    table, axes = scenario.table(SEED), _axes()
    true = Histogram().estimate(expected_stack(scenario.truth, table, axes))
    runs = observe(scenario.truth, table, SEED, scenario.name)
    reco = Histogram().reconstruct(runs, axes)
    about = {
        "about": "One truth: the rebuilt cube agrees with the true one within its Poisson errors.",
        "generator": "numpy.random.PCG64",
        "scenario": scenario.name,
        "digest": scenario.digest,
    }
    return true, reco, about


def _axes():
    """2015's binning, its energies the same on every machine."""
    axes = edition2015_axes()
    energy = geomspace(axes.energy[0], axes.energy[-1], axes.energy.size)
    return Axes(energy, axes.fov_lon, axes.fov_lat)


EDITIONS = {"2015": edition2015_pair, "current": current_pair}
