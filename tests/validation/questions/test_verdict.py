from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from support.draws import AXES, RIGHT, expected_counts, raw, replicates

from simbg.validation.questions.families import make_families
from simbg.validation.questions.replicates import Replicates
from simbg.validation.questions.verdict import Decision, judge_bias


@pytest.fixture(scope="module")
def families():
    return make_families(replicates(raw, np.random.default_rng(0)))


@pytest.mark.parametrize("method", RIGHT)
def test_right_methods_are_not_called_biased(method, families):
    """Without any allowance, p-values below 0.1, 0.05 and 0.01: not too many (binomial, 1e-4)."""
    rng = np.random.default_rng(51)
    draws = (replicates(RIGHT[method], rng) for _ in range(300 if method == "raw counts" else 100))
    p = [judge_bias(draw, 0.0, families=families).pvalue for draw in draws]
    for level in (0.1, 0.05, 0.01):
        wrong = int(np.sum(np.array(p) < level))
        assert stats.binomtest(wrong, len(p), level, "greater").pvalue > 1e-4


@pytest.mark.parametrize("method", RIGHT)
def test_words(method):
    """1e6 events decide about 1 %: right methods, and the same with a bias of 2 %."""
    rng = np.random.default_rng(52)
    right = judge_bias(replicates(RIGHT[method], rng, events=1e6))
    assert right.decision is Decision.UNBIASED
    assert right.biases[0].upper() < 0.02
    wrong = judge_bias(replicates(RIGHT[method], rng, events=1e6, scale=1.02))
    assert wrong.decision is Decision.BIASED
    assert wrong.findings[0].name == "norm"
    assert abs(wrong.findings[0].relative - 0.02) < 4 * wrong.findings[0].error
    assert "norm" in str(wrong)


def test_undecided_says_how_many_replicates_decide():
    rng = np.random.default_rng(53)
    few = judge_bias(replicates(raw, rng, 6, events=6e3))
    assert few.decision is Decision.UNDECIDED
    assert few.biases[0].upper() > 0.02
    assert str(few.more) in str(few)
    enough = [judge_bias(replicates(raw, rng, 6 + few.more, events=6e3)) for _ in range(5)]
    assert sum(verdict.decision is Decision.UNBIASED for verdict in enough) >= 4


def test_twice_the_requirement_is_rarely_called_unbiased():
    rng = np.random.default_rng(54)
    passed = 0
    for _ in range(60):
        verdict = judge_bias(replicates(raw, rng, 10, events=2e4, scale=1.02))
        passed += verdict.decision is Decision.UNBIASED
    assert stats.binomtest(passed, 60, 0.05, "greater").pvalue > 1e-3


@pytest.mark.parametrize("defect", ["gains of pixels", "all bins", "nothing above 6 TeV"])
def test_defects_without_a_direction(defect):
    rng = np.random.default_rng(55)
    expected = expected_counts(events=1e5)
    gains = {
        "gains of pixels": rng.choice([0.95, 1.05], AXES.shape[1:]),
        "all bins": rng.choice([0.9, 1.1], AXES.shape),
        "nothing above 6 TeV": (np.arange(3) < 2)[:, None, None],
    }[defect]
    counts, _ = raw(rng, 20, expected)
    verdict = judge_bias(Replicates(AXES, expected, gains * counts), 0.01)
    assert verdict.decision is Decision.BIASED
    assert verdict.worst


def test_one_bin_that_does_not_matter():
    """3 % of a bin with 0.01 % of the counts are 0.03 % of all; 0 may be promised, too."""
    expected = expected_counts()
    bin = np.unravel_index(expected.argmin(), expected.shape)
    assert expected[bin] < 1e-4 * expected.sum()
    predicted = expected.copy()
    predicted[bin] *= 1.03
    exact = Replicates(AXES, expected, np.array([predicted] * 4))
    assert judge_bias(exact, 0.01).decision is Decision.UNBIASED
    assert judge_bias(exact, 0.0).findings[0].family == "bins"


def test_a_linear_method_is_judged_without_noise():
    expected = expected_counts()
    for scale, decision in ((1.0, Decision.UNBIASED), (1 + 1e-7, Decision.BIASED)):
        exact = Replicates(AXES, expected, np.array([scale * expected] * 4))
        assert judge_bias(exact, 0.0).decision is decision
    ours = replicates(raw, np.random.default_rng(56))
    assert judge_bias(replace(ours, predicted=np.array([expected] * 20))).pvalue == 1
