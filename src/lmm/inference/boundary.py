"""The null distribution of a likelihood ratio: it depends on where the smaller model lies in the larger one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lmm.fixed import FixedModel
from lmm.inference.forms import quadratic_forms
from lmm.inference.mixture import ChiBarSquare, chi_bar_square
from lmm.inference.nested import ZERO, Embedding
from lmm.linalg import RANK_TOLERANCE, FloatArray, upper_indices

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
    by_factor, sizes = _free_and_confined(big, embedding.inner)
    n_confined = sum(len(confined) for _, confined in by_factor)
    free_df = big.n_params - small.n_params - embedding.n_undetermined - n_confined
    if not sizes or isinstance(big, FixedModel):
        return ChiBarSquare(np.ones(1), free_df)
    J = _confined_information(big, embedding, by_factor)
    if embedding.n_undetermined and not _is_definite(J):
        return None
    return chi_bar_square(J, sizes, free_df, rng)


def bound(
    null: ChiBarSquare, small: FittedModel | FixedModel, big: FittedModel | FixedModel, embedding: Embedding
) -> ChiBarSquare | None:
    """
    Distribution that bounds the likelihood ratio where r parameters of the smaller model are on its boundary.

    None where none are, so that ``null`` itself holds.

    Let z = u + v, with u in the span of the smaller model's cone C_0 and v orthogonal to it, what may move either way
    projected out. The larger cone C_1 lies within span(C_0) + C_1, so that

        |P_C1 z|^2 - |P_C0 z|^2  <=  |u - P_C0 u|^2 + |P v|^2,

    where P is the projection on span(C_0) + C_1, and the last term, independent of u, has the distribution ``null``.
    Where u falls on a face of C_0 that lacks r dimensions, its residual has the chi-square distribution with r degrees
    of freedom if the truth is the apex, and is stochastically smaller if it is elsewhere in C_0 (Susko 2013 on counting
    the parameters on the boundary). So ``null`` with r degrees of freedom more is a bound, given that so many estimates
    are on the boundary, whatever the true values are.

    One variance beside one of zero has a closer bound: see `wedge`.

    Parameters
    ----------
    null : ChiBarSquare
        What `null_distribution` gives, as if nothing of the smaller model were on its boundary.
    small, big : FittedModel or FixedModel
    embedding : Embedding

    References
    ----------
    Susko, E. (2013). Likelihood ratio tests with boundary constraints using data-dependent degrees of freedom.
    Biometrika 100, 1019-1023.
    """
    r = boundary_dimension(small)
    if not r or isinstance(big, FixedModel):
        return None
    by_factor, sizes = _free_and_confined(big, embedding.at)
    is_wedge = r == 1 and sizes == (1, 1) and null.least == 0 and len(null.weights) == 2  # noqa: PLR2004 - 0 and 1
    if not is_wedge:
        return null.plus(r)
    return wedge(_confined_information(big, embedding, by_factor), null)


def wedge(J: FloatArray, null: ChiBarSquare) -> ChiBarSquare:
    """
    Distribution that bounds the likelihood ratio of one variance beside another one that is estimated as zero.

    The cone C_1 is a wedge, and C_0 its edge. If the angle is not obtuse, |P_C1 z|^2 <= |P v|^2 where u < 0 (in the
    notation of `bound`), so that ``null`` is itself a bound. If it exceeds the right angle by d, the likelihood ratio
    grows with |u|; at the apex, given u < 0, it is chi-square with 0, 1 or 2 degrees of freedom, with weights
    1/2 - d / pi, 1/2 and d / pi.

    Parameters
    ----------
    J : ndarray (2, 2)
        Information of the two variances.
    null : ChiBarSquare
        The distribution where the other variance is not zero: 0.5 chi2(0) + 0.5 chi2(1).
    """
    excess = -float(np.arcsin(np.clip(J[0, 1] / np.sqrt(J[0, 0] * J[1, 1]), -1.0, 1.0))) / np.pi
    return ChiBarSquare(np.array([0.5 - excess, 0.5, excess]), 0) if excess > 0.0 else null


def boundary_dimension(model: FittedModel | FixedModel) -> int:
    """
    Number of variance parameters that a model has more than the one without the random effects it finds empty.

    For a k x k covariance matrix of rank k - m that is m (m + 1) / 2 + m (k - m): 1 for a variance of zero, 2 for a
    correlation of 1. The first part are the dimensions that are missing in the face of the cone of positive
    semidefinite matrices that the estimate lies on; faces being curved, the residual of a projection on them may have
    up to the second more (Amelunxen & Buergisser 2015).

    References
    ----------
    Amelunxen, D. and Buergisser, P. (2015). Intrinsic volumes of symmetric cones and applications in convex
    programming. Mathematical Programming 149, 105-130.
    """
    if isinstance(model, FixedModel):
        return 0
    dimension = 0
    for t, T in zip(model.deviance_function.cross.order, model.optimum.evaluation.factors, strict=True):
        for effects in model.factors[t].term_effects:
            lengths = np.linalg.svd(T[np.ix_(effects, effects)], compute_uv=False)
            k, m = len(lengths), int((lengths <= RANK_TOLERANCE * max(lengths[0], 1.0)).sum())
            dimension += m * (m + 1) // 2 + m * (k - m)
    return dimension


def _free_and_confined(
    big: FittedModel | FixedModel, at: tuple[FloatArray, ...]
) -> tuple[list[tuple[list[FloatArray], list[FloatArray]]], tuple[int, ...]]:
    """
    Directions in which the covariance matrices may move freely, and in which they are confined.

    Parameters
    ----------
    big : FittedModel
    at : tuple of ndarray (k_t, k_t)
        Where the matrices are.

    Returns
    -------
    by_factor : list of tuple of list of ndarray (k_t, k_t)
        Free and confined directions of each grouping factor; those that are confined are within a null space.
    sizes : tuple of int
        Dimensions of the null spaces.
    """
    by_factor, sizes = [], []
    for factor, S in zip(big.factors, at, strict=True):
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
    return by_factor, tuple(sizes)


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
