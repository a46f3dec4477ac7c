"""
Fits to some groups of the data, each as often as it was drawn, from cross-products that are formed once.

Where all grouping factors are nested in the groups, every level and every pair of levels that meet belongs to one
group. So no row is touched again: samples of a small model are fitted together, from sums over the groups (see
`lmm.batch.groups`), others one by one, from the cross-products of their groups, laid side by side. A copy of a group
has levels of its own.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from lmm.batch.groups import GroupSystem, group_system
from lmm.batch.refits import NOT_CERTIFIED, Refits, fitting_at_once, refits_at, unfitted
from lmm.batch.search import find_optima
from lmm.crossproducts import CrossProducts
from lmm.deviance import ProfiledDeviance
from lmm.diagnostics.rows import standard_rows
from lmm.errors import ModelError
from lmm.estimates import Estimates, estimates
from lmm.linalg import BoolArray, FloatArray, IntArray, sum_by
from lmm.members import Members
from lmm.optimize import find_optimum
from lmm.tail import Incidence

if TYPE_CHECKING:
    from lmm.model import FittedModel

NOT_ESTIMABLE = "the fixed effects are not estimable from the groups drawn: some of their columns depend on each other"
# Share of the information on some coefficient in all data below which a sample is said to have none.
LEAST_INFORMATION = 1e-9


class GroupSamples:
    """
    Cross-products of a model by groups of its rows.

    Parameters
    ----------
    model : FittedModel
    codes : ndarray (n,)
        Group of each row, 0 .. n_groups - 1; all grouping factors are nested in these groups.
    """

    def __init__(self, model: FittedModel, codes: IntArray) -> None:
        self.model = model
        rows, cross = standard_rows(model), model.deviance_function.cross
        self.n_groups = n_groups = int(codes.max()) + 1
        members = Members(codes, n_groups)
        B = np.column_stack([rows.X, rows.y])
        self._sizes = members.sizes
        self._A_BB = np.array([B[own].T @ B[own] for own in map(members.of, range(n_groups))])
        weights = np.ones(len(codes)) if model.design.weights is None else model.design.weights
        self._log_weights = sum_by(codes, np.log(weights), n_groups)
        groups: list[IntArray] = []
        for t in cross.order:
            group_of = np.empty(rows.blocks[t].n_levels, dtype=np.intp)
            group_of[rows.blocks[t].codes] = codes
            groups.append(group_of)
        self._groups = groups
        self._levels = [Members(group_of, n_groups) for group_of in groups]
        self._ranks = [levels.ranks() for levels in self._levels]
        self._with_first = [Members(groups[0][incidence.rows], n_groups) for incidence in cross.with_first]
        self._within = {
            cell: Members(groups[cell[0] + 1][incidence.rows], n_groups) for cell, incidence in cross.within.items()
        }

    @cached_property
    def _system(self) -> GroupSystem | None:
        """The system by groups of a small model; None where samples are fitted one by one."""
        return group_system(self.model.deviance_function, self._groups, self._sizes, self._A_BB)

    @cached_property
    def batch_size(self) -> int:
        """Samples that are fitted at once; it depends on the model only."""
        return 1 if self._system is None else fitting_at_once(self._system.cost_of_one)

    def fit_all(self, drawn: IntArray) -> Refits:
        """Fit the model to samples of groups, shape (B, m): a row holds the groups of one sample."""
        found = unfitted(self.model, len(drawn))
        left = np.arange(len(drawn)) if self._system is None else self._fit_together(self._system, drawn, found)
        for i in left:
            one = self.fit(drawn[i])
            if isinstance(one, str):
                found.failures[int(i)] = one
            else:
                found.put_one(int(i), one[0], singular=one[1])
        return found

    def _fit_together(self, system: GroupSystem, drawn: IntArray, found: Refits) -> IntArray:
        """Write the estimates that a batch can certify; samples, by number, that it cannot."""
        model, p = self.model, self.model.deviance_function.cross.p
        cells = np.arange(len(drawn))[:, None] * self.n_groups + drawn
        counts = np.bincount(cells.ravel(), minlength=len(drawn) * self.n_groups)
        times: FloatArray = counts.reshape(-1, self.n_groups).astype(np.float64)
        some = np.flatnonzero(self._determine(np.tensordot(times, self._A_BB, axes=1)) & (times @ self._sizes > p))
        if not len(some):
            return np.arange(len(drawn))
        y = system.samples(times[some])
        best = find_optima(system.system, y, model.optimum.theta, model.control)
        certified = np.flatnonzero(best.certified)
        if not len(certified):
            return np.arange(len(drawn))
        y, where = y.take(certified), some[certified]
        at = system.system.evaluate(best.theta[certified], y)
        basis = replace(model.basis, log_weights=0.0)
        refits = refits_at(system.system, at, y, basis, basis.beta_0, scale=basis.scale, known_sigma=model.known_sigma)
        criterion = refits.criterion - times[where] @ self._log_weights
        singular = best.on_boundary[certified].astype(np.float64)
        found.put(where, replace(refits, criterion=criterion, singular=singular))
        return np.setdiff1d(np.arange(len(drawn)), where)

    def _determine(self, A_BB: FloatArray) -> BoolArray:
        """Whether samples determine the fixed effects, shape (B,), from their [X y]' [X y], shape (B, p + 1, p + 1)."""
        information = A_BB[..., :-1, :-1]
        least: BoolArray = np.linalg.eigvalsh(information).min(axis=-1, initial=1.0) > LEAST_INFORMATION
        return least

    def fit(self, drawn: IntArray) -> tuple[Estimates, bool] | str:
        """
        Fit the model to the groups drawn, shape (m,).

        Returns
        -------
        (Estimates, bool) or str
            The estimates, and whether some covariance matrix is singular; or why there are none.
        """
        model, deviance = self.model, self.model.deviance_function
        cross = self.cross_products(drawn)
        if not self._determine(cross.A_BB):
            return NOT_ESTIMABLE
        sample = ProfiledDeviance(cross, deviance.covariances, reml=deviance.reml, sigma=deviance.sigma)
        try:
            optimum = find_optimum(sample, model.optimum.theta, model.control)
        except ModelError as error:
            return str(error)
        if not optimum.converged:
            return NOT_CERTIFIED
        basis = replace(model.basis, log_weights=float(self._log_weights[drawn].sum()))
        return estimates(sample, optimum.evaluation, basis, model.known_sigma), optimum.on_boundary

    def cross_products(self, drawn: IntArray) -> CrossProducts:
        """Cross-products of the groups drawn, shape (m,)."""
        cross = self.model.deviance_function.cross
        levels = [own.together(drawn) for own in self._levels]
        columns = []
        offset = 0
        for (k, J), own in zip(cross.sizes[1:], levels[1:], strict=True):
            columns.append((offset + J * np.arange(k)[:, None] + own).ravel())
            offset += k * J
        with_first = tuple(
            self._drawn_incidence(incidence, pairs, drawn, (0, t + 1))
            for t, (incidence, pairs) in enumerate(zip(cross.with_first, self._with_first, strict=True))
        )
        within = {
            (s, t): self._drawn_incidence(cross.within[s, t], pairs, drawn, (s + 1, t + 1))
            for (s, t), pairs in self._within.items()
        }
        return CrossProducts(
            order=cross.order,
            sizes=tuple((k, len(own)) for (k, _), own in zip(cross.sizes, levels, strict=True)),
            A_11=cross.A_11[:, :, levels[0]],
            A_B1=cross.A_B1[:, :, levels[0]],
            A_BT=cross.A_BT[:, np.concatenate([np.zeros(0, dtype=np.intp), *columns])],
            A_BB=self._A_BB[drawn].sum(axis=0),
            with_first=with_first,
            within=within,
            n=int(self._sizes[drawn].sum()),
        )

    def _drawn_incidence(self, whole: Incidence, pairs: Members, drawn: IntArray, blocks: tuple[int, int]) -> Incidence:
        """Pairs of levels of two blocks that meet in the groups drawn."""
        chosen = pairs.together(drawn)
        copy = np.repeat(np.arange(len(drawn)), pairs.sizes[drawn])
        numbers = []
        for block, own in zip(blocks, (whole.rows[chosen], whole.columns[chosen]), strict=True):
            sizes = self._levels[block].sizes[drawn]
            numbers.append((np.cumsum(sizes) - sizes)[copy] + self._ranks[block][own])
        return Incidence(numbers[0], numbers[1], whole.values[:, :, chosen])
