"""What a bootstrap found: replicates, and what follows from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from lmm.arguments import confidence_level, one_of
from lmm.display import Report, Table, capital, format_column
from lmm.errors import ModelError
from lmm.inference.cases import Cases
from lmm.inference.resampling import top_groups
from lmm.linalg import BoolArray, FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lmm.model import FittedModel

METHODS = ("percentile", "basic", "normal", "bca")
# Reasons of failures that are printed; `failures` has them all.
MOST_REASONS = 5

Statistic = Callable[["FittedModel"], Any]


@dataclass(frozen=True, eq=False)
class BootstrapResult:
    """
    Replicates of the estimates of a model.

    Attributes
    ----------
    model : FittedModel
        The model that the replicates were made from.
    kind : str
        "parametric", "residual", "cases" or "wild".
    estimates : DataFrame (B, m)
        One row per replicate that did not fail, its number in the index: fixed effects, variance parameters as in
        ``FittedModel.variance_components`` (``"Residual"`` is the residual variance), and sigma; or the statistic.
    original : Series (m,)
        Estimates from the data.
    singular : ndarray (n,) of bool
        Whether some covariance matrix of a replicate is singular.
    failures : dict of int to str
        Why a replicate could not be fitted, or why its statistic could not be computed or is NaN, by its number.
    n_requested : int
        Replicates asked for.
    interrupted : bool
        Whether Ctrl-C came before all replicates were done.
    statistic : callable or None
        What was computed from each fit, where it is not the estimates.

    References
    ----------
    Davison, A. C. and Hinkley, D. V. (1997). Bootstrap Methods and their Application. Cambridge University Press.

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"))
    >>> result = fit.bootstrap(500, rng=1)
    >>> result.estimates.shape
    (500, 4)
    >>> list(result.se().index)
    ['Intercept', 'Batch', 'Residual', 'sigma']
    """

    model: FittedModel = field(repr=False)
    kind: str
    estimates: pd.DataFrame = field(repr=False)
    original: pd.Series[float] = field(repr=False)
    singular: BoolArray = field(repr=False)
    failures: dict[int, str] = field(repr=False)
    n_requested: int
    interrupted: bool
    statistic: Statistic | None = field(repr=False, default=None)

    def __str__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    @property
    def n_singular(self) -> int:
        """Number of replicates with a singular covariance matrix of random effects."""
        return int(self.singular.sum())

    @property
    def n_failed(self) -> int:
        """Number of replicates without estimates; `failures` has the reasons."""
        return len(self.failures)

    @property
    def notes(self) -> list[str]:
        """What a reader of the numbers must know: singular replicates, failures, an interruption."""
        notes = []
        if self.n_singular:
            share = self.n_singular / max(len(self.estimates), 1)
            percent = "<1%" if share < 0.01 else f"{share:.0%}"  # noqa: PLR2004 - one per cent
            have = "has" if self.n_singular == 1 else "have"
            notes.append(f"{_replicates(self.n_singular)} ({percent}) {have} a singular covariance of random effects.")
        reasons = Counter(self.failures.values()).most_common()
        notes.extend(f"{_replicates(count)} failed: {reason}." for reason, count in reasons[:MOST_REASONS])
        if others := sum(count for _, count in reasons[MOST_REASONS:]):
            notes.append(f"{_replicates(others)} failed for other reasons, which `failures` holds.")
        if self.interrupted:
            were = "was" if self.n_requested == 1 else "were"
            notes.append(f"Interrupted: {_replicates(self.n_requested)} {were} asked for.")
        return notes

    def mean(self) -> pd.Series[float]:
        """
        Mean of the replicates.

        Returns
        -------
        Series
            By parameter.

        Raises
        ------
        ModelError
            When there are too few replicates.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"))
        >>> result = fit.bootstrap(500, rng=1)
        >>> round(float(result.mean()["Intercept"]), 0)
        1527.0
        """
        return self._series(self._values().mean(axis=0))

    def bias(self) -> pd.Series[float]:
        """
        Mean of the replicates less the original estimate.

        Returns
        -------
        Series
            By parameter.

        Raises
        ------
        ModelError
            When there are too few replicates.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"))
        >>> result = fit.bootstrap(500, rng=1)
        >>> round(float(result.bias()["Intercept"]), 1)
        -0.3
        """
        return self.mean() - self.original

    def cov(self) -> pd.DataFrame:
        """
        Covariance matrix of the replicates, with divisor B - 1.

        Returns
        -------
        DataFrame (m, m)

        Raises
        ------
        ModelError
            When there are fewer than two replicates.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"))
        >>> result = fit.bootstrap(500, rng=1)
        >>> result.cov().shape
        (4, 4)
        """
        cov = np.atleast_2d(np.cov(self._values(2), rowvar=False))
        return pd.DataFrame(cov, index=self.original.index, columns=self.original.index)

    def se(self) -> pd.Series[float]:
        """
        Standard deviation of the replicates, the bootstrap standard error.

        Returns
        -------
        Series
            By parameter.

        Raises
        ------
        ModelError
            When there are too few replicates.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"))
        >>> result = fit.bootstrap(500, rng=1)
        >>> round(float(result.se()["Intercept"]), 1)
        19.6
        """
        return self._series(self._values(2).std(axis=0, ddof=1))

    def mcse(self, of: str = "mean") -> pd.Series[float]:
        """
        Monte Carlo standard error: by how much a result would differ with other random numbers.

        Parameters
        ----------
        of : {"mean", "se"}
            Of the mean (and of the bias), s / sqrt(B); or of the standard error, by the fourth central moment m4,
            sqrt((m4 - s^4) / B) / (2 s).

        Returns
        -------
        Series
            By parameter.

        Raises
        ------
        ArgumentError
            For anything but a mean or a standard error.
        ModelError
            When there are fewer than two replicates.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"))
        >>> result = fit.bootstrap(500, rng=1)
        >>> round(float(result.mcse()["Intercept"]), 1)
        0.9
        """
        values = self._values(2)
        sd = values.std(axis=0, ddof=1)
        if one_of("of", of, ("mean", "se")) == "mean":
            return self._series(sd / np.sqrt(len(values)))
        fourth = ((values - values.mean(axis=0)) ** 4).mean(axis=0)
        spread = np.sqrt(np.maximum(fourth - sd**4, 0.0) / len(values))
        return self._series(np.divide(spread, 2.0 * sd, out=np.zeros_like(sd), where=sd > 0.0))

    def conf_int(self, level: float = 0.95, method: str = "percentile") -> pd.DataFrame:
        """
        Confidence limits.

        Parameters
        ----------
        level : float
        method : {"percentile", "basic", "normal", "bca"}
            With t the estimate, q the quantiles of the replicates and z those of the normal distribution:
            "percentile", q; "basic", 2 t - q from the other side; "normal", t - bias + z se; "bca", q at levels that
            are corrected for bias and for acceleration, which a jackknife over the groups (of the factor that all
            others are nested in) gives.

        Returns
        -------
        DataFrame
            Columns lower and upper, by parameter.

        Raises
        ------
        ModelError
            For "bca", when the grouping factors are crossed, when all replicates lie on one side of the estimate, or
            when too few fits without a group succeed.

        References
        ----------
        Davison, A. C. and Hinkley, D. V. (1997). Bootstrap Methods and their Application. Cambridge University Press,
        sections 5.2 and 5.3.

        Efron, B. (1987). Better bootstrap confidence intervals. Journal of the American Statistical Association 82,
        171-185.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy"))
        >>> limits = fit.bootstrap(500, rng=1).conf_int(0.9, method="basic")
        >>> list(limits.columns), len(limits)
        (['lower', 'upper'], 7)
        """
        tail = (1.0 - confidence_level(level)) / 2.0
        one_of("method", method, METHODS)
        values, original = self._values(2), self.original.to_numpy()
        levels = np.array([tail, 1.0 - tail])
        if method == "normal":
            centre, half = original - (values.mean(axis=0) - original), -ndtri(tail) * values.std(axis=0, ddof=1)
            limits = np.array([centre - half, centre + half])
        elif method == "bca":
            corrected = self._corrected_levels(levels)
            limits = np.stack([_quantiles(x, at) for x, at in zip(values.T, corrected, strict=True)], axis=1)
        else:
            limits = _quantiles(values, levels)
            if method == "basic":
                limits = 2.0 * original - limits[::-1]
        return pd.DataFrame(limits.T, index=self.original.index, columns=["lower", "upper"])

    def summary(self, level: float = 0.95) -> BootstrapSummary:
        """
        Estimates, bias, standard errors and percentile limits as a table.

        Parameters
        ----------
        level : float
            Confidence level of the limits.

        Returns
        -------
        BootstrapSummary
            Prints as text; shows as HTML in a notebook.
        """
        return BootstrapSummary(self, level)

    def plot(self, parameter: str | None = None, *, ax: Axes | None = None) -> Axes | list[Axes]:
        """
        Draw the distribution of the replicates, with the estimate and percentile limits.

        Parameters
        ----------
        parameter : str, optional
            A name in `original`; without it, one panel for each.
        ax : Axes, optional
            Where to draw one parameter; without it, a new figure.

        Returns
        -------
        Axes, or list of Axes

        Raises
        ------
        ArgumentError
            For a name that is no parameter, and for axes without the name of the one they are for.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"))
        >>> result = fit.bootstrap(500, rng=1)
        >>> result.plot("Batch").get_xlabel()
        'Batch'
        """
        from lmm.plots.bootstrap import plot_bootstrap  # noqa: PLC0415 - matplotlib is imported on use

        return plot_bootstrap(self, parameter, ax)

    def _values(self, least: int = 1) -> FloatArray:
        """Replicates as an array, shape (B, m)."""
        if len(self.estimates) < least:
            reasons = "; ".join(sorted(set(self.failures.values()))[:MOST_REASONS])
            there = "there is" if len(self.estimates) == 1 else "there are"
            raise ModelError(
                f"this needs {_replicates(least)} or more, and {there} {len(self.estimates)}"
                + (f"; {self.n_failed} failed: {reasons}" if reasons else "")
            )
        return self.estimates.to_numpy(dtype=np.float64)

    def _series(self, values: FloatArray) -> pd.Series[float]:
        return pd.Series(values, index=self.original.index)

    def _corrected_levels(self, levels: FloatArray) -> FloatArray:
        """Levels of the BCa limits, shape (m, 2)."""
        values, original = self._values(), self.original.to_numpy()
        below = ((values < original).mean(axis=0) + (values <= original).mean(axis=0)) / 2.0
        for name, share in zip(self.original.index, below, strict=True):
            if share in (0.0, 1.0):
                raise ModelError(
                    f"all replicates of {name!r} lie on one side of its estimate, so that their bias cannot be "
                    'corrected; use method="percentile" or "basic"'
                )
        z0 = ndtri(below)[:, None]
        z = z0 + ndtri(levels)
        return np.asarray(ndtr(z0 + z / (1.0 - self._acceleration[:, None] * z)))

    @cached_property
    def _acceleration(self) -> FloatArray:
        """Skewness of the jackknife over groups, divided by 6, shape (m,)."""
        codes = top_groups(self.model, 'method="bca"')
        cases = Cases(self.model, codes, self.statistic, len(self.original))
        found = cases.jackknife()
        rows = np.delete(found.estimates, list(found.failures), axis=0)
        if len(rows) < 3:  # noqa: PLR2004 - the least that has a skewness
            raise ModelError(
                f'method="bca" leaves out one group at a time, and only {len(rows)} of {cases.n_groups} such fits '
                'succeed; use method="percentile" or "basic"'
            )
        influence = rows.mean(axis=0) - rows
        squares = (influence**2).sum(axis=0) ** 1.5
        cubes = (influence**3).sum(axis=0)
        return np.asarray(np.divide(cubes, 6.0 * squares, out=np.zeros_like(cubes), where=squares > 0.0))


class BootstrapSummary(Report):
    """
    Table of a bootstrap: ``str()`` is the text, a notebook shows the HTML form.

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"))
    >>> print(fit.bootstrap(200, rng=1).summary())  # doctest: +ELLIPSIS
    Parametric bootstrap, 200 replicates
    ...
    """

    def __init__(self, result: BootstrapResult, level: float = 0.95) -> None:
        columns = {"Estimate": result.original}
        if len(result.estimates) > 1:
            limits = result.conf_int(level)
            columns |= {
                "Bias": result.bias(),
                "Std. Error": result.se(),
                "MC error": result.mcse(),
                f"{100.0 * (1.0 - level) / 2.0:.4g} %": limits["lower"],
                f"{100.0 * (1.0 + level) / 2.0:.4g} %": limits["upper"],
            }
        rows = [format_column(np.array(row)) for row in zip(*columns.values(), strict=True)]
        title = f"{capital(result.kind)} bootstrap, {_replicates(len(result.estimates))}"
        cells = tuple((str(name), *row) for name, row in zip(result.original.index, rows, strict=True))
        self.table = Table(title, ("", *columns), cells, n_labels=1)
        self.notes = result.notes

    def _tables(self) -> list[Table]:
        return [self.table]

    def _notes(self) -> list[str]:
        return self.notes


def _replicates(count: int) -> str:
    return f"{count} replicate" if count == 1 else f"{count} replicates"


def _quantiles(values: FloatArray, levels: FloatArray) -> FloatArray:
    """Quantiles along the first axis: order statistic (B + 1) p, interpolated (Davison & Hinkley 1997, p. 195)."""
    found: FloatArray = np.quantile(values, levels, axis=0, method="weibull")
    return found
