"""
What is profiled: the targets, and those that are no random effects.

A target knows the criterion in which it is held at a value, where to start, and, from the envelope theorem, the slope
of the profile. It moves along a coordinate t in which the profile is smooth and close to a straight line: the value
itself for fixed effects, logarithms for standard deviations, the angle whose sine is a correlation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.linalg import lapack

from lmm.deviance import Evaluation, ProfiledDeviance
from lmm.inference.profile.criteria import alike, with_border
from lmm.inference.profile.pinned import frame_of
from lmm.linalg import FloatArray
from lmm.optimize import Control, find_optimum, minimize
from lmm.standardize import Basis

# Promised decrease of the criterion at which even a sharp search ends.
SHARPEST = 1e-13
# Standard deviations count as infinite, or zero, when they are larger or smaller than the estimate by e to this power.
FARTHEST = 15.0


@dataclass(frozen=True)
class Reference:
    """
    The criterion that is profiled, at its unconstrained optimum.

    Attributes
    ----------
    deviance : ProfiledDeviance
    at : Evaluation
    basis : Basis
    control : Control
        When the search for a point of a profile stops.
    on_boundary : bool
        Whether a covariance matrix is singular there.
    """

    deviance: ProfiledDeviance
    at: Evaluation
    basis: Basis
    control: Control
    on_boundary: bool

    @cached_property
    def sigma(self) -> float:
        """Residual standard deviation at the optimum, in the standardised basis."""
        known = self.deviance.sigma
        return float(np.sqrt(self.at.rho2 / self.deviance.nu)) if known is None else known

    @cached_property
    def factors(self) -> list[FloatArray]:
        """Relative factors at the optimum in the order of the formula."""
        return in_formula_order(self.deviance, self.at)


@dataclass(frozen=True, eq=False)
class Point:
    """
    A point of a profile: the optimum with one quantity held.

    Attributes
    ----------
    t : float
        Coordinate of the quantity that is held.
    excess : float
        Criterion less that of the fit.
    slope : float
        Derivative of the criterion by t; NaN where it is not defined.
    factors : list of ndarray (k_t, k_t)
        Relative factors in the standardised basis, in the order of the formula.
    theta : ndarray (m,), optional
        Parameters of the criterion, comparable between neighbouring points; None where they are not.
    gamma : ndarray (p,)
        Standardised fixed effects.
    sigma : float
        Residual standard deviation on the user's scale.
    basis : Basis
    left : float
        Decrease of the criterion that one more step of the search promises; the excess takes it as made. Zero where
        the search was sharp.
    converged : bool
    on_boundary : bool
        Whether a covariance matrix is singular beyond what is held.
    """

    t: float
    excess: float
    slope: float
    factors: list[FloatArray]
    theta: FloatArray | None
    gamma: FloatArray
    sigma: float
    basis: Basis
    left: float = 0.0
    converged: bool = True
    on_boundary: bool = False

    @property
    def beta(self) -> FloatArray:
        """Fixed effects on the user's scale, shape (p,)."""
        return np.asarray(self.basis.beta_0 + self.basis.scale * (self.basis.R_inverse @ self.gamma))

    @property
    def covariances(self) -> list[FloatArray]:
        """Covariance matrices of the random effects on the user's scale, shape (k_t, k_t) each."""
        roots = [self.sigma * A @ T for A, T in zip(self.basis.bases, self.factors, strict=True)]
        return [root @ root.T for root in roots]


