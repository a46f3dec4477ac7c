"""
Which variance parameters a design identifies, without fitting: the rank of their expected information.

The covariance matrix of y is linear in the parameters, V(psi) = sum_i psi_i V_i. With the fixed effects taken out by P,
the data tell psi from psi + d apart exactly where sum_i d_i P V_i P is not zero, that is where d is not in the null
space of the matrix of inner products tr(P V_i P V_j). Its rank is the same at every V that is positive definite; it is
taken at V = I + sum of Z Z' over all terms, in the standardised basis, from the factor in q-space.

A combination l'psi is identified where l is orthogonal to the null space.

References
----------
Rao, C. R. (1971). Estimation of variance and covariance components: MINQUE theory. Journal of Multivariate Analysis 1,
257-275.

Rothenberg, T. J. (1971). Identification in parametric models. Econometrica 39, 577-591.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.linalg import lapack

from lmm.arguments import known_sigma
from lmm.design import Design, build_design
from lmm.deviance import ProfiledDeviance
from lmm.display import Table, format_column
from lmm.errors import ArgumentError
from lmm.factors import GroupingFactor
from lmm.fitting import standardized_deviance
from lmm.formula import parse_formula
from lmm.inference.forms import quadratic_forms
from lmm.inference.parameters import VarianceParameter, variance_parameters
from lmm.linalg import FloatArray
from lmm.model import FittedModel
from lmm.standardize import Basis

# Eigenvalues of the scaled information below this share of the number of parameters are rounding errors.
SINGULAR = 1e-9
# Information below this share of the largest is that of a parameter with no part in the covariance of the data.
ABSENT = 1e-14
# Coefficients of combinations this close to a whole number, or to zero, are taken as such.
WHOLE = 1e-6


@dataclass(frozen=True, eq=False)
class Estimability:
    """
    Which variance parameters the data identify, made by `lmm.estimability`.

    Attributes
    ----------
    formula : str
    parameters : tuple of str
        Names of the variance parameters.
    information : DataFrame (m, m)
        Expected information with the fixed effects projected out, scaled so that each parameter would have 1 on the
        diagonal if the fixed effects were known. At covariance matrices at which each random effect weighs as much as
        the residuals.
    eigenvalues : ndarray (m,)
        Of `information`, the largest first.
    rank : int
        How many directions of the parameters the data identify.
    identified : DataFrame (rank, m)
        Weights of the parameters in the combinations that are identified, named in words: each parameter by itself
        where it is, ``"g + Residual"`` where only a sum is.
    confounded : tuple of str
        Parameters that are not identified by themselves.
    unidentified : tuple of str
        Those of them that are part of no identified combination.
    aliased : tuple of str
        Coefficients of fixed effects that are combinations of others.

    Examples
    --------
    One measurement a unit does not tell the variance between units from that of the measurement:

    >>> import lmm
    >>> print(lmm.estimability("y ~ 1 + (1 | unit)", {"y": [1.2, 0.7, 2.1, 1.6], "unit": [1, 2, 3, 4]}))
    Estimability of variance parameters
    Formula: y ~ 1 + (1 | unit)
    <BLANKLINE>
    Identified: 1 of 2 directions
    Eigenvalues of the information: 1.500, 0.000
    <BLANKLINE>
    The data do not tell 'unit' and 'Residual' apart: only the combination unit + Residual is identified.
    """

    formula: str
    parameters: tuple[str, ...]
    information: pd.DataFrame
    eigenvalues: FloatArray
    rank: int
    identified: pd.DataFrame
    confounded: tuple[str, ...]
    unidentified: tuple[str, ...]
    aliased: tuple[str, ...]

    @property
    def combinations(self) -> tuple[str, ...]:
        """Parameters, and combinations of them, that are identified; as many as the rank."""
        return tuple(self.identified.index)

    @property
    def is_estimable(self) -> bool:
        """Whether the data identify every variance parameter."""
        return self.rank == len(self.parameters)

    @property
    def sentences(self) -> list[str]:
        """What is not identified, in words; empty where all is."""
        found = [
            f"The data say nothing about {name!r}: it has no part in the covariance that the fixed effects leave."
            for name in self.unidentified
        ]
        mixed = [name for name in self.confounded if name not in self.unidentified]
        if mixed:
            sums = [text for text in self.combinations if text not in self.parameters]
            named = " and ".join([", ".join(map(repr, mixed[:-1])), repr(mixed[-1])])
            what = f"the combination {sums[0]} is" if len(sums) == 1 else f"the combinations {', '.join(sums)} are"
            found.append(f"The data do not tell {named} apart: only {what} identified.")
        return found

    def __str__(self) -> str:
        words = self.sentences or ["The data identify every variance parameter."]
        if self.aliased:
            words.append(f"Fixed effects that are combinations of others: {', '.join(self.aliased)}.")
        return "\n".join([*self._heading(), "", *words])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        first, *rest = (html.escape(line) for line in str(self).splitlines() if line)
        return f"<p><b>{first}</b><br>{'<br>'.join(rest)}</p>{self._table().html()}"

    def _heading(self) -> list[str]:
        shown = ", ".join(f"{value:.3f}" for value in self.eigenvalues)
        return [
            "Estimability of variance parameters",
            f"Formula: {self.formula}",
            "",
            f"Identified: {self.rank} of {len(self.parameters)} directions",
            f"Eigenvalues of the information: {shown}",
        ]

    def _table(self) -> Table:
        """The information matrix."""
        cells = [format_column(row, most_decimals=3) for row in self.information.to_numpy()]
        rows = tuple((name, *row) for name, row in zip(self.parameters, cells, strict=True))
        return Table("Information, scaled", ("", *self.parameters), rows, 1)


def estimability(
    formula: FittedModel | str,
    data: Any = None,  # noqa: ANN401 - frames of any library
    *,
    weights: str | ArrayLike | None = None,
    sigma: float | None = None,
    na_action: str = "drop",
    contrasts: dict[str, Any] | None = None,
) -> Estimability:
    """
    Find which variance parameters of a model the data identify, also where `lmm.fit` refuses the model.

    Nothing is fitted: what is identified depends on the design only, on which rows share which groups and covariates.

    Parameters
    ----------
    formula : str or FittedModel
        As for `lmm.fit`. A fitted model stands for its formula with its data, weights, sigma and contrasts.
    data : DataFrame, optional
        One row per observation; left out with a fitted model.
    weights, sigma, na_action, contrasts
        As for `lmm.fit`; left out with a fitted model.

    Returns
    -------
    Estimability

    Raises
    ------
    ArgumentError
        When the arguments do not go together.
    LMMError
        When the design cannot be built, as in `lmm.fit`.

    References
    ----------
    Rao, C. R. (1971). Estimation of variance and covariance components: MINQUE theory. Journal of Multivariate Analysis
    1, 257-275.

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"))
    >>> lmm.estimability(fit).is_estimable
    True
    """
    if isinstance(formula, FittedModel):
        if na_action != "drop" or any(given is not None for given in (data, weights, sigma, contrasts)):
            raise ArgumentError("a fitted model has its data, weights and sigma: give estimability nothing besides it")
        return design_estimability(formula.design, formula.known_sigma)
    if data is None:
        raise ArgumentError("estimability needs the data that go with a formula: estimability(formula, data)")
    known = known_sigma(sigma)
    design = build_design(
        parse_formula(formula), data, weights=weights, na_action=na_action, estimable=False, contrasts=contrasts
    )
    return design_estimability(design, known)


def design_estimability(design: Design, sigma: float | None = None) -> Estimability:
    """Estimability of the variance parameters of a design; sigma is the residual standard deviation where known."""
    factors, deviance, basis = standardized_deviance(design, reml=True, sigma=sigma)
    parameters = variance_parameters(factors, sigma_known=sigma is not None)
    known, projected, units = _informations(factors, deviance, basis, parameters)
    diagonal = np.diagonal(known)
    # A covariance of effects that never meet in a row has no part in V: its information is zero.
    scale = np.sqrt(np.where(diagonal > ABSENT * diagonal.max(), diagonal, diagonal.max()))
    information = projected / np.outer(scale, scale)
    values, vectors = np.linalg.eigh(information)
    is_null = values <= SINGULAR * len(values)
    identified = _identified(vectors[:, is_null] / (scale * units)[:, None])
    names = tuple(parameter.name for parameter in parameters)
    alone = {int(np.argmax(row != 0.0)) for row in identified if np.count_nonzero(row) == 1}
    used = {int(i) for i in np.flatnonzero(np.any(identified != 0.0, axis=0))}
    return Estimability(
        formula=design.formula.text,
        parameters=names,
        information=pd.DataFrame(information, index=list(names), columns=list(names)),
        eigenvalues=np.maximum(values[::-1], 0.0),
        rank=int((~is_null).sum()),
        identified=pd.DataFrame(identified, [_combination(row, names) for row in identified], list(names)),
        confounded=tuple(name for i, name in enumerate(names) if i not in alone),
        unidentified=tuple(name for i, name in enumerate(names) if i not in used),
        aliased=tuple(name for name, keep in zip(design.all_names, design.kept, strict=True) if not keep),
    )


def _informations(
    factors: tuple[GroupingFactor, ...],
    deviance: ProfiledDeviance,
    basis: Basis,
    parameters: tuple[VarianceParameter, ...],
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """
    Expected information (m, m) at V = I + sum of Z Z', with the fixed effects known, and projected out.

    Of the parameters divided by the last result, their units (m,), in which they change the standardised covariance
    matrices by unit length.
    """
    theta = np.concatenate([covariance.from_root(np.eye(covariance.size)) for covariance in deviance.covariances])
    random = [parameter for parameter in parameters if parameter.factor is not None]
    directions, order, units = [], [], np.ones(len(parameters))
    for t in deviance.cross.order:
        A_inverse: FloatArray = lapack.dtrtri(basis.bases[t])[0]
        own = [i for i, parameter in enumerate(random) if parameter.factor == t]
        order.extend(own)
        S = A_inverse @ np.array([random[i].direction(len(A_inverse)) for i in own]) @ A_inverse.T
        units[own] = np.sqrt(np.einsum("iab,iab->i", S, S))
        directions.append(S / units[own][:, None, None])
    to_directions = np.zeros((len(parameters), len(parameters)))
    to_directions[np.arange(len(order)), order] = 1.0
    if deviance.sigma is None:
        # The last direction is V itself; the residual's is what the random effects leave of it.
        covariances = [basis.bases[t] @ basis.bases[t].T for t in range(len(factors))]
        values = units[:-1] * np.array([parameter.value(covariances, 1.0) for parameter in random])
        to_directions[:, -1] = np.append(-values[order], 1.0)
    found = []
    for reml in (False, True):
        at_this = ProfiledDeviance(deviance.cross, deviance.covariances, reml=reml, sigma=deviance.sigma)
        forms = quadratic_forms(at_this, at_this.evaluate(theta), directions)
        found.append(to_directions.T @ forms.expected @ to_directions)
    return found[0], found[1], units


def _identified(null: FloatArray) -> FloatArray:
    """Basis of the orthogonal complement of the null space, one row each, in reduced row echelon form."""
    m = len(null)
    if null.shape[1] == 0:
        return np.eye(m)
    left, _, _ = np.linalg.svd(null)
    rows: FloatArray = left[:, null.shape[1] :].T.copy()
    pivot = 0
    for column in range(m):
        if pivot == len(rows):
            break
        best = pivot + int(np.argmax(np.abs(rows[pivot:, column])))
        if abs(rows[best, column]) <= WHOLE:
            continue
        rows[[pivot, best]] = rows[[best, pivot]]
        rows[pivot] /= rows[pivot, column]
        others = np.arange(len(rows)) != pivot
        rows[others] -= np.outer(rows[others, column], rows[pivot])
        pivot += 1
    whole = np.round(rows)
    return np.where(np.abs(rows - whole) <= WHOLE * np.maximum(1.0, np.abs(rows)), whole, rows)


def _combination(row: FloatArray, names: tuple[str, ...]) -> str:
    """A combination of parameters in words: ``"g.x + 2 g.Intercept.x"``."""
    text = ""
    for coefficient, name in zip(row, names, strict=True):
        if coefficient == 0.0:
            continue
        size = "" if abs(coefficient) == 1.0 else f"{abs(coefficient):.4g} "
        sign = " - " if coefficient < 0.0 else " + "
        text += (sign if text else sign.strip(" +")) + size + name
    return text
