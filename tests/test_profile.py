"""Profile likelihood: against lme4's roots, the dense likelihood, closed forms, and by invariance."""

import json
import pickle
import sys
import types
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq, minimize
from scipy.special import chdtri

import lmm
from conftest import SINGULAR, fit_quietly, fitted, frame
from lmm.inference.profile import profile_conf_int
from lmm.inference.profile.curve import Curve
from lmm.inference.profile.pinned import Pinned, parts_of
from lmm.inference.profile.targets import Point, Target

mpl.use("Agg")

_FILE = Path(__file__).with_name("reference_profile.json")
REFERENCE = json.loads(_FILE.read_text())["limits"]
# The references were found by a derivative-free minimiser, to about six digits.
SHARE_OF_WIDTH = 1e-6


@pytest.mark.parametrize("name", REFERENCE)
def test_limits_are_those_of_root_finding_with_lme4(name):
    profile = fitted(name, reml=False).profile()
    limits = profile.conf_int()
    expected = pd.DataFrame(REFERENCE[name], index=["lower", "upper"]).T
    assert list(limits.index) == list(expected.index)
    width = expected["upper"] - expected["lower"]
    assert (np.abs(limits - expected).max(axis=1) <= SHARE_OF_WIDTH * width).all()
    assert not profile.irregularities


def test_criterion_ml_profiles_a_reml_fit_as_lme4_does():
    by_ml = fitted("sleepstudy", reml=True).profile(criterion="ml").conf_int()
    pd.testing.assert_frame_equal(by_ml, fitted("sleepstudy", reml=False).profile().conf_int(), rtol=1e-7)


def test_sigma_of_the_lambs_where_a_search_that_stays_on_the_boundary_is_wrong():
    profile = fitted("lamb", reml=False).profile("Residual")
    assert abs(profile.conf_int().loc["Residual", "lower"] - 1.41789) < 5e-6
    # At lme4's own limit of 1.4480 the deviance is 3.134 above its minimum, not 3.841.
    assert abs(profile.zeta("Residual", [1.4480]).iloc[0] ** 2 - 3.134) < 1e-3


# The dense likelihood


def made_up(seed=6):
    rng = np.random.default_rng(seed)
    n = 72
    g, h = np.arange(n) % 9, rng.integers(4, size=n)
    x, w, o = rng.standard_normal(n), rng.uniform(0.5, 2.0, n), rng.standard_normal(n)
    y = 1.0 + 0.5 * x + o + rng.standard_normal(9)[g] + 0.7 * rng.standard_normal(9)[g] * x
    y += 0.8 * rng.standard_normal(4)[h] + 0.6 * rng.standard_normal(4)[h] * x + rng.standard_normal(n) / np.sqrt(w)
    return pd.DataFrame({"y": y, "x": x, "w": w, "o": o, "g": g.astype(str), "h": h.astype(str)})


def dense_criterion(fit, sds, correlations, sigma, held):
    """-2 log likelihood of a fit, restricted where it is, minimised over the fixed effects but those that are held."""
    design = fit.design
    n = len(design.y)
    V = sigma**2 * np.diag(np.ones(n) if design.weights is None else 1.0 / design.weights)
    for factor, sd, correlation in zip(fit.factors, sds, correlations, strict=True):
        R = np.eye(len(sd))
        if correlation is not None:
            R[0, 1] = R[1, 0] = correlation
        same = factor.codes[:, None] == factor.codes
        V += same * (factor.columns @ (R * np.outer(sd, sd)) @ factor.columns.T)
    L = np.linalg.cholesky(V)
    y = design.y if design.offset is None else design.y - design.offset
    free = [i for i, name in enumerate(design.names) if name not in held]
    y = y - sum(design.X[:, design.names.index(name)] * value for name, value in held.items())
    X, y = np.linalg.solve(L, design.X[:, free]), np.linalg.solve(L, y)
    residual = y - X @ np.linalg.lstsq(X, y, rcond=None)[0]
    reml = fit.reml and not held
    value = 2.0 * np.log(np.diagonal(L)).sum() + residual @ residual
    return value + (n - len(free) if reml else n) * np.log(2.0 * np.pi) + reml * np.linalg.slogdet(X.T @ X)[1]


