"""
The share of a grouping factor in the variance of a row, its intraclass correlation, as the target of a profile.

With Sigma relative to the residual variance, W_t the mean of z z' over the rows for factor t, and r the mean of the
inverse weights, the share of a factor g with one random effect is

    v = W_g Sigma_g / (sum over t of <W_t, Sigma_t> + r),

whatever sigma is. To hold it at v is to tie Sigma_g to the others by a linear equation,

    Sigma_g = c (sum over t other than g of <W_t, Sigma_t> + r) / W_g,    c = v / (1 - v),

so that derivatives by the other Sigma_t gain df/dSigma_g c W_t / W_g, and the criterion needs nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from lmm.covariance import Covariance
from lmm.deviance import Evaluation, ProfiledDeviance
from lmm.factors import GroupingFactor
from lmm.inference.profile.pinned import Pinned
from lmm.inference.profile.targets import Point, Reference, Target, in_formula_order
from lmm.inference.row_variance import mean_residual, mean_root
from lmm.linalg import FloatArray


def share_name(group: str) -> str:
    """Name of the share of a grouping factor."""
    return f"icc({group})"


@dataclass(frozen=True)
class RowVariance:
    """
    What the variance of a row is made of.

    Attributes
    ----------
    random : tuple of ndarray (k_t, k_t)
        W_t of each factor in the standardised basis, in the order of the formula.
    residual : float
        Mean of the inverse weights, r.
    """

    random: tuple[FloatArray, ...]
    residual: float

    @classmethod
    def of(
        cls, factors: Sequence[GroupingFactor], weights: FloatArray | None, bases: Sequence[FloatArray]
    ) -> RowVariance:
        """Average over the rows of a design with these factors, weights (n,) and changes of basis (k_t, k_t)."""
        roots = [mean_root(factor) @ A for factor, A in zip(factors, bases, strict=True)]
        return cls(tuple(root.T @ root for root in roots), mean_residual(weights))

    def without(self, number: int, factors: Sequence[FloatArray]) -> float:
        """Mean variance of a row without one factor, relative to sigma^2, for relative factors T of all."""
        parts = [np.sum(W * (T @ T.T)) for W, T in zip(self.random, factors, strict=True)]
        return float(self.residual + sum(parts) - parts[number])

    def ratio(self, number: int, factors: Sequence[FloatArray]) -> float:
        """Variance of one factor by that of all else, c."""
        own = np.sum(self.random[number] * (factors[number] @ factors[number].T))
        return float(own / self.without(number, factors))


class SharedDeviance(ProfiledDeviance):
    """
    Deviance with the variance of one factor tied to those of the others.

    Parameters
    ----------
    deviance : ProfiledDeviance
        Whose cross-products and criterion are used.
    number : int
        The factor, in the order of the formula.
    ratio : float
        Its variance by that of all else, c.
    rows : RowVariance
    """

    def __init__(self, deviance: ProfiledDeviance, number: int, ratio: float, rows: RowVariance) -> None:
        super().__init__(
            deviance.cross,
            _without_parameters(deviance.covariances, number),
            reml=deviance.reml,
            sigma=deviance.sigma,
            reduction=deviance.reduction,
        )
        self._place = deviance.cross.order.index(number)
        self._W = [rows.random[t] for t in deviance.cross.order]
        self._rise = ratio / float(rows.random[number][0, 0])
        self._rows = rows

    def factors_at(self, theta: FloatArray) -> list[FloatArray]:
        """Relative factors T of the blocks, in the order of the cross-products."""
        factors = super().factors_at(theta)
        parts = [np.sum(W * (T @ T.T)) for W, T in zip(self._W, factors, strict=True)]
        factors[self._place] = np.sqrt([[self._rise * (self._rows.residual + sum(parts))]])
        return factors

    def evaluate(self, theta: FloatArray) -> Evaluation:
        """Value and gradient at theta, shape (m,), and the derivatives M by the Sigma that are not tied."""
        at = super().evaluate(theta)
        M = list(at.M)
        pull = self._rise * float(M[self._place][0, 0])
        for place, W in enumerate(self._W):
            if place != self._place:
                M[place] = M[place] + pull * W
        return replace(at, M=M, gradient=self.gradient_from(M, at.factors))

    def average_information(self, at: Evaluation, directions: Sequence[FloatArray]) -> FloatArray:
        """Average information along directions of the Sigma that are not tied, with what they do to the one that is."""
        every = list(directions)
        every[self._place] = np.ones((1, 1, 1))
        information = super().average_information(at, every)
        rises = [self._rise * np.einsum("mab,ab->m", d, W) for d, W in zip(directions, self._W, strict=True)]
        before = sum(len(d) for d in directions[: self._place])
        J = np.insert(np.eye(len(information) - 1), before, np.concatenate(rises), axis=0)
        return np.asarray(J.T @ information @ J)


class Share(Target):
    """
    The intraclass correlation of a factor with one random effect.

    With m rows a level, t = log(1 + m c) / 2: in a balanced one-way layout half the log of the expected mean square
    between levels by that within.

    Parameters
    ----------
    name : str
    reference : Reference
    number : int
        The factor, in the order of the formula.
    rows : RowVariance
    """

    kind = "share"
    range = (0.0, 1.0)

    def __init__(self, name: str, reference: Reference, number: int, rows: RowVariance) -> None:
        self.name = name
        self.reference = reference
        self.number = number
        self._rows = rows
        cross = reference.deviance.cross
        self._n_levels = cross.sizes[cross.order.index(number)][1]
        self._rows_per_level = cross.n / self._n_levels

    @property
    def lower(self) -> float:
        """Coordinate of a share of zero."""
        return 0.0

    @cached_property
    def estimate(self) -> float:
        """Coordinate of the share at the fit."""
        return self._coordinate_of(self._rows.ratio(self.number, self.reference.factors))

    @property
    def first_step(self) -> float:
        """Standard error of t in a balanced one-way layout with as many levels and many rows."""
        return float(1.0 / np.sqrt(2.0 * self._n_levels))

    def _ratio(self, t: float) -> float:
        """Variance of the factor by that of all else, c."""
        return float(np.expm1(2.0 * t) / self._rows_per_level)

    def _coordinate_of(self, ratio: float) -> float:
        return float(0.5 * np.log1p(self._rows_per_level * ratio))

    def value(self, t: float) -> float:
        """Share."""
        ratio = self._ratio(t)
        return ratio / (1.0 + ratio)

    def coordinate(self, value: float) -> float:
        """Coordinate of a share; infinite for 1."""
        return self._coordinate_of(value / (1.0 - value)) if value < 1.0 else np.inf

    def of(self, point: Point) -> float:
        """Share at a point of any profile."""
        ratio = self._rows.ratio(self.number, point.factors)
        return ratio / (1.0 + ratio)

    def criterion(self, t: float) -> ProfiledDeviance:
        """Deviance with the share held."""
        return SharedDeviance(self.reference.deviance, self.number, self._ratio(t), self._rows)

    def slope(self, t: float, deviance: ProfiledDeviance, at: Evaluation) -> float:
        """Derivative by t, through the variance that is tied."""
        others = self._rows.without(self.number, in_formula_order(deviance, at))
        by_ratio = others / float(self._rows.random[self.number][0, 0])
        by_t = 2.0 * np.exp(2.0 * t) / self._rows_per_level
        return float(at.M[deviance.cross.order.index(self.number)][0, 0] * by_ratio * by_t)

    def start(self, t: float, near: Point) -> FloatArray:  # noqa: ARG002 - the share alone changes
        """The other point's parameters of the factors that are not tied."""
        covariances = _without_parameters(self.reference.deviance.covariances, self.number)
        return np.concatenate([cov.from_root(T) for cov, T in zip(covariances, near.factors, strict=True)])

    def solve(
        self, t: float, near: Point, start: FloatArray | None = None, *, thorough: bool = False, sharp: bool = False
    ) -> Point:
        """Minimise the criterion with the share held at t; at zero the fit is one without the effect."""
        return super().solve(t, near, start, thorough=thorough or t == self.lower, sharp=sharp)


def _without_parameters(covariances: Sequence[Covariance], number: int) -> list[Covariance]:
    """The structures, that of one factor with one effect given from elsewhere."""
    given = Pinned(np.eye(1), np.ones((1, 1)), tau=np.zeros(1))
    return [given if t == number else covariance for t, covariance in enumerate(covariances)]
