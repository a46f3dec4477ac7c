"""Arguments that several functions share: what they must be, and what is said where they are not."""

from __future__ import annotations

import numbers
import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from lmm.columns import shown_labels
from lmm.errors import ArgumentError, DataError
from lmm.linalg import FloatArray

if TYPE_CHECKING:
    from lmm.model import FittedModel

Seed = int | np.random.Generator | None

# Kinds of arrays that hold numbers: truth values, integers, floats, and objects that may be any of them.
NUMERIC_KINDS = "biufO"


def as_numbers(given: object) -> FloatArray | None:
    """Give the numbers of an array_like as a new array of any shape; None where it holds something else."""
    try:
        values = np.asarray(given)
        return np.array(values, dtype=np.float64) if values.dtype.kind in NUMERIC_KINDS else None
    except (TypeError, ValueError):
        return None


def positive_number(given: object) -> float | None:
    """Give a positive finite number as a Python float; None for anything else."""
    if isinstance(given, (bool, np.bool_)) or not isinstance(given, numbers.Real):
        return None
    value = float(given)
    return value if 0.0 < value < float("inf") else None


def whole_number(given: object) -> int | None:
    """Give an integer of any type as a Python int; None for anything else, truth values included."""
    if isinstance(given, (bool, np.bool_)):
        return None
    try:
        return operator.index(cast("int", given))
    except TypeError:
        return None


def confidence_level(level: object) -> float:
    """Refuse a level that is no number strictly between 0 and 1."""
    value = positive_number(level)
    if value is None or value >= 1.0:
        raise ArgumentError(f"level must be a number strictly between 0 and 1, for example 0.95; got {level!r}")
    return value


def number_of_replicates(n_boot: object, what: str) -> int:
    """Refuse a number of bootstrap replicates that is neither 0 (without what they are for) nor above 1."""
    count = whole_number(n_boot)
    if count is None or count < 0 or count == 1:
        raise ArgumentError(f"n_boot must be 0 (no {what}) or a whole number above 1; got {n_boot!r}")
    return count


def true_or_false(name: str, given: object) -> bool:
    """Refuse what is no truth value."""
    if not isinstance(given, (bool, np.bool_)):
        raise ArgumentError(f"{name} must be True or False; got {given!r}")
    return bool(given)


def one_of(name: str, given: object, allowed: Iterable[str]) -> str:
    """Refuse what is none of the names allowed."""
    names = tuple(allowed)
    if not isinstance(given, str) or given not in names:
        raise ArgumentError(f"{name} must be one of {', '.join(map(repr, names))}; got {given!r}")
    return given


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
        One entry a row; anything but a Series or a DataFrame is accepted.
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


def random_generator(rng: object) -> np.random.Generator:
    """Give the generator that a seed stands for."""
    if rng is None or isinstance(rng, np.random.Generator):
        return np.random.default_rng(rng)
    seed = whole_number(rng)
    if seed is None or seed < 0:
        raise ArgumentError(
            f"rng must be None, a seed (an integer, not negative) or a numpy.random.Generator; got {rng!r}"
        )
    return np.random.default_rng(seed)


def fitted_model(given: object) -> FittedModel:
    """Refuse what is no fitted model."""
    from lmm.model import FittedModel  # noqa: PLC0415 - the model imports this module

    if not isinstance(given, FittedModel):
        raise ArgumentError(f"a fitted model is expected, as lmm.fit gives it; got {type(given).__name__}")
    return given
