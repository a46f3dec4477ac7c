"""Tail probabilities and quantiles of t and F, with infinitely many degrees of freedom among those allowed."""

from __future__ import annotations

import numpy as np
from scipy import special

from lmm.linalg import FloatArray


def two_sided_p(t: FloatArray, df: FloatArray) -> FloatArray:
    """P(|T| > |t|) for T with df degrees of freedom, entry by entry."""
    return np.asarray(2.0 * special.stdtr(df, -np.abs(t)))


def t_quantile(probability: float, df: FloatArray) -> FloatArray:
    """Quantiles of t for each df."""
    return np.asarray(special.stdtrit(df, probability))


def f_tail(statistic: float, numerator: float, denominator: float) -> float:
    """P(F > statistic)."""
    if np.isinf(denominator):
        return float(special.chdtrc(numerator, numerator * statistic))
    return float(special.fdtrc(numerator, denominator, statistic))
