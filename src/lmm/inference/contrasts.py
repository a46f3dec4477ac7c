"""
Tests of linear hypotheses about the fixed effects.

A hypothesis is over all coefficients, those included that were dropped as aliased with others. Such a function of the
coefficients is estimable when its weight on each dropped coefficient is what the dropped column's combination of the
others gives; then its value does not depend on which column was dropped.

References
----------
Searle, S. R. (1971). Linear Models. Wiley, section 5.4 (estimability).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from lmm.arguments import confidence_level, true_or_false
from lmm.errors import ModelError
from lmm.inference.ddf import Approximation, approximation, ddf_used
from lmm.inference.distributions import f_tail, t_quantile, two_sided_p
from lmm.inference.hypotheses import Hypothesis, Weights, read_hypothesis
from lmm.inference.result import TestResult
from lmm.linalg import RANK_TOLERANCE, BoolArray, FloatArray, triangular_factor

if TYPE_CHECKING:
    from lmm.design import Design
    from lmm.linear import LinearModel


@dataclass(frozen=True, repr=False)
class ContrastResult(TestResult):
    """
    Test of one or several contrasts: a `TestResult` with the estimates.

    Attributes
    ----------
    table : DataFrame
        Each contrast by itself: estimate, std_error, df, statistic, p_value, lower, upper.

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy"))
    >>> fit.contrast("Days = 8").table.round(3)
          estimate  std_error    df  statistic  p_value  lower   upper
    Days    10.467      1.546  17.0      1.596    0.129  7.206  13.729
    """

    table: pd.DataFrame | None = field(default=None, compare=False)

    def __str__(self) -> str:
        head = super().__str__()
        if self.table is None or len(self.table) != 1:
            return head
        row = self.table.iloc[0]
        limits = f"{row['lower']:.6g} to {row['upper']:.6g}"
        return f"{head}\nEstimate {row['estimate']:.6g}, standard error {row['std_error']:.6g}, interval {limits}"


def contrast(
    model: LinearModel, L: Weights, rhs: ArrayLike, ddf: str, level: float, *, joint: bool
) -> ContrastResult | pd.DataFrame:
    """Test L beta = rhs; see `FittedModel.contrast`."""
    design = model.design
    method = approximation(model, ddf)
    confidence_level(level)
    together = true_or_false("joint", joint, "one test of all contrasts", "a table of single ones")
    hypothesis = read_hypothesis(L, rhs, design.all_names, design.kept, design.aliasing)
    _require_estimable(hypothesis, design)
    if not hypothesis.L.any():
        raise ModelError("the hypothesis has no contrast other than zero, so there is nothing to test")
    weights = hypothesis.L[:, design.kept]
    table = contrast_table(model, weights, method, level=level, rhs=hypothesis.rhs)
    table.index = pd.Index(hypothesis.contrasts)
    if not together:
        return table
    null = f"{'; '.join(hypothesis.equations)}."
    notes = (f"Degrees of freedom: {ddf_used(model, ddf)}.",)
    if len(weights) == 1:
        row = table.iloc[0]
        df = float(row["df"])
        distribution = "standard normal" if np.isinf(df) else f"t({df:.5g})"
        values = (float(row["statistic"]), (df,), float(row["p_value"]))
        return ContrastResult("Test of a contrast", null, *values, distribution, "t", notes, table)
    independent, more = _independent(model, weights, hypothesis)
    F = f_test(model, weights[independent], method, rhs=hypothesis.rhs[independent])
    distribution = f"F({F.num_df:g}, {F.den_df:.5g})"
    return ContrastResult(
        f"Joint test of {len(weights)} contrasts",
        null,
        F.statistic,
        (F.num_df, F.den_df),
        F.p_value,
        distribution,
        "F",
        (*more, *notes),
        table,
    )


@dataclass(frozen=True)
class FTest:
    """An F statistic with its degrees of freedom; ``unscaled`` is the Wald statistic over its numerator's."""

    statistic: float
    num_df: float
    den_df: float
    p_value: float
    unscaled: float


