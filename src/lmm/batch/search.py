"""
Newton steps for many responses at once, with the certificate of `lmm.optimize` for each.

Every round evaluates one candidate for each response that is still searching: a share of its Newton step, or a step off
the boundary. A response whose candidate lowers its deviance moves there; another tries a shorter step in the next
round. Those that are certified, or that no step improves, leave the batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lmm.batch.derivatives import Derivatives, derivatives
from lmm.batch.system import BatchEvaluation, BatchSystem, Statistics
from lmm.linalg import RANK_TOLERANCE, BoolArray, FloatArray, IntArray
from lmm.optimize import FEW_ROWS, RESTARTS, ROUNDING, SHORTEST, SUFFICIENT, VANISHING, Control

# Rounds after which what is left is handed to the search for single responses.
MAX_ROUNDS = 40
# Relative variance that the first step off the boundary takes, and the share of it that each further one keeps.
FIRST_ESCAPE, SHORTER_ESCAPE = 0.1, 0.25
# Share of a Newton step that remains after it failed.
SHORTER = 0.3
# Eigenvalues of the Hessian count as no smaller than this share of the largest.
LEAST_CURVATURE = 1e-10


@dataclass(frozen=True)
class BatchOptimum:
    """
    Where the searches ended.

    Attributes
    ----------
    theta : ndarray (B, n_theta)
    value : ndarray (B,)
    boundary_curvature : ndarray (B,)
        Least eigenvalue of df/dSigma on the null space of T; inf where T has full rank.
    certified : ndarray (B,) of bool
        Whether the optimum is proved; theta is of no use where it is not.
    """

    theta: FloatArray
    value: FloatArray
    boundary_curvature: FloatArray
    certified: BoolArray

    @property
    def on_boundary(self) -> BoolArray:
        """Whether some covariance matrix of random effects is singular, shape (B,)."""
        return np.isfinite(self.boundary_curvature)


@dataclass(frozen=True)
class _Search:
    """
    Searches that go on.

    Attributes
    ----------
    which : ndarray (A,)
        Positions of their responses.
    y : Statistics
    theta : ndarray (A, n_theta)
    value : ndarray (A,)
    noise : ndarray (A,)
        Size of the rounding errors of the deviance.
    step : ndarray (A, n_theta)
        Newton step, cut to a length the quadratic model may be trusted for.
    decrement : ndarray (A,)
        Decrease that the whole step promises.
    curvature : ndarray (A,)
        As in `BatchOptimum`.
    escape : ndarray (A, n_theta)
        Root of the change of Sigma that leads off the boundary: theta of v v' for the least eigenvector v.
    leaving : ndarray (A,) of bool
        Whether the boundary is being left.
    share : ndarray (A,)
        Share of the step, or relative variance of the escape, that is tried next.
    """

    which: IntArray
    y: Statistics
    theta: FloatArray
    value: FloatArray
    noise: FloatArray
    step: FloatArray
    decrement: FloatArray
    curvature: FloatArray
    directions: list[FloatArray]
    leaving: BoolArray
    share: FloatArray
