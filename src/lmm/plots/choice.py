"""Which grouping factor and which of its effects a picture shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmm.errors import ArgumentError
from lmm.syntax import match_name

if TYPE_CHECKING:
    from lmm.model import FittedModel


def chosen_factor(model: FittedModel, group: object) -> int:
    """Number of a grouping factor, the first where none is named."""
    groups = [factor.group for factor in model.factors]
    if group is None:
        return 0
    name = match_name(group, groups)
    if name is None:
        raise ArgumentError(f"group must be a grouping factor of the model, among {groups}; got {group!r}")
    return groups.index(name)


def chosen_effect(model: FittedModel, t: int, effect: object) -> int:
    """Position of an effect of grouping factor t, the first where none is named."""
    factor = model.factors[t]
    if effect is None:
        return 0
    if not isinstance(effect, str) or effect not in factor.effects:
        raise ArgumentError(
            f"effect must be a random effect of {factor.group!r}, among {list(factor.effects)}; got {effect!r}"
        )
    return factor.effects.index(effect)
