"""The deviance of one response at many values of theta, without derivatives: all that sampling theta needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lmm.batch.responses import Responses
from lmm.batch.system import batch_system, cost_of_one
from lmm.border import eliminate_effects
from lmm.deviance import NO_RESIDUAL, ProfiledDeviance
from lmm.errors import ModelError
from lmm.linalg import FloatArray

# Numbers that are held at a time.
CHUNK = 4_000_000


@dataclass(frozen=True)
class Eliminated:
    """
    What eliminating the random effects leaves at B values of theta.

    Attributes
    ----------
    log_omega : ndarray (B,)
        log|Omega|.
    border : ndarray (B, p + 1, p + 1)
        Lower Cholesky factors of [X y]' V^-1 [X y].
    """

    log_omega: FloatArray
    border: FloatArray

    @property
    def rho2(self) -> FloatArray:
        """Penalised residual sums of squares, shape (B,)."""
        return np.asarray(self.border[:, -1, -1] ** 2)

    @property
    def half_log_C(self) -> FloatArray:
        """Halves of log|X' V^-1 X|, shape (B,)."""
        return np.asarray(np.log(np.diagonal(self.border, axis1=1, axis2=2)[:, :-1]).sum(axis=1))


class Eliminator:
    """
    Eliminates the random effects of a model at many values of theta: at once where the model is small.

    Parameters
    ----------
    deviance : ProfiledDeviance
    """

    def __init__(self, deviance: ProfiledDeviance) -> None:
        self.deviance = deviance
        self._cost = cost_of_one(deviance)
        if self._cost is not None:
            cross = deviance.cross
            response = Responses(
                np.zeros((cross.p, 1)), np.ones(1), cross.A_B1[-1][:, :, None], cross.A_BT[-1][:, None]
            )
            self._system = batch_system(deviance)
            self._response = self._system.statistics(response, None)

    def __call__(self, theta: FloatArray) -> Eliminated:
        """Eliminate at theta, shape (B, m)."""
        step = 1 if self._cost is None else max(1, CHUNK // self._cost)
        parts = [self._eliminate(theta[start : start + step]) for start in range(0, len(theta), step)]
        return Eliminated(
            np.concatenate([part.log_omega for part in parts]), np.concatenate([part.border for part in parts])
        )

    def _eliminate(self, theta: FloatArray) -> Eliminated:
        deviance = self.deviance
        if self._cost is None:
            factors = [deviance.covariances[t].factor(theta[0, deviance.slices[t]]) for t in deviance.cross.order]
            eliminated = eliminate_effects(deviance.reduction, factors)
            try:
                root = np.asarray(np.linalg.cholesky(eliminated.products), dtype=np.float64)
            except np.linalg.LinAlgError:
                raise ModelError(NO_RESIDUAL) from None
            return Eliminated(np.array([eliminated.log_det]), root[None])
        at = self._system.evaluate(theta, self._response.take(np.zeros(len(theta), dtype=np.intp)))
        if not np.isfinite(at.value).all():
            raise ModelError(NO_RESIDUAL)
        q, nu = self._system.n_tail, deviance.nu
        border = at.L[:, q:, q:]
        return Eliminated(at.value - nu * (1.0 + np.log(2.0 * np.pi / nu * border[:, -1, -1] ** 2)), border)
