"""Predictions, simulated responses and the joint covariance, against dense formulas, lme4 and Monte Carlo."""

import re

import numpy as np
import pandas as pd
import pytest

import lmm
from conftest import MODELS, fit_quietly, fitted, frame

# The core reaches the same numbers by another way than the dense formulas here.
EXACT = 1e-8
# lme4's estimates are those of its optimiser, refined: eight digits.
AGAINST_LME4 = 1e-7
# Monte Carlo means and variances lie within this many of their standard errors.
SIGMAS = 5.0


def sleep(**columns):
    rng = np.random.default_rng(7)
    data = frame("sleepstudy").assign(
        w=rng.uniform(0.3, 3, 180), shift=rng.normal(50, 20, 180), day=np.arange(180) % 10
    )
    return data.assign(**columns)


# name: (formula, data, options of the fit)
CASES = {
    "one factor": (MODELS["sleepstudy"][0], sleep(), {}),
    "one factor, ML": (MODELS["sleepstudy"][0], sleep(), {"reml": False}),
    "uncorrelated": (MODELS["sleepstudy_double_bar"][0], sleep(), {}),
    "crossed": (MODELS["penicillin"][0], frame("penicillin"), {}),
    "nested": (MODELS["oats_split"][0], frame("oats"), {}),
    "nested slopes, singular": (MODELS["oats"][0], frame("oats"), {}),
    "zero variance": (MODELS["lamb"][0], frame("lamb"), {"reml": False}),
    "categories by group": (MODELS["machines"][0], frame("machines"), {}),
    "aliased": (MODELS["sleepstudy_aliased"][0], sleep(), {}),
    "without fixed effects": ("Reaction ~ 0 + (Days|Subject)", sleep(), {}),
    "spline": (MODELS["sleepstudy_spline"][0], sleep(), {}),
    "weights": (MODELS["sleepstudy"][0], sleep(), {"weights": "w"}),
    "weights by expression": (MODELS["sleepstudy"][0], sleep(), {"weights": "1 / w^2"}),
    "offset": (MODELS["sleepstudy"][0], sleep(), {"offset": "shift"}),
    "offset in the formula": ("Reaction ~ Days + offset(shift / 2) + (Days|Subject)", sleep(), {"offset": "shift"}),
    "known sigma": (MODELS["sleepstudy"][0], sleep(), {"sigma": 30.0}),
    "crossed, all at once": (
        "Reaction ~ Days + (Days|Subject) + (1|day)",
        sleep(),
        {"weights": "w", "offset": "shift", "sigma": 20.0},
    ),
}


@pytest.fixture(params=CASES)
def case(request):
    formula, data, options = CASES[request.param]
    return fit_quietly(formula, data, **options), data


def vector(fit):
    """Random effects in the order of the columns of Z."""
    return np.concatenate([effects.to_numpy().ravel() for effects in fit.random_effects.values()])


class Dense:
    """G, B and C of a fit, relative to sigma^2, from q x q and n x q matrices."""

    def __init__(self, fit):
        self.fit = fit
        X, Z, Lambda = fit.X.to_numpy(), fit.Z.toarray(), fit.Lambda.toarray()
        self.weights = np.ones(fit.nobs) if fit.design.weights is None else fit.design.weights
        W = np.diag(self.weights)
        self.G = Lambda @ np.linalg.inv(Lambda.T @ Z.T @ W @ Z @ Lambda + np.eye(Z.shape[1])) @ Lambda.T
        self.B = self.G @ Z.T @ W @ X
        self.C_inverse = np.linalg.inv(X.T @ W @ X - X.T @ W @ Z @ self.B)
        self.Sigma = Lambda @ Lambda.T

    def variance(self, x, z):
        """Variance of the errors of the means of rows x (m, p), z (m, q)."""
        left = x - z @ self.B
        relative = np.einsum("ia,ab,ib->i", left, self.C_inverse, left) + np.einsum("ia,ab,ib->i", z, self.G, z)
        return self.fit.sigma**2 * relative

    def joint(self):
        """Covariance of (beta-hat, b-hat - b), from the mixed model equations."""
        p, q = self.B.shape[1], len(self.G)
        errors = np.vstack([np.eye(p), -self.B])
        joint = errors @ self.C_inverse @ errors.T
        joint[p:, p:] += self.G
        assert joint.shape == (p + q, p + q)
        return self.fit.sigma**2 * joint


