"""Families of contrasts of k means: their weights and their names."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd

from lmm.arguments import as_numbers
from lmm.errors import ArgumentError
from lmm.inference.hypotheses import in_words
from lmm.linalg import FloatArray

FAMILIES = ("pairwise", "trt.vs.ctrl", "consecutive", "poly")
DEGREES = ("linear", "quadratic", "cubic", "quartic", "degree 5", "degree 6")
# Signs that would be mistaken for part of a contrast's name.
SIGNS = "-+*/"

Contrasts = str | Mapping[str, Sequence[float] | Mapping[Any, float]] | Sequence[Any] | FloatArray


@dataclass(frozen=True)
class Family:
    """
    Contrasts of k means.

    Attributes
    ----------
    W : ndarray (r, k)
        Weights of the means.
    names : tuple of str
    pairwise : bool
        Whether these are all differences of two means.
    """

    W: FloatArray
    names: tuple[str, ...]
    pairwise: bool = False


def read_family(contrasts: Contrasts, levels: pd.DataFrame) -> Family:
    """
    Weights of a family of contrasts.

    Parameters
    ----------
    contrasts : {"pairwise", "trt.vs.ctrl", "consecutive", "poly"}, array_like (k,) or (r, k), or mapping
        The name of a family, weights, or weights by name, an array (k,) or a mapping of levels to numbers.
    levels : DataFrame
        Values of the variables of the k means, one row per mean.

    Raises
    ------
    ArgumentError
        For another name, and for weights that do not fit.
    """
    labels = mean_labels(levels)
    k = len(labels)
    if isinstance(contrasts, Mapping):
        W = _weights([_row(weights, levels, labels) for weights in contrasts.values()], labels)
        return Family(W, tuple(str(name) for name in contrasts))
    if not isinstance(contrasts, str):
        W = _weights(contrasts, labels)
        return Family(W, tuple(in_words(row, labels) for row in W))
    if contrasts not in FAMILIES:
        listed = ", ".join(map(repr, FAMILIES))
        raise ArgumentError(f"contrasts must be None, one of {listed}, or weights of the means; got {contrasts!r}")
    if k < 2:  # noqa: PLR2004 - nothing to compare
        raise ArgumentError(f"contrasts={contrasts!r} needs at least two means to compare, and there is one")
    if contrasts == "poly":
        return Family(_polynomials(k), DEGREES[: k - 1])
    if contrasts == "pairwise":
        pairs = list(itertools.combinations(range(k), 2))
    elif contrasts == "consecutive":
        pairs = [(i + 1, i) for i in range(k - 1)]
    else:
        pairs = [(i, 0) for i in range(1, k)]
    shown = [f"({label})" if any(sign in label for sign in SIGNS) else label for label in labels]
    W = np.zeros((len(pairs), k))
    for row, (plus, minus) in zip(W, pairs, strict=True):
        row[plus], row[minus] = 1.0, -1.0
    return Family(W, tuple(f"{shown[a]} - {shown[b]}" for a, b in pairs), contrasts == "pairwise")


def mean_labels(levels: pd.DataFrame) -> list[str]:
    """
    Names of means from the values of their variables, numbers with the name of their variable before them.

    Examples
    --------
    >>> mean_labels(pd.DataFrame({"dose": [0.0, 0.5], "sex": ["f", "f"]}))
    ['dose0 f', 'dose0.5 f']
    """
    columns = []
    for name, values in levels.items():
        texts = [level_text(value) for value in values]
        columns.append([f"{name}{text}" for text in texts] if all(map(_bare, texts)) else texts)
    return [" ".join(parts) for parts in zip(*columns, strict=True)] if columns else ["mean"] * len(levels)


def level_text(value: Any) -> str:  # noqa: ANN401 - labels are of any type
    """Give a value of a variable as it is printed."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _bare(text: str) -> bool:
    """Whether a label says nothing without the name of its variable."""
    return text in {"True", "False"} or re.fullmatch(r"-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", text) is not None


def _row(given: Any, levels: pd.DataFrame, labels: Sequence[str]) -> FloatArray:  # noqa: ANN401 - any array_like
    """Weights of one contrast; by level where they are a mapping."""
    k = len(labels)
    numbers = as_numbers(list(given.values()) if isinstance(given, Mapping) else given)
    if numbers is None or numbers.shape != ((len(given),) if isinstance(given, Mapping) else (k,)):
        raise _no_weights(given, labels)
    if not isinstance(given, Mapping):
        return numbers
    values = levels.iloc[:, 0] if levels.shape[1] == 1 else levels.itertuples(index=False, name=None)
    place = {name: i for names in (values, labels) for i, name in enumerate(names)}
    row = np.zeros(k)
    for level, weight in zip(given, numbers, strict=True):
        if level not in place:
            raise ArgumentError(f"contrasts: there is no mean {level!r}; the means are {', '.join(labels)}")
        row[place[level]] += weight
    return row


def _weights(given: Any, labels: Sequence[str]) -> FloatArray:  # noqa: ANN401 - any array_like
    W = as_numbers(given)
    if W is None or W.ndim not in {1, 2} or W.shape[-1] != len(labels) or not W.size or not np.isfinite(W).all():
        raise _no_weights(given, labels)
    W = np.atleast_2d(W)
    if not W.any(axis=1).all():
        raise ArgumentError("contrasts: a row of weights is all zero")
    return W


def _no_weights(given: object, labels: Sequence[str]) -> ArgumentError:
    k = len(labels)
    return ArgumentError(
        f"contrasts: weights must be finite numbers, one for each of the {k} means ({', '.join(labels)}), in an array "
        f"({k},) or (r, {k}), or in a dict by name of the contrast, whose values may be dicts by level, such as "
        f"{{'first': {{{labels[0]!r}: 1}}}}; got {given!r}"
    )


def _polynomials(k: int) -> FloatArray:
    """Orthogonal polynomials on k equally spaced points, as the smallest integers, rising at the last point."""
    basis: list[list[Fraction]] = [[Fraction(1)] * k]
    rows = []
    for degree in range(1, min(k, len(DEGREES) + 1)):
        column = [Fraction(i) ** degree for i in range(k)]
        for earlier in basis:
            share = _inner(column, earlier) / _inner(earlier, earlier)
            column = [a - share * b for a, b in zip(column, earlier, strict=True)]
        basis.append(column)
        whole = [int(value * math.lcm(*(v.denominator for v in column))) for value in column]
        rows.append([value // math.gcd(*whole) for value in whole])
    return np.array(rows, dtype=np.float64)


def _inner(a: Sequence[Fraction], b: Sequence[Fraction]) -> Fraction:
    return sum((x * y for x, y in zip(a, b, strict=True)), Fraction(0))
