"""
The factored tail: Cholesky factors of its Schur complement at one value of the relative factors, and their uses.

With S the Schur complement of the tail (see `lmm.tail`) and Lambda the block diagonal of the relative factors T of its
blocks, Omega = Lambda' S Lambda + I is factored stage by stage, each column i of a stage leaving its diagonal d_i and
weights w = (entries of column i) / d_i, and then the dense core by LAPACK. The entries of Omega^-1 on the same pattern,
all that derivatives need, come from going back through the stages (Takahashi, Fagan & Chin 1973).

References
----------
Takahashi, K., Fagan, J. and Chin, M.-S. (1973). Formation of a sparse bus impedance matrix and its application to short
circuit study. 8th PICA Conference Proceedings.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.linalg import lapack

from lmm.layout import Stage
from lmm.linalg import FloatArray, symmetric_from_lower
from lmm.scaling import Scaling
from lmm.tail import Matrix, Tail

# Below this relative variance, dividing by it would cost more digits than the direct formula.
SMALL_VARIANCE = 1e-8
# Numbers held at a time where many rows meet the tail.
CHUNK = 4_000_000


@dataclass(frozen=True)
class TailFactor:
    """
    The factored tail.

    Attributes
    ----------
    tail : Tail
    scaling : Scaling
        Relative factors of the blocks of the tail.
    schur : ndarray
        Storage of S.
    factored : ndarray
        Storage of Omega with, for the stages, the d on the diagonal and the weights w off it.
    core : ndarray (m, m)
        Lower Cholesky factor of what the stages leave of the core.
    """

    tail: Tail
    scaling: Scaling
    schur: FloatArray
    factored: FloatArray
    core: FloatArray

    @property
    def log_det(self) -> float:
        """Logarithm of the determinant of Omega."""
        stages = sum(float(np.log(self.factored[stage.diagonal]).sum()) for stage in self.tail.stages)
        return stages + 2.0 * float(np.log(np.diagonal(self.core)).sum())

    def solve(self, B: FloatArray) -> tuple[FloatArray, FloatArray]:
        """
        Solve for border rows.

        Parameters
        ----------
        B : ndarray (r, q_T)

        Returns
        -------
        solution : ndarray (r, q_T)
            Rows of B times Lambda Omega^-1 Lambda'.
        inner : ndarray (r, r)
            B Lambda Omega^-1 Lambda' B'.
        """
        x, y = self._forward(B)
        inner = y.T @ y
        columns = self.tail.core.columns
        if len(columns):
            x[columns] = lapack.dtrtrs(self.core.T, y, lower=0, trans=0)[0]
        for stage, weights in zip(reversed(self.tail.stages), reversed(self._weights), strict=True):
            own = x[stage.columns]
            scaled = own / self.factored[stage.diagonal][:, None]
            inner += own.T @ scaled
            x[stage.columns] = scaled - weights.T @ x
        return self.scaling.transposed.columns(x.T), inner

    def _forward(self, B: FloatArray) -> tuple[FloatArray, FloatArray]:
        """
        Forward substitution for the columns of Lambda' B', with B of shape (r, q_T).

        Returns columns of shape (q_T, r), in which the rows of the stages hold their solution before division by d,
        and the solution of the core, shape (m, r).
        """
        x = self.scaling.columns(B).T
        if self.tail.stages:  # they gather and scatter whole rows
            x = np.ascontiguousarray(x)
        for stage, weights in zip(self.tail.stages, self._weights, strict=True):
            x -= weights @ x[stage.columns]
        columns = self.tail.core.columns
        if not len(columns):
            return x, np.zeros((0, x.shape[1]))
        return x, lapack.dtrtrs(self.core.T, x[columns], lower=0, trans=1)[0]

    @cached_property
    def _weights(self) -> list[sparse.csr_array]:
        """Weights of each stage as a sparse matrix (q_T, columns of the stage)."""
        q = self.tail.n_columns
        return [
            sparse.csr_array(
                (self.factored[stage.entries], (stage.neighbours, stage.owners)), shape=(q, len(stage.columns))
            )
            for stage in self.tail.stages
        ]

    @cached_property
    def inverse(self) -> FloatArray:
        """Storage of Omega^-1 on the pattern of the factor."""
        core = lapack.dpotri(self.core.T, lower=0)[0].T if len(self.core) else self.core
        if not self.tail.stages:
            return core.ravel()
        storage = np.empty_like(self.factored)
        self.tail.core.matrix(storage)[:] = core
        for stage in reversed(self.tail.stages):
            _invert_stage(stage, self.factored, storage)
        return storage

    @cached_property
    def covariance(self) -> FloatArray:
        """Storage of N = Lambda Omega^-1 Lambda' on the pattern of S."""
        return self.scaling.transposed.storage(self.inverse)

    def covariance_blocks(self, t: int) -> FloatArray:
        """Diagonal blocks of N for each level of block t of the tail, shape (k, k, J)."""
        return self._diagonal_blocks(t, self.covariance)

    def _diagonal_blocks(self, t: int, storage: FloatArray) -> FloatArray:
        """Diagonal blocks, shape (k, k, J), of a symmetric matrix in storage for the levels of block t."""
        return storage[self.tail.own[t]]

    def quadratic_forms(self, rows: sparse.csr_array) -> FloatArray:
        """Quadratic forms v' N v, one for each row v of a sparse matrix (m, q_T)."""
        staged, core = self._sparse_half(rows)
        forms = np.asarray(staged.power(2).sum(axis=1), dtype=np.float64)
        step = max(1, CHUNK // max(1, core.shape[1]))
        for start in range(0, core.shape[0] if core.nnz else 0, step):
            part = core[start : start + step]
            forms[start : start + step] += part.multiply(part @ self._core_inverse).sum(axis=1)
        return forms

    def inner_products(self, rows: sparse.csr_array, size: int) -> FloatArray:
        """V N V', shape (m / size, size, size), for each set V of ``size`` consecutive rows of a matrix (m, q_T)."""
        staged, core = self._sparse_half(rows)
        products = np.zeros((rows.shape[0] // size, size, size))
        for i in range(len(products)):
            here = slice(i * size, (i + 1) * size)
            if staged.shape[1]:
                own = staged[here]
                products[i] += (own @ own.T).toarray()
            if core.shape[1]:
                products[i] += _sandwich(core[here], self._core_inverse)
        return products

    def _sparse_half(self, rows: sparse.csr_array) -> tuple[sparse.csr_array, sparse.csr_array]:
        """
        Sparse rows after elimination of the stages.

        Parameters
        ----------
        rows : sparse array (m, q_T)

        Returns
        -------
        staged : sparse array (m, number of columns in stages)
        core : sparse array (m, number of columns in the core)
            V N V' = staged staged' + core K core' with K the inverse of what the stages leave of the core.
        """
        # Many rows reach the same columns, so that these are eliminated instead, each once and over what it reaches.
        reached = np.flatnonzero(np.bincount(rows.indices, minlength=rows.shape[1]))
        paths = sparse.csr_array(self.scaling.matrix[reached])
        own = []
        for stage, weights in zip(self.tail.stages, self._weights, strict=True):
            own.append(paths[:, stage.columns].multiply(1.0 / np.sqrt(self.factored[stage.diagonal])))
            paths = paths @ self._elimination(stage, weights)
        some = sparse.csr_array(rows[:, reached])
        nothing = sparse.csr_array((len(reached), 0))
        staged = sparse.csr_array(some @ sparse.hstack([nothing, *own], format="csr"))
        return staged, sparse.csr_array(some @ paths[:, self.tail.core.columns])

    def _elimination(self, stage: Stage, weights: sparse.csr_array) -> sparse.csr_array:
        """Matrix (q_T, q_T) that takes the columns of a stage out of rows."""
        kept = np.ones(self.tail.n_columns)
        kept[stage.columns] = 0.0
        out = weights.tocoo()
        cells = (-out.data, (stage.columns[out.col], out.row))
        return sparse.csr_array(sparse.diags_array(kept) + sparse.csr_array(cells, shape=(len(kept), len(kept))))

    @cached_property
    def _core_inverse(self) -> FloatArray:
        """Inverse of what the stages leave of the core, shape (m, m)."""
        return symmetric_from_lower(self.tail.core.matrix(self.inverse))

    def half(self, B: FloatArray) -> FloatArray:
        """Columns h, shape (q_T, r), with h'h = B Lambda Omega^-1 Lambda' B' for B of shape (r, q_T)."""
        x, y = self._forward(B)
        stages = self.tail.stages
        if not stages:
            return y
        return np.concatenate([y, *(x[s.columns] / np.sqrt(self.factored[s.diagonal])[:, None] for s in stages)])

    def trace_blocks(self, t: int) -> FloatArray:
        """Sum over the levels of block t of the diagonal blocks, k x k, of S - S Lambda Omega^-1 Lambda' S."""
        k, J = self.tail.sizes[t]
        T = self.scaling.T[t]
        if not is_small(T):
            # Lambda' (S - S Lambda Omega^-1 Lambda' S) Lambda = I - Omega^-1: diagonal blocks of the inverse suffice.
            within = J * np.eye(k) - self._diagonal_blocks(t, self.inverse).sum(axis=2)
            if k == 1:
                return np.asarray(within / T[0, 0] ** 2)
            return np.asarray(np.linalg.solve(T.T, np.linalg.solve(T.T, within).T), dtype=np.float64)
        total = self._diagonal_blocks(t, self.schur).sum(axis=2)
        start = int(self.tail.offsets[t])
        step = max(1, CHUNK // (self.tail.n_columns * k))
        for j in range(0, J, step):
            levels = np.arange(j, min(j + step, J))
            columns = (start + np.arange(k)[:, None] * J + levels).ravel()
            total -= self._traces(self._schur_matrix[columns], k)
        return np.asarray(total)

    def _traces(self, rows: Matrix, k: int) -> FloatArray:
        """Sums over levels of B_j Lambda Omega^-1 Lambda' B_j' for rows of B, effect by effect."""
        B = rows.toarray() if sparse.issparse(rows) else rows
        by_effect = self.half(np.asarray(B)).reshape(-1, k, len(B) // k)
        return np.asarray(np.einsum("xaj,xbj->ab", by_effect, by_effect))

    @cached_property
    def _schur_matrix(self) -> Matrix:
        """S as a symmetric matrix."""
        return self.tail.symmetric(self.schur)


def _sandwich(rows: sparse.csr_array, K: FloatArray) -> FloatArray:
    """V K V' for sparse rows V, from the columns that they have entries in."""
    columns, place = np.unique(rows.indices, return_inverse=True)
    some = sparse.csr_array((rows.data, place, rows.indptr), shape=(rows.shape[0], len(columns)))
    return np.asarray(some @ (some @ K[columns[:, None], columns]).T)


def is_small(T: FloatArray) -> bool:
    """Whether some combination of the effects has next to no variance."""
    least = abs(float(T[0, 0])) if len(T) == 1 else float(np.linalg.norm(T, -2))
    return least**2 <= SMALL_VARIANCE


def factor_tail(tail: Tail, G: FloatArray, T: list[FloatArray]) -> TailFactor:
    """
    Factor the tail.

    Parameters
    ----------
    tail : Tail
    G : ndarray (k, k, J)
        Blocks of K^-1 of the first block.
    T : list of ndarray (k_t, k_t)
        Relative factors of the blocks of the tail.
    """
    schur = tail.schur(G)
    scaling = Scaling(tail, T)
    omega = scaling.storage(schur)
    omega[tail.diagonal] += 1.0
    for stage in tail.stages:
        own = omega[stage.entries]
        weights = own / omega[stage.diagonal][stage.owners]
        np.subtract.at(omega, stage.targets, weights[stage.one] * own[stage.other])
        omega[stage.entries] = weights
    core = tail.core.matrix(omega)
    if len(core):
        # A C-ordered lower triangle is a Fortran-ordered upper one.
        upper, _ = lapack.dpotrf(core.T, lower=0, clean=0)
        core = upper.T
    return TailFactor(tail, scaling, schur, omega, core)


def _invert_stage(stage: Stage, factored: FloatArray, storage: FloatArray) -> None:
    """Entries of the inverse for the columns of a stage, given those of all later ones."""
    weights = factored[stage.entries]
    known = storage[stage.targets]
    n_entries = len(weights)
    rows = np.bincount(stage.one, weights=weights[stage.other] * known, minlength=n_entries)
    apart = stage.one != stage.other
    rows += np.bincount(stage.other[apart], weights=(weights[stage.one] * known)[apart], minlength=n_entries)
    storage[stage.entries] = -rows
    corrections = np.bincount(stage.owners, weights=weights * rows, minlength=len(stage.columns))
    storage[stage.diagonal] = 1.0 / factored[stage.diagonal] + corrections
