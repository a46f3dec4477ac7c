"""
The unit-level (nested-error) model of Battese, Harter and Fuller. Arrays in, arrays out.

    y_ij = x_ij'beta + u_i + e_ij,    u_i ~ N(0, sigma_u^2),    e_ij ~ N(0, sigma^2).

Of an area with N_i units, n_i of them observed, the mean is the observed part and a prediction of the rest,

    EBLUP_i = f_i ybar_i + (Xbar_i - f_i xbar_i)'beta + (1 - f_i) u_i,    f_i = n_i / N_i,

with f_i = 0 for an area without observations, or of a population without end.

References
----------
Battese, G. E., Harter, R. M. and Fuller, W. A. (1988). An error-components model for prediction of county crop areas
using survey and satellite data. Journal of the American Statistical Association 83, 28-36.

González-Manteiga, W., Lombardía, M. J., Molina, I., Morales, D. and Santamaría, L. (2008). Bootstrap mean squared error
of a small-area EBLUP. Journal of Statistical Computation and Simulation 78, 443-462.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lmm.batch.refits import Refitter
from lmm.linalg import FloatArray, IntArray, sum_by

if TYPE_CHECKING:
    from lmm.model import FittedModel

# Samples that are drawn at a time hold up to this many residuals.
DRAWN = 1_000_000


@dataclass(frozen=True)
class Areas:
    """
    The areas whose means are predicted, and what is known of them.

    Attributes
    ----------
    level : ndarray (m,)
        Number of each area among the levels of the fit; -1 where it was not sampled.
    X_bar : ndarray (m, p)
        Population means of the columns of X.
    n : ndarray (m,)
        Units observed.
    size : ndarray (m,)
        Units in the population; infinite where it is not given.
    x_bar : ndarray (m, p)
        Sample means of the columns of X; zero where none is observed.
    """

    level: IntArray
    X_bar: FloatArray
    n: FloatArray
    size: FloatArray
    x_bar: FloatArray

    @property
    def fraction(self) -> FloatArray:
        """Sampling fractions f, shape (m,)."""
        return self.n / self.size

    def of_levels(self, values: FloatArray) -> FloatArray:
        """Values of the levels of the fit, shape (J,), by area; zero where an area was not sampled."""
        return np.append(values, 0.0)[self.level]


def sample_means(values: FloatArray, codes: IntArray, n_levels: int) -> FloatArray:
    """Means by level, shape (n_levels,)."""
    return sum_by(codes, values, n_levels) / np.bincount(codes, minlength=n_levels)


def predicted_means(areas: Areas, beta: FloatArray, ratio: FloatArray, y_bar: FloatArray) -> FloatArray:
    """
    EBLUPs of the means of the areas, for several sets of estimates.

    Parameters
    ----------
    areas : Areas
    beta : ndarray (r, p)
    ratio : ndarray (r,)
        sigma_u^2 / sigma^2.
    y_bar : ndarray (r, m)
        Sample means of the response.

    Returns
    -------
    ndarray (r, m)
    """
    f = areas.fraction
    effects = weights(areas.n, ratio) * (y_bar - beta @ areas.x_bar.T)
    means: FloatArray = f * y_bar + beta @ (areas.X_bar - f[:, None] * areas.x_bar).T + (1.0 - f) * effects
    return means


def weights(n: FloatArray, ratio: FloatArray) -> FloatArray:
    """Weights of the areas' own data, sigma_u^2 / (sigma_u^2 + sigma^2 / n), shape (r, m)."""
    shares = n * ratio[:, None]
    gamma: FloatArray = shares / (1.0 + shares)
    return gamma


def bootstrap_errors(fit: FittedModel, areas: Areas, n: int, rng: np.random.Generator) -> FloatArray:
    """Errors of the EBLUPs in n samples drawn from the fitted model, one a row; NaN where a sample was not fitted."""
    refitter = Refitter(fit)
    size = max(1, DRAWN // fit.nobs)
    counts = [min(size, n - start) for start in range(0, n, size)]
    return np.concatenate([_errors(refitter, areas, count, rng) for count in counts])


def _errors(refitter: Refitter, areas: Areas, n: int, rng: np.random.Generator) -> FloatArray:
    """
    Errors of the EBLUPs in some samples, shape (n, m).

    In each, area effects, residuals of the sample and the mean residual of the units not observed are drawn anew; the
    model is fitted to the sample, and its EBLUPs are compared with the means of the areas drawn.
    """
    fit = refitter.model
    factor, design, sigma = fit.factors[0], fit.design, fit.sigma
    sigma_u, beta = sigma * float(fit.estimates.T[0][0, 0]), fit.estimates.beta
    m, J = len(areas.n), factor.n_levels
    u = sigma_u * rng.standard_normal((n, J))
    e = sigma * rng.standard_normal((n, len(design.y)))
    u_areas = np.where(areas.level >= 0, u[:, areas.level], sigma_u * rng.standard_normal((n, m)))
    # The mean residual of N - n units that were not observed; without any it has no part in the mean of the area.
    e_rest = sigma * rng.standard_normal((n, m)) / np.sqrt(np.maximum(areas.size - areas.n, 1.0))
    e_bar = np.array([areas.of_levels(sample_means(row, factor.codes, J)) for row in e])
    f = areas.fraction
    truth = areas.X_bar @ beta + u_areas + f * e_bar + (1.0 - f) * e_rest
    y_bar = areas.x_bar @ beta + np.where(areas.level >= 0, u_areas + e_bar, 0.0)
    found = refitter.fit((design.X @ beta + u[:, factor.codes] + e).T)
    ratio = found.covariances[0][:, 0, 0] / found.sigma**2
    errors: FloatArray = predicted_means(areas, found.beta, ratio, y_bar) - truth
    return errors