def assert_close(actual, expected, tolerance=EXACT):
    scale = float(np.max(np.abs(np.asarray(expected)), initial=0.0)) or 1.0
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)


def offset_of(fit, rows):
    return 0.0 if fit.design.offset is None else fit.design.offset[rows]


# Against dense formulas


def test_standard_errors_of_new_rows(case):
    fit, data = case
    dense = Dense(fit)
    rows = np.random.default_rng(1).permutation(len(data))[: len(data) // 2]
    new = data.iloc[rows].drop(columns=fit.design.response_name)
    x, z = fit.X.to_numpy()[rows], fit.Z.toarray()[rows]
    mean = x @ fit.params.dropna().to_numpy() + z @ vector(fit) + offset_of(fit, rows)
    confidence = fit.predict(new, interval="confidence")
    pd.testing.assert_index_equal(confidence.index, new.index)
    assert list(confidence.columns) == ["fit", "se", "lower", "upper"]
    assert_close(confidence["fit"], mean)
    assert_close(confidence["se"] ** 2, dense.variance(x, z))
    prediction = fit.predict(new, interval="prediction", level=0.8)
    pd.testing.assert_series_equal(prediction["fit"], confidence["fit"])
    assert_close(prediction["se"] ** 2, dense.variance(x, z) + fit.sigma**2 / dense.weights[rows])
    # the normal quantiles of 97.5 and of 90 per cent
    for table, quantile in ((confidence, 1.959963984540054), (prediction, 1.2815515655446004)):
        np.testing.assert_allclose(table["upper"] - table["fit"], quantile * table["se"], rtol=1e-12)
        np.testing.assert_allclose(table["fit"] - table["lower"], quantile * table["se"], rtol=1e-12)
    pd.testing.assert_series_equal(fit.predict(new), confidence["fit"], check_names=False)


def test_standard_errors_of_the_rows_of_the_fit(case):
    fit, data = case
    pd.testing.assert_series_equal(fit.predict(), fit.fittedvalues, check_exact=True)
    for interval in ("confidence", "prediction"):
        own, new = fit.predict(interval=interval), fit.predict(data, interval=interval)
        pd.testing.assert_frame_equal(own, new, rtol=1e-10)
    pd.testing.assert_series_equal(own["fit"], fit.fittedvalues, check_names=False)


def test_population(case):
    fit, data = case
    x = fit.X.to_numpy()
    expected = x @ fit.params.dropna().to_numpy() + offset_of(fit, slice(None))
    variance = np.einsum("ia,ab,ib->i", x, fit.cov_params().to_numpy(), x)
    groups = {name for group in fit.n_groups for name in group.split(":")}
    new = data.drop(columns=[name for name in groups if name not in fit.design.formula.text.split("(")[0]])
    for newdata in (None, new):
        table = fit.predict(newdata, random=False, interval="confidence")
        assert_close(table["fit"], expected)
        assert_close(table["se"] ** 2, variance)


def test_new_levels(case):
    fit, data = case
    dense = Dense(fit)
    Z = fit.Z.toarray()
    start = 0
    for factor in fit.factors:
        columns = slice(start, start + factor.n_levels * len(factor.effects))
        start = columns.stop
        if ":" in factor.group:
            continue
        # every second row belongs to somebody new; so do its cells
        label = 10**6 if data[factor.group].dtype.kind in "iu" else "somebody new"
        labels = data[factor.group].astype(object).to_numpy().copy()
        labels[::2] = label
        new = data.assign(**{factor.group: labels})
        with pytest.raises(lmm.DataError, match="that the fit did not have"):
            fit.predict(new)
        nested = [other for other in fit.factors if factor.group in other.group.split(":")]
        z, prior = Z.copy(), np.zeros(fit.nobs)
        position = 0
        for other in fit.factors:
            k = len(other.effects)
            if other in nested:
                own = slice(position, position + k * other.n_levels)
                cov = fit.random_cov[other.group].to_numpy()
                prior[::2] += np.einsum("ia,ab,ib->i", other.columns, cov, other.columns)[::2]
                z[::2, own] = 0.0
            position += k * other.n_levels
        x = fit.X.to_numpy()
        mean = x @ fit.params.dropna().to_numpy() + z @ vector(fit) + offset_of(fit, slice(None))
        fixed = {name for term in fit.design.formula.fixed.terms for name in term}
        if factor.group in fixed:
            continue
        table = fit.predict(new, new_levels="population", interval="confidence")
        assert_close(table["fit"], mean)
        assert_close(table["se"] ** 2, dense.variance(x, z) + prior)


def test_joint_covariance(case):
    fit, data = case
    dense = Dense(fit)
    joint = fit.joint_cov()
    p = len(fit.X.columns)
    assert_close(joint, dense.joint())
    np.testing.assert_array_equal(joint, joint.T)
    assert list(joint.index) == list(joint.columns)
    assert joint.index.names == ["group", "level", "effect"]
    assert list(joint.index[:p]) == [("fixed", "", name) for name in fit.X.columns]
    np.testing.assert_allclose(joint.iloc[:p, :p], fit.cov_params(), rtol=1e-14)
    # its diagonal gives the standard errors of predictions
    rows = np.hstack([fit.X.to_numpy(), fit.Z.toarray()])
    variance = np.einsum("ia,ab,ib->i", rows, joint.to_numpy(), rows)
    assert_close(fit.predict(data, interval="confidence")["se"] ** 2, variance)
    # Given beta, the random effects have their conditional covariances.
    given = joint.to_numpy()[p:, p:] - dense.B @ fit.cov_params().to_numpy() @ dense.B.T
    start = 0
    for group, covariances in fit.random_effects_cov.items():
        J, k, _ = covariances.shape
        own = given[start : start + J * k, start : start + J * k].reshape(J, k, J, k)
        start += J * k
        unit = np.max(np.diagonal(fit.random_cov[group])) or 1.0
        np.testing.assert_allclose(own[np.arange(J), :, np.arange(J)], covariances, rtol=0, atol=EXACT * unit)


def test_joint_covariance_names_levels_and_effects():
    joint = fitted("sleepstudy", reml=True).joint_cov()
    assert joint.shape == (38, 38)
    assert joint.index[2:5].tolist() == [
        ("Subject", "308", "Intercept"),
        ("Subject", "308", "Days"),
        ("Subject", "309", "Intercept"),
    ]
    assert ("batch:cask", ("A", "b"), "Intercept") in fitted("pastes", reml=True).joint_cov().index


def test_random_effects_table(case):
    fit, _ = case
    table = fit.random_effects_table(level=0.8)
    assert list(table.columns) == ["group", "level", "effect", "estimate", "std_error", "lower", "upper"]
    np.testing.assert_array_equal(table["estimate"], vector(fit))
    variance = fit.sigma**2 * np.diagonal(Dense(fit).G)
    assert_close(table["std_error"] ** 2, variance)
    np.testing.assert_allclose(table["upper"] - table["estimate"], 1.2815515655446004 * table["std_error"], rtol=1e-10)
    np.testing.assert_allclose(table["estimate"] - table["lower"], 1.2815515655446004 * table["std_error"], rtol=1e-10)
    for group, own in table.groupby("group", sort=False):
        effects = fit.random_effects[group]
        assert list(own["level"]) == [level for level in effects.index for _ in effects.columns]
        assert list(own["effect"]) == list(effects.columns) * len(effects)
    assert list(table["group"].unique()) == list(fit.random_effects)


# Against lme4


def test_sleepstudy_slopes():
    # R 4.2.2, lme4 1.1-31 (REML); standard errors from Henderson's mixed model equations at its estimates
    fit = fitted("sleepstudy", reml=True)
    new = pd.DataFrame({"Days": [0, 3.5, 9, 12, 2], "Subject": ["308", "309", "372", "335", "308"]})
    conditional = fit.predict(new, interval="confidence")
    np.testing.assert_allclose(
        conditional["fit"],
        [253.663670399138, 217.473066165543, 369.481485137709, 247.652931507833, 292.996186077173],
        rtol=AGAINST_LME4,
    )
    np.testing.assert_allclose(
        conditional["se"],
        [12.2547929785711, 7.83444591680177, 13.8568984406077, 20.0612277400016, 9.11382103846143],
        rtol=AGAINST_LME4,
    )
    population = fit.predict(new, random=False, interval="confidence")
    np.testing.assert_allclose(
        population["se"],
        [6.82455653198051, 8.10480274260974, 14.6287859183355, 18.8634830260055, 7.09422598223145],
        rtol=AGAINST_LME4,
    )
    np.testing.assert_allclose(
        fit.predict(new, random="(1 | Subject)"),
        [253.663670399138, 247.642025484454, 357.92521886344, 376.678840549243, 274.598242318329],
        rtol=AGAINST_LME4,
    )
    np.testing.assert_allclose(
        fit.predict(new, random="(0 + Days | Subject)"),
        [251.405104848485, 257.871646388158, 357.166944759114, 247.98662732222, 290.73762052652],
        rtol=AGAINST_LME4,
    )


def test_sleepstudy_ends_of_the_trial():
    # to the digits given: R 4.2.2, lme4 1.1-31
    fit = fitted("sleepstudy", reml=True)
    known = pd.DataFrame({"Days": [0, 9], "Subject": "308"})
    new = known.assign(Subject="somebody new")
    options = {"new_levels": "population"}
    for table, expected in (
        (fit.predict(known, interval="confidence"), [12.25479, 13.85690]),
        (fit.predict(known, random=False, interval="confidence"), [6.82456, 14.62879]),
        (fit.predict(new, interval="confidence", **options), [25.66446, 61.96591]),
        (fit.predict(new, interval="prediction", **options), [36.24370, 67.04263]),
    ):
        np.testing.assert_allclose(table["se"], expected, rtol=0, atol=6e-6)


def test_random_intercepts():
    # R 4.2.2, lme4 1.1-31 (REML)
    fit = fitted("sleepstudy_intercept", reml=True)
    table = fit.predict(pd.DataFrame({"Days": [0, 3.5], "Subject": ["308", "309"]}), interval="confidence")
    np.testing.assert_allclose(table["fit"], [292.188814676847, 210.191051906164], rtol=AGAINST_LME4)
    np.testing.assert_allclose(table["se"], [10.1603667864311, 9.52799507633607], rtol=AGAINST_LME4)


def test_crossed_factors_with_new_levels():
    # R 4.2.2, lme4 1.1-31 (REML)
    fit = fitted("penicillin", reml=True)
    new = pd.DataFrame({"plate": ["a", "x", "zz", "b"], "sample": ["A", "F", "B", "Q"]})
    for random, expected in (
        (True, [25.9638272340734, 18.7486809199007, 21.9617460727118, 23.7767692666409]),
        (False, [22.972222222223] * 4),
        ("plate", [23.7767692666409, 21.7524250903638, 22.972222222223, 23.7767692666409]),
        (["(1 | sample)"], [25.1592801896555, 19.9684780517599, 21.9617460727118, 22.972222222223]),
    ):
        np.testing.assert_allclose(
            fit.predict(new, random=random, new_levels="population"), expected, rtol=AGAINST_LME4
        )


def test_nested_factors_with_new_levels():
    # R 4.2.2, lme4 1.1-31 (REML)
    fit = fitted("oats_split", reml=True)
    new = pd.DataFrame(
        {
            "nitro": [0, 0.25, 0.6, 0.4],
            "Variety": ["Victory", "Marvellous", "Golden Rain", "Victory"],
            "Block": ["I", "VI", "XX", "III"],
        }
    )
    for random, expected in (
        (True, [115.406414423704, 103.811207892475, 126.6, 92.2330728293029]),
        (False, [75.525, 106.108333333333, 126.6, 104.991666666667]),
        ("Block", [100.946563271544, 99.8486392770985, 126.6, 98.4617699892993]),
    ):
        np.testing.assert_allclose(
            fit.predict(new, random=random, new_levels="population"), expected, rtol=AGAINST_LME4
        )


# Which random effects


def test_choices_of_random_effects_that_mean_the_same():
    fit = fitted("sleepstudy", reml=True)
    everything = fit.predict(interval="prediction")
    for random in ("Subject", ["Subject"], ("Subject",), "(Days | Subject)", "(1 | Subject) + (0 + Days | Subject)"):
        pd.testing.assert_frame_equal(fit.predict(random=random, interval="prediction"), everything)
    both = fit.predict(random=["(1|Subject)", "(0+Days|Subject)"], interval="prediction")
    pd.testing.assert_frame_equal(both, everything)
    pd.testing.assert_series_equal(fit.predict(random=[]), fit.predict(random=False))
    nested = fitted("machines_nested", reml=True)
    pd.testing.assert_series_equal(nested.predict(random="(1 | Worker/Machine)"), nested.predict())


@pytest.mark.parametrize(("random", "kept"), [("(1|Subject)", [True, False]), ("(0+Days|Subject)", [False, True])])
def test_effects_left_out_enter_neither_mean_nor_variance(random, kept):
    fit = fitted("sleepstudy", reml=True)
    x, z = fit.X.to_numpy(), fit.Z.toarray() * np.tile(kept, 18)
    for newdata in (None, frame("sleepstudy")):
        table = fit.predict(newdata, random=random, interval="confidence")
        assert_close(table["fit"], x @ fit.params.to_numpy() + z @ vector(fit))
        assert_close(table["se"] ** 2, Dense(fit).variance(x, z))
    days = np.arange(10.0)
    new = fit.predict(
        pd.DataFrame({"Days": days, "Subject": "new"}), random=random, new_levels="population", interval="confidence"
    )
    fixed = fit.predict(pd.DataFrame({"Days": days}), random=False, interval="confidence")
    columns = np.column_stack([np.ones(10), days]) * kept
    prior = np.einsum("ia,ab,ib->i", columns, fit.random_cov["Subject"].to_numpy(), columns)
    assert_close(new["se"] ** 2, fixed["se"] ** 2 + prior)


def test_one_of_two_factors():
    fit = fitted("penicillin", reml=True)
    x, z = fit.X.to_numpy(), fit.Z.toarray()
    z[:, 24:] = 0.0
    for newdata in (None, frame("penicillin")[["plate"]]):
        table = fit.predict(newdata, random="plate", interval="confidence")
        assert_close(table["se"] ** 2, Dense(fit).variance(x, z))


# New data


def test_group_columns_need_not_exist():
    fit = fitted("sleepstudy", reml=True)
    days = frame("sleepstudy")[["Days"]]
    for random in (False, []):
        pd.testing.assert_series_equal(fit.predict(days, random=random), fit.predict(random=False), rtol=1e-13)
    with pytest.raises(lmm.LMMError, match="There is no column 'Subject'"):
        fit.predict(days)


def test_missing_values_give_nan():
    fit = fitted("sleepstudy", reml=True)
    new = pd.DataFrame({"Days": [np.nan, 1.0, 2.0], "Subject": ["308", None, "309"]}, index=list("abc"))
    complete = fit.predict(new.loc[["c"]], interval="prediction")
    for interval in ("confidence", "prediction"):
        table = fit.predict(new, interval=interval, new_levels="population")
        assert table.loc[["a", "b"]].isna().all(axis=None)
        assert table.loc["c"].notna().all()
    pd.testing.assert_frame_equal(table.loc[["c"]], complete)
    assert fit.predict(new).isna().tolist() == [True, True, False]
    assert fit.predict(new, random=False, interval="confidence").isna().any(axis=1).tolist() == [True, False, False]
    for random in ("new", "conditional"):
        simulated = fit.simulate(4, newdata=new, random=random, rng=1)
        assert np.isnan(simulated).tolist() == [[True, True, False]] * 4


def test_missing_offset_gives_nan_throughout():
    fit = lmm.fit(MODELS["sleepstudy"][0], sleep(), offset="shift")
    new = sleep().head(3).assign(shift=[1.0, np.nan, 2.0])
    assert fit.predict(new, interval="confidence").isna().to_numpy().tolist() == [[False] * 4, [True] * 4, [False] * 4]


def test_zero_rows_and_one_row():
    fit = fitted("sleepstudy", reml=True)
    data = frame("sleepstudy")
    whole = fit.predict(data, interval="prediction")
    none = fit.predict(data.head(0), interval="prediction")
    assert none.shape == (0, 4)
    assert len(fit.predict(data.head(0))) == 0
    assert fit.simulate(3, newdata=data.head(0)).shape == (3, 0)
    for row in (0, 77, 179):
        pd.testing.assert_frame_equal(
            fit.predict(data.iloc[[row]], interval="prediction"), whole.iloc[[row]], rtol=1e-12
        )
    pd.testing.assert_series_equal(
        fit.predict({"Days": [0.0], "Subject": ["308"]}), pd.Series([whole["fit"][0]]), rtol=1e-13
    )


def test_the_number_of_rows_does_not_matter():
    # standard errors are computed for 20,000 rows at a time
    fit = fitted("penicillin", reml=True)
    data = frame("penicillin")
    many = pd.concat([data] * 150, ignore_index=True)
    table = fit.predict(many, interval="confidence").to_numpy().reshape(150, len(data), 4)
    one = fit.predict(interval="confidence").to_numpy()
    np.testing.assert_allclose(table, np.broadcast_to(one, table.shape), rtol=1e-10)


def test_order_of_columns_rows_and_further_columns():
    fit = fitted("sleepstudy", reml=True)
    data = frame("sleepstudy")
    expected = fit.predict(interval="prediction")
    reordered = data[["Subject", "Days"]].assign(more="x").sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(fit.predict(reordered, interval="prediction").sort_index(), expected, rtol=1e-12)


def test_labels_as_integers_and_as_strings():
    fit = fitted("sleepstudy", reml=True)
    data = frame("sleepstudy")
    expected = fit.predict()
    for dtype in (str, int, object, "category"):
        pd.testing.assert_series_equal(fit.predict(data.astype({"Subject": dtype})), expected, rtol=1e-13)
    by_number = lmm.fit(MODELS["sleepstudy"][0], data.astype({"Subject": str}).astype({"Subject": int}))
    pd.testing.assert_series_equal(by_number.predict(data.astype({"Subject": str})), expected, rtol=1e-7)


@pytest.mark.parametrize("name", ["oats_split", "machines", "cake", "lamb"])
def test_fewer_levels_than_the_fit(name):
    # columns of factors are those of the fit, whatever levels new data have
    fit = fitted(name, reml=True)
    data = frame(name)
    expected = fit.predict(interval="prediction")
    for row in (0, 5, len(data) - 1):
        one = data.iloc[[row]]
        plain = one.apply(lambda column: column.astype(str) if column.dtype == "category" else column)
        for new in (one, plain):
            pd.testing.assert_frame_equal(fit.predict(new, interval="prediction"), expected.iloc[[row]], rtol=1e-10)


def test_new_level_of_a_fixed_factor_is_named():
    fit = fitted("machines_nested", reml=True)
    new = pd.DataFrame({"Machine": ["A", "D"], "Worker": ["1", "1"]})
    for options in ({"new_levels": "population"}, {"random": False}, {}):
        with pytest.raises(lmm.DataError, match="`Machine` has levels that the data of the fit did not have: 'D'"):
            fit.predict(new, **options)


@pytest.mark.parametrize("missing_cell", [True, False])
def test_rows_that_need_a_dropped_coefficient_are_warned_of(missing_cell):
    data = sleep().assign(late=sleep()["Days"] > 4, odd=sleep()["Days"] % 2)
    data["late"], data["odd"] = data["late"].map({True: "yes", False: "no"}), data["odd"].map({1: "yes", 0: "no"})
    formula, new = "Reaction ~ late * odd + (1 | Subject)", data[4:8]
    if missing_cell:
        data = data[~((data["late"] == "yes") & (data["odd"] == "yes"))]
    else:  # a column that is a combination of others in the data of the fit and not in the new ones
        formula = "Reaction ~ Days + minutes + late + (1 | Subject)"
        data, new = data.assign(minutes=1440 * data["Days"] + 3), new.assign(minutes=[5763, 7, 8643, 12])
    fit = fit_quietly(formula, data)
    dropped = fit.params.index[fit.params.isna()].item()
    with pytest.warns(lmm.LMMWarning, match=f"2 of 4 rows .* row 1 .* {re.escape(repr(dropped))}") as caught:
        predicted = fit.predict(new)
    assert caught[0].filename == __file__
    known = new.iloc[[0, 2]]
    np.testing.assert_allclose(predicted[known.index], fit.predict(known))
    fit.predict(data[::-1])


def test_new_levels_are_named():
    fit = fitted("sleepstudy", reml=True)
    new = pd.DataFrame({"Days": 1.0, "Subject": ["308", "x", "y", "x"]})
    with pytest.raises(lmm.DataError) as caught:
        fit.predict(new)
    message = str(caught.value)
    assert "'Subject' has 2 levels that the fit did not have: 'x', 'y'." in message
    assert 'new_levels="population"' in message
    assert "random=False" in message
    many = pd.DataFrame({"Days": 1.0, "Subject": [f"new {i}" for i in range(9)]})
    with pytest.raises(lmm.DataError, match=r"has 9 levels .*: 'new 0', .*'new 4', \.\.\."):
        fit.predict(many)
    cells = fitted("machines_nested", reml=True)
    with pytest.raises(lmm.DataError, match=r"'Worker:Machine' has 1 level .*: \('77', 'A'\)"):
        cells.predict(pd.DataFrame({"Machine": ["A"], "Worker": ["77"]}))
    with pytest.raises(lmm.DataError, match="2 levels"):
        fit.simulate(newdata=new, random="conditional")


# Offsets and weights


@pytest.mark.parametrize("interval", [None, "confidence"])
def test_offset_by_column_by_formula_and_as_array(interval):
    data = sleep()
    column = lmm.fit(MODELS["sleepstudy"][0], data, offset="shift")
    formula = lmm.fit("Reaction ~ Days + offset(shift) + (Days|Subject)", data)
    array = lmm.fit(MODELS["sleepstudy"][0], data, offset=data["shift"].to_numpy())
    for fit in (column, formula, array):
        pd.testing.assert_series_equal(fit.predict(), column.fittedvalues, rtol=1e-10)
        with_offset = column.fittedvalues - fit.predict(random=False)
        assert np.abs(with_offset).max() < 150.0
    new = data.assign(shift=data["shift"] + 1000.0)
    for fit in (column, formula):
        old, shifted = fit.predict(data, interval=interval), fit.predict(new, interval=interval)
        if interval:
            np.testing.assert_allclose(shifted["se"], old["se"], rtol=1e-12)
            old, shifted = old["fit"], shifted["fit"]
        np.testing.assert_allclose(shifted - old, 1000.0, rtol=1e-12)
    with pytest.raises(lmm.ArgumentError, match="offset given as an array"):
        array.predict(data, interval=interval)
    with pytest.raises(lmm.LMMError, match=r"There is no column 'shift' in the data \(offset='shift'\)"):
        column.predict(data.drop(columns="shift"), interval=interval)
    with pytest.raises(lmm.LMMError, match="There is no column 'shift'"):
        formula.predict(data.drop(columns="shift"), interval=interval)


def test_weights_enter_prediction_intervals():
    data = sleep()
    fit = lmm.fit(MODELS["sleepstudy"][0], data, weights="w")
    array = lmm.fit(MODELS["sleepstudy"][0], data, weights=data["w"].to_numpy())
    confidence = fit.predict(data, interval="confidence")
    for w in (0.25, 1.0, 100.0):
        new = data.assign(w=w)
        pd.testing.assert_frame_equal(fit.predict(new, interval="confidence"), confidence)
        prediction = fit.predict(new, interval="prediction")
        np.testing.assert_allclose(prediction["se"] ** 2 - confidence["se"] ** 2, fit.sigma**2 / w, rtol=1e-9)
    # The mean needs no weight; an observation does.
    new = data.drop(columns="w")
    pd.testing.assert_frame_equal(fit.predict(new, interval="confidence"), confidence)
    with pytest.raises(lmm.LMMError, match=r"There is no column 'w' in the data \(weights='w'\)"):
        fit.predict(new, interval="prediction")
    pd.testing.assert_frame_equal(array.predict(interval="prediction"), fit.predict(interval="prediction"), rtol=1e-9)
    pd.testing.assert_series_equal(array.predict(new), fit.predict(new), rtol=1e-9)
    for call in (lambda: array.predict(data, interval="prediction"), lambda: array.simulate(newdata=data)):
        with pytest.raises(lmm.DataError, match="weights given as an array"):
            call()
    assert array.simulate(2, rng=1).shape == (2, 180)


@pytest.mark.parametrize("w", [0.0, -1.0])
def test_weights_of_new_data_are_positive(w):
    data = sleep()
    fit = lmm.fit(MODELS["sleepstudy"][0], data, weights="w")
    new = data.assign(w=np.where(np.arange(180) == 4, w, 1.0))
    for call in (lambda: fit.predict(new, interval="prediction"), lambda: fit.simulate(newdata=new)):
        with pytest.raises(lmm.DataError, match="The weights of new data, 'w', must be positive") as caught:
            call()
        assert f"Row 4 (counted from 0) has {w:g}" in str(caught.value)
    assert len(fit.predict(new, interval="confidence")) == 180


def test_missing_weight_leaves_the_mean():
    fit = lmm.fit(MODELS["sleepstudy"][0], sleep(), weights="w")
    table = fit.predict(sleep(w=np.nan).head(1), interval="prediction")
    assert table.notna().to_numpy().tolist() == [[True, False, False, False]]


# Simulation


@pytest.mark.parametrize("random", ["new", "conditional"])
@pytest.mark.parametrize("newdata", [None, sleep().iloc[::-3]], ids=["rows of the fit", "new data"])
def test_simulation_is_reproducible(random, newdata):
    fit = fitted("sleepstudy", reml=True)
    options = {"random": random, "newdata": newdata}
    first = fit.simulate(3, rng=11, **options)
    assert first.shape == (3, 180 if newdata is None else 60)
    np.testing.assert_array_equal(first, fit.simulate(3, rng=11, **options))
    np.testing.assert_array_equal(first, fit.simulate(3, rng=np.random.default_rng(11), **options))
    np.testing.assert_array_equal(first, fit.simulate(np.int64(3), rng=np.int64(11), **options))
    assert (first != fit.simulate(3, rng=12, **options)).all()
    assert (fit.simulate(3, **options) != fit.simulate(3, **options)).all()
    generator = np.random.default_rng(11)
    np.testing.assert_array_equal(first, fit.simulate(3, rng=generator, **options))
    assert (first != fit.simulate(3, rng=generator, **options)).all()
    assert fit.simulate(0, rng=11, **options).shape == (0, first.shape[1])


def assert_moments(draws, mean, covariance):
    """Mean and covariance of normal draws (n, m) within Monte Carlo error."""
    n = len(draws)
    sd = np.sqrt(np.diagonal(covariance))
    assert np.max(np.abs(draws.mean(axis=0) - mean) / (sd / np.sqrt(n))) < SIGMAS
    # Var of the sample covariance of normals: (c_ij^2 + c_ii c_jj) / n
    error = np.sqrt((covariance**2 + np.outer(sd, sd) ** 2) / n)
    assert np.max(np.abs(np.cov(draws.T) - covariance) / error) < SIGMAS


@pytest.mark.parametrize("name", ["one factor", "crossed", "nested", "weights", "crossed, all at once"])
@pytest.mark.parametrize("random", ["new", "conditional"])
@pytest.mark.parametrize("new", [False, True], ids=["rows of the fit", "new data"])
def test_moments_of_simulated_responses(name, random, new):
    formula, data, options = CASES[name]
    fit = fit_quietly(formula, data, **options)
    weights = np.ones(fit.nobs) if fit.design.weights is None else fit.design.weights
    draws = fit.simulate(4_000, rng=5, random=random, newdata=data if new else None)
    covariance = np.diag(fit.sigma**2 / weights)
    if random == "new":
        ZL = (fit.Z @ fit.Lambda).toarray()
        covariance = covariance + fit.sigma**2 * ZL @ ZL.T
        mean = fit.predict(random=False)
    else:
        mean = fit.fittedvalues
    assert_moments(draws, mean, covariance)


def test_rows_of_a_new_level_share_its_draw():
    fit = fitted("sleepstudy", reml=True)
    days = np.array([0.0, 9.0, 0.0, 9.0, 5.0, 5.0])
    new = pd.DataFrame({"Days": days, "Subject": ["x", "x", "y", "y", "308", "x"]})
    draws = fit.simulate(20_000, rng=2, newdata=new)
    z = np.column_stack([np.ones(6), days])
    same = new["Subject"].to_numpy()[:, None] == new["Subject"].to_numpy()
    covariance = same * (z @ fit.random_cov["Subject"].to_numpy() @ z.T) + fit.sigma**2 * np.eye(6)
    assert_moments(draws, fit.predict(new, random=False), covariance)


def test_simulated_responses_can_be_fitted_again():
    fit = fitted("sleepstudy", reml=True)
    y = fit.simulate(1, rng=3)[0]
    again = fit.refit(y)
    assert again.converged
    assert np.max(np.abs(again.params - fit.params) / fit.bse) < SIGMAS
