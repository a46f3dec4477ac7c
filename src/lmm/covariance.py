"""
Covariance structures: how the parameters theta fill the relative factor T of one grouping factor.

The random effects of one level have covariance sigma^2 T T', with T lower triangular of size k x k. A structure says
how theta fills T, how T moves with theta, what its entries are called and which changes of basis of the k effects it
survives. Adding a structure means adding one class here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from scipy.linalg import lapack

from lmm.linalg import (
    RANK_TOLERANCE,
    BoolArray,
    FloatArray,
    IntArray,
    lower_factor,
    triangular_factor,
    upper_indices,
)

# Share of the largest variance left by which the one of a pivot may be smaller.
UNEVEN = 4.0


class Covariance(Protocol):
    """What the core asks of a covariance structure of k random effects with m parameters."""

    @property
    def size(self) -> int:
        """Number k of random effects per level."""

    @property
    def n_theta(self) -> int:
        """Number m of parameters."""

    @property
    def tangents(self) -> FloatArray:
        """Derivatives of T, shape (m, k, k)."""

    @property
    def vanishing(self) -> BoolArray:
        """Which columns of T a search may set to zero, shape (k,)."""

    @property
    def pivots(self) -> IntArray:
        """Positions in theta of the entries that are not negative in what `from_root` gives."""

    def factor(self, theta: FloatArray) -> FloatArray:
        """Relative factor T, shape (k, k), at theta, shape (m,)."""

    def basis(self, R: FloatArray) -> FloatArray:
        """
        Change of basis A, shape (k, k), of random-effects columns with triangular factor R, shape (k, k).

        The columns times A are as near to orthonormal as the structure allows: A T T' A' keeps the structure.
        """

    def from_root(self, B: FloatArray) -> FloatArray:
        """Parameters, shape (m,), for which T T' = B B', with B of shape (k, any) and B B' of this structure."""

    def pivoted(self, T: FloatArray) -> Covariance:
        """
        The same structure in parameters that suit T, a factor of this one: itself unless others are much better.

        A factor of the new one with the same T T' is ``factor(from_root(T))``.
        """

    def escape(self, T: FloatArray, M: FloatArray) -> tuple[float, FloatArray]:
        """
        Steepest way out of the boundary.

        Among the directions v v' in which Sigma = T T' can grow within the structure although v lies in the null
        space of T', the one along which M = df/dSigma is least: returns v' M v (inf where T has full rank) and v.
        """


