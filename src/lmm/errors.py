"""What can go wrong, as types that users can catch."""


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


class LMMWarning(UserWarning):
    """Base class of every warning that the library gives."""


class SingularFitWarning(LMMWarning):
    """The estimated covariance of some random effects is singular."""


class ConvergenceWarning(LMMWarning):
    """The optimiser stopped before it could certify an optimum."""