def dense_profile(fit, name, value):
    """The same, minimised over everything but one parameter that is held."""
    parameters = [p.name for p in fit.profile_curves.variance]
    is_correlation = {p.name: not p.is_variance for p in fit.profile_curves.variance}
    start = fit.profile().estimates
    held = {} if name in parameters else {name: value}
    free = [p for p in parameters if p != name]

    def criterion(x):
        values = {p: np.tanh(v) if is_correlation[p] else np.exp(v) for p, v in zip(free, x, strict=True)}
        values[name] = value
        sds, correlations = [], []
        for factor in fit.factors:
            many = len(factor.effects) > 1
            names = [f"{factor.group}.{effect}" for effect in factor.effects] if many else [factor.group]
            sds.append([values[p] for p in names])
            correlations.append(values[".".join([factor.group, *factor.effects])] if many else None)
        return dense_criterion(fit, sds, correlations, values.get("Residual", fit.known_sigma), held)

    x = np.array([np.arctanh(start[p]) if is_correlation[p] else np.log(start[p]) for p in free])
    for method, options in (("BFGS", {}), ("Nelder-Mead", {"xatol": 1e-6, "fatol": 1e-10})):
        x = minimize(criterion, x, method=method, options=options).x
    return criterion(x)


DENSE = {
    "slopes": ("y ~ x + (x | g)", {}),
    "slopes, weights and offset": ("y ~ x + (x | g)", {"weights": "w", "offset": "o"}),
    "slopes, known sigma": ("y ~ x + (x | g)", {"weights": "w", "offset": "o", "sigma": 0.9}),
    "crossed, slopes in the tail": ("y ~ x + (1 | g) + (x | h)", {"weights": "w", "offset": "o"}),
}


@pytest.mark.parametrize("model", DENSE)
@pytest.mark.parametrize("reml", [True, False])
def test_excess_is_that_of_the_dense_likelihood(model, reml):
    formula, options = DENSE[model]
    fit = fit_quietly(formula, made_up(), reml=reml, **options)
    profile = fit.profile()
    limits = profile.conf_int()
    names = ["x", *(p.name for p in fit.profile_curves.variance)]
    for i, name in enumerate(names):
        # Lower and upper limits in turn, each with its cutoff; those within the range of the parameter.
        limit = limits.loc[name].iloc[i % 2]
        if limit in (0.0, -1.0, 1.0):
            limit = limits.loc[name].iloc[1 - i % 2]
        # The least criterion is that with the parameter held at its estimate.
        excess = dense_profile(fit, name, limit) - dense_profile(fit, name, profile.estimates[name])
        assert abs(excess - chdtri(1, 0.05)) < 1e-5, name


def test_limit_next_to_a_standard_deviation_of_zero():
    """The profile of the intercepts is all but flat there, and its optimum has a correlation of one."""
    fit = fitted("orthodont_interaction", reml=False)
    limit = fit.profile("Subject.Intercept").conf_int().loc["Subject.Intercept", "lower"]

    def criterion(x, sd, correlation=1.0):
        return dense_criterion(fit, [[sd, np.exp(x[0])]], [correlation], np.exp(x[1]), {})

    def excess(sd):
        start = np.log([fit.profile().estimates["Subject.age"], fit.sigma])
        options = {"xatol": 1e-9, "fatol": 1e-12}
        return minimize(criterion, start, args=(sd,), method="Nelder-Mead", options=options).fun - fit.deviance

    assert limit == pytest.approx(brentq(lambda sd: excess(sd) - chdtri(1, 0.05), 1e-4, 0.01), abs=1e-5)


def test_reml_profile_of_the_one_way_layout_is_its_closed_form():
    """Balanced one-way layout: sums of squares S_a, S_e with a - 1 and a (r - 1) degrees of freedom."""
    data = frame("dyestuff")
    y = data["Yield"].to_numpy(float).reshape(6, 5)
    within = ((y - y.mean(axis=1, keepdims=True)) ** 2).sum()
    between = 5.0 * ((y.mean(axis=1) - y.mean()) ** 2).sum()

    def criterion(sigma2, sd):
        level = sigma2 + 5.0 * sd**2
        return 24.0 * np.log(sigma2) + within / sigma2 + 5.0 * np.log(level) + between / level

    least = criterion(within / 24.0, np.sqrt((between / 5.0 - within / 24.0) / 5.0))
    profile = fitted("dyestuff", reml=True).profile("Batch")
    for sd in profile.conf_int().loc["Batch"]:
        best = min(criterion(sigma2, sd) for sigma2 in within / 24.0 * np.exp(np.linspace(-1.0, 1.0, 20001)))
        assert abs(best - least - chdtri(1, 0.05)) < 1e-6


