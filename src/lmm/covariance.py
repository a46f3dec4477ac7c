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
from numpy.typing import NDArray

from lmm.linalg import FloatArray, lower_factor

IntArray = NDArray[np.intp]


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
    def lower(self) -> FloatArray:
        """Lower bounds of the parameters, shape (m,): 0 for a diagonal entry of T, -inf for the others."""

    def factor(self, theta: FloatArray) -> FloatArray:
        """Relative factor T, shape (k, k), at theta, shape (m,)."""

    def basis(self, gram: FloatArray) -> FloatArray:
        """Matrix A, shape (k, k), such that the columns z A are as near to orthonormal as the structure allows."""

    def transform(self, theta: FloatArray, A: FloatArray) -> FloatArray:
        """Parameters of A T T' A', shape (m,): those of the effects A b when theta holds those of b."""


@dataclass(frozen=True)
class Unstructured:
    """
    Any covariance matrix: T is lower triangular, theta its entries column by column (the order of lme4).

    Examples
    --------
    >>> import numpy as np
    >>> Unstructured(2).factor(np.array([1.0, 0.5, 2.0]))
    array([[1. , 0. ],
           [0.5, 2. ]])
    """

    size: int

    @property
    def n_theta(self) -> int:
        """Number of parameters, k (k + 1) / 2."""
        return self.size * (self.size + 1) // 2

    @cached_property
    def _positions(self) -> tuple[IntArray, IntArray]:
        # The upper triangle row by row is the lower triangle column by column.
        columns, rows = np.triu_indices(self.size)
        return rows, columns

    @cached_property
    def tangents(self) -> FloatArray:
        """Derivatives of T, shape (m, k, k)."""
        return _unit_matrices(*self._positions, self.size)

    @cached_property
    def lower(self) -> FloatArray:
        """Lower bounds of the parameters, shape (m,)."""
        rows, columns = self._positions
        return np.where(rows == columns, 0.0, -np.inf)

    def factor(self, theta: FloatArray) -> FloatArray:
        """Relative factor T, shape (k, k)."""
        T = np.zeros((self.size, self.size))
        T[self._positions] = theta
        return T

    def basis(self, gram: FloatArray) -> FloatArray:
        """Inverse triangular factor of the Gram matrix: any basis of the effects has the same model."""
        R = np.linalg.cholesky(gram).T
        A: FloatArray = np.linalg.inv(R)
        return A

    def transform(self, theta: FloatArray, A: FloatArray) -> FloatArray:
        """Parameters of A T T' A'."""
        theta_new: FloatArray = lower_factor(A @ self.factor(theta))[self._positions]
        return theta_new


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
    def lower(self) -> FloatArray:
        """Lower bounds of the parameters, shape (k,): zeros."""
        return np.zeros(self.size)

    def factor(self, theta: FloatArray) -> FloatArray:
        """Relative factor T, shape (k, k)."""
        return np.diag(theta)

    def basis(self, gram: FloatArray) -> FloatArray:
        """Diagonal scaling to unit length: independence survives no other change of basis."""
        return np.diag(1.0 / np.sqrt(np.diagonal(gram)))

    def transform(self, theta: FloatArray, A: FloatArray) -> FloatArray:
        """Parameters of A T T' A' for a diagonal A."""
        return np.abs(np.diagonal(A)) * np.abs(theta)


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
    def _slices(self) -> tuple[tuple[slice, slice], ...]:
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
        for part, (effects, thetas) in zip(self.parts, self._slices, strict=True):
            tangents[thetas, effects, effects] = part.tangents
        return tangents

    @cached_property
    def lower(self) -> FloatArray:
        """Lower bounds of the parameters, shape (m,)."""
        return np.concatenate([part.lower for part in self.parts])

    def factor(self, theta: FloatArray) -> FloatArray:
        """Relative factor T, shape (k, k)."""
        T = np.zeros((self.size, self.size))
        for part, (effects, thetas) in zip(self.parts, self._slices, strict=True):
            T[effects, effects] = part.factor(theta[thetas])
        return T

    def basis(self, gram: FloatArray) -> FloatArray:
        """Block diagonal of the bases of the parts."""
        A = np.zeros_like(gram)
        for part, (effects, _) in zip(self.parts, self._slices, strict=True):
            A[effects, effects] = part.basis(gram[effects, effects])
        return A

    def transform(self, theta: FloatArray, A: FloatArray) -> FloatArray:
        """Parameters of A T T' A' for a block diagonal A."""
        return np.concatenate(
            [
                part.transform(theta[thetas], A[effects, effects])
                for part, (effects, thetas) in zip(self.parts, self._slices, strict=True)
            ]
        )


def _unit_matrices(rows: IntArray, columns: IntArray, k: int) -> FloatArray:
    """One k x k matrix for each position, with a single 1 there."""
    units = np.zeros((len(rows), k, k))
    units[np.arange(len(rows)), rows, columns] = 1.0
    return units
