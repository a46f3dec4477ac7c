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
    root_cov_beta : ndarray (p, p)
        Upper triangular root B of their covariance B B' = sigma^2 (X' V^-1 X)^-1, with V relative to sigma^2.
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
    root_cov_beta: FloatArray
    sigma: float
    theta: FloatArray
    T: tuple[FloatArray, ...]
    criterion: float

    @property
    def cov_beta(self) -> FloatArray:
        """Covariance of the fixed effects, shape (p, p)."""
        return self.root_cov_beta @ self.root_cov_beta.T

    @property
    def covariances(self) -> list[FloatArray]:
        """Covariance matrices sigma^2 T T' of the random effects of the grouping factors."""
        return [self.sigma**2 * T @ T.T for T in self.T]


def estimates(deviance: ProfiledDeviance, at: Evaluation, basis: Basis, known_sigma: float | None = None) -> Estimates:
    """Map the state at the optimum to the user's scale; a known sigma, given on that scale, stays as it is."""
    p = deviance.cross.p
    sigma = basis.scale * float(np.sqrt(at.rho2 / deviance.nu)) if known_sigma is None else known_sigma
    L_inverse: FloatArray = lapack.dtrtri(at.border[:p, :p], lower=1)[0] if p else np.zeros((0, 0))
    theta, T = [], []
    for covariance, A, thetas in zip(deviance.covariances, basis.bases, deviance.slices, strict=True):
        theta.append(covariance.from_root(A @ covariance.factor(at.theta[thetas])))
        T.append(covariance.factor(theta[-1]))
    return Estimates(
        beta=basis.beta_0 + basis.scale * (basis.R_inverse @ at.beta),
        root_cov_beta=sigma * basis.R_inverse @ L_inverse.T,
        sigma=sigma,
        theta=np.concatenate(theta),
        T=tuple(T),
        criterion=at.value + basis.criterion_shift(deviance.nu, reml=deviance.reml),
    )
