"""
How bootstrap responses are made: from the model, from its residuals, or from the residuals of whole groups.

References
----------
Carpenter, J. R., Goldstein, H. and Rasbash, J. (2003). A novel bootstrap procedure for assessing the relationship
between class size and achievement. Applied Statistics 52, 431-443.

Modugno, L. and Giannerini, S. (2015). The wild bootstrap for multilevel models. Communications in Statistics - Theory
and Methods 44, 4812-4825.

Mammen, E. (1993). Bootstrap and wild bootstrap for high dimensional linear models. Annals of Statistics 21, 255-285.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy import sparse

from lmm.errors import ModelError
from lmm.linalg import FloatArray, IntArray

if TYPE_CHECKING:
    from lmm.model import FittedModel

# Mammen's two-point distribution: mean 0, second and third moment 1.
MAMMEN = (-(np.sqrt(5.0) - 1.0) / 2.0, (np.sqrt(5.0) + 1.0) / 2.0)
MAMMEN_FIRST = (np.sqrt(5.0) + 1.0) / (2.0 * np.sqrt(5.0))
# Directions in which the predicted effects vary by less than this share of the largest count as constant.
CONSTANT = 1e-10


class Sampler(Protocol):
    """Draws responses."""

    def draw(self, rng: np.random.Generator, size: int) -> FloatArray:
        """Draw responses, shape (n, size), one a column, offset included."""


class Parametric:
    """
    Responses from the fitted model: new random effects and new errors, both normal.

    Parameters
    ----------
    model : FittedModel
    """

    def __init__(self, model: FittedModel) -> None:
        self.mean = _mean(model)
        self.root = sparse.csr_array(model.sigma * (model.Z @ model.Lambda))
        self.sd = model.sigma / model.design.root_weights

    def draw(self, rng: np.random.Generator, size: int) -> FloatArray:
        """Draw responses, shape (n, size), one a column."""
        n, q = self.root.shape
        # One row per response: what a response gets does not depend on how many follow it.
        normal = rng.standard_normal((size, q + n))
        Y: FloatArray = self.root @ normal[:, :q].T + (self.mean + self.sd * normal[:, q:]).T
        return Y


class Residual:
    """
    Responses with resampled random effects and residuals.

    The predicted random effects of each factor are centred and transformed so that their empirical covariance is the
    estimated one, the weighted residuals likewise: predictions vary less than what they predict. Then levels are drawn
    with replacement, all effects of a level together, and rows (Carpenter, Goldstein and Rasbash 2003, section 3).

    Parameters
    ----------
    model : FittedModel
    """

    def __init__(self, model: FittedModel) -> None:
        self.mean = _mean(model)
        self.parts = [
            (factor.codes, factor.columns, _inflated(b, model.sigma * T))
            for factor, b, T in zip(model.factors, model.modes, model.estimates.T, strict=True)
        ]
        self.root = model.design.root_weights
        residuals: FloatArray = np.asarray(model.resid) * self.root
        self.residuals = _inflated(residuals[:, None], np.array([[model.sigma]]))[:, 0]

    def draw(self, rng: np.random.Generator, size: int) -> FloatArray:
        """Draw responses, shape (n, size), one a column."""
        n = len(self.mean)
        counts = [len(b) for _, _, b in self.parts]
        drawn = rng.random((size, sum(counts) + n))
        Y = np.empty((n, size))
        for i, row in enumerate(drawn):
            *of_levels, of_rows = np.split(row, np.cumsum(counts))
            y = self.mean + self.residuals[(of_rows * n).astype(np.intp)] / self.root
            for (codes, columns, b), share in zip(self.parts, of_levels, strict=True):
                chosen = b[(share * len(b)).astype(np.intp)]
                y += np.einsum("na,na->n", columns, chosen[codes])
            Y[:, i] = y
        return Y


class Wild:
    """
    Responses whose marginal residuals are those of the fit, group by group, times one random number for each group.

    The residuals y - X beta are divided by the square roots of 1 - h, with h the leverages of the (weighted) X, which
    keeps heteroscedasticity and whatever dependence there is within a group. The number has Mammen's two-point
    distribution: with signs alone the squares of the residuals, and so the variances, would not change (Modugno and
    Giannerini 2015).

    Parameters
    ----------
    model : FittedModel

    Raises
    ------
    ModelError
        When the grouping factors are crossed, so that no groups are independent.
    """

    def __init__(self, model: FittedModel) -> None:
        self.codes = top_groups(model, "the wild bootstrap")
        self.n_groups = int(self.codes.max()) + 1
        self.mean = _mean(model)
        Q = model.design.root_weights[:, None] * model.design.X @ model.basis.R_inverse
        leverage = np.minimum((Q**2).sum(axis=1), 1.0 - 1e-8)
        self.residuals = (model.design.y - self.mean) / np.sqrt(1.0 - leverage)

    def draw(self, rng: np.random.Generator, size: int) -> FloatArray:
        """Draw responses, shape (n, size), one a column."""
        drawn = np.where(rng.random((size, self.n_groups)) < MAMMEN_FIRST, *MAMMEN)
        Y: FloatArray = self.mean[:, None] + self.residuals[:, None] * drawn.T[self.codes]
        return Y


def top_groups(model: FittedModel, what: str) -> IntArray:
    """
    Group of each row, shape (n,), by the factor that all others are nested in.

    Raises
    ------
    ModelError
        When there is none; ``what`` says what needs it.
    """
    top = min(model.factors, key=lambda factor: factor.n_levels)
    for factor in model.factors:
        if not factor.is_nested_in(top.codes):
            raise ModelError(
                f"{what} needs independent groups, and {factor.group!r} is not nested in {top.group!r}: levels of one "
                "meet several levels of the other, so that every row may depend on every other. Use the parametric or "
                "the residual bootstrap"
            )
    return top.codes


def _mean(model: FittedModel) -> FloatArray:
    """X beta + offset, shape (n,)."""
    mean: FloatArray = model.design.X @ model.estimates.beta
    return mean if model.design.offset is None else mean + model.design.offset


def _inflated(values: FloatArray, root: FloatArray) -> FloatArray:
    """
    Centred values, shape (J, k), transformed linearly so that their empirical covariance is root root'.

    Directions in which they do not vary, because their variance was estimated as zero, stay at zero.
    """
    centred = values - values.mean(axis=0)
    U, lengths, Vt = np.linalg.svd(centred, full_matrices=False)
    varying = lengths > CONSTANT * max(float(lengths[0]), float(np.abs(values).max()))
    if not varying.any():
        return np.zeros_like(centred)
    # Among the roots of the estimated covariance, the one that turns the values least.
    left, _, right = np.linalg.svd((lengths[:, None] * Vt)[varying] @ root)
    scores = np.sqrt(len(values)) * U[:, varying] @ left @ right[: int(varying.sum())]
    inflated: FloatArray = scores @ root.T
    return inflated
