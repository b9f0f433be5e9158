"""IRFs of files against gammapy's readers."""

import os
from pathlib import Path

import numpy as np
import pytest

from simbg.simulation.experiment import Experiment
from simbg.simulation.library import SCENARIOS
from simbg.validation.impact.instrument import Instrument

DATA = Path(os.environ.get("GAMMAPY_DATA", "/nonexistent"))
FILES = {
    "PSF_TABLE": "hess-dl3-dr1/data/hess_dl3_dr1_obs_id_023523.fits.gz",
    "PSF_3GAUSS": "cta-1dc/caldb/data/cta/1dc/bcf/South_z20_50h/irf_file.fits",
}


@pytest.mark.filterwarnings("ignore")  # gammapy's, about units
@pytest.mark.parametrize("kind", FILES)
def test_files_of_observatories(kind):
    if not (path := DATA / FILES[kind]).exists():
        pytest.skip(f"{path.name} is not in $GAMMAPY_DATA")
    irf = pytest.importorskip("gammapy.irf")
    from astropy import units as u

    energy, offset = np.array([0.7, 1.0, 3.0, 10.0]), np.array([0.5, 1.0, 1.5])[:, None]
    theirs = irf.load_irf_dict_from_file(path)
    at = {"energy_true": energy * u.TeV, "offset": offset * u.deg}
    ours = Instrument.read(path)
    area = theirs["aeff"].evaluate(**at).to_value("cm2")
    np.testing.assert_allclose(ours.area_at(energy, offset), area, rtol=1e-6)
    radius = theirs["psf"].containment_radius(0.68, **at).to_value("deg")
    # gammapy searches the radius on a grid, and interpolates the profile instead of the radius.
    np.testing.assert_allclose(
        ours.psf_at(energy, offset) * (-2 * np.log(0.32)) ** 0.5, radius, rtol=0.03
    )


def test_store_of_the_simulation(tmp_path):
    """The file of a simulated run has the effective area of the simulation."""
    Experiment.of(SCENARIOS["night"], 0, 1).write(tmp_path)
    (path,) = (tmp_path / "data").glob("*.fits.gz")
    assert Instrument.is_in(path)
    read, simulated = Instrument.read(path), Instrument.simulated()
    for energy in (0.2, 5.0):
        assert read.area_at(energy, 1.0) == simulated.area_at(energy, 1.0)
        assert read.psf_at(energy, 1.0) == simulated.psf_at(energy, 1.0)
    assert "no point spread function" in read.origin


def test_bad_files(tmp_path):
    from astropy.io import fits

    path = tmp_path / "file.fits"
    fits.PrimaryHDU().writeto(path)
    assert not Instrument.is_in(path)
    assert not Instrument.is_in(tmp_path / "nothing.fits")
    with pytest.raises(ValueError, match=r"file\.fits: got no column EFFAREA"):
        Instrument.read(path)
    Experiment.of(SCENARIOS["night"], 0, 1).write(tmp_path / "store")
    (given,) = (tmp_path / "store" / "data").glob("*.fits.gz")
    changes = {"EFFAREA": (-1.0, 0.0, np.nan), "ENERG_LO": (1.0,), "HDUCLAS3": ("POINT-LIKE",)}
    for name, values in changes.items():
        for value in values:
            with fits.open(given) as file:
                if name == "HDUCLAS3":
                    file["AEFF"].header[name] = value
                elif name == "EFFAREA":
                    file["AEFF"].data[name] = value
                else:
                    file["AEFF"].data[name] = file["AEFF"].data[name][:, ::-1]
                    file["AEFF"].data["ENERG_HI"] = file["AEFF"].data["ENERG_HI"][:, ::-1]
                file.writeto(path, overwrite=True)
            with pytest.raises(ValueError, match=name[:5] if name != "HDUCLAS3" else value):
                Instrument.read(path)
