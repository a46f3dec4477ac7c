"""
The area-level model of Fay and Herriot: direct estimates with known sampling variances. Arrays in, arrays out.

    y_i = x_i'beta + u_i + e_i,    u_i ~ N(0, A),    e_i ~ N(0, D_i) with D_i known,

and, at an estimate of A, with B_i = D_i / (A + D_i) and gamma_i = 1 - B_i,

    EBLUP_i = gamma_i y_i + B_i x_i'beta
    g1_i = gamma_i D_i,    g2_i = B_i^2 x_i' Cov(beta) x_i,    g3_i = B_i^2 Var(A) / (A + D_i)
    MSE_i = g1_i + g2_i + 2 g3_i - bias(A) B_i^2.

Var(A) and the bias of A are asymptotic, and depend on how A was estimated.

References
----------
Fay, R. E. and Herriot, R. A. (1979). Estimates of income for small places: an application of James-Stein procedures to
census data. Journal of the American Statistical Association 74, 269-277.

Prasad, N. G. N. and Rao, J. N. K. (1990). The estimation of the mean squared error of small-area estimators. Journal of
the American Statistical Association 85, 163-171.

Datta, G. S. and Lahiri, P. (2000). A unified measure of uncertainty of estimated best linear unbiased predictors in
small area estimation problems. Statistica Sinica 10, 613-627.

Datta, G. S., Rao, J. N. K. and Smith, D. D. (2005). On measuring the variability of small area estimators under a basic
area level model. Biometrika 92, 183-196.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from lmm.linalg import FloatArray

# Relative accuracy of the root of the moment equation.
TOLERANCE = 1e-14


@dataclass(frozen=True)
class AreaLevelFit:
    """
    Generalised least squares at one value of A, and the predictions that follow.

    Attributes
    ----------
    beta : ndarray (p,)
    cov_beta : ndarray (p, p)
    gamma, synthetic, eblup, leverage : ndarray (m,)
        Weight of the direct estimate, x'beta, the EBLUP, and x'Cov(beta) x / (A + D).
    rss : float
        Weighted residual sum of squares, sum of (y - x'beta)^2 / (A + D).
    """

    beta: FloatArray
    cov_beta: FloatArray
    gamma: FloatArray
    synthetic: FloatArray
    eblup: FloatArray
    leverage: FloatArray
    rss: float


def area_level_fit(A: float, y: FloatArray, X: FloatArray, D: FloatArray) -> AreaLevelFit:
    """Fit the model with area variance A to direct estimates y, shape (m,), with sampling variances D."""
    root = np.sqrt(A + D)
    Q, R = np.linalg.qr(X / root[:, None])
    beta = solve_triangular(R, Q.T @ (y / root))
    R_inverse = solve_triangular(R, np.eye(len(R)))
    synthetic = X @ beta
    gamma = A / (A + D)
    return AreaLevelFit(
        beta=beta,
        cov_beta=R_inverse @ R_inverse.T,
        gamma=gamma,
        synthetic=synthetic,
        eblup=synthetic + gamma * (y - synthetic),
        leverage=np.einsum("ij,ij->i", Q, Q),
        rss=float((((y - synthetic) / root) ** 2).sum()),
    )


def moment_variance(y: FloatArray, X: FloatArray, D: FloatArray) -> float:
    """Solve rss(A) = m - p for A (Fay and Herriot 1979); 0 where the residuals vary less than D explains."""
    from scipy.optimize import brentq  # noqa: PLC0415 - only this method needs a root finder

    df = len(y) - int(X.shape[1])

    def excess(A: float) -> float:
        return area_level_fit(A, y, X, D).rss - df

    if excess(0.0) <= 0.0:
        return 0.0
    upper = float(D.mean())
    while excess(upper) > 0.0:
        upper *= 2.0
    A: float = brentq(excess, 0.0, upper, xtol=TOLERANCE * upper, rtol=TOLERANCE)
    return A


def mse_parts(A: float, D: FloatArray, leverage: FloatArray, method: str) -> tuple[FloatArray, ...]:
    """
    Parts of the mean squared error of the EBLUPs.

    Parameters
    ----------
    A : float
    D, leverage : ndarray (m,)
    method : {"reml", "ml", "fh"}
        How A was estimated.

    Returns
    -------
    g1, g2, g3, correction : ndarray (m,)
        MSE = g1 + g2 + 2 g3 + correction.
    """
    total, B = A + D, D / (A + D)
    variance, bias = _moments_of_estimate(A, D, leverage, method)
    return A * B, B**2 * total * leverage, B**2 * variance / total, -bias * B**2


def synthetic_mse_parts(
    A: float, D: FloatArray, leverage: FloatArray, method: str, distance: FloatArray
) -> tuple[FloatArray, ...]:
    """
    Parts of the mean squared error for areas without a direct estimate: the limits of `mse_parts` as D_i grows.

    Parameters
    ----------
    A, D, leverage, method
        As for `mse_parts`, of the areas with a direct estimate.
    distance : ndarray (u,)
        x'Cov(beta) x of the areas without one.

    Returns
    -------
    g1, g2, g3, correction : ndarray (u,)
        MSE = A + x'Cov(beta) x - bias(A).
    """
    bias = _moments_of_estimate(A, D, leverage, method)[1]
    return np.full_like(distance, A), distance, np.zeros_like(distance), np.full_like(distance, -bias)


def _moments_of_estimate(A: float, D: FloatArray, leverage: FloatArray, method: str) -> tuple[float, float]:
    """Asymptotic variance and bias of the estimate of A."""
    total = A + D
    S_1, S_2 = float((1.0 / total).sum()), float((1.0 / total**2).sum())
    if method == "fh":
        return 2.0 * len(D) / S_1**2, 2.0 * (len(D) * S_2 - S_1**2) / S_1**3
    return 2.0 / S_2, -float((leverage / total).sum()) / S_2 if method == "ml" else 0.0
