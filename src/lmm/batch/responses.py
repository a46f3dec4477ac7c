"""Responses in the standardised basis of a model, and their products with its columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from lmm.crossproducts import CrossProducts
from lmm.factors import GroupingFactor
from lmm.linalg import BoolArray, FloatArray, IntArray
from lmm.standardize import EXACT_FIT, Basis


@dataclass(frozen=True)
class Responses:
    """
    Cross-products of B responses, each orthogonal to X and with a mean square of 1.

    Attributes
    ----------
    coefficients : ndarray (p, B)
        Least-squares coefficients of the orthonormal columns of X, on the user's scale.
    scale : ndarray (B,)
        Root mean square of what X leaves of each response; 0 where that is rounding error.
    first : ndarray (k, J, B)
        Z'y of the first block.
    tail : ndarray (q_T, B)
        Z'y of the tail.
    """

    coefficients: FloatArray
    scale: FloatArray
    first: FloatArray
    tail: FloatArray

    def __len__(self) -> int:
        return len(self.scale)

    def take(self, which: IntArray | BoolArray) -> Responses:
        """Some of the responses."""
        return Responses(self.coefficients[:, which], self.scale[which], self.first[:, :, which], self.tail[:, which])


@dataclass(frozen=True)
class Projector:
    """
    What maps responses to their cross-products with the columns of a model.

    Attributes
    ----------
    root : ndarray (n,) or None
        Square roots of the weights.
    Q : ndarray (n, p)
        Orthonormal columns that span those of X.
    Z : sparse array (q, n)
        Transposed random-effects columns in the standardised basis: block by block in the order of elimination, effect
        by effect, level by level.
    first : tuple of int
        Effects k and levels J of the first block.
    """

    root: FloatArray | None
    Q: FloatArray
    Z: sparse.csr_array
    first: tuple[int, int]

    def project(self, Y: FloatArray) -> Responses:
        """Cross-products of responses less offset, shape (n, B), one a column."""
        residual = Y if self.root is None else self.root[:, None] * Y
        length = np.sqrt(np.einsum("nb,nb->b", residual, residual))
        coefficients = np.zeros((self.Q.shape[1], residual.shape[1]))
        for _ in range(2):  # the second pass removes the rounding error of the first
            step = self.Q.T @ residual
            residual = residual - self.Q @ step
            coefficients += step
        n = len(residual)
        scale = np.sqrt(np.einsum("nb,nb->b", residual, residual) / n)
        scale[~(scale * np.sqrt(n) > EXACT_FIT * length)] = 0.0
        Zy = (self.Z @ residual) / np.where(scale > 0.0, scale, 1.0)
        k, J = self.first
        return Responses(coefficients, scale, Zy[: k * J].reshape(k, J, -1), Zy[k * J :])


def projector(
    factors: Sequence[GroupingFactor], cross: CrossProducts, basis: Basis, X: FloatArray, weights: FloatArray | None
) -> Projector:
    """Give the map from responses to cross-products of a model with these factors, matrix X (n, p) and weights."""
    root = None if weights is None else np.sqrt(weights)
    Q = X @ basis.R_inverse
    rows, columns, values = [], [], []
    start = 0
    for t, (k, J) in zip(cross.order, cross.sizes, strict=True):
        factor = factors[t]
        standard = factor.columns @ basis.bases[t]
        for a in range(k):
            rows.append(start + a * J + factor.codes)
            columns.append(np.arange(len(X)))
            values.append(standard[:, a] if root is None else root * standard[:, a])
        start += k * J
    cells = (np.concatenate(rows), np.concatenate(columns))
    Z = sparse.csr_array((np.concatenate(values), cells), shape=(start, len(X)))
    return Projector(root, Q if root is None else root[:, None] * Q, Z, cross.sizes[0])
