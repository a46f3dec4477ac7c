"""Fitted lines over the data: those of the groups and that of the population."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lmm.arguments import at_least
from lmm.errors import ArgumentError
from lmm.frames import as_frame
from lmm.linalg import FloatArray
from lmm.models import mixed_model
from lmm.plots.choice import chosen_factor
from lmm.plots.style import BLUE, DATA, PALETTE, axes_or_new
from lmm.syntax import columns_in, made_a_factor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lmm.model import FittedModel

LINE_STYLES = ("-", "--", "-.", ":")


def fitted_lines(
    fit: FittedModel,
    data: Any,  # noqa: ANN401 - frames of any library
    x: str,
    *,
    group: str | None = None,
    by: str | None = None,
    n_points: int = 50,
    ax: Axes | None = None,
) -> Axes:
    """
    The response against a variable: data in grey, the fitted line of each group, and the population lines.

    The line of a group runs over its own range of x, with its random effects; other variables are those of its first
    row. A population line, without random effects, runs over the whole range.

    Parameters
    ----------
    fit : FittedModel
    data : DataFrame
        The data of the fit, from which the other variables are taken.
    x : str
        A numeric column that the formula names, and does not make a factor of.
    group : str, optional
        Grouping factor; the first where None.
    by : str, optional
        A column with a colour, and a population line, for each of its values.
    n_points : int
        Points of each line.
    ax : Axes, optional
        Where to draw; a new figure where None.

    Returns
    -------
    Axes

    Raises
    ------
    ArgumentError
        For anything but a model with random effects, other data than those of the fit, an x that is not numeric
        in the formula, and a column ``by`` that they lack.

    Examples
    --------
    >>> import lmm
    >>> pigs = lmm.datasets.load("pig_weights")
    >>> fit = lmm.fit("weight ~ num.weeks + (1 | id.num)", pigs)
    >>> ax = lmm.plots.fitted_lines(fit, pigs, "num.weeks")
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('num.weeks', 'weight')
    """
    fit = mixed_model(fit, "fitted_lines")
    used = _rows_used(fit, data)
    n = at_least(2, "n_points", n_points, of="points")  # a line has two ends
    _check_columns(fit, used, x, by)
    factor = fit.factors[chosen_factor(fit, group)]
    kinds = [None] if by is None else list(pd.unique(used[by]))
    kind_of_row = np.zeros(len(used), dtype=np.intp) if by is None else pd.factorize(used[by])[0]

    ax = axes_or_new(ax)
    from matplotlib.collections import LineCollection  # noqa: PLC0415 - takes long to import
    from matplotlib.patheffects import withStroke  # noqa: PLC0415 - idem

    ax.scatter(used[x], fit.design.y, s=10.0, color=DATA, alpha=0.5, linewidths=0.0, zorder=1, label="data")
    first = np.unique(factor.codes, return_index=True)[1]
    ranges = used[x].groupby(factor.codes).agg(["min", "max"]).to_numpy(dtype=np.float64)
    grid = np.linspace(ranges[:, 0], ranges[:, 1], n, axis=1)
    lines = _predicted(fit, used.iloc[first], x, grid, random=True)
    for number, kind in enumerate(kinds):
        colour, style = PALETTE[number % len(PALETTE)], LINE_STYLES[number % len(LINE_STYLES)]
        own = kind_of_row[first] == number
        segments = np.stack([grid[own], lines[own]], axis=2)
        ax.add_collection(LineCollection(list(segments), colors=colour, linewidths=0.7, alpha=0.5, zorder=2))
        row = int(np.argmax(kind_of_row == number))
        whole = np.linspace(ranges[:, 0].min(), ranges[:, 1].max(), n)[None]
        population = _predicted(fit, used.iloc[[row]], x, whole, random=False)
        label = "population" if by is None else f"{by} {kind}"
        thick = "black" if by is None else colour
        (line,) = ax.plot(whole[0], population[0], color=thick, linestyle=style, linewidth=2.5, zorder=3, label=label)
        line.set_path_effects([withStroke(linewidth=5.0, foreground="white")])
    ax.plot([], [], color=BLUE if by is None else DATA, linewidth=0.7, label=f"each {factor.group}")
    ax.legend(frameon=False, fontsize="small")
    ax.set(xlabel=x, ylabel=fit.design.response_name)
    ax.autoscale_view()
    return ax


def _rows_used(model: FittedModel, data: Any) -> pd.DataFrame:  # noqa: ANN401 - frames of any library
    """The rows of the data that the fit used."""
    frame = as_frame(data)
    rows = model.design.rows
    fits = len(frame) == model.nobs if rows is None else len(frame) > int(rows.max())
    if not fits:
        raise ArgumentError(
            f"data must be the data of the fit, of which it used {model.nobs} rows; these have {len(frame)} rows"
        )
    return frame if rows is None else frame.iloc[rows]


def _check_columns(model: FittedModel, used: pd.DataFrame, x: object, by: object) -> None:
    """Refuse an x that the formula does not name or that is not numeric, and a by that is no column."""
    formula = model.design.formula
    linear = [formula.fixed, *(part.effects for part in formula.random)]
    named = {
        name for terms in linear for term in terms.terms for expression in term for name in columns_in(expression)
    } & set(used.columns)
    numeric = sorted(name for name in named if pd.api.types.is_numeric_dtype(used[name]))
    if not isinstance(x, str) or x not in numeric:
        raise ArgumentError(f"x must be a numeric column that the formula names, among {numeric}; got {x!r}")
    coded = [
        expression for terms in linear for term in terms.terms for expression in term if made_a_factor(expression) == x
    ]
    if coded:
        raise ArgumentError(
            f"x must be numeric in the formula, where {coded[0]!r} makes a factor of it, which has no values between "
            f"its levels: show the means of its levels by lmm.emmeans(fit, {x!r}).plot()"
        )
    if by is not None and not (isinstance(by, str) and by in used.columns):
        raise ArgumentError(f"by must be a column of the data, among {list(used.columns)}; got {by!r}")


def _predicted(
    model: FittedModel,
    rows: pd.DataFrame,
    x: str,
    grid: FloatArray,
    *,
    random: bool,
) -> FloatArray:
    """Predictions (m, n_points) for rows that take the values of a grid (m, n_points) in x."""
    n = grid.shape[1]
    new = rows.iloc[np.repeat(np.arange(len(rows)), n)].reset_index(drop=True).assign(**{x: grid.ravel()})
    return np.asarray(model.predict(new, random=random), dtype=np.float64).reshape(grid.shape)
