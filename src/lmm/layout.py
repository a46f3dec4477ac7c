"""
Where the entries of a symmetric matrix over the columns of the tail stand in one storage vector.

The order is that of elimination (see `lmm.elimination`): stage by stage the diagonal of the stage's columns and their
entries with columns eliminated later, fill included; then the dense core, row by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lmm.elimination import LevelStage, Plan, pairs_by_owner
from lmm.linalg import FloatArray, IntArray


@dataclass(frozen=True)
class Stage:
    """
    Columns that are eliminated together, and where their entries stand in storage.

    Attributes
    ----------
    columns : ndarray (n,)
        Columns of the tail; no two of them are connected.
    diagonal : ndarray (n,)
        Positions of their diagonal entries.
    entries : slice
        Positions of their entries with columns eliminated later.
    owners, neighbours : ndarray (e,)
        For each entry, its column's position in ``columns``, and the other column.
    one, other : ndarray (P,)
        Pairs of entries (positions within the stage) of the same column.
    targets : ndarray (P,)
        Position in storage of the entry between the neighbours of each pair.
    """

    columns: IntArray
    diagonal: IntArray
    entries: slice
    owners: IntArray
    neighbours: IntArray
    one: IntArray
    other: IntArray
    targets: IntArray


@dataclass(frozen=True)
class Core:
    """
    The dense part of the tail.

    Attributes
    ----------
    columns : ndarray (m,)
        Columns of the tail: block by block, effect by effect.
    start : int
        Position in storage of the m x m matrix.
    slices : tuple of (slice, int)
        Places of each tail block in the core, with its number of effects.
    """

    columns: IntArray
    start: int
    slices: tuple[tuple[slice, int], ...]

    def matrix(self, storage: FloatArray) -> FloatArray:
        """View of the core, shape (m, m), lower triangle, in a storage vector."""
        m = len(self.columns)
        return storage[self.start :].reshape(m, m)


class Layout:
    """
    Storage of a symmetric matrix over the columns of the tail.

    First, stage by stage, the diagonal of the stage's columns and their entries with later columns; then the core.
    """

    def __init__(self, sizes: tuple[tuple[int, int], ...], plan: Plan, edges: IntArray) -> None:
        self.sizes = sizes
        self.offsets: IntArray = np.cumsum([0, *(k * J for k, J in sizes)])
        q = int(self.offsets[-1])
        self._first_level = np.cumsum([0, *(J for _, J in sizes)])
        self.diagonal = np.empty(q, dtype=np.intp)
        self._turn = np.full(q, np.iinfo(np.intp).max)  # the stage of a column; the core comes last
        self._place = np.zeros(q, dtype=np.intp)
        layouts = [part for stage in plan.stages for part in self._split(stage)]
        sizes_of = [len(columns) + len(owners) for columns, owners, _ in layouts]
        starts = np.cumsum([0, *sizes_of])
        for turn, (columns, _, _) in enumerate(layouts):
            self.diagonal[columns] = starts[turn] + np.arange(len(columns))
            self._turn[columns] = turn
        self.core = self._core(plan.core, int(starts[-1]))
        m = len(self.core.columns)
        self.diagonal[self.core.columns] = self.core.start + np.arange(m) * (m + 1)
        self._place[self.core.columns] = np.arange(m)
        self.size = int(starts[-1]) + m * m
        self._index_entries(layouts, starts, q)
        self.stages = tuple(self._stage(layout, int(start)) for layout, start in zip(layouts, starts, strict=False))
        self.coupled = self._coupled(plan, edges)

    def _columns_of(self, levels: IntArray, a: int) -> tuple[IntArray, IntArray]:
        """Columns of effect a of levels of the tail, and which of the levels have that effect."""
        block = np.searchsorted(self._first_level, levels, side="right") - 1
        k, J = np.array([k for k, _ in self.sizes])[block], np.array([J for _, J in self.sizes])[block]
        has = np.flatnonzero(k > a)
        return (self.offsets[block] + a * J + levels - self._first_level[block])[has], has

    def _split(self, stage: LevelStage) -> Iterator[tuple[IntArray, IntArray, IntArray]]:
        """A stage of levels as stages of single columns: columns, owners of the entries, their other columns."""
        k_max = max(k for k, _ in self.sizes)
        for a in range(k_max):
            columns, has = self._columns_of(stage.levels, a)
            if not len(columns):
                return
            position = np.full(len(stage.levels), -1)
            position[has] = np.arange(len(has))
            owners, neighbours = [], []
            for b in range(k_max):
                if b > a:  # the level's own later effects
                    later, own = self._columns_of(stage.levels, b)
                    owners.append(position[own])
                    neighbours.append(later)
                others, which = self._columns_of(stage.neighbours, b)
                owner = position[stage.owners[which]]
                owners.append(owner[owner >= 0])
                neighbours.append(others[owner >= 0])
            owner, neighbour = np.concatenate(owners), np.concatenate(neighbours)
            order = np.argsort(owner, kind="stable")
            yield columns, owner[order], neighbour[order]

    def _core(self, levels: IntArray, start: int) -> Core:
        """The core: block by block, effect by effect."""
        columns: list[IntArray] = []
        slices = []
        place = 0
        for t, (k, J) in enumerate(self.sizes):
            own = levels[(levels >= self._first_level[t]) & (levels < self._first_level[t + 1])] - self._first_level[t]
            columns.extend(self.offsets[t] + a * J + own for a in range(k))
            slices.append((slice(place, place + k * len(own)), k))
            place += k * len(own)
        return Core(np.concatenate(columns), start, tuple(slices))

    def _index_entries(self, layouts: list[tuple[IntArray, IntArray, IntArray]], starts: IntArray, q: int) -> None:
        """Make the entries outside the core findable by their columns."""
        keys, positions = [np.zeros(0, dtype=np.intp)], [np.zeros(0, dtype=np.intp)]
        for (columns, owners, neighbours), start in zip(layouts, starts, strict=False):
            keys.append(columns[owners] * q + neighbours)
            positions.append(start + len(columns) + np.arange(len(owners)))
        key = np.concatenate(keys)
        order = np.argsort(key)
        self._keys, self._positions = key[order], np.concatenate(positions)[order]

    def position(self, one: IntArray, other: IntArray) -> IntArray:
        """Position in storage of the entries of a symmetric matrix that stand for pairs of connected columns."""
        place, place_other = self._place[one], self._place[other]
        m = len(self.core.columns)
        position: IntArray = self.core.start + np.maximum(place, place_other) * m + np.minimum(place, place_other)
        if m == len(self.diagonal):
            return position
        turn, turn_other = self._turn[one], self._turn[other]
        same = one == other
        position[same] = self.diagonal[one[same]]
        outside = ~same & (np.minimum(turn, turn_other) < np.iinfo(np.intp).max)
        earlier = np.where(turn < turn_other, one, other)[outside]
        later = np.where(turn < turn_other, other, one)[outside]
        position[outside] = self._positions[np.searchsorted(self._keys, earlier * len(self.diagonal) + later)]
        return position

    def _stage(self, layout: tuple[IntArray, IntArray, IntArray], start: int) -> Stage:
        columns, owners, neighbours = layout
        one, other = pairs_by_owner(np.bincount(owners, minlength=len(columns)))
        return Stage(
            columns=columns,
            diagonal=start + np.arange(len(columns)),
            entries=slice(start + len(columns), start + len(columns) + len(owners)),
            owners=owners,
            neighbours=neighbours,
            one=one,
            other=other,
            targets=self.position(neighbours[one], neighbours[other]),
        )

    def _coupled(self, plan: Plan, edges: IntArray) -> dict[tuple[int, int], IntArray]:
        """Positions of the entries between connected levels outside the core, by blocks."""
        if not plan.stages:
            return {}
        n_levels = int(self._first_level[-1])
        in_core = np.zeros(n_levels, dtype=bool)
        in_core[plan.core] = True
        u, v = edges // n_levels, edges % n_levels
        outside = ~(in_core[u] & in_core[v])
        itself = np.flatnonzero(~in_core)
        u, v = np.concatenate([u[outside], itself]), np.concatenate([v[outside], itself])
        s, t = (np.searchsorted(self._first_level, level, side="right") - 1 for level in (u, v))
        coupled = {}
        for cell in np.unique(s * len(self.sizes) + t):
            i, j = divmod(int(cell), len(self.sizes))
            here = (s == i) & (t == j)
            positions = np.empty((int(here.sum()), self.sizes[i][0], self.sizes[j][0]), dtype=np.intp)
            for a in range(self.sizes[i][0]):
                for b in range(self.sizes[j][0]):
                    one, _ = self._columns_of(u[here], a)
                    other, _ = self._columns_of(v[here], b)
                    positions[:, a, b] = self.position(one, other)
            coupled[i, j] = positions
        return coupled

    def own_positions(self) -> tuple[IntArray, ...]:
        """Positions of the diagonal blocks, shape (k_t, k_t, J_t), of each block of the tail."""
        positions = []
        for (k, J), offset in zip(self.sizes, self.offsets, strict=False):
            columns = offset + J * np.arange(k)[:, None] + np.arange(J)
            own = np.empty((k, k, J), dtype=np.intp)
            for a in range(k):
                for b in range(k):
                    own[a, b] = self.position(columns[a], columns[b])
            positions.append(own)
        return tuple(positions)
