"""
Strata of a balanced model: orthogonal spaces in each of which every random effect has one variance.

With M the projection that takes X out, a model of independent random effects is balanced for our purpose when the
matrices M Z_i Z_i' M commute. Then the rows, less X, split into orthogonal strata of d_l dimensions, and the mean
square of y in a stratum is distributed as its expectation

    E_l = sigma^2 + sum over i of lambda_il sigma_i^2

times chi-square over d_l, independently of the others: the analysis of variance. The strata are the eigenspaces of a
combination of the matrices with generic coefficients, found from cross-products of the columns of Z.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from lmm.crossproducts import Block
from lmm.linalg import FloatArray
from lmm.memory import require_memory

# Eigenvalues closer than this, relative to the largest, are one; entries below it are zero.
SAME = 1e-8


@dataclass(frozen=True)
class Stratum:
    """
    One stratum.

    Attributes
    ----------
    df : int
        Dimensions d_l.
    mean_square : float
        Of the response.
    multipliers : ndarray (c,)
        The lambda_il of the random effects.
    """

    df: int
    mean_square: float
    multipliers: FloatArray


def strata(blocks: Sequence[Block], Q: FloatArray, y: FloatArray) -> list[Stratum] | None:
    """
    Find the strata of a model.

    Parameters
    ----------
    blocks : sequence of Block
        One block of one effect for each variance, rows multiplied by the square roots of their weights.
    Q : ndarray (n, p)
        Orthonormal basis of the fixed-effects columns.
    y : ndarray (n,)
        Response orthogonal to Q.

    Returns
    -------
    list of Stratum, or None
        None where the matrices do not commute.

    Raises
    ------
    ModelError
        When the cross-products need more memory than the machine has.
    """
    q = sum(block.n_levels for block in blocks)
    require_memory(32.0 * q**2, f"The strata of {q} random effects", "Use lmm.exact_f_test or lmm.lrt.")
    Z = sparse.csc_array(sparse.hstack([block.matrix for block in blocks]))
    W = Z.T @ Q
    G = (Z.T @ Z).toarray() - W @ W.T
    of_block = np.repeat(np.arange(len(blocks)), [block.n_levels for block in blocks])
    sizes = np.array([np.diagonal(G)[of_block == i].mean() for i in range(len(blocks))])
    if (sizes <= 0.0).any():
        return None
    generic = np.sqrt(np.sqrt(np.arange(2.0, len(blocks) + 2.0)) / sizes)[of_block]
    values, vectors = np.linalg.eigh(G * np.outer(generic, generic))
    positive = values > SAME * values[-1]
    values = values[positive]
    # Orthonormal directions are the columns of M Z K.
    K = generic[:, None] * vectors[:, positive] / np.sqrt(values)
    starts = np.flatnonzero(np.diff(values, prepend=-np.inf) > SAME * values[-1])
    multipliers = []
    for i in range(len(blocks)):
        A = K.T @ G[:, of_block == i]
        covariance = A @ A.T
        own = np.diagonal(covariance)
        means = np.add.reduceat(own, starts) / np.diff(starts, append=len(own))
        expected = np.repeat(means, np.diff(starts, append=len(own)))
        if np.abs(covariance - np.diag(expected)).max() > np.sqrt(SAME) * own.max():
            return None
        multipliers.append(np.where(means > np.sqrt(SAME) * own.max(), means, 0.0))
    squares = np.add.reduceat((K.T @ (Z.T @ y)) ** 2, starts)
    counts = np.diff(starts, append=len(values))
    found = [
        Stratum(int(count), float(square / count), lambdas)
        for count, square, lambdas in zip(counts, squares, np.array(multipliers).T, strict=True)
    ]
    left = len(y) - Q.shape[1] - len(values)
    if left > 0:
        found.append(Stratum(left, float((y @ y - squares.sum()) / left), np.zeros(len(blocks))))
    return found
