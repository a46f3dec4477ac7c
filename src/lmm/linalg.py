"""Small dense linear algebra that several stages share: arrays in, arrays out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

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
    n, p = A.shape
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
