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
complement, dense by connected component), the border [X y]. Writing E = Z' V^-1 X, g = Z' V^-1 (y - X beta) and j for
a level, the derivative with respect to the covariance matrix of a block is

    M = df/dSigma = sum_j [ (Z' V^-1 Z)_jj - (E C^-1 E')_jj - (nu / rho^2) g_j g_j' ]

(the middle term for REML only; 1 / sigma^2 in place of nu / rho^2 where sigma is known) and df/dT = 2 M T.

References
----------
Bates, D., Maechler, M., Bolker, B. and Walker, S. (2015). Fitting linear mixed-effects models using lme4. Journal of
Statistical Software 67(1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.linalg import lapack

from lmm.covariance import Covariance
from lmm.crossproducts import CrossProducts
from lmm.errors import ModelError
from lmm.linalg import (
    FloatArray,
    IntArray,
    cholesky_levels,
    positive_part,
    solve_lower_levels,
    solve_upper_levels,
)
from lmm.tail import Tail, build_tail
from lmm.tailfactor import TailFactor, factor_tail


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
        Cholesky factors of the first block of Omega.
    tail : TailFactor or None
    border : ndarray (p + 1, p + 1)
        Lower Cholesky factor of the border after both eliminations; its last diagonal entry is rho.
    b_1 : ndarray (p + 1, k, J)
        Lambda Omega^-1 Lambda' Z' [X y], first block.
    b_T : ndarray (p + 1, q_T)
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
    M: list[FloatArray]

    @property
    def rho2(self) -> float:
        """Penalised residual sum of squares, the minimum over beta and u."""
        return float(self.border[-1, -1] ** 2)

    @property
    def beta(self) -> FloatArray:
        """Fixed effects at this theta, shape (p,)."""
        p = len(self.border) - 1
        beta: FloatArray = lapack.dtrtrs(self.border[:p, :p], self.border[p, :p], lower=1, trans=1)[0]
        return beta


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
    """

    def __init__(
        self, cross: CrossProducts, covariances: Sequence[Covariance], *, reml: bool, sigma: float | None = None
    ) -> None:
        self.cross = cross
        self.covariances = tuple(covariances)
        self.reml = reml
        self.sigma = sigma
        self.nu = cross.n - cross.p if reml else cross.n
        bounds = np.cumsum([0, *(covariance.n_theta for covariance in covariances)])
        self.slices = tuple(slice(int(bounds[i]), int(bounds[i + 1])) for i in range(len(covariances)))
        self.tail: Tail | None = (
            build_tail(cross.sizes[0], cross.sizes[1:], cross.with_first, cross.within) if cross.with_first else None
        )

    @property
    def n_theta(self) -> int:
        """Number of parameters."""
        return self.slices[-1].stop

    def evaluate(self, theta: FloatArray) -> Evaluation:
        """Value and gradient at theta, shape (m,)."""
        cross, tail = self.cross, self.tail
        p = cross.p
        factors = [self.covariances[t].factor(theta[self.slices[t]]) for t in cross.order]
        T = factors[0]
        L, log_det = self._factor_first(T)
        # Z' [Z X y] of the first block, scaled and reduced: L^-1 T' A.
        reduced = solve_lower_levels(L, T.T @ np.concatenate([cross.A_11, cross.A_B1]))
        reduced_Z, reduced_B = reduced[: len(T)], reduced[len(T) :]
        border = cross.A_BB - _gram(reduced_B, reduced_B)

        if tail is None:
            tail_factor = None
            b_T, b_1 = cross.A_BT, T @ solve_upper_levels(L, reduced_B)
            rest_B1 = cross.A_B1
        else:
            Q, D = _inverse_blocks(T, L)
            tail_factor = factor_tail(tail, D, factors[1:])
            log_det += tail_factor.log_det
            B_T = cross.A_BT - _times_first(tail, np.einsum("abj,pbj->paj", D, cross.A_B1))
            b_T, inner = tail_factor.solve(B_T)
            border = border - inner
            rest_B1 = cross.A_B1 - (tail.A_T1.T @ b_T.T).T.reshape(cross.A_B1.shape)
            b_1 = np.einsum("abj,pbj->paj", D, rest_B1)

        border = _cholesky_border(border)
        rho2 = border[p, p] ** 2
        value = log_det + self._sigma_term(rho2)
        if self.reml:
            value += 2.0 * np.log(np.diagonal(border)[:p]).sum()

        # E and g of the module's docstring as one matrix of rows, each with the square root of its weight.
        combine = self._gradient_rows(border)
        b_1n, rest_1n = _combine(combine, b_1), _combine(combine, rest_B1)
        E_1 = rest_1n - np.einsum("abj,pbj->paj", cross.A_11, b_1n)
        M_1 = cross.A_11.sum(axis=2) - np.einsum("acj,bcj->ab", reduced_Z, reduced_Z)
        M_1 -= np.einsum("paj,pbj->ab", E_1, E_1)
        M = [M_1]
        if tail is not None and tail_factor is not None:
            H = np.eye(len(T))[:, :, None] - np.einsum("acj,bcj->abj", reduced_Z, Q)
            M_1 -= np.einsum("acj,cdj,bdj->ab", H, tail.schur_adjoint(tail_factor.covariance), H)
            b_Tn = combine @ b_T
            E_T = combine @ cross.A_BT - (tail.A_TT_full @ b_Tn.T).T - _times_first(tail, b_1n)
            start = 0
            for t, (k, J) in enumerate(tail.sizes):
                E = E_T[:, start : start + k * J].reshape(-1, k, J)
                start += k * J
                M.append(tail_factor.trace_blocks(t) - np.einsum("paj,pbj->ab", E, E))

        gradient = np.empty(len(theta))
        for place, t in enumerate(cross.order):
            dT = 2.0 * M[place] @ factors[place]
            gradient[self.slices[t]] = np.einsum("mab,ab->m", self.covariances[t].tangents, dT)
        return Evaluation(theta, float(value), gradient, factors, L, tail_factor, border, b_1, b_T, M)

    def curvature(self, at: Evaluation) -> FloatArray:
        """
        Positive semidefinite approximation, shape (m, m), of the Hessian of the deviance in theta.

        The average information of the directions dSigma/dtheta_i, plus the curvature <M, d2 Sigma / dtheta_i dtheta_j>
        of the way theta enters Sigma, with the positive part of M: at an optimum M is positive semidefinite, and on
        the boundary this second term is all there is.
        """
        B = np.zeros((self.n_theta, self.n_theta))
        directions = []
        for place, (t, T) in enumerate(zip(self.cross.order, at.factors, strict=True)):
            tangents = self.covariances[t].tangents
            d_sigma = tangents @ T.T
            directions.append(d_sigma + d_sigma.transpose(0, 2, 1))
            M = positive_part(at.M[place])
            B[self.slices[t], self.slices[t]] = 2.0 * np.einsum("iab,ac,jcb->ij", tangents, M, tangents)
        in_theta_order = np.argsort(
            np.concatenate([np.arange(self.slices[t].start, self.slices[t].stop) for t in self.cross.order])
        )
        return B + self.average_information(at, directions)[np.ix_(in_theta_order, in_theta_order)]

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
        cross, tail, p = self.cross, self.tail, self.cross.p
        h_1, h_T = self._working_effects(at, directions)
        # Z' w, [X y]' w and w' w for the working columns w_i = V_i P y = Z h_i.
        w_1 = np.einsum("abj,mbj->maj", cross.A_11, h_1)
        w_T = np.zeros_like(h_T)
        if tail is not None:
            w_1 += (tail.A_T1.T @ h_T.T).T.reshape(h_1.shape)
            w_T = (tail.A_TT_full @ h_T.T).T + _times_first(tail, h_1)
        B_w = _gram(cross.A_B1, h_1) + cross.A_BT @ h_T.T
        inner = _gram(h_1, w_1) + h_T @ w_T.T
        # w_i' P w_j: what is left of w' w after the eliminations of Z and X.
        b_w1, b_wT = self._solve(at, w_1, w_T)
        inner -= _gram(w_1, b_w1) + w_T @ b_wT.T
        B_w -= _gram(cross.A_B1, b_w1) + cross.A_BT @ b_wT.T
        reduced = lapack.dtrtrs(at.border, B_w, lower=1)[0]
        inner -= reduced[:p].T @ reduced[:p]
        if self.sigma is not None:
            return inner / self.sigma**2
        slope = reduced[p]  # y' P w / rho
        information: FloatArray = (self.nu / at.rho2) * (inner - np.outer(slope, slope))
        return information

    def _working_effects(self, at: Evaluation, directions: Sequence[FloatArray]) -> tuple[FloatArray, FloatArray]:
        """Rows dSigma_i Z' P y of the first block, shape (m, k, J), and of the tail, shape (m, q_T)."""
        cross, tail = self.cross, self.tail
        residual = np.append(-at.beta, 1.0)
        b_1, b_T = _combine(residual[None], at.b_1), residual @ at.b_T
        e_1 = (_combine(residual[None], cross.A_B1) - np.einsum("abj,pbj->paj", cross.A_11, b_1))[0]
        e_T = residual @ cross.A_BT
        if tail is not None:
            e_1 -= (tail.A_T1.T @ b_T).reshape(e_1.shape)
            e_T -= tail.A_TT_full @ b_T + _times_first(tail, b_1)[0]
        m = sum(len(d_sigma) for d_sigma in directions)
        h_1, h_T = np.zeros((m, *e_1.shape)), np.zeros((m, len(e_T)))
        row, start = len(directions[0]), 0
        h_1[:row] = directions[0] @ e_1
        for (k, J), d_sigma in zip(cross.sizes[1:], directions[1:], strict=True):
            e = e_T[start : start + k * J].reshape(k, J)
            h_T[row : row + len(d_sigma), start : start + k * J] = (d_sigma @ e).reshape(len(d_sigma), k * J)
            row += len(d_sigma)
            start += k * J
        return h_1, h_T

    def _solve(self, at: Evaluation, A_1: FloatArray, A_T: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Lambda Omega^-1 Lambda' times rows of shapes (m, k, J) and (m, q_T)."""
        T = at.factors[0]
        if self.tail is None or at.tail is None:
            return T @ solve_upper_levels(at.L, solve_lower_levels(at.L, T.T @ A_1)), A_T
        D = self._first_inverse(at)
        rest_T = A_T - _times_first(self.tail, np.einsum("abj,pbj->paj", D, A_1))
        b_T, _ = at.tail.solve(rest_T)
        rest_1 = A_1 - (self.tail.A_T1.T @ b_T.T).T.reshape(A_1.shape)
        return np.einsum("abj,pbj->paj", D, rest_1), b_T

    def _first_inverse(self, at: Evaluation) -> FloatArray:
        """D = T (T' A_jj T + I)^-1 T' of the first block, shape (k, k, J)."""
        return _inverse_blocks(at.factors[0], at.L)[1]

    def conditional_covariances(self, at: Evaluation) -> list[FloatArray]:
        """
        Relative covariance of the random effects of each level given y and beta.

        Diagonal blocks of Lambda Omega^-1 Lambda', shape (k_t, k_t, J_t), in the order of the cross-products.
        """
        D = self._first_inverse(at)
        if self.tail is None or at.tail is None:
            return [D]
        R = self.tail.schur_adjoint(at.tail.covariance)
        first = D + np.einsum("acj,cdj,dbj->abj", D, R, D)
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
        p = self.cross.p
        m = len(next(iter(rows.values()))[1])
        within, shift = np.zeros(m), np.zeros((p, m))
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
                within += np.einsum("ma,am->m", z, Dz)
                if self.tail is not None:
                    reached = _row_matrix(Dz, codes, 0, J, k * J) @ self.tail.A_T1.T
                    tail_rows = tail_rows - sparse.csr_array(reached)
            else:
                columns = codes + J * np.arange(k)[:, None] + offset
                shift += np.einsum("pam,ma->pm", at.b_T[:p][:, columns], z)
                tail_rows = tail_rows + _row_matrix(z.T, codes, offset, J, at.b_T.shape[1])
        if at.tail is not None:
            within += at.tail.quadratic_forms(tail_rows)
        return within, shift

    def _factor_first(self, T: FloatArray) -> tuple[FloatArray, float]:
        """Cholesky factors of T' A_jj T + I for all levels, and the log of their determinants' product."""
        A = self.cross.A_11
        k = len(T)
        outer = (T.T[:, None, :, None] * T.T[None, :, None, :]).reshape(k * k, k * k)
        omega = (outer @ A.reshape(k * k, -1)).reshape(A.shape)
        omega[np.arange(k), np.arange(k)] += 1.0
        L = cholesky_levels(omega)
        return L, 2.0 * float(np.log(L[np.arange(k), np.arange(k)]).sum())

    def _sigma_term(self, rho2: float) -> float:
        """Give the part of the deviance that the residual variance is profiled from."""
        if self.sigma is None:
            return self.nu * (1.0 + float(np.log(2.0 * np.pi * rho2 / self.nu)))
        return self.nu * float(np.log(2.0 * np.pi * self.sigma**2)) + rho2 / self.sigma**2

    def _gradient_rows(self, border: FloatArray) -> FloatArray:
        """Combine [X y] into rows whose squares add up to E C^-1 E' + (nu / rho^2) g g'."""
        p1 = len(border)
        inverse: FloatArray = lapack.dtrtri(border, lower=1)[0]
        weight = self.nu if self.sigma is None else border[-1, -1] ** 2 / self.sigma**2
        rows = inverse if self.reml else inverse[p1 - 1 :]
        rows[-1] *= np.sqrt(weight)
        return rows


def _row_matrix(values: FloatArray, codes: IntArray, offset: int, J: int, width: int) -> sparse.csr_array:
    """Sparse rows of k values each, shape (m, width), from values of shape (k, m): effect a in column a J + code."""
    k, m = values.shape
    columns = codes[:, None] + J * np.arange(k) + offset
    return sparse.csr_array((values.T.ravel(), columns.ravel(), np.arange(0, m * k + 1, k)), shape=(m, width))


def _inverse_blocks(T: FloatArray, L: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Q = L^-1 T' (rows of its transpose) and D = Q' Q for all levels, each of shape (k, k, J)."""
    Q = solve_lower_levels(L, np.broadcast_to(T[:, :, None], L.shape))
    return Q, np.einsum("acj,bcj->abj", Q, Q)


def _gram(one: FloatArray, other: FloatArray) -> FloatArray:
    """Inner products of rows of shape (m, k, J)."""
    product: FloatArray = one.reshape(len(one), -1) @ other.reshape(len(other), -1).T
    return product


def _combine(rows: FloatArray, B: FloatArray) -> FloatArray:
    """Linear combinations, shape (r, k, J), of border rows of shape (p + 1, k, J)."""
    product: FloatArray = (rows @ B.reshape(len(B), -1)).reshape(-1, *B.shape[1:])
    return product


def _cholesky_border(border: FloatArray) -> FloatArray:
    """Lower Cholesky factor of the border; the border of a full-rank design is positive definite."""
    factor, info = lapack.dpotrf(border, lower=1, clean=1)
    if info != 0:
        raise ModelError(
            "the residual sum of squares is zero to working precision: fixed and random effects together fit "
            "the response exactly, so the residual variance cannot be estimated"
        )
    return np.asarray(factor, dtype=np.float64)


def _times_first(tail: Tail, b_1: FloatArray) -> FloatArray:
    """A_T1 b for rows of shape (m, k, J): result of shape (m, q_T)."""
    product: FloatArray = (tail.A_T1 @ b_1.reshape(len(b_1), -1).T).T
    return product
