"""Tests of a variance ratio: mean squares of balanced models, likelihood ratios at any value, intervals."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import lmm
from conftest import fit_quietly, fitted, frame


def one_way(data, y, group):
    """Mean squares and degrees of freedom of a balanced one-way layout."""
    groups = data.groupby(group, observed=True)[y]
    k, m = int(groups.size().iloc[0]), groups.ngroups
    between = k * groups.mean().var(ddof=1)
    within = (groups.var(ddof=1)).mean()
    return between / within, m - 1, m * (k - 1), k


@pytest.mark.parametrize("ratio", [0.0, 0.3])
def test_one_way_layout_against_its_closed_form(ratio):
    F, d_1, d_2, k = one_way(frame("dyestuff"), "Yield", "Batch")
    result = lmm.optimal_test(fitted("dyestuff", reml=True), ratio=ratio)
    assert result.df == (d_1, d_2)
    assert result.statistic == pytest.approx(F / (1 + k * ratio), rel=1e-10)
    tail = stats.f.sf(F / (1 + k * ratio), d_1, d_2)
    assert result.p_value == pytest.approx(tail if ratio == 0 else 2 * min(tail, 1 - tail), rel=1e-10)
    assert result.estimate == pytest.approx((F - 1) / k, rel=1e-10)
    limits = (F / stats.f.ppf([0.975, 0.025], d_1, d_2) - 1) / k
    assert (result.lower, result.upper) == pytest.approx(tuple(limits), rel=1e-10)


def test_the_f_test_of_the_innermost_factor_is_the_exact_one():
    fit = fitted("pastes", reml=True)
    optimal, exact = lmm.optimal_test(fit, "batch:cask"), lmm.exact_f_test(fit, "batch:cask")
    assert optimal.statistic == pytest.approx(exact.statistic, rel=1e-10)
    assert optimal.df == exact.df


def test_nested_factors_against_the_analysis_of_variance():
    """Batches are compared with casks within batches: the mean squares of the hierarchical analysis of variance."""
    data = frame("pastes")
    casks = data.groupby(["batch", "cask"], observed=True)["strength"].mean().to_numpy().reshape(10, 3)
    between = 6 * casks.mean(axis=1).var(ddof=1)
    within = 2 * casks.var(axis=1, ddof=1).mean()
    result = lmm.optimal_test(fitted("pastes", reml=True), "batch")
    assert result.df == (9, 20)
    assert result.statistic == pytest.approx(between / within, rel=1e-10)
    assert "sigma^2 + 2 var(batch:cask) + 6 var(batch)" in str(result)
    assert f"Ratio to sigma^2 + 2 var(batch:cask): {result.estimate:.5g}, 95 % interval" in str(result)
    for method in ("f", "lrt"):
        inner = lmm.optimal_test(fitted("pastes", reml=True), "batch:cask", method=method)
        assert f"Ratio to the residual variance: {inner.estimate:.5g}, 95 %" in str(inner)


def test_the_random_block_of_a_split_plot():
    result = lmm.optimal_test(fitted("oats_split", reml=True), "Block")
    assert result.df == (5, 10)
    assert "sigma^2 + 4 var(Block:Variety) + 12 var(Block)" in str(result)


@pytest.mark.parametrize(("model", "group"), [("lamb", "Sire"), ("sleepstudy_uncorrelated", "(0 + Days | Subject)")])
def test_unbalanced_models_have_no_optimum_test(model, group):
    result = lmm.optimal_test(fitted(model, reml=True), group)
    assert np.isnan(result.p_value)
    assert "not balanced" in str(result)


def test_no_pair_of_mean_squares():
    """Three crossed factors with all interactions: the main effects have no denominator of their own."""
    rng = np.random.default_rng(1)
    levels = np.array(np.meshgrid(*[np.arange(4)] * 3)).reshape(3, -1)
    data = pd.DataFrame(np.repeat(levels, 2, axis=1).T, columns=list("abc"))
    data["y"] = rng.normal(size=len(data))
    fit = fit_quietly("y ~ 1 + (1|a) + (1|b) + (1|c) + (1|a:b) + (1|a:c) + (1|b:c)", data)
    result = lmm.optimal_test(fit, "a")
    assert np.isnan(result.statistic)
    assert "No two mean squares" in str(result)
    assert np.isfinite(lmm.optimal_test(fit, "a:b").p_value)


@pytest.mark.parametrize("reml", [True, False])
def test_likelihood_ratio_at_zero_is_that_of_lrt(reml):
    null = lmm.fit("Yield ~ 1", frame("dyestuff"), reml=reml, allow_fixed=True)
    row = lmm.lrt(null, fitted("dyestuff", reml=reml)).table.iloc[1]
    result = lmm.optimal_test(fitted("dyestuff", reml=reml), method="lrt")
    assert result.statistic == pytest.approx(row["statistic"], abs=1e-9)
    assert result.p_value == pytest.approx(row["p_value"], rel=1e-9)


def dense_criterion(y, X, V):
    """REML criterion with sigma profiled, without what does not depend on V."""
    n, p = X.shape
    C = X.T @ np.linalg.solve(V, X)
    r = y - X @ np.linalg.solve(C, X.T @ np.linalg.solve(V, y))
    rss = r @ np.linalg.solve(V, r)
    return np.linalg.slogdet(V)[1] + np.linalg.slogdet(C)[1] + (n - p) * np.log(rss)


def test_likelihood_ratio_against_the_dense_criterion():
    data = frame("dyestuff")
    fit = fitted("dyestuff", reml=True)
    Z = np.kron(np.eye(6), np.ones((5, 1)))
    y, X = data["Yield"].to_numpy(), np.ones((30, 1))
    best = lmm.optimal_test(fit, method="lrt").estimate

    def criterion(ratio):
        return dense_criterion(y, X, np.eye(30) + ratio * Z @ Z.T)

    result = lmm.optimal_test(fit, ratio=2.0, method="lrt", level=0.9)
    assert result.statistic == pytest.approx(criterion(2.0) - criterion(best), abs=1e-8)
    for limit in (result.lower, result.upper):
        assert criterion(limit) - criterion(best) == pytest.approx(stats.chi2.ppf(0.9, 1), abs=1e-6)


def test_the_other_variances_are_profiled_out():
    fit = fitted("penicillin", reml=True)
    result = lmm.optimal_test(fit, "plate", ratio=1.0, method="lrt")
    data = frame("penicillin")
    y, X = data["diameter"].to_numpy(), np.ones((144, 1))
    A, B = (pd.get_dummies(data[name], dtype=float).to_numpy() for name in ("plate", "sample"))
    grid = np.exp(np.linspace(1.0, 4.0, 61))
    profile = [dense_criterion(y, X, np.eye(144) + A @ A.T + b * B @ B.T) for b in grid]
    T = fit.theta**2
    best = dense_criterion(y, X, np.eye(144) + T[0] * A @ A.T + T[1] * B @ B.T)
    assert result.statistic == pytest.approx(min(profile) - best, abs=2e-3)
    assert result.statistic <= min(profile) - best + 1e-9


def test_one_of_several_effects_of_a_factor():
    fit = fitted("sleepstudy_uncorrelated", reml=True)
    result = lmm.optimal_test(fit, "(0 + Days | Subject)", method="lrt")
    smaller = lmm.lrt(fitted("sleepstudy_intercept", reml=True), fit).table.iloc[1]
    assert result.statistic == pytest.approx(smaller["statistic"], abs=1e-8)


def test_a_variance_of_zero_has_an_interval_from_zero():
    for method in ("f", "lrt"):
        result = lmm.optimal_test(fitted("dyestuff2", reml=True), method=method)
        assert result.estimate == result.lower == 0.0
        assert 0.3 < result.upper < 0.6


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"ratio": -1.0}, lmm.ArgumentError, "ratio"),
        ({"ratio": "1"}, lmm.ArgumentError, "ratio"),
        ({"method": "reml"}, lmm.ArgumentError, "method"),
        ({"level": 95}, lmm.ArgumentError, "level"),
        ({"group": "cask"}, lmm.ArgumentError, "grouping factor"),
    ],
)
def test_what_is_refused(options, error, text):
    with pytest.raises(error, match=text):
        lmm.optimal_test(fitted("dyestuff", reml=True), **options)


def test_models_that_are_refused():
    with pytest.raises(lmm.ModelError, match="correlated"):
        lmm.optimal_test(fitted("sleepstudy", reml=True))
    with pytest.raises(lmm.ModelError, match="residual variance, which is known"):
        lmm.optimal_test(lmm.fit("Yield ~ 1 + (1 | Batch)", frame("dyestuff"), sigma=50.0))
