"""Results by grouping factor: a dict that knows what a key is."""

from __future__ import annotations

from typing import NoReturn, TypeVar

from lmm.errors import ArgumentError
from lmm.frames import near_matches

Value = TypeVar("Value")


class UnknownGroupError(ArgumentError, KeyError):
    """The model has no grouping factor of this name."""

    def __str__(self) -> str:
        # a KeyError shows the repr of its message
        return str(self.args[0])


class ByGroup(dict[str, Value]):
    """
    A dict by grouping factor; a key that is none is refused with those there are.

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy"))
    >>> fit.random_cov["subject"]
    Traceback (most recent call last):
        ...
    lmm.bygroup.UnknownGroupError: there is no grouping factor 'subject'; did you mean 'Subject'? ...
    """

    def __missing__(self, key: object) -> NoReturn:
        near = near_matches(key, self) if isinstance(key, str) else []
        hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
        raise UnknownGroupError(
            f"there is no grouping factor {key!r}; {hint}Results are by grouping factor: {', '.join(map(repr, self))}"
        )
