"""From a fitted model and the user's arguments to profiles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from lmm.arguments import confidence_level
from lmm.errors import ArgumentError, LMMWarning, warn
from lmm.inference.parameters import VarianceParameter, variance_parameters
from lmm.inference.profile.criteria import alike
from lmm.inference.profile.curve import Curve
from lmm.inference.profile.random_effects import Correlation, StandardDeviation
from lmm.inference.profile.result import ProfileResult, cutoff
from lmm.inference.profile.shares import RowVariance, Share, share_name
from lmm.inference.profile.targets import FixedEffect, Reference, Residual, Target
from lmm.optimize import Control, find_optimum
from lmm.workers import Workers, checked_workers, progress_bar, run_tasks

if TYPE_CHECKING:
    from lmm.factors import GroupingFactor
    from lmm.model import FittedModel

# Promised decrease of the criterion at which the search for a point ends; most of it is made up for, and where the rest
# could move a limit, the search goes on.
TOLERANCE = 1e-8


class Curves:
    """
    The profiles of a fitted model that have been asked for, by method and parameter, kept for later.

    Parameters
    ----------
    model : FittedModel
    """

    def __init__(self, model: FittedModel) -> None:
        self._deviance = model.deviance_function
        self._optimum = model.optimum
        self._basis = model.basis
        self._control = model.control
        self._factors = model.factors
        self._weights = model.design.weights
        self.fixed = tuple(str(name) for name in model.design.names)
        self.variance = variance_parameters(model.factors, sigma_known=model.known_sigma is not None)
        self.shares = tuple(share_name(factor.group) for factor in model.factors)
        self._references: dict[bool, Reference] = {}
        self._curves: dict[tuple[bool, int], Curve] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all parameters: fixed effects, then variance parameters."""
        return (*self.fixed, *(parameter.name for parameter in self.variance))

    @cached_property
    def _rows(self) -> RowVariance:
        """What the variance of a row is made of."""
        return RowVariance.of(self._factors, self._weights, self._basis.bases)

    def curve(self, number: int, *, reml: bool) -> Curve:
        """
        Profile of a parameter by its number in `names`, or after these of a share by its number in `shares`.

        A fixed effect has one by maximum likelihood only.
        """
        key = (reml and number >= len(self.fixed), number)
        if key not in self._curves:
            self._curves[key] = Curve(self._target(number, self._reference(reml=key[0])))
        return self._curves[key]

    def _reference(self, *, reml: bool) -> Reference:
        """The criterion of a method at its optimum: that of the fit, or of a fit by the other method."""
        if reml not in self._references:
            deviance, optimum = self._deviance, self._optimum
            if reml != deviance.reml:
                deviance = alike(deviance, sigma=deviance.sigma, reml=reml)
                optimum = find_optimum(deviance, self._optimum.theta, self._control)
            control = Control(max(TOLERANCE, self._control.tolerance), self._control.max_evaluations)
            self._references[reml] = Reference(deviance, optimum.evaluation, self._basis, control, optimum.on_boundary)
        return self._references[reml]

    def _target(self, number: int, reference: Reference) -> Target:
        if number < len(self.fixed):
            return FixedEffect(self.fixed[number], reference, number)
        if number >= len(self.names):
            factor = number - len(self.names)
            return Share(self.shares[factor], reference, factor, self._rows)
        parameter = self.variance[number - len(self.fixed)]
        if parameter.factor is None:
            return Residual(parameter.name, reference)
        if parameter.is_variance:
            return StandardDeviation(parameter, reference)
        one, other = (self._deviation(parameter, effect, reference) for effect in parameter.effects)
        return Correlation(parameter, reference, (one, other))

    def _deviation(self, parameter: VarianceParameter, effect: int, reference: Reference) -> StandardDeviation:
        """Target of the standard deviation of one of the effects of a correlation, shared with its own profile."""
        place = (parameter.factor, (effect, effect))
        number = next(i for i, other in enumerate(self.variance) if (other.factor, other.effects) == place)
        target = self.curve(len(self.fixed) + number, reml=reference.deviance.reml).target
        assert isinstance(target, StandardDeviation)  # noqa: S101 - the parameter is a variance
        return target


