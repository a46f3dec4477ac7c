"""Which random effects a prediction includes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lmm.errors import ArgumentError
from lmm.formula import RandomPart, parse_formula
from lmm.linalg import BoolArray
from lmm.syntax import match_name

if TYPE_CHECKING:
    from lmm.factors import GroupingFactor
    from lmm.linear import LinearModel


def chosen_effects(model: LinearModel, random: bool | str | list[str]) -> dict[int, BoolArray]:
    """
    Effects that are included, by number of their grouping factor.

    Parameters
    ----------
    model : FittedModel
    random : bool, str or list of str
        All, none, the names of grouping factors, or terms such as ``"(1 | Subject)"``.

    Returns
    -------
    dict of int to ndarray (k,) of bool

    Raises
    ------
    ArgumentError
        For a factor or a term that the model does not have, by name.
    """
    if isinstance(random, (bool, np.bool_)):
        return {t: np.ones(len(factor.effects), dtype=bool) for t, factor in enumerate(model.factors) if random}
    if not isinstance(random, (str, list, tuple)) or not model.factors:
        raise _not_random(model, random)
    chosen: dict[int, BoolArray] = {}
    for wanted in [random] if isinstance(random, str) else random:
        for t, effects in _read(model, wanted).items():
            chosen[t] = chosen.get(t, False) | effects
    return chosen


def _read(model: LinearModel, wanted: str) -> dict[int, BoolArray]:
    groups = [factor.group for factor in model.factors]
    name = match_name(wanted, groups)
    if name is not None:
        t = groups.index(name)
        return {t: np.ones(len(model.factors[t].effects), dtype=bool)}
    if "|" not in str(wanted):
        raise _not_random(model, wanted)
    chosen: dict[int, BoolArray] = {}
    for part in parse_formula(f"response ~ {wanted}").random:
        if part.name not in groups:
            raise ArgumentError(f"{wanted!r}: {part.name!r} is not a grouping factor of this model, which has {groups}")
        t = groups.index(part.name)
        chosen[t] = chosen.get(t, False) | _matching(model, model.factors[t], part)
    return chosen


def _not_random(model: LinearModel, given: object) -> ArgumentError:
    groups = [factor.group for factor in model.factors]
    if not groups:
        return ArgumentError(f"random must be True or False, as {model.formula!r} has no random effects; got {given!r}")
    return ArgumentError(
        f"random must be True, False, grouping factors among {groups}, or terms such as '(1 | {groups[0]})'; "
        f"got {given!r}"
    )


def _matching(model: LinearModel, factor: GroupingFactor, part: RandomPart) -> BoolArray:
    """The effects of a factor that a term asks for."""
    wanted = {frozenset(term) for term in part.effects.terms} | (
        {frozenset[str]()} if part.effects.intercept else set()
    )
    found: set[frozenset[str]] = set()
    mask = []
    for number in factor.terms:
        encoding = model.design.terms[number].encoding
        for term in encoding.assign:
            effect = frozenset(encoding.terms.terms[term - 1]) if term else frozenset[str]()
            mask.append(effect in wanted)
            found.add(effect)
    if not wanted <= found:
        missing = ", ".join(":".join(sorted(effect)) or "1" for effect in wanted - found)
        raise ArgumentError(
            f"{part.text!r} asks for effects that the model does not have by {factor.group!r}: {missing}"
        )
    return np.array(mask)
