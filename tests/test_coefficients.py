"""Tests of fixed effects: degrees of freedom, contrasts, analysis of variance, against R and by their properties."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

import lmm
from conftest import SINGULAR, SMALL, fit_quietly, fitted, frame

# lmerTest 3.1-3 and pbkrtest 0.5.2; see "source" in the file.
REFERENCE = json.loads((Path(__file__).parent / "reference_inference.json").read_text())["tests"]
METHODS = ("satterthwaite", "kenward-roger", "residual", "normal")
TYPES = {"I": 1, "II": 2, "III": 3}


@pytest.mark.parametrize("ddf", METHODS[:2])
@pytest.mark.parametrize("name", REFERENCE)
def test_coefficients_reference(name, ddf):
    reference = REFERENCE[name][ddf]
    table = fitted(name, reml=True).coef_table(ddf)
    np.testing.assert_allclose(table["estimate"], reference["estimate"], rtol=1e-6)
    np.testing.assert_allclose(table["std_error"], reference["std_error"], rtol=1e-6)
    np.testing.assert_allclose(table["df"], reference["df"], rtol=1e-6)
    np.testing.assert_allclose(table["p_value"], reference["p_value"], rtol=2e-5, atol=1e-15)


@pytest.mark.parametrize("ddf", METHODS[:2])
@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize("kind", TYPES)
def test_anova_reference(name, ddf, kind):
    reference = REFERENCE[name][ddf]["anova"].get(kind)
    table = lmm.anova(fitted(name, reml=True), TYPES[kind], ddf)
    if reference is None:
        assert table.empty  # R prints no table for a model of an intercept alone
        return
    assert len(table) == len(reference["row"])
    for column in ("sum_sq", "num_df", "den_df", "statistic"):
        np.testing.assert_allclose(table[column], reference[column], rtol=2e-6)
    np.testing.assert_allclose(table["p_value"], reference["p_value"], rtol=2e-5, atol=1e-15)
    np.testing.assert_allclose(table["mean_sq"] * table["num_df"], table["sum_sq"])


def test_textbook_degrees_of_freedom():
    sleep = fitted("sleepstudy", reml=True)
    for ddf in METHODS[:2]:
        assert sleep.coef_table(ddf).loc["Days", "df"] == pytest.approx(17.0, abs=1e-6)
        table = lmm.anova(fitted("cake", reml=True), ddf=ddf)
        np.testing.assert_allclose(table["den_df"], [42.0, 210.0, 210.0], rtol=1e-7)
    assert (sleep.coef_table("residual")["df"] == 174).all()
    assert np.isinf(sleep.coef_table("normal")["df"]).all()


@pytest.mark.parametrize("ddf", METHODS)
@pytest.mark.parametrize("reml", [False, True])
@pytest.mark.parametrize("name", SMALL)
def test_limits_and_p_values_come_from_the_same_degrees_of_freedom(name, reml, ddf):
    fit = fitted(name, reml=reml)
    if ddf == "kenward-roger" and not reml:
        with pytest.raises(lmm.ArgumentError, match="Kenward-Roger method belongs to REML"):
            fit.coef_table(ddf)
        return
    table = fit.coef_table(ddf).dropna()
    assert np.isfinite(table.drop(columns="df")).all(axis=None)
    if ddf != "normal":
        assert table["df"].between(1.0, fit.nobs).all()
    # A limit that touches zero has a p-value of exactly 1 - level.
    for row in table.itertuples():
        limits = fit.coef_table(ddf, level=1.0 - max(row.p_value, 1e-12)).loc[row.Index]
        touches = min(abs(limits["lower"]), abs(limits["upper"]))
        if row.p_value > 1e-10:
            assert touches == pytest.approx(0.0, abs=1e-6 * abs(limits["upper"] - limits["lower"]))


def numerical_satterthwaite(fit, contrast):
    """2 v^2 / (g' A g) with a numerical Hessian of the deviance and gradient of the variance, by theta, log sigma^2."""
    deviance, basis = fit.deviance_function, fit.basis
    m = deviance.n_theta

    def criterion(psi):
        at = deviance.evaluate(psi[:m])
        log_terms = at.value - deviance.nu * (1.0 + np.log(2.0 * np.pi * at.rho2 / deviance.nu))
        return log_terms + deviance.nu * psi[m] + at.rho2 / np.exp(psi[m])

    def variance(psi):
        border = deviance.evaluate(psi[:m]).border
        w = np.linalg.solve(border[:-1, :-1], basis.R_inverse.T @ contrast)
        return np.exp(psi[m]) * w @ w

    psi = np.append(fit.optimum.theta, np.log(fit.optimum.evaluation.rho2 / deviance.nu))
    h = 1e-4
    unit = np.eye(m + 1) * h
    gradient = np.array([(variance(psi + e) - variance(psi - e)) / (2 * h) for e in unit])
    H = np.empty((m + 1, m + 1))
    for i, a in enumerate(unit):
        for j, b in enumerate(unit):
            corners = criterion(psi + a + b) - criterion(psi + a - b) - criterion(psi - a + b) + criterion(psi - a - b)
            H[i, j] = corners / (4 * h * h)
    return 2.0 * variance(psi) ** 2 / (gradient @ (2.0 * np.linalg.pinv(H, rcond=1e-7)) @ gradient)


@pytest.mark.parametrize("reml", [False, True])
@pytest.mark.parametrize("name", ["lamb", "sleepstudy", "penicillin", "machines", "dyestuff2"])
def test_satterthwaite_is_exact(name, reml):
    # Singular fits are among them: there the tangent of theta vanishes.
    fit = fitted(name, reml=reml)
    for i, df in enumerate(fit.coef_table()["df"]):
        numerical = numerical_satterthwaite(fit, np.eye(len(fit.params))[i])
        assert df == pytest.approx(min(numerical, fit.nobs), rel=2e-4)


@pytest.mark.parametrize("ddf", METHODS[:2])
def test_a_term_of_zero_variance_changes_nothing(ddf):
    data = frame("sleepstudy").assign(g=np.tile(np.arange(6), 30))
    small = lmm.fit("Reaction ~ Days + (Days | Subject)", data)
    big = fit_quietly("Reaction ~ Days + (Days | Subject) + (1 | g)", data)
    assert big.variance_components.set_index("group").loc["g", "vcov"] == 0.0
    pd.testing.assert_frame_equal(small.coef_table(ddf), big.coef_table(ddf), rtol=1e-6)


def test_kenward_roger_without_a_matrix_over_the_rows():
    # 50,000 rows; a balanced split plot has textbook degrees of freedom.
    rng = np.random.default_rng(3)
    n_groups, per = 500, 100
    g = np.repeat(np.arange(n_groups), per)
    x = np.tile(np.repeat([0.0, 1.0], per // 2), n_groups)
    z = np.repeat(np.tile([0.0, 1.0], n_groups // 2), per)
    y = x + z + rng.normal(size=n_groups)[g] + rng.normal(size=n_groups * per)
    fit = lmm.fit("y ~ x + z + (1 | g)", pd.DataFrame({"y": y, "x": x, "z": z, "g": g}))
    table = fit.coef_table("kenward-roger")
    assert table.loc["z", "df"] == pytest.approx(n_groups - 2, rel=1e-6)
    assert table.loc["x", "df"] == pytest.approx(n_groups * per - n_groups - 1, rel=1e-6)


def test_kenward_roger_joint_tests():
    # pbkrtest 0.5.2, KRmodcomp: statistic, denominator degrees of freedom, scaling, p.
    lamb, sitka = fitted("lamb", reml=True), fitted("sitka", reml=True)
    line = lamb.contrast(
        "Line[1] = Line[2], Line[2] = Line[3], Line[3] = Line[4], Line[4] = Line[5]", ddf="kenward-roger"
    )
    assert line.statistic == pytest.approx(1.06088136, rel=1e-6)
    assert line.df == pytest.approx((4.0, 11.67040732), rel=1e-6)
    assert line.p_value == pytest.approx(0.418413684, rel=1e-6)
    age = lamb.contrast("Age[T.1], Age[T.2]", ddf="kenward-roger")
    assert (age.statistic, age.df[1]) == pytest.approx((0.033063692, 52.64226067), rel=1e-6)
    names = [name for name in sitka.params.index if name.startswith("treat")]
    treat = sitka.contrast(", ".join(names), ddf="kenward-roger")
    assert (treat.statistic, treat.df[1], treat.p_value) == pytest.approx((4.330330774, 75.0, 0.00718261076), rel=1e-6)


def test_contest():
    # lmerTest 3.1-3, contest().
    sleep = fitted("sleepstudy", reml=True)
    both = sleep.contrast(np.eye(2))
    assert (both.statistic, both.df[1]) == pytest.approx((749.9595675, 17.0), rel=1e-6)
    both = sleep.contrast(np.eye(2), ddf="kenward-roger")
    assert (both.statistic, both.df[1]) == pytest.approx((705.8442988, 16.0), rel=1e-6)
    day5 = sleep.contrast({"Intercept": 1.0, "Days": 5.0}).table.iloc[0]
    expected = [303.741534646, 9.581241966, 17.0, 31.701687080, 283.526881091, 323.956188202]
    np.testing.assert_allclose(
        day5[["estimate", "std_error", "df", "statistic", "lower", "upper"]], expected, rtol=1e-6
    )
    shifted = sleep.contrast([0.0, 1.0], rhs=8.0)
    assert (shifted.statistic, shifted.p_value) == pytest.approx((1.596133835, 0.128879527), rel=1e-6)
    oats = fitted("oats_cells", reml=True)
    interaction = oats.contrast(np.eye(12)[6:])
    assert (interaction.statistic, interaction.df[1]) == pytest.approx((0.302823529, 45.0), rel=1e-6)


def test_text_dict_and_array_say_the_same():
    fit = fitted("lamb", reml=True)
    row = np.zeros(7)
    row[[5, 6]] = 1.0, -2.0
    results = [
        fit.contrast("Age[T.1] - 2 * Age[T.2] = 0.5"),
        fit.contrast("Age[T.1] - 0.5 = 2*Age[T.2]"),
        fit.contrast("(Age[T.1] - 2*Age[T.2]) / 0.5 = 1"),
        fit.contrast({"Age[T.1]": 1, "Age[T.2]": -2}, rhs=0.5),
        fit.contrast(row, rhs=0.5),
    ]
    for result in results[1:]:
        assert result.p_value == pytest.approx(results[0].p_value, rel=1e-12)
    assert results[0].null == "Age[T.1] - 2 * Age[T.2] = 0.5."
    assert "null distribution t(" in str(results[0])
    assert "Null hypothesis" in results[0]._repr_html_()


def test_names_with_operators_in_them_are_read():
    fit = fitted("sitka", reml=True)
    name = "treat[T.ozone]:I(time^2)"
    one = fit.contrast(f"{name} - I(time^2) = 1")
    two = fit.contrast({name: 1.0, "I(time^2)": -1.0}, rhs=1.0)
    assert one.statistic == pytest.approx(two.statistic, rel=1e-12)


def test_rows_that_follow_from_others_are_told():
    fit = fitted("lamb", reml=True)
    result = fit.contrast("Line[1] = Line[2], 2*Line[1] - 2*Line[2] = 0, Line[3] = 10")
    assert result.df[0] == 2.0
    assert "Left out, because it follows from the others: 2 * Line[1] - 2 * Line[2] = 0." in result.notes
    with pytest.raises(lmm.ModelError, match=r"contradicts itself: the other equations rule out Line\[1\] = 11"):
        fit.contrast("Line[1] = 10, Line[1] = 11")


def test_joint_false_gives_a_table():
    table = fitted("lamb", reml=True).contrast("Line[1] = Line[2], Line[3]", joint=False)
    assert list(table.index) == ["Line[1] - Line[2]", "Line[3]"]
    assert list(table.columns) == ["estimate", "std_error", "df", "statistic", "p_value", "lower", "upper"]


@pytest.mark.parametrize(
    ("L", "options", "message"),
    [
        ("Lin[1] = 2", {}, r"no coefficient 'Lin\[1\]'. Did you mean 'Line\[1\]'"),
        ("Line[1] * Line[2] = 1", {}, "two coefficients cannot be multiplied"),
        ("Line[1] = = 2", {}, "expected a coefficient or a number"),
        ("3 = 2", {}, "needs at least one coefficient"),
        ("Line[1] 2", {}, "expected an operator"),
        ("2 Line[1] = 0", {}, "expected an operator"),
        ("Line[1] = 1e400", {}, "a number too large"),
        ("1 / Line[1]", {}, "only numbers other than 0 divide"),
        ("(Line[1]", {}, r"expected '\)'"),
        ("Line[1] = 1", {"rhs": 2.0}, "in text, write the right-hand side"),
        ({"Lion[1]": 1.0}, {}, r"no coefficient 'Lion\[1\]'"),
        ({"Line[1]": "a"}, {}, r"weight of 'Line\[1\]' must be a finite number"),
        ([1.0, 2.0], {}, r"must have the shape \(7,\) or \(r, 7\)"),
        (np.eye(7)[:2], {"rhs": [1.0, 2.0, 3.0]}, "rhs holds 3 numbers for the 2 rows"),
        (np.eye(7)[:2], {"rhs": "x"}, "rhs must be a finite number"),
        ([np.nan] * 7, {}, "finite numbers"),
        ("Line[1]", {"ddf": "kr"}, "ddf must be one of 'satterthwaite'"),
        ("Line[1]", {"level": 1.5}, "level must be a number strictly between 0 and 1"),
    ],
)
def test_contrasts_are_refused_in_words(L, options, message):
    with pytest.raises(lmm.ArgumentError, match=message):
        fitted("lamb", reml=True).contrast(L, **options)


def test_a_hypothesis_of_nothing_is_refused():
    with pytest.raises(lmm.ModelError, match="nothing to test"):
        fitted("lamb", reml=True).contrast(np.zeros((2, 7)))
    with pytest.raises(lmm.ModelError, match="nothing to test"):
        fitted("lamb", reml=True).contrast(np.zeros(7))


def test_backticks_of_the_formula_may_stand_in_contrasts():
    data = frame("sleepstudy").rename(columns={"Days": "days of sleep"})
    fit = lmm.fit("Reaction ~ `days of sleep` + (1 | Subject)", data)
    one, other = fit.contrast("`days of sleep` = 8"), fit.contrast("days of sleep = 8")
    assert one.statistic == other.statistic


def test_terms_that_add_nothing_have_no_test():
    fit = fitted("sleepstudy_aliased", reml=True)
    alone = lmm.anova(fitted("sleepstudy", reml=True))
    for kind in (1, 2, 3):
        with pytest.warns(lmm.LMMWarning, match=r"no test for I\(2 \* Days\): the columns of the term"):
            table = lmm.anova(fit, kind)
        assert table.loc["Days", "statistic"] == pytest.approx(alone.loc["Days", "statistic"], rel=1e-8)
        assert table.loc["I(2 * Days)", "num_df"] == 0.0


def test_least_squares_have_exact_degrees_of_freedom():
    for reml in (True, False):
        fit = lmm.fit("Reaction ~ Days", frame("sleepstudy"), reml=reml, allow_fixed=True)
        for ddf in METHODS[:3]:
            means = lmm.emmeans(fit, "Days", ddf=ddf)
            assert (means.table["df"] == 178).all()
            assert "Degrees of freedom: residual." in means.notes[-1]


def cake_without_a_cell():
    data = frame("cake")
    data = data.assign(temperature=pd.Categorical(data["temperature"].astype(str)))
    return data[~((data["recipe"] == "C") & (data["temperature"] == "225"))]


def test_what_is_not_estimable_is_refused():
    fit = lmm.fit("angle ~ recipe * temperature + (1 | recipe:replicate)", cake_without_a_cell())
    dropped = "recipe[T.C]:temperature[T.225]"
    assert fit.coef_table().loc[dropped].isna().all()
    with pytest.raises(lmm.ModelError, match=r"not estimable: recipe\[T.C\]:temperature\[T.225\]"):
        fit.contrast(dropped)
    # The mean of the empty cell would need it too; that of another does not.
    fit.contrast("recipe[T.C] + recipe[T.C]:temperature[T.215]")
    # An aliased copy of a column is estimable together with it.
    double = fitted("sleepstudy_aliased", reml=True)
    with pytest.raises(lmm.ModelError, match="not estimable: Days"):
        double.contrast("Days")
    total = double.contrast("Days + 2 * I(2 * Days)")
    assert total.table["estimate"].iloc[0] == pytest.approx(10.467286, rel=1e-6)
    assert double.contrast([0.0, 1.0]).table["estimate"].iloc[0] == pytest.approx(10.467286, rel=1e-6)


def test_missing_cell_anova():
    # lmerTest 3.1-3 on the cake data without recipe C at 225 degrees.
    fit = lmm.fit("angle ~ recipe * temperature + (1 | recipe:replicate)", cake_without_a_cell())
    with pytest.warns(lmm.LMMWarning, match=r"no rows in the cells recipe\[C\]:temperature\[225\]"):
        table = lmm.anova(fit)
    np.testing.assert_allclose(table["sum_sq"], [12.2812953, 1814.6500516, 184.1077778], rtol=1e-6)
    np.testing.assert_allclose(table["den_df"], [42.14553016, 195.93802462, 195.93802462], rtol=1e-6)
    second = lmm.anova(fit, type=2)
    np.testing.assert_allclose(second["den_df"], [42.14624233, 195.93802462, 195.93802462], rtol=1e-6)


@pytest.mark.parametrize("contrasts", ["sum", "helmert", "poly"])
def test_anova_does_not_depend_on_the_coding(contrasts):
    data = frame("orthodont")
    data = data.drop(index=data.index[[2, 6, 19, 32, 33, 49, 70, 89]]).assign(
        g=lambda d: np.resize(["a", "b", "c"], len(d))
    )
    formula = "distance ~ Sex * g * age + (1 | Subject)"
    treatment = lmm.fit(formula, data)
    other = lmm.fit(formula, data, contrasts={"Sex": contrasts, "g": contrasts})
    for kind in (1, 2, 3):
        pd.testing.assert_frame_equal(
            lmm.anova(treatment, kind)[["sum_sq", "num_df", "statistic"]],
            lmm.anova(other, kind)[["sum_sq", "num_df", "statistic"]],
            rtol=1e-6,
        )
    pd.testing.assert_frame_equal(lmm.anova(treatment), lmm.anova(other), rtol=1e-6)


def test_anova_with_covariates_of_several_columns():
    data = frame("orthodont")
    fit = lmm.fit("distance ~ Sex * poly(age, 2) + (1 | Subject)", data)
    table = lmm.anova(fit)
    assert list(table.index) == ["Sex", "poly(age, 2)", "Sex:poly(age, 2)"]
    assert list(table["num_df"]) == [1.0, 2.0, 2.0]
    # The average curve over both sexes, and the average over the cells at the mean of the columns, by hand.
    curve = fit.contrast(
        "poly(age, 2)[1] + 0.5 * Sex[T.Female]:poly(age, 2)[1], poly(age, 2)[2] + 0.5 * Sex[T.Female]:poly(age, 2)[2]"
    )
    assert table.loc["poly(age, 2)", "statistic"] == pytest.approx(curve.statistic, rel=1e-8)
    assert table.loc["Sex", "statistic"] == pytest.approx(fit.contrast("Sex[T.Female]").statistic ** 2, rel=1e-8)
    reordered = lmm.anova(lmm.fit("distance ~ poly(age, 2) * Sex + (1 | Subject)", data))
    np.testing.assert_allclose(reordered["statistic"], table["statistic"].iloc[[1, 0, 2]], rtol=1e-7)


def test_anova_arguments():
    fit = fitted("lamb", reml=True)
    with pytest.raises(lmm.ArgumentError, match="type must be 1, 2 or 3; got 4"):
        lmm.anova(fit, type=4)
    with pytest.raises(lmm.ArgumentError, match="anova takes a fitted model"):
        lmm.anova([fit, fit])
    with pytest.raises(lmm.ArgumentError, match=r"[Mm]odels are compared by lmm\.lrt"):
        lmm.anova(fit, fit)
    pd.testing.assert_frame_equal(lmm.anova(fit, "II"), lmm.anova(fit, 2))


def test_singular_fits_have_finite_tests():
    for name, reml in SINGULAR:
        fit = fitted(name, reml=reml)
        assert np.isfinite(fit.coef_table()).all(axis=None)
        assert np.isfinite(lmm.anova(fit)).all(axis=None)


def test_pvalues_and_conf_int_are_columns_of_the_table():
    fit = fitted("sleepstudy", reml=True)
    table = fit.coef_table(level=0.9)
    pd.testing.assert_series_equal(fit.pvalues, table["p_value"])
    pd.testing.assert_frame_equal(fit.conf_int(0.9), table[["lower", "upper"]])


def test_a_scaled_covariate_changes_no_test():
    data = frame("sleepstudy")
    one = lmm.fit("Reaction ~ Days + (Days | Subject)", data)
    other = lmm.fit("Reaction ~ Days + (Days | Subject)", data.assign(Days=data["Days"] * 1e-6))
    for ddf in METHODS[:2]:
        columns = ["df", "statistic", "p_value"]
        pd.testing.assert_frame_equal(one.coef_table(ddf)[columns], other.coef_table(ddf)[columns], rtol=1e-6)


def test_model_without_fixed_effects():
    fit = lmm.fit("Reaction ~ 0 + (1 | Subject)", frame("sleepstudy"))
    assert fit.coef_table().empty
    assert lmm.anova(fit).empty
    assert "Fixed effects" not in str(fit)


def test_tidy_and_glance():
    fit = fitted("sleepstudy", reml=True)
    fixed = fit.tidy()
    columns = [
        "effect",
        "group",
        "term",
        "estimate",
        "std_error",
        "df",
        "statistic",
        "p_value",
        "conf_low",
        "conf_high",
    ]
    assert list(fixed.columns) == columns
    assert list(fixed["term"]) == ["Intercept", "Days"]
    np.testing.assert_allclose(fixed["conf_low"], fit.conf_int()["lower"])
    parameters = fit.tidy("ran_pars", conf_int=False)
    assert list(parameters["term"]) == ["sd__Intercept", "sd__Days", "cor__Intercept.Days", "sd__Observation"]
    assert "conf_low" not in parameters
    values = fit.tidy("ran_vals")
    assert len(values) == 36
    assert list(values.columns)[:4] == ["effect", "group", "level", "term"]
    assert values.loc[0, "estimate"] == pytest.approx(2.258551, rel=1e-4)
    assert len(fit.tidy(["fixed", "ran_pars"])) == 6
    with pytest.raises(lmm.ArgumentError, match="effects must be one or several of"):
        fit.tidy("random")
    row = fit.glance().iloc[0]
    assert (row["nobs"], row["n_params"], row["reml"]) == (180, 6, True)
    assert row["deviance"] == fit.deviance


def test_bootstrap_limits_and_unknown_options():
    fit = fitted("dyestuff", reml=True)
    limits = fit.conf_int(0.9, "bootstrap", n=100, rng=1, interval="basic")
    pd.testing.assert_frame_equal(limits, fit.bootstrap(100, rng=1).conf_int(0.9, "basic"))
    with pytest.raises(lmm.ArgumentError, match="method='wald' does not know 'n'; it takes ddf"):
        fit.conf_int(n=100)


def test_joint_normal_test_is_a_chi_square():
    fit = fitted("lamb_treatment", reml=True)
    joint = fit.contrast("Age[T.2] = 0, Age[T.3] = 0", ddf="normal")
    beta, cov = fit.params, fit.cov_params()
    names = ["Age[T.2]", "Age[T.3]"]
    wald = beta[names] @ np.linalg.solve(cov.loc[names, names], beta[names])
    assert joint.statistic == pytest.approx(wald / 2.0, rel=1e-10)
    assert joint.p_value == pytest.approx(chi2.sf(wald, 2), rel=1e-8)
    assert joint.df == (2.0, np.inf)
