"""
What is profiled: fixed effects, standard deviations and correlations.

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

from lmm.covariance import Covariance, Stacked
from lmm.deviance import Evaluation, ProfiledDeviance
from lmm.inference.parameters import VarianceParameter
from lmm.inference.profile.criteria import TiedDeviance, alike, with_border
from lmm.inference.profile.pinned import Pinned, frame_of, parts_of
from lmm.linalg import FloatArray
from lmm.optimize import Control, find_optimum, minimize
from lmm.standardize import Basis

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
    beta, covariances, sigma
        Fixed effects (p,), covariance matrices (k_t, k_t) and residual standard deviation on the user's scale.
    converged : bool
    on_boundary : bool
        Whether a covariance matrix is singular beyond what is held.
    """

    t: float
    excess: float
    slope: float
    factors: list[FloatArray]
    theta: FloatArray | None
    beta: FloatArray
    covariances: list[FloatArray]
    sigma: float
    converged: bool = True
    on_boundary: bool = False


class Target(ABC):
    """
    A quantity that can be held.

    Attributes
    ----------
    name : str
    reference : Reference
    kind : {"fixed", "sd", "correlation"}
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
        deviance, at = self.reference.deviance, self.reference.at
        point = replace(self._point(self.estimate, deviance, at, at.beta), on_boundary=self.reference.on_boundary)
        if not self.lower < self.estimate < self.upper:
            return point
        return replace(point, theta=self.start(self.estimate, point))

    def solve(self, t: float, near: Point, start: FloatArray | None = None, *, thorough: bool = False) -> Point:
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
        """
        deviance = self.criterion(t)
        if deviance.n_theta == 0:
            at, left, converged, on_boundary = deviance.evaluate(np.zeros(0)), 0.0, True, False
        else:
            search = find_optimum if thorough else minimize
            optimum = search(deviance, self.start(t, near) if start is None else start, self.reference.control)
            at, left, converged = optimum.evaluation, optimum.decrement, optimum.converged
            on_boundary = optimum.on_boundary
        point = self._point(t, deviance, at, self.gamma(t, at))
        return replace(
            point,
            # The decrease that one more step promises is as good as taken.
            excess=point.excess - (left if converged else 0.0),
            slope=self.slope(t, deviance, at),
            theta=at.theta,
            converged=converged,
            on_boundary=on_boundary,
        )

    def _point(self, t: float, deviance: ProfiledDeviance, at: Evaluation, gamma: FloatArray) -> Point:
        """State at t, without what belongs to the way there."""
        basis, cross = self.reference.basis, deviance.cross
        known = deviance.sigma_at(at.theta)
        sigma = basis.scale * (float(np.sqrt(at.rho2 / deviance.nu)) if known is None else known)
        factors = [at.factors[cross.order.index(i)] for i in range(len(cross.order))]
        roots = [sigma * A @ T for A, T in zip(basis.bases, factors, strict=True)]
        return Point(
            t=t,
            excess=at.value - self.reference.at.value,
            slope=0.0,
            factors=factors,
            theta=None,
            beta=basis.beta_0 + basis.scale * (basis.R_inverse @ gamma),
            covariances=[root @ root.T for root in roots],
            sigma=sigma,
        )


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

    def criterion(self, t: float) -> ProfiledDeviance:
        """ML deviance with the effect held at t."""
        return with_border(self.reference.deviance, self._restriction(t))

    def slope(self, t: float, deviance: ProfiledDeviance, at: Evaluation) -> float:
        """
        Derivative by t.

        With x = X r / |r| the column that is held and e the residual, rho^2 changes with its coefficient by
        -2 x' V^-1 e, and V^-1 = I - Z Lambda Omega^-1 Lambda' Z'.
        """
        residual = np.append(-at.beta, 1.0)
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

    def criterion(self, t: float) -> ProfiledDeviance:
        """Deviance with a known residual standard deviation."""
        return alike(self.reference.deviance, sigma=self.value(t) / self.reference.basis.scale)

    def slope(self, t: float, deviance: ProfiledDeviance, at: Evaluation) -> float:
        """Derivative by log sigma."""
        return 2.0 * (deviance.nu - at.rho2 * (self.reference.basis.scale / self.value(t)) ** 2)


