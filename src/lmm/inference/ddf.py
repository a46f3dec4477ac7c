"""
Denominator degrees of freedom, and the covariance of the fixed effects that goes with them.

Each method is an `Approximation`: a covariance of beta-hat, the degrees of freedom of single contrasts, and those of a
joint F test with the factor its statistic is scaled by. Contrasts l are taken in the coordinates w = B' l, where B is
the root of Cov(beta-hat): there Var(l' beta-hat) = |w|^2, and its derivative along direction i of the covariance of y
is w' K_i w (see `lmm.inference.forms`). The directions are the tangents of theta at its estimate, and sigma^2: where a
variance is estimated as zero its tangent vanishes, and the fit is treated like the one without that effect.

Degrees of freedom are kept between 1 and the number of rows.

References
----------
Satterthwaite, F. E. (1946). An approximate distribution of estimates of variance components. Biometrics Bulletin 2,
110-114.
Fai, A. H.-T. and Cornelius, P. L. (1996). Approximate F-tests of multiple degree of freedom hypotheses in generalized
least squares analyses of unbalanced split-plot experiments. Journal of Statistical Computation and Simulation 54,
363-378.
Kenward, M. G. and Roger, J. H. (1997). Small sample inference for fixed effects from restricted maximum likelihood.
Biometrics 53, 983-997.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from lmm.arguments import one_of
from lmm.errors import ArgumentError
from lmm.inference.forms import fixed_products, quadratic_forms
from lmm.linalg import FloatArray
from lmm.models import has_random_effects

if TYPE_CHECKING:
    from lmm.linear import LinearModel
    from lmm.model import FittedModel

METHODS = ("satterthwaite", "kenward-roger", "residual", "normal")
# Share of the largest eigenvalue below which a direction of theta carries no information.
NO_INFORMATION = 1e-9
# Degrees of freedom closer together than this, relatively, are equal.
EQUAL = 1e-8
# An F distribution with no more denominator degrees of freedom than this has no mean.
MEAN_EXISTS = 2.0


class Approximation(Protocol):
    """How tests of fixed effects are referred to a t or F distribution."""

    @property
    def cov(self) -> FloatArray:
        """Covariance of beta-hat that the tests use, shape (p, p)."""

    def single(self, W: FloatArray) -> FloatArray:
        """Degrees of freedom, shape (r,), of single contrasts W = L B, shape (r, p)."""

    def joint(self, W: FloatArray) -> tuple[float, float]:
        """Denominator degrees of freedom and scale factor of the F statistic of r independent contrasts W, (r, p)."""


@dataclass(frozen=True)
class Constant:
    """The same degrees of freedom for all contrasts: those of the residuals, or infinitely many."""

    cov: FloatArray
    df: float

    def single(self, W: FloatArray) -> FloatArray:
        """Degrees of freedom of single contrasts."""
        return np.full(len(W), self.df)

    def joint(self, W: FloatArray) -> tuple[float, float]:  # noqa: ARG002 - the same for all
        """Degrees of freedom of a joint test; its statistic is not scaled."""
        return self.df, 1.0


@dataclass(frozen=True)
class Satterthwaite:
    """
    Satterthwaite's approximation: match the first two moments of the estimated variance of a contrast.

    For one contrast with variance v, df = 2 v^2 / (g' A g), where g is the gradient of v in the variance parameters
    and A their asymptotic covariance, from the exact Hessian of the deviance. A joint test is split into independent
    single ones with degrees of freedom df_m; the F statistic's mean then gives its own (Fai & Cornelius 1996).

    Attributes
    ----------
    cov : ndarray (p, p)
    K : ndarray (m, p, p)
        Derivatives of the covariance, in the coordinates of the contrasts.
    A : ndarray (m, m)
        Covariance of the variance parameters.
    n : int
        Number of rows.
    """

    cov: FloatArray
    K: FloatArray
    A: FloatArray
    n: int

    def single(self, W: FloatArray) -> FloatArray:
        """Degrees of freedom of single contrasts."""
        gradient = np.einsum("ra,iab,rb->ri", W, self.K, W, optimize=True)
        variance = np.einsum("ra,ra->r", W, W)
        spread = np.einsum("ri,ij,rj->r", gradient, self.A, gradient)
        return _bounded(2.0 * variance**2, spread, self.n)

    def joint(self, W: FloatArray) -> tuple[float, float]:
        """Degrees of freedom of a joint test; its statistic is not scaled."""
        _, lengths, principal = np.linalg.svd(W, full_matrices=False)
        df = self.single(lengths[:, None] * principal)
        if np.ptp(df) <= EQUAL * df.max():
            return float(df.mean()), 1.0
        if df.min() <= MEAN_EXISTS:
            return MEAN_EXISTS, 1.0
        mean = float((df / (df - 2.0)).sum())
        return float(np.clip(2.0 * mean / (mean - len(df)), 1.0, self.n)), 1.0


@dataclass(frozen=True)
class KenwardRoger:
    """
    Kenward and Roger's approximation: a covariance of beta-hat adjusted for the estimated variances, a scaled F.

    Attributes
    ----------
    cov : ndarray (p, p)
        Adjusted covariance  Phi + 2 Phi [sum_ij W_ij (Q_ij - P_i Phi P_j)] Phi.
    K : ndarray (m, p, p)
        The P_i in the coordinates of the contrasts.
    A : ndarray (m, m)
        Inverse of the expected information of the variance parameters, the W of the paper.
    n : int
        Number of rows.
    """

    cov: FloatArray
    K: FloatArray
    A: FloatArray
    n: int

    def single(self, W: FloatArray) -> FloatArray:
        """Degrees of freedom of single contrasts."""
        unit = W / np.maximum(np.linalg.norm(W, axis=1, keepdims=True), np.finfo(float).tiny)
        gradient = np.einsum("ra,iab,rb->ri", unit, self.K, unit, optimize=True)
        return _bounded(np.full(len(W), 2.0), np.einsum("ri,ij,rj->r", gradient, self.A, gradient), self.n)

    def joint(self, W: FloatArray) -> tuple[float, float]:
        """Degrees of freedom and scale factor of a joint test, section 3.2 of Kenward & Roger (1997)."""
        r = len(W)
        _, _, U = np.linalg.svd(W, full_matrices=False)
        inner = np.einsum("ra,iab,sb->irs", U, self.K, U, optimize=True)
        traces = np.einsum("irr->i", inner)
        a_1 = float(traces @ self.A @ traces)
        a_2 = float(np.einsum("ij,irs,jsr->", self.A, inner, inner, optimize=True))
        if a_2 <= 2.0 / self.n:  # the variances are known as well as from n rows of their own
            return float(self.n), 1.0
        b = (a_1 + 6.0 * a_2) / (2.0 * r)
        g = ((r + 1) * a_1 - (r + 4) * a_2) / ((r + 2) * a_2)
        d = 3.0 * r + 2.0 * (1.0 - g)
        V_0, V_1, V_2 = 1.0 + g / d * b, 1.0 - (r - g) / d * b, 1.0 - (r + 2.0 - g) / d * b
        rho = (1.0 - a_2 / r) ** 2 * V_0 / (r * V_1**2 * V_2)
        df = 4.0 + (r + 2.0) / (r * rho - 1.0)
        if not MEAN_EXISTS < df < self.n:
            return float(np.clip(df, 1.0, self.n)) if r * rho > 1.0 else float(self.n), 1.0
        return df, df * (1.0 - a_2 / r) / (df - 2.0)


def approximation(model: LinearModel, ddf: object) -> Approximation:
    """
    Give the approximation that a name stands for, computed once for a model.

    Without random effects every method but the normal one gives the exact degrees of freedom of least squares.

    Raises
    ------
    ArgumentError
        For another name, and for Kenward-Roger on a maximum likelihood fit.
    """
    one_of("ddf", ddf, METHODS)
    cov = model.estimates.cov_beta
    if ddf == "normal":
        return Constant(cov, np.inf)
    if not has_random_effects(model):
        return Constant(cov, exact_df(model))
    if ddf == "residual":
        return Constant(cov, float(max(model.df_resid, 1)))
    if ddf == "satterthwaite":
        return model.satterthwaite
    if not model.reml:
        raise ArgumentError(
            "the Kenward-Roger method belongs to REML, and this model is fitted by maximum likelihood: "
            'fit with reml=True, or use ddf="satterthwaite"'
        )
    return model.kenward_roger


def exact_df(model: LinearModel) -> float:
    """Degrees of freedom of least squares: rows less coefficients, infinitely many where sigma is known."""
    return float(model.nobs - len(model.design.names)) if model.known_sigma is None else np.inf


def ddf_used(model: LinearModel, ddf: str) -> str:
    """Name of the degrees of freedom that a method comes to: without random effects, those of the residuals."""
    if ddf == "normal" or has_random_effects(model):
        return ddf
    return "residual" if model.known_sigma is None else "normal"


def satterthwaite(model: FittedModel) -> Satterthwaite:
    """Satterthwaite's approximation for a fitted model."""
    deviance, at = model.deviance_function, model.optimum.evaluation
    forms = quadratic_forms(deviance, at, deviance.tangent_directions(at))
    m = deviance.n_theta
    information = forms.observed
    order = deviance.theta_order
    # Theta enters Sigma quadratically; at an optimum inside the parameter space df/dSigma is zero, and so is this.
    back = np.argsort(order)
    information[:m, :m] += 0.5 * deviance.path_curvature(at.M)[np.ix_(back, back)]
    return Satterthwaite(model.estimates.cov_beta, forms.K, _inverse(information), model.nobs)


def kenward_roger(model: FittedModel) -> KenwardRoger:
    """
    Kenward and Roger's approximation for a fitted model.

    Raises
    ------
    ModelError
        When the products it needs would need more memory than the machine has.
    """
    deviance, at = model.deviance_function, model.optimum.evaluation
    directions = deviance.tangent_directions(at)
    forms = quadratic_forms(deviance, at, directions)
    A = _inverse(forms.expected)
    Q = fixed_products(deviance, at, directions)
    lost = np.einsum("ij,iab,jbc->ac", A, forms.K, forms.K, optimize=True)
    inflation = np.eye(deviance.cross.p) + 2.0 * (np.einsum("ij,ijab->ab", A, Q) - lost)
    root = model.estimates.root_cov_beta
    cov = root @ inflation @ root.T
    return KenwardRoger(0.5 * (cov + cov.T), forms.K, A, model.nobs)


def _bounded(numerator: FloatArray, denominator: FloatArray, n: int) -> FloatArray:
    """Ratio, kept between 1 and n; n where the denominator vanishes."""
    ratio = np.divide(numerator, denominator, out=np.full(len(numerator), np.inf), where=denominator > 0.0)
    return np.asarray(np.clip(ratio, 1.0, float(n)))


def _inverse(information: FloatArray) -> FloatArray:
    """Inverse of a positive semidefinite matrix on the directions that carry information, zero on the others."""
    scale = np.sqrt(np.maximum(np.diagonal(information), 0.0))
    used = np.flatnonzero(scale > 0.0)
    inverse = np.zeros_like(information)
    if len(used):
        values, vectors = np.linalg.eigh(information[np.ix_(used, used)] / np.outer(scale[used], scale[used]))
        kept = values > NO_INFORMATION * values[-1]
        scaled = vectors[:, kept] / scale[used][:, None]
        inverse[np.ix_(used, used)] = (scaled / values[kept]) @ scaled.T
    return inverse
