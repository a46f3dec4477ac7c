"""
Linear hypotheses L beta = r about the fixed effects: from an array, from weights by name, or from text.

Text is a list of equations in the coefficients' own names: ``"Line[1] = Line[2]"``, ``"Age[T.1] - 2 * Age[T.2] = 0.5,
Line[1] = 10"``. Without an equals sign the right-hand side is 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lmm.arguments import as_numbers
from lmm.errors import ArgumentError
from lmm.frames import near_matches
from lmm.linalg import BoolArray, FloatArray

_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_WORD = re.compile(r"[^\s+\-*/=,()]+")
# Coefficients shown in words before the rest are counted.
MOST_IN_WORDS = 6


@dataclass(frozen=True)
class Hypothesis:
    """
    A linear hypothesis.

    Attributes
    ----------
    L : ndarray (r, p)
        One contrast per row, over all coefficients, dropped ones included.
    rhs : ndarray (r,)
    names : tuple of str
        Names of the p coefficients.
    """

    L: FloatArray
    rhs: FloatArray
    names: tuple[str, ...]

    @property
    def contrasts(self) -> list[str]:
        """Each row in words, without its right-hand side."""
        return [in_words(row, self.names) for row in self.L]

    @property
    def equations(self) -> list[str]:
        """Each row as an equation."""
        return [f"{words} = {value:g}" for words, value in zip(self.contrasts, self.rhs, strict=True)]


Weights = str | Mapping[str, float] | ArrayLike


def read_hypothesis(
    weights: Weights, rhs: ArrayLike, names: Sequence[str], kept: BoolArray, aliasing: FloatArray
) -> Hypothesis:
    """
    Read a hypothesis in any of its forms.

    Parameters
    ----------
    weights : str, mapping of str to float, or array_like
        Equations; weights by coefficient name; or an array (p,) or (r, p).
    rhs : float or array_like (r,)
        Right-hand side; text has its own.
    names : sequence of str
        All coefficients.
    kept : ndarray of bool
        Which of them were estimated. An array over these alone is about the model without the others.
    aliasing : ndarray (number kept, number dropped)
        Each dropped column as a combination of those that stayed.

    Raises
    ------
    ArgumentError
        With what was expected, for a name or a shape that does not fit.
    """
    given = as_numbers(rhs)
    if given is None or given.ndim > 1 or not np.isfinite(given).all():
        raise ArgumentError(f"rhs must be a finite number, or one for each row of L; got {rhs!r}")
    if isinstance(weights, str):
        if np.any(given != 0.0):
            raise ArgumentError("rhs belongs to L given as numbers; in text, write the right-hand side: 'a - b = 2'")
        return _read_text(weights, tuple(names))
    L = _from_mapping(weights, names) if isinstance(weights, Mapping) else _from_array(weights, kept, aliasing)
    if given.ndim == 1 and len(given) != len(L):
        raise ArgumentError(f"rhs holds {len(given)} numbers for the {len(L)} rows of L")
    return Hypothesis(L, np.broadcast_to(given, len(L)).astype(np.float64), tuple(names))


def _from_mapping(weights: Mapping[str, float], names: Sequence[str]) -> FloatArray:
    """One contrast from weights by name."""
    L = np.zeros((1, len(names)))
    for name, weight in weights.items():
        if name not in names:
            raise _unknown(str(name), names)
        value = as_numbers(weight)
        if value is None or value.ndim or not np.isfinite(value):
            raise ArgumentError(f"the weight of {name!r} must be a finite number; got {weight!r}")
        L[0, list(names).index(name)] = value
    return L


def _from_array(weights: ArrayLike, kept: BoolArray, aliasing: FloatArray) -> FloatArray:
    """Contrasts from an array over all coefficients, or over those that were estimated."""
    p = len(kept)
    L = as_numbers(weights)
    shapes = f"({p},) or (r, {p}), one column per coefficient"
    if L is None or L.ndim not in {1, 2} or not np.isfinite(L).all() or L.size == 0:
        raise ArgumentError(f"L must be text, weights by name, or finite numbers in an array {shapes}; got {weights!r}")
    L = np.atleast_2d(L)
    if L.shape[1] == p:
        return L
    if L.shape[1] != kept.sum():
        raise ArgumentError(f"L must have the shape {shapes}; got {L.shape}")
    full = np.zeros((len(L), p))
    full[:, kept] = L
    full[:, ~kept] = L @ aliasing
    return full


def _read_text(text: str, names: tuple[str, ...]) -> Hypothesis:
    """Equations, separated by commas."""
    rows, values = [], []
    reader = _Reader(text, names)
    while True:
        row, value = reader.equation()
        rows.append(row)
        values.append(value)
        if reader.at_end:
            break
        reader.expect(",")
    return Hypothesis(np.array(rows), np.array(values), names)


class _Reader:
    """Reads linear expressions in coefficient names, the longest name that fits at each place first."""

    def __init__(self, text: str, names: tuple[str, ...]) -> None:
        # Columns with odd names stand between backticks in formulas, and without them in coefficients.
        self.text = text if any("`" in name for name in names) else text.replace("`", "")
        self.names = names
        self.place = 0
        self._longest_first = sorted(range(len(names)), key=lambda i: -len(names[i]))

    @property
    def at_end(self) -> bool:
        return not self.text[self.place :].strip()

    def equation(self) -> tuple[FloatArray, float]:
        """One equation: weights (p,) and right-hand side."""
        left = self._expression()
        right = self._expression() if self._take("=") else np.zeros_like(left)
        if not self.at_end and not self._stands(","):
            raise self._error("expected an operator (+, -, *, /, =), ',' or the end")
        difference = left - right
        if not difference[:-1].any():
            raise self._error("an equation needs at least one coefficient")
        return difference[:-1], 0.0 - float(difference[-1])

    def expect(self, symbol: str) -> None:
        """Go past a symbol that must stand here."""
        if not self._take(symbol):
            raise self._error(f"expected {symbol!r}")

    def _take(self, symbol: str) -> bool:
        found = self._stands(symbol)
        if found:
            self.place += len(symbol)
        return found

    def _stands(self, symbol: str) -> bool:
        self._skip()
        return self.text.startswith(symbol, self.place)

    def _skip(self) -> None:
        while self.place < len(self.text) and self.text[self.place].isspace():
            self.place += 1

    def _expression(self) -> FloatArray:
        """Sum of terms, as weights (p,) and a constant at the end."""
        total = -self._term() if self._take("-") else self._term()
        while True:
            if self._take("+"):
                total = total + self._term()
            elif self._take("-"):
                total = total - self._term()
            else:
                return total

    def _term(self) -> FloatArray:
        """Product of numbers and at most one coefficient."""
        value = self._factor()
        while True:
            start = self.place
            if self._take("*"):
                value = self._times(value, self._factor(), start)
            elif self._take("/"):
                divisor = self._factor()
                if divisor[:-1].any() or divisor[-1] == 0.0:
                    raise self._error("only numbers other than 0 divide", start)
                value = value / divisor[-1]
            else:
                return value

    def _times(self, one: FloatArray, other: FloatArray, start: int) -> FloatArray:
        if one[:-1].any() and other[:-1].any():
            raise self._error("a hypothesis is linear: two coefficients cannot be multiplied", start)
        product: FloatArray = one * other[-1] if one[:-1].any() else other * one[-1]
        return product

    def _factor(self) -> FloatArray:
        self._skip()
        value = np.zeros(len(self.names) + 1)
        for i in self._longest_first:
            if self._stands_here(self.names[i]):
                value[i] = 1.0
                self.place += len(self.names[i])
                return value
        number = _NUMBER.match(self.text, self.place)
        if number:
            value[-1] = float(number.group())
            if not np.isfinite(value[-1]):
                raise self._error("a number too large")
            self.place = number.end()
            return value
        if self._take("("):
            value = self._expression()
            self.expect(")")
            return value
        if self._take("-"):
            return -self._factor()
        word = _WORD.match(self.text, self.place)
        if word:
            raise _unknown(word.group(), self.names)
        raise self._error("expected a coefficient or a number")

    def _stands_here(self, name: str) -> bool:
        """Whether a name stands here and does not go on."""
        end = self.place + len(name)
        following = self.text[end : end + 1]
        return self.text.startswith(name, self.place) and not (following.isalnum() or following in {"_", ":", "["})

    def _error(self, what: str, place: int | None = None) -> ArgumentError:
        at = self.place if place is None else place
        return ArgumentError(f"cannot read the hypothesis: {what}\n  {self.text}\n  {' ' * at}^")


def _unknown(name: str, names: Sequence[str]) -> ArgumentError:
    near = near_matches(name, names)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return ArgumentError(f"the model has no coefficient {name!r}.{hint} Its coefficients: {', '.join(names)}")


def in_words(row: FloatArray, names: Sequence[str]) -> str:
    """A combination of coefficients in words: ``"Line[1] - 2 * Line[2]"``."""
    used = np.flatnonzero(row)
    parts = []
    for count, i in enumerate(used[:MOST_IN_WORDS]):
        size = "" if abs(row[i]) == 1.0 else f"{abs(row[i]):.6g} * "
        sign = ("-" if row[i] < 0 else "") if count == 0 else (" - " if row[i] < 0 else " + ")
        parts.append(f"{sign}{size}{names[i]}")
    rest = len(used) - MOST_IN_WORDS
    return "".join(parts) + (f" + {rest} more" if rest > 0 else "") if len(used) else "0"
