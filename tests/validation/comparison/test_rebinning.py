"""Cubes over other bins: merged exactly where edges coincide, shared out and said so elsewhere."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from support import cubes

from simbg.axes import Axes, edition2015_axes
from simbg.covariance import RateCovariance
from simbg.cube import BackgroundCube
from simbg.truth.gaussian import GaussianTruth
from simbg.validation.comparison.compare import compare
from simbg.validation.comparison.rebinning import common_binning

TRUTH = GaussianTruth(event_rate=9.0, sigma=(1.6, 2.8), peak=(0.6, -0.3))
# Edges of A and B coincide in every second energy and every second and third pixel.
ENERGY = np.geomspace(0.1, 50, 13)
A = Axes(ENERGY, np.linspace(-3, 3, 25), np.linspace(-3, 3, 17))
B = Axes(ENERGY[::2], np.linspace(-3, 3, 13), np.linspace(-3, 3, 25))
BOTH = Axes(ENERGY[::2], np.linspace(-3, 3, 13), np.linspace(-3, 3, 9))
# Nothing coincides but the ends.
OTHER = Axes(np.geomspace(0.1, 50, 12), np.linspace(-3, 3, 24), np.linspace(-3, 3, 16))
LIVETIME = 60_000.0
# That of a comparison without counts, as its verdict says.
MARGIN = 0.005


def measured(axes, rng, truth=TRUTH, livetime=LIVETIME):
    """Poisson counts of a truth; livetime is a number or that of each bin."""
    return cubes.measured(rng, truth, axes, livetime)


def summed(values, *factors):
    """Sums of blocks, by reshaping: another way than the one tested."""
    shape = [n for size, f in zip(values.shape, factors, strict=True) for n in (size // f, f)]
    return values.reshape(shape).sum(axis=(1, 3, 5))


# Exact ------------------------------------------------------------------------------------


def test_merged_rates_are_those_of_the_truth_over_the_common_bins():
    """The integral of the truth over a bin does not depend on the bins that it is summed from."""
    common = common_binning(TRUTH.cube(A), TRUTH.cube(B))
    assert common.interpolated is None
    assert common.a.axes.same_as(BOTH)
    assert common.b.axes.same_as(BOTH)
    expected = TRUTH.cube(BOTH).rate
    # A few thousand roundings of sums of positive numbers at most.
    assert_allclose(common.a.rate, expected, rtol=1e-11)
    assert_allclose(common.b.rate, expected, rtol=1e-11)
    assert "on 6 × 12 × 8 common bins (A has 12 × 24 × 16, B has 6 × 12 × 24)" in common.text
    assert "exact" in common.text
    assert " TeV" not in common.text  # nothing is left out


def test_merged_counts_are_sums_and_the_comparison_that_of_the_common_bins():
    """Everything measured is as if both had been counted over the common bins."""
    rng = np.random.default_rng(3)
    a, b = measured(A, rng), measured(B, rng, livetime=LIVETIME / 3)
    common = common_binning(a, b)
    counts = summed(a.counts, 2, 2, 2), summed(b.counts, 1, 1, 3)
    assert_array_equal(common.a.counts, counts[0])
    assert_array_equal(common.b.counts, counts[1])
    direct = [
        cubes.stacked(BOTH, n, t) for n, t in zip(counts, (LIVETIME, LIVETIME / 3), strict=True)
    ]
    found, expected = compare(a, b), compare(*direct)
    assert found.measures.keys() == expected.measures.keys()
    for name, measure in expected.measures.items():
        got = found.measures[name]
        assert_allclose((got.value, got.error), (measure.value, measure.error), rtol=1e-6)
        assert_allclose(got.limit, measure.limit, rtol=1e-6)
    assert found.binning
    assert found.agree == expected.agree is True


def test_false_alarms_over_merged_bins():
    """60 null pairs at 1e-3: more than 2 have odds of 4e-5."""
    rng = np.random.default_rng(5)
    truth = TRUTH.cube(B)
    alarms = [not compare(truth, measured(A, rng)).agree for _ in range(30)]
    alarms += [not compare(measured(A, rng), measured(B, rng)).agree for _ in range(30)]
    assert sum(alarms) <= 2


def test_single_precision_of_edges_does_not_matter():
    single = Axes(*(e.astype(np.float32) for e in (B.energy, B.fov_lon, B.fov_lat)))
    common = common_binning(TRUTH.cube(A), TRUTH.cube(single))
    assert common.interpolated is None
    assert common.a.axes.shape == BOTH.shape


def test_ranges_that_overlap_in_part():
    """Only what lies in both counts, and it is said."""
    part = Axes(ENERGY[2:], B.fov_lon[3:], B.fov_lat[:-4])
    found = compare(TRUTH.cube(A), TRUTH.cube(part))
    assert found.agree
    assert "exact" in found.binning
    assert "0.2817 to 50 TeV, fov_lon -1.5 to 3 deg, fov_lat -3 to 1.5 deg" in found.binning


def test_bins_over_which_the_exposure_changes_are_left_out():
    """The threshold of half of the runs lies inside of the third merged bin of A's energies."""
    time = np.where(np.arange(12) < 5, 0.5, 1.0)[:, None, None] * LIVETIME
    a = measured(A, np.random.default_rng(1), livetime=time)
    common = common_binning(a, TRUTH.cube(B))
    assert common.interpolated is None
    left_out = np.isnan(common.a.rate)
    assert left_out[2].all()
    assert not left_out[[0, 1, 3, 4, 5]].any()
    assert f"without {12 * 8} in which the exposure changes" in common.text
    assert_allclose(common.a.livetime[1], LIVETIME / 2, rtol=1e-12)
    assert compare(TRUTH.cube(B), a).agree


