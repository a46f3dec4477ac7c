"""Fisher information and what is made of it, against dense formulas and R."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import lmm
from conftest import SINGULAR, SMALL, fit_quietly, fitted, frame
from lmm.inference.forms import fixed_products, quadratic_forms
from lmm.inference.traces import trace_products
from test_residuals import crossed, in_stages

# R 4.2.2, dense formulas at the optimum; see "source" in the file.
REFERENCE = json.loads((Path(__file__).parent / "reference_inference.json").read_text())["fisher"]


def nested(n_top=9, n_middle=8, n_inner=2, *, slopes=False):
    """Three nested levels: the tail has more than 60 levels, few of which meet, so it is eliminated in stages."""
    rng = np.random.default_rng(4)
    n = n_top * n_middle * n_inner * 3
    top = np.repeat(np.arange(n_top), n // n_top)
    middle = np.repeat(np.arange(n_top * n_middle), n // (n_top * n_middle))
    inner = np.repeat(np.arange(n_top * n_middle * n_inner), 3)
    x = rng.normal(size=n)
    effects = [rng.normal(size=code.max() + 1)[code] for code in (top, middle, inner)]
    y = 1.0 + x + sum(effects) + rng.normal(size=n) + (rng.normal(size=n_top * n_middle)[middle] * x if slopes else 0)
    return pd.DataFrame({"y": y, "x": x, "top": top, "middle": middle, "inner": inner})


STAGED = {
    "staged": "y ~ x + (1 | inner) + (1 | middle) + (1 | top)",
    "staged_slopes": "y ~ x + (1 | inner) + (x | middle) + (1 | top)",
    "staged_first_slopes": "y ~ x + (x | inner) + (x || middle) + (1 | top)",
}


def model(name):
    return fit_quietly(STAGED[name], nested(slopes=True)) if name in STAGED else fitted(name, reml=True)


def dense(fit, at, directions):
    """V, its changes V_i, X and y in the standardised basis, from the rows themselves."""
    weights = fit.design.weights
    root = np.ones(fit.nobs) if weights is None else np.sqrt(weights)
    V, changes = np.eye(fit.nobs), []
    cross = fit.deviance_function.cross
    for place, t in enumerate(cross.order):
        factor = fit.factors[t]
        columns = (root[:, None] * factor.columns) @ fit.basis.bases[t]
        together = factor.codes[:, None] == factor.codes
        T = at.factors[place]
        V += together * (columns @ T @ T.T @ columns.T)
        changes.extend(together * (columns @ S @ columns.T) for S in directions[place])
    X = (root[:, None] * fit.design.X) @ fit.basis.R_inverse
    y = root * fit.design.y
    return V, changes, X, (y - X @ (X.T @ y)) / fit.basis.scale


def random_directions(fit, rng):
    """A few symmetric changes of each block."""
    directions = []
    for k, _ in fit.deviance_function.cross.sizes:
        S = rng.normal(size=(min(k * (k + 1) // 2, 3), k, k))
        directions.append(S + S.transpose(0, 2, 1))
    return directions


@pytest.mark.parametrize("at_zero", [False, True], ids=["inside", "last variance zero"])
@pytest.mark.parametrize(
    "name", ["lamb", "sleepstudy", "sitka", "oats", "penicillin", "pastes", "machines", "cornsoybean", *STAGED]
)
def test_forms_equal_dense_formulas(name, at_zero):
    fit = model(name)
    rng = np.random.default_rng(1)
    deviance = fit.deviance_function
    theta = fit.optimum.theta + rng.uniform(0.2, 0.5, size=deviance.n_theta)
    if at_zero:
        theta[-1] = 0.0
    at = deviance.evaluate(theta)
    directions = random_directions(fit, rng)
    V, changes, X, y = dense(fit, at, directions)
    inverse = np.linalg.inv(V)
    C = X.T @ inverse @ X
    P = inverse - inverse @ X @ np.linalg.solve(C, X.T @ inverse)
    m = len(changes)

    traces = trace_products(deviance, at, directions)
    halves = [inverse @ a for a in changes]
    expected = np.array([[np.sum(a * b.T) for b in halves] for a in halves])
    np.testing.assert_allclose(traces, expected, rtol=1e-9, atol=1e-10 * np.abs(expected).max())

    forms = quadratic_forms(deviance, at, directions)
    sigma2 = at.rho2 / deviance.nu
    full = [*changes, V]  # the last direction is sigma^2
    products = [P @ a for a in full]
    working = [a @ P @ y for a in full]
    for i in range(m + 1):
        for j in range(m + 1):
            expected = 0.5 * np.sum(products[i] * products[j].T)
            assert forms.expected[i, j] == pytest.approx(expected, rel=1e-8, abs=1e-7)
            average = 0.5 * (working[i] @ P @ working[j]) / sigma2
            assert forms.average[i, j] == pytest.approx(average, rel=1e-8, abs=1e-7)
    half = np.linalg.inv(np.linalg.cholesky(C)) @ X.T @ inverse
    fixed = fixed_products(deviance, at, directions)
    for i, a in enumerate(full):
        np.testing.assert_allclose(forms.K[i], half @ a @ half.T, atol=1e-8 * max(np.abs(forms.K[i]).max(), 1e-3))
        k = half @ a @ P @ y / np.sqrt(at.rho2)
        np.testing.assert_allclose(forms.k[i], k, atol=1e-8 * max(np.abs(forms.k).max(), 1e-3))
        for j in (0, m):
            Q = (half @ a) @ inverse @ (full[j] @ half.T)
            np.testing.assert_allclose(fixed[i, j], Q, atol=1e-8 * max(np.abs(Q).max(), 1e-3))


@pytest.mark.parametrize("method", ["ML", "REML"])
@pytest.mark.parametrize("name", REFERENCE)
def test_reference(name, method):
    reference = REFERENCE[name][method]
    fit = fitted(name, reml=method == "REML")
    names = reference["names"]

    def close(matrix, expected):
        scale = np.sqrt(np.abs(np.outer(np.diagonal(expected), np.diagonal(expected))))
        np.testing.assert_array_less(np.abs(matrix - np.array(expected)), 1e-6 * scale + 1e-300)

    information = fit.information().loc[names, names].to_numpy()
    close(information, reference["expected"])
    close(fit.information("average").loc[names, names].to_numpy(), reference["average"])
    close(fit.cov_variance().loc[names, names].to_numpy(), reference["cov"])
    observed = fit.information("observed")
    if method == "REML":
        close(observed.loc[names, names].to_numpy(), reference["observed"])
    else:
        # R's has beta profiled out: the Schur complement of ours.
        fixed = list(fit.params.index)
        cross = observed.loc[fixed, names].to_numpy()
        own = observed.loc[names, names].to_numpy()
        close(own - cross.T @ np.linalg.solve(observed.loc[fixed, fixed].to_numpy(), cross), reference["observed"])
    inverse = np.linalg.inv(fit.information().loc[list(fit.params.index), list(fit.params.index)])
    np.testing.assert_allclose(inverse, fit.cov_params(), rtol=1e-8)


def test_lamb_document():
    # The matrices printed in the lamb analysis, five decimals.
    ml = fitted("lamb", reml=False).cov_variance()
    np.testing.assert_allclose(ml, [[0.08826, -0.08826], [-0.08826, 0.37297]], atol=5e-6)
    reml = fitted("lamb", reml=True).cov_variance()
    np.testing.assert_allclose(reml, [[0.44924, -0.18316], [-0.18316, 0.45614]], atol=5e-6)
    assert list(reml.index) == list(reml.columns) == ["Sire", "Residual"]


@pytest.mark.parametrize("reml", [False, True])
def test_observed_information_is_the_curvature_of_the_likelihood(reml):
    # Second differences of the dense log-likelihood in the variances themselves, beta profiled out.
    fit = fitted("pastes", reml=reml)
    X, y = fit.X.to_numpy(), fit.design.y
    Z = [np.eye(f.n_levels)[f.codes] for f in fit.factors]

    def llf(phi):
        V = phi[-1] * np.eye(len(y)) + sum(v * z @ z.T for v, z in zip(phi, Z, strict=False))
        inverse = np.linalg.inv(V)
        C = X.T @ inverse @ X
        r = y - X @ np.linalg.solve(C, X.T @ inverse @ y)
        extra = np.linalg.slogdet(C)[1] if reml else 0.0
        return -0.5 * (np.linalg.slogdet(V)[1] + r @ inverse @ r + extra)

    phi = fit.variance_components["vcov"].to_numpy()
    step = 1e-3 * phi
    m = len(phi)
    hessian = np.empty((m, m))
    for i in range(m):
        for j in range(m):
            e_i, e_j = step * (np.arange(m) == i), step * (np.arange(m) == j)
            corners = llf(phi + e_i + e_j) - llf(phi + e_i - e_j) - llf(phi - e_i + e_j) + llf(phi - e_i - e_j)
            hessian[i, j] = corners / (4.0 * step[i] * step[j])
    observed = np.linalg.inv(fit.cov_variance("observed"))
    np.testing.assert_allclose(observed, -hessian, rtol=2e-4, atol=2e-4 * np.abs(hessian).max())


def test_kinds_are_refused_in_words():
    fit = fitted("lamb", reml=False)
    for method in (fit.information, fit.cov_variance, lambda kind: fit.variance_components_table(kind=kind)):
        with pytest.raises(lmm.ArgumentError, match=r"kind must be one of .*; got 'fisher'"):
            method("fisher")
    with pytest.raises(lmm.ModelError, match=r"observed information of Sire, Residual is not positive definite"):
        fit.cov_variance("observed")


def test_known_sigma_has_no_residual_parameter():
    data = frame("sleepstudy")
    fit = lmm.fit("Reaction ~ Days + (1 | Subject)", data, sigma=30.0)
    assert list(fit.cov_variance().index) == ["Subject"]
    Z = np.eye(18)[fit.factors[0].codes]
    V = 900.0 * np.eye(180) + float(fit.random_cov["Subject"].iloc[0, 0]) * Z @ Z.T
    inverse = np.linalg.inv(V)
    X = fit.X.to_numpy()
    P = inverse - inverse @ X @ np.linalg.solve(X.T @ inverse @ X, X.T @ inverse)
    expected = 0.5 * np.sum((P @ Z @ Z.T) * (P @ Z @ Z.T).T)
    assert fit.information().loc["Subject", "Subject"] == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("name", SMALL)
def test_tables_exist_for_every_model(name):
    fit = fitted(name, reml=True)
    table = fit.variance_components_table()
    assert len(table) == len(fit.variance_components)
    singular = (name, True) in SINGULAR
    inside = table[table["note"] == ""]
    assert (inside["lower"] < inside["sdcor"]).all()
    assert (inside["sdcor"] < inside["upper"]).all()
    assert (len(inside) < len(table)) == singular
    correlations = inside[inside["var2"].notna()]
    assert (correlations[["lower", "upper"]].abs() <= 1.0).all(axis=None)


def test_boundary_has_a_note_instead_of_limits():
    table = fitted("lamb", reml=False).variance_components_table()
    assert table.loc[0, "note"] == "on the boundary: no Wald interval; use the profile or the bootstrap"
    assert table.loc[0, ["lower", "upper", "sdcor_std_error"]].isna().all()
    assert table.loc[0, "std_error"] == pytest.approx(0.297087228, rel=1e-6)
    assert table.loc[1, "lower"] > 0.0


def test_limits_are_symmetric_on_their_own_scales():
    table = fitted("sleepstudy", reml=True).variance_components_table(level=0.9)
    sd, correlation = table.iloc[0], table.iloc[2]
    assert sd["lower"] * sd["upper"] == pytest.approx(sd["sdcor"] ** 2)
    assert np.log(sd["upper"] / sd["sdcor"]) == pytest.approx(1.6448536 * sd["sdcor_std_error"] / sd["sdcor"])
    assert sd["sdcor_std_error"] == pytest.approx(sd["std_error"] / (2.0 * sd["sdcor"]))
    z = np.arctanh(correlation[["lower", "sdcor", "upper"]].to_numpy(dtype=float))
    assert z[2] - z[1] == pytest.approx(z[1] - z[0])
    # The delta method against a direct difference quotient.
    fit = fitted("sleepstudy", reml=True)
    cov = fit.cov_variance().to_numpy()
    phi = fit.variance_components["vcov"].to_numpy()

    def rho(values):
        return values[2] / np.sqrt(values[0] * values[1])

    gradient = [
        (rho(phi + h * (np.arange(4) == i)) - rho(phi - h * (np.arange(4) == i))) / (2 * h)
        for i, h in enumerate(1e-5 * np.abs(phi))
    ]
    assert correlation["sdcor_std_error"] == pytest.approx(np.sqrt(gradient @ cov @ gradient), rel=1e-6)


@pytest.mark.parametrize("name", ["sleepstudy", "sleepstudy_double_bar", "penicillin", "oats_split", "machines"])
def test_variance_parameters_have_one_name_and_one_order(name):
    fit = fitted(name, reml=True)
    names = list(fit.cov_variance().index)
    p = len(fit.params)
    assert list(fit.information().index) == [*fit.params.index, *names]
    assert list(fit.bootstrap(2, rng=1).estimates) == [*fit.params.index, *names, "sigma"]
    assert [*fit.refit(fit.simulate(2, rng=1).T)][2 * p : -3] == names
    assert list(fit.profile(names[-1]).names) == [*fit.params.index, *names]
    table = fit.variance_components_table()
    pd.testing.assert_frame_equal(table[fit.variance_components.columns], fit.variance_components)
    alone = {group for group, effects in fit.random_cov.items() if len(effects) == 1}
    labels = table[["group", "var1", "var2"]].itertuples(index=False)
    assert [row[0] if row[0] in alone else ".".join(x for x in row if isinstance(x, str)) for row in labels] == names
    tidy = fit.tidy("ran_pars")
    assert list(tidy["group"]) == list(table["group"])
    np.testing.assert_array_equal(tidy["estimate"], table["sdcor"])


@pytest.mark.parametrize("group", ["Days", "Residual", "sigma", "Subject"])
def test_no_two_parameters_share_a_name(group):
    # a trend over years and a deviation of each year is an ordinary model
    data = frame("sleepstudy").assign(Reaction=lambda d: d["Reaction"] + 30.0 * np.sin(7.0 * d["Days"]))
    if group in ("Residual", "sigma"):
        data = data.rename(columns={"Subject": group})
    fit = lmm.fit(f"Reaction ~ Days + (1 | {group})", data)
    name = group if group == "Subject" else f"{group}.Intercept"
    assert list(fit.information().index) == ["Intercept", "Days", name, "Residual"]
    assert list(fit.cov_variance().index) == [name, "Residual"]
    assert list(fit.bootstrap(5, rng=1).estimates) == ["Intercept", "Days", name, "Residual", "sigma"]
    assert list(fit.profile(name).conf_int().index) == [name]
    assert list(fit.influence(by=group, exact=True).variance_components) == [name, "Residual"]
    assert list(fit.random_effects) == [group]


@pytest.mark.parametrize("fit", [lambda: in_stages(seed=7), lambda: crossed(seed=1)])
def test_traces_are_the_same_at_once_and_some_columns_at_a_time(fit, monkeypatch):
    fit = fit()
    deviance, at = fit.deviance_function, fit.optimum.evaluation
    directions = deviance.tangent_directions(at)
    found = []
    for share in (np.inf, 0.0):
        monkeypatch.setattr("lmm.inference.traces.MOSTLY_CORE", share)
        found.append(trace_products(deviance, at, directions))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9)
