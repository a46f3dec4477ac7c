"""The optimiser: the same optimum from everywhere, and the boundary reached, left and certified."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import lmm
from conftest import MODELS, SINGULAR, SMALL, fit_quietly, fitted, frame
from lmm.start import moment_equations

# Rounding errors of a deviance of some thousands; the promise at the stop is 1e-14.
SAME = 1e-7
SCALES = (0.0, 0.01, 0.1, 1.0, 10.0, 100.0)


def start_at(fit, T_of_size, *, standardised=False):
    """Starting value whose relative factor of each grouping factor is made by T_of_size."""
    units = fit.basis.bases if standardised else [np.eye(factor.covariance.size) for factor in fit.factors]
    return np.concatenate(
        [
            factor.covariance.from_root(unit @ T_of_size(factor.covariance.size))
            for factor, unit in zip(fit.factors, units, strict=True)
        ]
    )


def refit_from(name, start, *, reml):
    return fit_quietly(MODELS[name][0], frame(name), reml=reml, start=start)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", SMALL)
def test_same_optimum_from_multiples_of_the_identity(name, reml):
    best = fitted(name, reml=reml)
    for scale in SCALES:
        # In units in which every random effect moves the rows as much as the residual does: Sitka's raw days squared
        # reach half a million, and a standard deviation of 100 per squared day is no place that data can tell apart.
        start = start_at(best, lambda k, scale=scale: scale * np.eye(k), standardised=True)
        fit = refit_from(name, start, reml=reml)
        assert fit.converged, scale
        assert abs(fit.deviance - best.deviance) <= SAME, scale
        assert fit.is_singular is best.is_singular, scale


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", [name for name in SMALL if name != "sitka_raw"])
def test_same_optimum_from_random_factors(name, reml):
    best = fitted(name, reml=reml)
    rng = np.random.default_rng(11)
    for scale in SCALES[1:]:
        start = start_at(best, lambda k, scale=scale: scale * np.tril(rng.normal(size=(k, k))))
        fit = refit_from(name, start, reml=reml)
        assert fit.converged, start
        assert abs(fit.deviance - best.deviance) <= SAME, start


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", SMALL)
def test_trace_never_rises(name, reml):
    fit = fitted(name, reml=reml)
    values = np.array([step.value for step in fit.optimum.trace])
    assert np.all(np.diff(values) <= 1e-12 * np.maximum(np.abs(values[1:]), fit.nobs))
    # Reported on the user's scale.
    assert values[-1] == fit.optimum.value
    np.testing.assert_allclose(fit.optimum.value, fit.deviance, rtol=1e-14)
    assert fit.optimum.n_evaluations >= len(values)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", SMALL)
def test_certificate(name, reml):
    optimum = fitted(name, reml=reml).optimum
    assert optimum.converged
    np.testing.assert_array_equal(optimum.evaluation.theta, optimum.theta)
    # Decreases still to be had are below what the deviance can show.
    assert 0.0 <= optimum.decrement <= 1e-9
    assert 0.0 <= optimum.escape <= 1e-9
    assert optimum.boundary_curvature >= 0.0
    assert optimum.on_boundary is ((name, reml) in SINGULAR)
    np.testing.assert_array_equal(optimum.gradient, optimum.evaluation.gradient)
    first, second, _, _, *steps = str(optimum).splitlines()
    assert first == f"Optimum certified after {optimum.effort}: deviance {optimum.value:.6f}"
    assert ("on the boundary" in second) is optimum.on_boundary
    assert len(steps) == len(optimum.trace)
    assert optimum._repr_html_().count("<tr>") == 1 + len(optimum.trace)


@pytest.mark.parametrize(("name", "reml"), [("dyestuff2", True), ("dyestuff2", False), ("lamb", False)])
def test_zero_variance_is_exactly_zero(name, reml):
    best = fitted(name, reml=reml)
    for scale in SCALES:
        fit = refit_from(name, np.array([scale]), reml=reml)
        assert fit.theta.tolist() == [0.0]
        assert fit.optimum.boundary_curvature > 0.0
        # Outside, the deviance is larger on a grid: the boundary is the minimum.
        for theta in (1e-4, 1e-3, 1e-2, 0.1, 1.0):
            assert fit.deviance_function.evaluate(np.array([theta])).value > fit.optimum.evaluation.value
    # Without the random effect the fit is least squares.
    X, y = best.design.X, best.design.y
    beta, rss, *_ = np.linalg.lstsq(X, y)
    np.testing.assert_allclose(best.params, beta, rtol=1e-12)
    np.testing.assert_allclose(best.sigma**2, rss.item() / (len(y) - reml * X.shape[1]), rtol=1e-12)


@pytest.mark.parametrize("name", ["sleepstudy", "penicillin", "pastes", "machines", "sleepstudy_quadratic", "pig"])
def test_zero_start_leaves_the_boundary(name):
    # The gradient in theta vanishes at zero by symmetry; only df/dSigma shows that it is no minimum.
    best = fitted(name, reml=False)
    assert not best.is_singular
    zero = np.zeros(len(best.theta))
    assert np.abs(best.deviance_function.evaluate(zero).gradient).max() == 0.0
    fit = refit_from(name, zero, reml=False)
    assert fit.optimum.boundary_curvature == np.inf
    assert abs(fit.deviance - best.deviance) <= SAME


def rank_one_slopes():
    """Intercepts and slopes that are exact multiples of each other, around an exactly balanced residual."""
    rng = np.random.default_rng(2)
    n_groups, per_group = 12, 8
    g = np.repeat(np.arange(n_groups), per_group)
    x = np.tile(np.linspace(-1, 1, per_group), n_groups)
    u = rng.normal(size=n_groups)
    design = np.column_stack([np.ones(per_group), np.linspace(-1, 1, per_group)])
    e = rng.normal(size=(n_groups, per_group))
    # Residuals orthogonal to intercept and slope within each group leave no variance beside u.
    e -= e @ design @ np.linalg.solve(design.T @ design, design.T)
    return pd.DataFrame({"y": 3.0 + 2.0 * u[g] * (1.0 + 0.5 * x) + e.ravel(), "x": x, "g": g})


@pytest.mark.parametrize("reml", [True, False])
def test_correlation_of_one_is_exactly_one(reml):
    data = rank_one_slopes()
    deviances = []
    for start in (None, [0, 0, 0], [1, 0, 0], [1, 0, 1], [0.1, -0.5, 3], [0, 0, 1], [50, -20, 10]):
        with pytest.warns(lmm.SingularFitWarning, match="correlation of -1 or 1"):
            fit = lmm.fit("y ~ x + (x|g)", data, reml=reml, start=start)
        assert fit.converged
        assert fit.is_singular
        assert 0.0 <= fit.optimum.boundary_curvature < np.inf
        assert fit.theta[2] == 0.0
        assert fit.variance_components["sdcor"][2] == pytest.approx(1.0, abs=1e-12)
        deviances.append(fit.deviance)
    assert np.ptp(deviances) <= SAME
    # The same model written with its one dimension: y ~ x + (0 + z|g) with z along the estimated direction.
    T = fit.theta
    one = lmm.fit("y ~ x + (0 + z|g)", data.assign(z=T[0] + T[1] * data["x"]), reml=reml)
    np.testing.assert_allclose(one.deviance, fit.deviance, atol=SAME)
    np.testing.assert_allclose(one.theta, [1.0], rtol=1e-6)


def test_insteval_in_few_evaluations():
    fit = fitted("insteval", reml=False)
    assert f"{fit.deviance:.5f}" == "237721.76877"
    assert fit.optimum.n_evaluations <= 25
    assert fit.converged


def test_stopped_early_says_what_to_do():
    data = frame("sleepstudy")
    with pytest.warns(lmm.ConvergenceWarning) as caught:
        fit = lmm.fit(MODELS["sleepstudy"][0], data, reml=False, control=lmm.Control(max_evaluations=2))
    assert len(caught) == 1
    message = str(caught[0].message)
    for part in ("stopped after 2 evaluations", "start=fit.theta", "max_evaluations=1000", "simplify"):
        assert part in message
    assert caught[0].filename == __file__
    assert fit.converged is False
    assert fit.optimum.n_evaluations == 2
    assert "Not converged" in str(fit.summary())
    # Following the advice ends at the optimum, in silence.
    again = lmm.fit(MODELS["sleepstudy"][0], data, reml=False, start=fit.theta)
    assert again.converged
    assert abs(again.deviance - fitted("sleepstudy", reml=False).deviance) <= SAME


def test_singular_warning_points_to_the_caller():
    with pytest.warns(lmm.SingularFitWarning, match="'Batch'") as caught:
        fit = lmm.fit(MODELS["dyestuff2"][0], frame("dyestuff2"))
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.warns(lmm.SingularFitWarning, match="'Batch'") as caught:
        fit.refit(fit.design.y + 1.0)
    assert [warning.filename for warning in caught] == [__file__]


def random_design(seed):
    """A small design, unbalanced, with variances that may be zero and correlations that may be one."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(25, 80))
    g, h = rng.integers(0, rng.integers(3, 10), n), rng.integers(0, rng.integers(3, 7), n)
    x = rng.normal(size=n)
    bg = rng.normal(size=(10, 2)) @ (np.tril(rng.normal(size=(2, 2))) * rng.choice([0.0, 0.3, 1.0, 3.0], 2))
    bh = rng.normal(size=7) * rng.choice([0.0, 0.5, 2.0])
    y = 1.0 + x + bg[g, 0] + bg[g, 1] * x + bh[h] + rng.normal(size=n)
    formula = ["y ~ x + (x|g)", "y ~ x + (x||g) + (1|h)", "y ~ x + (x|g) + (1|h)", "y ~ (x|g) + (0 + x|h)"][seed % 4]
    return formula, pd.DataFrame({"y": y, "x": x, "g": g, "h": h})


