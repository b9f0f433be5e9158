import numpy as np
from numpy.testing import assert_allclose
from support.draws import AXES, RIGHT, expected_counts, raw, replicates

from simbg.validation.questions.bias import energy_bands, measure_bias
from simbg.validation.questions.replicates import Replicates


def test_planted_norm_comes_back_with_its_error():
    """3 % in 40 sets of replicates of each method, within 4 standard errors of their mean."""
    rng = np.random.default_rng(1)
    for method in RIGHT.values():
        found = [measure_bias(replicates(method, rng, scale=1.03))[0] for _ in range(40)]
        squares = np.array([bias.square for bias in found])
        assert abs(squares.mean() - 0.03**2) < 4 * squares.std(ddof=1) / np.sqrt(40)
        pulls = (squares - 0.03**2) / [bias.square_error for bias in found]
        # 40 pulls: 1 ± 0.11, and the skewness of squares.
        assert 0.6 < pulls.std() < 1.5


def test_parts():
    """A bias of one band is in that band, and of the rms that it has there."""
    expected = expected_counts()
    predicted = expected.copy()
    band = energy_bands(AXES)[-1]
    predicted[band] *= 1.2
    whole, *bands, image = measure_bias(Replicates(AXES, expected, np.array([predicted] * 4)))
    assert_allclose([bias.rms for bias in bands], [0, 0, 0.2], atol=1e-12)
    share = expected[band].sum() / expected.sum()
    assert_allclose(whole.rms, 0.2 * np.sqrt(share))
    # Sums of a pixel: their excess is that of the band.
    sums = expected.sum(axis=0)
    excess = 0.2 * expected[band].sum(axis=0)
    assert_allclose(image.rms, np.sqrt(np.sum(excess**2 / sums) / sums.sum()))


def test_gains_of_pixels_are_in_the_image():
    rng = np.random.default_rng(3)
    expected = expected_counts(events=3e5)
    gains = rng.choice([0.95, 1.05], AXES.shape[1:])
    counts, _ = raw(rng, 20, expected)
    *_, image = measure_bias(Replicates(AXES, expected, gains * counts))
    assert image.pvalue() < 1e-6
    assert abs(image.square - 0.05**2) < 4 * image.square_error
