"""
Fits to some groups of the data, each as often as it was drawn, from cross-products that are formed once.

Where all grouping factors are nested in the groups, every level and every pair of levels that meet belongs to one
group. So the cross-products of a sample of groups are those of the groups, laid side by side: no row is touched again.
A copy of a group has levels of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lmm.crossproducts import CrossProducts
from lmm.deviance import ProfiledDeviance
from lmm.diagnostics.rows import standard_rows
from lmm.errors import ModelError
from lmm.estimates import Estimates, estimates
from lmm.linalg import IntArray
from lmm.members import Members
from lmm.optimize import find_optimum
from lmm.tail import Incidence

if TYPE_CHECKING:
    from lmm.model import FittedModel

NOT_ESTIMABLE = "the fixed effects are not estimable from the groups drawn: some of their columns depend on each other"
NOT_CERTIFIED = "the optimiser stopped before it could certify the optimum"
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
        n_groups = int(codes.max()) + 1
        members = Members(codes, n_groups)
        B = np.column_stack([rows.X, rows.y])
        self._sizes = members.sizes
        self._A_BB = np.array([B[own].T @ B[own] for own in map(members.of, range(n_groups))])
        groups = []
        for t in cross.order:
            group_of = np.empty(rows.blocks[t].n_levels, dtype=np.intp)
            group_of[rows.blocks[t].codes] = codes
            groups.append(group_of)
        self._levels = [Members(group_of, n_groups) for group_of in groups]
        self._ranks = [levels.ranks() for levels in self._levels]
        self._with_first = [Members(groups[0][incidence.rows], n_groups) for incidence in cross.with_first]
        self._within = {
            cell: Members(groups[cell[0] + 1][incidence.rows], n_groups) for cell, incidence in cross.within.items()
        }

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
        if np.linalg.eigvalsh(cross.A_BB[: cross.p, : cross.p]).min(initial=1.0) <= LEAST_INFORMATION:
            return NOT_ESTIMABLE
        sample = ProfiledDeviance(cross, deviance.covariances, reml=deviance.reml, sigma=deviance.sigma)
        try:
            optimum = find_optimum(sample, model.optimum.theta, model.control)
        except ModelError as error:
            return str(error)
        if not optimum.converged:
            return NOT_CERTIFIED
        return estimates(sample, optimum.evaluation, model.basis, model.known_sigma), optimum.on_boundary

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
