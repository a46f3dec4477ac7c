"""
Gaussian linear mixed models: lme4's formulas, exact gradients, certified optima.

`fit` takes a formula and a data frame and returns a `FittedModel`; `datasets` holds the classics of the field.

What needs pandas, SciPy and formulaic is imported on first use (SPEC 1), so that a program which may or may not fit a
model starts without waiting for them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from lmm import datasets
    from lmm.fitting import fit
    from lmm.marginal.means import emmeans, emtrends
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
    "emmeans",
    "emtrends",
    "fit",
]

# Where the names live that are imported on first use.
_ON_USE = {
    "Control": "lmm.optimize",
    "FittedModel": "lmm.model",
    "emmeans": "lmm.marginal.means",
    "emtrends": "lmm.marginal.means",
    "fit": "lmm.fitting",
}


def __getattr__(name: str) -> object:
    """Import a public name on its first use."""
    if name == "datasets":
        return import_module("lmm.datasets")
    if name not in _ON_USE:
        raise AttributeError(f"module 'lmm' has no attribute {name!r}")
    value = getattr(import_module(_ON_USE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
