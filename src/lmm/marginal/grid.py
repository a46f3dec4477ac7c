"""
The reference grid: all combinations of the levels of the factors in the fixed part, covariates at their means.

References
----------
Searle, S. R., Speed, F. M. and Milliken, G. A. (1980). Population marginal means in the linear model: an alternative to
least squares means. The American Statistician 34, 216-221.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lmm.arguments import as_numbers
from lmm.columns import shown_labels
from lmm.encoding import match_levels
from lmm.errors import ArgumentError
from lmm.frames import near_matches
from lmm.linalg import FloatArray
from lmm.marginal.families import level_text
from lmm.memory import require_memory
from lmm.syntax import match_name
from lmm.variables import Covariate, Factor

if TYPE_CHECKING:
    from lmm.design import Design

# Arrays of the grid's size that exist at once.
COPIES = 3
# The slope of a column is taken over this many standard deviations of the covariate, to either side.
STEP = 1e-3


@dataclass(frozen=True)
class Grid:
    """
    A reference grid: rows for each mean, and within a mean for each combination that it is averaged over.

    Attributes
    ----------
    points : dict of str to Index
        For each variable the values that it takes: those of the means first, the first of them varying fastest.
    n_kept : int
        Number of variables that tell the means apart.
    """

    points: dict[str, pd.Index[Any]]
    n_kept: int

    @property
    def kept(self) -> tuple[str, ...]:
        """Variables that tell the means apart."""
        return tuple(self.points)[: self.n_kept]

    @property
    def averaged(self) -> tuple[str, ...]:
        """Other variables with more than one value: the means are averages over them."""
        return tuple(name for name in list(self.points)[self.n_kept :] if len(self.points[name]) > 1)

    @property
    def n_means(self) -> int:
        """Number of means."""
        return math.prod(len(self.points[name]) for name in self.kept)

    @property
    def n_cells(self) -> int:
        """Number of rows."""
        return math.prod(len(values) for values in self.points.values())

    def column(self, name: str, rows: Any = slice(None)) -> pd.Index[Any]:  # noqa: ANN401 - anything that indexes an array
        """Values of a variable in some rows of the grid."""
        place = list(self.points).index(name)
        lengths = [len(values) for values in self.points.values()]
        codes = np.arange(self.n_cells)[rows] // math.prod(lengths[:place]) % lengths[place]
        return self.points[name].take(codes)

    def labels(self) -> pd.DataFrame:
        """Values of the variables that tell the means apart, one row for each mean."""
        means = slice(0, self.n_means)
        return pd.DataFrame({name: self.column(name, means) for name in self.kept}, index=range(self.n_means))

    def frame(self, design: Design) -> pd.DataFrame:
        """All rows as data from which the design's columns can be built."""
        require_memory(
            8.0 * COPIES * self.n_cells * (len(design.all_names) + len(self.points)),
            f"a grid of {self.n_cells} combinations of values",
            "Restrict it by at={'factor': [levels]}",
        )
        columns = {}
        for name in self.points:
            variable, values = design.variables[name], self.column(name)
            labels = isinstance(variable, Factor) and not variable.numeric
            columns[name] = pd.Categorical(values, categories=self.points[name]) if labels else values.to_numpy()
        return pd.DataFrame(columns, index=range(self.n_cells))


def reference_grid(design: Design, specs: Sequence[str], by: Sequence[str], at: Mapping[str, Any] | None) -> Grid:
    """
    Grid of a model.

    Parameters
    ----------
    design : Design
    specs, by : sequence of str
        Variables that tell the means apart.
    at : mapping, optional
        Values of variables, in place of all levels or of the mean.

    Raises
    ------
    ArgumentError
        For a variable that the fixed part does not have, and for values that it cannot take.
    """
    if at is not None and not isinstance(at, Mapping):
        raise ArgumentError(f"at must be a dict of values by variable, such as {{'x': [0, 1]}}; got {at!r}")
    at = at or {}
    at = dict(zip(known_variables(design, at, "at"), at.values(), strict=True))
    kept = [*specs, *by]
    values = {}
    for name in [*kept, *(name for name in design.variables if name not in kept)]:
        values[name] = _values(name, design.variables[name], at.get(name))
    return Grid(values, len(kept))