class _RandomEffects(Target):
    """What targets among the random effects of one term share: its place, and criteria with the term pinned."""

    def __init__(self, parameter: VarianceParameter, reference: Reference) -> None:
        assert parameter.factor is not None  # noqa: S101 - the residual is a target of its own
        self.name = parameter.name
        self.parameter = parameter
        self.reference = reference
        self.factor = parameter.factor
        parts = parts_of(reference.deviance.covariances[self.factor])
        ends = np.cumsum([part.size for part in parts])
        self._number = int(np.searchsorted(ends, parameter.effects[0], side="right"))
        self._parts = parts
        self._effects = slice(int(ends[self._number]) - parts[self._number].size, int(ends[self._number]))
        effects = sorted(set(parameter.effects))
        directions = reference.basis.bases[self.factor][effects, self._effects]
        self._lengths = np.sqrt((directions**2).sum(axis=1))
        self._frame = frame_of(directions)
        cross = reference.deviance.cross
        self._n_levels = cross.sizes[cross.order.index(self.factor)][1]

    @cached_property
    def _user_covariance(self) -> FloatArray:
        """Covariance of the pinned effects at the fit, on the user's scale."""
        effects = sorted(set(self.parameter.effects))
        return self.origin_covariances[self.factor][np.ix_(effects, effects)]

    @cached_property
    def origin_covariances(self) -> list[FloatArray]:
        """Covariance matrices at the fit on the user's scale."""
        reference = self.reference
        covariances = []
        for i, A in enumerate(reference.basis.bases):
            T = reference.at.factors[reference.deviance.cross.order.index(i)]
            root = reference.basis.scale * reference.sigma * A @ T
            covariances.append(root @ root.T)
        return covariances

    @cached_property
    def _noise(self) -> FloatArray:
        """Sampling variance of the pinned effects of one level if it had been fitted by itself, roughly, shape (l,)."""
        scale = self.reference.basis.scale * self.reference.sigma * self._lengths
        return np.asarray(scale**2 * self._n_levels / self.reference.deviance.cross.n)

    def _covariances(self, pinned: Pinned) -> list[Covariance]:
        """Structures of all factors with this term pinned."""
        parts: list[Covariance] = list(self._parts)
        parts[self._number] = pinned
        covariances = list(self.reference.deviance.covariances)
        covariances[self.factor] = pinned if len(parts) == 1 else Stacked(tuple(parts))
        return covariances

    def _index(self, covariances: list[Covariance]) -> int:
        """Place of the term's first parameter in theta."""
        own = covariances[self.factor]
        before = own.slices[self._number][1].start if isinstance(own, Stacked) else 0
        return sum(cov.n_theta for cov in covariances[: self.factor]) + int(before)

    def _slope_along(self, direction: FloatArray, deviance: ProfiledDeviance, at: Evaluation) -> float:
        """Derivative of the deviance along a change of the first rows of W, shape (l, r)."""
        place = deviance.cross.order.index(self.factor)
        dT = 2.0 * (at.M[place] @ at.factors[place])[self._effects, self._effects]
        rows, columns = direction.shape
        return float(np.sum(np.linalg.solve(self._frame.T, dT)[:rows, :columns] * direction))

    def _from_factors(self, covariances: list[Covariance], factors: list[FloatArray]) -> FloatArray:
        """Parameters nearest to given relative factors."""
        return np.concatenate([cov.from_root(T) for cov, T in zip(covariances, factors, strict=True)])


