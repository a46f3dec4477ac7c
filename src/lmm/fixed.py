"""A linear model without random effects, as the null model that mixed models are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from lmm.alignment import responses
from lmm.design import Design
from lmm.display import Report, Table
from lmm.estimates import Estimates
from lmm.linalg import FloatArray
from lmm.linear import LinearModel
from lmm.prediction.predict import predicted_mean
from lmm.prediction.rows import fitted_rows
from lmm.standardize import Basis, standardize
from lmm.summary import fixed_effects


@dataclass(frozen=True, repr=False, eq=False)
class FixedModel(LinearModel):
    """
    A fitted linear model without random effects, made by ``lmm.fit(..., allow_fixed=True)``.

    Its likelihood has the constants of a mixed model's, restricted under REML, so that the two can be compared
    (`lmm.lrt`). Names mean what they mean on `FittedModel`, but that sigma^2 has the divisor n - p whatever the
    criterion, as for `lm` in R. So t and F tests, and limits, are exact, with n - p degrees of freedom (normal and
    chi-square tests where sigma is known), and do not depend on ``reml``.

    Attributes
    ----------
    design : Design
    reml : bool
        Whether the likelihood is the restricted one.
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

    converged: ClassVar[bool] = True
    is_singular: ClassVar[bool] = False

    def __repr__(self) -> str:
        criterion = "REML criterion" if self.reml else "deviance"
        return f"<FixedModel {self.formula!r}: {self.nobs} rows, {criterion} {self.deviance:.4f}>"

    def __str__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    @property
    def n_params(self) -> int:
        """Number of fixed effects, and sigma where it was estimated."""
        return len(self.design.names) + (self.known_sigma is None)

    @property
    def df_resid(self) -> int:
        """Rows less fixed effects, n - p: the degrees of freedom of sigma^2 and of the tests."""
        return self.nobs - len(self.design.names)

    @property
    def modes(self) -> list[FloatArray]:
        """Predicted random effects by grouping factor: none."""
        return []

    @property
    def fittedvalues(self) -> pd.Series[float]:
        """X beta + offset, on the index of the rows used."""
        return pd.Series(predicted_mean(self, fitted_rows(self, {})), index=self.design.index)

    @property
    def resid(self) -> pd.Series[float]:
        """Response less fitted values, on the index of the rows used."""
        return pd.Series(self.design.y, index=self.design.index) - self.fittedvalues

    def refit(self, y: ArrayLike) -> FixedModel:
        """
        Fit the same model to a new response (nobs,), matched by position; see `FittedModel.refit`.

        Parameters
        ----------
        y : array_like (nobs,)
            One number for each row used.

        Returns
        -------
        FixedModel

        Raises
        ------
        DataError
            When y has another length, holds anything but finite numbers, or is labelled as other rows or in another
            order.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("weight ~ num.weeks", lmm.datasets.load("pig_weights"), allow_fixed=True)
        >>> fit.refit(2.0 * fit.design.y).params.round(2)
        Intercept    38.71
        num.weeks    12.42
        dtype: float64
        """
        design = self.design.with_response(responses(y, self.design.index))
        return fit_fixed_design(design, reml=self.reml, sigma=self.known_sigma)

    def summary(self, ddf: str | None = "satterthwaite") -> FixedSummary:
        """
        Readable account of the fit; prints as text, shows as HTML in a notebook.

        Parameters
        ----------
        ddf : {"satterthwaite", "kenward-roger", "residual", "normal"} or None
            Degrees of freedom of the tests, see `coef_table`; None leaves the tests out.

        Returns
        -------
        FixedSummary

        Raises
        ------
        ArgumentError
            For another method.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("weight ~ num.weeks", lmm.datasets.load("pig_weights"), allow_fixed=True)
        >>> print(fit.summary())
        Linear model without random effects, fit by REML
        Formula: weight ~ num.weeks
        <BLANKLINE>
        Fixed effects (degrees of freedom: residual):
                  Estimate Std. Error  df t value p-value
        Intercept    19.36     0.4605 430   42.03 <0.0001
        num.weeks     6.21     0.0818 430   75.88 <0.0001
        <BLANKLINE>
        Number of obs: 432, residual standard deviation: 4.392, REML criterion: 2506.9448
        """
        method, criterion = ("REML", "REML criterion") if self.reml else ("maximum likelihood", "deviance")
        return FixedSummary(
            f"Linear model without random effects, fit by {method}\nFormula: {self.formula}",
            fixed_effects(self, ddf),
            f"Number of obs: {self.nobs}, residual standard deviation: {self.sigma:.4g}, "
            f"{criterion}: {self.deviance:.4f}",
        )


@dataclass(frozen=True, repr=False)
class FixedSummary(Report):
    """Summary of a `FixedModel`: a heading, its coefficients and a line of figures."""

    heading: str
    coefficients: Table | None
    figures: str

    _before_note = "\n\n"

    def _heading(self) -> list[str]:
        return self.heading.splitlines()

    def _tables(self) -> list[Table]:
        return [] if self.coefficients is None else [self.coefficients]

    def _notes(self) -> list[str]:
        return [self.figures]


def least_squares(design: Design) -> tuple[FloatArray, FloatArray, Basis]:
    """
    What the fixed effects leave of the response, in the standardised basis.

    Returns
    -------
    Q : ndarray (n, p)
        Orthonormal columns that span those of X, rows multiplied by the square roots of their weights.
    residual : ndarray (n,)
        The response less offset, orthogonal to Q, with mean square 1.
    basis : Basis
        The way back to the user's scale.
    """
    _, Q, residual, basis = standardize(
        [], design.X, design.R, design.y_less_offset, design.weights, name=design.response_name
    )
    return Q, residual, basis


def fit_fixed_design(design: Design, *, reml: bool, sigma: float | None) -> FixedModel:
    """
    Least squares, with the likelihood that a mixed model has where all its random effects are zero.

    ML: n (1 + log(2 pi RSS / n)); REML: log|X'WX| + (n - p) (1 + log(2 pi RSS / (n - p))); both less the sum of the
    logs of the weights. With sigma known the second factor is nu log(2 pi sigma^2) + RSS / sigma^2. The estimate of
    sigma^2 is RSS / (n - p) in any case.
    """
    _, residual, basis = least_squares(design)
    n, p = design.X.shape
    nu = n - p if reml else n
    rss = float(residual @ residual)
    if sigma is None:
        used = basis.scale * float(np.sqrt(rss / (n - p)))
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
