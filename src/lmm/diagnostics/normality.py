"""
Tests of normality: Shapiro and Francia's, and for many values D'Agostino and Pearson's.

Both need the normal distribution only, so that a report on a fit does not wait for ``scipy.stats`` to be imported.

References
----------
Shapiro, S. S. and Francia, R. S. (1972). An approximate analysis of variance test for normality. Journal of the
American Statistical Association 67, 215-216.

Royston, P. (1993). A pocket-calculator algorithm for the Shapiro-Francia test for non-normality: an application to
medicine. Statistics in Medicine 12, 181-184.

D'Agostino, R. B., Belanger, A. and D'Agostino, R. B. (1990). A suggestion for using powerful and informative tests of
normality. The American Statistician 44, 316-321.
"""

from __future__ import annotations

import numpy as np
from scipy.special import chdtrc, ndtr, ndtri

from lmm.linalg import FloatArray

# Most values for which the distribution of Shapiro and Francia's statistic is known (Royston 1993).
MOST_VALUES = 5000


def skewness_and_kurtosis(values: FloatArray) -> tuple[float, float]:
    """Skewness, and kurtosis in excess of 3, of values that are not all equal."""
    centred = values - values.mean()
    variance = float((centred**2).mean())
    return float((centred**3).mean()) / variance**1.5, float((centred**4).mean()) / variance**2 - 3.0


def normality_test(values: FloatArray) -> tuple[str, float]:
    """
    Test whether eight values or more come from one normal distribution.

    Returns
    -------
    test : str
        Shapiro-Francia up to 5,000 values, D'Agostino-Pearson beyond.
    p_value : float
    """
    if len(values) <= MOST_VALUES:
        return "Shapiro-Francia", shapiro_francia(values)
    return "D'Agostino-Pearson", dagostino_pearson(values)


def shapiro_francia(values: FloatArray) -> float:
    """p-value of W', the squared correlation of the ordered values and Blom's normal scores (Royston 1993)."""
    n = len(values)
    scores = ndtri((np.arange(1, n + 1) - 0.375) / (n + 0.25))
    W = float(np.corrcoef(np.sort(values), scores)[0, 1]) ** 2
    u, v = np.log(n), np.log(np.log(n))
    mean, sd = -1.2725 + 1.0521 * (v - u), 1.0308 - 0.26758 * (v + 2.0 / u)
    return float(ndtr((mean - np.log(max(1.0 - W, np.finfo(float).tiny))) / sd))


def dagostino_pearson(values: FloatArray) -> float:
    """p-value of K^2, the sum of the squared normal deviates of skewness and kurtosis (D'Agostino et al. 1990)."""
    n = float(len(values))
    skewness, excess = skewness_and_kurtosis(values)
    y = skewness * np.sqrt((n + 1.0) * (n + 3.0) / (6.0 * (n - 2.0)))
    beta_2 = 3.0 * (n**2 + 27.0 * n - 70.0) * (n + 1.0) * (n + 3.0)
    beta_2 /= (n - 2.0) * (n + 5.0) * (n + 7.0) * (n + 9.0)
    W2 = np.sqrt(2.0 * (beta_2 - 1.0)) - 1.0
    z_skewness = np.arcsinh(y * np.sqrt((W2 - 1.0) / 2.0)) / np.sqrt(0.5 * np.log(W2))

    variance = 24.0 * n * (n - 2.0) * (n - 3.0) / ((n + 1.0) ** 2 * (n + 3.0) * (n + 5.0))
    x = (excess + 3.0 - 3.0 * (n - 1.0) / (n + 1.0)) / np.sqrt(variance)
    root = 6.0 * (n**2 - 5.0 * n + 2.0) / ((n + 7.0) * (n + 9.0))
    root *= np.sqrt(6.0 * (n + 3.0) * (n + 5.0) / (n * (n - 2.0) * (n - 3.0)))
    A = 6.0 + 8.0 / root * (2.0 / root + np.sqrt(1.0 + 4.0 / root**2))
    ratio = (1.0 - 2.0 / A) / (1.0 + x * np.sqrt(2.0 / (A - 4.0)))
    z_kurtosis = (1.0 - 2.0 / (9.0 * A) - np.cbrt(ratio)) / np.sqrt(2.0 / (9.0 * A))
    return float(chdtrc(2.0, z_skewness**2 + z_kurtosis**2))
