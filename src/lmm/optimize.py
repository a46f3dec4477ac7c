"""
Minimising the profiled deviance, and proving that the minimum is one.

The deviance depends on theta through Sigma = T T' only, so at a point where T is singular its gradient in theta can
vanish by symmetry although the point is no minimum. Newton steps with the average information find the stationary
points; the derivative M = df/dSigma tells whether one is a minimum: M vanishes on the range of T (that is the gradient
in theta) and is positive semidefinite on the null space. Where it is not, the search goes on along the offending
direction of Sigma.

Progress is measured in units of the deviance: the decrease that a Newton step, or leaving the boundary, promises. That
needs no scale for the parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.linalg import lapack

from lmm.arguments import positive_number, whole_number
from lmm.deviance import Evaluation, ProfiledDeviance
from lmm.display import Report, Table
from lmm.errors import ArgumentError, ModelError
from lmm.linalg import FloatArray

# A step that shrinks a column of T to less than this share of itself, or reverses it, sets the column to zero at once.
VANISHING = 0.1
# Share of the promised decrease that a step must deliver.
SUFFICIENT = 1e-4
# A step that promised less than this, in units of the deviance, was short enough to learn the curvature from.
SHORT_STEP = 1e-4
# Newton steps that leave more than this share of the promised decrease show that the computed curvature is wrong.
SLOW = 0.5
# Curvature seen along a step, as a share of the computed one, below which the step teaches nothing.
LEAST_CURVATURE = 1e-4
# A step over which the slope falls by less than this share meets no curvature; the next one is longer by the factor if
# the cosine of the angle between the two is large enough.
STRAIGHT, GROWTH, ONWARDS = 0.1, 4.0, 0.99
# Relative standard deviations from which the search is repeated, and the number of rows up to which it is.
RESTARTS = (0.3, 10.0)
FEW_ROWS = 500
# Rounding error of a sum of squares, relative.
ROUNDING = 1e-14
# The most that one backtracking step shortens a Newton step.
SHRINK = 0.1
# Share of a Newton step below which backtracking gives up.
SHORTEST = 1e-8


@dataclass(frozen=True)
class Control:
    """
    When the optimiser stops.

    Attributes
    ----------
    tolerance : float
        Promised decrease of the deviance, in its own units, below which the optimum counts as found.
    max_evaluations : int
        Number of evaluations of the deviance after which it gives up, with a warning.

    Raises
    ------
    ArgumentError
        When the tolerance is not a positive number, or max_evaluations not an integer of 1 or more.
    """

    tolerance: float = 1e-14
    max_evaluations: int = 300

    def __post_init__(self) -> None:
        if positive_number(self.tolerance) is None:
            raise ArgumentError(
                f"tolerance must be a positive number, a decrease of the deviance such as 1e-10; got {self.tolerance!r}"
            )
        most = whole_number(self.max_evaluations)
        if most is None or most < 1:
            raise ArgumentError(f"max_evaluations must be an integer, 1 or more; got {self.max_evaluations!r}")


@dataclass(frozen=True)
class Step:
    """One line of the optimiser's record: the deviance reached and the decrease that the next step promises."""

    value: float
    decrement: float


