"""
From terms to the columns of a matrix, for fixed effects and random effects alike.

Factors are coded by R's rule. In a term, a factor is coded by contrasts when the term without it is in the model too
(for a main effect: when the intercept is, or when an earlier factor already spans it), otherwise by one column for
each level. Within an interaction the first factor varies fastest.

`encode` builds the columns on the data of the fit; what it learned there is an `Encoding`, with which
`Encoding.columns` gives the same columns on new data.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lmm import _formulaic, syntax
from lmm.checks import require_finite, warn_of_numbers_as_text
from lmm.columns import Categorical, as_categorical, shown_labels, with_missing
from lmm.display import scalar_text
from lmm.errors import DataError, FormulaError
from lmm.expressions import Basis, Rows, State, Value, evaluate
from lmm.formula import formula_error
from lmm.linalg import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmm.formula import LinearTerms

__all__ = ["Encoding", "Evaluated", "FactorCoding", "encode", "match_levels"]


@dataclass(frozen=True)
class FactorCoding:
    """Levels of a categorical expression and the contrasts of its coding (None: treatment)."""

    levels: pd.Index[Any]
    contrasts: Any


@dataclass(frozen=True)
class Encoding:
    """
    How terms become columns.

    Attributes
    ----------
    terms : LinearTerms
    names : tuple of str
        Names of the columns.
    assign : tuple of int
        For each column the number of its term: 0 for the intercept, then 1, 2, ... in the order of ``terms.terms``.
    full : dict
        For each (term number, expression) that is categorical, whether it has one column for each level.
    codings : dict
        For each categorical expression its levels and contrasts.
    widths : dict
        For each numeric expression its number of columns.
    states : dict
        For each expression what its transforms remember.
    """

    terms: LinearTerms
    names: tuple[str, ...]
    assign: tuple[int, ...]
    full: dict[tuple[int, str], bool]
    codings: dict[str, FactorCoding]
    widths: dict[str, int]
    states: dict[str, State]

    @property
    def term_names(self) -> tuple[str, ...]:
        """Names of the terms without the intercept, as they stand in the names of the columns."""
        return tuple(map(syntax.term_name, self.terms.terms))

    def coding_matrix(self, term: int, expression: str) -> FloatArray:
        """Columns of a categorical expression in a term, level by level: shape (levels, columns)."""
        full = self.full[term, expression]
        matrix, _, _ = _coding(expression, self.codings[expression], full=full)
        return np.eye(len(self.codings[expression].levels))[:, not full :] if matrix is None else matrix

    def columns(self, rows: Rows) -> FloatArray:
        """
        Columns on new data; rows with a missing value are NaN.

        Raises
        ------
        DataError
            If a factor has a level that the data of the fit did not have.
        """
        values: dict[str, Value] = {}
        for expression in dict.fromkeys(itertools.chain.from_iterable(self.terms.terms)):
            value = evaluate(expression, rows, self.states.get(expression, {}), fitting=False)
            values[expression] = _as_fitted(expression, value, self.codings.get(expression), rows)
        blocks = _blocks(self.terms, values, self.codings, self.full, rows.n)
        X = np.empty((rows.n, len(self.names)), order="F")
        _fill(X, [columns for _, columns in blocks])
        return X


class Evaluated:
    """Values of expressions on the rows of the fit, each computed once, with what they remember."""

    def __init__(self, rows: Rows, contrasts: dict[str, Any] | None = None) -> None:
        self.rows = rows
        self.states: dict[str, State] = {}
        self._contrasts = contrasts or {}
        self._values: dict[str, Value] = {}

    def value(self, expression: str) -> Value:
        """Value of an expression, checked to be finite where the columns are."""
        found = self._values.get(expression)
        if found is None:
            state: State = {}
            found = evaluate(expression, self.rows, state, fitting=True)
            if syntax.column_of(expression) is None:
                require_finite(expression, found)
            if isinstance(found, Categorical):
                warn_of_numbers_as_text(expression, found)
                found = self._with_contrasts(expression, found)
            self.states[expression] = state
            self._values[expression] = found
        return found

    def is_factor(self, expression: str) -> bool:
        """Whether an expression that has been used is categorical."""
        return isinstance(self._values.get(expression), Categorical)

    def _with_contrasts(self, expression: str, value: Categorical) -> Categorical:
        asked = self._contrasts.get(syntax.shown(expression), value.contrasts)
        if asked is None and value.ordered:
            # as in R: the levels of an ordered factor are taken to be equally spaced
            asked = _formulaic.CONTRASTS["contr.poly"]()
        return Categorical(value.codes, value.levels, value.ordered, asked)


def encode(terms: LinearTerms, evaluated: Evaluated) -> tuple[FloatArray, Encoding]:
    """
    Columns for terms, on the data of the fit.

    Returns
    -------
    X : ndarray (n, p)
        In Fortran order.
    encoding : Encoding
        Names, and how to build the same columns on new data.
    """
    expressions = dict.fromkeys(itertools.chain.from_iterable(terms.terms))
    values = {expression: evaluated.value(expression) for expression in expressions}
    codings = {
        expression: FactorCoding(value.levels, value.contrasts)
        for expression, value in values.items()
        if isinstance(value, Categorical)
    }
    full = _full_codings(terms, codings)
    blocks = _blocks(terms, values, codings, full, evaluated.rows.n)
    names = [name for block, _ in blocks for name in block]
    assign = [i for i, (block, _) in enumerate(blocks, start=not terms.intercept) for _ in block]
    X = np.empty((evaluated.rows.n, len(names)), order="F")
    _fill(X, [columns for _, columns in blocks])
    _refuse_equal_names(names, [("", *terms.terms)[number] for number in assign], evaluated.rows.formula)
    states = {e: evaluated.states[e] for e in expressions if evaluated.states[e]}
    numeric = {expression: value for expression, value in values.items() if expression not in codings}
    widths = {e: value.matrix.shape[1] if isinstance(value, Basis) else 1 for e, value in numeric.items()}
    return X, Encoding(terms, tuple(names), tuple(assign), full, codings, widths, states)


def _refuse_equal_names(names: list[str], terms: list[Sequence[str]], formula: str) -> None:
    """Refuse two columns of one name, such as the intercept and a column of the data that is called so."""
    first: dict[str, Sequence[str]] = {}
    for name, term in zip(names, terms, strict=True):
        if name not in first:
            first[name] = term
            continue
        if first[name] == term:
            both = f"Two levels of `{syntax.term_name(term)}`"
            way = "Give them labels that differ as text"
        else:
            both = "Two terms" if first[name] else f"The intercept and the column {name!r}"
            way = f"Rename the column of the data, as with data.rename(columns={{{name!r}: 'another name'}})"
        raise formula_error(
            f"{both} would give two coefficients of the same name, {name!r}, which nothing could tell apart. {way}.",
            formula,
        )


def match_levels(labels: pd.Index[Any], levels: pd.Index[Any]) -> IntArray:
    """Position of each label among the levels, -1 for none; 308 and "308" are the same label."""
    position = np.asarray(levels.get_indexer(labels), dtype=np.intp) if levels.is_unique else None
    if position is None:  # pragma: no cover - levels are unique by construction
        raise DataError("The levels of a factor are not unique.")
    unknown = position < 0
    if unknown.any():
        text = pd.Index([_label_text(label) for label in levels])
        wanted = pd.Index([_label_text(label) for label in labels[unknown]])
        if text.is_unique:
            position[unknown] = text.get_indexer(wanted)
    return position


def _label_text(label: Any) -> str:  # noqa: ANN401 - labels are of any type
    if isinstance(label, (float, np.floating)) and float(label).is_integer():
        return str(int(label))
    return scalar_text(label)


def _full_codings(terms: LinearTerms, codings: dict[str, FactorCoding]) -> dict[tuple[int, str], bool]:
    """R's rule for which factors have a column for each level."""
    present = {frozenset(term) for term in terms.terms}
    spanned = terms.intercept
    full: dict[tuple[int, str], bool] = {}
    for i, term in enumerate(terms.terms, start=1):
        for expression in term:
            if expression not in codings:
                continue
            margin = frozenset(term) - {expression}
            if margin:
                full[i, expression] = margin not in present
            else:
                full[i, expression] = not spanned
                spanned = True
    return full


