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

import itertools
import math
from bisect import insort
from dataclasses import dataclass, field

import numpy as np

from lmm.errors import ArgumentError
from lmm.inference.profile.targets import Point, Target
from lmm.linalg import FloatArray

# A correction of t below this share of its distance from the estimate needs no further evaluation: the error of the
# interpolation that gives it is of the order of the square, and small there.
CLOSE = 1e-4
# A larger one, up to the first of these shares, needs none when one point less would change it by less than the second.
NEAR, SAFE = 0.05, 1e-7
# Share of its distance from the estimate by which the end of a search may blur a limit.
BLURRED = 1e-6
# Points that a guess goes by, and how far apart they are in zeta.
NODES, APART = 3, 0.2
# Stands in for zero in a denominator.
TINY = 1e-300
# Most fits for one limit; every so many of them halve the bracket, whatever the interpolation says.
MOST_SOLVES, PATIENCE = 60, 5
# Factor by which a step without a bracket may lengthen the distance from the estimate.
REACH = 4.0
# Distance in zeta of the points that a picture goes by, and one over which the slope is constant.
SPACING, SHORT = 0.5, 1e-3
# Excess below which a criterion counts as lower than that of the fit, and zeta as turning back.
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

    @property
    def estimate(self) -> float:
        """Where the profile has its minimum, on the user's scale; NaN where the criterion does not depend on it."""
        t = self.target.estimate
        return self.target.value(t) if np.isfinite(t) else np.nan

    def take(self, other: Curve) -> None:
        """Take over the points and limits of the same curve, found elsewhere."""
        self.points, self._limits = other.points, other._limits

    def value_at(self, limit: Limit) -> float:
        """Limit on the user's scale."""
        return self.target.value(limit.t) if np.isfinite(limit.t) else limit.t

    def held_at(self, value: float) -> Point:
        """Point with the quantity held at a value on the user's scale."""
        low, high = self.target.range
        if not low <= value <= high:
            raise ArgumentError(f"{self.target.name!r} must lie between {low:g} and {high:g}; got {value:g}")
        t = self.target.coordinate(value)
        if not np.isfinite(t):
            raise ArgumentError(
                f"{self.target.name!r} must be {'positive' if value == low else f'less than {high:g}'}; got {value:g}"
            )
        return self.at(t)

    def zeta(self, point: Point) -> float:
        """Signed root of the excess."""
        root = math.sqrt(max(point.excess, 0.0))
        return -root if point.t < self.target.estimate else root

    def at(self, t: float) -> Point:
        """Point at t, kept for later."""
        known = next((point for point in self.points if point.t == t), None)
        if known is not None:
            return known
        near = self._nearest(t)
        point = self.target.solve(t, near, self._extrapolated(t, near))
        insort(self.points, point, key=lambda p: p.t)
        return point

    def _nearest(self, t: float) -> Point:
        """Nearest point to start from: one at which an effect is left out is not on the way from the fit."""
        target = self.target
        inside = [point for point in self.points if point.theta is not None and target.lower < point.t < target.upper]
        return min(inside, key=lambda point: abs(point.t - t), default=target.origin)

    def _extrapolated(self, t: float, near: Point) -> FloatArray | None:
        """Parameters at t on the parabola through the nearest points; None where there are too few."""
        if near.theta is None:
            return None
        nodes = [p for p in self.points if p.theta is not None and len(p.theta) == len(near.theta)]
        nodes = [p for p in nodes if p.on_boundary == near.on_boundary]
        nodes = sorted(nodes, key=lambda p: abs(p.t - t))[:NODES]
        ts = np.array([p.t for p in nodes])
        if np.abs(ts - t).min() > np.ptp(ts):
            return None
        weights = [np.prod((t - np.delete(ts, i)) / (ts[i] - np.delete(ts, i))) for i in range(len(ts))]
        return np.asarray(weights @ np.array([p.theta for p in nodes]))

    def limit(self, z: float, side: int) -> Limit:
        """Root of zeta = side z, on the side -1 (below the estimate) or 1 (above)."""
        key = (z, side)
        if key not in self._limits:
            self._limits[key] = self._search(z, side)
        return self._limits[key]

    def _search(self, z: float, side: int) -> Limit:
        target = self.target
        edge = target.lower if side < 0 else target.upper
        reason = target.boundless(z)
        if reason or target.estimate == edge:
            return Limit(edge, reason)
        inner, outer = self._bracket(z, side)
        for trial in range(MOST_SOLVES):
            t = self._propose(z, side, inner, outer, bisect=trial % PATIENCE == PATIENCE - 1)
            if abs(t - target.estimate) > target.farthest:
                return Limit(side * np.inf, self._never_reached(inner))
            point = self.at(t)
            if point.excess <= z**2:
                if t == edge:
                    return Limit(edge, self._never_reached(point))
                inner = point
            else:
                outer = point
            found = self._root(side * z, inner, outer, point)
            if found is not None and self._is_blurred(found, point):
                sharp = target.solve(point.t, point, point.theta, sharp=True)
                self._put(point, sharp)
                inner, outer = self._bracket(z, side)
                found = self._root(side * z, inner, outer, sharp)
            if found is not None:
                # A minimum on the boundary may have a lower rival, and a jump shows that there is one.
                suspect = outer if found.note else point if point.on_boundary else None
                if suspect is None or self._is_confirmed(suspect):
                    return found
                inner, outer = self._bracket(z, side)
        return Limit(inner.t, f"not found within {MOST_SOLVES} fits; the value is the last one known to lie inside")

    def _root(self, zeta: float, inner: Point, outer: Point | None, last: Point) -> Limit | None:
        """Root by interpolation if it needs no further point, or the place of a jump; None where neither is at hand."""
        root = self._interpolated(zeta)
        edge = self.target.lower if zeta < 0.0 else self.target.upper
        low, high = sorted([inner.t, edge if outer is None else outer.t])
        rounding = CLOSE**2 * abs(inner.t - self.target.estimate)
        if low - rounding <= root <= high + rounding and self._is_settled(root, last, zeta):
            return Limit(min(max(root, low), high))
        if outer is not None and high - low <= CLOSE**2 * abs(outer.t - self.target.estimate):
            return Limit(outer.t, "the profile jumps there")
        return None

    def _is_settled(self, root: float, last: Point, zeta: float) -> bool:
        """Whether a root by interpolation needs no further point: close to the last, or safe with one point less."""
        close = abs(self.zeta(last) - zeta) <= APART and abs(root - last.t) <= NEAR * abs(last.t - self.target.estimate)
        if not close or math.isnan(last.slope):  # without a slope the point has no part in the interpolation
            return False
        step = self._share(root, last.t)
        nodes = self._nodes(zeta)
        if step <= CLOSE or len(nodes) < NODES:
            return step <= CLOSE
        # One point less may agree by chance, so either of the farther ones is left out in turn.
        less = [_hermite(zeta, nodes[:-1]), _hermite(zeta, nodes[::2])]
        return all(math.isfinite(t) and self._share(root, t) <= SAFE for t in less)

    def _share(self, root: float, other: float) -> float:
        """Distance of a root from another t as a share of that from the estimate, for t or for values if greater."""
        estimate, value = self.target.estimate, self.target.value
        return max(
            abs(root - other) / abs(root - estimate),
            abs(value(root) - value(other)) / max(abs(value(root) - value(estimate)), TINY),
        )

    def _is_confirmed(self, point: Point) -> bool:
        """
        Whether a search from elsewhere finds no lower minimum for a point; one that it finds takes its place.

        Elsewhere is the fit or, where that is on the boundary too, variances that are small and large.
        """
        origin = self.target.origin
        other = self.target.solve(point.t, origin, thorough=origin.on_boundary)
        if other.excess >= point.excess - LOWER:
            return True
        self._put(point, other)
        return False

    def _is_blurred(self, root: Limit, point: Point) -> bool:
        """Whether what the search for a point left undone could move a root next to it on the user's scale."""
        if point.left == 0.0 or root.note or math.isnan(point.slope):
            return False
        # The slope is uncertain by at most the root of twice what is left, times the curvature of the profile.
        slope, zeta = abs(point.slope), abs(self.zeta(point))
        blur = point.left / max(slope, point.left) + abs(root.t - point.t) * math.sqrt(point.left) / max(zeta, APART)
        return max(self._share(root.t, root.t + blur), self._share(root.t, root.t - blur)) > BLURRED

    def _put(self, point: Point, better: Point) -> None:
        """Put another point in the place of one."""
        self.points = [better if known is point else known for known in self.points]

    def _never_reached(self, point: Point) -> str:
        """Why a limit is open."""
        zeta, value = self.zeta(point), self.target.value(point.t)
        return f"the profile does not reach the cutoff: zeta is {zeta:.3f} at {value:.4g}"

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

    def _propose(self, z: float, side: int, inner: Point, outer: Point | None, *, bisect: bool) -> float:
        """Next t to try for zeta = side z: by interpolation of t in zeta, within the bracket and the range."""
        target = self.target
        # Halfway first: a better start for the root, and a look at what lies between.
        aim = z / 2.0 if inner.excess < (z / 4.0) ** 2 else z
        low = side * (inner.t - target.estimate)
        guess = side * (self._interpolated(side * aim) - target.estimate)
        if outer is None:
            reach = REACH * max(low, target.first_step)
            guess = min(guess, reach) if guess > low else low + target.first_step
        else:
            high = side * (outer.t - target.estimate)
            if bisect or not low < guess < high:
                guess = (low + high) / 2.0
        return min(max(target.estimate + side * guess, target.lower), target.upper)

    def _interpolated(self, zeta: float) -> float:
        """T at zeta on the polynomial through the nearest points with their slopes."""
        nodes = self._nodes(zeta)
        if len(nodes) > 1:
            return _hermite(zeta, nodes)
        z, t, rate = nodes[0]
        return t + (zeta - z) * (rate if math.isfinite(rate) else self._rate_at_estimate())

    def _rate_at_estimate(self) -> float:
        """Derivative of t by zeta at the estimate: from the points around it, or the rough standard error."""
        nodes = self._nodes(0.0)
        if len(nodes) == 1:
            return self.target.first_step
        return (_hermite(SHORT, nodes) - _hermite(-SHORT, nodes)) / (2.0 * SHORT)

    def _nodes(self, zeta: float) -> list[tuple[float, float, float]]:
        """Nearest points as (zeta, t, dt/dzeta or NaN), as many as a polynomial through them can be trusted for."""
        nodes: list[tuple[float, float, float]] = []
        placed = [(self.zeta(point), point) for point in self.points if math.isfinite(point.slope)]
        for z, point in sorted(placed, key=lambda pair: abs(pair[0] - zeta)):
            # Points that nearly coincide would only magnify each other's rounding errors.
            if all(abs(z - other) > APART for other, _, _ in nodes):
                nodes.append((z, point.t, 2.0 * z / point.slope if point.slope else math.nan))
        for n in range(min(NODES, len(nodes)), 1, -1):
            places = [z for z, _, _ in nodes[:n]]
            # Not farther beyond the points than they are apart.
            if max(zeta - max(places), min(places) - zeta) <= max(places) - min(places):
                return nodes[:n]
        return nodes[:1]

    def cover(self, z: float) -> None:
        """Have points no farther apart than `SPACING` in zeta, out to z on both sides or to the ends."""
        for side in (-1, 1):
            end = self.limit(z, side).t
            if np.isfinite(end) and end not in {point.t for point in self.points}:
                self.at(end)
        reached = [self.zeta(point) for point in self.points]
        low, high = max(min(reached), -z), min(max(reached), z)
        for zeta in np.linspace(low, high, int(np.ceil((high - low) / SPACING)) + 1):
            if min(abs(zeta - self.zeta(point)) for point in self.points) > SPACING / 2.0:
                self.at(float(np.clip(self._interpolated(zeta), self.target.lower, self.target.upper)))

    def path(self, z: float, n: int = 201) -> tuple[FloatArray, FloatArray]:
        """Values and their zeta, shapes (n,), along the profile between zeta = -z and z: what a picture shows."""
        from scipy.interpolate import CubicHermiteSpline, PchipInterpolator  # noqa: PLC0415 - pictures only

        self.cover(z)
        points = [point for point in self.points if abs(self.zeta(point)) <= z * (1.0 + APART)]
        ts, zetas = np.array([p.t for p in points]), np.array([self.zeta(p) for p in points])
        rates = PchipInterpolator(ts, zetas).derivative()(ts)
        for i, point in enumerate(points):
            if zetas[i] == 0.0 and 0 < i < len(points) - 1:
                rates[i] = 1.0 / self._rate_at_estimate()
            elif zetas[i] != 0.0 and np.isfinite(point.slope):
                rates[i] = point.slope / (2.0 * zetas[i])
        t = np.linspace(ts[0], ts[-1], n)
        return np.array([self.target.value(x) for x in t]), CubicHermiteSpline(ts, zetas, rates)(t)

    def irregularities(self) -> list[str]:
        """What a reader must know of the profile besides its limits, in sentences."""
        target, said = self.target, []
        lowest = min((point.excess for point in self.points), default=0.0)
        if lowest < -LOWER:
            where = min(self.points, key=lambda point: point.excess)
            said.append(
                f"the criterion is lower by {-lowest:.3g} at {target.value(where.t):.6g} than at the fit, which is "
                "not the global optimum: fit again from other starting values (start=), and profile that fit"
            )
        cutoff = max((z for z, _ in self._limits), default=np.inf)
        for one, other in itertools.pairwise(point for point in self.points if point.excess >= -LOWER):
            zetas = self.zeta(one), self.zeta(other)
            # What happens beyond the limits alone does not concern them.
            if zetas[1] < zetas[0] - BACK and min(map(abs, zetas)) <= cutoff:
                between = f"{target.value(one.t):.4g} and {target.value(other.t):.4g}"
                said.append(
                    f"the profile is not monotone: zeta goes back between {between}, so the criterion has a second "
                    "minimum; the limits are those next to the estimate as far as the points of the profile show"
                )
        unsettled = [f"{target.value(point.t):.4g}" for point in self.points if not point.converged]
        if unsettled:
            said.append(f"the optimiser did not settle at {', '.join(unsettled)}")
        return said


def _hermite(x: float, nodes: list[tuple[float, float, float]]) -> float:
    """Polynomial through nodes (place, value, derivative or NaN) at x, by divided differences."""
    places = [place for place, _, rate in nodes for _ in range(1 + math.isfinite(rate))]
    column = [value for _, value, rate in nodes for _ in range(1 + math.isfinite(rate))]
    rates = {place: rate for place, _, rate in nodes}
    total, product = column[0], 1.0
    for order in range(1, len(places)):
        gaps = [places[i + order] - places[i] for i in range(len(places) - order)]
        column = [(column[i + 1] - column[i]) / gap if gap else rates[places[i]] for i, gap in enumerate(gaps)]
        product *= x - places[order - 1]
        total += column[0] * product
    return total