def profile(
    model: FittedModel,
    which: str | Sequence[str] | None = None,
    *,
    level: float = 0.95,
    criterion: str | None = None,
    workers: Workers = 1,
    progress: bool = False,
) -> ProfileResult:
    """
    Profile parameters of a fitted model.

    Parameters
    ----------
    model : FittedModel
    which, level, criterion, workers, progress
        As for `FittedModel.profile`.
    """
    z = cutoff(confidence_level(level))
    reml = _method(model, criterion)
    curves = model.profile_curves
    numbers = _chosen(model, curves, which)
    chosen = [curves.curve(number, reml=reml) for number in numbers]
    tasks = run_tasks(partial(_with_limits, z=z), chosen, checked_workers(workers))
    with progress_bar(len(chosen), "parameter", shown=progress) as advance:
        for curve, found in zip(chosen, tasks, strict=True):
            curve.take(found)
            advance(1)
    result = ProfileResult(
        curves=tuple(chosen),
        level=level,
        reml=reml,
        names=curves.names,
        variance=curves.variance,
    )
    for sentence in result.irregularities:
        warn(sentence, LMMWarning)
    return result


def profile_conf_int(
    model: FittedModel,
    level: float = 0.95,
    *,
    scale: str = "sd",
    **options: Any,  # noqa: ANN401
) -> pd.DataFrame:
    """
    Profile likelihood limits of fixed effects and variance parameters.

    Parameters
    ----------
    model : FittedModel
    level : float
    scale : {"sd", "variance"}
    **options
        As for `FittedModel.profile`.

    Returns
    -------
    DataFrame
        Columns lower and upper, one row a parameter.
    """
    return profile(model, level=level, **options).conf_int(scale=scale)


def _with_limits(curve: Curve, z: float) -> Curve:
    """Find both limits of a profile."""
    for side in (-1, 1):
        curve.limit(z, side)
    return curve


def _method(model: FittedModel, criterion: str | None) -> bool:
    """Whether variance parameters are profiled by REML."""
    if criterion is None:
        return model.reml
    if not isinstance(criterion, str) or criterion not in ("ml", "reml"):
        raise ArgumentError(
            f"criterion must be None (as fitted), 'ml' (the deviance) or 'reml' (the REML criterion); got {criterion!r}"
        )
    return criterion == "reml"


def _chosen(model: FittedModel, curves: Curves, which: str | Sequence[str] | None) -> list[int]:
    """Numbers of the parameters and shares that were asked for."""
    names = curves.names
    if which is None:
        return list(range(len(names)))
    asked = [which] if isinstance(which, str) else list(which) if isinstance(which, Iterable) else None
    single = [share_name(factor.group) for factor in model.factors if len(factor.effects) == 1]
    known = _listed((*names, *single))
    if not asked or not all(isinstance(name, str) for name in asked):
        raise ArgumentError(f"which must be the name of a parameter or a list of names, of {known}; got {which!r}")
    for name in asked:
        if name in curves.shares:
            _require_one_effect(name, model.factors[curves.shares.index(name)])
        elif name in model.design.all_names and name not in names:
            raise ArgumentError(
                f"the coefficient {name!r} was dropped from the fit, because columns before it give the same; it has "
                "no profile"
            )
        elif name not in names:
            raise ArgumentError(f"there is no parameter {name!r}; there are {known}")
    return [number for number, name in enumerate((*names, *curves.shares)) if name in asked]


def _require_one_effect(name: str, factor: GroupingFactor) -> None:
    """Refuse the share of a factor whose covariance matrix is not one number."""
    if len(factor.effects) > 1:
        raise ArgumentError(
            f"{name} has no profile: {factor.group!r} has the random effects {_listed(factor.effects)}, and only the "
            "share of a factor with one can be held; lmm.icc(fit, n_boot=1000) has bootstrap limits for any"
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
