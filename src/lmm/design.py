"""From a formula and a data frame to the arrays of the model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lmm import checks
from lmm.encoding import Encoding, Evaluated, encode
from lmm.errors import DataError, LMMWarning, warn
from lmm.expressions import Rows, evaluate
from lmm.formula import ModelFormula, RandomPart, expand_dot
from lmm.frames import as_table
from lmm.grouping import Grouping, group
from lmm.linalg import RANK_TOLERANCE, BoolArray, FloatArray, IntArray, triangular_factor
from lmm.magnitudes import check_magnitudes
from lmm.rows import RowsUsed, as_expression, choose_rows, columns_used, numbers_of, require_argument, row_argument
from lmm.syntax import shown
from lmm.variables import Variable, read_variables

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Design", "RandomTerm", "build_design"]


@dataclass(frozen=True, eq=False, repr=False)
class RandomTerm:
    """
    One ``(effects | group)``: columns of the effects and the group of each row.

    Attributes
    ----------
    group : str
        Key of the group, ``"a:b"`` for an interaction.
    effects : tuple of str
        Names of the k columns.
    columns : ndarray (n, k)
    codes : ndarray (n,)
        Group of each row, from 0 to J - 1; every group occurs.
    levels : Index (J,)
        Labels of the groups; a MultiIndex for an interaction.
    structure : str
        "unstructured" or "diagonal".
    encoding : Encoding
        Builds the columns on new data.
    grouping : Grouping
        Finds the groups in new data.
    """

    group: str
    effects: tuple[str, ...]
    columns: FloatArray
    codes: IntArray
    levels: pd.Index[Any]
    structure: str
    encoding: Encoding
    grouping: Grouping

    def __repr__(self) -> str:
        return f"<RandomTerm {self.group!r}: {', '.join(self.effects)} for {len(self.levels)} levels>"


@dataclass(frozen=True, eq=False, repr=False)
class Design:
    """
    The arrays of a model, and how to build them on new data.

    Attributes
    ----------
    formula : ModelFormula
    response_name : str
    y : ndarray (n,)
        The response, offsets not subtracted.
    X : ndarray (n, p)
        Fixed-effects matrix of full column rank, in Fortran order.
    R : ndarray (p, p)
        Upper triangular factor of sqrt(w) X.
    names : tuple of str
        Names of the p columns.
    all_names, kept : tuple of str, ndarray of bool
        Names before aliased columns were dropped, and which of them stayed.
    aliasing : ndarray (p, number dropped)
        Each dropped column as a combination of those that stayed.
    terms : tuple of RandomTerm
        By decreasing number of groups.
    weights, offset : ndarray (n,) or None
    index : Index (n,)
        Index of the rows used.
    rows : ndarray (n,) or None
        Positions of the rows used in the data, None when all are.
    n_missing, n_zero_weight : int
        Rows left out for a missing value, and for a weight of zero.
    fixed_encoding : Encoding
        Builds the columns of X (before dropping) on new data.
    offset_states : tuple of dict
        What the transforms of each ``offset()`` of the formula remember.
    offset_argument, weights_argument : str or None
        Column or expression that was given for them.
    offset_given : bool
        Whether part of the offset came as an array, which new data cannot provide.
    variables : dict of str to Factor or Covariate
        Levels, or mean and standard deviation, of the columns that the fixed part uses, then of those that only the
        offset uses.
    """

    formula: ModelFormula
    response_name: str
    y: FloatArray
    X: FloatArray
    R: FloatArray
    names: tuple[str, ...]
    all_names: tuple[str, ...]
    kept: BoolArray
    aliasing: FloatArray
    terms: tuple[RandomTerm, ...]
    weights: FloatArray | None
    offset: FloatArray | None
    index: pd.Index[Any]
    rows: IntArray | None
    n_missing: int
    n_zero_weight: int
    fixed_encoding: Encoding
    offset_states: tuple[dict[str, Any], ...]
    offset_argument: str | None
    offset_given: bool
    weights_argument: str | None
    variables: dict[str, Variable]

    def __repr__(self) -> str:
        n, p = self.X.shape
        q = sum(len(term.levels) * len(term.effects) for term in self.terms)
        return f"<Design {self.formula.text!r}: n = {n}, p = {p}, q = {q}>"

    @property
    def y_less_offset(self) -> FloatArray:
        """The response less all offsets, shape (n,)."""
        return self.y if self.offset is None else self.y - self.offset

    @property
    def root_weights(self) -> FloatArray:
        """Square roots of the precision weights, shape (n,); ones where there are none."""
        return np.ones(len(self.y)) if self.weights is None else np.sqrt(self.weights)

    def with_response(self, y: FloatArray) -> Design:
        """
        The same design with another response, shape (n,).

        Raises
        ------
        DataError
            When its size is out of the range of what can be computed.
        """
        check_magnitudes(self.response_name, y, self.weights, [(self.names, self.X), *_effects(self.terms)])
        return replace(self, y=y)

    def fixed_columns(self, data: Any) -> FloatArray:  # noqa: ANN401 - frames of any library
        """X (n_new, p) for new data; a row with a missing value is NaN."""
        return self.fixed_encoding.columns(self.new_rows(data))[:, self.kept]

    def random_columns(self, data: Any, term: int) -> FloatArray:  # noqa: ANN401
        """Columns (n_new, k) of random term number ``term`` for new data."""
        return self.terms[term].encoding.columns(self.new_rows(data))

    def group_codes(self, data: Any, term: int) -> IntArray:  # noqa: ANN401
        """Groups (n_new,) of new data, with the codes of `lmm.grouping` for new levels and missing labels."""
        return self.terms[term].grouping.codes(self.new_rows(data))

    def group_labels(self, data: Any, term: int) -> pd.Index[Any]:  # noqa: ANN401
        """Labels (n_new,) of the groups of new data, as they stand there."""
        return self.terms[term].grouping.labels(self.new_rows(data))

    def new_offset(self, data: Any) -> FloatArray | None:  # noqa: ANN401
        """Offset (n_new,) that the formula, or a column named as argument, gives to new data; None if neither."""
        rows = self.new_rows(data)
        total: FloatArray | None = None
        expressions = [*self.formula.offset, *([self.offset_argument] if self.offset_argument else [])]
        states = [*self.offset_states, {}]
        require_argument("offset", self.offset_argument, rows)
        for expression, state in zip(expressions, states, strict=False):
            value = numbers_of(expression, rows, state, fitting=False)
            total = value if total is None else total + value
        return total

    def new_weights(self, data: Any) -> FloatArray | None:  # noqa: ANN401
        """Positive weights (n_new,) that a column or an expression gives to new data, NaN if missing; or None."""
        if self.weights is None:
            return None
        if self.weights_argument is None:
            raise DataError(
                "The model was fitted with weights given as an array, which new data cannot provide: "
                "fit with weights='column' to say what the precision of a new observation is."
            )
        rows = self.new_rows(data)
        require_argument("weights", self.weights_argument, rows)
        weights = numbers_of(self.weights_argument, rows, {}, fitting=False)
        if (weights <= 0).any():
            first = int(np.argmax(weights <= 0))
            raise DataError(
                f"The weights of new data, {self.weights_argument!r}, must be positive: Var(e_i) = sigma^2 / w_i. "
                f"Row {first} (counted from 0) has {weights[first]:g}."
            )
        return weights

    def new_rows(self, data: Any) -> RowsUsed:  # noqa: ANN401
        """New data as rows from which columns are taken; pass the result in place of the data to read them once."""
        return data if isinstance(data, RowsUsed) else RowsUsed(as_table(data), None, self.formula.text)


def build_design(
    formula: ModelFormula,
    data: Any,  # noqa: ANN401 - frames of any library
    *,
    weights: Any = None,  # noqa: ANN401 - a column name or any array
    offset: Any = None,  # noqa: ANN401 - idem
    na_action: str = "drop",
    sigma_fixed: bool = False,
    estimable: bool = True,
    contrasts: dict[str, Any] | None = None,
) -> Design:
    """
    Arrays of a model for a data frame.

    Rows with a missing value in a column that the formula uses are left out, and so are rows of weight zero.
    Transforms that learn from the data (``poly``, ``scale``, splines) see the rows used only.

    Parameters
    ----------
    formula : ModelFormula
    data : DataFrame
        pandas, polars, pyarrow, or a dict of columns.
    weights, offset : str or array_like (n,), optional
        Name of a column, an expression, or one number for each row of the data, matched by position: the index of a
        Series must be that of the data, or the default one.
    na_action : {"drop", "raise"}
        What to do about missing values.
    sigma_fixed : bool
        Whether the residual standard deviation is known; then a term may have as many effects as there are rows.
    estimable : bool
        Whether models are refused whose variances the data do not tell apart.
    contrasts : dict, optional
        Coding of factors by name: "sum", "treatment", "helmert", "poly", "diff", or one of formulaic's contrasts.

    Returns
    -------
    Design

    Raises
    ------
    FormulaError, DataError, ModelError, ArgumentError
        With what was expected and the way out.
    """
    table = as_table(data)
    checks.check_table(table, na_action)
    given = {argument for argument in (weights, offset) if isinstance(argument, str)}
    formula = expand_dot(formula, tuple(str(name) for name in table.names if name not in given))
    used = columns_used(formula, table)
    w, w_column = row_argument("weights", weights, table, formula)
    o, o_column = row_argument("offset", offset, table, formula)
    used |= {**w_column, **o_column}
    rows, n_missing, n_zero = choose_rows(table, used, w, o, na_action)
    selected = RowsUsed(table, rows, formula.text)
    codings = checks.read_contrasts(contrasts)
    evaluated = Evaluated(selected, codings)

    y = _response(formula, selected)
    w = w if w is None or rows is None else w[rows]
    total, offset_states = _offset(formula, selected, o if o is None or rows is None else o[rows])
    X, encoding = encode(formula.fixed, evaluated)
    terms = _random_terms(formula, selected, evaluated)
    check_magnitudes(shown(formula.response), y, w, [(encoding.names, X), *_effects(terms)])
    X, R, kept, aliasing = _full_rank(X, w)
    names = tuple(name for name, keep in zip(encoding.names, kept, strict=True) if keep)
    checks.check_contrasts(codings, [encoding, *(term.encoding for term in terms)])
    checks.check_model((X.shape[0], X.shape[1]), terms, encoding)
    design = Design(
        formula=formula,
        response_name=shown(formula.response),
        y=y,
        X=X,
        R=R,
        names=names,
        all_names=encoding.names,
        kept=kept,
        aliasing=aliasing,
        terms=terms,
        weights=w,
        offset=total,
        index=selected.index,
        rows=rows,
        n_missing=n_missing,
        n_zero_weight=n_zero,
        fixed_encoding=encoding,
        offset_states=offset_states,
        offset_argument=as_expression(offset),
        offset_given=offset is not None and not isinstance(offset, str),
        weights_argument=as_expression(weights),
        variables=read_variables(_mean_expressions(formula, as_expression(offset)), selected),
    )
    _warn_of_powers(formula, evaluated)
    if estimable:
        checks.check_estimable(design, sigma_fixed=sigma_fixed)
    return design


def _warn_of_powers(formula: ModelFormula, evaluated: Evaluated) -> None:
    """Say where a power stands that changes nothing: it is easily taken for arithmetic."""
    for power in formula.idle_powers:
        way = "leave the power out" if evaluated.is_factor(power.base) else f"for the power write `I({power})`"
        warn(
            f"`{power}` in the formula stands for `{power.base}` alone, as in R: outside I() the sign {power.sign} "
            f"makes interactions of several terms, and a single variable has none; {way}",
            LMMWarning,
        )


def _effects(terms: tuple[RandomTerm, ...]) -> list[tuple[tuple[str, ...], FloatArray]]:
    """Names and columns of the effects of each random term."""
    return [(term.effects, term.columns) for term in terms]


def _full_rank(X: FloatArray, weights: FloatArray | None) -> tuple[FloatArray, FloatArray, BoolArray, FloatArray]:
    """X without dependent columns, R, which columns stayed, and those that did not in terms of these: see `Design`."""
    R, kept = triangular_factor(X if weights is None else np.sqrt(weights)[:, None] * X)
    if kept.all():
        return X, R, kept, np.zeros((len(R), 0))
    independent = np.asfortranarray(X[:, kept])
    return independent, R, kept, _combinations(independent, X[:, ~kept])


def _combinations(X: FloatArray, dropped: FloatArray) -> FloatArray:
    """Coefficients of columns that are combinations of those of X."""
    coefficients = np.asarray(np.linalg.lstsq(X, dropped, rcond=None)[0], dtype=np.float64)
    size = np.abs(coefficients).max(axis=0, initial=0.0)
    coefficients[np.abs(coefficients) <= RANK_TOLERANCE * size] = 0.0
    return coefficients


def _mean_expressions(formula: ModelFormula, offset: str | None) -> list[str]:
    """Expressions that the mean of the response depends on: the fixed part, then the offset."""
    fixed = [expression for term in formula.fixed.terms for expression in term]
    return [*fixed, *formula.offset, *([offset] if offset is not None else [])]


def _response(formula: ModelFormula, rows: Rows) -> FloatArray:
    value = evaluate(formula.response, rows, {}, fitting=True)
    return checks.check_response(formula, value)


def _offset(
    formula: ModelFormula, rows: Rows, given: FloatArray | None
) -> tuple[FloatArray | None, tuple[dict[str, Any], ...]]:
    """Sum of the offsets, and what their transforms remember."""
    total = None if given is None else given.copy()
    states: list[dict[str, Any]] = []
    for expression in formula.offset:
        state: dict[str, Any] = {}
        value = numbers_of(expression, rows, state, fitting=True)
        checks.require_finite(f"offset({expression})", value)
        total = value.copy() if total is None else total + value
        states.append(state)
    return total, tuple(states)


def _random_terms(formula: ModelFormula, rows: Rows, evaluated: Evaluated) -> tuple[RandomTerm, ...]:
    """Random terms by decreasing number of groups, as lme4 orders them."""
    grouped: dict[tuple[str, ...], tuple[IntArray, Grouping]] = {}
    terms = [_random_term(part, rows, evaluated, grouped) for part in formula.random]
    return tuple(sorted(terms, key=lambda term: -len(term.levels)))


def _random_term(
    part: RandomPart,
    rows: Rows,
    evaluated: Evaluated,
    grouped: dict[tuple[str, ...], tuple[IntArray, Grouping]],
) -> RandomTerm:
    if part.group not in grouped:
        grouped[part.group] = group(part.group, rows)
    codes, grouping = grouped[part.group]
    columns, encoding = encode(part.effects, evaluated)
    return RandomTerm(
        group=part.name,
        effects=encoding.names,
        columns=columns,
        codes=codes,
        levels=grouping.levels,
        structure=part.structure,
        encoding=encoding,
        grouping=grouping,
    )
