"""
The variance parameters that users see, their names and their values: entries of the covariance matrices.

A grouping factor with one effect has one parameter, named like the group (``"Sire"``), or in full
(``"year.Intercept"``) where a coefficient has this name. With several effects there are ``"group.effect"`` for a
variance and ``"group.effect.effect"`` for a covariance, of effects of one term: effects of different terms are
independent. The last is ``"Residual"``, absent where the residual standard deviation is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lmm.factors import GroupingFactor
from lmm.linalg import FloatArray, correlation

RESIDUAL = "Residual"


@dataclass(frozen=True)
class VarianceParameter:
    """
    One variance or covariance.

    Attributes
    ----------
    name : str
    factor : int or None
        Number of the grouping factor in the order of the formula; None for the residual variance.
    effects : tuple of (int, int)
        Positions a <= b among the effects of the factor; equal for a variance.
    labels : tuple of str
        Names of the group and of the effects, one for a variance.
    """

    name: str
    factor: int | None
    effects: tuple[int, int]
    labels: tuple[str, ...]

    @property
    def is_variance(self) -> bool:
        """Whether it is a variance, not a covariance."""
        return self.effects[0] == self.effects[1]

    def value(self, covariances: Sequence[FloatArray], sigma: float) -> float:
        """Give its value for covariance matrices (k_t, k_t), in the order of the factors, and residual SD sigma."""
        return sigma**2 if self.factor is None else float(covariances[self.factor][self.effects])

    def sdcor(self, covariances: Sequence[FloatArray], sigma: float) -> float:
        """Give the standard deviation of a variance, the correlation of a covariance (NaN where a variance is 0)."""
        if self.factor is None:
            return sigma
        cov = covariances[self.factor]
        return float(np.sqrt(self.value(covariances, sigma))) if self.is_variance else correlation(cov, *self.effects)

    def direction(self, k: int) -> FloatArray:
        """Derivative of the covariance matrix, shape (k, k), of its factor by the parameter."""
        direction = np.zeros((k, k))
        direction[self.effects] = direction[self.effects[::-1]] = 1.0
        return direction


def variance_parameters(
    factors: Sequence[GroupingFactor], *, sigma_known: bool = False
) -> tuple[VarianceParameter, ...]:
    """
    Variance parameters, term by term: the variances of a term, then its covariances, the residual variance last.

    Parameters
    ----------
    factors : sequence of GroupingFactor
        In the order of the formula.
    sigma_known : bool
        Whether the residual standard deviation is known, so no parameter.
    """
    parameters: list[VarianceParameter] = []
    for t, factor in enumerate(factors):
        for effects in factor.term_effects:
            pairs = [(a, a) for a in effects] + [(a, b) for a in effects for b in effects if a < b]
            parameters.extend(_parameter(t, factor, pair) for pair in pairs)
    if not sigma_known:
        parameters.append(VarianceParameter(RESIDUAL, None, (0, 0), (RESIDUAL,)))
    return tuple(parameters)


def _parameter(t: int, factor: GroupingFactor, pair: tuple[int, int]) -> VarianceParameter:
    """One variance or covariance of a grouping factor."""
    named = pair[:1] if pair[0] == pair[1] else pair
    labels = (factor.group, *(factor.effects[a] for a in named))
    name = factor.group if len(factor.effects) == 1 and not factor.named_in_full else ".".join(labels)
    return VarianceParameter(name, t, pair, labels)