@pytest.mark.parametrize(
    ("name", "reml"), [("sleepstudy", True), ("machines", True), ("pastes", False), ("sleepstudy_uncorrelated", True)]
)
def test_slopes_are_the_derivatives_of_the_excess(name, reml):
    fit = fitted(name, reml=reml)
    for curve in fit.profile().curves:
        target = curve.target
        t = target.estimate + 0.7 * target.first_step
        near = target.origin
        ahead, here, behind = (target.solve(t + step, near) for step in (1e-4, 0.0, -1e-4))
        assert abs((ahead.excess - behind.excess) / 2e-4 - here.slope) <= 1e-3 * max(1.0, abs(here.slope)), target.name


def test_slope_of_a_variance_at_zero():
    target = fitted("pastes", reml=True).profile("batch").curves[0].target
    at_zero, near_zero = target.solve(target.lower, target.origin), target.solve(target.lower + 1e-4, target.origin)
    assert abs((near_zero.excess - at_zero.excess) / 1e-4 - at_zero.slope) < 1e-3


def test_a_structure_that_cannot_be_pinned_is_refused():
    with pytest.raises(lmm.ModelError, match="structure Pinned have no profiles"):
        parts_of(Pinned(np.eye(2), np.ones((1, 1))))


# Invariance


def test_shift_and_scale_of_a_covariate_map_the_limits():
    data = frame("sleepstudy")
    limits = fitted("sleepstudy", reml=True).profile().conf_int()
    moved = lmm.fit("Reaction ~ Days + (Days | Subject)", data.assign(Days=data["Days"] * 1e-9 + 3e-7))
    kept = ["Days", "Subject.Days"]
    found = moved.profile([*kept, "Residual"]).conf_int()
    np.testing.assert_allclose(found.loc[kept] * 1e-9, limits.loc[kept], rtol=1e-6)
    np.testing.assert_allclose(found.loc["Residual"], limits.loc["Residual"], rtol=1e-6)
    scaled = lmm.fit("Reaction ~ Days + (Days | Subject)", data.assign(Days=data["Days"] * 1e6)).profile().conf_int()
    factor = [1.0, 1e-6, 1.0, 1e-6, 1.0, 1.0]
    np.testing.assert_allclose(scaled, limits.mul(factor, axis=0), rtol=1e-6)


def test_response_and_weights_in_other_units():
    data = made_up()
    limits = lmm.fit("y ~ x + (x | g)", data, weights="w").profile().conf_int()
    other = lmm.fit("y ~ x + (x | g)", data.assign(y=1e3 * data["y"], w=4.0 * data["w"]), weights="w")
    factor = [1e3, 1e3, 1e3, 1e3, 1.0, 2e3]
    np.testing.assert_allclose(other.profile().conf_int(), limits.mul(factor, axis=0), rtol=1e-6)


def test_order_of_the_effects_does_not_matter():
    data = frame("machines")
    limits = fitted("machines", reml=True).profile().conf_int()
    turned = data.assign(Machine=data["Machine"].cat.reorder_categories(["A", "C", "B"]))
    found = lmm.fit("score ~ Machine + (Machine | Worker)", turned).profile().conf_int()
    same = {"Worker.Machine[T.B].Machine[T.C]": "Worker.Machine[T.C].Machine[T.B]"}
    np.testing.assert_allclose(found.loc[[same.get(name, name) for name in limits.index]], limits, rtol=1e-6)


# Boundaries


def test_a_limit_of_zero_says_why():
    profile = fitted("pastes", reml=False).profile("batch")
    assert profile.conf_int().loc["batch", "lower"] == 0.0
    assert "batch, lower limit at 95 %: the profile does not reach the cutoff: zeta is -0.638 at 0." in profile.notes
    # Without the batches, the deviance is higher by the likelihood ratio statistic.
    without = lmm.fit("strength ~ 1 + (1 | batch:cask)", frame("pastes"), reml=False)
    statistic = without.deviance - fitted("pastes", reml=False).deviance
    assert abs(profile.zeta("batch", [0.0]).iloc[0] ** 2 - statistic) < 1e-7


