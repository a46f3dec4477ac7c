"""The analysis of variance table of the fixed effects: an F test for each term."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lmm.errors import ArgumentError, LMMWarning, warn
from lmm.inference.contrasts import f_test
from lmm.inference.ddf import approximation
from lmm.inference.term_hypotheses import estimable_hypotheses, sequential_hypotheses
from lmm.linalg import FloatArray, triangular_factor
from lmm.models import linear_model

if TYPE_CHECKING:
    from lmm.fixed import FixedModel
    from lmm.model import FittedModel

TYPES = {1: 1, 2: 2, 3: 3, "1": 1, "2": 2, "3": 3, "I": 1, "II": 2, "III": 3}
# Empty cells named in the warning before the rest are counted.
MOST_CELLS = 6


def anova(fit: FittedModel | FixedModel, type: int | str = 3, ddf: str = "satterthwaite") -> pd.DataFrame:  # noqa: A002 - R's name
    """
    F tests of the terms of the fixed effects.

    Parameters
    ----------
    fit : FittedModel or FixedModel
    type : {1, 2, 3}
        What each term is adjusted for: 1, the terms before it; 2, all terms that do not contain it; 3, all others,
        as an average over the cells of the terms that contain it. The result does not depend on how factors are
        coded, nor, for 2 and 3, on the order of the terms.
    ddf : {"satterthwaite", "kenward-roger", "residual", "normal"}
        Denominator degrees of freedom; see `FittedModel.coef_table`.

    Returns
    -------
    DataFrame
        One row per term, columns sum_sq, mean_sq, num_df, den_df, statistic, p_value. The mean square is the F
        statistic, before Kenward and Roger's scaling, times the residual variance.

    Raises
    ------
    ArgumentError
        For another type or method, and for anything but one fitted model.

    Warns
    -----
    LMMWarning
        When cells of a term are empty: hypotheses of type III are then averages over the cells there are. When a term
        has no test, because its columns are combinations of others.

    References
    ----------
    Goodnight, J. H. (1978). Tests of hypotheses in fixed effects linear models. SAS Technical Report R-101.
    Kuznetsova, A., Brockhoff, P. B. and Christensen, R. H. B. (2017). lmerTest package: tests in linear mixed effects
    models. Journal of Statistical Software 82(13).

    Examples
    --------
    >>> import lmm
    >>> cake = lmm.datasets.load("cake")
    >>> fit = lmm.fit("angle ~ recipe * temperature + (1 | recipe:replicate)", cake)
    >>> lmm.anova(fit).round(3)
                         sum_sq  mean_sq  num_df  den_df  statistic  p_value
    recipe               10.186    5.093     2.0    42.0      0.249    0.781
    temperature        2100.300  420.060     5.0   210.0     20.520    0.000
    recipe:temperature  205.978   20.598    10.0   210.0      1.006    0.439
    """
    fit = linear_model(fit, "anova")
    if not isinstance(type, (int, str)) or isinstance(type, bool) or type not in TYPES:
        raise ArgumentError(f"type must be 1, 2 or 3; got {type!r}. Models are compared by lmm.lrt")
    method = approximation(fit, ddf)
    if TYPES[type] == 3:  # noqa: PLR2004 - the type's name
        hypotheses, empty = estimable_hypotheses(fit.design)
        _warn_of(empty)
    else:
        hypotheses = sequential_hypotheses(fit.design, marginal=TYPES[type] == 2)  # noqa: PLR2004 - the type's name
    names = fit.design.fixed_encoding.term_names
    _warn_of_dropped([name for name, L in zip(names, hypotheses, strict=True) if not len(L)])
    rows = []
    for L in hypotheses:
        independent = _independent_rows(L)
        if not len(independent):
            rows.append((0.0, np.nan, 0.0, np.nan, np.nan, np.nan))
            continue
        F = f_test(fit, independent, method)
        mean_sq = F.unscaled * fit.sigma**2
        rows.append((mean_sq * F.num_df, mean_sq, F.num_df, F.den_df, F.statistic, F.p_value))
    columns = ["sum_sq", "mean_sq", "num_df", "den_df", "statistic", "p_value"]
    return pd.DataFrame(rows, index=pd.Index(list(names), dtype=object), columns=columns, dtype=np.float64)


def _independent_rows(L: FloatArray) -> FloatArray:
    """Rows of L that do not follow from those before them."""
    if not len(L):
        return L
    _, kept = triangular_factor(L.T)
    return L[kept]


def _warn_of_dropped(terms: list[str]) -> None:
    """Say which terms have no hypothesis of their own."""
    if terms:
        warn(
            f"no test for {', '.join(terms)}: the columns of the term are combinations of others, so it adds nothing; "
            "leave it out of the formula, or one of those that it follows from",
            LMMWarning,
        )


def _warn_of(empty: list[str]) -> None:
    """Say which cells are empty."""
    if not empty:
        return
    more = f" and {len(empty) - MOST_CELLS} more" if len(empty) > MOST_CELLS else ""
    warn(
        f"no rows in the cells {', '.join(empty[:MOST_CELLS])}{more}: hypotheses of type III average over the cells "
        "there are, so main effects compare unequal mixtures; look at type=2, or at contrasts of the cells you mean",
        LMMWarning,
    )
