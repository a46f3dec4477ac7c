"""The profiled deviance without its gradient: what is left of fixed effects and response at a value of theta."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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
