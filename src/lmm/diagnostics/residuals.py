"""Residuals of several kinds, each defined in `FittedModel.residuals`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.linalg import cholesky, solve_triangular
from scipy.sparse.csgraph import connected_components

from lmm.arguments import one_of
from lmm.crossproducts import Block
from lmm.diagnostics.leverage import leverage
from lmm.diagnostics.rows import StandardRows, standard_rows
from lmm.linalg import FloatArray, IntArray
from lmm.memory import require_memory

if TYPE_CHECKING:
    from lmm.model import FittedModel

KINDS = ("response", "pearson", "scaled", "studentized", "marginal", "cholesky")
# Rows that are decorrelated at a time, at least.
FEW_ROWS = 256
# Dense matrices that exist at once while rows are decorrelated.
COPIES = 6


def residuals(model: FittedModel, kind: str) -> pd.Series[float]:
    """Residuals on the index of the rows used; see `FittedModel.residuals`."""
    one_of("kind", kind, KINDS)
    return pd.Series(_values(model, kind), index=model.design.index, name=kind)


def _values(model: FittedModel, kind: str) -> FloatArray:
    if kind == "cholesky":
        return _decorrelated(model)
    response: FloatArray = np.asarray(model.resid)
    if kind == "marginal":
        return np.asarray(model.design.y_less_offset - model.design.X @ model.estimates.beta)
    if kind == "response":
        return response
    pearson: FloatArray = model.design.root_weights * response
    if kind == "pearson":
        return pearson
    if kind == "scaled":
        return pearson / model.sigma
    return pearson / (model.sigma * np.sqrt(leverage(model).left))


def _decorrelated(model: FittedModel) -> FloatArray:
    """
    L^-1 (y - X beta) for sigma^2 V = L L', rows in their order, without V.

    Row i of it is the error, over its standard deviation, of predicting the row from those before it. Rows that share
    no level, not even through other rows, are independent, so each connected part of the design is done by itself.
    Some rows at a time: given the rows before, u has the precision Omega = I + A'A over them, with A = Z Lambda, so the
    next rows have the covariance I + A Omega^-1 A'.
    """
    rows = standard_rows(model)
    at = model.optimum.evaluation
    marginal = rows.y - rows.X @ at.beta
    factors = dict(zip(model.deviance_function.cross.order, at.factors, strict=True))
    ZL, part_of_row, part_of_effect = _parts(rows, [factors[t] for t in range(len(rows.blocks))])
    row_order, row_ends = _grouped(part_of_row)
    effect_order, effect_ends = _grouped(part_of_effect)
    n_effects, n_rows = np.diff(effect_ends).max(), np.diff(row_ends).max()
    require_memory(
        8.0 * COPIES * float(n_effects) * float(max(n_effects, min(n_rows, FEW_ROWS))),
        f"decorrelating residuals over {n_effects} random effects that are connected",
        'The other kinds of residuals need less; "studentized" ones have variance 1 too',
    )
    by_row = ZL[row_order]
    whitened = np.empty(model.nobs)
    for part in range(len(row_ends) - 1):
        here = slice(row_ends[part], row_ends[part + 1])
        effects = effect_order[effect_ends[part] : effect_ends[part + 1]]
        A = by_row[here][:, effects]
        whitened[row_order[here]] = _predict_in_turn(A, marginal[row_order[here]])
    return whitened * (model.basis.scale / model.sigma)


def _parts(rows: StandardRows, factors: list[FloatArray]) -> tuple[sparse.csr_array, IntArray, IntArray]:
    """Z Lambda, shape (n, q), and the number of the connected part of each row and of each effect."""
    n = len(rows.y)
    blocks, levels = [], []
    n_nodes = n
    for block, T in zip(rows.blocks, factors, strict=True):
        blocks.append(Block(block.codes, block.n_levels, block.columns @ T).matrix)
        levels.append(n_nodes + block.codes)
        n_nodes += block.n_levels
    edges = (np.tile(np.arange(n), len(levels)), np.concatenate(levels))
    graph = sparse.csr_array((np.ones(len(edges[0])), edges), shape=(n_nodes, n_nodes))
    part = np.asarray(connected_components(graph, directed=False)[1], dtype=np.intp)
    ks = [np.full(block.n_levels, block.n_effects) for block in rows.blocks]
    return sparse.csr_array(sparse.hstack(blocks)), part[:n], np.repeat(part[n:], np.concatenate(ks))


def _grouped(part: IntArray) -> tuple[IntArray, IntArray]:
    """Positions sorted by part, each part in order, and where the parts begin and end."""
    return np.argsort(part, kind="stable"), np.concatenate([[0], np.cumsum(np.bincount(part))])


def _predict_in_turn(A: sparse.csr_array, y: FloatArray) -> FloatArray:
    """Standardised errors of predicting each row from those before it, for y ~ N(0, I + A A')."""
    q = A.shape[1]
    step = max(q, FEW_ROWS)
    omega, told = np.eye(q), np.zeros(q)
    errors = np.empty_like(y)
    for start in range(0, len(y), step):
        here = slice(start, start + step)
        some = A[here].toarray()
        L = cholesky(omega, lower=True)
        half = solve_triangular(L, some.T, lower=True)
        own = cholesky(np.eye(len(some)) + half.T @ half, lower=True)
        errors[here] = solve_triangular(own, y[here] - half.T @ solve_triangular(L, told, lower=True), lower=True)
        omega += some.T @ some
        told += some.T @ y[here]
    return errors
