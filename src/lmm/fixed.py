"""A linear model without random effects, as the null model that mixed models are compared with."""

from __future__ import annotations

import html
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from lmm.arguments import Seed, responses
from lmm.design import Design
from lmm.display import Table, format_column
from lmm.estimates import Estimates
from lmm.factors import GroupingFactor
from lmm.linalg import FloatArray
from lmm.prediction.predict import predicted_mean
from lmm.prediction.rows import fitted_rows, new_rows
from lmm.prediction.simulate import simulate
from lmm.standardize import standardize


@dataclass(frozen=True, repr=False)
class FixedModel:
    """
    A fitted linear model without random effects, made by ``lmm.fit(..., allow_fixed=True)``.

    Its likelihood has the constants of a mixed model's, restricted under REML, so that the two can be compared
    (`lmm.lrt`). Names mean what they mean on `FittedModel`.

    Attributes
    ----------
    design : Design
    reml : bool
        Whether the likelihood is the restricted one; then sigma^2 has the divisor n - p, otherwise n.
    known_sigma : float or None
        Residual standard deviation given by the user, None where it was estimated.
    estimates : Estimates
        Point estimates as plain arrays.

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("weight ~ num.weeks", lmm.datasets.load("pig_weights"), allow_fixed=True)
    >>> fit.params.round(4)
    Intercept    19.3556
    num.weeks     6.2099
    dtype: float64
    """

    design: Design
    reml: bool
    known_sigma: float | None
    estimates: Estimates

    factors: tuple[GroupingFactor, ...] = ()
    converged: bool = True
    is_singular: bool = False

    def __repr__(self) -> str:
        criterion = "REML criterion" if self.reml else "deviance"
        return f"<FixedModel {self.formula!r}: {self.nobs} rows, {criterion} {self.deviance:.4f}>"

    def __str__(self) -> str:
        return str(self.summary())

    @property
    def formula(self) -> str:
        """The formula as given."""
        return self.design.formula.text

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return len(self.design.y)

    @property
    def n_params(self) -> int:
        """Number of fixed effects, and sigma where it was estimated."""
        return len(self.design.names) + (self.known_sigma is None)

    @property
    def df_resid(self) -> int:
        """Rows less parameters."""
        return self.nobs - self.n_params

    @property
    def params(self) -> pd.Series[float]:
        """Least-squares coefficients by name; an aliased coefficient, dropped from the fit, is NaN."""
        return self._by_coefficient(self.estimates.beta)

    @property
    def bse(self) -> pd.Series[float]:
        """Standard errors of the coefficients."""
        return self._by_coefficient(np.sqrt(np.diagonal(self.estimates.cov_beta)))

    @property
    def tvalues(self) -> pd.Series[float]:
        """Coefficients over their standard errors."""
        return self.params / self.bse

    def cov_params(self) -> pd.DataFrame:
        """Covariance (p, p) of the coefficients, without those that were dropped."""
        names = list(self.design.names)
        return pd.DataFrame(self.estimates.cov_beta.copy(), index=names, columns=names)

    def _by_coefficient(self, values: FloatArray) -> pd.Series[float]:
        full = np.full(len(self.design.all_names), np.nan)
        full[self.design.kept] = values
        return pd.Series(full, index=list(self.design.all_names))

    @property
    def sigma(self) -> float:
        """Residual standard deviation."""
        return self.estimates.sigma

    @property
    def deviance(self) -> float:
        """-2 log-likelihood (ML), or the REML criterion."""
        return self.estimates.criterion

    @property
    def llf(self) -> float:
        """Log-likelihood, restricted under REML."""
        return -self.deviance / 2.0

    @property
    def aic(self) -> float:
        """Akaike's information criterion."""
        return self.deviance + 2.0 * self.n_params

    @property
    def bic(self) -> float:
        """Schwarz's information criterion, with the logarithm of the number of rows."""
        return self.deviance + float(np.log(self.nobs)) * self.n_params

    @property
    def modes(self) -> list[FloatArray]:
        """Predicted random effects by grouping factor: none."""
        return []

    @property
    def fittedvalues(self) -> pd.Series[float]:
        """X beta + offset, on the index of the rows used."""
        return self.predict()

    @property
    def resid(self) -> pd.Series[float]:
        """Response less fitted values, on the index of the rows used."""
        return pd.Series(self.design.y, index=self.design.index) - self.fittedvalues

    def predict(self, newdata: Any = None) -> pd.Series[float]:  # noqa: ANN401 - frames of any library
        """Mean X beta + offset of the rows used, or of new data; NaN where a variable is missing."""
        rows = fitted_rows(self, {}) if newdata is None else new_rows(self, newdata, {}, "error")
        return pd.Series(predicted_mean(self, rows), index=rows.index)

    def simulate(self, n: int = 1, *, rng: Seed = None) -> FloatArray:
        """Draw n responses, shape (n, nobs); the same seed gives the same draws."""
        return simulate(self, n, rng=rng)

    def refit(self, y: ArrayLike) -> FixedModel:
        """Fit the same model to a new response (nobs,), matched by position; see `FittedModel.refit`."""
        design = replace(self.design, y=responses(y, self.design.index))
        return fit_fixed_design(design, reml=self.reml, sigma=self.known_sigma)

    def summary(self) -> FixedSummary:
        """Readable account of the fit; prints as text, shows as HTML in a notebook."""
        columns = [np.asarray(series, dtype=np.float64) for series in (self.params, self.bse, self.tvalues)]
        cells = zip(self.params.index, *(format_column(column, most_decimals=4) for column in columns), strict=True)
        method, criterion = ("REML", "REML criterion") if self.reml else ("maximum likelihood", "deviance")
        return FixedSummary(
            f"Linear model without random effects, fit by {method}\nFormula: {self.formula}",
            Table("Coefficients:", ("", "Estimate", "Std. Error", "t value"), tuple(cells), 1),
            f"Number of obs: {self.nobs}, residual standard deviation: {self.sigma:.4g}, "
            f"{criterion}: {self.deviance:.4f}",
        )


