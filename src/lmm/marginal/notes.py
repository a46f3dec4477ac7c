"""What a reader of marginal means must know besides the numbers, in sentences."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from lmm.inference.contrasts import estimable
from lmm.linalg import BoolArray, FloatArray
from lmm.marginal.families import level_text
from lmm.marginal.grid import Grid
from lmm.syntax import column_of, columns_in

if TYPE_CHECKING:
    from lmm.design import Design

# Means and cells that a note names before it counts the rest.
MOST_NAMED = 5
METHODS = {"tukey": "Tukey's", "holm": "Holm's", "bonferroni": "Bonferroni's", "sidak": "Sidak's"}


def grid_notes(design: Design, grid: Grid, var: str | None) -> list[str]:
    """Notes on a grid: the scale, what was averaged over, values of covariates, interactions, the offset."""
    notes = []
    if column_of(design.formula.response) is None:
        notes.append(f"On the scale of the response as it was fitted, {design.formula.response}.")
    if grid.averaged:
        notes.append(f"Averaged with equal weights over: {', '.join(grid.averaged)}.")
    others = list(grid.points)[grid.n_kept :]
    held = [name for name in others if len(grid.points[name]) == 1]
    if held:
        notes.append(f"At: {', '.join(f'{name} = {level_text(grid.points[name][0])}' for name in held)}.")
    notes.extend(_interaction_notes(design, grid, var))
    if design.offset is not None:
        where = f"at its mean, {design.offset.mean():.6g}" if design.offset_given else "at the values of the grid"
        notes.append(f"The offset is included, {where}.")
    return notes


def _interaction_notes(design: Design, grid: Grid, var: str | None) -> list[str]:
    """One note on each interaction between what is shown and what is averaged over or held at a value."""
    shown = [name for name in grid.kept if len(grid.points[name]) > 1] if var is None else [var]
    notes = []
    for term in design.fixed_encoding.terms.terms:
        used = {name for expression in term for name in columns_in(expression)}
        subject = [name for name in shown if name in used]
        others = [name for name in grid.points if name in used and name not in {*grid.kept, *shown}]
        over = [name for name in others if name in grid.averaged]
        if not subject or not others:
            continue
        what = f"differences between means of {_listed(subject)}" if var is None else f"slopes in {var}"
        how = f"averaged over here; by={over[0]!r} shows them apart" if over else "at the value above"
        notes.append(f"Interaction {':'.join(term)}: {what} depend on {_listed(over or others)}, {how}.")
    return notes


def cells_note(design: Design, grid: Grid, cells: FloatArray, unknown: BoolArray, var: str | None) -> str:
    """
    Say which means are not estimable, and for want of which cells.

    Parameters
    ----------
    design : Design
    grid : Grid
    cells : ndarray (n_cells, all coefficients)
        Columns of the grid's rows.
    unknown : ndarray (n_means,) of bool
        Means that are not estimable.
    var : str or None
        The covariate, where the means are slopes.
    """
    what = "response" if var is None else f"slope in {var}"
    rows = np.flatnonzero(~estimable(cells, design) & np.tile(unknown, grid.n_cells // grid.n_means)).tolist()
    means = np.flatnonzero(unknown).tolist()
    where = _some(_cell(grid, grid.kept, row) for row in means) if grid.kept else "the mean"
    return (
        f"Not estimable: {where}. The data do not determine the {what} at "
        f"{_some(_cell(grid, grid.points, row) for row in rows)}: a combination without rows, or a variable that "
        "follows from others."
    )


def adjustment_notes(asked: str, used: str, r: int, k: int) -> list[str]:
    """Notes on the adjustment of r contrasts of k means."""
    if r == 1 or used == "none":
        return []
    notes = []
    if asked != used:
        notes.append("Tukey's method is for all pairwise differences; Sidak's is used for these contrasts.")
    family = f"a family of {k} means" if used == "tukey" else f"{r} contrasts"
    limits = "; limits by Bonferroni's" if used == "holm" else ""
    what = "p-values" if used == "holm" else "p-values and limits"
    notes.append(f"Contrasts: {what} adjusted by {METHODS[used]} method for {family}{limits}.")
    return notes


def _cell(grid: Grid, names: Iterable[str], row: int) -> str:
    return ", ".join(f"{name} = {level_text(grid.column(name, [row])[0])}" for name in names)


def _some(texts: Iterable[str]) -> str:
    """Write some texts, and count the rest."""
    listed = list(texts)
    rest = len(listed) - MOST_NAMED
    return "; ".join(listed[:MOST_NAMED]) + (f"; and {rest} more" if rest > 0 else "")


def _listed(names: Iterable[str]) -> str:
    return " and ".join(names)
