"""Fits to some of the groups of the data, each as often as it was drawn: the cases bootstrap and the jackknife."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lmm.design import RandomTerm
from lmm.errors import LMMError, LMMWarning
from lmm.inference.drawn import NOT_CERTIFIED, NOT_ESTIMABLE, GroupSamples
from lmm.inference.estimated import estimate_values, replicate_of
from lmm.linalg import FloatArray, IntArray, triangular_factor

if TYPE_CHECKING:
    from lmm.inference.bootstrap_result import Statistic
    from lmm.model import FittedModel


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

    def values(self, drawn: IntArray) -> tuple[FloatArray, bool] | str:
        """Numbers from the groups drawn, and whether the fit to them is singular; or why there are none."""
        if self.statistic is None:
            found = self._samples.fit(drawn)
            return found if isinstance(found, str) else (estimate_values(self.model, found[0]), found[1])
        model = refit_groups(self.model, self.codes, drawn)
        return model if isinstance(model, str) else statistic_values(self.statistic, model, self.n_values)


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
