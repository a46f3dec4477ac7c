"""
The profile of one quantity: points on it, and the values at which it reaches a cutoff.

With F(t) the least criterion with the quantity held at t and F_0 that of the fit, zeta = sign(t - t_0) sqrt(F - F_0)
is close to linear in t. Roots of zeta = +-z are found by inverse interpolation with the exact slope of F, kept within a
bracket; no limit is read off a spline.

References
----------
Bates, D. M. and Watts, D. G. (1988). Nonlinear Regression Analysis and Its Applications. Wiley, section 6.1.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field

import numpy as np

from lmm.inference.profile.targets import Point, Target
from lmm.linalg import FloatArray

# A Newton correction of t below this share of its distance from the estimate needs no further evaluation: its error is
# of the order of the square.
CLOSE = 1e-5
# Share of a bracket that a new point keeps away from its ends.
MARGIN = 0.02
# Most solves for one limit, and the factor by which a step without a bracket may lengthen the distance.
MOST_SOLVES, REACH = 60, 4.0
# Distance from the estimate, in first steps, beyond which an end counts as open.
FARTHEST = 1e8
# Excess below which a criterion counts as lower than that of the fit, and zeta as a step back.
LOWER, BACK = 1e-6, 1e-4


@dataclass(frozen=True)
class Limit:
    """Where a profile reaches the cutoff, as t; the end of the range or infinity where it does not, and why."""

    t: float
    note: str = ""


@dataclass
class Curve:
    """
    Points of the profile of a target, found when they are needed and kept.

    Attributes
    ----------
    target : Target
    points : list of Point
        In order of t, the estimate among them.
    """

    target: Target
    points: list[Point] = field(default_factory=list)
    _limits: dict[tuple[float, int], Limit] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.points and np.isfinite(self.target.estimate):
            self.points.append(self.target.origin)

    def zeta(self, point: Point) -> float:
        """Signed root of the excess."""
        return float(np.sign(point.t - self.target.estimate) * np.sqrt(max(point.excess, 0.0)))

    def at(self, t: float) -> Point:
        """Point at t, kept for later."""
        known = next((point for point in self.points if point.t == t), None)
        if known is not None:
            return known
        near = min(self.points, key=lambda point: abs(point.t - t))
        point = self.target.solve(t, near, self._extrapolated(t, near))
        insort(self.points, point, key=lambda p: p.t)
        return point

    def _extrapolated(self, t: float, near: Point) -> FloatArray | None:
        """Parameters at t on the line through the nearest points; None where there are none to go by."""
        if near.theta is None:
            return None
        others = [p for p in self.points if p is not near and p.theta is not None and len(p.theta) == len(near.theta)]
        if not others:
            return None
        other = min(others, key=lambda point: abs(point.t - near.t))
        share = (t - near.t) / (near.t - other.t)
        if not -1.0 <= share <= 1.0 or other.theta is None:
            return None
        return np.asarray(near.theta + share * (near.theta - other.theta))

    def limit(self, z: float, side: int) -> Limit:
        """Root of zeta = side z, on the side -1 (below the estimate) or 1 (above)."""
        key = (z, side)
        if key not in self._limits:
            self._limits[key] = self._search(z, side)
        return self._limits[key]

    def _search(self, z: float, side: int) -> Limit:
        target = self.target
        origin = target.estimate
        edge = target.lower if side < 0 else target.upper
        if origin == edge:
            return Limit(edge)
        if np.isfinite(edge) and self.at(edge).excess <= z**2:
            return Limit(edge, "edge")
        inner, outer = self._bracket(z, side)
        for _ in range(MOST_SOLVES):
            t = self._propose(z, side, inner, outer)
            if abs(t - origin) > FARTHEST * target.first_step:
                break
            point = self.at(t)
            error = z - np.sqrt(max(point.excess, 0.0))
            rate = side * point.slope / (2.0 * np.sqrt(max(point.excess, 1e-300)))
            correction = error / rate if rate > 0.0 else np.inf
            if abs(correction) <= CLOSE * abs(t - origin):
                return Limit(t + side * correction)
            if error > 0.0:
                inner = point
            else:
                outer = point
        return Limit(side * np.inf, "open")

    def _bracket(self, z: float, side: int) -> tuple[Point, Point | None]:
        """Outermost known point before zeta first exceeds z, and the point where it does."""
        origin = self.target.estimate
        on_side = sorted((p for p in self.points if side * (p.t - origin) >= 0.0), key=lambda p: side * p.t)
        inner = on_side[0]
        for point in on_side:
            if point.excess > z**2:
                return inner, point
            inner = point
        return inner, None

    def _propose(self, z: float, side: int, inner: Point, outer: Point | None) -> float:
        """Next t to try: by inverse interpolation of t in zeta, within the bracket."""
        origin, step = self.target.estimate, self.target.first_step
        distances, zetas, rates = [], [], []
        for point in (inner, outer):
            if point is None:
                continue
            d, zeta = side * (point.t - origin), float(np.sqrt(max(point.excess, 0.0)))
            distances.append(d)
            zetas.append(zeta)
            rates.append(step if d == 0.0 else 2.0 * zeta / (side * point.slope) if point.slope else np.nan)
        d, rate = distances[0], rates[0]
        if not (np.isfinite(rate) and rate > 0.0):
            rate = max(d, step)
        newton = d + (z - zetas[0]) * rate
        if outer is None:
            return origin + side * min(newton, REACH * max(d, step))
        low, high = distances
        guess = newton
        if np.isfinite(rates[1]) and rates[1] > 0.0:
            guess = _hermite(z, zetas, distances, [rate, rates[1]])
        margin = MARGIN * (high - low)
        if not low + margin <= guess <= high - margin:
            guess = low + (high - low) * (z - zetas[0]) / (zetas[1] - zetas[0])
        return origin + side * float(np.clip(guess, low + margin, high - margin))


def _hermite(z: float, zetas: list[float], values: list[float], rates: list[float]) -> float:
    """Cubic through two points with their derivatives, at z."""
    h = zetas[1] - zetas[0]
    s = (z - zetas[0]) / h
    left, right = values[0], values[1]
    return float(
        left * (1.0 + 2.0 * s) * (1.0 - s) ** 2
        + right * s**2 * (3.0 - 2.0 * s)
        + h * s * (1.0 - s) * (rates[0] * (1.0 - s) - rates[1] * s)
    )
