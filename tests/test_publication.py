"""The members that the package maketables asks a model for (its version 0.2.0)."""

import numpy as np
import pandas as pd
import pytest

import lmm
from conftest import fit_quietly, fitted


def test_coefficients_are_those_of_the_table():
    fit = fitted("sleepstudy", reml=True)
    table = fit.__maketables_coef_table__
    assert list(table.columns) == ["b", "se", "t", "p", "ci95l", "ci95u", "df"]
    assert table.index.name == "Coefficient"
    expected = fit.coef_table(level=0.95)[["estimate", "std_error", "statistic", "p_value", "lower", "upper", "df"]]
    np.testing.assert_array_equal(table, expected)
    # lmerTest 3.1-3.
    assert table.loc["Days", "df"] == pytest.approx(17.0, abs=1e-6)
    assert table.loc["Days", "p"] == pytest.approx(3.263788e-06, rel=1e-5)


def test_a_coefficient_that_was_dropped_has_no_row():
    fit = fitted("sleepstudy_aliased", reml=True)
    assert fit.params.isna().sum() == 1
    assert list(fit.__maketables_coef_table__.index) == ["Intercept", "Days"]
    assert fit.__maketables_coef_table__.notna().all(axis=None)


@pytest.mark.parametrize("reml", [True, False])
def test_figures(reml):
    fit = fitted("sleepstudy", reml=reml)
    found = {key: fit.__maketables_stat__(key) for key in ("N", "ll", "aic", "bic", "deviance", "df_resid")}
    assert found == {
        "N": 180,
        "ll": fit.llf,
        "aic": fit.aic,
        "bic": fit.bic,
        "deviance": fit.deviance,
        "df_resid": fit.df_resid,
    }
    assert fit.__maketables_stat__("Groups (Subject)") == 18
    parts = fit.variance_components["sdcor"]
    names = ["SD (Subject.Intercept)", "SD (Subject.Days)", "Corr (Subject.Intercept.Days)", "SD (Residual)"]
    assert [fit.__maketables_stat__(name) for name in names] == list(parts)
    for absent in ("r2", "se_type", "SD (Subject)", ""):
        assert fit.__maketables_stat__(absent) is None


@pytest.mark.parametrize("name", ["lamb", "penicillin", "oats", "machines", "sleepstudy_double_bar"])
def test_figures_shown_by_default_exist(name):
    fit = fitted(name, reml=True)
    keys = fit.__maketables_default_stat_keys__
    assert len(set(keys)) == len(keys)
    assert keys[:4] == ["N", "ll", "aic", "bic"]
    assert all(fit.__maketables_stat__(key) is not None for key in keys)
    assert sum(key.startswith(("SD", "Corr")) for key in keys) == len(fit.variance_components)


def test_names_of_what_the_package_prints():
    fit = fitted("sleepstudy", reml=True)
    assert fit.__maketables_depvar__ == "Reaction"
    assert fit.__maketables_vcov_info__ == {"vcov_type": "model-based, REML", "clustervar": None}
    assert fit.__maketables_stat_labels__["ll"] == "Restricted log-likelihood"
    ml = fitted("sleepstudy", reml=False)
    assert ml.__maketables_vcov_info__["vcov_type"] == "model-based, ML"
    assert "ll" not in ml.__maketables_stat_labels__
    assert set(fit.__maketables_stat_labels__) <= set(fit.__maketables_default_stat_keys__) | {"deviance"}


def test_known_sigma_is_shown_as_the_residual_standard_deviation():
    data = lmm.datasets.load("dyestuff")
    fit = fit_quietly("Yield ~ 1 + (1 | Batch)", data, sigma=50.0)
    assert fit.__maketables_stat__("SD (Residual)") == 50.0
    assert isinstance(fit.__maketables_coef_table__, pd.DataFrame)
