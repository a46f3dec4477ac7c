"""The fixed effects as a table: estimates, standard errors, degrees of freedom, tests and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lmm.arguments import confidence_level
from lmm.errors import ArgumentError
from lmm.inference.contrasts import contrast_table
from lmm.inference.ddf import approximation

if TYPE_CHECKING:
    from lmm.model import FittedModel

INTERVALS = ("wald", "profile", "bootstrap")


def coef_table(model: FittedModel, ddf: str, level: float) -> pd.DataFrame:
    """Table of the fixed effects; see `FittedModel.coef_table`."""
    confidence_level(level)
    design = model.design
    table = contrast_table(model, np.eye(len(design.names)), approximation(model, ddf), level=level)
    table.index = pd.Index(design.names, dtype=object)
    return table.reindex(list(design.all_names))


def conf_int(model: FittedModel, level: float, method: str, ddf: str) -> pd.DataFrame:
    """Confidence limits; see `FittedModel.conf_int`."""
    if method != "wald":
        raise ArgumentError(f"method must be one of {', '.join(map(repr, INTERVALS))}; got {method!r}")
    return coef_table(model, ddf, level)[["lower", "upper"]]
