"""
What becomes of the estimates when units of rows are left out: arrays, no labels.

With the variance ratios theta as they are (one step), leaving out the rows U is the same as giving each of them a mean
of its own. Relative to sigma^2, with M = I - Z_U G Z_U' the block of V^-1, A = (X - Z G Z'X)_U, the conditional
residuals e of U, C = X'V^-1 X = L L', M = N N', B = L^-1 A' N^-T, f = N^-1 e and K = I - B B',

    C without U = L K L',    beta without U = beta - L^-T K^-1 B f,
    rho^2 without U = rho^2 - f'f - (B f)' K^-1 (B f),

all of it from the singular values d of B: K has the eigenvalues 1 - d^2, and is singular where X loses rank with U.
Exact deletion takes the cross-products of U from those of the fit and searches for the optimum again, from theta-hat.

References
----------
Christensen, R., Pearson, L. M. and Johnson, W. (1992). Case-deletion diagnostics for mixed models. Technometrics 34,
38-45.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import lapack

from lmm.crossproducts import CrossProducts, cross_products
from lmm.deviance import ProfiledDeviance
from lmm.diagnostics.leverage import reduce_fixed
from lmm.diagnostics.rows import StandardRows, standard_rows
from lmm.errors import ModelError
from lmm.estimates import estimates
from lmm.inference.parameters import variance_parameters
from lmm.linalg import BoolArray, FloatArray, IntArray
from lmm.memory import require_memory
from lmm.optimize import find_optimum

if TYPE_CHECKING:
    from lmm.model import FittedModel

# Share of the information on some coefficient below which a unit is said to carry all of it.
LEAST_INFORMATION = 1e-9
# Below this a pivot of a block of V^-1, whose entries are near 1, has lost too many digits.
LEAST_PIVOT = 1e-11
# Share of the largest entry below which an entry of a null vector is rounding error.
NULL_ENTRY = 1e-6
# Numbers held at a time, and square matrices of the size of a unit that exist at once.
CHUNK = 4_000_000
COPIES = 5


@dataclass(frozen=True)
class Deletion:
    """
    Estimates without each of m units.

    Attributes
    ----------
    params, se : ndarray (m, p)
        Fixed effects and their standard errors without the unit.
    distance : ndarray (m,)
        Squared length of the change of the fixed effects in the metric of their covariance in the full fit.
    covratio : ndarray (m,)
        Determinant of their covariance without the unit over that with it.
    sigma : ndarray (m,)
        Residual standard deviation without the unit.
    lost : ndarray (m, p) of bool
        Coefficients that cannot be estimated without the unit; then all else of the unit is NaN.
    """

    params: FloatArray
    se: FloatArray
    distance: FloatArray
    covratio: FloatArray
    sigma: FloatArray
    lost: BoolArray


def one_step(model: FittedModel, units: IntArray, n_units: int) -> Deletion:
    """
    Leave out each unit in turn, with theta as it is.

    Parameters
    ----------
    model : FittedModel
    units : ndarray (n,)
        Unit of each row, 0 .. n_units - 1; every unit has rows.
    n_units : int

    Raises
    ------
    ModelError
        When a unit has so many rows that the matrices of that size do not fit into memory.
    """
    largest = float(np.bincount(units).max())
    require_memory(
        8.0 * COPIES * largest**2,
        f"leaving out {largest:.0f} rows in one step",
        "influence(..., exact=True) works on cross-products, whatever the number of rows",
    )
    deviance, at, basis = model.deviance_function, model.optimum.evaluation, model.basis
    p = deviance.cross.p
    rows = standard_rows(model)
    e = model.design.root_weights * model.resid.to_numpy() / basis.scale
    L_inverse: FloatArray = lapack.dtrtri(at.border[:p, :p], lower=1)[0]
    root = basis.R_inverse @ L_inverse.T  # user's coefficients from those in which C is the identity
    change, se = np.full((n_units, p), np.nan), np.full((n_units, p), np.nan)
    rho2, log_det_K = np.full(n_units, np.nan), np.full(n_units, np.nan)
    lost = np.zeros((n_units, p), dtype=bool)
    sizes = np.bincount(units, minlength=n_units)
    whole = (root**2).sum(axis=1)
    for some, members in _sets(units, sizes, width=p + int(at.b_T.shape[1])):
        size = members.shape[1]
        chosen = rows.take(members.ravel())
        within, shift = deviance.set_terms(at, chosen.effects, size)
        A = reduce_fixed(at, chosen.X.T - shift).reshape(p, -1, size)
        d, U, turned, explained = _principal(np.eye(size) - within, A.transpose(1, 2, 0), e[members])
        left = 1.0 - d**2
        bad = left.min(axis=1) <= LEAST_INFORMATION
        lost[some[bad]] = _in_null_space(root, left[bad], U[bad].transpose(0, 2, 1))
        if model.nobs - size <= p:  # as many coefficients as rows: nothing is left to estimate sigma from
            lost[some], bad = True, np.ones(len(some), dtype=bool)
        left = np.where(bad[:, None], np.nan, left)
        change[some] = -np.einsum("gji,gj->gi", U, turned * d / left)
        rho2[some] = at.rho2 - explained - (turned**2 * d**2 / left).sum(axis=1)
        log_det_K[some] = np.log(left).sum(axis=1)
        more = np.einsum("ai,gji->gaj", root, U) ** 2 * (d**2 / left)[:, None, :]
        se[some] = np.sqrt(whole + more.sum(axis=2))
    if model.known_sigma is None:
        sigma = basis.scale * np.sqrt(rho2 / np.maximum(deviance.nu - sizes, 1))
    else:
        sigma = np.where(np.isnan(rho2), np.nan, model.known_sigma)
    return Deletion(
        params=model.estimates.beta + basis.scale * change @ root.T,
        se=sigma[:, None] * se,
        distance=(change**2).sum(axis=1) * (basis.scale / model.sigma) ** 2,
        covratio=(sigma / model.sigma) ** (2 * p) * np.exp(-log_det_K),
        sigma=sigma,
        lost=lost,
    )


def _principal(M: FloatArray, A: FloatArray, e: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """
    B and f of sets of rows along the singular directions of B.

    Parameters
    ----------
    M : ndarray (g, s, s)
        Blocks of V^-1.
    A : ndarray (g, s, p)
        Rows of X - Z G Z'X in the basis in which C is the identity.
    e : ndarray (g, s)
        Conditional residuals.

    Returns
    -------
    d : ndarray (g, r)
        Singular values of B.
    U : ndarray (g, r, p)
        Its singular vectors on the side of the coefficients, as rows.
    turned : ndarray (g, r)
        Components of f along the singular vectors on the side of the rows.
    explained : ndarray (g,)
        f'f.
    """
    half = np.linalg.solve(_root(M), np.concatenate([A, e[:, :, None]], axis=2))
    f = half[:, :, -1]
    V, d, U = np.linalg.svd(half[:, :, :-1], full_matrices=False)
    return d, U, np.einsum("gsj,gs->gj", V, f), (f**2).sum(axis=1)


def _sets(units: IntArray, sizes: IntArray, width: int) -> Iterator[tuple[IntArray, IntArray]]:
    """Units of equal size, as many at a time as memory bears: their numbers (g,), and their rows (g, size)."""
    order = np.argsort(units, kind="stable")
    starts = np.cumsum(sizes) - sizes
    for size in np.unique(sizes):
        alike = np.flatnonzero(sizes == size)
        step = max(1, CHUNK // int(size * (size + width)))
        for first in range(0, len(alike), step):
            some = alike[first : first + step]
            yield some, order[starts[some][:, None] + np.arange(size)]


def _root(M: FloatArray) -> FloatArray:
    """Cholesky factors of the blocks of V^-1, shape (g, s, s), as long as they are more than rounding errors."""
    try:
        root = np.asarray(np.linalg.cholesky(M), dtype=np.float64)
    except np.linalg.LinAlgError:
        root = np.zeros_like(M)
    if np.einsum("gss->gs", root).min() ** 2 < LEAST_PIVOT:
        raise ModelError(
            "the random effects are so much larger than the residuals that leaving units out in one step drowns in "
            "rounding errors; influence(..., exact=True) keeps more digits"
        )
    return root


def _in_null_space(root: FloatArray, values: FloatArray, vectors: FloatArray) -> BoolArray:
    """
    Coefficients on the user's scale, shape (g, p), that take part in the null space of g matrices.

    Eigenvalues (g, r) and eigenvectors (g, p, r) are in the basis in which ``root``, shape (p, p), gives the
    coefficients.
    """
    null = np.where(values[:, None, :] <= LEAST_INFORMATION, vectors, 0.0)
    entries = np.abs(np.einsum("ai,gij->gaj", root, null)).max(axis=2)
    relative = entries / np.sqrt((root**2).sum(axis=1))
    return np.asarray(relative > NULL_ENTRY * relative.max(axis=1, keepdims=True))


def exact(
    model: FittedModel, units: IntArray, n_units: int, skip: Collection[int]
) -> tuple[Deletion, FloatArray, dict[int, str]]:
    """
    Leave out each unit in turn, and search for the optimum again.

    Parameters
    ----------
    model : FittedModel
    units : ndarray (n,)
        Unit of each row, 0 .. n_units - 1.
    n_units : int
    skip : collection of int
        Units without which the variances cannot be estimated; their entries are NaN.

    Returns
    -------
    deletion : Deletion
    variances : ndarray (n_units, m)
        Variance parameters of the model, in their order.
    failed : dict of int to str
        Units whose search did not converge or had no optimum, and why.
    """
    deviance, basis, full = model.deviance_function, model.basis, model.estimates
    rows = standard_rows(model)
    parameters = variance_parameters(model.factors, sigma_known=model.known_sigma is not None)
    p = deviance.cross.p
    members = np.split(np.argsort(units, kind="stable"), np.cumsum(np.bincount(units, minlength=n_units))[:-1])
    result = Deletion(
        params=np.full((n_units, p), np.nan),
        se=np.full((n_units, p), np.nan),
        distance=np.full(n_units, np.nan),
        covratio=np.full(n_units, np.nan),
        sigma=np.full(n_units, np.nan),
        lost=np.zeros((n_units, p), dtype=bool),
    )
    variances = np.full((n_units, len(parameters)), np.nan)
    failed: dict[int, str] = {}
    root = np.linalg.cholesky(full.cov_beta)
    for unit in range(n_units):
        rest = _without(deviance.cross, rows.blocks[deviance.cross.order[0]].codes, rows.take(members[unit]))
        values, vectors = np.linalg.eigh(rest.A_BB[:p, :p])
        if values[0] <= LEAST_INFORMATION:
            result.lost[unit] = _in_null_space(basis.R_inverse, values[None], vectors[None])[0]
        elif rest.n <= p:
            result.lost[unit] = True
        if result.lost[unit].any() or unit in skip:
            continue
        without = ProfiledDeviance(rest, deviance.covariances, reml=deviance.reml, sigma=deviance.sigma)
        try:
            optimum = find_optimum(without, model.optimum.theta, model.control)
        except ModelError as error:
            failed[unit] = str(error)
            continue
        if not optimum.converged:
            failed[unit] = "the search for the optimum did not converge"
        found = estimates(without, optimum.evaluation, basis, model.known_sigma)
        covariances = found.covariances
        variances[unit] = [parameter.value(covariances, found.sigma) for parameter in parameters]
        change = np.linalg.solve(root, found.beta - full.beta)
        result.params[unit] = found.beta
        result.se[unit] = np.sqrt(np.diagonal(found.cov_beta))
        result.distance[unit] = change @ change
        result.covratio[unit] = np.exp(np.linalg.slogdet(found.cov_beta)[1] - np.linalg.slogdet(full.cov_beta)[1])
        result.sigma[unit] = found.sigma
    return result, variances, failed


def _without(cross: CrossProducts, codes: IntArray, gone: StandardRows) -> CrossProducts:
    """
    Cross-products without some rows.

    Levels of the first block, which are at ``codes`` (n,) in the full fit, get zeros, not rounding errors, where no row
    is left.
    """
    rest = cross - cross_products(gone.blocks, gone.X, gone.y)
    own = gone.blocks[cross.order[0]]
    empty = np.bincount(codes, minlength=own.n_levels) == np.bincount(own.codes, minlength=own.n_levels)
    return replace(rest, A_11=np.where(empty, 0.0, rest.A_11), A_B1=np.where(empty, 0.0, rest.A_B1))


def too_few_levels(model: FittedModel, units: IntArray, n_units: int) -> dict[int, str]:
    """Grouping factor that would be left with a single level, by unit without which this is so."""
    found: dict[int, str] = {}
    for factor in model.factors:
        pairs = np.unique(units * factor.n_levels + factor.codes)
        # A level is lost with a unit when all of its rows belong to that unit.
        levels, counts = pairs % factor.n_levels, np.bincount(pairs % factor.n_levels, minlength=factor.n_levels)
        alone = pairs[counts[levels] == 1] // factor.n_levels
        for unit in np.flatnonzero(np.bincount(alone, minlength=n_units) >= factor.n_levels - 1):
            found.setdefault(int(unit), factor.group)
    return found