class Target(ABC):
    """
    A quantity that can be held.

    Attributes
    ----------
    name : str
    reference : Reference
    kind : {"fixed", "sd", "correlation", "share"}
    range : tuple of (float, float)
        Values that it can have.
    farthest : float
        Distance of t from the estimate beyond which the search for a limit gives up.
    """

    name: str
    reference: Reference
    kind: str
    range: tuple[float, float] = (-np.inf, np.inf)
    farthest: float = FARTHEST

    @property
    def lower(self) -> float:
        """Lower end of the range of t."""
        return -np.inf

    @property
    def upper(self) -> float:
        """Upper end of the range of t."""
        return np.inf

    @property
    @abstractmethod
    def estimate(self) -> float:
        """Coordinate of the unconstrained optimum."""

    @property
    @abstractmethod
    def first_step(self) -> float:
        """Rough standard error of the estimate of t."""

    @abstractmethod
    def value(self, t: float) -> float:
        """Value on the user's scale at t."""

    @abstractmethod
    def coordinate(self, value: float) -> float:
        """Coordinate t of a value on the user's scale."""

    @abstractmethod
    def criterion(self, t: float) -> ProfiledDeviance:
        """Deviance with the quantity held at t."""

    @abstractmethod
    def slope(self, t: float, deviance: ProfiledDeviance, at: Evaluation) -> float:
        """Derivative by t of the minimum, from the minimum at t."""

    @abstractmethod
    def of(self, point: Point) -> float:
        """Value on the user's scale at a point of any profile."""

    def boundless(self, z: float) -> str:  # noqa: ARG002
        """Why every value is within z, in words; empty where that is not known."""
        return ""

    def start(self, t: float, near: Point) -> FloatArray:  # noqa: ARG002
        """Parameters of the criterion at t to start from, given another point."""
        deviance = self.reference.deviance
        return np.concatenate([cov.from_root(T) for cov, T in zip(deviance.covariances, near.factors, strict=True)])

    def gamma(self, t: float, at: Evaluation) -> FloatArray:  # noqa: ARG002
        """Standardised fixed effects (p,)."""
        return at.beta

    @cached_property
    def origin(self) -> Point:
        """The unconstrained optimum as a point of the profile."""
        reference = self.reference
        point = Point(
            t=self.estimate,
            excess=0.0,
            slope=0.0,
            factors=reference.factors,
            theta=None,
            gamma=reference.at.beta,
            sigma=reference.basis.scale * reference.sigma,
            basis=reference.basis,
            on_boundary=reference.on_boundary,
        )
        if not self.lower < self.estimate < self.upper:
            return point
        return replace(point, theta=self.start(self.estimate, point))

    def solve(
        self, t: float, near: Point, start: FloatArray | None = None, *, thorough: bool = False, sharp: bool = False
    ) -> Point:
        """
        Minimise the criterion with the quantity held at t.

        Parameters
        ----------
        t : float
        near : Point
            Another point to start from.
        start : ndarray (m,), optional
            Parameters to start from instead.
        thorough : bool
            Whether to look for a lower minimum elsewhere where the one found is on the boundary.
        sharp : bool
            Whether to go on until rounding errors hide what is left.
        """
        reference, deviance = self.reference, self.criterion(t)
        left, converged, on_boundary = 0.0, True, False
        if deviance.n_theta == 0:
            at = deviance.evaluate(np.zeros(0))
        else:
            search = find_optimum if thorough else minimize
            control = replace(reference.control, tolerance=SHARPEST) if sharp else reference.control
            optimum = search(deviance, self.start(t, near) if start is None else start, control)
            at, left, converged = optimum.evaluation, optimum.decrement, optimum.converged
            on_boundary = optimum.on_boundary
        known = deviance.sigma_at(at.theta)
        return Point(
            t=t,
            # The decrease that one more step promises is as good as made.
            excess=at.value - reference.at.value - (left if converged else 0.0),
            slope=self.slope(t, deviance, at),
            factors=in_formula_order(deviance, at),
            theta=at.theta,
            gamma=self.gamma(t, at),
            sigma=reference.basis.scale * (float(np.sqrt(at.rho2 / deviance.nu)) if known is None else known),
            basis=reference.basis,
            left=0.0 if sharp else left,
            converged=converged,
            on_boundary=on_boundary,
        )


def in_formula_order(deviance: ProfiledDeviance, at: Evaluation) -> list[FloatArray]:
    """Relative factors in the order of the formula."""
    order = deviance.cross.order
    return [at.factors[order.index(i)] for i in range(len(order))]


