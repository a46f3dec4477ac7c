"""Likelihood-ratio tests of nested models against lme4, dense formulas and simulation."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import lmm
from conftest import MODELS, fit_quietly, fitted, frame
from lmm.batch.refits import Refitter
from lmm.inference.boundary import boundary_dimension
from lmm.inference.cones import distance
from lmm.inference.mixture import ChiBarSquare, circular_cone
from lmm.inference.null_distribution import bootstrap_lrt_statistics

# R 4.2.2, lme4 1.1-31, each model at its best optimum.
REFERENCE = json.loads(Path(__file__).with_name("reference_variance_tests.json").read_text())
DATA = {"sleep": "sleepstudy", "sitka": "sitka", "lamb": "lamb", "pig": "pig"}
HALF = "0.5 chi2(0) + 0.5 chi2(1)"
# Null distributions of the chains of models; None where the reference's chi-square is the right one.
MIXED = {"machines": {1: HALF}, "pastes": {1: HALF}, "pig_slope": {1: "0.5 chi2(1) + 0.5 chi2(2)"}, "sleep": {1: HALF}}


def chain(case):
    name = case.split("_")[0]
    data = frame(DATA.get(name, name))
    return [fit_quietly(formula, data, reml=False) for formula in REFERENCE["lrt"][case]["formulas"]]


@pytest.mark.parametrize("case", REFERENCE["lrt"])
def test_chains_of_models_against_lme4(case):
    expected = REFERENCE["lrt"][case]
    fits = chain(case)
    table = lmm.lrt(*reversed(fits)).table
    assert list(table.index) == expected["formulas"]
    assert list(table["n_params"]) == expected["n_params"]
    for name in ("aic", "bic", "llf"):
        assert table[name].to_numpy() == pytest.approx(expected[name], abs=1e-6)
    assert table["statistic"].to_numpy()[1:] == pytest.approx(expected["statistic"][1:], abs=1e-6)
    assert list(table["df"][1:]) == expected["df"][1:]
    for i in range(1, len(table)):
        mixed = MIXED.get(case, {}).get(i)
        p_value = expected["p_mixture" if mixed else "p_chi2"][i]
        assert table["null_distribution"].iloc[i] == (mixed or f"chi2({expected['df'][i]})")
        assert table["p_value"].iloc[i] == pytest.approx(p_value, rel=1e-5)
    naive = lmm.lrt(*fits, test="chi2").table
    assert naive["p_value"].to_numpy()[1:] == pytest.approx(expected["p_chi2"][1:], rel=1e-5)


@pytest.mark.parametrize("method", ["ML", "REML"])
@pytest.mark.parametrize("model", REFERENCE["against_fixed"])
def test_one_variance_against_none(model, method):
    expected = REFERENCE["against_fixed"][model]
    reml = method == "REML"
    null = lmm.fit(expected["null"], frame(model), reml=reml, allow_fixed=True)
    result = lmm.lrt(fitted(model, reml=reml), null)
    row = result.table.iloc[1]
    assert result.method == ("REML" if reml else "maximum likelihood")
    assert row["statistic"] == pytest.approx(expected[method]["chisq"], abs=1e-6)
    assert row["null_distribution"] == HALF
    assert row["p_value"] == pytest.approx(expected[method]["p_mixture"], rel=1e-5)


@pytest.mark.parametrize("model", REFERENCE["reml"])
def test_reml_fits_with_the_same_fixed_effects_are_compared_as_they_are(model):
    expected = REFERENCE["reml"][model]
    result = lmm.lrt(lmm.fit(expected["null"], frame(model)), fitted(model, reml=True))
    row = result.table.iloc[1]
    df = expected["df"]
    assert result.method == "REML"
    assert result.notes == ()
    assert row["statistic"] == pytest.approx(expected["chisq"], abs=1e-6)
    assert row["null_distribution"] == f"0.5 chi2({df - 1}) + 0.5 chi2({df})"
    assert row["p_value"] == pytest.approx(expected["p_mixture"], rel=1e-5)


def test_reml_fits_with_other_fixed_effects_are_fitted_again():
    data = frame("lamb")
    fits = [fit_quietly(f, data) for f in REFERENCE["lrt"]["lamb"]["formulas"]]
    result = lmm.lrt(*fits)
    assert "fitted again by ML" in result.notes[0]
    assert result.table["statistic"].to_numpy()[1:] == pytest.approx(
        REFERENCE["lrt"]["lamb"]["statistic"][1:], abs=1e-6
    )


def dense_weights(X, changes):
    """Weights for two variances against none, from the dense restricted information."""
    n = len(X)
    P = np.eye(n) - X @ np.linalg.solve(X.T @ X, X.T)
    changes = [*changes, np.eye(n)]
    J = np.array([[np.trace(P @ a @ P @ b) / 2 for a in changes] for b in changes])
    cov = np.linalg.inv(J)
    none = np.arccos(cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1])) / (2 * np.pi)
    return np.array([none, 0.5, 0.5 - none])


def test_two_variances_at_once_against_the_dense_information():
    data = frame("sleepstudy")
    null = lmm.fit("Reaction ~ Days", data, allow_fixed=True)
    result = lmm.lrt(null, fitted("sleepstudy_double_bar", reml=True)).table.iloc[1]
    Z = np.kron(np.eye(18), np.ones((10, 1)))
    slopes = Z * data["Days"].to_numpy()[:, None]
    X = np.column_stack([np.ones(180), data["Days"]])
    none, one, two = dense_weights(X, [Z @ Z.T, slopes @ slopes.T])
    assert result["null_distribution"] == f"{none:.3g} chi2(0) + {one:.3g} chi2(1) + {two:.3g} chi2(2)"


def test_a_slope_with_its_intercept_at_once():
    """Against no random effect: the cone of 2 x 2 matrices, weights by simulation, checked by simulated fits."""
    n_groups = 300  # the mixture is the limit for many groups
    rng = np.random.default_rng(0)
    g, x = np.repeat(np.arange(n_groups), 8), np.tile(np.arange(8.0), n_groups)
    data = pd.DataFrame({"y": rng.normal(size=len(g)), "x": x, "g": g})
    null = lmm.fit("y ~ x", data, allow_fixed=True)
    big = fit_quietly("y ~ x + (x | g)", data)
    result = lmm.lrt(null, big, rng=1)
    weights = [float(part.split()[0]) for part in result.table["null_distribution"].iloc[1].split(" + ")]
    assert len(weights) == 4
    assert "standard error" in result.notes[0]
    n = 500
    draws = bootstrap_lrt_statistics(null, big, n, np.random.default_rng(2), 1)
    for x in (2.0, 4.0):
        expected = sum(w * stats.chi2.sf(x, i) for i, w in enumerate(weights) if i)
        assert abs(np.mean(draws >= x) - expected) <= 4 * np.sqrt(expected * (1 - expected) / n)


@pytest.mark.parametrize(
    ("small", "big", "distribution"),
    [
        # The same effects in another coding.
        ("Reaction ~ Days + (1 | Subject)", "Reaction ~ Days + (scale(Days) | Subject)", "0.5 chi2(1) + 0.5 chi2(2)"),
        ("Reaction ~ Days + (scale(Days) || Subject)", "Reaction ~ Days + (Days | Subject)", "chi2(1)"),
        ("Reaction ~ scale(Days) + (Days | Subject)", "Reaction ~ Days + I(Days^2) + (Days | Subject)", "chi2(1)"),
        # A fixed effect and a variance.
        (
            "Reaction ~ 1 + (1 | Subject)",
            "Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)",
            "0.5 chi2(1) + 0.5 chi2(2)",
        ),
    ],
)
def test_nested_by_column_space(small, big, distribution):
    data = frame("sleepstudy")
    table = lmm.lrt(*(lmm.fit(formula, data, reml=False) for formula in (small, big))).table
    assert table["null_distribution"].iloc[1] == distribution


def between_plots():
    """Treatments that differ between plots only: their effect's variance is mixed up with its covariance."""
    rng = np.random.default_rng(3)
    plot = np.repeat(np.arange(12), 4)
    y = rng.normal(size=48) + 2.0 * rng.normal(size=12)[plot]
    return pd.DataFrame({"y": y, "plot": plot, "treated": (plot < 5) * 1.0, "control": (plot >= 5) * 1.0})


