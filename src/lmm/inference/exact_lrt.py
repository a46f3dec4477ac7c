"""Likelihood-ratio tests of one variance with their finite-sample null distribution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from lmm.arguments import Seed, at_least, random_generator
from lmm.errors import ArgumentError, ModelError
from lmm.fixed import least_squares
from lmm.inference.distributions import simulated_p
from lmm.inference.reduced import fit_quietly, gain, without_fixed, without_random
from lmm.inference.result import TestResult
from lmm.inference.spectrum import Spectrum, simulate_statistics, spectrum
from lmm.inference.tested import EffectsTested, one_variance
from lmm.linalg import FloatArray, sum_by
from lmm.models import mixed_model

if TYPE_CHECKING:
    from lmm.model import FittedModel


@dataclass(frozen=True, repr=False)
class SimulatedTest(TestResult):
    """
    Result of a test whose null distribution was simulated.

    Attributes
    ----------
    draws : ndarray (n_sim,)
        The statistic under the null hypothesis.

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"))
    >>> test = lmm.exact_rlrt(fit, n_sim=1000, rng=1)
    >>> test.draws.shape
    (1000,)
    """

    draws: FloatArray = field(default_factory=lambda: np.zeros(0), compare=False)

    @property
    def p_error(self) -> float:
        """Standard error of the p-value from the finite number of draws."""
        return simulated_p(self.statistic, self.draws)[1]


def exact_rlrt(fit: FittedModel, group: str | None = None, n_sim: int = 10_000, rng: Seed = None) -> SimulatedTest:
    """
    Restricted likelihood-ratio test of one variance with its finite-sample null distribution.

    The statistic is the difference of the REML criteria without and with the random effect. Its distribution under the
    null hypothesis, which is far from chi-square in small samples, is drawn by its spectral representation: eigenvalues
    once, no refits, a million draws in seconds. With one random effect in the model it is exact. With several, the
    distribution is that of the model with the tested effect alone, an approximation that takes the others as known.

    Parameters
    ----------
    fit : FittedModel
        An ML fit is fitted again by REML.
    group : str, optional
        A grouping factor with one random effect (``"Subject"``) or a term of one (``"(0 + Days | Subject)"``). May be
        left out where the model has one grouping factor.
    n_sim : int
        Number of draws.
    rng : int or Generator, optional
        Seed; the same seed gives the same draws.

    Returns
    -------
    SimulatedTest
        A `TestResult` with the draws. The p-value is (1 + number of draws that reach the statistic) / (1 + n_sim).

    Raises
    ------
    ModelError
        When the variances tested are several, or correlated with others.
    ArgumentError
        When ``group`` names no random effects of the model, or n_sim is no positive whole number.

    References
    ----------
    Crainiceanu, C. M. and Ruppert, D. (2004). Likelihood ratio tests in linear mixed models with one variance
    component. Journal of the Royal Statistical Society B 66, 165-185.

    Greven, S., Crainiceanu, C. M., Kuechenhoff, H. and Peters, A. (2008). Restricted likelihood ratio testing for zero
    variance components in linear mixed models. Journal of Computational and Graphical Statistics 17, 870-891.

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("Weight ~ Line + Age + (1 | Sire)", lmm.datasets.load("lamb"))
    >>> print(lmm.exact_rlrt(fit, rng=1))
    Exact restricted likelihood-ratio test
    Null hypothesis: The variance of Sire is zero.
    RLR = 0.54895, null distribution finite-sample, 10000 draws, p-value 0.2...
    Standard error of the p-value from the draws: 0.004.
    """
    fit = mixed_model(fit, "exact_rlrt")
    tested = one_variance(fit, group)
    count, generator = at_least(1, "n_sim", n_sim, of="draws"), random_generator(rng)
    full = fit if fit.reml else fit_quietly(fit, fit.design, reml=True)
    null = fit_quietly(fit, without_random(fit, tested), reml=True)
    notes = [] if fit.reml else ["The model was fitted by ML; both models were fitted by REML for the test."]
    if null.factors:
        notes.append("The null distribution takes the other random effects as known (Greven et al. 2008).")
    statistic = gain(null.deviance, full.deviance)
    return _result(
        "restricted", "RLR", tested.null, statistic, _spectrum(fit, tested, reml=True), count, generator, notes
    )


def exact_lrt(
    fit: FittedModel,
    group: str | None = None,
    n_sim: int = 10_000,
    rng: Seed = None,
    *,
    drop: str | Sequence[str] = (),
) -> SimulatedTest:
    """
    Likelihood-ratio test of the only variance, and of fixed terms if wanted, with its finite-sample null distribution.

    As `exact_rlrt`, for the ordinary likelihood of a model with one random effect. The null hypothesis may say besides
    that some fixed effects are zero, which the restricted likelihood cannot test.

    Parameters
    ----------
    fit : FittedModel
        A REML fit is fitted again by ML.
    group : str, optional
        The grouping factor, which may be left out.
    n_sim : int
        Number of draws.
    rng : int or Generator, optional
        Seed; the same seed gives the same draws.
    drop : str or sequence of str
        Fixed terms that the null hypothesis sets to zero as well.

    Returns
    -------
    SimulatedTest
        A `TestResult` with the draws. The p-value is (1 + number of draws that reach the statistic) / (1 + n_sim).

    Raises
    ------
    ModelError
        When the model has more than one variance of random effects.
    ArgumentError
        When ``group`` or ``drop`` names what the model does not have, or n_sim is no positive whole number.

    References
    ----------
    Crainiceanu, C. M. and Ruppert, D. (2004). Likelihood ratio tests in linear mixed models with one variance
    component. Journal of the Royal Statistical Society B 66, 165-185.

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"), reml=False)
    >>> lmm.exact_lrt(fit, rng=1).statistic
    5.4028
    """
    fit = mixed_model(fit, "exact_lrt")
    tested = one_variance(fit, group)
    if sum(len(factor.effects) for factor in fit.factors) > 1:
        raise ModelError(
            "exact_lrt is for models with one variance of random effects, this one has more. Use exact_rlrt, which "
            "takes the others as known, or lmm.lrt with test='bootstrap'"
        )
    names = _names(drop)
    count, generator = at_least(1, "n_sim", n_sim, of="draws"), random_generator(rng)
    full = fit_quietly(fit, fit.design, reml=False) if fit.reml else fit
    reduced = without_fixed(without_random(fit, tested), names)
    null = fit_quietly(fit, reduced, reml=False)
    notes = ["The model was fitted by REML; both models were fitted by ML for the test."] if fit.reml else []
    sentence = tested.null if not names else f"{tested.null[:-1]}, and so are the effects of {', '.join(names)}."
    eigenvalues = replace(_spectrum(fit, tested, reml=False), n_fixed=fit.design.X.shape[1] - reduced.X.shape[1])
    statistic = gain(null.deviance, full.deviance)
    return _result("", "LR", sentence, statistic, eigenvalues, count, generator, notes)


def _names(drop: object) -> tuple[str, ...]:
    names = (drop,) if isinstance(drop, str) else drop
    if not isinstance(names, (tuple, list)) or not all(isinstance(name, str) for name in names):
        raise ArgumentError(f"drop must be the name of a fixed term, or several in a list; got {drop!r}")
    return tuple(names)


def _spectrum(fit: FittedModel, tested: EffectsTested, *, reml: bool) -> Spectrum:
    """Spectrum of the tested effect, alone with the fixed effects of the model."""
    design, factor = fit.design, fit.factors[tested.factor]
    z = design.root_weights * factor.columns[:, tested.effects][:, 0]
    Q, _, _ = least_squares(design)
    lengths = sum_by(factor.codes, z * z, factor.n_levels)
    W = np.column_stack([np.zeros((factor.n_levels, 0)), *(sum_by(factor.codes, z * q, factor.n_levels) for q in Q.T)])
    return spectrum(lengths, W, fit.nobs, reml=reml, sigma_known=fit.known_sigma is not None)


def _result(
    kind: str,
    symbol: str,
    null: str,
    statistic: float,
    eigenvalues: Spectrum,
    n_sim: int,
    rng: np.random.Generator,
    notes: list[str],
) -> SimulatedTest:
    """Draw the null distribution and compare."""
    draws = simulate_statistics(eigenvalues, n_sim, rng)
    p_value, error = simulated_p(statistic, draws)
    return SimulatedTest(
        f"Exact {kind} likelihood-ratio test".replace("  ", " "),
        null,
        statistic,
        (),
        p_value,
        f"finite-sample, {n_sim} draws",
        symbol,
        (*notes, f"Standard error of the p-value from the draws: {error:.1g}."),
        draws,
    )
