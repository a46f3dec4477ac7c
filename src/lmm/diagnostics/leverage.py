"""
Leverage and Cook's distance of the rows of a fit.

The fitted values X beta + Z b are linear in the response. With G = Lambda Omega^-1 Lambda', V^-1 = I - Z G Z' and
C = X'V^-1 X, all relative to sigma^2 and with rows multiplied by the square roots of their weights, their matrix is

    H = H_1 + H_2,    H_1 = X C^-1 X' V^-1,    H_2 = Z G Z' (I - H_1).

For a row with columns x and z and a = x - X'Z G z, a row of V^-1 X, the diagonal entries are x' C^-1 a for H_1 and
z' G z - (x - a)' C^-1 a for H_2: nothing of size n x n is formed.

References
----------
Demidenko, E. and Stukel, T. A. (2005). Influence analysis for linear mixed-effects models. Statistics in Medicine 24,
893-909.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import lapack

from lmm.conditional import conditional_variances, random_parts
from lmm.diagnostics.rows import standard_rows
from lmm.display import Report, Table, format_column
from lmm.linalg import FloatArray
from lmm.models import mixed_model

if TYPE_CHECKING:
    from lmm.deviance import Evaluation
    from lmm.model import FittedModel

# A row that keeps less of its variance than this is fitted exactly, whatever its response: its leverage counts as 1.
SMALLEST_LEFT = 1e-10


@dataclass(frozen=True, eq=False, repr=False)
class Leverage(Report):
    """
    Diagonal of the matrix that takes the response to the fitted values, in two parts.

    Attributes
    ----------
    fixed : ndarray (n,)
        Part of the fixed effects, the diagonal of H_1; it adds up to their number p.
    random : ndarray (n,)
        Part of the random effects, the diagonal of H_2.
    """

    fixed: FloatArray
    random: FloatArray

    @property
    def total(self) -> FloatArray:
        """Leverage of each row, shape (n,), between 0 and 1; the sum is the effective number of coefficients."""
        return self.fixed + self.random

    @property
    def left(self) -> FloatArray:
        """Share of the variance of a row that its residual keeps, 1 - h; NaN where the leverage is 1."""
        left = 1.0 - self.total
        return np.where(left > SMALLEST_LEFT, left, np.nan)

    def _heading(self) -> list[str]:
        return [f"Leverage of {len(self.fixed)} rows"]

    def _tables(self) -> list[Table]:
        parts = {"Fixed effects": self.fixed, "Random effects": self.random, "Both": self.total}
        numbers = np.array([[h.sum(), h.mean(), h.max()] for h in parts.values()])
        columns = (format_column(column) for column in numbers.T)
        return [Table("", ("", "Sum", "Mean", "Largest"), tuple(zip(parts, *columns, strict=True)), 1)]

    def _notes(self) -> list[str]:
        return ["The sum of both is the effective number of coefficients."]


def leverage(fit: FittedModel) -> Leverage:
    """
    Leverage of each row of a fit, split into the parts of fixed and random effects.

    Parameters
    ----------
    fit : FittedModel

    Returns
    -------
    Leverage

    Raises
    ------
    ArgumentError
        For anything but a model with random effects.

    References
    ----------
    Demidenko, E. and Stukel, T. A. (2005). Influence analysis for linear mixed-effects models. Statistics in Medicine
    24, 893-909.

    Examples
    --------
    >>> import lmm
    >>> from lmm.diagnostics import leverage
    >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"))
    >>> h = leverage(fit)
    >>> float(h.fixed.sum()), round(float(h.total[0]), 6)
    (1.0, 0.163754)
    """
    fit = mixed_model(fit, "leverage")
    rows = standard_rows(fit)
    deviance, at = fit.deviance_function, fit.optimum.evaluation
    x = reduce_fixed(at, rows.X.T)
    a = x - reduce_fixed(at, random_parts(deviance, at, rows.blocks)[: len(x)])
    within = conditional_variances(deviance, at, rows.blocks)
    return Leverage(fixed=(x * a).sum(axis=0), random=within - ((x - a) * a).sum(axis=0))


def cooks_distance(fit: FittedModel) -> FloatArray:
    """
    Cook's distance of each row, for fixed and random effects jointly.

    Leaving row i out, with the variance parameters as they are, changes the coefficients of the penalised least squares
    problem by an amount whose squared length, in units of p sigma^2, is

        D_i = e_i^2 h_i / (p sigma^2 (1 - h_i)^2)

    with Pearson residual e_i and leverage h_i. This is what ``cooks.distance`` of lme4 gives.

    Parameters
    ----------
    fit : FittedModel

    Returns
    -------
    ndarray (n,)
        NaN for a row of leverage 1, and throughout for a model without fixed effects, p = 0.

    Raises
    ------
    ArgumentError
        For anything but a model with random effects.

    References
    ----------
    Cook, R. D. (1977). Detection of influential observation in linear regression. Technometrics 19, 15-18.

    Examples
    --------
    >>> import lmm
    >>> from lmm.diagnostics import cooks_distance
    >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"))
    >>> cooks_distance(fit)[:3].round(4)
    array([0.1177, 0.4667, 0.4667])
    """
    fit = mixed_model(fit, "cooks_distance")
    p = len(fit.design.names)
    if p == 0:
        return np.full(fit.nobs, np.nan)
    h = leverage(fit)
    scaled = fit.design.root_weights * fit.resid.to_numpy() / fit.sigma
    return np.asarray(scaled**2 * h.total / (p * h.left**2))


def reduce_fixed(at: Evaluation, B: FloatArray) -> FloatArray:
    """L^-1 B for B of shape (p, m), where L L' = C = X' V^-1 X."""
    p = len(at.border) - 1
    return np.asarray(lapack.dtrtrs(at.border[:p, :p], B, lower=1)[0]) if p else B
