"""The fit of an analysis: a free source and a free background norm, on expected counts."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from simbg.axes import Axes
from simbg.validation.impact.sources import Template

__all__ = ["Fit", "FluxError"]

# Largest number of steps, the fraction of a standard error at which the fit has converged, and the
# largest change of the background's exponents in one step.
N_STEPS, TOLERANCE, LONGEST = 60, 1e-6, 1.0


@dataclass(frozen=True, eq=False)
class FluxError:
    """The fitted flux of a source that is not there.

    Parameters
    ----------
    bias : float
        Fitted flux, Crab.
    error : float
        Its statistical error for one hour of livetime, Crab.
    norm, tilt : float
        Fitted background norm, and the fitted change of its index.
    noise : float
        Standard deviation of the flux by the Poisson noise of the counts of one hour, Crab, if
        these are observed in pixels. It is the error if the pixels are finer than the source.
    response : ndarray, shape (n_energy, n_lon, n_lat)
        Derivative of the flux (Crab) with respect to the logarithm of the model's rate in each bin.
    """

    bias: float
    error: float
    norm: float
    tilt: float
    noise: float
    response: np.ndarray = field(repr=False)

    @property
    def pull(self) -> float:
        """Bias ÷ statistical error, for one hour; it increases with the square root of time."""
        return self.bias / self.error

    @property
    def hours(self) -> float:
        """Livetime after which the bias is as large as the statistical error, h."""
        return (self.error / self.bias) ** 2 if self.bias else np.inf


@dataclass(frozen=True, eq=False)
class Fit:
    """Fits of sources to the expected counts of an empty field, with a model of the background.

    Parameters
    ----------
    axes : Axes
        The bins.
    true, model : ndarray, shape of the axes
        True background counts, and those of the model, for one hour of livetime.
    tilted : bool
        Whether the index of the background is free as well as its norm.
    exposure : ndarray, shape of the axes, optional
        Exposure of each bin in relation to one hour, for fields with masks and thresholds. Where it
        is 0, the source has no counts either.

    Notes
    -----
    The counts n of the bins are the expected ones, so that the fit has no statistical scatter
    (Cowan et al. 2011, doi:10.1140/epjc/s10052-011-1554-0). With the model μ = A S + B e^(α + β
    ln E), where S is the template of the source and B the model of the background, the Poisson
    likelihood Σ (n ln μ − μ) is maximised by Newton's method. The fitted A is the bias of the flux,
    in Crab. Its error is the square root of the element of the inverse of the matrix
    Σ n ∂μ ∂μ' / μ². Pixels are divided into parts for the template; the background is constant in a
    pixel. Bins with counts but B = 0 count where the template is above 0, as in gammapy; elsewhere
    they have no derivative.
    """

    axes: Axes
    true: np.ndarray
    model: np.ndarray
    tilted: bool = False
    exposure: np.ndarray | None = None

    def of(self, template: Template) -> FluxError:
        """Fit a source.

        Parameters
        ----------
        template : Template
            Its expected counts.

        Returns
        -------
        flux : FluxError
            Not finite if there are no counts or no exposure at the place of the source.
        """
        return _Local(self, template).solve()

    def of_observed(self, template: Template) -> FluxError:
        """Fit a source to observed counts, which may be few, in bins where the model is not empty.

        Parameters
        ----------
        template : Template
            Its expected counts.

        Returns
        -------
        flux : FluxError
            Its errors are those of the model with the fitted norm.

        Notes
        -----
        The first step of Newton's method from the fit without a source: Σ (∂A/∂n) (n − μ). Where
        bins have few counts, it is not biased, and its error is right; the likelihood then has its
        maximum at very negative fluxes, if at all.
        """
        factor, norm, tilt = self._without_source()
        model = self.model * factor[:, None, None]
        flux = Fit(self.axes, model, model, self.tilted, self.exposure).of(template)
        # Where n = μ, ∂A/∂ ln μ = −μ ∂A/∂n.
        change = np.divide(self.true - model, model, out=np.zeros_like(model), where=model > 0)
        return replace(flux, bias=-float(np.sum(flux.response * change)), norm=norm, tilt=tilt)

    @property
    def tilts(self) -> bool:
        """Whether the index of the background is fitted: it needs counts in several energy bins."""
        return self.tilted and all(np.count_nonzero(spectrum) > 1 for spectrum in self.spectra)

    def _without_source(self):
        """Factor of the background in each energy bin, its norm and its tilt, without a source."""
        counts, expected = self.spectra
        x, norm, tilt = self.log_energy, float(np.log(counts.sum() / expected.sum())), 0.0
        for _ in range(N_STEPS if self.tilts else 0):
            model = expected * np.exp(norm + tilt * x)
            rest = counts - model
            matrix = np.array([[model.sum(), model @ x], [model @ x, model @ x**2]])
            step = np.linalg.solve(matrix, [rest.sum(), rest @ x])
            step *= min(1.0, LONGEST / max(np.abs(step).max(), 1e-300))
            norm, tilt = norm + float(step[0]), tilt + float(step[1])
        return np.exp(norm + tilt * x), float(np.exp(norm)), tilt

    @cached_property
    def log_energy(self) -> np.ndarray:
        """ln of the energies at the centres of the bins, relative to their mean."""
        x = np.log(self.axes.energy_center)
        return x - np.average(x, weights=self.true.sum(axis=(1, 2)))

    @cached_property
    def usable(self) -> np.ndarray:
        """True counts in bins where the model has a background."""
        return np.where(self.model > 0, self.true, 0.0)

    @cached_property
    def spectra(self) -> tuple[np.ndarray, np.ndarray]:
        """Usable true counts and counts of the model in each energy bin."""
        return self.usable.sum(axis=(1, 2)), self.model.sum(axis=(1, 2))


class _Local:
    """The likelihood of one source: bins of its template, and sums over all others."""

    def __init__(self, fit, template):
        self.fit, self.template = fit, template
        box = (slice(None), *template.box)
        parts = template.parts
        self.source = template.counts
        if fit.exposure is not None:
            self.source = self.source * _divided(fit.exposure[box], parts)
        self.n = _divided(fit.true[box], parts) / parts**2
        self.background = _divided(fit.model[box], parts) / parts**2
        self.elsewhere = [
            total - inside[box].sum(axis=(1, 2))
            for total, inside in zip(fit.spectra, (fit.usable, fit.model), strict=True)
        ]
        self.x = fit.log_energy
        self.used = (self.background > 0) | (self.source > 0)
        self.n = np.where(self.used, self.n, 0.0)

    def solve(self):
        """Maximise the likelihood."""
        counts, expected = (spectrum.sum() for spectrum in self.fit.spectra)
        if not (counts > 0 and expected > 0 and np.any((self.n > 0) & (self.source > 0))):
            nothing = np.full(self.fit.axes.shape, np.nan)
            return FluxError(*5 * (np.nan,), nothing)
        # Where the model is empty, the source alone explains the counts; the flux is above 0.
        empty = self.background == 0
        first = self.n[empty].sum() / max(self.source[empty].sum(), 1e-300)
        theta = np.array([first, np.log(counts / expected), 0.0])
        free = [0, 1, 2] if self.fit.tilts else [0, 1]
        value, gradient, information = self.at(theta)
        for _ in range(N_STEPS):
            inverse = np.linalg.inv(information[np.ix_(free, free)])
            step = np.zeros(3)
            step[free] = inverse @ gradient[free]
            size = float(np.sqrt(gradient[free] @ step[free]))
            if size < TOLERANCE:
                break
            step *= min(1.0, LONGEST / max(np.abs(step[1:]).max(), 1e-300))
            theta, (value, gradient, information) = self._along(theta, step, value)
        inverse = np.zeros((3, 3))
        inverse[np.ix_(free, free)] = np.linalg.inv(information[np.ix_(free, free)])
        response = self._response(theta, inverse[0])
        amplitude, norm, tilt = theta.tolist()
        error = float(np.sqrt(inverse[0, 0]))
        noise = self._noise(theta, inverse[0])
        return FluxError(amplitude, error, float(np.exp(norm)), tilt, noise, response)

    def _along(self, theta, step, value):
        """The longest of a step, its half, ... at which the likelihood does not decrease."""
        for _ in range(N_STEPS):
            found = self.at(theta + step)
            if found[0] >= value - 1e-12 * abs(value):
                return theta + step, found
            step = step / 2
        return theta, self.at(theta)

    def at(self, theta):
        """Likelihood, gradient and information matrix."""
        amplitude, norm, tilt = theta
        factor = np.exp(norm + tilt * self.x)
        background = self.background * factor[:, None, None]
        mu = background + amplitude * self.source
        with np.errstate(divide="ignore", invalid="ignore"):
            if np.any(mu[self.n > 0] <= 0):
                return -np.inf, None, None
            ratio = np.where(self.n > 0, self.n / mu, 0.0)
            likelihood = np.sum(np.where(self.n > 0, self.n * np.log(mu), 0.0) - mu)
        n, model = self.elsewhere[0], self.elsewhere[1] * factor
        likelihood += np.sum(n * (norm + tilt * self.x) - model)
        difference = np.where(self.used, ratio - 1, 0.0)
        by_energy = (background * difference).sum(axis=(1, 2)) + n - model
        gradient = np.array([np.sum(self.source * difference), by_energy.sum(), by_energy @ self.x])
        weight = np.where(self.n > 0, ratio / np.where(mu > 0, mu, 1.0), 0.0)
        # Away from the source the information n ∂μ ∂μ'/μ² is n itself.
        same = (background**2 * weight).sum(axis=(1, 2)) + n
        cross = (self.source * background * weight).sum(axis=(1, 2))
        own = np.sum(self.source**2 * weight)
        x = self.x
        information = np.array(
            [
                [own, cross.sum(), cross @ x],
                [cross.sum(), same.sum(), same @ x],
                [cross @ x, same @ x, same @ x**2],
            ]
        )
        return likelihood, gradient, information

    def _response(self, theta, row):
        """Change of the flux with ln of the model's rate in each bin, by the implicit function.

        With g the gradient, ∂A/∂ln B = F⁻¹ ∂g/∂ln B: −n S M/μ² for the source; and for the
        background M (n A S/μ² − 1), which is −M without a source.
        """
        amplitude, norm, tilt = theta
        factor = np.exp(norm + tilt * self.x)[:, None, None]
        x = self.x[:, None, None]
        by_norm = row[1] + row[2] * x
        change = -self.fit.model * factor * by_norm
        background = self.background * factor
        mu = background + amplitude * self.source
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = np.where((self.n > 0) & (mu > 0), self.n / mu**2, 0.0)
        local = background * (
            by_norm * (weight * amplitude * self.source - 1) - row[0] * weight * self.source
        )
        change[:, *self.template.box] = self._in_pixels(local)
        return change

    def _noise(self, theta, row):
        """√(Σ n (∂A/∂n)²) over pixels, with ∂A/∂n = F⁻¹ ∂ ln μ, the mean over parts of a pixel."""
        amplitude, norm, tilt = theta
        by_norm = row[1] + row[2] * self.x
        background = self.background * np.exp(norm + tilt * self.x)[:, None, None]
        mu = background + amplitude * self.source
        change = row[0] * self.source + by_norm[:, None, None] * background
        change = np.divide(change, mu, out=np.zeros_like(mu), where=self.n > 0)
        mean = self._in_pixels(change) / self.template.parts**2
        square = np.sum(self._in_pixels(self.n) * mean**2) + self.elsewhere[0] @ by_norm**2
        return float(np.sqrt(square))

    def _in_pixels(self, values):
        """Sums over the parts of each pixel."""
        parts = self.template.parts
        n_energy, n_lon, n_lat = values.shape
        shape = n_energy, n_lon // parts, parts, n_lat // parts, parts
        return values.reshape(shape).sum(axis=(2, 4))


def _divided(values, parts):
    """Values of pixels, repeated for their parts."""
    return values.repeat(parts, axis=1).repeat(parts, axis=2)
