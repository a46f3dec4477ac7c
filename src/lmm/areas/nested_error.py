"""`lmm.nested_error`: means of small areas from data by unit and known population means of the covariates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from lmm.areas.formula import area_formula
from lmm.areas.unit_level import Areas, bootstrap_errors, predicted_means, sample_means, weights
from lmm.arguments import Seed, as_numbers, number_of_replicates, random_generator
from lmm.columns import shown_labels
from lmm.design import Design
from lmm.display import Report, Table, format_column
from lmm.errors import ArgumentError, DataError, ModelError
from lmm.fitting import fit
from lmm.frames import as_frame
from lmm.linalg import FloatArray

if TYPE_CHECKING:
    from lmm.model import FittedModel

INTERCEPT = "Intercept"


@dataclass(frozen=True, repr=False, eq=False)
class NestedError(Report):
    """
    Unit-level small-area estimates, made by `lmm.nested_error`.

    Attributes
    ----------
    formula : str
    fit : FittedModel
        The mixed model behind them.
    table : DataFrame
        By area: n (units observed), size (units in the population, where it was given), sample_mean (NaN where there
        is none), synthetic (Xbar'beta), gamma (the weight of the area's own data), eblup; with a bootstrap, mse and its
        Monte Carlo standard error mse_error.
    n_boot : int
        Bootstrap samples that the mean squared errors come from.
    n_failed : int
        Further samples that the model could not be fitted to.

    Examples
    --------
    >>> import lmm
    >>> corn = lmm.datasets.load("cornsoybean").drop(index=32)
    >>> means = lmm.datasets.load("cornsoybean_means").set_index("CountyIndex")
    >>> means = means.rename(columns={"MeanCornPixPerSeg": "CornPix", "MeanSoyBeansPixPerSeg": "SoyBeansPix"})
    >>> result = lmm.nested_error(
    ...     "CornHec ~ CornPix + SoyBeansPix", corn, area="County",
    ...     population_means=means, population_sizes="PopnSegments", n_boot=0,
    ... )
    >>> result.table[["n", "sample_mean", "gamma", "eblup"]].head(3).round(2)
            n  sample_mean  gamma   eblup
    County
    1       1       165.76   0.49  122.20
    2       1        96.32   0.49  126.23
    3       1        76.08   0.49  106.66
    """

    formula: str
    fit: FittedModel
    table: pd.DataFrame
    n_boot: int
    n_failed: int = 0

    _before_note = "\n\n"

    def _heading(self) -> list[str]:
        components = self.fit.variance_components["vcov"]
        method = "REML" if self.fit.reml else "maximum likelihood"
        return [
            f"Nested-error model, fit by {method}",
            f"Formula: {self.formula}",
            f"Area variance: {components.iloc[0]:.6g}, residual variance: {components.iloc[1]:.6g}",
        ]

    def _tables(self) -> list[Table]:
        columns = [list(map(str, self.table.index))]
        for name in self.table.columns:
            values = self.table[name].to_numpy(dtype=np.float64)
            columns.append(format_column(values))
        return [Table("", ("", *self.table.columns), tuple(zip(*columns, strict=True)), 1)]

    def _notes(self) -> list[str]:
        notes = []
        if self.n_boot:
            notes.append(f"Mean squared errors by parametric bootstrap with {self.n_boot} samples.")
        if self.n_failed:
            notes.append(f"The model could not be fitted to {self.n_failed} more samples.")
        if self.fit.is_singular:
            notes.append("The estimated area variance is zero: apart from the units observed, the means are synthetic.")
        return notes


def nested_error(
    formula: str,
    data: Any,  # noqa: ANN401 - frames of any library
    *,
    area: str,
    population_means: Any,  # noqa: ANN401 - idem
    population_sizes: str | ArrayLike | Mapping[Any, float] | pd.Series[Any] | None = None,
    reml: bool = True,
    n_boot: int = 1000,
    rng: Seed = None,
    na_action: str = "drop",
    contrasts: dict[str, Any] | None = None,
) -> NestedError:
    """
    Means of small areas by the unit-level model of Battese, Harter and Fuller.

    Parameters
    ----------
    formula : str
        Response and fixed effects of the units, ``"y ~ x"``; a random intercept of the areas is added.
    data : DataFrame
        One row per observed unit.
    area : str
        Column of the data with the area of each unit.
    population_means : DataFrame
        One row for each area whose mean is wanted, sampled or not, named by a column ``area`` or by the index. For each
        coefficient of the model but the intercept it has a column of that name with the mean, over all units of the
        area, of the column of X: of indicators the share, of ``log(x)`` the mean of the logs.
    population_sizes : str, Series, dict or array_like (m,), optional
        Units in the population of each area: a column of ``population_means``, numbers by area, or numbers in its
        order. Without them the populations are taken as without end.
    reml : bool
        REML or maximum likelihood.
    n_boot : int
        Samples of the parametric bootstrap of the mean squared errors; 0 for none.
    rng : int or Generator, optional
        Seed; the same seed gives the same numbers.
    na_action, contrasts
        As for `lmm.fit`.

    Returns
    -------
    NestedError

    Raises
    ------
    DataError
        When means or sizes are missing or impossible.
    ArgumentError, LMMError
        For the other arguments, as in `lmm.fit`.

    References
    ----------
    Battese, G. E., Harter, R. M. and Fuller, W. A. (1988). An error-components model for prediction of county crop
    areas using survey and satellite data. Journal of the American Statistical Association 83, 28-36.

    González-Manteiga, W., Lombardía, M. J., Molina, I., Morales, D. and Santamaría, L. (2008). Bootstrap mean squared
    error of a small-area EBLUP. Journal of Statistical Computation and Simulation 78, 443-462.

    Examples
    --------
    See `NestedError`.
    """
    n_samples = number_of_replicates(n_boot, "mean squared errors")
    if not isinstance(area, str):
        raise ArgumentError(f"area must be the name of the column with the area of each unit; got {area!r}")
    generator = random_generator(rng)
    parsed = area_formula(formula, area)
    model = fit(parsed.text, data, reml=reml, na_action=na_action, contrasts=contrasts)
    if model.design.offset is not None:
        raise ModelError("nested_error takes no offset: its population means are not known. Subtract it first.")
    means = _by_area(as_frame(population_means, "population_means"), area)
    areas = _areas(model, means, population_sizes)
    table = _table(model, areas, means.index, sizes_given=population_sizes is not None)
    if not n_samples:
        return NestedError(formula, model, table, 0)
    squared = bootstrap_errors(model, areas, n_samples, generator) ** 2
    squared = squared[np.isfinite(squared).all(axis=1)]
    n_boot = len(squared)
    if n_boot < 2:  # noqa: PLR2004 - the least that has a standard error
        raise ModelError(f"The model could be fitted to {n_boot} of {n_samples} bootstrap samples. Use n_boot=0.")
    table["mse"] = squared.mean(axis=0)
    table["mse_error"] = squared.std(axis=0, ddof=1) / np.sqrt(n_boot)
    return NestedError(formula, model, table, n_boot, n_samples - n_boot)


def _by_area(means: pd.DataFrame, area: str) -> pd.DataFrame:
    """Population means indexed by area."""
    if area in means.columns:
        means = means.set_index(area)
    if means.index.has_duplicates:
        twice = shown_labels(means.index[means.index.duplicated()][:1])
        raise DataError(f"population_means has several rows for the area {twice}; one is expected.")
    return means.rename_axis(index=area)


def _areas(
    model: FittedModel,
    means: pd.DataFrame,
    population_sizes: str | ArrayLike | Mapping[Any, float] | pd.Series[Any] | None,
) -> Areas:
    """Match the areas of the population means with those of the fit."""
    factor, design = model.factors[0], model.design
    level = factor.levels.get_indexer(means.index)
    if (level < 0).all():
        raise DataError(
            f"No area of population_means ({shown_labels(means.index)}) occurs in {factor.group!r} of the data "
            f"({shown_labels(factor.levels)}). Name the areas of population_means by a column {factor.group!r} or by "
            "its index, with labels of the same type."
        )
    X_bar = _population_columns(design, means)
    n = np.append(np.bincount(factor.codes, minlength=factor.n_levels), 0.0)[level]
    x_bar = np.zeros((factor.n_levels + 1, X_bar.shape[1]))
    for j, column in enumerate(design.X.T):
        x_bar[:-1, j] = sample_means(column, factor.codes, factor.n_levels)
    size = np.full(len(n), np.inf) if population_sizes is None else _sizes(population_sizes, means)
    if (size < n).any():
        first = int(np.argmax(size < n))
        raise DataError(
            f"The area {shown_labels(means.index[[first]])} has {n[first]:.0f} units in the data, more than its "
            f"population of {size[first]:g}."
        )
    return Areas(level, X_bar, n, size, x_bar[level])


def _population_columns(design: Design, means: pd.DataFrame) -> FloatArray:
    """Population means of the columns of X, shape (m, p)."""
    X_bar = np.ones((len(means), len(design.names)))
    missing = [name for name in design.names if name != INTERCEPT and name not in means.columns]
    if missing:
        raise DataError(
            f"population_means has no column for the coefficient{'s' if len(missing) > 1 else ''} "
            f"{', '.join(map(repr, missing))}. It needs the mean over all units of an area of each column of X, under "
            f"the coefficient's name; it has {shown_labels(means.columns, 12)}."
        )
    for j, name in enumerate(design.names):
        if name != INTERCEPT:
            X_bar[:, j] = _finite_numbers(f"the column {name!r} of population_means", means[name], len(means))
    return X_bar


def _sizes(given: str | ArrayLike | Mapping[Any, float] | pd.Series[Any], means: pd.DataFrame) -> FloatArray:
    """Population sizes in the order of the population means."""
    if isinstance(given, str):
        if given not in means.columns:
            raise DataError(
                f"population_sizes={given!r} is no column of population_means; it has "
                f"{shown_labels(means.columns, 12)}."
            )
        given = means[given]
    elif isinstance(given, (Mapping, pd.Series)):
        by_area = pd.Series(given)
        lacking = means.index.difference(by_area.index)
        if len(lacking):
            raise DataError(f"population_sizes has no number for the areas {shown_labels(lacking)}.")
        given = by_area.loc[means.index]
    sizes = _finite_numbers("population_sizes", given, len(means))
    if (sizes <= 0).any():
        raise DataError(f"population_sizes must be positive; got {sizes.min():g}.")
    return sizes


def _finite_numbers(what: str, given: object, m: int) -> FloatArray:
    """Numbers by area, refused where one is missing."""
    values = as_numbers(given)
    if values is None or values.shape != (m,) or not np.isfinite(values).all():
        raise DataError(f"{what} must hold one finite number for each of the {m} areas of population_means.")
    return values


def _table(model: FittedModel, areas: Areas, labels: pd.Index[Any], *, sizes_given: bool) -> pd.DataFrame:
    """Estimates by area."""
    factor = model.factors[0]
    beta, ratio = model.estimates.beta, model.estimates.T[0][0] ** 2
    y_bar = areas.of_levels(sample_means(model.design.y, factor.codes, factor.n_levels))
    columns = {
        "n": areas.n.astype(int),
        "size": areas.size,
        "sample_mean": np.where(areas.level >= 0, y_bar, np.nan),
        "synthetic": areas.X_bar @ beta,
        "gamma": weights(areas.n, ratio)[0],
        "eblup": predicted_means(areas, beta[None], ratio, y_bar[None])[0],
    }
    table = pd.DataFrame(columns, index=labels)
    return table if sizes_given else table.drop(columns="size")
