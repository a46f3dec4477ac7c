"""What residuals and predicted random effects look like where the model holds: simulated at the fitted parameters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import lapack

from lmm.batch.responses import Projector, projector
from lmm.diagnostics.leverage import leverage, reduce_fixed
from lmm.diagnostics.modes import mode_variances
from lmm.diagnostics.rows import standard_rows
from lmm.linalg import FloatArray

if TYPE_CHECKING:
    from lmm.model import FittedModel

# Responses that are fitted at a time, and numbers that they hold at most.
BATCH, CHUNK = 50, 10_000_000


@dataclass(frozen=True)
class Standardized:
    """
    Studentised residuals and standardised random effects of some responses.

    Attributes
    ----------
    residuals : ndarray (r, n)
        NaN for a row of leverage 1.
    modes : list of ndarray (r, J_t, k_t)
        Predicted random effects of each grouping factor over their standard deviations under the model; NaN for
        effects that do not vary.
    """

    residuals: FloatArray
    modes: list[FloatArray]


def observed(model: FittedModel) -> Standardized:
    """Those of the response that was fitted, r = 1."""
    known = None if model.known_sigma is None else model.known_sigma / model.basis.scale
    return _collected(model, 1, iter([standard_rows(model).y[:, None]]), known)


def simulated(model: FittedModel, n: int, rng: np.random.Generator) -> Standardized:
    """
    Those of n responses drawn from the model, fitted with the variance ratios theta as they are.

    Fixed and random effects and sigma are estimated anew for each response.
    """
    known = None if model.known_sigma is None else 1.0
    return _collected(model, n, drawn(model, n, rng), known)


def drawn(model: FittedModel, n: int, rng: np.random.Generator) -> Iterator[FloatArray]:
    """Responses of the model less X beta, in units of sigma, rows times the roots of their weights: (rows, r) each."""
    Z, sizes = _projector(model).Z, model.deviance_function.cross.sizes
    step = int(np.clip(CHUNK // model.nobs, 1, BATCH))
    for start in range(0, n, step):
        r = min(step, n - start)
        # One row a response: what a response gets does not depend on how many are drawn at a time.
        normal = rng.standard_normal((r, sum(Z.shape)))
        effects = []
        first = 0
        for T, (k, J) in zip(model.optimum.evaluation.factors, sizes, strict=True):
            effects.append((T @ normal[:, first : first + k * J].reshape(r, k, J)).reshape(r, k * J))
            first += k * J
        yield Z.T @ np.concatenate(effects, axis=1).T + normal[:, first:].T


def _projector(model: FittedModel) -> Projector:
    design = model.design
    return projector(model.factors, model.deviance_function.cross, model.basis, design.X, design.weights)


def _collected(model: FittedModel, n: int, responses: Iterator[FloatArray], known_sigma: float | None) -> Standardized:
    """
    Residuals and random effects of n responses, some columns (rows, r) at a time, at the fitted theta.

    What X explains of the responses is taken out of them first, which changes neither.
    """
    deviance, at, onto = model.deviance_function, model.optimum.evaluation, _projector(model)
    cross, p = deviance.cross, deviance.cross.p
    k, J = cross.sizes[0]
    spread = np.sqrt(leverage(model).left)
    variances = mode_variances(deviance, at, model.basis)
    residuals = np.empty((n, model.nobs))
    modes = [np.empty((n, *variance.shape)) for variance in variances]
    start = 0
    for Y in responses:
        here = slice(start, start + Y.shape[1])
        start = here.stop
        y = Y - onto.Q @ (onto.Q.T @ Y)
        Zy = (onto.Z @ y).T
        first, tail = Zy[:, : k * J].reshape(-1, k, J), Zy[:, k * J :]
        # Z'V^-1 X of the border gives X'V^-1 y, since X'y is zero.
        Xy = -np.tensordot(at.b_1[:p], first, axes=([1, 2], [1, 2])) - at.b_T[:p] @ tail.T
        beta: FloatArray = lapack.dtrtrs(at.border[:p, :p], reduce_fixed(at, Xy), lower=1, trans=1)[0] if p else Xy
        b_1, b_T = deviance.column_effects(at, first, tail)
        b_1 -= np.tensordot(beta.T, at.b_1[:p], axes=1)
        b_T -= beta.T @ at.b_T[:p]
        e = y - onto.Q @ beta - onto.Z.T @ np.concatenate([b_1.reshape(len(b_1), -1), b_T], axis=1).T
        # y' V^-1 (y - X beta) = y' e = rho^2
        sigma = np.sqrt(np.einsum("nr,nr->r", y, e) / deviance.nu) if known_sigma is None else np.array([known_sigma])
        residuals[here] = (e / (sigma * spread[:, None])).T
        for t, b in zip(cross.order, cross.by_block(b_1, b_T), strict=True):
            deviations = np.sqrt(np.where(variances[t] > 0.0, variances[t], np.nan))
            modes[t][here] = np.einsum("ab,rbj->rja", model.basis.bases[t], b) / np.multiply.outer(
                np.broadcast_to(sigma, len(b)), deviations
            )
    return Standardized(residuals, modes)
