"""What functions of a fitted model take as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from lmm.errors import ArgumentError

if TYPE_CHECKING:
    from lmm.fixed import FixedModel
    from lmm.linear import LinearModel
    from lmm.model import FittedModel


def has_random_effects(model: LinearModel) -> TypeGuard[FittedModel]:
    """Whether a fitted model is a mixed one."""
    return bool(model.factors)


def mixed_model(given: object, caller: str) -> FittedModel:
    """Refuse what is no fitted model with random effects, on behalf of the function that is called."""
    from lmm.model import FittedModel  # noqa: PLC0415 - the model imports what it delegates to

    if not isinstance(given, FittedModel):
        raise ArgumentError(
            f"{caller} takes a model with random effects, fitted by lmm.fit; got a {type(given).__name__}"
        )
    return given


def linear_model(given: object, caller: str) -> FittedModel | FixedModel:
    """Refuse what is no fitted model, with random effects or without, on behalf of the function that is called."""
    from lmm.fixed import FixedModel  # noqa: PLC0415 - as above
    from lmm.model import FittedModel  # noqa: PLC0415 - as above

    if not isinstance(given, (FittedModel, FixedModel)):
        raise ArgumentError(f"{caller} takes a fitted model, as lmm.fit gives it; got a {type(given).__name__}")
    return given