@dataclass(frozen=True)
class Unstructured:
    """
    Any covariance matrix: T is lower triangular, theta its entries column by column (the order of lme4).

    With an order, T is lower triangular when its rows are taken in that order. An effect with next to no variance that
    comes before one with much bends the valley of the deviance: a change of their correlation turns the row of the
    other effect along a circle. The other way round the valley is straight.

    Attributes
    ----------
    size : int
        Number k of random effects per level.
    order : tuple of int, optional
        Effects in the order of the rows of a lower triangular matrix; as they are where None.

    Examples
    --------
    >>> import numpy as np
    >>> Unstructured(2).factor(np.array([1.0, 0.5, 2.0]))
    array([[1. , 0. ],
           [0.5, 2. ]])
    """

    size: int
    order: tuple[int, ...] | None = None

    @property
    def n_theta(self) -> int:
        """Number of parameters, k (k + 1) / 2."""
        return self.size * (self.size + 1) // 2

    @cached_property
    def _positions(self) -> tuple[IntArray, IntArray]:
        # The upper triangle row by row is the lower triangle column by column.
        columns, rows = upper_indices(self.size)
        return rows if self.order is None else np.array(self.order)[rows], columns

    @cached_property
    def tangents(self) -> FloatArray:
        """Derivatives of T, shape (m, k, k)."""
        return _unit_matrices(*self._positions, self.size)

    @cached_property
    def vanishing(self) -> BoolArray:
        """All columns, shape (k,)."""
        return np.ones(self.size, dtype=np.bool_)

    @cached_property
    def pivots(self) -> IntArray:
        """The diagonal of the triangle."""
        columns, rows = upper_indices(self.size)
        return np.flatnonzero(columns == rows)

    def factor(self, theta: FloatArray) -> FloatArray:
        """Relative factor T, shape (k, k)."""
        T = np.zeros((self.size, self.size))
        T[self._positions] = theta
        return T

    def basis(self, R: FloatArray) -> FloatArray:
        """Inverse of the triangular factor: the model is the same in any basis of the effects."""
        A: FloatArray = lapack.dtrtri(R)[0]
        return A

    def from_root(self, B: FloatArray) -> FloatArray:
        """Parameters for which T T' = B B'."""
        columns, rows = upper_indices(self.size)
        theta: FloatArray = lower_factor(B if self.order is None else B[list(self.order)])[rows, columns]
        return theta

    def pivoted(self, T: FloatArray) -> Unstructured:
        """Effects in the order of a pivoted Cholesky factorisation, unless no pivot of T is far from the largest."""
        if self.size == 1:
            return self
        left = np.add.accumulate((T * T)[:, ::-1], axis=1)[:, ::-1]  # of each variance, given the columns before
        pivots = left.diagonal() if self.order is None else left[self.order, range(self.size)]
        if (left.max(axis=0) <= UNEVEN * pivots).all():
            return self
        return Unstructured(self.size, tuple(int(i) - 1 for i in lapack.dpstrf(T @ T.T)[1]))

    def escape(self, T: FloatArray, M: FloatArray) -> tuple[float, FloatArray]:
        """Least eigenvalue of M on the null space of T', with its eigenvector."""
        if self.size == 1:
            return (float(M[0, 0]) if abs(T[0, 0]) <= RANK_TOLERANCE else np.inf), np.ones(1)
        U, lengths, _, _ = lapack.dgesdd(T)
        null = U[:, lengths <= RANK_TOLERANCE * max(lengths[0], 1.0)]
        if null.shape[1] == 0:
            return np.inf, np.zeros(self.size)
        values, vectors = np.linalg.eigh(null.T @ M @ null)
        return float(values[0]), null @ vectors[:, 0]


@dataclass(frozen=True)
class Diagonal:
    """
    Independent random effects: T is diagonal, theta its diagonal.

    Examples
    --------
    >>> import numpy as np
    >>> Diagonal(2).factor(np.array([1.0, 2.0]))
    array([[1., 0.],
           [0., 2.]])
    """

    size: int

    @property
    def n_theta(self) -> int:
        """Number of parameters, k."""
        return self.size

    @cached_property
    def tangents(self) -> FloatArray:
        """Derivatives of T, shape (k, k, k)."""
        return _unit_matrices(np.arange(self.size), np.arange(self.size), self.size)

    @cached_property
    def vanishing(self) -> BoolArray:
        """All columns, shape (k,)."""
        return np.ones(self.size, dtype=np.bool_)

    @cached_property
    def pivots(self) -> IntArray:
        """All of theta."""
        return np.arange(self.size)

    def factor(self, theta: FloatArray) -> FloatArray:
        """Relative factor T, shape (k, k)."""
        return np.diag(theta)

    def basis(self, R: FloatArray) -> FloatArray:
        """Scaling to unit length: independence survives no other change of basis."""
        return np.diag(1.0 / np.sqrt(np.einsum("ij,ij->j", R, R)))

    def from_root(self, B: FloatArray) -> FloatArray:
        """Parameters for which T T' is the diagonal of B B'."""
        theta: FloatArray = np.sqrt(np.einsum("ij,ij->i", B, B))
        return theta

    def pivoted(self, T: FloatArray) -> Diagonal:  # noqa: ARG002 - one order is as good as another
        """No change."""
        return self

    def escape(self, T: FloatArray, M: FloatArray) -> tuple[float, FloatArray]:
        """Least diagonal entry of M among the variances that are zero, with its unit vector."""
        curvature = np.where(np.diagonal(T) == 0.0, np.diagonal(M), np.inf)
        least = int(np.argmin(curvature))
        return float(curvature[least]), np.eye(self.size)[least]


