"""
Cross-products: all that the fitting loop needs to know of the data, A = [Z X y]' W [Z X y] in blocks.

After this stage nothing costs O(n). The cross-products of two chunks of rows, made in the same basis and with the same
levels, add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from lmm.linalg import FloatArray, IntArray, sum_by
from lmm.tail import Incidence


@dataclass(frozen=True)
class Block:
    """
    Random-effects columns of one grouping factor.

    Attributes
    ----------
    codes : ndarray (n,)
        Level of each row, 0 .. n_levels - 1.
    n_levels : int
    columns : ndarray (n, k)
        Columns of the k effects of a level, already multiplied by the square roots of the weights.
    """

    codes: IntArray
    n_levels: int
    columns: FloatArray

    @property
    def n_effects(self) -> int:
        """Number k of effects per level."""
        return int(self.columns.shape[1])

    @property
    def matrix(self) -> sparse.csr_array:
        """The columns spread over the levels, shape (n, J k): column ``j k + a`` is effect a of level j."""
        n, k = self.columns.shape
        columns = self.codes[:, None] * k + np.arange(k)
        cells = (self.columns.ravel(), columns.ravel(), np.arange(0, n * k + 1, k))
        return sparse.csr_array(cells, shape=(n, self.n_levels * k))

    def within_levels(self) -> FloatArray:
        """Z_t' Z_t, block diagonal: k x k for each level, shape (k, k, J)."""
        k = self.n_effects
        A = np.empty((k, k, self.n_levels))
        for a in range(k):
            for b in range(a, k):
                A[a, b] = A[b, a] = sum_by(self.codes, self.columns[:, a] * self.columns[:, b], self.n_levels)
        return A


@dataclass(frozen=True)
class CrossProducts:
    """
    Blocks of [Z X y]' W [Z X y], the largest random-effects block first.

    Attributes
    ----------
    order : tuple of int
        Positions, in the list of blocks given, of the first block and the blocks of the tail.
    sizes : tuple of (int, int)
        Effects k and levels J of the blocks, in that order.
    A_11 : ndarray (k, k, J)
        First block: k x k for each of its J levels.
    A_B1 : ndarray (p + 1, k, J)
        [X y]' Z of the first block.
    A_BT : ndarray (p + 1, q_T)
        [X y]' Z of the tail, the blocks after the first.
    A_BB : ndarray (p + 1, p + 1)
        [X y]' [X y].
    with_first : tuple of Incidence
        First block (rows) with each block of the tail (columns).
    within : mapping of (int, int) to Incidence
        Blocks s <= t of the tail with each other.
    n : int
        Number of rows.
    """

    order: tuple[int, ...]
    sizes: tuple[tuple[int, int], ...]
    A_11: FloatArray
    A_B1: FloatArray
    A_BT: FloatArray
    A_BB: FloatArray
    with_first: tuple[Incidence, ...]
    within: Mapping[tuple[int, int], Incidence]
    n: int

    @property
    def p(self) -> int:
        """Number of fixed effects."""
        return len(self.A_BB) - 1

    def by_block(self, first: FloatArray, tail: FloatArray) -> list[FloatArray]:
        """Rows of shape (r, k, J) and (r, q_T) as rows of shape (r, k_t, J_t) for each block."""
        blocks = [first]
        start = 0
        for k, J in self.sizes[1:]:
            blocks.append(tail[:, start : start + k * J].reshape(len(tail), k, J))
            start += k * J
        return blocks

    @property
    def meetings(self) -> dict[tuple[int, int], Incidence]:
        """Cross-products of each pair of blocks s <= t, numbered in their order here, the first block 0."""
        levels = np.arange(self.sizes[0][1])
        found = {(0, 0): Incidence(levels, levels, self.A_11)}
        found |= {(0, t + 1): incidence for t, incidence in enumerate(self.with_first)}
        return found | {(s + 1, t + 1): incidence for (s, t), incidence in self.within.items()}

    def with_response(self, first: FloatArray, tail: FloatArray) -> CrossProducts:
        """
        Cross-products with another response, which is orthogonal to X and has a mean square of 1.

        Parameters
        ----------
        first : ndarray (k, J)
            Z'y of the first block.
        tail : ndarray (q_T,)
            Z'y of the tail.
        """
        A_B1, A_BT, A_BB = self.A_B1.copy(), self.A_BT.copy(), self.A_BB.copy()
        A_B1[-1], A_BT[-1] = first, tail
        A_BB[-1] = A_BB[:, -1] = 0.0
        A_BB[-1, -1] = self.n
        return replace(self, A_B1=A_B1, A_BT=A_BT, A_BB=A_BB)

    def __add__(self, other: CrossProducts) -> CrossProducts:
        """Cross-products of the rows of both."""
        return self._combined(other, 1)

    def __sub__(self, other: CrossProducts) -> CrossProducts:
        """Cross-products of the rows that are left when those of the other, a part of them, are taken out."""
        return self._combined(other, -1)

    def _combined(self, other: CrossProducts, sign: int) -> CrossProducts:
        """Sum or difference."""
        if self.order != other.order or self.sizes != other.sizes or self.p != other.p:
            raise ValueError("cross-products add up only when both have the same effects and the same levels")
        return CrossProducts(
            order=self.order,
            sizes=self.sizes,
            A_11=self.A_11 + sign * other.A_11,
            A_B1=self.A_B1 + sign * other.A_B1,
            A_BT=self.A_BT + sign * other.A_BT,
            A_BB=self.A_BB + sign * other.A_BB,
            with_first=tuple(a + b.times(sign) for a, b in zip(self.with_first, other.with_first, strict=True)),
            within={cell: self.within[cell] + other.within[cell].times(sign) for cell in self.within},
            n=self.n + sign * other.n,
        )


