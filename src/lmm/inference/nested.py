"""
Whether one model is a special case of another, and where the smaller one lies in the larger.

A model is a column space of fixed effects and a family of covariance matrices, sigma^2 I plus the sum of Z E Z' times
variance parameters. One family contains another when each of its directions Z E Z' is a combination of the other's, and
positive semidefinite matrices stay so. That covers terms left out as well as other codings of the same effects, and
groups within groups: (1 | a/b) is the compound symmetry of (b | a). Inner products of directions need only the
cross-products of the levels that meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lmm.crossproducts import Block, cross_products
from lmm.errors import ArgumentError
from lmm.fixed import FixedModel
from lmm.inference.parameters import VarianceParameter, variance_parameters
from lmm.linalg import FloatArray

if TYPE_CHECKING:
    from lmm.design import Design
    from lmm.model import FittedModel

# Share of its length that a direction or a column may have outside a space and still count as within.
OUTSIDE = 1e-5
# Share of the longest direction below which the length of another is rounding error.
NO_LENGTH = 1e-10
# Eigenvalue of a standardised relative covariance matrix below which it counts as zero.
ZERO = 1e-8


@dataclass(frozen=True)
class Embedding:
    """
    The covariance matrices of a smaller model as those of a larger one, in the larger one's standardised basis.

    Attributes
    ----------
    at : tuple of ndarray (k_t, k_t)
        Relative covariance matrices, by grouping factor of the larger model, at the estimates of the smaller.
    inner : tuple of ndarray (k_t, k_t)
        The same at a point inside the smaller model: their null spaces are what it sets to zero.
    n_undetermined : int
        Variances and covariances that the data do not determine, so many more in the larger model.
    """

    at: tuple[FloatArray, ...]
    inner: tuple[FloatArray, ...]
    n_undetermined: int = 0


def check_comparable(fits: Sequence[FittedModel | FixedModel]) -> None:
    """
    Refuse models of different data.

    Raises
    ------
    ArgumentError
        That says whether rows, response or weights differ.
    """
    first, *others = fits
    for other in others:
        pair = f"{first.formula!r} and {other.formula!r}"
        one, two = first.design, other.design
        if first.nobs != other.nobs or not one.index.equals(two.index):
            raise ArgumentError(f"the models {pair} {_different_rows(one, two)}")
        if not np.array_equal(one.y, two.y):
            raise ArgumentError(
                f"the models {pair} {_different_responses(one, two)}: their likelihoods cannot be compared"
            )
        if not np.array_equal(one.root_weights, two.root_weights):
            raise ArgumentError(f"the models {pair} have different weights: their likelihoods cannot be compared")


def _different_rows(one: Design, two: Design) -> str:
    """What differs between the rows of two models, and what to do."""
    n, m = len(one.index), len(two.index)
    if n != m:
        return (
            f"are fitted to different rows ({n} and {m}): their likelihoods cannot be compared. Rows with a missing "
            "value in a variable of one model only are the usual cause: fit both to data without them"
        )
    n_other = int((~two.index.isin(one.index)).sum())
    if n_other == 0:
        return "are fitted to the same rows in another order: fit both to the same data frame"
    return (
        f"are fitted to different rows: both have {n}, but the labels of {n_other} rows of the second are not in the "
        "first. Fit both to the same data, without rows that have a missing value in a variable of either"
    )


def _different_responses(one: Design, two: Design) -> str:
    """What differs between the responses of two models."""
    if one.response_name != two.response_name:
        return f"have different responses ({one.response_name!r} and {two.response_name!r})"
    if np.array_equal(np.sort(one.y), np.sort(two.y)):
        return f"have the same values of {one.response_name!r} in another order of the rows"
    n_other = np.count_nonzero(one.y != two.y)
    return f"have different responses: the values of {one.response_name!r} differ in {n_other} of {len(one.y)} rows"


def same_fixed_part(small: FittedModel | FixedModel, big: FittedModel | FixedModel) -> bool:
    """Whether X and the offset are the same, number for number, so that REML criteria can be compared."""
    X, X_big = small.design.X, big.design.X
    same = X.shape == X_big.shape and np.allclose(X, X_big, rtol=1e-12, atol=0.0)
    return same and np.array_equal(_offset(small), _offset(big))


def embed(small: FittedModel | FixedModel, big: FittedModel | FixedModel) -> Embedding:
    """
    Find the smaller model within the larger.

    Raises
    ------
    ArgumentError
        When it is not nested in it; says which part is not.
    """
    _check_fixed(small, big)
    if big.known_sigma is not None and small.known_sigma != big.known_sigma:
        raise ArgumentError(
            f"{small.formula!r} is not nested in {big.formula!r}: the latter has a known residual standard deviation "
            f"of {big.known_sigma:g}, the former has {'its own' if small.known_sigma is None else small.known_sigma}"
        )
    if not big.factors and not small.factors:
        return Embedding((), ())
    blocks = [*_blocks(small), *_blocks(big)]
    directions = [*_directions(small, 0), *_directions(big, len(small.factors))]
    gram = _inner_products(blocks, directions, small.nobs)
    m = len(_parameters(small))
    coefficients = _combinations(gram, m, small, big)
    inner = [np.eye(factor.covariance.size) for factor in small.factors]
    embedding = Embedding(
        _image(small, big, coefficients, _relative_covariances(small)),
        _image(small, big, coefficients, inner),
        _n_dependent(gram[m:-1, m:-1]) - _n_dependent(gram[:m, :m]),
    )
    if any(np.linalg.eigvalsh(S)[0] < -ZERO for S in embedding.inner):
        raise _not_nested(small, big, "its random effects would need a covariance that is not positive semidefinite")
    return embedding


def _check_fixed(small: FittedModel | FixedModel, big: FittedModel | FixedModel) -> None:
    """Refuse fixed effects, or a difference of offsets, outside the column space of the larger model."""
    root = big.design.root_weights
    Q = np.linalg.qr(root[:, None] * big.design.X)[0]
    # Each column is looked at for what it adds to those before it: nearly all of a date is in the intercept.
    own = np.linalg.qr(root[:, None] * small.design.X)[0]
    columns = dict(zip(small.design.names, own.T, strict=True))
    columns["the offset"] = root * (_offset(small) - _offset(big))
    for name, column in columns.items():
        left = column - Q @ (Q.T @ column)
        if np.linalg.norm(left) > OUTSIDE * np.linalg.norm(column):
            raise _not_nested(small, big, f"its fixed effects include {name}, which the larger model does not")


def _not_nested(small: FittedModel | FixedModel, big: FittedModel | FixedModel, why: str) -> ArgumentError:
    return ArgumentError(
        f"{small.formula!r} is not nested in {big.formula!r}: {why}. A likelihood-ratio test needs one model to be a "
        "special case of the other; compare models that are not by aic or bic"
    )


def _offset(model: FittedModel | FixedModel) -> FloatArray:
    """Offset, shape (n,), zeros where there is none."""
    return np.zeros(model.nobs) if model.design.offset is None else model.design.offset


def _blocks(model: FittedModel | FixedModel) -> list[Block]:
    """Standardised columns of each grouping factor, rows multiplied by the square roots of the weights."""
    if isinstance(model, FixedModel):
        return []
    root = model.design.root_weights
    return [
        Block(factor.codes, factor.n_levels, (factor.columns * root[:, None]) @ A)
        for factor, A in zip(model.factors, model.basis.bases, strict=True)
    ]


def _parameters(model: FittedModel | FixedModel) -> tuple[VarianceParameter, ...]:
    """Variances and covariances of the random effects."""
    return variance_parameters(model.factors, sigma_known=True)


def _directions(model: FittedModel | FixedModel, offset: int) -> list[tuple[int, FloatArray]]:
    """Block number and direction E of each variance parameter."""
    return [
        (offset + parameter.factor, parameter.direction(model.factors[parameter.factor].covariance.size))
        for parameter in _parameters(model)
        if parameter.factor is not None
    ]


def _inner_products(blocks: list[Block], directions: list[tuple[int, FloatArray]], n: int) -> FloatArray:
    """Traces of products of the Z E Z', and of I last, shape (m + 1, m + 1)."""
    cross = cross_products(blocks, np.zeros((n, 0)), np.zeros(n))
    meetings = cross.meetings
    place = {t: i for i, t in enumerate(cross.order)}
    m = len(directions)
    gram = np.empty((m + 1, m + 1))
    gram[m, m] = n
    for i, (s, D) in enumerate(directions):
        own = meetings[place[s], place[s]].values
        gram[i, m] = gram[m, i] = np.einsum("ab,abj->", D, own)
        for j, (t, E) in enumerate(directions):
            if place[s] <= place[t]:
                C = meetings[place[s], place[t]].values
                gram[i, j] = gram[j, i] = np.einsum("ab,acj,bdj,cd->", D, C, C, E, optimize=True)
    return gram


