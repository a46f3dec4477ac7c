"""
A fit as data frames in the shape of broom.mixed: one row per parameter, one row per model, one row per observation.

References
----------
Bolker, B. and Robinson, D. broom.mixed: Tidying Methods for Mixed Models. R package.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from lmm.arguments import true_or_false
from lmm.diagnostics.leverage import cooks_distance, leverage
from lmm.errors import ArgumentError
from lmm.models import has_random_effects

if TYPE_CHECKING:
    from lmm.linear import LinearModel
    from lmm.model import FittedModel

EFFECTS = ("fixed", "ran_pars", "ran_vals")
# What is said of a model in one row.
GLANCE = (
    "nobs",
    "n_params",
    "df_resid",
    "sigma",
    "llf",
    "deviance",
    "aic",
    "bic",
    "reml",
    "is_singular",
    "converged",
)


def tidy(model: LinearModel, effects: str | Sequence[str], *, conf_int: bool, level: float, ddf: str) -> pd.DataFrame:
    """One row per parameter; see `FittedModel.tidy`."""
    asked = list(effects) if isinstance(effects, (list, tuple)) else [effects]
    if not asked or not all(isinstance(effect, str) and effect in EFFECTS for effect in asked):
        raise ArgumentError(f"effects must be one or several of {', '.join(map(repr, EFFECTS))}; got {effects!r}")
    with_limits = true_or_false("conf_int", conf_int)
    parts = []
    for effect in asked:
        if effect == "fixed":
            parts.append(_fixed(model, level, ddf))
        elif not has_random_effects(model):
            raise ArgumentError(f'{model.formula!r} has no random effects: effects must be "fixed"; got {effect!r}')
        else:
            parts.append(_parameters(model, level) if effect == "ran_pars" else _values(model, level))
    columns = ["effect", "group", "term", "estimate", "std_error", "df", "statistic", "p_value"]
    if "ran_vals" in asked:
        columns.insert(2, "level")
    if with_limits:
        columns.extend(["conf_low", "conf_high"])
    return pd.concat([part.reindex(columns=columns) for part in parts], ignore_index=True)


def _fixed(model: LinearModel, level: float, ddf: str) -> pd.DataFrame:
    table = model.coef_table(ddf, level).rename(columns={"lower": "conf_low", "upper": "conf_high"})
    return table.rename_axis("term").reset_index().assign(effect="fixed", group="")


def _parameters(model: FittedModel, level: float) -> pd.DataFrame:
    """Standard deviations and correlations, named as broom.mixed names them."""
    table = model.variance_components_table(level)
    term = [_term(*labels) for labels in zip(table["var1"], table["var2"], strict=True)]
    return pd.DataFrame(
        {
            "effect": "ran_pars",
            "group": table["group"],
            "term": term,
            "estimate": table["sdcor"],
            "std_error": table["sdcor_std_error"],
            "conf_low": table["lower"],
            "conf_high": table["upper"],
        }
    )


def _term(var1: object, var2: object) -> str:
    """Name of a standard deviation or a correlation in broom.mixed."""
    if not isinstance(var1, str):
        return "sd__Observation"
    return f"cor__{var1}.{var2}" if isinstance(var2, str) else f"sd__{var1}"


def _values(model: FittedModel, level: float) -> pd.DataFrame:
    names = {"effect": "term", "lower": "conf_low", "upper": "conf_high"}
    return model.random_effects_table(level).rename(columns=names).assign(effect="ran_vals")


def glance(model: LinearModel) -> pd.DataFrame:
    """One row per model; see `FittedModel.glance`."""
    return pd.DataFrame([{name: getattr(model, name) for name in GLANCE}])


def augment(model: FittedModel) -> pd.DataFrame:
    """One row per observation; see `FittedModel.augment`."""
    columns = {
        "fitted": model.fittedvalues.to_numpy(),
        "fixed": model.predict(random=False).to_numpy(),
        "resid": model.resid.to_numpy(),
        "std_resid": model.residuals("studentized").to_numpy(),
        "leverage": leverage(model).total,
        "cooks_distance": cooks_distance(model),
    }
    response = pd.Series(model.design.y, index=model.design.index, name=model.design.response_name)
    return response.to_frame().assign(**columns)