_Block = tuple[list[str], list[FloatArray]]


def _blocks(
    terms: LinearTerms,
    values: dict[str, Value],
    codings: dict[str, FactorCoding],
    full: dict[tuple[int, str], bool],
    n: int,
) -> list[_Block]:
    """Names and columns of the intercept and of each term."""
    blocks: list[_Block] = [(["Intercept"], [np.ones(n)])] if terms.intercept else []
    cache: dict[tuple[str, bool], _Block] = {}
    for i, term in enumerate(terms.terms, start=1):
        factors: list[_Block] = []
        for expression in term:
            key = (expression, full.get((i, expression), False))
            if key not in cache:
                cache[key] = _factor_columns(expression, values[expression], codings.get(expression), full=key[1])
            factors.append(cache[key])
        blocks.append(factors[0] if len(factors) == 1 else _product(factors))
    return blocks


def _factor_columns(expression: str, value: Value, coding: FactorCoding | None, *, full: bool) -> _Block:
    """Names and columns of one factor of a term."""
    name = syntax.shown(expression)
    if isinstance(value, np.ndarray):
        return [name], [value]
    if isinstance(value, Basis):
        fields = [value.pattern.format(name=name, field=field) for field in value.fields]
        return fields, [value.matrix[:, j] for j in range(value.matrix.shape[1])]
    assert coding is not None  # noqa: S101 - a categorical value always has one
    matrix, fields_, pattern = _coding(name, coding, full=full)
    names = [pattern.format(name=name, field=field) for field in fields_]
    if matrix is None:
        first = 0 if full else 1
        columns = [(value.codes == level).astype(np.float64) for level in range(first, len(coding.levels))]
        if (value.codes < 0).any():
            for column in columns:
                column[value.codes < 0] = np.nan
        return names, columns
    padded = np.vstack([matrix, np.full((1, matrix.shape[1]), np.nan)])
    return names, [padded[value.codes, j] for j in range(matrix.shape[1])]


