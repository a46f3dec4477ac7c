"""A starting value from moments: cheap, and near enough for Newton steps."""

from __future__ import annotations

import numpy as np

from lmm.crossproducts import CrossProducts
from lmm.deviance import ProfiledDeviance
from lmm.linalg import FloatArray
from lmm.tail import Incidence

# Bounds of the relative standard deviations to start from.
SMALLEST, LARGEST = 0.1, 30.0


def moment_start(deviance: ProfiledDeviance) -> FloatArray:
    """
    Independent random effects whose variances solve the moment equations of the quadratic forms y' Z_c Z_c' y.

    One equation for the columns c of each effect of each block, with expectation
    sum_d tau_d |Z_c' M Z_d|^2 + sigma^2 tr(Z_c' M Z_c), and one for y'y; M = I - Q Q' takes X out.

    Returns
    -------
    ndarray (m,)
        theta, every relative standard deviation within bounds.

    References
    ----------
    Rao, C. R. (1971). Minimum variance quadratic unbiased estimation of variance components. Journal of Multivariate
    Analysis 1, 445-456.
    """
    cross = deviance.cross
    traces, forms = moment_equations(cross)
    solution = np.linalg.lstsq(traces, forms, rcond=None)[0]
    residual = max(float(solution[-1]), 1e-2 * float(forms[-1]) / cross.n)
    sd = np.sqrt(np.clip(solution[:-1] / residual, SMALLEST**2, LARGEST**2))
    theta = np.empty(deviance.n_theta)
    first = 0
    for t, (k, _) in zip(cross.order, cross.sizes, strict=True):
        theta[deviance.slices[t]] = deviance.covariances[t].from_root(np.diag(sd[first : first + k]))
        first += k
    return theta


def moment_equations(cross: CrossProducts) -> tuple[FloatArray, FloatArray]:
    """
    Expectations of the quadratic forms y' Z_c Z_c' y and y'y as combinations of variances of independent effects.

    Parameters
    ----------
    cross : CrossProducts
        With orthonormal columns of X and a response that is orthogonal to them.

    Returns
    -------
    traces : ndarray (c + 1, c + 1)
        Coefficients of the variances of all effects, block by block, and of the residual variance.
    forms : ndarray (c + 1,)
        The quadratic forms.
    """
    starts = np.cumsum([0, *(k for k, _ in cross.sizes)])
    blocks = cross.by_block(cross.A_B1, cross.A_BT)
    fixed = [block[:-1] for block in blocks]
    traces = np.zeros((int(starts[-1]) + 1, int(starts[-1]) + 1))
    for (s, t), incidence in cross.meetings.items():
        here, there = slice(starts[s], starts[s + 1]), slice(starts[t], starts[t + 1])
        traces[here, there] = _squared_products(incidence, fixed[s], fixed[t])
        traces[there, here] = traces[here, there].T
        if s == t:
            own = np.einsum("aaj->a", incidence.values) - (fixed[s] ** 2).sum(axis=(0, 2))
            traces[here, -1] = traces[-1, here] = own
    traces[-1, -1] = cross.n - cross.p
    forms = [(block[-1] ** 2).sum(axis=1) for block in blocks]
    return traces, np.append(np.concatenate(forms), cross.A_BB[-1, -1])


def _squared_products(incidence: Incidence, one: FloatArray, other: FloatArray) -> FloatArray:
    """|Z_a' M Z_b|^2 for the effects a and b of two blocks, given Q' Z of both, shapes (p, k, J)."""
    total = np.einsum("abm,abm->ab", incidence.values, incidence.values)
    for q, r in zip(one, other, strict=True):
        total -= 2.0 * np.einsum("abm,am,bm->ab", incidence.values, q[:, incidence.rows], r[:, incidence.columns])
    gram_one, gram_other = (np.einsum("paj,qaj->apq", block, block) for block in (one, other))
    return np.asarray(total + np.einsum("apq,bpq->ab", gram_one, gram_other))
