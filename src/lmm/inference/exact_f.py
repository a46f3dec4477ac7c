"""The exact F test of a variance of zero, by projections."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from lmm.crossproducts import Block
from lmm.fixed import least_squares
from lmm.inference.projections import residual_space
from lmm.inference.result import TestResult
from lmm.inference.tested import EffectsTested, tested_effects
from lmm.linalg import FloatArray
from lmm.models import mixed_model

if TYPE_CHECKING:
    from lmm.model import FittedModel


def exact_f_test(fit: FittedModel, group: str | None = None) -> TestResult:
    """
    Exact F test of the hypothesis that the variances of some random effects are zero.

    With [X Z] all columns of the model and [X Z_0] those without the columns under test,

        F = (SS / r) / (RSS / m),   SS = y' (P_[X Z] - P_[X Z_0]) y,   RSS = y' (I - P_[X Z]) y,
        r = rank [X Z] - rank [X Z_0],   m = n - rank [X Z].

    Under the null hypothesis F has the distribution F(r, m), whatever the size of the sample and of the other
    variances. The result does not depend on the estimates: only the columns of the model and the response enter. Where
    the residual standard deviation is known, SS / sigma^2 is chi-square with r degrees of freedom.

    Parameters
    ----------
    fit : FittedModel
    group : str, optional
        A grouping factor (``"Subject"``), all its random effects being tested together, or a term
        (``"(0 + Days | Subject)"``). May be left out where the model has one grouping factor.

    Returns
    -------
    TestResult
        ``df`` is (r, m). Where the test does not apply the statistic is NaN and a note says why: with r = 0 the
        columns under test are combinations of the others, as those of a factor with another one nested in it are.

    Raises
    ------
    ArgumentError
        When ``group`` names no random effects of the model, or those of several grouping factors.
    ModelError
        When the projection needs more memory than the machine has.

    References
    ----------
    Wald, A. (1947). A note on regression analysis. Annals of Mathematical Statistics 18, 586-589.

    Seely, J. F. and El-Bassiouni, Y. (1983). Applying Wald's variance component test. Annals of Statistics 11, 197-201.

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"))
    >>> print(lmm.exact_f_test(fit))
    Exact F test
    Null hypothesis: The variance of Batch is zero.
    F = 4.5983, null distribution F(5, 24), p-value 0.0044
    """
    fit = mixed_model(fit, "exact_f_test")
    tested = tested_effects(fit, group)
    Q, residual, basis = least_squares(fit.design)
    others, under_test = _blocks(fit, tested)
    rss, rank = residual_space([*others, under_test], Q, residual)
    rss_0, rank_0 = residual_space(others, Q, residual)
    r, m = rank - rank_0, fit.nobs - rank
    if fit.known_sigma is not None:
        return _chi_square(tested, (rss_0 - rss) * (basis.scale / fit.known_sigma) ** 2, r)
    if r == 0 or m == 0:
        return TestResult(
            "Exact F test", tested.null, np.nan, (float(r), float(m)), np.nan, "", "F", (_obstacle(fit, tested, r),)
        )
    F = ((rss_0 - rss) / r) / (rss / m)
    p_value = float(special.fdtrc(r, m, F))
    return TestResult("Exact F test", tested.null, F, (float(r), float(m)), p_value, f"F({r}, {m})", "F")


def _blocks(fit: FittedModel, tested: EffectsTested) -> tuple[list[Block], Block]:
    """Columns of the other random effects, by grouping factor, and those under test."""
    root = fit.design.root_weights
    others = []
    for t, factor in enumerate(fit.factors):
        kept = ~tested.effects if t == tested.factor else np.ones(len(factor.effects), dtype=bool)
        if kept.any():
            others.append(Block(factor.codes, factor.n_levels, _scaled(factor.columns[:, kept], root)))
    factor = fit.factors[tested.factor]
    return others, Block(factor.codes, factor.n_levels, _scaled(factor.columns[:, tested.effects], root))


def _scaled(columns: FloatArray, root: FloatArray) -> FloatArray:
    """Columns times the square roots of the weights, each in units of its own size."""
    weighted = columns * root[:, None]
    return np.asarray(weighted / np.abs(weighted).max(axis=0))


def _chi_square(tested: EffectsTested, statistic: float, r: int) -> TestResult:
    """Test with a known residual standard deviation."""
    name = "Exact chi-square test"
    if r == 0:
        return TestResult(name, tested.null, np.nan, (0.0,), np.nan, "", "X2", (_aliased(tested),))
    p_value = float(special.chdtrc(r, statistic))
    return TestResult(name, tested.null, statistic, (float(r),), p_value, f"chi2({r})", "X2")


def _obstacle(fit: FittedModel, tested: EffectsTested, r: int) -> str:
    """Why there is no F test."""
    if r == 0:
        return _aliased(tested)
    return (
        f"The columns of the fixed and random effects span all {fit.nobs} rows: nothing is left to estimate the "
        "residual variance from."
    )


def _aliased(tested: EffectsTested) -> str:
    return (
        f"The columns of {tested.label} are combinations of those of the other effects (rank 0), as when another "
        f"grouping factor is nested in it: no sum of squares is left that tells its variance. Use lmm.exact_rlrt, "
        "lmm.lrt, or for balanced data lmm.optimal_test."
    )
