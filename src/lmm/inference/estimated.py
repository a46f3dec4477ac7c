"""What a fit estimates as one row of numbers: fixed effects, variance parameters, residual standard deviation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lmm.arguments import as_numbers
from lmm.batch.refits import Refits
from lmm.errors import ArgumentError
from lmm.inference.parameters import variance_parameters
from lmm.linalg import FloatArray

if TYPE_CHECKING:
    from lmm.inference.bootstrap_result import Statistic
    from lmm.model import FittedModel

SIGMA = "sigma"
NOT_A_NUMBER = "the statistic is not a number"


def estimate_names(model: FittedModel) -> tuple[str, ...]:
    """Names of the estimates: coefficients, variance parameters, ``"sigma"`` (the last two kinds where estimated)."""
    known = model.known_sigma is not None
    parameters = variance_parameters(model.factors, sigma_known=known)
    return (*model.design.names, *(parameter.name for parameter in parameters), *(() if known else (SIGMA,)))


def estimate_values(model: FittedModel) -> FloatArray:
    """Estimates of a fitted model, shape (m,), in the order of `estimate_names`."""
    sigma, covariances = model.sigma, model.estimates.covariances
    known = model.known_sigma is not None
    parameters = variance_parameters(model.factors, sigma_known=known)
    values = [parameter.value(covariances, sigma) for parameter in parameters]
    return np.concatenate([model.estimates.beta, values, [] if known else [sigma]])


def refit_values(model: FittedModel, refits: Refits) -> FloatArray:
    """Estimates from several responses, shape (B, m), in the order of `estimate_names`."""
    columns = list(refits.beta.T)
    known = model.known_sigma is not None
    for parameter in variance_parameters(model.factors, sigma_known=known):
        if parameter.factor is None:
            columns.append(refits.sigma**2)
        else:
            columns.append(refits.covariances[parameter.factor][:, parameter.effects[0], parameter.effects[1]])
    if not known:
        columns.append(refits.sigma)
    return np.stack(columns, axis=1)


def parameters_of(model: FittedModel, values: FloatArray) -> tuple[FloatArray, list[FloatArray], FloatArray]:
    """
    Fixed effects (B, p), covariance matrices (B, k_t, k_t) and sigma (B,) from estimates.

    Parameters
    ----------
    model : FittedModel
    values : ndarray (B, m)
        In the order of `estimate_names`.
    """
    p, known = len(model.estimates.beta), model.known_sigma
    covariances = [np.zeros((len(values), *T.shape)) for T in model.estimates.T]
    parameters = variance_parameters(model.factors, sigma_known=True)
    for parameter, value in zip(parameters, values[:, p : p + len(parameters)].T, strict=True):
        if parameter.factor is not None:
            a, b = parameter.effects
            covariances[parameter.factor][:, a, b] = covariances[parameter.factor][:, b, a] = value
    sigma = values[:, -1] if known is None else np.full(len(values), known)
    return values[:, :p], covariances, sigma


def original_of(statistic: Statistic, model: FittedModel) -> tuple[tuple[str, ...], FloatArray]:
    """
    Names and numbers of a statistic of the model that is resampled.

    Raises
    ------
    ArgumentError
        When the statistic cannot be computed from that model.
    """
    try:
        given = statistic(model)
    except Exception as error:
        raise ArgumentError(
            f"statistic cannot be computed from the model itself, whose estimate the replicates are compared with: "
            f"{_what_went_wrong(error)}"
        ) from error
    names, values = _statistic_values(given)
    if np.isnan(values).any():
        which = ", ".join(repr(name) for name, value in zip(names, values, strict=True) if np.isnan(value))
        raise ArgumentError(
            f"statistic must be a number for the model itself, whose estimate the replicates are compared with; "
            f"{which} is NaN"
        )
    return names, values


def replicate_of(statistic: Statistic, model: FittedModel, m: int) -> FloatArray | str:
    """
    Statistic of a refitted model, shape (m,), or why there is none.

    Raises
    ------
    ArgumentError
        When it has other than m numbers.
    """
    try:
        given = statistic(model)
    except Exception as error:  # noqa: BLE001 - a user's function may raise anything, and one replicate is not all
        return _what_went_wrong(error)
    values = _statistic_values(given)[1]
    if len(values) != m:
        raise ArgumentError(
            f"statistic must return the same numbers for every fit; it returned {m} for the model and {len(values)} "
            "for a replicate"
        )
    return NOT_A_NUMBER if np.isnan(values).any() else values


def _what_went_wrong(error: Exception) -> str:
    """Type and text of an exception, without the full stop of a sentence."""
    return f"{type(error).__name__}: {error}".rstrip(":. ")


def _statistic_values(given: object) -> tuple[tuple[str, ...], FloatArray]:
    """Names and numbers of what a statistic returned: a number, a sequence of them, a Series or a dict."""
    if isinstance(given, dict):
        given = pd.Series(given)
    names = None
    if isinstance(given, pd.Series):
        names = tuple(map(str, given.index))
    values = as_numbers(given)
    if values is None or values.ndim > 1:
        raise ArgumentError(
            "statistic must return a number, a sequence of numbers, a Series or a dict of numbers; it returned "
            f"{type(given).__name__}"
        )
    if names is None:
        names = ("statistic",) if values.ndim == 0 else tuple(f"statistic[{i}]" for i in range(len(values)))
    return names, np.atleast_1d(values)
