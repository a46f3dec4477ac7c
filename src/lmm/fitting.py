"""The way from a formula and a data frame to a fitted model."""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import lapack

from lmm import checks
from lmm.alignment import responses
from lmm.arguments import as_numbers, known_sigma, true_or_false
from lmm.crossproducts import cross_products
from lmm.design import Design, build_design
from lmm.deviance import NO_RESIDUAL, ProfiledDeviance
from lmm.errors import ArgumentError, ConvergenceWarning, LMMWarning, ModelError, SingularFitWarning, warn
from lmm.factors import GroupingFactor, grouping_factors
from lmm.fixed import FixedModel, fit_fixed_design
from lmm.formula import parse_formula
from lmm.frames import near_matches
from lmm.identification import check_what_fixed_effects_leave, undetermined_terms
from lmm.linalg import FloatArray
from lmm.model import FittedModel
from lmm.optimize import Control, Optimum, find_optimum
from lmm.standardize import Basis, standardize
from lmm.start import moment_start

# Relative standard deviation beyond which a user's starting value is drawn in.
FARTHEST_START = 1e3
# Share of the response's sum of squares below which a residual sum of squares that keeps falling is rounding error.
SMALLEST_RHO2 = 1e-12

# Fixed terms that a message names.
MOST_TERMS_SHOWN = 5


@overload
def fit(
    formula: str,
    data: Any,  # noqa: ANN401 - frames of any library
    *,
    reml: bool = ...,
    weights: str | ArrayLike | None = ...,
    offset: str | ArrayLike | None = ...,
    sigma: float | None = ...,
    na_action: str = ...,
    start: ArrayLike | None = ...,
    control: Control | None = ...,
    contrasts: dict[str, Any] | None = ...,
    allow_fixed: Literal[False] = ...,
) -> FittedModel: ...


@overload
def fit(
    formula: str,
    data: Any,  # noqa: ANN401 - frames of any library
    *,
    reml: bool = ...,
    weights: str | ArrayLike | None = ...,
    offset: str | ArrayLike | None = ...,
    sigma: float | None = ...,
    na_action: str = ...,
    start: ArrayLike | None = ...,
    control: Control | None = ...,
    contrasts: dict[str, Any] | None = ...,
    allow_fixed: bool,
) -> FittedModel | FixedModel: ...


