"""The null distribution of a likelihood ratio: it depends on where the smaller model lies in the larger one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lmm.fixed import FixedModel
from lmm.inference.forms import quadratic_forms
from lmm.inference.mixture import ChiBarSquare, chi_bar_square
from lmm.inference.nested import ZERO, Embedding
from lmm.linalg import FloatArray, upper_indices

if TYPE_CHECKING:
    from lmm.model import FittedModel

# Share of the largest eigenvalue below which the information of the free parameters counts as none.
NO_INFORMATION = 1e-10


def null_distribution(
    small: FittedModel | FixedModel, big: FittedModel | FixedModel, embedding: Embedding, rng: np.random.Generator
) -> ChiBarSquare | None:
    """
    Asymptotic null distribution of the likelihood ratio of two nested models.

    None where some of what is confined is not determined by the data.

    Where the smaller model is true and none of its own variances is zero, the covariance matrices of the larger may
    move freely but for the block N' Sigma N over the null space N of each, which must be positive semidefinite. The
    confined directions have the information that is left once the free ones are projected out.

    References
    ----------
    Self, S. G. and Liang, K.-Y. (1987). Asymptotic properties of maximum likelihood estimators and likelihood ratio
    tests under nonstandard conditions. Journal of the American Statistical Association 82, 605-610.

    Stram, D. O. and Lee, J. W. (1994). Variance components testing in the longitudinal mixed effects model. Biometrics
    50, 1171-1177.

    Baey, C., Cournede, P.-H. and Kuhn, E. (2019). Asymptotic distribution of likelihood ratio test statistics for
    variance components in nonlinear mixed effects models. Computational Statistics & Data Analysis 135, 107-122.
    """
    by_factor, sizes = [], []
    for factor, S in zip(big.factors, embedding.inner, strict=True):
        free: list[FloatArray] = []
        confined: list[FloatArray] = []
        for effects in factor.term_effects:
            own = np.ix_(effects, effects)
            values, vectors = np.linalg.eigh(S[own])
            n_zero = int((values < ZERO).sum())
            axes = np.zeros((len(S), len(effects)))
            axes[list(effects)] = vectors  # those of the null space come first
            pairs = list(zip(*upper_indices(len(effects)), strict=True))
            for a, b in pairs:
                direction = np.outer(axes[:, a], axes[:, b]) + np.outer(axes[:, b], axes[:, a])
                (confined if b < n_zero else free).append(direction / (2.0 if a == b else 1.0))
            sizes.extend([n_zero] * (n_zero > 0))
        by_factor.append((free, confined))
    n_confined = sum(len(confined) for _, confined in by_factor)
    free_df = big.n_params - small.n_params - embedding.n_undetermined - n_confined
    if not sizes or isinstance(big, FixedModel):
        return ChiBarSquare(np.ones(1), free_df)
    J = _confined_information(big, embedding, by_factor)
    if embedding.n_undetermined and not _is_definite(J):
        return None
    return chi_bar_square(J, tuple(sizes), free_df, rng)


def _is_definite(J: FloatArray) -> bool:
    """Whether an information matrix has an inverse."""
    size = np.diagonal(J).max()
    return bool(size > 0.0 and np.linalg.eigvalsh(J / size)[0] > NO_INFORMATION)


def _confined_information(
    big: FittedModel, embedding: Embedding, by_factor: list[tuple[list[FloatArray], list[FloatArray]]]
) -> FloatArray:
    """Expected information of the confined directions once the free ones, and sigma^2, are projected out."""
    deviance = big.deviance_function
    theta = np.empty(deviance.n_theta)
    for covariance, own, S in zip(deviance.covariances, deviance.slices, embedding.at, strict=True):
        values, vectors = np.linalg.eigh(S)
        theta[own] = covariance.from_root(vectors * np.sqrt(np.maximum(values, 0.0)))
    at = deviance.evaluate(theta)
    directions, is_confined, factor_of = [], [], []
    for t in deviance.cross.order:
        free, confined = by_factor[t]
        directions.append(np.array([*free, *confined]))
        is_confined.extend([False] * len(free) + [True] * len(confined))
        factor_of.extend([t] * (len(free) + len(confined)))
    information = quadratic_forms(deviance, at, directions).expected
    confined_ones = np.array([*is_confined, *[False] * (len(information) - len(is_confined))])
    cross = information[np.ix_(confined_ones, ~confined_ones)]
    inverse = np.linalg.pinv(information[np.ix_(~confined_ones, ~confined_ones)], NO_INFORMATION, hermitian=True)
    J = information[np.ix_(confined_ones, confined_ones)] - cross @ inverse @ cross.T
    in_formula_order = np.argsort(np.array(factor_of)[np.array(is_confined)], kind="stable")
    return np.asarray(J[np.ix_(in_formula_order, in_formula_order)])