def test_a_correlation_that_the_data_say_nothing_about_says_so():
    fit = fitted("orthodont_slopes", reml=False)
    profile = fit.profile("Subject.Intercept.age")
    assert list(profile.conf_int().loc["Subject.Intercept.age"]) == [-1.0, 1.0]
    assert any("the fit without Subject.Intercept (zeta 1.498) is within the cutoff" in note for note in profile.notes)
    without = lmm.fit("distance ~ age + (0 + age | Subject)", frame("orthodont_slopes"), reml=False)
    assert abs(1.498**2 - (without.deviance - fit.deviance)) < 2e-3
    # No correlation costs more than that.
    zeta = profile.zeta("Subject.Intercept.age", np.linspace(-1.0, 1.0, 9))
    assert (np.abs(zeta) <= 1.4985).all()


def test_a_correlation_at_one_has_limits_on_one_side():
    data = made_up(3)
    x = data["x"]
    rng = np.random.default_rng(1)
    b = rng.standard_normal(9)[data["g"].astype(int)]
    data = data.assign(y=3.0 * b + 2.0 * b * x + 0.5 * rng.standard_normal(len(x)))
    fit = fit_quietly("y ~ x + (x | g)", data)
    lower, upper = fit.profile("g.Intercept.x").conf_int().loc["g.Intercept.x"]
    assert fit.is_singular
    assert upper == 1.0
    assert 0.9 < lower < 1.0


def test_an_effect_without_variance_leaves_its_correlation_undefined():
    data = frame("dyestuff2").assign(x=np.tile([-2.0, -1.0, 0.0, 1.0, 2.0], 6))
    fit = fit_quietly("Yield ~ x + (x | Batch)", data, reml=False)
    profile = fit.profile()
    zero = [name for name in ("Batch.Intercept", "Batch.x") if profile.estimates[name] == 0.0]
    assert zero
    limits = profile.conf_int()
    assert not limits.isna().to_numpy().any()
    assert list(limits.loc["Batch.Intercept.x"]) == [-1.0, 1.0]
    assert any(f"the fit without {zero[0]}" in note for note in profile.notes)


def test_an_upper_limit_that_does_not_exist_is_infinite_and_says_why():
    """What distinguishes the two levels of g is a fixed effect too, so REML says nothing about their variance."""
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"y": rng.standard_normal(20), "g": np.repeat(["a", "b"], 10), "h": np.tile(["a", "b"], 10)})
    fit = fit_quietly("y ~ x + (1 | g) + (1 | h)", data.assign(x=data["g"] == "b"), reml=False)
    profile = fit.profile("g", criterion="reml")
    assert profile.conf_int().loc["g", "upper"] == np.inf
    assert any("g, upper limit at 95 %: the profile does not reach the cutoff" in note for note in profile.notes)


@pytest.mark.parametrize(("name", "reml"), sorted(SINGULAR))
def test_singular_fits_have_limits_without_gaps(name, reml):
    profile = fitted(name, reml=reml).profile([p.name for p in fitted(name, reml=reml).profile_curves.variance])
    limits = profile.conf_int()
    assert not limits.isna().to_numpy().any()
    assert (limits["lower"] <= limits["upper"]).all()
    assert not profile.irregularities


@pytest.mark.parametrize("seed", [6, 39, 45])
def test_a_correlation_for_which_a_standard_deviation_would_vanish_costs_as_much_as_leaving_it_out(seed):
    base = fitted("sleepstudy_quadratic", reml=False)
    fit = base.refit(base.simulate(1, rng=seed)[0])
    names = [parameter.name for parameter in fit.profile_curves.variance if not parameter.is_variance]
    profile = fit.profile(names)
    assert not profile.irregularities
    for curve in profile.curves:
        ceiling = min(deviation.without.excess for deviation in curve.target.deviations)
        assert all(point.excess <= ceiling and point.converged for point in curve.points)


# Intraclass correlations


@pytest.mark.parametrize("reml", [True, False])
def test_icc_of_the_one_way_layout_is_that_of_its_closed_form(reml):
    y = frame("dyestuff")["Yield"].to_numpy(float).reshape(6, 5)
    within = ((y - y.mean(axis=1, keepdims=True)) ** 2).sum()
    between = 5.0 * ((y.mean(axis=1) - y.mean()) ** 2).sum()
    df = 5 if reml else 6

    def criterion(share):
        """The criterion, minimised over the residual variance: sums of squares over 1 and 1 + 5 c."""
        level = 1.0 + 5.0 * share / (1.0 - share)
        return (24 + df) * np.log(within + between / level) + df * np.log(level)

    fit = fitted("dyestuff", reml=reml)
    profile = fit.profile("icc(Batch)")
    assert profile.estimates["icc(Batch)"] == pytest.approx(lmm.icc(fit).by_group["Batch"], rel=1e-9)
    for limit in profile.conf_int().loc["icc(Batch)"]:
        excess = criterion(limit) - criterion(profile.estimates["icc(Batch)"])
        assert excess == pytest.approx(chdtri(1, 0.05), abs=1e-6)


