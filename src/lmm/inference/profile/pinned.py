"""
Covariance structures in which one standard deviation or one correlation is pinned.

In the rows of a frame W = B^-1 T the effects that are pinned come first, so that their covariance is that of the first
rows of W alone:

    one standard deviation    W_11 = tau
    one correlation           W_11 = tau_1,  (W_21, W_22) = tau_2 (rho, sqrt(1 - rho^2))
    a correlation of +-1      W_11 = tau_1,   W_21 = +-tau_2, and one column less
    no variance               no first column at all

What lies below, and the Cholesky factor of the other effects to the right of it, is free. T is linear in the parameters
throughout, the constraint holds exactly, and the boundary of the free part is the one that the optimiser knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lmm.covariance import Covariance, Diagonal, Stacked, Unstructured
from lmm.errors import ModelError
from lmm.linalg import BoolArray, FloatArray, IntArray, lower_factor


@dataclass(frozen=True)
class Pinned:
    """
    Unstructured covariance matrix of k effects whose first l, in a frame, have a given correlation or variance.

    The first l rows of W are diag(tau) shape. Parameters are tau (unless it is given), the r columns below it column by
    column, and the lower triangle of the rest, column by column.

    Attributes
    ----------
    frame : ndarray (k, k)
        B^-1: its first l rows have length 1 and give the pinned effects.
    shape : ndarray (l, r)
        Rows of length 1, or of length 0 where a variance is zero.
    tau : ndarray (l,), optional
        Lengths of the first rows of W, free where None.
    """

    frame: FloatArray
    shape: FloatArray
    tau: FloatArray | None = None

    @property
    def size(self) -> int:
        """Number k of random effects per level."""
        return int(self.frame.shape[0])

    @property
    def n_tau(self) -> int:
        """Number of lengths that are free: l, or none."""
        return len(self.shape) if self.tau is None and self.shape.size else 0

    @property
    def n_theta(self) -> int:
        """Number of parameters."""
        rows, columns = self.shape.shape
        return int(self.n_tau + (self.size - rows) * columns + self._rest.n_theta)

    @cached_property
    def _rest(self) -> Unstructured:
        """Structure of the effects that are not pinned, given those that are."""
        return Unstructured(self.size - len(self.shape))

    @cached_property
    def _inverse(self) -> FloatArray:
        """B, shape (k, k)."""
        return np.asarray(np.linalg.inv(self.frame), dtype=np.float64)

    @cached_property
    def tangents(self) -> FloatArray:
        """Derivatives of T, shape (m, k, k)."""
        rows, columns = self.shape.shape
        W = np.zeros((self.n_theta, self.size, self.size))
        for i in range(self.n_tau):
            W[i, i, :columns] = self.shape[i]
        start = self.n_tau
        for c in range(columns):
            for a in range(rows, self.size):
                W[start, a, c] = 1.0
                start += 1
        stop = columns + self._rest.size
        W[start:, rows:, columns:stop] = self._rest.tangents
        return self._inverse @ W

    @cached_property
    def vanishing(self) -> BoolArray:
        """Columns of the effects that are not pinned, shape (k,)."""
        return np.asarray(np.arange(self.size) >= self.shape.shape[1])

    @cached_property
    def pivots(self) -> IntArray:
        """Lengths of the first rows, and the pivots of the rest."""
        return np.append(np.arange(self.n_tau), self._rest.pivots + self.n_theta - self._rest.n_theta)

    @cached_property
    def _fixed(self) -> FloatArray:
        """Part of T that is given, shape (k, k)."""
        rows, columns = self.shape.shape
        W = np.zeros((self.size, self.size))
        if self.tau is not None:
            W[:rows, :columns] = self.tau[:, None] * self.shape
        return np.asarray(self._inverse @ W)

    def factor(self, theta: FloatArray) -> FloatArray:
        """Relative factor T, shape (k, k)."""
        moved = (theta @ self.tangents.reshape(len(theta), self.size**2)).reshape(self._fixed.shape)
        return np.asarray(self._fixed + moved)

    def basis(self, R: FloatArray) -> FloatArray:
        """No change: the frame belongs to the basis in which it was made."""
        return np.eye(len(R))

    def from_root(self, B: FloatArray) -> FloatArray:
        """Parameters for which T T' is B B' as far as the pinned effects allow."""
        rows, columns = self.shape.shape
        W = self.frame @ B
        tau = np.sqrt((W[:rows] ** 2).sum(axis=1))[: self.n_tau]
        if rows == self.size:
            return np.asarray(tau)
        L = lower_factor(W) if columns else W
        return np.concatenate([tau, L[rows:, :columns].T.ravel(), self._rest.from_root(L[rows:, columns:])])

    def pivoted(self, T: FloatArray) -> Pinned:  # noqa: ARG002 - the order is that of the frame
        """No change: the effects that are pinned come first."""
        return self

    def escape(self, T: FloatArray, M: FloatArray) -> tuple[float, FloatArray]:
        """Steepest way out of the boundary for the effects that are not pinned."""
        rows, columns = self.shape.shape
        if rows == self.size:
            return np.inf, np.zeros(self.size)
        below = self._inverse[:, rows:]
        W = (self.frame @ T)[rows:, columns : columns + self._rest.size]
        curvature, v = self._rest.escape(W, below.T @ M @ below)
        return curvature, below @ v


def parts_of(covariance: Covariance) -> list[Unstructured]:
    """
    Structures of the terms of a grouping factor, each effect of a diagonal one by itself; theta stays the same.

    Raises
    ------
    ModelError
        For a structure in which no single standard deviation or correlation can be held.
    """
    if isinstance(covariance, Stacked):
        return [part for stacked in covariance.parts for part in parts_of(stacked)]
    if isinstance(covariance, Diagonal):
        return [Unstructured(1)] * covariance.size
    if isinstance(covariance, Unstructured):
        return [covariance]
    raise ModelError(f"random effects with the structure {type(covariance).__name__} have no profiles")


def frame_of(directions: FloatArray) -> FloatArray:
    """Square matrix whose first rows are the directions, at length 1, and whose others are orthogonal to them."""
    rows = len(directions)
    unit = directions / np.sqrt((directions**2).sum(axis=1))[:, None]
    return np.vstack([unit, np.linalg.qr(unit.T, mode="complete")[0][:, rows:].T])
