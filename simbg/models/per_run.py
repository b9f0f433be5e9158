"""A background model for each run: interpolated to its zenith angle, scaled to its events.

``hdu-index`` and ``obs-index`` are written next to the models. They list the models and, with
relative paths, the runs' files in the store. With them gammapy's DataStore opens the folder, and
each observation has its background.
"""

import logging
import os
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np

from simbg.axes import Axes
from simbg.cube import BackgroundCube
from simbg.io.bkg_3d import REVERSED
from simbg.io.cubes import write_cube
from simbg.io.safe_files import write_fits
from simbg.models.interpolation.nodes import at_nodes
from simbg.models.radec_field import aligned_with_radec
from simbg.models.run_norm import RunNorm, fit_norm
from simbg.observations.observation import Observation
from simbg.observations.threshold import first_bin
from simbg.reconstruction.contract import check_cube
from simbg.sky.pointing import Tracking

__all__ = ["scaled_to_run"]

log = logging.getLogger(__name__)

RUN_FILES = (r"bg_run_\d{6,}\.fits\.gz", r"(hdu|obs)-index\.fits\.gz", r"bg_run_norms\.ecsv")
INDEX = ("OBS_ID", "HDU_TYPE", "HDU_CLASS", "FILE_DIR", "FILE_NAME", "HDU_NAME")
# In files of models that gammapy would turn and mirror if they were aligned with ALTAZ.
HISTORY = (
    "Mean over the run in the field of view that gammapy assumes for runs of this producer, "
    "whatever FOVALIGN is: aligned with RADEC, DETX increases with right ascension."
)


def write_run_models(
    folder: Path,
    store: Any,
    models: Any,
    axes: Axes,
    by_group: dict[int, list[Observation]],
    outdir: Path | str,
) -> None:
    """Write the model of each run, a table of their norms, and the index.

    Parameters
    ----------
    folder : Path
        Temporary folder to which the files are written.
    store : GadfStore
        Store of the runs.
    models : object
        Models with ``at(observation)``, see `simbg.reconstruction.zenith_groups.fit_runs`.
    axes : Axes
        Axes of the models.
    by_group : dict of int to list of Observation
        Observations of each group, by GROUP_ID; −1 for those outside of all groups.
    outdir : path-like
        Final position of ``folder``: paths to the store are relative to it.
    """
    rows, n_turned = [], 0
    for group, observations in by_group.items():
        for observation in observations:
            run = observation.read()
            cube, norm = scaled_to_run(check_cube(models.at(run), axes), run)
            if not np.isfinite(norm.error):
                log.warning(
                    "run %d: no counts to fit its norm to; the norm is 1", observation.obs_id
                )
            if isinstance(run.events().pointing, Tracking) and store.is_reversed_by_gammapy(
                run.obs_id
            ):
                cube, n_turned = _for_gammapy(cube, run), n_turned + 1
            write_cube(folder / file_name(observation.obs_id), cube, nodes=at_nodes(cube))
            rows.append((observation.obs_id, group, *astuple(norm)))
    if n_turned:
        text = "%d runs: models are aligned with RADEC, as gammapy reads files of this producer"
        log.warning(text, n_turned)
    names = ("OBS_ID", "GROUP_ID", "NORM", "NORM_ERR", "N_EVENTS", "N_PRED")
    from astropy.table import Table

    norms = Table(
        rows=rows, names=names, dtype=(store.table["OBS_ID"].dtype, "i8", "f8", "f8", "i8", "f8")
    )
    norms.write(folder / "bg_run_norms.ecsv", format="ascii.ecsv")
    _write_index(folder, store, [row[0] for row in rows], Path(outdir))


def scaled_to_run(
    cube: BackgroundCube, observation: Observation, norm: RunNorm | None = None
) -> tuple[BackgroundCube, RunNorm]:
    """A run's cube, with its dead time and norm, and the norm.

    Below the threshold it has no rate, because none was measured at this zenith angle.

    Parameters
    ----------
    cube : BackgroundCube
        The model at the pointing of the run.
    observation : Observation
        The run.
    norm : RunNorm, optional
        The norm; by default it is fitted to the events of the run outside of excluded regions.
    """
    cube = cube.per("livetime")
    norm = fit_norm(cube, observation) if norm is None else norm
    rate = cube.rate * norm.value
    rate[: first_bin(cube.axes, observation.energy_threshold, True)] = np.nan
    # Exposure is 0 where the rate is unknown: so a reader can distinguish it from a rate of 0.
    valid = np.isfinite(rate)
    return replace(
        cube,
        rate=rate,
        rate_error=None if cube.rate_error is None else cube.rate_error * norm.value,
        livetime=np.where(valid, observation.livetime, 0.0),
        ontime=np.where(valid, observation.ontime, 0.0),
        extrapolated=None if cube.extrapolated is None else cube.extrapolated & valid,
        meta={**cube.meta, "OBS_ID": observation.obs_id},
    ), norm


def _for_gammapy(cube, run):
    """The cube in the field of view that gammapy assumes for runs whose FOVALIGN it ignores."""
    cube = aligned_with_radec(cube, run)
    return replace(cube, meta={**cube.meta, "FOVALIGN": REVERSED, "HISTORY": HISTORY})


def file_name(obs_id: int) -> str:
    """Name of the file with the model of a run."""
    return f"bg_run_{obs_id:06d}.fits.gz"


def _shortest(to_store, name, outdir):
    """The path of a folder from ``outdir``, not by the way of a store that points elsewhere."""
    path = os.path.join(to_store, name)
    if not name.startswith(".."):
        return path
    short = os.path.normpath(path)
    return short if (outdir / short).resolve() == (outdir / path).resolve() else path


def _write_index(folder, store, obs_ids, outdir):
    """Write the store's index of these runs, with paths from ``outdir``, and with the models."""
    from astropy.io import fits
    from astropy.table import Table, vstack

    to_store = os.path.relpath(store.hdu_index.base.resolve(), outdir.resolve())
    wanted = set(obs_ids)
    hdus, runs = (
        table[[obs_id in wanted for obs_id in table["OBS_ID"].tolist()]]
        for table in (store.hdu_index.table, store.table)
    )
    # Models that are already in the store are replaced.
    hdus = hdus[[kind.strip().lower() != "bkg" for kind in hdus["HDU_TYPE"]]][list(INDEX)]
    hdus["FILE_DIR"] = [_shortest(to_store, name.strip(), outdir) for name in hdus["FILE_DIR"]]
    hdus.meta.pop("BASE_DIR", None)
    models = Table(
        rows=[("bkg", "bkg_3d", ".", file_name(i), "BACKGROUND") for i in obs_ids], names=INDEX[1:]
    )
    # The same type as in the store: numbers of another type would be converted to floats.
    models.add_column(np.array(obs_ids, hdus["OBS_ID"].dtype), name="OBS_ID", index=0)
    index = vstack([hdus, models])
    index = index[np.argsort(index["OBS_ID"], kind="stable")]
    for kind, table in (("hdu", index), ("obs", runs)):
        hdu = fits.table_to_hdu(Table(table, copy=True))
        hdu.name = f"{kind.upper()}_INDEX"
        hdu.header["HDUCLAS1"], hdu.header["HDUCLAS2"] = "INDEX", kind.upper()
        write_fits(folder / f"{kind}-index.fits.gz", [hdu])