class FixedEffect(Target):
    """
    A fixed effect, held by maximum likelihood.

    With r the row of R^-1 that belongs to it, the standardised coefficients are gamma = N g + r c / |r|^2 with N
    orthonormal and orthogonal to r, and c the value in the standardised basis: the columns [X y] become
    [X N, y - X r c / |r|^2].
    """

    kind = "fixed"
    farthest = np.inf

    def __init__(self, name: str, reference: Reference, index: int) -> None:
        self.name = name
        self.reference = reference
        self.index = index
        row = reference.basis.R_inverse[index]
        self._length = float(np.sqrt(row @ row))
        self._frame = frame_of(row[None])

    @cached_property
    def estimate(self) -> float:
        """Estimate by maximum likelihood."""
        basis = self.reference.basis
        return float(basis.beta_0[self.index] + basis.scale * (basis.R_inverse[self.index] @ self.reference.at.beta))

    @property
    def first_step(self) -> float:
        """Standard error."""
        return self.reference.basis.scale * self.reference.sigma * self._spread(self.reference.at)

    def value(self, t: float) -> float:
        """Value, t itself."""
        return t

    def coordinate(self, value: float) -> float:
        """Coordinate, the value itself."""
        return value

    def of(self, point: Point) -> float:
        """Value at a point of any profile."""
        return float(point.beta[self.index])

    def criterion(self, t: float) -> ProfiledDeviance:
        """ML deviance with the effect held at t."""
        return with_border(self.reference.deviance, self._restriction(t))

    def slope(self, t: float, deviance: ProfiledDeviance, at: Evaluation) -> float:
        """
        Derivative by t.

        With x = X r / |r| the column that is held and e the residual, rho^2 changes with its coefficient by
        -2 x' V^-1 e, and V^-1 = I - Z Lambda Omega^-1 Lambda' Z'.
        """
        residual = at.residual
        b_1, b_T = (residual @ b.reshape(len(residual), -1) for b in (at.b_1, at.b_T))
        x_1, x_T, x_B = self._column
        explained = x_1 @ b_1 + x_T @ b_T
        by_rho2 = deviance.nu / at.rho2 if deviance.sigma is None else 1.0 / deviance.sigma**2
        by_held = -2.0 * by_rho2 * (x_B @ self._restriction(t).T @ residual - explained)
        return float(by_held / (self._length * self.reference.basis.scale))

    @cached_property
    def _column(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Products of the column that is held with Z, first block and tail, and with [X y], as vectors."""
        cross, row = self.reference.deviance.cross, np.append(self._frame[0], 0.0)
        return row @ cross.A_B1.reshape(len(row), -1), row @ cross.A_BT, row @ cross.A_BB

    def _restriction(self, t: float) -> FloatArray:
        """K of the columns [X y] K' that are left when the effect is held at t, shape (p, p + 1)."""
        p = len(self._frame)
        K = np.zeros((p, p + 1))
        K[:-1, :p] = self._frame[1:]
        K[-1, :p] = -self._held(t) * self._frame[0]
        K[-1, p] = 1.0
        return K

    def gamma(self, t: float, at: Evaluation) -> FloatArray:
        """Standardised fixed effects (p,)."""
        return np.asarray(self._frame[1:].T @ at.beta + self._frame[0] * self._held(t))

    def _held(self, t: float) -> float:
        """Coefficient, in the standardised basis, of the direction r / |r|."""
        basis = self.reference.basis
        return (t - float(basis.beta_0[self.index])) / (basis.scale * self._length)

    def _spread(self, at: Evaluation) -> float:
        """Standard error of the effect relative to sigma, in units of the response's scale."""
        p = len(self._frame)
        half = lapack.dtrtrs(at.border[:p, :p], self.reference.basis.R_inverse[self.index], lower=1)[0]
        return float(np.sqrt(half @ half))


class Residual(Target):
    """The residual standard deviation; t is its logarithm."""

    kind = "sd"
    range = (0.0, np.inf)

    def __init__(self, name: str, reference: Reference) -> None:
        self.name = name
        self.reference = reference

    @cached_property
    def estimate(self) -> float:
        """Log of the estimate."""
        return self.coordinate(self.reference.basis.scale * self.reference.sigma)

    @property
    def first_step(self) -> float:
        """Standard error of log sigma from the rows that are left when every random effect takes one away."""
        cross = self.reference.deviance.cross
        q = sum(k * J for k, J in cross.sizes)
        return float(1.0 / np.sqrt(2.0 * max(cross.n - cross.p - q, cross.n / 4.0)))

    def value(self, t: float) -> float:
        """Residual standard deviation."""
        return float(np.exp(t))

    def coordinate(self, value: float) -> float:
        """Its logarithm."""
        return float(np.log(value)) if value > 0.0 else -np.inf

    def of(self, point: Point) -> float:
        """Residual standard deviation at a point of any profile."""
        return point.sigma

    def criterion(self, t: float) -> ProfiledDeviance:
        """Deviance with a known residual standard deviation."""
        return alike(self.reference.deviance, sigma=self.value(t) / self.reference.basis.scale)

    def slope(self, t: float, deviance: ProfiledDeviance, at: Evaluation) -> float:
        """Derivative by log sigma."""
        return 2.0 * (deviance.nu - at.rho2 * (self.reference.basis.scale / self.value(t)) ** 2)