@pytest.mark.parametrize("reml", [True, False])
def test_degrees_of_freedom_count_what_the_data_determine(reml):
    data = between_plots()
    null = lmm.fit("y ~ treated", data, allow_fixed=True, reml=reml)
    small = lmm.fit("y ~ treated + (1 | plot)", data, reml=reml)
    with pytest.warns(lmm.LMMWarning, match="no data of this design determine"):
        ridge = lmm.fit("y ~ treated + (treated | plot)", data, reml=reml)
    # The same family of covariance matrices with a parameter for each treatment.
    plain = lmm.fit("y ~ treated + (0 + treated | plot) + (0 + control | plot)", data, reml=reml)
    assert ridge.deviance == pytest.approx(plain.deviance, abs=1e-8)
    result = lmm.lrt(small, ridge)
    row = result.table.iloc[1]
    assert (row["df"], row["null_distribution"]) == (1.0, "chi2(1)")
    assert row["p_value"] == pytest.approx(stats.chi2.sf(small.deviance - plain.deviance, 1), rel=1e-6)
    assert "The data do not determine all variances" in result.notes[0]
    assert lmm.ranova(ridge)["df"].iloc[1] == 1.0
    with pytest.warns(lmm.LMMWarning, match="no data of this design determine"):
        apart = lmm.fit("y ~ treated + (0 + treated + control | plot)", data, reml=reml)
    assert lmm.lrt(small, apart).table["p_value"].iloc[1] == pytest.approx(row["p_value"], rel=1e-6)
    # The covariance of the two never shows; the variance is confined, and determined.
    assert lmm.ranova(apart)["null_distribution"].iloc[1] == "0.5 chi2(0) + 0.5 chi2(1)"
    unknown = lmm.lrt(null, ridge)
    assert unknown.table["df"].iloc[1] == 2.0
    assert np.isnan(unknown.table["p_value"].iloc[1])
    assert "test='bootstrap'" in unknown.notes[-1]


