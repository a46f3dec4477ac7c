"""What all pictures share: colours that the colour-blind tell apart and that survive a grey print, and the axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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
        return ax
    import matplotlib.pyplot as plt  # noqa: PLC0415 - takes a second to import

    _, new = plt.subplots(figsize=(6.0, height), layout="constrained")
    return new


def new_panels(n: int, *, per_row: int = 3, size: tuple[float, float] = (3.2, 3.2)) -> NDArray[Any]:
    """Axes, shape (n,), of a new figure with one panel each: width and height of a panel in inches."""
    import matplotlib.pyplot as plt  # noqa: PLC0415 - takes a second to import

    columns = min(n, per_row)
    rows = -(-n // columns)
    width, height = size
    figure, grid = plt.subplots(
        rows, columns, figsize=(width * columns, height * rows), layout="constrained", squeeze=False
    )
    for unused in grid.ravel()[n:]:
        figure.delaxes(unused)
    return np.asarray(grid.ravel()[:n])
