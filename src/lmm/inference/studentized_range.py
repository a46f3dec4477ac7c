"""
The studentized range: the distribution behind Tukey's method for all differences of k means.

For k independent standard normal variables with range R, and an independent S = sqrt(chi2_v / v),

    P(R / S > q) = int f_v(s) P(R > q s) ds,
    P(R > w)     = k int phi(z) [Phi(z)^(k-1) - (Phi(z) - Phi(z - w))^(k-1)] dz.

The second line is the complement of the usual integral, taken under the integral sign, so that a small tail is not lost
in a difference from 1. Both integrals are by Gauss-Legendre quadrature, the outer one in log(s); the absolute error is
below 1e-11.

References
----------
Copenhaver, M. D. and Holland, B. (1988). Computation of the distribution of the maximum studentized range statistic
with application to multiple significance testing of simple effects. Journal of Statistical Computation and Simulation
30, 1-15.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy import optimize, special

from lmm.linalg import FloatArray

# What the inner integral leaves out: no normal variable exceeds FAR but with probability NEGLIGIBLE.
FAR, NEGLIGIBLE = 8.3, 1e-16
# Of the inner integral; the outer one has four times as many.
NODES = 96
# Probability of s outside the range of the outer integral.
OUTSIDE = 1e-13
# Beyond this many degrees of freedom S is 1 to the accuracy of the quadrature.
MANY = 1e9


def range_tail(q: float, k: int, df: float) -> float:
    """
    P(Q > q) for the studentized range of k means with df degrees of freedom.

    Examples
    --------
    >>> round(range_tail(3.633160, 4, float("inf")), 6)
    0.05
    """
    if q <= 0.0:
        return 1.0
    if df > MANY:
        return float(_normal_range_tail(np.array([q]), k)[0])
    half = 0.5 * df
    low = np.log(special.gammaincinv(half, OUTSIDE) / half)
    high = np.log(special.gammainccinv(half, OUTSIDE) / half)
    nodes, weights = _legendre(4 * NODES)
    log_square = 0.5 * (low + high) + 0.5 * (high - low) * nodes
    # the density of log(S^2), where df S^2 is chi-square, up to its constant
    mass = weights * np.exp(half * (log_square - np.expm1(log_square)))
    tail = _normal_range_tail(q * np.exp(0.5 * log_square), k)
    return float(min(mass @ tail / mass.sum(), 1.0))


def range_quantile(probability: float, k: int, df: float) -> float:
    """
    Quantile of the studentized range of k means with df degrees of freedom.

    Examples
    --------
    >>> round(range_quantile(0.95, 4, float("inf")), 6)
    3.633160
    """
    outside = 1.0 - probability
    # Bonferroni's bound on the quantile holds for every k and df.
    pairs = k * (k - 1) / 2
    bound = float(np.sqrt(2.0) * special.stdtrit(df, 1.0 - outside / (2.0 * pairs)))
    root: float = optimize.brentq(
        lambda q: range_tail(q, k, df) - outside, 0.0, bound * (1.0 + 1e-6), xtol=1e-11, rtol=1e-12
    )
    return root


def _normal_range_tail(w: FloatArray, k: int) -> FloatArray:
    """P(R > w), shape (m,), for the range R of k standard normal variables."""
    low = special.ndtri(NEGLIGIBLE ** (1.0 / k))  # all k variables lie above it
    nodes, weights = _legendre(NODES)
    z = 0.5 * (low + FAR) + 0.5 * (FAR - low) * nodes
    below = special.ndtr(z)
    density = weights * np.exp(-0.5 * z**2) * below ** (k - 1)
    with np.errstate(divide="ignore"):
        missed = -np.expm1((k - 1) * np.log1p(-special.ndtr(z - w[:, None]) / below))
    return np.asarray(0.5 * (FAR - low) * k / np.sqrt(2.0 * np.pi) * (missed @ density))


@functools.cache
def _legendre(n: int) -> tuple[FloatArray, FloatArray]:
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return nodes, weights