def test_parameters_set_to_values_inside_the_space():
    data = frame("sleepstudy")
    free = lmm.fit("Reaction ~ Days + (Days | Subject)", data, reml=False)
    known = lmm.fit("Reaction ~ Days + (Days | Subject)", data, reml=False, sigma=25.0)
    slope = lmm.fit("Reaction ~ 1 + (Days | Subject)", data, reml=False, offset=10.0 * data["Days"])
    for small in (known, slope):
        row = lmm.lrt(small, free).table.iloc[1]
        assert row["null_distribution"] == "chi2(1)"
        assert 0.05 < row["p_value"] < 1.0


def test_a_boundary_in_the_smaller_model_gives_a_bound():
    data = frame("oats")
    small = fit_quietly("yield ~ nitro + (nitro | Block)", data)
    big = fitted("oats", reml=True)
    result = lmm.lrt(small, big, rng=1)
    row, forced = result.table.iloc[1], lmm.lrt(small, big, test="mixture", rng=1).table.iloc[1]
    assert small.is_singular
    assert row["null_distribution"].startswith("at most ")
    assert 0.0 < forced["p_value"] < row["p_value"] < 0.05
    assert "the p-value is an upper bound" in result.notes[0]
    assert "test='bootstrap'" in str(result)
    assert f"<={row['p_value']:.4f}" in str(result)
    # Fixed effects are tested as ever: they are orthogonal to the variances.
    fixed = lmm.lrt(fit_quietly("yield ~ 1 + (nitro | Block)", data), small)
    assert fixed.table["null_distribution"].iloc[1] == "chi2(1)"