@pytest.mark.parametrize("options", [{}, {"weights": "w", "offset": "o"}, {"weights": "w", "sigma": 0.9}])
@pytest.mark.parametrize("reml", [True, False])
def test_icc_beside_a_factor_with_slopes_is_that_of_the_dense_likelihood(options, reml):
    fit = fit_quietly("y ~ x + (1 | g) + (x | h)", made_up(), reml=reml, **options)
    z = fit.factors[1].columns
    residual = 1.0 if fit.design.weights is None else np.mean(1.0 / fit.design.weights)
    profile = fit.profile("icc(g)")

    def criterion(x, share):
        sds, correlation = np.exp(x[:2]), np.tanh(x[2])
        sigma = np.exp(x[3]) if fit.known_sigma is None else fit.known_sigma
        R = np.array([[1.0, correlation], [correlation, 1.0]]) * np.outer(sds, sds)
        rest = np.einsum("na,ab,nb->n", z, R, z).mean() + residual * sigma**2
        return dense_criterion(fit, [[np.sqrt(share / (1.0 - share) * rest)], sds], [None, correlation], sigma, {})

    def least(share):
        start = fit.profile().estimates
        x = [np.log(start["h.Intercept"]), np.log(start["h.x"]), np.arctanh(start["h.Intercept.x"]), np.log(fit.sigma)]
        for method, settings in (("BFGS", {}), ("Nelder-Mead", {"xatol": 1e-6, "fatol": 1e-10, "maxiter": 4000})):
            x = minimize(criterion, x, args=(share,), method=method, options=settings).x
        return criterion(x, share)

    at_fit = least(profile.estimates["icc(g)"])
    for limit in profile.conf_int().loc["icc(g)"]:
        assert least(limit) - at_fit == pytest.approx(chdtri(1, 0.05), abs=1e-5)


def test_icc_of_zero_is_the_fit_without_the_effect():
    fit = fitted("lamb", reml=True)
    profile = fit.profile(["Sire", "icc(Sire)"])
    zero = [profile.zeta(name, [0.0]).iloc[0] for name in ("Sire", "icc(Sire)")]
    assert zero[0] == pytest.approx(zero[1], rel=1e-9)
    assert (profile.conf_int()["lower"] == 0.0).all()
    assert "icc(Sire), lower limit at 95 %: the profile does not reach the cutoff" in " ".join(profile.notes)
    # Every sire variance goes with one share.
    expected = profile.conf_int(scale="variance").loc["icc(Sire)"]
    assert (expected == profile.conf_int().loc["icc(Sire)"]).all()


def test_slopes_of_shares_are_the_derivatives_of_the_excess():
    fit = fit_quietly("y ~ x + (1 | g) + (x | h)", made_up(), reml=True, weights="w")
    target = fit.profile("icc(g)").curves[0].target
    for t in (target.estimate - 0.3, target.estimate + 0.4):
        low, here, high = (target.solve(t + step, target.origin, sharp=True) for step in (-1e-4, 0.0, 1e-4))
        assert here.slope == pytest.approx((high.excess - low.excess) / 2e-4, rel=1e-4)
        assert target.of(here) == pytest.approx(target.value(t), rel=1e-12)


def test_icc_is_drawn_beside_parameters():
    profile = fitted("penicillin", reml=False).profile(["icc(plate)", "icc(sample)", "Residual"])
    axes = profile.plot("pairs")
    assert [axes[i, i].texts[0].get_text() for i in range(3)] == ["Residual", "icc(plate)", "icc(sample)"]


def test_icc_of_a_factor_with_slopes_cannot_be_held():
    fit = fitted("sleepstudy", reml=True)
    with pytest.raises(lmm.ArgumentError, match=r"'Subject' has the random effects 'Intercept', 'Days'.*n_boot"):
        fit.profile("icc(Subject)")
    with pytest.raises(lmm.ArgumentError, match=r"no parameter 'icc\(Sire\)'"):
        fit.profile("icc(Sire)")


@pytest.mark.parametrize("value", [-0.1, 1.0, 1.5])
def test_icc_is_held_within_its_range_only(value):
    with pytest.raises(lmm.ArgumentError, match="icc"):
        fitted("dyestuff", reml=True).profile("icc(Batch)").zeta("icc(Batch)", [value])


