"""
Gaussian linear mixed models: lme4's formulas, exact gradients, certified optima.

`fit` takes a formula and a data frame and returns a `FittedModel`; `datasets` holds the classics of the field, `plots`
the pictures.

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
    from lmm import datasets, diagnostics, plots
    from lmm.areas.fay_herriot import fay_herriot
    from lmm.areas.nested_error import nested_error
    from lmm.cloning.estimate import data_cloning
    from lmm.cloning.posterior import Priors
    from lmm.diagnostics.r2 import icc, r2
    from lmm.fitting import fit
    from lmm.fixed import FixedModel
    from lmm.inference.anova import anova
    from lmm.inference.drop import drop1, ranova
    from lmm.inference.estimability import estimability
    from lmm.inference.exact_f import exact_f_test
    from lmm.inference.exact_lrt import exact_lrt, exact_rlrt
    from lmm.inference.lrt import lrt
    from lmm.inference.optimal import optimal_test
    from lmm.marginal.means import emmeans, emtrends
    from lmm.model import FittedModel
    from lmm.moments.estimate import anova_estimates
    from lmm.optimize import Control

__version__ = "0.1.0"

__all__ = [
    "ArgumentError",
    "Control",
    "ConvergenceWarning",
    "DataError",
    "FittedModel",
    "FixedModel",
    "FormulaError",
    "LMMError",
    "LMMWarning",
    "ModelError",
    "Priors",
    "SingularFitWarning",
    "anova",
    "anova_estimates",
    "data_cloning",
    "datasets",
    "diagnostics",
    "drop1",
    "emmeans",
    "emtrends",
    "estimability",
    "exact_f_test",
    "exact_lrt",
    "exact_rlrt",
    "fay_herriot",
    "fit",
    "icc",
    "lrt",
    "nested_error",
    "optimal_test",
    "plots",
    "r2",
    "ranova",
]

# Where the names live that are imported on first use.
_ON_USE = {
    "Control": "lmm.optimize",
    "FittedModel": "lmm.model",
    "FixedModel": "lmm.fixed",
    "Priors": "lmm.cloning.posterior",
    "anova": "lmm.inference.anova",
    "anova_estimates": "lmm.moments.estimate",
    "data_cloning": "lmm.cloning.estimate",
    "drop1": "lmm.inference.drop",
    "emmeans": "lmm.marginal.means",
    "emtrends": "lmm.marginal.means",
    "estimability": "lmm.inference.estimability",
    "exact_f_test": "lmm.inference.exact_f",
    "exact_lrt": "lmm.inference.exact_lrt",
    "exact_rlrt": "lmm.inference.exact_lrt",
    "fay_herriot": "lmm.areas.fay_herriot",
    "fit": "lmm.fitting",
    "icc": "lmm.diagnostics.r2",
    "lrt": "lmm.inference.lrt",
    "nested_error": "lmm.areas.nested_error",
    "optimal_test": "lmm.inference.optimal",
    "r2": "lmm.diagnostics.r2",
    "ranova": "lmm.inference.drop",
}
_MODULES = ("datasets", "diagnostics", "plots")


def __getattr__(name: str) -> object:
    """Import a public name on its first use."""
    if name in _MODULES:
        return import_module(f"lmm.{name}")
    if name not in _ON_USE:
        raise AttributeError(f"module 'lmm' has no attribute {name!r}")
    value = getattr(import_module(_ON_USE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
