"""The fitted model: what users hold. It keeps design and optimum, attaches labels, and delegates all computing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse

from lmm.arguments import Seed, as_numbers
from lmm.bygroup import ByGroup
from lmm.design import Design
from lmm.deviance import ProfiledDeviance
from lmm.estimates import Estimates, estimates
from lmm.factors import GroupingFactor, random_effects_matrix, relative_factor
from lmm.inference.ddf import KenwardRoger, Satterthwaite, kenward_roger, satterthwaite
from lmm.inference.information import VarianceInformation, cov_variance, information, variance_information
from lmm.inference.variance_table import variance_components, variance_components_table
from lmm.linalg import FloatArray
from lmm.linear import LinearModel
from lmm.optimize import Control, Optimum
from lmm.prediction.blup import conditional_covariances, conditional_modes
from lmm.prediction.predict import predicted_mean
from lmm.prediction.rows import fitted_rows
from lmm.prediction.selection import chosen_effects
from lmm.prediction.tables import joint_covariance, random_effects_table
from lmm.standardize import Basis
from lmm.structure import Structure, structure
from lmm.tidy import augment

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
    def n_params(self) -> int:
        """Number of fixed effects, parameters in theta, and sigma where it was estimated."""
        return len(self.design.names) + len(self.theta) + (self.known_sigma is None)

    @property
    def converged(self) -> bool:
        """Whether the optimum is certified."""
        return self.optimum.converged

    # Fixed effects

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
        kurtosis and Shapiro and Francia's test; beyond 5,000 values D'Agostino and Pearson's), homogeneity of the
        residual variance (Koenker's score test), collinearity (generalised variance inflation) and numbers of levels.

        Returns
        -------
        CheckReport
            Prints as text; shows as HTML in a notebook. ``report.findings`` holds the lines, ``report.warnings`` those
            that need attention.

        References
        ----------
        Royston, P. (1993). A pocket-calculator algorithm for the Shapiro-Francia test for non-normality: an application
        to medicine. Statistics in Medicine 12, 181-184.
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
