"""
The tail: every random-effects block but the first, and the Schur complement that couples it.

Eliminating the first block, in orthonormal columns Q within its levels (see `lmm.reduction`), leaves

    S = Z_T' (I - Q Q') Z_T + C' G C,    C = Q' Z_T,

with G block diagonal (k x k, one block a level), a symmetric matrix over the columns of the tail. It is kept in one
storage vector: the entries of the columns that are eliminated in sparse stages (with room for the fill that this
makes), then the dense core (see `lmm.elimination`).

The second part is linear in the entries of G. The matrix of that linear map is sparse and is built once; one product
with it gives S, one product with its transpose the derivative of any function of S with respect to G.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.linalg import blas

from lmm.elimination import Plan, dense_plan, pairs_by_owner, plan_elimination
from lmm.layout import Core, Layout, Stage
from lmm.linalg import FloatArray, IntArray, sum_by, symmetric_from_lower, upper_indices
from lmm.memory import require_memory

Matrix = FloatArray | sparse.csr_array | sparse.csc_array

# A tail with no more levels than this is dense; so is one where more pairs of levels meet than this share of all.
FEW_LEVELS = 60
CROWDED = 0.5
# A dense multiplication costs this much less than one of a sparse product.
FULL = 8.0
# Up to this many entries a matrix is kept dense.
SMALL = 20_000
# Above this many pairs the map stays ordered by level, which is slower to apply and needs no second copy to build.
MANY_PAIRS = 20_000_000
# Matrices of the size of the core that exist at once, and bytes for each pair of the map.
COPIES_OF_CORE = 7
BYTES_PER_PAIR = 12
# Pairs that are formed at a time.
PAIRS_AT_A_TIME = 4_000_000


@dataclass(frozen=True)
class Incidence:
    """
    Which levels of two grouping factors meet, and the cross-products of their columns where they do.

    Attributes
    ----------
    rows, columns : ndarray (m,)
        Levels of the first and of the second factor, sorted by row.
    values : ndarray (k_row, k_column, m)
        Cross-products of the columns of the two factors over the data rows of each pair of levels.
    """

    rows: IntArray
    columns: IntArray
    values: FloatArray

    def __add__(self, other: Incidence) -> Incidence:
        """Cross-products over the data rows of both."""
        rows = np.concatenate([self.rows, other.rows])
        columns = np.concatenate([self.columns, other.columns])
        width = int(columns.max(initial=0)) + 1
        cells, cell_of = np.unique(rows * width + columns, return_inverse=True)
        both = np.concatenate([self.values, other.values], axis=2)
        values = np.zeros((*both.shape[:2], len(cells)))
        for entry in np.ndindex(both.shape[:2]):
            values[entry] = sum_by(cell_of, both[entry], len(cells))
        return Incidence(cells // width, cells % width, values)

    def times(self, factor: float) -> Incidence:
        """The same pairs of levels, with values times a number."""
        return Incidence(self.rows, self.columns, factor * self.values)


@dataclass(frozen=True)
class Tail:
    """
    Layout of the tail, its own cross-products, and the linear map from G to S.

    Attributes
    ----------
    first : tuple of int
        Effects k and levels J of the first block.
    sizes : tuple of (int, int)
        Effects k_t and levels J_t of each tail block. Column ``offset_t + a * J_t + j`` is effect a of level j.
    stages : tuple of Stage
    core : Core
    diagonal : ndarray (q_T,)
        Position in storage of the diagonal entry of each column.
    coupled : mapping of (int, int) to ndarray (n, k_s, k_t)
        Positions of the entries between pairs of levels of blocks s <= t outside the core, by effects of the two; with
        s = t this includes each level with itself.
    own : tuple of ndarray (k_t, k_t, J_t)
        Positions of the diagonal blocks of each block of the tail.
    rest : ndarray
        Storage vector of Z_T' (I - Q Q') Z_T.
    C : matrix (q_T, k * J), sparse unless it is small
        Z_T' Q; column ``a * J + j`` is direction a of level j of the first block.
    schur_map : sparse matrix (len(rest), k (k + 1) / 2 * J) or None
        Storage of C' G C from the entries a <= b of G, pair by pair, level by level; None where C is so full that
        dense products cost less.
    """

    first: tuple[int, int]
    sizes: tuple[tuple[int, int], ...]
    stages: tuple[Stage, ...]
    core: Core
    diagonal: IntArray
    coupled: Mapping[tuple[int, int], IntArray]
    own: tuple[IntArray, ...]
    rest: FloatArray
    C: Matrix
    schur_map: sparse.csr_array | sparse.csc_array | None

    @property
    def n_columns(self) -> int:
        """Number of random effects in the tail."""
        return sum(k * J for k, J in self.sizes)

    @cached_property
    def offsets(self) -> IntArray:
        """First column of each block, and the number of columns."""
        return np.cumsum([0, *(k * J for k, J in self.sizes)])

    def schur(self, G: FloatArray) -> FloatArray:
        """Storage of S for G of shape (k, k, J)."""
        if self.schur_map is None:
            C = self._dense_C
            GC = np.einsum("abj,qbj->qaj", G, C)
            product = C.reshape(len(C), -1) @ GC.reshape(len(C), -1).T
            return np.asarray(self.rest + product.ravel())
        S: FloatArray = self.rest + self.schur_map @ G[upper_indices(len(G))].ravel()
        return S

    @cached_property
    def _dense_C(self) -> FloatArray:
        """C by direction and level, shape (q_T, k, J)."""
        C = self.C.toarray() if sparse.issparse(self.C) else self.C
        return np.asarray(C).reshape(-1, *self.first)

    @cached_property
    def rest_matrix(self) -> Matrix:
        """Z_T' (I - Q Q') Z_T as a symmetric matrix (q_T, q_T)."""
        return self.symmetric(self.rest)

    def symmetric(self, storage: FloatArray) -> Matrix:
        """A matrix in storage as a symmetric matrix (q_T, q_T), dense where all of it is core."""
        m = len(self.core.columns)
        if not self.stages:
            return symmetric_from_lower(self.core.matrix(storage))
        low = np.tril_indices(m)
        rows = [self.core.columns[low[0]], *(stage.neighbours for stage in self.stages)]
        columns = [self.core.columns[low[1]], *(stage.columns[stage.owners] for stage in self.stages)]
        values = [self.core.matrix(storage)[low], *(storage[stage.entries] for stage in self.stages)]
        for stage in self.stages:
            rows.append(stage.columns)
            columns.append(stage.columns)
            values.append(storage[stage.diagonal])
        cells = (np.concatenate(rows), np.concatenate(columns))
        half = sparse.csr_array((np.concatenate(values), cells), shape=(self.n_columns, self.n_columns))
        half.eliminate_zeros()
        return sparse.csr_array(half + half.T - sparse.diags_array(half.diagonal()))

    def schur_adjoint(self, N: FloatArray) -> FloatArray:
        """Blocks of C N C' for each level, shape (k, k, J), for a symmetric N held in storage."""
        k, J = self.first
        if self.schur_map is None:
            C = self._dense_C
            # Seen from Fortran, the lower triangle of N is an upper one, and C by its columns is C' by rows.
            NC = blas.dsymm(1.0, self.core.matrix(N).T, C.reshape(len(C), -1).T, side=1, lower=0).T
            return np.asarray(np.einsum("qaj,qbj->abj", C, NC.reshape(C.shape)))
        a, b = upper_indices(k)
        weighted = 2.0 * N  # an entry off the diagonal of S stands for two
        weighted[self.diagonal] = N[self.diagonal]
        pairs = (self.schur_map.T @ weighted).reshape(-1, J)
        pairs[a != b] *= 0.5  # an entry off the diagonal of G stands for two
        R = np.empty((k, k, J))
        R[a, b] = R[b, a] = pairs
        return R


