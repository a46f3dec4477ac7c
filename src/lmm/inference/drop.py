"""Effects dropped from a model in turn: random terms (`ranova`) and fixed terms (`drop1`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lmm.arguments import Seed, random_generator, true_or_false
from lmm.design import Design, RandomTerm
from lmm.errors import ArgumentError
from lmm.fixed import FixedModel
from lmm.inference.anova import anova
from lmm.inference.lrt import Comparison, check_test, compare
from lmm.inference.reduced import fit_quietly, remaining_columns, without_fixed
from lmm.linalg import RANK_TOLERANCE
from lmm.models import linear_model, mixed_model
from lmm.syntax import term_name
from lmm.workers import Workers

if TYPE_CHECKING:
    from lmm.model import FittedModel

NONE = "<none>"
COLUMNS = ("n_params", "llf", "aic", "statistic", "df", "null_distribution", "p_value")


def ranova(
    fit: FittedModel,
    test: str = "auto",
    *,
    reduce_terms: bool = True,
    n_boot: int = 1000,
    rng: Seed = None,
    workers: Workers = 1,
) -> pd.DataFrame:
    """
    Likelihood-ratio tests of the random terms, each dropped from the model in turn.

    The reduced models are fitted by the criterion of the fit, REML or ML; their fixed effects are the same. The null
    distributions are those of `lrt`: a variance of zero lies on the boundary, so the p-value is one of a mixture of
    chi-squares. Where a reduced model has a variance of zero itself, the distribution is a bound (``"at most ..."``),
    and so is the p-value.

    Parameters
    ----------
    fit : FittedModel
    test : {"auto", "chi2", "mixture", "bootstrap"}
        As for `lrt`.
    reduce_terms : bool
        Whether a term with several effects is reduced by one of them at a time, ``Days in (Days | Subject)``, or
        dropped as a whole.
    n_boot, rng, workers
        As for `lrt`.

    Returns
    -------
    DataFrame
        One row per reduced model, after the model itself (``<none>``): n_params, llf, aic, statistic, df,
        null_distribution (text) and p_value.

    Raises
    ------
    ArgumentError
        For an argument of the wrong kind.

    References
    ----------
    Kuznetsova, A., Brockhoff, P. B. and Christensen, R. H. B. (2017). lmerTest package: tests in linear mixed effects
    models. Journal of Statistical Software 82(13).

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy"))
    >>> lmm.ranova(fit)[["n_params", "statistic", "null_distribution"]].round(3)
                              n_params  statistic          null_distribution
    <none>                           6        NaN
    Days in (Days | Subject)         4     42.837  0.5 chi2(1) + 0.5 chi2(2)
    """
    fit = mixed_model(fit, "ranova")
    check_test(test, n_boot, workers)
    by_effect = true_or_false("reduce_terms", reduce_terms)
    generator = random_generator(rng)
    names, rows = [NONE], [_row(fit)]
    for name, design in _reduced_designs(fit, reduce_terms=by_effect):
        small = fit_quietly(fit, design, reml=fit.reml)
        step = compare(small, fit, test=test, n_boot=n_boot, rng=generator, workers=workers)
        names.append(name)
        rows.append(_row(small, step))
    return pd.DataFrame(rows, columns=list(COLUMNS), index=names)


def drop1(fit: FittedModel | FixedModel, test: str = "lrt", *, ddf: str = "satterthwaite") -> pd.DataFrame:
    """
    Tests of the fixed terms, each dropped from the model in turn.

    Only terms that are part of no other term are dropped: of ``a * b`` the interaction, not ``a`` nor ``b``.

    Parameters
    ----------
    fit : FittedModel or FixedModel
    test : {"lrt", "f"}
        Likelihood-ratio tests of ML fits, a REML fit being fitted again by ML, as restricted likelihoods with different
        fixed effects are not comparable; or the F tests of type II of `anova` in the fit as it is, that all
        coefficients of the term are zero. The two ask the same, but where a factor carries the mean, as ``a`` in
        ``a + b - 1``: without it the likelihood ratio leaves the mean to ``b``, and F tests that all means are zero.
    ddf : {"satterthwaite", "kenward-roger", "residual", "normal"}
        Denominator degrees of freedom of the F tests; see `FittedModel.coef_table`.

    Returns
    -------
    DataFrame
        One row per term. With ``test="lrt"``, after the model itself (``<none>``): n_params, llf and aic of the model
        without the term, statistic, df, null_distribution and p_value. With ``test="f"``: statistic, num_df, den_df and
        p_value.

    Raises
    ------
    ArgumentError
        For an unknown test, or a model without a fixed term that can be dropped.

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("Weight ~ Line + Age + (1 | Sire)", lmm.datasets.load("lamb"))
    >>> lmm.drop1(fit)[["n_params", "aic", "statistic", "df", "p_value"]].round(4)
            n_params       aic  statistic   df  p_value
    <none>         9  261.4574        NaN  NaN      NaN
    Line           5  259.4999     6.0424  4.0   0.1960
    Age            7  257.4761     0.0187  2.0   0.9907
    """
    fit = linear_model(fit, "drop1")
    if not isinstance(test, str) or test not in {"lrt", "f"}:
        raise ArgumentError(f'test must be "lrt" (likelihood ratios) or "f" (F tests); got {test!r}')
    names = _droppable(fit.design)
    if not names:
        raise ArgumentError(f"{fit.formula!r} {_nothing_to_drop(fit.design)}")
    if test == "f":
        return anova(fit, 2, ddf).loc[list(names), ["statistic", "num_df", "den_df", "p_value"]]
    full = fit_quietly(fit, fit.design, reml=False) if fit.reml else fit
    rows = [_row(full)]
    for name in names:
        small = fit_quietly(fit, without_fixed(fit.design, (name,)), reml=False)
        step = compare(small, full, test="chi2", n_boot=1, rng=random_generator(None), workers=1)
        rows.append(_row(small, step))
    return pd.DataFrame(rows, columns=list(COLUMNS), index=[NONE, *names])


def _row(fit: FittedModel | FixedModel, step: Comparison | None = None) -> tuple[object, ...]:
    """The row of a model, and of its comparison with the full one."""
    tested = ("", np.nan) if step is None else (step.distribution, step.p_value)
    change = (np.nan, np.nan) if step is None else (step.statistic, float(step.df))
    return fit.n_params, fit.llf, fit.aic, *change, *tested


def _reduced_designs(fit: FittedModel, *, reduce_terms: bool) -> Iterator[tuple[str, Design]]:
    """Designs with less random effects, and what was left out."""
    design = fit.design
    texts = _texts(design)
    for number, term in enumerate(design.terms):
        groups = _removable(term) if reduce_terms else []
        if len(groups) == 1 and len(groups[0][1]) == len(term.effects):
            groups = []
        for name, columns in groups:
            kept = np.ones(len(term.effects), dtype=bool)
            kept[columns] = False
            effects = tuple(effect for effect, keep in zip(term.effects, kept, strict=True) if keep)
            smaller = replace(term, effects=effects, columns=term.columns[:, kept])
            yield f"{name} in {texts[number]}", _with_term(design, number, smaller)
        if not groups:
            yield texts[number], _with_term(design, number, None)


def _texts(design: Design) -> list[str]:
    """The random terms as the formula has them, in the order of the design."""
    parts = list(design.formula.random)
    texts = []
    for term in design.terms:
        part = next(part for part in parts if part.name == term.group and part.effects == term.encoding.terms)
        parts.remove(part)
        texts.append(part.text)
    return texts


def _with_term(design: Design, number: int, term: RandomTerm | None) -> Design:
    """The design with one random term replaced or left out."""
    new = () if term is None else (term,)
    return replace(design, terms=(*design.terms[:number], *new, *design.terms[number + 1 :]))


def _removable(term: RandomTerm) -> list[tuple[str, list[int]]]:
    """
    Effects of a random term that can be dropped on their own, with their columns.

    Those that are part of no other; the intercept only where the effects are independent, since a slope without an
    intercept depends on the origin of its covariate.
    """
    encoding = term.encoding
    assign = np.array(encoding.assign)
    expressions = [(), *encoding.terms.terms]
    removable = []
    for number in np.unique(assign):
        others = [set(expressions[other]) for other in np.unique(assign) if other != number]
        if number == 0 and term.structure != "diagonal" and others:
            continue
        if number and any(set(expressions[number]) < other for other in others):
            continue
        removable.append((term_name(expressions[number]) or "1", [int(i) for i in np.flatnonzero(assign == number)]))
    return removable


def _droppable(design: Design) -> tuple[str, ...]:
    """Fixed terms that are part of no other term and contribute to the column space of X."""
    expressions = design.fixed_encoding.terms.terms
    p = design.X.shape[1]
    return tuple(
        name
        for name, term in zip(design.fixed_encoding.term_names, expressions, strict=True)
        if not any(set(term) < set(other) for other in expressions)
        and np.linalg.matrix_rank(remaining_columns(design, (name,)), RANK_TOLERANCE) < p
    )


def _nothing_to_drop(design: Design) -> str:
    """Why no fixed term can be dropped."""
    terms = design.fixed_encoding.term_names
    if not terms:
        return "has no fixed term but the intercept: there is nothing to drop"
    return (
        f"has fixed terms aliased with each other or with the intercept ({', '.join(terms)}): without any one of them "
        "the others give the same fit, so that there is nothing to test. Remove those that follow from others"
    )