def fit(
    formula: str,
    data: Any,
    *,
    reml: bool = True,
    weights: str | ArrayLike | None = None,
    offset: str | ArrayLike | None = None,
    sigma: float | None = None,
    na_action: str = "drop",
    start: ArrayLike | None = None,
    control: Control | None = None,
    contrasts: dict[str, Any] | None = None,
    allow_fixed: bool = False,
    **unknown: object,
) -> FittedModel | FixedModel:
    """
    Fit a Gaussian linear mixed model by REML or maximum likelihood.

    The model is  y = X beta + Z b + e  with  b ~ N(0, sigma^2 Lambda Lambda')  and  e ~ N(0, sigma^2 W^-1). The
    deviance, profiled over beta and sigma, is minimised over the parameters theta of Lambda with exact gradients, and
    the minimum is certified: on the boundary (a variance of zero, a correlation of one) as well as inside.

    Parameters
    ----------
    formula : str
        lme4's language: ``"y ~ fixed + (effects | group)"``. ``(x | g)`` is a random intercept and slope, correlated;
        ``(x || g)`` uncorrelated; ``(0 + x | g)`` the slope alone; ``(1 | a/b)`` is ``(1 | a) + (1 | a:b)``.
    data : DataFrame
        One row per observation. Frames of polars and pyarrow and dicts of columns are taken as well.
    reml : bool
        Restricted maximum likelihood (True) or maximum likelihood (False).
    weights : str or array_like (n,), optional
        Precision weights w, Var(e_i) = sigma^2 / w_i: a column's name, an expression such as ``"1 / x^2"``, or
        numbers. Numbers are matched with the rows of the data by position; a Series whose index is neither that of the
        data nor the default one, 0 to n - 1, is refused.
    offset : str or array_like (n,), optional
        Known part of the linear predictor, given like weights.
    sigma : float, optional
        Known residual standard deviation. With ``weights="1/D", sigma=1`` the sampling variances D are known.
    na_action : {"drop", "raise"}
        What to do about rows with a missing value in a variable that is used. The number dropped is reported.
    start : array_like (m,), optional
        Starting value of theta, in the order of ``FittedModel.theta``. Standard deviations beyond a thousand times the
        residual one are drawn in to that.
    control : Control, optional
        When the optimiser stops.
    contrasts : dict, optional
        Coding of factors by name, for example ``{"f": "sum"}``.
    allow_fixed : bool
        Whether a formula without a random term is taken: its least-squares fit, with the likelihood of the same kind,
        is the null model that `lrt` compares a mixed model with.
    **unknown
        Refused by name.

    Returns
    -------
    FittedModel
        Or `FixedModel` where the formula has no random term and ``allow_fixed`` is true.

    Raises
    ------
    LMMError
        With the thing at fault, what was expected and the way out: `FormulaError` for the formula, `DataError` for
        the data, `ModelError` for a model that cannot be estimated, `ArgumentError` for the other arguments.

    Warns
    -----
    SingularFitWarning
        When an estimated covariance matrix of random effects is singular.
    ConvergenceWarning
        When the optimiser stopped before it could certify the optimum.
    LMMWarning
        When no data of this design determine all variances and covariances of a term of correlated random effects,
        when a power in the formula changes nothing (``x^2`` for ``I(x^2)``), and when a predictor of text holds numbers
        in all but a few cells.

    References
    ----------
    Bates, D., Maechler, M., Bolker, B. and Walker, S. (2015). Fitting linear mixed-effects models using lme4. Journal
    of Statistical Software 67(1).

    Examples
    --------
    >>> import lmm
    >>> sleepstudy = lmm.datasets.load("sleepstudy")
    >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", sleepstudy)
    >>> fit.params
    Intercept    251.405105
    Days          10.467286
    dtype: float64
    >>> round(fit.deviance, 4)
    1743.6283
    """
    _check_arguments(control, unknown)
    restricted = true_or_false("reml", reml, "restricted maximum likelihood", "maximum likelihood")
    may_be_fixed = true_or_false("allow_fixed", allow_fixed)
    known = known_sigma(sigma)
    design = build_design(
        parse_formula(formula, allow_fixed=may_be_fixed),
        data,
        weights=weights,
        offset=offset,
        na_action=na_action,
        sigma_fixed=known is not None,
        contrasts=contrasts,
    )
    if not design.terms:
        if start is not None:
            raise ArgumentError("start is for theta, which a model without random terms does not have; leave it out")
        return fit_fixed_design(design, reml=restricted, sigma=known)
    return fit_design(design, reml=restricted, sigma=known, start=start, control=control or Control())


def refit(model: FittedModel, y: ArrayLike) -> FittedModel:
    """
    Fit the same design to a new response.

    Parameters
    ----------
    model : FittedModel
    y : array_like (nobs,)
        One number for each row used by the model, on the scale of its response; see `FittedModel.refit`.

    Raises
    ------
    DataError
        When y holds something else than numbers, has another length, is not finite, or has the index of other rows.
    """
    design = model.design.with_response(responses(y, model.design.index))
    return fit_design(design, reml=model.reml, sigma=model.known_sigma, start=model.theta, control=model.control)


def fit_design(
    design: Design, *, reml: bool, sigma: float | None, start: ArrayLike | None, control: Control
) -> FittedModel:
    """Fit a model whose arrays are at hand; theta starts at ``start``, on the user's scale."""
    factors, deviance, basis = standardized_deviance(design, reml=reml, sigma=sigma)
    if reml:
        check_what_fixed_effects_leave(factors, deviance.cross)
    theta = moment_start(deviance) if start is None else _standardized(factors, basis, start)
    try:
        optimum = find_optimum(deviance, theta, control, shift=basis.criterion_shift(deviance.nu, reml=reml))
    except ModelError as error:  # no theta of the search leaves a residual
        raise _exact_fit(design) from error
    if not optimum.converged and optimum.evaluation.rho2 <= SMALLEST_RHO2 * deviance.cross.A_BB[-1, -1]:
        raise _exact_fit(design)
    model = FittedModel(design, factors, deviance, basis, optimum, control, sigma)
    _warn(model, optimum)
    return model


