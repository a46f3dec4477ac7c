"""What can go wrong, as types that users can catch."""

import inspect
import warnings
from pathlib import Path

_PACKAGE = Path(__file__).parent


class LMMError(ValueError):
    """Base class of every error that the library raises on purpose."""


class FormulaError(LMMError):
    """The formula cannot be read, or asks for something the library does not do."""


class DataError(LMMError):
    """The data do not hold what the formula asks for."""


class ModelError(LMMError):
    """The model cannot be estimated from these data."""


class ArgumentError(LMMError, TypeError):
    """An argument of a function is unknown or of the wrong kind."""


class UnknownKeyError(ArgumentError, KeyError):
    """A result has nothing under this name."""

    def __str__(self) -> str:
        # a KeyError shows the repr of its message
        return str(self.args[0])


class LMMWarning(UserWarning):
    """Base class of every warning that the library gives."""


class SingularFitWarning(LMMWarning):
    """The estimated covariance of some random effects is singular."""


class ConvergenceWarning(LMMWarning):
    """The optimiser stopped before it could certify an optimum."""


def warn(message: str, category: type[LMMWarning]) -> None:
    """Warn at the line of the user's code that called the library, however deep inside it the reason was found."""
    stacklevel, frame = 1, inspect.currentframe()
    while frame is not None and Path(frame.f_code.co_filename).is_relative_to(_PACKAGE):
        stacklevel, frame = stacklevel + 1, frame.f_back
    warnings.warn(message, category, stacklevel=stacklevel)