def known_variables(design: Design, names: Iterable[Any], argument: str) -> list[str]:
    """Refuse names that are no variables of the fixed part; gives them without backticks."""
    known = []
    for name in names:
        variable = match_name(name, design.variables)
        if variable is not None:
            known.append(variable)
            continue
        near = near_matches(str(name), design.variables)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        if isinstance(name, str) and any(name in (term.group, *term.group.split(":")) for term in design.terms):
            hint = " It groups random effects, whose levels have no marginal means: see random_effects."
        has = ", ".join(design.variables) or "no variables"
        raise ArgumentError(f"{argument}: {name!r} is not in the fixed part of the model, which has {has}.{hint}")
    return known


def grid_columns(design: Design, frame: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
    """Columns (m, all coefficients) of the fixed part on some rows of a grid, and the offset (m,)."""
    rows = design.new_rows(frame)
    X = design.fixed_encoding.columns(rows)
    if design.offset is None:
        offset = np.zeros(len(frame))
    elif design.offset_given:
        offset = np.full(len(frame), design.offset.mean())
    else:
        offset = np.asarray(design.new_offset(rows))
    if not (np.isfinite(X).all() and np.isfinite(offset).all()):
        bad = int(np.argmin(np.isfinite(X).all(axis=1) & np.isfinite(offset)))
        where = ", ".join(f"{name} = {level_text(value)}" for name, value in frame.iloc[bad].items())
        raise ArgumentError(f"the fixed part has no finite value at {where}: choose other values by at=")
    return X, offset


def grid_slopes(design: Design, frame: pd.DataFrame, var: str) -> tuple[FloatArray, FloatArray]:
    """
    Derivatives of the columns and of the offset with respect to a covariate, on some rows of a grid.

    By the five-point central difference, which is exact up to rounding for polynomials of degree four.
    """
    variable = design.variables[var]
    assert isinstance(variable, Covariate)  # noqa: S101 - the caller has checked
    step = STEP * (variable.sd or 1.0)
    parts = [grid_columns(design, frame.assign(**{var: frame[var] + place * step})) for place in (-2, -1, 1, 2)]
    slopes = [
        (8.0 * (right - left) - (far_right - far_left)) / (12.0 * step)
        for far_left, left, right, far_right in zip(*parts, strict=True)
    ]
    return slopes[0], slopes[1]


def _values(name: str, variable: Factor | Covariate, at: Any) -> pd.Index[Any]:  # noqa: ANN401
    """Values that a variable takes in the grid."""
    if at is None:
        return variable.levels if isinstance(variable, Factor) else pd.Index([variable.mean])
    given = pd.Index([at] if isinstance(at, str) or np.ndim(at) == 0 else list(at))
    values = _read_values(name, variable, given)
    if not len(values) or values.has_duplicates:
        raise ArgumentError(f"at: {name!r} needs one or more distinct values; got {at!r}")
    return values


def _read_values(name: str, variable: Factor | Covariate, given: pd.Index[Any]) -> pd.Index[Any]:
    """Numbers for a covariate, levels for a factor."""
    if isinstance(variable, Covariate):
        numbers = as_numbers(given)
        if numbers is None or not np.isfinite(numbers).all():
            raise ArgumentError(f"at: {name!r} is a covariate and needs finite numbers; got {shown_labels(given)}")
        return pd.Index(numbers)
    position = match_levels(given, variable.levels)
    if (position < 0).any():
        raise ArgumentError(
            f"at: {name!r} does not have {shown_labels(given[position < 0])}; "
            f"its levels are {shown_labels(variable.levels, 10)}"
        )
    return variable.levels.take(position)
