"""What all pictures share: colours that the colour-blind tell apart and that survive a grey print, and the axes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lmm.errors import ArgumentError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito (2008), Color universal design; in order of use.
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
PALETTE = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY)
# Data behind a model, and lines that only guide the eye.
DATA, GUIDE = "#8C8C8C", "#BFBFBF"


def subplots(rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:  # noqa: ANN401 - matplotlib's
    """
    Make a figure with axes by matplotlib's function of this name.

    Raises
    ------
    ModuleNotFoundError
        Where matplotlib is not installed, with the way out.
    """
    try:
        import matplotlib.pyplot as plt  # noqa: PLC0415 - takes a second to import
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "pictures need the package matplotlib, which is not installed: pip install matplotlib", name=error.name
        ) from error
    return plt.subplots(rows, columns, **options)


def axes_or_new(ax: Axes | None, *, height: float = 4.0) -> Axes:
    """Give the axes to draw on: those given, or those of a new figure, of a height in inches."""
    if ax is None:
        figure, _ = subplots(figsize=(6.0, height), layout="constrained")
        return figure.axes[0]
    if not _are_axes([ax]):
        raise ArgumentError(
            f"ax must be one Axes of matplotlib, as `_, ax = plt.subplots()` gives it, or None for a new figure; "
            f"got {type(ax).__name__}"
        )
    return ax


def axes_or_panels(
    ax: Axes | Sequence[Axes] | NDArray[Any] | None, n: int, *, per_row: int, size: tuple[float, float]
) -> NDArray[Any]:
    """Give the axes of n panels, shape (n,): those given, or those of a new figure, see `new_panels`."""
    if ax is None:
        return new_panels(n, per_row=per_row, size=size)
    given = np.asarray(ax, dtype=object).ravel()
    if len(given) != n or not _are_axes(given):
        raise ArgumentError(
            f"ax must hold {n} Axes of matplotlib, one for each panel, as `_, ax = plt.subplots({n})` gives them, or "
            f"be None for a new figure; got {f'{len(given)} Axes' if _are_axes(given) else type(ax).__name__}"
        )
    return given


def _are_axes(given: Iterable[object]) -> bool:
    from matplotlib.axes import Axes  # noqa: PLC0415 - takes a second to import

    return all(isinstance(ax, Axes) for ax in given)


def new_panels(n: int, *, per_row: int = 3, size: tuple[float, float] = (3.2, 3.2)) -> NDArray[Any]:
    """Axes, shape (n,), of a new figure with one panel each: width and height of a panel in inches."""
    columns = min(n, per_row)
    rows = -(-n // columns)
    width, height = size
    figure, grid = subplots(
        rows, columns, figsize=(width * columns, height * rows), layout="constrained", squeeze=False
    )
    for unused in grid.ravel()[n:]:
        figure.delaxes(unused)
    return np.asarray(grid.ravel()[:n])
