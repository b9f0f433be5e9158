"""Small data stores of simulated runs, and changes to what is in their files."""

from dataclasses import replace

from astropy.io import fits
from astropy.table import Table

from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.truth.gaussian import GaussianTruth

__all__ = ["EVENTS", "HDU_INDEX", "OBS_INDEX", "edit_hdu", "edit_table", "make_store"]

OBS_INDEX, HDU_INDEX = "obs-index.fits.gz", "hdu-index.fits.gz"
# Path of a run's events, GTI and effective area: EVENTS.format(1).
EVENTS = "data/simbg_obs_{:06d}.fits.gz"


def make_store(folder, scheme="gadf", scenario="night", seed=0, n_obs=3, **changes):
    """Write a store of few runs with few events.

    Parameters
    ----------
    folder : Path
        It becomes the store.
    scheme : {"gadf", "hess"}
    scenario : str
        Name of the scenario that is changed.
    seed, n_obs : int
    **changes
        Fields of the scenario; by default 0.5 events a second.

    Returns
    -------
    experiment : Experiment
    """
    changes = {"name": "small store", "truth": GaussianTruth(event_rate=0.5)} | changes
    experiment = Experiment.of(replace(SCENARIOS[scenario], **changes), seed, n_obs)
    experiment.write(folder, scheme)
    return experiment


def edit_hdu(path, change, hdu=1):
    """Change an HDU of a file in place: ``change(hdu)``."""
    with fits.open(path) as file:
        change(file[hdu])
        file.writeto(path, overwrite=True)


def edit_table(path, change):
    """Change the first table of a file: ``change(table)`` works in place or returns another."""
    table = Table.read(path, mask_invalid=False)
    table.meta.clear()
    changed = change(table)
    hdu = fits.table_to_hdu(table if changed is None else changed)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, overwrite=True)
