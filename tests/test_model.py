"""What a fitted model promises its users: names, types, identities, and that it stays what it was."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import lmm
from conftest import MODELS, SMALL, fit_quietly, fitted, frame

# Identities between quantities that the core computes by other ways than the dense formulas here: sixteen digits less
# those of the condition of V, of order theta^2 times the size of a group.
IDENTITY = 1e-9

ALL = [(name, reml) for name in SMALL for reml in (True, False)]


@pytest.fixture(params=ALL, ids=lambda case: f"{case[0]}-{'reml' if case[1] else 'ml'}")
def fit(request):
    name, reml = request.param
    return fitted(name, reml=reml)


def assert_close(actual, expected, tolerance=IDENTITY):
    scale = float(np.max(np.abs(np.asarray(expected)), initial=0.0)) or 1.0
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)


# Types, names and shapes


def test_types_and_names(fit):
    p = len(fit.X.columns)
    for series in (fit.params, fit.bse, fit.tvalues):
        assert isinstance(series, pd.Series)
        assert series.dtype == np.float64
        pd.testing.assert_index_equal(series.index, fit.params.index)
    assert list(fit.params.index[fit.params.notna()]) == list(fit.X.columns)
    covariance = fit.cov_params()
    assert covariance.shape == (p, p)
    assert list(covariance.index) == list(covariance.columns) == list(fit.X.columns)
    for value in (fit.sigma, fit.deviance, fit.llf, fit.aic, fit.bic):
        assert type(value) is float
    for value in (fit.nobs, fit.n_params, fit.df_resid):
        assert type(value) is int
    for value in (fit.reml, fit.converged, fit.is_singular):
        assert type(value) is bool
    assert isinstance(fit.theta, np.ndarray)
    assert fit.theta.ndim == 1


def test_names_of_groups_and_effects(fit):
    groups = list(fit.random_cov)
    assert groups == list(fit.random_effects) == list(fit.random_effects_cov) == list(fit.n_groups)
    for group in groups:
        covariance, effects = fit.random_cov[group], fit.random_effects[group]
        k = len(covariance)
        assert list(covariance.index) == list(covariance.columns) == list(effects.columns)
        assert effects.shape == (fit.n_groups[group], k)
        assert fit.random_effects_cov[group].shape == (fit.n_groups[group], k, k)


def test_variance_components_tell_the_same_as_random_cov(fit):
    table = fit.variance_components
    assert list(table.columns) == ["group", "var1", "var2", "vcov", "sdcor"]
    assert table["group"].iloc[-1] == "Residual"
    assert table[["var1", "var2"]].iloc[-1].isna().all()
    assert table["vcov"].iloc[-1] == fit.sigma**2
    assert table["sdcor"].iloc[-1] == fit.sigma
    n_variances = 0
    for row in table.iloc[:-1].itertuples():
        covariance = fit.random_cov[row.group]
        if isinstance(row.var2, str):
            assert row.vcov == covariance.loc[row.var1, row.var2]
            expected = row.vcov / np.sqrt(covariance.loc[row.var1, row.var1] * covariance.loc[row.var2, row.var2])
            np.testing.assert_allclose(row.sdcor, expected, rtol=1e-12)
        else:
            n_variances += 1
            assert row.vcov == covariance.loc[row.var1, row.var1]
            assert row.sdcor == np.sqrt(row.vcov)
    assert n_variances == sum(len(covariance) for covariance in fit.random_cov.values())


def test_shapes_and_index_of_rows(fit):
    n, p = fit.X.shape
    assert n == fit.nobs
    for rows in (fit.fittedvalues, fit.resid):
        assert isinstance(rows, pd.Series)
        pd.testing.assert_index_equal(rows.index, fit.X.index)
    q = sum(len(covariance) * fit.n_groups[group] for group, covariance in fit.random_cov.items())
    assert sparse.issparse(fit.Z)
    assert fit.Z.format == "csr"
    assert fit.Z.shape == (n, q)
    assert sparse.issparse(fit.Lambda)
    assert fit.Lambda.shape == (q, q)
    assert p == np.linalg.matrix_rank(fit.X.to_numpy() / np.linalg.norm(fit.X.to_numpy(), axis=0))


@pytest.mark.parametrize(
    ("name", "coefficients", "effects"),
    [
        ("sleepstudy", ["Intercept", "Days"], {"Subject": ["Intercept", "Days"]}),
        ("sleepstudy_slope", ["Intercept", "Days"], {"Subject": ["Days"]}),
        (
            "lamb",
            ["Line[1]", "Line[2]", "Line[3]", "Line[4]", "Line[5]", "Age[T.1]", "Age[T.2]"],
            {"Sire": ["Intercept"]},
        ),
        ("pig", ["Intercept", "num.weeks"], {"id.num": ["Intercept"]}),
        ("pastes", ["Intercept"], {"batch:cask": ["Intercept"], "batch": ["Intercept"]}),
        ("oats", ["Intercept", "nitro"], {"Block:Variety": ["Intercept", "nitro"], "Block": ["Intercept", "nitro"]}),
        (
            "machines",
            ["Intercept", "Machine[T.B]", "Machine[T.C]"],
            {"Worker": ["Intercept", "Machine[T.B]", "Machine[T.C]"]},
        ),
        (
            "sitka_without_treat",
            ["Intercept", "time", "I(time^2)"],
            {"tree": ["Intercept", "time", "I(time^2)"]},
        ),
    ],
)
def test_names(name, coefficients, effects):
    fit = fitted(name, reml=True)
    assert list(fit.params.index) == coefficients
    assert {group: list(table.columns) for group, table in fit.random_effects.items()} == effects
    assert list(fit.random_effects) == list(effects)


def test_levels_are_the_labels_of_the_data():
    fit = fitted("pig", reml=True)
    assert list(fit.random_effects["id.num"].index) == sorted(frame("pig")["id.num"].unique())
    fit = fitted("pastes", reml=True)
    batches = frame("pastes")["batch"]
    assert list(fit.random_effects["batch"].index) == list(batches.cat.categories)
    index = fit.random_effects["batch:cask"].index
    assert isinstance(index, pd.MultiIndex)
    assert list(index.names) == ["batch", "cask"]
    assert ("C", "b") in index
    # A level of a categorical, in its order, stays one.
    fit = fitted("rail", reml=True)
    assert list(fit.random_effects["Rail"].index) == ["2", "5", "1", "6", "3", "4"]


# Identities


def vector(fit):
    """Random effects in the order of the columns of Z."""
    return np.concatenate([effects.to_numpy().ravel() for effects in fit.random_effects.values()])


def test_fitted_values_and_residuals(fit):
    X, params = fit.X.to_numpy(), fit.params.dropna().to_numpy()
    assert_close(fit.fittedvalues, X @ params + fit.Z @ vector(fit))
    np.testing.assert_allclose(fit.fittedvalues + fit.resid, fit.design.y, rtol=1e-13)


def test_likelihood_identities(fit):
    assert fit.deviance == -2 * fit.llf
    assert fit.n_params == len(fit.X.columns) + len(fit.theta) + 1
    assert fit.df_resid == fit.nobs - fit.n_params
    np.testing.assert_allclose(fit.aic, fit.deviance + 2 * fit.n_params, rtol=1e-15)
    np.testing.assert_allclose(fit.bic, fit.deviance + np.log(fit.nobs) * fit.n_params, rtol=1e-15)


def test_lambda_is_the_root_of_the_random_covariance(fit):
    Lambda = fit.Lambda.toarray()
    assert (np.triu(Lambda, 1) == 0.0).all()
    expected = sparse.block_diag(
        [np.kron(np.eye(fit.n_groups[group]), covariance) for group, covariance in fit.random_cov.items()]
    ).toarray()
    assert_close(fit.sigma**2 * Lambda @ Lambda.T, expected, 1e-14)


def test_columns_of_z(fit):
    # by grouping factor, by level, by effect
    start = 0
    Z = fit.Z.toarray()
    for group, effects in fit.random_effects.items():
        J, k = effects.shape
        block = Z[:, start : start + J * k].reshape(-1, J, k)
        start += J * k
        factor = next(factor for factor in fit.factors if factor.group == group)
        assert ((block != 0.0).any(axis=2).sum(axis=1) <= 1).all()
        np.testing.assert_array_equal(block[np.arange(fit.nobs), factor.codes], factor.columns)


def dense(fit):
    """V, V^-1 and X of the response on the user's scale, from n x n matrices."""
    ZL = (fit.Z @ fit.Lambda).toarray()
    noise = np.ones(fit.nobs) if fit.design.weights is None else 1 / fit.design.weights
    V = fit.sigma**2 * (ZL @ ZL.T + np.diag(noise))
    return V, np.linalg.inv(V), fit.X.to_numpy()


