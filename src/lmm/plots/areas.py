"""Pictures of small-area estimates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lmm.display import label_text
from lmm.plots.style import BLUE, DATA, GUIDE, ORANGE, axes_or_new

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

# Up to this many areas are named on the axis.
MOST_NAMED = 25


def plot_shrinkage(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """
    Direct estimates, synthetic estimates and EBLUPs of areas, the areas in order of the variance of the first.

    Parameters
    ----------
    table : DataFrame
        By area: direct, variance, synthetic, eblup.
    ax : Axes, optional
        Axes to draw on.
    """
    axes = axes_or_new(ax)
    ordered = table.sort_values("variance", kind="stable")
    x = np.arange(len(ordered))
    axes.vlines(x, ordered["direct"], ordered["eblup"], color=GUIDE, linewidth=1.5, zorder=1)
    axes.scatter(x, ordered["synthetic"], marker="_", color=ORANGE, s=40, label="synthetic", zorder=2)
    axes.scatter(x, ordered["direct"], facecolor="white", edgecolor=DATA, s=22, label="direct", zorder=3)
    axes.scatter(x, ordered["eblup"], color=BLUE, s=22, label="EBLUP", zorder=4)
    axes.set_xlabel("area, the smallest sampling variance first")
    axes.set_ylabel("estimate")
    if len(ordered) <= MOST_NAMED:
        axes.set_xticks(x, [label_text(label) for label in ordered.index], rotation=90)
    else:
        axes.set_xticks([])
    axes.legend()
    return axes