def f_test(model: LinearModel, L: FloatArray, method: Approximation, *, rhs: FloatArray | float = 0.0) -> FTest:
    """Joint F test of independent contrasts L, shape (r, p), over the estimated coefficients."""
    r = len(L)
    deviation = L @ model.estimates.beta - rhs
    wald = float(deviation @ np.linalg.solve(L @ method.cov @ L.T, deviation)) / r
    den_df, scale = method.joint(L @ model.estimates.root_cov_beta)
    return FTest(scale * wald, float(r), den_df, f_tail(scale * wald, r, den_df), wald)


def contrast_table(
    model: LinearModel, L: FloatArray, method: Approximation, *, level: float, rhs: FloatArray | float = 0.0
) -> pd.DataFrame:
    """
    Single contrasts with t tests and limits; the p-value and the limits come from the same degrees of freedom.

    Parameters
    ----------
    model : LinearModel
    L : ndarray (r, p)
        Contrasts of the estimated coefficients.
    method : Approximation
    level : float
        Confidence level of the limits.
    rhs : ndarray (r,) or float
        Values under the null hypotheses.

    Returns
    -------
    DataFrame (r, 7)
        Columns estimate, std_error, df, statistic, p_value, lower, upper.
    """
    estimate = L @ model.estimates.beta
    std_error = np.sqrt(np.einsum("ra,ab,rb->r", L, method.cov, L, optimize=True))
    df = method.single(L @ model.estimates.root_cov_beta)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = (estimate - rhs) / std_error
    half = t_quantile(0.5 + level / 2.0, df) * std_error
    return pd.DataFrame(
        {
            "estimate": estimate,
            "std_error": std_error,
            "df": df,
            "statistic": statistic,
            "p_value": two_sided_p(statistic, df),
            "lower": estimate - half,
            "upper": estimate + half,
        }
    )


def estimable(L: FloatArray, design: Design) -> BoolArray:
    """Which rows of L, shape (r, all coefficients), are estimable."""
    kept = design.kept
    gap = np.abs(L[:, ~kept] - L[:, kept] @ design.aliasing)
    # against the terms of this very difference: the weights of other coefficients may be on another scale
    scale = np.abs(L[:, ~kept]) + np.abs(L[:, kept]) @ np.abs(design.aliasing)
    return np.asarray((gap <= RANK_TOLERANCE * scale).all(axis=1))


def _require_estimable(hypothesis: Hypothesis, design: Design) -> None:
    """Refuse a function of the coefficients that the data do not determine."""
    unknown = np.flatnonzero(~estimable(hypothesis.L, design))
    if not len(unknown):
        return
    dropped = [name for name, kept in zip(design.all_names, design.kept, strict=True) if not kept]
    raise ModelError(
        f"not estimable: {hypothesis.contrasts[unknown[0]]}. The data do not determine it, because these coefficients "
        f"were dropped as combinations of others (an empty cell, or a repeated column): {', '.join(dropped)}. "
        "Use a contrast that does not depend on them"
    )


def _independent(model: LinearModel, weights: FloatArray, hypothesis: Hypothesis) -> tuple[BoolArray, tuple[str, ...]]:
    """Rows of L that do not follow from those before them, with a note on the others, which must agree with them."""
    _, kept = triangular_factor((weights @ model.estimates.root_cov_beta).T)
    if kept.all():
        return kept, ()
    combination = np.linalg.lstsq(weights[kept].T, weights[~kept].T, rcond=None)[0]
    implied = combination.T @ hypothesis.rhs[kept]
    equations = [equation for equation, keep in zip(hypothesis.equations, kept, strict=True) if not keep]
    if not np.allclose(implied, hypothesis.rhs[~kept], rtol=1e-8, atol=1e-12):
        raise ModelError(f"the hypothesis contradicts itself: the other equations rule out {equations[0]}")
    return kept, (f"Left out, because it follows from the others: {'; '.join(equations)}.",)
