import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import special, stats

from simbg.validation.questions.cross_products import CrossProducts

NUMBER = 20


def sparse(rng):
    """Raw counts of which most bins have none in all replicates."""
    expected = np.exp(np.linspace(np.log(1e-4), np.log(30), 300))
    counts = rng.poisson(expected, (NUMBER, expected.size))
    return (counts - expected) / np.sqrt(expected)


def dominated(rng):
    """Noise of 200 directions, and ten times as much in one, as of a norm that scatters."""
    return rng.normal(size=(NUMBER, 200)) * np.r_[10, np.ones(199)]


NOISE = {
    "many": lambda rng: rng.normal(size=(NUMBER, 300)),
    "one": lambda rng: rng.normal(size=(NUMBER, 1)),
    "four": lambda rng: rng.normal(size=(NUMBER, 4)),
    "dominated": dominated,
    "correlated": lambda rng: rng.normal(size=(NUMBER, 100)) * np.exp(-np.arange(100) / 15),
    "sparse": sparse,
}


@pytest.mark.parametrize("noise", NOISE)
def test_p_values_are_uniform_without_bias(noise):
    """Numbers of p-values below 0.1, 0.05 and 0.01, binomial at 1e-4; of sparse bins, not more."""
    rng = np.random.default_rng(11)
    p = np.array(
        [
            CrossProducts.of(NOISE[noise](rng)).pvalue()
            for _ in range(2000 if noise in ("many", "one") else 500)
        ]
    )
    for level in (0.1, 0.05, 0.01):
        side = "greater" if noise == "sparse" else "two-sided"
        assert stats.binomtest(int(np.sum(p < level)), p.size, level, side).pvalue > 1e-4


@pytest.mark.parametrize("noise", ["many", "one", "dominated"])
def test_a_bias_comes_back_with_its_error_and_limits(noise):
    """300 draws: the mean within 4 standard errors, the scatter as stated within 20 % (4 σ of
    1/√600, and what the error of few directions scatters), the limits as often as they say."""
    rng = np.random.default_rng(12)
    size = NOISE[noise](rng).shape[1]
    bias = np.full(size, 5 / np.sqrt(size))
    found = [CrossProducts.of(NOISE[noise](rng) + bias) for _ in range(300)]
    squares = np.array([one.square for one in found])
    assert abs(squares.mean() - 25) < 4 * squares.std() / np.sqrt(300)
    assert_allclose(np.mean([one.error for one in found]), squares.std(), rtol=0.2)
    for limit in ("upper", "lower"):
        limits = np.array([getattr(one, limit)(0.9) for one in found])
        right = np.sum(limits >= 25 if limit == "upper" else limits <= 25)
        assert stats.binomtest(int(right), 300, 0.9, "less").pvalue > 1e-4


def test_requirement_that_is_just_met():
    """A bias as large as allowed is called too large not more often than stated."""
    rng = np.random.default_rng(13)
    for direction in (np.full(300, 5 / np.sqrt(300)), np.r_[5, np.zeros(299)]):
        found = [CrossProducts.of(rng.normal(size=(20, 300)) + direction) for _ in range(600)]
        for level in (0.1, 0.01):
            wrong = sum(one.pvalue(25.0) < level for one in found)
            assert stats.binomtest(wrong, 600, level, "greater").pvalue > 1e-4


def test_without_noise_the_bias_is_exact():
    products = CrossProducts.of(np.tile([3.0, 4.0], (4, 1)))
    assert_allclose([products.square, products.upper(), products.lower()], 25)
    assert products.pvalue(24.9) == 0
    assert products.pvalue(25.1) == 1
    assert CrossProducts.of(np.zeros((4, 2))).pvalue() == 1


def test_rates_that_are_much_too_large():
    """Squares of 1e60 and their cubes do not overflow: the bias is found."""
    rng = np.random.default_rng(15)
    counts = rng.poisson(50.0, (4, 400))
    products = CrossProducts.of(1e36 * counts / np.sqrt(50.0), np.full(400, 50.0))
    assert products.pvalue() < 1e-4
    assert_allclose(np.sqrt(products.square), 1e36 * np.sqrt(400 * 50), rtol=0.01)


def test_replicates_to_decide():
    """With as many, a bias of twice the size is told from the allowed one in 95 of 100 cases."""
    rng = np.random.default_rng(14)
    allowed = 4.0
    few = CrossProducts.of(rng.normal(size=(30, 300)))
    number = few.replicates_to_decide(allowed, 0.01, 0.05)
    bias = np.full(300, 2 * np.sqrt(allowed / 300))
    hits = 0
    for _ in range(200):
        deviations = rng.normal(size=(number, 300)) + bias
        hits += CrossProducts.of(deviations).pvalue(allowed) < 0.01
    # 30 replicates know the noise to 7 %, which changes the power by 1 %.
    assert stats.binomtest(hits, 200, 0.93, "less").pvalue > 1e-3
    assert number < 100


@pytest.mark.parametrize("number", [4, 6, 10])
def test_few_replicates_of_many_bins(number):
    """Fewer signs than bins: p-values are uniform, and twice an optimal χ² test's size is found."""
    rng, weight = np.random.default_rng(17), np.full(400, 50.0)
    root = np.sqrt(weight)

    def pvalue(bias=0.0):
        counts = rng.poisson(weight * (1 + bias), (number, weight.size))
        return CrossProducts.of((counts - weight) / root, weight).pvalue()

    p = np.array([pvalue() for _ in range(1500)])
    for level in (0.1, 0.05, 0.01):
        assert stats.binomtest(int(np.sum(p < level)), p.size, level).pvalue > 1e-4
    if number > 4:
        border = special.chdtri(400, 1e-5)
        optimal = np.sqrt(special.chndtrinc(border, 400, 0.05) / (number * weight.sum()))
        signs = rng.choice([-1, 1], weight.size)
        assert sum(pvalue(2 * optimal * signs) < 1e-5 for _ in range(10)) >= 8