# A criterion made up of one variable


class Made(Target):
    """A profile given by a function and its derivative."""

    name = "made"
    kind = "fixed"
    farthest = 1e3
    first_step = 1.0

    def __init__(self, function, derivative, estimate=0.0):
        self.function, self.derivative = function, derivative
        self.estimate = estimate

    estimate = 0.0
    origin = property(lambda self: self.solve(self.estimate, None))

    def value(self, t):
        return t

    def coordinate(self, value):
        return value

    def criterion(self, t):
        raise NotImplementedError

    def slope(self, t, deviance, at):
        raise NotImplementedError

    def of(self, point):
        return point.t

    def solve(self, t, near, start=None, *, thorough=False, sharp=False):  # noqa: ARG002
        return Point(t, self.function(t), self.derivative(t), [], None, np.zeros(0), 1.0, None)


@pytest.mark.parametrize("z", [0.5, 1.96, 4.0])
def test_roots_of_a_function_that_is_far_from_quadratic(z):
    curve = Curve(Made(lambda t: np.expm1(t) - t + t**4, lambda t: np.expm1(t) + 4.0 * t**3))
    for side in (-1, 1):
        limit = curve.limit(z, side)
        assert not limit.note
        assert abs(curve.target.function(limit.t) - z**2) < 1e-6
        assert np.sign(limit.t) == side


def test_a_second_minimum_and_a_lower_one_are_reported():
    double = Curve(Made(lambda t: t**2 * (t - 2.0) ** 2 * 2.0, lambda t: 8.0 * t * (t - 2.0) * (t - 1.0)))
    for z in (1.0, 1.96):
        double.limit(z, 1)
    for t in (0.9, 1.5, 1.9):
        double.at(t)
    assert any("second minimum" in sentence for sentence in double.irregularities())
    deeper = Curve(Made(lambda t: t**2 * (t - 1.0) * (t - 2.0), lambda t: t * (4.0 * t**2 - 9.0 * t + 4.0)))
    deeper.at(1.5)
    assert any("lower by 0.562 at 1.5 than at the fit" in sentence for sentence in deeper.irregularities())


def test_a_jump_is_reported_and_a_plateau_is_open():
    jump = Curve(Made(lambda t: t**2 + 9.0 * (t > 1.0), lambda t: 2.0 * t))
    limit = jump.limit(1.96, 1)
    assert abs(limit.t - 1.0) < 1e-6
    assert limit.note == "the profile jumps there"
    plateau = Curve(Made(lambda t: t**2 / (1.0 + t**2), lambda t: 2.0 * t / (1.0 + t**2) ** 2))
    assert plateau.limit(1.96, -1).t == -np.inf
    assert "does not reach the cutoff: zeta is -1.000" in plateau.limit(1.96, -1).note


def test_a_fit_that_is_not_the_optimum_is_reported():
    with pytest.warns(lmm.ConvergenceWarning):
        fit = lmm.fit(
            "Reaction ~ Days + (Days | Subject)",
            frame("sleepstudy"),
            start=[3.0, 0.0, 1.0],
            control=lmm.Control(max_evaluations=1),
        )
    with pytest.warns(lmm.LMMWarning) as caught:
        fit.profile("Subject.Days")
    assert any("than at the fit, which is not the global optimum" in str(warning.message) for warning in caught)


# The result


def test_result_at_other_levels_and_scales():
    profile = fitted("sleepstudy", reml=False).profile()
    wide, narrow = profile.conf_int(0.99), profile.conf_int(0.8)
    limits = profile.conf_int()
    assert (wide["lower"] < limits["lower"]).all()
    assert (limits["lower"] < narrow["lower"]).all()
    assert (narrow["upper"] < limits["upper"]).all()
    assert (limits["upper"] < wide["upper"]).all()
    zeta = profile.zeta("Subject.Days", wide.loc["Subject.Days"].to_numpy())
    np.testing.assert_allclose(zeta**2, chdtri(1, 0.01), rtol=1e-6)
    squares = profile.conf_int(scale="variance")
    sds = ["Subject.Intercept", "Subject.Days", "Residual"]
    np.testing.assert_allclose(squares.loc[sds], limits.loc[sds] ** 2)
    others = ["Intercept", "Days", "Subject.Intercept.Days"]
    np.testing.assert_allclose(squares.loc[others], limits.loc[others])


