"""Principal components of the random effects of a grouping factor: how many of them vary, and which do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lmm.bygroup import ByGroup
from lmm.display import Report, Table
from lmm.factors import GroupingFactor
from lmm.linalg import RANK_TOLERANCE, FloatArray

if TYPE_CHECKING:
    from lmm.model import FittedModel

# Coefficient of a combination below which an effect takes no part in it.
LEAST_COEFFICIENT = 0.005


@dataclass(frozen=True, repr=False, eq=False)
class RandomPCA(Report):
    """
    Principal components of the covariance of the random effects of a grouping factor.

    The components depend on the units of the effects; which combinations do not vary does not.

    Attributes
    ----------
    group : str
    sdev : ndarray (k,)
        Standard deviations of the components, relative to the residual one, in decreasing order.
    share : ndarray (k,)
        Share of each component in the sum of their variances; NaN where nothing varies.
    rotation : DataFrame (k, k)
        Unit vectors of the components, one a column, by effect; the largest entry of each is positive.
    constant : tuple of str
        Combinations of effects that do not vary between levels, in words; empty unless the fit is singular.

    Examples
    --------
    >>> import lmm
    >>> fit = lmm.fit("Reaction ~ Days + (Days | Subject)", lmm.datasets.load("sleepstudy"))
    >>> fit.random_pca()["Subject"]
    Subject              PC1    PC2
    Relative SD       0.9669 0.2309
    Share of variance 0.9461 0.0539
    Intercept          1.000 -0.017
    Days               0.017  1.000
    """

    group: str
    sdev: FloatArray
    share: FloatArray
    rotation: pd.DataFrame
    constant: tuple[str, ...]

    def _tables(self) -> list[Table]:
        header = (self.group, *(str(name) for name in self.rotation.columns))
        rows = [
            ("Relative SD", *(f"{x:.4g}" for x in self.sdev)),
            ("Share of variance", *(f"{x:.4f}" for x in self.share)),
            *(
                (str(effect), *(f"{x:.3f}" for x in row))
                for effect, row in zip(self.rotation.index, self.rotation.to_numpy(), strict=True)
            ),
        ]
        return [Table("", header, tuple(rows), 1)]

    def _notes(self) -> list[str]:
        return [f"Does not vary: {what}." for what in self.constant]


def random_pca(model: FittedModel) -> dict[str, RandomPCA]:
    """Principal components by grouping factor; see `FittedModel.random_pca`."""
    factors = zip(model.factors, model.estimates.T, strict=True)
    return ByGroup((factor.group, _components(factor, T)) for factor, T in factors)


def _components(factor: GroupingFactor, T: FloatArray) -> RandomPCA:
    rotation, sdev, _ = np.linalg.svd(T)
    largest = np.argmax(np.abs(rotation), axis=0)
    rotation = rotation * np.sign(rotation[largest, np.arange(len(sdev))])
    total = float((sdev**2).sum())
    names = [f"PC{i + 1}" for i in range(len(sdev))]
    return RandomPCA(
        group=factor.group,
        sdev=sdev,
        share=sdev**2 / total if total > 0.0 else np.full(len(sdev), np.nan),
        rotation=pd.DataFrame(rotation, index=list(factor.effects), columns=names),
        constant=constant_combinations(factor.effects, T),
    )


def constant_combinations(effects: tuple[str, ...], T: FloatArray) -> tuple[str, ...]:
    """Combinations of effects without variance, in words, for a relative factor T of shape (k, k)."""
    sd = np.sqrt((T**2).sum(axis=1))
    constant = [effect for effect, s in zip(effects, sd, strict=True) if s == 0.0]
    varying = np.flatnonzero(sd > 0.0)
    if len(varying):
        U, lengths, _ = np.linalg.svd(T[varying] / sd[varying, None])
        null = U[:, lengths <= RANK_TOLERANCE * lengths[0]].T
        constant += [_in_words([effects[i] for i in varying], v) for v in null]
    return tuple(constant)


def _in_words(effects: list[str], v: FloatArray) -> str:
    """A combination of effects, each in units of its standard deviation, its first coefficient positive."""
    taken = [i for i in range(len(v)) if abs(v[i]) >= LEAST_COEFFICIENT]
    v = v * np.sign(v[taken[0]])
    terms = " ".join(
        f"{'- ' if v[i] < 0 else '+ ' if i != taken[0] else ''}{abs(v[i]):.2f} {effects[i]}" for i in taken
    )
    return f"{terms}, each in units of its standard deviation"
