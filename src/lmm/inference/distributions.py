"""
Tail probabilities and quantiles of t and F, with infinitely many degrees of freedom among those allowed; p-values.

`scipy.special` is imported on use: every fit imports this module, few need it.
"""

from __future__ import annotations

import numpy as np

from lmm.linalg import FloatArray


def two_sided_p(t: FloatArray, df: FloatArray) -> FloatArray:
    """P(|T| > |t|) for T with df degrees of freedom, entry by entry."""
    from scipy import special  # noqa: PLC0415 - see above

    return np.asarray(2.0 * special.stdtr(df, -np.abs(t)))


def t_quantile(probability: float, df: FloatArray) -> FloatArray:
    """Quantiles of t for each df."""
    from scipy import special  # noqa: PLC0415 - see above

    return np.asarray(special.stdtrit(df, probability))


def simulated_p(statistic: float, draws: FloatArray) -> tuple[float, float]:
    """
    P-value from draws of the null distribution, the observed statistic counted in, and its standard error.

    References
    ----------
    Davison, A. C. and Hinkley, D. V. (1997). Bootstrap Methods and their Application. Cambridge University Press,
    section 4.2.5.
    """
    p_value = (1.0 + float((draws >= statistic).sum())) / (1.0 + len(draws))
    return p_value, float(np.sqrt(p_value * (1.0 - p_value) / len(draws)))


def f_tail(statistic: float, numerator: float, denominator: float) -> float:
    """P(F > statistic)."""
    from scipy import special  # noqa: PLC0415 - see above

    if np.isinf(denominator):
        return float(special.chdtrc(numerator, numerator * statistic))
    return float(special.fdtrc(numerator, denominator, statistic))
