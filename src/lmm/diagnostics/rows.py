"""The rows of a fit in the standardised basis of the core, in which no weights are left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmm.crossproducts import Block
from lmm.linalg import FloatArray, IntArray

if TYPE_CHECKING:
    from lmm.model import FittedModel


@dataclass(frozen=True)
class StandardRows:
    """
    Rows as the core sees them: multiplied by the square roots of their weights, in the standardised basis.

    Attributes
    ----------
    blocks : tuple of Block
        Random-effects columns by grouping factor.
    X : ndarray (n, p)
        Orthonormal columns.
    y : ndarray (n,)
        Response, orthogonal to X.
    """

    blocks: tuple[Block, ...]
    X: FloatArray
    y: FloatArray

    def take(self, rows: IntArray | slice) -> StandardRows:
        """Some of the rows, with the levels of all."""
        blocks = tuple(Block(block.codes[rows], block.n_levels, block.columns[rows]) for block in self.blocks)
        return StandardRows(blocks, self.X[rows], self.y[rows])

    @property
    def effects(self) -> dict[int, tuple[FloatArray, IntArray]]:
        """Random-effects columns and levels by number of the grouping factor."""
        return {t: (block.columns, block.codes) for t, block in enumerate(self.blocks)}


def standard_rows(model: FittedModel) -> StandardRows:
    """Rows of a fit, as they went into its cross-products."""
    design, basis = model.design, model.basis
    root = design.root_weights
    blocks = tuple(
        Block(factor.codes, factor.n_levels, root[:, None] * (factor.columns @ A))
        for factor, A in zip(model.factors, basis.bases, strict=True)
    )
    y = root * (design.y_less_offset - design.X @ basis.beta_0) / basis.scale
    return StandardRows(blocks, root[:, None] * (design.X @ basis.R_inverse), y)
