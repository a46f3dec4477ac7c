"""
Predictions with exact standard errors under the fitted variance parameters.

For a row with fixed columns x and random columns z, the error of the prediction x' beta + z' b has variance

    sigma^2 [ (x - B' z)' C^-1 (x - B' z) + z' G z ],    G = Lambda Omega^-1 Lambda',    B = G Z'WX,

from the joint covariance of (beta-hat, b-hat - b) (Henderson 1975). A level that the fit did not have adds the variance
z' Sigma z of its effects; an observation adds sigma^2 / w.

References
----------
Henderson, C. R. (1975). Best linear unbiased estimation and prediction under a selection model. Biometrics 31, 423-447.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.linalg import lapack

from lmm.arguments import confidence_level, one_of
from lmm.conditional import conditional_variances, random_parts
from lmm.crossproducts import Block
from lmm.errors import ArgumentError
from lmm.inference.ddf import exact_df
from lmm.inference.distributions import t_quantile
from lmm.linalg import FloatArray
from lmm.models import has_random_effects
from lmm.prediction.rows import MISSING, Rows, fitted_rows, new_rows
from lmm.prediction.selection import chosen_effects

if TYPE_CHECKING:
    from lmm.linear import LinearModel
    from lmm.model import FittedModel

# Rows whose standard errors are computed at a time.
CHUNK = 20_000


def predict(
    model: LinearModel,
    newdata: Any = None,  # noqa: ANN401 - frames of any library
    *,
    random: bool | str | list[str] = True,
    new_levels: str = "error",
    interval: str | None = None,
    level: float = 0.95,
) -> pd.Series[float] | pd.DataFrame:
    """Predict the response; see `FittedModel.predict`."""
    _check(new_levels, interval)
    level = confidence_level(level)
    effects = chosen_effects(model, random)
    rows = fitted_rows(model, effects) if newdata is None else new_rows(model, newdata, effects, new_levels)
    mean = predicted_mean(model, rows)
    if interval is None:
        return pd.Series(mean, index=rows.index)
    variance = _mean_variance(model, rows, are_new=newdata is not None)
    if interval == "prediction":
        variance = variance + model.sigma**2 / _weights(model, newdata)
    variance = np.where(np.isnan(mean), np.nan, variance)
    se = np.sqrt(variance)
    df = np.inf if has_random_effects(model) else exact_df(model)
    half = t_quantile(0.5 + level / 2.0, np.array(df)) * se
    return pd.DataFrame({"fit": mean, "se": se, "lower": mean - half, "upper": mean + half}, index=rows.index)


def predicted_mean(model: LinearModel, rows: Rows, *, random: bool = True) -> FloatArray:
    """X beta + Z b + offset, shape (m,), with or without Z b; NaN where a variable is missing."""
    mean: FloatArray = rows.X @ model.estimates.beta
    for part in rows.random if random else ():
        b = model.modes[part.factor]
        # A level that the fit did not have has effects of zero on average; the last row serves missing labels.
        padded = np.zeros((part.n_levels + 1, b.shape[1]))
        padded[: len(b)] = b
        padded[-1] = np.nan
        mean += np.einsum("na,na->n", part.columns, padded[part.codes])
    return mean if rows.offset is None else mean + rows.offset


def _mean_variance(model: LinearModel, rows: Rows, *, are_new: bool) -> FloatArray:
    """Variance of the error of the predicted means, shape (m,), of the rows of the fit or of new ones."""
    if not has_random_effects(model):
        return np.asarray(((rows.X @ model.estimates.root_cov_beta) ** 2).sum(axis=1))
    return _new_variance(model, rows) if are_new else _fitted_variance(model, rows)


def _fitted_variance(model: FittedModel, rows: Rows) -> FloatArray:
    """Variance of the error of the predicted means of the rows of the fit, shape (n,)."""
    deviance, at, basis = model.deviance_function, model.optimum.evaluation, model.basis
    columns = {part.factor: part.columns @ basis.bases[part.factor] for part in rows.random}
    blocks = [
        Block(factor.codes, factor.n_levels, columns.get(t, np.zeros_like(factor.columns)))
        for t, factor in enumerate(model.factors)
    ]
    within = conditional_variances(deviance, at, blocks)
    return _variance(model, rows.X, random_parts(deviance, at, blocks)[:-1], within)


def _new_variance(model: FittedModel, rows: Rows) -> FloatArray:
    """Variance of the error of the predicted means of new rows, shape (m,)."""
    deviance, at, basis = model.deviance_function, model.optimum.evaluation, model.basis
    effects = {}
    of_new_levels = np.zeros(len(rows.X))
    for part in rows.random:
        known = (part.codes >= 0) & (part.codes < model.factors[part.factor].n_levels)
        columns = np.where(known[:, None], part.columns @ basis.bases[part.factor], 0.0)
        effects[part.factor] = (columns, np.where(known, part.codes, 0))
        new = ~known
        of_new_levels[new] += ((part.columns[new] @ model.estimates.T[part.factor]) ** 2).sum(axis=1)
        of_new_levels[part.codes == MISSING] = np.nan
    shift, within = np.zeros((deviance.cross.p, len(rows.X))), np.zeros(len(rows.X))
    for start in range(0, len(within) if effects else 0, CHUNK):
        here = slice(start, start + CHUNK)
        z = {t: (columns[here], codes[here]) for t, (columns, codes) in effects.items()}
        within[here], shift[:, here] = deviance.prediction_terms(at, z)
    return _variance(model, rows.X, shift, within + of_new_levels)


def _variance(model: FittedModel, X: FloatArray, shift: FloatArray, within: FloatArray) -> FloatArray:
    """Variance of prediction errors of rows X, shape (m, p), from X'Z G z, shape (p, m), and z' G z, shape (m,)."""
    if len(shift):
        border = model.optimum.evaluation.border[:-1, :-1]
        within = within + (lapack.dtrtrs(border, (X @ model.basis.R_inverse).T - shift, lower=1)[0] ** 2).sum(axis=0)
    return np.asarray(model.sigma**2 * within)


def _weights(model: LinearModel, newdata: Any) -> FloatArray | float:  # noqa: ANN401
    """Precision weights of the rows that are predicted."""
    if newdata is None:
        return 1.0 if model.design.weights is None else model.design.weights
    weights = model.design.new_weights(newdata)
    return 1.0 if weights is None else weights


def _check(new_levels: object, interval: object) -> None:
    one_of("new_levels", new_levels, ("error", "population"))
    if interval is not None and (not isinstance(interval, str) or interval not in {"confidence", "prediction"}):
        raise ArgumentError(f'interval must be None, "confidence" or "prediction"; got {interval!r}')
