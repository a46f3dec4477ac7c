"""
The tail: every random-effects block but the first, and the Schur complement that couples it.

Eliminating the first block, whose part of the system is block diagonal with blocks D_j (k x k, one a level), leaves

    S = A_TT - A_T1 D A_1T,

a matrix over the columns of the tail. The tail falls into connected components (two columns are connected when they
meet in a row, or in a level of the first block): one component for crossed factors, one a top-level group for nested
factors. Each component is dense; components of similar size are stored together as one array and factored at once.
So a nested design of any depth costs no more than its components, and a crossed design is one dense matrix.

The lower triangle of S is linear in the entries of D. The matrix of that linear map is sparse and is built once; one
product with it gives S, one product with its transpose the derivative of any function of S with respect to D.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from lmm.linalg import FloatArray, IntArray, sum_by

Matrix = FloatArray | sparse.csr_array | sparse.csc_array

# Up to this many entries a matrix is kept dense.
SMALL = 20_000
# Above this many pairs the map stays ordered by level, which is slower to apply and needs no second copy to build.
MANY_PAIRS = 20_000_000
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


@dataclass(frozen=True)
class Group:
    """
    Components of the tail that share one layout.

    Attributes
    ----------
    start : int
        Position of the group in the storage vector of S.
    columns : ndarray (n_components, m)
        Tail columns of each component; the number of tail columns where a place is padding.
    slices : tuple of (slice, int)
        Places of each tail block in a component, with its number of effects, effect by effect.
    """

    start: int
    columns: IntArray
    slices: tuple[tuple[slice, int], ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the matrices of the group: components, m, m."""
        n_components, m = self.columns.shape
        return n_components, m, m

    def matrices(self, storage: FloatArray) -> FloatArray:
        """View of the group's matrices, shape (n_components, m, m), in a storage vector."""
        n_components, m = self.columns.shape
        return storage[self.start : self.start + n_components * m * m].reshape(self.shape)


@dataclass(frozen=True)
class Tail:
    """
    Layout of the tail, its own cross-products, and the linear map from D to S.

    Attributes
    ----------
    first : tuple of int
        Effects k and levels J of the first block.
    sizes : tuple of (int, int)
        Effects k_t and levels J_t of each tail block. Column ``offset_t + a * J_t + j`` is effect a of level j.
    groups : tuple of Group
    A_TT : ndarray
        Storage vector: lower triangles of the components of A_TT, zero elsewhere.
    A_TT_full : matrix (q_T, q_T), sparse unless it is small
        The same, as a symmetric matrix.
    multiplicity : ndarray
        How often a stored entry stands in the symmetric matrix: 2 below the diagonal, 1 on it, 0 above.
    A_T1 : matrix (q_T, k * J), sparse unless it is small
        Cross-products with the first block, whose column ``a * J + j`` is effect a of level j.
    schur_map : matrix (len(A_TT), k (k + 1) / 2 * J), sparse unless it is small
        Storage of A_T1 D A_1T from the entries a <= b of D, pair by pair, level by level.
    """

    first: tuple[int, int]
    sizes: tuple[tuple[int, int], ...]
    groups: tuple[Group, ...]
    A_TT: FloatArray
    A_TT_full: Matrix
    multiplicity: FloatArray
    A_T1: Matrix
    schur_map: Matrix

    @property
    def n_columns(self) -> int:
        """Number of random effects in the tail."""
        return sum(k * J for k, J in self.sizes)

    def schur(self, D: FloatArray) -> FloatArray:
        """Storage of S = A_TT - A_T1 D A_1T for D of shape (k, k, J)."""
        S: FloatArray = self.A_TT - self.schur_map @ D[np.triu_indices(len(D))].ravel()
        return S

    def schur_adjoint(self, N: FloatArray) -> FloatArray:
        """Blocks of A_1T N A_T1 for each level, shape (k, k, J), for a symmetric N held in storage."""
        k, J = self.first
        a, b = np.triu_indices(k)
        pairs = (self.schur_map.T @ (N * self.multiplicity)).reshape(-1, J)
        pairs[a != b] *= 0.5  # an entry off the diagonal of D stands for two
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
    Lay out the tail and build the linear map from D to S.

    Parameters
    ----------
    first : tuple of int
        Effects k and levels J of the first block.
    sizes : tuple of (int, int)
        Effects and levels of each tail block.
    with_first : tuple of Incidence
        For each tail block, its cross-products with the first block (whose levels are the rows).
    within : mapping of (int, int) to Incidence
        Cross-products of tail blocks s <= t; for s = t each level meets itself.
    """
    components = _components(first[1], sizes, with_first, within)
    groups = _layout(sizes, components)
    offsets = np.cumsum([0, *(k * J for k, J in sizes)])
    places = _places(groups, int(offsets[-1]))

    entries = _own_entries(sizes, offsets, within)
    size = sum(int(np.prod(group.shape)) for group in groups)
    A_TT = np.zeros(size)
    A_TT[places.position(entries.rows, entries.columns)] = entries.values

    multiplicity = np.zeros(size)
    for group in groups:
        m = group.shape[1]
        group.matrices(multiplicity)[:] = np.tril(np.full((m, m), 2.0), -1) + np.eye(m)

    levels, columns, meetings = _nonzeros(first, sizes, offsets, with_first)
    k, J = first
    cells = (np.tile(columns, k), (np.arange(k)[:, None] * J + levels).ravel())
    A_T1 = _dense_if_small(sparse.csr_array((meetings.ravel(), cells), shape=(int(offsets[-1]), k * J)))
    schur_map = _schur_map(first, size, places, levels, columns, meetings)
    return Tail(first, sizes, groups, A_TT, _symmetric(entries, int(offsets[-1])), multiplicity, A_T1, schur_map)


@dataclass(frozen=True)
class _Places:
    """For each tail column: where its component starts in storage, its place in there, and the component's width."""

    base: IntArray
    place: IntArray
    width: IntArray

    def position(self, one: IntArray, other: IntArray) -> IntArray:
        """Position in storage of the entries of a symmetric matrix that stand for pairs of columns of a component."""
        place, place_other = self.place[one], self.place[other]
        row, column = np.maximum(place, place_other), np.minimum(place, place_other)
        return np.asarray(self.base[one] + row * self.width[one] + column, dtype=np.intp)


