"""Arrays that are matched with rows by position, and what is said where their labels tell of another order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from lmm.arguments import as_numbers
from lmm.columns import shown_labels
from lmm.errors import DataError
from lmm.linalg import FloatArray


def check_positions(name: str, given: object, index: pd.Index[Any], rows: str, way: str) -> None:
    """
    Refuse a pandas object whose labels say that it is in another order than the rows it is matched with by position.

    Its index must be that of the rows, or the default one, 0 to n - 1, which says nothing; unless the rows have the
    same numbers in another order.

    Parameters
    ----------
    name : str
        What the object is for.
    given : object
        One entry per row; anything but a Series or a DataFrame is accepted.
    index : Index (n,)
        Labels of the rows.
    rows : str
        Which rows these are, in words.
    way : str
        Code that puts the object in their order.
    """
    if not isinstance(given, (pd.Series, pd.DataFrame)) or given.index.equals(index):
        return
    n = len(index)
    default = isinstance(given.index, pd.RangeIndex) and given.index.equals(pd.RangeIndex(n))
    if default and len(given.index.difference(index)):
        return
    pairs = enumerate(zip(given.index, index, strict=True))
    first = next((i for i, (label, other) in pairs if repr(label) != repr(other)), 0)
    raise DataError(
        f"{name} is a {type(given).__name__}, which is matched with {rows} by position, but its index is not theirs: "
        f"position {first} has the label {shown_labels([given.index[first]])} in it and "
        f"{shown_labels([index[first]])} there. Put it in their order by {way}, or, if it is in that order already, "
        "take its numbers by .to_numpy()"
    )


def responses(y: object, index: pd.Index[Any]) -> FloatArray:
    """Refuse a new response that is not one finite number for each of the rows used, whose labels are given."""
    response, n = as_numbers(y), len(index)
    if response is None or response.shape != (n,):
        got = f"a {type(y).__name__} that holds something else" if response is None else f"shape {response.shape}"
        raise DataError(
            f"refit needs one response for each of the {n} rows used, numbers in an array of shape ({n},); got {got}"
        )
    if not np.isfinite(response).all():
        raise DataError(f"the new response holds {(~np.isfinite(response)).sum()} values that are not finite numbers")
    check_positions("y", y, index, "the rows used by the fit", "y.loc[fit.design.index]")
    return response