def test_a_bound_counts_the_parameters_of_the_empty_effects():
    """A correlation of one: the model of one effect per block has two parameters less."""
    data = frame("oats")
    rows = "yield ~ nitro + (1 | Block:Variety)"
    apart, whole = (fit_quietly(f"{rows} + (nitro {bar} Block)", data) for bar in ("||", "|"))
    assert boundary_dimension(apart) == 1
    assert boundary_dimension(whole) == 2
    assert boundary_dimension(fitted("sleepstudy", reml=True)) == 0
    row = lmm.lrt(apart, whole).table.iloc[1]
    assert row["null_distribution"] == "at most chi2(2)"
    assert row["p_value"] == pytest.approx(stats.chi2.sf(apart.deviance - whole.deviance, 2), rel=1e-6)


def test_ranova_gives_bounds():
    fit = fit_quietly("yield ~ nitro + (nitro | Block) + (1 | Block:Variety)", frame("oats"))
    small = fit_quietly("yield ~ nitro + (nitro | Block)", frame("oats"))
    row, expected = lmm.ranova(fit).loc["(1 | Block:Variety)"], lmm.lrt(small, fit).table.iloc[1]
    assert row["null_distribution"] == expected["null_distribution"]
    assert row["null_distribution"].startswith("at most ")
    assert row["p_value"] == pytest.approx(expected["p_value"], rel=1e-6)


def two_factors(rng, nested, n=6):
    """No variance at all, and two factors, crossed or nested, that might have one."""
    a, b = (array.ravel() for array in np.indices((n, n, 2))[:2])
    return pd.DataFrame({"y": rng.normal(size=a.size), "a": a, "b": n * a + b if nested else b})


def dense_correlation(data):
    """Correlation of the information on two variances where all are zero, intercept and sigma^2 projected out."""
    P = np.eye(len(data)) - 1.0 / len(data)
    changes = [P @ (z @ z.T) @ P for z in (pd.get_dummies(data[name]).to_numpy(dtype=float) for name in ("a", "b"))]
    J = np.array([[np.trace(s @ t) for s in [*changes, P]] for t in [*changes, P]])
    J = J[:2, :2] - np.outer(J[:2, 2], J[2, :2]) / J[2, 2]
    return J[0, 1] / np.sqrt(J[0, 0] * J[1, 1])


@pytest.mark.parametrize("nested", [True, False])
def test_the_bound_beside_one_variance_of_zero_holds_given_that_it_is_zero(nested):
    rng = np.random.default_rng(2)
    n_data = 2000
    data = two_factors(rng, nested)
    Y = rng.normal(size=(len(data), n_data))
    small, big = (fit_quietly(formula, data) for formula in ("y ~ 1 + (1 | a)", "y ~ 1 + (1 | a) + (1 | b)"))
    first, second = (Refitter(model).fit(Y) for model in (small, big))
    on_boundary = np.flatnonzero(first.singular == 1.0)
    statistics = np.maximum(first.criterion - second.criterion, 0.0)[on_boundary]
    y = Y[:, on_boundary[np.argmax(statistics)]]
    row = lmm.lrt(*(fit_quietly(model.formula, data.assign(y=y)) for model in (small, big))).table.iloc[1]
    excess = max(-np.arcsin(dense_correlation(data)) / np.pi, 0.0)
    weights = np.array([0.5 - excess, 0.5, excess])
    text = " + ".join(f"{w:.3g} chi2({i})" for i, w in enumerate(weights) if w)
    assert row["null_distribution"] == f"at most {text}"
    assert (excess == 0.0) == nested
    assert row["p_value"] == pytest.approx(weights[1:] @ stats.chi2.sf(row["statistic"], [1, 2]), rel=1e-6)
    for level in (0.05, 0.2):
        bounds = weights[1:] @ stats.chi2.sf(np.maximum(statistics, 1e-9), [[1], [2]])
        share = np.mean((bounds <= level) & (statistics > 0.0))
        assert share <= level + 3 * np.sqrt(level * (1 - level) / len(statistics))
    assert 0.4 < len(statistics) / n_data < 0.8


