"""Drawn events against exact integrals: the deviance in all projections of the bins."""

from scipy.stats import chi2

from simbg.validation.metrics.poisson import deviance

# Of one comparison of events and integrals, all projections together.
FALSE_ALARM = 1e-6
PROJECTIONS = (1, 2), (0, 2), (0, 1), (2,), (1,), (0,), ()


def worst_p_value(counts, expected):
    """Smallest two-sided p-value of the deviance in all projections, Bonferroni; 0 if counts
    lie where nothing is expected.

    Of bins that expect 100 counts or more, where the deviance is χ² to a part in 600.
    """
    if counts[expected == 0].any():
        return 0.0
    p_values = []
    for axis in PROJECTIONS:
        n, mu = counts.sum(axis=axis), expected.sum(axis=axis)
        n, mu = n[mu > 100], mu[mu > 100]
        law, value = chi2(mu.size), deviance(n, mu).sum()
        p_values.append(2 * min(law.sf(value), law.cdf(value)))
    return len(PROJECTIONS) * min(p_values)
