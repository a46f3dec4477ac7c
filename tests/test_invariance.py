"""What must not change a fit: units, origins, orders, names and equivalent ways to write the same model."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lmm
from conftest import fit_quietly, frame

# Of the deviance, after the constant that the change of units brings.
DEVIANCE = 1e-8
# A deviance flat to 1e-14 fixes a variance to about 1e-7, and a fixed effect by that times its share of the data.
VARIANCE = 1e-6
FIXED = 1e-8
METHODS = pytest.mark.parametrize("reml", [True, False], ids=["reml", "ml"])


def assert_deviance(fit, other, change=0.0):
    assert fit.converged
    assert other.converged
    assert abs(fit.deviance - other.deviance - change) <= DEVIANCE * abs(other.deviance)
    assert fit.is_singular is other.is_singular


def assert_matrix(actual, expected):
    """Covariance matrices, entry by entry in units of the two standard deviations."""
    sd = np.sqrt(np.diagonal(expected))
    unit = np.outer(sd, sd)
    zero = unit == 0.0
    np.testing.assert_array_equal(actual[zero], 0.0)
    assert np.max(np.abs(actual - expected)[~zero] / unit[~zero], initial=0.0) <= VARIANCE


def assert_same_fit(fit, other):
    assert_deviance(fit, other)
    assert set(fit.params.index) == set(other.params.index)
    np.testing.assert_allclose(fit.params[other.params.index], other.params, rtol=FIXED, atol=FIXED)
    np.testing.assert_allclose(fit.bse[other.bse.index], other.bse, rtol=VARIANCE)
    np.testing.assert_allclose(fit.sigma, other.sigma, rtol=VARIANCE)
    for group, covariance in other.random_cov.items():
        names = covariance.index
        assert_matrix(fit.random_cov[group].loc[names, names].to_numpy(), covariance.to_numpy())


# Sleepstudy with a response on a grid of 1/64 ms, so that shifting it by 1e9 is exact and what differs is the fit.
SLEEP = frame("sleepstudy").assign(Reaction=lambda data: np.round(64 * data["Reaction"]) / 64)
OATS = frame("oats")


def crossed_data(seed=3, n=160):
    rng = np.random.default_rng(seed)
    g, h = rng.integers(0, 14, n), rng.integers(0, 9, n)
    x = np.round(rng.normal(size=n), 3)
    f = rng.integers(0, 3, n)
    bg = rng.normal(size=(14, 2)) @ [[1.0, 0.3], [0.0, 0.6]]
    y = 2 + x + 0.5 * f + bg[g, 0] + bg[g, 1] * x + rng.normal(size=9)[h] + rng.normal(size=n)
    return pd.DataFrame({"y": np.round(64 * y) / 64, "x": x, "f": np.array(["a", "b", "c"])[f], "g": g, "h": h})


CROSSED = crossed_data()


# Units and origins of a covariate


@METHODS
@pytest.mark.parametrize("shift", [1e6, -1e6, 12345.0])
@pytest.mark.parametrize("uncorrelated", [False, True], ids=["correlated", "fixed-only"])
def test_covariate_shifted(shift, reml, uncorrelated):
    random = "(1|Subject)" if uncorrelated else "(Days|Subject)"
    base = lmm.fit(f"Reaction ~ Days + {random}", SLEEP, reml=reml)
    moved = lmm.fit(f"Reaction ~ Days + {random}", SLEEP.assign(Days=SLEEP["Days"] + shift), reml=reml)
    assert_deviance(moved, base)
    intercept, slope = base.params
    np.testing.assert_allclose(moved.params["Days"], slope, rtol=FIXED)
    np.testing.assert_allclose(moved.params["Intercept"], intercept - shift * slope, rtol=FIXED)
    np.testing.assert_allclose(moved.bse["Days"], base.bse["Days"], rtol=VARIANCE)
    np.testing.assert_allclose(moved.sigma, base.sigma, rtol=VARIANCE)
    np.testing.assert_allclose(moved.fittedvalues, base.fittedvalues, rtol=0, atol=1e-6 * base.sigma)
    if not uncorrelated:
        B = np.array([[1.0, -shift], [0.0, 1.0]])
        covariance = base.random_cov["Subject"].to_numpy()
        np.testing.assert_allclose(moved.random_cov["Subject"], B @ covariance @ B.T, rtol=VARIANCE)
        slopes, others = (fit.random_effects["Subject"]["Days"] for fit in (moved, base))
        np.testing.assert_allclose(slopes, others, rtol=0, atol=1e-6 * np.sqrt(covariance[1, 1]))


@METHODS
@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1e3, 1e8])
@pytest.mark.parametrize("random", ["(Days|Subject)", "(Days||Subject)", "(0 + Days|Subject)"])
def test_covariate_scaled(scale, reml, random):
    base = lmm.fit(f"Reaction ~ Days + {random}", SLEEP, reml=reml)
    scaled = lmm.fit(f"Reaction ~ Days + {random}", SLEEP.assign(Days=SLEEP["Days"] * scale), reml=reml)
    # REML: the columns of X enter as log|X' V^-1 X|.
    assert_deviance(scaled, base, 2 * np.log(scale) if reml else 0.0)
    np.testing.assert_allclose(scaled.params * [1.0, scale], base.params, rtol=FIXED)
    np.testing.assert_allclose(scaled.bse * [1.0, scale], base.bse, rtol=VARIANCE)
    np.testing.assert_allclose(scaled.sigma, base.sigma, rtol=VARIANCE)
    unit = np.array([1.0 if name == "Intercept" else scale for name in base.random_cov["Subject"].index])
    assert_matrix(scaled.random_cov["Subject"].to_numpy() * np.outer(unit, unit), base.random_cov["Subject"].to_numpy())


@METHODS
@pytest.mark.parametrize(("scale", "shift"), [(1e8, 0.0), (1e-8, 0.0), (1.0, 1e6), (1e3, -1e6)])
def test_covariate_of_crossed_factors(scale, shift, reml):
    formula = "y ~ f + x + (x|g) + (1|h)"
    base = lmm.fit(formula, CROSSED, reml=reml)
    moved = lmm.fit(formula, CROSSED.assign(x=scale * CROSSED["x"] + shift), reml=reml)
    assert_deviance(moved, base, 2 * np.log(scale) if reml else 0.0)
    np.testing.assert_allclose(moved.params["x"] * scale, base.params["x"], rtol=1e-7)
    np.testing.assert_allclose(moved.params[["f[T.b]", "f[T.c]"]], base.params[["f[T.b]", "f[T.c]"]], rtol=1e-7)
    assert_matrix(moved.random_cov["h"].to_numpy(), base.random_cov["h"].to_numpy())
    np.testing.assert_allclose(moved.fittedvalues, base.fittedvalues, rtol=0, atol=1e-6)


@METHODS
def test_singular_slopes_of_a_shifted_covariate(reml):
    # Correlations of one stay so under any change of basis.
    formula = "yield ~ nitro + (nitro | Block/Variety)"
    base = fit_quietly(formula, OATS, reml=reml)
    moved = fit_quietly(formula, OATS.assign(nitro=1e3 * OATS["nitro"] + 1e4), reml=reml)
    assert base.is_singular
    assert_deviance(moved, base, 2 * np.log(1e3) if reml else 0.0)
    np.testing.assert_allclose(moved.params["nitro"] * 1e3, base.params["nitro"], rtol=FIXED)


# Units and origin of the response

RESPONSES = {
    "sleepstudy": ("Reaction ~ Days + (Days|Subject)", SLEEP, "Reaction"),
    "crossed": ("y ~ f + x + (x|g) + (1|h)", CROSSED, "y"),
    "oats": ("yield ~ nitro + (nitro | Block/Variety)", OATS, "yield"),
}


@METHODS
@pytest.mark.parametrize("shift", [1e9, -1e9])
@pytest.mark.parametrize("case", RESPONSES)
def test_response_shifted(case, shift, reml):
    formula, data, response = RESPONSES[case]
    base = fit_quietly(formula, data, reml=reml)
    moved = fit_quietly(formula, data.assign(**{response: data[response] + shift}), reml=reml)
    assert_deviance(moved, base)
    expected = base.params + np.where(base.params.index == "Intercept", shift, 0.0)
    # The intercept's own rounding is 1e-16 of 1e9; the other effects share it in units of their columns.
    np.testing.assert_allclose(moved.params, expected, rtol=FIXED, atol=1e-6 * base.sigma)
    np.testing.assert_allclose(moved.bse, base.bse, rtol=VARIANCE)
    np.testing.assert_allclose(moved.sigma, base.sigma, rtol=VARIANCE)


@METHODS
@pytest.mark.parametrize("scale", [1e10, 1e-10, -1.0])
@pytest.mark.parametrize("case", RESPONSES)
def test_response_scaled(case, scale, reml):
    formula, data, response = RESPONSES[case]
    base = fit_quietly(formula, data, reml=reml)
    scaled = fit_quietly(formula, data.assign(**{response: data[response] * scale}), reml=reml)
    nu = base.nobs - reml * len(base.params)
    assert_deviance(scaled, base, 2 * nu * np.log(abs(scale)))
    np.testing.assert_allclose(scaled.params / scale, base.params, rtol=FIXED)
    np.testing.assert_allclose(scaled.bse / abs(scale), base.bse, rtol=VARIANCE)
    np.testing.assert_allclose(scaled.sigma / abs(scale), base.sigma, rtol=VARIANCE)
    for group, covariance in base.random_cov.items():
        assert_matrix(scaled.random_cov[group].to_numpy() / scale**2, covariance.to_numpy())


# Order and names

ORDERS = {**RESPONSES, "pastes": ("strength ~ 1 + (1|batch/cask)", frame("pastes"), "strength")}


@METHODS
@pytest.mark.parametrize("case", ORDERS)
def test_rows_permuted(case, reml):
    formula, data, _ = ORDERS[case]
    base = fit_quietly(formula, data, reml=reml)
    shuffled = fit_quietly(formula, data.sample(frac=1, random_state=5), reml=reml)
    assert_same_fit(shuffled, base)
    np.testing.assert_allclose(shuffled.fittedvalues[data.index], base.fittedvalues, rtol=FIXED)
    for group, effects in base.random_effects.items():
        sd = np.sqrt(np.diagonal(base.random_cov[group]))
        other = shuffled.random_effects[group].loc[effects.index]
        assert np.max(np.abs(other - effects).to_numpy()) <= VARIANCE * max(sd.max(), 1e-300)


@METHODS
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("y ~ f + x + (x|g) + (1|h)", "y ~ x + f + (1|h) + (x|g)"),
        ("y ~ f + x + (1|g) + (0 + x|g) + (1|h)", "y ~ (0 + x|g) + f + (1|h) + x + (1|g)"),
        ("y ~ f + x + (x||g) + (1|h)", "y ~ f + x + (1|h) + (1|g) + (-1 + x|g)"),
        ("y ~ x + (1|g) + (1|h)", "y ~ (1|h) + x + (1|g)"),
    ],
)
def test_terms_reordered(one, other, reml):
    assert_same_fit(fit_quietly(other, CROSSED, reml=reml), fit_quietly(one, CROSSED, reml=reml))


@METHODS
def test_effects_of_a_term_reordered(reml):
    data = CROSSED.assign(z=np.round(np.sin(np.arange(len(CROSSED))), 3))
    one = fit_quietly("y ~ x + z + (x + z|g)", data, reml=reml)
    assert_same_fit(fit_quietly("y ~ x + z + (z + x|g)", data, reml=reml), one)


@METHODS
def test_nested_factors_named_either_way(reml):
    pastes = frame("pastes")
    one = lmm.fit("strength ~ 1 + (1|batch/cask)", pastes, reml=reml)
    other = lmm.fit("strength ~ 1 + (1|cask:batch) + (1|batch)", pastes, reml=reml)
    assert_deviance(other, one)
    np.testing.assert_allclose(other.theta, one.theta, rtol=VARIANCE)


@METHODS
@pytest.mark.parametrize(
    "rename",
    [
        lambda codes: codes * 1000 - 17,
        lambda codes: -codes,
        lambda codes: np.array([f"level {chr(122 - c)}" for c in codes], dtype=object),
        lambda codes: pd.Categorical(codes, categories=[*range(20, 13, -1), *range(13, -1, -1)]),
    ],
    ids=["integers", "reversed", "strings", "categories"],
)
def test_levels_renamed(rename, reml):
    formula = "y ~ f + x + (x|g) + (1|h)"
    base = lmm.fit(formula, CROSSED, reml=reml)
    renamed = lmm.fit(formula, CROSSED.assign(g=rename(CROSSED["g"].to_numpy())), reml=reml)
    assert_same_fit(renamed, base)
    np.testing.assert_allclose(renamed.fittedvalues, base.fittedvalues, rtol=0, atol=1e-7)


@METHODS
def test_reference_level_changed(reml):
    base = lmm.fit("y ~ f + x + (x|g) + (1|h)", CROSSED, reml=reml)
    moved = lmm.fit(
        "y ~ f + x + (x|g) + (1|h)",
        CROSSED.assign(f=pd.Categorical(CROSSED["f"], categories=["c", "a", "b"])),
        reml=reml,
    )
    # The change of coding has determinant one, so that the REML criterion is the same as well.
    assert_deviance(moved, base)
    a, b, c = base.params[["Intercept", "f[T.b]", "f[T.c]"]]
    np.testing.assert_allclose(moved.params[["Intercept", "f[T.a]", "f[T.b]"]], [a + c, -c, b - c], rtol=1e-7)
    np.testing.assert_allclose(moved.params["x"], base.params["x"], rtol=1e-7)
    assert_matrix(moved.random_cov["g"].to_numpy(), base.random_cov["g"].to_numpy())


# Weights


@METHODS
@pytest.mark.parametrize("constant", [1e-6, 4.0, 1e6])
def test_weights_times_a_constant(constant, reml):
    weights = np.random.default_rng(4).uniform(0.3, 3, len(SLEEP))
    formula = "Reaction ~ Days + (Days|Subject)"
    base = lmm.fit(formula, SLEEP, reml=reml, weights=weights)
    scaled = lmm.fit(formula, SLEEP, reml=reml, weights=constant * weights)
    assert_deviance(scaled, base)
    np.testing.assert_allclose(scaled.params, base.params, rtol=FIXED)
    np.testing.assert_allclose(scaled.bse, base.bse, rtol=VARIANCE)
    np.testing.assert_allclose(scaled.sigma, np.sqrt(constant) * base.sigma, rtol=VARIANCE)
    np.testing.assert_allclose(scaled.theta, base.theta / np.sqrt(constant), rtol=VARIANCE)
    assert_matrix(scaled.random_cov["Subject"].to_numpy(), base.random_cov["Subject"].to_numpy())


@METHODS
def test_weights_of_one_change_nothing(reml):
    formula = "Reaction ~ Days + (Days|Subject)"
    assert_same_fit(lmm.fit(formula, SLEEP, reml=reml, weights=np.ones(len(SLEEP))), lmm.fit(formula, SLEEP, reml=reml))


@METHODS
def test_integer_weights_are_means_of_replicates(reml):
    # Estimates of a model of group means, weighted by their number, are those of a common mean within cells.
    weights = np.random.default_rng(9).integers(1, 5, len(SLEEP))
    weighted = lmm.fit("Reaction ~ Days + (1|Subject)", SLEEP, reml=reml, weights=weights, sigma=25.0)
    rows = np.repeat(np.arange(len(SLEEP)), weights)
    replicated = lmm.fit("Reaction ~ Days + (1|Subject)", SLEEP.iloc[rows], reml=reml, sigma=25.0)
    np.testing.assert_allclose(replicated.params, weighted.params, rtol=FIXED)
    np.testing.assert_allclose(replicated.bse, weighted.bse, rtol=VARIANCE)
    np.testing.assert_allclose(replicated.theta, weighted.theta, rtol=VARIANCE)


@METHODS
def test_zero_weight_equals_dropping_the_row(reml):
    rng = np.random.default_rng(6)
    weights = rng.uniform(0.3, 3, len(CROSSED))
    weights[rng.choice(len(CROSSED), 25, replace=False)] = 0.0
    weights[CROSSED["g"] == 3] = 0.0  # a whole group
    formula = "y ~ f + x + (x|g) + (1|h)"
    zero = fit_quietly(formula, CROSSED, reml=reml, weights=weights)
    kept = weights > 0
    dropped = fit_quietly(formula, CROSSED[kept], reml=reml, weights=weights[kept])
    assert_same_fit(zero, dropped)
    assert zero.nobs == kept.sum()
    assert zero.n_groups == dropped.n_groups
    assert (zero.aic, zero.df_resid) == (pytest.approx(dropped.aic), dropped.df_resid)
    pd.testing.assert_index_equal(zero.resid.index, CROSSED.index[kept])


@METHODS
def test_offset_is_subtracted(reml):
    offset = np.linspace(-40, 90, len(SLEEP))
    formula = "Reaction ~ Days + (Days|Subject)"
    with_offset = lmm.fit(formula, SLEEP, reml=reml, offset=offset)
    without = lmm.fit(formula, SLEEP.assign(Reaction=SLEEP["Reaction"] - offset), reml=reml)
    assert_same_fit(with_offset, without)
    np.testing.assert_allclose(with_offset.fittedvalues, without.fittedvalues + offset, rtol=FIXED)
    np.testing.assert_allclose(with_offset.resid, without.resid, rtol=0, atol=1e-7)


@METHODS
def test_known_sigma_equal_to_the_estimate_changes_no_estimate(reml):
    formula = "Reaction ~ Days + (Days|Subject)"
    base = lmm.fit(formula, SLEEP, reml=reml)
    known = lmm.fit(formula, SLEEP, reml=reml, sigma=base.sigma)
    assert_same_fit(known, base)
    assert known.n_params == base.n_params - 1


# The same model in another parametrisation


def factor_effects(rank, seed=2):
    """Effects of a factor with three levels that vary by group, with a covariance of the given rank."""
    rng = np.random.default_rng(seed)
    n, J = 240, 16
    g, f = np.repeat(np.arange(J), n // J), np.tile([0, 1, 2], n // 3)
    b = rng.normal(size=(J, rank)) @ rng.normal(size=(rank, 3))
    y = 1.0 * f + b[g, f] + 0.8 * rng.normal(size=n)
    return pd.DataFrame({"y": y, "f": np.array(["a", "b", "c"])[f], "g": g})


@METHODS
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_factor_with_and_without_intercept(rank, reml):
    data = factor_effects(rank)
    contrasts = fit_quietly("y ~ f + (f|g)", data, reml=reml)
    means = fit_quietly("y ~ f + (0 + f|g)", data, reml=reml)
    assert means.is_singular is (rank < 3)
    assert_deviance(means, contrasts)
    # Effects of the levels from intercept and contrasts.
    B = np.array([[1.0, 0, 0], [1, 1, 0], [1, 0, 1]])
    assert_matrix(means.random_cov["g"].to_numpy(), B @ contrasts.random_cov["g"].to_numpy() @ B.T)
    np.testing.assert_allclose(means.params, contrasts.params, rtol=FIXED)


@METHODS
def test_machines_with_and_without_intercept(reml):
    machines = frame("machines")
    contrasts = lmm.fit("score ~ Machine + (Machine|Worker)", machines, reml=reml)
    means = lmm.fit("score ~ 0 + Machine + (0 + Machine|Worker)", machines, reml=reml)
    assert_deviance(means, contrasts)
    np.testing.assert_allclose(means.fittedvalues, contrasts.fittedvalues, rtol=1e-7)


@METHODS
def test_orthogonal_polynomials_equal_raw_ones(reml):
    raw = lmm.fit("Reaction ~ Days + I(Days^2) + (1|Subject)", SLEEP, reml=reml)
    poly = lmm.fit("Reaction ~ poly(Days, 2) + (1|Subject)", SLEEP, reml=reml)
    change = 0.0
    if reml:
        change = np.linalg.slogdet(poly.X.T @ poly.X)[1] - np.linalg.slogdet(raw.X.T @ raw.X)[1]
    assert_deviance(poly, raw, change)
    np.testing.assert_allclose(poly.fittedvalues, raw.fittedvalues, rtol=FIXED)
    np.testing.assert_allclose(poly.theta, raw.theta, rtol=VARIANCE)


# Designs at the edge


def dense_criterion(fit):
    """-2 log-likelihood or REML criterion at the estimates, from the n x n covariance of the response."""
    n = fit.nobs
    ZL = (fit.Z @ fit.Lambda).toarray()
    weights = np.ones(n) if fit.design.weights is None else fit.design.weights
    V = fit.sigma**2 * (ZL @ ZL.T + np.diag(1 / weights))
    X = fit.X.to_numpy()
    y = fit.design.y if fit.design.offset is None else fit.design.y - fit.design.offset
    residual = y - X @ fit.params.dropna().to_numpy()
    value = np.linalg.slogdet(V)[1] + residual @ np.linalg.solve(V, residual)
    if not fit.reml:
        return value + n * np.log(2 * np.pi)
    return value + (n - X.shape[1]) * np.log(2 * np.pi) + np.linalg.slogdet(X.T @ np.linalg.solve(V, X))[1]


def assert_optimal(formula, data, *, reml, **options):
    """The fit converges, its criterion is what its estimates say, and nothing better is found from elsewhere."""
    fit = fit_quietly(formula, data, reml=reml, **options)
    assert fit.converged
    np.testing.assert_allclose(fit.deviance, dense_criterion(fit), rtol=1e-8, atol=1e-8)
    rng = np.random.default_rng(1)
    for scale in (0.0, 0.1, 1.0, 10.0):
        start = np.abs(rng.normal(scale=scale, size=len(fit.theta)))
        again = fit_quietly(formula, data, reml=reml, start=start, **options)
        assert again.converged
        assert abs(again.deviance - fit.deviance) <= 1e-7
    return fit


@METHODS
def test_group_effect_of_exactly_zero(reml):
    # Every group has the same mean: less variation between groups than the residual variation explains.
    rng = np.random.default_rng(8)
    e = rng.normal(size=(10, 6))
    data = pd.DataFrame({"y": (e - e.mean(axis=1, keepdims=True)).ravel(), "g": np.repeat(np.arange(10), 6)})
    fit = assert_optimal("y ~ 1 + (1|g)", data, reml=reml)
    assert fit.theta.tolist() == [0.0]
    assert fit.is_singular
    assert (fit.random_effects["g"].to_numpy() == 0.0).all()
    np.testing.assert_allclose(fit.sigma**2, data["y"].var(ddof=int(reml)), rtol=1e-12)


@METHODS
def test_singleton_groups(reml):
    rng = np.random.default_rng(12)
    g = np.concatenate([np.arange(25), np.repeat([0, 1, 2], 3)])
    y = 2 * rng.normal(size=25)[g] + rng.normal(size=len(g))
    fit = assert_optimal("y ~ x + (1|g)", pd.DataFrame({"y": y, "x": rng.normal(size=len(g)), "g": g}), reml=reml)
    assert not fit.is_singular


@METHODS
def test_two_levels(reml):
    rng = np.random.default_rng(13)
    g, h = np.arange(24) % 2, np.arange(24) // 12
    y = np.array([-3.0, 3.0])[g] + np.array([1.0, -1.0])[h] + rng.normal(size=24)
    data = pd.DataFrame({"y": y, "x": rng.normal(size=24), "g": g, "h": h})
    assert_optimal("y ~ x + (1|g)", data, reml=reml)
    assert_optimal("y ~ x + (1|g) + (1|h)", data, reml=reml)
    # A balanced one-way layout has its estimates in closed form.
    fit = assert_optimal("y ~ 1 + (1|g)", data, reml=reml)
    means = data.groupby("g")["y"].mean()
    within = ((data["y"] - means[data["g"]].to_numpy()) ** 2).sum() / 22
    between = 12 * ((means - means.mean()) ** 2).sum() / (1 if reml else 2)
    np.testing.assert_allclose(fit.sigma**2, within, rtol=VARIANCE)
    np.testing.assert_allclose(fit.random_cov["g"].to_numpy().item(), (between - within) / 12, rtol=VARIANCE)


@METHODS
def test_nearly_saturated(reml):
    # 26 rows for 12 pairs of effects and two coefficients.
    rng = np.random.default_rng(14)
    g = np.concatenate([np.repeat(np.arange(12), 2), [0, 1]])
    x = rng.normal(size=26)
    b = rng.normal(size=(12, 2))
    data = pd.DataFrame({"y": b[g, 0] + b[g, 1] * x + 0.1 * rng.normal(size=26), "x": x, "g": g})
    assert_optimal("y ~ x + (x|g)", data, reml=reml)


@METHODS
@pytest.mark.parametrize("formula", ["y ~ x + (x|g)", "z ~ x + (1|g)"])
@pytest.mark.parametrize("noise", [1e-2, 3e-4, 1e-4])
def test_little_residual_variation_converges(noise, formula, reml):
    rng = np.random.default_rng(15)
    g, x, b = np.repeat(np.arange(15), 6), np.tile(np.arange(6.0), 15), rng.normal(size=(15, 2))
    e = noise * rng.normal(size=90)
    data = pd.DataFrame({"y": b[g, 0] + (1 + b[g, 1]) * x + e, "z": b[g, 0] + x + e, "x": x, "g": g})
    assert fit_quietly(formula, data, reml=reml).converged  # a ConvergenceWarning is an error here


@METHODS
@pytest.mark.parametrize("noise", [0.1, 1e-2, 1e-3])
def test_little_residual_variation(noise, reml):
    # Standard deviations between groups of ten to a thousand times the residual one.
    rng = np.random.default_rng(15)
    g = np.repeat(np.arange(15), 6)
    x = np.tile(np.arange(6.0), 15)
    b = rng.normal(size=(15, 2))
    data = pd.DataFrame({"y": b[g, 0] + (1 + b[g, 1]) * x + noise * rng.normal(size=90), "x": x, "g": g})
    fit = fit_quietly("y ~ x + (x|g)", data, reml=reml)
    assert fit.converged
    # A linear trend fitted to each group leaves the residual variance, here to its usual precision of 10 %.
    np.testing.assert_allclose(fit.sigma, noise, rtol=0.2)
    # Balanced data: the fixed effects are those of least squares.
    X = np.column_stack([np.ones(90), x])
    np.testing.assert_allclose(fit.params, np.linalg.lstsq(X, data["y"])[0], rtol=0, atol=VARIANCE * fit.bse.min())
    # Balanced and with no fixed effects beside the random ones: sigma^2 is the pooled residual variance in closed form.
    groups = data.groupby("g")
    rss = sum(np.linalg.lstsq(X[:6], group["y"])[1].item() for _, group in groups)
    np.testing.assert_allclose(fit.sigma**2, rss / (90 - 30), rtol=1e-6)


# Random designs


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    reml=st.booleans(),
    scale_x=st.sampled_from([1e-6, 1.0, 1e6]),
    shift_x=st.sampled_from([0.0, 1e4]),
    scale_y=st.sampled_from([1e-6, -1.0, 1e6]),
    shift_y=st.sampled_from([0.0, 1e6]),
    formula=st.sampled_from(["y ~ x + (x|g)", "y ~ x + (x|g) + (1|h)", "y ~ x + (1|g) + (x|h)", "y ~ x + (1|g/h)"]),
)
def test_random_designs(seed, reml, scale_x, shift_x, scale_y, shift_y, formula):
    rng = np.random.default_rng(seed)
    n = 60
    g, h, x = rng.integers(0, 8, n), rng.integers(0, 5, n), np.round(rng.normal(size=n), 2)
    y = np.round(x + rng.normal(size=8)[g] * (1 + x) + rng.normal(size=5)[h] + rng.normal(size=n), 2)
    data = pd.DataFrame({"y": y, "x": x, "g": g, "h": h})
    base = fit_quietly(formula, data, reml=reml)
    moved = data.assign(y=scale_y * (y + shift_y), x=scale_x * (x + shift_x), g=-g).sample(frac=1, random_state=3)
    other = fit_quietly(formula, moved, reml=reml)
    nu = n - 2 * reml
    assert_deviance(other, base, 2 * nu * np.log(abs(scale_y)) + (2 * np.log(scale_x) if reml else 0.0))
    np.testing.assert_allclose(other.params["x"] * scale_x / scale_y, base.params["x"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(other.sigma / abs(scale_y), base.sigma, rtol=VARIANCE)