def likelihood_ratios(J, sizes, count):
    """Those of draws from the apex: cone of all matrices less that of all but the last variance, projected."""
    rng = np.random.default_rng(1)
    z = np.linalg.solve(np.linalg.cholesky(J).T, rng.standard_normal((len(J), count))).T
    b_u = np.linalg.solve(J[:-1, :-1], J[:-1, -1])
    full = np.array([distance(row, J, sizes) for row in z]) ** 2
    within = z[:, :-1] + z[:, -1:] * b_u
    small = np.array([distance(row, J[:-1, :-1], sizes[:-1]) for row in within]) ** 2
    outside = (J[-1, -1] - J[:-1, -1] @ b_u) * z[:, -1] ** 2
    is_apex = np.einsum("ni,ij,nj->n", within, J[:-1, :-1], within) - small < 1e-9
    angle = np.arctan2(distance(b_u, J[:-1, :-1], sizes[:-1]), np.sqrt(J[-1, -1] - J[:-1, -1] @ b_u))
    return (small + outside - full)[is_apex], angle


@pytest.mark.parametrize(("sizes", "obtuse"), [((1, 1), True), ((1, 1, 1), True), ((2, 1), True), ((1, 1, 1), False)])
def test_circular_cones_bound_the_likelihood_ratio_of_one_variance(sizes, obtuse):
    """Given that all else is empty; two variances in the plane attain the bound."""
    d = sum(m * (m + 1) // 2 for m in sizes)
    a = np.array([0.6, 0.0, 0.6]) if sizes == (2, 1) else np.full(d - 1, 0.9 if d == 2 else 0.6)
    J = np.eye(d)
    J[:-1, -1] = J[-1, :-1] = -a if obtuse else a
    draws, angle = likelihood_ratios(J, sizes, 2000 if d == 2 else 500)
    assert (angle > 0.1) == obtuse
    limit = circular_cone(d, angle) if obtuse else ChiBarSquare(np.array([0.5, 0.5]), 0)
    for x in (0.5, 2.0, 5.0):
        share, error = np.mean(draws >= x), np.sqrt(limit.sf(x) * (1 - limit.sf(x)) / len(draws))
        assert share <= limit.sf(x) + 3 * error
        if d == 2:
            assert share >= limit.sf(x) - 3 * error


def test_the_bound_beside_several_empty_effects():
    """From the dense information on three variances, all of them zero."""
    rng = np.random.default_rng(6)
    a, b, c = (array.ravel() for array in np.indices((4, 4, 4)))
    data = pd.DataFrame({"y": rng.normal(size=64), "a": a, "b": b, "c": c})
    mean = data.groupby("a")["y"].transform("mean") + data.groupby("b")["y"].transform("mean")
    data["y"] -= 0.9 * mean  # so that a and b have no variance
    small, big = (fit_quietly(formula, data) for formula in ("y ~ 1 + (1|a) + (1|b)", "y ~ 1 + (1|a) + (1|b) + (1|c)"))
    assert boundary_dimension(small) == 2
    P = np.eye(64) - 1.0 / 64
    changes = [P @ (z @ z.T) @ P for z in (pd.get_dummies(data[name]).to_numpy(dtype=float) for name in "abc")]
    J = np.array([[np.trace(s @ t) for s in [*changes, P]] for t in [*changes, P]])
    J = J[:3, :3] - np.outer(J[:3, 3], J[3, :3]) / J[3, 3]
    b_u = np.linalg.solve(J[:2, :2], J[:2, 2])
    assert (b_u < 0.0).all()  # so that the nearest point of the cone is its apex
    angle = np.arctan(np.sqrt(b_u @ J[:2, :2] @ b_u / (J[2, 2] - b_u @ J[:2, 2])))
    row = lmm.lrt(small, big).table.iloc[1]
    assert row["null_distribution"] == f"at most {circular_cone(3, angle)}"


def test_no_gain_is_no_evidence_whatever_the_null_distribution():
    data = frame("dyestuff2").assign(half=np.arange(30) % 2)
    small, big = (fit_quietly(f"Yield ~ 1 + (1 | Batch){more}", data, reml=False) for more in ("", " + (1 | half)"))
    row = lmm.lrt(small, big).table.iloc[1]
    assert small.is_singular
    assert row["statistic"] == 0.0
    assert row["p_value"] == 1.0


def test_two_models_without_random_effects():
    fits = [lmm.fit(f"Reaction ~ {x}", frame("sleepstudy"), allow_fixed=True) for x in ("1", "Days")]
    result = lmm.lrt(*fits)
    n, rss = 180, [(fit.resid**2).sum() for fit in fits]
    assert result.method == "maximum likelihood"
    assert result.table["statistic"].iloc[1] == pytest.approx(n * np.log(rss[0] / rss[1]))
    assert result.table["null_distribution"].iloc[1] == "chi2(1)"


def test_weights_enter_the_likelihood_and_the_weights_of_the_mixture():
    data = frame("penicillin").assign(w=np.linspace(0.5, 3.0, 144))
    null = lmm.fit("diameter ~ 1", data, weights="w", allow_fixed=True)
    row = lmm.lrt(null, lmm.fit(MODELS["penicillin"][0], data, weights="w")).table.iloc[1]
    root = np.sqrt(data["w"].to_numpy())[:, None]
    Z = [root * pd.get_dummies(data[name]).to_numpy() for name in ("plate", "sample")]
    none, one, two = dense_weights(root, [z @ z.T for z in Z])
    assert row["null_distribution"] == f"{none:.3g} chi2(0) + {one:.3g} chi2(1) + {two:.3g} chi2(2)"


def test_bootstrap_counts_the_observed_statistic():
    small, big = (fitted(name, reml=True) for name in ("sleepstudy_intercept", "sleepstudy"))
    result = lmm.lrt(small, big, test="bootstrap", n_boot=19, rng=1)
    assert result.table["p_value"].iloc[1] == pytest.approx(1 / 20)
    assert result.table["null_distribution"].iloc[1] == "bootstrap, 19 draws"
    again = lmm.lrt(small, big, test="bootstrap", n_boot=19, rng=1)
    assert again.table["p_value"].iloc[1] == result.table["p_value"].iloc[1]


def test_bootstrap_of_the_lambs_is_near_the_exact_p_value():
    fit = fitted("lamb_treatment", reml=True)
    null = lmm.fit("Weight ~ Line + Age", frame("lamb_treatment"), allow_fixed=True)
    bootstrap = lmm.lrt(null, fit, test="bootstrap", n_boot=150, rng=2).table["p_value"].iloc[1]
    exact = REFERENCE["rlrt"]["lamb; Sire"]["p"]
    assert abs(bootstrap - exact) <= 4 * np.sqrt(exact * (1 - exact) / 150)


def test_result_prints_as_text_and_html():
    result = lmm.lrt(*(fitted(name, reml=False) for name in ("sleepstudy_intercept", "sleepstudy")))
    text = str(result)
    assert "Model 1: Reaction ~ 1 + Days + (1|Subject)" in text
    assert "0.5 chi2(1) + 0.5 chi2(2)" in text
    assert "nan" not in text.lower()
    assert "<table>" in result._repr_html_()


def test_the_same_formula_twice_gets_two_names():
    data = frame("sleepstudy")
    fits = [lmm.fit(MODELS["sleepstudy"][0], data, reml=False, sigma=s) for s in (25.0, None)]
    assert list(lmm.lrt(*fits).table.index) == [MODELS["sleepstudy"][0], f"{MODELS['sleepstudy'][0]} [2]"]


def sleep(formula, **options):
    return fit_quietly(formula, frame("sleepstudy"), **options)


def changed(change):
    return fit_quietly("Reaction ~ Days + (Days | Subject)", change(frame("sleepstudy")))


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (lambda: sleep("log(Reaction) ~ Days + (Days | Subject)"), "different responses"),
        (lambda: sleep("Reaction ~ Days + (Days | Subject)", weights=np.arange(1.0, 181.0)), "different weights"),
        (lambda: fit_quietly("Reaction ~ Days + (Days | Subject)", frame("sleepstudy").iloc[:170]), "different rows"),
        (lambda: changed(lambda d: d.iloc[::-1]), "same rows in another order: fit both to the same data frame"),
        (
            lambda: changed(lambda d: d.iloc[::-1].reset_index(drop=True)),
            "the same values of 'Reaction' in another order of the rows",
        ),
        (
            lambda: changed(lambda d: d.set_axis(range(3, 183))),
            "different rows: both have 180, but the labels of 3 rows of the second",
        ),
        (
            lambda: changed(lambda d: d.assign(Reaction=d["Reaction"] + (d.index < 7))),
            "the values of 'Reaction' differ in 7 of 180 rows",
        ),
        (lambda: sleep("Reaction ~ Days + (0 + Days | Subject)"), "same number of parameters"),
        (lambda: sleep("Reaction ~ I(Days^2) + (I(Days^2) | Subject)"), "fixed effects include Days"),
        (lambda: sleep("Reaction ~ Days + (0 + Days + I(Days^2) | Subject)"), "no place for"),
        (lambda: sleep("Reaction ~ Days + (Days | Subject)", sigma=25.0), "known residual standard deviation"),
    ],
)
def test_models_that_cannot_be_compared(other, text):
    with pytest.raises(lmm.ArgumentError, match=text):
        lmm.lrt(fitted("sleepstudy_intercept", reml=True), other())


