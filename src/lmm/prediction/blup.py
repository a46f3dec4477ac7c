"""
Best linear unbiased predictions of the random effects (conditional modes), on the user's scale.

At the optimum  b = Lambda Omega^-1 Lambda' Z'W (y - X beta),  with conditional covariance
Var(b | y, beta) = sigma^2 Lambda Omega^-1 Lambda'.

References
----------
Bates, D., Maechler, M., Bolker, B. and Walker, S. (2015). Fitting linear mixed-effects models using lme4. Journal of
Statistical Software 67(1), section 3.
"""

from __future__ import annotations

import numpy as np

from lmm.deviance import Evaluation, ProfiledDeviance
from lmm.linalg import FloatArray
from lmm.standardize import Basis


def conditional_modes(
    deviance: ProfiledDeviance, at: Evaluation, basis: Basis, beta: FloatArray | None = None
) -> list[FloatArray]:
    """
    Random effects of each grouping factor.

    Parameters
    ----------
    deviance : ProfiledDeviance
    at : Evaluation
    basis : Basis
    beta : ndarray (p,), optional
        Fixed effects in the standardised basis; without them, the best ones at theta.

    Returns
    -------
    list of ndarray (J_t, k_t)
        In the order in which the grouping factors were given to the core.
    """
    cross = deviance.cross
    residual = np.append(-(at.beta if beta is None else beta), 1.0)
    modes: dict[int, FloatArray] = {}
    for t, rows in zip(cross.order, cross.by_block(at.b_1, at.b_T), strict=True):
        modes[t] = basis.scale * (basis.bases[t] @ np.tensordot(residual, rows, axes=1)).T
    return [modes[t] for t in range(len(modes))]


def conditional_covariances(deviance: ProfiledDeviance, at: Evaluation, basis: Basis, sigma: float) -> list[FloatArray]:
    """
    Covariance of the random effects of each level given y and beta.

    Parameters
    ----------
    sigma : float
        Residual standard deviation on the user's scale.

    Returns
    -------
    list of ndarray (J_t, k_t, k_t)
        In the order in which the grouping factors were given to the core.
    """
    covariances: dict[int, FloatArray] = {}
    for t, blocks in zip(deviance.cross.order, deviance.conditional_covariances(at), strict=True):
        A = basis.bases[t]
        covariances[t] = sigma**2 * np.einsum("ac,cdj,bd->jab", A, blocks, A)
    return [covariances[t] for t in range(len(covariances))]
