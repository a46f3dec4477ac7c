"""Many responses at once: the same deviance, derivatives and optima as one response at a time."""

import numpy as np
import pytest

import lmm
from conftest import fit_quietly, fitted
from lmm.batch.derivatives import derivatives
from lmm.batch.refits import FITTED_EXACTLY, NOT_CERTIFIED, Refitter
from lmm.batch.responses import projector
from lmm.batch.search import find_optima
from lmm.batch.system import batch_system
from lmm.optimize import find_optimum

# Deviances of the batch and of single fits may differ by this much.
AGREEMENT = 1e-8


def weighted_sleepstudy(**options):
    data = lmm.datasets.load("sleepstudy")
    weights = 1.0 + np.arange(len(data)) % 3
    return fit_quietly("Reaction ~ Days + (Days | Subject)", data, weights=weights, **options)


# Balanced and unbalanced, one and several effects and factors, inside and on the boundary, without fixed effects.
CASES = {
    "sleepstudy": lambda: fitted("sleepstudy", reml=True),
    "sleepstudy, ML": lambda: fitted("sleepstudy", reml=False),
    "sleepstudy, uncorrelated": lambda: fitted("sleepstudy_double_bar", reml=True),
    "sleepstudy, quadratic": lambda: fitted("sleepstudy_quadratic", reml=False),
    "lamb": lambda: fitted("lamb", reml=True),
    "lamb, ML, singular": lambda: fitted("lamb", reml=False),
    "dyestuff2, singular": lambda: fitted("dyestuff2", reml=True),
    "penicillin": lambda: fitted("penicillin", reml=True),
    "pastes, ML": lambda: fitted("pastes", reml=False),
    "machines": lambda: fitted("machines", reml=True),
    "machines, nested": lambda: fitted("machines_nested", reml=True),
    "oats, singular": lambda: fitted("oats", reml=True),
    "oats, split plot": lambda: fitted("oats_split", reml=True),
    "cornsoybean": lambda: fitted("cornsoybean", reml=True),
    "weights": weighted_sleepstudy,
    "weights, sigma known": lambda: weighted_sleepstudy(sigma=30.0, reml=False),
    "sigma known, crossed": lambda: fit_quietly(
        "diameter ~ 1 + (1 | plate) + (1 | sample)", lmm.datasets.load("penicillin"), sigma=0.5
    ),
    "no fixed effects": lambda: fit_quietly("travel ~ 0 + (1 | Rail)", lmm.datasets.load("rail")),
}


def prepared(case, n):
    """A model, the batch system, and n simulated responses."""
    model = CASES[case]()
    Y = model.simulate(n, rng=20).T
    design = model.design
    maps = projector(model.factors, model.deviance_function.cross, model.basis, design.X, design.weights)
    responses = maps.project(Y)
    known = None if model.known_sigma is None else model.known_sigma / responses.scale
    system = batch_system(model.deviance_function)
    return model, Y, responses, system, system.statistics(responses, known)


def single(model, responses, i):
    """The deviance of one response."""
    sigma = None if model.known_sigma is None else model.known_sigma / responses.scale[i]
    return model.deviance_function.with_response(responses.first[:, :, i], responses.tail[:, i], sigma=sigma)


