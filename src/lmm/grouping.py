"""From grouping columns to group numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmm import syntax
from lmm.columns import Categorical, Numeric, as_categorical, with_missing
from lmm.encoding import match_levels
from lmm.errors import DataError
from lmm.expressions import Rows, Value, evaluate
from lmm.linalg import IntArray

__all__ = ["MISSING_LABEL", "UNKNOWN_LEVEL", "Grouping", "group"]

# Codes of rows of new data whose level the fit did not have, and whose label is missing.
UNKNOWN_LEVEL, MISSING_LABEL = -1, -2


@dataclass(frozen=True)
class Grouping:
    """
    The groups of the data of a fit.

    Attributes
    ----------
    expressions : tuple of str
        The grouping factors; several for an interaction.
    levels : Index (J,)
        Labels of the groups; a MultiIndex for an interaction.
    factor_levels : tuple of Index
        Levels of each factor.
    combined : ndarray (J,)
        Number of each group among all combinations of the levels.
    """

    expressions: tuple[str, ...]
    levels: pd.Index[Any]
    factor_levels: tuple[pd.Index[Any], ...]
    combined: NDArray[np.int64]

    def codes(self, rows: Rows) -> IntArray:
        """Group numbers in new data, `UNKNOWN_LEVEL` for a group that the fit did not have, or `MISSING_LABEL`."""
        total = np.zeros(rows.n, dtype=np.int64)
        unknown, missing = np.zeros(rows.n, dtype=bool), np.zeros(rows.n, dtype=bool)
        for expression, levels in zip(self.expressions, self.factor_levels, strict=True):
            factor = _factor(expression, rows, fitting=False)
            position = np.append(match_levels(factor.levels, levels), -1)[factor.codes]
            missing |= factor.codes < 0
            unknown |= position < 0
            total = total * len(levels) + np.maximum(position, 0)
        place = np.minimum(np.searchsorted(self.combined, total), len(self.combined) - 1)
        unknown |= self.combined[place] != total
        return np.where(missing, MISSING_LABEL, np.where(unknown, UNKNOWN_LEVEL, place)).astype(np.intp)

    def labels(self, rows: Rows) -> pd.Index[Any]:
        """Labels in new data as they stand there, one for each row."""
        factors = [_factor(expression, rows, fitting=False) for expression in self.expressions]
        columns = [factor.levels.take(factor.codes, fill_value=np.nan, allow_fill=True) for factor in factors]
        return columns[0] if len(columns) == 1 else pd.MultiIndex.from_arrays(columns, names=self.levels.names)


def group(expressions: tuple[str, ...], rows: Rows) -> tuple[IntArray, Grouping]:
    """
    Number the groups of some rows.

    An interaction is numbered by combining the codes of its factors, never by pasting labels: the labels "a:b", "c"
    and "a", "b:c" are different groups.

    Returns
    -------
    codes : ndarray (n,)
        From 0 to J - 1; every group occurs.
    grouping : Grouping
    """
    factors = [_factor(expression, rows, fitting=True) for expression in expressions]
    if len(factors) == 1:
        levels = factors[0].levels
        return factors[0].codes, Grouping(expressions, levels, (levels,), np.arange(len(levels)))
    combined = np.zeros(rows.n, dtype=np.int64)
    for factor in factors:
        combined = combined * len(factor.levels) + factor.codes
    # compress to the combinations that occur
    numbered = as_categorical(Numeric(combined, None))
    occurring = np.asarray(numbered.levels, dtype=np.int64)
    levels = _labels(occurring, factors, expressions)
    return numbered.codes, Grouping(expressions, levels, tuple(factor.levels for factor in factors), occurring)


def _factor(expression: str, rows: Rows, *, fitting: bool) -> Categorical:
    """Codes and levels of one grouping expression."""
    name = syntax.column_of(expression)
    if name is not None:
        return as_categorical(rows.column(name))
    value = evaluate(expression, rows, {}, fitting=fitting)
    if isinstance(value, Categorical):
        return value
    return as_categorical(_numbers(expression, value))


def _numbers(expression: str, value: Value) -> Numeric:
    if not isinstance(value, np.ndarray):
        raise DataError(f"`{expression}` gives several columns; a grouping factor is one.")
    return with_missing(value)


def _labels(occurring: NDArray[np.int64], factors: list[Categorical], expressions: tuple[str, ...]) -> pd.MultiIndex:
    codes: list[Any] = []
    rest = occurring
    for factor in reversed(factors):
        rest, code = np.divmod(rest, len(factor.levels))
        codes.append(code)
    names = [syntax.shown(expression) for expression in expressions]
    levels: list[Any] = [factor.levels for factor in factors]
    return pd.MultiIndex(levels=levels, codes=codes[::-1], names=names, verify_integrity=False)
