"""Models with fewer effects on the data of a fitted model: columns are left out, no formula is read again."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lmm.design import Design
from lmm.encoding import Encoding
from lmm.errors import ArgumentError, SingularFitWarning
from lmm.fitting import fit_design
from lmm.fixed import FixedModel, fit_fixed_design
from lmm.inference.tested import Tested
from lmm.linalg import BoolArray, triangular_factor
from lmm.optimize import Control
from lmm.syntax import column_of

if TYPE_CHECKING:
    from lmm.model import FittedModel


def fit_quietly(model: FittedModel | FixedModel, design: Design, *, reml: bool) -> FittedModel | FixedModel:
    """
    Fit a design with the settings of a model; the result may be singular, which is what tests are about.

    Designs made here know their columns, not how to build them on new data.
    """
    if not design.terms:
        return fit_fixed_design(design, reml=reml, sigma=model.known_sigma)
    control = Control() if isinstance(model, FixedModel) else model.control
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        return fit_design(design, reml=reml, sigma=model.known_sigma, start=None, control=control)


def without_random(model: FittedModel, tested: Tested) -> Design:
    """The design without some effects of a grouping factor."""
    design, factor = model.design, model.factors[tested.factor]
    terms = list(design.terms)
    start = 0
    for number in factor.terms:
        term = terms[number]
        kept = ~tested.effects[start : start + len(term.effects)]
        start += len(term.effects)
        effects = tuple(name for name, keep in zip(term.effects, kept, strict=True) if keep)
        terms[number] = replace(term, effects=effects, columns=term.columns[:, kept])
    return replace(design, terms=tuple(term for term in terms if term.effects))


def fixed_terms(encoding: Encoding) -> tuple[str, ...]:
    """Names of the fixed terms without the intercept, as they stand in coefficient names."""
    return tuple(shown(term) for term in encoding.terms.terms)


def shown(term: tuple[str, ...]) -> str:
    """A term as users write it, ``a:b`` for an interaction; empty for the intercept."""
    return ":".join(column_of(expression) or expression for expression in term)


def without_fixed(design: Design, names: tuple[str, ...]) -> Design:
    """
    The design without some fixed terms.

    Raises
    ------
    ArgumentError
        For a name that is no fixed term of the model.
    """
    known = fixed_terms(design.fixed_encoding)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ArgumentError(f"{unknown[0]!r} is no fixed term of the model, whose fixed terms are {list(known)}")
    numbers = [known.index(name) + 1 for name in names]
    return with_fixed_columns(design, ~np.isin(np.array(design.fixed_encoding.assign)[design.kept], numbers))


def with_fixed_columns(design: Design, columns: BoolArray) -> Design:
    """The design with some of the columns of X, shape (p,) of bool."""
    X = np.asfortranarray(design.X[:, columns])
    weighted = X if design.weights is None else np.sqrt(design.weights)[:, None] * X
    kept = design.kept.copy()
    kept[kept] = columns
    names = tuple(name for name, keep in zip(design.names, columns, strict=True) if keep)
    return replace(design, X=X, R=triangular_factor(weighted)[0], kept=kept, names=names)
