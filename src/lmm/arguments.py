"""Arguments that several functions share: what they must be, and what is said where they are not."""

from __future__ import annotations

import numbers
import operator
from collections.abc import Iterable
from typing import cast

import numpy as np

from lmm.errors import ArgumentError
from lmm.linalg import FloatArray

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


def known_sigma(sigma: object) -> float | None:
    """Refuse a residual standard deviation that is neither None, to be estimated, nor a positive number."""
    if sigma is None:
        return None
    value = positive_number(sigma)
    if value is None:
        raise ArgumentError(f"sigma must be a positive number, the known residual standard deviation; got {sigma!r}")
    return value


def at_least(least: int, name: str, given: object, of: str = "") -> int:
    """Refuse what is no whole number of something, or one below the least."""
    value = whole_number(given)
    if value is None or value < least:
        what = f"a whole number of {of}" if of else "a whole number"
        raise ArgumentError(f"{name} must be {what}, {least} or more; got {given!r}")
    return value


def true_or_false(name: str, given: object, yes: str = "", no: str = "") -> bool:
    """Refuse what is no truth value; ``yes`` and ``no`` say what the two mean."""
    if not isinstance(given, (bool, np.bool_)):
        on, off = (f" ({meaning})" if meaning else "" for meaning in (yes, no))
        raise ArgumentError(f"{name} must be True{on} or False{off}; got {given!r}")
    return bool(given)


def number_of_replicates(n_boot: object, what: str) -> int:
    """Refuse a number of bootstrap replicates that is neither 0 (without what they are for) nor above 1."""
    count = whole_number(n_boot)
    if count is None or count < 0 or count == 1:
        raise ArgumentError(f"n_boot must be 0 (no {what}) or a whole number above 1; got {n_boot!r}")
    return count


def one_of(name: str, given: object, allowed: Iterable[str]) -> str:
    """Refuse what is none of the names allowed."""
    names = tuple(allowed)
    if not isinstance(given, str) or given not in names:
        raise ArgumentError(f"{name} must be one of {', '.join(map(repr, names))}; got {given!r}")
    return given


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
