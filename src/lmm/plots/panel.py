"""Four pictures of a fit in one figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lmm.diagnostics.simulated import observed, simulated
from lmm.plots.distances import cooks_distance
from lmm.plots.quantiles import LEVEL, SEED, default_count, draw_effect, draw_residuals
from lmm.plots.residuals import residuals_vs_fitted, scale_location
from lmm.plots.style import subplots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lmm.model import FittedModel


def overview(model: FittedModel) -> Figure:
    """A 2 x 2 panel of diagnostics; see `FittedModel.plot`."""
    figure, axes = subplots(2, 2, figsize=(9.0, 7.0), layout="constrained")
    values, draws = observed(model), simulated(model, default_count(model), np.random.default_rng(SEED))
    residuals_vs_fitted(model, ax=axes[0, 0])
    draw_residuals(axes[0, 1], values, draws, LEVEL)
    if model.design.names:
        cooks_distance(model, ax=axes[1, 0])
    else:  # Cook's distance measures the change of the fixed effects, of which there are none
        scale_location(model, ax=axes[1, 0])
    draw_effect(axes[1, 1], values, draws, LEVEL, (0, 0))
    axes[1, 1].set_ylabel(f"Standardised {model.factors[0].group}: {model.factors[0].effects[0]}")
    return figure
