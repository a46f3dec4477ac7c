"""The rows that are predicted: those of the fit, or those of new data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lmm.columns import shown_labels
from lmm.errors import ArgumentError, DataError, LMMWarning, warn
from lmm.grouping import UNKNOWN_LEVEL
from lmm.linalg import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    import pandas as pd

    from lmm.design import Design
    from lmm.factors import GroupingFactor
    from lmm.linear import LinearModel

# Code of a row whose group label is missing.
MISSING = -1
# Relative rounding error of a column that is a combination of others.
ALIASED = 1e-6
# New levels that an error message names.
SHOWN = 5


@dataclass(frozen=True)
class RandomRows:
    """
    Random-effects columns of some rows for one grouping factor.

    Attributes
    ----------
    factor : int
        Number of the factor in the model.
    columns : ndarray (m, k)
    codes : ndarray (m,)
        Level of each row: 0 .. J - 1 for the levels of the fit, from J on for levels that it did not have, -1 where the
        label is missing.
    n_levels : int
        Number of levels, old and new.
    """

    factor: int
    columns: FloatArray
    codes: IntArray
    n_levels: int


@dataclass(frozen=True)
class Rows:
    """
    Everything that predicting some rows needs.

    Attributes
    ----------
    X : ndarray (m, p)
    offset : ndarray (m,) or None
    random : tuple of RandomRows
    index : Index (m,)
    """

    X: FloatArray
    offset: FloatArray | None
    random: tuple[RandomRows, ...]
    index: pd.Index[Any]


def fitted_rows(model: LinearModel, effects: Mapping[int, BoolArray]) -> Rows:
    """The rows of the fit, with some of the random effects of some factors."""
    random = tuple(
        RandomRows(t, _only(model.factors[t].columns, mask), model.factors[t].codes, model.factors[t].n_levels)
        for t, mask in effects.items()
    )
    return Rows(model.design.X, model.design.offset, random, model.design.index)


def new_rows(
    model: LinearModel,
    newdata: Any,  # noqa: ANN401 - frames of any library
    effects: Mapping[int, BoolArray],
    new_levels: str,
) -> Rows:
    """
    The rows of new data, with some of the random effects of some factors.

    Raises
    ------
    DataError
        When a grouping factor has a level that the fit did not have and ``new_levels`` is "error".
    """
    design = model.design
    if design.offset_given:
        raise ArgumentError(
            "the model was fitted with an offset given as an array, which new data cannot provide: "
            "fit with offset='column' or offset(column) in the formula"
        )
    rows = design.new_rows(newdata)
    columns = design.fixed_encoding.columns(rows)  # first: a level that a fixed factor does not know has no way out
    if not design.kept.all():
        _warn_of_undetermined(design, columns)
    X = columns[:, design.kept]
    random = []
    for t, mask in effects.items():
        factor = model.factors[t]
        known = design.group_codes(rows, factor.terms[0])
        labels = design.group_labels(rows, factor.terms[0])[known == UNKNOWN_LEVEL]
        if new_levels == "error" and len(labels):
            raise _unknown_levels(factor, labels.unique())
        codes = np.where(known < 0, MISSING, known)
        new_codes, new_labels = labels.factorize()
        codes[known == UNKNOWN_LEVEL] = factor.n_levels + new_codes
        effect_columns = [design.random_columns(rows, term) for term in factor.terms]
        stacked = effect_columns[0] if len(effect_columns) == 1 else np.column_stack(effect_columns)
        random.append(RandomRows(t, _only(stacked, mask), codes, factor.n_levels + len(new_labels)))
    return Rows(X, design.new_offset(rows), tuple(random), rows.index)


def _warn_of_undetermined(design: Design, columns: FloatArray) -> None:
    """Say which rows need a coefficient that was dropped: those whose dropped columns do not follow from the others."""
    kept, dropped = columns[:, design.kept], columns[:, ~design.kept]
    size = np.abs(dropped) + np.abs(kept) @ np.abs(design.aliasing)
    differs = np.abs(dropped - kept @ design.aliasing) > ALIASED * size
    rows = np.flatnonzero(differs.any(axis=1))
    if rows.size:
        all_dropped = [name for name, keep in zip(design.all_names, design.kept, strict=True) if not keep]
        names = [name for name, needed in zip(all_dropped, differs.any(axis=0), strict=True) if needed]
        warn(
            f"{rows.size} of {len(columns)} rows of the new data, the first of them row {rows[0]} (counted from 0), "
            f"need coefficients that the data of the fit do not determine: {shown_labels(names)}, dropped for an empty "
            "cell or as a combination of other columns. They are taken as zero; do not rely on these predictions",
            LMMWarning,
        )


def _only(columns: FloatArray, mask: BoolArray) -> FloatArray:
    """Columns (m, k) with those of effects that are left out set to zero."""
    return columns if mask.all() else np.where(mask, columns, 0.0)


def _unknown_levels(factor: GroupingFactor, labels: pd.Index[Any]) -> DataError:
    shown = ", ".join(repr(label) for label in labels[:SHOWN]) + (", ..." if len(labels) > SHOWN else "")
    return DataError(
        f"{factor.group!r} has {len(labels)} level{'s' * (len(labels) > 1)} that the fit did not have: {shown}. "
        'Predict their population mean with new_levels="population", or without random effects with random=False'
    )
