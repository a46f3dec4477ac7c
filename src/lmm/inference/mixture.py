"""
Chi-bar-square distributions: mixtures of chi-squares, the null distributions of likelihood ratios on a boundary.

At a boundary point the parameters may move in a convex cone only. With J the information of the parameters that are
confined to a cone K (the others projected out), the likelihood-ratio statistic tends to |P_K z|^2 in the metric J for
z ~ N(0, J^-1), plus a chi-square for what is free to move either way; and |P_K z|^2 is a mixture of chi-squares whose
weights are the intrinsic volumes of K.

References
----------
Shapiro, A. (1985). Asymptotic distribution of test statistics in the analysis of moment structures under inequality
constraints. Biometrika 72, 133-144.

Silvapulle, M. J. and Sen, P. K. (2005). Constrained Statistical Inference, sections 3.4-3.5. Wiley.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from lmm.inference.cones import simulated_weights
from lmm.linalg import FloatArray

# Half-lines for which the weights have a closed form.
MOST_EXACT = 3


@dataclass(frozen=True)
class ChiBarSquare:
    """
    A mixture of chi-square distributions with consecutive degrees of freedom.

    Attributes
    ----------
    weights : ndarray (m,)
    least : int
        Degrees of freedom of the first component; those of the others follow on.
    covariance : ndarray (m, m) or None
        Covariance of weights that were estimated by simulation, None where they are exact.

    Examples
    --------
    >>> import numpy as np
    >>> mixture = ChiBarSquare(np.array([0.5, 0.5]), 0)
    >>> str(mixture), round(mixture.sf(2.706), 4)
    ('0.5 chi2(0) + 0.5 chi2(1)', 0.05)
    """

    weights: FloatArray
    least: int
    covariance: FloatArray | None = None

    def __str__(self) -> str:
        if len(self.weights) == 1:
            return f"chi2({self.least})"
        return " + ".join(f"{weight:.3g} chi2({self.least + i})" for i, weight in enumerate(self.weights))

    def plus(self, df: int) -> ChiBarSquare:
        """Distribution of the sum with an independent chi-square variable with ``df`` degrees of freedom."""
        return replace(self, least=self.least + df)

    def sf(self, x: float) -> float:
        """Probability of x or more."""
        return float(self.weights @ self._tails(x))

    def sf_error(self, x: float) -> float:
        """Standard error of `sf` from simulated weights, 0 where they are exact."""
        tails = self._tails(x)
        return 0.0 if self.covariance is None else float(np.sqrt(tails @ self.covariance @ tails))

    def _tails(self, x: float) -> FloatArray:
        """Probability of x or more of each component; chi2(0) is a point mass at 0."""
        df = self.least + np.arange(len(self.weights))
        if x <= 0.0:
            return np.ones(len(df))
        return np.where(df > 0, special.chdtrc(np.maximum(df, 1), x), 0.0)


def chi_bar_square(J: FloatArray, sizes: tuple[int, ...], free: int, rng: np.random.Generator) -> ChiBarSquare:
    """
    Null distribution for parameters confined to a product of cones of positive semidefinite matrices.

    Parameters
    ----------
    J : ndarray (d, d)
        Information of the confined parameters, the entries a <= b of each matrix, row by row.
    sizes : tuple of int
        Size m of each matrix; 1 for a variance of its own.
    free : int
        Degrees of freedom of what may move either way.
    rng : Generator
        For weights without a closed form.
    """
    if not sizes:
        return ChiBarSquare(np.ones(1), free)
    if max(sizes) == 1 and len(sizes) <= MOST_EXACT:
        return ChiBarSquare(_orthant_weights(np.asarray(np.linalg.inv(J))), free)
    weights, covariance = simulated_weights(J, sizes, rng)
    return ChiBarSquare(weights, free, covariance)


def circular_cone(d: int, angle: float) -> ChiBarSquare:
    """
    Distribution of the squared length of the projection of d independent normal variables on a circular cone.

    Parameters
    ----------
    d : int
        Dimension, 2 or more.
    angle : float
        Between the axis of the cone and its boundary, from 0 (a half-line) to pi / 2 (a half-space).

    References
    ----------
    Amelunxen, D., Lotz, M., McCoy, M. B. and Tropp, J. A. (2014). Living on the edge: phase transitions in convex
    programs with random data. Information and Inference 3, 224-294, appendix D.

    Examples
    --------
    >>> import numpy as np
    >>> str(circular_cone(2, np.pi / 4))
    '0.25 chi2(0) + 0.5 chi2(1) + 0.25 chi2(2)'
    """
    sin, cos = float(np.sin(angle)), float(np.cos(angle))
    k = np.arange(1, d)
    weights = np.empty(d + 1)
    weights[0], weights[d] = 0.5 * special.betainc((d - 1) / 2.0, 0.5, np.array([cos**2, sin**2]))
    weights[1:d] = 0.5 * special.binom((d - 2) / 2.0, (k - 1) / 2.0) * sin ** (k - 1) * cos ** (d - k - 1)
    return ChiBarSquare(weights, 0)


def _orthant_weights(cov: FloatArray) -> FloatArray:
    """Weights for up to three variances whose estimates have this covariance (Shapiro 1985)."""
    d = len(cov)
    if d == 1:
        return np.array([0.5, 0.5])
    sd = np.sqrt(np.diagonal(cov))
    angles = np.arccos(np.clip(cov / np.outer(sd, sd), -1.0, 1.0))
    if d == 2:  # noqa: PLR2004 - two variances
        none = angles[0, 1] / (2.0 * np.pi)
        return np.array([none, 0.5, 0.5 - none])
    precision = np.linalg.inv(cov)
    sd = np.sqrt(np.diagonal(precision))
    partial = np.arccos(np.clip(-precision / np.outer(sd, sd), -1.0, 1.0))
    pairs = np.triu_indices(3, 1)
    every = (2.0 * np.pi - angles[pairs].sum()) / (4.0 * np.pi)
    two = (3.0 * np.pi - partial[pairs].sum()) / (4.0 * np.pi)
    return np.array([0.5 - two, 0.5 - every, two, every])
