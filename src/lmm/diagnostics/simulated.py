"""What residuals and predicted random effects look like where the model holds: simulated at the fitted parameters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import lapack

from lmm.crossproducts import cross_products
from lmm.deviance import ProfiledDeviance
from lmm.diagnostics.leverage import leverage
from lmm.diagnostics.modes import mode_variances
from lmm.diagnostics.rows import StandardRows, standard_rows
from lmm.linalg import FloatArray

if TYPE_CHECKING:
    from lmm.model import FittedModel

# Responses that are fitted at a time.
BATCH = 50


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
    return _at_fitted_theta(model, model.design.y_less_offset[None])


def simulated(model: FittedModel, n: int, rng: np.random.Generator) -> Standardized:
    """
    Those of n responses drawn from the model, fitted with the variance ratios theta as they are.

    Fixed and random effects and sigma are estimated anew for each response.
    """
    draws = model.simulate(n, rng=rng)
    return _at_fitted_theta(model, draws if model.design.offset is None else draws - model.design.offset)


def _at_fitted_theta(model: FittedModel, Y: FloatArray) -> Standardized:
    """Residuals and random effects of responses less their offset, shape (r, n)."""
    basis = model.basis
    rows, root = standard_rows(model), model.design.root_weights
    responses = root * (Y - model.design.X @ basis.beta_0) / basis.scale
    spread = np.sqrt(leverage(model).left)
    variances = mode_variances(model.deviance_function, model.optimum.evaluation, basis)
    deviations = [np.sqrt(np.where(variance > 0.0, variance, np.nan)) for variance in variances]
    residuals = np.empty_like(Y)
    modes = [np.empty((len(Y), *deviation.shape)) for deviation in deviations]
    for here in _batches(len(Y), model.nobs - len(model.design.names)):
        beta, b, rho2 = _solve(model, rows, responses[here])
        sigma = np.sqrt(rho2 / model.deviance_function.nu)
        if model.known_sigma is not None:
            sigma = np.full_like(sigma, model.known_sigma / basis.scale)
        e = responses[here] - beta @ rows.X.T
        for t, block in enumerate(rows.blocks):
            e -= np.einsum("na,rna->rn", block.columns, b[t][:, block.codes])
            modes[t][here] = np.einsum("ab,rjb->rja", basis.bases[t], b[t]) / (sigma[:, None, None] * deviations[t])
        residuals[here] = e / (sigma[:, None] * spread)
    return Standardized(residuals, modes)


def _batches(r: int, n_free: int) -> Iterator[slice]:
    """Ranges of responses; fewer at a time than would make their joint cross-products singular."""
    step = max(1, min(BATCH, n_free // 2))
    for start in range(0, r, step):
        yield slice(start, start + step)


def _solve(
    model: FittedModel, rows: StandardRows, responses: FloatArray
) -> tuple[FloatArray, list[FloatArray], FloatArray]:
    """
    Fixed effects (r, p), random effects (r, J_t, k_t) and rho^2 (r,) of responses (r, n) at the fitted theta.

    All but one response enter as further columns of X: the elimination treats the columns of the border alike.
    """
    r, p = len(responses), rows.X.shape[1]
    cross = cross_products(rows.blocks, np.column_stack([rows.X, responses[:-1].T]), responses[-1])
    at = ProfiledDeviance(cross, model.deviance_function.covariances, reml=False).evaluate(model.optimum.theta)
    own = at.border[p:, :p]
    beta: FloatArray = lapack.dtrtrs(at.border[:p, :p], own.T, lower=1, trans=1)[0].T if p else np.zeros((r, 0))
    rho2 = (np.tril(at.border[p:, p:]) ** 2).sum(axis=1)
    modes: dict[int, FloatArray] = {}
    for t, b in zip(cross.order, cross.by_block(at.b_1, at.b_T), strict=True):
        modes[t] = (b[p:] - np.tensordot(beta, b[:p], axes=1)).transpose(0, 2, 1)
    return beta, [modes[t] for t in range(len(modes))], rho2
