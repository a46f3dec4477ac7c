"""The variance of a row: what each grouping factor and the residuals contribute to it, on average over the rows."""

from __future__ import annotations

import numpy as np

from lmm.factors import GroupingFactor
from lmm.linalg import FloatArray


def mean_root(factor: GroupingFactor) -> FloatArray:
    """
    Root of the mean square of the random-effects columns of a factor.

    Returns
    -------
    ndarray (k, k)
        R for which trace(R Sigma R') is the mean variance that effects with covariance matrix Sigma give a row.
    """
    return np.asarray(np.linalg.qr(factor.columns, mode="r") / np.sqrt(len(factor.columns)))


def mean_residual(weights: FloatArray | None) -> float:
    """Mean variance of the errors of the rows, in units of sigma^2."""
    return 1.0 if weights is None else float((1.0 / weights).mean())
