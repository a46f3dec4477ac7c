"""What all pictures share: colours that the colour-blind tell apart and that survive a grey print, and the axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmm.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe & Ito (2008), Color universal design; in order of use.
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
PALETTE = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY)
# Data behind a model, and lines that only guide the eye.
DATA, GUIDE = "#8C8C8C", "#BFBFBF"


def axes_or_new(ax: Axes | None, *, height: float = 4.0) -> Axes:
    """Give the axes to draw on: those given, or those of a new figure, of a height in inches."""
    if ax is not None:
        from matplotlib.axes import Axes  # noqa: PLC0415 - takes a second to import

        if not isinstance(ax, Axes):
            raise ArgumentError(
                f"ax must be one Axes of matplotlib, as `_, ax = plt.subplots()` gives it, or None for a new figure; "
                f"got {type(ax).__name__}"
            )
        return ax
    import matplotlib.pyplot as plt  # noqa: PLC0415 - idem

    _, new = plt.subplots(figsize=(6.0, height), layout="constrained")
    return new
