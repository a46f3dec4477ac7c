"""Products of the tail with Lambda, the block diagonal of the relative factors T of its blocks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from lmm.linalg import FloatArray, symmetric_from_lower
from lmm.tail import Tail


@dataclass(frozen=True)
class Scaling:
    """
    Lambda of the tail.

    Attributes
    ----------
    tail : Tail
    T : list of ndarray (k_t, k_t)
        Relative factors of the blocks of the tail.
    """

    tail: Tail
    T: list[FloatArray]

    @cached_property
    def transposed(self) -> Scaling:
        """Lambda' in place of Lambda."""
        return self if self._diagonal is not None else Scaling(self.tail, [T.T for T in self.T])

    @cached_property
    def _diagonal(self) -> FloatArray | None:
        """Diagonal of Lambda, shape (q_T,); None where it has entries elsewhere."""
        if any(len(T) > 1 for T in self.T):
            return None
        return np.repeat([T[0, 0] for T in self.T], [J for _, J in self.tail.sizes])

    @cached_property
    def matrix(self) -> sparse.csr_array:
        """Lambda, shape (q_T, q_T)."""
        blocks = [sparse.kron(T, sparse.eye_array(J)) for (_, J), T in zip(self.tail.sizes, self.T, strict=True)]
        return sparse.csr_array(sparse.block_diag(blocks))

    def columns(self, B: FloatArray) -> FloatArray:
        """Rows of B, shape (r, q_T), times Lambda."""
        if self._diagonal is not None:
            return B * self._diagonal
        scaled = np.empty_like(B)
        for (k, J), start, T in zip(self.tail.sizes, self.tail.offsets, self.T, strict=False):
            here = slice(start, start + k * J)
            scaled[:, here] = (T.T @ B[:, here].reshape(len(B), k, J)).reshape(len(B), -1)
        return scaled

    def storage(self, S: FloatArray) -> FloatArray:
        """Storage of Lambda' S Lambda on the pattern of S."""
        core = self.tail.core
        if not self.tail.stages:
            return self._core(core.matrix(S)).ravel()
        scaled = np.zeros_like(S)
        for (s, t), positions in self.tail.coupled.items():
            if self.T[s].size == self.T[t].size == 1:
                scaled[positions] = self.T[s][0, 0] * self.T[t][0, 0] * S[positions]
            else:
                scaled[positions] = self.T[s].T @ S[positions] @ self.T[t]
        if len(core.columns):
            core.matrix(scaled)[:] = self._core(core.matrix(S))
        return scaled

    def _core(self, S: FloatArray) -> FloatArray:
        """Lambda' S Lambda for the core, given by its lower triangle."""
        if self._diagonal is None:
            return self._core_rows(self._core_rows(symmetric_from_lower(S)).T)
        scale = self._diagonal[self.tail.core.columns]
        scaled: FloatArray = S * scale
        scaled *= scale[:, None]
        return scaled

    def _core_rows(self, X: FloatArray) -> FloatArray:
        """Lambda' X for rows of the core, shape (m, r)."""
        scaled = np.empty(X.shape)
        for (places, k), T in zip(self.tail.core.slices, self.T, strict=True):
            scaled[places] = (T.T @ X[places].reshape(k, -1)).reshape(-1, X.shape[1])
        return scaled
