"""
Quadratic forms in changes of the covariance matrix, of which information matrices and degrees of freedom are made.

Everything is relative to sigma^2 and in the standardised basis: V = I + Z Sigma Z', changes V_i = Z S_i Z', and
P = V^-1 - V^-1 X C^-1 X' V^-1 with C = X' V^-1 X. The last direction is that of sigma^2 itself, along which V changes
in proportion: V_s = V. In the basis of the columns of L^-T, where C = L L', the matrices over the fixed effects are

    K_i = L^-1 X' V^-1 V_i V^-1 X L^-T,    k_i = L^-1 X' V^-1 V_i P y / rho.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from lmm.deviance import Evaluation, ProfiledDeviance
from lmm.inference.traces import trace_products
from lmm.linalg import FloatArray
from lmm.memory import require_memory


@dataclass(frozen=True)
class Forms:
    """
    Quadratic forms of m directions, the last of them sigma^2 unless it is known.

    Attributes
    ----------
    expected : ndarray (m, m)
        tr(Q V_i Q V_j) / 2 with Q = P for REML and V^-1 for ML: the expected information.
    average : ndarray (m, m)
        y' P V_i P V_j P y / (2 sigma^2): the average information (Gilmour, Thompson & Cullis 1995).
    K : ndarray (m, p, p)
        The K_i.
    k : ndarray (m, p)
        The k_i.
    weight : float
        rho^2 / sigma^2.
    """

    expected: FloatArray
    average: FloatArray
    K: FloatArray
    k: FloatArray
    weight: float

    @property
    def observed(self) -> FloatArray:
        """Negative second derivatives of the log-likelihood, beta profiled out: V is linear in the directions."""
        return 2.0 * self.average - self.expected


def quadratic_forms(deviance: ProfiledDeviance, at: Evaluation, directions: Sequence[FloatArray]) -> Forms:
    """
    Quadratic forms along directions of Sigma, and of sigma^2 where it is not known.

    Parameters
    ----------
    deviance : ProfiledDeviance
    at : Evaluation
    directions : sequence of ndarray (m_t, k_t, k_t)
        Changes S of Sigma of each block, symmetric, in the order of the cross-products.
    """
    p = deviance.cross.p
    combine: FloatArray = lapack.dtrtri(at.border, lower=1)[0]
    weight = deviance.nu if deviance.sigma is None else at.rho2 / deviance.sigma**2
    moments = _score_moments(deviance, at, directions, combine)
    K, k, scores = moments[:, :p, :p], moments[:, :p, p], moments[:, p, p]
    working = [deviance.inner_products(at, *deviance.working_effects(at, directions, row)) for row in combine]
    average = 0.5 * weight * (working[p] - k @ k.T)
    expected = trace_products(deviance, at, directions)
    # tr(Q V_i): what df/dSigma is made of besides the scores.
    traces = np.concatenate([np.einsum("iab,ab->i", S, M) for S, M in zip(directions, at.M, strict=True)])
    traces += weight * scores
    if deviance.reml:
        expected += np.einsum("iab,jab->ij", K, K) - 2.0 * sum(working[:p], start=np.zeros_like(expected))
    expected *= 0.5
    if deviance.sigma is None:
        expected = _bordered(expected, 0.5 * traces, 0.5 * deviance.nu)
        average = _bordered(average, 0.5 * weight * scores, 0.5 * weight)
        K = np.concatenate([K, np.eye(p)[None]])
        k = np.concatenate([k, np.zeros((1, p))])
    return Forms(expected, average, K, k, weight)


def fixed_products(deviance: ProfiledDeviance, at: Evaluation, directions: Sequence[FloatArray]) -> FloatArray:
    """
    Matrices L^-1 X' V^-1 V_i V^-1 V_j V^-1 X L^-T, shape (m, m, p, p), sigma^2 included unless it is known.

    Raises
    ------
    ModelError
        When the working columns would need more memory than the machine has.
    """
    p = deviance.cross.p
    m = sum(len(S) for S in directions)
    effects = sum(k * J for k, J in deviance.cross.sizes)
    require_memory(
        8.0 * 4.0 * m * p * effects,
        f"the products of {m} directions of the covariance with {p} fixed effects",
        'ddf="satterthwaite" needs a fraction of it',
    )
    combine: FloatArray = lapack.dtrtri(at.border, lower=1)[0]
    rows = [deviance.working_effects(at, directions, row) for row in combine[:p]]
    h_1 = np.concatenate([np.zeros((0, *at.b_1.shape[1:])), *(first for first, _ in rows)])
    h_T = np.concatenate([np.zeros((0, at.b_T.shape[1])), *(tail for _, tail in rows)])
    products = deviance.inner_products(at, h_1, h_T).reshape(p, m, p, m).transpose(1, 3, 0, 2)
    if deviance.sigma is not None:
        return products
    K = _score_moments(deviance, at, directions, combine)[:, :p, :p]
    full = np.empty((m + 1, m + 1, p, p))
    full[:m, :m] = products
    full[:m, m] = full[m, :m] = K
    full[m, m] = np.eye(p)
    return full


def _score_moments(
    deviance: ProfiledDeviance, at: Evaluation, directions: Sequence[FloatArray], combine: FloatArray
) -> FloatArray:
    """Sums over levels of e_a' S_i e_b, shape (m, p + 1, p + 1), for e = Z' V^-1 [X y] combined."""
    parts = []
    for scores, S in zip(deviance.cross.by_block(at.E_1, at.E_T), directions, strict=True):
        e = (combine @ scores.reshape(len(combine), -1)).reshape(scores.shape)
        parts.append(np.einsum("iab,paj,qbj->ipq", S, e, e, optimize=True))
    return np.concatenate(parts)


def _bordered(inner: FloatArray, edge: FloatArray, corner: float) -> FloatArray:
    """A symmetric matrix with one more row and column."""
    return np.block([[inner, edge[:, None]], [edge[None, :], np.array([[corner]])]])