def response(fit):
    return fit.design.y if fit.design.offset is None else fit.design.y - fit.design.offset


# Raw days squared reach half a million, which the dense formulas of this file do not survive.
DENSE = [case for case in ALL if case[0] not in ("sitka_raw", "sleepstudy_quadratic")]


def assert_agrees_with_dense_formulas(fit):
    V, V_inverse, X = dense(fit)
    y, n, p = response(fit), *X.shape
    C = X.T @ V_inverse @ X
    covariance = np.linalg.inv(C)
    sd = np.sqrt(np.diagonal(covariance))
    np.testing.assert_allclose(fit.cov_params() / np.outer(sd, sd), covariance / np.outer(sd, sd), rtol=0, atol=1e-8)
    np.testing.assert_allclose(fit.bse.dropna(), sd, rtol=1e-8)
    beta = covariance @ X.T @ V_inverse @ y
    np.testing.assert_allclose((fit.params.dropna() - beta) / sd, 0, atol=1e-7)
    residual = y - X @ beta
    deviance = np.linalg.slogdet(V)[1] + residual @ V_inverse @ residual + n * np.log(2 * np.pi)
    if fit.reml:
        deviance += np.linalg.slogdet(C)[1] - p * np.log(2 * np.pi)
    np.testing.assert_allclose(fit.deviance, deviance, rtol=1e-9, atol=1e-8)
    # Random effects and their covariance given y and beta: the covariance of b with y regressed on y.
    Z, Lambda = fit.Z.toarray(), fit.Lambda.toarray()
    prior = fit.sigma**2 * Lambda @ Lambda.T
    modes = prior @ Z.T @ V_inverse @ residual
    assert_close(vector(fit), modes, 1e-7)
    posterior = prior - prior @ Z.T @ V_inverse @ Z @ prior
    start = 0
    for group, effects in fit.random_effects.items():
        J, k = effects.shape
        own = posterior[start : start + J * k, start : start + J * k].reshape(J, k, J, k)
        start += J * k
        expected = own[np.arange(J), :, np.arange(J), :]
        unit = np.sqrt(np.diagonal(fit.random_cov[group]))
        difference = np.abs(fit.random_effects_cov[group] - expected)
        assert np.max(difference - 1e-8 * np.outer(unit, unit)) <= 0.0


