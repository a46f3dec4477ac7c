"""Cook's distances."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lmm.arguments import at_least
from lmm.diagnostics.influence import InfluenceResult
from lmm.display import label_text
from lmm.linalg import FloatArray, IntArray
from lmm.models import mixed_model
from lmm.plots.style import BLUE, GUIDE, VERMILION, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lmm.model import FittedModel

# Multiple of the mean distance beyond which a unit deserves a look, a rule of thumb.
MULTIPLE = 3.0
# Groups whose labels are printed under their distances.
MOST_LABELS = 60
# Bars beyond which only the tallest of neighbours are drawn.
MOST_BARS = 5000


def cooks_distance(fit: FittedModel | InfluenceResult, *, n_labels: int = 5, ax: Axes | None = None) -> Axes:
    """
    Cook's distance of each row, or of each group, with a line at three times their mean.

    Parameters
    ----------
    fit : FittedModel or InfluenceResult
        A fitted model, for its rows; or what `FittedModel.influence` gave, for groups or exact deletions.
    n_labels : int
        Number of units that are named, among those beyond the line.
    ax : Axes, optional
        Where to draw; a new figure where None.

    Returns
    -------
    Axes

    Raises
    ------
    ArgumentError
        For anything but a model with random effects or an `InfluenceResult`, and for a number of labels that is
        none.

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy"))
    >>> ax = lmm.plots.cooks_distance(fit.influence(by="Subject"))
    >>> ax.get_xlabel()
    'Subject'
    """
    count = at_least(0, "n_labels", n_labels, of="units to name")
    influence = fit if isinstance(fit, InfluenceResult) else mixed_model(fit, "cooks_distance").influence()
    distance = np.asarray(influence.cooks_distance, dtype=np.float64)
    limit = MULTIPLE * float(np.nanmean(distance))
    beyond = distance > limit
    place = np.arange(len(distance))
    ax = axes_or_new(ax)
    within, far = _tallest(place[~beyond], distance), _tallest(place[beyond], distance)
    ax.vlines(within, 0.0, distance[within], color=BLUE, linewidth=1.2, label="within")
    ax.vlines(far, 0.0, distance[far], color=VERMILION, linewidth=2.0, label="beyond")
    ax.axhline(limit, color=GUIDE, linewidth=1.2, linestyle="--", label="3 x mean")
    for i in np.flatnonzero(beyond)[np.argsort(-distance[beyond], kind="stable")][:count]:
        label, tip = label_text(influence.cooks_distance.index[int(i)]), (float(i), float(distance[i]))
        ax.annotate(label, tip, (3.0, 0.0), textcoords="offset points", fontsize="small", va="center")
    ax.set(xlabel="Row" if influence.by == "row" else influence.by, ylabel="Cook's distance")
    if influence.by != "row":
        labels = [label_text(label) for label in influence.cooks_distance.index] if len(place) <= MOST_LABELS else []
        ax.set_xticks(place[: len(labels)], labels, rotation=90, fontsize="small")
    ax.set_ylim(bottom=0.0)
    return ax


def _tallest(place: IntArray, distance: FloatArray) -> IntArray:
    """Where bars are drawn: everywhere, or the tallest of each stretch where there are more than a picture can show."""
    if len(place) <= MOST_BARS:
        return place
    starts = np.arange(MOST_BARS) * len(place) // MOST_BARS
    tallest = np.maximum.reduceat(np.nan_to_num(distance[place]), starts)
    is_tallest = distance[place] == np.repeat(tallest, np.diff([*starts, len(place)]))
    return np.asarray(place[is_tallest], dtype=np.intp)
