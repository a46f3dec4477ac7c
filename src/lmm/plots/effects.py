"""Predicted random effects: with their intervals, and beside the estimates from each group alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lmm.display import label_text
from lmm.errors import ArgumentError
from lmm.linalg import FloatArray
from lmm.models import mixed_model
from lmm.plots.choice import chosen_effect, chosen_factor
from lmm.plots.style import BLUE, DATA, GUIDE, ORANGE, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lmm.model import FittedModel

# Levels whose labels are printed.
MOST_LABELS = 60
# Smallest singular value, relative to the largest, of the columns of a group that can be estimated alone.
RANK = 1e-7


def caterpillar(
    fit: FittedModel,
    group: str | None = None,
    effect: str | None = None,
    *,
    level: float = 0.95,
    ax: Axes | None = None,
) -> Axes:
    """
    Predicted random effects of the levels of a grouping factor in order of size, with their intervals.

    The intervals are normal ones from the conditional variances, given the variance parameters.

    Parameters
    ----------
    fit : FittedModel
    group, effect : str, optional
        Grouping factor and effect; the first where None.
    level : float
        Confidence level of the intervals.
    ax : Axes, optional
        Where to draw; a new figure where None.

    Returns
    -------
    Axes

    Raises
    ------
    ArgumentError
        For anything but a model with random effects, a grouping factor or an effect that it does not have, and
        a level outside (0, 1).

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy"))
    >>> lmm.plots.caterpillar(fit, "Subject", "Days").get_xlabel()
    'Subject: Days'
    """
    fit = mixed_model(fit, "caterpillar")
    t = chosen_factor(fit, group)
    factor = fit.factors[t]
    name = factor.effects[chosen_effect(fit, t, effect)]
    table = fit.random_effects_table(level)
    table = table[(table["group"] == factor.group) & (table["effect"] == name)].sort_values("estimate", kind="stable")
    place = np.arange(len(table))
    labelled = factor.n_levels <= MOST_LABELS
    ax = axes_or_new(ax, height=max(2.5, 0.18 * factor.n_levels + 1.0) if labelled else 6.0)
    if labelled:
        ax.set_yticks(place, [label_text(label) for label in table["level"]], fontsize="small")
    else:
        ax.set_yticks([])
    ax.axvline(0.0, color=GUIDE, linewidth=1.0, zorder=1)
    ax.hlines(place, table["lower"], table["upper"], color=DATA, linewidth=1.5, zorder=2)
    ax.scatter(table["estimate"], place, s=18.0, color=BLUE, linewidths=0.0, zorder=3)
    ax.set(xlabel=f"{factor.group}: {name}", ylim=(-0.8, len(table) - 0.2))
    return ax


def shrinkage(fit: FittedModel, group: str | None = None, effect: str | None = None, *, ax: Axes | None = None) -> Axes:
    """
    What each group alone says about its random effects, and the predictions to which the model shrinks it.

    The estimate of a group alone is the least-squares fit of its own rows, given the fixed effects and the predicted
    effects of other grouping factors. A group with too few rows for that is left out.

    Parameters
    ----------
    fit : FittedModel
    group : str, optional
        Grouping factor; the first where None.
    effect : str, optional
        One effect: predictions against the estimates of the groups alone, with the line where both are equal. Where
        None and the factor has several effects, arrows in the plane of the first two, from the estimate alone to the
        prediction.
    ax : Axes, optional
        Where to draw; a new figure where None.

    Returns
    -------
    Axes

    Raises
    ------
    ArgumentError
        For anything but a model with random effects, and a grouping factor or an effect that it does not have;
        where no group has rows enough for estimates of its own.

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy"))
    >>> ax = lmm.plots.shrinkage(fit)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Subject: Intercept', 'Subject: Days')
    """
    fit = mixed_model(fit, "shrinkage")
    t = chosen_factor(fit, group)
    factor, b = fit.factors[t], fit.modes[t]
    chosen = chosen_effect(fit, t, effect)
    alone = estimates_alone(fit, t)
    known = np.isfinite(alone).all(axis=1)
    if not known.any():
        raise ArgumentError(f"no level of {factor.group!r} has rows enough to estimate its {len(b[0])} effects alone")
    alone, b = alone[known], b[known]
    ax = axes_or_new(ax)
    if effect is None and b.shape[1] > 1:
        ax.quiver(
            *alone[:, :2].T,
            *(b - alone)[:, :2].T,
            angles="xy",
            scale_units="xy",
            scale=1.0,
            width=0.003,
            color=GUIDE,
            zorder=1,
        )
        ax.scatter(alone[:, 0], alone[:, 1], s=22.0, facecolors="none", edgecolors=DATA, zorder=2, label="group alone")
        ax.scatter(b[:, 0], b[:, 1], s=22.0, color=BLUE, linewidths=0.0, zorder=3, label="prediction")
        ax.scatter(0.0, 0.0, marker="+", s=120.0, color=ORANGE, linewidths=2.0, zorder=4, label="population")
        ax.set(xlabel=f"{factor.group}: {factor.effects[0]}", ylabel=f"{factor.group}: {factor.effects[1]}")
        ax.legend(frameon=False, fontsize="small")
        return ax
    ax.axline((0.0, 0.0), slope=1.0, color=GUIDE, linewidth=1.2, linestyle="--", zorder=1)
    ax.axhline(0.0, color=GUIDE, linewidth=1.0, zorder=1)
    ax.scatter(alone[:, chosen], b[:, chosen], s=22.0, color=BLUE, linewidths=0.0, zorder=2)
    name = f"{factor.group}: {factor.effects[chosen]}"
    ax.set(xlabel=f"{name}, group alone", ylabel=f"{name}, prediction")
    return ax


def estimates_alone(model: FittedModel, t: int) -> FloatArray:
    """Least-squares estimates (J, k) of the random effects of factor t from each level alone; NaN where it has none."""
    factor = model.factors[t]
    own = np.einsum("na,na->n", factor.columns, model.modes[t][factor.codes])
    rest = model.resid.to_numpy() + own
    root = model.design.root_weights
    columns, rest = root[:, None] * factor.columns, root * rest
    k = columns.shape[1]
    found = np.full((factor.n_levels, k), np.nan)
    order = np.argsort(factor.codes, kind="stable")
    for j, rows in enumerate(np.split(order, np.cumsum(np.bincount(factor.codes))[:-1])):
        solution, _, rank, _ = np.linalg.lstsq(columns[rows], rest[rows], rcond=RANK)
        if rank == k:
            found[j] = solution
    return found
