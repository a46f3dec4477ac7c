"""
Projections onto spans of columns, from cross-products alone.

The span of [Z_f B], with orthogonal columns in Z_f, is Z_f and what Z_f leaves of B: with D = Z_f'Z_f,

    |P t|^2 = |D^-1/2 Z_f't|^2 + |L^-1 (B't - B'Z_f D^-1 Z_f't)|^2,    L L' = B'B - B'Z_f D^-1 Z_f'B,

so that a grouping factor with many levels costs no more than its entries, whatever its size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.linalg import lapack, solve_triangular

from lmm.linalg import FloatArray, IntArray
from lmm.memory import require_memory

# Squared share of a column's length that must be left for it to count as a new direction; lengths themselves are
# compared at 1e-5, since cross-products carry half the digits of the columns.
TOLERANCE = 1e-10
# Matrices of the size of the span, or of the span by the targets, that exist at once.
COPIES = 3


@dataclass(frozen=True)
class Explained:
    """
    What a span explains of some target columns.

    Attributes
    ----------
    rank : int
        Dimension of the span.
    lengths : ndarray (m,)
        Squared lengths of the projections of the targets.
    """

    rank: int
    lengths: FloatArray


def explained(A: sparse.csr_array, first: IntArray, rest: IntArray, targets: IntArray) -> Explained:
    """
    Project target columns onto the span of others.

    Parameters
    ----------
    A : sparse array
        Cross-products of all columns.
    first : ndarray
        Positions of columns that are orthogonal to each other; may be empty.
    rest : ndarray
        Positions of the other columns of the span.
    targets : ndarray (m,)
        Positions of the columns that are projected.
    """
    lengths = A.diagonal()
    first = first[lengths[first] > 0.0]
    half = sparse.diags_array(1.0 / np.sqrt(lengths[first])) @ A[first]
    left = lengths[rest] - _squares(half[:, rest])
    rest = rest[left > TOLERANCE * lengths[rest]]
    require_memory(
        8.0 * COPIES * len(rest) * (len(rest) + len(targets)),
        f"a projection onto {len(rest)} random effects besides the {len(first)} of the largest factor",
        "Factors with fewer levels need less",
    )
    W_rest, W_targets = half[:, rest], half[:, targets]
    S = (A[rest][:, rest] - W_rest.T @ W_rest).toarray()
    T = (A[rest][:, targets] - W_rest.T @ W_targets).toarray()
    scale = np.sqrt(lengths[rest])
    rank, order, L = _pivoted_cholesky(S / np.outer(scale, scale))
    coordinates = solve_triangular(L, (T / scale[:, None])[order], lower=True) if rank else T[:0]
    return Explained(len(first) + rank, _squares(W_targets) + np.einsum("ij,ij->j", coordinates, coordinates))


def _squares(matrix: sparse.csr_array) -> FloatArray:
    """Squared lengths of the columns."""
    return np.asarray(matrix.power(2).sum(axis=0), dtype=np.float64).ravel()


def _pivoted_cholesky(S: FloatArray) -> tuple[int, IntArray, FloatArray]:
    """Rank r, the r columns that carry it, and their lower Cholesky factor."""
    if len(S) == 0:
        return 0, np.zeros(0, dtype=np.intp), S
    factor, pivots, rank, _ = lapack.dpstrf(S, tol=TOLERANCE, lower=1)
    return int(rank), np.asarray(pivots[:rank] - 1, dtype=np.intp), np.tril(factor[:rank, :rank])
