"""What is refused on the way from data to design, each with the way out."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lmm import _formulaic, syntax
from lmm.columns import NUMBERS, Categorical, shown_labels
from lmm.errors import ArgumentError, DataError, FormulaError, LMMError, LMMWarning, ModelError, warn
from lmm.expressions import Basis, Value
from lmm.formula import ModelFormula, formula_error, point_at
from lmm.frames import Table, near_matches
from lmm.linalg import BoolArray, FloatArray, triangular_factor

if TYPE_CHECKING:
    from lmm.design import Design, RandomTerm
    from lmm.encoding import Encoding

# Up to this many random effects, a refusal says what the data do identify.
MANY_EFFECTS = 10_000
# and says it in at most so many characters, since models that ask for too much have very many parameters.
LONGEST_EXPLANATION = 500
# Effects of a term that a message names.
MOST_EFFECTS_SHOWN = 5
# A predictor of text with more levels than this, of which at least this share of the rows are numbers, is likely meant
# as a number.
MANY_LEVELS = 20
MOSTLY_NUMBERS = 0.8


def is_constant(name: str) -> bool:
    """Whether a name in an expression stands for something other than a column."""
    return name in syntax.CONSTANTS or name in _formulaic.CONTRASTS


def unknown_column(
    name: str,
    names: Any,  # noqa: ANN401 - any iterable
    formula: str | None,
    where: str = "",
    *,
    calculated: bool = False,
    index: pd.Index[Any] | None = None,
) -> LMMError:
    """Error for a name that is no column; lists near matches, and says where else it may come from."""
    close = near_matches(name, names)
    listed = shown_labels(names, 12)
    hint = f"Did you mean {' or '.join(map(repr, close))}?" if close else f"Columns: {listed}."
    if index is not None and name in index.names:
        hint = "It is in the index of the data: data.reset_index() makes it a column."
    elif calculated and not close:
        hint += f' A formula sees columns only: a number goes into its text, f"... {{{name}}} ...".'
    if not all(isinstance(n, str) for n in names):
        hint += " A formula finds columns whose names are text: rename the others, data.columns = [...]."
    message = f"There is no column {name!r} in the data{' (' + where + ')' if where else ''}. {hint}"
    if formula is None:
        return DataError(message)
    return point_at(message, formula, name if syntax.quote(name) not in formula else syntax.quote(name))


def check_table(table: Table, na_action: str) -> None:
    """Refuse data without rows or columns, and an unknown na_action."""
    if not isinstance(na_action, str) or na_action not in ("drop", "raise"):
        raise ArgumentError(
            f'na_action must be "drop" (leave out rows with missing values) or "raise" (stop), not {na_action!r}.'
        )
    if not table.names:
        raise DataError("The data have no columns.")
    if table.n == 0:
        raise DataError("The data have no rows.")


def check_missing(absent: dict[str, BoolArray | None], n_missing: int, n: int, na_action: str) -> None:
    """Refuse missing values when asked to, and data without a complete row."""
    counts = {name: int(mask.sum()) for name, mask in absent.items() if mask is not None and mask.any()}
    listed = ", ".join(f"{name!r}: {count}" for name, count in counts.items())
    if na_action == "raise":
        raise DataError(
            f"{n_missing} of {n} rows have missing values ({listed}). Fill them in, or leave those rows out with "
            'na_action="drop".'
        )
    if n_missing == n:
        empty = [name for name, count in counts.items() if count == n]
        if empty:
            raise DataError(
                f"No complete row is left: {' and '.join(map(repr, empty))} {'is' if len(empty) == 1 else 'are'} "
                f"missing in all {n} rows. Leave {'it' if len(empty) == 1 else 'them'} out of the formula."
            )
        raise DataError(f"No complete row is left of {n}: each has a missing value in some column ({listed}).")


def vector_argument(what: str, given: Any, n: int) -> FloatArray:  # noqa: ANN401 - any array
    """Weights or offset as numbers; NaN marks a missing one."""
    expected = f"The {what} must be a column name or one number for each of the {n} rows"
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise DataError(f"{expected}; got a {type(given).__name__} of unequal parts.") from error
    if array.shape != (n,):
        raise DataError(f"{expected}; got {f'shape {array.shape}' if array.shape else f'a {type(given).__name__}'}.")
    kind = pd.api.types.infer_dtype(array, skipna=True)
    if kind not in (*NUMBERS, "empty"):
        raise DataError(f"{expected}; got values of type {kind}, no numbers.")
    if array.dtype == np.object_:
        array = np.where(pd.isna(array), np.nan, array)
    values = array.astype(np.float64)
    if np.isinf(values).any():
        raise DataError(f"The {what} hold infinite values, the first in row {int(np.argmax(np.isinf(values)))}.")
    if what == "weights":
        if (values < 0).any():
            raise DataError(
                f"The weights must not be negative: Var(e_i) = sigma^2 / w_i. Row {int(np.argmax(values < 0))} "
                f"(counted from 0) has {values[np.argmax(values < 0)]:g}."
            )
        if not (values > 0).any():
            raise DataError(f"The weights are all {'missing' if np.isnan(values).all() else 'zero'}: no row counts.")
    return values


def require_finite(what: str, value: Value) -> None:
    """Refuse numbers that an expression made of finite columns and that are not finite."""
    if isinstance(value, Categorical):
        return
    array = value.matrix if isinstance(value, Basis) else value
    bad = ~np.isfinite(array if array.ndim == 1 else array.sum(axis=1))
    if bad.any():
        raise DataError(
            f"`{what}` is not finite in {int(bad.sum())} of {len(bad)} rows (the first is row {int(np.argmax(bad))} of "
            "those used, counted from 0), as with the logarithm of zero or a division by zero. Drop those rows, or "
            "change the expression."
        )


def warn_of_numbers_as_text(expression: str, value: Categorical) -> None:
    """Say which cells make a factor of a column that is read as text but holds numbers elsewhere."""
    name = syntax.column_of(expression)
    if name is None or len(value.levels) <= MANY_LEVELS:
        return
    unread = _numbers_in_text(value.levels).isna().to_numpy()
    n_unread = int(unread[value.codes].sum())
    if not unread.any() or n_unread > (1.0 - MOSTLY_NUMBERS) * len(value.codes):
        return
    warn(
        f"the column {name!r} holds text and enters as a factor of {len(value.levels)} levels, but only "
        f"{_count(n_unread, 'cell')} of {len(value.codes)} cannot be read as a number: "
        f"{shown_labels(value.levels[unread])}. To use it as a number, with those cells missing, write "
        f'df[{name!r}] = pd.to_numeric(df[{name!r}], errors="coerce"); factor({syntax.quote(name)}) in the formula '
        "keeps the factor without this warning",
        LMMWarning,
    )


def check_response(formula: ModelFormula, value: Value) -> FloatArray:
    """Refuse a response that is not one varying number for each row; the result is a copy."""
    shown = syntax.shown(formula.response)
    end = len(formula.text.split("~", 1)[0].rstrip())
    if isinstance(value, Basis):
        raise formula_error(
            f"The response `{shown}` has {len(value.fields)} columns; one is needed.", formula.text, 0, end
        )
    if isinstance(value, Categorical):
        message = (
            f"The response `{shown}` is not numeric: its values are {shown_labels(value.levels)}. A Gaussian model "
            "needs a numeric response"
        )
        unread = value.levels[_numbers_in_text(value.levels).isna()]
        if not len(unread):
            message += "; these look like numbers stored as text: convert them with pandas.to_numeric()"
        elif len(unread) <= len(value.levels) // 2:
            message += f"; {shown_labels(unread)} cannot be read as {'numbers' if len(unread) > 1 else 'a number'}"
        raise formula_error(message + ".", formula.text, 0, end)
    require_finite(shown, value)
    y = np.array(value, dtype=np.float64)
    if y.size > 1 and np.all(y == y[0]):
        raise ModelError(
            f"The response `{shown}` is constant: it is {y[0]:g} in all {len(y)} rows used. There is no variation to "
            "explain."
        )
    return y


def check_model(shape: tuple[int, int], terms: tuple[RandomTerm, ...], encoding: Encoding) -> None:
    """Refuse models whose matrices cannot be worked with: no rows to spare, or dependent random-effects columns."""
    n, p = shape
    if n <= p:
        raise ModelError(
            f"The model has {_count(p, 'fixed coefficient')} and {_count(n, 'row')}: nothing is left to estimate the "
            f"variances from. {_largest_term(encoding)}"
        )
    for term in terms:
        _check_columns(term)


def check_estimable(design: Design, *, sigma_fixed: bool) -> None:
    """Refuse models whose variances these data do not tell apart, by what can be seen without computing."""
    for term in design.terms:
        _check_term(term, design, sigma_fixed=sigma_fixed)
    for first, second in itertools.combinations(design.terms, 2):
        _check_pair(first, second)
    _check_fixed_factor(design.formula, design.fixed_encoding)


def _count(n: int, thing: str) -> str:
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"


def _largest_term(encoding: Encoding) -> str:
    """Say which term has the most columns."""
    counts = np.bincount(np.array(encoding.assign, dtype=np.intp))
    number = int(np.argmax(counts))
    if number == 0:
        return "Use fewer terms."
    term = encoding.terms.terms[number - 1]
    advice = "Use fewer terms."
    coding = encoding.codings.get(term[0]) if len(term) == 1 else None
    if coding is not None and _look_like_numbers(coding.levels):
        advice = "Its values look like numbers stored as text: convert them with pandas.to_numeric()."
    return f"`{':'.join(term)}` alone has {counts[number]}. {advice}"


def _look_like_numbers(levels: pd.Index[Any]) -> bool:
    return all(isinstance(level, str) for level in levels) and not _numbers_in_text(levels).isna().any()


def _numbers_in_text(levels: pd.Index[Any]) -> pd.Series[float]:
    """Labels as numbers, NaN where they are none."""
    return pd.to_numeric(pd.Series(levels.astype(str)), errors="coerce")


def _check_term(term: RandomTerm, design: Design, *, sigma_fixed: bool) -> None:
    J, k, n = len(term.levels), len(term.effects), len(design.y)
    if J == 1:
        raise ModelError(
            f"The grouping factor {term.group!r} has a single level, {shown_labels(term.levels)}, in the rows used: a "
            "variance between groups needs at least two. Remove the term, or check the data."
        )
    if J * k >= n and not sigma_fixed:
        what = f"{J} levels" if k == 1 else f"{J} levels x {k} effects = {J * k} random effects"
        raise ModelError(
            f"The term {shown_term(term)} has {what} for {n} rows; there must be fewer random "
            f"effects than rows. {_what_is_identified(design)}Use fewer effects or a coarser group; if the residual "
            "variances are known, give weights=1/variance and sigma=1."
        )


def shown_term(term: RandomTerm) -> str:
    """Write a term for a message, the first few of its effects."""
    effects = list(term.effects)
    if len(effects) > MOST_EFFECTS_SHOWN:
        effects = [*effects[: MOST_EFFECTS_SHOWN - 1], "..."]
    return f"({' + '.join(effects)} | {term.group})"


def _what_is_identified(design: Design) -> str:
    """Say which variances the data do not tell apart, where that is a matter of a few words."""
    if sum(len(term.levels) * len(term.effects) for term in design.terms) > MANY_EFFECTS:
        return ""
    from lmm.inference.estimability import design_estimability  # noqa: PLC0415 - only what is refused needs it

    said = "".join(f"{sentence} " for sentence in design_estimability(design).sentences)
    return said if len(said) <= LONGEST_EXPLANATION else ""


def _check_columns(term: RandomTerm) -> None:
    """Refuse an unstructured term whose columns are linearly dependent."""
    if len(term.effects) > 1 and term.structure == "unstructured":
        _, kept = triangular_factor(term.columns)
        if not kept.all():
            dependent = [name for name, keep in zip(term.effects, kept, strict=True) if not keep]
            raise ModelError(
                f"In the random term {shown_term(term)} the column {dependent[0]!r} is a linear combination of the "
                "columns before it, so that its variance cannot be estimated. Remove it."
            )


def _check_pair(first: RandomTerm, second: RandomTerm) -> None:
    """Refuse two grouping factors that split the rows alike, as `sample` and `batch:cask` may."""
    J = len(first.levels)
    shared = [effect for effect in first.effects if effect in second.effects]
    if not shared or len(second.levels) != J:
        return
    partner = np.empty(J, dtype=np.intp)
    partner[first.codes] = second.codes
    if np.array_equal(partner[first.codes], second.codes):
        raise ModelError(
            f"{first.group!r} and {second.group!r} split the rows into the same {J} groups, and both carry a random "
            f"effect {shared[0]!r}: their variances cannot be told apart. Keep one of the two terms."
        )


def check_contrasts(contrasts: dict[str, Any], encodings: list[Encoding]) -> None:
    """Refuse contrasts for something that is no factor of the formula."""
    factors = {syntax.shown(name) for encoding in encodings for name in encoding.codings}
    for name in contrasts:
        if name not in factors:
            listed = shown_labels(sorted(factors)) if factors else "none"
            raise FormulaError(f"contrasts: {name!r} is no factor of the formula (factors: {listed}).")


def _check_fixed_factor(formula: ModelFormula, encoding: Encoding) -> None:
    """Refuse a fixed effect for each group: it leaves the random intercept nothing to explain."""
    fixed = {
        frozenset(map(_bare_factor, term)): term
        for term in encoding.terms.terms
        if all(expression in encoding.codings for expression in term)
    }
    for part in formula.random:
        term = fixed.get(frozenset(map(_bare_factor, part.group)))
        if term is not None and part.effects.intercept:
            way = "Remove one of the two."
            if f"{part.name}/" in formula.text.replace(" ", ""):
                way = f"Remove one of the two; of (1 | {part.name}/...) keep (1 | {part.name}:...)."
            raise point_at(
                f"{part.name!r} is both a fixed factor and the grouping factor of {part.text}: the fixed effects "
                f"already fit each group's mean, so that no variance between groups is left. {way}",
                formula.text,
                ":".join(term) if len(term) > 1 and ":".join(term) in formula.text else term[-1],
            )


def _bare_factor(expression: str) -> str:
    """``factor(x)`` and ``C(x, ...)`` code the same factor as ``x``."""
    return syntax.made_a_factor(expression) or syntax.shown(expression)


_NAMED = {name.split(".")[-1]: kind for name, kind in _formulaic.CONTRASTS.items()}


def read_contrasts(contrasts: dict[str, Any] | None) -> dict[str, Any]:
    """Contrasts by name of the factor, as objects."""
    if contrasts is not None and not isinstance(contrasts, Mapping):
        raise ArgumentError(
            f'contrasts must be a dict from factors to their coding, such as {{"f": "sum"}}; got {contrasts!r}'
        )
    found: dict[str, Any] = {}
    for factor, given in (contrasts or {}).items():
        if isinstance(given, str):
            kind = _formulaic.CONTRASTS.get(given) or _NAMED.get(given)
            if kind is None:
                raise FormulaError(
                    f"contrasts={{{factor!r}: {given!r}}}: no such coding. Use one of {', '.join(sorted(_NAMED))}."
                )
            found[factor] = kind()
        elif hasattr(given, "get_coding_matrix"):
            found[factor] = given
        elif isinstance(given, Mapping) or np.ndim(given) == 2:  # noqa: PLR2004 - a matrix
            found[factor] = _formulaic.custom_contrasts(given)
        else:
            raise ArgumentError(
                f"contrasts={{{factor!r}: ...}} must be the name of a coding, a matrix with a row for each level and a "
                f"column for each contrast, or a dict of such columns; got {given!r}"
            )
    return found
