"""
The finite-sample distribution of the likelihood-ratio statistic of one variance, by its spectral representation.

Let lambda be the variance over sigma^2, mu_s the eigenvalues of Z' M Z with M = I - Q Q' the projection that takes X
out, xi_s those of Z' Z, all of weighted rows. Where the variance is zero, with independent standard normal w_s and u_s,

    restricted:  sup over lambda >= 0 of  (n - p) log(T / D) - sum log(1 + lambda mu_s),
    ordinary:    sup over lambda >= 0 of  n log(T / D) - sum log(1 + lambda xi_s)  +  n log(1 + sum_q u_s^2 / T),
    D = sum w_s^2 / (1 + lambda mu_s) + the other squares,    T = sum of all n - p squares,

the last term for q fixed effects that are zero under the null hypothesis as well. With sigma known, n log(T / D)
becomes T - D and n log(1 + U / T) becomes U.

References
----------
Crainiceanu, C. M. and Ruppert, D. (2004). Likelihood ratio tests in linear mixed models with one variance component.
Journal of the Royal Statistical Society B 66, 165-185.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lmm.linalg import FloatArray, IntArray
from lmm.memory import require_memory

# Numbers closer than this, relative to the largest, count as one eigenvalue, or as zero.
SAME = 1e-10
# lambda times the mean eigenvalue, least and greatest, and the number of points of the grid that is searched first.
LEAST, GREATEST, POINTS = 1e-6, 1e4, 72
# Most Newton steps from the best point of the grid, and the step in log lambda after which the next changes nothing.
NEWTON_STEPS, SHORT = 20, 1e-4
# Numbers held at a time.
CHUNK = 2_000_000


@dataclass(frozen=True)
class Spectrum:
    """
    Eigenvalues with their multiplicities, and the degrees of freedom that go with them.

    Attributes
    ----------
    mu, mu_times : ndarray (K,)
        Distinct non-zero eigenvalues of Z' M Z.
    xi, xi_times : ndarray (L,)
        Those that the determinant is made of: of Z' M Z (restricted) or Z' Z (ordinary likelihood).
    n_residual : int
        n - p.
    n_factor : int
        Factor of the logarithm: n - p (restricted) or n.
    n_fixed : int
        Number q of fixed effects that are zero under the null hypothesis.
    sigma_known : bool
    """

    mu: FloatArray
    mu_times: IntArray
    xi: FloatArray
    xi_times: IntArray
    n_residual: int
    n_factor: int
    n_fixed: int = 0
    sigma_known: bool = False


def spectrum(
    lengths: FloatArray, W: FloatArray, n: int, *, reml: bool, n_fixed: int = 0, sigma_known: bool = False
) -> Spectrum:
    """
    Spectrum of one random effect.

    Parameters
    ----------
    lengths : ndarray (J,)
        Diagonal of Z' Z.
    W : ndarray (J, p)
        Z' Q.
    n : int
        Number of rows.
    reml : bool
        Whether the likelihood is restricted.
    n_fixed : int
        Number of fixed effects that are zero under the null hypothesis.
    sigma_known : bool
    """
    p = W.shape[1]
    unit = float(lengths.mean())
    mu, mu_times = _eigenvalues(lengths / unit, W / np.sqrt(unit))
    xi, xi_times = (mu, mu_times) if reml else _distinct(lengths / unit, np.ones(len(lengths), dtype=np.intp))
    return Spectrum(mu, mu_times, xi, xi_times, n - p, n - p if reml else n, n_fixed, sigma_known)


def _eigenvalues(lengths: FloatArray, W: FloatArray) -> tuple[FloatArray, IntArray]:
    """
    Distinct non-zero eigenvalues of diag(lengths) - W W' and their multiplicities.

    Among m levels with the same length all directions orthogonal to their rows of W are eigenvectors, so that m levels
    can be turned into p that matter: a balanced design of any size needs p eigenvalues.
    """
    p = W.shape[1]
    order = np.argsort(lengths, kind="stable")
    starts = np.flatnonzero(np.diff(lengths[order], prepend=-np.inf) > SAME * lengths.max())
    own, rows, plain, plain_times = [], [], [], []
    for members in np.split(order, starts[1:]):
        length = lengths[members[0]]
        block = W[members]
        if len(members) > p:
            plain.append(length)
            plain_times.append(len(members) - p)
            block = np.asarray(np.linalg.qr(block, mode="r"))
        own.append(np.full(len(block), length))
        rows.append(block)
    diagonal, reduced = np.concatenate(own), np.concatenate(rows)
    require_memory(
        24.0 * len(diagonal) ** 2, f"The spectrum of {len(diagonal)} different levels", "Test with lmm.lrt instead."
    )
    values = np.linalg.eigvalsh(np.diag(diagonal) - reduced @ reduced.T)
    return _distinct(
        np.concatenate([values, plain]),
        np.concatenate([np.ones(len(values), dtype=np.intp), np.array(plain_times, dtype=np.intp)]),
    )


def _distinct(values: FloatArray, times: IntArray) -> tuple[FloatArray, IntArray]:
    """Distinct non-zero values, ascending, and how often each occurs."""
    order = np.argsort(values)
    values, times = values[order], times[order]
    positive = values > SAME * values[-1]
    values, times = values[positive], times[positive]
    starts = np.flatnonzero(np.diff(values, prepend=-np.inf) > SAME * values[-1])
    return values[starts], np.add.reduceat(times, starts)


def simulate_statistics(spectrum: Spectrum, n_sim: int, rng: np.random.Generator) -> FloatArray:
    """Draws of the statistic under the null hypothesis, shape (n_sim,)."""
    at_a_time = max(1, CHUNK // (len(spectrum.mu) + POINTS))
    draws = [_draw(spectrum, min(at_a_time, n_sim - start), rng) for start in range(0, n_sim, at_a_time)]
    return np.concatenate(draws)


def _draw(spectrum: Spectrum, count: int, rng: np.random.Generator) -> FloatArray:
    squares = rng.chisquare(spectrum.mu_times, (count, len(spectrum.mu_times)))
    n_rest = spectrum.n_residual - int(spectrum.mu_times.sum())
    rest = rng.chisquare(n_rest, count) if n_rest else np.zeros(count)
    total = squares.sum(axis=1) + rest
    statistic = _supremum(spectrum, squares, rest, total)
    if spectrum.n_fixed:
        explained = rng.chisquare(spectrum.n_fixed, count)
        statistic += explained if spectrum.sigma_known else spectrum.n_factor * np.log1p(explained / total)
    return statistic


def _supremum(spectrum: Spectrum, squares: FloatArray, rest: FloatArray, total: FloatArray) -> FloatArray:
    """Greatest gain in log-likelihood, times two, over lambda >= 0: a grid, then Newton steps in log lambda."""
    grid = np.linspace(np.log(LEAST), np.log(GREATEST), POINTS)
    shares = 1.0 / (1.0 + np.exp(grid)[None, :] * spectrum.mu[:, None])
    log_det = spectrum.xi_times @ np.log1p(np.exp(grid)[None, :] * spectrum.xi[:, None])
    gains = _gain(spectrum, total[:, None], squares @ shares + rest[:, None]) - log_det
    best = np.argmax(gains, axis=1)
    value = gains[np.arange(len(best)), best]
    inside = np.flatnonzero(value > 0.0)
    step = grid[1] - grid[0]
    x, w = grid[best[inside]], squares[inside]
    lower, upper = x - step, x + step
    for _ in range(NEWTON_STEPS):
        slope, curvature = _derivatives(spectrum, x, w, rest[inside])
        lower, upper = np.where(slope > 0.0, x, lower), np.where(slope > 0.0, upper, x)
        newton = x - slope / np.where(curvature < 0.0, curvature, -np.inf)
        moved = np.where((newton > lower) & (newton < upper), newton, (lower + upper) / 2.0)
        longest = float(np.abs(moved - x).max(initial=0.0))
        x = moved
        if longest < SHORT:
            break
    D = (w / (1.0 + np.exp(x)[:, None] * spectrum.mu)).sum(axis=1) + rest[inside]
    refined = _gain(spectrum, total[inside], D)
    refined -= np.log1p(np.exp(x)[:, None] * spectrum.xi) @ spectrum.xi_times
    value[inside] = np.maximum(value[inside], refined)
    return np.asarray(np.maximum(value, 0.0))


def _gain(spectrum: Spectrum, total: FloatArray, D: FloatArray) -> FloatArray:
    """Gain in fit: n log(T / D), or T - D with sigma known."""
    return np.asarray(total - D if spectrum.sigma_known else spectrum.n_factor * np.log(total / D))


def _derivatives(spectrum: Spectrum, x: FloatArray, w: FloatArray, rest: FloatArray) -> tuple[FloatArray, FloatArray]:
    """First and second derivative of the objective in x = log lambda, shapes (m,)."""
    share = 1.0 / (1.0 + np.exp(x)[:, None] * spectrum.mu)
    product = share * (1.0 - share)
    D = (w * share).sum(axis=1) + rest
    dD = -(w * product).sum(axis=1)
    ddD = (w * product * (1.0 - 2.0 * share)).sum(axis=1)
    left = 1.0 / (1.0 + np.exp(x)[:, None] * spectrum.xi)
    d_log, dd_log = (1.0 - left) @ spectrum.xi_times, (left * (1.0 - left)) @ spectrum.xi_times
    if spectrum.sigma_known:
        return -dD - d_log, -ddD - dd_log
    n = spectrum.n_factor
    return -n * dD / D - d_log, -n * (ddD / D - (dD / D) ** 2) - dd_log
