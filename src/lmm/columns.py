"""
Columns of a data frame, reduced to the two kinds that a model knows: numbers and categories.

Everything that a column can be (NumPy, nullable, Arrow-backed, categorical, text, Python objects) is brought here to
`Numeric` or `Categorical`, with its missing values marked, or refused with a message that names it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lmm.errors import DataError
from lmm.linalg import BoolArray, IntArray

__all__ = [
    "NUMBERS",
    "Categorical",
    "Column",
    "Dates",
    "Numeric",
    "as_categorical",
    "predictor",
    "read_column",
    "shown_labels",
    "with_missing",
]


# Beyond this, not every float is the integer that it looks like.
_LARGEST_EXACT = 2.0**53
# Kinds of objects that are numbers, as pandas.api.types.infer_dtype calls them.
NUMBERS = {"integer", "floating", "mixed-integer-float", "decimal", "boolean"}


@dataclass(frozen=True, slots=True)
class Numeric:
    """Numbers of any real dtype; ``missing`` marks the rows without a value, None when there are none."""

    numbers: NDArray[Any]
    missing: BoolArray | None

    def take(self, rows: IntArray) -> Numeric:
        """Only some rows, none of which is missing."""
        return Numeric(self.numbers[rows], None)


@dataclass(frozen=True, slots=True)
class Categorical:
    """
    Codes into levels; -1 marks a missing value.

    ``contrasts`` is the coding that the user asked for, None for the default.
    """

    codes: IntArray
    levels: pd.Index[Any]
    ordered: bool = False
    contrasts: Any = None

    @property
    def missing(self) -> BoolArray | None:
        """Rows without a value, None when there are none."""
        missing = self.codes < 0
        return missing if missing.any() else None

    def take(self, rows: IntArray) -> Categorical:
        """Only some rows; levels that no longer occur are dropped."""
        return _used_levels(self.codes[rows], self.levels, self.ordered, self.contrasts)


@dataclass(frozen=True, slots=True)
class Dates(Categorical):
    """Dates, times or lengths of time: they can label groups, and ``refusal`` says why they are no predictor."""

    refusal: DataError = field(kw_only=True)

    def take(self, rows: IntArray) -> Dates:
        """Only some rows; levels that no longer occur are dropped."""
        used = _used_levels(self.codes[rows], self.levels, ordered=False, contrasts=None)
        return Dates(used.codes, used.levels, refusal=self.refusal)


Column = Numeric | Categorical


def predictor(column: Column) -> Column:
    """Give a column that is more than the label of a group; dates are refused."""
    if isinstance(column, Dates):
        raise column.refusal
    return column


def read_column(name: str, values: Any) -> Column:  # noqa: ANN401 - any array-like that a frame may hold
    """
    Bring one column to numbers or categories.

    Raises
    ------
    DataError
        If it holds infinite values, or things that are neither (complex numbers, lists).
    """
    dtype = values.dtype
    if isinstance(dtype, np.dtype):
        if dtype.kind in "iufb":
            return _numeric(name, values if isinstance(values, np.ndarray) else values.to_numpy())
        if dtype.kind in "OUST":
            return _objects(name, np.asarray(values, dtype=object))
        return _dates(name, values, dtype)
    if isinstance(dtype, pd.CategoricalDtype):
        categorical: Any = values.array if isinstance(values, pd.Series) else values
        codes = np.asarray(categorical.codes, dtype=np.intp)
        return _used_levels(codes, dtype.categories, bool(dtype.ordered), None)
    return _extension(name, values, dtype)


def with_missing(values: NDArray[Any]) -> Numeric:
    """Numbers that an expression gave; NaN marks a missing one."""
    missing = np.isnan(np.asarray(values, dtype=np.float64))
    return Numeric(values, missing if missing.any() else None)


def as_categorical(column: Column) -> Categorical:
    """Levels of a column that is used as a factor: sorted, numbers as numbers."""
    if isinstance(column, Categorical):
        return column
    values, missing = column.numbers, column.missing
    if values.dtype.kind == "b":
        values = values.astype(np.uint8)
        categorical = as_categorical(Numeric(values, missing))
        return Categorical(categorical.codes, pd.Index(categorical.levels.to_numpy().astype(bool)))
    if missing is not None:
        present = np.flatnonzero(~missing)
        inner = as_categorical(Numeric(values[present], None))
        codes = np.full(len(values), -1, dtype=np.intp)
        codes[present] = inner.codes
        return Categorical(codes, inner.levels)
    if values.dtype.kind == "f" and values.size and np.abs(values).max() < _LARGEST_EXACT:
        whole = values.astype(np.int64)
        values = whole if np.array_equal(whole, values) else values
    codes, levels = _factorize_integers(values) if values.dtype.kind in "iu" else _factorize(values)
    return Categorical(codes, pd.Index(levels))


def shown_labels(labels: Any, limit: int = 5) -> str:  # noqa: ANN401 - any iterable of labels
    """Write labels for a message, the first few of them."""
    labels = list(labels)
    text = ", ".join(repr(getattr(label, "item", lambda label=label: label)()) for label in labels[:limit])
    return text + (f", ... ({len(labels)} in all)" if len(labels) > limit else "")


def _factorize_integers(values: NDArray[Any]) -> tuple[IntArray, NDArray[Any]]:
    """Codes and sorted levels; by counting when the integers span a small range."""
    if values.size == 0:
        return np.zeros(0, dtype=np.intp), values
    low, high = int(values.min()), int(values.max())
    if high - low > max(1000, 4 * values.size):
        return _factorize(values)
    # subtraction in Python integers' range: an unsigned or narrow dtype would overflow
    offsets = values.astype(np.intp) - low if low else values.astype(np.intp, copy=False)
    occurs = np.zeros(high - low + 1, dtype=bool)
    occurs[offsets] = True
    levels = np.flatnonzero(occurs)
    if levels.size == occurs.size:
        codes = offsets if offsets is not values else offsets.copy()
    else:
        codes = (np.cumsum(occurs) - 1)[offsets]
    return codes, (levels + low).astype(values.dtype, copy=False)


def _factorize(values: NDArray[Any]) -> tuple[IntArray, NDArray[Any]]:
    codes, levels = pd.factorize(values, sort=True)
    return np.asarray(codes, dtype=np.intp), np.asarray(levels)


def _numeric(name: str, values: NDArray[Any]) -> Numeric:
    if values.dtype.kind != "f":
        return Numeric(values, None)
    finite = np.isfinite(values)
    if finite.all():
        return Numeric(values, None)
    missing = np.isnan(values)
    infinite = ~(finite | missing)
    if infinite.any():
        raise DataError(
            f"Column {name!r} holds infinite values ({int(infinite.sum())}, the first in row "
            f"{int(np.argmax(infinite))} counted from 0). Replace them, or set them to missing (NaN)."
        )
    return Numeric(values, missing)


def _used_levels(codes: IntArray, levels: Any, ordered: bool, contrasts: Any) -> Categorical:  # noqa: ANN401
    """Drop the levels that do not occur: they would give columns of zeros and groups without rows."""
    counts = np.bincount(codes + 1, minlength=len(levels) + 1)[1:]
    if counts.all():
        return Categorical(codes, levels, ordered, contrasts)
    occurs = counts > 0
    lookup = np.append(np.cumsum(occurs) - 1, -1)
    return Categorical(lookup[codes], levels[occurs], ordered, contrasts)


def _objects(name: str, values: NDArray[Any]) -> Column:
    """Python objects: text or mixed labels are categories, numbers are numbers."""
    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind in NUMBERS:
        missing = np.asarray(pd.isna(values))
        numbers = np.full(len(values), np.nan)
        numbers[~missing] = values[~missing].astype(np.float64)
        return _numeric(name, numbers)
    if kind == "empty":
        return Numeric(np.full(len(values), np.nan), np.ones(len(values), dtype=bool) if len(values) else None)
    if kind not in ("string", "bytes", "mixed-integer", "mixed", "categorical"):
        return _dates(name, values, kind)
    return _text(name, values)


def _text(name: str, values: Any) -> Categorical:  # noqa: ANN401 - arrays of many libraries
    try:
        codes, levels = pd.factorize(values, sort=True)
    except TypeError:
        try:
            # labels of several types have no order of their own: numbers before text, each sorted
            codes, found = pd.factorize(values)
            order = sorted(range(len(found)), key=lambda i: (isinstance(found[i], str), str(found[i])))
        except TypeError as error:
            raise DataError(f"Column {name!r} holds objects that are neither numbers nor labels: {error}.") from error
        rank = np.empty(len(order) + 1, dtype=np.intp)
        rank[order] = np.arange(len(order))
        rank[-1] = -1
        codes, levels = rank[codes], np.asarray(found, dtype=object)[order]
    return Categorical(np.asarray(codes, dtype=np.intp), pd.Index(levels))


def _extension(name: str, values: Any, dtype: Any) -> Column:  # noqa: ANN401 - pandas extension arrays
    """Nullable and Arrow-backed columns."""
    series = values if isinstance(values, pd.Series) else pd.Series(values)
    if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_numeric_dtype(dtype):
        if not series.hasnans and not pd.api.types.is_float_dtype(dtype):
            plain = "bool" if pd.api.types.is_bool_dtype(dtype) else ("int64" if "U" not in str(dtype) else "uint64")
            if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_integer_dtype(dtype):
                return Numeric(series.to_numpy(dtype=plain), None)
        return _numeric(name, series.to_numpy(dtype=np.float64, na_value=np.nan))
    if pd.api.types.is_string_dtype(dtype):
        return _text(name, series.array)
    text = str(dtype)
    if text.startswith("dictionary"):
        return read_column(name, series.astype("category"))
    if text.startswith("decimal"):
        return _numeric(name, series.astype("float64[pyarrow]").to_numpy(dtype=np.float64, na_value=np.nan))
    return _dates(name, series.array, dtype)


def _refused(name: str, dtype: Any) -> DataError:  # noqa: ANN401 - a dtype of any library
    text = str(dtype)
    advice = "a model needs numbers, text or categories: convert it first"
    if "complex" in text:
        advice = "a model needs real numbers: use its real part, imaginary part or modulus"
    return DataError(f"Column {name!r} is of type {text}; {advice}.")


def _dates(name: str, values: Any, dtype: Any) -> Dates:  # noqa: ANN401 - arrays and dtypes of many libraries
    """Labels of dates, times and lengths of time; anything else is refused."""
    text = str(dtype)
    if not text.startswith(("date", "time", "period", "duration")):
        raise _refused(name, dtype)
    made = f"df[{name!r}]"
    if text.startswith("period"):
        made += ".dt.to_timestamp()"
    elif text in ("date", "datetime", "timedelta"):
        made = f"pandas.to_{'timedelta' if text == 'timedelta' else 'datetime'}({made})"
    numbers = f"days since the first: d = {made}; (d - d.min()).dt.days"
    if text == "time" or text.startswith(("time32", "time64")):
        numbers = "hours since midnight"
    codes, levels = pd.factorize(values, sort=True)
    refusal = DataError(
        f"Column {name!r} is of type {text}, which can label the groups of a random term but is no predictor. Turn it "
        f"into numbers, such as {numbers}, or into a category with astype(str)."
    )
    return Dates(np.asarray(codes, dtype=np.intp), pd.Index(levels), refusal=refusal)