@dataclass(frozen=True, eq=False, repr=False)
class Optimum(Report):
    """
    What the optimiser found, and the evidence that it is an optimum.

    Attributes
    ----------
    theta : ndarray (m,)
        The optimum in the standardised basis.
    evaluation : Evaluation
        State of the deviance at theta.
    value : float
        Deviance or REML criterion on the user's scale.
    decrement : float
        Decrease of the deviance promised by one more Newton step.
    escape : float
        Decrease promised by leaving the boundary; 0 where Sigma is positive definite or the boundary is optimal.
    boundary_curvature : float
        Least eigenvalue of df/dSigma on the null space of T: not negative at an optimum, inf inside.
    converged : bool
    n_evaluations : int
        Evaluations of the deviance, those of repeated searches included.
    trace : tuple of Step
        Deviance and promised decrease at each step.

    Examples
    --------
    >>> import lmm
    >>> print(lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff")).optimum)
    Optimum certified after 1 evaluation: deviance 319.654277
    largest slope ...; one more Newton step promises a decrease of ...; every covariance matrix of random effects
    is positive definite
    <BLANKLINE>
    step   deviance promised decrease
       0 319.654277 ...
    """

    theta: FloatArray
    evaluation: Evaluation
    value: float
    decrement: float
    escape: float
    boundary_curvature: float
    converged: bool
    n_evaluations: int
    trace: tuple[Step, ...]

    @property
    def gradient(self) -> FloatArray:
        """Gradient of the deviance in the standardised theta, shape (m,)."""
        return self.evaluation.gradient

    @property
    def on_boundary(self) -> bool:
        """Whether some covariance matrix of random effects is singular."""
        return bool(np.isfinite(self.boundary_curvature))

    @property
    def effort(self) -> str:
        """What it took, in words."""
        return f"{self.n_evaluations} evaluation{'' if self.n_evaluations == 1 else 's'}"

    @property
    def certificate(self) -> str:
        """What was checked, in words."""
        stationary = f"one more Newton step promises a decrease of {self.decrement:.1e}"
        if not self.on_boundary:
            where = "every covariance matrix of random effects is positive definite"
        else:
            where = (
                f"on the boundary, where leaving it promises {self.escape:.1e} "
                f"(curvature {self.boundary_curvature:.2g})"
            )
        return f"{stationary}; {where}"

    def __repr__(self) -> str:
        verdict = "certified" if self.converged else "not converged"
        where = ", on the boundary" if self.on_boundary else ""
        return f"<Optimum {verdict} after {self.effort}: deviance {self.value:.6f}{where}>"

    def _heading(self) -> list[str]:
        verdict = "Optimum certified" if self.converged else "Not converged"
        return [
            f"{verdict} after {self.effort}: deviance {self.value:.6f}",
            f"largest slope {np.abs(self.gradient).max():.1e}; {self.certificate}",
        ]

    def _tables(self) -> list[Table]:
        rows = [(str(i), f"{step.value:.6f}", f"{step.decrement:.1e}") for i, step in enumerate(self.trace)]
        return [Table("", ("step", "deviance", "promised decrease"), tuple(rows), 0)]


@dataclass(frozen=True)
class _Escape:
    """A way out of the boundary: Sigma of one block grows by length * v v'."""

    block: int
    v: FloatArray
    length: float
    gain: float
    curvature: float


def find_optimum(deviance: ProfiledDeviance, start: FloatArray, control: Control, *, shift: float = 0.0) -> Optimum:
    """
    Minimise the profiled deviance, and look for a second minimum where the first lies on the boundary of a small model.

    A likelihood of few data may have one minimum with a variance of zero and another, lower or higher, without. The
    search is then repeated from smaller and larger variances, and the lowest minimum counts.

    Parameters
    ----------
    deviance, start, control, shift
        As for `minimize`.
    """
    best = minimize(deviance, start, control, shift=shift)
    if not best.on_boundary or deviance.cross.n > FEW_ROWS:
        return best
    n_evaluations = best.n_evaluations
    for sd in RESTARTS:
        theta = np.concatenate([cov.from_root(sd * np.eye(cov.size)) for cov in deviance.covariances])
        other = minimize(deviance, theta, control, shift=shift)
        n_evaluations += other.n_evaluations
        if other.value < best.value - _noise(deviance, best.evaluation):
            best = other
    return replace(best, n_evaluations=n_evaluations)


def minimize(deviance: ProfiledDeviance, start: FloatArray, control: Control, *, shift: float = 0.0) -> Optimum:
    """
    Minimise the profiled deviance from a starting point.

    Parameters
    ----------
    deviance : ProfiledDeviance
    start : ndarray (m,)
        Any point, the boundary included.
    control : Control
    shift : float
        What the user's criterion has that the standardised one lacks; it is added to every value reported.
    """
    original = deviance
    at = deviance.evaluate(_oriented(deviance, start))
    n_evaluations = 1
    trace: list[Step] = []
    memory = _Memory()
    while True:
        pivoted = _pivoted(deviance, at)
        if pivoted is not deviance:
            at = _restated(at, deviance, pivoted)
            deviance, memory = pivoted, _Memory()
        step, decrement = _newton_step(deviance, at, memory)
        escape = _escape(deviance, at)
        trace.append(Step(at.value + shift, decrement))
        converged = decrement <= control.tolerance and escape.gain <= control.tolerance
        if converged or n_evaluations >= control.max_evaluations:
            break
        if escape.gain > decrement:
            found, used = _leave_boundary(deviance, at, escape)
        else:
            found, used = _search(deviance, at, step, decrement)
        n_evaluations += used
        if found is None:
            # Rounding errors of the deviance hide any further decrease.
            converged = max(decrement, escape.gain) <= _noise(deviance, at)
            break
        memory.learn(at, found, decrement)
        at = found
    if deviance is not original:
        at = _restated(at, deviance, original)
    return Optimum(
        theta=at.theta,
        evaluation=at,
        value=at.value + shift,
        decrement=decrement,
        escape=escape.gain,
        boundary_curvature=escape.curvature,
        converged=converged,
        n_evaluations=n_evaluations,
        trace=tuple(trace),
    )


