"""Tests of the ratio of a variance to the residual variance: the optimum ones of balanced models, likelihood ratios."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from lmm.arguments import confidence_level
from lmm.crossproducts import Block
from lmm.errors import ArgumentError, ModelError
from lmm.fixed import least_squares
from lmm.inference.mixture import ChiBarSquare
from lmm.inference.ratio import RatioLikelihood
from lmm.inference.result import TestResult
from lmm.inference.strata import Stratum, strata
from lmm.inference.tested import EffectsTested, one_variance
from lmm.models import mixed_model

if TYPE_CHECKING:
    from lmm.model import FittedModel

# What a variance is compared with where no other random effect is in the way.
RESIDUAL_VARIANCE = "the residual variance"
# Difference of two multipliers, relative, that is rounding error.
SAME = 1e-6


@dataclass(frozen=True, repr=False)
class RatioTest(TestResult):
    """
    Test of the ratio of two variances, with an interval for the ratio.

    Attributes
    ----------
    estimate : float
        The ratio as the test sees it; 0 where it would be negative.
    lower, upper : float
        Ratios that the two-sided test at this level does not reject.
    level : float
    denominator : str
        What the variance is divided by: the residual variance, or a sum of variances.

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"))
    >>> test = lmm.optimal_test(fit)
    >>> round(test.estimate, 4), round(test.lower, 4), round(test.upper, 4)
    (0.7197, 0.0915, 5.5736)
    """

    estimate: float = np.nan
    lower: float = np.nan
    upper: float = np.nan
    level: float = 0.95
    denominator: str = ""

    def __str__(self) -> str:
        if not np.isfinite(self.statistic):
            return super().__str__()
        interval = f"{100 * self.level:g} % interval {self.lower:.5g} to {self.upper:.5g}"
        return f"{super().__str__()}\nRatio to {self.denominator}: {self.estimate:.5g}, {interval}"


def optimal_test(
    fit: FittedModel, group: str | None = None, ratio: float = 0.0, *, method: str = "f", level: float = 0.95
) -> RatioTest:
    """
    Test that the ratio of a variance to the residual variance has a given value, and an interval for the ratio.

    In a balanced model the rows split into strata whose mean squares are independent multiples of chi-squares, the
    analysis of variance. Where two strata have expectations E and E + lambda sigma_g^2, the test of the ratio
    rho = sigma_g^2 / E by

        F = (mean square of the second / mean square of the first) / (1 + lambda rho)

    is uniformly most powerful among invariant tests, and unbiased (Mathew & Sinha 1988); E is sigma^2 where the first
    stratum is the residual, otherwise the sum that a note gives. It is defined also where `exact_f_test` is not, as for
    a factor with another one nested in it. Method "lrt" is the likelihood-ratio test of rho = sigma_g^2 / sigma^2
    (Hartley & Rao 1967), for any model: the deviance with the ratio held less that of the fit, by the criterion of the
    fit, compared with chi-square with 1 degree of freedom, or with 0.5 chi2(0) + 0.5 chi2(1) at a ratio of 0.

    Tests of 0 are one-sided, since the ratio cannot be less; those of other values, and the interval, are two-sided.

    Parameters
    ----------
    fit : FittedModel
    group : str, optional
        A grouping factor with one random effect (``"Subject"``) or a term of one (``"(0 + Days | Subject)"``). May be
        left out where the model has one grouping factor.
    ratio : float
        Value under the null hypothesis, 0 or more.
    method : {"f", "lrt"}
        Mean squares, or likelihood ratio.
    level : float
        Confidence level of the interval.

    Returns
    -------
    RatioTest
        A `TestResult` with estimate, lower and upper. Where the model is not balanced, or no two mean squares differ by
        the variance alone, the F test does not apply: its statistic is NaN and a note says why.

    Raises
    ------
    ModelError
        When the effects are several, or correlated with others; for method "f" also when sigma is known.
    ArgumentError
        For an argument of the wrong kind.

    References
    ----------
    Mathew, T. and Sinha, B. K. (1988). Optimum tests for fixed effects and variance components in balanced models.
    Journal of the American Statistical Association 83, 133-135.

    Hartley, H. O. and Rao, J. N. K. (1967). Maximum-likelihood estimation for the mixed analysis of variance model.
    Biometrika 54, 93-108.

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("strength ~ 1 + (1 | batch/cask)", lmm.datasets.load("pastes"))
    >>> print(lmm.optimal_test(fit, "batch"))
    Optimum F test of a balanced model
    Null hypothesis: The variance of batch is zero.
    F = 1.5668, null distribution F(9, 20), p-value 0.1926
    Mean squares with expectations sigma^2 + 2 var(batch:cask) + 6 var(batch) and sigma^2 + 2 var(batch:cask).
    Ratio to sigma^2 + 2 var(batch:cask): 0.094459, 95 % interval 0 to 0.79086
    """
    fit = mixed_model(fit, "optimal_test")
    tested = one_variance(fit, group)
    value = _ratio(ratio)
    confidence_level(level)
    if not isinstance(method, str) or method not in {"f", "lrt"}:
        raise ArgumentError(f'method must be "f" (mean squares) or "lrt" (likelihood ratio); got {method!r}')
    return _f_test(fit, tested, value, level) if method == "f" else _likelihood_ratio(fit, tested, value, level)


def _ratio(given: object) -> float:
    value = (
        given if isinstance(given, (int, float, np.integer, np.floating)) and not isinstance(given, bool) else np.nan
    )
    if not 0.0 <= value < np.inf:
        raise ArgumentError(f"ratio must be a number, 0 or more; got {given!r}")
    return float(value)


def _null(tested: EffectsTested, ratio: float, denominator: str) -> str:
    if ratio == 0.0:
        return tested.null
    return f"The variance of {tested.label} is {ratio:g} times {denominator}."


def _likelihood_ratio(fit: FittedModel, tested: EffectsTested, ratio: float, level: float) -> RatioTest:
    likelihood = RatioLikelihood(fit, tested)
    statistic = likelihood.excess(ratio)
    distribution = ChiBarSquare(*((np.array([0.5, 0.5]), 0) if ratio == 0.0 else (np.ones(1), 1)))
    lower, upper = likelihood.limits(level)
    return RatioTest(
        f"Likelihood-ratio test of a variance ratio ({'REML' if fit.reml else 'maximum likelihood'})",
        _null(tested, ratio, RESIDUAL_VARIANCE),
        statistic,
        (1.0,),
        distribution.sf(statistic),
        str(distribution),
        "LR",
        (),
        likelihood.estimate,
        lower,
        upper,
        level,
        RESIDUAL_VARIANCE,
    )


def _f_test(fit: FittedModel, tested: EffectsTested, ratio: float, level: float) -> RatioTest:
    name = "Optimum F test of a balanced model"
    if fit.known_sigma is not None:
        raise ModelError(
            "the optimum F test estimates the residual variance, which is known in this model: use lmm.exact_f_test, "
            'or method="lrt"'
        )
    labels, found, g = _strata(fit, tested)
    pairs = [] if found is None else _pairs(found, g)
    if len(pairs) != 1:
        why = (
            "The model is not balanced, so no test is optimum"
            if found is None or pairs
            else f"No two mean squares have expectations that differ by the variance of {tested.label} alone"
        )
        note = f"{why}. Use lmm.exact_f_test, lmm.exact_rlrt, or method='lrt'."
        return RatioTest(name, tested.null, np.nan, (), np.nan, "", "F", (note,))
    above, below = pairs[0]
    d_1, d_2, multiplier = above.df, below.df, float(above.multipliers[g])
    expectation = _expectation(below, labels)
    F = above.mean_square / below.mean_square
    statistic = F / (1.0 + multiplier * ratio)
    tail = float(special.fdtrc(d_1, d_2, statistic))
    tails = (1.0 - level) / 2.0
    upper_f, lower_f = special.fdtri(d_1, d_2, 1.0 - tails), special.fdtri(d_1, d_2, tails)
    denominator = expectation if below.multipliers.any() else RESIDUAL_VARIANCE
    return RatioTest(
        name,
        _null(tested, ratio, denominator),
        statistic,
        (float(d_1), float(d_2)),
        tail if ratio == 0.0 else 2.0 * min(tail, 1.0 - tail),
        f"F({d_1}, {d_2})",
        "F",
        (f"Mean squares with expectations {_expectation(above, labels)} and {expectation}.",),
        max(0.0, (F - 1.0) / multiplier),
        max(0.0, float(F / upper_f - 1.0) / multiplier),
        max(0.0, float(F / lower_f - 1.0) / multiplier),
        level,
        denominator,
    )


def _strata(fit: FittedModel, tested: EffectsTested) -> tuple[list[str], list[Stratum] | None, int]:
    """Names of the random effects, the strata of the model, and the number of the tested effect."""
    design = fit.design
    root = design.root_weights
    labels: list[str] = []
    blocks: list[Block] = []
    g = 0
    for t, factor in enumerate(fit.factors):
        if any(len(effects) > 1 for effects in factor.term_effects):
            raise ModelError(
                f"the random effects of {factor.group!r} are correlated, so the model has no analysis of variance with "
                "one variance per effect: use method='lrt' on a model with independent effects (||), or lmm.lrt"
            )
        for a, name in enumerate(factor.effects):
            if t == tested.factor and tested.effects[a]:
                g = len(blocks)
            labels.append(factor.group if len(factor.effects) == 1 else f"{name} by {factor.group}")
            blocks.append(Block(factor.codes, factor.n_levels, (root * factor.columns[:, a])[:, None]))
    Q, residual, _ = least_squares(design)
    return labels, strata(blocks, Q, residual), g


def _pairs(found: Sequence[Stratum], g: int) -> list[tuple[Stratum, Stratum]]:
    """
    Strata whose expectations differ by the variance of effect g alone, the one with it first.

    One pair where the levels of the effect are alike; several where they have different numbers of rows.
    """
    others = np.arange(len(found[0].multipliers)) != g
    return [
        (above, below)
        for above in found
        for below in found
        if above.multipliers[g] > 0.0
        and below.multipliers[g] == 0.0
        and np.allclose(above.multipliers[others], below.multipliers[others], rtol=SAME, atol=0.0)
    ]


def _expectation(stratum: Stratum, labels: Sequence[str]) -> str:
    """Expected mean square in words."""
    parts = [f"{m:.6g} var({label})" for m, label in zip(stratum.multipliers, labels, strict=True) if m]
    return " + ".join(["sigma^2", *parts])
