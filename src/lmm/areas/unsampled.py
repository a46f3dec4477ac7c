"""Areas without a direct estimate: what of them can be predicted from the regression alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lmm.design import Design
from lmm.errors import DataError
from lmm.frames import as_table
from lmm.grouping import MISSING_LABEL
from lmm.linalg import BoolArray, FloatArray, IntArray
from lmm.syntax import columns_in


@dataclass(frozen=True)
class Unsampled:
    """
    Rows of the data that the fit does not use.

    Attributes
    ----------
    rows : ndarray (u,)
        Positions of the areas without a direct estimate whose predictors are known.
    X : ndarray (u, p)
    offset : ndarray (u,)
    left_out : ndarray (l,)
        Positions of the other areas, of which nothing can be said.
    """

    rows: IntArray
    X: FloatArray
    offset: FloatArray
    left_out: IntArray


def unsampled_areas(design: Design, frame: pd.DataFrame) -> Unsampled:
    """
    Sort the rows that a design does not use.

    Parameters
    ----------
    design : Design
        Its first random term is that of the areas.
    frame : DataFrame
        The data that the design was built from.
    """
    used = np.arange(len(frame)) if design.rows is None else design.rows
    rest = np.setdiff1d(np.arange(len(frame)), used)
    if len(rest) == 0:
        return Unsampled(rest, np.empty((0, len(design.names))), np.empty(0), rest)
    some = frame.iloc[rest]
    X = _fixed_columns(design, some)
    given = design.new_offset(some)
    offset = np.zeros(len(rest)) if given is None else given
    known = ~np.isnan(X).any(axis=1) & ~np.isnan(offset) & (design.group_codes(some, 0) != MISSING_LABEL)
    known &= _without_response(design, some)
    return Unsampled(rest[known], X[known], offset[known], rest[~known])


def _fixed_columns(design: Design, frame: pd.DataFrame) -> FloatArray:
    """X of some rows, NaN where a value is missing or a factor has a level that the fit does not have."""
    try:
        return design.fixed_columns(frame)
    except DataError:
        if len(frame) == 1:
            return np.full((1, len(design.names)), np.nan)
        half = len(frame) // 2
        return np.concatenate([_fixed_columns(design, part) for part in (frame.iloc[:half], frame.iloc[half:])])


def _without_response(design: Design, frame: pd.DataFrame) -> BoolArray:
    """Whether the response is missing, by row."""
    table, expression = as_table(frame), design.formula.response
    absent = np.zeros(len(frame), dtype=bool)
    for name in columns_in(expression):
        mask = table.column(name).missing if name in table else None
        if mask is not None:
            absent |= mask
    return absent
