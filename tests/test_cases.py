"""Samples of groups fitted together: the same optima, estimates and failures as one sample at a time."""

import numpy as np
import pandas as pd
import pytest

import lmm
from conftest import fit_quietly, frame
from lmm.batch.derivatives import derivatives
from lmm.inference.cases import Cases, refit_groups
from lmm.inference.drawn import NOT_ESTIMABLE, GroupSamples
from lmm.inference.resampling import top_groups

# The variances are found to the square root of the precision of the deviance.
CRITERION, VARIANCES = 1e-8, 1e-5


def three_nested():
    """Slopes at two of three nested levels, weights, and groups of unequal sizes."""
    rng = np.random.default_rng(4)
    n = 300
    a = np.sort(rng.integers(0, 6, n))
    b, x = a * 3 + rng.integers(0, 3, n), rng.normal(size=n)
    c = b * 4 + rng.integers(0, 4, n)
    y = 1.0 + 0.5 * x + rng.normal(size=6)[a] + (0.7 + 0.5 * x) * rng.normal(size=18)[b] + rng.normal(size=n)
    y += 0.6 * rng.normal(size=72)[c]
    return pd.DataFrame({"y": y, "x": x, "a": a, "b": b, "c": c, "w": rng.uniform(0.5, 2.0, n), "off": 3.0 * x})


# Formula, data, options: one factor and several, balanced and not, inside and on the boundary.
MODELS = {
    "sleepstudy": ("Reaction ~ Days + (Days | Subject)", lambda: frame("sleepstudy"), {}),
    "pastes": ("strength ~ 1 + (1 | batch/cask)", lambda: frame("pastes"), {}),
    "orthodont": ("distance ~ age * Sex + (age | Subject)", lambda: frame("orthodont"), {}),
    "oats": ("yield ~ nitro + (nitro || Block) + (1 | Block:Variety)", lambda: frame("oats"), {}),
    "slopes": ("y ~ x + (x | a) + (x | b)", three_nested, {"weights": "w", "offset": "off"}),
    "three levels": ("y ~ x + (x || a) + (1 | b) + (1 | c)", three_nested, {"weights": "w"}),
    "sigma known": ("y ~ x + (1 | a) + (x | b)", three_nested, {"weights": "w", "sigma": 1.0}),
    "no fixed effects": ("y ~ 0 + (x | a)", three_nested, {}),
}


def prepared(name, *, reml):
    formula, data, options = MODELS[name]
    model = fit_quietly(formula, data(), reml=reml, **options)
    codes = top_groups(model, "the cases bootstrap")
    return model, codes, GroupSamples(model, codes)


@pytest.fixture(params=[(name, reml) for name in MODELS for reml in (True, False)], ids=str)
def samples(request):
    name, reml = request.param
    return prepared(name, reml=reml)


def test_together_as_one_by_one(samples):
    _, _, samples = samples
    drawn = np.random.default_rng(1).integers(samples.n_groups, size=(40, samples.n_groups))
    assert samples.batch_size > 1
    found = samples.fit_all(drawn)
    for i, groups in enumerate(drawn):
        one = samples.fit(groups)
        if isinstance(one, str):
            assert found.failures[i] == one
            continue
        expected, singular = one
        assert found.criterion[i] == pytest.approx(expected.criterion, abs=CRITERION)
        assert found.singular[i] == singular
        assert found.sigma[i] == pytest.approx(expected.sigma, rel=VARIANCES)
        errors = np.sqrt(np.diagonal(expected.cov_beta))
        np.testing.assert_allclose(found.std_error[i], errors, rtol=VARIANCES)
        np.testing.assert_allclose(found.beta[i] / errors, expected.beta / errors, atol=VARIANCES)
        for own, covariance in zip(found.covariances, expected.covariances, strict=True):
            np.testing.assert_allclose(own[i], covariance, atol=VARIANCES * expected.sigma**2)


def test_criterion_is_that_of_a_fit_to_the_rows(samples):
    model, codes, samples = samples
    drawn = np.random.default_rng(2).integers(samples.n_groups, size=(3, samples.n_groups))
    found = samples.fit_all(drawn)
    for i, groups in enumerate(drawn):
        expected = refit_groups(model, codes, groups)
        assert found.criterion[i] == pytest.approx(expected.deviance, abs=1e-6)


