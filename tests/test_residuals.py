"""Residuals and leverage against lme4 and against dense formulas."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import lmm
from conftest import fit_quietly, fitted, frame
from lmm.diagnostics import cooks_distance, leverage

# lme4 1.1-31: hatvalues, cooks.distance, rstudent and residuals of the first twelve rows.
REFERENCE = json.loads((Path(__file__).parent / "reference_influence.json").read_text(encoding="utf-8"))
MODELS = [name for name in REFERENCE if name != "source"]


def crossed(*, seed, weights=False):
    """Two crossed factors, one with slopes; unequal numbers of rows."""
    rng = np.random.default_rng(seed)
    n = 120
    data = pd.DataFrame({"a": rng.integers(0, 9, n), "b": rng.integers(0, 7, n), "x": rng.normal(size=n)})
    effects = rng.normal(size=(9, 2)) * [1.5, 0.7], rng.normal(size=7)
    data["y"] = effects[0][data["a"], 0] + (1 + effects[0][data["a"], 1]) * data["x"] + effects[1][data["b"]]
    data["w"] = rng.uniform(0.3, 3.0, n) if weights else 1.0
    data["y"] += rng.normal(size=n) / np.sqrt(data["w"])
    return lmm.fit("y ~ x + (x | a) + (1 | b)", data, weights="w")


def in_stages(*, seed):
    """Three nested factors and a crossed one, with slopes, of which many levels of the tail are eliminated sparsely."""
    rng = np.random.default_rng(seed)
    inner = rng.permutation(np.repeat(np.arange(300), 2))
    data = pd.DataFrame({"inner": inner, "middle": inner // 3, "outer": inner // 30, "b": rng.integers(0, 4, 600)})
    data["x"] = rng.choice([-1.0, 0.0, 1.0], 600)
    middle = 2.0 * rng.normal(size=(2, 100))[:, inner // 3]
    data["y"] = middle[0] + data["x"] * (1 + middle[1]) + rng.normal(size=300)[inner]
    data["y"] += rng.normal(size=4)[data["b"]] + 2.0 * rng.normal(size=10)[inner // 30] + rng.normal(size=600)
    return lmm.fit("y ~ x + (1 | inner) + (x || middle) + (1 | outer) + (1 | b)", data)


def dense(fit):
    """X, Z, W^-1 + Z Sigma Z' relative to sigma^2, and the response less its offset."""
    Z = (fit.Z @ fit.Lambda).toarray()
    w = np.ones(fit.nobs) if fit.design.weights is None else fit.design.weights
    y = fit.design.y if fit.design.offset is None else fit.design.y - fit.design.offset
    return fit.design.X, Z, np.diag(1 / w) + Z @ Z.T, y


def dense_hat(fit):
    """Parts of the matrix that takes the response to the fitted values: fixed and random."""
    X, Z, V, _ = dense(fit)
    inverse = np.linalg.inv(V)
    fixed = X @ np.linalg.solve(X.T @ inverse @ X, X.T @ inverse)
    return fixed, Z @ Z.T @ inverse @ (np.eye(len(V)) - fixed)


@pytest.mark.parametrize("name", MODELS)
def test_leverage_cook_and_residuals_are_those_of_lme4(name):
    expected = REFERENCE[name]
    fit = fitted(name, reml=expected["reml"])
    h = leverage(fit)
    assert h.total.sum() == pytest.approx(expected["hat_sum"], abs=1e-6)
    assert h.fixed.sum() == pytest.approx(len(fit.params), abs=1e-8)
    n = len(expected["hatvalues"])
    np.testing.assert_allclose(h.total[:n], expected["hatvalues"], atol=1e-8)
    np.testing.assert_allclose(cooks_distance(fit)[:n], expected["cooks_lme4"], atol=1e-7)
    np.testing.assert_allclose(fit.residuals("studentized")[:n], expected["rstudent"], atol=1e-7)
    np.testing.assert_allclose(fit.residuals("scaled")[:n], expected["resid_scaled"], atol=1e-7)


@pytest.mark.parametrize(
    "fit",
    [
        lambda: crossed(seed=1),
        lambda: crossed(seed=2, weights=True),
        lambda: fitted("pastes", reml=True),
        lambda: fitted("oats", reml=False),
        lambda: fitted("machines", reml=True),
        lambda: in_stages(seed=7),
    ],
)
def test_leverage_and_decorrelated_residuals_are_the_dense_formulas(fit):
    fit = fit()
    fixed, random = dense_hat(fit)
    h = leverage(fit)
    np.testing.assert_allclose(h.fixed, np.diagonal(fixed), atol=1e-9)
    np.testing.assert_allclose(h.random, np.diagonal(random), atol=1e-9)

    X, _, V, y = dense(fit)
    marginal = y - X @ fit.estimates.beta
    np.testing.assert_allclose(fit.residuals("marginal"), marginal, rtol=1e-10, atol=1e-10)
    whitened = np.linalg.solve(np.linalg.cholesky(V), marginal) / fit.sigma
    np.testing.assert_allclose(fit.residuals("cholesky"), whitened, atol=1e-8)