def _coding(name: str, coding: FactorCoding, *, full: bool) -> tuple[FloatArray | None, Sequence[Any], str]:
    levels = coding.levels.tolist()
    if not full and len(levels) < 2:  # noqa: PLR2004 - nothing to compare
        raise DataError(
            f"The factor `{name}` has a single level, {shown_labels(levels)}, in the rows used: there is nothing to "
            "compare. Remove it from the formula."
        )
    if full:
        return None, levels, "{name}[{field}]"
    if coding.contrasts is None:
        # the default, spelled out because it is by far the most common
        return None, levels[1:], "{name}[T.{field}]"
    try:
        matrix, fields, pattern = _formulaic.coding(coding.contrasts, levels, reduced=not full)
    except (ValueError, TypeError, IndexError) as error:
        raise FormulaError(
            f"The contrasts of `{name}` do not fit its levels {shown_labels(levels)}: {error}"
        ) from error
    if matrix.shape[0] != len(levels):
        raise FormulaError(f"The contrasts of `{name}` have {matrix.shape[0]} rows for {len(levels)} levels.")
    return matrix, fields, pattern


def _product(factors: list[_Block]) -> _Block:
    """Columns of an interaction: all products, the first factor varying fastest."""
    names: list[str] = []
    columns: list[FloatArray] = []
    pairs = [list(zip(*factor, strict=True)) for factor in factors]
    for combination in itertools.product(*reversed(pairs)):
        ordered = combination[::-1]
        names.append(":".join(name for name, _ in ordered))
        column = ordered[0][1]
        for _, other in ordered[1:]:
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # sizes that are refused
                column = column * other
        columns.append(column)
    return names, columns


def _fill(X: FloatArray, blocks: list[list[FloatArray]]) -> None:
    for j, column in enumerate(itertools.chain.from_iterable(blocks)):
        X[:, j] = column


def _as_fitted(expression: str, value: Value, coding: FactorCoding | None, rows: Rows) -> Value:
    """Value on new data in the form that it had in the fit; missing where one of its columns is."""
    if coding is not None:
        if isinstance(value, np.ndarray):
            value = as_categorical(with_missing(value))
        if isinstance(value, Basis):
            raise DataError(f"`{expression}` was categorical in the data of the fit, and is not in the new data.")
        return _recode(expression, value, coding.levels)
    if isinstance(value, Categorical):
        raise DataError(
            f"`{expression}` was numeric in the data of the fit; in the new data it is categorical, with levels "
            f"{shown_labels(value.levels)}."
        )
    if syntax.column_of(expression) is None:
        # a comparison, or a spline, would make a number of a missing value
        absent = [rows.column(name).missing for name in syntax.columns_in(expression) if name in rows]
        for mask in absent:
            value = value if mask is None else _without(value, mask)
    return value


def _without(value: FloatArray | Basis, rows: BoolArray) -> FloatArray | Basis:
    """Copy with some rows missing."""
    array = np.array(value.matrix if isinstance(value, Basis) else value)
    array[rows] = np.nan
    return Basis(array, value.fields, value.pattern) if isinstance(value, Basis) else array


def _recode(expression: str, value: Categorical, levels: pd.Index[Any]) -> Categorical:
    """Codes of new data with respect to the levels of the fit."""
    position = match_levels(value.levels, levels)
    if (position < 0).any():
        raise DataError(
            f"`{syntax.shown(expression)}` has levels that the data of the fit did not have: "
            f"{shown_labels(value.levels[position < 0])}. Known levels: {shown_labels(levels, 10)}."
        )
    return Categorical(np.append(position, -1)[value.codes], levels)
