"""
Pictures of fitted models and results, drawn with matplotlib.

Every function takes ``ax=``, makes a figure of its own where none is given, returns what it drew on, and neither shows
nor saves anything. Where it draws several panels, ``ax=`` takes one of them, chosen by name.
"""

from lmm.plots.criteria import information_criteria
from lmm.plots.distances import cooks_distance
from lmm.plots.effects import caterpillar, shrinkage
from lmm.plots.lines import fitted_lines
from lmm.plots.quantiles import qq_random_effects, qq_residuals
from lmm.plots.residuals import residuals_by_group, residuals_vs_fitted, scale_location

__all__ = [
    "caterpillar",
    "cooks_distance",
    "fitted_lines",
    "information_criteria",
    "qq_random_effects",
    "qq_residuals",
    "residuals_by_group",
    "residuals_vs_fitted",
    "scale_location",
    "shrinkage",
]
