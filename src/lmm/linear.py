"""What a linear model offers whether or not it has random effects: coefficients, tests, likelihood, predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from lmm import publication
from lmm.arguments import Seed
from lmm.bygroup import ByGroup
from lmm.inference.coefficients import coef_table, conf_int
from lmm.inference.contrasts import ContrastResult, contrast
from lmm.inference.hypotheses import Weights
from lmm.prediction.predict import predict
from lmm.prediction.simulate import simulate
from lmm.tidy import glance, tidy

if TYPE_CHECKING:
    from lmm.design import Design
    from lmm.estimates import Estimates
    from lmm.factors import GroupingFactor
    from lmm.linalg import FloatArray


class LinearModel:
    """A fitted model with a design and estimates; `FittedModel` and `FixedModel` say where they come from."""

    factors: tuple[GroupingFactor, ...] = ()

    if TYPE_CHECKING:
        design: Design
        known_sigma: float | None

        @property
        def estimates(self) -> Estimates:
            """Point estimates as plain arrays."""

        @property
        def reml(self) -> bool:
            """Whether the likelihood is the restricted one."""

        @property
        def modes(self) -> list[FloatArray]:
            """Predicted random effects by grouping factor."""

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

    @property
    def n_groups(self) -> dict[str, int]:
        """Number of levels of each grouping factor."""
        return ByGroup((factor.group, factor.n_levels) for factor in self.factors)

    # Tests and intervals of the fixed effects

    @property
    def pvalues(self) -> pd.Series[float]:
        """Two-sided p-values of the fixed effects, with Satterthwaite's degrees of freedom unless they are exact."""
        return self.coef_table()["p_value"]

    def coef_table(self, ddf: str = "satterthwaite", level: float = 0.95) -> pd.DataFrame:
        """
        Fixed effects with standard errors, t tests and confidence limits.

        Parameters
        ----------
        ddf : {"satterthwaite", "kenward-roger", "residual", "normal"}
            Degrees of freedom: Satterthwaite's, from the exact Hessian of the deviance; Kenward and Roger's, with their
            adjusted covariance (REML only); rows less parameters; or infinitely many. Satterthwaite's and Kenward and
            Roger's lie between 1 and the number of rows. Without random effects the t distribution is exact: rows less
            coefficients by all but "normal", and infinitely many where sigma is known.
        level : float
            Confidence level of the limits, which use the same degrees of freedom as the p-values.

        Returns
        -------
        DataFrame (p, 7)
            By coefficient name, columns estimate, std_error, df, statistic, p_value, lower, upper; a coefficient that
            was dropped is NaN.

        Raises
        ------
        ArgumentError
            For another method, a level outside (0, 1), and Kenward-Roger on a maximum likelihood fit.

        References
        ----------
        Kenward, M. G. and Roger, J. H. (1997). Small sample inference for fixed effects from restricted maximum
        likelihood. Biometrics 53, 983-997.
        Kuznetsova, A., Brockhoff, P. B. and Christensen, R. H. B. (2017). lmerTest package: tests in linear mixed
        effects models. Journal of Statistical Software 82(13).

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy"))
        >>> fit.coef_table().round(3)
                   estimate  std_error    df  statistic  p_value    lower    upper
        Intercept   251.405      6.825  17.0     36.838      0.0  237.007  265.804
        Days         10.467      1.546  17.0      6.771      0.0    7.206   13.729
        """
        return coef_table(self, ddf, level)

    def conf_int(self, level: float = 0.95, method: str = "wald", **options: Any) -> pd.DataFrame:  # noqa: ANN401
        """
        Confidence limits.

        Parameters
        ----------
        level : float
            Confidence level.
        method : {"wald", "profile", "bootstrap"}
            "wald": fixed effects, from their standard errors, as in `coef_table`; the only one without random effects.
            "profile": fixed effects, standard deviations and correlations, from `profile`; with ``scale="variance"``
            variances in place of standard deviations. "bootstrap": fixed effects, variances, covariances and sigma,
            from `bootstrap`. A variance parameter has the same name with both: ``"Residual"`` is the standard deviation
            with "profile", the variance with "bootstrap".
        **options
            For "wald", ``ddf`` of `coef_table`; for "profile", ``which``, ``criterion``, ``workers``, ``progress`` of
            `profile` and ``scale`` of its result; for "bootstrap", ``n``, ``rng``, ``kind``, ``workers``, ``progress``
            of `bootstrap` and ``interval``, the method of its result's limits.

        Returns
        -------
        DataFrame
            Columns lower, upper, by parameter.

        Raises
        ------
        ArgumentError
            For another method or option, or a level outside (0, 1).

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy"), reml=False)
        >>> fit.conf_int().round(2)
                    lower   upper
        Intercept  237.47  265.34
        Days         7.31   13.62
        >>> fit.conf_int(method="profile").round(2)
                                 lower   upper
        Intercept               237.68  265.13
        Days                      7.36   13.58
        Subject.Intercept        14.38   37.72
        Subject.Days              3.80    8.75
        Subject.Intercept.Days   -0.48    0.69
        Residual                 22.90   28.86
        """
        return conf_int(self, level, method, options)

    def contrast(
        self,
        L: Weights,
        rhs: ArrayLike = 0.0,
        *,
        ddf: str = "satterthwaite",
        level: float = 0.95,
        joint: bool = True,
    ) -> ContrastResult | pd.DataFrame:
        """
        Test linear hypotheses L beta = rhs about the fixed effects.

        Parameters
        ----------
        L : str, mapping of str to float, or array_like (p,) or (r, p)
            Equations in the coefficients' names, separated by commas (``"Line[1] = Line[2]"``,
            ``"Age[T.1] - 2 * Age[T.2] = 0.5, Line[1] = 10"``); the weights of one contrast by name; or an array.
        rhs : float or array_like (r,)
            Values under the null hypothesis, where L holds numbers.
        ddf : {"satterthwaite", "kenward-roger", "residual", "normal"}
            Degrees of freedom; see `coef_table`.
        level : float
            Confidence level of the limits.
        joint : bool
            One test of all contrasts together, or a table of single ones.

        Returns
        -------
        ContrastResult
            A t test of one contrast, or a joint F test of several, with the null hypothesis in words.
        DataFrame (r, 7)
            Without ``joint``: columns estimate, std_error, df, statistic, p_value, lower, upper.

        Raises
        ------
        ArgumentError
            For a name the model does not have (with the nearest one), a shape that does not fit, and text that is not
            linear in the coefficients.
        ModelError
            When a contrast is not estimable, or the equations contradict each other.

        References
        ----------
        Fai, A. H.-T. and Cornelius, P. L. (1996). Approximate F-tests of multiple degree of freedom hypotheses in
        generalized least squares analyses of unbalanced split-plot experiments. Journal of Statistical Computation
        and Simulation 54, 363-378.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy"))
        >>> print(fit.contrast("Days = 8"))
        Test of a contrast
        Null hypothesis: Days = 8.
        t = 1.5961, null distribution t(17), p-value 0.1289
        Degrees of freedom: satterthwaite.
        Estimate 10.4673, standard error 1.54579, interval 7.20596 to 13.7286
        """
        return contrast(self, L, rhs, ddf, level, joint=joint)

    # Predictions and draws

    def predict(
        self,
        newdata: Any = None,  # noqa: ANN401 - frames of any library
        *,
        random: bool | str | list[str] = True,
        new_levels: str = "error",
        interval: str | None = None,
        level: float = 0.95,
    ) -> pd.Series[float] | pd.DataFrame:
        """
        Predict the response of the rows used, or of new data.

        Standard errors are exact under the fitted variance parameters: they come from the joint covariance of the
        errors of the fixed effects and of the predicted random effects.

        Parameters
        ----------
        newdata : DataFrame, optional
            The predictors; the response is not needed. Without it, the rows used by the fit.
        random : bool, str or list of str
            Random effects that are included: all (True), none (False), those of some grouping factors (``"Subject"``)
            or of some terms (``"(1 | Subject)"``). The others enter neither the mean nor its variance, and their
            grouping columns need not exist.
        new_levels : {"error", "population"}
            What to do about a level that the fit did not have: refuse it by name, or predict the population mean with
            the variance of a new level in the interval.
        interval : {None, "confidence", "prediction"}
            Whether to add standard errors and limits: of the mean X beta + Z b, or of an observation, with sigma^2 / w
            more. The limits are normal; without random effects, from the t distribution, and exact.
        level : float
            Confidence level of the limits.

        Returns
        -------
        Series (m,), or DataFrame (m, 4) with columns fit, se, lower, upper
            On the index of the rows used or of the new data; NaN where a variable is missing.

        Raises
        ------
        DataError
            For a level or a column that the fit did not have, by name.

        Warns
        -----
        LMMWarning
            When rows need a coefficient that the data of the fit do not determine (see `params`): that of an empty
            cell, or of a column that no longer is the combination of others that it was. When rows lie outside the
            range of a ``bs()`` in the fit, where its polynomials go on.

        References
        ----------
        Henderson, C. R. (1975). Best linear unbiased estimation and prediction under a selection model. Biometrics
        31, 423-447.

        Examples
        --------
        >>> import lmm
        >>> import pandas as pd
        >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy"))
        >>> new = pd.DataFrame({"Days": [0, 9], "Subject": ["308", "somebody new"]})
        >>> fit.predict(new, new_levels="population", interval="confidence").round(3)
               fit      se    lower    upper
        0  253.664  12.255  229.645  277.683
        1  345.611  61.966  224.160  467.062
        """
        return predict(self, newdata, random=random, new_levels=new_levels, interval=interval, level=level)

    def simulate(
        self,
        n: int = 1,
        *,
        rng: Seed = None,
        random: str = "new",
        newdata: Any = None,  # noqa: ANN401 - frames of any library
    ) -> FloatArray:
        """
        Draw responses from the fitted model.

        Parameters
        ----------
        n : int
            Number of responses.
        rng : int or Generator, optional
            Seed; the same seed gives the same draws.
        random : {"new", "conditional"}
            Draw the random effects anew, or keep the predicted ones.
        newdata : DataFrame, optional
            Rows to simulate; without it, the rows used by the fit.

        Returns
        -------
        ndarray (n, m)
            One response per row.

        Raises
        ------
        ArgumentError
            When n is no whole number of responses, or for another ``random``.
        DataError
            For new data without a column that the model uses; with ``random="conditional"`` also for a level that the
            fit did not have.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"))
        >>> fit.simulate(3, rng=1).shape
        (3, 30)
        """
        return simulate(self, n, rng=rng, random=random, newdata=newdata)

    # Data frames and tables

    def tidy(
        self,
        effects: str | Sequence[str] = "fixed",
        *,
        conf_int: bool = True,
        level: float = 0.95,
        ddf: str = "satterthwaite",
    ) -> pd.DataFrame:
        """
        Parameters as a data frame in the shape of broom.mixed.

        Parameters
        ----------
        effects : {"fixed", "ran_pars", "ran_vals"} or a sequence of them
            Fixed effects; standard deviations and correlations; predicted random effects. Without random effects, the
            first only.
        conf_int : bool
            Whether to add limits.
        level : float
            Confidence level of the limits.
        ddf : str
            Degrees of freedom of the fixed effects; see `coef_table`.

        Returns
        -------
        DataFrame
            Columns effect, group, term, estimate, std_error, df, statistic, p_value, conf_low, conf_high, and level
            before term for predicted random effects; NaN where a column does not apply.

        Raises
        ------
        ArgumentError
            For other effects.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"))
        >>> fit.tidy("ran_pars")[["group", "term", "estimate", "conf_low", "conf_high"]].round(1)
              group             term  estimate  conf_low  conf_high
        0     Batch    sd__Intercept      42.0      18.9       93.1
        1  Residual  sd__Observation      49.5      37.3       65.7
        """
        return tidy(self, effects, conf_int=conf_int, level=level, ddf=ddf)

    def glance(self) -> pd.DataFrame:
        """
        Give the fit as one row, in the shape of broom.mixed.

        Returns
        -------
        DataFrame (1, 11)
            Columns nobs, n_params, df_resid, sigma, llf, deviance, aic, bic, reml, is_singular, converged.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"))
        >>> fit.glance()[["nobs", "sigma", "deviance", "aic"]].round(2)
           nobs  sigma  deviance     aic
        0    30  49.51    319.65  325.65
        """
        return glance(self)

    # The plug-in format of maketables, see `lmm.publication`

    @property
    def __maketables_coef_table__(self) -> pd.DataFrame:
        return publication.coefficients(self)

    def __maketables_stat__(self, key: str) -> float | int | None:
        return publication.statistics(self).get(key)

    @property
    def __maketables_default_stat_keys__(self) -> list[str]:
        return publication.default_keys(self)

    @property
    def __maketables_stat_labels__(self) -> dict[str, str]:
        return publication.labels(self)

    @property
    def __maketables_depvar__(self) -> str:
        return self.design.response_name

    @property
    def __maketables_vcov_info__(self) -> dict[str, str | None]:
        return publication.covariance_kind(self)
