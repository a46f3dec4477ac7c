"""A starting value from moments: cheap, and near enough for Newton steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import lapack

from lmm.crossproducts import CrossProducts
from lmm.deviance import ProfiledDeviance
from lmm.linalg import FloatArray, IntArray
from lmm.tail import Incidence

# Bounds of the relative standard deviations to start from.
SMALLEST, LARGEST = 0.1, 30.0
# Numbers held at a time where the levels of two blocks meet in many pairs.
NUMBERS_AT_A_TIME = 4_000_000

# Pairs of effects a <= b of a block.
Pairs = tuple[IntArray, IntArray]


def moment_start(deviance: ProfiledDeviance) -> FloatArray:
    """
    Variances and covariances that solve the moment equations of the quadratic forms y' Z_a Z_b' y.

    Where the design is balanced they are the REML estimates.

    Returns
    -------
    ndarray (m,)
        theta, the eigenvalues of every relative covariance matrix within bounds.

    References
    ----------
    Rao, C. R. (1971). Minimum variance quadratic unbiased estimation of variance components. Journal of Multivariate
    Analysis 1, 445-456.
    """
    cross = deviance.cross
    pairs = [_pairs_of(deviance.covariances[t].tangents) for t in cross.order]
    traces, forms = moment_equations(cross, pairs)
    solution = _least_squares(traces, forms)
    residual = max(float(solution[-1]), 1e-2 * float(forms[-1]) / cross.n)
    theta = np.empty(deviance.n_theta)
    first = 0
    for t, (k, _), (a, b) in zip(cross.order, cross.sizes, pairs, strict=True):
        Sigma = np.zeros((k, k))
        Sigma[a, b] = Sigma[b, a] = solution[first : first + len(a)] / residual
        first += len(a)
        values, vectors, _ = lapack.dsyev(Sigma)
        root = vectors * np.sqrt(np.clip(values, SMALLEST**2, LARGEST**2))
        theta[deviance.slices[t]] = deviance.covariances[t].from_root(root)
    return theta


def _least_squares(traces: FloatArray, forms: FloatArray) -> FloatArray:
    """Shortest solution of the moment equations: of variances with the same effect on the data, equal shares."""
    values, vectors, _ = lapack.dsyev(traces)
    seen = values > len(values) * np.finfo(float).eps * values[-1]
    return np.asarray(vectors @ ((vectors.T @ forms) * seen / np.where(seen, values, 1.0)))


def _pairs_of(tangents: FloatArray) -> Pairs:
    """Pairs of effects that a structure lets correlate, and each effect with itself."""
    b, a = np.nonzero(tangents.any(axis=0))
    return a, b


def moment_equations(cross: CrossProducts, pairs: Sequence[Pairs]) -> tuple[FloatArray, FloatArray]:
    """
    Expectations of the quadratic forms y' V_ab y and y'y as combinations of variances and covariances.

    V_ab is the derivative of Var(y) by the (co)variance of the effects a and b of a block, Z_a Z_b' + Z_b Z_a' or, for
    a = b, Z_a Z_a'. With M = I - Q Q', which takes X out, E y' V_i y = sum_j tau_j tr(V_i M V_j M) + sigma^2 tr(V_i M).

    Parameters
    ----------
    cross : CrossProducts
        With orthonormal columns of X and a response that is orthogonal to them.
    pairs : sequence of (ndarray, ndarray)
        For each block the effects a <= b of its parameters, in the order of the cross-products.

    Returns
    -------
    traces : ndarray (c + 1, c + 1)
        Coefficients of all parameters, block by block, and of the residual variance.
    forms : ndarray (c + 1,)
        The quadratic forms.
    """
    starts = np.cumsum([0, *(len(a) for a, _ in pairs)])
    blocks = cross.by_block(cross.A_B1, cross.A_BT)
    fixed = [block[:-1] for block in blocks]
    traces = np.zeros((int(starts[-1]) + 1, int(starts[-1]) + 1))
    forms = np.append(np.zeros(starts[-1]), cross.A_BB[-1, -1])
    for (s, t), incidence in cross.meetings.items():
        here, there = slice(starts[s], starts[s + 1]), slice(starts[t], starts[t + 1])
        (a, b), (c, d) = pairs[s], pairs[t]
        times = np.where(a == b, 1.0, 2.0)  # how often an entry of V_ab stands in it
        products = _products(incidence, fixed[s], fixed[t])
        a_, b_ = a[:, None], b[:, None]
        both = products[a_, b_, c, d] + products[a_, b_, d, c]
        traces[here, there] = 0.5 * times[:, None] * both * np.where(c == d, 1.0, 2.0)
        traces[there, here] = traces[here, there].T
        if s == t:
            within = incidence.values.sum(axis=2) - _gram(fixed[s]).trace(axis1=2, axis2=3)
            traces[here, -1] = traces[-1, here] = times * within[a, b]
            forms[here] = times * (blocks[s][-1] @ blocks[s][-1].T)[a, b]
    traces[-1, -1] = cross.n - cross.p
    return traces, forms


def _products(incidence: Incidence, one: FloatArray, other: FloatArray) -> FloatArray:
    """
    Sums over all levels j of a block and l of another of N_aj,cl N_bj,dl, for N = Z' M Z of the two.

    Parameters
    ----------
    incidence : Incidence
        Z' Z of the two blocks.
    one, other : ndarray (p, k, J)
        Q' Z of each.

    Returns
    -------
    ndarray (k, k, k', k')
    """
    k, k_other, m = incidence.values.shape
    p = len(one)
    sums = np.zeros((k * k_other, k * k_other))
    step = max(1, NUMBERS_AT_A_TIME // ((p + k_other) * (k + k_other)))
    for start in range(0, m, step):
        here = slice(start, start + step)
        taken = np.einsum("qam,qcm->acm", one[:, :, incidence.rows[here]], other[:, :, incidence.columns[here]])
        met = incidence.values[:, :, here].reshape(k * k_other, -1)
        crossed = met @ taken.reshape(met.shape).T
        sums += met @ met.T - crossed - crossed.T
    rest = _gram(one).reshape(k * k, p * p) @ _gram(other).reshape(k_other * k_other, p * p).T
    return sums.reshape(k, k_other, k, k_other).transpose(0, 2, 1, 3) + rest.reshape(k, k, k_other, k_other)


def _gram(block: FloatArray) -> FloatArray:
    """Sums over levels of F_qaj F_rbj, shape (k, k, p, p), for F of shape (p, k, J)."""
    p, k, J = block.shape
    rows = block.reshape(p * k, J)
    return np.asarray((rows @ rows.T).reshape(p, k, p, k).transpose(1, 3, 0, 2))
