"""Parts of an evaluation of the deviance for those who need no more: no gradient, or no new factorisation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lmm.deviance import Evaluation, ProfiledDeviance
from lmm.linalg import FloatArray, cholesky_levels, inverse_levels, solve_lower_levels
from lmm.reduction import Reduction
from lmm.tailfactor import factor_tail


def border_products(reduction: Reduction, factors: Sequence[FloatArray]) -> tuple[FloatArray, float]:
    """
    Eliminate the random effects.

    Parameters
    ----------
    reduction : Reduction
    factors : sequence of ndarray (k_t, k_t)
        Relative factors T of the blocks, in the order of the cross-products.

    Returns
    -------
    border : ndarray (p + 1, p + 1)
        [X y]' V^-1 [X y].
    log_det : float
        log|Omega|.
    """
    RT = np.einsum("cbj,ba->caj", reduction.R, factors[0])
    K = np.einsum("acj,bcj->abj", RT, RT)
    diagonal = np.arange(len(K))
    K[diagonal, diagonal] += 1.0
    L = cholesky_levels(K)
    log_det = 2.0 * float(np.log(L[diagonal, diagonal]).sum())
    half = solve_lower_levels(L, reduction.c_B).reshape(len(reduction.c_B), -1)
    border: FloatArray = reduction.rest_BB + half @ half.T
    if reduction.tail is not None:
        G = inverse_levels(L)
        tail_factor = factor_tail(reduction.tail, G, list(factors[1:]))
        Gc = np.einsum("abj,pbj->paj", G, reduction.c_B).reshape(len(border), -1)
        border -= tail_factor.solve(reduction.rest_BT + (reduction.tail.C @ Gc.T).T)[1]
        log_det += tail_factor.log_det
    return border, log_det


def column_effects(
    deviance: ProfiledDeviance, at: Evaluation, first: FloatArray, tail: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """
    Lambda Omega^-1 Lambda' Z'v for columns v that the deviance does not know, at the theta of an evaluation.

    Parameters
    ----------
    deviance : ProfiledDeviance
    at : Evaluation
    first : ndarray (r, k, J)
        Z'v of the first block.
    tail : ndarray (r, q_T)
        Z'v of the tail.

    Returns
    -------
    b_1 : ndarray (r, k, J)
    b_T : ndarray (r, q_T)
    """
    reduction, T = deviance.reduction, at.factors[0]
    G = inverse_levels(at.L)
    c = solve_lower_levels(reduction.divisor, first)
    b_T = tail
    if reduction.tail is not None and at.tail is not None:
        C = reduction.tail.C
        reduced = np.einsum("abj,pbj->paj", G, c) - c
        b_T, _ = at.tail.solve(tail + (C @ reduced.reshape(len(c), -1).T).T)
        c = c - (C.T @ b_T.T).T.reshape(c.shape)
    E_1 = np.einsum("caj,cbj,pbj->paj", reduction.R, G, c, optimize=True)
    return (T @ T.T) @ E_1, b_T