def _combinations(
    gram: FloatArray, m: int, small: FittedModel | FixedModel, big: FittedModel | FixedModel
) -> FloatArray:
    """Coefficients (M + 1, m + 1) of the smaller model's directions, and of I, among the larger's and I."""
    lengths = _lengths(gram)
    gram = gram / np.outer(lengths, lengths)
    theirs = np.append(np.arange(m), len(gram) - 1)
    ours = np.arange(m, len(gram))
    # I stands for itself; the random effects of the smaller model may have a part in it unless sigma is known.
    some = ours if big.known_sigma is None else ours[:-1]
    coefficients = np.zeros((len(ours), len(theirs)))
    coefficients[-1, -1] = 1.0
    coefficients[: len(some), :-1] = np.linalg.lstsq(
        gram[np.ix_(some, some)], gram[np.ix_(some, theirs[:-1])], rcond=1e-12
    )[0]
    within = np.einsum("ij,ij->j", coefficients, gram[np.ix_(ours, theirs)])
    for parameter, share in zip(_parameters(small), np.diagonal(gram)[theirs] - within, strict=False):
        if share > OUTSIDE**2:
            raise _not_nested(
                small, big, f"its random effects include {parameter.name}, which the larger model has no place for"
            )
    return np.asarray(coefficients * lengths[theirs] / lengths[ours][:, None])


