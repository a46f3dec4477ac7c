"""What a design says nothing of, whatever the response: random effects whose covariance no data of this design tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lmm.crossproducts import CrossProducts
from lmm.errors import ModelError
from lmm.factors import GroupingFactor
from lmm.linalg import FloatArray, upper_indices

# Share of the length of a random effect's columns below which the fixed effects leave none of it.
NOTHING_LEFT = 1e-11
# Share of the largest eigenvalue below which a direction of a covariance matrix does not show in any level.
NOT_SEEN = 1e-12
# Levels that are looked at before all are.
FEW_LEVELS = 1_000


def check_what_fixed_effects_leave(factors: Sequence[GroupingFactor], cross: CrossProducts) -> None:
    """
    Refuse a random effect whose columns are all combinations of those of X: REML knows nothing of its variance.

    In the standardised basis the columns of an unstructured term are orthogonal, and X orthonormal.

    Raises
    ------
    ModelError
    """
    p = cross.p
    for t, XtZ in zip(cross.order, cross.by_block(cross.A_B1[:p], cross.A_BT[:p]), strict=True):
        taken = np.einsum("paj,pbj->ab", XtZ, XtZ) / cross.n
        for effects in factors[t].term_effects:
            if np.linalg.eigvalsh(taken[np.ix_(effects, effects)])[-1] < 1.0 - NOTHING_LEFT:
                continue
            some = "no variance" if len(effects) == 1 else "for some combination of its effects no variance"
            raise ModelError(
                f"The fixed effects already fit what {_text(factors[t], effects)} is to explain, each level of "
                f"{factors[t].group!r} for itself: {some} between levels is left that REML could estimate. Remove one "
                "of the two."
            )


def undetermined_terms(factors: Sequence[GroupingFactor], cross: CrossProducts) -> list[str]:
    """
    Terms of correlated effects with more variances and covariances than show in their levels.

    A change E of the covariance matrix of a term shows in level j as Z_j E Z_j'. Where treatments differ between the
    levels only, a change of the variance of their effect looks like one of its covariance with the intercept. The inner
    products of the directions E, sum_j tr(E G_j F G_j) with G_j = Z_j' Z_j, are singular then.
    """
    found = []
    for place, t in enumerate(cross.order):
        G = cross.A_11 if place == 0 else cross.within[place - 1, place - 1].values
        for effects in factors[t].term_effects:
            own = G[np.ix_(effects, effects)]
            if len(effects) > 1 and not _all_seen(own[:, :, :FEW_LEVELS]) and not _all_seen(own):
                found.append(_text(factors[t], effects))
    return found


def _all_seen(G: FloatArray) -> bool:
    """Whether all changes of a covariance matrix show in some level, for G of shape (k, k, J)."""
    k = len(G)
    size = np.einsum("aaj->j", G)
    # The scale of a level does not matter to what it shows.
    unit = (G[:, :, size > 0.0] / size[size > 0.0]).reshape(k * k, -1)
    sums = (unit @ unit.T).reshape(k, k, k, k)
    a, b = upper_indices(k)
    row, column = (a[:, None], b[:, None]), (a[None, :], b[None, :])
    gram = sums[row[0], column[0], row[1], column[1]] + sums[row[0], column[1], row[1], column[0]]
    length = np.sqrt(np.diagonal(gram))
    if length.min() <= NOT_SEEN * length.max():  # effects that never meet in a level
        return False
    values = np.linalg.eigvalsh(gram / np.outer(length, length))
    return bool(values[0] > NOT_SEEN * values[-1])


def _text(factor: GroupingFactor, effects: Sequence[int]) -> str:
    """A term as it stands in a formula."""
    return f"({' + '.join(factor.effects[i] for i in effects)} | {factor.group})"
