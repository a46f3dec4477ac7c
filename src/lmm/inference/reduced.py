"""Models with fewer effects on the data of a fitted model: columns are left out, no formula is read again."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lmm.design import Design
from lmm.encoding import Encoding
from lmm.errors import ArgumentError, SingularFitWarning
from lmm.fitting import fit_design
from lmm.fixed import FixedModel, fit_fixed_design
from lmm.inference.tested import EffectsTested
from lmm.linalg import FloatArray, triangular_factor
from lmm.optimize import Control

if TYPE_CHECKING:
    from lmm.model import FittedModel

# A gain in deviance below this is rounding error: the estimates are those of the smaller model.
NO_GAIN = 1e-8


def gain(before: float, after: float) -> float:
    """Likelihood-ratio statistic: the deviance before less that after, 0 where the difference is rounding error."""
    difference = before - after
    return difference if difference > NO_GAIN else 0.0


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


def without_random(model: FittedModel, tested: EffectsTested) -> Design:
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


def without_fixed(design: Design, names: tuple[str, ...]) -> Design:
    """The design without some fixed terms; see `remaining_columns` for what is left."""
    X = design.X @ remaining_columns(design, names)
    R, kept = triangular_factor(design.root_weights[:, None] * X)
    columns = tuple(f"column {j + 1}" for j in np.flatnonzero(kept))
    return replace(
        design,
        X=np.asfortranarray(X[:, kept]),
        R=R,
        names=columns,
        all_names=columns,
        kept=np.ones(len(columns), dtype=bool),
        aliasing=np.zeros((len(columns), 0)),
    )


def remaining_columns(design: Design, names: tuple[str, ...]) -> FloatArray:
    """
    What is left of the column space of X when some terms are left out of the formula.

    More than the columns of the other terms: in ``Line + Age - 1`` the mean is part of the columns of Line, and stays
    with Age when Line goes.

    Parameters
    ----------
    design : Design
    names : tuple of str
        Fixed terms.

    Returns
    -------
    ndarray (p, r)
        Combinations of the p columns of X, which may depend on each other.

    Raises
    ------
    ArgumentError
        For a name that is no fixed term of the model.
    """
    encoding = design.fixed_encoding
    known = encoding.term_names
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ArgumentError(f"{unknown[0]!r} is no fixed term of the model, whose fixed terms are {list(known)}")
    dropped = [known.index(name) + 1 for name in names]
    assign = np.array(encoding.assign)
    others = [set(term) for number, term in enumerate(encoding.terms.terms, start=1) if number not in dropped]
    parts = [np.eye(len(assign))[:, ~np.isin(assign, dropped)]]
    for number in dropped:
        for margin, sums in _margins(encoding, number):
            if any(margin < other and other - margin <= encoding.codings.keys() for other in others):
                part = np.zeros((len(assign), sums.shape[1]))
                part[assign == number] = sums
                parts.append(part)
    combinations = np.concatenate(parts, axis=1)
    return np.asarray(combinations[design.kept] + design.aliasing @ combinations[~design.kept])


def _margins(encoding: Encoding, number: int) -> Iterator[tuple[set[str], FloatArray]]:
    """Margins of a term within its columns: sums over the levels of factors with a column for each level."""
    term = encoding.terms.terms[number - 1]
    whole = [expression for expression in term if encoding.full.get((number, expression))]
    counts = _column_counts(encoding, number)
    for size in range(1, len(whole) + 1):
        for summed in itertools.combinations(whole, size):
            sums: FloatArray = np.ones((1, 1))
            for expression, count in zip(reversed(term), reversed(counts), strict=True):  # the first varies fastest
                sums = np.asarray(np.kron(sums, np.ones((count, 1)) if expression in summed else np.eye(count)))
            yield set(term) - set(summed), sums


def _column_counts(encoding: Encoding, number: int) -> list[int]:
    """Columns that each factor of a term contributes; those of the numeric ones together stand with the first."""
    term = encoding.terms.terms[number - 1]
    counts = [
        len(encoding.codings[expression].levels) - (not encoding.full[number, expression])
        if expression in encoding.codings
        else 1
        for expression in term
    ]
    numeric = [place for place, expression in enumerate(term) if expression not in encoding.codings]
    if numeric:
        counts[numeric[0]] = encoding.assign.count(number) // math.prod(counts)
    return counts