def test_table_has_the_other_parameters_at_the_constrained_optimum():
    fit = fitted("sleepstudy", reml=False)
    profile = fit.profile()
    table = profile.table
    assert list(table.columns) == ["parameter", "value", "zeta", *profile.parameters]
    for name in profile.parameters:
        rows = table[table["parameter"] == name]
        np.testing.assert_allclose(rows["value"], rows[name], rtol=1e-9)
        assert (np.diff(rows["value"]) > 0.0).all()
        assert (np.diff(rows["zeta"]) > 0.0).all()
    at_fit = table[table["zeta"] == 0.0]
    assert len(at_fit) == len(profile.parameters)
    np.testing.assert_allclose(at_fit[["Intercept", "Days"]], np.tile(fit.params, (6, 1)), rtol=1e-7)


def test_notes_and_text():
    profile = fitted("pastes", reml=True).profile()
    text = str(profile)
    assert text.startswith("Profile likelihood, 95 % limits\n")
    assert "Variance parameters are profiled by REML, fixed effects by maximum likelihood" in text
    assert "<table>" in profile._repr_html_()
    assert all(note in profile._repr_html_() for note in profile.notes)
    assert not fitted("sleepstudy", reml=False).profile().notes


def test_estimates_of_the_fixed_effects_are_those_of_the_criterion():
    profile = fitted("cornsoybean", reml=True).profile("CornPix")
    assert abs(profile.estimates["CornPix"] - fitted("cornsoybean", reml=False).params["CornPix"]) < 1e-6


def test_what_is_known_is_kept():
    fit = lmm.fit("Yield ~ 1 + (1 | Batch)", frame("dyestuff"))
    first = fit.profile()
    points = [len(curve.points) for curve in first.curves]
    again = fit.profile()
    assert [one is other for one, other in zip(first.curves, again.curves, strict=True)] == [True] * 3
    assert [len(curve.points) for curve in again.curves] == points
    pd.testing.assert_frame_equal(profile_conf_int(fit, 0.95), first.conf_int())
    pd.testing.assert_frame_equal(
        profile_conf_int(fit, 0.9, scale="variance", which=["Batch"]),
        fit.profile("Batch", level=0.9).conf_int(scale="variance"),
    )


@pytest.mark.parametrize("workers", [2, map, ThreadPoolExecutor(2).map], ids=["processes", "map", "threads"])
def test_workers_change_nothing(workers):
    fit = lmm.fit("Reaction ~ Days + (Days | Subject)", frame("sleepstudy"))
    expected = fitted("sleepstudy", reml=True).profile().conf_int()
    pd.testing.assert_frame_equal(fit.profile(workers=workers).conf_int(), expected, rtol=1e-9)


def test_profiles_survive_a_pickle():
    profile = fitted("pastes", reml=True).profile()
    copy = pickle.loads(pickle.dumps(profile))  # noqa: S301
    pd.testing.assert_frame_equal(copy.conf_int(), profile.conf_int())
    pd.testing.assert_frame_equal(copy.conf_int(0.9), profile.conf_int(0.9), rtol=1e-9)


def test_progress_without_tqdm_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(lmm.ArgumentError, match="pip install tqdm"):
        fitted("dyestuff", reml=True).profile(progress=True)


def test_progress_counts_parameters(monkeypatch):
    seen = []

    class Bar:
        def __init__(self, **options):
            seen.append(options)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            seen.append("closed")

        def update(self, n):
            seen.append(n)

    monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))
    monkeypatch.setitem(sys.modules, "tqdm.auto", types.SimpleNamespace(tqdm=Bar))
    fitted("dyestuff", reml=True).profile(progress=True)
    assert seen == [{"total": 3, "unit": "parameter"}, 1, 1, 1, "closed"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"which": "days"}, "there is no parameter 'days'; there are 'Intercept', 'Days'"),
        ({"which": []}, "which must be the name of a parameter or a list of names"),
        ({"which": 3}, "which must be the name of a parameter or a list of names"),
        ({"level": 95}, "level must be a number strictly between 0 and 1"),
        ({"criterion": "REML"}, "criterion must be None"),
        ({"criterion": np.ones(2)}, "criterion must be None"),
        ({"workers": 0}, "workers must be a number of processes"),
        ({"workers": 1.5}, "workers must be a number of processes"),
    ],
)
def test_arguments_are_checked(options, message):
    with pytest.raises(lmm.ArgumentError, match=message):
        fitted("sleepstudy", reml=True).profile(**options)


