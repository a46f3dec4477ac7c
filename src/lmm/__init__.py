"""
Gaussian linear mixed models: lme4's formulas, exact gradients, certified optima.

`fit` takes a formula and a data frame and returns a `FittedModel`; `datasets` holds the classics of the field.
"""

from lmm import datasets
from lmm.errors import (
    ArgumentError,
    ConvergenceWarning,
    DataError,
    FormulaError,
    LMMError,
    LMMWarning,
    ModelError,
    SingularFitWarning,
)
from lmm.fitting import fit
from lmm.model import FittedModel
from lmm.optimize import Control

__version__ = "0.1.0"

__all__ = [
    "ArgumentError",
    "Control",
    "ConvergenceWarning",
    "DataError",
    "FittedModel",
    "FormulaError",
    "LMMError",
    "LMMWarning",
    "ModelError",
    "SingularFitWarning",
    "datasets",
    "fit",
]
