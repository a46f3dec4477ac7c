"""Pictures of data cloning: chains, densities, and how they shrink."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lmm.arguments import one_of
from lmm.plots.style import GUIDE, PALETTE, axes_or_panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lmm.cloning.result import DataCloning

# Points at which a density is drawn.
GRID = 200


def plot_cloning(result: DataCloning, kind: str, ax: Axes | Sequence[Axes] | None) -> NDArray[Any]:
    """
    Draw one panel for each parameter.

    Parameters
    ----------
    result : DataCloning
    kind : {"trace", "density", "clones"}
    ax : Axes or array of Axes (d,), optional
    """
    pictures = {"trace": _trace, "density": _density, "clones": _clones}
    draw_panel = pictures[one_of("kind", kind, pictures)]
    panels = axes_or_panels(ax, len(result.parameters), per_row=1, size=(6.0, 2.0))
    for i, (name, panel) in enumerate(zip(result.parameters, panels, strict=True)):
        draw_panel(result, i, panel)
        panel.set_title(name, loc="left", fontsize="medium")
    panels[0].legend(fontsize="small", loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, frameon=False)
    return panels


def _trace(result: DataCloning, i: int, panel: Axes) -> None:
    """Chains with the most clones."""
    K = result.n_clones[-1]
    for c, chain in enumerate(result.draws[K][..., i]):
        panel.plot(chain, color=PALETTE[c % len(PALETTE)], linewidth=0.6, label=f"chain {c + 1}")
    panel.set_xlabel(f"draw, with {K} clone{'s' if K > 1 else ''}")


def _density(result: DataCloning, i: int, panel: Axes) -> None:
    """Kernel densities for each number of clones."""
    from scipy.stats import gaussian_kde  # noqa: PLC0415 - takes half a second to import

    values = {K: draws[..., i].ravel() for K, draws in result.draws.items()}
    # The widest posterior may have tails that would flatten all others.
    low, high = np.quantile(values[result.n_clones[0]], [0.005, 0.995])
    x = np.linspace(low, high, GRID)
    for c, (K, drawn) in enumerate(values.items()):
        color = PALETTE[c % len(PALETTE)]
        panel.plot(x, gaussian_kde(drawn)(x), color=color, label=f"{K} clone{'s' if K > 1 else ''}")
    panel.set_ylabel("density")
    panel.set_ylim(bottom=0.0)


def _clones(result: DataCloning, i: int, panel: Axes) -> None:
    """Standard deviations against the number of clones, on log scales."""
    table = result.by_clones
    own = table[table["parameter"] == result.parameters[i]]
    panel.plot(own["n_clones"], own["expected_sd"], color=GUIDE, label="expected where estimable")
    panel.plot(own["n_clones"], own["sd"], "o", color=PALETTE[0], label="posterior")
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xticks(list(result.n_clones), [str(K) for K in result.n_clones])
    panel.xaxis.minorticks_off()
    panel.set_xlabel("number of clones")
    panel.set_ylabel("standard deviation")
