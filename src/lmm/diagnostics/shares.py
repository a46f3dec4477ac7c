"""
The share that units of rows have in the system of the fixed effects, V being what it is.

Leaving out the rows U takes a positive semidefinite part from [X y]'V^-1 [X y] = B B'. Relative to the whole it is

    D_U = B^-1 ([X y]'V^-1 [X y] - the same of the other rows) B^-T,    0 <= D_U <= I.

With F = [X y] B^-T, whose last column is (y - X beta) / rho, and A = V^-1 F, there are three ways to it:

- where no level of any grouping factor has rows of two units, V is block diagonal, and D_U = F_U' A_U;
- with M = I - Z_U G Z_U', the block of V^-1 (G = Lambda Omega^-1 Lambda'), D_U = A_U' M^-1 A_U, for units of few rows;
- units of many rows are taken out of the cross-products, and what is left is eliminated again.

References
----------
Christensen, R., Pearson, L. M. and Johnson, W. (1992). Case-deletion diagnostics for mixed models. Technometrics 34,
38-45.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import lapack

from lmm.border import eliminate_effects
from lmm.conditional import conditional_variances, random_parts
from lmm.crossproducts import CrossProducts, cross_products
from lmm.diagnostics.rows import StandardRows, standard_rows
from lmm.errors import ModelError
from lmm.linalg import FloatArray, IntArray
from lmm.members import Members
from lmm.reduction import reduce_first_block

if TYPE_CHECKING:
    from lmm.deviance import ProfiledDeviance
    from lmm.model import FittedModel

# Below this a pivot of a block of V^-1, whose entries are near 1, has lost too many digits.
LEAST_PIVOT = 1e-11
# Error of F'V^-1 F, which is the identity, beyond which products of rows of F and of V^-1 F have lost too many.
MOST_ERROR = 1e-4
# Numbers held at a time.
CHUNK = 4_000_000
# Multiplications that laying out and eliminating a system takes at least, and for each product of levels that meet.
LEAST_COST, COST_OF_PAIR = 2e7, 400.0


def roots_of_shares(model: FittedModel, units: IntArray, n_units: int) -> Iterator[tuple[IntArray, FloatArray]]:
    """
    Roots H of the shares D = H'H of units of rows, some units at a time.

    Parameters
    ----------
    model : FittedModel
    units : ndarray (n,)
        Unit of each row, 0 .. n_units - 1; every unit has rows.
    n_units : int

    Yields
    ------
    some : ndarray (g,)
        Numbers of units.
    H : ndarray (g, r, p + 1)

    Raises
    ------
    ModelError
        When the random effects are so large that rounding errors leave nothing of the shares.
    """
    deviance, at, rows = model.deviance_function, model.optimum.evaluation, standard_rows(model)
    border = np.vstack([rows.X.T, rows.y])
    A: FloatArray = lapack.dtrtrs(at.border, border - random_parts(deviance, at, rows.blocks), lower=1)[0].T
    members = Members(units, n_units)
    apart = all(factor.is_nested_in(units) for factor in model.factors)
    few = _cost_of_rows(deviance, members.sizes) <= _cost_of_rest(deviance)
    if apart or not few.all():
        F: FloatArray = lapack.dtrtrs(at.border, border, lower=1)[0].T
        _require_digits(accurate=np.abs(F.T @ A - np.eye(F.shape[1])).max() <= MOST_ERROR)
    if apart:
        yield from _apart(F, A, members)
        return
    yield from _of_rows(model, rows, A, members, np.flatnonzero(few))
    for unit in np.flatnonzero(~few):
        yield np.array([unit]), _roots(_of_what_is_left(model, rows, members.of(int(unit)))[None])


def cross_products_without(cross: CrossProducts, rows: StandardRows, gone: IntArray) -> CrossProducts:
    """
    Cross-products of the rows of a fit without some of them.

    Levels of the first block get zeros, not rounding errors, where no row is left.
    """
    taken = rows.take(gone)
    rest = cross - cross_products(taken.blocks, taken.X, taken.y)
    first = cross.order[0]
    J = rows.blocks[first].n_levels
    empty = np.bincount(rows.blocks[first].codes, minlength=J) == np.bincount(taken.blocks[first].codes, minlength=J)
    return replace(rest, A_11=np.where(empty, 0.0, rest.A_11), A_B1=np.where(empty, 0.0, rest.A_B1))


def _apart(F: FloatArray, A: FloatArray, members: Members) -> Iterator[tuple[IntArray, FloatArray]]:
    """Roots for units that share no level."""
    n_units, p1 = len(members.sizes), F.shape[1]
    step = max(1, CHUNK // p1**2)
    for start in range(0, n_units, step):
        some = np.arange(start, min(start + step, n_units))
        yield some, _roots(np.array([F[own].T @ A[own] for own in map(members.of, some)]))


def _of_rows(
    model: FittedModel, rows: StandardRows, A: FloatArray, members: Members, chosen: IntArray
) -> Iterator[tuple[IntArray, FloatArray]]:
    """Roots for units of few rows, from the blocks of V^-1."""
    deviance, at = model.deviance_function, model.optimum.evaluation
    single = bool((members.sizes[chosen] == 1).any())
    variances = conditional_variances(deviance, at, rows.blocks) if single else np.zeros(0)
    for some, own in _alike(members, chosen, width=A.shape[1] + at.b_T.shape[1]):
        size = own.shape[1]
        if size == 1:
            within = variances[own][:, :, None]
        else:
            within, _ = deviance.set_terms(at, rows.take(own.ravel()).effects, size)
        yield some, np.asarray(np.linalg.solve(_cholesky(np.eye(size) - within), A[own]), dtype=np.float64)


def _of_what_is_left(model: FittedModel, rows: StandardRows, gone: IntArray) -> FloatArray:
    """Share of a unit, shape (p + 1, p + 1), from the cross-products of the other rows."""
    at = model.optimum.evaluation
    rest = reduce_first_block(cross_products_without(model.deviance_function.cross, rows, gone))
    border = eliminate_effects(rest, at.factors).products
    half: FloatArray = lapack.dtrtrs(at.border, border, lower=1)[0]
    left: FloatArray = lapack.dtrtrs(at.border, half.T, lower=1)[0]
    return np.asarray(np.eye(len(border)) - left)


def _cost_of_rows(deviance: ProfiledDeviance, sizes: IntArray) -> FloatArray:
    """Multiplications that units of some numbers of rows take by way of the blocks of V^-1."""
    s = sizes.astype(np.float64)
    core, columns = (0, 0) if deviance.tail is None else (len(deviance.tail.core.columns), deviance.tail.n_columns)
    return s * (float(core) ** 2 + columns * s + s**2)


def _cost_of_rest(deviance: ProfiledDeviance) -> float:
    """Multiplications that a unit takes by way of the cross-products of the other rows."""
    tail = deviance.tail
    if tail is None:
        return LEAST_COST
    k, J = tail.first
    products = float(tail.n_columns**2 * k * J) if tail.schur_map is None else COST_OF_PAIR * tail.schur_map.nnz
    return LEAST_COST + products + float(len(tail.core.columns)) ** 3


def _alike(members: Members, chosen: IntArray, width: int) -> Iterator[tuple[IntArray, IntArray]]:
    """Units with the same number of rows, as many at a time as memory bears: their numbers (g,), and rows (g, size)."""
    for size in np.unique(members.sizes[chosen]):
        same = chosen[members.sizes[chosen] == size]
        step = max(1, CHUNK // int(size * (size + width)))
        for first in range(0, len(same), step):
            some = same[first : first + step]
            yield some, members.together(some).reshape(len(some), size)


def _roots(D: FloatArray) -> FloatArray:
    """Roots H of D = H'H, shape (g, p + 1, p + 1); what is not symmetric or positive is a rounding error."""
    values, vectors = np.linalg.eigh(0.5 * (D + D.transpose(0, 2, 1)))
    return np.asarray(np.sqrt(np.maximum(values, 0.0))[:, :, None] * vectors.transpose(0, 2, 1))


def _cholesky(M: FloatArray) -> FloatArray:
    """Cholesky factors of the blocks of V^-1, shape (g, s, s), as long as they are more than rounding errors."""
    try:
        root = np.asarray(np.linalg.cholesky(M), dtype=np.float64)
    except np.linalg.LinAlgError:
        root = np.zeros_like(M)
    _require_digits(accurate=np.einsum("gss->gs", root).min() ** 2 >= LEAST_PIVOT)
    return root


def _require_digits(*, accurate: bool) -> None:
    """Refuse a model whose random effects leave too few digits to the residuals."""
    if not accurate:
        raise ModelError(
            "the random effects are so much larger than the residuals that leaving units out in one step drowns in "
            "rounding errors; influence(..., exact=True) keeps more digits"
        )
