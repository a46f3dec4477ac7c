"""
Newton steps for many replicates at once, with the certificate of `lmm.optimize` for each.

Every round evaluates one candidate for each replicate that is still searching: a share of its Newton step, or a step
off the boundary. A replicate whose candidate lowers its deviance moves there; another tries a shorter step in the next
round. Those that are certified leave the batch; those that no step improves leave it too, without a certificate, for
the search for single ones.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from lmm.batch.derivatives import derivatives
from lmm.batch.system import BatchEvaluation, BatchSystem, Statistics
from lmm.linalg import (
    RANK_TOLERANCE,
    BoolArray,
    FloatArray,
    IntArray,
    cholesky_levels,
    solve_lower_levels,
    solve_upper_levels,
)
from lmm.optimize import FEW_ROWS, RESTARTS, ROUNDING, SHORTEST, SHRINK, SUFFICIENT, VANISHING, Control

# Rounds after which what is left goes to the search for single replicates.
MAX_ROUNDS = 40
# Relative variance that the first step off the boundary takes.
FIRST_ESCAPE = 0.1
# Promised decrease above which it is too early to ask whether the boundary should be left.
EARLY = 0.1
# Rounding errors of the deviance beyond which it cannot certify anything: a response that is fitted almost exactly.
MOST_NOISE = 1e-8
# Eigenvalues of the Hessian count as no smaller than this share of the largest.
LEAST_CURVATURE = 1e-10


@dataclass(frozen=True)
class BatchOptimum:
    """
    Where the searches for B replicates ended.

    Attributes
    ----------
    theta : ndarray (B, n_theta)
    value : ndarray (B,)
    on_boundary : ndarray (B,) of bool
        Whether some covariance matrix of random effects is singular.
    certified : ndarray (B,) of bool
        Whether the optimum is proved; the rest is of no use where it is not.
    """

    theta: FloatArray
    value: FloatArray
    on_boundary: BoolArray
    certified: BoolArray


@dataclass(frozen=True)
class _Points:
    """
    Where A searches stand, and where they go next.

    Attributes
    ----------
    theta : ndarray (A, n_theta)
    value : ndarray (A,)
    step : ndarray (A, n_theta)
        Newton step, cut to a length that the quadratic model may be trusted for.
    slope : ndarray (A,)
        Change of the deviance that the step promises to first order.
    decrement : ndarray (A,)
        Decrease that the uncut step promises.
    noise : ndarray (A,)
        Size of the rounding errors of the deviance.
    convex : ndarray (A,) of bool
        Whether the Hessian is positive semidefinite.
    curvature : ndarray (A,)
        Least eigenvalue of df/dSigma on the null space of T; inf where T has full rank, or where it is too early to
        ask.
    block : ndarray (A,)
        Block whose boundary it is.
    direction : ndarray (A, k)
        Its eigenvector, padded with zeros.
    """

    theta: FloatArray
    value: FloatArray
    step: FloatArray
    slope: FloatArray
    decrement: FloatArray
    noise: FloatArray
    convex: BoolArray
    curvature: FloatArray
    block: IntArray
    direction: FloatArray

    @property
    def leaving(self) -> BoolArray:
        """Whether the next step is to leave the boundary, shape (A,)."""
        return -0.5 * FIRST_ESCAPE * self.curvature > self.decrement

    def take(self, which: BoolArray) -> _Points:
        """Some of the searches."""
        return _Points(*(getattr(self, field.name)[which] for field in fields(self)))

    def put(self, which: BoolArray, new: _Points) -> None:
        """Move some of the searches."""
        for field in fields(self):
            getattr(self, field.name)[which] = getattr(new, field.name)


def find_optima(system: BatchSystem, y: Statistics, start: FloatArray, control: Control) -> BatchOptimum:
    """
    Minimise the deviance of B replicates, and look for second minima where `lmm.optimize.find_optimum` would.

    Parameters
    ----------
    system : BatchSystem
    y : Statistics
    start : ndarray (n_theta,)
        Where all searches start.
    control : Control
    """
    best = minimize(system, y, np.tile(start, (len(y), 1)), control)
    again = np.flatnonzero((best.on_boundary | ~best.certified) & (y.n <= FEW_ROWS))
    if not len(again):
        return best
    covariances = system.deviance.covariances
    starts = [np.concatenate([cov.from_root(sd * np.eye(cov.size)) for cov in covariances]) for sd in RESTARTS]
    others = minimize(system, y.take(np.tile(again, len(starts))), np.repeat(starts, len(again), axis=0), control)
    for i in range(len(starts)):
        here = slice(i * len(again), (i + 1) * len(again))
        value, certified = others.value[here], others.certified[here]
        noise = ROUNDING * np.maximum(np.abs(value), y.n[again])
        lower = certified & ~(best.certified[again] & (value + noise >= best.value[again]))
        for field in fields(best):
            getattr(best, field.name)[again[lower]] = getattr(others, field.name)[here][lower]
    return best


def minimize(system: BatchSystem, y: Statistics, start: FloatArray, control: Control) -> BatchOptimum:
    """
    Minimise the deviance of B replicates from starting points, shape (B, n_theta).

    The result holds no certificate for replicates that the rounds did not suffice for.
    """
    B = len(start)
    best = BatchOptimum(start.copy(), np.full(B, np.inf), np.zeros(B, dtype=bool), np.zeros(B, dtype=bool))
    at = system.evaluate(start, y)
    which = np.flatnonzero(np.isfinite(at.value))
    if len(which) < B:
        at, y = at.take(np.isfinite(at.value)), y.take(which)
    points = _arrive(system, at, y)
    share, stalled = _first_share(points), np.zeros(len(which), dtype=bool)
    for _ in range(MAX_ROUNDS):
        done = ((points.decrement <= control.tolerance) | stalled) & ~(points.curvature < 0.0) & points.convex
        stays = ~done & (share > SHORTEST)
        if not stays.all():
            proved = which[done]
            best.theta[proved], best.value[proved] = points.theta[done], points.value[done]
            best.on_boundary[proved], best.certified[proved] = np.isfinite(points.curvature[done]), True
            if not stays.any():
                return best
            which, y, points = which[stays], y.take(stays), points.take(stays)
            share, stalled = share[stays], stalled[stays]
        leaving = points.leaving
        at = system.evaluate(_candidates(system, points, share), y)
        promised = share * np.where(leaving, points.curvature, points.slope)
        moved = at.value <= points.value + SUFFICIENT * promised + np.where(leaving, 0.0, points.noise)
        # Shorter steps end where the parabola through what is known of the deviance has its minimum.
        excess = np.maximum(at.value - points.value - promised, 1e-300)
        share = share * np.clip(-0.5 * promised / excess, SHRINK, 0.5)
        if moved.any():
            everywhere = bool(moved.all())
            new = _arrive(system, at if everywhere else at.take(moved), y if everywhere else y.take(moved))
            # Where the deviance cannot tell any more, the gradient can, until it stops falling too.
            stalled[moved] = (new.decrement <= new.noise) & (new.decrement >= 0.5 * points.decrement[moved])
            points.put(moved, new)
            share[moved] = _first_share(new)
    return best


def _first_share(points: _Points) -> FloatArray:
    """Share of the Newton step that is tried first: all of it; or the relative variance of a step off the boundary."""
    return np.where(points.leaving, FIRST_ESCAPE, 1.0)


def _arrive(system: BatchSystem, at: BatchEvaluation, y: Statistics) -> _Points:
    """Derivatives at new points, and the step that they suggest."""
    found = derivatives(system, at, y)
    step, convex = _newton_steps(found.hessian, found.gradient)
    step[found.gradient == 0.0] = 0.0  # a column of T that is zero stays so
    decrement = np.maximum(0.0, -0.5 * np.einsum("ni,ni->n", found.gradient, step))
    longest = np.abs(step).max(axis=1)
    limit = np.maximum(1.0, 2.0 * np.abs(at.theta).max(axis=1))
    step *= np.minimum(1.0, limit / np.maximum(longest, 1e-300))[:, None]
    reduction = y.n / at.L[:, -1, -1] ** 2
    curvature, block, direction = _escapes(system, at, found.M, decrement)
    return _Points(
        theta=at.theta,
        value=at.value,
        step=step,
        slope=np.einsum("ni,ni->n", found.gradient, step),
        decrement=decrement,
        noise=np.minimum(ROUNDING * np.maximum(np.abs(at.value), y.nu * reduction), MOST_NOISE),
        convex=convex,
        curvature=curvature,
        block=block,
        direction=direction,
    )


def _newton_steps(H: FloatArray, gradient: FloatArray) -> tuple[FloatArray, BoolArray]:
    """
    Minimisers of quadratic models, shape (A, n), and whether their Hessians H, shape (A, n, n), are convex.

    Where a Hessian is not positive definite, its eigenvalues are taken by their size.
    """
    L = cholesky_levels(H.transpose(1, 2, 0), tolerance=LEAST_CURVATURE)
    definite: BoolArray = (np.einsum("iin->in", L) > 0.0).all(axis=0)
    convex = definite.copy()
    step = np.empty_like(gradient)
    half = solve_lower_levels(L[:, :, definite], gradient[definite].T[None])
    step[definite] = -solve_upper_levels(L[:, :, definite], half)[0].T
    if not definite.all():
        values, vectors = np.linalg.eigh(H[~definite])
        sizes = np.abs(values)
        largest = sizes.max(axis=1, keepdims=True)
        along = np.einsum("nij,ni->nj", vectors, gradient[~definite])
        along /= np.maximum(sizes, LEAST_CURVATURE * np.maximum(largest, 1e-10))
        step[~definite] = -np.einsum("nij,nj->ni", vectors, along)
        convex[~definite] = values[:, 0] >= -LEAST_CURVATURE * largest[:, 0]
    return step, convex


def _escapes(
    system: BatchSystem, at: BatchEvaluation, M: list[FloatArray], decrement: FloatArray
) -> tuple[FloatArray, IntArray, FloatArray]:
    """Steepest way off the boundary: `curvature`, `block` and `direction` of `_Points`."""
    B = len(at.theta)
    curvature, block = np.full(B, np.inf), np.zeros(B, dtype=np.intp)
    direction = np.zeros((B, max(covariance.size for covariance in system.covariances)))
    for place, (covariance, T) in enumerate(zip(system.covariances, at.factors, strict=True)):
        k = covariance.size
        pivots = np.abs(np.diagonal(T, axis1=1, axis2=2))
        largest = np.maximum(np.abs(T).max(axis=(1, 2)), 1.0)
        # |det T| <= (least singular value) (largest)^(k-1): a larger determinant shows full rank.
        full = pivots.prod(axis=1) > RANK_TOLERANCE * (k * largest) ** k
        near = ~full & (decrement <= EARLY)
        if k == 1:
            steeper = near & (M[place][:, 0, 0] < curvature) & (pivots[:, 0] <= RANK_TOLERANCE)
            curvature[steeper], block[steeper], direction[steeper] = (
                M[place][steeper, 0, 0],
                place,
                np.eye(1, len(direction[0])),
            )
            continue
        for i in np.flatnonzero(near):
            least, v = covariance.escape(T[i], M[place][i])
            if least < curvature[i]:
                curvature[i], block[i] = least, place
                direction[i], direction[i, :k] = 0.0, v
    return curvature, block, direction


def _candidates(system: BatchSystem, points: _Points, share: FloatArray) -> FloatArray:
    """Where the searches try to go, shape (A, n_theta)."""
    candidates = _land(system, points.theta, points.theta + share[:, None] * points.step)
    for i in np.flatnonzero(points.leaving):
        place = points.block[i]
        covariance, here = system.covariances[place], system.slices[place]
        theta = points.theta[i].copy()
        v = np.sqrt(share[i]) * points.direction[i, : covariance.size]
        theta[here] = covariance.from_root(np.column_stack([covariance.factor(theta[here]), v]))
        candidates[i] = theta
    return candidates


def _land(system: BatchSystem, old: FloatArray, new: FloatArray) -> FloatArray:
    """Where steps from old to new land, shape (A, n_theta): see `lmm.optimize`."""
    landed = np.empty_like(new)
    for covariance, here in zip(system.covariances, system.slices, strict=True):
        flat = covariance.tangents.reshape(covariance.n_theta, -1)
        T, T_new = ((theta[:, here] @ flat).reshape(-1, covariance.size, covariance.size) for theta in (old, new))
        square, square_new, product = (T * T).sum(axis=1), (T_new * T_new).sum(axis=1), (T * T_new).sum(axis=1)
        vanishing = square_new < VANISHING**2 * square
        vanishing |= (product < 0.0) & (product**2 >= (1.0 - VANISHING**2) * square * square_new)
        T_new *= np.where(np.diagonal(T_new, axis1=1, axis2=2) < 0.0, -1.0, 1.0)[:, None]
        T_new[vanishing[:, None].repeat(covariance.size, axis=1)] = 0.0
        landed[:, here] = T_new.reshape(len(T_new), -1) @ flat.T
        if covariance.size > 1:
            for i in np.flatnonzero(vanishing.any(axis=1)):
                landed[i, here] = covariance.from_root(T_new[i])
    return landed
