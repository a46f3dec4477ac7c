"""
Fisher information of the fixed effects and the variance parameters, and the asymptotic covariance it implies.

With V the covariance of y, V_i its derivative by variance parameter i, P as usual and r = y - X beta,

    expected    tr(Q V_i Q V_j) / 2,  Q = V^-1 for ML, P for REML
    observed    y' P V_i P V_j P y - tr(Q V_i Q V_j) / 2, once beta is profiled out
    average     y' P V_i P V_j P y / 2, the mean of the two

The variances and covariances enter V linearly, so there is no second-derivative term. The same formulas hold on the
boundary of the parameter space, where the estimates themselves are not asymptotically normal.

References
----------
Harville, D. A. (1977). Maximum likelihood approaches to variance component estimation and to related problems. Journal
of the American Statistical Association 72, 320-338.
Gilmour, A. R., Thompson, R. and Cullis, B. R. (1995). Average information REML: an efficient algorithm for variance
parameter estimation in linear mixed models. Biometrics 51, 1440-1450.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.linalg import lapack

from lmm.arguments import one_of
from lmm.errors import ModelError
from lmm.inference.forms import Forms, quadratic_forms
from lmm.inference.parameters import VarianceParameter, variance_parameters
from lmm.linalg import FloatArray

if TYPE_CHECKING:
    from lmm.model import FittedModel

KINDS = ("expected", "observed", "average")
# Share of the largest eigenvalue of a scaled information matrix below which a direction carries no information.
SINGULAR = 1e-10


@dataclass(frozen=True)
class VarianceInformation:
    """
    Forms of a fitted model's variance parameters on the user's scale.

    Attributes
    ----------
    parameters : tuple of VarianceParameter
    estimates : ndarray (m,)
    forms : Forms
        Along the directions of the standardised basis that belong to the parameters.
    to_directions : ndarray (m, m)
        Components, along those directions, of a unit change of each parameter (one a column).
    """

    parameters: tuple[VarianceParameter, ...]
    estimates: FloatArray
    forms: Forms
    to_directions: FloatArray

    def matrix(self, kind: str) -> FloatArray:
        """Information matrix of the parameters, beta profiled out, shape (m, m)."""
        matrix: FloatArray = self.to_directions.T @ getattr(self.forms, kind) @ self.to_directions
        return matrix

    def covariance(self, kind: str) -> FloatArray:
        """Inverse of the information matrix, shape (m, m); refused in words where there is none."""
        matrix = self.matrix(kind)
        scale = np.sqrt(np.abs(np.diagonal(matrix)))
        scale[scale == 0.0] = 1.0
        values, vectors = np.linalg.eigh(matrix / np.outer(scale, scale))
        if values[0] <= SINGULAR * values[-1]:
            raise ModelError(self._why_singular(kind, vectors[:, 0]))
        inverse: FloatArray = (vectors / values) @ vectors.T / np.outer(scale, scale)
        return inverse

    def _why_singular(self, kind: str, direction: FloatArray) -> str:
        """Name the parameters that the information does not tell apart."""
        share = np.abs(direction) / np.abs(direction).max()
        named = [parameter.name for parameter, part in zip(self.parameters, share, strict=True) if part > 0.1]  # noqa: PLR2004 - a visible part
        if kind == "expected":
            return (
                f"the data do not tell these variance parameters apart: {', '.join(named)} (their expected information "
                "is singular). Drop a term, or an effect of one"
            )
        return (
            f"the {kind} information of {', '.join(named)} is not positive definite, as happens on the boundary of "
            'the parameter space, so it has no inverse that is a covariance; use kind="expected", the bootstrap or '
            "the profile"
        )


def variance_information(model: FittedModel) -> VarianceInformation:
    """
    Forms of the variance parameters of a fitted model.

    With S_i = A^-1 E_i A^-T / sigma^2 for E_i the derivative of a covariance matrix by parameter i, a change of sigma^2
    with those matrices held fixed is a change of V in proportion less the share of the random effects.
    """
    deviance, basis, sigma2 = model.deviance_function, model.basis, model.sigma**2
    parameters = variance_parameters(model.factors, sigma_known=model.known_sigma is not None)
    random = [parameter for parameter in parameters if parameter.factor is not None]
    covariances = model.estimates.covariances
    values = np.array([parameter.value(covariances, model.sigma) for parameter in parameters])
    directions, order = [], []
    for t in deviance.cross.order:
        A_inverse: FloatArray = lapack.dtrtri(basis.bases[t])[0]
        own = [i for i, parameter in enumerate(random) if parameter.factor == t]
        order.extend(own)
        k = len(A_inverse)
        E = np.array([random[i].direction(k) for i in own]).reshape(-1, k, k)
        directions.append(A_inverse @ E @ A_inverse.T / sigma2)
    forms = quadratic_forms(deviance, model.optimum.evaluation, directions)
    m = len(parameters)
    to_directions = np.zeros((m, m))
    to_directions[np.arange(len(order)), order] = 1.0
    if model.known_sigma is None:
        to_directions[:, -1] = np.append(-values[order], 1.0) / sigma2
    return VarianceInformation(parameters, values, forms, to_directions)


def information(model: FittedModel, kind: str = "expected") -> pd.DataFrame:
    """Fisher information of (beta, variance parameters); see `FittedModel.information`."""
    one_of("kind", kind, KINDS)
    variances = model.variance_information
    p, m = len(model.design.names), len(variances.parameters)
    root_inverse: FloatArray = lapack.dtrtri(model.estimates.root_cov_beta)[0] if p else np.zeros((0, 0))
    psi = np.zeros((p + m, p + m))
    psi[:p, :p] = root_inverse.T @ root_inverse
    psi[p:, p:] = variances.matrix(kind)
    if kind == "observed" and not model.reml:
        k = np.sqrt(variances.forms.weight) * variances.forms.k.T @ variances.to_directions
        psi[:p, p:] = root_inverse.T @ k
        psi[p:, :p] = psi[:p, p:].T
        psi[p:, p:] += k.T @ k
    labels = [*model.design.names, *(parameter.name for parameter in variances.parameters)]
    return pd.DataFrame(0.5 * (psi + psi.T), index=labels, columns=labels)


def cov_variance(model: FittedModel, kind: str = "expected") -> pd.DataFrame:
    """Asymptotic covariance of the variance parameters; see `FittedModel.cov_variance`."""
    one_of("kind", kind, KINDS)
    variances = model.variance_information
    labels = [parameter.name for parameter in variances.parameters]
    cov = variances.covariance(kind)
    return pd.DataFrame(0.5 * (cov + cov.T), index=labels, columns=labels)
