"""
Shares of the variance: coefficients of determination and intraclass correlations of mixed models.

With v_f the variance of X beta over the rows, v_t the mean over the rows of z' Psi_t z, the variance that grouping
factor t adds to a row (Johnson 2014), and v_e the mean residual variance,

    R2 marginal = v_f / v,    R2 conditional = (v_f + v_r) / v,    v_r = sum_t v_t,    v = v_f + v_r + v_e,
    ICC adjusted = v_r / (v_r + v_e),    ICC unadjusted = v_r / v.

References
----------
Nakagawa, S. and Schielzeth, H. (2013). A general and simple method for obtaining R2 from generalized linear
mixed-effects models. Methods in Ecology and Evolution 4, 133-142.
Johnson, P. C. D. (2014). Extension of Nakagawa & Schielzeth's R2GLMM to random slopes models. Methods in Ecology and
Evolution 5, 944-946.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lmm.arguments import Seed, confidence_level, number_of_replicates, random_generator
from lmm.display import Report, Table
from lmm.inference.row_variance import mean_residual, mean_root
from lmm.linalg import FloatArray
from lmm.models import mixed_model
from lmm.workers import Workers, checked_workers

if TYPE_CHECKING:
    from lmm.inference.bootstrap_result import BootstrapResult
    from lmm.model import FittedModel


@dataclass(frozen=True, eq=False)
class VariancePartition:
    """
    Where the variance of a row comes from, on the squared scale of the response.

    Attributes
    ----------
    fixed : float
        Variance of X beta over the rows, with divisor n - 1; an offset does not count.
    random : Series
        Mean variance that each grouping factor adds to a row.
    residual : float
        Mean residual variance, sigma^2 times the mean of the inverse weights.
    """

    fixed: float
    random: pd.Series[float]
    residual: float

    @property
    def total(self) -> float:
        """Sum of all parts."""
        return self.fixed + float(self.random.sum()) + self.residual


@dataclass(frozen=True, repr=False, eq=False, kw_only=True)
class Shares(Report):
    """
    Shares of variance, with their bootstrap.

    Attributes
    ----------
    variances : VariancePartition
    level : float
        Confidence level of the limits.
    bootstrap : BootstrapResult or None
        Replicates of the shares, where they were asked for: other limits, standard errors, a picture.
    """

    variances: VariancePartition
    level: float = 0.95
    bootstrap: BootstrapResult | None = None

    @property
    def limits(self) -> pd.DataFrame | None:
        """Percentile limits, columns lower and upper, one row per share; None without a bootstrap."""
        return None if self.bootstrap is None else self.bootstrap.conf_int(self.level)

    def _shown(self) -> tuple[str, dict[str, tuple[str, float]]]:
        """Title, and labels and values by the names that the shares have in the bootstrap."""
        raise NotImplementedError

    def _tables(self) -> list[Table]:
        title, rows = self._shown()
        limits = self.limits
        cells = []
        for name, (label, share) in rows.items():
            ends = () if limits is None else tuple(limits.loc[name])
            cells.append((label, *(f"{number:.4f}" for number in (share, *ends))))
        header = (title, "share", *(() if limits is None else ("lower", "upper")))
        return [Table("", header, tuple(cells), 1)]

    def _notes(self) -> list[str]:
        if self.bootstrap is None:
            return []
        replicates = f"{len(self.bootstrap.estimates)} replicates of the parametric bootstrap"
        return [f"Limits: {100.0 * self.level:g} % percentile intervals from {replicates}.", *self.bootstrap.notes]


@dataclass(frozen=True, repr=False, eq=False, kw_only=True)
class R2(Shares):
    """
    Coefficients of determination of a mixed model.

    Attributes
    ----------
    marginal : float
        Share of the variance that the fixed effects explain.
    conditional : float
        Share that fixed and random effects explain together.
    variances : VariancePartition
    level : float
        Confidence level of the limits.
    bootstrap : BootstrapResult or None
        Replicates of ``"marginal"`` and ``"conditional"``; ``limits`` has their percentile limits.

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy"))
    >>> found = lmm.r2(fit)
    >>> round(found.variances.fixed / found.variances.total, 4) == round(found.marginal, 4)
    True
    """

    marginal: float
    conditional: float

    def _shown(self) -> tuple[str, dict[str, tuple[str, float]]]:
        return "Variance explained (R2)", {
            "marginal": ("marginal (fixed effects)", self.marginal),
            "conditional": ("conditional (fixed and random)", self.conditional),
        }


@dataclass(frozen=True, repr=False, eq=False, kw_only=True)
class ICC(Shares):
    """
    Intraclass correlations of a mixed model.

    Attributes
    ----------
    adjusted : float
        Share of the random effects in the variance that the fixed effects leave.
    unadjusted : float
        Their share in the variance including that of the fixed effects.
    by_group : Series
        The adjusted share of each grouping factor; they add up to ``adjusted``.
    variances : VariancePartition
    level : float
        Confidence level of the limits.
    bootstrap : BootstrapResult or None
        Replicates of ``"adjusted"``, ``"unadjusted"`` and, for each grouping factor, ``"by_group.<name>"``; ``limits``
        has their percentile limits.

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy"))
    >>> round(float(lmm.icc(fit).by_group["Subject"]), 4)
    0.7217
    """

    adjusted: float
    unadjusted: float
    by_group: pd.Series[float]

    def _shown(self) -> tuple[str, dict[str, tuple[str, float]]]:
        rows = {
            "adjusted": ("adjusted for the fixed effects", self.adjusted),
            "unadjusted": ("unadjusted", self.unadjusted),
        }
        if len(self.by_group) > 1:
            rows |= {_of(str(group)): (f"adjusted, {group}", float(share)) for group, share in self.by_group.items()}
        return "Intraclass correlation", rows


def r2(fit: FittedModel, *, n_boot: int = 0, level: float = 0.95, rng: Seed = None, workers: Workers = 1) -> R2:
    """
    Marginal and conditional coefficient of determination.

    Parameters
    ----------
    fit : FittedModel
    n_boot : int
        Replicates of the parametric bootstrap that limits come from; 0 for no limits.
    level : float
        Confidence level of the limits.
    rng : int or Generator, optional
        Seed; the same seed gives the same limits.
    workers : int or callable
        Processes of the bootstrap, or a callable like `map`. The numbers do not depend on it.

    Returns
    -------
    R2
        ``marginal``, the share of the variance that the fixed effects explain; ``conditional``, the share that fixed
        and random effects explain together; ``variances``, the parts; ``limits``. With random slopes, the variance of
        the random effects is its mean over the rows.

    Raises
    ------
    ArgumentError
        For anything but a fitted model, and for an argument of the wrong kind.

    References
    ----------
    Nakagawa, S. and Schielzeth, H. (2013). A general and simple method for obtaining R2 from generalized linear
    mixed-effects models. Methods in Ecology and Evolution 4, 133-142.
    Johnson, P. C. D. (2014). Extension of Nakagawa & Schielzeth's R2GLMM to random slopes models. Methods in Ecology
    and Evolution 5, 944-946.

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy"))
    >>> lmm.r2(fit)
    Variance explained (R2)         share
    marginal (fixed effects)       0.2787
    conditional (fixed and random) 0.7992
    >>> lmm.r2(fit, n_boot=1000, rng=1).limits.round(1)
                 lower  upper
    marginal       0.1    0.4
    conditional    0.7    0.9
    """
    parts, boot = _computed(mixed_model(fit, "r2"), _r2_shares, n_boot, level, rng, workers)
    shares = {name: float(share[0]) for name, share in _r2_shares(parts).items()}
    return R2(**shares, variances=parts.first(), level=level, bootstrap=boot)


def icc(fit: FittedModel, *, n_boot: int = 0, level: float = 0.95, rng: Seed = None, workers: Workers = 1) -> ICC:
    """
    Intraclass correlation: the share of the random effects in the variance.

    Parameters
    ----------
    fit : FittedModel
    n_boot : int
        Replicates of the parametric bootstrap that limits come from; 0 for no limits.
    level : float
        Confidence level of the limits.
    rng : int or Generator, optional
        Seed; the same seed gives the same limits.
    workers : int or callable
        Processes of the bootstrap, or a callable like `map`. The numbers do not depend on it.

    Returns
    -------
    ICC
        ``adjusted``, of the variance that the fixed effects leave; ``unadjusted``, of all of it; ``by_group``, the
        adjusted share of each grouping factor; ``variances``, the parts; ``limits``. With a random intercept alone,
        ``adjusted`` is the correlation of two rows of a group; with random slopes, a share of the mean variance of a
        row.

    Raises
    ------
    ArgumentError
        For anything but a fitted model, and for an argument of the wrong kind.

    References
    ----------
    Nakagawa, S., Johnson, P. C. D. and Schielzeth, H. (2017). The coefficient of determination R2 and intra-class
    correlation coefficient from generalized linear mixed-effects models revisited and expanded. Journal of the Royal
    Society Interface 14, 20170213.

    Examples
    --------
    >>> import lmm
    >>> lmm.icc(lmm.fit("diameter ~ 1 + (1 | plate) + (1 | sample)", lmm.datasets.load("penicillin")))
    Intraclass correlation          share
    adjusted for the fixed effects 0.9363
    unadjusted                     0.9363
    adjusted, plate                0.1509
    adjusted, sample               0.7854
    """
    parts, boot = _computed(mixed_model(fit, "icc"), _icc_shares, n_boot, level, rng, workers)
    shares = {name: float(share[0]) for name, share in _icc_shares(parts).items()}
    return ICC(
        adjusted=shares["adjusted"],
        unadjusted=shares["unadjusted"],
        by_group=pd.Series({group: shares[_of(group)] for group in parts.random}, name="icc"),
        variances=parts.first(),
        level=level,
        bootstrap=boot,
    )


@dataclass(frozen=True)
class Parts:
    """
    Parts of the variance by B sets of estimates.

    Attributes
    ----------
    fixed : ndarray (B,)
    random : dict of str to ndarray (B,)
        By grouping factor.
    residual : ndarray (B,)
    """

    fixed: FloatArray
    random: dict[str, FloatArray]
    residual: FloatArray

    @property
    def shared(self) -> FloatArray:
        """Variance of all random effects, shape (B,)."""
        return np.asarray(sum(self.random.values()))

    def first(self) -> VariancePartition:
        """By the first set of estimates."""
        random = pd.Series({group: float(part[0]) for group, part in self.random.items()}, name="variance")
        return VariancePartition(float(self.fixed[0]), random, float(self.residual[0]))


def _r2_shares(parts: Parts) -> dict[str, FloatArray]:
    explained = parts.fixed + parts.shared
    total = explained + parts.residual
    return {"marginal": parts.fixed / total, "conditional": explained / total}


def _icc_shares(parts: Parts) -> dict[str, FloatArray]:
    left = parts.shared + parts.residual
    by_group = {_of(group): part / left for group, part in parts.random.items()}
    return {"adjusted": parts.shared / left, "unadjusted": parts.shared / (left + parts.fixed), **by_group}


def _of(group: str) -> str:
    """Name of the share of a grouping factor."""
    return f"by_group.{group}"


def _computed(
    model: FittedModel,
    shares: Callable[[Parts], dict[str, FloatArray]],
    n_boot: int,
    level: float,
    rng: Seed,
    workers: Workers,
) -> tuple[Parts, BootstrapResult | None]:
    """Parts of the variance of a fit, and the bootstrap of its shares where it is asked for."""
    count = number_of_replicates(n_boot, "limits")
    confidence_level(level)
    generator, workers = random_generator(rng), checked_workers(workers)
    parts = _parts_of(model)
    return parts, _bootstrap(model, shares, count, generator, workers) if count else None


def _bootstrap(
    model: FittedModel,
    shares: Callable[[Parts], dict[str, FloatArray]],
    n: int,
    rng: np.random.Generator,
    workers: Workers,
) -> BootstrapResult:
    """The bootstrap of the estimates with the shares that they give in their place."""
    from lmm.inference.estimated import parameters_of  # noqa: PLC0415 - most shares are given without limits

    found = model.bootstrap(n, rng=rng, workers=workers)
    beta, covariances, sigma = parameters_of(model, found.estimates.to_numpy(dtype=np.float64))
    values, vectors = zip(*(np.linalg.eigh(covariance) for covariance in covariances), strict=True)
    roots = [V * np.sqrt(np.maximum(w, 0.0))[:, None, :] for w, V in zip(values, vectors, strict=True)]
    replicates = pd.DataFrame(shares(_parts(model, beta, roots, sigma)), index=found.estimates.index)
    statistic = partial(_shares_of, shares)
    return replace(found, estimates=replicates, original=pd.Series(statistic(model)), statistic=statistic)


def _shares_of(shares: Callable[[Parts], dict[str, FloatArray]], model: FittedModel) -> dict[str, float]:
    """Shares of a fitted model by name."""
    return {name: float(share[0]) for name, share in shares(_parts_of(model)).items()}


def _parts_of(model: FittedModel) -> Parts:
    """Parts of the variance by the estimates of a fitted model."""
    own = model.estimates
    return _parts(model, own.beta[None], [own.sigma * T[None] for T in own.T], np.array([own.sigma]))


def _parts(model: FittedModel, beta: FloatArray, roots: list[FloatArray], sigma: FloatArray) -> Parts:
    """
    Parts of the variance by several sets of estimates.

    Parameters
    ----------
    model : FittedModel
    beta : ndarray (B, p)
    roots : list of ndarray (B, k_t, k_t)
        Roots of the covariance matrices of the random effects, which keep the digits of a sum that nearly cancels.
    sigma : ndarray (B,)
    """
    X = model.design.X
    centred = np.linalg.qr(X - X.mean(axis=0), mode="r") / np.sqrt(len(X) - 1)
    random = {}
    for factor, root in zip(model.factors, roots, strict=True):
        spread = mean_root(factor) @ root
        random[factor.group] = np.einsum("bij,bij->b", spread, spread)
    return Parts(((beta @ centred.T) ** 2).sum(axis=1), random, sigma**2 * mean_residual(model.design.weights))
