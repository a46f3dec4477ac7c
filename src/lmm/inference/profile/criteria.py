"""
The criteria whose minima are points of a profile: the deviance with one quantity held.

All share the cross-products and the reduced first block of the fit, so that none costs O(n).

A standard deviation v of a random effect is sigma tau in the frame of `lmm.inference.profile.pinned`. Where sigma is
estimated, it is tied to theta by sigma = v / tau, and the criterion

    log|Omega| (+ log|C|) + nu log(2 pi v^2 / tau^2) + rho^2 tau^2 / v^2

is minimised over all of theta. A fixed effect is held by a change of the columns [X y], which acts on the border alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lmm.covariance import Covariance
from lmm.deviance import Evaluation, ProfiledDeviance
from lmm.errors import ModelError
from lmm.linalg import FloatArray


class TiedDeviance(ProfiledDeviance):
    """
    Deviance with the residual standard deviation tied to one parameter: sigma = product / theta[index].

    Parameters
    ----------
    deviance : ProfiledDeviance
        Whose cross-products and criterion are used.
    covariances : sequence of Covariance
    index : int
    product : float
        Positive.
    """

    def __init__(
        self, deviance: ProfiledDeviance, covariances: Sequence[Covariance], *, index: int, product: float
    ) -> None:
        super().__init__(deviance.cross, covariances, reml=deviance.reml, reduction=deviance.reduction)
        self.index = index
        self.product = product

    def sigma_at(self, theta: FloatArray) -> float:
        """Residual standard deviation that goes with theta."""
        tau = float(theta[self.index])
        if tau <= 0.0:
            raise ModelError("a standard deviation that is held cannot go with an infinite residual one")
        return self.product / tau

    def evaluate(self, theta: FloatArray) -> Evaluation:
        """Value and gradient at theta, shape (m,)."""
        at = super().evaluate(theta)
        # d log sigma^2 = -2 d log tau
        at.gradient[self.index] -= 2.0 * self._slope(at) / theta[self.index]
        return at

    def curvature(self, at: Evaluation) -> FloatArray:
        """
        Positive semidefinite approximation, shape (m, m), of the Hessian of the deviance in theta.

        The average information extends to log sigma^2, whose own second derivatives are exact.
        """
        B = super().curvature(at)
        sigma = self.sigma_at(at.theta)
        tau = at.theta[self.index]
        cross = self.sigma_sensitivity(at) * (-2.0 / tau)
        B[self.index] += cross
        B[:, self.index] += cross
        B[self.index, self.index] += (4.0 * at.rho2 / sigma**2 + 2.0 * max(self._slope(at), 0.0)) / tau**2
        return B

    def _slope(self, at: Evaluation) -> float:
        """Derivative of the deviance by log sigma^2 alone."""
        return self.nu - at.rho2 / self.sigma_at(at.theta) ** 2

    def sigma_sensitivity(self, at: Evaluation) -> FloatArray:
        """Second derivatives, shape (m,), of the deviance by theta and log sigma^2: y'P V_i P y / sigma^2."""
        residual = at.residual
        scores = [(residual @ E.reshape(len(E), -1)).reshape(E.shape[1:]) for E in self.cross.by_block(at.E_1, at.E_T)]
        return self.gradient_from([g @ g.T for g in scores], at.factors) / self.sigma_at(at.theta) ** 2


def alike(
    deviance: ProfiledDeviance,
    *,
    sigma: float | None,
    covariances: Sequence[Covariance] | None = None,
    reml: bool | None = None,
) -> ProfiledDeviance:
    """Deviance of the same data with a known sigma (None: profiled) and, where given, other structures or method."""
    return ProfiledDeviance(
        deviance.cross,
        deviance.covariances if covariances is None else covariances,
        reml=deviance.reml if reml is None else reml,
        sigma=sigma,
        reduction=deviance.reduction,
    )


def with_border(deviance: ProfiledDeviance, K: FloatArray) -> ProfiledDeviance:
    """ML deviance with the columns [X y] K' in place of [X y], for K of shape (r, p + 1)."""
    cross, reduction = deviance.cross, deviance.reduction
    return ProfiledDeviance(
        replace(
            cross,
            A_B1=np.tensordot(K, cross.A_B1, axes=1),
            A_BT=K @ cross.A_BT,
            A_BB=K @ cross.A_BB @ K.T,
        ),
        deviance.covariances,
        reml=False,
        sigma=deviance.sigma,
        reduction=replace(
            reduction,
            c_B=np.tensordot(K, reduction.c_B, axes=1),
            rest_BB=K @ reduction.rest_BB @ K.T,
            rest_BT=K @ reduction.rest_BT,
        ),
    )
