"""Which random effects a test is about: those of a grouping factor, or of one of its terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lmm.errors import ArgumentError, ModelError
from lmm.linalg import BoolArray
from lmm.prediction.selection import chosen_effects
from lmm.syntax import match_name

if TYPE_CHECKING:
    from lmm.model import FittedModel


@dataclass(frozen=True)
class EffectsTested:
    """
    Random effects whose variance is tested.

    Attributes
    ----------
    factor : int
        Number of their grouping factor.
    group : str
        Its name.
    effects : ndarray (k,) of bool
        Which of its effects are tested.
    names : tuple of str
        Their names.
    label : str
        The effects in words: ``"Subject"`` where they are all of a grouping factor, else ``"Days by Subject"``.
    """

    factor: int
    group: str
    effects: BoolArray
    names: tuple[str, ...]
    label: str

    @property
    def null(self) -> str:
        """The null hypothesis, a sentence."""
        if len(self.names) == 1:
            return f"The variance of {self.label} is zero."
        return f"The variances of {', '.join(self.names)} by {self.group} are zero."


def tested_effects(model: FittedModel, group: str | None) -> EffectsTested:
    """
    Find the random effects that ``group`` names.

    Parameters
    ----------
    model : FittedModel
    group : str or None
        A grouping factor (``"Subject"``) or a term (``"(0 + Days | Subject)"``); None where the model has one factor.

    Raises
    ------
    ArgumentError
        When it names none or several grouping factors of the model.
    """
    groups = [factor.group for factor in model.factors]
    choices = f"a grouping factor among {groups} or a term such as '(1 | {groups[0]})'"
    if group is None and len(groups) > 1:
        raise ArgumentError(f"the model has several grouping factors; say with group= which is tested: {choices}")
    if group is not None and match_name(group, groups) is None and not (isinstance(group, str) and "|" in group):
        raise ArgumentError(f"group must be {choices}; got {group!r}")
    chosen = chosen_effects(model, groups[0] if group is None else group)
    if len(chosen) > 1:
        raise ArgumentError(
            f"{group!r} names several grouping factors, {[groups[t] for t in chosen]}; each is tested on its own"
        )
    ((t, effects),) = chosen.items()
    factor = model.factors[t]
    names = tuple(name for name, wanted in zip(factor.effects, effects, strict=True) if wanted)
    label = factor.group if effects.all() else f"{', '.join(names)} by {factor.group}"
    return EffectsTested(t, factor.group, np.asarray(effects), names, label)


def one_variance(fit: FittedModel, group: str | None) -> EffectsTested:
    """
    Find the random effect that ``group`` names, one that is independent of all others.

    Raises
    ------
    ModelError
        When it names several effects, or one that is correlated with others.
    """
    tested = tested_effects(fit, group)
    correlated = [effects for effects in fit.factors[tested.factor].term_effects if any(tested.effects[list(effects)])]
    if len(correlated) > 1 or len(correlated[0]) > 1:
        raise ModelError(
            f"this test is about one variance; {tested.label!r} stands for several random effects, or one that is "
            "correlated with others. Name a term of one independent effect, such as '(0 + x | group)', or use lmm.lrt, "
            "with test='bootstrap' in small samples"
        )
    return tested
