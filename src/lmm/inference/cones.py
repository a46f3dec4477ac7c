"""
Intrinsic volumes, by simulation, of products of cones of positive semidefinite matrices in any metric.

A draw z ~ N(0, J^-1) in the cone belongs to the last volume, one in the polar cone to the first. For the others, the
squared lengths of the projections of z on the cone and on its polar are, given that the draw belongs to volume i,
independent chi-squares with i and d - i degrees of freedom (McCoy & Tropp 2014), so that the volumes are estimated by
maximum likelihood. In three dimensions the first and the last give the others, since volumes of even and of odd order
both add up to one half.

References
----------
McCoy, M. B. and Tropp, J. A. (2014). From Steiner formulas for cones to concentration of intrinsic volumes. Discrete &
Computational Geometry 51, 926-963.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from lmm.linalg import BoolArray, FloatArray, upper_indices

# Draws where only the membership counts, and where draws are projected.
DRAWS, PROJECTED_DRAWS = 200_000, 40_000
# Most steps of the projection and of the likelihood, and the change at which they stop.
PROJECTION_STEPS, LIKELIHOOD_STEPS = 1_000, 5_000
CHANGE = 1e-7
# Dimensions in which first and last volume give the others.
THREE = 3


def simulated_weights(J: FloatArray, sizes: tuple[int, ...], rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """
    Intrinsic volumes of a product of cones, and the covariance of their estimates.

    Parameters
    ----------
    J : ndarray (d, d)
        Metric: information of the entries a <= b of each matrix, row by row.
    sizes : tuple of int
        Sizes of the matrices.
    rng : Generator

    Returns
    -------
    weights : ndarray (d + 1,)
    covariance : ndarray (d + 1, d + 1)
    """
    scale = _isometric_scale(J, sizes)
    J = J * np.outer(scale, scale)
    d = len(J)
    count = DRAWS if d == THREE else PROJECTED_DRAWS
    z = np.linalg.solve(np.linalg.cholesky(J).T, rng.standard_normal((d, count))).T
    last, first = _in_cone(z, sizes), _in_cone(-z @ J, sizes)
    if d == THREE:
        shares = np.array([first.mean(), last.mean()])
        to_weights = np.array([[1.0, 0.0], [0.0, -1.0], [-1.0, 0.0], [0.0, 1.0]])
        weights = np.array([0.0, 0.5, 0.5, 0.0]) + to_weights @ shares
        return weights, to_weights @ (np.diag(shares) - np.outer(shares, shares)) @ to_weights.T / count
    densities = np.zeros((count, d + 1))
    densities[first, 0] = densities[last, d] = 1.0
    between = ~(first | last)
    x = _project(z[between], J, sizes)
    inside = np.einsum("ni,ij,nj->n", x, J, x)
    outside = np.einsum("ni,ij,nj->n", z[between] - x, J, z[between] - x)
    for i in range(1, d):
        densities[between, i] = _density(inside, i) * _density(outside, d - i)
    return _most_likely(densities)


def distance(x: FloatArray, J: FloatArray, sizes: tuple[int, ...]) -> float:
    """Distance of a point x, shape (d,), from a product of cones in the metric J; arguments as above."""
    scale = _isometric_scale(J, sizes)
    J = J * np.outer(scale, scale)
    apart = x / scale - _project((x / scale)[None, :], J, sizes)[0]
    return float(np.sqrt(apart @ J @ apart))


def _isometric_scale(J: FloatArray, sizes: tuple[int, ...]) -> FloatArray:
    """
    Units (d,) of coordinates where projecting is easy: entries off the diagonal times sqrt(2), unit information.

    Congruences with a diagonal matrix leave the cone as it is.
    """
    scales, start = [], 0
    for m in sizes:
        a, b = upper_indices(m)
        own = np.diagonal(J)[start : start + len(a)]
        start += len(a)
        unit = own[a == b] ** -0.25
        scales.append(unit[a] * unit[b] * np.where(a == b, 1.0, np.sqrt(0.5)))
    return np.concatenate(scales)


def _matrices(x: FloatArray, sizes: tuple[int, ...]) -> list[FloatArray]:
    """Symmetric matrices, shape (n, m, m), of isometric coordinates, shape (n, d)."""
    matrices, start = [], 0
    for m in sizes:
        a, b = upper_indices(m)
        entries = x[:, start : start + len(a)] * np.where(a == b, 1.0, np.sqrt(0.5))
        start += len(a)
        matrix = np.empty((len(x), m, m))
        matrix[:, a, b] = matrix[:, b, a] = entries
        matrices.append(matrix)
    return matrices


def _in_cone(x: FloatArray, sizes: tuple[int, ...]) -> BoolArray:
    """Whether all matrices of a draw are positive semidefinite."""
    least = [np.linalg.eigvalsh(matrix)[:, 0] for matrix in _matrices(x, sizes)]
    return np.asarray(np.min(least, axis=0) >= 0.0)


def _clip(x: FloatArray, sizes: tuple[int, ...]) -> FloatArray:
    """Nearest points of the cone in the ordinary metric."""
    parts = []
    for m, matrix in zip(sizes, _matrices(x, sizes), strict=True):
        values, vectors = np.linalg.eigh(matrix)
        a, b = upper_indices(m)
        nearest = np.einsum("nai,ni,nbi->nab", vectors, np.maximum(values, 0.0), vectors)
        parts.append(nearest[:, a, b] * np.where(a == b, 1.0, np.sqrt(2.0)))
    return np.concatenate(parts, axis=1)


def _project(z: FloatArray, J: FloatArray, sizes: tuple[int, ...]) -> FloatArray:
    """Nearest points of the cone in the metric J, by accelerated projected gradients."""
    step = 1.0 / float(np.linalg.eigvalsh(J)[-1])
    x = ahead = _clip(z, sizes)
    momentum = 1.0
    for _ in range(PROJECTION_STEPS):
        moved = _clip(ahead - step * (ahead - z) @ J, sizes)
        faster = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * momentum**2))
        ahead = moved + (momentum - 1.0) / faster * (moved - x)
        change = float(np.abs(moved - x).max())
        x, momentum = moved, faster
        if change < CHANGE:
            break
    return x


def _density(x: FloatArray, df: int) -> FloatArray:
    """Density of chi-square with df degrees of freedom."""
    half = 0.5 * df
    return np.asarray(np.exp((half - 1.0) * np.log(x / 2.0) - x / 2.0 - special.gammaln(half)) / 2.0)


def _most_likely(densities: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weights (m,) of a mixture with these densities (n, m) of its draws, and their covariance."""
    m = densities.shape[1]
    weights = np.full(m, 1.0 / m)
    for _ in range(LIKELIHOOD_STEPS):
        updated = weights * (densities / (densities @ weights)[:, None]).mean(axis=0)
        change = float(np.abs(updated - weights).max())
        weights = updated
        if change < CHANGE:
            break
    ratios = densities / (densities @ weights)[:, None]
    free = np.eye(m)[:, :-1] - np.eye(m)[:, -1:]  # the weights add up to one
    return weights, free @ np.linalg.pinv(free.T @ ratios.T @ ratios @ free) @ free.T