def cross_products(blocks: Sequence[Block], X: FloatArray, y: FloatArray) -> CrossProducts:
    """
    Form the cross-products of rows that are already multiplied by the square roots of their weights.

    Parameters
    ----------
    blocks : sequence of Block
        One for each grouping factor, in any order.
    X : ndarray (n, p)
        Columns of the fixed effects.
    y : ndarray (n,)
        Response.
    """
    n, p = X.shape
    B = np.empty((p + 1, n))
    B[:p] = X.T
    B[p] = y
    order = tuple(sorted(range(len(blocks)), key=lambda t: -blocks[t].n_effects * blocks[t].n_levels))
    first, *rest = (blocks[t] for t in order)
    return CrossProducts(
        order=order,
        sizes=tuple((blocks[t].n_effects, blocks[t].n_levels) for t in order),
        A_11=first.within_levels(),
        A_B1=_with_border(first, B),
        A_BT=np.concatenate(
            [np.zeros((p + 1, 0)), *(_with_border(block, B).reshape(p + 1, -1) for block in rest)], axis=1
        ),
        A_BB=B @ B.T,
        with_first=tuple(_between(first, block) for block in rest),
        within={
            (s, t): _diagonal(rest[s]) if s == t else _between(rest[s], rest[t])
            for s in range(len(rest))
            for t in range(s, len(rest))
        },
        n=n,
    )


def _with_border(block: Block, B: FloatArray) -> FloatArray:
    """[X y]' Z_t, shape (p + 1, k, J)."""
    A = np.empty((len(B), block.n_effects, block.n_levels))
    for a in range(block.n_effects):
        z = block.columns[:, a]
        for i, column in enumerate(B):
            A[i, a] = sum_by(block.codes, z * column, block.n_levels)
    return A


def _diagonal(block: Block) -> Incidence:
    """Cross-products of a block with itself: each level meets itself only."""
    levels = np.arange(block.n_levels)
    return Incidence(levels, levels, block.within_levels())


def _between(one: Block, other: Block) -> Incidence:
    """Cross-products of two blocks over the pairs of levels that meet in a row."""
    cells, cell_of_row = np.unique(one.codes * other.n_levels + other.codes, return_inverse=True)
    values = np.empty((one.n_effects, other.n_effects, len(cells)))
    for a in range(one.n_effects):
        for b in range(other.n_effects):
            values[a, b] = sum_by(cell_of_row, one.columns[:, a] * other.columns[:, b], len(cells))
    return Incidence(cells // other.n_levels, cells % other.n_levels, values)
