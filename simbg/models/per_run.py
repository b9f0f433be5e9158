"""A background model for each run: interpolated to its zenith angle, scaled to its events.

Beside the models stand ``hdu-index`` and ``obs-index``, which name them and, by relative
paths, the runs' own files in the store: gammapy's DataStore opens the folder and gives
each observation its background.
"""

import logging
import os
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table, vstack

from simbg.io.cubes import write_cube
from simbg.io.safe_files import write_fits
from simbg.models.run_norm import fit_norm
from simbg.observations.threshold import first_bin
from simbg.reconstruction.contract import check_cube

__all__ = []

log = logging.getLogger(__name__)

RUN_FILES = (r"bg_run_\d{6,}\.fits\.gz", r"(hdu|obs)-index\.fits\.gz", r"bg_run_norms\.ecsv")
INDEX = ("OBS_ID", "HDU_TYPE", "HDU_CLASS", "FILE_DIR", "FILE_NAME", "HDU_NAME")


def write_run_models(folder, store, models, axes, by_group, outdir):
    """Write the model of each run, their norms, and the index.

    Parameters
    ----------
    folder : Path
        Where files are written to.
    store : GadfStore
        Of the runs.
    models : object
        With ``at(observation)``, see `simbg.reconstruction.zenith_groups.fit_runs`.
    axes : Axes
        Of the models.
    by_group : dict of int to list of Observation
    outdir : path-like
        Where ``folder`` will be: paths to the store are relative to it.
    """
    rows = []
    for group, observations in by_group.items():
        for observation in observations:
            cube, norm = _scaled_to_run(check_cube(models.at(observation), axes), observation)
            if not np.isfinite(norm.error):
                log.warning("run %d: no events to fit its norm to, it is 1", observation.obs_id)
            write_cube(folder / _file_name(observation.obs_id), cube, "gadf")
            rows.append((observation.obs_id, group, *astuple(norm)))
    names = ("OBS_ID", "GROUP_ID", "NORM", "NORM_ERR", "N_EVENTS", "N_PRED")
    norms = Table(rows=rows, names=names)
    norms.write(folder / "bg_run_norms.ecsv", format="ascii.ecsv")
    _write_index(folder, store, norms["OBS_ID"].tolist(), Path(outdir))


def _scaled_to_run(cube, observation):
    """A run's cube, with its dead time and norm, and the norm.

    At energies below its threshold it has no rate: none was measured at its zenith angle.
    """
    cube = cube.per("livetime")
    norm = fit_norm(cube, observation)
    rate = cube.rate * norm.value
    rate[: first_bin(cube.axes, observation.energy_threshold, True)] = np.nan
    # No exposure where nothing is known: that tells a reader no rate from a rate of 0.
    known = np.isfinite(rate)
    return replace(
        cube,
        rate=rate,
        rate_error=None if cube.rate_error is None else cube.rate_error * norm.value,
        livetime=np.where(known, observation.livetime, 0.0),
        ontime=np.where(known, observation.ontime, 0.0),
        meta={**cube.meta, "OBS_ID": observation.obs_id},
    ), norm


def _file_name(obs_id):
    return f"bg_run_{obs_id:06d}.fits.gz"


def _write_index(folder, store, obs_ids, outdir):
    """The store's own index of these runs, with other paths, and the models in it."""
    away = os.path.relpath(Path(store.path).resolve(), outdir.resolve())
    hdus = store.hdu_table
    hdus = hdus[np.isin(hdus["OBS_ID"], obs_ids)][list(INDEX)]
    # A store may have models of its own: these replace them.
    hdus = hdus[[kind.strip().lower() != "bkg" for kind in hdus["HDU_TYPE"]]]
    hdus["FILE_DIR"] = [os.path.join(away, place.strip()) for place in hdus["FILE_DIR"]]
    ours = [(i, "bkg", "bkg_3d", ".", _file_name(i), "BACKGROUND") for i in obs_ids]
    index = vstack([hdus, Table(rows=ours, names=INDEX)])
    index = index[np.argsort(index["OBS_ID"], kind="stable")]
    runs = store.table[np.isin(store.table["OBS_ID"], obs_ids)]
    for kind, table in (("hdu", index), ("obs", runs)):
        hdu = fits.table_to_hdu(Table(table, copy=True))
        hdu.name = f"{kind.upper()}_INDEX"
        hdu.header["HDUCLAS1"], hdu.header["HDUCLAS2"] = "INDEX", kind.upper()
        write_fits(folder / f"{kind}-index.fits.gz", [hdu])