def test_deviance_and_derivatives_of_samples(samples):
    model, _, samples = samples
    rng = np.random.default_rng(3)
    times = rng.integers(0, 3, (4, samples.n_groups)) + (np.arange(samples.n_groups) < 4.0)
    parts = samples._system
    y = parts.samples(times)
    theta = model.optimum.theta + rng.uniform(0.1, 0.5, (4, len(model.optimum.theta)))
    at = parts.system.evaluate(theta, y)
    found = derivatives(parts.system, at, y)
    for i, own in enumerate(times.astype(int)):
        deviance = lmm.deviance.ProfiledDeviance(
            samples.cross_products(np.repeat(np.arange(samples.n_groups), own)),
            model.deviance_function.covariances,
            reml=model.reml,
            sigma=model.deviance_function.sigma,
        )
        expected = deviance.evaluate(theta[i])
        assert at.value[i] == pytest.approx(expected.value, rel=1e-11)
        size = np.abs(expected.gradient).max()
        np.testing.assert_allclose(found.gradient[i], expected.gradient, atol=1e-8 * size)
        for M, M_expected in zip(found.M, expected.M, strict=True):
            np.testing.assert_allclose(M[i], M_expected, atol=1e-8 * np.abs(M_expected).max())
        step = 1e-5
        for j, e in enumerate(np.eye(len(theta[i]))):
            ends = [deviance.evaluate(theta[i] + sign * step * e).gradient for sign in (1.0, -1.0)]
            change = (ends[0] - ends[1]) / (2.0 * step)
            np.testing.assert_allclose(found.hessian[i, j], change, atol=1e-5 * np.abs(found.hessian[i]).max())


def test_samples_that_lose_a_coefficient_fail_in_words():
    data = lmm.datasets.load("sleepstudy")
    data["x"] = (data["Subject"] == data["Subject"].iloc[0]) * 1.0
    model = lmm.fit("Reaction ~ Days + x + (1 | Subject)", data)
    samples = GroupSamples(model, top_groups(model, "the cases bootstrap"))
    found = samples.fit_all(np.array([[1, 2, 3, 4], [0, 1, 2, 3], [5, 5, 6, 7]]))
    assert found.failures == {0: NOT_ESTIMABLE, 2: NOT_ESTIMABLE}
    assert np.isnan(found.criterion).tolist() == [True, False, True]
    assert np.isnan(found.singular).tolist() == [True, False, True]


def test_samples_of_no_more_rows_than_coefficients():
    model = fit_quietly("strength ~ 1 + (1 | batch)", frame("pastes").iloc[::6], sigma=0.8)
    samples = GroupSamples(model, top_groups(model, "the cases bootstrap"))
    for drawn in (np.array([[3]]), np.array([[3, 3], [2, 4]])):
        found = samples.fit_all(drawn)
        expected = [samples.fit(groups)[0].criterion for groups in drawn]
        np.testing.assert_allclose(found.criterion, expected, atol=CRITERION)


@pytest.mark.parametrize("name", ["sleepstudy", "pastes"])
def test_bootstrap_and_jackknife_search_for_their_optima_together(name, monkeypatch):
    model, codes, _ = prepared(name, reml=True)
    cases = Cases(model, codes, None, 0)
    searches = []
    find_optimum = lmm.inference.drawn.find_optimum
    monkeypatch.setattr("lmm.inference.drawn.find_optimum", lambda *a: searches.append(1) or find_optimum(*a))
    together, without = model.bootstrap(60, rng=3, kind="cases"), cases.jackknife()
    assert len(searches) <= 2  # what a batch cannot certify
    monkeypatch.setattr("lmm.inference.drawn.group_system", lambda *_: None)
    one_by_one, expected = model.bootstrap(60, rng=3, kind="cases"), Cases(model, codes, None, 0).jackknife()
    assert len(searches) >= 60 + cases.n_groups
    scale = np.abs(one_by_one.estimates.to_numpy()).max(axis=0)
    np.testing.assert_allclose(together.estimates / scale, one_by_one.estimates / scale, atol=VARIANCES)
    np.testing.assert_allclose(without.estimates / scale, expected.estimates / scale, atol=VARIANCES)
    assert together.n_singular == one_by_one.n_singular


def test_draws_do_not_depend_on_number_or_workers():
    model, _, _ = prepared("pastes", reml=True)
    whole = model.bootstrap(30, rng=5, kind="cases").estimates
    pd.testing.assert_frame_equal(model.bootstrap(12, rng=5, kind="cases").estimates, whole.iloc[:12], rtol=1e-6)
    two = model.bootstrap(30, rng=5, kind="cases", workers=2).estimates
    pd.testing.assert_frame_equal(two, whole, check_exact=True)


def test_models_beyond_the_batch_are_fitted_one_by_one():
    data = three_nested().assign(a=lambda d: np.arange(len(d)) // 3, b=lambda d: np.arange(len(d)) // 2)
    data["b"] = data["a"] * 2 + data["b"] % 2
    model = fit_quietly("y ~ x + (1 | a) + (1 | b)", data)
    samples = GroupSamples(model, top_groups(model, "the cases bootstrap"))
    assert samples.batch_size == 1
    drawn = np.random.default_rng(1).integers(samples.n_groups, size=(2, samples.n_groups))
    found = samples.fit_all(drawn)
    assert found.criterion[1] == samples.fit(drawn[1])[0].criterion
