"""Fits to some of the groups of the data, each as often as it was drawn: the cases bootstrap and the jackknife."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lmm.batch.refits import NOT_CERTIFIED
from lmm.design import RandomTerm
from lmm.errors import LMMError, LMMWarning
from lmm.inference.drawn import NOT_ESTIMABLE, GroupSamples
from lmm.inference.estimated import refit_values, replicate_of
from lmm.linalg import FloatArray, IntArray, triangular_factor

if TYPE_CHECKING:
    from lmm.inference.bootstrap_result import Statistic
    from lmm.model import FittedModel


@dataclass(frozen=True)
class Replicates:
    """
    Estimates of some replicates.

    Attributes
    ----------
    estimates : ndarray (B, n_parameters)
        NaN where a fit failed.
    singular : ndarray (B,)
        1 for a singular fit, 0 for another.
    failures : dict of int to str
        Why there are no estimates of a replicate, by its position.
    """

    estimates: FloatArray
    singular: FloatArray
    failures: dict[int, str]


def collected(replicates: Iterator[tuple[FloatArray, bool] | str], n_values: int) -> Replicates:
    """Replicates one by one: numbers and whether the fit is singular, or why there are none."""
    values, singular, failures = [], [], {}
    for i, found in enumerate(replicates):
        if isinstance(found, str):
            failures[i] = found
        nothing = np.full(n_values, np.nan), np.nan
        numbers, is_singular = nothing if isinstance(found, str) else found
        values.append(numbers)
        singular.append(float(is_singular))
    return Replicates(np.array(values).reshape(-1, n_values), np.array(singular), failures)


def joined(parts: Sequence[Replicates]) -> Replicates:
    """Replicates one after the other."""
    failures: dict[int, str] = {}
    start = 0
    for part in parts:
        failures.update({start + i: reason for i, reason in part.failures.items()})
        start += len(part.singular)
    values = np.concatenate([part.estimates for part in parts])
    return Replicates(values, np.concatenate([part.singular for part in parts]), failures)


@dataclass(frozen=True)
class Cases:
    """
    Estimates, or a statistic, from groups of the rows of a model.

    Attributes
    ----------
    model : FittedModel
    codes : ndarray (n,)
        Group of each row; all grouping factors are nested in these groups.
    statistic : callable or None
    n_values : int
        Numbers that the statistic has.
    """

    model: FittedModel
    codes: IntArray
    statistic: Statistic | None
    n_values: int

    @cached_property
    def n_groups(self) -> int:
        """Number of groups."""
        return int(self.codes.max()) + 1

    @cached_property
    def _samples(self) -> GroupSamples:
        return GroupSamples(self.model, self.codes)

    @cached_property
    def batch_size(self) -> int:
        """Samples that are fitted at once."""
        return self._samples.batch_size if self.statistic is None else 1

    def replicates(self, drawn: IntArray) -> Replicates:
        """Numbers from samples of groups, shape (B, m): a row holds the groups of one sample."""
        if self.statistic is None:
            found = self._samples.fit_all(drawn)
            return Replicates(refit_values(self.model, found), found.singular, found.failures)
        return collected(self._statistics(self.statistic, drawn), self.n_values)

    def jackknife(self) -> Replicates:
        """Numbers without each of the groups in turn."""
        groups = np.arange(self.n_groups)
        batches = [groups[i : i + self.batch_size] for i in range(0, self.n_groups, self.batch_size)]
        return joined([self.replicates(np.array([np.delete(groups, u) for u in batch])) for batch in batches])

    def _statistics(self, statistic: Statistic, drawn: IntArray) -> Iterator[tuple[FloatArray, bool] | str]:
        for groups in drawn:
            model = refit_groups(self.model, self.codes, groups)
            yield model if isinstance(model, str) else statistic_values(statistic, model, self.n_values)


def statistic_values(statistic: Statistic, model: FittedModel, n_values: int) -> tuple[FloatArray, bool] | str:
    """Numbers of a statistic, and whether the fit that they come from is singular; or why there are none."""
    values = replicate_of(statistic, model, n_values)
    return values if isinstance(values, str) else (values, model.optimum.on_boundary)


def refit_groups(model: FittedModel, codes: IntArray, drawn: IntArray) -> FittedModel | str:
    """
    Fit a model to groups of its rows.

    Parameters
    ----------
    model : FittedModel
    codes : ndarray (n,)
        Group of each row; all grouping factors are nested in these groups.
    drawn : ndarray (m,)
        Groups, a group as often as it is to be there; its copies are groups of their own.

    Returns
    -------
    FittedModel or str
        Why the model cannot be fitted, where it cannot.
    """
    from lmm.fitting import fit_design  # noqa: PLC0415 - fitting makes models, so it is imported on use

    design = model.design
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes))
    members = np.split(order, ends[:-1])
    rows = np.concatenate([members[group] for group in drawn])
    copy = np.repeat(np.arange(len(drawn)), [len(members[group]) for group in drawn])
    X = np.asfortranarray(design.X[rows])
    weights, offset = (None if given is None else given[rows] for given in (design.weights, design.offset))
    R, kept = triangular_factor(X if weights is None else np.sqrt(weights)[:, None] * X)
    if not kept.all():
        return NOT_ESTIMABLE
    some = replace(
        design,
        y=design.y[rows],
        X=X,
        R=R,
        terms=tuple(_drawn(term, rows, copy) for term in design.terms),
        weights=weights,
        offset=offset,
        index=pd.RangeIndex(len(rows)),
        rows=None,
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LMMWarning)
            found = fit_design(some, reml=model.reml, sigma=model.known_sigma, start=model.theta, control=model.control)
    except LMMError as error:
        return str(error)
    return found if found.converged else NOT_CERTIFIED


def _drawn(term: RandomTerm, rows: IntArray, copy: IntArray) -> RandomTerm:
    """A random term on the rows drawn, each copy of a group with levels of its own."""
    _, codes = np.unique(copy * len(term.levels) + term.codes[rows], return_inverse=True)
    columns: FloatArray = term.columns[rows]
    return replace(term, columns=columns, codes=codes, levels=pd.RangeIndex(int(codes.max()) + 1))
