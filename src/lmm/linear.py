"""What a linear model offers whether or not it has random effects: coefficients and likelihood."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from lmm.design import Design
    from lmm.estimates import Estimates
    from lmm.linalg import FloatArray


class LinearModel:
    """A fitted model with a design and estimates; `FittedModel` and `FixedModel` say where they come from."""

    if TYPE_CHECKING:
        design: Design

        @property
        def estimates(self) -> Estimates:
            """Point estimates as plain arrays."""

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
        """Number of parameters."""
        raise NotImplementedError

    @property
    def df_resid(self) -> int:
        """Rows less parameters."""
        return self.nobs - self.n_params

    @property
    def params(self) -> pd.Series[float]:
        """Fixed effects by coefficient name; an aliased coefficient, dropped from the fit, is NaN."""
        return self._by_coefficient(self.estimates.beta)

    @property
    def bse(self) -> pd.Series[float]:
        """Standard errors of the fixed effects."""
        return self._by_coefficient(np.sqrt(np.diagonal(self.estimates.cov_beta)))

    @property
    def tvalues(self) -> pd.Series[float]:
        """Fixed effects over their standard errors."""
        return self.params / self.bse

    def cov_params(self) -> pd.DataFrame:
        """
        Covariance of the estimated fixed effects.

        Returns
        -------
        DataFrame (p, p)
            sigma^2 (X' V^-1 X)^-1, without the coefficients that were dropped; V is the inverse of the weights where
            there are no random effects.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy"))
        >>> fit.cov_params().round(3)
                   Intercept   Days
        Intercept     46.575 -1.451
        Days          -1.451  2.389
        """
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
        """-2 log-likelihood (ML), or the REML criterion without its constant log|X'X|, as in lme4."""
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