def _oriented(deviance: ProfiledDeviance, theta: FloatArray) -> FloatArray:
    """The theta of the same covariance matrices for which every T has a non-negative diagonal."""
    pairs = zip(deviance.covariances, deviance.slices, strict=True)
    return np.concatenate([covariance.from_root(covariance.factor(theta[own])) for covariance, own in pairs])


def _pivoted(deviance: ProfiledDeviance, at: Evaluation) -> ProfiledDeviance:
    """The deviance in parameters that suit the factors at a point: itself unless others are much better."""
    covariances = list(deviance.covariances)
    for t, T in zip(deviance.cross.order, at.factors, strict=True):
        covariances[t] = covariances[t].pivoted(T)
    same = all(new is old for new, old in zip(covariances, deviance.covariances, strict=True))
    return deviance if same else deviance.with_structures(covariances)


def _restated(at: Evaluation, deviance: ProfiledDeviance, other: ProfiledDeviance) -> Evaluation:
    """An evaluation of one deviance as one of another that differs in its parameters alone."""
    order = deviance.cross.order
    theta = np.concatenate([other.covariances[t].from_root(at.factors[order.index(t)]) for t in range(len(order))])
    factors = other.factors_at(theta)
    change = other.gradient_from(at.M, factors) - deviance.gradient_from(at.M, at.factors)
    return replace(at, theta=theta, factors=factors, gradient=at.gradient + change)


def _land(deviance: ProfiledDeviance, at: Evaluation, theta: FloatArray) -> FloatArray:
    """
    Where a step to theta lands: T with a non-negative diagonal and no column on its way to zero.

    The deviance is even in each column of T, so a column that vanishes at the optimum would only halve its way there;
    and a column that a step reverses has passed through zero, where the certificate decides what comes next. A column
    that is zero has a slope of zero: what a step adds to it is rounding error.
    """
    landed = theta.copy()
    for t, T_old in zip(deviance.cross.order, at.factors, strict=True):
        covariance, own = deviance.covariances[t], deviance.slices[t]
        T = covariance.factor(theta[own])
        old, new, product = np.add.reduce([T_old * T_old, T * T, T_old * T], axis=1)
        shrunk = new < VANISHING**2 * old
        reversed_ = (product < 0.0) & (product**2 >= (1.0 - VANISHING**2) * old * new)
        vanishing = (shrunk | reversed_ | (old == 0.0)) & covariance.vanishing
        if vanishing.any() or (theta[own][covariance.pivots] < 0.0).any():
            T[:, vanishing] = 0.0
            landed[own] = covariance.from_root(T)
    return landed


@dataclass
class _Memory:
    """
    What recent steps have shown of the curvature.

    The average information tends to the Hessian with the amount of data only; where the random effects are far from
    their model (a mean that the fixed effects lack) it may be wrong by an order of magnitude. Then, and close to the
    optimum, the changes of the gradient over the last steps correct it (BFGS updates).

    Attributes
    ----------
    steps : list of (ndarray (m,), ndarray (m,))
        Last steps and the changes of the gradient over them.
    promised : float
        Decrease that a Newton step with the computed curvature alone promised at the last point.
    slow : bool
        Whether the last such step left most of what it promised.
    straight : ndarray (m,), optional
        The last step, where the slope along it hardly changed: no matrix can be learnt from it.
    """

    steps: list[tuple[FloatArray, FloatArray]] = field(default_factory=list)
    promised: float = np.inf
    slow: bool = False
    straight: FloatArray | None = None

    def learn(self, old: Evaluation, new: Evaluation, decrement: float) -> None:
        """Keep a step that is worth learning from."""
        moved = new.theta - old.theta
        is_straight = float(new.gradient @ moved) <= (1.0 - STRAIGHT) * float(old.gradient @ moved) < 0.0
        self.straight = moved if is_straight else None
        if not self.slow and decrement >= SHORT_STEP:
            self.steps.clear()
            return
        self.steps.append((moved, new.gradient - old.gradient))
        del self.steps[: -2 * len(new.theta)]

    def stretched(self, step: FloatArray) -> FloatArray:
        """Give a step, longer than the last one where that met no curvature and this one goes on in its direction."""
        if self.straight is None:
            return step
        length, last = float(np.sqrt(step @ step)), float(np.sqrt(self.straight @ self.straight))
        onwards = float(step @ self.straight) > ONWARDS * length * last
        return step * max(1.0, GROWTH * last / length) if onwards else step

    def correct(self, B: FloatArray, promised: float) -> FloatArray:
        """Update the computed curvature B, shape (m, m), by the steps in memory, given what B alone promises."""
        self.slow = promised > SLOW * self.promised
        self.promised = promised
        for moved, change in self.steps:
            predicted = B @ moved
            curvature, observed = float(moved @ predicted), float(moved @ change)
            if observed > LEAST_CURVATURE * curvature > 0.0:
                B = B - np.outer(predicted, predicted) / curvature + np.outer(change, change) / observed
        return B


