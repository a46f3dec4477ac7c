"""The border [X y] without the random effects: both eliminations of `lmm.deviance`, for a value or for more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lmm.linalg import FloatArray, cholesky_levels, diagonal_levels, inverse_levels, solve_lower_levels
from lmm.reduction import Reduction
from lmm.tailfactor import TailFactor, factor_tail


@dataclass(frozen=True)
class Border:
    """
    The border, and the state of the eliminations that lead to it.

    Attributes
    ----------
    products : ndarray (p + 1, p + 1)
        [X y]' V^-1 [X y].
    log_det : float
        log|Omega|.
    L : ndarray (k, k, J)
        Cholesky factors of the K_j = I + R_j T T' R_j' of the first block.
    half_R : ndarray (k, k, J)
        Columns of L^-1 R of each level, one after the other.
    half_B : ndarray (p + 1, k, J)
        L^-1 c of each level, for c of [X y].
    tail : TailFactor or None
    G : ndarray (k, k, J) or None
        K^-1 of each level; None where there is no tail.
    b_T : ndarray (p + 1, q_T)
        Lambda Omega^-1 Lambda' Z' [X y] of the tail.
    """

    products: FloatArray
    log_det: float
    L: FloatArray
    half_R: FloatArray  # noqa: N815
    half_B: FloatArray  # noqa: N815
    tail: TailFactor | None
    G: FloatArray | None
    b_T: FloatArray  # noqa: N815


def eliminate_effects(reduction: Reduction, factors: Sequence[FloatArray]) -> Border:
    """
    Eliminate the random effects.

    Parameters
    ----------
    reduction : Reduction
    factors : sequence of ndarray (k_t, k_t)
        Relative factors T of the blocks, in the order of the cross-products.
    """
    k = len(reduction.R)
    RT = np.einsum("cbj,ba->caj", reduction.R, factors[0])
    K = np.einsum("acj,bcj->abj", RT, RT)
    diagonal_levels(K)[:] += 1.0
    L = cholesky_levels(K)
    log_det = 2.0 * float(np.log(diagonal_levels(L)).sum())
    half = solve_lower_levels(L, np.concatenate([reduction.R.transpose(1, 0, 2), reduction.c_B]))
    half_R, half_B = half[:k], half[k:]
    flat = half_B.reshape(len(half_B), -1)
    products: FloatArray = reduction.rest_BB + flat @ flat.T
    if reduction.tail is None:
        return Border(products, log_det, L, half_R, half_B, None, None, reduction.rest_BT)
    G = inverse_levels(L)
    tail = factor_tail(reduction.tail, G, list(factors[1:]))
    Gc = np.einsum("abj,pbj->paj", G, reduction.c_B).reshape(len(products), -1)
    b_T, inner = tail.solve(reduction.rest_BT + (reduction.tail.C @ Gc.T).T)
    products -= inner
    return Border(products, log_det + tail.log_det, L, half_R, half_B, tail, G, b_T)
