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
from lmm.cloning.elimination import Eliminated, Eliminator
from lmm.deviance import ProfiledDeviance
from lmm.errors import ArgumentError
from lmm.linalg import FloatArray, IntArray

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
            if positive_number(value) is None and not (isinstance(value, (int, float)) and value == 0):
                raise ArgumentError(f"{name} must be a number, 0 or above; got {value!r}")


class ClonedPosterior:
    """
    Posterior given copies of the data, in the standardised basis.

    Parameters
    ----------
    deviance : ProfiledDeviance
        Of one copy, not restricted.
    n_clones : int or array_like (chains,)
        Number of copies K, for each of several chains.
    priors : Priors
        The scale of the inverse gamma in squared standardised units.
    """

    def __init__(self, deviance: ProfiledDeviance, n_clones: int | IntArray, priors: Priors) -> None:
        self.deviance = deviance
        self.n_clones = np.atleast_1d(n_clones)
        self.priors = priors
        self._eliminate = Eliminator(deviance)

    def theta(self, phi: FloatArray) -> FloatArray:
        """Parameters at angles phi, shape (..., m)."""
        return np.asarray(self.priors.relative_sd * np.tan(0.5 * np.pi * phi))

    def log_density(self, phi: FloatArray, chain: IntArray | int = 0) -> FloatArray:
        """Log density, shape (B,), of angles (B, m) of chains (B,), up to a constant for each chain."""
        theta = self.theta(phi)
        found = np.full(len(theta), -np.inf)
        inside = np.abs(theta).max(axis=1) <= LARGEST
        if inside.any():
            at = self._eliminate(theta[inside])
            K = np.broadcast_to(self.n_clones[chain], len(theta))[inside]
            found[inside] = -0.5 * K * at.log_omega - at.half_log_C
            if self.deviance.sigma is not None:
                found[inside] -= 0.5 * K * at.rho2 / self.deviance.sigma**2
            else:
                shape, scale = self._sigma_posterior(at, K)
                found[inside] -= shape * np.log(scale)
        return found

    def draw_rest(self, phi: FloatArray, rng: np.random.Generator, chain: int = 0) -> tuple[FloatArray, FloatArray]:
        """Draw beta, shape (n, p), and sigma (n,) given the angles (n, m) of a chain."""
        at, K = self._eliminate(self.theta(phi)), self.n_clones[chain]
        p = self.deviance.cross.p
        beta, sigma = np.empty((len(phi), p)), np.empty(len(phi))
        shape, scale = self._sigma_posterior(at, np.full(len(phi), K))
        for i, border in enumerate(at.border):
            known = self.deviance.sigma
            sigma[i] = np.sqrt(scale[i] / rng.standard_gamma(shape[i])) if known is None else known
            if p:
                mean_and_noise = np.column_stack([border[p, :p], rng.standard_normal(p)])
                solved = lapack.dtrtrs(border[:p, :p], mean_and_noise, lower=1, trans=1)[0]
                beta[i] = solved[:, 0] + sigma[i] / np.sqrt(K) * solved[:, 1]
        return beta, sigma

    def _sigma_posterior(self, at: Eliminated, K: IntArray) -> tuple[FloatArray, FloatArray]:
        """Shapes and scales, (B,) each, of the inverse gammas of sigma^2 given theta."""
        n, p = self.deviance.cross.n, self.deviance.cross.p
        return np.asarray(self.priors.shape + 0.5 * (n * K - p)), self.priors.scale + 0.5 * K * at.rho2