def test_a_date_is_not_nested_in_the_intercept():
    # All but 1e-6 of its length is.
    data = frame("sleepstudy").assign(date=lambda d: 2_458_849.0 + d["Days"] * np.tile([1.0, -1.0], 90))
    small = fit_quietly("Reaction ~ date + (1 | Subject)", data, reml=False)
    big = fit_quietly("Reaction ~ Days + (Days | Subject)", data, reml=False)
    with pytest.raises(lmm.ArgumentError, match="fixed effects include date"):
        lmm.lrt(small, big)
    bigger = fit_quietly("Reaction ~ Days + I(date - 2458840) + (1 | Subject)", data, reml=False)
    assert lmm.lrt(small, bigger).table["null_distribution"].iloc[1] == "chi2(1)"


def test_a_variance_of_each_row_is_not_nested_in_a_known_residual_variance():
    data = frame("sleepstudy").assign(row=range(180), batch=np.arange(180) % 7)
    rows = "Reaction ~ Days + (1 | row)"
    groups = "Reaction ~ Days + (1 | Subject) + (1 | batch)"
    small, big, both = (
        fit_quietly(formula, data, sigma=20.0, reml=False) for formula in (rows, groups, f"{groups} + (1 | row)")
    )
    with pytest.raises(lmm.ArgumentError, match="random effects include row"):
        lmm.lrt(small, big)
    assert lmm.lrt(small, both).table["df"].iloc[1] == 2


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"fits": 1}, "two or more"),
        ({"fits": 2, "test": "f"}, "test must be one of"),
        ({"fits": 2, "n_boot": 0}, "n_boot"),
        ({"fits": 2, "workers": 1.5}, "workers"),
        ({"fits": 2, "rng": "x"}, "rng"),
    ],
)
def test_arguments_that_are_refused(arguments, text):
    fits = [fitted(name, reml=True) for name in ("sleepstudy_intercept", "sleepstudy")][: arguments.pop("fits")]
    with pytest.raises(lmm.ArgumentError, match=text):
        lmm.lrt(*fits, **arguments)


def test_only_models_are_compared():
    with pytest.raises(lmm.ArgumentError, match="got a int"):
        lmm.lrt(fitted("sleepstudy", reml=True), 3)
    with pytest.raises(lmm.ArgumentError, match=r"unpack the list: lmm\.lrt\(\*fits\)"):
        lmm.lrt([fitted(name, reml=True) for name in ("sleepstudy_intercept", "sleepstudy")])
