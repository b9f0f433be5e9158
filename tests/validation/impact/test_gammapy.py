"""The fit against fits of gammapy: its datasets, its source models, its minimiser."""

import numpy as np
import pytest
from astropy import units as u

from simbg.axes import Axes
from simbg.truth.gaussian import GaussianTruth
from simbg.validation.impact.fit import Fit
from simbg.validation.impact.instrument import Instrument
from simbg.validation.impact.sources import CRAB, Template, TestSource

pytest.importorskip("gammapy")
HOURS, PIXEL, PLACE = 20.0, 0.1, (0.55, -0.35)
AXES = Axes(np.geomspace(0.5, 10, 7), np.arange(-16, 17) * PIXEL, np.arange(-16, 17) * PIXEL)
TRUE = GaussianTruth().cube(AXES, livetime=3600).event_rate * 3600
LON, LAT = AXES.fov_lon_center[:, None], AXES.fov_lat_center
DEFECTS = {
    "gradient": 1 + 0.03 * LON + 0 * LAT,
    "bump": 1 + 0.06 * np.exp(-0.5 * ((LON - 0.4) ** 2 + (LAT + 0.3) ** 2) / 0.3**2),
    "norm": 1.2 + 0 * LON * LAT,
    "waves": 1 + 0.04 * np.cos(5 * LON) * np.cos(4 * LAT),
}


def dataset(source, background):
    """A dataset of gammapy with the source, for the simulated instrument, and this background.

    Its pixels are the parts of ours: in larger pixels a point source has a larger error.
    """
    from gammapy.datasets import MapDataset
    from gammapy.irf import PSFMap
    from gammapy.maps import Map, MapAxis, WcsGeom
    from gammapy.modeling.models import (
        DiskSpatialModel,
        FoVBackgroundModel,
        PointSpatialModel,
        PowerLawSpectralModel,
        SkyModel,
    )

    energy = MapAxis.from_edges(AXES.energy, unit="TeV", name="energy", interp="log")
    true = MapAxis.from_energy_bounds(0.2, 30, 40, unit="TeV", name="energy_true")
    parts = template_of(source).parts
    size = tuple(parts * n for n in AXES.shape[1:])
    shape = {"skydir": (0, 0), "binsz": PIXEL / parts, "npix": size, "proj": "CAR"}
    geom, wide = WcsGeom.create(axes=[energy], **shape), WcsGeom.create(axes=[true], **shape)
    instrument = Instrument.simulated()
    area = float(instrument.area_at(1.0, 0.0)) * u.cm**2
    exposure = Map.from_geom(wide, unit="cm2 s")
    exposure.quantity = np.ones(wide.data_shape) * area * HOURS * u.h
    lon, lat = PLACE
    position = {"lon_0": lon * u.deg, "lat_0": lat * u.deg}
    if source.size:
        spatial = DiskSpatialModel(r_0=source.size * u.deg, edge_width=0.01, **position)
    else:
        spatial = PointSpatialModel(**position)
    spatial.freeze()
    spectrum = PowerLawSpectralModel(
        index=source.index, amplitude=1e-3 * CRAB / u.TeV / u.cm**2 / u.s, reference=1 * u.TeV
    )
    spectrum.index.frozen = True
    # The longitude of a map increases to the left: (energy, lat, lon) with lon reversed.
    given = Map.from_geom(geom, data=_of_map(background, parts))
    psf = PSFMap.from_gauss(true, sigma=float(instrument.psf_at(1.0, 0.0)) * u.deg)
    made = MapDataset(
        counts=Map.from_geom(geom, data=_of_map(TRUE * HOURS, parts)),
        exposure=exposure,
        background=given,
        psf=psf,
        name="field",
    )
    made.models = [
        SkyModel(spectrum, spatial, name="source"),
        FoVBackgroundModel(dataset_name="field"),
    ]
    return made


def template_of(source):
    return Template.of(source, AXES, *PLACE, Instrument.simulated())


def _of_map(values, parts):
    values = values.repeat(parts, axis=1).repeat(parts, axis=2) / parts**2
    return values.transpose(0, 2, 1)[:, :, ::-1].copy()


def fitted(made):
    """Flux in Crab, and its error."""
    from gammapy.modeling import Fit as GammapyFit

    result = GammapyFit().run([made])
    assert result.success
    amplitude = made.models["source"].spectral_model.amplitude
    return amplitude.value / CRAB, amplitude.error / CRAB


def ours(source, background):
    return Fit(AXES, TRUE, background).of(template_of(source))


@pytest.mark.parametrize("size", [0.0, 0.25, 0.5])
@pytest.mark.parametrize("name", DEFECTS)
def test_bias_of_planted_errors(name, size):
    """The issue's tolerance: 10 % of the bias or 0.1 standard errors."""
    source, background = TestSource(size), TRUE * DEFECTS[name]
    got, error = fitted(dataset(source, background * HOURS))
    flux = ours(source, background)
    assert abs(flux.bias - got) < max(0.1 * abs(got), 0.1 * error)
    assert flux.error / HOURS**0.5 == pytest.approx(error, rel=0.05)


def test_noisy_fits_scatter_around_the_bias():
    """Mean and width of 36 pulls, within 3.3 σ: the normal distribution is outside once in 1000."""
    source, background = TestSource(0.25), TRUE * (5 * DEFECTS["bump"] - 4)
    flux, rng, pulls = ours(source, background), np.random.default_rng(8), []
    made = dataset(source, background * HOURS)
    mean = made.counts.data.copy()
    for _ in range(36):
        made.counts.data = rng.poisson(mean)
        got, _ = fitted(made)
        pulls.append((got - flux.bias) / (flux.error / HOURS**0.5))
    assert abs(np.mean(pulls)) < 3.3 / 36**0.5
    assert abs(np.std(pulls, ddof=1) - 1) < 3.3 / 72**0.5
    assert abs(flux.pull * HOURS**0.5) > 2 * 3.3 / 36**0.5  # a control: the bias is seen
