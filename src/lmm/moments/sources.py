"""
Sources of variation of a model with independent random effects, and the cross-products of their columns.

With V = sum_c sigma_c^2 Z_c Z_c' + sigma^2 I, each source c is one effect of one grouping factor: a column of the data,
spread over the levels of the factor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from lmm.crossproducts import Block
from lmm.design import Design
from lmm.errors import ModelError
from lmm.factors import GroupingFactor, grouping_factors
from lmm.fixed import least_squares
from lmm.inference.parameters import RESIDUAL, variance_parameters
from lmm.linalg import RANK_TOLERANCE, FloatArray, IntArray, sum_by


@dataclass(frozen=True)
class Source:
    """
    One effect of one grouping factor.

    Attributes
    ----------
    name : str
        Name of its variance.
    factor, effect : int
        Number of the grouping factor, and position among its effects.
    """

    name: str
    factor: int
    effect: int


def random_sources(design: Design) -> tuple[Source, ...]:
    """
    Sources in the order in which the formula names them.

    Raises
    ------
    ModelError
        When a term has correlated effects: moment equations for variances know no covariances.
    """
    factors = grouping_factors(design.terms)
    names = {(p.factor, p.effects[0]): p.name for p in variance_parameters(factors) if p.is_variance}
    found: dict[int, list[Source]] = {}
    for t, factor in enumerate(factors):
        effect = 0
        for number in factor.terms:
            term = design.terms[number]
            if len(term.effects) > 1 and term.structure != "diagonal":
                raise ModelError(
                    f"The random effects of ({' + '.join(term.effects)} | {term.group}) may be correlated, and moment "
                    "equations estimate variances only. Write the term with a double bar, (... || "
                    f"{term.group}), for independent effects, or use lmm.fit."
                )
            found[number] = [Source(names[t, effect + a], t, effect + a) for a in range(len(term.effects))]
            effect += len(term.effects)
    return tuple(source for number in _as_written(design) for source in found[number])


def _as_written(design: Design) -> list[int]:
    """Numbers of the terms of a design, which stand by number of levels, in the order of the formula."""
    levels = {term.group: len(term.levels) for term in design.terms}
    parts = design.formula.random
    by_size = sorted(range(len(parts)), key=lambda i: -levels[parts[i].name])
    return sorted(range(len(parts)), key=by_size.__getitem__)


@dataclass(frozen=True)
class SourceProducts:
    """
    Cross-products of the columns [Q Z_1 ... Z_m y], each row multiplied by the square root of its weight.

    Q has orthonormal columns that span the fixed effects, in their order; y is the response less what Q explains. Where
    a grouping factor has several effects, what the earlier ones leave of a later one stands beside it, so that all
    columns that span the factor are orthogonal to each other.

    Attributes
    ----------
    A : sparse array
        The cross-products.
    fixed : ndarray (p,)
        Positions of the columns of Q.
    random : tuple of ndarray (J_c,)
        Positions of the columns of each source.
    spanning : tuple of ndarray (J_c,)
        Positions of what the earlier effects of its factor leave of each source.
    response : int
        Position of y.
    n : int
        Number of rows.
    fixed_part : ndarray (p,)
        Q'y of the response as it was.
    """

    A: sparse.csr_array
    fixed: IntArray
    random: tuple[IntArray, ...]
    spanning: tuple[IntArray, ...]
    response: int
    n: int
    fixed_part: FloatArray


def source_products(design: Design, sources: tuple[Source, ...]) -> SourceProducts:
    """Form the cross-products of a design, in one pass over the rows."""
    factors = grouping_factors(design.terms)
    Q, residual, basis = least_squares(design)
    root = design.root_weights
    blocks, random, spanning = [sparse.csr_array(Q)], [], []
    width = Q.shape[1]
    earlier: dict[int, list[FloatArray]] = {}
    for source in sources:
        factor = factors[source.factor]
        z = root * factor.columns[:, source.effect]
        before = earlier.setdefault(source.factor, [])
        left = _left_within_levels(factor, z, before)
        random.append(np.arange(width, width + factor.n_levels))
        blocks.append(_spread(factor, z))
        if before:
            blocks.append(_spread(factor, left))
        spanning.append(random[-1] + (factor.n_levels if before else 0))
        before.append(left)
        width = int(spanning[-1][-1]) + 1
    B = sparse.hstack([*blocks, sparse.csr_array((basis.scale * residual)[:, None])], format="csr")
    return SourceProducts(
        A=sparse.csr_array(B.T @ B),
        fixed=np.arange(Q.shape[1]),
        random=tuple(random),
        spanning=tuple(spanning),
        response=width,
        n=len(residual),
        fixed_part=design.R @ basis.beta_0,
    )


def _left_within_levels(factor: GroupingFactor, z: FloatArray, before: list[FloatArray]) -> FloatArray:
    """What orthogonal columns leave of z within each level, exactly zero where that is a rounding error."""
    left = z
    for column in before:
        lengths = sum_by(factor.codes, column * column, factor.n_levels)
        slopes = sum_by(factor.codes, column * left, factor.n_levels) / np.where(lengths > 0.0, lengths, np.inf)
        left = left - slopes[factor.codes] * column
    if before:
        share = sum_by(factor.codes, left * left, factor.n_levels)
        is_left = share > RANK_TOLERANCE**2 * sum_by(factor.codes, z * z, factor.n_levels)
        left = np.where(is_left[factor.codes], left, 0.0)
    return left


def _spread(factor: GroupingFactor, z: FloatArray) -> sparse.csr_array:
    """One column over the levels of its factor, shape (n, J): one entry in each row."""
    return Block(factor.codes, factor.n_levels, z[:, None]).matrix


def parameter_names(sources: tuple[Source, ...]) -> list[str]:
    """Names of the variances of the sources, and of the residual variance."""
    return [*(source.name for source in sources), RESIDUAL]
