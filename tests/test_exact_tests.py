"""Exact tests of a variance: F by projections, likelihood ratios by their spectral representation."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import lmm
from conftest import fit_quietly, fitted, frame
from lmm.inference.spectrum import simulate_statistics, spectrum

# R 4.2.2: projections of dense matrices; RLRsim 3.1-8 with a million draws.
REFERENCE = json.loads(Path(__file__).with_name("reference_variance_tests.json").read_text())
F_CASES = [(model, group) for model, groups in REFERENCE["exact_f"].items() for group in groups]


def dense_f(X, Z_others, Z, y):
    """F by dense least squares."""

    def left(columns):
        coefficients, _, rank, _ = np.linalg.lstsq(columns, y, rcond=1e-10)
        return ((y - columns @ coefficients) ** 2).sum(), rank

    (rss, rank), (rss_0, rank_0) = left(np.hstack([X, *Z_others, Z])), left(np.hstack([X, *Z_others]))
    r, m = rank - rank_0, len(y) - rank
    return (rss_0 - rss) / r / (rss / m), (r, m)


def indicator(codes):
    return (np.asarray(codes)[:, None] == np.unique(codes)).astype(float)


@pytest.mark.parametrize(("model", "group"), F_CASES)
def test_exact_f_against_reference(model, group):
    expected = REFERENCE["exact_f"][model][group]
    result = lmm.exact_f_test(fitted(model, reml=True), group)
    assert result.df == tuple(expected["df"])
    assert result.statistic == pytest.approx(expected["F"], rel=1e-10)
    assert result.p_value == pytest.approx(expected["p"], rel=1e-8)
    assert result.distribution == f"F({expected['df'][0]}, {expected['df'][1]})"


def test_exact_f_does_not_depend_on_the_criterion():
    results = [lmm.exact_f_test(fitted("pig", reml=reml)) for reml in (True, False)]
    assert results[0] == results[1]


def test_exact_f_of_an_aliased_factor_says_why():
    result = lmm.exact_f_test(fitted("pastes", reml=True), "batch")
    assert np.isnan(result.statistic)
    assert np.isnan(result.p_value)
    assert result.df == (0.0, 30.0)
    assert "combinations of those of the other effects" in str(result)


def test_null_hypotheses_name_the_effects():
    fit = fitted("sleepstudy_quadratic", reml=True)
    sentences = {
        "Subject": "The variances of Intercept, Days, I(Days^2) by Subject are zero.",
        "(0 + Days + I(Days^2) | Subject)": "The variances of Days, I(Days^2) by Subject are zero.",
        "(0 + I(Days^2) | Subject)": "The variance of I(Days^2) by Subject is zero.",
    }
    for group, sentence in sentences.items():
        assert lmm.exact_f_test(fit, group).null == sentence


def test_exact_f_without_residual_degrees_of_freedom_says_why():
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"g": np.repeat(np.arange(4), 2), "h": np.tile(np.arange(2), 4), "x": rng.normal(size=8)})
    data["y"] = rng.normal(size=8)
    result = lmm.exact_f_test(fit_quietly("y ~ x + (1 | g) + (1 | h) + (0 + x | g)", data), "(1 | g)")
    assert np.isnan(result.p_value)
    assert "span all 8 rows" in str(result)


@pytest.mark.parametrize("seed", range(3))
def test_exact_f_of_unbalanced_crossed_weighted_data(seed):
    rng = np.random.default_rng(seed)
    n = 120
    data = pd.DataFrame({"g": rng.integers(0, 15, n), "h": rng.integers(0, 9, n), "x": rng.normal(100.0, 1.0, n)})
    data["w"], data["off"] = rng.uniform(0.5, 2.0, n), rng.normal(size=n)
    data["y"] = rng.normal(size=n) + data["off"]
    fit = fit_quietly("y ~ x + (1 | g) + (x | h)", data, weights="w", offset="off")
    root = np.sqrt(data["w"].to_numpy())[:, None]
    x = data[["x"]].to_numpy()
    G, H = indicator(data["g"]), indicator(data["h"])
    X, G, H, Hx = (root * columns for columns in (np.hstack([np.ones((n, 1)), x]), G, H, H * x))
    y = root[:, 0] * (data["y"] - data["off"]).to_numpy()
    for group, others, tested in [("g", [H, Hx], G), ("h", [G], np.hstack([H, Hx])), ("(0 + x | h)", [G, H], Hx)]:
        F, df = dense_f(X, others, tested, y)
        result = lmm.exact_f_test(fit, group)
        assert result.df == df
        assert result.statistic == pytest.approx(F, rel=1e-7)


def test_exact_chi_square_where_sigma_is_known():
    data = frame("dyestuff")
    fit = lmm.fit("Yield ~ 1 + (1 | Batch)", data, sigma=50.0)
    result = lmm.exact_f_test(fit)
    means = data.groupby("Batch", observed=True)["Yield"].mean()
    expected = 5 * ((means - means.mean()) ** 2).sum() / 50.0**2
    assert result.statistic == pytest.approx(expected, rel=1e-10)
    assert result.p_value == pytest.approx(stats.chi2.sf(expected, 5), rel=1e-10)


def test_exact_f_of_many_rows():
    rng = np.random.default_rng(5)
    n = 100_000
    data = pd.DataFrame({"g": rng.integers(0, 5_000, n), "h": rng.integers(0, 300, n), "x": rng.normal(size=n)})
    data["y"] = data["x"] + rng.normal(size=n)
    fit = fit_quietly("y ~ x + (1 | g) + (1 | h)", data)
    result = lmm.exact_f_test(fit, "h")
    assert result.df == (299.0, n - 5_000 - 299.0 - 1.0)
    assert result.p_value > 1e-3


def test_exact_f_rejects_at_its_level():
    data = frame("lamb")
    fit = lmm.fit("Weight ~ Line + Age + (1 | Sire)", data)
    null = lmm.fit("Weight ~ Line + Age", data, allow_fixed=True)
    p_values = [
        lmm.exact_f_test(fit_quietly("Weight ~ Line + Age + (1 | Sire)", data.assign(Weight=y))).p_value
        for y in null.simulate(100, rng=1)
    ]
    assert fit.nobs == null.nobs
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("key", REFERENCE["rlrt"])
def test_exact_rlrt_against_rlrsim(key):
    model, group = key.split("; ")
    expected = REFERENCE["rlrt"][key]
    result = lmm.exact_rlrt(fitted(model, reml=True), group, n_sim=100_000, rng=1)
    assert result.statistic == pytest.approx(expected["statistic"], abs=1e-8)
    error = np.sqrt(expected["mc_se"] ** 2 + max(result.p_error, 1 / 100_000) ** 2)
    assert abs(result.p_value - expected["p"]) <= 4 * error


@pytest.mark.parametrize("model", REFERENCE["lrt_exact"])
def test_exact_lrt_against_rlrsim(model):
    expected = REFERENCE["lrt_exact"][model]
    result = lmm.exact_lrt(fitted(model, reml=False), n_sim=100_000, rng=2, drop=expected["drop"])
    assert result.statistic == pytest.approx(expected["statistic"], abs=1e-6)
    assert abs(result.p_value - expected["p"]) <= 4 * np.hypot(expected["mc_se"], max(result.p_error, 1 / 100_000))
    for name, quantile in expected["quantiles"].items():
        share = float(name.rstrip("%")) / 100
        # A quantile is compared by the share of draws below it.
        assert np.mean(result.draws <= quantile + 1e-9) >= share - 4 * np.sqrt(share * (1 - share) / 1e5) - 1e-3


@pytest.mark.parametrize(("kind", "exact"), [("RLRT", lmm.exact_rlrt), ("LRT", lmm.exact_lrt)])
def test_null_distribution_of_the_lambs(kind, exact):
    expected = REFERENCE["null_lamb"][kind]
    draws = exact(fitted("lamb_treatment", reml=kind == "RLRT"), n_sim=100_000, rng=3).draws
    assert abs(np.mean(draws == 0.0) - expected["p_zero"]) <= 4 * np.sqrt(0.25 / 1e5)
    for name, quantile in expected["quantiles"].items():
        share = float(name.rstrip("%")) / 100
        assert np.quantile(draws, share) == pytest.approx(quantile, abs=0.03 + 0.02 * quantile)


def test_balanced_one_way_likelihood_ratio_is_the_f_test():
    """In a balanced one-way layout the restricted likelihood ratio is an increasing function of F."""
    fit = fitted("dyestuff", reml=True)
    exact = lmm.exact_f_test(fit).p_value
    for result in (lmm.exact_rlrt(fit, n_sim=100_000, rng=4), lmm.exact_lrt(fit, n_sim=100_000, rng=4)):
        assert abs(result.p_value - exact) <= 4 * result.p_error


def test_draws_are_those_of_refits():
    """The statistic of simulated responses, fitted, has the distribution of the draws."""
    data = frame("lamb_treatment")
    fit = fitted("lamb_treatment", reml=True)
    null = lmm.fit("Weight ~ Line + Age", data, allow_fixed=True)
    responses = null.simulate(150, rng=5)
    model = lmm.fit("Weight ~ Line + Age + (1 | Sire)", data)
    statistics = [null.refit(y).deviance - refit_quietly(model, y).deviance for y in responses]
    draws = lmm.exact_rlrt(fit, n_sim=50_000, rng=6).draws
    for share in (0.75, 0.9):
        quantile = np.quantile(draws, share)
        assert abs(np.mean(np.array(statistics) <= quantile) - share) <= 4 * np.sqrt(share * (1 - share) / 150)


def refit_quietly(model, y):
    return fit_quietly(model.formula, frame("lamb_treatment").assign(Weight=y))


@pytest.mark.parametrize("reml", [True, False])
def test_spectrum_against_dense_eigenvalues(reml):
    rng = np.random.default_rng(7)
    codes = np.repeat(np.arange(9), [2, 2, 2, 2, 2, 5, 5, 1, 3])
    Z = indicator(codes)
    Q = np.linalg.qr(np.column_stack([np.ones(len(codes)), rng.normal(size=len(codes))]))[0]
    found = spectrum((Z * Z).sum(axis=0), Z.T @ Q, len(codes), reml=reml)
    unit = (Z * Z).sum() / 9
    dense = np.linalg.eigvalsh(Z.T @ Z - Z.T @ Q @ Q.T @ Z) / unit
    assert np.repeat(found.mu, found.mu_times) == pytest.approx(dense[dense > 1e-10], rel=1e-10)
    determinant = dense[dense > 1e-10] if reml else np.sort(Z.sum(axis=0)) / unit
    assert np.repeat(found.xi, found.xi_times) == pytest.approx(determinant, rel=1e-10)


def test_balanced_spectrum_has_few_eigenvalues():
    J = 100_000
    found = spectrum(np.full(J, 4.0), np.full((J, 1), 4.0 / np.sqrt(4.0 * J)), 4 * J, reml=True)
    assert found.mu == pytest.approx([1.0])
    assert found.mu_times.tolist() == [J - 1]


@pytest.mark.parametrize("sigma_known", [False, True])
def test_supremum_against_a_fine_grid(sigma_known):
    """The draws against a brute-force search over lambda with the same random numbers."""
    lengths, W = np.array([1.0, 3.0, 3.0, 8.0]), np.full((4, 1), 0.4)
    found = spectrum(lengths, W, 12, reml=True, sigma_known=sigma_known)
    draws = simulate_statistics(found, 400, np.random.default_rng(8))
    rng = np.random.default_rng(8)
    squares = rng.chisquare(found.mu_times, (400, len(found.mu)))
    rest = rng.chisquare(found.n_residual - found.mu_times.sum(), 400)
    total = squares.sum(axis=1) + rest
    lambdas = np.exp(np.linspace(-14, 9, 20_000))
    D = squares @ (1 / (1 + lambdas[None, :] * found.mu[:, None])) + rest[:, None]
    gain = total[:, None] - D if sigma_known else found.n_factor * np.log(total[:, None] / D)
    brute = (gain - found.xi_times @ np.log1p(lambdas[None, :] * found.xi[:, None])).max(axis=1)
    assert np.maximum(brute, 0.0) == pytest.approx(draws, abs=2e-6)
    assert (draws >= brute - 1e-9).all()


def test_draws_are_reproducible():
    fit = fitted("lamb_treatment", reml=True)
    one, two = (lmm.exact_rlrt(fit, n_sim=1000, rng=9) for _ in range(2))
    assert np.array_equal(one.draws, two.draws)
    assert one.p_value == two.p_value


def test_fits_by_the_other_criterion_are_fitted_again():
    exact = lmm.exact_rlrt(fitted("pig", reml=False), n_sim=10, rng=1)
    assert exact.statistic == pytest.approx(REFERENCE["rlrt"]["pig; id.num"]["statistic"], abs=1e-8)
    assert "fitted by REML for the test" in str(exact)


@pytest.mark.parametrize("function", [lmm.exact_f_test, lmm.exact_rlrt, lmm.exact_lrt, lmm.optimal_test, lmm.ranova])
def test_a_model_without_random_effects_is_refused(function):
    with pytest.raises(lmm.ArgumentError, match=f"{function.__name__} takes a model with random effects"):
        function(lmm.fit("weight ~ num.weeks", frame("pig"), allow_fixed=True))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: lmm.exact_f_test(fitted("penicillin", reml=True)), lmm.ArgumentError, "several grouping factors"),
        (lambda: lmm.exact_f_test(fitted("pig", reml=True), "pig"), lmm.ArgumentError, r"among \['id.num'\]"),
        (lambda: lmm.exact_f_test(fitted("pig", reml=True), 3), lmm.ArgumentError, "got 3"),
        (lambda: lmm.exact_f_test(fitted("pastes", reml=True), "(1 | batch/cask)"), lmm.ArgumentError, "on its own"),
        (lambda: lmm.exact_rlrt(fitted("sleepstudy", reml=True)), lmm.ModelError, "correlated"),
        (lambda: lmm.exact_rlrt(fitted("sleepstudy_uncorrelated", reml=True)), lmm.ModelError, "several"),
        (lambda: lmm.exact_rlrt(fitted("pig", reml=True), n_sim=0), lmm.ArgumentError, "n_sim"),
        (lambda: lmm.exact_lrt(fitted("penicillin", reml=False), "plate"), lmm.ModelError, "more"),
        (lambda: lmm.exact_lrt(fitted("pig", reml=False), drop="week"), lmm.ArgumentError, "num.weeks"),
        (lambda: lmm.exact_lrt(fitted("pig", reml=False), drop=3), lmm.ArgumentError, "drop"),
    ],
)
def test_what_is_refused(call, error, text):
    with pytest.raises(error, match=text):
        call()
