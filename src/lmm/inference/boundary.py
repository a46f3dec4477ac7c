"""The null distribution of a likelihood ratio: it depends on where the smaller model lies in the larger one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lmm.fixed import FixedModel
from lmm.inference.cones import distance
from lmm.inference.forms import quadratic_forms
from lmm.inference.mixture import ChiBarSquare, chi_bar_square, circular_cone
from lmm.inference.nested import ZERO, Embedding
from lmm.linalg import RANK_TOLERANCE, FloatArray, upper_indices

if TYPE_CHECKING:
    from lmm.model import FittedModel

# Share of the largest eigenvalue below which the information of the free parameters counts as none.
NO_INFORMATION = 1e-10
# Angle below which projections leave it open whether there is one.
NO_ANGLE = 1e-6


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
    by_factor, nullities = _free_and_confined(big, embedding.inner)
    sizes = tuple(m for m in nullities if m)
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

    There is a closer bound where one variance is tested. Let its direction have the part b_u within span(C_0), at the
    distance g from C_0, and the part b_v orthogonal to it. Every point y of b_u + C_0 has <u, y> <= |u| g where
    P_C0 u = 0, and is at least as long as its part outside C_0, so that |P_C1 z|^2 is at most the squared length of the
    projection of (|u|, v) on the wedge within the angle arctan(g / |b_v|) of the second axis. With |u| a chi variable
    that is the projection of r + 1 normal variables on a circular cone. On a face of C_0, the tangent cone there takes
    its place. Where g = 0 (no obtuse angle between what is tested and what is empty) it is ``null`` itself.

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
    angle = _tested_angle(small, big, embedding) if null.least == 0 and len(null.weights) == 2 else None  # noqa: PLR2004
    if angle is None:
        return null.plus(r)
    return circular_cone(r + 1, angle) if angle > NO_ANGLE else null


def _tested_angle(small: FittedModel | FixedModel, big: FittedModel, embedding: Embedding) -> float | None:
    """Angle arctan(g / |b_v|) of `bound`; None where what is empty is not told apart from what is tested."""
    by_factor, nullities = _free_and_confined(big, embedding.at)
    tested = np.flatnonzero(_free_and_confined(big, embedding.inner)[1])
    block = int(tested[0])
    empty = [m for i, m in enumerate(nullities) if m and i != block]
    if nullities[block] != 1 or sorted(empty) != sorted(m for _, m in _null_spaces(small) if m):
        return None
    J = _confined_information(big, embedding, by_factor)
    if not _is_definite(J):
        return None
    b = sum(m * (m + 1) // 2 for m in nullities[:block])
    rest = np.delete(np.arange(len(J)), b)
    J_aa, J_ab = J[np.ix_(rest, rest)], J[rest, b]
    b_u = np.linalg.solve(J_aa, J_ab)
    return float(np.arctan2(distance(b_u, J_aa, tuple(empty)), np.sqrt(J[b, b] - J_ab @ b_u)))


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
    return sum(m * (m + 1) // 2 + m * (k - m) for k, m in _null_spaces(model))


def _null_spaces(model: FittedModel | FixedModel) -> list[tuple[int, int]]:
    """Size k of each covariance matrix at the estimates, and dimension m of its null space."""
    if isinstance(model, FixedModel):
        return []
    found = []
    for t, T in zip(model.deviance_function.cross.order, model.optimum.evaluation.factors, strict=True):
        for effects in model.factors[t].term_effects:
            lengths = np.linalg.svd(T[np.ix_(effects, effects)], compute_uv=False)
            found.append((len(lengths), int((lengths <= RANK_TOLERANCE * max(lengths[0], 1.0)).sum())))
    return found


def _free_and_confined(
    big: FittedModel | FixedModel, at: tuple[FloatArray, ...]
) -> tuple[list[tuple[list[FloatArray], list[FloatArray]]], list[int]]:
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
    nullities : list of int
        Dimension of the null space of the covariance matrix of each term.
    """
    by_factor, nullities = [], []
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
            nullities.append(n_zero)
        by_factor.append((free, confined))
    return by_factor, nullities


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