def test_exposure_that_changes_everywhere_leaves_an_approximation():
    """As masks make it: there would be nothing left to test."""
    rng = np.random.default_rng(2)
    time = LIVETIME * rng.uniform(0.9, 1.0, A.shape)
    a = measured(A, rng, livetime=time)
    found = compare(TRUTH.cube(B), a)
    assert "approximation" in found.binning
    assert found.interpolated
    assert found.agree


def test_bins_of_which_a_part_is_unknown_are_unknown():
    rate = TRUTH.cube(A).rate.copy()
    rate[3, 5, 7] = np.nan
    for axes in (B, OTHER):
        common = common_binning(BackgroundCube(A, rate), TRUTH.cube(axes))
        unknown = np.isnan(common.a.rate)
        assert unknown.any()
        # Those that hold a part of the bin, and no other.
        holds = [
            (edges[:-1] < own[i + 1]) & (edges[1:] > own[i])
            for edges, own, i in (
                (common.a.axes.energy, A.energy, 3),
                (common.a.axes.fov_lon, A.fov_lon, 5),
                (common.a.axes.fov_lat, A.fov_lat, 7),
            )
        ]
        assert_array_equal(unknown, np.einsum("i,j,k->ijk", *holds))


# Approximate ------------------------------------------------------------------------------


def test_interpolated_rates():
    """All events are there; rates are the truth's to 2 % in corners, and to 0.2 % in all."""
    fine = TRUTH.cube(A)
    common = common_binning(fine, TRUTH.cube(OTHER))
    assert common.interpolated == (False, False)
    assert "approximation" in common.text
    assert common.a.axes.same_as(Axes(OTHER.energy, OTHER.fov_lon, OTHER.fov_lat))
    assert_allclose(common.a.total, fine.total, rtol=1e-12)
    assert_array_equal(common.b.rate, TRUTH.cube(OTHER).rate)
    assert_allclose(common.a.rate, common.b.rate, rtol=0.02)
    shares = common.a.spectrum / common.b.spectrum
    # In energy a power law is assumed, which is near the truth.
    assert_allclose(shares, 1, atol=2e-3)


