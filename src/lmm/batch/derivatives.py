"""
Exact first and second derivatives of the deviance of many replicates.

In the notation of `lmm.batch.system`, with F = L^-1 blockdiag(Lambda_T', I), Q = F' diag(omega) F = df/dN and
Z = L^-1 dA L'^-1 for the matrix A that L is the factor of,

    dN = -sum over classes of (G R dSigma R' G)_ab S_ab,
    d2f = <Q, d2N> - sum_rs omega_max(r,s) Z_rs Z'_rs,

where the second term is the second derivative of log-determinants of leading blocks. Nothing is an approximation, so
that Newton steps converge quadratically from where the replicates start, the model's own estimate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lmm.batch.system import BatchEvaluation, BatchSystem, Statistics
from lmm.linalg import FloatArray, upper_indices


@dataclass(frozen=True)
class Derivatives:
    """
    Derivatives of the deviance of B replicates.

    Attributes
    ----------
    gradient : ndarray (B, n_theta)
    hessian : ndarray (B, n_theta, n_theta)
    M : list of ndarray (B, k_t, k_t)
        df/dSigma of the blocks, in the order of elimination.
    """

    gradient: FloatArray
    hessian: FloatArray
    M: list[FloatArray]


@dataclass(frozen=True)
class _First:
    """
    How the deviance moves with Sigma of the first block.

    Attributes
    ----------
    M : ndarray (B, k, k)
        df/dSigma.
    dN : ndarray (B, n, m, m)
        dN by its n parameters.
    second : ndarray (B, n, n)
        <Q, d2N> plus the second derivative of the sum of log|G^-1|, by Sigma along the directions of the parameters.
    """

    M: FloatArray
    dN: FloatArray  # noqa: N815
    second: FloatArray


def derivatives(system: BatchSystem, at: BatchEvaluation, y: Statistics) -> Derivatives:
    """Gradient and Hessian in theta, and df/dSigma."""
    omega = system.row_weights(at, y)
    L_inverse: FloatArray = np.asarray(np.linalg.inv(at.L), dtype=np.float64)
    inner = _gram(L_inverse, omega)
    if at.Lambda is None:
        F, Q = L_inverse, inner
    else:
        F = L_inverse @ _t(at.Lambda)
        Q = at.Lambda @ inner @ _t(at.Lambda)
    first = _first_block(system, at, y, Q)
    gradient = np.empty_like(at.theta)
    hessian = np.empty((*at.theta.shape, at.theta.shape[1]))
    here = system.slices[0]
    tangents = system.covariances[0].tangents
    flat = tangents.reshape(len(tangents), -1)
    gradient[:, here] = 2.0 * (first.M @ at.factors[0]).reshape(len(omega), -1) @ flat.T
    # <M, t_i t_j'> for the derivatives t of T.
    bend = np.einsum("iab,jcb->acij", tangents, tangents).reshape(flat.shape[1], -1)
    bent = (first.M.reshape(len(omega), -1) @ bend).reshape(first.second.shape)
    hessian[:, here, here] = first.second + bent + _t(bent)
    M = [first.M]
    Z = np.empty((*at.theta.shape, *at.N.shape[1:]))
    Z[:, here] = F[:, None] @ first.dN @ _t(F)[:, None]
    if at.Lambda is not None:
        NF = at.N @ _t(F)
        M.extend(_tail_slopes(system, at, y, NF, omega))
        QL = inner @ _t(at.Lambda)
        for here_t, D in zip(system.slices[1:], system.tangents, strict=True):
            half = (L_inverse[:, None] @ D.transpose(0, 2, 1)) @ NF[:, None]
            Z[:, here_t] = half + half.transpose(0, 1, 3, 2)
            DQ = D @ QL[:, None]
            gradient[:, here_t] = 2.0 * np.einsum("nmrs,nrs->nm", DQ, at.N)
            hessian[:, here_t, here] = 2.0 * np.einsum("njrs,nirs->nji", DQ, first.dN)
            hessian[:, here, here_t] = _t(hessian[:, here_t, here])
            for here_s, D_s in zip(system.slices[1:], system.tangents, strict=True):
                DD = (D @ inner[:, None])[:, :, None] @ D_s.transpose(0, 2, 1)
                hessian[:, here_t, here_s] = 2.0 * np.einsum("nijrs,nrs->nij", DD, at.N)
    hessian -= _squares(Z, omega)
    if y.sigma is not None:
        slope = Z[:, :, -1, -1]
        hessian += omega[:, -1, None, None] * slope[:, :, None] * slope[:, None, :]
    return Derivatives(gradient, hessian, M)


def _first_block(system: BatchSystem, at: BatchEvaluation, y: Statistics, Q: FloatArray) -> _First:
    """What the first block contributes."""
    k, C, B = len(at.G), at.G.shape[2], at.G.shape[3]
    a, b = upper_indices(k)
    W = np.empty_like(at.G)
    # An entry of G off the diagonal stands for two.
    W[a, b] = W[b, a] = y.slopes(Q).T.reshape(-1, C, B) * np.where(a == b, 1.0, 0.5)[:, None, None]

    GR = np.einsum("cdjn,dbj->cbjn", at.G, system.R)
    A = np.einsum("caj,cbjn->abjn", system.R, GR)
    explained = np.einsum("cajn,cbjn->abjn", GR, np.einsum("cdjn,dbjn->cbjn", W, GR))
    counted = y.counts * A
    M = (counted - explained).sum(axis=2).transpose(2, 0, 1)

    T, tangents = at.factors[0], system.covariances[0].tangents
    half = tangents @ _t(T)[:, None]
    d_sigma = half + half.transpose(0, 1, 3, 2)
    pairs = np.einsum("abjn,cdjn->nbcda", 2.0 * explained - counted, A)
    flat = d_sigma.reshape(B, len(tangents), -1)
    second = flat @ pairs.reshape(B, k * k, k * k) @ _t(flat)
    second = 0.5 * (second + _t(second))

    moved = np.einsum("cajn,nmab->ncmbj", GR, d_sigma)
    V = np.einsum("ncmbj,dbjn->nmcdj", moved, GR)[:, :, a, b].reshape(B, len(tangents), -1)
    return _First(M, -y.combine(V), second)


def _tail_slopes(
    system: BatchSystem, at: BatchEvaluation, y: Statistics, NF: FloatArray, omega: FloatArray
) -> list[FloatArray]:
    """df/dSigma of the blocks of the tail, the sums over levels of the diagonal blocks of N_TT - N Q N, (B, k, k)."""
    found = []
    start = 0
    for k, J in system.deviance.cross.sizes[1:]:
        here = slice(start, start + k * J)
        of_levels = slice(start, start + J)
        start += k * J
        own = np.einsum("najbj->nabj", at.N[:, here, here].reshape(-1, k, J, k, J))
        rows = NF[:, here].reshape(len(NF), k, J, -1)
        weighted = rows * omega[:, None, None]
        explained = weighted.reshape(len(NF), k, -1) @ _t(rows.reshape(len(NF), k, -1))
        found.append((own * y.tail_weights[:, None, None, of_levels]).sum(axis=3) - explained)
    return found


def _squares(Z: FloatArray, omega: FloatArray) -> FloatArray:
    """sum_rs omega_max(r,s) Z_rs Z'_rs for all pairs of directions, shape (B, n_theta, n_theta)."""
    m = Z.shape[-1]
    later = np.maximum(np.arange(m)[:, None], np.arange(m))
    flat = Z.reshape(*Z.shape[:2], -1)
    weighted = flat * omega[:, later].reshape(len(Z), 1, -1)
    product: FloatArray = weighted @ _t(flat)
    return product


def _gram(F: FloatArray, omega: FloatArray) -> FloatArray:
    """F' diag(omega) F."""
    product: FloatArray = _t(F * omega[:, :, None]) @ F
    return product


def _t(matrices: FloatArray) -> FloatArray:
    """Transposes of matrices in the last two axes, or of shape (B, m, m)."""
    return matrices.swapaxes(-1, -2)
