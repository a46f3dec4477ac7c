"""
Traces tr(V^-1 V_i V^-1 V_j) for changes V_i = Z S_i Z' of the covariance matrix, without a matrix over the rows.

With A = Z' V^-1 Z they are tr(A S_i A S_j). In the notation of `lmm.reduction` and `lmm.tail`, with B = R' G R of each
level of the first block, N = Lambda Omega^-1 Lambda' and Y = I - N S of the tail,

    A_11 = B - R' G C N C' G R,    A_1T = R' G C Y,    A_TT = S Y,

so that, for H_i = C' G R S_i R' G C, which has the pattern of S,

    both in the first block:      sum_j tr(B S_i B S_j) - 2 tr(B S_i R' G (C N C') G R S_j) + tr(H_i N H_j N)
    first block and tail:         tr(H_i Y S_j Y')
    both in the tail:             tr(A_TT S_i A_TT S_j).

Where most of the tail is its dense core, so is N, and all of it is done at once. Otherwise the tail is gone through
some columns at a time. Columns of levels that nothing connects, as those of different schools
with their classes, share no row in any of these matrices, so their sum stands for them all: there are as many solves as
the largest connected part has levels. Where no variance of the tail is near zero, Y = N Sigma^-1 and
A_TT = Sigma^-1 (I - Y) spare the products with S.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from lmm.deviance import Evaluation, ProfiledDeviance
from lmm.linalg import FloatArray, IntArray, inverse_levels
from lmm.tail import Matrix, Tail
from lmm.tailfactor import CHUNK, TailFactor, is_small

# A tail of no more columns than this many times those of its dense core is treated as dense.
MOSTLY_CORE = 1.5


def trace_products(deviance: ProfiledDeviance, at: Evaluation, directions: Sequence[FloatArray]) -> FloatArray:
    """
    Traces tr(V^-1 V_i V^-1 V_j).

    Parameters
    ----------
    deviance : ProfiledDeviance
    at : Evaluation
    directions : sequence of ndarray (m_t, k_t, k_t)
        Changes S of Sigma of each block, symmetric, in the order of the cross-products.

    Returns
    -------
    ndarray (m, m)
        m is the sum of the m_t.
    """
    R, tail, factor = deviance.reduction.R, deviance.tail, at.tail
    G = inverse_levels(at.L)
    GR = np.einsum("abj,bcj->acj", G, R)
    B = np.einsum("baj,bcj->acj", R, GR)
    first = directions[0]
    if tail is None or factor is None:
        return _contract(_pair_sums(B, B), first)
    D = tail.schur_adjoint(factor.covariance)
    lost = _pair_sums(B, np.einsum("baj,bcj,cdj->adj", GR, D, GR))
    own = _contract(_pair_sums(B, B) - lost - lost.transpose(2, 3, 0, 1), first)
    H = [_through_first(tail, np.einsum("abj,bc,dcj->adj", GR, S, GR)) for S in first]
    return _with_tail(tail, factor, H, own, directions[1:])


def _pair_sums(one: FloatArray, other: FloatArray) -> FloatArray:
    """Sums over levels of products of entries, shape (k, k, k, k), of two arrays of shape (k, k, J)."""
    k = len(one)
    product: FloatArray = one.reshape(k * k, -1) @ other.reshape(k * k, -1).T
    return product.reshape(k, k, k, k)


def _contract(pairs: FloatArray, directions: FloatArray) -> FloatArray:
    """Sums over levels of tr(B S_i B' S_j), shape (m, m), from the products of the entries of B and B'."""
    return np.asarray(np.einsum("iab,jcd,dabc->ij", directions, directions, pairs, optimize=True))


def _through_first(tail: Tail, G: FloatArray) -> Matrix:
    """C' G C as a symmetric matrix (q_T, q_T) for G of shape (k, k, J)."""
    return tail.symmetric(tail.schur(G) - tail.rest)


def _with_tail(
    tail: Tail, factor: TailFactor, H: list[Matrix], own: FloatArray, directions: Sequence[FloatArray]
) -> FloatArray:
    """Complete the traces by all that passes through the tail; ``own`` holds those within levels of the first block."""
    m_1 = len(H)
    starts = np.cumsum([m_1, *(len(S) for S in directions)])
    traces = np.zeros((starts[-1], starts[-1]))
    traces[:m_1, :m_1] = own
    for part in _column_parts(tail, factor, H):
        k = tail.sizes[part.block][0]
        S = directions[part.block]
        here = slice(starts[part.block], starts[part.block + 1])
        Y = part.Y.reshape(len(part.Y), k, -1)
        for i in range(m_1):
            traces[i, :m_1] += [np.vdot(part.NH[i], HN) for HN in part.HN]
            traces[i, here] += np.einsum("sab,ab->s", S, np.einsum("qal,qbl->ab", part.HY[i].reshape(Y.shape), Y))
        for other, (k_other, J) in enumerate(tail.sizes):
            there = slice(starts[other], starts[other + 1])
            A = part.A[tail.offsets[other] : tail.offsets[other + 1]].reshape(k_other, J, k, -1)
            pairs = np.einsum("ajcl,bjdl->abcd", A, A, optimize=True)
            traces[there, here] += np.einsum("iab,jcd,abcd->ij", directions[other], S, pairs, optimize=True)
    traces[m_1:, :m_1] = traces[:m_1, m_1:].T
    return traces


@dataclass(frozen=True)
class _Columns:
    """Columns, effect by effect, of N H_i, H_i N, Y, H_i Y and A_TT: levels, or sums of levels, of one block."""

    block: int
    NH: list[FloatArray]
    HN: list[FloatArray]
    Y: FloatArray
    HY: list[FloatArray]
    A: FloatArray


def _column_parts(tail: Tail, factor: TailFactor, H: list[Matrix]) -> Iterator[_Columns]:
    """Go through the columns of the tail, block by block: at once where most of it is core, else some at a time."""
    S = tail.symmetric(factor.schur) if any(is_small(T) for T in factor.scaling.T) else None
    inverses = [] if S is not None else [np.asarray(np.linalg.inv(T @ T.T), dtype=np.float64) for T in factor.scaling.T]
    at_once = tail.n_columns <= MOSTLY_CORE * len(tail.core.columns)
    N = _covariance_matrix(tail, factor) if at_once else None
    products = [] if N is None else [np.asarray(matrix @ N) for matrix in H]
    for t, unit in _units(tail, at_once=at_once):
        if N is not None:
            c = unit.indices
            N_c, NH, HN = N[:, c], [X[c].T for X in products], [X[:, c] for X in products]
        else:
            N_c = factor.solve(unit.T.toarray())[0].T
            NH = [factor.solve(_dense(matrix @ unit).T)[0].T for matrix in H]
            HN = [np.asarray(matrix @ N_c) for matrix in H]
        if S is not None:
            SU = _dense(S @ unit)
            Y = unit.toarray() - (N @ SU if N is not None else factor.solve(SU.T)[0].T)
            yield _Columns(t, NH, HN, Y, [np.asarray(matrix @ Y) for matrix in H], np.asarray(S @ Y))
        else:
            Y, *HY = (_right_by_level(X, inverses[t]) for X in (N_c, *HN))
            yield _Columns(t, NH, HN, Y, HY, _left_by_level(tail, inverses, unit.toarray() - Y))


def _covariance_matrix(tail: Tail, factor: TailFactor) -> FloatArray:
    """N as a dense symmetric matrix (q_T, q_T): the core has its part of it, the columns outside are solved for."""
    q, core = tail.n_columns, tail.core.columns
    outside = np.setdiff1d(np.arange(q), core)
    lower = np.tril(tail.core.matrix(factor.covariance))
    N = np.empty((q, q))
    N[np.ix_(core, core)] = lower + np.tril(lower, -1).T
    if len(outside):
        units = np.zeros((len(outside), q))
        units[np.arange(len(outside)), outside] = 1.0
        N[outside] = factor.solve(units)[0]
        N[:, outside] = N[outside].T
    return N


def _units(tail: Tail, *, at_once: bool) -> Iterator[tuple[int, sparse.csc_array]]:
    """Blocks of the tail with sums of unit vectors, shape (q_T, r), of some of their columns, effect by effect."""
    q = tail.n_columns
    part = np.zeros(q, dtype=np.intp) if at_once else _connected_part(tail)
    for t, (k, J) in enumerate(tail.sizes):
        levels = np.arange(J)
        turn = levels if at_once else _turn_within(part[tail.offsets[t] + levels])
        n_turns = int(turn.max()) + 1
        step = n_turns if at_once else max(1, CHUNK // (q * k))
        for start in range(0, n_turns, step):
            width = min(step, n_turns - start)
            here = levels[(turn >= start) & (turn < start + width)]
            rows = (tail.offsets[t] + np.arange(k)[:, None] * J + here).ravel()
            columns = (np.arange(k)[:, None] * width + turn[here] - start).ravel()
            yield t, sparse.csc_array((np.ones(len(rows)), (rows, columns)), shape=(q, k * width))


def _connected_part(tail: Tail) -> IntArray:
    """Number of the connected part of the tail to which each column belongs."""
    from scipy.sparse import csgraph  # noqa: PLC0415 - every fit imports this module, few need it

    pattern = tail.symmetric(np.ones_like(tail.rest))
    return np.asarray(csgraph.connected_components(pattern, directed=False)[1], dtype=np.intp)


def _turn_within(part: IntArray) -> IntArray:
    """Number of each member within its part, from 0."""
    order = np.argsort(part, kind="stable")
    starts = np.searchsorted(part[order], part[order], side="left")
    turn = np.empty(len(part), dtype=np.intp)
    turn[order] = np.arange(len(part)) - starts
    return turn


def _dense(rows: Matrix) -> FloatArray:
    """Rows of a matrix as a plain array."""
    return np.asarray(rows.toarray() if sparse.issparse(rows) else rows)


def _right_by_level(X: FloatArray, W: FloatArray) -> FloatArray:
    """X times a symmetric W, k x k, in each level, for columns that run effect by effect over some levels."""
    by_effect = X.reshape(len(X), len(W), -1)
    return np.asarray(np.einsum("qal,ab->qbl", by_effect, W).reshape(X.shape))


def _left_by_level(tail: Tail, W: list[FloatArray], X: FloatArray) -> FloatArray:
    """Block diagonal of the W of each level of each block of the tail, times X of shape (q_T, r)."""
    blocks = [
        np.einsum("ab,bjr->ajr", own, X[start : start + k * J].reshape(k, J, -1)).reshape(k * J, -1)
        for own, (k, J), start in zip(W, tail.sizes, tail.offsets, strict=False)
    ]
    return np.concatenate(blocks)
