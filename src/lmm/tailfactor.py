"""
The factored tail: Cholesky factors of its Schur complement at one value of the relative factors, and their uses.

With S the Schur complement of the tail (see `lmm.tail`) and Lambda the block diagonal of the relative factors T of its
blocks, Omega = Lambda' S Lambda + I is factored component by component.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.linalg import lapack

from lmm.linalg import FloatArray
from lmm.tail import Group, Tail

# Below this relative variance, dividing by it would cost more digits than the direct formula.
SMALL_VARIANCE = 1e-8
# Numbers held at a time where rows meet a dense tail.
CHUNK = 4_000_000


@dataclass(frozen=True)
class TailFactor:
    """
    The factored tail.

    Attributes
    ----------
    tail : Tail
    T : list of ndarray (k_t, k_t)
        Relative factors of the blocks of the tail.
    schur : ndarray
        Storage of S, lower triangles.
    cholesky : list of ndarray (n_components, m, m)
        Lower Cholesky factors of Omega, by group.
    """

    tail: Tail
    T: list[FloatArray]
    schur: FloatArray
    cholesky: list[FloatArray]

    @property
    def log_det(self) -> float:
        """Logarithm of the determinant of Omega."""
        return 2.0 * sum(float(np.log(np.diagonal(L, axis1=1, axis2=2)).sum()) for L in self.cholesky)

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
        r = len(B)
        padded = np.concatenate([B, np.zeros((r, 1))], axis=1)
        solution = np.zeros_like(padded)
        inner = np.zeros((r, r))
        back = [T.T for T in self.T]
        for group, L in zip(self.tail.groups, self.cholesky, strict=True):
            rhs = _scale_rows(group, self.T, padded[:, group.columns].transpose(1, 2, 0))
            if len(L) == 1:
                w = lapack.dtrtrs(L[0].T, rhs[0], lower=0, trans=1)[0][None]
                u = lapack.dtrtrs(L[0].T, w[0], lower=0, trans=0)[0][None]
            else:
                w = np.linalg.solve(L, rhs)
                u = np.linalg.solve(L.transpose(0, 2, 1), w)
            flat = w.reshape(-1, r)
            inner += flat.T @ flat
            solution[:, group.columns] = _scale_rows(group, back, u).transpose(2, 0, 1)
        return solution[:, :-1], inner

    @cached_property
    def inverse(self) -> FloatArray:
        """Storage of Omega^-1, lower triangles."""
        storage = np.empty_like(self.schur)
        for group, L in zip(self.tail.groups, self.cholesky, strict=True):
            target = group.matrices(storage)
            if len(L) == 1:
                upper, _ = lapack.dpotri(L[0].T, lower=0)
                target[0] = upper.T
            else:
                inverse = np.linalg.inv(L)
                np.matmul(inverse.transpose(0, 2, 1), inverse, out=target)
        return storage

    @cached_property
    def covariance(self) -> FloatArray:
        """Storage of N = Lambda Omega^-1 Lambda', lower triangles."""
        storage = np.empty_like(self.schur)
        back = [T.T for T in self.T]
        for group in self.tail.groups:
            group.matrices(storage)[:] = _scale_both(group, back, group.matrices(self.inverse))
        return storage

    def covariance_blocks(self, t: int) -> FloatArray:
        """Diagonal blocks of N for each level of block t of the tail, shape (k, k, J)."""
        k, J = self.tail.sizes[t]
        offset = sum(size * levels for size, levels in self.tail.sizes[:t])
        blocks = np.empty((k, k, J))
        for group in self.tail.groups:
            places, _ = group.slices[t]
            m = (places.stop - places.start) // k
            if m == 0:
                continue
            N = group.matrices(self.covariance)[:, places, places].reshape(-1, k, m, k, m)
            levels = group.columns[:, places][:, :m] - offset
            real = levels < J
            for a in range(k):
                for b in range(a + 1):
                    entries = np.diagonal(N[:, a, :, b, :], axis1=1, axis2=2)
                    blocks[a, b, levels[real]] = blocks[b, a, levels[real]] = entries[real]
        return blocks

    def quadratic_forms(self, rows: sparse.csr_array) -> FloatArray:
        """Quadratic forms v' N v, one for each row v of a sparse matrix (m, q_T)."""
        if len(self.tail.groups) == 1 and len(self.cholesky[0]) == 1:
            group = self.tail.groups[0]
            N = _symmetric(group.matrices(self.covariance))[0]
            inside = rows[:, group.columns[0]]
            step = max(1, CHUNK // N.shape[1])
            parts = [inside[i : i + step] for i in range(0, inside.shape[0], step)]
            return np.concatenate([np.asarray(part.multiply(part @ N).sum(axis=1)).ravel() for part in parts])
        N_sparse = self._covariance_sparse()
        return np.asarray(rows.multiply(rows @ N_sparse).sum(axis=1)).ravel()

    def _covariance_sparse(self) -> sparse.csr_array:
        """N as a sparse symmetric matrix (q_T, q_T)."""
        q = self.tail.n_columns
        rows, columns, values = [], [], []
        for group in self.tail.groups:
            N = _symmetric(group.matrices(self.covariance))
            row = np.broadcast_to(group.columns[:, :, None], N.shape)
            column = np.broadcast_to(group.columns[:, None, :], N.shape)
            real = (row < q) & (column < q)
            rows.append(row[real])
            columns.append(column[real])
            values.append(N[real])
        cells = (np.concatenate(rows), np.concatenate(columns))
        return sparse.csr_array((np.concatenate(values), cells), shape=(q, q))

    def trace_blocks(self, t: int) -> FloatArray:
        """Sum over the levels of block t of the diagonal blocks, k x k, of S - S Lambda Omega^-1 Lambda' S."""
        k, _ = self.tail.sizes[t]
        theta = float(self.T[t][0, 0])
        total = np.zeros((k, k))
        for group in self.tail.groups:
            S, inverse = group.matrices(self.schur), group.matrices(self.inverse)
            places, _ = group.slices[t]
            if k == 1 and theta**2 > SMALL_VARIANCE:
                # Lambda' (S - S Lambda Omega^-1 Lambda' S) Lambda = I - Omega^-1: the inverse's diagonal suffices.
                diagonal = np.diagonal(inverse, axis1=1, axis2=2)[:, places]
                total += (1.0 - diagonal).sum() / theta**2
                continue
            full = _symmetric(S)
            S_Lambda = _scale_rows(group, self.T, full).transpose(0, 2, 1)[:, places]
            reduced = S_Lambda @ _symmetric(inverse)
            m = (places.stop - places.start) // k
            own = full[:, places, places].reshape(len(S), k, m, k, m)
            by_level = (len(S), k, m, -1)
            total += np.einsum("najbj->ab", own)
            total -= np.einsum("najc,nbjc->ab", S_Lambda.reshape(by_level), reduced.reshape(by_level))
        return total


def factor_tail(tail: Tail, D: FloatArray, T: list[FloatArray]) -> TailFactor:
    """
    Factor the tail.

    Parameters
    ----------
    tail : Tail
    D : ndarray (k, k, J)
        Blocks of Lambda Omega^-1 Lambda' of the first block alone.
    T : list of ndarray (k_t, k_t)
        Relative factors of the blocks of the tail.
    """
    schur = tail.schur(D)
    cholesky = []
    for group in tail.groups:
        omega = _scale_both(group, T, group.matrices(schur))
        m = omega.shape[1]
        omega[:, np.arange(m), np.arange(m)] += 1.0
        if len(omega) == 1:
            # A C-ordered lower triangle is a Fortran-ordered upper one.
            upper, _ = lapack.dpotrf(omega[0].T, lower=0, clean=0, overwrite_a=1)
            cholesky.append(upper.T[None])
        else:
            cholesky.append(np.linalg.cholesky(omega))
    return TailFactor(tail, T, schur, cholesky)


def _scale_rows(group: Group, T: list[FloatArray], X: FloatArray) -> FloatArray:
    """Lambda' X for X of shape (n_components, m, r)."""
    out = np.empty_like(X)
    for (places, k), factor in zip(group.slices, T, strict=True):
        if k == 1:
            np.multiply(X[:, places], factor[0, 0], out=out[:, places])
        else:
            block = X[:, places].reshape(len(X), k, -1)
            out[:, places] = (factor.T @ block).reshape(len(X), -1, X.shape[2])
    return out


def _scale_both(group: Group, T: list[FloatArray], S: FloatArray) -> FloatArray:
    """Lambda' S Lambda for symmetric matrices given by their lower triangles."""
    if all(k == 1 for _, k in group.slices):
        widths = [places.stop - places.start for places, _ in group.slices]
        scale = np.repeat([factor[0, 0] for factor in T], widths)
        scaled: FloatArray = S * (scale[:, None] * scale)
        return scaled
    half = _scale_rows(group, T, _symmetric(S))
    return _scale_rows(group, T, half.transpose(0, 2, 1))


def _symmetric(S: FloatArray) -> FloatArray:
    """Full matrices from lower triangles, shape (n_components, m, m)."""
    lower = np.tril(S, -1)
    full: FloatArray = lower + lower.transpose(0, 2, 1)
    m = S.shape[1]
    full[:, np.arange(m), np.arange(m)] = S[:, np.arange(m), np.arange(m)]
    return full
