"""Which rows, levels or pairs of levels belong to which group."""

from __future__ import annotations

import numpy as np

from lmm.linalg import IntArray


class Members:
    """
    The members of groups, each group in the order of its members.

    Parameters
    ----------
    groups : ndarray (n,)
        Group of each member, 0 .. n_groups - 1.
    n_groups : int

    Attributes
    ----------
    sizes : ndarray (n_groups,)
    """

    def __init__(self, groups: IntArray, n_groups: int) -> None:
        self.sizes = np.bincount(groups, minlength=n_groups)
        self._order = np.argsort(groups, kind="stable")
        self._starts = np.cumsum(self.sizes) - self.sizes

    def of(self, group: int) -> IntArray:
        """Members of one group."""
        return self._order[self._starts[group] : self._starts[group] + self.sizes[group]]

    def together(self, groups: IntArray) -> IntArray:
        """Members of several groups, one after the other; a group may come more than once."""
        sizes = self.sizes[groups]
        ends = np.cumsum(sizes)
        return self._order[np.repeat(self._starts[groups] - (ends - sizes), sizes) + np.arange(int(sizes.sum()))]

    def ranks(self) -> IntArray:
        """Number of each member within its group, from 0, shape (n,)."""
        ranks = np.empty(len(self._order), dtype=np.intp)
        ranks[self._order] = np.arange(len(self._order)) - np.repeat(self._starts, self.sizes)
        return ranks