def _exact_fit(design: Design) -> ModelError:
    """Error for a response without a residual, with what may be the reason."""
    effects = ", ".join(f"{len(term.levels) * len(term.effects)} of {checks.shown_term(term)}" for term in design.terms)
    predictors = ", ".join(design.fixed_encoding.term_names[:MOST_TERMS_SHOWN])
    made = (
        f"that `{design.response_name}` is not made from columns of the formula ({predictors}), " if predictors else ""
    )
    return ModelError(
        f"{NO_RESIDUAL} Check {made}that there are no more random effects than the rows can tell apart ({effects}, for "
        f"{len(design.y)} rows; leave some out), and that the values of `{design.response_name}` are not rounded or "
        "repeated so that they are all equal within the levels of a group (keep one row of each level)."
    )


def standardized_deviance(
    design: Design, *, reml: bool, sigma: float | None
) -> tuple[tuple[GroupingFactor, ...], ProfiledDeviance, Basis]:
    """Grouping factors of a design, its deviance in the standardised basis, and the way back to the user's scale."""
    factors = grouping_factors(design.terms, design.all_names)
    blocks, Q, response, basis = standardize(
        [factor.block for factor in factors],
        design.X,
        design.R,
        design.y_less_offset,
        design.weights,
        name=design.response_name,
    )
    deviance = ProfiledDeviance(
        cross_products(blocks, Q, response),
        [factor.covariance for factor in factors],
        reml=reml,
        sigma=None if sigma is None else sigma / basis.scale,
    )
    return factors, deviance, basis


def _standardized(factors: tuple[GroupingFactor, ...], basis: Basis, start: ArrayLike) -> FloatArray:
    """A user's theta in the standardised basis."""
    m = sum(factor.covariance.n_theta for factor in factors)
    theta = as_numbers(start)
    if theta is None or theta.shape != (m,) or not np.isfinite(theta).all():
        raise ArgumentError(
            f"start must hold {m} finite numbers, one for each parameter in theta of this model; got {start!r}"
        )
    parts = []
    for factor, A in zip(factors, basis.bases, strict=True):
        own, theta = theta[: factor.covariance.n_theta], theta[factor.covariance.n_theta :]
        A_inverse: FloatArray = lapack.dtrtri(A)[0]
        parts.append(factor.covariance.from_root(A_inverse @ factor.covariance.factor(own)))
    standardized = np.concatenate(parts)
    # Further out, rounding errors drown the residual; a starting value need not be there.
    return standardized * min(1.0, FARTHEST_START / max(float(np.abs(standardized).max()), 1.0))


def _check_arguments(control: object, unknown: dict[str, object]) -> None:
    """Refuse what `fit` does not know, by name, and a control that is none."""
    known = ("reml", "weights", "offset", "sigma", "na_action", "start", "control", "contrasts", "allow_fixed")
    if unknown:
        name = next(iter(unknown))
        near = near_matches(name.lower(), known)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ArgumentError(f"fit does not know the argument {name!r}: {hint}It takes {', '.join(known)}")
    if control is not None and not isinstance(control, Control):
        raise ArgumentError(
            f"control must be an lmm.Control, for example lmm.Control(tolerance=1e-10); got {control!r}"
        )


def _warn(model: FittedModel, optimum: Optimum) -> None:
    """Say what a user must know before using the fit."""
    if not optimum.converged:
        warn(
            f"the optimiser stopped after {optimum.effort} at a deviance of {model.deviance:.6f}, "
            f"which one more step promises to lower by {max(optimum.decrement, optimum.escape):.2g}. "
            "Start from the point reached, lmm.fit(..., start=fit.theta), or allow more evaluations, "
            "control=lmm.Control(max_evaluations=1000); if it stops again, simplify the random effects",
            ConvergenceWarning,
        )
    if model.is_singular:
        warn(" ".join(model.singular_terms), SingularFitWarning)
    for term in undetermined_terms(model.factors, model.deviance_function.cross):
        warn(
            f"no data of this design determine all variances and covariances of {term}: other values give the same "
            "likelihood, and those shown are one choice of many, as is the correlation. Fixed effects and fitted "
            "values do not depend on it; lmm.estimability(fit) names what is determined. Where an effect does not "
            "vary within the levels, leave it out, or its covariances with a double bar (||)",
            LMMWarning,
        )
