"""The result of `emmeans` and `emtrends`: tables that print, plot and can be tested jointly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lmm.display import DIGITS, Report, Table, format_column, format_p
from lmm.inference.contrasts import estimable, f_test
from lmm.inference.ddf import approximation
from lmm.linalg import FloatArray, triangular_factor
from lmm.marginal.families import level_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lmm.model import FittedModel

# Columns on the scale of the response.
ON_SCALE = ("estimate", "std_error", "lower", "upper")


@dataclass(frozen=True, repr=False, eq=False)
class MarginalMeans(Report):
    """
    Marginal means or slopes, and contrasts of them where they were asked for.

    ``result["estimate"]`` is a column of the table of means, ``len(result)`` the number of means.

    Attributes
    ----------
    table : DataFrame
        One row for each mean: the variables it is for, then estimate, std_error, df, lower, upper. NaN where it is not
        estimable.
    contrasts : DataFrame or None
        One row for each contrast: contrast, the variables of ``by``, estimate, std_error, df, statistic, p_value,
        lower, upper; p-values and limits are adjusted.
    by : tuple of str
        Variables that contrasts compare within.
    notes : tuple of str
        What was averaged over, values of covariates, interactions, cells without data, methods.
    model : FittedModel
    L : ndarray (number of means, number of coefficients)
        The means as functions of the fixed effects, dropped ones included: `FittedModel.contrast` takes its rows.
    offset : ndarray (number of means,)
        What is added to them.
    var : str or None
        The covariate, where these are slopes.
    ddf : str
        Method of the degrees of freedom.

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("score ~ Machine + (Machine | Worker)", lmm.datasets.load("machines"))
    >>> means = lmm.emmeans(fit, "Machine")
    >>> means["estimate"].round(2).tolist()
    [52.36, 60.32, 66.27]
    """

    table: pd.DataFrame
    contrasts: pd.DataFrame | None
    by: tuple[str, ...]
    notes: tuple[str, ...]
    model: FittedModel
    L: FloatArray
    offset: FloatArray
    var: str | None
    ddf: str

    _before_note = "\n\n"

    @property
    def factors(self) -> tuple[str, ...]:
        """Variables that the means are for, those of ``by`` last."""
        return tuple(self.table.columns[: -len(ON_SCALE) - 1])

    @property
    def title(self) -> str:
        """What the estimates are."""
        response = self.model.design.formula.response
        what = f"Marginal means of {response}" if self.var is None else f"Slopes of {response} in {self.var}"
        return f"{what} by {', '.join(self.factors)}" if self.factors else what

    def __getitem__(self, column: Any) -> Any:  # noqa: ANN401 - whatever a data frame takes and gives
        return self.table[column]

    def __len__(self) -> int:
        return len(self.table)

    def joint_test(self) -> pd.DataFrame:
        """
        F test that the means are all equal, within each level of ``by``.

        Differences that are not estimable are left out of the test.

        Returns
        -------
        DataFrame
            The variables of ``by``, then num_df, den_df, statistic, p_value; NaN where there is nothing to test.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("score ~ Machine + (Machine | Worker)", lmm.datasets.load("machines"))
        >>> lmm.emmeans(fit, "Machine").joint_test().round(4)
           num_df  den_df  statistic  p_value
        0     2.0     4.0     32.803   0.0033
        """
        groups = self.groups()
        tests = [self._equality(slice(rows.index[0], rows.index[-1] + 1)) for _, rows in groups]
        labels = pd.DataFrame([levels for levels, _ in groups], columns=list(self.by))
        return labels.join(pd.DataFrame(tests, columns=["num_df", "den_df", "statistic", "p_value"]))

    def groups(self) -> list[tuple[tuple[Any, ...], pd.DataFrame]]:
        """
        Levels of ``by`` and the rows of the table that belong to them; one group of all rows without it.

        Returns
        -------
        list of (tuple, DataFrame)

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("score ~ Machine + (1 | Worker)", lmm.datasets.load("machines"))
        >>> [(levels, len(rows)) for levels, rows in lmm.emmeans(fit, "Machine").groups()]
        [((), 3)]
        """
        if not self.by:
            return [((), self.table)]
        return [(levels, rows) for levels, rows in self.table.groupby(list(self.by), sort=False)]

    def _equality(self, rows: slice) -> tuple[float, float, float, float]:
        """Numerator and denominator degrees of freedom, F and p-value of the equality of some means."""
        design, L, offset = self.model.design, self.L[rows], self.offset[rows]
        first, second = np.triu_indices(len(L), 1)
        differences, shift = L[first] - L[second], offset[first] - offset[second]
        known = estimable(differences, design)
        weights, shift = differences[known][:, design.kept], shift[known]
        _, independent = triangular_factor((weights @ self.model.estimates.root_cov_beta).T)
        if not independent.any():
            return np.nan, np.nan, np.nan, np.nan
        method = approximation(self.model, self.ddf)
        test = f_test(self.model, weights[independent], method, rhs=-shift[independent])
        return test.num_df, test.den_df, test.statistic, test.p_value

    def plot(self, ax: Axes | None = None) -> Axes:
        """
        Draw the means with their limits.

        Parameters
        ----------
        ax : Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        Axes

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("score ~ Machine + (Machine | Worker)", lmm.datasets.load("machines"))
        >>> lmm.emmeans(fit, "Machine").plot().get_xlabel()
        'Machine'
        """
        from lmm.plots.marginal import plot_means  # noqa: PLC0415 - few results are drawn

        return plot_means(self, ax)

    def _tables(self) -> list[Table]:
        tables = [_shown(self.title, self.table, len(self.factors))]
        if self.contrasts is not None:
            tables.append(_shown("Contrasts", self.contrasts, 1 + len(self.by)))
        return tables

    def _notes(self) -> list[str]:
        return ["\n".join(self.notes)]


def _shown(title: str, table: pd.DataFrame, n_labels: int) -> Table:
    """Table of text; a row that is not estimable says so."""
    known = table["estimate"].notna().to_numpy()
    std_error = table["std_error"].to_numpy()
    smallest = np.min(std_error[std_error > 0.0], initial=np.inf)
    decimals = max(0, DIGITS - 1 - int(np.floor(np.log10(smallest)))) if np.isfinite(smallest) else DIGITS
    columns = []
    for place, (name, values) in enumerate(table.items()):
        if place < n_labels:
            columns.append([level_text(value) for value in values])
            continue
        numbers = values.to_numpy(dtype=np.float64)
        if name in ON_SCALE:
            cells = format_column(numbers, most_decimals=decimals)
        elif name == "p_value":
            cells = [format_p(p) for p in numbers]
        else:
            cells = format_column(numbers, most_decimals=2 if name == "df" else 3)
            cells = ["inf" if np.isposinf(x) else cell for x, cell in zip(numbers, cells, strict=True)]
        empty = "not estimable" if name == "estimate" else ""
        columns.append([cell if shown else empty for cell, shown in zip(cells, known, strict=True)])
    rows = tuple(zip(*columns, strict=True))
    return Table(title, tuple(map(str, table.columns)), rows, n_labels)
