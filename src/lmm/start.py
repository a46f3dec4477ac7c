"""A starting value from moments: cheap, and near enough for Newton steps."""

from __future__ import annotations

import numpy as np

from lmm.crossproducts import CrossProducts
from lmm.deviance import ProfiledDeviance
from lmm.linalg import FloatArray

# Bounds of the relative standard deviations to start from.
SMALLEST, LARGEST = 0.1, 30.0


def moment_start(deviance: ProfiledDeviance) -> FloatArray:
    """
    Independent random effects whose variances solve the moment equations of the quadratic forms y' Z_c Z_c' y.

    One equation for the columns c of each effect of each block, with expectation
    sum_d tau_d |Z_c' Z_d|^2 + sigma^2 |Z_c|^2, and one for y'y. That the response is a residual from X is left out of
    account: this is where the search starts, not where it ends.

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
    traces, forms = _moment_equations(cross)
    solution = np.linalg.lstsq(traces, forms, rcond=None)[0]
    residual = max(float(solution[-1]), 1e-2 * float(forms[-1]) / cross.n)
    sd = np.sqrt(np.clip(solution[:-1] / residual, SMALLEST**2, LARGEST**2))
    theta = np.empty(deviance.n_theta)
    first = 0
    for t, (k, _) in zip(cross.order, cross.sizes, strict=True):
        theta[deviance.slices[t]] = deviance.covariances[t].from_root(np.diag(sd[first : first + k]))
        first += k
    return theta


def _moment_equations(cross: CrossProducts) -> tuple[FloatArray, FloatArray]:
    """Coefficients (c, c) and right-hand sides (c,) for the variances of all effects and the residual variance."""
    starts = np.cumsum([0, *(k for k, _ in cross.sizes)])
    n_effects = int(starts[-1])
    traces = np.zeros((n_effects + 1, n_effects + 1))
    forms = np.empty(n_effects + 1)

    def fill(s: int, t: int, values: FloatArray) -> None:
        squares = np.einsum("abj,abj->ab", values, values)
        traces[starts[s] : starts[s + 1], starts[t] : starts[t + 1]] = squares
        traces[starts[t] : starts[t + 1], starts[s] : starts[s + 1]] = squares.T

    def lengths(s: int, values: FloatArray) -> None:
        own = np.einsum("aaj->a", values)
        traces[starts[s] : starts[s + 1], -1] = own
        traces[-1, starts[s] : starts[s + 1]] = own

    fill(0, 0, cross.A_11)
    lengths(0, cross.A_11)
    for t, incidence in enumerate(cross.with_first):
        fill(0, t + 1, incidence.values)
    for (s, t), incidence in cross.within.items():
        fill(s + 1, t + 1, incidence.values)
        if s == t:
            lengths(s + 1, incidence.values)
    traces[-1, -1] = cross.n
    forms[: starts[1]] = (cross.A_B1[-1] ** 2).sum(axis=1)
    column = 0
    for s, (k, J) in enumerate(cross.sizes[1:], start=1):
        forms[starts[s] : starts[s + 1]] = (cross.A_BT[-1, column : column + k * J].reshape(k, J) ** 2).sum(axis=1)
        column += k * J
    forms[-1] = cross.A_BB[-1, -1]
    return traces, forms
