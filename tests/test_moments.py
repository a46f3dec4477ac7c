"""Moment estimators: against R, dense projections, closed forms, and REML where the layout is balanced."""

import itertools

import numpy as np
import pandas as pd
import pytest

import lmm
from conftest import fitted, frame

# Sums of squares, degrees of freedom, expected mean squares (diagonal) and estimates by dense projections in R 4.2.2.
REFERENCE = {
    "dyestuff": ([56357.5, 58830], [5, 24], [5, 1], [1764.05, 2451.25]),
    "lamb": (
        [80.731747604581, 103.462333819168],
        [18, 37],
        [2.21186655760433, 1],
        [0.763526077523681, 2.79627929240995],
    ),
    "penicillin": (
        [105.888888888847, 449.222222222219, 34.7777777777777],
        [23, 5, 115],
        [6, 24, 1],
        [0.716908212560082, 3.73091787439611, 0.302415458937197],
    ),
    "pig": ([6611.5532407416, 1683.17352430556], [47, 383], [9, 1], [15.1418485118831, 4.39470894074558]),
    "dyestuff2": ([41.6816288000001, 358.7013504], [5, 24], [5, 1], [-1.321912768, 14.9458896]),
    "pastes_sample": (
        [247.402666666603, 350.906666666677, 20.34],
        [9, 20, 30],
        [6, 2, 1],
        [1.65730864197405, 8.43366666666692, 0.678],
    ),
    "sleepstudy_intercept": (
        [250618.108272919, 154633.50920753],
        [17, 161],
        [10, 1],
        [1378.17850841842, 960.456578928758],
    ),
}

FORMULAS = {
    "dyestuff": "Yield ~ 1 + (1|Batch)",
    "dyestuff2": "Yield ~ 1 + (1|Batch)",
    "pastes_sample": "strength ~ 1 + (1|batch) + (1|sample)",
    "lamb": "Weight ~ Line + Age - 1 + (1|Sire)",
    "penicillin": "diameter ~ 1 + (1|plate) + (1|sample)",
    "pig": "weight ~ num.weeks + (1 | id.num)",
    "sleepstudy_intercept": "Reaction ~ Days + (1|Subject)",
}


@pytest.mark.parametrize("name", REFERENCE)
def test_agrees_with_projections_in_r(name):
    ss, df, diagonal, estimates = REFERENCE[name]
    moments = lmm.anova_estimates(FORMULAS[name], frame(name))
    rows = moments.table.iloc[-1 - len(ss) : -1]
    np.testing.assert_allclose(rows["sum_sq"], ss, rtol=1e-8)
    assert list(rows["df"]) == df
    ems = moments.expectations.to_numpy()[-len(ss) :]
    np.testing.assert_allclose(np.diagonal(ems), diagonal, rtol=1e-10)
    np.testing.assert_allclose(ems[:, -1], 1.0, rtol=1e-10)
    np.testing.assert_allclose(moments.estimates, estimates, rtol=1e-8)


def unbalanced(seed=3):
    """Two crossed factors with unequal cells, a covariate, weights and an offset."""
    rng = np.random.default_rng(seed)
    n = 90
    data = pd.DataFrame({"a": rng.integers(0, 8, n), "b": rng.integers(0, 6, n), "x": rng.normal(size=n)})
    data["w"] = rng.uniform(0.5, 2.0, n)
    data["o"] = rng.normal(size=n)
    data["y"] = data["x"] + data["o"] + rng.normal(size=8)[data["a"]] + rng.normal(size=6)[data["b"]]
    data["y"] += rng.normal(size=n) / np.sqrt(data["w"])
    return data


def dense_parts(data, sources, x):
    """Weighted response, X and the matrices of the sources: pairs of a group and a column (None: an intercept)."""
    root = np.sqrt(data["w"].to_numpy())[:, None]
    Z = [
        root * pd.get_dummies(data[group]).to_numpy(float) * (1.0 if column is None else data[[column]].to_numpy())
        for group, column in sources
    ]
    return root[:, 0] * (data["y"] - data["o"]).to_numpy(), root * x, Z


def projection(matrix):
    return matrix @ np.linalg.pinv(matrix, rcond=1e-10)


