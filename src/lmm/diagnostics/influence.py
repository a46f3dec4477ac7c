"""How much single rows, or whole groups of them, move the estimates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lmm.arguments import true_or_false
from lmm.diagnostics.deletion import Deletion, one_step, too_few_levels
from lmm.diagnostics.deletion import exact as exact_deletion
from lmm.diagnostics.leverage import cooks_distance, leverage
from lmm.display import Report, Table, format_column, label_text
from lmm.errors import ArgumentError, ModelError
from lmm.inference.parameters import variance_parameters
from lmm.linalg import FloatArray, IntArray
from lmm.syntax import match_name

if TYPE_CHECKING:
    from lmm.model import FittedModel

# Units and notes that the printed account lists.
SHOWN = 5


@dataclass(frozen=True, repr=False, eq=False)
class InfluenceResult(Report):
    """
    What becomes of the estimates without each row, or without each group of rows: one entry per unit left out.

    Attributes
    ----------
    by : str
        What was left out: ``"row"``, or the name of a grouping factor.
    exact : bool
        Whether the model was fitted again without each unit; otherwise the variance ratios theta are those of the full
        fit (one step), and beta and sigma are exact given them.
    leverage : Series
        Leverage of each row; mean leverage of the rows of a group.
    leverage_parts : DataFrame
        Its parts, ``fixed`` and ``random``.
    cooks_distance : Series
        (m - p) / (m p) (b - beta)' Var(beta)^-1 (b - beta), with b the fixed effects without the unit, the variance of
        the full fit, and m units; the factor (m - p) / m is lme4's, and left out where m <= p. By row in one step: the
        distance of fixed and random effects jointly, as lme4's ``cooks.distance`` of a fit.
    params : DataFrame
        Fixed effects without the unit.
    dfbeta : DataFrame
        Their change, (without the unit) - (full fit).
    dfbetas : DataFrame
        The change over the standard error without the unit.
    covratio : Series
        Determinant of the covariance of the fixed effects without the unit, over that of the full fit: above 1 where
        the unit adds precision.
    sigma : Series
        Residual standard deviation without the unit.
    notes : tuple of str
        Units that cannot be left out, whose entries are NaN, and why.

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy"))
    >>> print(fit.influence(by="Subject"))
    Leaving out each level of 'Subject' in turn, 18 in all (one step, variance ratios kept)
    Largest Cook's distances:
    level of 'Subject' moves most dfbetas Cook's distance covratio
    309                Intercept    0.384          0.1320    1.175
    335                Days         0.488          0.1151    1.175
    337                Intercept   -0.322          0.1120    1.154
    310                Intercept    0.396          0.0982    1.180
    308                Days        -0.447          0.0821    0.858
    """

    by: str
    exact: bool
    leverage: pd.Series[float]
    leverage_parts: pd.DataFrame
    cooks_distance: pd.Series[float]
    params: pd.DataFrame
    dfbeta: pd.DataFrame
    dfbetas: pd.DataFrame
    covratio: pd.Series[float]
    sigma: pd.Series[float]
    notes: tuple[str, ...]
    _variances: pd.DataFrame | None

    @property
    def variance_components(self) -> pd.DataFrame:
        """
        Variances and covariances without each unit, one column per parameter.

        Raises
        ------
        ModelError
            Unless the deletions are exact.
        """
        if self._variances is None:
            raise ModelError(
                "a deletion in one step keeps the variance ratios of the full fit; influence(..., exact=True) "
                "estimates the variance components without each unit"
            )
        return self._variances

    def _tables(self) -> list[Table]:
        """The units with the largest Cook's distances."""
        how = "the model fitted again each time" if self.exact else "one step, variance ratios kept"
        what = "row" if self.by == "row" else f"level of {self.by!r}"
        heading = f"Leaving out each {what} in turn, {len(self.cooks_distance)} in all ({how})"
        cook, ratio = (np.asarray(x, dtype=np.float64) for x in (self.cooks_distance, self.covratio))
        places = np.argsort(np.where(np.isnan(cook), -np.inf, cook), kind="stable")[::-1][:SHOWN]
        moves = self.dfbetas.to_numpy()[places]
        furthest = np.argmax(np.abs(np.nan_to_num(moves)), axis=1)
        columns = (
            [label_text(label) for label in self.cooks_distance.index[places]],
            [str(self.dfbetas.columns[i]) for i in furthest],
            format_column(moves[np.arange(len(moves)), furthest], most_decimals=3),
            format_column(cook[places], most_decimals=4),
            format_column(ratio[places], most_decimals=3),
        )
        header = (what, "moves most", "dfbetas", "Cook's distance", "covratio")
        return [Table(f"{heading}\nLargest Cook's distances:", header, tuple(zip(*columns, strict=True)), 2)]

    def _notes(self) -> list[str]:
        more = len(self.notes) - SHOWN
        return [*self.notes[:SHOWN], *([f"... and {more} more in notes."] if more > 0 else [])]