@dataclass(frozen=True, repr=False)
class FixedSummary:
    """Summary of a `FixedModel`: a heading, its coefficients and a line of figures."""

    heading: str
    coefficients: Table
    figures: str

    def __str__(self) -> str:
        return f"{self.heading}\n\n{self.coefficients.text()}\n\n{self.figures}"

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        heading = html.escape(self.heading).replace("\n", "<br>")
        return f"<div><p>{heading}</p>{self.coefficients.html()}<p>{html.escape(self.figures)}</p></div>"


def fit_fixed_design(design: Design, *, reml: bool, sigma: float | None) -> FixedModel:
    """
    Least squares, with the likelihood that a mixed model has where all its random effects are zero.

    ML: n (1 + log(2 pi RSS / n)); REML: log|X'WX| + (n - p) (1 + log(2 pi RSS / (n - p))); both less the sum of the
    logs of the weights. With sigma known the second factor is nu log(2 pi sigma^2) + RSS / sigma^2.
    """
    y = design.y if design.offset is None else design.y - design.offset
    _, _, residual, basis = standardize([], design.X, design.R, y, design.weights, name=design.response_name)
    n, p = design.X.shape
    nu = n - p if reml else n
    rss = float(residual @ residual)
    if sigma is None:
        used = basis.scale * float(np.sqrt(rss / nu))
        criterion = nu * (1.0 + float(np.log(2.0 * np.pi * rss / nu)))
    else:
        used = sigma
        criterion = nu * float(np.log(2.0 * np.pi * (sigma / basis.scale) ** 2)) + rss * (basis.scale / sigma) ** 2
    return FixedModel(
        design=design,
        reml=reml,
        known_sigma=sigma,
        estimates=Estimates(
            beta=basis.beta_0,
            root_cov_beta=used * basis.R_inverse,
            sigma=used,
            theta=np.zeros(0),
            T=(),
            criterion=criterion + basis.criterion_shift(nu, reml=reml),
        ),
    )
