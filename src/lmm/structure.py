"""How the system of a fitted model is laid out: which block is diagonal, which dense, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from lmm.tail import Tail

if TYPE_CHECKING:
    from lmm.model import FittedModel


@dataclass(frozen=True)
class Structure:
    """
    Blocks of the linear system of a model, in the order of elimination.

    Attributes
    ----------
    first : str
        Grouping factor that is eliminated first; its block is block diagonal.
    tail : tuple of str
        The other grouping factors.
    blocks : tuple of (int, int)
        Effects and levels of each, in that order.
    components : tuple of (int, int)
        Number and size of the dense matrices that the tail falls into.
    n_pairs : int
        Entries of the map from the first block to the tail.
    n_fixed : int
    """

    first: str
    tail: tuple[str, ...]
    blocks: tuple[tuple[int, int], ...]
    components: tuple[tuple[int, int], ...]
    n_pairs: int
    n_fixed: int

    def __str__(self) -> str:
        names = (self.first, *self.tail)
        width = max(len(name) for name in (*names, "fixed effects"))
        k, J = self.blocks[0]
        lines = [f"{self.first:<{width}}  {J} levels x {k}: block diagonal, {J} blocks of {k} x {k}, factored at once"]
        for name, (size, levels) in zip(self.tail, self.blocks[1:], strict=True):
            lines.append(f"{name:<{width}}  {levels} levels x {size}: tail")
        if self.tail:
            parts = ", ".join(f"{n} of {m} x {m}" for n, m in self.components)
            lines.append(f"{'tail':<{width}}  dense matrices: {parts}; {self.n_pairs} coupling products")
        lines.append(f"{'fixed effects':<{width}}  {self.n_fixed}, and the response: border")
        return "\n".join(lines)


def structure(model: FittedModel) -> Structure:
    """Layout of the system of a fitted model."""
    deviance = model.deviance_function
    names = [model.factors[t].group for t in deviance.cross.order]
    tail = deviance.tail
    return Structure(
        first=names[0],
        tail=tuple(names[1:]),
        blocks=deviance.cross.sizes,
        components=_components(tail),
        n_pairs=_n_pairs(tail),
        n_fixed=deviance.cross.p,
    )


def _components(tail: Tail | None) -> tuple[tuple[int, int], ...]:
    return () if tail is None else tuple((group.shape[0], group.shape[1]) for group in tail.groups)


def _n_pairs(tail: Tail | None) -> int:
    if tail is None:
        return 0
    return int(tail.schur_map.nnz if sparse.issparse(tail.schur_map) else np.count_nonzero(tail.schur_map))
