"""Estimates on the user's scale from the optimum of the standardised deviance: arrays, no labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from lmm.deviance import Evaluation, ProfiledDeviance
from lmm.linalg import FloatArray
from lmm.standardize import Basis


@dataclass(frozen=True)
class Estimates:
    """
    Point estimates of a fitted model.

    Attributes
    ----------
    beta : ndarray (p,)
        Fixed effects.
    cov_beta : ndarray (p, p)
        Their covariance, sigma^2 (X' V^-1 X)^-1 with V relative to sigma^2.
    sigma : float
        Residual standard deviation.
    theta : ndarray (m,)
        Parameters of the relative factors.
    T : tuple of ndarray (k_t, k_t)
        Relative factors of the grouping factors.
    criterion : float
        Deviance (ML) or REML criterion.
    """

    beta: FloatArray
    cov_beta: FloatArray
    sigma: float
    theta: FloatArray
    T: tuple[FloatArray, ...]
    criterion: float


def estimates(deviance: ProfiledDeviance, at: Evaluation, basis: Basis, known_sigma: float | None = None) -> Estimates:
    """Map the state at the optimum to the user's scale; a known sigma, given on that scale, stays as it is."""
    p = deviance.cross.p
    sigma = basis.scale * float(np.sqrt(at.rho2 / deviance.nu)) if known_sigma is None else known_sigma
    L_inverse: FloatArray = lapack.dtrtri(at.border[:p, :p], lower=1)[0] if p else np.zeros((0, 0))
    root = sigma * basis.R_inverse @ L_inverse.T
    theta, T = [], []
    for covariance, A, thetas in zip(deviance.covariances, basis.bases, deviance.slices, strict=True):
        theta.append(covariance.from_root(A @ covariance.factor(at.theta[thetas])))
        T.append(covariance.factor(theta[-1]))
    return Estimates(
        beta=basis.beta_0 + basis.scale * (basis.R_inverse @ at.beta),
        cov_beta=root @ root.T,
        sigma=sigma,
        theta=np.concatenate(theta),
        T=tuple(T),
        criterion=at.value + basis.criterion_shift(deviance.nu, reml=deviance.reml),
    )
