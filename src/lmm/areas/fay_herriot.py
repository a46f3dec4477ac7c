"""`lmm.fay_herriot`: small-area estimates from direct estimates with known sampling variances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from lmm.areas.area_level import AreaLevelFit, area_level_fit, moment_variance, mse_parts, synthetic_mse_parts
from lmm.areas.formula import area_formula
from lmm.areas.unsampled import Unsampled, unsampled_areas
from lmm.arguments import one_of
from lmm.columns import shown_labels
from lmm.design import Design, build_design
from lmm.display import Report, Table, format_column
from lmm.errors import ArgumentError, DataError
from lmm.fitting import fit_design
from lmm.formula import ModelFormula
from lmm.frames import Table as Columns
from lmm.frames import as_frame, as_table
from lmm.linalg import FloatArray, IntArray
from lmm.optimize import Control
from lmm.rows import row_argument

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lmm.model import FittedModel

METHODS = {
    "reml": "restricted maximum likelihood",
    "ml": "maximum likelihood",
    "fh": "the moment equation of Fay and Herriot",
}
# Areas shown when a result is printed.
SHOWN = 10


@dataclass(frozen=True, repr=False, eq=False)
class FayHerriot(Report):
    """
    Area-level small-area estimates, made by `lmm.fay_herriot`.

    Attributes
    ----------
    formula : str
    method : str
        ``"reml"``, ``"ml"`` or ``"fh"``.
    area_variance : float
        Estimated variance A of the area effects, in squared units of the response.
    params, bse : Series
        Fixed effects and their standard errors.
    table : DataFrame
        By area: direct (the direct estimate), variance (of its sampling error, known), synthetic (x'beta), gamma (the
        weight of the direct estimate), eblup, mse, cv_direct and cv_eblup (coefficients of variation, ratios). An area
        without a direct estimate (NaN) has gamma 0: its EBLUP is the synthetic estimate.
    mse_parts : DataFrame
        By area: g1, g2, g3 and correction; mse = g1 + g2 + 2 g3 + correction.
    fit : FittedModel or None
        The fit by REML or ML, to the areas with a direct estimate; None where A comes from the moment equation.
    left_out : Index
        Areas that are not in the table: a predictor is missing or has a level that no area with a direct estimate has,
        or there is a direct estimate without its variance.

    Examples
    --------
    >>> import lmm
    >>> milk = lmm.datasets.load("milk")
    >>> result = lmm.fay_herriot("yi ~ factor(MajorArea)", milk, variance="SD^2", area="SmallArea")
    >>> round(result.area_variance, 5)
    0.01855
    >>> result.table[["direct", "gamma", "eblup"]].head(3).round(3)
               direct  gamma  eblup
    SmallArea
    1           1.099  0.411  1.022
    2           1.075  0.743  1.048
    3           1.105  0.729  1.068
    """

    formula: str
    method: str
    area_variance: float
    params: pd.Series[float]
    bse: pd.Series[float]
    table: pd.DataFrame
    mse_parts: pd.DataFrame
    fit: FittedModel | None
    left_out: pd.Index[Any]

    def plot(self, ax: Axes | None = None) -> Axes:
        """
        Draw how each direct estimate is shrunk towards its synthetic estimate, the most precise areas first.

        Parameters
        ----------
        ax : Axes, optional
            Axes to draw on; without it, those of a new figure.

        Returns
        -------
        Axes

        Examples
        --------
        >>> import lmm
        >>> milk = lmm.datasets.load("milk")
        >>> result = lmm.fay_herriot("yi ~ factor(MajorArea)", milk, variance="SD^2", area="SmallArea")
        >>> result.plot().get_ylabel()
        'estimate'
        """
        from lmm.plots.areas import plot_shrinkage  # noqa: PLC0415 - matplotlib is heavy

        return plot_shrinkage(self.table, ax)

    _before_note = "\n\n"

    def _heading(self) -> list[str]:
        direct = int(self.table["direct"].notna().sum())
        return [
            f"Fay-Herriot model, area variance by {METHODS[self.method]}",
            f"Formula: {self.formula}",
            f"Number of areas: {len(self.table)}"
            + (f", {direct} with a direct estimate" if direct < len(self.table) else ""),
            f"Area variance: {self.area_variance:.6g}",
        ]

    def _tables(self) -> list[Table]:
        estimates = (format_column(np.asarray(values, dtype=np.float64)) for values in (self.params, self.bse))
        fixed = tuple(zip(map(str, self.params.index), *estimates, strict=True))
        shown = self.table.head(SHOWN)
        names = ("direct", "gamma", "eblup", "mse", "cv_direct", "cv_eblup")
        columns = (format_column(shown[name].to_numpy(dtype=np.float64)) for name in names)
        rows = tuple(zip(map(str, shown.index), *columns, strict=True))
        title = "Areas" if len(shown) == len(self.table) else f"Areas (the first {SHOWN} of {len(self.table)})"
        return [
            Table("Fixed effects", ("", "Estimate", "Std. Error"), fixed, 1),
            Table(title, ("", *names), rows, 1),
        ]

    def _notes(self) -> list[str]:
        notes = []
        synthetic = self.table.index[self.table["direct"].isna()]
        if len(synthetic):
            notes.append(
                f"Without a direct estimate, so that the EBLUP is the synthetic estimate: {_named(synthetic)}."
            )
        if len(self.left_out):
            notes.append(
                f"Left out: {_named(self.left_out)}. A predictor is missing or has a level that no area with a direct "
                "estimate has, or there is a direct estimate without its variance."
            )
        if self.area_variance == 0.0:
            notes.append(
                "The estimated area variance is zero: the direct estimates differ from the regression no more than "
                "their sampling variances explain, and the EBLUPs are the synthetic estimates (gamma = 0)."
            )
        if (self.table["mse"] < 0).any():
            notes.append(
                "Some estimated mean squared errors are negative, which the correction for the bias of a small area "
                "variance can bring about; their coefficients of variation are left out. REML has no such correction."
            )
        return notes


def fay_herriot(
    formula: str,
    data: Any,  # noqa: ANN401 - frames of any library
    *,
    variance: str | ArrayLike,
    area: str | None = None,
    method: str = "reml",
    na_action: str = "drop",
    contrasts: dict[str, Any] | None = None,
) -> FayHerriot:
    """
    Small-area estimates by the area-level model of Fay and Herriot.

    Direct estimates with known sampling variances D are shrunk towards a regression, each by its own precision:
    y_i = x_i'beta + u_i + e_i with u_i ~ N(0, A) and e_i ~ N(0, D_i).

    Parameters
    ----------
    formula : str
        Direct estimate and fixed effects, ``"y ~ x"``; the random effect of the areas is added.
    data : DataFrame
        One row per area. An area whose direct estimate is missing gets its synthetic estimate x'beta.
    variance : str or array_like (n,)
        Known sampling variances of the direct estimates: a column, an expression such as ``"SD^2"``, or numbers.
    area : str, optional
        Column with the names of the areas; without it, the index of the data.
    method : {"reml", "ml", "fh"}
        How the area variance A is estimated: REML, ML, or the moment equation of Fay and Herriot.
    na_action, contrasts
        As for `lmm.fit`; "raise" refuses areas without a direct estimate, too.

    Returns
    -------
    FayHerriot
        Estimates in units of the response, with mean squared errors that count the estimation of beta and of A: those
        of Datta and Lahiri (2000) under REML and ML, of Datta, Rao and Smith (2005) for the moment equation. That of a
        synthetic estimate is x'Cov(beta) x + A, less the bias of A: the limit of the others for a sampling variance
        that grows.

    Raises
    ------
    FormulaError
        When the formula has random terms of its own.
    DataError
        When a variance is not positive, or an area has several rows.
    ArgumentError
        For an unknown method.

    Warns
    -----
    SingularFitWarning
        When the estimate of A by REML or ML is zero.

    Notes
    -----
    Under REML and ML this is ``lmm.fit(formula + " + (1 | area)", data, weights=1 / D, sigma=1)``.

    References
    ----------
    Fay, R. E. and Herriot, R. A. (1979). Estimates of income for small places: an application of James-Stein procedures
    to census data. Journal of the American Statistical Association 74, 269-277.

    Rao, J. N. K. and Molina, I. (2015). Small Area Estimation, 2nd edition. Wiley, chapter 6.

    Examples
    --------
    >>> import lmm
    >>> milk = lmm.datasets.load("milk")
    >>> result = lmm.fay_herriot("yi ~ factor(MajorArea)", milk, variance="SD^2", area="SmallArea", method="fh")
    >>> result.table[["cv_direct", "cv_eblup"]].mean().round(3)
    cv_direct    0.148
    cv_eblup     0.109
    dtype: float64
    """
    one_of("method", method, METHODS)
    if area is not None and not isinstance(area, str):
        raise ArgumentError(f"area must be the name of a column, or None for the index of the data; got {area!r}")
    frame, group = _with_areas(as_frame(data), area)
    parsed = area_formula(formula, group)
    D = _sampling_variances(variance, as_table(frame), parsed)
    design = build_design(parsed, frame, weights=1.0 / D, na_action=na_action, sigma_fixed=True, contrasts=contrasts)
    used = np.arange(len(frame)) if design.rows is None else design.rows
    D_used = D[used]
    unsampled = unsampled_areas(design, frame)
    rows = np.concatenate([used, unsampled.rows])
    order = np.argsort(rows)
    labels = _area_labels(design, frame, area, rows[order])
    y = design.y_less_offset
    fit = None
    if method == "fh":
        A = moment_variance(y, design.X, D_used)
    else:
        fit = fit_design(design, reml=method == "reml", sigma=1.0, start=None, control=Control())
        A = float(fit.estimates.T[0][0, 0] ** 2)
    found = area_level_fit(A, y, design.X, D_used)
    parts = _mse_parts(A, D_used, found, unsampled, method)
    mse = pd.DataFrame(parts[order], labels, ["g1", "g2", "g3", "correction"])
    names = list(design.names)
    return FayHerriot(
        formula=formula,
        method=method,
        area_variance=A,
        params=pd.Series(found.beta, index=names),
        bse=pd.Series(np.sqrt(np.diagonal(found.cov_beta)), index=names),
        table=_area_table(_estimates(design, found, unsampled)[order], D[rows[order]], mse),
        mse_parts=mse,
        fit=fit,
        left_out=_labels(design, frame, area, unsampled.left_out),
    )


def _with_areas(frame: pd.DataFrame, area: str | None) -> tuple[pd.DataFrame, str]:
    """The data with a column that tells the areas apart, and its name; one of its own for each row by default."""
    if area is not None:
        return frame, area
    name = "area"
    while name in frame.columns:
        name += "_"
    return frame.assign(**{name: np.arange(len(frame))}), name


def _mse_parts(A: float, D: FloatArray, found: AreaLevelFit, unsampled: Unsampled, method: str) -> FloatArray:
    """g1, g2, g3 and correction (m + u, 4): first the areas with a direct estimate."""
    distance = np.einsum("ij,jk,ik->i", unsampled.X, found.cov_beta, unsampled.X)
    sampled = mse_parts(A, D, found.leverage, method)
    synthetic = synthetic_mse_parts(A, D, found.leverage, method, distance)
    return np.concatenate([np.column_stack(sampled), np.column_stack(synthetic)])


def _sampling_variances(variance: str | ArrayLike, table: Columns, formula: ModelFormula) -> FloatArray:
    """Known variances for all rows of the data; NaN where one is missing."""
    D, _ = row_argument("variance", variance, table, formula)
    if D is None:
        raise ArgumentError("variance must give the known sampling variances: a column, an expression, or numbers")
    if (D <= 0).any():
        first = int(np.argmax(D <= 0))
        raise DataError(
            f"The sampling variances must be positive; row {first} (counted from 0) has {D[first]:g}. An area that is "
            "known without error needs no model: leave it out."
        )
    return D


def _labels(design: Design, frame: pd.DataFrame, area: str | None, rows: IntArray) -> pd.Index[Any]:
    """Names of the areas in some rows of the data."""
    some = frame.iloc[rows]
    return some.index if area is None else design.group_labels(some, 0).rename(area)


def _area_labels(design: Design, frame: pd.DataFrame, area: str | None, rows: IntArray) -> pd.Index[Any]:
    """Names of the areas in some rows of the data; each must have one row."""
    labels = _labels(design, frame, area, rows)
    if area is not None and labels.has_duplicates:
        twice = shown_labels(labels[labels.duplicated()][:1])
        raise DataError(
            f"{area!r} has several rows for {twice}: the area-level model takes one direct estimate per area. For data "
            "by unit use lmm.nested_error."
        )
    return labels


def _estimates(design: Design, found: AreaLevelFit, unsampled: Unsampled) -> FloatArray:
    """Direct and synthetic estimate, gamma and EBLUP (m + u, 4): first the areas with a direct estimate."""
    offset = 0.0 if design.offset is None else design.offset
    sampled = np.column_stack([design.y, found.synthetic + offset, found.gamma, found.eblup + offset])
    synthetic = unsampled.X @ found.beta + unsampled.offset
    none = np.full_like(synthetic, np.nan)
    return np.concatenate([sampled, np.column_stack([none, synthetic, np.zeros_like(synthetic), synthetic])])


def _area_table(estimates: FloatArray, D: FloatArray, parts: pd.DataFrame) -> pd.DataFrame:
    """Estimates by area with their uncertainty, on the scale of the response."""
    direct, synthetic, gamma, eblup = estimates.T
    mse = (parts["g1"] + parts["g2"] + 2.0 * parts["g3"] + parts["correction"]).to_numpy()
    columns = {
        "direct": direct,
        "variance": D,
        "synthetic": synthetic,
        "gamma": gamma,
        "eblup": eblup,
        "mse": mse,
        "cv_direct": np.sqrt(D) / np.abs(direct),
        "cv_eblup": np.sqrt(np.where(mse >= 0.0, mse, np.nan)) / np.abs(eblup),
    }
    return pd.DataFrame(columns, index=parts.index)


def _named(areas: pd.Index[Any]) -> str:
    """How many areas, and which."""
    return f"{len(areas)} {'area' if len(areas) == 1 else 'areas'} ({shown_labels(areas, SHOWN)})"
