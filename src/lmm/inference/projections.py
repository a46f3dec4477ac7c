"""
Projections on the columns of fixed and random effects: their rank, and what they leave of the response.

The columns of the largest grouping factor are made orthonormal level by level; what that leaves of the others is
split into parts that share no rows (nested factors fall apart altogether) and each part is factored with pivoting, so
that columns that combine others are found. Nothing of size n x n and no dense n x q is formed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import sparse
from scipy.linalg import lapack
from scipy.sparse import csgraph

from lmm.crossproducts import Block
from lmm.linalg import FloatArray, IntArray, cholesky_levels, solve_lower_levels
from lmm.memory import require_memory

# Share of its squared length below which what is left of a column counts as zero.
DEPENDENT = 1e-11


def residual_space(blocks: Sequence[Block], Q: FloatArray, y: FloatArray) -> tuple[float, int]:
    """
    Residual sum of squares of y after least squares on all columns, and their rank.

    Parameters
    ----------
    blocks : sequence of Block
        Random-effects columns, rows multiplied by the square roots of their weights.
    Q : ndarray (n, p)
        Orthonormal basis of the fixed-effects columns.
    y : ndarray (n,)
        Response orthogonal to Q.

    Returns
    -------
    rss : float
    rank : int
    """
    B = np.column_stack([Q, y])
    gram, rank = B.T @ B, 0
    if blocks:
        first, *others = sorted(blocks, key=lambda block: -block.n_effects * block.n_levels)
        Z_1, rank = _orthonormal_levels(first)
        explained = Z_1.T @ B
        gram = gram - explained.T @ explained
        if others:
            Z = sparse.csc_array(sparse.hstack([block.matrix for block in others]))
            C = sparse.csc_array(Z_1.T @ Z)
            lengths = np.asarray(Z.multiply(Z).sum(axis=0)).ravel()
            left = _eliminate(sparse.csr_array(Z.T @ Z - C.T @ C), Z.T @ B - C.T @ explained, lengths)
            for half in left:
                gram = gram - half.T @ half
                rank += len(half)
    p = Q.shape[1]
    half = _pivoted_half(gram[:p, :p], gram[:p])
    return float(gram[p, p] - half[:, p] @ half[:, p]), rank + len(half)


def _orthonormal_levels(block: Block) -> tuple[sparse.csr_array, int]:
    """Columns of a block made orthonormal within its levels (zero where they depend on others), and their rank."""
    k = block.n_effects
    lower = cholesky_levels(block.within_levels(), tolerance=DEPENDENT)
    pivots = lower[np.arange(k), np.arange(k)]
    lower[np.arange(k), np.arange(k)] = np.where(pivots > 0.0, pivots, np.inf)
    rows = solve_lower_levels(lower[:, :, block.codes], block.columns.T[None])[0].T
    return Block(block.codes, block.n_levels, rows).matrix, int((pivots > 0.0).sum())


def _eliminate(S: sparse.csr_array, right: FloatArray, lengths: FloatArray) -> Iterator[FloatArray]:
    """
    Half solutions, shape (rank, m), of the connected parts of a positive semidefinite S (q, q).

    Parameters
    ----------
    S : sparse matrix (q, q)
        Cross-products of what is left of the columns.
    right : ndarray (q, m)
        Their cross-products with the other columns.
    lengths : ndarray (q,)
        Squared lengths of the columns before anything was taken out.
    """
    scale = 1.0 / np.sqrt(np.where(lengths > 0.0, lengths, 1.0))
    scaled = sparse.diags_array(scale) @ S @ sparse.diags_array(scale)
    scaled.data[np.abs(scaled.data) <= DEPENDENT] = 0.0
    scaled.eliminate_zeros()
    right = right * scale[:, None]
    for part in _connected(scaled):
        if len(part) == 1:
            continue
        require_memory(
            16.0 * len(part) ** 2,
            f"The exact projection on {len(part)} connected random effects",
            "Test with lmm.lrt, which needs no projection.",
        )
        yield _pivoted_half(scaled[part][:, part].toarray(), right[part])
    alone = np.flatnonzero((np.diff(scaled.indptr) == 1) & (scaled.diagonal() > 0.0))
    yield right[alone] / np.sqrt(scaled.diagonal()[alone])[:, None]


def _connected(S: sparse.csr_array) -> Iterator[IntArray]:
    """Columns of each connected part."""
    n_parts, part_of = csgraph.connected_components(S, directed=False)
    order = np.argsort(part_of, kind="stable")
    yield from np.split(order, np.cumsum(np.bincount(part_of, minlength=n_parts))[:-1])


def _pivoted_half(S: FloatArray, right: FloatArray) -> FloatArray:
    """L^-1 right, shape (rank, m), for the pivoted Cholesky factor L of S (q, q), of columns of unit length."""
    if np.diagonal(S).max(initial=0.0) <= DEPENDENT:  # LAPACK applies its tolerance from the second pivot on
        return np.zeros((0, right.shape[1]))
    factor, pivots, rank, _ = lapack.dpstrf(S, tol=DEPENDENT, lower=1)
    return np.asarray(lapack.dtrtrs(factor[:rank, :rank], right[pivots[:rank] - 1], lower=1)[0])
