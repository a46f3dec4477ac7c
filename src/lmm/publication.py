"""
A fit in the plug-in format of the package maketables, which sets regression tables for papers.

The package asks a model for members named ``__maketables_..._``: coefficients, figures below them by their keys, the
name of the response and the kind of the standard errors. It has more, for what a mixed model does not have (absorbed
fixed effects) or does not keep (labels of the columns of the data); they are left out.

References
----------
maketables: publication-ready tables in Python. https://github.com/py-econometrics/maketables
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from lmm.inference.parameters import RESIDUAL, variance_parameters

if TYPE_CHECKING:
    from lmm.linear import LinearModel

# The package's names of the columns of `FittedModel.coef_table`.
COLUMNS = {
    "estimate": "b",
    "std_error": "se",
    "statistic": "t",
    "p_value": "p",
    "lower": "ci95l",
    "upper": "ci95u",
    "df": "df",
}


def coefficients(model: LinearModel) -> pd.DataFrame:
    """Coefficients that were estimated, with the tests of `coef_table`: columns b, se, t, p, limits and df."""
    table = model.coef_table().loc[list(model.design.names), list(COLUMNS)]
    return table.rename(columns=COLUMNS).rename_axis("Coefficient")


def statistics(model: LinearModel) -> dict[str, float | int]:
    """
    Figures below the coefficients by their keys.

    The package has keys and labels of its own for the first; then there are numbers of levels (``"Groups (Subject)"``),
    standard deviations (``"SD (Subject.Days)"``) and correlations (``"Corr (Subject.Intercept.Days)"``), with the
    effect named where it is the only one too, so that models with and without a slope share a row.
    """
    found: dict[str, float | int] = {
        "N": model.nobs,
        "ll": model.llf,
        "aic": model.aic,
        "bic": model.bic,
        "deviance": model.deviance,
        "df_resid": model.df_resid,
    }
    found |= {f"Groups ({group})": count for group, count in model.n_groups.items()}
    covariances = model.estimates.covariances
    for parameter in variance_parameters(model.factors):
        kind = "SD" if parameter.is_variance else "Corr"
        found[f"{kind} ({'.'.join(parameter.labels)})"] = parameter.sdcor(covariances, model.sigma)
    return found


def default_keys(model: LinearModel) -> list[str]:
    """Keys of the figures that are shown unless others are asked for: all but two."""
    return [key for key in statistics(model) if key not in {"deviance", "df_resid"}]


def labels(model: LinearModel) -> dict[str, str]:
    """Labels of figures that mean something else than the package's own labels say."""
    restricted = {"ll": "Restricted log-likelihood", "deviance": "REML criterion"}
    return {f"SD ({RESIDUAL})": "Residual SD"} | (restricted if model.reml else {})


def covariance_kind(model: LinearModel) -> dict[str, str | None]:
    """How the standard errors were computed: from the model, no clusters."""
    return {"vcov_type": f"model-based, {'REML' if model.reml else 'ML'}", "clustervar": None}
