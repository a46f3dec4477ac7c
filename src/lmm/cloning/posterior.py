"""
The posterior distribution of a linear mixed model given K copies of its data.

Each copy has random effects of its own, so that the likelihood of K copies is the K-th power of the likelihood of one.
With a flat prior for beta and an inverse gamma prior IG(a, b) for sigma^2, both are integrated out: given theta,

    log p(theta | y) = -K/2 log|Omega| - 1/2 log|C| - (a + (nK - p)/2) log(b + K rho^2 / 2) + log prior(theta)
    sigma^2 | theta, y ~ IG(a + (nK - p)/2, b + K rho^2 / 2)
    beta | sigma^2, theta, y ~ N(beta-hat(theta), sigma^2 C^-1 / K)

with Omega, C and rho^2 of `lmm.deviance`. Only theta has to be sampled. Its entries have independent Cauchy priors,
which is to say that the angles phi in theta = s tan(pi phi / 2) are uniform on a circle: -1 and 1 are the same point,
since infinite theta of either sign give the same covariance matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from lmm.arguments import positive_number
from lmm.deviance import Evaluation, ProfiledDeviance
from lmm.errors import ArgumentError
from lmm.linalg import FloatArray

# Relative standard deviations beyond this have no prior mass: rounding errors drown the residuals there.
LARGEST = 1e4


@dataclass(frozen=True)
class Priors:
    """
    Prior distributions for `lmm.data_cloning`; what they say vanishes as the clones grow in number.

    Attributes
    ----------
    relative_sd : float
        Scale of the Cauchy priors of the entries of theta, the relative covariance factors: the median standard
        deviation of a random effect, in units of the residual one, where the columns of the random effects are scaled
        to a mean square of 1 (within a correlated term, made orthogonal).
    shape, scale : float
        Of the inverse gamma prior of the residual variance, the scale in squared units of the response; both 0 is the
        flat prior of log sigma. Without effect where sigma is known.

    Raises
    ------
    ArgumentError
        When relative_sd is no positive number, or shape or scale is below 0.

    Examples
    --------
    >>> import lmm
    >>> lmm.Priors(relative_sd=2.0)
    Priors(relative_sd=2.0, shape=0.0, scale=0.0)
    """

    relative_sd: float = 1.0
    shape: float = 0.0
    scale: float = 0.0

    def __post_init__(self) -> None:
        if positive_number(self.relative_sd) is None:
            raise ArgumentError(f"relative_sd must be a positive number; got {self.relative_sd!r}")
        for name in ("shape", "scale"):
            value = getattr(self, name)
            if value != 0 and positive_number(value) is None:
                raise ArgumentError(f"{name} must be a number, 0 or above; got {value!r}")


@dataclass(frozen=True)
class ClonedPosterior:
    """
    Posterior given K copies of the data, in the standardised basis.

    Attributes
    ----------
    deviance : ProfiledDeviance
        Of one copy, not restricted.
    n_clones : int
    priors : Priors
        The scale of the inverse gamma in squared standardised units.
    """

    deviance: ProfiledDeviance
    n_clones: int
    priors: Priors

    def theta(self, phi: FloatArray) -> FloatArray:
        """Parameters at angles phi, shape (m,)."""
        return self.priors.relative_sd * np.tan(0.5 * np.pi * phi)

    def log_density(self, phi: FloatArray) -> float:
        """Log density of the angles, shape (m,), up to a constant."""
        theta = self.theta(phi)
        if np.abs(theta).max() > LARGEST:
            return -np.inf
        at = self.deviance.evaluate(theta)
        n, p, K = self.deviance.cross.n, self.deviance.cross.p, self.n_clones
        half_log_C = float(np.log(np.diagonal(at.border)[:p]).sum())
        if self.deviance.sigma is not None:
            return -0.5 * K * at.value - half_log_C
        log_omega = at.value - n * (1.0 + float(np.log(2.0 * np.pi * at.rho2 / n)))
        shape, scale = self._sigma_posterior(at)
        return -0.5 * K * log_omega - half_log_C - shape * float(np.log(scale))

    def draw_rest(self, phi: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, float]:
        """Draw beta, shape (p,), and sigma given the angles."""
        at = self.deviance.evaluate(self.theta(phi))
        p = self.deviance.cross.p
        sigma = self.deviance.sigma
        if sigma is None:
            shape, scale = self._sigma_posterior(at)
            sigma = float(np.sqrt(scale / rng.standard_gamma(shape)))
        if p == 0:
            return np.zeros(0), sigma
        noise: FloatArray = lapack.dtrtrs(at.border[:p, :p], rng.standard_normal(p), lower=1, trans=1)[0]
        return at.beta + sigma / np.sqrt(self.n_clones) * noise, sigma

    def _sigma_posterior(self, at: Evaluation) -> tuple[float, float]:
        """Shape and scale of the inverse gamma of sigma^2 given theta."""
        n, p, K = self.deviance.cross.n, self.deviance.cross.p, self.n_clones
        return self.priors.shape + 0.5 * (n * K - p), self.priors.scale + 0.5 * K * at.rho2
