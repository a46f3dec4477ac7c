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
    others = list(grid.values)[grid.n_kept :]
    held = [name for name in others if len(grid.values[name]) == 1]
    if held:
        notes.append(f"At: {', '.join(f'{name} = {level_text(grid.values[name][0])}' for name in held)}.")
    notes.extend(_interaction_notes(design, grid, var))
    if design.offset is not None:
        where = f"at its mean, {design.offset.mean():.6g}" if design.offset_given else "at the values of the grid"
        notes.append(f"The offset is included, {where}.")
    return notes


def _interaction_notes(design: Design, grid: Grid, var: str | None) -> list[str]:
    """One note on each interaction between what is shown and what is averaged over or held at a value."""
    shown = {name for name in grid.kept if len(grid.values[name]) > 1} | ({var} if var is not None else set())
    notes = []
    for term in design.fixed_encoding.terms.terms:
        used = {name for expression in term for name in columns_in(expression)}
        one = [name for name in grid.values if name in used & shown]
        other = [name for name in grid.values if name in used and name not in shown]
        if len(term) > 1 and one and other and (var is None or var in used):
            what = f"the slopes in {var}" if var is not None else f"differences between means of {_listed(one)}"
            over = [name for name in other if name in grid.averaged]
            how = "averaged over here" if over else "at the value above"
            notes.append(
                f"Interaction {':'.join(term)}: {what} depend on {_listed(over or other)}, {how}; "
                f"by={(over or other)[0]!r} shows them level by level."
                if over
                else f"Interaction {':'.join(term)}: {what} depend on {_listed(other)}, {how}."
            )
    return notes


def cells_note(design: Design, grid: Grid, cells: FloatArray, unknown: BoolArray) -> str:
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
    """
    rows = np.flatnonzero(~estimable(cells, design) & np.tile(unknown, grid.n_cells // grid.n_means))
    means = np.flatnonzero(unknown)
    named = [name for name, values in grid.values.items() if len(values) > 1]
    return (
        f"Not estimable: {_some(_cell(grid, grid.kept, row) for row in means)}. The data do not determine the "
        f"response at {_some(_cell(grid, named, row) for row in rows)}: a combination without rows, or one that only "
        "occurs together with another variable."
    )


def adjustment_notes(asked: str, used: str, r: int, k: int) -> list[str]:
    """Notes on the adjustment of r contrasts of k means."""
    notes = []
    if r == 1 or used == "none":
        return notes
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
