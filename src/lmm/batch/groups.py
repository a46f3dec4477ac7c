"""
The profiled deviance of many samples of groups of the data.

Where all grouping factors are nested in the groups, V is block diagonal by group. A sample in which group u stands m_u
times, each copy with levels of its own, has

    log|Omega| = sum_u m_u log|Omega_u|,    [X y]' V^-1 [X y] = sum_u m_u [X y]_u' V_u^-1 [X y]_u,

so that no copy needs rows, or levels, of its own. In the matrix N of `lmm.batch.system` the block of the tail stays
what it is, entries of the tail with [X y] are multiplied by the square root of m_u, and those of [X y] with itself are
sums over groups with weights m_u; the log-determinants of a level count m_u times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from lmm.batch.system import MOST_PRODUCTS, BatchSystem, batch_system, cost_of_one
from lmm.deviance import ProfiledDeviance
from lmm.linalg import BoolArray, FloatArray, IntArray, upper_indices


@dataclass(frozen=True)
class GroupSystem:
    """
    The parts of the system of a model by groups of its rows.

    An entry of G is one of the K of `BatchSystem`; a share of it is what a single group has of it in [X y]' [X y].

    Attributes
    ----------
    system : BatchSystem
    sizes : ndarray (n_groups,)
        Rows of each group.
    levels : sparse array (C, n_groups)
        Levels of the first block in each class and group.
    group_of_column : ndarray (q,)
        Group of each column of the tail.
    rest_T : ndarray (q, m)
        Rows of the tail in Z_T' (I - Q Q') [Z_T X y].
    S_T : ndarray (K, q, m)
        Rows of the tail in the derivatives of N by the entries of G.
    rest_B : ndarray (n_groups, p + 1, p + 1)
        [X y]' (I - Q Q') [X y] of each group.
    S_B : ndarray (s, p + 1, p + 1)
        Derivatives of the border of N by the entries of G, share by share, in the order of the entries.
    entry, group : ndarray (s,)
        Entry and group of each share.
    """

    system: BatchSystem
    sizes: IntArray
    levels: sparse.csr_array
    group_of_column: IntArray
    rest_T: FloatArray  # noqa: N815
    S_T: FloatArray
    rest_B: FloatArray  # noqa: N815
    S_B: FloatArray
    entry: IntArray
    group: IntArray

    @property
    def cost_of_one(self) -> int:
        """Numbers that a batch holds for each of its samples."""
        deviance = self.system.deviance
        n_first = deviance.covariances[deviance.cross.order[0]].n_theta
        return (cost_of_one(deviance) or 0) + (2 + n_first) * len(self.entry) + 2 * len(self.sizes)

    def samples(self, times: FloatArray) -> GroupStatistics:
        """Samples in which the groups stand so many times, shape (B, n_groups)."""
        sigma = self.system.deviance.sigma
        return GroupStatistics(self, times, None if sigma is None else np.full(len(times), sigma))


@dataclass(frozen=True)
class GroupStatistics:
    """
    What the deviance needs to know of B samples of groups; see `lmm.batch.system.Statistics`.

    Attributes
    ----------
    parts : GroupSystem
    times : ndarray (B, n_groups)
        How often each group is there.
    sigma : ndarray (B,) or None
        Known residual standard deviation.
    """

    parts: GroupSystem
    times: FloatArray
    sigma: FloatArray | None

    def __len__(self) -> int:
        return len(self.times)

    @property
    def n(self) -> FloatArray:
        """Numbers of rows, shape (B,)."""
        return self.times @ self.parts.sizes

    @property
    def nu(self) -> FloatArray:
        """Numbers of rows, less (REML) the number of fixed effects, shape (B,)."""
        deviance = self.parts.system.deviance
        return self.n - deviance.cross.p if deviance.reml else self.n

    @property
    def counts(self) -> FloatArray:
        """Numbers of levels in each class, shape (C, B)."""
        counts: FloatArray = self.parts.levels @ self.times.T
        return counts

    @cached_property
    def tail_weights(self) -> FloatArray:
        """How often the group of each column of the tail is there, shape (B, q)."""
        return self.times[:, self.parts.group_of_column]

    @cached_property
    def _shares(self) -> FloatArray:
        """How often the group of each share is there, shape (B, s)."""
        return self.times[:, self.parts.group]

    def take(self, which: IntArray | BoolArray) -> GroupStatistics:
        """Those of some of the samples."""
        return GroupStatistics(self.parts, self.times[which], None if self.sigma is None else self.sigma[which])

    def matrices(self, entries: FloatArray) -> FloatArray:
        """N, shape (B, m, m), for the entries of G, shape (B, K)."""
        parts = self.parts
        rest = np.broadcast_to(parts.rest_T, (len(self), 1, *parts.rest_T.shape))
        border = np.tensordot(self.times, parts.rest_B, axes=1)[:, None]
        return (self.combine(entries[:, None]) + self._assembled(rest, border))[:, 0]

    def combine(self, weights: FloatArray) -> FloatArray:
        """Sums of the S with r sets of weights, shape (B, r, K), as matrices of shape (B, r, m, m)."""
        S_T, S_B, entry = self.parts.S_T, self.parts.S_B, self.parts.entry
        tail = (weights @ S_T.reshape(len(S_T), -1)).reshape(*weights.shape[:2], *S_T.shape[1:])
        shares = weights[:, :, entry] * self._shares[:, None]
        border = (shares @ S_B.reshape(len(S_B), -1)).reshape(*weights.shape[:2], *S_B.shape[1:])
        return self._assembled(tail, border)

    def slopes(self, Q: FloatArray) -> FloatArray:
        """Inner products, shape (B, K), of the S and symmetric matrices of shape (B, m, m)."""
        S_T, S_B, entry = self.parts.S_T, self.parts.S_B, self.parts.entry
        q = S_T.shape[1]
        shares = Q[:, q:, q:].reshape(len(Q), -1) @ S_B.reshape(len(S_B), -1).T
        shares *= self._shares
        slopes: FloatArray = np.add.reduceat(shares, np.searchsorted(entry, np.arange(len(S_T))), axis=1)
        tail = Q[:, :q].copy()
        tail[:, :, q:] *= 2.0 * np.sqrt(self.tail_weights)[:, :, None]
        slopes += tail.reshape(len(Q), -1) @ S_T.reshape(len(S_T), -1).T
        return slopes

    def _assembled(self, tail: FloatArray, border: FloatArray) -> FloatArray:
        """Matrices (B, r, m, m) from the rows of the tail, (B, r, q, m), and the border, (B, r, p + 1, p + 1)."""
        q, m = tail.shape[2:]
        found = np.empty((*tail.shape[:2], m, m))
        found[:, :, :q] = tail
        found[:, :, :q, q:] *= np.sqrt(self.tail_weights)[:, None, :, None]
        found[:, :, q:, :q] = found[:, :, :q, q:].swapaxes(2, 3)
        found[:, :, q:, q:] = border
        return found


def group_system(
    deviance: ProfiledDeviance, groups: Sequence[IntArray], sizes: IntArray, A_BB: FloatArray
) -> GroupSystem | None:
    """
    Split the system of a model by groups of its rows; None where fitting samples one by one is faster.

    Parameters
    ----------
    deviance : ProfiledDeviance
    groups : sequence of ndarray (J_t,)
        Group of each level of the blocks, in the order of elimination.
    sizes : ndarray (n_groups,)
        Rows of each group.
    A_BB : ndarray (n_groups, p + 1, p + 1)
        [X y]' [X y] of each group.
    """
    if cost_of_one(deviance) is None:
        return None
    system, reduction = batch_system(deviance), deviance.reduction
    k, C, q, n_groups = len(system.R), len(system.counts), system.n_tail, len(sizes)
    c = reduction.c_B
    p1 = len(c)
    cells, cell_of = np.unique(system.class_of * n_groups + groups[0], return_inverse=True)
    a, b = upper_indices(k)
    n_first = system.covariances[0].n_theta
    if (1 + n_first) * len(a) * len(cells) * p1**2 > MOST_PRODUCTS:
        return None
    J = len(cell_of)
    by_cell = sparse.csr_array((np.ones(J), (cell_of, np.arange(J))), shape=(len(cells), J))
    by_group = sparse.csr_array((np.ones(J), (groups[0], np.arange(J))), shape=(n_groups, J))
    S_B, rest_B = np.empty((len(a), len(cells), p1, p1)), A_BB.copy()
    for pair, (i, j) in enumerate(zip(a, b, strict=True)):
        for x in range(p1):  # row by row, so that no array is larger than c
            products = (c[x, i] * c[:, j]).T
            S_B[pair, :, x] = by_cell @ products
            if i == j:
                rest_B[:, x] -= by_group @ products
        if i != j:  # an entry of G off its diagonal acts from both sides
            S_B[pair] += S_B[pair].transpose(0, 2, 1).copy()
    K = len(system.S)
    S_T = np.empty((K, q, q + p1))
    S_T[:, :, :-1] = system.S[:, :q]
    S_T[:, :, -1] = (system.cross_map @ c[-1].ravel()).reshape(K, -1)[:, :q]
    columns = [np.tile(own, size) for own, (size, _) in zip(groups[1:], deviance.cross.sizes[1:], strict=True)]
    count = by_cell.sum(axis=1)
    return GroupSystem(
        system=system,
        sizes=sizes,
        levels=sparse.csr_array((count, (cells // n_groups, cells % n_groups)), shape=(C, n_groups)),
        group_of_column=np.concatenate([np.zeros(0, dtype=np.intp), *columns]),
        rest_T=np.concatenate([system.rest[:q, :q], reduction.rest_BT.T], axis=1),
        S_T=S_T,
        rest_B=rest_B,
        S_B=S_B.reshape(-1, p1, p1),
        entry=(np.arange(len(a))[:, None] * C + cells // n_groups).ravel(),
        group=np.tile(cells % n_groups, len(a)),
    )