@pytest.mark.parametrize("seed", range(60))
def test_random_designs_from_random_starts(seed):
    formula, data = random_design(seed)
    reml = bool(seed % 3)
    fit = fit_quietly(formula, data, reml=reml)
    assert fit.converged
    rng = np.random.default_rng(seed)
    for scale in (0.0, 0.05, 0.5, 2.0, 20.0):
        start = start_at(fit, lambda k, scale=scale: scale * np.tril(rng.normal(size=(k, k))))
        again = fit_quietly(formula, data, reml=reml, start=start)
        assert again.converged
        assert fit.deviance <= again.deviance + 1e-6


def test_good_fits_are_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lmm.fit(MODELS["penicillin"][0], frame("penicillin"))


@pytest.mark.parametrize("start", [1e2, 1e8, 1e12])
@pytest.mark.parametrize("name", ["sitka_raw", "pig", "pastes", "penicillin", "sleepstudy"])
def test_wild_starts_reach_the_optimum(name, start):
    best = fitted(name, reml=True)
    fit = fit_quietly(MODELS[name][0], frame(name), start=np.full(len(best.theta), start))
    assert fit.converged
    assert abs(fit.deviance - best.deviance) <= SAME


def test_slow_average_information_is_corrected():
    # Without a fixed intercept the random ones have a mean near 250, and the average information is far from the
    # Hessian; Newton steps with it alone take hundreds of evaluations. Optimum: BFGS from many starts.
    fit = fit_quietly("Reaction ~ 0 + Days + (Days | Subject)", frame("sleepstudy"), reml=False)
    assert fit.converged
    assert fit.deviance == pytest.approx(1831.0009675, abs=1e-6)
    assert fit.optimum.n_evaluations < 60


