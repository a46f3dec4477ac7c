"""Small dense linear algebra that several stages share: arrays in, arrays out."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.intp]

# R's lm() and lme4 call a column dependent when less than this share of its length is left after projection.
RANK_TOLERANCE = 1e-7


def triangular_factor(A: FloatArray, *, tolerance: float = RANK_TOLERANCE) -> tuple[FloatArray, BoolArray]:
    """
    Triangular factor of the independent columns of a tall matrix, columns taken from left to right.

    Column j is kept when its distance from the span of the kept columns before it exceeds ``tolerance`` times its
    length, so that of an aliased set the first column stays, as in R.

    Parameters
    ----------
    A : ndarray (n, p)
        Matrix with finite entries; n may be smaller than p.
    tolerance : float
        Relative length below which a column counts as dependent.

    Returns
    -------
    R : ndarray (r, r)
        Upper triangular with positive diagonal and ``R.T @ R == A[:, kept].T @ A[:, kept]``.
    kept : ndarray (p,) of bool
        The r independent columns.
    """
    p = A.shape[1]
    if p == 0:
        return np.zeros((0, 0)), np.zeros(0, dtype=bool)
    R = _qr_r(A)
    lengths = np.sqrt(np.einsum("ij,ij->j", R, R))
    kept = np.ones(p, dtype=bool)
    # A dependent column leaves a rounding error on the diagonal that would pass for a new direction in the columns
    # after it; so it is taken out and the small factor is reduced again before going on.
    work, columns = R, np.arange(p)
    while True:
        m = min(work.shape)
        residual = np.zeros(len(columns))
        residual[:m] = np.abs(np.diagonal(work))
        dependent = np.flatnonzero(residual <= tolerance * lengths[columns])
        if dependent.size == 0:
            break
        kept[columns[dependent[0]]] = False
        columns = np.delete(columns, dependent[0])
        if columns.size == 0:
            return np.zeros((0, 0)), kept
        work = _qr_r(R[:, columns])
    signs = np.where(np.diagonal(work) < 0, -1.0, 1.0)
    return signs[:, None] * work, kept


def _qr_r(A: FloatArray) -> FloatArray:
    """Upper triangular (or trapezoidal) R of the Householder QR of A."""
    n, p = A.shape
    packed, _, _, _ = lapack.dgeqrf(A, lwork=max(1, 64 * p))
    return np.triu(packed[: min(n, p)])


@functools.cache
def upper_indices(k: int) -> tuple[IntArray, IntArray]:
    """Rows and columns of the upper triangle of a k x k matrix, row by row."""
    return np.triu_indices(k)


@functools.cache
def strictly_upper(k: int) -> tuple[IntArray, IntArray]:
    """Rows and columns of the entries above the diagonal of a k x k matrix, row by row."""
    return np.triu_indices(k, 1)


def sum_by(codes: IntArray, values: FloatArray, n_levels: int) -> FloatArray:
    """Sums of the values of each level, shape (n_levels,), for codes 0 .. n_levels - 1."""
    return np.asarray(np.bincount(codes, weights=values, minlength=n_levels), dtype=np.float64)


def lower_factor(B: FloatArray) -> FloatArray:
    """
    Lower triangular L, k x k, with non-negative diagonal and L L' = B B', for B of k rows and any rank.

    Columns of B that are exactly zero stay out of the factorisation, so that the rank of L is that of B and its
    trailing columns are exact zeros.
    """
    k = len(B)
    if k == 1:
        return np.asarray(np.sqrt((B * B).sum(axis=1, keepdims=True)))
    rounding = 4.0 * np.finfo(float).eps * np.sqrt(np.einsum("ij,ij->i", B, B))
    L = B
    if B.shape[1] != k or B[strictly_upper(k)].any() or (np.abs(np.diagonal(B)) <= rounding).any():
        nonzero = B[:, np.any(B != 0.0, axis=0)]
        L = np.zeros((k, k))
        if nonzero.size:
            R = _qr_r(nonzero.T)
            L[:, : len(R)] = R.T
        # A rank below the number of columns leaves rounding errors where zeros belong.
        L[np.abs(L) <= rounding[:, None]] = 0.0
    return L * np.where(np.diagonal(L) < 0.0, -1.0, 1.0)


def positive_part(M: FloatArray) -> FloatArray:
    """Nearest positive semidefinite matrix: negative eigenvalues set to zero."""
    if len(M) == 1:
        return np.asarray(np.maximum(M, 0.0))
    values, vectors, _ = lapack.dsyev(M)
    return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T)


def correlation(cov: FloatArray, a: int, b: int) -> float:
    """Correlation of two effects, NaN where a variance is zero."""
    scale = float(np.sqrt(cov[a, a] * cov[b, b]))
    return float(np.clip(cov[a, b] / scale, -1.0, 1.0)) if scale > 0.0 else float("nan")


def symmetric_from_lower(S: FloatArray) -> FloatArray:
    """Full matrix from its lower triangle; what stands above the diagonal does not count."""
    full = np.tril(S)
    full += np.tril(S, -1).T
    return full


def diagonal_levels(M: FloatArray) -> FloatArray:
    """View of the diagonals, shape (k, J), of many small matrices, shape (k, k, J)."""
    diagonals: FloatArray = np.einsum("aaj->aj", M)
    return diagonals


def cholesky_levels(M: FloatArray, *, tolerance: float = 0.0) -> FloatArray:
    """
    Lower Cholesky factors of many small matrices at once, shape (k, k, J): the J levels lie along the last axis.

    The loops run over the k^2 entries and each step is one operation on J numbers, which for small k is faster
    than J calls of a LAPACK routine by an order of magnitude.

    Parameters
    ----------
    M : ndarray (k, k, J)
        Positive definite matrices; with a tolerance, positive semidefinite ones.
    tolerance : float
        Share of its diagonal entry below which a pivot counts as zero; its column of the factor is then zero.
    """
    k = len(M)
    L = np.zeros_like(M)
    for c in range(k):
        pivot = M[c, c]
        for i in range(c):
            pivot = pivot - L[c, i] ** 2
        if tolerance:
            pivot = np.where(pivot > tolerance * M[c, c], pivot, 0.0)
        L[c, c] = np.sqrt(pivot)
        divisor = np.where(L[c, c] > 0.0, L[c, c], np.inf) if tolerance else L[c, c]
        for r in range(c + 1, k):
            entry = M[r, c]
            for i in range(c):
                entry = entry - L[r, i] * L[c, i]
            L[r, c] = entry / divisor
    return L


def solve_lower_levels(L: FloatArray, B: FloatArray) -> FloatArray:
    """Solve L x = b for J levels: L of shape (k, k, J), right-hand sides and result of shape (m, k, J)."""
    X = np.empty_like(B)
    for r in range(len(L)):
        x = B[:, r]
        for c in range(r):
            x = x - L[r, c] * X[:, c]
        X[:, r] = x / L[r, r]
    return X


def solve_upper_levels(L: FloatArray, B: FloatArray) -> FloatArray:
    """Solve L' x = b for J levels: L of shape (k, k, J), right-hand sides and result of shape (m, k, J)."""
    X = np.empty_like(B)
    for r in reversed(range(len(L))):
        x = B[:, r]
        for c in range(r + 1, len(L)):
            x = x - L[c, r] * X[:, c]
        X[:, r] = x / L[r, r]
    return X


def inverse_levels(L: FloatArray) -> FloatArray:
    """Inverses of L L' for all levels, shape (k, k, J)."""
    identity = np.zeros_like(L)
    diagonal_levels(identity)[:] = 1.0
    half = solve_lower_levels(L, identity)
    return np.asarray(np.einsum("acj,bcj->abj", half, half))
