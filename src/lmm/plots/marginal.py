"""Marginal means and slopes with their limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lmm.marginal.families import level_text
from lmm.plots.style import GUIDE, PALETTE, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lmm.marginal.result import MarginalMeans

# Share of the distance between two positions that the groups at one position take up.
SPREAD = 0.6
# Beyond so many characters the labels of the positions are turned.
MOST_CHARACTERS = 50


def plot_means(result: MarginalMeans, ax: Axes | None = None) -> Axes:
    """Draw means with their limits, the levels of ``by`` in colours; see `MarginalMeans.plot`."""
    ax = axes_or_new(ax)
    groups = result.groups()
    shift = SPREAD / len(groups)
    for number, (levels, rows) in enumerate(groups):
        known = rows[rows["estimate"].notna()]
        place = rows.index.get_indexer(known.index) + (number - (len(groups) - 1) / 2) * shift
        half = (known[["estimate", "upper"]].to_numpy() - known[["lower", "estimate"]].to_numpy()).T
        label = ", ".join(map(level_text, levels))
        color = PALETTE[number % len(PALETTE)]
        ax.errorbar(place, known["estimate"].to_numpy(), half, fmt="o", color=color, capsize=3, label=label)
    primary = [name for name in result.factors if name not in result.by]
    labels = [", ".join(map(level_text, values)) for values in groups[0][1][primary].itertuples(index=False)]
    turned = sum(map(len, labels)) > MOST_CHARACTERS
    ax.set_xticks(np.arange(len(labels)), labels, rotation=45 if turned else 0, ha="right" if turned else "center")
    ax.set_xlim(-0.5, len(labels) - 0.5)
    ax.set_xlabel(", ".join(primary))
    response = result.model.design.formula.response
    ax.set_ylabel(response if result.var is None else f"Slope of {response} in {result.var}")
    if result.var is not None:
        ax.axhline(0.0, color=GUIDE, linewidth=1.0, zorder=0)
    if result.by:
        ax.legend(title=", ".join(result.by), loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return ax