@pytest.mark.parametrize("n_obs", [(100, 90), (90, 30), (20, 30)])
def test_approximation_is_within_the_margin_in_the_binnings_of_2015(n_obs):
    """Numbers of runs that no binning of 2015's has in common."""
    a, b = (TRUTH.cube(edition2015_axes(n)) for n in n_obs)
    found = compare(a, b)
    assert found.agree
    assert found.interpolated
    assert "0.5%" in found.verdict
    for name in ("norm", "index", "center_index", "width"):
        measure = found.measures[name]
        assert abs(measure.value / measure.ideal - 1) < MARGIN / 10
    # Seen bin by bin, too.
    assert found.measures["difference"].value < MARGIN / 10
    board = 1 + 0.02 * (-1.0) ** (np.indices(b.axes.shape) // 6).sum(axis=0)
    assert compare(a, replace(b, rate=b.rate * board)).differs_in == ["difference"]


CHANGES = {
    "norm": replace(TRUTH, event_rate=9.5),
    "index": replace(TRUTH, index=2.8),
    "width": replace(TRUTH, sigma=(1.75, 3.1)),
    "fov_lon_mean": replace(TRUTH, peak=(0.75, -0.3)),
    "fov_lat_mean": replace(TRUTH, peak=(0.6, -0.15)),
}


@pytest.mark.parametrize("scatter", [False, True])
@pytest.mark.parametrize("axes", [B, OTHER], ids=["exact", "approximate"])
def test_differences_are_found_over_other_bins(axes, scatter):
    rng = np.random.default_rng(7)
    reference = TRUTH.cube(A)

    def other(truth):
        return measured(axes, rng, truth) if scatter else truth.cube(axes)

    assert compare(reference, other(TRUTH)).agree
    for name, truth in CHANGES.items():
        found = compare(reference, other(truth))
        assert name in found.differs_in
        assert found.fault is None


def test_noise_does_not_pass_for_a_difference_when_integrals_are_interpolated():
    """30 null pairs of two measurements at 1e-3, and a margin: more than 1 has odds of 4e-4."""
    rng = np.random.default_rng(11)
    found = [compare(measured(A, rng), measured(OTHER, rng)) for _ in range(30)]
    assert all(one.statistical and one.interpolated for one in found)
    assert sum(not one.agree for one in found) <= 1
    # Nor are errors far too large: with k σ and the margin as limits, some reach a third of them.
    size = [abs(f.measures["norm"].value - 1) / f.measures["norm"].limit for f in found]
    assert max(size) > 1 / 3
    assert "0.5%" in found[0].verdict


# Faults of convention, and what cannot be compared ----------------------------------------


@pytest.mark.parametrize("axes", [B, OTHER], ids=["exact", "approximate"])
@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda rate: rate[:, ::-1], "fov_lon is flipped"),
        (lambda rate: rate[:, :, ::-1], "fov_lat is flipped"),
        (lambda rate: 1e6 * rate, "the rates are per TeV instead of per MeV"),
    ],
)
def test_faults_are_named_over_other_bins(axes, change, name):
    cube = TRUTH.cube(axes)
    found = compare(TRUTH.cube(A), replace(cube, rate=change(cube.rate)))
    assert found.fault.startswith(name)
    assert found.binning
    assert not found.agree


def test_a_swap_of_axes_is_named_before_bins_are_changed():
    cube = TRUTH.cube(A)
    swapped = Axes(A.energy, A.fov_lat, A.fov_lon)
    found = compare(cube, BackgroundCube(swapped, cube.rate.transpose(0, 2, 1)))
    assert found.fault.startswith("fov_lon and fov_lat are swapped")
    assert found.binning == ""


REFUSED = {
    "alignment": (replace(B, align="RADEC"), "(ALTAZ and RADEC|RADEC and ALTAZ)"),
    "no energy in common": (replace(B, energy=1000 * B.energy), "common range"),
    "touching": (replace(B, fov_lon=B.fov_lon + 6), "common range"),
    "no whole bin": (Axes([1.0, 2000.0], B.fov_lon, B.fov_lat), "common range"),
    "units": (replace(A, energy=1e3 * A.energy), "energies of (A|B) seem to be in GeV"),
}


def test_no_fault_is_sought_in_the_alignment_of_two_measurements():
    """Both scatter, over interpolated bins: neither can be rotated."""
    rng = np.random.default_rng(13)
    found = compare(measured(A, rng), measured(OTHER, rng, CHANGES["fov_lon_mean"]))
    assert found.interpolated
    assert "fov_lon_mean" in found.differs_in
    assert found.fault is None


@pytest.mark.parametrize("case", REFUSED)
def test_nothing_in_common_is_an_error(case):
    axes, message = REFUSED[case]
    cube = BackgroundCube(axes, np.ones(axes.shape))
    for pair in ((TRUTH.cube(A), cube), (cube, TRUTH.cube(A))):
        with pytest.raises(ValueError, match=f"expected the same.*{message}"):
            compare(*pair)


def test_negative_rates_are_named_or_refused():
    for axes in (B, OTHER):
        cube = TRUTH.cube(axes)
        cube.rate[1, 2, 3] = -1.0
        if axes is B:
            assert "negative rates in 1 bins" in compare(TRUTH.cube(A), cube).verdict
        else:
            with pytest.raises(ValueError, match="1 negative rates in B"):
                compare(TRUTH.cube(A), cube)


def test_correlated_errors_are_kept_only_over_the_same_bins():
    """They are those of the bins of the file; a comparison over other bins does without."""
    axes = Axes.regular(energy=(0.1, 50, 6), fov=(3, 6))
    norm = RateCovariance(np.ones((6, 1)), np.ones((6, 6, 1)), np.full((1, 1, 1), 0.1))
    cube = replace(GaussianTruth().cube(axes), covariance=(norm,))
    assert compare(cube, cube).reference.covariance == (norm,)
    coarse = GaussianTruth().cube(Axes.regular(energy=(0.1, 50, 3), fov=(3, 3)))
    merged = common_binning(cube, coarse)
    assert merged.a.axes.same_as(coarse.axes)
    assert not merged.a.covariance
