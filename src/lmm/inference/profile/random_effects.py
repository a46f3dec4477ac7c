"""
Standard deviations and correlations of random effects as targets of a profile.

The term that they belong to is pinned (see `lmm.inference.profile.pinned`): its structure keeps the standard deviation,
given sigma, or the correlation at the value that is held.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from lmm.covariance import Covariance, Stacked
from lmm.deviance import Evaluation, ProfiledDeviance
from lmm.inference.parameters import VarianceParameter
from lmm.inference.profile.criteria import TiedDeviance, alike
from lmm.inference.profile.pinned import Pinned, frame_of, parts_of
from lmm.inference.profile.targets import Point, Reference, Target
from lmm.linalg import FloatArray


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

    def of(self, point: Point) -> float:
        """Standard deviation or correlation at a point of any profile."""
        return self.parameter.sdcor(point.covariances, point.sigma)

    @cached_property
    def _user_covariance(self) -> FloatArray:
        """Covariance of the pinned effects at the fit, on the user's scale."""
        effects = sorted(set(self.parameter.effects))
        reference = self.reference
        root = reference.basis.scale * reference.sigma * reference.basis.bases[self.factor]
        root = (root @ reference.factors[self.factor])[effects]
        return np.asarray(root @ root.T)

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
        return super().solve(self.lower, self.origin, thorough=True, sharp=True)

    def solve(
        self, t: float, near: Point, start: FloatArray | None = None, *, thorough: bool = False, sharp: bool = False
    ) -> Point:
        """Minimise the criterion with the standard deviation held at t."""
        return super().solve(t, near, start, thorough=thorough, sharp=sharp) if t > self.lower else self.without

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

    def solve(
        self, t: float, near: Point, start: FloatArray | None = None, *, thorough: bool = False, sharp: bool = False
    ) -> Point:
        """Minimise the criterion with the correlation held at t, which never costs more than leaving an effect out."""
        point = super().solve(t, near, start, thorough=thorough, sharp=sharp)
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
