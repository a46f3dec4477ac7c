"""
The part of the elimination of the first block that does not depend on theta.

Within each level j of the first block, Z_j = Q_j R_j with orthonormal columns Q_j, so that A_jj = R_j' R_j. What Q
explains of the other columns, and what it leaves, are formed once:

    c = Q' [X y],   C = Q' Z_T,   rest = [Z_T X y]' (I - Q Q') [Z_T X y].

At theta, with K_j = I + R_j T T' R_j' and G = K^-1,

    |Omega_11| = prod |K_j|,    [Z_T X y]' V_1^-1 [Z_T X y] = rest + [C c]' G [C c]:

sums of positive terms, so that no digits are lost when the random effects are much larger than the residuals.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from lmm.crossproducts import CrossProducts
from lmm.linalg import FloatArray, cholesky_levels, solve_lower_levels
from lmm.tail import Incidence, Tail, build_tail

# Share of its length below which a column within a level counts as a combination of those before it.
RANK_TOLERANCE = 1e-13


@dataclass(frozen=True)
class Reduction:
    """
    Cross-products with the first block in orthonormal columns.

    Attributes
    ----------
    R : ndarray (k, k, J)
        Upper triangular factors of the levels of the first block.
    c_B : ndarray (p + 1, k, J)
        Q' [X y], row by row of [X y].
    rest_BB : ndarray (p + 1, p + 1)
        [X y]' (I - Q Q') [X y].
    rest_BT : ndarray (p + 1, q_T)
        [X y]' (I - Q Q') Z_T.
    tail : Tail or None
    """

    R: FloatArray
    c_B: FloatArray  # noqa: N815  (B is for the border)
    rest_BB: FloatArray  # noqa: N815
    rest_BT: FloatArray  # noqa: N815
    tail: Tail | None

    @cached_property
    def divisor(self) -> FloatArray:
        """R' of each level, lower triangular, for c = R'^-1 Z'y, shape (k, k, J)."""
        return _divisor(self.R)

    def with_response(self, cross: CrossProducts) -> Reduction:
        """Reduction of cross-products that differ from those reduced in the last row of the border only."""
        c_B, rest_BB, rest_BT = self.c_B.copy(), cross.A_BB.copy(), self.rest_BT.copy()
        c_B[-1:] = solve_lower_levels(self.divisor, cross.A_B1[-1:])
        flat = c_B.reshape(len(c_B), -1)
        rest_BB[:-1, :-1] = self.rest_BB[:-1, :-1]
        rest_BB[-1] -= flat @ flat[-1]
        rest_BB[:, -1] = rest_BB[-1]
        rest_BT[-1] = cross.A_BT[-1] if self.tail is None else cross.A_BT[-1] - self.tail.C @ flat[-1]
        return replace(self, c_B=c_B, rest_BB=rest_BB, rest_BT=rest_BT)


def reduce_first_block(cross: CrossProducts) -> Reduction:
    """Change the first block to orthonormal columns within its levels."""
    R = cholesky_levels(cross.A_11, tolerance=RANK_TOLERANCE).transpose(1, 0, 2).copy()
    lower = _divisor(R)
    c_B = solve_lower_levels(lower, cross.A_B1)
    flat = c_B.reshape(len(c_B), -1)
    tail, rest_BT = None, cross.A_BT
    if cross.with_first:
        meetings = tuple(_orthonormal(incidence, lower) for incidence in cross.with_first)
        tail = build_tail(cross.sizes[0], cross.sizes[1:], meetings, cross.within)
        rest_BT = cross.A_BT - (tail.C @ flat.T).T
    return Reduction(R, c_B, cross.A_BB - flat @ flat.T, rest_BT, tail)


def _divisor(R: FloatArray) -> FloatArray:
    """R' with infinite pivots where they are zero: a direction in which a level has no columns explains nothing."""
    lower = R.transpose(1, 0, 2).copy()
    diagonal = np.arange(len(lower))
    pivots = lower[diagonal, diagonal]
    lower[diagonal, diagonal] = np.where(pivots > 0.0, pivots, np.inf)
    return lower


def _orthonormal(incidence: Incidence, lower: FloatArray) -> Incidence:
    """Cross-products of Q, instead of the first block's own columns, with a block of the tail."""
    values = solve_lower_levels(lower[:, :, incidence.rows], incidence.values.transpose(1, 0, 2))
    return Incidence(incidence.rows, incidence.columns, values.transpose(1, 0, 2))