def test_leverage_solves_no_system(monkeypatch):
    fit = in_stages(seed=8)
    assert fit.structure().n_stages > 0
    expected = np.diagonal(sum(dense_hat(fit)))
    for name in ("solve", "quadratic_forms"):
        monkeypatch.setattr(f"lmm.tailfactor.TailFactor.{name}", None)
    np.testing.assert_allclose(leverage(fit).total, expected, atol=1e-9)
    monkeypatch.setattr("lmm.conditional.PAIRS_AT_A_TIME", 1)
    np.testing.assert_allclose(leverage(fit).total, expected, atol=1e-9)


def test_decorrelated_residuals_need_no_more_rows_at_a_time(monkeypatch):
    fit = crossed(seed=3, weights=True)
    at_once = fit.residuals("cholesky")
    monkeypatch.setattr("lmm.diagnostics.residuals.FEW_ROWS", 7)
    np.testing.assert_allclose(fit.residuals("cholesky"), at_once, atol=1e-10)


def test_kinds_of_residuals_with_weights_and_offset():
    data = frame("sleepstudy").assign(w=lambda d: 1.0 + d["Days"] % 3, off=lambda d: 5.0 * d["Days"])
    fit = lmm.fit("Reaction ~ Days + (Days | Subject)", data, weights="w", offset="off")
    root = np.sqrt(data["w"])
    np.testing.assert_allclose(fit.residuals(), fit.resid)
    np.testing.assert_allclose(fit.residuals("pearson"), root * fit.resid)
    np.testing.assert_allclose(fit.residuals("scaled"), root * fit.resid / fit.sigma)
    h = np.diagonal(sum(dense_hat(fit)))
    np.testing.assert_allclose(fit.residuals("studentized"), root * fit.resid / (fit.sigma * np.sqrt(1 - h)), rtol=1e-8)
    marginal = data["Reaction"] - data["off"] - fit.params["Intercept"] - fit.params["Days"] * data["Days"]
    np.testing.assert_allclose(fit.residuals("marginal"), marginal)


def test_residuals_stand_on_the_index_of_the_rows_used():
    data = frame("sleepstudy").set_index(np.arange(1000, 1180))
    data.loc[1003, "Reaction"] = np.nan
    fit = lmm.fit("Reaction ~ Days + (Days | Subject)", data)
    for kind in ("response", "pearson", "scaled", "studentized", "marginal", "cholesky"):
        values = fit.residuals(kind)
        assert list(values.index) == [i for i in range(1000, 1180) if i != 1003]
        assert values.name == kind
        assert np.isfinite(values).all()


def test_a_row_of_leverage_one_has_no_studentised_residual():
    data = frame("sleepstudy").assign(odd=lambda d: (d.index == 17) * 1.0)
    fit = lmm.fit("Reaction ~ Days + odd + (Days | Subject)", data)
    expected = [i == 17 for i in range(180)]
    assert fit.residuals("studentized").isna().to_list() == expected
    assert np.isnan(cooks_distance(fit)).tolist() == expected
    assert fit.check()["outliers"].status == "warning"


def test_without_fixed_effects():
    fit = fit_quietly("Reaction ~ 0 + (1 | Subject)", frame("sleepstudy"))
    h = leverage(fit)
    np.testing.assert_array_equal(h.fixed, 0.0)
    assert 17.0 < h.total.sum() < 18.0
    assert np.isnan(cooks_distance(fit)).all()
    assert np.isfinite(fit.residuals("studentized")).all()
    assert np.isfinite(fit.residuals("cholesky")).all()


@pytest.mark.parametrize("kind", ["deviance", "", None, 3, ["response"]])
def test_unknown_kind(kind):
    with pytest.raises(lmm.ArgumentError, match="kind must be one of 'response', 'pearson'"):
        fitted("dyestuff", reml=True).residuals(kind)


def test_decorrelating_more_than_memory_holds_is_refused(monkeypatch):
    fit = fitted("penicillin", reml=True)
    monkeypatch.setattr("lmm.memory.total_memory", lambda: 1e3)
    with pytest.raises(lmm.ModelError, match="decorrelating residuals over 30 random effects"):
        fit.residuals("cholesky")


@pytest.mark.parametrize("diagnostic", [leverage, cooks_distance])
def test_only_fitted_models(diagnostic):
    with pytest.raises(lmm.ArgumentError, match="takes a model with random effects"):
        diagnostic("fit")
