"""
In which order the levels of the tail are eliminated: sparse stages first, then a dense core.

Levels that are connected with few others, and not with each other, can be eliminated all at once; each leaves its
neighbours connected. Doing so again and again is a parallel form of minimum-degree ordering (Liu 1985). Nested factors
are eliminated entirely, from the innermost outwards, without fill; a weakly connected network (workers and firms)
leaves a small core; crossed factors, whose levels all meet, are the core from the start.

References
----------
Liu, J. W. H. (1985). Modification of the minimum-degree algorithm by multiple elimination. ACM Transactions on
Mathematical Software 11, 141-153.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lmm.linalg import BoolArray, IntArray

# Below this many levels a dense matrix is faster than any cleverness.
FEW_LEVELS = 60
# Share of the possible connections above which what remains is treated as dense.
DENSE = 0.2
# A stage takes levels with up to this many times the smallest number of neighbours, and a few more.
DEGREE_FACTOR, DEGREE_EXTRA = 1.5, 2
MAX_STAGES = 300
# Connections above which the elimination stops looking for sparsity.
MAX_EDGES = 5_000_000


@dataclass(frozen=True)
class LevelStage:
    """
    Levels that are eliminated together.

    Attributes
    ----------
    levels : ndarray (n,)
        No two of them are connected.
    owners, neighbours : ndarray (e,)
        Connections of these levels with levels eliminated later: position in ``levels``, and the other level; sorted
        by owner.
    """

    levels: IntArray
    owners: IntArray
    neighbours: IntArray


@dataclass(frozen=True)
class Plan:
    """Stages of elimination, and the levels of the dense core that remains, in ascending order."""

    stages: tuple[LevelStage, ...]
    core: IntArray


def dense_plan(n_levels: int) -> Plan:
    """Everything in the core."""
    return Plan((), np.arange(n_levels))


def plan_elimination(n_levels: int, edges: IntArray) -> Plan:
    """
    Plan the elimination of a graph.

    Parameters
    ----------
    n_levels : int
    edges : ndarray (e,)
        Connections u < v as ``u * n_levels + v``, each once, sorted.
    """
    rng = np.random.default_rng(0)  # breaks ties between neighbours; any seed is as good
    alive = np.ones(n_levels, dtype=bool)
    stages: list[LevelStage] = []
    while True:
        n_alive = int(alive.sum())
        if n_alive <= FEW_LEVELS and (len(edges) or not n_alive):
            break
        if len(edges) > min(DENSE * n_alive**2 / 2, MAX_EDGES) or len(stages) == MAX_STAGES:
            break
        u, v = edges // n_levels, edges % n_levels
        chosen = _independent(alive, u, v, rng)
        stage, neighbour_edges = _stage(n_levels, chosen, u, v)
        stages.append(stage)
        alive[stage.levels] = False
        kept = edges[alive[u] & alive[v]]
        edges = np.union1d(kept, neighbour_edges)
    return Plan(tuple(stages), np.flatnonzero(alive))


def _independent(alive: BoolArray, u: IntArray, v: IntArray, rng: np.random.Generator) -> BoolArray:
    """Levels of low degree of which no two are connected: those that come before all their neighbours of low degree."""
    n = len(alive)
    degree = np.bincount(u, minlength=n) + np.bincount(v, minlength=n)
    bound = DEGREE_FACTOR * degree[alive].min() + DEGREE_EXTRA
    chosen: BoolArray = alive & (degree <= bound)
    rank = np.empty(n, dtype=np.intp)
    rank[np.lexsort((rng.permutation(n), degree))] = np.arange(n)
    contested = chosen[u] & chosen[v]
    later = np.where(rank[u] > rank[v], u, v)[contested]
    chosen[later] = False
    return chosen


def _stage(n_levels: int, chosen: BoolArray, u: IntArray, v: IntArray) -> tuple[LevelStage, IntArray]:
    """The chosen levels with their neighbours, and the connections that eliminating them makes."""
    levels = np.flatnonzero(chosen)
    owner = np.concatenate([u[chosen[u]], v[chosen[v]]])
    neighbour = np.concatenate([v[chosen[u]], u[chosen[v]]])
    order = np.lexsort((neighbour, owner))
    owner, neighbour = np.searchsorted(levels, owner[order]), neighbour[order]
    one, other = pairs_by_owner(np.bincount(owner, minlength=len(levels)))
    apart = one != other
    first, second = neighbour[other[apart]], neighbour[one[apart]]  # neighbours ascend, so first < second
    return LevelStage(levels, owner, neighbour), np.unique(first * n_levels + second)


def pairs_by_owner(counts: IntArray) -> tuple[IntArray, IntArray]:
    """
    All pairs (each with itself too, each pair once) of entries of the same owner.

    Parameters
    ----------
    counts : ndarray (n,)
        Number of entries of each owner; entries are sorted by owner.

    Returns
    -------
    one, other : ndarray
        Positions of the entries of each pair, ``other <= one``.
    """
    starts = np.cumsum(counts) - counts
    rank = np.arange(int(counts.sum())) - np.repeat(starts, counts)
    one = np.repeat(np.arange(len(rank)), rank + 1)
    first_pair = np.cumsum(rank + 1) - (rank + 1)
    other = np.arange(len(one)) - np.repeat(first_pair - np.repeat(starts, counts), rank + 1)
    return one, other
