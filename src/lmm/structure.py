"""How the system of a fitted model is laid out: which block is diagonal, which dense, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmm.display import Table

if TYPE_CHECKING:
    from lmm.model import FittedModel


@dataclass(frozen=True, repr=False)
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
    n_stages : int
        Sparse stages in which levels of the tail are eliminated.
    n_sparse : int
        Random effects that they eliminate.
    n_core : int
        Size of the dense matrix that remains.
    n_pairs : int
        Entries of the map from the first block to the tail; 0 where dense products take its place.
    n_fixed : int

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy"))
    >>> print(fit.structure())
    Subject        18 levels x 2: block diagonal, 18 blocks of 2 x 2, factored at once
    fixed effects  2, and the response: border
    """

    first: str
    tail: tuple[str, ...]
    blocks: tuple[tuple[int, int], ...]
    n_stages: int
    n_sparse: int
    n_core: int
    n_pairs: int
    n_fixed: int

    def __str__(self) -> str:
        width = max(len(part) for part, _ in self._lines())
        return "\n".join(f"{part:<{width}}  {layout}" for part, layout in self._lines())

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return Table("", ("Part", "Layout"), tuple(self._lines()), 2).html()

    def _lines(self) -> list[tuple[str, str]]:
        """Parts of the system in the order of elimination, and how each is laid out."""
        k, J = self.blocks[0]
        lines = [(self.first, f"{J} levels x {k}: block diagonal, {J} blocks of {k} x {k}, factored at once")]
        for name, (size, levels) in zip(self.tail, self.blocks[1:], strict=True):
            lines.append((name, f"{levels} levels x {size}: tail"))
        if self.tail:
            if self.n_stages:
                lines.append(("tail", f"{self.n_sparse} effects eliminated in {self.n_stages} sparse stages"))
            if self.n_core:
                lines.append(("tail", f"dense core of {self.n_core} x {self.n_core}"))
            lines.append(("coupling", f"{self.n_pairs} products, formed once" if self.n_pairs else "dense products"))
        return [*lines, ("fixed effects", f"{self.n_fixed}, and the response: border")]


def structure(model: FittedModel) -> Structure:
    """Layout of the system of a fitted model."""
    deviance = model.deviance_function
    names = [model.factors[t].group for t in deviance.cross.order]
    tail = deviance.tail
    return Structure(
        first=names[0],
        tail=tuple(names[1:]),
        blocks=deviance.cross.sizes,
        n_stages=0 if tail is None else len(tail.stages),
        n_sparse=0 if tail is None else tail.n_columns - len(tail.core.columns),
        n_core=0 if tail is None else len(tail.core.columns),
        n_pairs=0 if tail is None or tail.schur_map is None else int(tail.schur_map.nnz),
        n_fixed=deviance.cross.p,
    )
