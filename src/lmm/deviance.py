"""
The profiled deviance of a linear mixed model, with its exact gradient, as a function of theta.

With V = I + Z Sigma Z' (Sigma holds T T' for every level of every grouping factor, relative to the residual variance)

    Omega = Lambda' Z'Z Lambda + I,     |V| = |Omega|,     C = X' V^-1 X,     rho^2 = min over beta of
    (y - X beta)' V^-1 (y - X beta)

and, profiled over beta and sigma (Bates et al. 2015, eqs. 34 and 41),

    ML:    f = log|Omega| + n (1 + log(2 pi rho^2 / n))
    REML:  f = log|Omega| + log|C| + (n - p) (1 + log(2 pi rho^2 / (n - p)))
    sigma known: the last term is  nu log(2 pi sigma^2) + rho^2 / sigma^2,  with nu = n or n - p.

Three eliminations give all of it: the first block (block diagonal, all levels at once), the tail (its Schur
complement, in sparse stages and a dense core), the border [X y]. Writing E = Z' V^-1 X, g = Z' V^-1 (y - X beta) and j
for a level, the derivative with respect to the covariance matrix of a block is

    M = df/dSigma = sum_j [ (Z' V^-1 Z)_jj - (E C^-1 E')_jj - (nu / rho^2) g_j g_j' ]

(the middle term for REML only; 1 / sigma^2 in place of nu / rho^2 where sigma is known) and df/dT = 2 M T.

References
----------
Bates, D., Maechler, M., Bolker, B. and Walker, S. (2015). Fitting linear mixed-effects models using lme4. Journal of
Statistical Software 67(1).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.linalg import lapack

from lmm.border import eliminate_effects
from lmm.covariance import Covariance
from lmm.crossproducts import CrossProducts
from lmm.errors import ModelError
from lmm.linalg import (
    FloatArray,
    IntArray,
    cholesky_levels,
    diagonal_levels,
    inverse_levels,
    positive_part,
    solve_lower_levels,
    solve_upper_levels,
)
from lmm.reduction import Reduction, reduce_first_block
from lmm.tail import Tail
from lmm.tailfactor import TailFactor, is_small

NO_RESIDUAL = (
    "Fixed and random effects together fit the response exactly: the residual sum of squares is zero to working "
    "precision, so that the residual variance cannot be estimated."
)


@dataclass(frozen=True)
class Evaluation:
    """
    The profiled deviance at one theta and the state it was computed from.

    Attributes
    ----------
    theta : ndarray (m,)
    value : float
    gradient : ndarray (m,)
    factors : list of ndarray (k_t, k_t)
        Relative factors T of the blocks, in the order of the cross-products.
    L : ndarray (k, k, J)
        Cholesky factors of the K_j of the first block (see `lmm.reduction`).
    tail : TailFactor or None
    border : ndarray (p + 1, p + 1)
        Lower Cholesky factor of the border after both eliminations; its last diagonal entry is rho.
    b_1 : ndarray (p + 1, k, J)
        Lambda Omega^-1 Lambda' Z' [X y], first block.
    b_T : ndarray (p + 1, q_T)
        The same, tail.
    E_1 : ndarray (p + 1, k, J)
        Z' V^-1 [X y], first block.
    E_T : ndarray (p + 1, q_T)
        The same, tail.
    M : list of ndarray (k_t, k_t)
        df/dSigma of the blocks, in the order of the cross-products.
    """

    theta: FloatArray
    value: float
    gradient: FloatArray
    factors: list[FloatArray]
    L: FloatArray
    tail: TailFactor | None
    border: FloatArray
    b_1: FloatArray
    b_T: FloatArray  # noqa: N815  (T is for the tail)
    E_1: FloatArray
    E_T: FloatArray
    M: list[FloatArray]

    @property
    def rho2(self) -> float:
        """Penalised residual sum of squares, the minimum over beta and u."""
        return float(self.border[-1, -1] ** 2)

    @property
    def beta(self) -> FloatArray:
        """Fixed effects at this theta, shape (p,)."""
        p = len(self.border) - 1
        if p == 0:
            return np.zeros(0)
        beta: FloatArray = lapack.dtrtrs(self.border[:p, :p], self.border[p, :p], lower=1, trans=1)[0]
        return beta

    @property
    def residual(self) -> FloatArray:
        """Combination of the columns [X y] that gives y - X beta, shape (p + 1,)."""
        combination = np.ones(len(self.border))
        combination[:-1] = -self.beta
        return combination


@dataclass(frozen=True)
class _FirstRows:
    """Rows in the first block: columns z, shape (m, k), levels (m,), and D z, shape (k, m), for D of their level."""

    z: FloatArray
    codes: IntArray
    Dz: FloatArray


class ProfiledDeviance:
    """
    Profiled ML deviance or REML criterion.

    Parameters
    ----------
    cross : CrossProducts
    covariances : sequence of Covariance
        Structure of each block, in the order in which the blocks were given to `cross_products`.
    reml : bool
    sigma : float, optional
        Known residual standard deviation; profiled out where None.
    reduction : Reduction, optional
        The first block of the same cross-products, where another deviance has reduced it already.
    """

    def __init__(
        self,
        cross: CrossProducts,
        covariances: Sequence[Covariance],
        *,
        reml: bool,
        sigma: float | None = None,
        reduction: Reduction | None = None,
    ) -> None:
        self.cross = cross
        self.covariances = tuple(covariances)
        self.reml = reml
        self.sigma = sigma
        self.nu = cross.n - cross.p if reml else cross.n
        bounds = np.cumsum([0, *(covariance.n_theta for covariance in covariances)])
        self.slices = tuple(slice(int(bounds[i]), int(bounds[i + 1])) for i in range(len(covariances)))
        self.reduction = reduce_first_block(cross) if reduction is None else reduction

    def with_response(self, first: FloatArray, tail: FloatArray, *, sigma: float | None = None) -> ProfiledDeviance:
        """
        The deviance of another response, which is orthogonal to X and has a mean square of 1.

        Parameters
        ----------
        first : ndarray (k, J)
            Z'y of the first block.
        tail : ndarray (q_T,)
            Z'y of the tail.
        sigma : float, optional
            Known residual standard deviation in the units of this response.
        """
        other = copy.copy(self)
        other.cross = self.cross.with_response(first, tail)
        other.reduction = self.reduction.with_response(other.cross)
        other.sigma = sigma
        return other

    def with_structures(self, covariances: Sequence[Covariance]) -> ProfiledDeviance:
        """The same deviance in other parameters, as many for each block."""
        other = copy.copy(self)
        other.covariances = tuple(covariances)
        return other

    @property
    def tail(self) -> Tail | None:
        """The blocks after the first; None where there is one block."""
        return self.reduction.tail

    @property
    def n_theta(self) -> int:
        """Number of parameters."""
        return self.slices[-1].stop

    def sigma_at(self, theta: FloatArray) -> float | None:  # noqa: ARG002 - other criteria tie sigma to theta
        """Residual standard deviation that goes with theta; None where it is profiled out."""
        return self.sigma

    def evaluate(self, theta: FloatArray) -> Evaluation:
        """Value and gradient at theta, shape (m,)."""
        cross, reduction, tail = self.cross, self.reduction, self.tail
        sigma = self.sigma_at(theta)
        p = cross.p
        factors = self.factors_at(theta)
        T = factors[0]
        eliminated = eliminate_effects(reduction, factors)
        half_R, G, b_T = eliminated.half_R, eliminated.G, eliminated.b_T
        M_1 = np.einsum("acj,bcj->ab", half_R, half_R)
        M = [M_1]

        if tail is None or eliminated.tail is None or G is None:
            E_T = b_T
            E_1 = np.einsum("acj,pcj->paj", half_R, eliminated.half_B)
        else:
            GR = np.einsum("cdj,daj->caj", G, reduction.R)
            G_rest = np.einsum("abj,pbj->paj", G, reduction.c_B - _to_first(tail, b_T))
            E_1 = np.einsum("caj,pcj->paj", reduction.R, G_rest)
            E_T = self._tail_scores(tail, factors[1:], b_T, G_rest)
            M_1 -= np.einsum("caj,cdj,dbj->ab", GR, tail.schur_adjoint(eliminated.tail.covariance), GR)
            M.extend(eliminated.tail.trace_blocks(t) for t in range(len(tail.sizes)))

        border = _cholesky_border(eliminated.products)
        value = eliminated.log_det + self._sigma_term(border[p, p] ** 2, sigma)
        if self.reml:
            value += 2.0 * np.log(np.diagonal(border)[:p]).sum()

        # E and g of the module's docstring as rows, each with the square root of its weight.
        combine = self._gradient_rows(border, sigma)
        for place, scores in enumerate(cross.by_block(E_1, E_T)):
            rows = (combine @ scores.reshape(p + 1, -1)).reshape(-1, *scores.shape[1:])
            M[place] -= np.einsum("paj,pbj->ab", rows, rows)
        gradient = self.gradient_from(M, factors)
        b_1 = (T @ T.T) @ E_1
        return Evaluation(
            theta, float(value), gradient, factors, eliminated.L, eliminated.tail, border, b_1, b_T, E_1, E_T, M
        )

    def factors_at(self, theta: FloatArray) -> list[FloatArray]:
        """Relative factors T of the blocks, in the order of the cross-products."""
        return [self.covariances[t].factor(theta[self.slices[t]]) for t in self.cross.order]

    def gradient_from(self, M: Sequence[FloatArray], factors: Sequence[FloatArray]) -> FloatArray:
        """Gradient, shape (m,), from df/dSigma and the factors of the blocks in the order of the cross-products."""
        gradient = np.empty(self.n_theta)
        for t, M_t, T in zip(self.cross.order, M, factors, strict=True):
            tangents = self.covariances[t].tangents
            gradient[self.slices[t]] = tangents.reshape(len(tangents), T.size) @ (2.0 * M_t @ T).ravel()
        return gradient

    def _tail_scores(self, tail: Tail, T: list[FloatArray], b_T: FloatArray, G_rest: FloatArray) -> FloatArray:
        """Z_T' V^-1 [X y], shape (p + 1, q_T)."""
        small = [is_small(factor) for factor in T]
        scores = np.empty_like(b_T)
        if any(small):
            scores = self.reduction.rest_BT - (tail.rest_matrix @ b_T.T).T + _to_tail(tail, G_rest)
        start = 0
        for (k, J), factor, is_direct in zip(tail.sizes, T, small, strict=True):
            here = slice(start, start + k * J)
            start += k * J
            if is_direct:
                continue
            # b = T T' E: dividing by T loses no digits while T is not small.
            if k == 1:
                scores[:, here] = b_T[:, here] / factor[0, 0] ** 2
                continue
            half = np.linalg.solve(factor, b_T[:, here].reshape(len(b_T), k, J))
            scores[:, here] = np.linalg.solve(factor.T, half).reshape(len(b_T), -1)
        return scores

    def curvature(self, at: Evaluation) -> FloatArray:
        """
        Positive semidefinite approximation, shape (m, m), of the Hessian of the deviance in theta.

        The average information of the directions dSigma/dtheta_i, plus the curvature <M, d2 Sigma / dtheta_i dtheta_j>
        of the way theta enters Sigma, with the positive part of M: at an optimum M is positive semidefinite, and on
        the boundary this second term is all there is.
        """
        B = self.path_curvature([positive_part(M) for M in at.M])
        return B + self.average_information(at, self.tangent_directions(at))[self._theta_grid]

    @cached_property
    def theta_order(self) -> IntArray:
        """Place of each entry of theta among all entries taken block by block, in the order of the cross-products."""
        entries = [np.arange(self.slices[t].start, self.slices[t].stop) for t in self.cross.order]
        return np.argsort(np.concatenate(entries))

    @cached_property
    def _theta_grid(self) -> tuple[IntArray, IntArray]:
        """Rows and columns that bring a matrix over all entries, block by block, into the order of theta."""
        return self.theta_order[:, None], self.theta_order

    def tangent_directions(self, at: Evaluation) -> list[FloatArray]:
        """Derivatives dSigma/dtheta of each block, shape (m_t, k_t, k_t), in the order of the cross-products."""
        directions = []
        for t, T in zip(self.cross.order, at.factors, strict=True):
            d_sigma = self.covariances[t].tangents @ T.T
            directions.append(d_sigma + d_sigma.transpose(0, 2, 1))
        return directions

    def path_curvature(self, M: Sequence[FloatArray]) -> FloatArray:
        """<M, d2 Sigma / dtheta_i dtheta_j>, shape (m, m), for M of each block in the order of the cross-products."""
        B = np.zeros((self.n_theta, self.n_theta))
        for t, weight in zip(self.cross.order, M, strict=True):
            tangents = self.covariances[t].tangents
            B[self.slices[t], self.slices[t]] = 2.0 * np.einsum("iab,ac,jcb->ij", tangents, weight, tangents)
        return B

    def average_information(self, at: Evaluation, directions: Sequence[FloatArray]) -> FloatArray:
        """
        Twice the average of observed and expected information along directions of Sigma.

        With P = V^-1 - V^-1 X C^-1 X' V^-1 and V_i the change of V, its entries are (nu / rho^2) y' P V_i P V_j P y
        less what profiling sigma takes off. They need no trace: V_i P y stands in the column space of Z, so each
        direction costs one solve.

        Parameters
        ----------
        at : Evaluation
        directions : sequence of ndarray (m_t, k_t, k_t)
            Changes dSigma of each block, in the order of the cross-products.

        Returns
        -------
        ndarray (m, m)
            m is the sum of the m_t.

        References
        ----------
        Gilmour, A. R., Thompson, R. and Cullis, B. R. (1995). Average information REML: an efficient algorithm for
        variance parameter estimation in linear mixed models. Biometrics 51, 1440-1450.
        """
        p = self.cross.p
        h_1, h_T = self.working_effects(at, directions, at.residual)
        inner = self.inner_products(at, h_1, h_T)
        # [X y]' V^-1 w for the working columns w_i = V_i P y = Z h_i.
        reduced = lapack.dtrtrs(at.border, _gram(at.E_1, h_1) + at.E_T @ h_T.T, lower=1)[0]
        inner -= reduced[:p].T @ reduced[:p]
        sigma = self.sigma_at(at.theta)
        if sigma is not None:
            return inner / sigma**2
        slope = reduced[p]  # y' P w / rho
        information: FloatArray = (self.nu / at.rho2) * (inner - np.outer(slope, slope))
        return information

    def inner_products(self, at: Evaluation, h_1: FloatArray, h_T: FloatArray) -> FloatArray:
        """
        Inner products h_i' Z' V^-1 Z h_j.

        Parameters
        ----------
        at : Evaluation
        h_1 : ndarray (m, k, J)
            Effects of the first block.
        h_T : ndarray (m, q_T)
            Effects of the tail.

        Returns
        -------
        ndarray (m, m)
        """
        explained = np.einsum("cbj,mbj->mcj", self.reduction.R, h_1)
        if self.tail is None or at.tail is None:
            half = solve_lower_levels(at.L, explained)
            return _gram(half, half)
        explained += _to_first(self.tail, h_T)
        half = solve_lower_levels(at.L, explained)
        rest = (self.tail.rest_matrix @ h_T.T).T
        half_T = at.tail.half(rest + _to_tail(self.tail, solve_upper_levels(at.L, half)))
        inner: FloatArray = _gram(half, half) + h_T @ rest.T - half_T.T @ half_T
        return inner

    def column_effects(self, at: Evaluation, first: FloatArray, tail: FloatArray) -> tuple[FloatArray, FloatArray]:
        """
        Lambda Omega^-1 Lambda' Z'v for columns v other than X and y.

        Parameters
        ----------
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
        T = at.factors[0]
        G = inverse_levels(at.L)
        c = solve_lower_levels(self.reduction.divisor, first)
        b_T = tail
        if self.tail is not None and at.tail is not None:
            reduced = np.einsum("abj,pbj->paj", G, c) - c
            b_T, _ = at.tail.solve(tail + _to_tail(self.tail, reduced))
            c = c - _to_first(self.tail, b_T)
        E_1 = np.einsum("caj,cbj,pbj->paj", self.reduction.R, G, c, optimize=True)
        return (T @ T.T) @ E_1, b_T

    def working_effects(
        self, at: Evaluation, directions: Sequence[FloatArray], combination: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """
        Effects dSigma_i Z' V^-1 [X y] c for a combination c of the columns of [X y].

        Parameters
        ----------
        at : Evaluation
        directions : sequence of ndarray (m_t, k_t, k_t)
            Changes dSigma of each block, in the order of the cross-products.
        combination : ndarray (p + 1,)

        Returns
        -------
        h_1 : ndarray (m, k, J)
            Effects of the first block; m is the sum of the m_t.
        h_T : ndarray (m, q_T)
            Effects of the tail.
        """
        scores = [
            (combination @ E.reshape(len(combination), -1)).reshape(E.shape[1:])
            for E in self.cross.by_block(at.E_1, at.E_T)
        ]
        m = sum(len(d_sigma) for d_sigma in directions)
        h_1, h_T = np.zeros((m, *scores[0].shape)), np.zeros((m, at.E_T.shape[1]))
        row, start = len(directions[0]), 0
        h_1[:row] = directions[0] @ scores[0]
        for score, d_sigma in zip(scores[1:], directions[1:], strict=True):
            stop = start + score.size
            h_T[row : row + len(d_sigma), start:stop] = (d_sigma @ score).reshape(len(d_sigma), score.size)
            row, start = row + len(d_sigma), stop
        return h_1, h_T

    def _first_inverse(self, at: Evaluation) -> FloatArray:
        """D = T (T' A_jj T + I)^-1 T' of the first block, shape (k, k, J)."""
        T = at.factors[0]
        RT = np.einsum("cbj,ba->caj", self.reduction.R, T)
        omega = np.einsum("caj,cbj->abj", RT, RT)
        diagonal_levels(omega)[:] += 1.0
        half = solve_lower_levels(cholesky_levels(omega), np.broadcast_to(T[:, :, None], omega.shape))
        return np.asarray(np.einsum("acj,bcj->abj", half, half))

    def conditional_covariances(self, at: Evaluation) -> list[FloatArray]:
        """
        Relative covariance of the random effects of each level given y and beta.

        Diagonal blocks of Lambda Omega^-1 Lambda', shape (k_t, k_t, J_t), in the order of the cross-products.
        """
        D = self._first_inverse(at)
        if self.tail is None or at.tail is None:
            return [D]
        RD = np.einsum("caj,abj->cbj", self.reduction.R, D)
        first = D + np.einsum("caj,cdj,dbj->abj", RD, self.tail.schur_adjoint(at.tail.covariance), RD)
        return [first, *(at.tail.covariance_blocks(t) for t in range(len(self.tail.sizes)))]

    def prediction_terms(
        self, at: Evaluation, rows: Mapping[int, tuple[FloatArray, IntArray]]
    ) -> tuple[FloatArray, FloatArray]:
        """
        What the random effects contribute to the variance of prediction errors.

        Parameters
        ----------
        at : Evaluation
        rows : mapping of int to (ndarray (m, k_t), ndarray (m,))
            Random-effects columns z and level of each row, for blocks numbered as given to `cross_products`.

        Returns
        -------
        within : ndarray (m,)
            z' G z with G = Lambda Omega^-1 Lambda'.
        shift : ndarray (p, m)
            X'Z G z.
        """
        first, tail_rows, shift = self._reached(at, rows)
        within = np.zeros(shift.shape[1])
        if first is not None:
            within += np.einsum("ma,am->m", first.z, first.Dz)
        if at.tail is not None:
            within += at.tail.quadratic_forms(tail_rows)
        return within, shift

    def set_terms(
        self, at: Evaluation, rows: Mapping[int, tuple[FloatArray, IntArray]], size: int
    ) -> tuple[FloatArray, FloatArray]:
        """
        Like `prediction_terms`, with the products between rows of a set: sets of ``size`` consecutive rows each.

        Returns
        -------
        within : ndarray (m / size, size, size)
            Z_U G Z_U' for each set U of rows, with G = Lambda Omega^-1 Lambda'.
        shift : ndarray (p, m)
            X'Z G z.
        """
        first, tail_rows, shift = self._reached(at, rows)
        within = np.zeros((shift.shape[1] // size, size, size))
        if first is not None:
            sets = (-1, size)
            codes = first.codes.reshape(sets)
            products = np.einsum(
                "gsa,agt->gst", first.z.reshape(*sets, len(first.Dz)), first.Dz.reshape(-1, *codes.shape)
            )
            within += np.where(codes[:, :, None] == codes[:, None, :], products, 0.0)
        if at.tail is not None:
            within += at.tail.inner_products(tail_rows, size)
        return within, shift

    def _reached(
        self, at: Evaluation, rows: Mapping[int, tuple[FloatArray, IntArray]]
    ) -> tuple[_FirstRows | None, sparse.csr_array, FloatArray]:
        """The rows in the first block, what they reach in the tail, shape (m, q_T), and X'Z G z, shape (p, m)."""
        p = self.cross.p
        m = len(next(iter(rows.values()))[1])
        first, shift = None, np.zeros((p, m))
        tail_rows = sparse.csr_array((m, at.b_T.shape[1]))
        start = 0
        for place, (t, (k, J)) in enumerate(zip(self.cross.order, self.cross.sizes, strict=True)):
            offset, start = start, start + (k * J if place else 0)
            if t not in rows:
                continue
            z, codes = rows[t]
            if place == 0:
                shift += np.einsum("pam,ma->pm", at.b_1[:p][:, :, codes], z)
                Dz = np.einsum("abm,mb->am", self._first_inverse(at)[:, :, codes], z)
                first = _FirstRows(z, codes, Dz)
                if self.tail is not None:
                    RDz = np.einsum("cbm,bm->cm", self.reduction.R[:, :, codes], Dz)
                    reached = _row_matrix(RDz, codes, 0, J, k * J) @ self.tail.C.T
                    tail_rows = tail_rows - sparse.csr_array(reached)
            else:
                columns = codes + J * np.arange(k)[:, None] + offset
                shift += np.einsum("pam,ma->pm", at.b_T[:p][:, columns], z)
                tail_rows = tail_rows + _row_matrix(z.T, codes, offset, J, at.b_T.shape[1])
        return first, tail_rows, shift

    def _sigma_term(self, rho2: float, sigma: float | None) -> float:
        """Give the part of the deviance that the residual variance is profiled from."""
        if sigma is None:
            return self.nu * (1.0 + float(np.log(2.0 * np.pi * rho2 / self.nu)))
        return self.nu * float(np.log(2.0 * np.pi * sigma**2)) + rho2 / sigma**2

    def _gradient_rows(self, border: FloatArray, sigma: float | None) -> FloatArray:
        """Combine [X y] into rows whose squares add up to E C^-1 E' + (nu / rho^2) g g'."""
        p1 = len(border)
        inverse: FloatArray = lapack.dtrtri(border, lower=1)[0]
        weight = self.nu if sigma is None else border[-1, -1] ** 2 / sigma**2
        rows = inverse if self.reml else inverse[p1 - 1 :]
        rows[-1] *= np.sqrt(weight)
        return rows


def _row_matrix(values: FloatArray, codes: IntArray, offset: int, J: int, width: int) -> sparse.csr_array:
    """Sparse rows of k values each, shape (m, width), from values of shape (k, m): effect a in column a J + code."""
    k, m = values.shape
    columns = codes[:, None] + J * np.arange(k) + offset
    return sparse.csr_array((values.T.ravel(), columns.ravel(), np.arange(0, m * k + 1, k)), shape=(m, width))


def _gram(one: FloatArray, other: FloatArray) -> FloatArray:
    """Inner products of rows of shape (m, k, J)."""
    product: FloatArray = one.reshape(len(one), -1) @ other.reshape(len(other), -1).T
    return product


def _cholesky_border(border: FloatArray) -> FloatArray:
    """Lower Cholesky factor of the border; the border of a full-rank design is positive definite."""
    factor, info = lapack.dpotrf(border, lower=1, clean=1)
    if info != 0:
        raise ModelError(NO_RESIDUAL)
    return np.asarray(factor, dtype=np.float64)


def _to_tail(tail: Tail, rows: FloatArray) -> FloatArray:
    """Rows of shape (m, k, J) over the directions of the first block times C: shape (m, q_T)."""
    product: FloatArray = (tail.C @ rows.reshape(len(rows), -1).T).T
    return product


def _to_first(tail: Tail, rows: FloatArray) -> FloatArray:
    """Rows of shape (m, q_T) times C': shape (m, k, J)."""
    product: FloatArray = (tail.C.T @ rows.T).T.reshape(len(rows), *tail.first)
    return product
