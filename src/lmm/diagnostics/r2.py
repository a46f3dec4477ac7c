"""
Shares of the variance: coefficients of determination and intraclass correlations of mixed models.

With v_f the variance of X beta over the rows, v_t the mean over the rows of z' Psi_t z, the variance that grouping
factor t adds to a row (Johnson 2014), and v_e the mean residual variance,

    R2 marginal = v_f / v,    R2 conditional = (v_f + v_r) / v,    v_r = sum_t v_t,    v = v_f + v_r + v_e,
    ICC adjusted = v_r / (v_r + v_e),    ICC unadjusted = v_r / v.

References
----------
Nakagawa, S. and Schielzeth, H. (2013). A general and simple method for obtaining R2 from generalized linear
mixed-effects models. Methods in Ecology and Evolution 4, 133-142.
Johnson, P. C. D. (2014). Extension of Nakagawa & Schielzeth's R2GLMM to random slopes models. Methods in Ecology and
Evolution 5, 944-946.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lmm.arguments import fitted_model
from lmm.display import Table

if TYPE_CHECKING:
    from lmm.model import FittedModel


@dataclass(frozen=True)
class VariancePartition:
    """
    Where the variance of a row comes from, on the squared scale of the response.

    Attributes
    ----------
    fixed : float
        Variance of X beta over the rows, with divisor n - 1; an offset does not count.
    random : Series
        Mean variance that each grouping factor adds to a row.
    residual : float
        Mean residual variance, sigma^2 times the mean of the inverse weights.
    """

    fixed: float
    random: pd.Series[float]
    residual: float

    @property
    def total(self) -> float:
        """Sum of all parts."""
        return self.fixed + float(self.random.sum()) + self.residual


@dataclass(frozen=True)
class R2:
    """
    Coefficients of determination of a mixed model.

    Attributes
    ----------
    marginal : float
        Share of the variance that the fixed effects explain.
    conditional : float
        Share that fixed and random effects explain together.
    variances : VariancePartition
    """

    marginal: float
    conditional: float
    variances: VariancePartition

    def __str__(self) -> str:
        return _table(self._title, self._rows()).text()

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return _table(self._title, self._rows()).html()

    _title = "Variance explained (R2)"

    def _rows(self) -> list[tuple[str, float]]:
        return [("marginal (fixed effects)", self.marginal), ("conditional (fixed and random)", self.conditional)]


@dataclass(frozen=True)
class ICC:
    """
    Intraclass correlations of a mixed model.

    Attributes
    ----------
    adjusted : float
        Share of the random effects in the variance that the fixed effects leave.
    unadjusted : float
        Their share in the variance including that of the fixed effects.
    by_group : Series
        The adjusted share of each grouping factor; they add up to ``adjusted``.
    variances : VariancePartition
    """

    adjusted: float
    unadjusted: float
    by_group: pd.Series[float]
    variances: VariancePartition

    def __str__(self) -> str:
        return _table(self._title, self._rows()).text()

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return _table(self._title, self._rows()).html()

    _title = "Intraclass correlation"

    def _rows(self) -> list[tuple[str, float]]:
        rows = [("adjusted for the fixed effects", self.adjusted), ("unadjusted", self.unadjusted)]
        if len(self.by_group) > 1:
            rows += [(f"adjusted, {group}", float(share)) for group, share in self.by_group.items()]
        return rows


def r2(model: FittedModel) -> R2:
    """
    Marginal and conditional coefficient of determination.

    Parameters
    ----------
    model : FittedModel

    Returns
    -------
    R2
        ``marginal``, the share of the variance that the fixed effects explain; ``conditional``, the share that fixed
        and random effects explain together; ``variances``, the parts. With random slopes, the variance of the random
        effects is its mean over the rows.

    References
    ----------
    Nakagawa, S. and Schielzeth, H. (2013). A general and simple method for obtaining R2 from generalized linear
    mixed-effects models. Methods in Ecology and Evolution 4, 133-142.
    Johnson, P. C. D. (2014). Extension of Nakagawa & Schielzeth's R2GLMM to random slopes models. Methods in Ecology
    and Evolution 5, 944-946.

    Examples
    --------
    >>> import lmm
    >>> lmm.r2(lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy")))
    Variance explained (R2)         share
    marginal (fixed effects)       0.2787
    conditional (fixed and random) 0.7992
    """
    parts = variance_partition(model)
    explained = parts.fixed + float(parts.random.sum())
    return R2(marginal=parts.fixed / parts.total, conditional=explained / parts.total, variances=parts)


def icc(model: FittedModel) -> ICC:
    """
    Intraclass correlation: the share of the random effects in the variance.

    Parameters
    ----------
    model : FittedModel

    Returns
    -------
    ICC
        ``adjusted``, of the variance that the fixed effects leave; ``unadjusted``, of all of it; ``by_group``, the
        adjusted share of each grouping factor; ``variances``, the parts. With a random intercept alone, ``adjusted`` is
        the correlation of two rows of a group; with random slopes, a share of the mean variance of a row.

    References
    ----------
    Nakagawa, S., Johnson, P. C. D. and Schielzeth, H. (2017). The coefficient of determination R2 and intra-class
    correlation coefficient from generalized linear mixed-effects models revisited and expanded. Journal of the Royal
    Society Interface 14, 20170213.

    Examples
    --------
    >>> import lmm
    >>> lmm.icc(lmm.fit("diameter ~ 1 + (1 | plate) + (1 | sample)", lmm.datasets.load("penicillin")))
    Intraclass correlation          share
    adjusted for the fixed effects 0.9363
    unadjusted                     0.9363
    adjusted, plate                0.1509
    adjusted, sample               0.7854
    """
    parts = variance_partition(model)
    left = parts.total - parts.fixed
    shared = float(parts.random.sum())
    return ICC(
        adjusted=shared / left,
        unadjusted=shared / parts.total,
        by_group=(parts.random / left).rename("icc"),
        variances=parts,
    )


def variance_partition(model: FittedModel) -> VariancePartition:
    """Variances of the parts of a fitted model."""
    model = fitted_model(model)
    random = {
        factor.group: float(((factor.columns @ T) ** 2).sum(axis=1).mean()) * model.sigma**2
        for factor, T in zip(model.factors, model.estimates.T, strict=True)
    }
    weights = model.design.weights
    inverse_weights = 1.0 if weights is None else float((1.0 / weights).mean())
    return VariancePartition(
        fixed=float(np.var(model.design.X @ model.estimates.beta, ddof=1)),
        random=pd.Series(random, name="variance"),
        residual=model.sigma**2 * inverse_weights,
    )


def _table(title: str, rows: list[tuple[str, float]]) -> Table:
    """Shares with four decimals."""
    return Table("", (title, "share"), tuple((label, f"{share:.4f}") for label, share in rows), 1)
