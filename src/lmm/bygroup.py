"""Results by grouping factor: a dict that knows what a key is."""

from __future__ import annotations

from typing import NoReturn, TypeVar

from lmm.errors import UnknownKeyError
from lmm.frames import near_matches

Value = TypeVar("Value")


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
    lmm.errors.UnknownKeyError: there is no grouping factor 'subject'; did you mean 'Subject'? ...
    """

    def __missing__(self, key: object) -> NoReturn:
        near = near_matches(key, self) if isinstance(key, str) else []
        hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
        raise UnknownKeyError(
            f"there is no grouping factor {key!r}; {hint}Results are by grouping factor: {', '.join(map(repr, self))}"
        )