def test_arguments_of_the_result_are_checked():
    profile = fitted("sleepstudy", reml=True).profile(["Days", "Subject.Days", "Residual"])
    with pytest.raises(lmm.ArgumentError, match="scale must be one of 'sd', 'variance'"):
        profile.conf_int(scale="var")
    with pytest.raises(lmm.ArgumentError, match="scale must be one of"):
        profile.conf_int(scale=np.ones(2))
    with pytest.raises(lmm.ArgumentError, match="level must be"):
        profile.conf_int(1.0)
    with pytest.raises(lmm.ArgumentError, match="there is no profile of 'Intercept'; there are those of 'Days'"):
        profile.zeta("Intercept")
    with pytest.raises(lmm.ArgumentError, match="values must be numbers"):
        profile.zeta("Days", ["a"])
    with pytest.raises(lmm.ArgumentError, match=r"'Subject.Days' must lie between 0 and inf; got -1"):
        profile.zeta("Subject.Days", [-1.0])
    with pytest.raises(lmm.ArgumentError, match="'Residual' must be positive; got 0"):
        profile.zeta("Residual", [0.0])
    with pytest.raises(lmm.ArgumentError, match="kind must be one of 'zeta', 'density', 'pairs'"):
        profile.plot("trace")
    with pytest.raises(lmm.ArgumentError, match=r'use fit\.profile\(criterion="ml"\)\.plot\("pairs"\)'):
        profile.plot("pairs")


def test_a_coefficient_that_was_dropped_has_no_profile():
    fit = fitted("sleepstudy_aliased", reml=True)
    dropped = fit.params.index[fit.params.isna()][0]
    with pytest.raises(lmm.ArgumentError, match="was dropped from the fit"):
        fit.profile(dropped)
    assert dropped not in fit.profile_curves.names


# Pictures


def test_pictures():
    import matplotlib.pyplot as plt  # noqa: PLC0415

    profile = fitted("sleepstudy", reml=False).profile(["Days", "Subject.Days"])
    axes = profile.plot()
    assert [ax.get_xlabel() for ax in axes] == ["Days", "Subject.Days"]
    values, zetas = axes[0].lines[-1].get_data()
    exact = profile.zeta("Days", values[[20, 77, 150]])
    np.testing.assert_allclose(zetas[[20, 77, 150]], exact, atol=1e-4)

    density = profile.plot("density")[1].lines[0].get_data()
    assert abs(np.trapezoid(density[1], density[0]) - 1.0) < 0.01

    pairs = profile.plot("pairs")
    assert pairs.shape == (2, 2)
    # The outermost contour touches the values whose profile is at the same height.
    across, up = pairs[1, 0].lines[-1].get_data()
    radius = np.sqrt(-2.0 * np.log(0.05))
    for values, name in ((across, "Days"), (up, "Subject.Days")):
        np.testing.assert_allclose(profile.zeta(name, [values.min(), values.max()]), [-radius, radius], atol=0.02)

    by_ml = fitted("sleepstudy", reml=True).profile(["Days", "Subject.Days"], criterion="ml")
    assert by_ml.plot("pairs").shape == (2, 2)

    _, given = plt.subplots(1, 2)
    assert profile.plot(ax=given)[0] is given[0]
    with pytest.raises(lmm.ArgumentError, match=r"ax must hold 2 Axes .*got 1 Axes"):
        profile.plot(ax=given[0])
    with pytest.raises(lmm.ArgumentError, match="two parameters or more"):
        fitted("sleepstudy", reml=False).profile("Days").plot("pairs")
    plt.close("all")


def test_a_contour_is_one_of_the_likelihood():
    """On the contour of two standard deviations the deviance is higher by the square of the radius."""
    fit = fitted("sleepstudy_uncorrelated", reml=False)
    profile = fit.profile(["Subject.Intercept", "Subject.Days"])
    import matplotlib.pyplot as plt  # noqa: PLC0415

    across, up = profile.plot("pairs")[1, 0].lines[-1].get_data()
    plt.close("all")
    for i in (0, 60, 130):

        def criterion(x, i=i):
            return dense_criterion(fit, [[across[i], up[i]]], [None], np.exp(x[0]), {})

        best = minimize(criterion, [np.log(fit.sigma)], method="Nelder-Mead").fun
        assert abs(best - fit.deviance + 2.0 * np.log(0.05)) < 0.1


def test_no_warning_in_ordinary_use():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lmm.fit("Yield ~ 1 + (1 | Batch)", frame("dyestuff")).profile(level=0.999)