class StandardDeviation(_RandomEffects):
    """
    The standard deviation v of a random effect; t = log(v^2 + c) / 2.

    With c the sampling variance of the effect of one level, v^2 + c is what the data show directly: in a balanced
    one-way layout the mean square between levels. So t is as good for small v, where the criterion depends on v^2, as
    log v is for large.
    """

    kind = "sd"
    range = (0.0, np.inf)

    @cached_property
    def lower(self) -> float:
        """Coordinate of a standard deviation of zero."""
        return self.coordinate(0.0)

    @cached_property
    def estimate(self) -> float:
        """Coordinate of the standard deviation at the fit."""
        return self.coordinate(float(np.sqrt(self._user_covariance[0, 0])))

    @property
    def first_step(self) -> float:
        """Standard error of t in a balanced one-way layout with as many levels and rows."""
        return float(1.0 / np.sqrt(2.0 * self._n_levels))

    def value(self, t: float) -> float:
        """Standard deviation."""
        return float(np.sqrt(max(np.exp(2.0 * t) - self._noise[0], 0.0))) if t > self.lower else 0.0

    def coordinate(self, value: float) -> float:
        """Half the log of the variance plus its noise."""
        return float(0.5 * np.log(value**2 + self._noise[0]))

    @cached_property
    def without(self) -> Point:
        """The fit without the effect."""
        return super().solve(self.lower, self.origin, thorough=True)

    def solve(self, t: float, near: Point, start: FloatArray | None = None, *, thorough: bool = False) -> Point:
        """Minimise the criterion with the standard deviation held at t."""
        return super().solve(t, near, start, thorough=thorough) if t > self.lower else self.without

    def criterion(self, t: float) -> ProfiledDeviance:
        """Deviance with the standard deviation held; at zero the effect is left out."""
        deviance, v = self.reference.deviance, self.value(t)
        covariances = self._structures(v)
        if v == 0.0 or deviance.sigma is not None:
            return alike(deviance, covariances=covariances, sigma=deviance.sigma)
        product = v / float(self.reference.basis.scale * self._lengths[0])
        return TiedDeviance(deviance, covariances, index=self._index(covariances), product=product)

    def _structures(self, v: float) -> list[Covariance]:
        """Structures of all factors with the standard deviation held, by sigma where that is estimated."""
        sigma = self.reference.deviance.sigma
        if v == 0.0:
            return self._covariances(Pinned(self._frame, np.zeros((1, 0))))
        if sigma is None:
            return self._tied
        return self._covariances(Pinned(self._frame, np.ones((1, 1)), tau=self._tau(v, sigma)))

    @cached_property
    def _tied(self) -> list[Covariance]:
        """Structures of all factors with the effect first, the same for every value."""
        return self._covariances(Pinned(self._frame, np.ones((1, 1))))

    def _tau(self, v: float, sigma: float) -> FloatArray:
        """Relative standard deviation in the frame."""
        return np.asarray(v / (self.reference.basis.scale * sigma * self._lengths))

    def slope(self, t: float, deviance: ProfiledDeviance, at: Evaluation) -> float:
        """Derivative by t; at zero that by the variance, where the effect has no others to correlate with."""
        v = self.value(t)
        sigma = deviance.sigma_at(at.theta)
        if v == 0.0:
            if len(self._frame) > 1:
                return np.nan
            sigma = float(np.sqrt(at.rho2 / deviance.nu)) if sigma is None else sigma
            M = at.M[deviance.cross.order.index(self.factor)][self._effects, self._effects]
            return float(2.0 * self._noise[0] * M[0, 0] * self._tau(1.0, sigma)[0] ** 2)
        assert sigma is not None  # noqa: S101 - known, or tied to theta
        if isinstance(deviance, TiedDeviance):
            by_log = 2.0 * (deviance.nu - at.rho2 / sigma**2)
        else:
            by_log = self._slope_along(self._tau(v, sigma)[:, None], deviance, at)
        return by_log * (1.0 + float(self._noise[0]) / v**2)

    def start(self, t: float, near: Point) -> FloatArray:
        """The other point, with the effect stretched to its new standard deviation."""
        v, old = self.value(t), self.value(near.t)
        factors = list(near.factors)
        own = factors[self.factor]
        if old > 0.0:
            stretch = self._frame.copy()
            stretch[0] *= v / old
            own = own.copy()
            own[self._effects] = np.linalg.solve(self._frame, stretch) @ own[self._effects]
        elif v > 0.0:
            column = np.zeros(len(own))
            column[self._effects] = self._frame[0] * self._tau(v, near.sigma / self.reference.basis.scale)
            own = np.column_stack([own, column])
        factors[self.factor] = own
        return self._from_factors(self._structures(v), factors)


