"""
Values of factor expressions: ``Days``, ``log(x + 1)``, ``poly(x, 2)``, ``C(f, contr.sum)``.

Expressions are interpreted here, node by node, rather than handed to Python's ``eval``: a name that is called is a
function of the formula language, any other name is a column of the data, and nothing else can be reached. What a
transform learns from the data of the fit (the basis of ``poly``, the mean of ``scale``, the levels of ``factor``) goes
into a state, with which the same expression gives the same columns on new data.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from lmm import _formulaic, syntax
from lmm.columns import Categorical, Column, as_categorical, predictor, shown_labels, with_missing
from lmm.errors import DataError, FormulaError, LMMError
from lmm.formula import point_at
from lmm.frames import near_matches
from lmm.linalg import FloatArray
from lmm.transforms import INSTEAD, NUMPY, PLAIN, STATEFUL, SUMMARIES

__all__ = ["Basis", "Rows", "State", "Value", "evaluate"]

State = dict[str, Any]

# Share of the range of values within which the same value may be computed again.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Basis:
    """Several numeric columns from one expression; ``fields`` stand in the brackets of their names."""

    matrix: FloatArray
    fields: tuple[str, ...]
    pattern: str = "{name}[{field}]"


Value = FloatArray | Basis | Categorical


class Rows(Protocol):
    """Where expressions find their columns: the rows used, without missing values."""

    @property
    def n(self) -> int:
        """Number of rows."""
        ...

    @property
    def formula(self) -> str:
        """Text of the formula, for messages."""
        ...

    def __contains__(self, name: str) -> bool: ...

    def column(self, name: str) -> Column:
        """Values of a column in these rows."""
        ...

    def warn_once(self, message: str) -> None:
        """Warn, though several terms may evaluate the same expression on these rows."""
        ...


def evaluate(expression: str, rows: Rows, state: State, *, fitting: bool) -> Value:
    """
    Value of a factor expression on some rows.

    Parameters
    ----------
    expression : str
        Canonical text, see `lmm.syntax.canonical`.
    rows : Rows
        The columns.
    state : dict
        Filled when ``fitting``, used otherwise.

    Returns
    -------
    ndarray (n,), Basis or Categorical

    Raises
    ------
    FormulaError
        If the expression calls something unknown, or cannot be computed.
    DataError
        If a function meets data that it cannot take.
    """
    name = syntax.column_of(expression)
    if name is not None:
        column = predictor(rows.column(name))
        return column if isinstance(column, Categorical) else np.asarray(column.numbers, dtype=np.float64)
    value = _Interpreter(expression, rows, state, fitting).run()
    return _as_value(value, expression, rows.n, rows.formula)


def _as_value(value: Any, expression: str, n: int, formula: str) -> Value:  # noqa: ANN401 - a user's call may return anything
    if isinstance(value, Categorical):
        return value
    bare, names, pattern = _formulaic.unwrap(value)
    if isinstance(bare, pd.DataFrame):
        names, bare = [str(c) for c in bare.columns], bare.to_numpy()
    if isinstance(bare, Mapping):
        names = [str(key) for key in bare]
        bare = np.column_stack([np.asarray(column) for column in bare.values()])
    try:
        array = np.asarray(bare, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise point_at(f"`{expression}` gives {type(bare).__name__}, not numbers.", formula, expression) from error
    if array.ndim == 0:
        raise point_at(f"`{expression}` gives a single number; a term needs a value for each row.", formula, expression)
    if array.ndim > 2 or array.shape[0] != n:  # noqa: PLR2004 - a matrix
        raise point_at(f"`{expression}` gives {array.shape[0]} values for {n} rows.", formula, expression)
    if array.ndim == 1:
        return array
    fields = names if names is not None else [str(i) for i in range(array.shape[1])]
    return Basis(array, tuple(fields), pattern)


_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
}
_UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Not: np.logical_not,
    ast.Invert: np.logical_not,
}
_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def _advice(name: str, rows: Rows) -> str:
    """Say what may be meant by a function that does not exist."""
    if name in INSTEAD:
        return INSTEAD[name]
    if name in NUMPY or isinstance(getattr(np, name, None), np.ufunc):
        return f"Write np.{name}(...)."
    if name == "offset":
        return "offset(...) must be a term of its own, added with `+`."
    column = name if name in rows else name.partition(".")[0]
    if column in rows:
        return f"{column!r} is a column, which cannot be called; write `+` or `*` between terms."
    known = [*STATEFUL, *PLAIN, *syntax.FACTOR_CALLS]
    close = near_matches(name, known)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    return f"There are {', '.join(sorted(known, key=str.lower))}, and the elementwise functions of NumPy as np.*."


_LOGICAL = (operator.and_, operator.or_, np.logical_not)


class _Interpreter:
    """Walks the tree of one expression."""

    def __init__(self, expression: str, rows: Rows, state: State, fitting: bool) -> None:
        self._expression = expression
        self._rows = rows
        self._state = state
        self._fitting = fitting

    def run(self) -> Any:  # noqa: ANN401 - numbers, arrays, categories
        return self._value(syntax.parse(self._expression))

    def _value(self, node: ast.expr) -> Any:  # noqa: ANN401, PLR0911 - one return for each kind of node
        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                return self._name(syntax.decode_name(node.id))
            case ast.Call():
                return self._call(node)
            case ast.BinOp() if type(node.op) in _BINARY:
                return self._arithmetic(_BINARY[type(node.op)], node, node.left, node.right)
            case ast.UnaryOp():
                return self._arithmetic(_UNARY[type(node.op)], node, node.operand)
            case ast.Compare() if len(node.ops) == 1 and type(node.ops[0]) in _COMPARE:
                return self._compare(_COMPARE[type(node.ops[0])], node, node.left, node.comparators[0])
            case ast.Tuple() | ast.List():
                return [self._value(element) for element in node.elts]
            case ast.Dict() if all(key is not None for key in node.keys):
                return {self._value(k): self._value(v) for k, v in zip(node.keys, node.values, strict=True) if k}
        raise self._error(
            f"`{self._shown(node)}` is not of the formula language: use arithmetic, comparisons and functions of "
            "columns, or compute the column before.",
            node,
        )

    def _name(self, name: str) -> Any:  # noqa: ANN401
        if name in self._rows:
            column = predictor(self._rows.column(name))
            if isinstance(column, Categorical) or column.numbers.dtype.kind == "b":
                return column if isinstance(column, Categorical) else column.numbers
            numbers = np.asarray(column.numbers, dtype=np.float64).view()
            numbers.flags.writeable = False  # some functions of NumPy write into an argument
            return numbers
        if name in syntax.CONSTANTS:
            return syntax.CONSTANTS[name]
        if name in _formulaic.CONTRASTS:
            return _formulaic.CONTRASTS[name]()
        return self._rows.column(name)  # raises the error that lists near matches

    def _call(self, node: ast.Call) -> Any:  # noqa: ANN401
        if not isinstance(node.func, ast.Name):
            raise self._error(
                f"`{self._shown(node)}` does not call a function by its name; compute the column before.", node
            )
        name = syntax.decode_name(node.func.id)
        args = [self._value(argument) for argument in node.args]
        keywords = {str(pair.arg): self._value(pair.value) for pair in node.keywords}
        if name == "Q" and len(args) == 1:
            return self._name(str(args[0]))
        if name in syntax.FACTOR_CALLS and not args:
            raise self._error(f"`{self._shown(node)}` needs a column.", node)
        if name in syntax.FACTOR_CALLS:
            return self._guard(node, self._factor, name, node, *args, **keywords)
        if name in _formulaic.CONTRASTS:
            return self._guard(node, _contrasts, _formulaic.CONTRASTS[name], *args, **keywords)
        function = self._function(name, node)
        self._check_number(name, function, node)
        for argument in args:
            if isinstance(argument, Categorical) and name != "I":
                raise self._error(
                    f"`{self._shown(node)}` needs numbers, but its argument is categorical, with levels "
                    f"{shown_labels(argument.levels)}.",
                    node,
                )
        if name in STATEFUL:
            return self._stateful(name, function, node, args, keywords)
        with np.errstate(all="ignore"):
            value = self._guard(node, function, *args, **keywords)
        if np.ndim(value) == 0 and any(isinstance(argument, np.ndarray) for argument in args):
            # a mean is that of the rows of the fit, on new data too
            value = self._state.setdefault(self._shown(node), value)
        return value

    def _function(self, name: str, node: ast.Call) -> Callable[..., Any]:
        if name.startswith("np."):
            found = getattr(np, name[3:], None)
            if isinstance(found, np.ufunc) or (name[3:] in NUMPY and callable(found)):
                return found
        function = STATEFUL.get(name) or PLAIN.get(name)
        if function is None:
            raise self._error(f"There is no function {name!r} in formulas. {_advice(name, self._rows)}", node)
        return function

    def _check_number(self, name: str, function: Callable[..., Any], node: ast.Call) -> None:
        """Refuse further arguments of elementwise functions, where NumPy puts its output, and of summaries."""
        name = name.removeprefix("np.")
        most = function.nin if isinstance(function, np.ufunc) else 1 if name in SUMMARIES else None
        if most is None or (len(node.args) <= most and not node.keywords):
            return
        advice = {
            "log": " For another base, write log2, log10 or I(log(x) / log(base)).",
            "min": " Write np.minimum(a, b) for the smaller of two.",
            "max": " Write np.maximum(a, b) for the larger of two.",
        }.get(name, "")
        raise self._error(
            f"`{self._shown(node)}`: {name} takes {most} argument{'s' if most > 1 else ''}.{advice}",
            node,
        )

    def _stateful(
        self, name: str, function: Callable[..., Any], node: ast.Call, args: list[Any], keywords: dict[str, Any]
    ) -> Any:  # noqa: ANN401
        key = self._shown(node)
        state = self._state.setdefault(key, {})
        if name == "bs" and not self._fitting and "extrapolation" not in keywords:
            # formulaic refuses values outside the range of the fit; R extends the polynomials, and so do we
            keywords["extrapolation"] = "extend"
            self._warn_beyond(node, args[0] if args else keywords["x"], state)
        return self._guard(node, function, *args, **keywords, _state=state)

    def _warn_beyond(self, node: ast.Call, x: Any, state: State) -> None:  # noqa: ANN401 - what a user's call is given
        """Say how many values lie outside the boundary knots of a B-spline, whose polynomials lead far away there."""
        low, high = state["lower_bound"], state["upper_bound"]
        rounding = ROUNDING * (high - low)
        outside = (x < low - rounding) | (x > high + rounding)
        if outside.any():
            self._rows.warn_once(
                f"{outside.sum()} of {len(outside)} rows of the new data lie outside the range of "
                f"`{self._shown(node)}` in the fit, {low:g} to {high:g} (they go from {np.nanmin(x):g} to "
                f"{np.nanmax(x):g}). There its outermost polynomial goes on, which soon leads far away: do not rely on "
                "these predictions, or fit ns() in place of bs(), which goes on as a straight line"
            )

    def _factor(self, name: str, node: ast.Call, x: Any, *args: Any, **keywords: Any) -> Categorical:  # noqa: ANN401
        """``C(x, contrasts, base=, levels=)`` and ``factor(x, levels=)``."""
        source = x if isinstance(x, Categorical) else as_categorical(with_missing(np.asarray(x)))
        levels = keywords.pop("levels", None)
        ordered = bool(keywords.pop("ordered", source.ordered))
        contrasts = source.contrasts
        if name == "C":
            contrasts = keywords.pop("contrasts", args[0] if args else contrasts)
            base = keywords.pop("base", keywords.pop("reference", None))
            if base is not None:
                contrasts = _contrasts(_formulaic.CONTRASTS["contr.treatment"], base=base)
            if contrasts is not None and not hasattr(contrasts, "get_coding_matrix"):
                contrasts = _formulaic.custom_contrasts(contrasts)
        elif args:
            levels = args[0]
        if keywords:
            raise self._error(f"`{self._shown(node)}`: unknown argument {', '.join(keywords)}.", node)
        if levels is None or not self._fitting:
            # on new data, whoever remembers the levels of the fit compares them with these
            return Categorical(source.codes, source.levels, ordered, contrasts)
        return _reorder(source, pd.Index(levels), ordered, contrasts, self._shown(node))

    def _arithmetic(self, function: Callable[..., Any], node: ast.expr, *operands: ast.expr) -> Any:  # noqa: ANN401
        values = [self._value(operand) for operand in operands]
        for value in values:
            if isinstance(value, (Categorical, str)):
                what = "text" if isinstance(value, str) else f"categorical, with levels {shown_labels(value.levels)}"
                raise self._error(f"`{self._shown(node)}` calculates with something that is {what}.", node)
        if function not in _LOGICAL:
            # True + True is 2 here, as in R
            values = [v.astype(np.float64) if getattr(v, "dtype", None) == np.bool_ else v for v in values]
        with np.errstate(all="ignore"):
            return self._guard(node, function, *values)

    def _compare(self, function: Callable[..., Any], node: ast.expr, left: ast.expr, right: ast.expr) -> Any:  # noqa: ANN401
        first, second = self._value(left), self._value(right)
        if isinstance(second, Categorical) and not isinstance(first, Categorical):
            first, second = second, first
        if not isinstance(first, Categorical):
            return self._guard(node, function, first, second)
        if function not in (operator.eq, operator.ne) or isinstance(second, Categorical):
            raise self._error(
                f"`{self._shown(node)}`: categories can only be compared with a label, by == or !=.", node
            )
        wanted = np.asarray(first.levels == second) | np.asarray(first.levels.astype(str) == str(second))
        return function(wanted[first.codes], True)

    def _guard(self, node: ast.expr, function: Callable[..., Any], *args: Any, **keywords: Any) -> Any:  # noqa: ANN401
        """Call with the user's own arguments; whatever goes wrong is told with the expression."""
        try:
            return function(*args, **keywords)
        except LMMError:
            raise
        except Exception as error:
            raise self._error(f"`{self._shown(node)}` cannot be computed: {error}", node) from error

    def _error(self, message: str, node: ast.expr) -> FormulaError:
        return point_at(message, self._rows.formula, self._shown(node))

    def _shown(self, node: ast.expr) -> str:
        text = ast.unparse(node)
        return syntax.decode(text.replace(" ** ", "^") if "^" in self._expression else text)


def _contrasts(kind: type[Any], *args: Any, **keywords: Any) -> Any:  # noqa: ANN401 - formulaic is untyped
    """Contrast object from a call such as ``contr.treatment(base="b")``."""
    if "reference" in keywords:
        keywords["base"] = keywords.pop("reference")
    return kind(*args, **keywords)


def _reorder(source: Categorical, levels: pd.Index[Any], ordered: bool, contrasts: Any, shown: str) -> Categorical:  # noqa: ANN401
    """Codes with respect to the levels that the user lists."""
    position = levels.get_indexer(source.levels)
    if (position < 0).any():
        raise DataError(
            f"`{shown}` leaves out levels that occur in the data: {shown_labels(source.levels[position < 0])}. "
            "List them too, or drop those rows."
        )
    return Categorical(position.astype(np.intp), levels, ordered, contrasts).take(source.codes)
