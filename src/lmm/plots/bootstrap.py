"""Distributions of bootstrap replicates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lmm.errors import ArgumentError
from lmm.linalg import FloatArray
from lmm.plots.style import BLUE, GUIDE, VERMILION, axes_or_new, new_panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lmm.inference.bootstrap_result import BootstrapResult

# Share of replicates with exactly the same value that is shown as a point mass.
POINT_MASS = 0.01
# Points of a density curve.
N_POINTS = 200


def plot_bootstrap(result: BootstrapResult, parameter: str | None, ax: Axes | None) -> Axes | list[Axes]:
    """Draw one parameter on given or new axes, or all in a new figure; see `BootstrapResult.plot`."""
    names = list(result.original.index)
    if parameter is not None and not (isinstance(parameter, str) and parameter in names):
        raise ArgumentError(f"there is no parameter {parameter!r}; there are {', '.join(map(repr, names))}")
    if parameter is not None or len(names) == 1:
        chosen = names.index(parameter) if parameter is not None else 0
        panel = axes_or_new(ax)
        _draw(panel, result, chosen)
        panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
        return panel
    if ax is not None:
        raise ArgumentError(
            f"one pair of axes holds one parameter; say which, of {', '.join(map(repr, names))}, or leave ax out"
        )
    panels: list[Axes] = list(new_panels(len(names), size=(3.2, 2.4)))
    for i, panel in enumerate(panels):
        _draw(panel, result, i)
    lines = {label: line for panel in panels for line, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    panels[0].figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=3, frameon=False)
    return panels


def _draw(ax: Axes, result: BootstrapResult, i: int) -> None:
    """Histogram and density of one parameter, its estimate and its percentile limits."""
    name = str(result.original.index[i])
    values = result.estimates.to_numpy(dtype=np.float64)[:, i]
    common, counts = np.unique(values, return_counts=True)
    place = int(np.argmax(counts))
    share = float(counts[place]) / len(values)
    mass = share if share >= POINT_MASS and counts[place] > 1 else 0.0
    smooth = values[values != common[place]] if mass else values
    if len(np.unique(smooth)) > 1:
        counted, edges = np.histogram(smooth, bins="auto")
        ax.stairs(counted / (len(values) * np.diff(edges)), edges, fill=True, color=GUIDE)
        grid = np.linspace(smooth.min(), smooth.max(), N_POINTS)
        ax.plot(grid, (1.0 - mass) * _density(smooth, grid), color=BLUE, label="kernel density")
    if mass:
        ax.annotate(f"{mass:.0%} at {common[place]:.3g}", (0.97, 0.95), xycoords="axes fraction", ha="right", va="top")
    ax.axvline(float(result.original.iloc[i]), color=VERMILION, label="estimate")
    for limit, label in zip(result.conf_int().iloc[i], ("95 % percentile limits", None), strict=True):
        ax.axvline(float(limit), color=VERMILION, linestyle=":", label=label)
    ax.set_xlabel(name)
    ax.set_ylabel("density")


def _density(values: FloatArray, grid: FloatArray) -> FloatArray:
    """Kernel estimate of the density of the values at the points of a grid."""
    from scipy.stats import gaussian_kde  # noqa: PLC0415 - scipy.stats takes long to import

    density: FloatArray = gaussian_kde(values)(grid)
    return density
