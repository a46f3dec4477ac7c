"""What moment estimation gives: variance components, the table they come from, and a readable account of both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lmm.display import Report, Table, format_column, format_p
from lmm.linalg import FloatArray

TITLES = {
    "henderson3": "Variance components by Henderson's method 3",
    "balanced": "Analysis of variance of a balanced layout",
    "minque0": "Variance components by MINQUE(0)",
}
# Coefficients this close to a whole number, or to zero, are printed as such.
WHOLE = 1e-8


@dataclass(frozen=True, repr=False, eq=False)
class MomentEstimates(Report):
    """
    Variance components that solve moment equations, made by `lmm.anova_estimates`.

    Attributes
    ----------
    formula : str
    method : str
        ``"henderson3"``, ``"balanced"`` or ``"minque0"``.
    estimates : Series
        Variances by name, in squared units of the response (and per squared unit of the column of an effect). An
        unbiased estimate of a small variance is often negative; it is kept.
    table : DataFrame
        For sums of squares: sum_sq, df, mean_sq, the row that is the ``error`` of the F test (None without one),
        statistic and p_value, by source; the last row is the total, about the intercept where there is one. For
        MINQUE(0): quadratic_form.
    expectations : DataFrame
        Expected mean square, or expected quadratic form, of each row as a combination of the variances. That of a
        fixed term has a quadratic form of its own effects besides.
    imbalance : str
        Why the layout is not balanced; empty where it is.
    nobs : int
        Number of rows used.

    Examples
    --------
    >>> import lmm
    >>> moments = lmm.anova_estimates("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"))
    >>> moments.estimates
    Batch       1764.05
    Residual    2451.25
    dtype: float64
    >>> moments.expectations
              Batch  Residual
    Batch       5.0       1.0
    Residual    0.0       1.0
    """

    formula: str
    method: str
    estimates: pd.Series[float]
    table: pd.DataFrame
    expectations: pd.DataFrame
    imbalance: str
    nobs: int

    @property
    def is_balanced(self) -> bool:
        """Whether the layout is balanced: the estimates then equal REML where they are positive."""
        return not self.imbalance

    @property
    def negative(self) -> list[str]:
        """Names of the variances whose estimates are negative."""
        return [str(name) for name in self.estimates.index[self.estimates < 0]]

    _before_note = "\n\n"

    def _heading(self) -> list[str]:
        return [TITLES[self.method], f"Formula: {self.formula}", f"Number of obs: {self.nobs}"]

    def _tables(self) -> list[Table]:
        first = self._forms_table() if self.method == "minque0" else self._anova_table()
        names = [str(name) for name in self.estimates.index]
        values = format_column(np.asarray(self.estimates, dtype=np.float64))
        estimates = Table("Estimates", ("", "Variance"), tuple(zip(names, values, strict=True)), 1)
        return [first, estimates]

    def _anova_table(self) -> Table:
        """Source, SS, df, MS, F, p, error and expected mean square."""
        table = self.table
        n_fixed = len(self.expectations) - len(self.estimates)
        names = [str(name) for name in table.index]
        expected = [
            _combination(row, self.expectations.columns, names[i] if i < n_fixed else "")
            for i, row in enumerate(self.expectations.to_numpy())
        ]
        mean_sq, statistic = table["mean_sq"].to_numpy(), table["statistic"].to_numpy()
        columns = (
            names,
            format_column(table["sum_sq"].to_numpy()),
            [str(df) for df in table["df"]],
            _without_nan(format_column(mean_sq), mean_sq),
            _without_nan(format_column(statistic), statistic),
            [format_p(p) for p in table["p_value"]],
            [error or "" for error in table["error"]],
            [*expected, ""],
        )
        header = ("Source", "SS", "df", "MS", "F", "p", "Error", "Expected MS")
        return Table("", header, tuple(zip(*columns, strict=True)), 1)

    def _forms_table(self) -> Table:
        """Quadratic forms with their expectations."""
        names = [str(name) for name in self.table.index]
        forms = format_column(self.table["quadratic_form"].to_numpy())
        expected = [_combination(row, self.expectations.columns, "") for row in self.expectations.to_numpy()]
        return Table("", ("Equation", "Form", "Expectation"), tuple(zip(names, forms, expected, strict=True)), 1)

    def _notes(self) -> list[str]:
        notes = [
            f"The estimate of {name!r} is negative, {self.estimates[name]:.4g}. Moment estimates are unbiased and may "
            "be negative where a variance is small or the model is wrong; it is kept as it is. Likelihood methods "
            "(lmm.fit) stay at zero or above."
            for name in self.negative
        ]
        if self.imbalance and self.method == "henderson3":
            notes.append(
                f"Not balanced: {self.imbalance}. The estimates depend on the order of the terms, and only the last "
                "random term has an exact F test."
            )
        return notes


def _combination(row: FloatArray, names: pd.Index[str], fixed: str) -> str:
    """A combination of variances in words, the residual variance first."""
    parts = [f"Q({fixed})"] if fixed else []
    for coefficient, name in zip(row, names, strict=True):
        rounded = round(coefficient)
        shown = float(rounded) if abs(coefficient - rounded) <= WHOLE * max(1.0, abs(coefficient)) else coefficient
        if shown:
            parts.append(str(name) if shown == 1.0 else f"{shown:.6g} {name}")
    return " + ".join(reversed(parts))


def _without_nan(cells: list[str], values: FloatArray) -> list[str]:
    """Empty cells where there is no number."""
    return ["" if np.isnan(value) else cell for cell, value in zip(cells, values, strict=True)]