@pytest.mark.parametrize(("name", "reml"), DENSE)
def test_dense_formulas(name, reml):
    assert_agrees_with_dense_formulas(fitted(name, reml=reml))


@pytest.mark.parametrize("reml", [True, False])
def test_shrinkage_of_the_pigs(reml):
    # n s_u^2 / (s^2 + n s_u^2) times the mean residual of each pig, nine weighings each.
    fit = fitted("pig", reml=reml)
    data = frame("pig")
    fixed = data["weight"] - fit.X.to_numpy() @ fit.params.to_numpy()
    s2_u, s2 = fit.random_cov["id.num"].to_numpy().item(), fit.sigma**2
    shrinkage = 9 * s2_u / (s2 + 9 * s2_u)
    expected = shrinkage * fixed.groupby(data["id.num"]).mean()
    np.testing.assert_allclose(fit.random_effects["id.num"]["Intercept"], expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(
        fit.random_effects_cov["id.num"].ravel(), np.full(48, s2_u * (1 - shrinkage)), rtol=1e-10
    )
    if reml:
        assert f"{shrinkage:.5f}" == "0.96876"


# Weights, offset, known sigma


def sleep():
    rng = np.random.default_rng(7)
    data = frame("sleepstudy")
    return data.assign(w=rng.uniform(0.3, 3, len(data)), shift=rng.normal(50, 20, len(data)))


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("sigma", [None, 20.0])
@pytest.mark.parametrize("formula", ["Reaction ~ Days + (Days|Subject)", "Reaction ~ Days + (1|Subject) + (1|Days)"])
def test_weights_offset_and_known_sigma_hold_throughout(formula, sigma, reml):
    data = sleep()
    fit = fit_quietly(formula, data, reml=reml, weights="w", offset="shift", sigma=sigma)
    assert_agrees_with_dense_formulas(fit)
    X, params = fit.X.to_numpy(), fit.params.to_numpy()
    assert_close(fit.fittedvalues, X @ params + fit.Z @ vector(fit) + data["shift"])
    np.testing.assert_allclose(fit.fittedvalues + fit.resid, data["Reaction"], rtol=1e-13)
    if sigma is not None:
        np.testing.assert_allclose(fit.sigma, sigma, rtol=1e-14)
        assert fit.n_params == 2 + len(fit.theta)
    weights, offset = data["w"].to_numpy(), list(data["shift"])
    arrays = fit_quietly(formula, data, reml=reml, weights=weights, offset=offset, sigma=sigma)
    assert arrays.deviance == fit.deviance
    pd.testing.assert_series_equal(arrays.fittedvalues, fit.fittedvalues)


def test_offset_in_the_formula():
    data = sleep()
    argument = lmm.fit("Reaction ~ Days + (1|Subject)", data, offset="shift")
    formula = lmm.fit("Reaction ~ Days + offset(shift) + (1|Subject)", data)
    np.testing.assert_allclose(formula.deviance, argument.deviance, rtol=1e-14)
    np.testing.assert_allclose(formula.params, argument.params, rtol=1e-12)


@pytest.mark.parametrize("reml", [True, False])
def test_known_sampling_variances_with_a_group_for_each_row(reml):
    milk = lmm.datasets.load("milk")
    fit = lmm.fit("yi ~ C(MajorArea) + (1|SmallArea)", milk, reml=reml, weights=1 / milk["SD"] ** 2, sigma=1)
    # Fay-Herriot model: mseFH of the R package sae 1.3 (R 4.2.2), iterated to 1e-12.
    reference = {
        True: (0.0185503347627664, [0.968188986974962, 0.132780305456741, 0.226946224520597, -0.241301039944626]),
        False: (0.0155175087124187, [0.967798625551159, 0.127875517563521, 0.22669088679866, -0.242580426338672]),
    }
    variance, beta = reference[reml]
    # sae stops when its scoring step is 1e-12 of the estimate.
    np.testing.assert_allclose(fit.random_cov["SmallArea"].to_numpy().item(), variance, rtol=1e-6)
    np.testing.assert_allclose(fit.params, beta, rtol=1e-6)
    if reml:
        errors = [0.069362208279257, 0.103000889948512, 0.092329961459503, 0.0816172170835789]
        np.testing.assert_allclose(fit.bse, errors, rtol=1e-6)
        np.testing.assert_allclose(
            fit.fittedvalues[:3], [1.02197054415061, 1.04760195144234, 1.06795142630424], rtol=1e-6
        )
    assert fit.sigma == 1.0
    assert fit.n_params == 5
    assert not fit.is_singular
    assert fit.n_groups == {"SmallArea": 43}
    assert_agrees_with_dense_formulas(fit)


# Missing values and aliased columns


def test_missing_rows_are_dropped_and_counted():
    data = frame("sleepstudy")
    data.loc[[3, 50, 51], "Reaction"] = np.nan
    data.loc[7, "Subject"] = np.nan
    data["Days"] = data["Days"].astype(float)
    data.loc[[3, 90], "Days"] = np.nan
    data["unused"] = np.nan
    fit = lmm.fit(MODELS["sleepstudy"][0], data)
    complete = data.drop(index=[3, 50, 51, 7, 90]).drop(columns="unused")
    other = lmm.fit(MODELS["sleepstudy"][0], complete)
    assert fit.nobs == 175
    assert fit.deviance == other.deviance
    pd.testing.assert_index_equal(fit.resid.index, complete.index)
    pd.testing.assert_series_equal(fit.resid, other.resid)
    assert "Rows dropped for missing values: 5" in str(fit.summary())
    with pytest.raises(lmm.DataError, match="5 of 180 rows have missing values"):
        lmm.fit(MODELS["sleepstudy"][0], data, na_action="raise")
    assert lmm.fit(MODELS["sleepstudy"][0], complete, na_action="raise").nobs == 175


def test_aliased_column_is_nan():
    fit, other = fitted("sleepstudy_aliased", reml=True), fitted("sleepstudy", reml=True)
    assert list(fit.params.index) == ["Intercept", "Days", "I(2 * Days)"]
    for series, expected in ((fit.params, other.params), (fit.bse, other.bse), (fit.tvalues, other.tvalues)):
        assert np.isnan(series["I(2 * Days)"])
        np.testing.assert_allclose(series.dropna(), expected, rtol=1e-12)
    assert list(fit.cov_params().index) == list(fit.X.columns) == ["Intercept", "Days"]
    assert fit.n_params == 6
    np.testing.assert_allclose(fit.deviance, other.deviance, rtol=1e-14)


def test_no_fixed_effects():
    data = frame("sleepstudy")
    data["Reaction"] -= data["Reaction"].mean()
    fit = lmm.fit("Reaction ~ 0 + (Days|Subject)", data, reml=False)
    assert fit.params.empty
    assert fit.cov_params().shape == (0, 0)
    assert fit.X.shape == (180, 0)
    assert fit.n_params == 4
    assert_close(fit.fittedvalues, fit.Z @ vector(fit))
    V, V_inverse, _ = dense(fit)
    y = data["Reaction"].to_numpy()
    np.testing.assert_allclose(
        fit.deviance, np.linalg.slogdet(V)[1] + y @ V_inverse @ y + 180 * np.log(2 * np.pi), rtol=1e-10
    )
    # Without fixed effects nothing is restricted.
    np.testing.assert_allclose(lmm.fit("Reaction ~ 0 + (Days|Subject)", data).deviance, fit.deviance, rtol=1e-12)
    assert "Number of obs: 180" in str(fit)


# Staying what it was


def assert_identical(one, other):
    assert one.deviance == other.deviance
    pd.testing.assert_series_equal(one.params, other.params, check_exact=True)
    pd.testing.assert_frame_equal(one.cov_params(), other.cov_params(), check_exact=True)
    pd.testing.assert_frame_equal(one.variance_components, other.variance_components, check_exact=True)
    pd.testing.assert_series_equal(one.fittedvalues, other.fittedvalues, check_exact=True)
    for group, effects in one.random_effects.items():
        pd.testing.assert_frame_equal(effects, other.random_effects[group], check_exact=True)
        np.testing.assert_array_equal(one.random_effects_cov[group], other.random_effects_cov[group])
    assert str(one.summary()) == str(other.summary())


@pytest.mark.parametrize("round_trip", [lambda fit: pickle.loads(pickle.dumps(fit)), copy.deepcopy, copy.copy])  # noqa: S301 - our own bytes
@pytest.mark.parametrize("used", [False, True], ids=["fresh", "used"])
@pytest.mark.parametrize("name", ["sleepstudy", "pastes", "oats", "lamb", "sleepstudy_spline", "cake"])
def test_round_trip(name, used, round_trip):
    fit = fit_quietly(MODELS[name][0], frame(name))
    if used:
        str(fit.summary())
        _ = fit.random_effects_cov, fit.resid
    other = round_trip(fit)
    assert_identical(fit, other)
    # The copy can still work, not only remember.
    np.testing.assert_allclose(refit_quietly(other, fit.design.y).deviance, fit.deviance, rtol=1e-12)


def test_copy_after_use_of_every_property():
    fit = fit_quietly(MODELS["oats"][0], frame("oats"))
    for name in dir(type(fit)):
        if isinstance(getattr(type(fit), name), property):
            getattr(fit, name)
    assert_identical(pickle.loads(pickle.dumps(fit)), fit)  # noqa: S301 - our own bytes


def test_unchanged_when_the_data_change():
    data = sleep()
    weights, offset = data["w"].to_numpy(copy=True), data["shift"].to_numpy(copy=True)
    fit = lmm.fit("Reaction ~ Days + (Days|Subject)", data, weights=weights, offset=offset)
    expected = lmm.fit("Reaction ~ Days + (Days|Subject)", sleep(), weights="w", offset="shift")
    for column in ("Reaction", "Days"):
        data[column].to_numpy(copy=False)
        data[column] = 0
    data.loc[:, "w"] = 1.0
    data["Subject"] = "x"
    data.index = data.index + 1000
    weights[:] = 1.0
    offset[:] = 0.0
    assert_identical(fit, expected)
    np.testing.assert_allclose(fit.refit(fit.design.y).deviance, fit.deviance, rtol=1e-12)


def test_unchanged_when_arrays_behind_the_data_change():
    # A frame made without copying shares its memory with the array that it was made from.
    base = frame("sleepstudy")
    values = np.column_stack([base["Reaction"], base["Days"], base["Subject"].cat.codes]).astype(float)
    data = pd.DataFrame(values, columns=["Reaction", "Days", "Subject"], copy=False)
    fit = lmm.fit("Reaction ~ Days + (Days|Subject)", data)
    deviance, resid = fit.deviance, fit.resid.copy()
    values[:] = 0.0
    assert fit.deviance == deviance
    pd.testing.assert_series_equal(fit.resid, resid)
    pd.testing.assert_series_equal(fit.fittedvalues + fit.resid, base["Reaction"], check_names=False)


def test_unchanged_when_results_are_changed():
    fit = fit_quietly(MODELS["pastes"][0], frame("pastes"))
    expected = fit_quietly(MODELS["pastes"][0], frame("pastes"))
    for name in ("params", "bse", "fittedvalues", "resid"):
        series = getattr(fit, name)
        series.iloc[:] = 0.0
    components = fit.variance_components
    components["vcov"] = 0.0
    frames = [fit.cov_params(), fit.X, *fit.random_cov.values(), *fit.random_effects.values()]
    for table in frames:
        table.iloc[:, :] = 0.0
    for covariance in fit.random_effects_cov.values():
        covariance[:] = 0.0
    with pytest.raises(ValueError, match="read-only"):
        fit.modes[0][:] = 0.0
    fit.theta[:] = 0.0
    fit.Z.data[:] = 0.0
    fit.Lambda.data[:] = 0.0
    assert_identical(fit, expected)
    np.testing.assert_array_equal(fit.Z.toarray(), expected.Z.toarray())


# The index of the data


@pytest.mark.parametrize(
    "index",
    [
        pd.Index(np.arange(180) % 7, name="day"),
        pd.Index([f"row {i}" for i in range(180)]),
        pd.Index(np.linspace(5, -5, 180)),
        pd.date_range("2001-01-01", periods=180, freq="D"),
        pd.MultiIndex.from_product([range(18), list("abcdefghij")], names=["subject", "day"]),
        pd.CategoricalIndex(["a", "b", "c"] * 60),
    ],
    ids=["duplicated", "strings", "floats", "dates", "multi", "categories"],
)
@pytest.mark.parametrize("missing", [False, True], ids=["complete", "missing"])
def test_index_comes_back(index, missing):
    data = frame("sleepstudy").set_index(index)
    used = np.ones(180, dtype=bool)
    if missing:
        used[[4, 100]] = False
        data["Reaction"] = data["Reaction"].where(used)
    fit = lmm.fit(MODELS["sleepstudy"][0], data)
    for rows in (fit.resid, fit.fittedvalues, fit.X):
        pd.testing.assert_index_equal(rows.index, index[used])
    np.testing.assert_allclose(fit.fittedvalues + fit.resid, data["Reaction"][used], rtol=1e-14)


# refit


@pytest.mark.parametrize("name", ["sleepstudy", "penicillin", "oats", "lamb", "pig"])
@pytest.mark.parametrize("reml", [True, False])
def test_refit_reproduces_the_fit(name, reml):
    fit = fitted(name, reml=reml)
    with np.errstate(all="raise"):
        again = refit_quietly(fit, fit.design.y)
    np.testing.assert_allclose(again.deviance, fit.deviance, rtol=1e-12)
    np.testing.assert_allclose(again.params, fit.params, rtol=1e-7)
    assert again.reml is fit.reml
    assert again.is_singular is fit.is_singular


def refit_quietly(fit, y):
    if fit.is_singular:
        with pytest.warns(lmm.SingularFitWarning):
            return fit.refit(y)
    return fit.refit(y)


def test_refit_fits_the_new_response():
    data = sleep()
    fit = lmm.fit("Reaction ~ Days + (Days|Subject)", data, weights="w", offset="shift", sigma=22.0, reml=False)
    y = data["Reaction"].to_numpy() + np.random.default_rng(3).normal(0, 30, 180)
    new = lmm.fit(
        "Reaction ~ Days + (Days|Subject)", data.assign(Reaction=y), weights="w", offset="shift", sigma=22.0, reml=False
    )
    for response in (y, list(y), pd.Series(y, index=data.index)):
        again = fit.refit(response)
        np.testing.assert_allclose(again.deviance, new.deviance, rtol=1e-12)
        np.testing.assert_allclose(again.params, new.params, rtol=1e-8)
        np.testing.assert_allclose(again.theta, new.theta, rtol=1e-5)
        np.testing.assert_allclose(again.fittedvalues + again.resid, y, rtol=1e-14)
    # The first fit is as before.
    np.testing.assert_array_equal(fit.design.y, data["Reaction"])
    y[:] = 0.0
    np.testing.assert_allclose(again.deviance, new.deviance, rtol=1e-12)


def test_refit_leaves_a_boundary_that_the_new_response_does_not_have():
    fit = fitted("lamb", reml=False)
    assert fit.theta.tolist() == [0.0]
    data = frame("lamb")
    y = data["Weight"] + 3.0 * np.random.default_rng(4).normal(size=23)[data["Sire"].cat.codes]
    expected = lmm.fit(MODELS["lamb"][0], data.assign(Weight=y), reml=False)
    again = fit.refit(y)
    assert not again.is_singular
    np.testing.assert_allclose(again.deviance, expected.deviance, rtol=1e-10)


@pytest.mark.parametrize("y", [np.zeros(179), 3.0, []])
def test_refit_refuses_another_length(y):
    with pytest.raises(lmm.DataError, match="one response for each of the 180 rows"):
        fitted("sleepstudy", reml=True).refit(y)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_refit_refuses_what_is_not_finite(bad):
    y = np.arange(180.0)
    y[[3, 9]] = bad
    with pytest.raises(lmm.DataError, match="2 values that are not finite"):
        fitted("sleepstudy", reml=True).refit(y)


def test_repr_of_the_optimum_is_one_line():
    shown = repr(fitted("sleepstudy", reml=True).optimum)
    # The design is balanced, so the moment estimates that the search starts from are those of REML.
    assert shown == "<Optimum certified after 1 evaluation: deviance 1743.628272>"
    assert repr(fitted("lamb", reml=False).optimum).endswith(", on the boundary>")
    with pytest.warns(lmm.ConvergenceWarning):
        stopped = lmm.fit(
            MODELS["sleepstudy"][0], frame("sleepstudy"), reml=False, control=lmm.Control(max_evaluations=2)
        )
    assert repr(stopped.optimum).startswith("<Optimum not converged after 2 evaluations: deviance ")


def test_repr_is_one_line():
    fit = fitted("sleepstudy", reml=True)
    assert repr(fit) == "<FittedModel 'Reaction ~ Days + (Days|Subject)': 180 rows, REML criterion 1743.6283>"
    assert repr(fitted("sleepstudy", reml=False)).endswith("deviance 1751.9393>")


def test_import_is_light():
    # Whoever imports lmm without fitting waits for none of the heavy packages.
    code = "import sys, lmm; print([name for name in ('numpy', 'pandas', 'scipy', 'formulaic') if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert run.stdout.strip() == "[]"


def test_public_names_are_there():
    for name in lmm.__all__:
        assert getattr(lmm, name) is not None
        assert name in dir(lmm)
    assert "checks" not in dir(lmm)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = lmm.no_such_name


@pytest.mark.parametrize("noise", [0.0, 1e-9, 1e-8])
def test_a_response_that_groups_and_covariates_fit_exactly_is_refused(noise):
    g = np.repeat(np.arange(6), 4)
    x = np.tile(np.arange(4.0), 6)
    y = 2.0 * x + np.array([1.0, 5.0, 2.0, 8.0, 3.0, 0.0])[g] + noise * np.random.default_rng(0).normal(size=24)
    with pytest.raises(lmm.ModelError, match=r"^Fixed and random effects together fit the response exactly") as caught:
        lmm.fit("y ~ x + (1 | g)", pd.DataFrame({"y": y, "x": x, "g": g}))
    for advice in ("columns of the formula (x)", "6 of (Intercept | g), for 24 rows", "values of `y` are not rounded"):
        assert advice in str(caught.value)


def test_results_that_hold_arrays_are_equal_to_themselves_only():
    fit = fitted("sleepstudy", reml=True)
    fixed = lmm.fit("Reaction ~ Days", frame("sleepstudy"), allow_fixed=True)
    makers = (
        lambda: fixed.refit(fixed.design.y),
        lambda: lmm.lrt(fixed, fit),
        lambda: lmm.r2(fit),
        lambda: lmm.icc(fit),
        lambda: lmm.estimability(fit),
        lambda: fit.influence(by="Subject"),
        lambda: fit.bootstrap(5, rng=1),
        lambda: fit.random_pca()["Subject"],
    )
    for make in makers:
        one, other = make(), make()
        assert one == one  # noqa: PLR0124 - this is the point
        assert one != other
        assert len({one, other}) == 2
    assert fit.contrast("Days = 8") == fit.contrast("Days = 8")


@pytest.mark.parametrize("name", ["random_effects", "random_cov", "random_effects_cov", "n_groups", "random_pca"])
def test_a_group_that_is_none_is_refused_with_those_there_are(name):
    fit = fitted("pastes", reml=True)
    results = getattr(fit, name)() if name == "random_pca" else getattr(fit, name)
    for error in (KeyError, lmm.LMMError):
        with pytest.raises(error, match="no grouping factor 'Batch'; did you mean 'batch'") as caught:
            results["Batch"]
    assert str(caught.value).endswith("Results are by grouping factor: 'batch:cask', 'batch'")
    with pytest.raises(KeyError, match="no grouping factor 0; Results are by"):
        results[0]
    assert isinstance(results, dict)
    assert results.get("Batch") is None
    assert "Batch" not in results
    again = pickle.loads(pickle.dumps(results))  # noqa: S301 - our own bytes
    assert list(again) == list(results)
    with pytest.raises(KeyError, match="did you mean 'batch'"):
        again["Batch"]