@pytest.mark.parametrize(
    ("random", "sources"),
    [
        ("(1|a) + (1|b)", [("a", None), ("b", None)]),
        ("(1|b) + (1|a)", [("b", None), ("a", None)]),
        ("(x||a) + (1|b)", [("a", None), ("a", "x"), ("b", None)]),
        ("(1|a) + (1|b) + (0 + x|a)", [("a", None), ("b", None), ("a", "x")]),
        ("(0 + x|b) + (1|b) + (1|a)", [("b", "x"), ("b", None), ("a", None)]),
    ],
)
def test_reductions_agree_with_dense_projections_in_the_order_of_the_formula(random, sources):
    data = unbalanced()
    moments = lmm.anova_estimates(f"y ~ x + {random}", data, weights="w", offset="o")
    y, X, Z = dense_parts(data, sources, np.column_stack([np.ones(len(data)), data["x"]]))
    spans = [projection(np.hstack([X, *Z[:i]])) for i in range(len(Z) + 1)]
    spans.append(np.eye(len(y)))
    steps = [after - before for before, after in itertools.pairwise(spans)]
    ss = [y @ step @ y for step in steps]
    df = [round(np.trace(step)) for step in steps]
    expected = np.array([[*(np.trace(z.T @ step @ z) for z in Z), np.trace(step)] for step in steps])
    rows = moments.table.iloc[-1 - len(ss) : -1]
    np.testing.assert_allclose(rows["sum_sq"], ss, rtol=1e-8)
    assert list(rows["df"]) == df
    ems = moments.expectations.to_numpy()[-len(ss) :]
    np.testing.assert_allclose(ems, expected / np.array(df)[:, None], rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(moments.estimates, np.linalg.solve(expected, ss), rtol=1e-7)


@pytest.mark.parametrize("random", ["(1|a) + (1|b)", "(x||a) + (1|b)"])
def test_minque0_agrees_with_dense_quadratic_forms(random):
    data = unbalanced()
    moments = lmm.anova_estimates(f"y ~ x + {random}", data, method="minque0", weights="w", offset="o")
    sources = [("a", None), ("b", None)] if "||" not in random else [("a", None), ("a", "x"), ("b", None)]
    y, X, Z = dense_parts(data, sources, np.column_stack([np.ones(len(data)), data["x"]]))
    M = np.eye(len(y)) - projection(X)
    V = [M @ z @ z.T @ M for z in Z] + [M]
    forms = [y @ v @ y for v in V]
    traces = np.array([[np.sum(v * u) for u in V] for v in V])
    np.testing.assert_allclose(moments.table["quadratic_form"], forms, rtol=1e-9)
    np.testing.assert_allclose(moments.expectations, traces, rtol=1e-9)
    np.testing.assert_allclose(moments.estimates, np.linalg.solve(traces, forms), rtol=1e-8)


def test_minque0_does_not_depend_on_the_order_of_the_terms():
    one = lmm.anova_estimates("y ~ x + (1|a) + (1|b)", unbalanced(), method="minque0").estimates
    other = lmm.anova_estimates("y ~ x + (1|b) + (1|a)", unbalanced(), method="minque0").estimates
    assert list(one.index) == ["a", "b", "Residual"]
    assert list(other.index) == ["b", "a", "Residual"]
    np.testing.assert_allclose(other[one.index], one, rtol=1e-10)


@pytest.mark.parametrize("origin", [0.0, 1e4])
def test_the_last_sum_of_squares_does_not_depend_on_the_origin_of_a_slope(origin):
    # an intercept and a slope of each subject span the same columns wherever the days are counted from
    sleepstudy = lmm.datasets.load("sleepstudy").assign(Days=lambda data: data["Days"] + origin)
    table = lmm.anova_estimates("Reaction ~ Days + (Days || Subject)", sleepstudy).table
    np.testing.assert_allclose(table["sum_sq"].iloc[-4:-1], [250618.108273, 60322.0, 94311.5], rtol=1e-5)
    assert list(table["df"].iloc[-4:-1]) == [17, 17, 144]


def test_one_way_closed_form():
    # Searle, Casella and McCulloch (1992), section 3.6: n_0 = (N - sum n_i^2 / N) / (a - 1)
    sizes = np.array([1, 2, 3, 5, 8, 1])
    rng = np.random.default_rng(8)
    group = np.repeat(np.arange(6), sizes)
    y = rng.normal(size=6)[group] + rng.normal(size=20)
    moments = lmm.anova_estimates("y ~ 1 + (1|g)", pd.DataFrame({"g": group, "y": y}))
    means = np.bincount(group, y) / sizes
    within = ((y - means[group]) ** 2).sum() / 14
    between = (sizes * (means - y.mean()) ** 2).sum() / 5
    n_0 = (20 - (sizes**2).sum() / 20) / 5
    np.testing.assert_allclose(moments.estimates, [(between - within) / n_0, within], rtol=1e-12)
    assert moments.table.loc["g", "statistic"] == pytest.approx(between / within)


@pytest.mark.parametrize("method", ["henderson3", "balanced", "minque0"])
@pytest.mark.parametrize("name", ["dyestuff", "penicillin", "pig", "sleepstudy_intercept", "machines_nested"])
def test_equals_reml_in_balanced_layouts(name, method):
    fit = fitted(name, reml=True)
    moments = lmm.anova_estimates(fit.formula, frame(name), method=method)
    components = fit.variance_components.set_index("group")["vcov"]
    np.testing.assert_allclose(moments.estimates[components.index], components, rtol=1e-6)
    assert moments.is_balanced


def test_textbook_table_of_a_split_plot():
    oats = lmm.datasets.load("oats").astype({"nitro": "category"})
    table = lmm.anova_estimates("yield ~ Variety*nitro + (1|Block/Variety)", oats, method="balanced").table
    # Yates (1935): the analysis of variance with whole-plot and subplot errors
    np.testing.assert_allclose(
        table["sum_sq"].round(2),
        [1786.36, 20020.50, 321.75, 15875.28, 6013.31, 7968.75, 51985.94],
        atol=0.011,
    )
    assert list(table["df"]) == [2, 3, 6, 5, 10, 45, 71]
    error = ["Block:Variety", "Residual", "Residual", "Block:Variety", "Residual", None, None]
    assert [value or None for value in table["error"]] == error
    np.testing.assert_allclose(table["statistic"].iloc[:3], [1.485, 37.686, 0.303], atol=1e-3)
    assert table["p_value"].iloc[0] == pytest.approx(0.2724, abs=1e-4)


def test_a_negative_estimate_is_kept_and_said():
    moments = lmm.anova_estimates("Yield ~ 1 + (1|Batch)", lmm.datasets.load("dyestuff2"))
    assert moments.negative == ["Batch"]
    assert moments.estimates["Batch"] == pytest.approx(-1.321912768, rel=1e-8)
    assert "The estimate of 'Batch' is negative, -1.322" in str(moments)
    assert "is negative" in moments._repr_html_()


def test_an_unbalanced_layout_is_named():
    lamb = frame("lamb")
    moments = lmm.anova_estimates(FORMULAS["lamb"], lamb)
    assert not moments.is_balanced
    assert "the levels of 'Sire' do not have equally many rows (1 to 9)" in str(moments)
    with pytest.raises(lmm.ModelError, match="levels of 'Sire' do not have equally many rows"):
        lmm.anova_estimates(FORMULAS["lamb"], lamb, method="balanced")


def test_a_random_and_a_fixed_row_of_one_name_stay_apart():
    moments = lmm.anova_estimates(
        "Reaction ~ Days + (1|Subject) + (1|Days)", lmm.datasets.load("sleepstudy"), method="balanced"
    )
    assert list(moments.table.index) == ["Days (fixed)", "Subject", "Days", "Residual", "Total"]
    assert moments.table.loc["Days (fixed)", "error"] == "Days"


def test_html_has_every_source():
    shown = lmm.anova_estimates("diameter ~ 1 + (1|plate) + (1|sample)", frame("penicillin"))._repr_html_()
    for text in ("plate", "sample", "Residual + 24 sample", "0.7169"):
        assert text in shown


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("Reaction ~ Days + (Days|Subject)", r"may be correlated.*\(\.\.\. \|\| Subject\)"),
        ("strength ~ 1 + (1|sample) + (1|batch)", "'batch' explains nothing.*Name coarser factors before"),
    ],
)
def test_what_moment_equations_cannot_estimate_is_refused(formula, message):
    data = lmm.datasets.load("sleepstudy" if "Days" in formula else "pastes")
    with pytest.raises(lmm.ModelError, match=message):
        lmm.anova_estimates(formula, data)


