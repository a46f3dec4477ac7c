"""The user's data, whatever library holds them, as a table of named columns."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from lmm.columns import Column, read_column
from lmm.errors import DataError

__all__ = ["Table", "as_frame", "as_table", "near_matches"]


class Table:
    """Named columns of equal length, read on demand and once."""

    def __init__(self, source: Any, names: tuple[Any, ...], n: int, index: pd.Index[Any]) -> None:  # noqa: ANN401
        self._source = source
        self._read: dict[str, Column] = {}
        self.names = names
        self.n = n
        self.index = index

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def column(self, name: str) -> Column:
        """Column as numbers or categories."""
        found = self._read.get(name)
        if found is None:
            values = self._source[name]
            if getattr(values, "ndim", 1) != 1:
                raise DataError(f"The data have several columns named {name!r}; rename all but one.")
            found = self._read[name] = read_column(name, values)
        return found


def as_table(data: Any) -> Table:  # noqa: ANN401 - frames of any library
    """
    Take a pandas data frame, or anything that can be read as one, as a table.

    Raises
    ------
    DataError
        If the data are none of these.
    """
    frame = as_frame(data)
    return Table(frame, tuple(frame.columns), len(frame), frame.index)


def as_frame(data: Any, what: str = "The data") -> pd.DataFrame:  # noqa: ANN401 - frames of any library
    """
    Take a pandas data frame, or anything that can be read as one.

    polars, pyarrow and other frames that narwhals knows are accepted, and mappings of names to arrays. ``what`` is what
    the data are, for messages.

    Raises
    ------
    DataError
        If the data are none of these.
    """
    if isinstance(data, pd.DataFrame):
        return data
    if isinstance(data, Mapping):
        return _from_mapping(data)
    if not isinstance(data, (str, bytes, np.ndarray, list, tuple, pd.Series)) and data is not None:
        frame = _from_narwhals(data)
        if frame is not None:
            return frame
    raise DataError(
        f"{what} must be a data frame (pandas, polars, pyarrow) or a dict of columns, not "
        f"{type(data).__name__}.{_way_to_a_frame(data)}"
    )


def _way_to_a_frame(data: Any) -> str:  # noqa: ANN401 - anything
    """Say how to make a data frame of something else."""
    if isinstance(data, np.ndarray) and data.dtype.names is None:
        return " An array has no column names: pandas.DataFrame(array, columns=[...]) gives it some."
    if isinstance(data, (np.ndarray, list)):
        return " pandas.DataFrame(data) makes one of an array with named fields, or of a list of dicts."
    if isinstance(data, (str, os.PathLike)):
        return " Read a file with pandas.read_csv() first; lmm.datasets.load(name) gives the embedded data."
    if isinstance(data, pd.Series):
        return " A row of a data frame stays one with double brackets, data.loc[[label]], a column with data[[name]]."
    return ""


def near_matches(name: str, names: Any) -> list[str]:  # noqa: ANN401 - any iterable
    """Return names that the user may have meant."""
    strings = [n for n in names if isinstance(n, str)]
    same = [n for n in strings if n.lower() == name.lower()]
    return same or difflib.get_close_matches(name, strings, n=3, cutoff=0.6)


def _from_mapping(data: Mapping[Any, Any]) -> pd.DataFrame:
    single = [str(name) for name, values in data.items() if isinstance(values, str) or not hasattr(values, "__len__")]
    if single and len(single) == len(data):
        raise DataError(
            f"The data are a dict of single values, not of columns ({', '.join(map(repr, single))}): write them as "
            "lists of one."
        )
    lengths = {str(name): len(values) for name, values in data.items() if str(name) not in single}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name!r}: {length}" for name, length in lengths.items())
        raise DataError(f"The columns of the data differ in length ({listed}).")
    try:
        return pd.DataFrame(dict(data))
    except (ValueError, TypeError) as error:
        raise DataError(f"The data are a dict that cannot be read as columns: {error}.") from error


def _from_narwhals(data: Any) -> pd.DataFrame | None:  # noqa: ANN401 - frames of any library
    """Frame of another library as a pandas one; None when narwhals does not know it."""
    import narwhals as nw  # noqa: PLC0415 - only users of other frames pay for it

    frame = nw.from_native(data, pass_through=True)
    if isinstance(frame, nw.LazyFrame):
        frame = frame.collect()
    if not isinstance(frame, nw.DataFrame):
        return None
    return pd.DataFrame({name: _series(frame[name]) for name in frame.columns})


def _series(series: Any) -> Any:  # noqa: ANN401 - a narwhals series
    """One column for pandas; goes through NumPy, so that pyarrow need not be installed."""
    import narwhals as nw  # noqa: PLC0415 - idem

    if isinstance(series.dtype, nw.Enum):
        return pd.Categorical(series.to_list(), categories=list(series.dtype.categories))
    if series.dtype == nw.Categorical:
        return pd.Categorical(series.to_list())
    if series.dtype.is_numeric() and not series.dtype.is_decimal() and not series.is_null().any():
        return series.to_numpy()
    if series.dtype.is_numeric():
        return np.array([np.nan if value is None else float(value) for value in series.to_list()])
    if series.dtype.is_temporal():
        return series.to_numpy()
    return np.array(series.to_list(), dtype=object)
