"""
Variance components as tables: the estimates, and with asymptotic standard errors and Wald limits.

Limits of a standard deviation are symmetric on the scale of its logarithm, those of a correlation on the scale of its
inverse hyperbolic tangent (Fisher's z), where they cannot leave the parameter space; standard errors come from those of
the variances and covariances by the delta method. On the boundary there is no such interval, and the table says so.

References
----------
Pinheiro, J. C. and Bates, D. M. (2000). Mixed-Effects Models in S and S-PLUS. Springer, section 2.4.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lmm.arguments import confidence_level, one_of
from lmm.errors import ModelError
from lmm.inference.information import KINDS, VarianceInformation
from lmm.inference.parameters import VarianceParameter, variance_parameters
from lmm.linalg import FloatArray

if TYPE_CHECKING:
    from lmm.model import FittedModel

ON_BOUNDARY = "on the boundary: no Wald interval; use the profile or the bootstrap"


def variance_components(model: FittedModel) -> pd.DataFrame:
    """Variances and covariances; see `FittedModel.variance_components`."""
    covariances, rows = model.estimates.covariances, []
    for parameter in variance_parameters(model.factors):
        names = (*parameter.labels, np.nan, np.nan)[:3]
        values = (parameter.value(covariances, model.sigma), parameter.sdcor(covariances, model.sigma))
        rows.append((*names, *values))
    return pd.DataFrame(rows, columns=["group", "var1", "var2", "vcov", "sdcor"])


def variance_components_table(model: FittedModel, level: float, kind: str) -> pd.DataFrame:
    """Variance components with standard errors; see `FittedModel.variance_components_table`."""
    half = NormalDist().inv_cdf(0.5 + confidence_level(level) / 2.0)
    one_of("kind", kind, KINDS)
    table = model.variance_components
    information = model.variance_information
    m = len(information.parameters)
    note = ["" for _ in table.index]
    try:
        cov = information.covariance(kind)
    except ModelError as error:
        cov, note = np.full((m, m), np.nan), [str(error)] * len(note)
    estimate = table["sdcor"].to_numpy(dtype=np.float64)
    std_error, lower, upper = (np.full(len(table), np.nan) for _ in range(3))
    boundary = model.boundary_groups
    for i, parameter in enumerate(information.parameters):
        if parameter.labels[0] in boundary:
            note[i] = note[i] or ON_BOUNDARY
            continue
        gradient = _gradient(information, i)
        std_error[i] = float(np.sqrt(gradient @ cov @ gradient))
        lower[i], upper[i] = _limits(parameter, estimate[i], half * std_error[i])
    if model.known_sigma is not None:
        note[-1] = "known"
    variances = np.append(np.sqrt(np.diagonal(cov)), np.full(len(table) - m, np.nan))
    return table.assign(
        std_error=variances, sdcor_std_error=std_error, lower=lower, upper=upper, note=pd.Series(note, dtype=object)
    )[["group", "var1", "var2", "vcov", "std_error", "sdcor", "sdcor_std_error", "lower", "upper", "note"]]


def _gradient(information: VarianceInformation, i: int) -> FloatArray:
    """Derivatives of a standard deviation or a correlation in all variance parameters."""
    parameter, values = information.parameters[i], information.estimates
    gradient = np.zeros(len(values))
    if parameter.is_variance:
        gradient[i] = 0.5 / np.sqrt(values[i])
        return gradient
    a, b = (_variance_of(information, parameter, effect) for effect in parameter.effects)
    scale = np.sqrt(values[a] * values[b])
    gradient[i] = 1.0 / scale
    gradient[a] = -0.5 * values[i] / (scale * values[a])
    gradient[b] = -0.5 * values[i] / (scale * values[b])
    return gradient


def _variance_of(information: VarianceInformation, covariance: VarianceParameter, effect: int) -> int:
    """Place of the variance of one of the two effects of a covariance."""
    return next(
        i
        for i, other in enumerate(information.parameters)
        if other.factor == covariance.factor and other.effects == (effect, effect)
    )


def _limits(parameter: VarianceParameter, estimate: float, half: float) -> tuple[float, float]:
    """Limits of a standard deviation or a correlation from half the width of its plain Wald interval."""
    if parameter.is_variance:
        width = half / estimate
        return estimate * float(np.exp(-width)), estimate * float(np.exp(width))
    z, width = float(np.arctanh(estimate)), half / (1.0 - estimate**2)
    return float(np.tanh(z - width)), float(np.tanh(z + width))