@pytest.mark.parametrize(("seed", "optimum"), [(71, 505.997134), (103, 512.148710), (126, 583.285500)])
def test_steps_grow_along_a_line_without_curvature(seed, optimum):
    """Slopes with a mean that the model lacks: the deviance falls along a line, in 300 Newton steps not to its end."""
    rng = np.random.default_rng(seed)
    g = rng.integers(7, size=70)
    x = 50.0 + 100.0 * rng.standard_normal(70)
    y = 5.0 * x + 2.0 * rng.standard_t(2, size=70)
    fit = fit_quietly("y ~ 1 + (x | g)", pd.DataFrame({"y": y, "x": x, "g": g.astype(str)}), reml=False)
    assert fit.converged
    assert fit.deviance == pytest.approx(optimum, abs=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_an_effect_of_little_variance_before_one_of_much_costs_no_steps(seed):
    """Their correlation turned the row of the large effect about the small pivot, which takes many small steps."""
    rng = np.random.default_rng(seed)
    g, x, slopes = np.arange(600) % 12, rng.standard_normal(600), rng.standard_normal(12)
    y = 1.0 + (x + 0.02) * slopes[g] + rng.standard_normal(600)
    data = pd.DataFrame({"y": y, "x": x, "g": g.astype(str)})
    small_first = fit_quietly("y ~ x + (x | g)", data)
    large_first = fit_quietly("y ~ x + (0 + x + one | g)", data.assign(one=1.0))
    assert max(small_first.optimum.n_evaluations, large_first.optimum.n_evaluations) <= 12
    assert abs(small_first.deviance - large_first.deviance) < 1e-8
    assert_allclose(
        small_first.random_cov["g"].to_numpy(), large_first.random_cov["g"].to_numpy()[::-1, ::-1], atol=1e-6
    )


def test_an_optimum_found_in_other_parameters_is_restated():
    """The record holds theta, factors and gradient in the order of the formula."""
    rng = np.random.default_rng(3)
    g, x = np.arange(600) % 12, rng.standard_normal((600, 2))
    y = 0.02 * rng.standard_normal(12)[g] + (x * rng.standard_normal((12, 2))[g]).sum(axis=1) + rng.standard_normal(600)
    fit = fit_quietly("y ~ u + v + (u + v | g)", pd.DataFrame({"y": y, "u": x[:, 0], "v": x[:, 1], "g": g.astype(str)}))
    again = fit.deviance_function.evaluate(fit.optimum.theta)
    assert_allclose(fit.optimum.gradient, again.gradient, atol=1e-8)
    assert_allclose(fit.optimum.evaluation.factors[0], again.factors[0], atol=1e-12)
    assert np.triu(again.factors[0], 1).any() == 0


@pytest.mark.parametrize(
    "name", ["sleepstudy", "orthodont_slopes", "pastes", "penicillin", "dyestuff", "machines_nested"]
)
def test_moment_estimates_of_balanced_designs_are_those_of_reml(name):
    assert fitted(name, reml=True).optimum.n_evaluations == 1


@pytest.mark.parametrize("name", ["sleepstudy", "orthodont_interaction", "penicillin", "sitka", "machines"])
def test_moment_equations_are_those_of_dense_matrices(name):
    """E y'V_i y = sum_j tau_j tr(V_i M V_j M) + sigma^2 tr(V_i M), row by row of the standardised data."""
    fit = fitted(name, reml=True)
    deviance, design = fit.deviance_function, fit.design
    M = np.eye(len(design.y)) - design.X @ np.linalg.pinv(design.X)
    directions = []
    for t in deviance.cross.order:
        factor, A = fit.factors[t], fit.basis.bases[t]
        Z = [
            (factor.codes[:, None] == np.arange(factor.n_levels)) * column[:, None] for column in (factor.columns @ A).T
        ]
        for a in range(len(Z)):
            directions.extend(Z[a] @ Z[b].T + (Z[b] @ Z[a].T if a < b else 0.0) for b in range(a, len(Z)))
    directions.append(np.eye(len(M)))
    projected = [V @ M for V in directions]
    pairs = [np.triu_indices(k) for k, _ in deviance.cross.sizes]
    traces, forms = moment_equations(deviance.cross, pairs)
    y = M @ design.y / fit.basis.scale
    assert_allclose(traces, [[np.sum(V * W.T) for W in projected] for V in projected], rtol=1e-9, atol=1e-7)
    assert_allclose(forms, [y @ V @ y for V in directions], rtol=1e-9, atol=1e-9)


def test_no_fixed_effects_prints_nothing(capfd):
    fit_quietly("Reaction ~ 0 + (Days | Subject)", frame("sleepstudy")).random_effects  # noqa: B018
    out, err = capfd.readouterr()
    assert out + err == ""


def test_a_variance_of_zero_is_exactly_zero():
    # Rounding errors of a Newton step must not move a column of T away from zero: pure noise, crossed factors.
    seen = 0
    for seed in range(25):
        rng = np.random.default_rng(seed)
        data = pd.DataFrame({name: rng.integers(0, k, 60) for name, k in (("g", 8), ("h", 6), ("k", 5))})
        data["y"] = rng.normal(size=60) + rng.normal(size=8)[data["g"]]
        theta = fit_quietly("y ~ 1 + (1 | g) + (1 | h) + (1 | k)", data).theta
        assert not ((theta > 0.0) & (theta < 1e-8)).any()
        seen += int((theta == 0.0).sum())
    assert seen > 10
