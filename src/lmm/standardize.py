"""
The change of basis between the user's columns and the ones the core computes with.

Inside, the columns of X are orthonormal (X = Q R), those of each random-effects expression as near to it as their
covariance structure allows (z A), and the response is what X leaves of it, in units of its own length. So a covariate
in nanometres, a time axis with a mean of a million or a response in the billions changes nothing but the last step,
where the results go back to the user's scale:

    beta = beta_0 + s R^-1 gamma,    b = s A b~,    sigma = s sigma~,    T T' = A T~ T~' A'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from lmm.covariance import Covariance
from lmm.crossproducts import Block
from lmm.errors import ModelError
from lmm.linalg import FloatArray, IntArray, triangular_factor

# Below this share of the response's length, what X leaves of it is rounding error.
EXACT_FIT = 1e-13


@dataclass(frozen=True)
class Basis:
    """
    How standardised quantities map to the user's scale.

    Attributes
    ----------
    R_inverse : ndarray (p, p)
        Inverse of the triangular factor of the (weighted) X.
    beta_0 : ndarray (p,)
        Least-squares coefficients, the origin of the standardised ones.
    scale : float
        Length s of the standardised response's unit.
    bases : tuple of ndarray (k_t, k_t)
        A of each block.
    log_weights : float
        Sum of the logs of the weights.
    """

    R_inverse: FloatArray
    beta_0: FloatArray
    scale: float
    bases: tuple[FloatArray, ...]
    log_weights: float

    def criterion_shift(self, nu: int, *, reml: bool) -> float:
        """Give what the user's criterion has that the standardised one lacks."""
        shift = 2.0 * nu * float(np.log(self.scale)) - self.log_weights
        if reml:
            shift -= 2.0 * float(np.log(np.abs(np.diagonal(self.R_inverse))).sum())
        return shift


@dataclass(frozen=True)
class RawBlock:
    """Random-effects columns of one grouping factor on the user's scale: codes (n,), levels, columns (n, k)."""

    codes: IntArray
    n_levels: int
    columns: FloatArray
    covariance: Covariance


def standardize(
    raw: Sequence[RawBlock],
    X: FloatArray,
    R: FloatArray,
    y: FloatArray,
    weights: FloatArray | None = None,
    *,
    name: str = "response",
) -> tuple[list[Block], FloatArray, FloatArray, Basis]:
    """
    Change to the inner basis.

    Parameters
    ----------
    raw : sequence of RawBlock
    X : ndarray (n, p)
        Fixed-effects columns of full rank.
    R : ndarray (p, p)
        Triangular factor of ``sqrt(w) X``.
    y : ndarray (n,)
        Response less offset.
    weights : ndarray (n,), optional
        Positive weights w; Var(e_i) = sigma^2 / w_i.
    name : str
        Name of the response, for the error message.

    Returns
    -------
    blocks : list of Block
    Q : ndarray (n, p)
        Orthonormal columns.
    residual : ndarray (n,)
        Standardised response, orthogonal to Q, with mean square 1.
    basis : Basis

    Raises
    ------
    ModelError
        When X fits the response exactly.
    """
    n = len(y)
    root = None if weights is None else np.sqrt(weights)
    R_inverse: FloatArray = lapack.dtrtri(R)[0] if len(R) else R
    Q = _times_root(X, root) @ R_inverse
    residual = y if root is None else root * y
    length = float(np.sqrt(residual @ residual))
    coefficients = np.zeros(len(R))
    for _ in range(2):  # the second pass removes the rounding error of the first
        step = Q.T @ residual
        residual = residual - Q @ step
        coefficients += step
    scale = float(np.sqrt(residual @ residual / n))
    if scale * np.sqrt(n) <= EXACT_FIT * length:
        raise ModelError(
            f"The fixed effects fit the response `{name}` exactly: no variation is left for the random effects. "
            "Is the response among the predictors, or made from them?"
        )
    blocks, bases = [], []
    for block in raw:
        columns = _times_root(block.columns, root)
        A = block.covariance.basis(triangular_factor(columns)[0] / np.sqrt(n))
        blocks.append(Block(block.codes, block.n_levels, columns @ A))
        bases.append(A)
    log_weights = 0.0 if weights is None else float(np.log(weights).sum())
    return blocks, Q, residual / scale, Basis(R_inverse, R_inverse @ coefficients, scale, tuple(bases), log_weights)


def _times_root(columns: FloatArray, root: FloatArray | None) -> FloatArray:
    """Columns times the square roots of the weights."""
    return columns if root is None else columns * root[:, None]
