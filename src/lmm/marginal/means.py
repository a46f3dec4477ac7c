"""Marginal means and slopes of a fitted model, and contrasts of them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lmm.arguments import confidence_level, one_of
from lmm.errors import ArgumentError, ModelError
from lmm.inference.contrasts import contrast_table, estimable
from lmm.inference.ddf import Approximation, approximation, ddf_used
from lmm.linalg import FloatArray
from lmm.marginal.adjustments import ADJUSTMENTS, adjusted_p, critical_value
from lmm.marginal.families import Contrasts, Family, read_family
from lmm.marginal.grid import Grid, grid_columns, grid_slopes, known_variables, reference_grid
from lmm.marginal.notes import adjustment_notes, cells_note, grid_notes
from lmm.marginal.result import MarginalMeans
from lmm.models import linear_model
from lmm.variables import Factor

if TYPE_CHECKING:
    from lmm.design import Design
    from lmm.model import FittedModel

Names = str | Sequence[str]

# Signs between names, outside of backticks.
OPERATORS = re.compile(r"[*:](?=(?:[^`]*`[^`]*`)*[^`]*$)")
# Columns of the results that are no variables.
COLUMNS = ("contrast", "estimate", "std_error", "df", "statistic", "p_value", "lower", "upper")


def emmeans(
    fit: FittedModel,
    specs: Names | None,
    *,
    by: Names | None = None,
    at: Mapping[str, Any] | None = None,
    contrasts: Contrasts | None = None,
    adjust: str = "tukey",
    ddf: str = "kenward-roger",
    level: float = 0.95,
) -> MarginalMeans:
    """
    Estimated marginal means: mean responses by level of some factors, averaged with equal weights over the others.

    The means are averages of X beta over a reference grid: all combinations of the levels of the factors in the fixed
    part, with covariates at their means over the rows used. Random effects are zero. An offset is added, at the values
    of the grid; one given as an array, at its mean. Columns of truth values, and columns used as ``factor(x)`` or
    ``C(x)``, are factors.

    Parameters
    ----------
    fit : FittedModel
    specs : str, list of str or None
        Variables of the fixed part whose levels, or combinations of levels, the means are for; as text also
        ``"A * B"``; ``"1"``, or None, for one overall mean. Names that are no plain words may stand in backticks.
    by : str or list of str, optional
        Further variables: the means are for each of their levels too, and contrasts compare within them.
    at : dict, optional
        Values of variables in the grid: ``{"x": [0, 10]}`` in place of a covariate's mean, or some of a factor's
        levels.
    contrasts : {"pairwise", "trt.vs.ctrl", "consecutive", "poly"}, array_like (k,) or (r, k), or dict, optional
        Contrasts of the k means within each level of ``by``: all differences; each less the first; each less the one
        before; orthogonal polynomials for equally spaced levels; or weights of the means, in a dict by name of the
        contrast. The weights of one contrast may be a dict too, by level: ``{"C vs A": {"C": 1, "A": -1}}``.
    adjust : {"tukey", "holm", "bonferroni", "sidak", "none"}
        How p-values and limits of contrasts allow for their number, within each level of ``by``. Tukey's method is for
        all differences; elsewhere Sidak's is used in its place. The limits that go with Holm's tests are Bonferroni's.
    ddf : {"kenward-roger", "satterthwaite", "residual", "normal"}
        Degrees of freedom; see `FittedModel.coef_table`. Kenward-Roger needs a REML fit.
    level : float
        Confidence level.

    Returns
    -------
    MarginalMeans
        ``table``: the variables, estimate, std_error, df, lower, upper. ``contrasts``: contrast, the variables of
        ``by``, estimate, std_error, df, statistic, p_value, lower, upper. A mean over a cell that the data do not
        determine is NaN, and the notes name the cell.

    Raises
    ------
    ArgumentError
        For a variable that the fixed part does not have, values it cannot take, and unknown options.
    ModelError
        For a model without fixed effects, and for a grid that does not fit into memory.

    References
    ----------
    Searle, S. R., Speed, F. M. and Milliken, G. A. (1980). Population marginal means in the linear model: an
    alternative to least squares means. The American Statistician 34, 216-221.

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("score ~ Machine + (Machine | Worker)", lmm.datasets.load("machines"))
    >>> print(lmm.emmeans(fit, "Machine", contrasts="pairwise"))
    Marginal means of score by Machine
    Machine estimate std_error df lower upper
    A          52.36     1.681  5 48.04 56.68
    B          60.32     3.529  5 51.25 69.39
    C          66.27     1.806  5 61.63 70.92
    <BLANKLINE>
    Contrasts
    contrast estimate std_error df statistic p_value  lower  upper
    A - B      -7.967     2.421  5    -3.291  0.0481 -15.84 -0.089
    A - C     -13.917     1.540  5    -9.036  0.0007 -18.93 -8.905
    B - C      -5.950     2.446  5    -2.432  0.1253 -13.91  2.011
    <BLANKLINE>
    Degrees of freedom: kenward-roger. Confidence level: 0.95.
    Contrasts: p-values and limits adjusted by Tukey's method for a family of 3 means.
    """
    linear_model(fit, "emmeans")
    design = fit.design
    means_of, within = _variables(design, specs, by)
    grid = reference_grid(design, means_of, within, at)
    cells = grid_columns(design, grid.frame(design))
    return _marginal(fit, grid, cells, _Request(tuple(within), contrasts, adjust, ddf, level), None)


def emtrends(
    fit: FittedModel,
    specs: Names | None,
    var: str,
    *,
    by: Names | None = None,
    at: Mapping[str, Any] | None = None,
    contrasts: Contrasts | None = None,
    adjust: str = "tukey",
    ddf: str = "kenward-roger",
    level: float = 0.95,
) -> MarginalMeans:
    """
    Slopes of a covariate by level of some factors, averaged with equal weights over the others.

    The slope is the derivative of the mean response, X beta and offset, with respect to the covariate itself, at its
    mean or at the values in ``at``. Where it enters as ``poly(x, 2)``, ``log(x)`` or ``I(x^2)``, their columns are
    differentiated by the five-point central difference with a step of a thousandth of its standard deviation, which is
    exact up to rounding for polynomials of degree four.

    Parameters
    ----------
    fit : FittedModel
    specs : str, list of str or None
        Variables of the fixed part whose levels the slopes are for; ``"1"``, or None, for one overall slope.
    var : str
        The covariate.
    by, at, contrasts, adjust, ddf, level
        As for `emmeans`.

    Returns
    -------
    MarginalMeans
        With slopes in place of means, in units of the response for one unit of ``var``.

    Raises
    ------
    ArgumentError
        As `emmeans`, and where ``var`` is not a covariate of the fixed part.

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("distance ~ age * Sex + (age | Subject)", lmm.datasets.load("orthodont"))
    >>> print(lmm.emtrends(fit, "Sex", "age"))
    Slopes of distance in age by Sex
    Sex    estimate std_error df  lower  upper
    Male     0.7844    0.0860 25 0.6073 0.9615
    Female   0.4795    0.1037 25 0.2659 0.6932
    <BLANKLINE>
    At: age = 11.
    Degrees of freedom: kenward-roger. Confidence level: 0.95.
    """
    linear_model(fit, "emtrends")
    design = fit.design
    slopes_of, within = _variables(design, specs, by)
    (var,) = known_variables(design, [var], "var")
    if isinstance(design.variables[var], Factor):
        raise ArgumentError(f"var: {var!r} is a factor in this model, which has no slope: compare its means by emmeans")
    grid = reference_grid(design, slopes_of, within, at)
    cells = grid_slopes(design, grid.frame(design), var)
    return _marginal(fit, grid, cells, _Request(tuple(within), contrasts, adjust, ddf, level), var)


@dataclass(frozen=True)
class _Request:
    """What is asked of the means: arguments of `emmeans`, checked."""

    by: tuple[str, ...]
    contrasts: Contrasts | None
    adjust: str
    ddf: str
    level: float

    def __post_init__(self) -> None:
        one_of("adjust", self.adjust, ADJUSTMENTS)
        confidence_level(self.level)


def _marginal(
    fit: FittedModel, grid: Grid, cells: tuple[FloatArray, FloatArray], request: _Request, var: str | None
) -> MarginalMeans:
    """Averages of functions of the coefficients that are given for each cell of a grid, and contrasts of them."""
    design, by = fit.design, list(request.by)
    method = approximation(fit, request.ddf)
    L = cells[0].reshape(-1, grid.n_means, len(design.all_names)).mean(axis=0)
    offset = cells[1].reshape(-1, grid.n_means).mean(axis=0)
    labels = grid.labels()
    estimates = _estimates(fit, L, offset, method, request.level)
    notes = grid_notes(design, grid, var)
    unknown = estimates["estimate"].isna().to_numpy()
    if unknown.any():
        notes.append(cells_note(design, grid, cells[0], unknown, var))
    notes.append(f"Degrees of freedom: {ddf_used(fit, request.ddf)}. Confidence level: {request.level:g}.")
    contrasts = None
    if request.contrasts is not None:
        k = grid.n_means // math.prod(len(grid.points[name]) for name in by)
        family = read_family(request.contrasts, labels.drop(columns=by).iloc[:k])
        contrasts, more = _compare(fit, family, (L, offset), labels[by], request)
        notes.extend(more)
    table = labels.join(estimates[["estimate", "std_error", "df", "lower", "upper"]])
    return MarginalMeans(table, contrasts, request.by, tuple(notes), fit, L, offset, var, request.ddf)


def _estimates(
    fit: FittedModel, L: FloatArray, offset: FloatArray, method: Approximation, level: float
) -> pd.DataFrame:
    """Estimates of L beta + offset with tests against 0 and limits; rows that are not estimable are NaN."""
    known = estimable(L, fit.design)
    table = contrast_table(fit, L[known][:, fit.design.kept], method, level=level, rhs=-offset[known])
    for column in ("estimate", "lower", "upper"):
        table[column] += offset[known]
    table.index = pd.Index(np.flatnonzero(known))
    return table.reindex(range(len(L)))


def _compare(
    fit: FittedModel,
    family: Family,
    means: tuple[FloatArray, FloatArray],
    by: pd.DataFrame,
    request: _Request,
) -> tuple[pd.DataFrame, list[str]]:
    """Contrasts within each level of ``by`` with adjusted p-values and limits, and notes on the adjustment."""
    r, k = family.W.shape
    L = (family.W @ means[0].reshape(-1, k, means[0].shape[1])).reshape(-1, means[0].shape[1])
    offset = (means[1].reshape(-1, k) @ family.W.T).ravel()
    table = _estimates(fit, L, offset, approximation(fit, request.ddf), request.level)
    used = "sidak" if request.adjust == "tukey" and not family.pairwise else request.adjust
    t, df, std_error = (table[name].to_numpy() for name in ("statistic", "df", "std_error"))
    families = [slice(start, start + r) for start in range(0, len(table), r)]
    table["p_value"] = np.concatenate([adjusted_p(t[rows], df[rows], used, k) for rows in families])
    half = critical_value(df, request.level, used, r, k) * std_error
    table["lower"], table["upper"] = table["estimate"] - half, table["estimate"] + half
    labels = pd.DataFrame({"contrast": list(family.names) * (len(L) // r)})
    groups = by.iloc[::k].loc[lambda rows: rows.index.repeat(r)].reset_index(drop=True)
    notes = adjustment_notes(request.adjust, used, r, k)
    if table["estimate"].isna().any():
        notes.append("A contrast that involves what the data do not determine is not estimable either.")
    return pd.concat([labels, groups, table], axis=1), notes


def _variables(design: Design, specs: Names | None, by: Names | None) -> tuple[list[str], list[str]]:
    """Names in specs, without those in by, and in by; all are variables of the fixed part."""
    if not design.all_names:
        raise ModelError("the model has no fixed effects, and so no marginal means")
    split = _names(design, by, "by") if by is not None else []
    return [name for name in _names(design, "1" if specs is None else specs, "specs") if name not in split], split


def _names(design: Design, given: Names, argument: str) -> list[str]:
    """Variables that are given as a list, or as text such as ``"A * B"``."""
    if isinstance(given, str):
        names = [given] if given in design.variables else [part.strip() for part in OPERATORS.split(given)]
        names = [] if names == ["1"] else names
    elif isinstance(given, Sequence) and all(isinstance(name, str) for name in given):
        names = list(given)
    else:
        raise ArgumentError(f"{argument} must be a name, or a list of names, of variables in the model; got {given!r}")
    names = list(dict.fromkeys(known_variables(design, names, argument)))
    for name in names:
        if name in COLUMNS:
            raise ArgumentError(f"{argument}: a variable named {name!r} would hide the column {name!r} of the results")
    return names
