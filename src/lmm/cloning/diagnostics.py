"""
What draws with growing numbers of clones say: whether the posterior shrinks, is normal, and the chains have met.

References
----------
Lele, S. R., Nadeem, K. and Schmuland, B. (2010). Estimability and likelihood inference for generalized linear mixed
models using data cloning. Journal of the American Statistical Association 105, 1617-1625.

Brooks, S. P. and Gelman, A. (1998). General methods for monitoring convergence of iterative simulations. Journal of
Computational and Graphical Statistics 7, 434-455.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh
from scipy.special import gammaincinv

from lmm.linalg import FloatArray


def pooled_cov(draws: FloatArray) -> FloatArray:
    """Covariance (d, d) of the draws (chains, n, d) of all chains together."""
    return np.atleast_2d(np.cov(draws.reshape(-1, draws.shape[-1]), rowvar=False))


def largest_eigenvalue(cov: FloatArray) -> float:
    """Largest variance of a combination of unit length."""
    return float(np.linalg.eigvalsh(cov)[-1])


def chi_square_fit(draws: FloatArray) -> tuple[float, float]:
    """
    Compare the squared distances of draws from their mean with chi-square quantiles, as they would be if normal.

    Returns
    -------
    ms_error : float
        Mean squared difference of the ordered distances and the quantiles.
    r_squared : float
        1 less the squared correlation of the two: 0 for a normal posterior.
    """
    flat = draws.reshape(-1, draws.shape[-1])
    n, d = flat.shape
    centred = flat - flat.mean(axis=0)
    distances = np.sort(np.einsum("ij,ij->i", centred @ np.linalg.pinv(pooled_cov(draws), hermitian=True), centred))
    quantiles = 2.0 * gammaincinv(0.5 * d, (np.arange(n) + 0.5) / n)
    correlation = float(np.corrcoef(distances, quantiles)[0, 1])
    return float(np.mean((distances - quantiles) ** 2)), 1.0 - correlation**2


def r_hat(draws: FloatArray) -> float:
    """
    Potential scale reduction of chains, multivariate for d > 1 (Brooks and Gelman 1998, section 4).

    Parameters
    ----------
    draws : ndarray (chains, n, d)
        At least two chains. Near 1 where they have met.
    """
    m, n, d = draws.shape
    within = np.mean([np.atleast_2d(np.cov(chain, rowvar=False)) for chain in draws], axis=0)
    between = np.atleast_2d(np.cov(draws.mean(axis=1), rowvar=False))
    scale = np.sqrt(np.diagonal(within))
    units = np.outer(scale, scale)
    largest = eigh(between / units, within / units, eigvals_only=True, subset_by_index=(d - 1, d - 1))[0]
    return float(np.sqrt((n - 1.0) / n + (m + 1.0) / m * largest))
