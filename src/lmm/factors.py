"""Grouping factors: the random terms of a design gathered by what they are grouped by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from lmm.covariance import Covariance, Diagonal, Stacked, Unstructured
from lmm.crossproducts import Block
from lmm.design import RandomTerm
from lmm.linalg import FloatArray, IntArray
from lmm.standardize import RawBlock

if TYPE_CHECKING:
    import pandas as pd


# Names of the residual variance and standard deviation, which those of variances do not share either.
NOT_GROUPS = ("Residual", "sigma")


@dataclass(frozen=True, repr=False)
class GroupingFactor:
    """
    All random effects that share one grouping factor.

    Attributes
    ----------
    group : str
        The factor as users find it, ``"a:b"`` for an interaction.
    effects : tuple of str
        Names of the k effects of a level, of all terms.
    levels : Index (J,)
    codes : ndarray (n,)
    columns : ndarray (n, k)
    covariance : Covariance
    terms : tuple of int
        Numbers of its random terms in the design.
    term_effects : tuple of tuple of int
        Positions of the effects that may be correlated with each other: one tuple for each unstructured term, one for
        each effect of a diagonal term.
    named_in_full : bool
        Whether the variance of an only effect is named ``"group.effect"``, since ``"group"`` names a coefficient.
    """

    group: str
    effects: tuple[str, ...]
    levels: pd.Index[Any]
    codes: IntArray
    columns: FloatArray
    covariance: Covariance
    terms: tuple[int, ...]
    term_effects: tuple[tuple[int, ...], ...]
    named_in_full: bool = False

    def __repr__(self) -> str:
        return f"<GroupingFactor {self.group!r}: {', '.join(self.effects)} for {self.n_levels} levels>"

    @property
    def n_levels(self) -> int:
        """Number of levels J."""
        return len(self.levels)

    def is_nested_in(self, groups: IntArray) -> bool:
        """Whether the rows of each level belong to a single group, for groups (n,) numbered from 0."""
        group_of = np.empty(self.n_levels, dtype=np.intp)
        group_of[self.codes] = groups
        return np.array_equal(group_of[self.codes], groups)

    @property
    def block(self) -> RawBlock:
        """The factor as the core takes it."""
        return RawBlock(self.codes, self.n_levels, self.columns, self.covariance)


def grouping_factors(terms: tuple[RandomTerm, ...], coefficients: Sequence[str] = ()) -> tuple[GroupingFactor, ...]:
    """
    Gather random terms by grouping factor, in the order in which the factors first occur.

    Parameters
    ----------
    terms : tuple of RandomTerm
    coefficients : sequence of str
        Names of fixed effects, which variance parameters are not to share.
    """
    by_group: dict[str, list[int]] = {}
    for number, term in enumerate(terms):
        by_group.setdefault(term.group, []).append(number)
    taken = {*coefficients, *NOT_GROUPS}
    return tuple(
        _gather([terms[i] for i in numbers], tuple(numbers), named_in_full=group in taken)
        for group, numbers in by_group.items()
    )


def _gather(terms: list[RandomTerm], numbers: tuple[int, ...], *, named_in_full: bool) -> GroupingFactor:
    covariances: list[Covariance] = []
    term_effects: list[tuple[int, ...]] = []
    start = 0
    for term in terms:
        k = len(term.effects)
        positions = range(start, start + k)
        start += k
        if term.structure == "diagonal":
            covariances.append(Diagonal(k))
            term_effects.extend((position,) for position in positions)
        else:
            covariances.append(Unstructured(k))
            term_effects.append(tuple(positions))
    first = terms[0]
    return GroupingFactor(
        group=first.group,
        effects=tuple(effect for term in terms for effect in term.effects),
        levels=first.levels,
        codes=first.codes,
        columns=first.columns if len(terms) == 1 else np.column_stack([term.columns for term in terms]),
        covariance=covariances[0] if len(terms) == 1 else Stacked(tuple(covariances)),
        terms=numbers,
        term_effects=tuple(term_effects),
        named_in_full=named_in_full,
    )


def random_effects_matrix(factors: Sequence[GroupingFactor]) -> sparse.csr_matrix:
    """Z, shape (n, q): by grouping factor, by level, by effect."""
    blocks = [Block(factor.codes, factor.n_levels, factor.columns).matrix for factor in factors]
    return sparse.csr_matrix(sparse.hstack(blocks))


def relative_factor(factors: Sequence[GroupingFactor], T: Sequence[FloatArray]) -> sparse.csr_matrix:
    """Lambda, shape (q, q), from the relative factors T of the grouping factors, shape (k_t, k_t)."""
    blocks = [sparse.kron(sparse.eye_array(factor.n_levels), own) for factor, own in zip(factors, T, strict=True)]
    return sparse.csr_matrix(sparse.block_diag(blocks))
