"""
What becomes of the estimates when units of rows are left out: arrays, no labels.

With the variance ratios theta as they are (one step), the share D of the unit in the system of the fixed effects (see
`lmm.diagnostics.shares`), with d for its last column and K = I - D for fixed effects only, gives

    C without the unit = L K L',    beta without the unit = beta - rho L^-T K^-1 d,
    rho^2 without the unit = rho^2 (1 - D_yy - d' K^-1 d),

where X'V^-1 X = C = L L', all of it from the singular values of a root of D: K is singular where X loses rank with the
unit. Exact deletion takes the cross-products of the unit from those of the fit and searches for the optimum again, from
theta-hat.

References
----------
Christensen, R., Pearson, L. M. and Johnson, W. (1992). Case-deletion diagnostics for mixed models. Technometrics 34,
38-45.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import lapack

from lmm.deviance import ProfiledDeviance
from lmm.diagnostics.rows import standard_rows
from lmm.diagnostics.shares import cross_products_without, roots_of_shares
from lmm.errors import ModelError
from lmm.estimates import estimates
from lmm.inference.parameters import variance_parameters
from lmm.linalg import BoolArray, FloatArray, IntArray
from lmm.members import Members
from lmm.optimize import find_optimum

if TYPE_CHECKING:
    from lmm.model import FittedModel

# Share of the information on some coefficient below which a unit is said to carry all of it.
LEAST_INFORMATION = 1e-9
# Share of the largest entry below which an entry of a null vector is rounding error.
NULL_ENTRY = 1e-6


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
    """
    deviance, at, basis = model.deviance_function, model.optimum.evaluation, model.basis
    p = deviance.cross.p
    L_inverse: FloatArray = lapack.dtrtri(at.border[:p, :p], lower=1)[0]
    root = basis.R_inverse @ L_inverse.T  # user's coefficients from those in which C is the identity
    whole = (root**2).sum(axis=1)
    change, se = np.full((n_units, p), np.nan), np.full((n_units, p), np.nan)
    rho2, det_K = np.full(n_units, np.nan), np.full(n_units, np.nan)
    lost = np.zeros((n_units, p), dtype=bool)
    sizes = np.bincount(units, minlength=n_units)
    for some, H in roots_of_shares(model, units, n_units):
        f = H[:, :, p]
        V, d, U = _singular_values(H[:, :, :p])  # U has rows
        left = 1.0 - d**2
        bad = np.flatnonzero(left.min(axis=1) <= LEAST_INFORMATION)
        lost[some[bad]] = _in_null_space(root, left[bad], U[bad].transpose(0, 2, 1))
        lost[some[model.nobs - sizes[some] <= p]] = True  # no more rows than coefficients: nothing left for sigma
        left[np.flatnonzero(lost[some].any(axis=1))] = np.nan
        turned = np.einsum("gsj,gs->gj", V, f)
        change[some] = -np.sqrt(at.rho2) * np.einsum("gji,gj->gi", U, turned * d / left)
        rho2[some] = at.rho2 * (1.0 - (f**2).sum(axis=1) - (turned**2 * d**2 / left).sum(axis=1))
        det_K[some] = left.prod(axis=1)
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
        covratio=(sigma / model.sigma) ** (2 * p) / det_K,
        sigma=sigma,
        lost=lost,
    )


def _singular_values(H: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Left vectors (g, r, s), values (g, s) and right ones (g, s, p) of matrices (g, r, p), s the lesser of r and p."""
    if H.shape[1] > 1:
        return np.linalg.svd(H, full_matrices=False)
    # A single row, as a unit of one row has, is its own right vector.
    lengths = np.sqrt((H**2).sum(axis=2))
    units = H / np.where(lengths > 0.0, lengths, 1.0)[:, :, None]
    return np.ones((len(H), 1, 1)), lengths, units


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
    members = Members(units, n_units)
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
        rest = cross_products_without(deviance.cross, rows, members.of(unit))
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