def test_no_degrees_of_freedom_for_the_residual():
    data = pd.DataFrame({"y": np.arange(6.0) ** 2, "a": [0, 0, 1, 1, 2, 2], "b": [0, 1, 1, 2, 2, 3]})
    with pytest.raises(lmm.ModelError, match="none is left for the residual variance"):
        lmm.anova_estimates("y ~ 1 + (1|a) + (1|b)", data)


def test_minque0_refuses_singular_equations():
    data = pd.DataFrame(
        {"y": np.arange(12.0) ** 2, "a": np.repeat(range(4), 3), "x": np.repeat([1.0, -1.0, 1.0, -1.0], 3)}
    )
    with pytest.raises(lmm.ModelError, match="cannot be told apart"):
        lmm.anova_estimates("y ~ 1 + (x||a)", data, method="minque0")


def test_an_unknown_method_is_refused():
    with pytest.raises(
        lmm.ArgumentError, match="method must be one of 'henderson3', 'balanced', 'minque0'; got 'reml'"
    ):
        lmm.anova_estimates("Yield ~ 1 + (1|Batch)", frame("dyestuff"), method="reml")


@pytest.mark.parametrize("method", ["henderson3", "balanced", "minque0"])
def test_a_fitted_model_stands_for_its_formula_and_data(method):
    pastes = lmm.datasets.load("pastes")
    pastes["w"] = 2.0
    formula = "strength ~ 1 + (1 | batch/cask)"
    weights = None if method == "balanced" else "w"
    model = lmm.fit(formula, pastes, weights=weights)
    one = lmm.anova_estimates(model, method=method)
    assert str(one) == str(lmm.anova_estimates(formula, pastes, weights=weights, method=method))


def test_a_fitted_model_brings_its_own_arguments():
    model = fitted("dyestuff", reml=True)
    with pytest.raises(lmm.ArgumentError, match="leave out data, weights, na_action"):
        lmm.anova_estimates(model, lmm.datasets.load("dyestuff"), weights="Yield", na_action="raise")
    known = lmm.fit("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"), sigma=50.0)
    with pytest.raises(lmm.ModelError, match="known residual standard deviation"):
        lmm.anova_estimates(known)
    with pytest.raises(lmm.DataError, match="data"):
        lmm.anova_estimates("Yield ~ 1 + (1 | Batch)")