@dataclass(frozen=True)
class Stacked:
    """
    Several terms of one grouping factor, independent of each other: T is block diagonal.

    ``(1 | g) + (0 + x | g)`` is one factor with two effects per level, which keeps its part of the system block
    diagonal; two separate terms would be coupled through every level.
    """

    parts: tuple[Covariance, ...]

    @property
    def size(self) -> int:
        """Number k of random effects per level, of all parts."""
        return sum(part.size for part in self.parts)

    @property
    def n_theta(self) -> int:
        """Number of parameters of all parts."""
        return sum(part.n_theta for part in self.parts)

    @cached_property
    def slices(self) -> tuple[tuple[slice, slice], ...]:
        """Effects and parameters of each part."""
        effects = np.cumsum([0, *(part.size for part in self.parts)])
        thetas = np.cumsum([0, *(part.n_theta for part in self.parts)])
        return tuple(
            (slice(effects[i], effects[i + 1]), slice(thetas[i], thetas[i + 1])) for i in range(len(self.parts))
        )

    @cached_property
    def tangents(self) -> FloatArray:
        """Derivatives of T, shape (m, k, k)."""
        tangents = np.zeros((self.n_theta, self.size, self.size))
        for part, (effects, thetas) in zip(self.parts, self.slices, strict=True):
            tangents[thetas, effects, effects] = part.tangents
        return tangents

    @cached_property
    def vanishing(self) -> BoolArray:
        """Columns that may vanish of each part, shape (k,)."""
        return np.concatenate([part.vanishing for part in self.parts])

    @cached_property
    def pivots(self) -> IntArray:
        """Those of each part."""
        pairs = zip(self.parts, self.slices, strict=True)
        return np.concatenate([part.pivots + thetas.start for part, (_, thetas) in pairs])

    def factor(self, theta: FloatArray) -> FloatArray:
        """Relative factor T, shape (k, k)."""
        T = np.zeros((self.size, self.size))
        for part, (effects, thetas) in zip(self.parts, self.slices, strict=True):
            T[effects, effects] = part.factor(theta[thetas])
        return T

    def basis(self, R: FloatArray) -> FloatArray:
        """Block diagonal of the bases of the parts."""
        A = np.zeros_like(R)
        for part, (effects, _) in zip(self.parts, self.slices, strict=True):
            A[effects, effects] = part.basis(triangular_factor(R[:, effects])[0])
        return A

    def from_root(self, B: FloatArray) -> FloatArray:
        """Parameters for which the diagonal blocks of T T' are those of B B'."""
        return np.concatenate(
            [part.from_root(B[effects]) for part, (effects, _) in zip(self.parts, self.slices, strict=True)]
        )

    def pivoted(self, T: FloatArray) -> Stacked:
        """Each part in parameters that suit it."""
        pairs = zip(self.parts, self.slices, strict=True)
        parts = tuple(part.pivoted(T[effects, effects]) for part, (effects, _) in pairs)
        return self if all(new is old for new, old in zip(parts, self.parts, strict=True)) else Stacked(parts)

    def escape(self, T: FloatArray, M: FloatArray) -> tuple[float, FloatArray]:
        """Steepest way out of the boundary among the parts."""
        best, direction = np.inf, np.zeros(self.size)
        for part, (effects, _) in zip(self.parts, self.slices, strict=True):
            curvature, v = part.escape(T[effects, effects], M[effects, effects])
            if curvature < best:
                best, direction = curvature, np.zeros(self.size)
                direction[effects] = v
        return best, direction


def _unit_matrices(rows: IntArray, columns: IntArray, k: int) -> FloatArray:
    """One k x k matrix for each position, with a single 1 there."""
    units = np.zeros((len(rows), k, k))
    units[np.arange(len(rows)), rows, columns] = 1.0
    return units
