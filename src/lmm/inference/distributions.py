"""
Tail probabilities and quantiles of t and F, with infinitely many degrees of freedom among those allowed.

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


def f_tail(statistic: float, numerator: float, denominator: float) -> float:
    """P(F > statistic)."""
    from scipy import special  # noqa: PLC0415 - see above

    if np.isinf(denominator):
        return float(special.chdtrc(numerator, numerator * statistic))
    return float(special.fdtrc(numerator, denominator, statistic))
