"""Data cloning: the posterior of K copies against stacked copies, the sampler, estimates, diagnostics, predictions."""

import functools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import vonmises

import lmm
import lmm.batch.system
from conftest import fit_quietly, fitted, frame
from lmm.cloning.diagnostics import chi_square_fit, largest_eigenvalue, r_hat
from lmm.cloning.elimination import Eliminator
from lmm.cloning.posterior import ClonedPosterior, Priors
from lmm.cloning.sampler import cloned_model, draw, on_user_scale
from lmm.cloning.slices import circle_walk, walk_together
from lmm.design import build_design
from lmm.formula import parse_formula


def units(n_units, n_times, seed=1234):
    """Units measured several times each; with 0.5 and 0.2 for the standard deviations of units and measurements."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(n_units), n_times)
    y = 2.5 + 0.5 * rng.standard_normal(n_units)[g] + 0.2 * rng.standard_normal(len(g))
    return pd.DataFrame({"y": y, "g": g})


def posterior(formula, data, n_clones=1, priors=None, sigma=None):
    design = build_design(parse_formula(formula), data, estimable=False)
    return ClonedPosterior(cloned_model(design, sigma).deviance, n_clones, priors or Priors())


@functools.cache
def once():
    return lmm.data_cloning("y ~ 1 + (1 | g)", units(100, 1), n_iter=400, rng=1)


@functools.cache
def twice():
    return lmm.data_cloning("y ~ 1 + (1 | g)", units(100, 2), n_iter=400, rng=1)


@functools.cache
def slopes():
    return lmm.data_cloning(fitted("sleepstudy", reml=True), n_clones=40, chains=2, n_iter=200, n_warmup=50, rng=1)


@pytest.mark.parametrize(
    ("formula", "name", "groups", "sigma"),
    [
        ("Reaction ~ Days + (Days | Subject)", "sleepstudy", ["Subject"], None),
        ("Reaction ~ Days + (Days || Subject)", "sleepstudy", ["Subject"], 25.0),
        ("Yield ~ 1 + (1 | Batch)", "dyestuff", ["Batch"], None),
        ("diameter ~ 1 + (1 | plate) + (1 | sample)", "penicillin", ["plate", "sample"], None),
    ],
)
def test_posterior_of_clones_is_that_of_stacked_copies(formula, name, groups, sigma):
    K, data = 3, frame(name)
    copies = [data.assign(**{g: [f"{k}-{level}" for level in data[g]] for g in groups}) for k in range(K)]
    stacked = posterior(formula, pd.concat(copies, ignore_index=True), sigma=sigma)
    cloned = posterior(formula, data, K, sigma=sigma)
    rng = np.random.default_rng(2)
    points = rng.uniform(-0.9, 0.9, (6, cloned.deviance.n_theta))
    difference = stacked.log_density(points) - cloned.log_density(points)
    np.testing.assert_allclose(difference, difference[0], atol=1e-7 * max(1.0, abs(difference[0])))
    # beta and sigma given theta: the same distributions, so the same draws from the same seed.
    beta, residual_sd = cloned.draw_rest(points[:1], np.random.default_rng(5))
    other_beta, other_sd = stacked.draw_rest(points[:1], np.random.default_rng(5))
    assert other_sd == pytest.approx(residual_sd, rel=1e-9)
    # The orthonormal columns of the stacked X are shorter by sqrt(K).
    np.testing.assert_allclose(other_beta, np.sqrt(K) * beta, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("n_clones", [1, 10, 100])
def test_one_measurement_a_unit_leaves_theta_at_its_prior(n_clones):
    density = posterior("y ~ 1 + (1 | g)", units(50, 1), n_clones)
    values = density.log_density(np.linspace(-0.99, 0.99, 25)[:, None])
    np.testing.assert_allclose(values, values[0], atol=1e-6 * n_clones)


def test_slices_draw_from_a_density_on_the_circle():
    # two circles, von Mises each, the second around the first
    def log_density(phi, _):
        return 2.0 * np.cos(np.pi * phi[:, 0]) + 5.0 * np.cos(np.pi * (phi[:, 1] - phi[:, 0]))

    (draws,) = walk_together(log_density, [circle_walk(2, 20000, 200, np.random.default_rng(3))])
    probabilities = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    np.testing.assert_allclose(
        np.quantile(draws[:, 0], probabilities), vonmises(2.0).ppf(probabilities) / np.pi, atol=0.03
    )
    difference = (draws[:, 1] - draws[:, 0] + 1.0) % 2.0 - 1.0
    np.testing.assert_allclose(
        np.quantile(difference, probabilities), vonmises(5.0).ppf(probabilities) / np.pi, atol=0.02
    )


def test_slices_find_a_narrow_peak_across_the_seam():
    width = 1e-3
    (draws,) = walk_together(
        lambda phi, _: -0.5 * ((np.abs(phi[:, 0]) - 1.0) / width) ** 2,
        [circle_walk(1, 3000, 100, np.random.default_rng(4))],
    )
    across = np.where(draws < 0, draws + 1.0, draws - 1.0)
    assert across.std() == pytest.approx(width, rel=0.1)
    assert abs(across.mean()) < 0.1 * width


def test_chains_side_by_side_are_those_alone(monkeypatch):
    model = cloned_model(fitted("pastes", reml=True).design, None)
    clones, seeds = [1, 1, 20], [3, 4, 5]
    rounds = []
    evaluate = lmm.batch.system.BatchSystem.evaluate
    monkeypatch.setattr("lmm.batch.system.BatchSystem.evaluate", lambda *a: rounds.append(len(a[1])) or evaluate(*a))
    monkeypatch.setattr("lmm.deviance.ProfiledDeviance.evaluate", None)  # no gradient is computed
    together = draw(model, np.array(clones), Priors(), 15, 15, [np.random.default_rng(seed) for seed in seeds])
    assert np.mean(rounds) > 2
    for chain, (K, seed) in enumerate(zip(clones, seeds, strict=True)):
        alone = draw(model, K, Priors(), 15, 15, [np.random.default_rng(seed)])
        np.testing.assert_allclose(together.theta[chain], alone.theta[0], rtol=1e-6)
        np.testing.assert_allclose(together.beta[chain], alone.beta[0], rtol=1e-6)
        np.testing.assert_allclose(together.sigma[chain], alone.sigma[0], rtol=1e-6)


@pytest.mark.parametrize("name", ["pastes", "sleepstudy", "penicillin"])
def test_elimination_without_gradient(name, monkeypatch):
    """In a batch and one by one, against the evaluation that a fit makes."""
    deviance = cloned_model(fitted(name, reml=True).design, None).deviance
    theta = np.random.default_rng(6).normal(size=(4, deviance.n_theta))
    at_once = Eliminator(deviance)(theta)
    monkeypatch.setattr("lmm.batch.system.MOST_COLUMNS", 0)
    one_by_one = Eliminator(deviance)(theta)
    for found in (at_once, one_by_one):
        for i, point in enumerate(theta):
            at, n = deviance.evaluate(point), deviance.cross.n
            np.testing.assert_allclose(found.border[i], at.border, atol=1e-10 * at.border.max())
            log_omega = at.value - n * (1.0 + np.log(2.0 * np.pi * at.rho2 / n))
            assert found.log_omega[i] == pytest.approx(log_omega, rel=1e-9)


def test_draws_on_the_user_scale():
    design = fitted("sleepstudy", reml=True).design
    model = cloned_model(design, None)
    draws = draw(model, 5, Priors(), 4, 20, [np.random.default_rng(1)])
    values = on_user_scale(model, draws)
    assert model.names == (
        "Intercept",
        "Days",
        "Subject.Intercept",
        "Subject.Days",
        "Subject.Intercept.Days",
        "Residual",
    )
    basis = model.basis
    for i in range(4):
        T = basis.bases[0] @ np.array([[draws.theta[0, i, 0], 0.0], draws.theta[0, i, 1:]])
        sigma = basis.scale * draws.sigma[0, i]
        cov = sigma**2 * T @ T.T
        expected = [cov[0, 0], cov[1, 1], cov[0, 1], sigma**2]
        np.testing.assert_allclose(values[0, i, 2:], expected, rtol=1e-12)
        fixed = design.X @ values[0, i, :2]
        in_basis = design.X @ basis.beta_0 + basis.scale * design.X @ basis.R_inverse @ draws.beta[0, i]
        np.testing.assert_allclose(fixed, in_basis, rtol=1e-12)


def test_two_measurements_a_unit_agree_with_maximum_likelihood():
    fit = lmm.fit("y ~ 1 + (1 | g)", units(100, 2), reml=False)
    expected = np.array([*fit.params, *fit.variance_components["vcov"]])
    errors = np.array([*fit.bse, *np.sqrt(np.diagonal(fit.cov_variance()))])
    # 1200 draws, nearly independent, of standard deviation se / sqrt(25); the mean itself is off by se^2 / 25.
    np.testing.assert_allclose((twice().estimates - expected) / errors, 0.0, atol=0.05)
    np.testing.assert_allclose(twice().std_errors / errors, 1.0, atol=0.12)
    assert twice().is_estimable


def test_lambda_falls_like_one_over_the_clones():
    found = twice().diagnostics
    np.testing.assert_allclose(found["lambda_scaled"] * found["n_clones"], 1.0, atol=0.2)
    assert (found["r_hat"] < 1.05).all()
    assert found["r_squared"].iloc[-1] < 0.01


def test_one_measurement_a_unit_identifies_the_sum_only():
    result = once()
    found = result.diagnostics
    assert result.is_estimable is False
    np.testing.assert_allclose(found["lambda_scaled"], 1.0, atol=0.15)
    assert (found["r_hat"] < 1.05).all()
    data = units(100, 1)
    total = result.combine({"g": 1, "Residual": 1})
    likelihood = data["y"].var(ddof=0)
    assert total["mean"].iloc[-1] == pytest.approx(likelihood, rel=0.01)
    assert 25 * total["sd"].iloc[-1] ** 2 == pytest.approx(2 * likelihood**2 / 100, rel=0.2)
    correlation = np.corrcoef(result.draws[25][..., 1:].reshape(-1, 2).T)[0, 1]
    assert correlation < -0.99
    # theta keeps its prior: the share of the units in the sum has the arcsine distribution
    share = result.draws[25][..., 1] / result.draws[25][..., 1:].sum(axis=-1)
    np.testing.assert_allclose(np.quantile(share, [0.25, 0.5, 0.75]), [0.1464, 0.5, 0.8536], atol=0.06)
    for text in ("Combinations that are identified", "g + Residual", "comes from the prior"):
        assert text in str(result)
        assert text in result._repr_html_()


def test_correlated_slopes_agree_with_maximum_likelihood():
    fit = fitted("sleepstudy", reml=False)
    expected = np.array([*fit.params, *fit.variance_components["vcov"]])
    errors = np.array([*fit.bse, *np.sqrt(np.diagonal(fit.cov_variance()))])
    np.testing.assert_allclose((slopes().estimates - expected) / errors, 0.0, atol=0.1)
    np.testing.assert_allclose(slopes().std_errors / errors, 1.0, atol=0.25)
    assert slopes().is_estimable is None


def test_a_known_sigma_is_no_parameter():
    result = lmm.data_cloning(
        "yi ~ factor(MajorArea) + (1 | SmallArea)",
        lmm.datasets.load("milk"),
        weights="1/SD^2",
        sigma=1.0,
        n_clones=50,
        chains=2,
        n_iter=150,
        rng=2,
    )
    assert result.parameters[-1] == "SmallArea"
    # the ML estimate of package sae 1.3
    assert result.estimates["SmallArea"] == pytest.approx(0.0155175, abs=0.1 * result.std_errors["SmallArea"])


def test_priors_vanish_with_the_clones():
    data = units(12, 3)
    priors = Priors(relative_sd=0.05, shape=30.0, scale=3.0)
    options = {"n_clones": (1, 200), "chains": 2, "n_iter": 150, "rng": 1}
    vague = lmm.data_cloning("y ~ 1 + (1 | g)", data, **options)
    strong = lmm.data_cloning("y ~ 1 + (1 | g)", data, priors=priors, **options)
    se = vague.std_errors.to_numpy()
    apart = [np.abs(vague.draws[K].mean(axis=(0, 1)) - strong.draws[K].mean(axis=(0, 1))) / se for K in (1, 200)]
    assert apart[0].max() > 1.0
    assert apart[1].max() < 0.25


def test_units_of_the_prior_scale_follow_the_response():
    data = units(12, 3)
    one = lmm.data_cloning("y ~ 1 + (1 | g)", data, n_clones=2, n_iter=20, priors=Priors(shape=3.0, scale=0.1), rng=1)
    other = lmm.data_cloning(
        "y ~ 1 + (1 | g)",
        data.assign(y=10 * data["y"]),
        n_clones=2,
        n_iter=20,
        priors=Priors(shape=3.0, scale=10.0),
        rng=1,
    )
    np.testing.assert_allclose(other.draws[2][..., 1:], 100 * one.draws[2][..., 1:], rtol=1e-6)


def test_the_same_seed_gives_the_same_draws():
    def draws(rng):
        return lmm.data_cloning("y ~ 1 + (1 | g)", units(10, 2), n_clones=(1, 4), n_iter=20, rng=rng).draws[4]

    np.testing.assert_array_equal(draws(7), draws(np.random.default_rng(7)))
    assert not np.array_equal(draws(7), draws(8))


def test_a_fitted_model_stands_for_its_formula_and_data():
    data = frame("dyestuff")
    options = {"n_clones": 5, "n_iter": 20, "rng": 1}
    one = lmm.data_cloning(fitted("dyestuff", reml=True), **options)
    other = lmm.data_cloning("Yield ~ 1 + (1|Batch)", data, **options)
    np.testing.assert_array_equal(one.draws[5], other.draws[5])


def test_predictions_know_that_the_parameters_are_uncertain():
    data = units(8, 2, seed=3)
    plug_in = fit_quietly("y ~ 1 + (1 | g)", data, reml=False).random_effects_table()
    result = lmm.data_cloning("y ~ 1 + (1 | g)", data, n_clones=20, n_iter=200, rng=3)
    table = result.random_effects(rng=1, n=300)
    assert list(table.columns) == list(plug_in.columns)
    assert list(table["level"]) == list(plug_in["level"])
    # the shared part of their error, that of the mean, is counted
    assert (table["std_error"] > 1.2 * plug_in["std_error"]).all()
    assert np.corrcoef(table["estimate"], plug_in["estimate"])[0, 1] > 0.99
    assert ((table["lower"] < table["estimate"]) & (table["estimate"] < table["upper"])).all()
    np.testing.assert_array_equal(table["std_error"], result.random_effects(rng=1, n=300)["std_error"])
    narrow = result.random_effects(0.5, rng=1, n=300)
    assert (narrow["upper"] - narrow["lower"] < table["upper"] - table["lower"]).all()


def test_predictions_of_correlated_slopes():
    table = slopes().random_effects(rng=1, n=200)
    plug_in = fitted("sleepstudy", reml=False).random_effects_table()
    assert list(table["effect"]) == list(plug_in["effect"])
    np.testing.assert_allclose((table["estimate"] - plug_in["estimate"]) / plug_in["std_error"], 0.0, atol=0.5)
    assert (table["std_error"] > plug_in["std_error"]).mean() > 0.9


def test_diagnostics_of_known_draws():
    rng = np.random.default_rng(6)
    normal = rng.standard_normal((3, 2000, 2)) @ np.array([[1.0, 0.8], [0.0, 0.6]])
    ms_error, r_squared = chi_square_fit(normal)
    assert ms_error < 0.02
    assert r_squared < 0.005
    assert chi_square_fit(rng.standard_t(3, (3, 2000, 2)))[1] > 0.1
    assert r_hat(normal) == pytest.approx(1.0, abs=0.01)
    apart = normal + np.array([0.0, 1.0, 2.0])[:, None, None]
    assert r_hat(apart) > 1.5
    # one dimension: Gelman and Rubin (1992)
    one = apart[..., :1]
    within, between = one.var(axis=1, ddof=1).mean(), one.mean(axis=1).var(ddof=1)
    assert r_hat(one) == pytest.approx(np.sqrt(1999 / 2000 + 4 / 3 * between / within))
    assert largest_eigenvalue(np.array([[2.0, 1.0], [1.0, 2.0]])) == pytest.approx(3.0)


def test_tables_and_limits():
    result = twice()
    table = result.by_clones
    assert list(table.columns) == ["parameter", "n_clones", "mean", "sd", "expected_sd"]
    assert len(table) == 9
    limits = result.conf_int(0.9)
    np.testing.assert_allclose(limits["upper"] - result.estimates, 1.6449 * result.std_errors, rtol=1e-4)
    cov = result.cov()
    np.testing.assert_allclose(np.sqrt(np.diagonal(cov)), result.std_errors)
    assert list(cov.index) == list(result.parameters)
    assert "fell by a factor of" in str(result)
    assert "comes from the prior" not in str(result)


@pytest.mark.parametrize("kind", ["trace", "density", "clones"])
def test_pictures(kind):
    plt = pytest.importorskip("matplotlib.pyplot")
    axes = twice().plot(kind)
    assert [panel.get_title(loc="left") for panel in axes] == list(twice().parameters)
    plt.close(axes[0].figure)
    figure, given = plt.subplots(1, 3)
    drawn = twice().plot(kind, ax=given)
    assert drawn[0] is given[0]
    with pytest.raises(lmm.ArgumentError, match=r"ax must hold 3 Axes of matplotlib.*got 2 Axes"):
        twice().plot(kind, ax=given[:2])
    plt.close(figure)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_clones": (10, 1)}, "n_clones must be whole numbers above 0 in ascending order"),
        ({"n_clones": ()}, "n_clones must be"),
        ({"n_clones": 2.5}, "n_clones must be"),
        ({"chains": 1}, "chains must be a whole number, 2 or more; got 1"),
        ({"n_iter": 3}, "n_iter must be a whole number of draws, 10 or more"),
        ({"n_warmup": -1}, "n_warmup must be a whole number of draws, 10 or more"),
        ({"priors": {"relative_sd": 1}}, "priors must be an lmm.Priors"),
        ({"sigma": 0}, "sigma must be a positive number"),
        ({"rng": "seed"}, "rng must be"),
        ({"data": None}, "needs the data"),
    ],
)
def test_bad_arguments(options, message):
    arguments = {"formula": "y ~ 1 + (1 | g)", "data": units(6, 2)} | options
    with pytest.raises(lmm.ArgumentError, match=message):
        lmm.data_cloning(**arguments)


def test_bad_arguments_of_the_result():
    with pytest.raises(lmm.ArgumentError, match="kind must be one of 'trace', 'density', 'clones'; got 'pairs'"):
        twice().plot("pairs")
    with pytest.raises(lmm.ArgumentError, match="no parameter 'h'; the parameters are 'Intercept', 'g', 'Residual'"):
        twice().combine({"h": 1})
    with pytest.raises(lmm.ArgumentError, match="needs a weight"):
        twice().combine({})
    with pytest.raises(lmm.ArgumentError, match="n must be a whole number"):
        twice().random_effects(n=1)
    with pytest.raises(lmm.ArgumentError, match="give data_cloning none of them"):
        lmm.data_cloning(fitted("dyestuff", reml=True), frame("dyestuff"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"relative_sd": 0.0}, "relative_sd must be a positive number"),
        ({"shape": -1.0}, "shape must be a number, 0 or above"),
        ({"scale": "1"}, "scale must be a number, 0 or above"),
    ],
)
def test_bad_priors(options, message):
    with pytest.raises(lmm.ArgumentError, match=message):
        lmm.Priors(**options)


# Sums of normal numbers for 100 units, drawn by R 4.2.2 with seed 1234, measured once and twice.
UNITS = json.loads((Path(__file__).parent / "cloning_data.json").read_text())


def test_one_measurement_of_the_lecture():
    # Printed: mean 2.489; maximum likelihood 2.489269 and a total variance of 0.298428; cloning gave a sum of 0.2990.
    data = pd.DataFrame({"y": UNITS["one"], "unit": np.arange(100)})
    with pytest.raises(lmm.ModelError, match=r"only the combination unit \+ Residual is identified"):
        lmm.fit("y ~ 1 + (1 | unit)", data)
    found = lmm.data_cloning("y ~ 1 + (1 | unit)", data, rng=1)
    draws = found.draws[25].reshape(-1, 3)
    assert draws[:, 0].mean() == pytest.approx(2.489269, abs=0.002)
    assert draws[:, 1:].sum(axis=1).mean() == pytest.approx(0.298428, abs=0.003)
    assert found.diagnostics["lambda_scaled"].min() > 0.8


def test_two_measurements_of_the_lecture():
    data = pd.DataFrame({"y": UNITS["two"], "unit": UNITS["two_unit"]})
    fit = lmm.fit("y ~ 1 + (1 | unit)", data, reml=False)
    found = lmm.data_cloning("y ~ 1 + (1 | unit)", data, rng=1)
    ml = np.array([*fit.params, *fit.variance_components["vcov"]])
    errors = np.array([*fit.bse, *np.sqrt(np.diagonal(fit.cov_variance()))])
    assert (np.abs(found.draws[25].reshape(-1, 3).mean(axis=0) - ml) < 0.05 * errors).all()
    np.testing.assert_allclose(found.diagnostics["lambda_scaled"], [1.0, 0.1, 0.04], rtol=0.35)
