"""
The profiled deviance of many replicates at as many values of theta.

Eliminating the first block (see `lmm.reduction`) leaves the symmetric matrix of the columns [Z_T X y]

    N = rest + sum_j c_j' G_j c_j,    G_j = (I + R_j T T' R_j')^-1,    c_j = Q_j' [Z_T X y],

a sum over levels that is linear in the entries of G_j. Levels with the same R_j share G_j, so they are merged into
classes: N = rest + sum over classes and entries a <= b of G_ab S_ab, with matrices S that are formed once. A balanced
design has one class, however many levels. What differs between replicates is the last row, that of y, where they are
responses of one design, or how often each level counts, where they are samples of groups of the data (see
`lmm.batch.groups`).

With L the Cholesky factor of blockdiag(Lambda_T', I) N blockdiag(Lambda_T, I) + blockdiag(I, 0), whose rows stand for
the tail, X and y,

    f = sum_j log|G_j^-1| + 2 sum over rows of omega log L_rr + constants,

where omega is 1 for a row of the tail (or how often its group is there), 1 (REML) or 0 (ML) for a row of X, and nu for
the row of y, whose L_yy is rho.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from scipy import sparse

from lmm.batch.responses import Responses
from lmm.covariance import Covariance
from lmm.deviance import ProfiledDeviance
from lmm.linalg import BoolArray, FloatArray, IntArray, cholesky_levels, solve_lower_levels, upper_indices

# Columns [Z_T X y], and products in a sum over classes, beyond which sparse sums for single responses are faster.
MOST_COLUMNS, MOST_PRODUCTS = 80, 1_000_000
# Levels count as alike when their R agree to this share of the largest entry.
ALIKE = 1e-12


class Statistics(Protocol):
    """What the deviance needs to know of B replicates."""

    @property
    def sigma(self) -> FloatArray | None:
        """Known residual standard deviation in the units of each replicate, shape (B,)."""

    @property
    def n(self) -> FloatArray:
        """Numbers of rows, shape (B,)."""

    @property
    def nu(self) -> FloatArray:
        """Numbers of rows, less (REML) the number of fixed effects, shape (B,)."""

    @property
    def counts(self) -> FloatArray:
        """Numbers of levels in each class, shape (C, B), or (C, 1) where they are the same for all replicates."""

    @property
    def tail_weights(self) -> FloatArray:
        """How often the group of each column of the tail is there, shape (B, q), or (1, q)."""

    def __len__(self) -> int: ...

    def take(self, which: IntArray | BoolArray) -> Statistics:
        """Those of some of the replicates."""

    def matrices(self, entries: FloatArray) -> FloatArray:
        """N, shape (B, m, m), for the entries of G, shape (B, K)."""

    def combine(self, weights: FloatArray) -> FloatArray:
        """Sums of the S with r sets of weights, shape (B, r, K), as matrices of shape (B, r, m, m)."""

    def slopes(self, Q: FloatArray) -> FloatArray:
        """Inner products, shape (B, K), of the S and symmetric matrices of shape (B, m, m)."""


@dataclass(frozen=True)
class ResponseStatistics:
    """
    What the deviance needs to know of B responses of one design.

    Attributes
    ----------
    system : BatchSystem
    rest : ndarray (B, m)
        The row of y in ``rest``, over the columns [Z_T X y].
    S : ndarray (B, K, m)
        The row of y in each S; K entries of G.
    sigma : ndarray (B,) or None
        Known residual standard deviation in the units of each response.
    """

    system: BatchSystem
    rest: FloatArray
    S: FloatArray
    sigma: FloatArray | None

    def __len__(self) -> int:
        return len(self.rest)

    @property
    def n(self) -> FloatArray:
        """Numbers of rows, shape (B,)."""
        return np.full(len(self), float(self.system.deviance.cross.n))

    @property
    def nu(self) -> FloatArray:
        """Numbers of rows, less (REML) the number of fixed effects, shape (B,)."""
        return np.full(len(self), float(self.system.deviance.nu))

    @property
    def counts(self) -> FloatArray:
        """Numbers of levels in each class, shape (C, 1)."""
        return self.system.counts[:, None]

    @property
    def tail_weights(self) -> FloatArray:
        """Ones, shape (1, q)."""
        return np.ones((1, self.system.n_tail))

    def take(self, which: IntArray | BoolArray) -> ResponseStatistics:
        """Those of some of the responses."""
        sigma = None if self.sigma is None else self.sigma[which]
        return ResponseStatistics(self.system, self.rest[which], self.S[which], sigma)

    def matrices(self, entries: FloatArray) -> FloatArray:
        """N, shape (B, m, m), for the entries of G, shape (B, K)."""
        N = self.combine(entries[:, None])[:, 0]
        N[:, :-1, :-1] += self.system.rest
        N[:, -1] += self.rest
        N[:, :-1, -1] = N[:, -1, :-1]
        return N

    def combine(self, weights: FloatArray) -> FloatArray:
        """Sums of the S with r sets of weights, shape (B, r, K), as matrices of shape (B, r, m, m)."""
        S = self.system.S
        m = S.shape[1] + 1
        found = np.empty((*weights.shape[:2], m, m))
        found[:, :, :-1, :-1] = (weights @ S.reshape(len(S), -1)).reshape(*weights.shape[:2], m - 1, m - 1)
        found[:, :, -1] = weights @ self.S
        found[:, :, :-1, -1] = found[:, :, -1, :-1]
        return found

    def slopes(self, Q: FloatArray) -> FloatArray:
        """Inner products, shape (B, K), of the S and symmetric matrices of shape (B, m, m)."""
        S = self.system.S
        row = 2.0 * Q[:, -1]
        row[:, -1] *= 0.5
        shared = Q[:, :-1, :-1].reshape(len(Q), -1) @ S.reshape(len(S), -1).T
        return np.asarray(shared + np.einsum("nkr,nr->nk", self.S, row))


@dataclass(frozen=True)
class BatchEvaluation:
    """
    The deviance of B replicates at as many values of theta, and the state it was computed from.

    Attributes
    ----------
    theta : ndarray (B, n_theta)
    value : ndarray (B,)
        Infinite where the response of a replicate is fitted exactly.
    factors : list of ndarray (B, k_t, k_t)
        Relative factors T in the order of elimination.
    Lambda : ndarray (B, m, m) or None
        blockdiag(Lambda_T, I) over [Z_T X y]; None where there is no tail.
    G : ndarray (k, k, C, B)
    N : ndarray (B, m, m)
    L : ndarray (B, m, m)
    """

    theta: FloatArray
    value: FloatArray
    factors: list[FloatArray]
    Lambda: FloatArray | None
    G: FloatArray
    N: FloatArray
    L: FloatArray

    def take(self, which: BoolArray) -> BatchEvaluation:
        """Some of the replicates."""
        return BatchEvaluation(
            self.theta[which],
            self.value[which],
            [T[which] for T in self.factors],
            None if self.Lambda is None else self.Lambda[which],
            self.G.compress(which, axis=3),
            self.N[which],
            self.L[which],
        )


@dataclass(frozen=True)
class BatchSystem:
    """
    The part of the system of a model that all replicates share.

    Attributes
    ----------
    deviance : ProfiledDeviance
        Of the model's own response.
    R : ndarray (k, k, C)
        Triangular factors of the classes of levels.
    counts : ndarray (C,)
        Levels in each class.
    rest : ndarray (m - 1, m - 1)
        [Z_T X]' (I - Q Q') [Z_T X].
    S : ndarray (K, m - 1, m - 1)
        Derivatives of N by the entries a <= b of G, pair by pair, class by class: K = C k (k + 1) / 2.
    class_of : ndarray (J,)
        Class of each level.
    cross_map : sparse array (K * (m - 1), k * J)
        The row of y in S, but for its last entry, from c of y.
    """

    deviance: ProfiledDeviance
    R: FloatArray
    counts: FloatArray
    rest: FloatArray
    S: FloatArray
    class_of: IntArray
    cross_map: sparse.csr_array

    @property
    def n_tail(self) -> int:
        """Number of random effects in the tail."""
        return int(self.deviance.cross.A_BT.shape[1])

    @property
    def covariances(self) -> list[Covariance]:
        """Covariance structures in the order of elimination."""
        return [self.deviance.covariances[t] for t in self.deviance.cross.order]

    @property
    def slices(self) -> list[slice]:
        """Where the parameters of each block stand in theta, in the order of elimination."""
        return [self.deviance.slices[t] for t in self.deviance.cross.order]

    @cached_property
    def tangents(self) -> list[FloatArray]:
        """Derivatives of blockdiag(Lambda_T, I) by the parameters of each block of the tail, shape (m_t, m, m)."""
        m = len(self.rest) + 1
        found = []
        start = 0
        for covariance, (k, J) in zip(self.covariances[1:], self.deviance.cross.sizes[1:], strict=True):
            D = np.zeros((covariance.n_theta, m, m))
            here = slice(start, start + k * J)
            D[:, here, here] = np.kron(covariance.tangents, np.eye(J))
            found.append(D)
            start += k * J
        return found

    def statistics(self, responses: Responses, sigma: FloatArray | None) -> ResponseStatistics:
        """Reduce the responses to what the deviance needs; sigma, shape (B,), is known or None."""
        reduction, cross = self.deviance.reduction, self.deviance.cross
        k, J, B = responses.first.shape
        c_y = solve_lower_levels(reduction.divisor[..., None], responses.first[None])[0]
        flat = c_y.reshape(k * J, B)
        p, q = cross.p, self.n_tail
        rest = np.empty((B, q + p + 1))
        if reduction.tail is not None:
            rest[:, :q] = (responses.tail - reduction.tail.C @ flat).T
        rest[:, q : q + p] = -(reduction.c_B[:p].reshape(p, k * J) @ flat).T
        rest[:, -1] = cross.n - (flat**2).sum(axis=0)
        K = len(self.S)
        S = np.empty((B, K, q + p + 1))
        S[:, :, :-1] = (self.cross_map @ flat).reshape(K, q + p, B).transpose(2, 0, 1)
        a, b = upper_indices(k)
        by_class = sparse.csr_array((np.ones(J), (self.class_of, np.arange(J))), shape=(len(self.counts), J))
        for pair, (i, j) in enumerate(zip(a, b, strict=True)):
            squares = by_class @ (c_y[i] * c_y[j])
            here = slice(pair * len(self.counts), (pair + 1) * len(self.counts))
            S[:, here, -1] = squares.T if i == j else 2.0 * squares.T
        return ResponseStatistics(self, rest, S, sigma)

    def evaluate(self, theta: FloatArray, y: Statistics) -> BatchEvaluation:
        """Deviance of B replicates at theta, shape (B, n_theta)."""
        B = len(theta)
        factors = [
            (theta[:, here] @ covariance.tangents.reshape(covariance.n_theta, -1)).reshape(B, *[covariance.size] * 2)
            for covariance, here in zip(self.covariances, self.slices, strict=True)
        ]
        G, logs_of_classes = self._first_block(factors[0])
        a, b = upper_indices(len(G))
        N = y.matrices(np.ascontiguousarray(G[a, b].reshape(-1, B).T))
        Lambda, scaled = None, N
        if self.n_tail:
            Lambda = self._lambda(factors[1:])
            scaled = Lambda.transpose(0, 2, 1) @ N @ Lambda
            tail = np.arange(self.n_tail)
            scaled[:, tail, tail] += 1.0
        L, exact = _cholesky(scaled)
        logs = 2.0 * np.log(np.diagonal(L, axis1=1, axis2=2))
        value = (y.counts * logs_of_classes).sum(axis=0) + (y.tail_weights * logs[:, : self.n_tail]).sum(axis=1)
        if self.deviance.reml:
            value += logs[:, self.n_tail : -1].sum(axis=1)
        nu = y.nu
        if y.sigma is None:
            value += nu * (1.0 + np.log(2.0 * np.pi / nu) + logs[:, -1])
        else:
            value += nu * np.log(2.0 * np.pi * y.sigma**2) + L[:, -1, -1] ** 2 / y.sigma**2
        value[exact] = np.inf
        return BatchEvaluation(theta, value, factors, Lambda, G, N, L)

    def row_weights(self, at: BatchEvaluation, y: Statistics) -> FloatArray:
        """Give omega of the module's docstring, shape (B, m); for a known sigma that of y is rho^2 / sigma^2."""
        omega = np.empty(at.L.shape[:2])
        omega[:, : self.n_tail] = y.tail_weights
        omega[:, self.n_tail : -1] = float(self.deviance.reml)
        omega[:, -1] = y.nu if y.sigma is None else at.L[:, -1, -1] ** 2 / y.sigma**2
        return omega

    def _first_block(self, T: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Blocks G of the classes, shape (k, k, C, B), and log|G^-1| of each, shape (C, B)."""
        k, B = T.shape[1], len(T)
        RT = np.einsum("cbj,nba->cajn", self.R, T).reshape(k, k, -1)
        K = np.einsum("acj,bcj->abj", RT, RT)
        diagonal = np.arange(k)
        K[diagonal, diagonal] += 1.0
        L = cholesky_levels(K)
        half = solve_lower_levels(L, np.broadcast_to(np.eye(k)[:, :, None], L.shape))
        logs = 2.0 * np.log(L[diagonal, diagonal]).sum(axis=0).reshape(-1, B)
        return np.einsum("acj,bcj->abj", half, half).reshape(k, k, -1, B), logs

    def _lambda(self, T: list[FloatArray]) -> FloatArray:
        """blockdiag(Lambda_T, I) over [Z_T X y], shape (B, m, m)."""
        B, m = len(T[0]), len(self.rest) + 1
        Lambda = np.zeros((B, m, m))
        start = 0
        for factor, (k, J) in zip(T, self.deviance.cross.sizes[1:], strict=True):
            levels = start + np.arange(J)
            for i in range(k):
                for j in range(i + 1):
                    Lambda[:, levels + i * J, levels + j * J] = factor[:, i, j, None]
            start += k * J
        border = np.arange(self.n_tail, m)
        Lambda[:, border, border] = 1.0
        return Lambda


def cost_of_one(deviance: ProfiledDeviance) -> int | None:
    """Numbers that a batch holds for each of its responses; None where fitting them one by one is faster."""
    cross = deviance.cross
    k = cross.sizes[0][0]
    m = cross.A_BT.shape[1] + cross.p + 1
    if m > MOST_COLUMNS:
        return None
    n_first = deviance.covariances[cross.order[0]].n_theta
    C = _classes(deviance.reduction.R)[1].shape[2]
    K = C * k * (k + 1) // 2
    if (1 + n_first) * K * m**2 > MOST_PRODUCTS:
        return None
    n_tail = deviance.n_theta - n_first
    return int(K * (m + n_first) + 8 * C * k**2 + (6 + 3 * deviance.n_theta + n_tail**2) * m**2)


def batch_system(deviance: ProfiledDeviance) -> BatchSystem:
    """Merge the levels of the first block into classes and form the matrices S."""
    reduction, cross = deviance.reduction, deviance.cross
    k, J = cross.sizes[0]
    p, q = cross.p, cross.A_BT.shape[1]
    class_of, R = _classes(reduction.R)
    C = R.shape[2]
    # c of the columns [Z_T X], by column, direction and level.
    c = np.empty((q + p, k, J))
    rest = np.empty((q + p, q + p))
    c[q:], rest[q:, q:] = reduction.c_B[:p], reduction.rest_BB[:p, :p]
    if reduction.tail is not None:
        tail_C, tail_rest = reduction.tail.C, reduction.tail.rest_matrix
        c[:q] = (tail_C.toarray() if sparse.issparse(tail_C) else tail_C).reshape(q, k, J)
        rest[:q, :q] = tail_rest.toarray() if sparse.issparse(tail_rest) else tail_rest
        rest[q:, :q] = reduction.rest_BT[:p]
        rest[:q, q:] = rest[q:, :q].T
    order = np.argsort(class_of, kind="stable")
    starts = np.searchsorted(class_of[order], np.arange(C + 1))
    pairs = list(zip(*upper_indices(k), strict=True))
    S = np.empty((len(pairs), C, q + p, q + p))
    rows, columns, values = [], [], []
    cells = np.arange(q + p)[:, None]
    for pair, (a, b) in enumerate(pairs):
        for i in range(C):
            levels = order[starts[i] : starts[i + 1]]
            product = c[:, a, levels] @ c[:, b, levels].T
            S[pair, i] = product if a == b else product + product.T
        row = (pair * C + class_of) * (q + p) + cells
        for one, other in {(a, b), (b, a)}:
            rows.append(row.ravel())
            columns.append(np.broadcast_to(other * J + np.arange(J), row.shape).ravel())
            values.append(c[:, one].ravel())
    shape = (len(pairs) * C * (q + p), k * J)
    cross_map = sparse.coo_array(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=shape
    ).tocsr()
    cross_map.eliminate_zeros()
    counts = np.bincount(class_of, minlength=C).astype(np.float64)
    return BatchSystem(deviance, R, counts, rest, S.reshape(len(pairs) * C, q + p, q + p), class_of, cross_map)


def _classes(R: FloatArray) -> tuple[IntArray, FloatArray]:
    """Class of each level, shape (J,), and the R of each class, shape (k, k, C)."""
    flat = R.reshape(-1, R.shape[2])
    unit = ALIKE * float(np.abs(flat).max())
    _, first, class_of = np.unique(np.round(flat / unit), axis=1, return_index=True, return_inverse=True)
    return class_of.ravel(), R.take(first, axis=2)


def _cholesky(M: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Cholesky factors of many matrices (B, m, m), and which of them are not positive definite (factor: identity)."""
    try:
        return np.asarray(np.linalg.cholesky(M)), np.zeros(len(M), dtype=np.bool_)
    except np.linalg.LinAlgError:
        sizes = np.sqrt(np.abs(np.diagonal(M, axis1=1, axis2=2)))
        correlation = M / (sizes[:, :, None] * sizes[:, None, :])
        bad: BoolArray = ~(np.linalg.eigvalsh(correlation)[:, 0] > M.shape[1] * np.finfo(float).eps)
        return np.asarray(np.linalg.cholesky(np.where(bad[:, None, None], np.eye(M.shape[1]), M))), bad
