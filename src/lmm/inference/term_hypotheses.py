"""
What the sums of squares of type I, II and III test: for each term of the fixed part a hypothesis L beta = 0.

Type I adjusts a term for those before it, type II for all that do not contain it. Both are statements about spans of
columns: with X = Q R, its columns ordered so that those adjusted for come first, L is the rows of R of the term.

Type III starts from the estimable functions in the coordinates of full dummy columns, one for each cell of each term
(Goodnight 1978). Those of a term vanish on every term that neither is nor contains it, and among them they are
orthogonal to those that vanish on the term too. So the definition does not involve the coding of the factors, nor
which columns were dropped where cells are empty. A term contains another when it has all its factors, more factors, and
the same covariates.

Satterthwaite's degrees of freedom of a joint test depend a little on the rows that L is written in. As in lmerTest,
rows are scaled to a unit diagonal for type I, and for type II where other terms contain the term; the rows of type II
are the coefficients themselves where none does; those of type III are differences from the first levels.

References
----------
Goodnight, J. H. (1978). Tests of hypotheses in fixed effects linear models. SAS Technical Report R-101.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import null_space

from lmm.design import Design
from lmm.encoding import Encoding
from lmm.linalg import BoolArray, FloatArray, IntArray, triangular_factor
from lmm.syntax import shown

# Singular values and entries below this share of the largest are zero.
ZERO = 1e-9


def sequential_hypotheses(design: Design, *, marginal: bool) -> list[FloatArray]:
    """
    Hypotheses of type I, or of type II where ``marginal``, one array (r, p) a term.

    Coefficients are those that were estimated; a term that lost all its columns has none, shape (0, p).
    """
    encoding = design.fixed_encoding
    assign = np.array(encoding.assign)[design.kept]
    R = np.asarray(np.linalg.qr(design.X, mode="r"))
    hypotheses = []
    for term in range(1, len(encoding.terms.terms) + 1):
        own = assign == term
        above = containing(encoding, term)
        if marginal and not above:
            hypotheses.append(np.eye(len(R))[own])
            continue
        before = ~own & ~np.isin(assign, above) if marginal else assign < term
        order = np.argsort(np.where(before, 0, np.where(own, 1, 2)), kind="stable")
        reordered = np.asarray(np.linalg.qr(R[:, order], mode="r"))
        rows = slice(int(before.sum()), int((before | own).sum()))
        L = np.empty((rows.stop - rows.start, len(R)))
        L[:, order] = reordered[rows] / np.diagonal(reordered)[rows, None]
        hypotheses.append(L)
    return hypotheses


def estimable_hypotheses(design: Design) -> tuple[list[FloatArray], list[str]]:
    """
    Hypotheses of type III, one array (r, p) a term, and the names of the empty cells.

    Coefficients are those that were estimated.
    """
    encoding = design.fixed_encoding
    kept = design.kept
    to_estimated = np.zeros((int(kept.sum()), len(kept)))
    to_estimated[:, kept] = np.eye(len(to_estimated))
    to_estimated[:, ~kept] = design.aliasing
    n_terms = len(encoding.terms.terms)
    terms = [_cells(encoding, term) for term in range(n_terms + 1)]
    G = [to_estimated @ cells.columns for cells in terms]
    used = [np.abs(columns).max(axis=0, initial=0.0) > ZERO for columns in G]
    empty = [name for cells, some in zip(terms, used, strict=True) for name in itertools.compress(cells.names, ~some)]
    # A term of which no column stayed is not in the model.
    present = sorted(set(np.array(encoding.assign)[kept].tolist()))
    everything = np.concatenate([np.zeros((len(to_estimated), 0)), *(G[i] for i in present)], axis=1)
    hypotheses = []
    for term in range(1, n_terms + 1):
        if term not in present:
            hypotheses.append(np.zeros((0, len(to_estimated))))
            continue
        above = containing(encoding, term)
        outside = [G[i] for i in present if i != term and i not in above]
        functions = _vanishing(np.concatenate([np.zeros((len(everything), 0)), *outside], axis=1))
        without_term = functions @ _vanishing(functions.T @ G[term])
        metric = functions.T @ everything @ everything.T
        own = functions @ _vanishing(metric @ without_term)
        hypotheses.append(_as_differences(own.T, own.T @ G[term], terms[term].is_reference))
    return hypotheses, empty


def _as_differences(L: FloatArray, on_cells: FloatArray, is_reference: BoolArray) -> FloatArray:
    """Rows of L written anew, each with weight 1 on a cell of its own: away from the first levels where it can be."""
    if not len(L):
        return L
    order = np.argsort(is_reference, kind="stable")
    _, chosen = triangular_factor(on_cells[:, order])
    return np.asarray(np.linalg.solve(on_cells[:, order[chosen]], L))


def containing(encoding: Encoding, term: int) -> list[int]:
    """Numbers of the terms that contain a term: all its factors, more factors, the same covariates."""
    own = set(encoding.terms.terms[term - 1])
    return [
        number
        for number, other in enumerate(encoding.terms.terms, start=1)
        if own < set(other) and all(expression in encoding.codings for expression in set(other) - own)
    ]


def _vanishing(columns: FloatArray) -> FloatArray:
    """Basis, in columns, of the vectors orthogonal to some columns."""
    size = np.abs(columns).max(initial=0.0)
    if columns.shape[1] == 0 or size == 0.0:
        return np.eye(len(columns))
    basis: FloatArray = null_space(columns.T / size, rcond=ZERO)
    return basis


@dataclass(frozen=True)
class _Cells:
    """Dummy columns (p, cells) of a term as combinations of the columns of X, their names, which have a first level."""

    columns: FloatArray
    names: list[str]
    is_reference: BoolArray


def _cells(encoding: Encoding, term: int) -> _Cells:
    """
    Dummy columns of the cells of a term as combinations of the columns of X.

    Where the terms below do not span the cells, as in a model without intercept, the term's own columns take their
    place. The intercept is term 0.
    """
    positions = _positions(encoding)
    p = len(encoding.assign)
    own = positions[term]
    factors = [] if term == 0 else [e for e in encoding.terms.terms[term - 1] if e in encoding.codings]
    as_they_are = _Cells(np.eye(p)[:, own.ravel()], [encoding.names[i] for i in own.ravel()], np.zeros(own.size, bool))
    if not factors:
        return as_they_are
    levels = [encoding.codings[factor].levels for factor in factors]
    shape = tuple(len(labels) for labels in levels)
    numeric = sorted(set(encoding.terms.terms[term - 1]) - set(factors))
    below, coded = [], []
    for other in range(len(encoding.terms.terms) + 1):
        expressions = () if other == 0 else encoding.terms.terms[other - 1]
        if not positions[other].size or set(expressions) - set(factors) != set(numeric):
            continue
        below.append(_by_numeric(expressions, positions[other], numeric, factors))
        matrices = [
            encoding.coding_matrix(other, factor) if factor in expressions else np.ones((k, 1))
            for factor, k in zip(factors, shape, strict=True)
        ]
        coded.append(_kronecker(matrices))
    stacked = np.concatenate(coded, axis=1)
    combination = np.linalg.lstsq(stacked, np.eye(len(stacked)), rcond=None)[0]
    if np.abs(stacked @ combination - np.eye(len(stacked))).max() > ZERO:
        return as_they_are
    blocks: list[FloatArray] = []
    names: list[str] = []
    for columns in zip(*below, strict=True):  # one pass for each product of the numeric columns
        block = np.zeros((p, len(stacked)))
        block[np.concatenate(columns)] = combination
        blocks.append(block)
        names.extend(
            ":".join(f"{shown(factor)}[{label}]" for factor, label in zip(factors, cell, strict=True))
            for cell in itertools.product(*levels)
        )
    is_first = np.array([0 in place for place in np.ndindex(shape)])
    return _Cells(np.concatenate(blocks, axis=1), names, np.tile(is_first, len(blocks)))


def _kronecker(matrices: Sequence[FloatArray]) -> FloatArray:
    """Kronecker product of matrices, the last one's rows and columns varying fastest."""
    product: FloatArray = np.ones((1, 1))
    for matrix in matrices:
        product = np.asarray(np.kron(product, matrix), dtype=np.float64)
    return product


def _positions(encoding: Encoding) -> list[IntArray]:
    """Columns of X of the intercept and of each term, as an array with one axis for each expression of the term."""
    assign = np.array(encoding.assign, dtype=np.intp)
    positions = [np.flatnonzero(assign == 0)]
    for term, expressions in enumerate(encoding.terms.terms, start=1):
        widths = [
            encoding.coding_matrix(term, e).shape[1] if e in encoding.codings else encoding.widths[e]
            for e in expressions
        ]
        # The first expression varies fastest.
        positions.append(np.flatnonzero(assign == term).reshape(widths[::-1]).transpose())
    return positions


def _by_numeric(
    expressions: Sequence[str], columns: IntArray, numeric: Sequence[str], factors: Sequence[str]
) -> list[IntArray]:
    """Columns of a term for each product of its numeric columns: flat arrays, the last of its factors fastest."""
    order = [*numeric, *factors]
    axes = sorted(range(len(expressions)), key=lambda i: order.index(expressions[i]))
    ordered = columns.transpose(axes) if expressions else columns
    n_products = int(np.prod(ordered.shape[: len(numeric)], dtype=np.intp))
    return list(ordered.reshape(n_products, -1))
