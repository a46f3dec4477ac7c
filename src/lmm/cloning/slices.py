"""
Slice sampling on a circle, coordinate by coordinate.

A slice sampler needs no tuning to be right and little to be fast. The brackets of a coordinate are arcs of width
2^(1 - j) of a circle of length 2, laid at random, so that stepping out walks on a closed grid.

References
----------
Neal, R. M. (2003). Slice sampling. Annals of Statistics 31, 705-767.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

import numpy as np

from lmm.linalg import FloatArray, IntArray

# Length of the circle.
WHOLE = 2.0
# Brackets are the powers of two next above this many times the mean move of a coordinate in the warm-up.
REACH = 3.0
# Weight of the last move in that mean.
MEMORY = 0.1
# A bracket narrower than this is a rounding error: the coordinate stays where it is.
NARROWEST = 1e-13


# What a walk does: it asks for the log density at points (m,), and ends with its draws (n_iter, m).
Walk = Generator[FloatArray, float, FloatArray]


def walk_together(log_density: Callable[[FloatArray, IntArray], FloatArray], walks: Sequence[Walk]) -> list[FloatArray]:
    """
    Let walks go on side by side, so that densities are computed for all of them at once.

    Parameters
    ----------
    log_density : callable
        Log densities, shape (B,), of points (B, m) of as many walks, whose numbers (B,) are the second argument; up to
        a constant for each walk, and -inf where there is none.
    walks : sequence of Walk

    Returns
    -------
    list of ndarray (n_iter, m)
        What each walk would have drawn by itself.
    """
    asked = {i: next(walk) for i, walk in enumerate(walks)}
    draws: dict[int, FloatArray] = {}
    while asked:
        running = np.array(list(asked))
        values = log_density(np.array(list(asked.values())), running)
        for i, value in zip(running.tolist(), values.tolist(), strict=True):
            try:
                asked[i] = walks[i].send(value)
            except StopIteration as end:
                draws[i] = end.value
                del asked[i]
    return [draws[i] for i in range(len(walks))]


def circle_walk(m: int, n_iter: int, n_warmup: int, rng: np.random.Generator) -> Walk:
    """
    Draw from a density on a product of m circles [-1, 1).

    Parameters
    ----------
    m, n_iter, n_warmup : int
        Coordinates, draws, and draws before them that set the brackets and are thrown away.
    rng : Generator
    """
    value = -np.inf
    while not np.isfinite(value):
        point = rng.uniform(-1.0, 1.0, m)
        value = yield point
    moves, widths = np.full(m, WHOLE), np.full(m, WHOLE)
    draws = np.empty((n_iter, m))
    for i in range(-n_warmup, n_iter):
        for c in range(m):
            before = point[c]
            point, value = yield from _update(point, value, c, widths[c], rng)
            if i < 0:
                moves[c] += MEMORY * (abs(_wrapped(point[c] - before)) - moves[c])
                widths[c] = WHOLE / 2.0 ** max(0.0, np.floor(np.log2(WHOLE / (REACH * moves[c]))))
        if i >= 0:
            draws[i] = point
    return draws


def _update(
    point: FloatArray, value: float, c: int, width: float, rng: np.random.Generator
) -> Generator[FloatArray, float, tuple[FloatArray, float]]:
    """New point and its log density after an update of coordinate c."""

    def moved(x: float) -> FloatArray:
        other = point.copy()
        other[c] = _wrapped(x)
        return other

    level = value - rng.standard_exponential()
    low = point[c] - width * rng.random()
    high = low + width
    while high - low < WHOLE and (yield moved(low)) > level:
        low -= width
    while high - low < WHOLE and (yield moved(high)) > level:
        high += width
    if high - low >= WHOLE:
        # Where the arc is the whole circle, its ends must not tell where it was laid out from.
        low = point[c] - WHOLE * rng.random()
        high = low + WHOLE
    while high - low > NARROWEST:
        x = low + (high - low) * rng.random()
        candidate = moved(x)
        new = yield candidate
        if new > level:
            return candidate, new
        if x < point[c]:
            low = x
        else:
            high = x
    return point, value


def _wrapped(x: float) -> float:
    """Point of the circle [-1, 1)."""
    return (x + 1.0) % WHOLE - 1.0
