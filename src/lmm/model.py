"""The fitted model: what users hold. It keeps design and optimum, attaches labels, and delegates all computing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse

from lmm import publication
from lmm.arguments import Seed, as_numbers
from lmm.bygroup import ByGroup
from lmm.design import Design
from lmm.deviance import ProfiledDeviance
from lmm.estimates import Estimates, estimates
from lmm.factors import GroupingFactor, random_effects_matrix, relative_factor
from lmm.inference.coefficients import coef_table, conf_int
from lmm.inference.contrasts import ContrastResult, contrast
from lmm.inference.ddf import KenwardRoger, Satterthwaite, kenward_roger, satterthwaite
from lmm.inference.hypotheses import Weights
from lmm.inference.information import VarianceInformation, cov_variance, information, variance_information
from lmm.inference.variance_table import variance_components, variance_components_table
from lmm.linalg import FloatArray
from lmm.linear import LinearModel
from lmm.optimize import Control, Optimum
from lmm.prediction.blup import conditional_covariances, conditional_modes
from lmm.prediction.predict import predict, predicted_mean
from lmm.prediction.rows import fitted_rows
from lmm.prediction.selection import chosen_effects
from lmm.prediction.simulate import simulate
from lmm.prediction.tables import joint_covariance, random_effects_table
from lmm.standardize import Basis
from lmm.structure import Structure, structure
from lmm.tidy import augment, glance, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lmm.diagnostics.check import CheckReport
    from lmm.diagnostics.influence import InfluenceResult
    from lmm.diagnostics.pca import RandomPCA
    from lmm.inference.bootstrap_result import BootstrapResult, Statistic
    from lmm.inference.profile import Curves, ProfileResult
    from lmm.summary import Summary
    from lmm.workers import Workers


# Random effects of the tail beyond which showing a fit does not wait for the degrees of freedom of its tests.
MANY_EFFECTS = 3000


class FittedModel(LinearModel):
    """
    A fitted linear mixed model, made by `lmm.fit`.

    Attributes
    ----------
    design : Design
        Response, matrices, groups and labels, and how to build them on new data.
    factors : tuple of GroupingFactor
        The random effects by grouping factor.
    deviance_function : ProfiledDeviance
        The profiled deviance in the standardised basis.
    basis : Basis
        The map from the standardised basis to the user's scale.
    optimum : Optimum
        What the optimiser found.
    control : Control
        When the optimiser stopped.
    known_sigma : float or None
        Residual standard deviation given by the user, None where it was estimated.

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"), reml=False)
    >>> fit.variance_components.round(2)
          group       var1  var2     vcov  sdcor
    0     Batch  Intercept   NaN  1388.33  37.26
    1  Residual        NaN   NaN  2451.25  49.51
    """

    def __init__(
        self,
        design: Design,
        factors: tuple[GroupingFactor, ...],
        deviance_function: ProfiledDeviance,
        basis: Basis,
        optimum: Optimum,
        control: Control,
        known_sigma: float | None = None,
    ) -> None:
        self.design = design
        self.factors = factors
        self.deviance_function = deviance_function
        self.basis = basis
        self.optimum = optimum
        self.control = control
        self.known_sigma = known_sigma

    def __repr__(self) -> str:
        criterion = "REML criterion" if self.reml else "deviance"
        return f"<FittedModel {self.formula!r}: {self.nobs} rows, {criterion} {self.deviance:.4f}>"

    def __str__(self) -> str:
        return str(self.summary(self._quick_ddf))

    def _repr_html_(self) -> str:
        return self.summary(self._quick_ddf)._repr_html_()

    @property
    def _quick_ddf(self) -> str | None:
        """Degrees of freedom of the tests shown with a fit: none where they would keep the reader waiting."""
        tail = self.deviance_function.tail
        return "satterthwaite" if tail is None or tail.n_columns <= MANY_EFFECTS else None

    @cached_property
    def estimates(self) -> Estimates:
        """Point estimates as plain arrays."""
        return estimates(self.deviance_function, self.optimum.evaluation, self.basis, self.known_sigma)

    # What was fitted

    @property
    def reml(self) -> bool:
        """Whether the fit is by restricted maximum likelihood."""
        return self.deviance_function.reml

    @property
    def n_groups(self) -> dict[str, int]:
        """Number of levels of each grouping factor."""
        return ByGroup((factor.group, factor.n_levels) for factor in self.factors)

    @property
    def n_params(self) -> int:
        """Number of fixed effects, parameters in theta, and sigma where it was estimated."""
        return len(self.design.names) + len(self.theta) + (self.known_sigma is None)

    @property
    def converged(self) -> bool:
        """Whether the optimum is certified."""
        return self.optimum.converged

    # Fixed effects

    @property
    def pvalues(self) -> pd.Series[float]:
        """Two-sided p-values of the fixed effects, with Satterthwaite's degrees of freedom."""
        return self.coef_table()["p_value"]

    def coef_table(self, ddf: str = "satterthwaite", level: float = 0.95) -> pd.DataFrame:
        """
        Fixed effects with standard errors, t tests and confidence limits.

        Parameters
        ----------
        ddf : {"satterthwaite", "kenward-roger", "residual", "normal"}
            Degrees of freedom: Satterthwaite's, from the exact Hessian of the deviance; Kenward and Roger's, with their
            adjusted covariance (REML only); rows less parameters; or infinitely many. Satterthwaite's and Kenward and
            Roger's lie between 1 and the number of rows.
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
            "wald": fixed effects, from their standard errors, as in `coef_table`. "profile": fixed effects, standard
            deviations and correlations, from `profile`; with ``scale="variance"`` variances in place of standard
            deviations. "bootstrap": fixed effects, variances, covariances and sigma, from `bootstrap`. A variance
            parameter has the same name with both: ``"Residual"`` is the standard deviation with "profile", the
            variance with "bootstrap".
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

    @cached_property
    def satterthwaite(self) -> Satterthwaite:
        """Satterthwaite's approximation to the distribution of contrasts."""
        return satterthwaite(self)

    @cached_property
    def kenward_roger(self) -> KenwardRoger:
        """Kenward and Roger's approximation to the distribution of contrasts."""
        return kenward_roger(self)

    # Variance parameters

    @property
    def theta(self) -> FloatArray:
        """Entries of the relative covariance factors, shape (m,), factor by factor, each column by column."""
        return self.estimates.theta.copy()

    @property
    def variance_components(self) -> pd.DataFrame:
        """
        Variances and covariances of the random effects, and the residual variance.

        Returns
        -------
        DataFrame
            Columns group, var1, var2, vcov (variance or covariance), sdcor (standard deviation or correlation).
            var2 is NaN for a variance; the last row is Residual.
        """
        return variance_components(self)

    @property
    def random_cov(self) -> dict[str, pd.DataFrame]:
        """Covariance matrix, k x k, of the random effects of each grouping factor."""
        return ByGroup(
            (factor.group, pd.DataFrame(cov, index=list(factor.effects), columns=list(factor.effects)))
            for factor, cov in zip(self.factors, self.estimates.covariances, strict=True)
        )

    @property
    def is_singular(self) -> bool:
        """Whether some covariance matrix of random effects is singular: a variance of 0 or a correlation of +-1."""
        return bool(self.singular_terms)

    @property
    def boundary_groups(self) -> list[str]:
        """Grouping factors whose covariance matrix is singular, by name."""
        return [self.factors[t].group for t in self._on_boundary]

    @property
    def singular_terms(self) -> list[str]:
        """One sentence for each grouping factor whose covariance matrix is singular; empty where none is."""
        if not self._on_boundary:
            return []
        from lmm.summary import singular_sentence  # noqa: PLC0415 - most fits are not singular

        return [singular_sentence(self.factors[t], self.estimates.covariances[t]) for t in self._on_boundary]

    @property
    def _on_boundary(self) -> list[int]:
        """Numbers of the grouping factors whose covariance matrix is singular."""
        at = self.optimum.evaluation
        return [
            t
            for place, t in enumerate(self.deviance_function.cross.order)
            if np.isfinite(self.factors[t].covariance.escape(at.factors[place], at.M[place])[0])
        ]

    # Information

    @cached_property
    def variance_information(self) -> VarianceInformation:
        """Quadratic forms of the variance parameters, of which information matrices are made."""
        return variance_information(self)

    def information(self, kind: str = "expected") -> pd.DataFrame:
        """
        Fisher information of the fixed effects and the variance parameters.

        Parameters
        ----------
        kind : {"expected", "observed", "average"}
            Expected information; negative second derivatives of the log-likelihood; or the mean of the two with beta
            profiled out. A restricted likelihood does not involve beta: under REML its block is X' V^-1 X and the
            cross terms are zero, as they are for the expected and the average information under ML.

        Returns
        -------
        DataFrame (p + m, p + m)
            Rows and columns named by coefficient and by variance parameter, as in `cov_variance`; on the scale of
            the variances and covariances.

        Raises
        ------
        ArgumentError
            For another kind.

        References
        ----------
        Harville, D. A. (1977). Maximum likelihood approaches to variance component estimation and to related
        problems. Journal of the American Statistical Association 72, 320-338.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"), reml=False)
        >>> fit.information().round(9)
                   Intercept         Batch      Residual
        Intercept   0.003194  0.000000e+00  0.000000e+00
        Batch       0.000000  8.500000e-07  1.700000e-07
        Residual    0.000000  1.700000e-07  2.031000e-06
        """
        return information(self, kind)

    def cov_variance(self, kind: str = "expected") -> pd.DataFrame:
        """
        Asymptotic covariance of the estimated variance parameters.

        Parameters
        ----------
        kind : {"expected", "observed", "average"}
            Which information is inverted; see `information`.

        Returns
        -------
        DataFrame (m, m)
            Rows and columns in the order of `variance_components`: ``"group"`` where a group has one effect,
            ``"group.effect"`` for a variance and ``"group.effect.effect"`` for a covariance where it has several,
            ``"Residual"`` last, unless sigma is known. Where a coefficient is named like a group, as in
            ``y ~ year + (1 | year)``, its one variance is ``"year.Intercept"``.

        Raises
        ------
        ArgumentError
            For another kind.
        ModelError
            Where the information matrix has no inverse that is a covariance, with the parameters concerned.

        Notes
        -----
        The formula holds on the boundary too, where it is the covariance that large samples would have if the
        parameter space went on; the estimates themselves are then far from normal. Prefer the bootstrap there.

        References
        ----------
        Harville, D. A. (1977). Maximum likelihood approaches to variance component estimation and to related
        problems. Journal of the American Statistical Association 72, 320-338.

        Examples
        --------
        >>> import lmm
        >>> lamb = lmm.datasets.load("lamb")
        >>> fit = lmm.fit("Weight ~ Line + Age - 1 + (1 | Sire)", lamb)
        >>> fit.cov_variance().round(5)
                     Sire  Residual
        Sire      0.44924  -0.18316
        Residual -0.18316   0.45614
        """
        return cov_variance(self, kind)

    def variance_components_table(self, level: float = 0.95, kind: str = "expected") -> pd.DataFrame:
        """
        Variance components with asymptotic standard errors and Wald limits.

        Parameters
        ----------
        level : float
            Confidence level of the limits.
        kind : {"expected", "observed", "average"}
            Information that the standard errors come from; see `information`.

        Returns
        -------
        DataFrame
            The rows of `variance_components`, with std_error (of the variance or covariance), sdcor_std_error, lower
            and upper (of the standard deviation or correlation) and note. Limits are symmetric for the logarithm of a
            standard deviation and for Fisher's z of a correlation. A group whose covariance matrix is singular has no
            limits, and the note says so.

        Raises
        ------
        ArgumentError
            For another kind or a level outside (0, 1).

        References
        ----------
        Pinheiro, J. C. and Bates, D. M. (2000). Mixed-Effects Models in S and S-PLUS. Springer, section 2.4.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"))
        >>> fit.variance_components_table()[["group", "vcov", "std_error", "sdcor", "lower", "upper"]].round(1)
              group    vcov  std_error  sdcor  lower  upper
        0     Batch  1764.0     1432.8   42.0   18.9   93.1
        1  Residual  2451.3      707.6   49.5   37.3   65.7
        """
        return variance_components_table(self, level, kind)

    # Random effects

    @cached_property
    def modes(self) -> list[FloatArray]:
        """Predicted random effects of each grouping factor as plain arrays, levels x effects, not to be written to."""
        modes = conditional_modes(self.deviance_function, self.optimum.evaluation, self.basis)
        for b in modes:
            b.flags.writeable = False
        return modes

    @property
    def random_effects(self) -> dict[str, pd.DataFrame]:
        """Predicted random effects (BLUPs, conditional modes) of each grouping factor, levels x effects."""
        return ByGroup(
            (factor.group, pd.DataFrame(b.copy(), index=factor.levels, columns=list(factor.effects)))
            for factor, b in zip(self.factors, self.modes, strict=True)
        )

    @property
    def random_effects_cov(self) -> dict[str, FloatArray]:
        """Covariances of the random effects of each level given the data, arrays (levels, k, k), by factor."""
        return ByGroup((factor.group, cov.copy()) for factor, cov in zip(self.factors, self._modes_cov, strict=True))

    @cached_property
    def _modes_cov(self) -> list[FloatArray]:
        return conditional_covariances(
            self.deviance_function, self.optimum.evaluation, self.basis, self.estimates.sigma
        )

    def random_effects_table(self, level: float = 0.95) -> pd.DataFrame:
        """
        Random effects with their conditional standard errors and normal limits, one row per effect of a level.

        Parameters
        ----------
        level : float
            Confidence level of the limits.

        Returns
        -------
        DataFrame
            Columns group, level, effect, estimate, std_error, lower, upper.

        Raises
        ------
        ArgumentError
            When level is no number strictly between 0 and 1.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"))
        >>> fit.random_effects_table().head(2).round(2)
           group level     effect  estimate  std_error  lower  upper
        0  Batch     A  Intercept    -17.61      19.59  -56.0  20.78
        1  Batch     B  Intercept      0.39      19.59  -38.0  38.78
        """
        return random_effects_table(self, level)

    def joint_cov(self) -> pd.DataFrame:
        """
        Joint covariance of the errors of the fixed effects and of the predicted random effects.

        Returns
        -------
        DataFrame (p + q, p + q)
            Covariance of (beta-hat, b-hat - b), rows and columns named by (group, level, effect); the group of a
            fixed effect is ``"fixed"``.

        Raises
        ------
        ModelError
            When the dense matrices would need more memory than the machine has.

        References
        ----------
        Henderson, C. R. (1975). Best linear unbiased estimation and prediction under a selection model. Biometrics
        31, 423-447.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"))
        >>> fit.joint_cov().shape
        (7, 7)
        >>> float(fit.joint_cov().loc[("fixed", "", "Intercept"), ("Batch", "A", "Intercept")].round(1))
        -294.0
        """
        return joint_covariance(self)

    def random_pca(self) -> dict[str, RandomPCA]:
        """
        Principal components of the covariance of the random effects of each grouping factor.

        In a singular fit they say which combination of effects does not vary between levels.

        Returns
        -------
        dict of str to RandomPCA
            By grouping factor: standard deviations relative to the residual one, shares of variance, directions.

        References
        ----------
        Bates, D., Kliegl, R., Vasishth, S. and Baayen, H. (2015). Parsimonious mixed models. arXiv:1506.04967.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy"))
        >>> fit.random_pca()["Subject"].sdev
        array([0.9669, 0.2309])
        """
        from lmm.diagnostics.pca import random_pca  # noqa: PLC0415 - most fits are never diagnosed

        return random_pca(self)

    # Rows

    @property
    def fittedvalues(self) -> pd.Series[float]:
        """X beta + Z b + offset, on the index of the rows used."""
        return pd.Series(self._fitted.copy(), index=self.design.index)

    @property
    def resid(self) -> pd.Series[float]:
        """Response less fitted values, on the index of the rows used."""
        return pd.Series(self.design.y - self._fitted, index=self.design.index)

    @cached_property
    def _fitted(self) -> FloatArray:
        return predicted_mean(self, fitted_rows(self, chosen_effects(self, random=True)))

    def residuals(self, kind: str = "response") -> pd.Series[float]:
        """
        Residuals of a kind, on the index of the rows used.

        Parameters
        ----------
        kind : {"response", "pearson", "scaled", "studentized", "marginal", "cholesky"}
            With weights w, fitted values that include the offset, and sigma^2 V the covariance of the response:

            - ``"response"``: r = y less fitted values X beta + Z b.
            - ``"pearson"``: sqrt(w) r, of equal residual variance.
            - ``"scaled"``: sqrt(w) r / sigma.
            - ``"studentized"``: sqrt(w) r / (sigma sqrt(1 - h)) with leverage h, of variance 1 under the model; NaN
              where h is 1.
            - ``"marginal"``: y - X beta, less the offset; random effects and errors together.
            - ``"cholesky"``: L^-1 (y - X beta) with L L' = sigma^2 V, rows in their order: independent with variance 1
              under the model, but for the estimation of beta. Each is the standardised error of predicting a row from
              those before it.

        Returns
        -------
        Series (nobs,)

        Raises
        ------
        ArgumentError
            For another kind.
        ModelError
            When decorrelating the rows would need more memory than the machine has.

        References
        ----------
        Houseman, E. A., Ryan, L. M. and Coull, B. A. (2004). Cholesky residuals for assessing normal errors in a linear
        model with correlated outcomes. Journal of the American Statistical Association 99, 383-394.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"))
        >>> fit.residuals("studentized").head(3).round(4)
        0    0.7754
        1   -1.5437
        2   -1.5437
        Name: studentized, dtype: float64
        """
        from lmm.diagnostics.residuals import residuals  # noqa: PLC0415 - most fits are never diagnosed

        return residuals(self, kind)

    # Data frames for other tools

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
            Fixed effects; standard deviations and correlations; predicted random effects.
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

    def augment(self) -> pd.DataFrame:
        """
        Give the rows used with what the fit says of each, in the shape of broom.mixed.

        Returns
        -------
        DataFrame (nobs, 7)
            On the index of the rows used: the response under its own name, fitted (X beta + Z b + offset), fixed
            (without the random effects), resid, std_resid (residuals over their standard errors, see `residuals`),
            leverage and cooks_distance (see `influence`).

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"))
        >>> fit.augment().head(2).round(3)
            Yield    fitted   fixed   resid  std_resid  leverage  cooks_distance
        0  1545.0  1509.893  1527.5  35.107      0.775     0.164           0.118
        1  1440.0  1509.893  1527.5 -69.893     -1.544     0.164           0.467
        """
        return augment(self)

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

    # Matrices

    @property
    def X(self) -> pd.DataFrame:
        """Fixed-effects matrix (n, p), without aliased columns."""
        return pd.DataFrame(self.design.X.copy(), index=self.design.index, columns=list(self.design.names))

    @property
    def Z(self) -> sparse.csr_matrix:
        """Random-effects matrix (n, q): by grouping factor, by level, by effect."""
        return random_effects_matrix(self.factors)

    @property
    def Lambda(self) -> sparse.csr_matrix:
        """Relative covariance factor (q, q) of all random effects, in the order of the columns of Z."""
        return relative_factor(self.factors, self.estimates.T)

    # Verbs

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
            Whether to add standard errors and normal limits: of the mean X beta + Z b, or of an observation, with
            sigma^2 / w more.
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

    def refit(self, y: ArrayLike | pd.DataFrame) -> Any:  # noqa: ANN401 - the type depends on the number of dimensions
        """
        Fit the same model to a new response, or to many.

        Many responses (genes, voxels, simulated data) are fitted together by the engine of the bootstrap, a small
        model some twenty times as fast as in a loop, each to its certified optimum.

        Parameters
        ----------
        y : array_like (nobs,) or (nobs, m), or DataFrame
            One number for each row used; in a matrix, one response per column. Rows are matched by position: a Series
            or a DataFrame must have the index of the rows used, ``fit.design.index``, or the default one, 0 to
            nobs - 1.

        Returns
        -------
        FittedModel, or DataFrame (m, any)
            For a matrix, one row per response: fixed effects, their standard errors ``std_error(...)``, variance
            parameters, sigma, deviance (the REML criterion under REML) and whether the fit is singular. A response
            that cannot be fitted has NaN, and a warning says why.

        Raises
        ------
        DataError
            When y has another length, holds anything but finite numbers, or is labelled as other rows or in another
            order.

        Warns
        -----
        ConvergenceWarning
            When some of many responses could not be fitted.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"))
        >>> genes = fit.simulate(2000, rng=1).T
        >>> genes.shape
        (30, 2000)
        >>> estimates = fit.refit(genes)
        >>> estimates.shape
        (2000, 7)
        >>> list(estimates.columns)
        ['Intercept', 'std_error(Intercept)', 'Batch', 'Residual', 'sigma', 'deviance', 'singular']
        """
        numbers = as_numbers(y)
        if numbers is not None and numbers.ndim > 1:
            from lmm.many import refit_many  # noqa: PLC0415 - a rare use

            return refit_many(self, y)
        from lmm.fitting import refit  # noqa: PLC0415 - fitting makes models, so it is imported on use

        return refit(self, y)

    def influence(self, by: str | None = None, *, exact: bool = False) -> InfluenceResult:
        """
        How much each row, or each group of rows, moves the estimates when it is left out.

        Parameters
        ----------
        by : str, optional
            Grouping factor whose levels are left out, all their rows at once; single rows where None.
        exact : bool
            Fit the model again without each unit, from cross-products less those of the unit. Otherwise one step: the
            variance ratios theta stay as they are, beta and sigma follow exactly.

        Returns
        -------
        InfluenceResult
            Leverage, Cook's distance, dfbeta, dfbetas, covariance ratio and sigma, one entry per unit; with
            ``exact=True`` the variance components too. Prints the units with the largest Cook's distances.

        Raises
        ------
        ArgumentError
            When ``by`` is no grouping factor of the model.
        ModelError
            For a model without fixed effects.

        References
        ----------
        Christensen, R., Pearson, L. M. and Johnson, W. (1992). Case-deletion diagnostics for mixed models.
        Technometrics 34, 38-45.
        Belsley, D. A., Kuh, E. and Welsch, R. E. (1980). Regression Diagnostics. Wiley (dfbetas, covariance ratio).

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy"))
        >>> influence = fit.influence(by="Subject", exact=True)
        >>> influence.cooks_distance.nlargest(2).round(4)
        309    0.1320
        335    0.1151
        Name: cooks_distance, dtype: float64
        >>> influence.variance_components.loc["335"].round(1)
        Subject.Intercept         644.9
        Subject.Days               25.6
        Subject.Intercept.Days     19.9
        Residual                  685.8
        Name: 335, dtype: float64
        """
        from lmm.diagnostics.influence import influence  # noqa: PLC0415 - most fits are never diagnosed

        return influence(self, by, exact)

    def check(self) -> CheckReport:
        """
        Report on what may be wrong with the fit, each line with what to do about it.

        Checked are the certificate of the optimum, singular directions of the random effects and those that the data do
        not determine, scales of the predictors, outlying rows, normality of residuals and random effects (by skewness,
        kurtosis and Shapiro and Wilk's test), homogeneity of the residual variance (Koenker's score test), collinearity
        (generalised variance inflation) and numbers of levels.

        Returns
        -------
        CheckReport
            Prints as text; shows as HTML in a notebook. ``report.findings`` holds the lines, ``report.warnings`` those
            that need attention.

        References
        ----------
        Koenker, R. (1981). A note on studentizing a test for heteroscedasticity. Journal of Econometrics 17, 107-112.
        Fox, J. and Monette, G. (1992). Generalized collinearity diagnostics. Journal of the American Statistical
        Association 87, 178-183.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy"))
        >>> report = fit.check()
        >>> print(report["outliers"].found)
        3 of 180 rows have a studentised residual beyond 3.64, the limit for so many rows: 56 (5.53), 59 (-4.57), ...
        >>> [finding.check for finding in report.warnings]
        ['outliers', 'normal residuals']
        """
        from lmm.diagnostics.check import check  # noqa: PLC0415 - most fits are never diagnosed

        return check(self)

    def plot(self) -> Figure:
        """
        Four pictures of the fit in one figure.

        Residuals against fitted values, their normal quantiles, Cook's distances by row, and normal quantiles of the
        first random effect. `lmm.plots` has these and more, one by one.

        Returns
        -------
        Figure
            Of matplotlib; neither shown nor saved.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy"))
        >>> len(fit.plot().axes)
        4
        """
        from lmm.plots.panel import overview  # noqa: PLC0415 - needs matplotlib

        return overview(self)

    def profile(
        self,
        which: str | Sequence[str] | None = None,
        *,
        level: float = 0.95,
        criterion: str | None = None,
        workers: Workers = 1,
        progress: bool = False,
    ) -> ProfileResult:
        """
        Profile likelihood of fixed effects, standard deviations and correlations, and the limits that follow.

        Each parameter is held at several values and the criterion minimised over all others, with exact gradients. The
        limits are where the likelihood ratio test of the value has the given level: roots found on the profile, not
        read off an interpolation.

        Parameters
        ----------
        which : str or sequence of str, optional
            Names of the parameters, all where None: coefficients, and the variance parameters by the names
            ``"Group"``, ``"Group.effect"`` (a standard deviation), ``"Group.effect.effect"`` (a correlation) and
            ``"Residual"``. On request alone, ``"icc(Group)"``: the intraclass correlation of a group with one random
            effect, its share of the variance as `lmm.icc` has it in ``by_group``.
        level : float
            Confidence level of the limits.
        criterion : {None, "ml", "reml"}
            What is profiled for variance parameters: the criterion of the fit, the deviance (as lme4 does for every
            fit) or the REML criterion. Fixed effects are profiled by maximum likelihood: the restricted likelihood
            does not contain them.
        workers : int or callable
            Number of processes among which the parameters are divided, or a function like ``map``.
        progress : bool
            Show a progress bar; needs the package tqdm.

        Returns
        -------
        ProfileResult
            With `conf_int`, `table`, `zeta`, `plot` and `notes`. What has been computed is kept by the model, so that
            asking again costs nothing.

        Raises
        ------
        ArgumentError
            When an argument is not one of those.

        Warns
        -----
        LMMWarning
            When a profile has a second minimum, or one that is lower than the fit.

        References
        ----------
        Bates, D., Maechler, M., Bolker, B. and Walker, S. (2015). Fitting linear mixed-effects models using lme4.
        Journal of Statistical Software 67(1), section 5.1.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy"), reml=False)
        >>> fit.profile(["Days", "Subject.Intercept.Days"]).conf_int().round(3)
                                lower   upper
        Days                    7.359  13.576
        Subject.Intercept.Days -0.481   0.685
        """
        from lmm.inference.profile import profile  # noqa: PLC0415 - most fits are not profiled

        return profile(self, which, level=level, criterion=criterion, workers=workers, progress=progress)

    @cached_property
    def profile_curves(self) -> Curves:
        """Profiles that have been computed, kept for later."""
        from lmm.inference.profile import Curves  # noqa: PLC0415 - most fits are not profiled

        return Curves(self)

    # Resampling

    def bootstrap(
        self,
        n: int = 1000,
        *,
        rng: Seed = None,
        kind: str = "parametric",
        statistic: Statistic | None = None,
        workers: Workers = 1,
        progress: bool = False,
    ) -> BootstrapResult:
        """
        Refit the model to responses that are made from it.

        Parameters
        ----------
        n : int
            Number of replicates.
        rng : int or Generator, optional
            Seed; the same seed gives the same replicates, whatever the number of workers.
        kind : {"parametric", "residual", "cases", "wild"}
            "parametric": new normal random effects and errors. "residual": predicted random effects and residuals,
            centred and given their estimated variances, drawn with replacement. "cases": groups of the factor that all
            others are nested in, drawn with replacement. "wild": the residuals y - X beta of each such group times a
            random number of mean 0 and variance 1, which keeps unequal variances; for the fixed effects, as it makes
            the residual variance of groups of many rows vary too much.
        statistic : callable, optional
            A function of a fitted model that returns a number, a sequence of numbers, a Series or a dict; it is
            computed from each fit, in place of the estimates. Fits are then made one by one. A replicate for which it
            raises an exception or returns NaN has failed, and the others stand.
        workers : int or callable
            Number of processes, or a callable like `map` (the map of a pool, of joblib, Dask or Ray).
        progress : bool
            Whether to show a bar, which needs the package tqdm.

        Returns
        -------
        BootstrapResult
            Ctrl-C ends the bootstrap with the replicates that are done.

        Raises
        ------
        ArgumentError
            When the statistic cannot be computed from the model itself.
        ModelError
            For "cases" and "wild", when the grouping factors are crossed, so that no groups are independent.

        References
        ----------
        Davison, A. C. and Hinkley, D. V. (1997). Bootstrap Methods and their Application. Cambridge University Press.

        Carpenter, J. R., Goldstein, H. and Rasbash, J. (2003). A novel bootstrap procedure for assessing the
        relationship between class size and achievement. Applied Statistics 52, 431-443.

        Modugno, L. and Giannerini, S. (2015). The wild bootstrap for multilevel models. Communications in Statistics -
        Theory and Methods 44, 4812-4825.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy"))
        >>> result = fit.bootstrap(1000, rng=1)
        >>> result.estimates.shape, result.n_failed
        ((1000, 7), 0)
        >>> round(float(result.se()["Days"]), 1)
        1.6
        """
        from lmm.inference.bootstrap import bootstrap  # noqa: PLC0415 - many fits are never resampled

        return bootstrap(self, n, rng=rng, kind=kind, statistic=statistic, workers=workers, progress=progress)

    def structure(self) -> Structure:
        """
        How the linear system of the model is laid out, which decides what a fit costs.

        Returns
        -------
        Structure
            Prints as text; shows as HTML in a notebook.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("diameter ~ 1 + (1 | plate) + (1 | sample)", lmm.datasets.load("penicillin"))
        >>> print(fit.structure())
        plate          24 levels x 1: block diagonal, 24 blocks of 1 x 1, factored at once
        sample         6 levels x 1: tail
        tail           dense core of 6 x 6
        coupling       dense products
        fixed effects  1, and the response: border
        """
        return structure(self)

    def summary(self, ddf: str | None = "satterthwaite") -> Summary:
        """
        Readable account of the fit.

        Parameters
        ----------
        ddf : {"satterthwaite", "kenward-roger", "residual", "normal"} or None
            Degrees of freedom of the tests of the fixed effects, see `coef_table`; None leaves the tests out.

        Returns
        -------
        Summary
            Prints as text; shows as HTML in a notebook.

        Raises
        ------
        ArgumentError
            For another method.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"))
        >>> print(fit.summary().fixed.text())
        Fixed effects (degrees of freedom: satterthwaite):
                  Estimate Std. Error df t value p-value
        Intercept  1527.50      19.38  5    78.8 <0.0001
        """
        from lmm.summary import Summary  # noqa: PLC0415 - most fits are never printed

        return Summary(self, ddf)