def _lengths(gram: FloatArray) -> FloatArray:
    """Lengths of directions, 1 for one of length zero: the covariance of effects that never meet in a level."""
    lengths = np.sqrt(np.diagonal(gram))
    return np.where(lengths > NO_LENGTH * lengths.max(initial=0.0), lengths, 1.0)


def _n_dependent(gram: FloatArray) -> int:
    """How many directions are combinations of others, from their inner products."""
    lengths = _lengths(gram)
    values = np.linalg.eigvalsh(gram / np.outer(lengths, lengths))
    return int((values <= OUTSIDE**2 * len(gram)).sum())


def _relative_covariances(model: FittedModel | FixedModel) -> list[FloatArray]:
    """Covariance matrices relative to sigma^2 in the standardised basis, by grouping factor."""
    if isinstance(model, FixedModel):
        return []
    T = dict(zip(model.deviance_function.cross.order, model.optimum.evaluation.factors, strict=True))
    return [T[t] @ T[t].T for t in range(len(model.factors))]


def _image(
    small: FittedModel | FixedModel,
    big: FittedModel | FixedModel,
    coefficients: FloatArray,
    covariances: Sequence[FloatArray],
) -> tuple[FloatArray, ...]:
    """Relative covariance matrices of the larger model for some of the smaller's."""
    values = [parameter.value(covariances, np.nan) for parameter in _parameters(small)]  # none is the residual variance
    amounts = coefficients @ np.append(values, 1.0)
    images = [np.zeros((factor.covariance.size,) * 2) for factor in big.factors]
    for (t, E), amount in zip(_directions(big, 0), amounts[:-1] / amounts[-1], strict=True):
        images[t] += amount * E
    return tuple(images)
