"""The fixed effects as a table: estimates, standard errors, degrees of freedom, tests and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lmm.arguments import confidence_level, one_of
from lmm.errors import ArgumentError
from lmm.inference.contrasts import contrast_table
from lmm.inference.ddf import approximation
from lmm.models import has_random_effects

if TYPE_CHECKING:
    from lmm.linear import LinearModel

# What `conf_int` passes on, by method.
INTERVALS = {
    "wald": ("ddf",),
    "profile": ("which", "scale", "criterion", "workers", "progress"),
    "bootstrap": ("n", "rng", "kind", "interval", "workers", "progress"),
}


def coef_table(model: LinearModel, ddf: str, level: float) -> pd.DataFrame:
    """Table of the fixed effects; see `FittedModel.coef_table`."""
    confidence_level(level)
    design = model.design
    table = contrast_table(model, np.eye(len(design.names)), approximation(model, ddf), level=level)
    table.index = pd.Index(design.names, dtype=object)
    return table.reindex(list(design.all_names))


def conf_int(model: LinearModel, level: float, method: str, options: dict[str, Any]) -> pd.DataFrame:
    """Confidence limits; see `FittedModel.conf_int`."""
    confidence_level(level)
    one_of("method", method, INTERVALS)
    for name in options:
        if name not in INTERVALS[method]:
            raise ArgumentError(
                f"conf_int with method={method!r} does not know {name!r}; it takes {', '.join(INTERVALS[method])}"
            )
    if method == "wald":
        return coef_table(model, options.get("ddf", "satterthwaite"), level)[["lower", "upper"]]
    if not has_random_effects(model):
        raise ArgumentError(
            f"method={method!r} is for models with random effects, and {model.formula!r} has none: its limits by "
            'method="wald" are exact'
        )
    if method == "profile":
        from lmm.inference.profile import profile_conf_int  # noqa: PLC0415 - most fits are not profiled

        return profile_conf_int(model, level, **options)
    interval = options.pop("interval", "percentile")
    return model.bootstrap(**options).conf_int(level, interval)