class Correlation(_RandomEffects):
    """
    The correlation of two random effects of a term; t is the angle whose sine it is.

    Any correlation goes with a standard deviation of zero, so no profile rises above the fit without one of the two.

    Parameters
    ----------
    parameter : VarianceParameter
    reference : Reference
    deviations : tuple of StandardDeviation
        Of the two effects.
    """

    kind = "correlation"
    range = (-1.0, 1.0)

    def __init__(
        self,
        parameter: VarianceParameter,
        reference: Reference,
        deviations: tuple[StandardDeviation, StandardDeviation],
    ) -> None:
        super().__init__(parameter, reference)
        self.deviations = deviations

    @property
    def lower(self) -> float:
        """Angle of a correlation of -1."""
        return -np.pi / 2.0

    @property
    def upper(self) -> float:
        """Angle of a correlation of 1."""
        return np.pi / 2.0

    @cached_property
    def dispensable(self) -> StandardDeviation:
        """The one of the two effects that the criterion misses less."""
        return min(self.deviations, key=lambda deviation: deviation.without.excess)

    def boundless(self, z: float) -> str:
        """Whether the fit without one of the effects is within z."""
        without = self.dispensable.without
        if without.excess > z**2:
            return ""
        zeta = np.sqrt(max(without.excess, 0.0))
        return f"the fit without {self.dispensable.name} (zeta {zeta:.3f}) is within the cutoff, with any correlation"

    def solve(self, t: float, near: Point, start: FloatArray | None = None, *, thorough: bool = False) -> Point:
        """Minimise the criterion with the correlation held at t, which never costs more than leaving an effect out."""
        point = super().solve(t, near, start, thorough=thorough)
        without = self.dispensable.without
        return point if point.excess < without.excess else replace(without, t=t, theta=None)

    @cached_property
    def estimate(self) -> float:
        """Angle at the fit; NaN where a variance is zero."""
        cov = self._user_covariance
        scale = float(np.sqrt(cov[0, 0] * cov[1, 1]))
        return self.coordinate(float(np.clip(cov[0, 1] / scale, -1.0, 1.0))) if scale > 0.0 else np.nan

    @property
    def first_step(self) -> float:
        """Standard error of a correlation of estimates with sampling noise, at most a quarter of the range."""
        inflation = 1.0 + self._noise / np.maximum(np.diagonal(self._user_covariance), self._noise / 10.0)
        return float(min(np.sqrt(np.prod(inflation) / self._n_levels), np.pi / 4.0))

    def value(self, t: float) -> float:
        """Correlation."""
        return float(np.sin(t))

    def coordinate(self, value: float) -> float:
        """Angle."""
        return float(np.arcsin(value))

    def _pinned(self, t: float) -> Pinned:
        if abs(t) == self.upper:
            return Pinned(self._frame, np.array([[1.0], [np.sign(t)]]))
        return Pinned(self._frame, np.array([[1.0, 0.0], [np.sin(t), np.cos(t)]]))

    def criterion(self, t: float) -> ProfiledDeviance:
        """Deviance with the correlation held."""
        deviance = self.reference.deviance
        return alike(deviance, covariances=self._covariances(self._pinned(t)), sigma=deviance.sigma)

    def slope(self, t: float, deviance: ProfiledDeviance, at: Evaluation) -> float:
        """Derivative by the angle."""
        if abs(t) == self.upper:
            return np.nan
        tau = at.theta[self._index(list(deviance.covariances)) + 1]
        direction = tau * np.array([[0.0, 0.0], [np.cos(t), -np.sin(t)]])
        return self._slope_along(direction, deviance, at)

    def start(self, t: float, near: Point) -> FloatArray:
        """The other point's standard deviations, with the new correlation."""
        return self._from_factors(self._covariances(self._pinned(t)), near.factors)
