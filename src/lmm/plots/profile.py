"""
Pictures of profiles: zeta, densities, and pairs of parameters.

References
----------
Bates, D. M. and Watts, D. G. (1988). Nonlinear Regression Analysis and Its Applications. Wiley, section 6.1.2 and
appendix A6 for the contours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lmm.arguments import one_of
from lmm.errors import ArgumentError
from lmm.inference.profile.curve import Curve
from lmm.inference.profile.result import ProfileResult, cutoff
from lmm.linalg import FloatArray
from lmm.plots.style import BLUE, DATA, GUIDE, ORANGE, axes_or_panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# How far beyond the limits a profile is drawn, and how far out in zeta a density.
BEYOND, TAIL = 1.15, 3.0
# Joint confidence levels of the contours.
CONTOURS = (0.5, 0.8, 0.95)
# Width and height of a panel.
INCHES = 2.6


def plot_profile(result: ProfileResult, kind: str, ax: Axes | Sequence[Axes] | None) -> NDArray[Any]:
    """
    Draw profiles.

    Parameters
    ----------
    result : ProfileResult
    kind : {"zeta", "density", "pairs"}
    ax : Axes or array of Axes, optional

    Returns
    -------
    ndarray of Axes
    """
    panels: dict[str, Callable[[Axes, ProfileResult, Curve], None]] = {"zeta": _zeta, "density": _density}
    if one_of("kind", kind, (*panels, "pairs")) == "pairs":
        return _pairs(result, ax)
    curves = _drawable(result)
    axes = axes_or_panels(ax, len(curves), per_row=3, size=(INCHES, INCHES))
    for panel, curve in zip(axes, curves, strict=True):
        panels[kind](panel, result, curve)
        panel.set_xlabel(curve.target.name)
    return axes


def _drawable(result: ProfileResult) -> list[Curve]:
    """Profiles with an estimate; a correlation of an effect without variance has none."""
    curves = [curve for curve in result.curves if np.isfinite(curve.estimate)]
    if not curves:
        raise ArgumentError("there is nothing to draw: the criterion does not depend on the parameters profiled")
    return curves


def _zeta(ax: Axes, result: ProfileResult, curve: Curve) -> None:
    """One profile: zeta against the value, with the limits."""
    z = cutoff(result.level)
    values, zetas = curve.path(BEYOND * z)
    ax.axhline(0.0, color=GUIDE, linewidth=0.8)
    for side in (-1, 1):
        limit = curve.limit(z, side)
        if limit.note or not np.isfinite(limit.t):
            continue
        value = curve.value_at(limit)
        ax.plot([value, value], [0.0, side * z], color=ORANGE, linewidth=1.0)
        ax.plot([value, curve.estimate], [side * z, side * z], color=ORANGE, linewidth=1.0, linestyle=":")
    ax.plot(values, zetas, color=BLUE)
    ax.set_ylabel(r"$\zeta$")


def _density(ax: Axes, result: ProfileResult, curve: Curve) -> None:
    """Density of a parameter for which zeta is standard normal."""
    values, zetas = curve.path(max(TAIL, cutoff(result.level)))
    inside = np.append(True, np.diff(values) > 0.0)
    values, zetas = values[inside], zetas[inside]
    density = np.exp(-0.5 * zetas**2) / np.sqrt(2.0 * np.pi) * np.gradient(zetas, values)
    ax.plot(values, density, color=BLUE)
    ax.axvline(curve.estimate, color=GUIDE, linewidth=0.8)
    ax.set_ylim(bottom=0.0)
    ax.set_ylabel("density")


def _pairs(result: ProfileResult, ax: Axes | Sequence[Axes] | None) -> NDArray[Any]:
    """Contours of the likelihood: below the diagonal on the scale of the parameters, above it on that of zeta."""
    curves = _drawable(result)
    kinds = {curve.target.kind == "fixed" for curve in curves}
    if len(curves) < 2:  # noqa: PLR2004
        raise ArgumentError("pairs need the profiles of two parameters or more")
    if result.reml and len(kinds) > 1:
        raise ArgumentError(
            "pairs of a fixed effect and a variance parameter need one criterion for both, and this profile of a REML "
            'fit has two: use fit.profile(criterion="ml").plot("pairs")'
        )
    n = len(curves)
    axes = axes_or_panels(ax, n * n, per_row=n, size=(INCHES, INCHES)).reshape(n, n)
    z = _radius(CONTOURS[-1])
    paths = [curve.path(z) for curve in curves]
    for i in range(n):
        for j in range(n):
            panel = axes[i, j]
            if i == j:
                panel.text(0.5, 0.5, curves[i].target.name, ha="center", va="center", transform=panel.transAxes)
                panel.set_axis_off()
            else:
                _pair(panel, (curves[j], curves[i]), (paths[j], paths[i]), on_zeta=i < j)
    return axes


def _radius(level: float) -> float:
    """Length of (zeta_1, zeta_2) on the contour of a joint confidence level: chi-square with two degrees of freedom."""
    return float(np.sqrt(-2.0 * np.log1p(-level)))


def _pair(
    ax: Axes,
    curves: tuple[Curve, Curve],
    paths: tuple[tuple[FloatArray, FloatArray], tuple[FloatArray, FloatArray]],
    *,
    on_zeta: bool,
) -> None:
    """Contours and profile traces of one pair: the first across, the second up."""
    traces = (_trace(curves[0], curves[1], paths[1]), _trace(curves[1], curves[0], paths[0]))

    def placed(which: int, zetas: FloatArray) -> FloatArray:
        values, path = paths[which]
        return zetas if on_zeta else np.interp(zetas, path, values)

    ax.plot(placed(0, traces[0][0]), placed(1, traces[0][1]), color=DATA, linewidth=0.8)
    ax.plot(placed(0, traces[1][1]), placed(1, traces[1][0]), color=DATA, linewidth=0.8)
    reach = min(min(abs(path[0]), path[-1]) for _, path in paths)
    for level in CONTOURS:
        # Rounding of the limits must not cost the outermost contour.
        if _radius(level) <= reach * (1.0 + 1e-6):
            across, up = _contour(_radius(level), traces)
            ax.plot(placed(0, across), placed(1, up), color=BLUE, linewidth=1.0)
    ax.tick_params(labelsize="x-small")


def _trace(held: Curve, other: Curve, path: tuple[FloatArray, FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Zeta of a parameter that is held, and zeta of the other one's optimum there."""
    values = np.array([other.target.of(point) for point in held.points])
    zetas = np.array([held.zeta(point) for point in held.points])
    shown = np.isfinite(values) & (np.abs(zetas) <= _radius(CONTOURS[-1]) * (1.0 + 1e-6))
    return zetas[shown], np.interp(values[shown], *path)


def _contour(
    radius: float, traces: tuple[tuple[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]
) -> tuple[FloatArray, FloatArray]:
    """
    Contour in the plane of zeta.

    With zeta_1 = r cos(a + d / 2) and zeta_2 = r cos(a - d / 2), the four points where the contour meets the traces,
    and so touches its bounding square, give d at four angles a; a periodic spline gives the rest.
    """
    from scipy.interpolate import CubicSpline  # noqa: PLC0415 - pictures only

    def phase(which: int, sign: float) -> float:
        held, other = traces[which]
        return float(np.arccos(np.clip(sign * np.interp(sign * radius, held, other) / radius, -1.0, 1.0)))

    phases = np.array([phase(1, -1.0), phase(0, 1.0), phase(1, 1.0), phase(0, -1.0)])
    angles = np.array([-np.pi, 0.0, 0.0, np.pi]) + np.array([1.0, -1.0, 1.0, -1.0]) * phases / 2.0
    spline = CubicSpline(np.append(angles, angles[0] + 2.0 * np.pi), np.append(phases, phases[0]), bc_type="periodic")
    a = np.linspace(-np.pi, np.pi, 201)
    d = spline(a)
    return radius * np.cos(a + d / 2.0), radius * np.cos(a - d / 2.0)