@pytest.mark.parametrize("case", CASES)
def test_value_gradient_and_M_are_those_of_single_responses(case):
    model, _, responses, system, y = prepared(case, 3)
    theta = np.abs(np.random.default_rng(1).normal(size=(3, model.deviance_function.n_theta)))
    at = system.evaluate(theta, y)
    found = derivatives(system, at, y)
    for i in range(3):
        one = single(model, responses, i).evaluate(theta[i])
        assert at.value[i] == pytest.approx(one.value, abs=1e-10)
        np.testing.assert_allclose(found.gradient[i], one.gradient, rtol=1e-9, atol=1e-9)
        for M, M_one in zip(found.M, one.M, strict=True):
            np.testing.assert_allclose(M[i], M_one, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_hessian_is_that_of_finite_differences(case):
    model, _, _, system, y = prepared(case, 3)
    theta = np.abs(np.random.default_rng(2).normal(size=(3, model.deviance_function.n_theta)))
    exact = derivatives(system, system.evaluate(theta, y), y).hessian
    h = 1e-5
    for j in range(theta.shape[1]):
        step = np.zeros_like(theta)
        step[:, j] = h
        above, below = (
            derivatives(system, system.evaluate(theta + sign * step, y), y).gradient for sign in (1.0, -1.0)
        )
        differences = (above - below) / (2.0 * h)
        np.testing.assert_allclose(exact[:, :, j], differences, rtol=1e-5, atol=1e-6 * np.abs(exact).max())


@pytest.mark.parametrize("case", CASES)
def test_optima_are_those_of_single_fits(case):
    model, _, responses, system, y = prepared(case, 40)
    found = find_optima(system, y, model.optimum.theta, model.control)
    assert found.certified.mean() > 0.95
    for i in np.flatnonzero(found.certified):
        one = find_optimum(single(model, responses, i), model.optimum.theta, model.control)
        assert found.value[i] == pytest.approx(one.value, abs=AGREEMENT)
        assert found.on_boundary[i] == one.on_boundary


@pytest.mark.parametrize("case", ["sleepstudy", "lamb, ML, singular", "penicillin", "weights, sigma known"])
def test_estimates_are_those_of_fresh_fits(case):
    model, Y, *_ = prepared(case, 8)
    found = Refitter(model).fit(Y)
    assert not found.failures
    for i in range(8):
        fresh = fit_quietly(
            model.formula,
            _with_response(model, Y[:, i]),
            weights=model.design.weights,
            sigma=model.known_sigma,
            reml=model.reml,
        )
        assert found.criterion[i] == pytest.approx(fresh.deviance, abs=AGREEMENT)
        np.testing.assert_allclose(found.beta[i], fresh.params, rtol=1e-6)
        np.testing.assert_allclose(found.std_error[i], fresh.bse, rtol=1e-5)
        assert found.sigma[i] == pytest.approx(fresh.sigma, rel=1e-5)
        assert bool(found.singular[i]) == fresh.is_singular
        for own, cov in zip(found.covariances, fresh.random_cov.values(), strict=True):
            np.testing.assert_allclose(own[i], cov, rtol=1e-4, atol=1e-6 * fresh.sigma**2)


def _with_response(model, y):
    """The data of a model with another response."""
    name = model.formula.split("~")[0].strip()
    dataset = {"Reaction": "sleepstudy", "Weight": "lamb", "diameter": "penicillin"}[name]
    data = lmm.datasets.load(dataset)
    if name == "Weight":
        data = data.assign(Age=data["Age"].cat.reorder_categories(["3", "1", "2"]))
    return data.assign(**{name: y})


def test_one_by_one_and_in_a_batch_are_the_same():
    model = fitted("pastes", reml=True)
    Y = model.simulate(12, rng=5).T
    batch, alone = Refitter(model), Refitter(model)
    alone.__dict__["batch_size"] = 1
    assert batch.system is not None
    assert alone.system is None
    one, other = batch.fit(Y), alone.fit(Y)
    np.testing.assert_allclose(one.criterion, other.criterion, atol=AGREEMENT)
    np.testing.assert_allclose(one.beta, other.beta, rtol=1e-6)
    np.testing.assert_allclose(one.std_error, other.std_error, rtol=1e-5)
    np.testing.assert_allclose(one.sigma, other.sigma, rtol=1e-6)
    np.testing.assert_array_equal(one.singular, other.singular)


def test_large_models_are_fitted_one_by_one():
    assert Refitter(fitted("insteval", reml=False)).batch_size == 1


def test_levels_with_the_same_design_are_merged():
    n_classes = {
        name: len(batch_system(fitted(name, reml=True).deviance_function).counts) for name in ("sleepstudy", "lamb")
    }
    assert n_classes["sleepstudy"] == 1  # ten days for every subject
    lambs = lmm.datasets.load("lamb").groupby("Sire", observed=True).size()
    assert n_classes["lamb"] == lambs.nunique()


def test_a_response_that_the_fixed_effects_fit_is_reported():
    model = fitted("sleepstudy", reml=True)
    Y = model.simulate(5, rng=3).T
    Y[:, 2] = model.X.to_numpy() @ [1.0, 2.0]
    found = Refitter(model).fit(Y)
    assert found.failures == {2: FITTED_EXACTLY}
    assert np.isnan(found.beta[2]).all()
    assert np.isfinite(np.delete(found.beta, 2, axis=0)).all()


def test_a_response_that_the_random_effects_fit_does_not_disturb_the_others():
    model = fitted("dyestuff", reml=True)
    Y = model.simulate(5, rng=3).T
    expected = Refitter(model).fit(Y)
    Y[:, 1] = model.Z @ np.arange(6.0)
    found = Refitter(model).fit(Y)
    assert list(found.failures) == [1]
    others = [0, 2, 3, 4]
    np.testing.assert_allclose(found.criterion[others], expected.criterion[others], atol=AGREEMENT)


def test_failures_of_single_fits_have_a_reason():
    fit = fitted("penicillin", reml=True)
    y = fit.design.y
    constant, exact = np.full_like(y, 3.0), fit.fittedvalues.to_numpy()
    models = list(Refitter(fit).models(np.column_stack([constant, exact, y])))
    assert models[0] == FITTED_EXACTLY
    assert models[1] == NOT_CERTIFIED
    assert models[2].deviance == pytest.approx(fit.deviance, abs=AGREEMENT)


def test_one_by_one_reports_failures_too(monkeypatch):
    fit = fitted("penicillin", reml=True)
    monkeypatch.setattr("lmm.batch.refits.cost_of_one", lambda _: None)
    found = Refitter(fit).fit(np.column_stack([fit.fittedvalues, fit.design.y]))
    assert list(found.failures) == [0]
    assert np.isnan(found.sigma[0])
    assert found.sigma[1] == pytest.approx(fit.sigma, rel=1e-8)