@dataclass(frozen=True)
class _Entries:
    """Entries of one triangle of a symmetric matrix, each given once."""

    rows: IntArray
    columns: IntArray
    values: FloatArray


def _own_entries(
    sizes: tuple[tuple[int, int], ...], offsets: IntArray, within: Mapping[tuple[int, int], Incidence]
) -> _Entries:
    """A_TT entry by entry."""
    rows, columns, values = [], [], []
    for (s, t), incidence in within.items():
        for i in range(sizes[s][0]):
            for j in range(i if s == t else 0, sizes[t][0]):
                rows.append(offsets[t] + j * sizes[t][1] + incidence.columns)
                columns.append(offsets[s] + i * sizes[s][1] + incidence.rows)
                values.append(incidence.values[i, j])
    return _Entries(np.concatenate(rows), np.concatenate(columns), np.concatenate(values))


def _schur_map(
    first: tuple[int, int], size: int, places: _Places, levels: IntArray, columns: IntArray, values: FloatArray
) -> Matrix:
    """The linear map from the entries a <= b of D to the storage of A_T1 D A_1T."""
    k, J = first
    counts = np.bincount(levels, minlength=J)
    ends = np.cumsum(counts)
    pairs = np.concatenate([[0], np.cumsum(counts * (counts + 1) // 2)])
    a, b = np.triu_indices(k)
    positions = np.empty(pairs[-1], dtype=np.int32 if size < 2**31 else np.int64)
    products = np.empty((len(a), pairs[-1]))
    # Some levels at a time: the pairs may be many, and their temporaries must not be.
    for start, stop in _chunks(pairs):
        here = slice(ends[start] - counts[start], ends[stop - 1])
        one, other = _pairs(counts[start:stop])
        column, value = columns[here], values[:, here]
        to = slice(pairs[start], pairs[stop])
        positions[to] = places.position(column[one], column[other])
        for row, (i, j) in enumerate(zip(a, b, strict=True)):
            products[row, to] = value[i, one] * value[j, other]
            if i != j:  # an entry of D off its diagonal acts from both sides
                products[row, to] += value[j, one] * value[i, other]
    pointers = np.concatenate([[0], *(pairs[1:] + row * pairs[-1] for row in range(len(a)))])
    by_level = sparse.csc_array((products.ravel(), np.tile(positions, len(a)), pointers), shape=(size, len(a) * J))
    if by_level.nnz > MANY_PAIRS:
        return by_level
    return _dense_if_small(by_level.tocsr())


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


def _symmetric(entries: _Entries, n: int) -> Matrix:
    """Symmetric sparse matrix from the entries of one triangle."""
    off = entries.rows != entries.columns
    rows = np.concatenate([entries.rows, entries.columns[off]])
    columns = np.concatenate([entries.columns, entries.rows[off]])
    values = np.concatenate([entries.values, entries.values[off]])
    return _dense_if_small(sparse.csr_array((values, (rows, columns)), shape=(n, n)))


def _components(
    n_first: int,
    sizes: tuple[tuple[int, int], ...],
    with_first: tuple[Incidence, ...],
    within: Mapping[tuple[int, int], Incidence],
) -> list[IntArray]:
    """Component of each level of each tail block, numbered from 0."""
    starts = np.cumsum([n_first, *(J for _, J in sizes)])
    one = [incidence.rows for incidence in with_first]
    other = [starts[t] + incidence.columns for t, incidence in enumerate(with_first)]
    for (s, t), incidence in within.items():
        if s != t:
            one.append(starts[s] + incidence.rows)
            other.append(starts[t] + incidence.columns)
    edges = (np.concatenate(one), np.concatenate(other))
    n_nodes = int(starts[-1])
    graph = sparse.coo_array((np.ones(len(edges[0]), dtype=np.int8), edges), shape=(n_nodes, n_nodes))
    components = connected_components(graph, directed=False)[1][n_first:]
    labels: IntArray = np.unique(components, return_inverse=True)[1]
    return np.split(labels, starts[1:-1] - n_first)


def _layout(sizes: tuple[tuple[int, int], ...], components: list[IntArray]) -> tuple[Group, ...]:
    """Gather components with as many levels in each block, rounded up to a power of two, into groups."""
    n_components = 1 + max(int(labels.max()) for labels in components)
    counts = np.stack([np.bincount(labels, minlength=n_components) for labels in components], axis=1)
    if n_components > 1:
        counts = np.where(counts > 0, 2 ** np.ceil(np.log2(np.maximum(counts, 1))), 0).astype(np.intp)
    shapes, membership = np.unique(counts, axis=0, return_inverse=True)
    membership = membership.ravel()
    offsets = np.cumsum([0, *(k * J for k, J in sizes)])
    groups = []
    start = 0
    for g, shape in enumerate(shapes):
        members = np.flatnonzero(membership == g)
        rank = np.full(n_components, -1)
        rank[members] = np.arange(len(members))
        places = np.cumsum([0, *(k * m for (k, _), m in zip(sizes, shape, strict=True))])
        columns = np.full((len(members), places[-1]), offsets[-1])
        for t, ((k, J), m) in enumerate(zip(sizes, shape, strict=True)):
            levels = np.flatnonzero(rank[components[t]] >= 0)
            owner = rank[components[t][levels]]
            order = np.argsort(owner, kind="stable")
            first_of_owner = np.searchsorted(owner[order], np.arange(len(members)))
            slot = np.arange(len(levels)) - first_of_owner[owner[order]]
            for a in range(k):
                columns[owner[order], places[t] + a * m + slot] = offsets[t] + a * J + levels[order]
        slices = tuple((slice(int(places[t]), int(places[t + 1])), k) for t, (k, _) in enumerate(sizes))
        groups.append(Group(start, columns, slices))
        start += len(members) * int(places[-1]) ** 2
    return tuple(groups)


def _places(groups: tuple[Group, ...], n_columns: int) -> _Places:
    """Places of the columns of the tail in the layout of the groups."""
    base, place, width = (np.zeros(n_columns + 1, dtype=np.intp) for _ in range(3))
    for group in groups:
        n_components, m = group.columns.shape
        base[group.columns] = (group.start + np.arange(n_components) * m * m)[:, None]
        place[group.columns] = np.arange(m)
        width[group.columns] = m
    return _Places(base[:-1], place[:-1], width[:-1])


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


def _pairs(counts: IntArray) -> tuple[IntArray, IntArray]:
    """All pairs (each with itself too, each pair once) of entries of the same level, given the entries by level."""
    starts = np.cumsum(counts) - counts
    rank = np.arange(int(counts.sum())) - np.repeat(starts, counts)
    one = np.repeat(np.arange(len(rank)), rank + 1)
    first_pair = np.cumsum(rank + 1) - (rank + 1)
    other = np.arange(len(one)) - np.repeat(first_pair - np.repeat(starts, counts), rank + 1)
    return one, other