def build_tail(
    first: tuple[int, int],
    sizes: tuple[tuple[int, int], ...],
    with_first: tuple[Incidence, ...],
    within: Mapping[tuple[int, int], Incidence],
) -> Tail:
    """
    Lay out the tail and build the linear map from G to S.

    Parameters
    ----------
    first : tuple of int
        Effects k and levels J of the first block.
    sizes : tuple of (int, int)
        Effects and levels of each tail block.
    with_first : tuple of Incidence
        For each tail block, its cross-products with the orthonormal columns Q of the first block (whose levels are the
        rows).
    within : mapping of (int, int) to Incidence
        Cross-products of tail blocks s <= t; for s = t each level meets itself.
    """
    plan, edges = _plan(first[1], sizes, with_first, within)
    _require_memory(first, sizes, with_first, plan)
    layout = Layout(sizes, plan, edges)
    rest = np.zeros(layout.size)
    rows, columns, values = _own_entries(sizes, layout.offsets, within)
    rest[layout.position(rows, columns)] = values

    levels, columns, meetings = _nonzeros(first, sizes, layout.offsets, with_first)
    k, J = first
    cells = (np.tile(columns, k), (np.arange(k)[:, None] * J + levels).ravel())
    C = sparse.csr_array((meetings.ravel(), cells), shape=(int(layout.offsets[-1]), k * J))
    schur_map = None
    if _is_full(layout, k, J, levels):
        rest -= (C @ C.T).toarray().ravel()
    else:
        schur_map = _schur_map(first, layout, levels, columns, meetings)
        a, b = np.triu_indices(k)
        rest -= schur_map @ np.repeat(a == b, J).astype(np.float64)
    return Tail(
        first=first,
        sizes=sizes,
        stages=layout.stages,
        core=layout.core,
        diagonal=layout.diagonal,
        coupled=layout.coupled,
        own=layout.own_positions(),
        rest=rest,
        C=_dense_if_small(C),
        schur_map=schur_map,
    )


