"""The fitted model: what users hold. It keeps design and optimum, attaches labels, and delegates all computing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse

from lmm.arguments import Seed
from lmm.design import Design
from lmm.deviance import ProfiledDeviance
from lmm.estimates import Estimates, estimates
from lmm.factors import GroupingFactor
from lmm.inference.parameters import variance_parameters
from lmm.linalg import FloatArray
from lmm.optimize import Control, Optimum
from lmm.prediction.blup import conditional_covariances, conditional_modes
from lmm.prediction.predict import predict, predicted_mean
from lmm.prediction.rows import fitted_rows
from lmm.prediction.selection import chosen_effects
from lmm.prediction.simulate import simulate
from lmm.prediction.tables import joint_covariance, random_effects_table
from lmm.standardize import Basis
from lmm.structure import Structure, structure

if TYPE_CHECKING:
    from lmm.inference.profile import Curves, ProfileResult
    from lmm.inference.workers import Workers
    from lmm.summary import Summary


class FittedModel:
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
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    @cached_property
    def estimates(self) -> Estimates:
        """Point estimates as plain arrays."""
        return estimates(self.deviance_function, self.optimum.evaluation, self.basis, self.known_sigma)

    # What was fitted

    @property
    def formula(self) -> str:
        """The formula as given."""
        return self.design.formula.text

    @property
    def reml(self) -> bool:
        """Whether the fit is by restricted maximum likelihood."""
        return self.deviance_function.reml

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return len(self.design.y)

    @property
    def n_groups(self) -> dict[str, int]:
        """Number of levels of each grouping factor."""
        return {factor.group: factor.n_levels for factor in self.factors}

    @property
    def n_params(self) -> int:
        """Number of fixed effects, parameters in theta, and sigma where it was estimated."""
        return len(self.design.names) + len(self.theta) + (self.known_sigma is None)

    @property
    def df_resid(self) -> int:
        """Rows less parameters."""
        return self.nobs - self.n_params

    # Fixed effects

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
            sigma^2 (X' V^-1 X)^-1, without the coefficients that were dropped.
        """
        names = list(self.design.names)
        return pd.DataFrame(self.estimates.cov_beta.copy(), index=names, columns=names)

    def _by_coefficient(self, values: FloatArray) -> pd.Series[float]:
        full = np.full(len(self.design.all_names), np.nan)
        full[self.design.kept] = values
        return pd.Series(full, index=list(self.design.all_names))

    # Variance parameters

    @property
    def sigma(self) -> float:
        """Residual standard deviation."""
        return self.estimates.sigma

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
        covariances, rows = self._random_cov, []
        for parameter in variance_parameters(self.factors):
            names = (*parameter.labels, np.nan, np.nan)[:3]
            values = (parameter.value(covariances, self.sigma), parameter.sdcor(covariances, self.sigma))
            rows.append((*names, *values))
        return pd.DataFrame(rows, columns=["group", "var1", "var2", "vcov", "sdcor"])

    @property
    def _random_cov(self) -> list[FloatArray]:
        return [self.sigma**2 * T @ T.T for T in self.estimates.T]

    @property
    def random_cov(self) -> dict[str, pd.DataFrame]:
        """Covariance matrix, k x k, of the random effects of each grouping factor."""
        return {
            factor.group: pd.DataFrame(cov, index=list(factor.effects), columns=list(factor.effects))
            for factor, cov in zip(self.factors, self._random_cov, strict=True)
        }

    @property
    def is_singular(self) -> bool:
        """Whether some covariance matrix of random effects is singular: a variance of 0 or a correlation of +-1."""
        return bool(self.singular_terms)

    @property
    def singular_terms(self) -> list[str]:
        """One sentence for each grouping factor whose covariance matrix is singular; empty where none is."""
        at = self.optimum.evaluation
        sentences = []
        for place, t in enumerate(self.deviance_function.cross.order):
            factor = self.factors[t]
            if np.isfinite(factor.covariance.escape(at.factors[place], at.M[place])[0]):
                from lmm.summary import singular_sentence  # noqa: PLC0415 - most fits are not singular

                sentences.append(singular_sentence(factor, self._random_cov[t]))
        return sentences

    # Likelihood

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
    def converged(self) -> bool:
        """Whether the optimum is certified."""
        return self.optimum.converged

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
        return {
            factor.group: pd.DataFrame(b.copy(), index=factor.levels, columns=list(factor.effects))
            for factor, b in zip(self.factors, self.modes, strict=True)
        }

    @property
    def random_effects_cov(self) -> dict[str, FloatArray]:
        """Covariances of the random effects of each level given the data, arrays (levels, k, k), by factor."""
        return {factor.group: cov.copy() for factor, cov in zip(self.factors, self._modes_cov, strict=True)}

    @cached_property
    def _modes_cov(self) -> list[FloatArray]:
        return conditional_covariances(
            self.deviance_function, self.optimum.evaluation, self.basis, self.estimates.sigma
        )

    def random_effects_table(self, level: float = 0.95) -> pd.DataFrame:
        """
        Random effects with their conditional standard errors and normal limits, one row an effect of a level.

        Parameters
        ----------
        level : float
            Confidence level of the limits.

        Returns
        -------
        DataFrame
            Columns group, level, effect, estimate, se, lower, upper.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"))
        >>> fit.random_effects_table().head(2).round(2)
           group level     effect  estimate     se  lower  upper
        0  Batch     A  Intercept    -17.61  19.59  -56.0  20.78
        1  Batch     B  Intercept      0.39  19.59  -38.0  38.78
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
        """
        return joint_covariance(self)

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

    # Matrices

    @property
    def X(self) -> pd.DataFrame:
        """Fixed-effects matrix (n, p), without aliased columns."""
        return pd.DataFrame(self.design.X.copy(), index=self.design.index, columns=list(self.design.names))

    @property
    def Z(self) -> sparse.csr_matrix:
        """Random-effects matrix (n, q): by grouping factor, by level, by effect."""
        n = self.nobs
        blocks = []
        for factor in self.factors:
            k = factor.columns.shape[1]
            columns = factor.codes[:, None] * k + np.arange(k)
            pointers = np.arange(0, n * k + 1, k)
            shape = (n, factor.n_levels * k)
            blocks.append(sparse.csr_matrix((factor.columns.ravel(), columns.ravel(), pointers), shape=shape))
        return sparse.csr_matrix(sparse.hstack(blocks))

    @property
    def Lambda(self) -> sparse.csr_matrix:
        """Relative covariance factor (q, q) of all random effects, in the order of the columns of Z."""
        blocks = [
            sparse.kron(sparse.eye_array(factor.n_levels), T)
            for factor, T in zip(self.factors, self.estimates.T, strict=True)
        ]
        return sparse.csr_matrix(sparse.block_diag(blocks))

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
            One response a row.

        Examples
        --------
        >>> import lmm
        >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"))
        >>> fit.simulate(3, rng=1).shape
        (3, 30)
        """
        return simulate(self, n, rng=rng, random=random, newdata=newdata)

    def refit(self, y: ArrayLike) -> FittedModel:
        """
        Fit the same model to a new response.

        Parameters
        ----------
        y : array_like (nobs,)
            One number for each row used.

        Returns
        -------
        FittedModel

        Raises
        ------
        DataError
            When y has another length or holds anything but finite numbers.
        """
        from lmm.fitting import refit  # noqa: PLC0415 - fitting makes models, so it is imported on use

        return refit(self, y)

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
            ``"Residual"``.
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

    def structure(self) -> Structure:
        """
        How the linear system of the model is laid out, which decides what a fit costs.

        Returns
        -------
        Structure
            Prints as text.

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

    def summary(self) -> Summary:
        """
        Readable account of the fit.

        Returns
        -------
        Summary
            Prints as text; shows as HTML in a notebook.
        """
        from lmm.summary import Summary  # noqa: PLC0415 - most fits are never printed

        return Summary(self)
