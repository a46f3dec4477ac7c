"""
What the data leave open about the random part z'b of each row of a fit.

With G = Lambda Omega^-1 Lambda' of a level j of the first block and the levels c of the tail that a row belongs to, in
the notation of `lmm.reduction` and `lmm.tail` (D = T (T'R'RT + I)^-1 T', N the covariance of the tail),

    z'Gz = z_1' G_jj z_1 + sum over c, c' of z_c' N_cc' z_c' - 2 sum over c of z_1' D_j R_j' (C'N)_jc z_c.

All levels of a row meet in that row, so that every entry of N it needs stands on the pattern of the Schur complement,
where it is known: no system is solved, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from lmm.crossproducts import Block
from lmm.deviance import Evaluation, ProfiledDeviance
from lmm.elimination import pairs_by_owner
from lmm.linalg import FloatArray, IntArray, inverse_levels, sum_by
from lmm.tail import Matrix, Tail

# Pairs of levels of the tail that are formed at a time.
PAIRS_AT_A_TIME = 4_000_000


def random_parts(deviance: ProfiledDeviance, at: Evaluation, blocks: Sequence[Block]) -> FloatArray:
    """
    Products z'GZ'[X y] of the rows of a fit, shape (p + 1, n).

    Parameters
    ----------
    deviance : ProfiledDeviance
    at : Evaluation
    blocks : sequence of Block
        The rows, in the standardised basis and with all blocks of the fit.
    """
    cross = deviance.cross
    parts = np.zeros((cross.p + 1, len(blocks[0].codes)))
    for t, effects in zip(cross.order, cross.by_block(at.b_1, at.b_T), strict=True):
        for i, b in enumerate(effects):
            parts[i] += np.einsum("na,an->n", blocks[t].columns, b[:, blocks[t].codes])
    return parts


def conditional_variances(deviance: ProfiledDeviance, at: Evaluation, blocks: Sequence[Block]) -> FloatArray:
    """
    Variances z'Gz of the random parts of the rows of a fit given y and beta, relative to sigma^2, shape (n,).

    Parameters
    ----------
    deviance, at, blocks
        As for `random_parts`.
    """
    cross = deviance.cross
    first, *others = (blocks[t] for t in cross.order)
    variance = np.zeros(len(first.codes))
    for block, G in zip((first, *others), deviance.conditional_covariances(at), strict=True):
        variance += np.einsum("na,abn,nb->n", block.columns, G[:, :, block.codes], block.columns, optimize=True)
    if at.tail is None or deviance.tail is None:
        return variance
    tail = deviance.tail
    N = tail.symmetric(at.tail.covariance)
    columns, z = _in_tail(tail, others)
    for s in range(len(others)):
        for t in range(s):
            for a in range(len(columns[s])):
                for b in range(len(columns[t])):
                    variance += 2.0 * z[s][a] * z[t][b] * _entries(N, columns[s][a], columns[t][b])
    TT = at.factors[0] @ at.factors[0].T
    DR = np.einsum("ab,cbj,cdj->adj", TT, deviance.reduction.R, inverse_levels(at.L), optimize=True)
    reach = np.einsum("na,adn->dn", first.columns, DR[:, :, first.codes])
    meetings = _Meetings(deviance, tail, N)
    for column, value in zip(np.concatenate(columns), np.concatenate(z), strict=True):
        variance -= 2.0 * value * np.einsum("dn,dn->n", reach, meetings.find(first.codes, column))
    return variance


def _in_tail(tail: Tail, blocks: list[Block]) -> tuple[list[IntArray], list[FloatArray]]:
    """Columns of the tail that the rows belong to, and their entries there, shape (k_t, n), for each of its blocks."""
    columns = [
        offset + J * np.arange(k)[:, None] + block.codes
        for block, (k, J), offset in zip(blocks, tail.sizes, tail.offsets, strict=False)
    ]
    return columns, [block.columns.T for block in blocks]


def _entries(matrix: Matrix, rows: IntArray, columns: IntArray) -> FloatArray:
    """Entries of a dense or sparse matrix, shape (m,)."""
    return np.asarray(matrix[rows, columns], dtype=np.float64).ravel()


class _Meetings:
    """
    Entries of C'N where a level of the first block meets a column of the tail.

    Parameters
    ----------
    deviance : ProfiledDeviance
    tail : Tail
    N : matrix (q_T, q_T)
        Right where columns of the tail meet in a level of the first block.
    """

    def __init__(self, deviance: ProfiledDeviance, tail: Tail, N: Matrix) -> None:
        k, J = tail.first
        self._q = tail.n_columns
        keys = [
            incidence.rows * self._q + offset + a * J_t + incidence.columns
            for incidence, (k_t, J_t), offset in zip(deviance.cross.with_first, tail.sizes, tail.offsets, strict=False)
            for a in range(k_t)
        ]
        self._keys = np.sort(np.concatenate(keys))
        level, column = self._keys // self._q, self._keys % self._q
        values = [_entries(tail.C, column, a * J + level) for a in range(k)]
        self._products = np.zeros((k, len(level)))
        for here, one, other in _pairs(np.bincount(level, minlength=J)):
            entries = _entries(N, column[here][one], column[here][other])
            apart = one != other
            for own, value in zip(self._products, values, strict=True):
                own[here] += sum_by(one, entries * value[here][other], len(own[here]))
                own[here] += sum_by(other[apart], (entries * value[here][one])[apart], len(own[here]))

    def find(self, levels: IntArray, columns: IntArray) -> FloatArray:
        """Entries (C'N)_jc, shape (k, m), for pairs of a level and a column that meet."""
        return np.asarray(self._products[:, np.searchsorted(self._keys, levels * self._q + columns)])


def _pairs(counts: IntArray) -> Iterator[tuple[slice, IntArray, IntArray]]:
    """Meetings of some levels at a time, with the pairs among them (positions within the slice) that share a level."""
    ends = np.cumsum(counts)
    n_pairs = np.cumsum(counts * (counts + 1) // 2)
    start = 0
    while start < len(counts):
        before = n_pairs[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(n_pairs, before + PAIRS_AT_A_TIME, side="right")))
        yield slice(ends[start] - counts[start], ends[stop - 1]), *pairs_by_owner(counts[start:stop])
        start = stop
