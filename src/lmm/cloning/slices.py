"""
Slice sampling on a circle, coordinate by coordinate.

A slice sampler needs no tuning to be right and little to be fast. The brackets of a coordinate are arcs of width
2^(1 - j) of a circle of length 2, laid at random, so that stepping out walks on a closed grid.

References
----------
Neal, R. M. (2003). Slice sampling. Annals of Statistics 31, 705-767.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lmm.linalg import FloatArray

# Length of the circle.
WHOLE = 2.0
# Brackets are the powers of two next above this many times the mean move of a coordinate in the warm-up.
REACH = 3.0
# Weight of the last move in that mean.
MEMORY = 0.1
# A bracket narrower than this is a rounding error: the coordinate stays where it is.
NARROWEST = 1e-13


def sample_circle(
    log_density: Callable[[FloatArray], float], m: int, n_iter: int, n_warmup: int, rng: np.random.Generator
) -> FloatArray:
    """
    Draw from a density on a product of m circles [-1, 1).

    Parameters
    ----------
    log_density : callable
        Log density at a point of shape (m,), up to a constant; -inf where there is none.
    m, n_iter, n_warmup : int
        Coordinates, draws, and draws before them that set the brackets and are thrown away.
    rng : Generator

    Returns
    -------
    ndarray (n_iter, m)
    """
    point = rng.uniform(-1.0, 1.0, m)
    while not np.isfinite(log_density(point)):
        point = rng.uniform(-1.0, 1.0, m)
    value = log_density(point)
    moves, widths = np.full(m, WHOLE), np.full(m, WHOLE)
    draws = np.empty((n_iter, m))
    for i in range(-n_warmup, n_iter):
        for c in range(m):
            before = point[c]
            point, value = _update(log_density, point, value, c, widths[c], rng)
            if i < 0:
                moves[c] += MEMORY * (abs(_wrapped(point[c] - before)) - moves[c])
                widths[c] = WHOLE / 2.0 ** max(0.0, np.floor(np.log2(WHOLE / (REACH * moves[c]))))
        if i >= 0:
            draws[i] = point
    return draws


def _update(
    log_density: Callable[[FloatArray], float],
    point: FloatArray,
    value: float,
    c: int,
    width: float,
    rng: np.random.Generator,
) -> tuple[FloatArray, float]:
    """New point and its log density after an update of coordinate c."""

    def at(x: float) -> tuple[FloatArray, float]:
        moved = point.copy()
        moved[c] = _wrapped(x)
        return moved, log_density(moved)

    level = value - rng.standard_exponential()
    low = point[c] - width * rng.random()
    high = low + width
    while high - low < WHOLE and at(low)[1] > level:
        low -= width
    while high - low < WHOLE and at(high)[1] > level:
        high += width
    if high - low >= WHOLE:
        # Where the arc is the whole circle, its ends must not tell where it was laid out from.
        low = point[c] - WHOLE * rng.random()
        high = low + WHOLE
    while high - low > NARROWEST:
        x = low + (high - low) * rng.random()
        moved, new = at(x)
        if new > level:
            return moved, new
        if x < point[c]:
            low = x
        else:
            high = x
    return point, value


def _wrapped(x: float) -> float:
    """Point of the circle [-1, 1)."""
    return (x + 1.0) % WHOLE - 1.0
