"""
P-values and limits that hold for a family of comparisons together.

References
----------
Tukey, J. W. (1953). The problem of multiple comparisons. In: The Collected Works of John W. Tukey VIII, 1994. Kramer,
C. Y. (1956) for means of unequal precision: Extension of multiple range tests to group means with unequal numbers of
replications. Biometrics 12, 307-310.
Sidak, Z. (1967). Rectangular confidence regions for the means of multivariate normal distributions. Journal of the
American Statistical Association 62, 626-633.
Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 6, 65-70.
"""

from __future__ import annotations

import numpy as np

from lmm.inference.distributions import t_quantile, two_sided_p
from lmm.inference.studentized_range import range_quantile, range_tail
from lmm.linalg import FloatArray

ADJUSTMENTS = ("tukey", "holm", "bonferroni", "sidak", "none")


def adjusted_p(t: FloatArray, df: FloatArray, adjust: str, k: int) -> FloatArray:
    """
    Adjusted two-sided p-values of one family, shape (r,).

    Parameters
    ----------
    t, df : ndarray (r,)
        Statistics and degrees of freedom, NaN for a comparison that is not estimable; it counts all the same.
    adjust : str
        One of `ADJUSTMENTS`; "tukey" for all differences of k means.
    k : int
        Number of means.
    """
    p, m = two_sided_p(t, df), len(t)
    if m == 1 or adjust == "none":
        return p
    if adjust == "tukey":
        known = np.isfinite(t)
        p[known] = [range_tail(np.sqrt(2.0) * abs(x), k, v) for x, v in zip(t[known], df[known], strict=True)]
        return p
    if adjust == "sidak":
        with np.errstate(divide="ignore"):
            return np.asarray(-np.expm1(m * np.log1p(-p)))
    if adjust == "bonferroni":
        return np.minimum(m * p, 1.0)
    order = np.argsort(p)  # NaN last
    stepped = np.maximum.accumulate((m - np.arange(m)) * p[order])
    adjusted = np.empty(m)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def critical_value(df: FloatArray, level: float, adjust: str, m: int, k: int) -> FloatArray:
    """
    Standard errors from estimates to simultaneous limits, shape (r,), in families of m comparisons of k means.

    The limits that go with Holm's tests are Bonferroni's.
    """
    if m == 1 or adjust == "none":
        return t_quantile(0.5 + level / 2.0, df)
    if adjust == "sidak":
        return t_quantile(0.5 + level ** (1.0 / m) / 2.0, df)
    if adjust != "tukey":
        return t_quantile(1.0 - (1.0 - level) / (2.0 * m), df)
    values = np.full(len(df), np.nan)
    rounded = np.round(df, 8)  # equal but for rounding errors in most designs
    for v in np.unique(rounded[~np.isnan(rounded)]):
        values[rounded == v] = range_quantile(level, k, v) / np.sqrt(2.0)
    return values