def _require_memory(
    first: tuple[int, int], sizes: tuple[tuple[int, int], ...], with_first: tuple[Incidence, ...], plan: Plan
) -> None:
    """Refuse a dense core, or a map from G to S, that would not fit."""
    level_of_core = np.searchsorted(np.cumsum([J for _, J in sizes]), plan.core, side="right")
    core = float(np.array([k for k, _ in sizes])[level_of_core].sum())
    counts = sum(
        np.bincount(incidence.rows, minlength=first[1]) * float(k)
        for incidence, (k, _) in zip(with_first, sizes, strict=True)
    )
    n_pairs = float(np.sum(counts * (counts + 1) / 2)) * first[0] * (first[0] + 1) / 2
    require_memory(
        8.0 * COPIES_OF_CORE * core**2 + BYTES_PER_PAIR * n_pairs,
        f"the random effects, of which {core:.0f} are coupled to all others (a dense matrix of that order) and "
        f"{n_pairs:.0f} pairs meet in a level of the largest factor,",
        "Fewer levels of the smaller factors, or fewer effects per level, need less",
    )


def _plan(
    n_first: int,
    sizes: tuple[tuple[int, int], ...],
    with_first: tuple[Incidence, ...],
    within: Mapping[tuple[int, int], Incidence],
) -> tuple[Plan, IntArray]:
    """Order of elimination of the levels of the tail, and their connections (empty where all are in the core)."""
    starts = np.cumsum([0, *(J for _, J in sizes)])
    n_levels = int(starts[-1])
    nothing = np.zeros(0, dtype=np.intp)
    first_level = np.concatenate([incidence.rows for incidence in with_first])
    counts = np.bincount(first_level, minlength=n_first)
    n_pairs = int((counts * (counts - 1) // 2).sum())
    if n_levels <= FEW_LEVELS or n_pairs > CROWDED * n_levels**2:
        return dense_plan(n_levels), nothing
    order = np.argsort(first_level, kind="stable")
    level = np.concatenate([starts[t] + incidence.columns for t, incidence in enumerate(with_first)])[order]
    one, other = pairs_by_owner(counts)
    edges = [_edge(level[one], level[other], n_levels)]
    for (s, t), incidence in within.items():
        edges.append(_edge(starts[s] + incidence.rows, starts[t] + incidence.columns, n_levels))
    unique = np.unique(np.concatenate(edges))
    plan = plan_elimination(n_levels, unique)
    return plan, unique if plan.stages else nothing


def _edge(one: IntArray, other: IntArray, n_levels: int) -> IntArray:
    """Connections u < v as ``u * n_levels + v``."""
    low, high = np.minimum(one, other), np.maximum(one, other)
    edges: IntArray = (low * n_levels + high)[low != high]
    return edges


def _own_entries(
    sizes: tuple[tuple[int, int], ...], offsets: IntArray, within: Mapping[tuple[int, int], Incidence]
) -> tuple[IntArray, IntArray, FloatArray]:
    """Z_T' Z_T entry by entry: columns, columns, values, each entry of one triangle once."""
    rows, columns, values = [], [], []
    for (s, t), incidence in within.items():
        for i in range(sizes[s][0]):
            for j in range(i if s == t else 0, sizes[t][0]):
                rows.append(offsets[t] + j * sizes[t][1] + incidence.columns)
                columns.append(offsets[s] + i * sizes[s][1] + incidence.rows)
                values.append(incidence.values[i, j])
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(values)


def _nonzeros(
    first: tuple[int, int],
    sizes: tuple[tuple[int, int], ...],
    offsets: IntArray,
    with_first: tuple[Incidence, ...],
) -> tuple[IntArray, IntArray, FloatArray]:
    """Meetings of the first block and the tail by level: levels (m,), tail columns (m,), values (k, m)."""
    levels, columns, values = [], [], []
    for t, incidence in enumerate(with_first):
        for b in range(sizes[t][0]):
            levels.append(incidence.rows)
            columns.append(offsets[t] + b * sizes[t][1] + incidence.columns)
            values.append(incidence.values[:, b])
    level = np.concatenate(levels)
    order = np.argsort(level, kind="stable")
    return level[order], np.concatenate(columns)[order], np.concatenate(values, axis=1)[:, order].reshape(first[0], -1)


def _is_full(layout: Layout, k: int, J: int, levels: IntArray) -> bool:
    """Whether dense products with C cost less than the products of the pairs that meet."""
    if layout.stages:
        return False
    counts = np.bincount(levels, minlength=J)
    n_pairs = float((counts * (counts + 1.0) / 2.0).sum()) * k * (k + 1) / 2
    dense = float(layout.offsets[-1]) ** 2 * k * J
    return dense <= max(FULL * n_pairs, SMALL)


def _schur_map(
    first: tuple[int, int], layout: Layout, levels: IntArray, columns: IntArray, values: FloatArray
) -> sparse.csr_array | sparse.csc_array:
    """The linear map from the entries a <= b of G to the storage of C' G C."""
    k, J = first
    counts = np.bincount(levels, minlength=J)
    ends = np.cumsum(counts)
    pairs = np.concatenate([[0], np.cumsum(counts * (counts + 1) // 2)])
    a, b = np.triu_indices(k)
    positions = np.empty(pairs[-1], dtype=np.int32 if layout.size < 2**31 else np.int64)
    products = np.empty((len(a), pairs[-1]))
    # Some levels at a time: the pairs may be many, and their temporaries must not be.
    for start, stop in _chunks(pairs):
        here = slice(ends[start] - counts[start], ends[stop - 1])
        one, other = pairs_by_owner(counts[start:stop])
        column, value = columns[here], values[:, here]
        to = slice(pairs[start], pairs[stop])
        positions[to] = layout.position(column[one], column[other])
        for row, (i, j) in enumerate(zip(a, b, strict=True)):
            products[row, to] = value[i, one] * value[j, other]
            if i != j:  # an entry of G off its diagonal acts from both sides
                products[row, to] += value[j, one] * value[i, other]
    pointers = np.concatenate([[0], *(pairs[1:] + row * pairs[-1] for row in range(len(a)))])
    cells = (products.ravel(), np.tile(positions, len(a)), pointers)
    by_level = sparse.csc_array(cells, shape=(layout.size, len(a) * J))
    if by_level.nnz > MANY_PAIRS:
        return by_level
    return by_level.tocsr()


def _dense_if_small(matrix: sparse.csr_array) -> Matrix:
    """A dense array where calling the sparse routines would cost more than the zeros."""
    return matrix.toarray() if matrix.shape[0] * matrix.shape[1] <= SMALL else matrix


def _chunks(pairs: IntArray) -> Iterator[tuple[int, int]]:
    """Ranges of levels with a bounded number of pairs each; ``pairs[j]`` pairs stand before level j."""
    start = 0
    while start < len(pairs) - 1:
        stop = int(np.searchsorted(pairs, pairs[start] + PAIRS_AT_A_TIME, side="right")) - 1
        stop = max(stop, start + 1)
        yield start, stop
        start = stop
