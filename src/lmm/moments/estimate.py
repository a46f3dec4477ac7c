"""`lmm.anova_estimates`: from a formula and a data frame to moment estimates of the variance components."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from lmm.arguments import one_of
from lmm.design import Design, build_design
from lmm.errors import ArgumentError, ModelError
from lmm.formula import parse_formula
from lmm.model import FittedModel
from lmm.moments.henderson import reductions
from lmm.moments.minque import minque0
from lmm.moments.result import TITLES, MomentEstimates
from lmm.moments.sources import Source, parameter_names, random_sources, source_products
from lmm.moments.table import anova_rows, error_rows, f_test, imbalance, require_balance


def anova_estimates(
    formula: str | FittedModel,
    data: Any = None,  # noqa: ANN401 - frames of any library
    *,
    method: str = "henderson3",
    weights: str | ArrayLike | None = None,
    offset: str | ArrayLike | None = None,
    na_action: str = "drop",
    contrasts: dict[str, Any] | None = None,
) -> MomentEstimates:
    """
    Estimate variance components from moment equations: analysis of variance, Henderson's method 3, MINQUE(0).

    Parameters
    ----------
    formula : str or FittedModel
        As for `lmm.fit`. Effects of one term must be independent: ``(1 | g)``, ``(x || g)``. A fitted model stands for
        its formula with its data, weights, offset and contrasts.
    data : DataFrame
        One row per observation; left out with a fitted model.
    method : {"henderson3", "balanced", "minque0"}
        ``"henderson3"``: sums of squares of the random effects in the order of the formula, each adjusted for the
        fixed effects and for those before it, set equal to their expectations; any layout. ``"balanced"``: the same
        numbers where the layout is balanced, with the F tests of the textbook for every source that has one; other
        layouts are refused. ``"minque0"``: one quadratic form for each variance; no order of terms and one pass.
    weights, offset, na_action, contrasts
        As for `lmm.fit`.

    Returns
    -------
    MomentEstimates
        Variances in squared units of the response; negative ones are kept.

    Raises
    ------
    ArgumentError
        When a fitted model comes with data, or with arguments that it holds already.
    ModelError
        For correlated random effects, a source without degrees of freedom, a layout that is not balanced, or a fitted
        model with a known residual standard deviation.
    LMMError
        For the other arguments, as in `lmm.fit`.

    Notes
    -----
    In a balanced layout the estimates equal those of REML where none of them is negative (Searle, Casella and
    McCulloch 1992, section 4.9).

    References
    ----------
    Henderson, C. R. (1953). Estimation of variance and covariance components. Biometrics 9, 226-252.

    Searle, S. R., Casella, G. and McCulloch, C. E. (1992). Variance Components. Wiley, chapters 4, 5 and 11.

    Rao, C. R. (1971). Minimum variance quadratic unbiased estimation of variance components. Journal of Multivariate
    Analysis 1, 445-456.

    Examples
    --------
    >>> import lmm
    >>> dyestuff = lmm.datasets.load("dyestuff")
    >>> print(lmm.anova_estimates("Yield ~ 1 + (1 | Batch)", dyestuff, method="balanced"))
    Analysis of variance of a balanced layout
    Formula: Yield ~ 1 + (1 | Batch)
    Number of obs: 30
    <BLANKLINE>
    Source       SS df    MS     F      p    Error        Expected MS
    Batch     56358  5 11272 4.598 0.0044 Residual Residual + 5 Batch
    Residual  58830 24  2451                                 Residual
    Total    115188 29
    <BLANKLINE>
    Estimates
             Variance
    Batch        1764
    Residual     2451
    """
    one_of("method", method, TITLES)
    if isinstance(formula, FittedModel):
        given = {"data": data, "weights": weights, "offset": offset, "contrasts": contrasts}
        names = [name for name, value in given.items() if value is not None]
        design = _design_of(formula, [*names, *(["na_action"] if na_action != "drop" else [])])
    else:
        design = build_design(
            parse_formula(formula), data, weights=weights, offset=offset, na_action=na_action, contrasts=contrasts
        )
    sources = random_sources(design)
    return _by_minque(design, sources) if method == "minque0" else _by_reductions(design, sources, method)


def _design_of(model: FittedModel, given: list[str]) -> Design:
    """Design of a fitted model, with which no other data or arguments can be given."""
    if given:
        raise ArgumentError(
            f"A fitted model brings its own data, weights, offset and contrasts: leave out {', '.join(given)}, or give "
            "a formula in place of the model."
        )
    if model.known_sigma is not None:
        raise ModelError(
            "The model was fitted with a known residual standard deviation, and moment equations estimate it: give the "
            "formula and the data in place of the model."
        )
    return model.design


def _by_reductions(design: Design, sources: tuple[Source, ...], method: str) -> MomentEstimates:
    """Sums of squares and what follows from them."""
    products = source_products(design, sources)
    found = reductions(products, sources)
    rows = anova_rows(design, products, sources, found)
    why = imbalance(rows, products, sources)
    if method == "balanced":
        require_balance(why)
    ms = rows.ss / rows.df
    errors = error_rows(rows, balanced=method == "balanced")
    tests = np.array([f_test(ms, rows.df, i, error) for i, error in enumerate(errors)])
    names = parameter_names(sources)
    table = pd.DataFrame(
        {
            "sum_sq": np.append(rows.ss, rows.ss.sum()),
            "df": np.append(rows.df, rows.df.sum()),
            "mean_sq": np.append(ms, np.nan),
            "error": pd.Series([*(None if j is None else rows.names[j] for j in errors), None], dtype=object),
            "statistic": np.append(tests[:, 0], np.nan),
            "p_value": np.append(tests[:, 1], np.nan),
        }
    ).set_index(pd.Index([*rows.names, "Total"]))
    return MomentEstimates(
        formula=design.formula.text,
        method=method,
        estimates=pd.Series(found.variances, index=names),
        table=table,
        expectations=pd.DataFrame(rows.ems, index=list(rows.names), columns=names),
        imbalance=why,
        nobs=products.n,
    )


def _by_minque(design: Design, sources: tuple[Source, ...]) -> MomentEstimates:
    """Quadratic forms and what follows from them."""
    coefficients, forms = minque0(design, sources)
    names = parameter_names(sources)
    return MomentEstimates(
        formula=design.formula.text,
        method="minque0",
        estimates=pd.Series(np.linalg.solve(coefficients, forms), index=names),
        table=pd.DataFrame({"quadratic_form": forms}, index=names),
        expectations=pd.DataFrame(coefficients, index=names, columns=names),
        imbalance="",
        nobs=len(design.y),
    )
