"""Information criteria along a path of models."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lmm.errors import ArgumentError
from lmm.models import mixed_model
from lmm.plots.style import BLUE, VERMILION, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lmm.model import FittedModel


def information_criteria(*fits: FittedModel, names: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """
    AIC and BIC of several models of the same data, in the order given, with the least of each marked.

    Parameters
    ----------
    *fits : FittedModel
        Two or more, all by ML or all by REML; under REML with the same fixed effects.
    names : sequence of str, optional
        What the models are called; their numbers where None.
    ax : Axes, optional
        Where to draw; a new figure where None.

    Returns
    -------
    Axes

    Raises
    ------
    ArgumentError
        When the criteria are not comparable.

    Examples
    --------
    >>> import lmm
    >>> sleepstudy = lmm.datasets.load("sleepstudy")
    >>> terms = ["(1 | Subject)", "(Days || Subject)", "(Days | Subject)"]
    >>> fits = [lmm.fit(f"Reaction ~ Days + {term}", sleepstudy, reml=False) for term in terms]
    >>> ax = lmm.plots.information_criteria(*fits, names=terms)
    >>> [line.get_label() for line in ax.get_lines()]
    ['AIC', 'BIC']
    """
    _check([mixed_model(fit, "information_criteria") for fit in fits])
    if names is None:
        names = [str(i + 1) for i in range(len(fits))]
    if isinstance(names, str) or not isinstance(names, Collection) or len(names) != len(fits):
        raise ArgumentError(f"names must give one name for each of the {len(fits)} models, in a list; got {names!r}")
    ax = axes_or_new(ax)
    place = np.arange(len(fits))
    for label, values, colour, marker in (
        ("AIC", np.array([fit.aic for fit in fits]), BLUE, "o"),
        ("BIC", np.array([fit.bic for fit in fits]), VERMILION, "s"),
    ):
        ax.plot(place, values, color=colour, marker=marker, markersize=5.0, linewidth=1.5, label=label)
        least = int(np.argmin(values))
        ax.scatter(least, values[least], s=160.0, facecolors="none", edgecolors=colour, linewidths=1.5, zorder=3)
    ax.set_xticks(place, [str(name) for name in names])
    ax.margins(x=0.15, y=0.15)
    ax.set(xlabel="Model", ylabel="Information criterion")
    ax.legend(frameon=False, fontsize="small")
    return ax


def _check(fits: list[FittedModel]) -> None:
    if len(fits) < 2:  # noqa: PLR2004 - a comparison needs two
        raise ArgumentError(f"two or more fitted models are compared; got {len(fits)}")
    one = fits[0]
    for other in fits[1:]:
        if other.nobs != one.nobs or not np.array_equal(other.design.y, one.design.y):
            raise ArgumentError("criteria are comparable between models of the same response only: these differ in it")
        if other.reml != one.reml:
            raise ArgumentError("criteria by ML and by REML are not comparable: fit all with the same reml=")
        if one.reml and other.design.names != one.design.names:
            raise ArgumentError(
                "under REML, criteria of models with different fixed effects are not comparable: fit with reml=False"
            )
