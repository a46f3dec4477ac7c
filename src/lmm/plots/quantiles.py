"""Normal quantile plots with bands simulated from the fitted model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from lmm.arguments import Seed, at_least, confidence_level, random_generator
from lmm.diagnostics.simulated import Standardized, observed, simulated
from lmm.errors import ArgumentError
from lmm.linalg import FloatArray, IntArray
from lmm.models import mixed_model
from lmm.plots.choice import chosen_effect, chosen_factor
from lmm.plots.style import BLUE, GUIDE, VERMILION, axes_or_new, new_panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lmm.model import FittedModel

# Simulated responses; as few as 39, whose extremes hold a further value with a probability of 95 %, where more would be
# beyond these many numbers, for then the band is narrow anyway. Their seed: the same picture each time, unless the user
# wants another. The level of the band.
N_SIM, FEWEST_SIM, MOST_NUMBERS, SEED, LEVEL = 200, 39, 10_000_000, 1, 0.95
# Points of a picture beyond which those in the middle, where they cover each other, are thinned out; and how many are
# kept at either end.
MOST_POINTS, ENDS = 5000, 500
BAND = "#DDDDDD"


def qq_residuals(
    fit: FittedModel, *, n_sim: int | None = None, level: float = LEVEL, rng: Seed = SEED, ax: Axes | None = None
) -> Axes:
    """
    Normal quantiles of studentised residuals, with a band in which each point lies where the model holds.

    The band comes from responses simulated from the fitted model and fitted at the same variance ratios, so that it
    knows how shrinkage and estimation bend the residuals. It holds point by point, not for all points together.

    Parameters
    ----------
    fit : FittedModel
    n_sim : int, optional
        Number of simulated responses; 0 for no band. By default 200; fewer, but no less than 39, beyond 50,000 rows.
    level : float
        Share of the simulated values within the band, at each point.
    rng : int or Generator, optional
        Seed.
    ax : Axes, optional
        Where to draw; a new figure where None.

    Returns
    -------
    Axes

    Raises
    ------
    ArgumentError
        For anything but a model with random effects, and for an argument of the wrong kind.

    References
    ----------
    Atkinson, A. C. (1981). Two graphical displays for outlying and influential observations in regression. Biometrika
    68, 13-20 (simulated envelopes).

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy"))
    >>> lmm.plots.qq_residuals(fit).get_ylabel()
    'Studentised residual'
    """
    fit = mixed_model(fit, "qq_residuals")
    generator, count, level = _check(fit, n_sim, level, rng)
    draws = simulated(fit, count, generator) if count else None
    ax = axes_or_new(ax)
    draw_residuals(ax, observed(fit), draws, level)
    return ax


def qq_random_effects(
    fit: FittedModel,
    group: str | None = None,
    effect: str | None = None,
    *,
    n_sim: int | None = None,
    level: float = LEVEL,
    rng: Seed = SEED,
    ax: Axes | None = None,
) -> Axes | NDArray[Any]:
    """
    Normal quantiles of the predicted random effects, one panel per effect, with bands as in `qq_residuals`.

    Each prediction is divided by its own standard deviation under the model, which is less than that of the effect
    itself, and less for levels with few rows: predictions are shrunk. Shrinkage also pulls them towards a normal shape,
    so a straight line is weak evidence.

    Parameters
    ----------
    fit : FittedModel
    group, effect : str, optional
        Grouping factor, and one of its effects: all effects of the factor where None, all effects of all factors where
        neither is given.
    n_sim, level, rng
        As for `qq_residuals`.
    ax : Axes, optional
        Where to draw a single effect; a new figure where None.

    Returns
    -------
    Axes, or ndarray of Axes where there are several effects

    Raises
    ------
    ArgumentError
        For anything but a model with random effects, a grouping factor or an effect that it does not have, and
        axes for more than one effect.

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy"))
    >>> axes = lmm.plots.qq_random_effects(fit)
    >>> [ax.get_title() for ax in axes]
    ['Subject: Intercept', 'Subject: Days']
    """
    fit = mixed_model(fit, "qq_random_effects")
    generator, count, level = _check(fit, n_sim, level, rng)
    chosen = _effects(fit, group, effect)
    if ax is not None and len(chosen) > 1:
        raise ArgumentError(f"ax holds one effect; choose one with group= and effect=, among {_listed(fit)}")
    values = observed(fit)
    draws = simulated(fit, count, generator) if count else None
    panels = [axes_or_new(ax)] if len(chosen) == 1 else new_panels(len(chosen))
    for panel, (t, a) in zip(panels, chosen, strict=True):
        factor = fit.factors[t]
        draw_effect(panel, values, draws, level, (t, a))
        panel.set_title(f"{factor.group}: {factor.effects[a]}")
    panels[0].set_ylabel("Standardised prediction")
    return panels[0] if len(chosen) == 1 else np.asarray(panels)


def draw_residuals(ax: Axes, values: Standardized, draws: Standardized | None, level: float) -> None:
    """Quantiles of studentised residuals, with a band where there are draws."""
    _draw(ax, values.residuals[0], None if draws is None else draws.residuals, level)
    ax.set(xlabel="Normal quantile", ylabel="Studentised residual")


def draw_effect(
    ax: Axes, values: Standardized, draws: Standardized | None, level: float, which: tuple[int, int]
) -> None:
    """Quantiles of one random effect, given by the number of its grouping factor and its position there."""
    t, a = which
    own = values.modes[t][0, :, a]
    if np.isfinite(own).any():
        _draw(ax, own, None if draws is None else draws.modes[t][:, :, a], level)
    else:
        ax.text(0.5, 0.5, "does not vary", ha="center", va="center", transform=ax.transAxes)
    ax.set_xlabel("Normal quantile")


def default_count(model: FittedModel) -> int:
    """Number of simulated responses where the user gives none."""
    return int(np.clip(MOST_NUMBERS // model.nobs, FEWEST_SIM, N_SIM))


def _check(model: FittedModel, n_sim: object, level: object, rng: object) -> tuple[np.random.Generator, int, float]:
    count = default_count(model) if n_sim is None else at_least(0, "n_sim", n_sim, of="simulated responses")
    return random_generator(rng), count, confidence_level(level)


def _effects(model: FittedModel, group: str | None, effect: str | None) -> list[tuple[int, int]]:
    """Grouping factor and position of each effect that is drawn."""
    if effect is not None:
        t = chosen_factor(model, group)
        return [(t, chosen_effect(model, t, effect))]
    factors = range(len(model.factors)) if group is None else [chosen_factor(model, group)]
    return [(t, a) for t in factors for a in range(len(model.factors[t].effects))]


def _listed(model: FittedModel) -> list[tuple[str, str]]:
    return [(factor.group, effect) for factor in model.factors for effect in factor.effects]


def _draw(ax: Axes, values: FloatArray, draws: FloatArray | None, level: float) -> None:
    """Points, the line of a normal with standard deviation 1, and the band; NaN are left out."""
    known = np.isfinite(values)
    n = int(known.sum())
    shown = _shown(n)
    ordered = np.sort(values[known])[shown]
    normal = ndtri((shown + 0.5) / n)
    outside = np.zeros(len(shown), dtype=bool)
    if draws is not None:
        tail = (1.0 - level) / 2.0
        in_order = np.array([np.sort(draw[known])[shown] for draw in draws])
        # Weibull's positions: a further value lies within the limits with a probability of the level itself.
        lower, upper = np.quantile(in_order, [tail, 1.0 - tail], axis=0, method="weibull")
        ax.fill_between(normal, lower, upper, color=BAND, linewidth=0.0, zorder=1, label=f"{level:.0%} of simulations")
        outside = (ordered < lower) | (ordered > upper)
    ax.axline((0.0, 0.0), slope=1.0, color=GUIDE, linewidth=1.0, zorder=2)
    ax.scatter(normal[~outside], ordered[~outside], s=14.0, color=BLUE, linewidths=0.0, zorder=3, label="inside")
    ax.scatter(normal[outside], ordered[outside], s=20.0, color=VERMILION, marker="^", linewidths=0.0, zorder=4)


def _shown(n: int) -> IntArray:
    """Which of n ordered values are drawn: all at the ends, and in the middle some at equal distances on the axis."""
    if n <= MOST_POINTS:
        return np.arange(n)
    edge = ndtri((ENDS + 0.5) / n)
    middle = np.round(ndtr(np.linspace(edge, -edge, MOST_POINTS - 2 * ENDS)) * n - 0.5).astype(np.intp)
    return np.unique(np.concatenate([np.arange(ENDS), middle, np.arange(n - ENDS, n)]))
