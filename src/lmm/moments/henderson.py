"""
Henderson's method 3: reductions in sum of squares and their expectations.

Sources enter one after the other, the fixed effects first. With P_i the projection onto all columns up to source i,

    SS_i = y'(P_i - P_{i-1}) y,    E(SS_i) = sum_c sigma_c^2 tr[Z_c'(P_i - P_{i-1}) Z_c] + sigma^2 df_i,

where sources c < i have no part: the equations are triangular, free of the fixed effects, and unbiased.

References
----------
Henderson, C. R. (1953). Estimation of variance and covariance components. Biometrics 9, 226-252.

Searle, S. R., Casella, G. and McCulloch, C. E. (1992). Variance Components. Wiley, section 5.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lmm.errors import ModelError
from lmm.linalg import FloatArray, IntArray
from lmm.moments.projection import explained
from lmm.moments.sources import Source, SourceProducts


@dataclass(frozen=True)
class Reductions:
    """
    Reductions in sum of squares of the random sources and the residual, in that order.

    Attributes
    ----------
    ss : ndarray (m + 1,)
    df : ndarray (m + 1,) of int
    coefficients : ndarray (m + 1, m + 1)
        E(SS) = coefficients @ variances, the residual variance last; upper triangular.
    """

    ss: FloatArray
    df: IntArray
    coefficients: FloatArray

    @property
    def variances(self) -> FloatArray:
        """Variances, shape (m + 1,), that solve E(SS) = SS."""
        return np.asarray(np.linalg.solve(self.coefficients, self.ss))


def reductions(products: SourceProducts, sources: tuple[Source, ...]) -> Reductions:
    """
    Sums of squares of sources taken in the order given.

    Raises
    ------
    ModelError
        When a source adds nothing to those before it, or nothing is left for the residuals.
    """
    m = len(sources)
    lengths = products.A.diagonal()
    totals = [float(lengths[columns].sum()) for columns in products.random]
    ss, df = np.empty(m + 1), np.empty(m + 1, dtype=int)
    coefficients = np.zeros((m + 1, m + 1))
    # tr(Z_c'P Z_c) of the sources still to come, and y'Py; y is orthogonal to the fixed effects.
    before = [float(products.A[products.fixed][:, columns].power(2).sum()) for columns in products.random]
    rank, fitted = len(products.fixed), 0.0
    for i, source in enumerate(sources):
        by_factor: dict[int, list[IntArray]] = {}
        for included, columns in zip(sources[: i + 1], products.spanning, strict=False):
            by_factor.setdefault(included.factor, []).append(columns)
        spans = sorted(map(np.concatenate, by_factor.values()), key=len)
        later = products.random[i + 1 :]
        targets = np.concatenate([*later, [products.response]])
        span = explained(products.A, spans[-1], np.concatenate([products.fixed, *spans[:-1]]), targets)
        df[i], ss[i] = span.rank - rank, span.lengths[-1] - fitted
        if df[i] == 0:
            raise ModelError(
                f"{source.name!r} explains nothing that the effects before it do not explain already: it has no "
                "degrees of freedom. Name coarser factors before those nested in them, and keep one of two factors "
                "that split the rows alike."
            )
        ends = np.cumsum([len(columns) for columns in later])
        after = [float(part.sum()) for part in np.split(span.lengths[:-1], ends[:-1])] if later else []
        coefficients[i, i] = totals[i] - before[i]
        for c, value in zip(range(i + 1, m), after, strict=True):
            coefficients[i, c] = value - before[c]
            before[c] = value
        coefficients[i, -1] = df[i]
        rank, fitted = span.rank, float(span.lengths[-1])
    df[m] = products.n - rank
    if df[m] == 0:
        raise ModelError(
            f"Fixed and random effects together take all {products.n} degrees of freedom: none is left for the "
            "residual variance. Use fewer effects or coarser groups."
        )
    ss[m] = lengths[products.response] - fitted
    coefficients[m, m] = df[m]
    return Reductions(ss, df, coefficients)
