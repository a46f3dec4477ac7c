"""Deletion diagnostics against lme4, against fits of the rows that are left, and against dense formulas."""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import lmm
from conftest import MODELS, fit_quietly, fitted, frame
from lmm.inference.parameters import variance_parameters
from test_residuals import crossed, dense

# lme4 1.1-31: influence() with nloptwrap at ftol and xtol 1e-12; the first groups and rows.
REFERENCE = json.loads((Path(__file__).parent / "reference_influence.json").read_text(encoding="utf-8"))
NAMES = [name for name in REFERENCE if name != "source"]
GROUPS = [(name, group) for name in NAMES for group in REFERENCE[name]["groups"]]


def in_order(variances):
    """Variance parameters by size: two programs may list them in different orders."""
    return np.sort(np.asarray(variances, dtype=float), axis=1)


@pytest.mark.parametrize(("name", "group"), GROUPS)
def test_groups_left_out_as_in_lme4(name, group):
    expected = REFERENCE[name]["groups"][group]
    fit = fitted(name, reml=REFERENCE[name]["reml"])
    influence = fit.influence(by=group, exact=True)
    assert len(influence.params) == expected["n_levels"]
    assert influence.exact
    assert influence.notes == ()
    if group == "sample":  # lme4 names the levels of batch:cask "A:a"
        assert [str(label) for label in influence.params.index[:6]] == expected["levels"]
    few = slice(len(expected["levels"]))
    np.testing.assert_allclose(influence.params[few], expected["fixed"], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(influence.cooks_distance[few], expected["cooks"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(influence.dfbetas[few], expected["dfbetas"], rtol=1e-4, atol=1e-5)
    # lme4's searches end short of the optimum; exact deletions are compared with certified fits below.
    variances = in_order(influence.variance_components[few])
    np.testing.assert_allclose(variances, in_order(expected["varcomp"]), atol=5e-4 * np.max(variances))


@pytest.mark.parametrize("name", [name for name in NAMES if "rows" in REFERENCE[name]])
def test_rows_left_out_as_in_lme4(name):
    expected = REFERENCE[name]["rows"]
    influence = fitted(name, reml=REFERENCE[name]["reml"]).influence(exact=True)
    few = slice(len(expected["cooks"]))
    np.testing.assert_allclose(influence.params[few], expected["fixed"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(influence.cooks_distance[few], expected["cooks"], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(influence.dfbetas[few], expected["dfbetas"], atol=1e-4)


@pytest.mark.parametrize(
    ("name", "group", "reml"),
    [
        ("sleepstudy", "Subject", True),
        ("lamb", "Sire", False),
        ("pastes", "batch", True),
        ("machines", "Worker", False),
    ],
)
def test_exact_deletion_is_the_fit_of_the_rows_that_are_left(name, group, reml):
    data = frame(name)
    fit = fitted(name, reml=reml)
    influence = fit.influence(by=group, exact=True)
    for level in influence.params.index[:4]:
        rest = fit_quietly(MODELS[name][0], data[data[group].astype(str) != str(level)], reml=reml)
        np.testing.assert_allclose(influence.params.loc[level], rest.params, rtol=1e-7, atol=1e-7)
        assert influence.sigma[level] == pytest.approx(rest.sigma, rel=1e-7)
        values = [
            p.value([cov.to_numpy() for cov in rest.random_cov.values()], rest.sigma)
            for p in variance_parameters(rest.factors)
        ]
        np.testing.assert_allclose(influence.variance_components.loc[level], values, rtol=1e-5, atol=1e-6 * max(values))
        ratio = np.linalg.det(rest.cov_params()) / np.linalg.det(fit.cov_params())
        assert influence.covratio[level] == pytest.approx(ratio, rel=1e-6)
        change = rest.params - fit.params
        np.testing.assert_allclose(influence.dfbeta.loc[level], change, atol=1e-7)
        np.testing.assert_allclose(influence.dfbetas.loc[level], change / rest.bse, rtol=1e-5, atol=1e-6)


def refit_dense(X, V, y, keep):
    """beta, its covariance relative to sigma^2, and the REML sigma^2, given V, from the rows to keep."""
    X, y, inverse = X[keep], y[keep], np.linalg.inv(V[np.ix_(keep, keep)])
    cov = np.linalg.inv(X.T @ inverse @ X)
    beta = cov @ X.T @ inverse @ y
    residual = y - X @ beta
    return beta, cov, residual @ inverse @ residual / (len(y) - X.shape[1])


@pytest.mark.parametrize("by", [None, "a", "b"])
@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("cost", [0.0, np.inf])
def test_one_step_is_generalised_least_squares_of_the_rows_that_are_left(by, weights, cost, monkeypatch):
    # By way of what is left, and by way of the rows that leave.
    monkeypatch.setattr("lmm.diagnostics.shares.LEAST_COST", cost)
    monkeypatch.setattr("lmm.diagnostics.shares.COST_OF_PAIR", cost)
    fit = crossed(seed=4, weights=weights)
    influence = fit.influence(by=by)
    assert not influence.exact
    units = np.arange(fit.nobs) if by is None else next(f.codes for f in fit.factors if f.group == by)
    full = np.linalg.inv(fit.cov_params())
    m, p = len(influence.params), 2
    X, _, V, y = dense(fit)
    for unit in range(min(m, 9)):
        beta, cov, sigma2 = refit_dense(X, V, y, units != unit)
        np.testing.assert_allclose(influence.params.iloc[unit], beta, rtol=1e-8, atol=1e-9)
        assert influence.sigma.iloc[unit] == pytest.approx(np.sqrt(sigma2), rel=1e-8)
        change = beta - fit.params
        np.testing.assert_allclose(influence.dfbetas.iloc[unit], change / np.sqrt(sigma2 * np.diagonal(cov)), atol=1e-8)
        ratio = np.linalg.det(sigma2 * cov) / np.linalg.det(fit.cov_params())
        assert influence.covratio.iloc[unit] == pytest.approx(ratio, rel=1e-8)
        if by is not None:
            distance = (m - p) / (m * p) * change @ full @ change
            assert influence.cooks_distance.iloc[unit] == pytest.approx(distance, rel=1e-6)


def test_one_step_in_parts_is_the_same(monkeypatch):
    fit = crossed(seed=5)
    whole = fit.influence(by="a")
    monkeypatch.setattr("lmm.diagnostics.shares.CHUNK", 1)
    pd.testing.assert_frame_equal(fit.influence(by="a").dfbetas, whole.dfbetas)


def test_one_step_in_sparse_stages_is_the_dense_formula():
    rng = np.random.default_rng(6)
    inner = rng.permutation(np.repeat(np.arange(120), 3))
    data = pd.DataFrame({"inner": inner, "middle": inner // 2, "outer": inner // 8, "x": rng.normal(size=360)})
    data["y"] = data["x"] + rng.normal(size=120)[inner] + rng.normal(size=60)[inner // 2] + rng.normal(size=360)
    fit = fit_quietly("y ~ x + (1 | inner) + (1 | middle) + (1 | outer)", data)
    assert fit.structure().n_stages > 0
    influence = fit.influence(by="outer")
    X, _, V, y = dense(fit)
    for unit in (0, 7, 14):
        beta, _, sigma2 = refit_dense(X, V, y, data["outer"].to_numpy() != unit)
        np.testing.assert_allclose(influence.params.loc[unit], beta, rtol=1e-8, atol=1e-9)
        assert influence.sigma[unit] == pytest.approx(np.sqrt(sigma2), rel=1e-8)


def test_cook_by_row_in_one_step_is_that_of_lme4():
    for name in NAMES:
        expected = REFERENCE[name]["cooks_lme4"]
        values = fitted(name, reml=REFERENCE[name]["reml"]).influence().cooks_distance
        np.testing.assert_allclose(values[: len(expected)], expected, atol=1e-7)


def test_known_sigma_stays():
    fit = lmm.fit("Reaction ~ Days + (1 | Subject)", frame("sleepstudy"), sigma=30.0)
    for exact in (False, True):
        influence = fit.influence(by="Subject", exact=exact)
        assert (influence.sigma == 30.0).all()
    assert list(influence.variance_components) == ["Subject"]


def lonely():
    """A treatment that one group alone has, and a row that alone has a dose."""
    rng = np.random.default_rng(8)
    data = pd.DataFrame({"g": np.repeat(list("abcdef"), 5), "x": np.tile(np.arange(5.0), 6)})
    data["special"] = (data["g"] == "c") * data["x"]
    data["y"] = data["x"] + rng.normal(size=6).repeat(5) + rng.normal(size=30)
    return lmm.fit("y ~ x + special + (1 | g)", data)


@pytest.mark.parametrize("exact", [False, True])
def test_a_group_that_carries_a_coefficient_alone_is_named(exact):
    influence = lonely().influence(by="g", exact=exact)
    assert influence.notes == (
        "Without 'c' of 'g', the coefficient 'special' cannot be estimated from the other rows.",
    )
    for table in (influence.params, influence.dfbetas, influence.covratio, influence.cooks_distance, influence.sigma):
        assert table.loc["c":"c"].isna().to_numpy().all()
        assert not table.drop("c").isna().to_numpy().any()
    assert influence.notes[0] in str(influence)
    assert influence.leverage.notna().all()


def test_a_row_that_carries_a_coefficient_alone_is_named():
    data = frame("sleepstudy").assign(odd=lambda d: (d.index == 17) * 1.0)
    influence = lmm.fit("Reaction ~ Days + odd + (1 | Subject)", data).influence()
    assert [note[:13] for note in influence.notes] == ["Without row 1"]
    assert "'odd'" in influence.notes[0]
    assert influence.cooks_distance.isna().to_list() == [i == 17 for i in range(180)]


@pytest.mark.parametrize("exact", [False, True])
def test_a_group_with_nearly_all_rows(exact):
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"g": [0] * 8 + [1, 2], "x": rng.normal(size=10), "y": rng.normal(size=10)})
    influence = fit_quietly("y ~ x + (1 | g)", data).influence(by="g", exact=exact)
    assert influence.notes == (
        "Without 0 of 'g', the coefficients 'Intercept', 'x' cannot all be estimated from the other rows.",
    )
    assert influence.sigma.isna().to_list() == [True, False, False]


def test_many_notes_are_not_all_printed():
    data = frame("sleepstudy")
    data = data[data["Subject"].isin(["308", "309", "310", "330", "331", "332", "333", "334"])]
    fit = fit_quietly("Reaction ~ 0 + Subject:Days + (1 | Days)", data)
    slopes = fit_quietly("Reaction ~ 0 + Subject:Days + (0 + Days | Subject)", data, reml=False)
    influence = slopes.influence(by="Subject")
    assert len(influence.notes) == 8
    assert str(influence).endswith("... and 3 more in notes.")
    assert fit.influence(by="Days").notes == ()


def test_too_few_levels_to_estimate_a_variance():
    data = frame("sleepstudy")
    data = data[data["Subject"].isin(["308", "309"])]
    fit = lmm.fit("Reaction ~ Days + (1 | Subject)", data)
    assert fit.influence(by="Subject").notes == ()
    influence = fit.influence(by="Subject", exact=True)
    assert len(influence.notes) == 2
    assert "'Subject' has a single level left" in influence.notes[0]
    assert influence.params.isna().to_numpy().all()


def test_one_step_that_drowns_in_rounding_errors_is_refused():
    rng = np.random.default_rng(3)
    a = rng.integers(0, 14, 300)
    data = pd.DataFrame({"a": a, "y": 1e6 * rng.normal(size=14)[a] + rng.normal(size=300)})
    fit = lmm.fit("y ~ 1 + (1 | a)", data)
    with pytest.raises(lmm.ModelError, match="drowns in rounding errors"):
        fit.influence(by="a")
    means = data.groupby("a")["y"].mean()
    exact = fit.influence(by="a", exact=True).params["Intercept"]
    np.testing.assert_allclose(exact, (means.sum() - means) / 13, atol=0.02 * fit.bse["Intercept"])


def test_one_step_has_no_variance_components():
    influence = fitted("dyestuff", reml=True).influence(by="Batch")
    with pytest.raises(lmm.ModelError, match=r"influence\(..., exact=True\) estimates the variance components"):
        _ = influence.variance_components


def test_leverage_by_group_is_the_mean_over_its_rows():
    fit = crossed(seed=9)
    by_row, by_group = fit.influence(), fit.influence(by="a")
    codes = next(f.codes for f in fit.factors if f.group == "a")
    np.testing.assert_allclose(by_group.leverage, by_row.leverage.groupby(codes).mean())
    np.testing.assert_allclose(by_row.leverage, by_row.leverage_parts["fixed"] + by_row.leverage_parts["random"])


def test_printed_account():
    influence = fitted("sleepstudy", reml=True).influence(by="Subject")
    text = str(influence)
    assert text.startswith("Leaving out each level of 'Subject' in turn, 18 in all (one step, variance ratios kept)")
    assert text.splitlines()[3].split()[0] == str(influence.cooks_distance.idxmax())
    assert "<table>" in influence._repr_html_()
    assert "fitted again" in str(fitted("dyestuff", reml=True).influence(by="Batch", exact=True))


@pytest.mark.parametrize("by", ["Days", "subject", 3, ["Subject"]])
def test_by_must_be_a_grouping_factor(by):
    with pytest.raises(lmm.ArgumentError, match=r"by must be None \(single rows\) or a grouping factor.*'Subject'"):
        fitted("sleepstudy", reml=True).influence(by=by)


def test_other_refusals():
    with pytest.raises(lmm.ArgumentError, match="exact must be True"):
        fitted("dyestuff", reml=True).influence(exact="yes")
    with pytest.raises(lmm.ModelError, match="this model has none"):
        fit_quietly("Reaction ~ 0 + (1 | Subject)", frame("sleepstudy")).influence()


def test_groups_that_share_no_level_are_left_out_without_their_blocks_of_V(monkeypatch):
    """Half of all rows in a group need no matrix of that size."""
    fits = [fitted("pastes", reml=True), fitted("oats", reml=False), fitted("orthodont_slopes", reml=True)]
    for fit, group in zip(fits, ["batch", "Block", "Subject"], strict=True):
        units = next(factor.codes for factor in fit.factors if factor.group == group)
        with monkeypatch.context() as context:
            context.setattr("lmm.deviance.ProfiledDeviance.set_terms", None)
            influence = fit.influence(by=group)
        X, _, V, y = dense(fit)
        for unit in (0, 3):
            beta, _, _ = refit_dense(X, V, y, units != unit)
            np.testing.assert_allclose(influence.params.iloc[unit], beta, rtol=1e-9)


def test_large_groups_of_crossed_factors_are_left_out_without_their_blocks_of_V(monkeypatch):
    rng = np.random.default_rng(8)
    n = 900
    data = pd.DataFrame({"a": rng.integers(0, 30, n), "b": rng.integers(0, 25, n), "c": rng.integers(0, 2, n)})
    data["x"] = rng.normal(size=n)
    data["y"] = data["x"] + rng.normal(size=30)[data["a"]] + rng.normal(size=25)[data["b"]] + rng.normal(size=n)
    fit = fit_quietly("y ~ x + (1 | a) + (1 | b) + (1 | c)", data)
    monkeypatch.setattr("lmm.deviance.ProfiledDeviance.set_terms", None)
    influence = fit.influence(by="c")
    X, _, V, y = dense(fit)
    for unit in (0, 1):
        beta, cov, sigma2 = refit_dense(X, V, y, data["c"].to_numpy() != unit)
        np.testing.assert_allclose(influence.params.loc[unit], beta, rtol=1e-9)
        assert influence.sigma[unit] == pytest.approx(np.sqrt(sigma2), rel=1e-9)
        ratio = np.linalg.det(sigma2 * cov) / np.linalg.det(fit.cov_params())
        assert influence.covratio[unit] == pytest.approx(ratio, rel=1e-8)


def test_groups_in_backticks_and_nested_levels():
    """Names print with and without backticks; the levels of nested groups as "a:b"."""
    data = lmm.datasets.load("oats").rename(columns={"Block": "the block"})
    fit = lmm.fit("yield ~ nitro + (1 | `the block`/Variety)", data)
    by = "`the block`:Variety"
    found = fit.influence(by=by)
    assert found.by == "the block:Variety"
    pd.testing.assert_frame_equal(found.dfbeta, fit.influence(by="the block:Variety").dfbeta)
    assert lmm.exact_rlrt(fit, by, n_sim=100, rng=1).null == lmm.exact_rlrt(fit, "the block:Variety", n_sim=100).null
    assert lmm.exact_f_test(fit, by).null == "The variance of the block:Variety is zero."
    assert lmm.plots.caterpillar(fit, by).get_xlabel() == "the block:Variety: Intercept"
    pd.testing.assert_series_equal(fit.predict(random=by), fit.predict(random="the block:Variety"))

    shown = str(found)
    assert "('" not in shown
    assert "I:Victory" in shown
    for ax in (
        lmm.plots.caterpillar(fit, by),
        lmm.plots.residuals_by_group(fit, by),
        lmm.plots.cooks_distance(found, n_labels=3),
    ):
        texts = [*ax.get_xticklabels(), *ax.get_yticklabels(), *ax.texts]
        assert "I:Victory" in [text.get_text() for text in texts]
        assert not any("(" in text.get_text() for text in texts)
    plt.close("all")


def test_notes_name_nested_levels():
    data = lmm.datasets.load("oats").assign(alone=lambda d: (d.index < 4) * 1.0)
    fit = lmm.fit("yield ~ alone + (1 | Block/Variety)", data)
    assert "Without 'I:Victory' of 'Block:Variety', the coefficient 'alone' cannot" in str(
        fit.influence("Block:Variety")
    )