def _newton_step(deviance: ProfiledDeviance, at: Evaluation, memory: _Memory) -> tuple[FloatArray, float]:
    """Newton step in theta, cut to a length the quadratic model may be trusted for, and the decrease it promises."""
    computed = deviance.curvature(at)
    step, decrement = _downhill(computed, at.gradient)
    corrected = memory.correct(computed, decrement)
    if corrected is not computed:
        step, decrement = _downhill(corrected, at.gradient)
    step = memory.stretched(step)
    longest = float(np.abs(step).max())
    limit = max(1.0, 2.0 * float(np.abs(at.theta).max()))
    return step * min(1.0, limit / longest) if longest > 0.0 else step, decrement


def _downhill(B: FloatArray, gradient: FloatArray) -> tuple[FloatArray, float]:
    """Minimiser of the quadratic model with curvature B, and its decrease."""
    values, vectors, _ = lapack.dsyev(B)
    floor = 1e-10 * max(float(values[-1]), 1e-10)
    step: FloatArray = -vectors @ ((vectors.T @ gradient) / np.maximum(values, floor))
    return step, max(0.0, -0.5 * float(gradient @ step))


def _search(
    deviance: ProfiledDeviance, at: Evaluation, step: FloatArray, decrement: float
) -> tuple[Evaluation | None, int]:
    """Backtrack along a Newton step until the deviance falls as promised; None where rounding errors forbid."""
    slope = float(at.gradient @ step)
    noise = _noise(deviance, at)
    share = 1.0
    used = 0
    while share > SHORTEST:
        used += 1
        try:
            new = deviance.evaluate(_land(deviance, at, at.theta + share * step))
        except ModelError:  # so far out that rounding errors swallow the residual; nearer it may be estimable
            share *= SHRINK
            continue
        if new.value <= at.value + SUFFICIENT * share * slope:
            return new, used
        if decrement <= noise:
            # The values cannot tell; the gradients can.
            return (new, used) if _newton_step(deviance, new, _Memory())[1] < decrement else (None, used)
        excess = new.value - at.value - share * slope
        share *= min(max(-0.5 * share * slope / excess, SHRINK), 0.5)
    return None, used


def _escape(deviance: ProfiledDeviance, at: Evaluation) -> _Escape:
    """Find the way out of the boundary that promises most."""
    best = _Escape(0, np.zeros(0), 0.0, 0.0, np.inf)
    for place, t in enumerate(deviance.cross.order):
        curvature, v = deviance.covariances[t].escape(at.factors[place], at.M[place])
        if curvature >= best.curvature:
            continue
        best = _Escape(t, v, 0.0, 0.0, curvature)
    if best.curvature >= 0.0 or np.isinf(best.curvature):
        return best
    place = deviance.cross.order.index(best.block)
    directions = [np.zeros((0, k, k)) for k, _ in deviance.cross.sizes]
    directions[place] = np.outer(best.v, best.v)[None]
    information = float(deviance.average_information(at, directions)[0, 0])
    length = -best.curvature / information if information > 0.0 else 1.0
    return _Escape(best.block, best.v, length, -0.5 * best.curvature * length, best.curvature)


def _leave_boundary(deviance: ProfiledDeviance, at: Evaluation, escape: _Escape) -> tuple[Evaluation | None, int]:
    """Let Sigma grow along the direction of escape until the deviance falls; None where rounding errors forbid."""
    covariance, thetas = deviance.covariances[escape.block], deviance.slices[escape.block]
    T = covariance.factor(at.theta[thetas])
    length = escape.length
    for used in range(1, 31):
        theta = at.theta.copy()
        theta[thetas] = covariance.from_root(np.column_stack([T, np.sqrt(length) * escape.v]))
        new = deviance.evaluate(theta)
        if new.value <= at.value + SUFFICIENT * length * escape.curvature:
            return new, used
        length *= 0.25
    return None, used


def _noise(deviance: ProfiledDeviance, at: Evaluation) -> float:
    """
    Size of the rounding errors of the deviance.

    rho^2 is what the eliminations leave of y'y, so its relative error grows with the share that they take away.
    """
    reduction = float(deviance.cross.A_BB[-1, -1]) / at.rho2
    return ROUNDING * max(abs(at.value), deviance.nu * reduction)
