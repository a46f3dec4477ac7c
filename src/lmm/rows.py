"""Which rows of the data a model uses, and what is read from them: columns, weights and offsets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lmm import checks
from lmm.alignment import check_positions
from lmm.columns import Categorical, Column
from lmm.errors import DataError, LMMWarning, warn
from lmm.expressions import Rows, evaluate
from lmm.formula import ModelFormula
from lmm.frames import Table
from lmm.linalg import FloatArray, IntArray
from lmm.syntax import canonical, column_of, columns_in

__all__ = ["RowsUsed", "as_expression", "choose_rows", "columns_used", "numbers_of", "require_argument", "row_argument"]


class RowsUsed:
    """The rows used of a table: columns without missing values."""

    def __init__(self, table: Table, rows: IntArray | None, formula: str) -> None:
        self._table = table
        self._rows = rows
        self.formula = formula
        self.names = table.names
        self._taken: dict[str, Column] = {}
        self._said: set[str] = set()
        self.n = table.n if rows is None else len(rows)
        self.index = table.index if rows is None else table.index[rows]

    def __contains__(self, name: str) -> bool:
        return name in self._table

    def column(self, name: str) -> Column:
        """Values of a column in these rows; refused with its near matches where there is none."""
        if name not in self._table:
            raise checks.unknown_column(name, self._table.names, self.formula)
        if self._rows is None:
            return self._table.column(name)
        taken = self._taken.get(name)
        if taken is None:
            taken = self._taken[name] = self._table.column(name).take(self._rows)
        return taken

    def warn_once(self, message: str) -> None:
        """Warn, though several terms may evaluate the same expression on these rows."""
        if message not in self._said:
            self._said.add(message)
            warn(message, LMMWarning)


def columns_used(formula: ModelFormula, table: Table) -> dict[str, Column]:
    """Columns that the formula names."""
    used: dict[str, Column] = {}
    for expression in _expressions(formula):
        for name in _columns_of(expression, table, formula.text):
            if name not in used:
                used[name] = table.column(name)
    return used


def _expressions(formula: ModelFormula) -> list[str]:
    found = [formula.response]
    for term in formula.fixed.terms:
        found.extend(term)
    for part in formula.random:
        for term in part.effects.terms:
            found.extend(term)
        found.extend(part.group)
    return [*found, *formula.offset]


def _columns_of(expression: str, data: Table | RowsUsed, formula: str | None, where: str = "") -> Iterator[str]:
    """Columns that an expression uses; refuses a name that is neither a column of the data nor a constant."""
    plain = column_of(expression) is not None
    for name in columns_in(expression):
        if name in data:
            yield name
        elif plain or not checks.is_constant(name):
            raise checks.unknown_column(name, data.names, formula, where, calculated=not plain, index=data.index)


def row_argument(
    what: str,
    given: Any,  # noqa: ANN401 - a column name or any array
    table: Table,
    formula: ModelFormula,
) -> tuple[FloatArray | None, dict[str, Column]]:
    """Weights, or another argument with one number per row, for all rows of the data; and the columns it comes from."""
    if given is None:
        return None, {}
    if not isinstance(given, str):
        values = checks.vector_argument(what, given, table.n)
        check_positions(what, given, table.index, "the rows of the data", f"{what}.loc[data.index]")
        return values, {}
    expression = given if given in table else _canonical(what, given)
    used = (given,) if given in table else _columns_of(expression, table, None, f"{what}={given!r}")
    columns = {name: table.column(name) for name in used}
    column = columns.get(given)
    if isinstance(column, Categorical):
        raise DataError(f"{what}={given!r} is a column of labels; numbers are expected.")
    if column is None:
        # where its columns have no value it has none either; elsewhere it must have one
        value = numbers_of(expression, RowsUsed(table, None, formula.text), {}, fitting=True)
        present = np.logical_and.reduce([~c.missing for c in columns.values() if c.missing is not None], initial=True)
        checks.require_finite(f"{what}={given!r}", np.where(present, value, 0.0))
    else:
        value = column.numbers
    return checks.vector_argument(what, value, table.n), columns


def numbers_of(expression: str, rows: Rows, state: dict[str, Any], *, fitting: bool) -> FloatArray:
    """Value of an expression that must be one number for each row; see `lmm.expressions.evaluate`."""
    value = evaluate(expression, rows, state, fitting=fitting)
    if not isinstance(value, np.ndarray):
        raise DataError(f"`{expression}` gives categories or several columns; one number for each row is expected.")
    return value


def require_argument(what: str, expression: str | None, rows: RowsUsed) -> None:
    """Refuse new data without a column that weights or offset were taken from."""
    if expression is not None:
        tuple(_columns_of(expression, rows, None, f"{what}={expression!r}"))


def as_expression(given: Any) -> str | None:  # noqa: ANN401
    """Weights or offset as an expression that can be evaluated on new data; None for an array."""
    if not isinstance(given, str):
        return None
    return given if column_of(given) is not None else canonical(given)


def _canonical(what: str, text: str) -> str:
    """Canonical text of weights or an offset given as an expression."""
    try:
        return canonical(text)
    except SyntaxError as error:
        raise DataError(f"{what}={text!r} is neither a column nor an expression ({error.msg}).") from error


def choose_rows(
    table: Table,
    used: dict[str, Column],
    weights: FloatArray | None,
    offset: FloatArray | None,
    na_action: str,
) -> tuple[IntArray | None, int, int]:
    """Positions of the rows used (None: all), and how many were left out for missing values and zero weights."""
    absent = {name: column.missing for name, column in used.items()}
    for what, values in (("weights", weights), ("offset", offset)):
        if values is not None and what not in absent:
            absent[what] = np.isnan(values)
    missing = [mask for mask in absent.values() if mask is not None]
    dropped = np.logical_or.reduce(missing) if missing else None
    n_missing = 0 if dropped is None else int(dropped.sum())
    if n_missing:
        checks.check_missing(absent, n_missing, table.n, na_action)
    zero = None if weights is None else weights == 0
    n_zero = 0
    if zero is not None and zero.any():
        n_zero = int((zero if dropped is None else zero & ~dropped).sum())
        dropped = zero if dropped is None else dropped | zero
    if n_missing + n_zero == 0 or dropped is None:
        return None, 0, 0
    rows = np.flatnonzero(~dropped)
    if rows.size == 0:
        raise DataError("No row is left: those without missing values all have weight zero.")
    return rows, n_missing, n_zero
