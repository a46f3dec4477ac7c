"""Random effects as tables: with standard errors, and jointly with the fixed effects."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve

from lmm.arguments import confidence_level
from lmm.linalg import FloatArray
from lmm.memory import require_memory

if TYPE_CHECKING:
    from lmm.model import FittedModel

# Dense matrices of that size that exist at once.
COPIES = 4


def random_effects_table(model: FittedModel, level: float) -> pd.DataFrame:
    """Random effects with standard errors; see `FittedModel.random_effects_table`."""
    half = NormalDist().inv_cdf(0.5 + confidence_level(level) / 2.0)
    parts = []
    for factor, b, cov in zip(model.factors, model.modes, model.random_effects_cov.values(), strict=True):
        k = len(factor.effects)
        estimate = b.ravel()
        std_error = np.sqrt(np.diagonal(cov, axis1=1, axis2=2)).ravel()
        columns = {
            "group": factor.group,
            "level": factor.levels.to_numpy().repeat(k),
            "effect": list(factor.effects) * factor.n_levels,
            "estimate": estimate,
            "std_error": std_error,
            "lower": estimate - half * std_error,
            "upper": estimate + half * std_error,
        }
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def joint_covariance(model: FittedModel) -> pd.DataFrame:
    """Covariance of (beta-hat, b-hat - b); see `FittedModel.joint_cov`."""
    p = len(model.design.names)
    q = sum(factor.n_levels * len(factor.effects) for factor in model.factors)
    require_memory(
        8.0 * COPIES * (p + q) ** 2,
        f"the joint covariance of {p} fixed and {q} random effects",
        "predict(interval=...) and random_effects_cov give the parts of it without forming it",
    )
    root = model.design.root_weights
    Lambda = model.Lambda
    ZL = sparse.diags_array(root) @ model.Z @ Lambda
    omega = cho_factor((ZL.T @ ZL).toarray() + np.eye(q), lower=True)
    G: FloatArray = Lambda @ (Lambda @ cho_solve(omega, np.eye(q))).T
    B: FloatArray = Lambda @ cho_solve(omega, ZL.T @ (root[:, None] * model.design.X))
    cov = model.estimates.cov_beta
    joint = np.block([[cov, -cov @ B.T], [-B @ cov, model.sigma**2 * G + B @ cov @ B.T]])
    index = _labels(model)
    return pd.DataFrame(0.5 * (joint + joint.T), index=index, columns=index)


def _labels(model: FittedModel) -> pd.MultiIndex:
    """(group, level, effect) of every fixed and random effect, in the order of X and Z."""
    labels: list[tuple[object, object, object]] = [("fixed", "", name) for name in model.design.names]
    for factor in model.factors:
        labels.extend((factor.group, level, effect) for level in factor.levels for effect in factor.effects)
    return pd.MultiIndex.from_tuples(labels, names=["group", "level", "effect"])