def influence(model: FittedModel, by: object, exact: object) -> InfluenceResult:
    """Deletion diagnostics; see `FittedModel.influence`."""
    again = true_or_false("exact", exact, "fit again without each unit", "one step")
    if not model.design.names:
        raise ModelError(
            "influence measures how units move the fixed effects, and this model has none; "
            'residuals("studentized") finds outlying rows'
        )
    name, units, labels = _units(model, by)
    variances, notes = None, []
    if again:
        single = too_few_levels(model, units, len(labels))
        deletion, values, failed = exact_deletion(model, units, len(labels), single)
        parameters = variance_parameters(model.factors, sigma_known=model.known_sigma is not None)
        variances = pd.DataFrame(values, index=labels, columns=[parameter.name for parameter in parameters])
        notes = _exact_notes(single, failed, name, labels)
    else:
        deletion = one_step(model, units, len(labels))
    if by is None and not again:
        distance = np.where(deletion.lost.any(axis=1), np.nan, cooks_distance(model))
    else:
        distance = deletion.distance * _share(len(labels), len(model.design.names))
    notes = _lost_notes(model, deletion, name, labels) + notes
    return _labelled(model, deletion, distance, name, units, labels, variances, tuple(notes))


def _share(m: int, p: int) -> float:
    """Factor of Cook's distance by deletion for m units and p coefficients."""
    return (m - p) / (m * p) if m > p else 1.0 / p


def _units(model: FittedModel, by: object) -> tuple[str, IntArray, pd.Index[Any]]:
    """Name of what is left out, unit of each row, and labels of the units."""
    if by is None:
        return "row", np.arange(model.nobs), model.design.index
    groups = [factor.group for factor in model.factors]
    name = match_name(by, groups)
    if name is None:
        raise ArgumentError(
            f"by must be None (single rows) or a grouping factor of the model, among {groups}; got {by!r}"
        )
    factor = model.factors[groups.index(name)]
    return name, factor.codes, factor.levels


def _lost_notes(model: FittedModel, deletion: Deletion, name: str, labels: pd.Index[Any]) -> list[str]:
    """Sentences on the units without which some coefficients cannot be estimated."""
    notes = []
    for unit in np.flatnonzero(deletion.lost.any(axis=1)):
        lost = [repr(c) for c, gone in zip(model.design.names, deletion.lost[unit], strict=True) if gone]
        what = (
            f"the coefficient {lost[0]} cannot" if len(lost) == 1 else f"the coefficients {', '.join(lost)} cannot all"
        )
        notes.append(f"Without {_named(name, labels[int(unit)])}, {what} be estimated from the other rows.")
    return notes


def _named(name: str, label: object) -> str:
    shown = repr(label_text(label)) if isinstance(label, (str, tuple)) else str(label)
    return f"row {shown}" if name == "row" else f"{shown} of {name!r}"


def _exact_notes(single: dict[int, str], failed: dict[int, str], name: str, labels: pd.Index[Any]) -> list[str]:
    """Sentences on the units without which the variances cannot be estimated, or were not."""
    notes = [
        f"Without {_named(name, labels[unit])}, {group!r} has a single level left: no variance between levels."
        for unit, group in single.items()
    ]
    return notes + [f"Without {_named(name, labels[unit])}, {why}." for unit, why in failed.items()]


def _labelled(
    model: FittedModel,
    deletion: Deletion,
    distance: FloatArray,
    name: str,
    units: IntArray,
    labels: pd.Index[Any],
    variances: pd.DataFrame | None,
    notes: tuple[str, ...],
) -> InfluenceResult:
    """Attach labels."""
    h = leverage(model)
    counts = np.bincount(units)
    parts = pd.DataFrame(
        {key: np.bincount(units, weights=value) / counts for key, value in (("fixed", h.fixed), ("random", h.random))},
        index=labels,
    )

    def series(values: FloatArray, called: str) -> pd.Series[float]:
        return pd.Series(values, index=labels, name=called)

    def frame(values: FloatArray) -> pd.DataFrame:
        return pd.DataFrame(values, index=labels, columns=list(model.design.names))

    change = deletion.params - model.estimates.beta
    return InfluenceResult(
        by=name,
        exact=variances is not None,
        leverage=series(parts.to_numpy().sum(axis=1), "leverage"),
        leverage_parts=parts,
        cooks_distance=series(distance, "cooks_distance"),
        params=frame(deletion.params),
        dfbeta=frame(change),
        dfbetas=frame(change / deletion.se),
        covratio=series(deletion.covratio, "covratio"),
        sigma=series(deletion.sigma, "sigma"),
        notes=notes,
        _variances=variances,
    )
