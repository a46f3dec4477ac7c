"""Residuals against fitted values, their spread, and their distribution in each group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lmm.display import label_text
from lmm.linalg import FloatArray
from lmm.models import mixed_model
from lmm.plots.choice import chosen_factor
from lmm.plots.style import BLUE, DATA, GUIDE, ORANGE, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lmm.model import FittedModel

# Share of the points that each value of a smooth line rests on, and the number of its values.
SPAN, N_SMOOTH = 2 / 3, 40
# Points beyond which a smooth line rests on averages of neighbours.
MOST_SMOOTHED = 20_000
# Groups whose labels are printed under their boxes.
MOST_LABELS = 25
LABELS = {
    "response": "Residual",
    "pearson": "Pearson residual",
    "scaled": "Scaled residual",
    "studentized": "Studentised residual",
    "marginal": "Marginal residual",
    "cholesky": "Decorrelated residual",
}


def residuals_vs_fitted(fit: FittedModel, *, kind: str = "studentized", ax: Axes | None = None) -> Axes:
    """
    Residuals against fitted values, with a smooth line: it should stay near zero.

    Parameters
    ----------
    fit : FittedModel
    kind : str
        Kind of residuals, see `FittedModel.residuals`.
    ax : Axes, optional
        Where to draw; a new figure where None.

    Returns
    -------
    Axes

    Raises
    ------
    ArgumentError
        For anything but a model with random effects, and for another kind of residuals.

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy"))
    >>> ax = lmm.plots.residuals_vs_fitted(fit)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Fitted value', 'Studentised residual')
    """
    fit = mixed_model(fit, "residuals_vs_fitted")
    y = np.asarray(fit.residuals(kind))
    x = np.asarray(fit.fittedvalues)
    ax = axes_or_new(ax)
    ax.axhline(0.0, color=GUIDE, linewidth=1.0, zorder=1)
    _points_and_smooth(ax, x, y)
    ax.set(xlabel="Fitted value", ylabel=LABELS[kind])
    return ax


def scale_location(fit: FittedModel, *, ax: Axes | None = None) -> Axes:
    """
    Square roots of the sizes of studentised residuals against fitted values: the smooth line should be level.

    Parameters
    ----------
    fit : FittedModel
    ax : Axes, optional
        Where to draw; a new figure where None.

    Returns
    -------
    Axes

    Raises
    ------
    ArgumentError
        For anything but a model with random effects.

    References
    ----------
    Cleveland, W. S. (1993). Visualizing Data. Hobart Press (spread-location plots).

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy"))
    >>> lmm.plots.scale_location(fit).get_ylabel()
    'Square root of |studentised residual|'
    """
    fit = mixed_model(fit, "scale_location")
    ax = axes_or_new(ax)
    _points_and_smooth(ax, np.asarray(fit.fittedvalues), np.sqrt(np.abs(fit.residuals("studentized").to_numpy())))
    ax.set(xlabel="Fitted value", ylabel="Square root of |studentised residual|")
    return ax


def residuals_by_group(
    fit: FittedModel, group: str | None = None, *, kind: str = "response", ax: Axes | None = None
) -> Axes:
    """
    A box of residuals for each level of a grouping factor, in the order of their medians.

    Parameters
    ----------
    fit : FittedModel
    group : str, optional
        Grouping factor; the first of the model where None.
    kind : str
        Kind of residuals, see `FittedModel.residuals`. ``"marginal"`` shows what the random effects are for.
    ax : Axes, optional
        Where to draw; a new figure where None.

    Returns
    -------
    Axes

    Raises
    ------
    ArgumentError
        For anything but a model with random effects, a grouping factor that it does not have, and another kind
        of residuals.

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy"))
    >>> lmm.plots.residuals_by_group(fit, "Subject", kind="marginal").get_xlabel()
    'Subject, by median'
    """
    fit = mixed_model(fit, "residuals_by_group")
    factor = fit.factors[chosen_factor(fit, group)]
    values = fit.residuals(kind).to_numpy()
    ends = np.cumsum(np.bincount(factor.codes, minlength=factor.n_levels))
    boxes = np.split(values[np.argsort(factor.codes, kind="stable")], ends[:-1])
    order = np.argsort([np.median(box) for box in boxes], kind="stable")
    ax = axes_or_new(ax)
    ax.axhline(0.0, color=GUIDE, linewidth=1.0, zorder=1)
    ax.boxplot(
        [boxes[j] for j in order],
        widths=0.6,
        patch_artist=True,
        boxprops={"facecolor": "white", "edgecolor": DATA},
        medianprops={"color": BLUE, "linewidth": 2.0},
        whiskerprops={"color": DATA},
        capprops={"color": DATA},
        flierprops={"marker": "o", "markersize": 3.0, "markeredgecolor": DATA},
    )
    labels = [label_text(factor.levels[int(j)]) for j in order] if factor.n_levels <= MOST_LABELS else []
    ax.set_xticks(np.arange(1, len(labels) + 1), labels, rotation=90)
    ax.set(xlabel=f"{factor.group}, by median", ylabel=LABELS[kind])
    return ax


def _points_and_smooth(ax: Axes, x: FloatArray, y: FloatArray) -> None:
    ax.scatter(x, y, s=14.0, color=BLUE, alpha=0.6, linewidths=0.0, zorder=2)
    ax.plot(*smooth(x, y), color=ORANGE, linewidth=2.0, zorder=3, label="smooth")


def smooth(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """
    Local linear regression with tricube weights on the nearest two thirds of the points.

    References
    ----------
    Cleveland, W. S. (1979). Robust locally weighted regression and smoothing scatterplots. Journal of the American
    Statistical Association 74, 829-836 (without the robustness iterations).
    """
    known = np.isfinite(x) & np.isfinite(y)
    x, y = _neighbours_averaged(x[known], y[known])
    at = np.unique(np.quantile(x, np.linspace(0.0, 1.0, N_SMOOTH)))
    n_near = max(2, int(np.ceil(SPAN * len(x))))
    values = np.empty_like(at)
    for i, centre in enumerate(at):
        distance = np.abs(x - centre)
        reach = np.partition(distance, n_near - 1)[n_near - 1]
        weight = np.clip(1.0 - (distance / reach) ** 3, 0.0, None) ** 3 if reach > 0.0 else (distance == 0.0) * 1.0
        mean_x, mean_y = np.average(x, weights=weight), np.average(y, weights=weight)
        spread = np.average((x - mean_x) ** 2, weights=weight)
        slope = np.average((x - mean_x) * (y - mean_y), weights=weight) / spread if spread > 0.0 else 0.0
        values[i] = mean_y + slope * (centre - mean_x)
    return at, values


def _neighbours_averaged(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Points in the order of x, where there are many of them averages of as many neighbours each."""
    size = -(-len(x) // MOST_SMOOTHED)
    if size <= 1:
        return x, y
    order = np.argsort(x)
    starts = np.arange(0, len(x), size)
    counts = np.diff([*starts, len(x)])
    return np.add.reduceat(x[order], starts) / counts, np.add.reduceat(y[order], starts) / counts
