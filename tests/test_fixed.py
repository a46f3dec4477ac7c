"""Models without random effects: least squares with the likelihood of a mixed model."""

import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import lmm
from conftest import MODELS, fit_quietly, fitted, frame

# R 4.2.2, logLik(lm) with and without REML = TRUE.
REFERENCE = json.loads(Path(__file__).with_name("reference_variance_tests.json").read_text())["against_fixed"]


@pytest.mark.parametrize("method", ["ML", "REML"])
@pytest.mark.parametrize("model", REFERENCE)
def test_log_likelihood_against_lm(model, method):
    expected = REFERENCE[model]
    fit = lmm.fit(expected["null"], frame(model), reml=method == "REML", allow_fixed=True)
    assert fit.llf == pytest.approx(expected[method]["loglik_null"], abs=1e-8)


def test_it_is_the_mixed_model_with_a_variance_of_zero():
    data = frame("dyestuff2").assign(w=np.linspace(0.5, 2.0, 30), off=np.arange(30) % 3)
    options = {"weights": "w", "offset": "off"}
    for reml in (True, False):
        mixed = fit_quietly("Yield ~ 1 + (1 | Batch)", data, reml=reml, **options)
        fixed = lmm.fit("Yield ~ 1", data, reml=reml, allow_fixed=True, **options)
        assert mixed.is_singular
        assert fixed.deviance == pytest.approx(mixed.deviance, abs=1e-9)
        assert fixed.params.to_numpy() == pytest.approx(mixed.params.to_numpy())
        unbiased = 1.0 if reml else np.sqrt(30 / 29)
        assert fixed.bse.to_numpy() == pytest.approx(unbiased * mixed.bse.to_numpy())
        assert fixed.sigma == pytest.approx(unbiased * mixed.sigma)
        assert fixed.fittedvalues.to_numpy() == pytest.approx(mixed.fittedvalues.to_numpy())
        assert fixed.n_params == mixed.n_params - 1


def test_known_sigma():
    data = frame("dyestuff2")
    for reml in (True, False):
        mixed = fit_quietly("Yield ~ 1 + (1 | Batch)", data, reml=reml, sigma=4.0)
        fixed = lmm.fit("Yield ~ 1", data, reml=reml, sigma=4.0, allow_fixed=True)
        assert mixed.is_singular
        assert fixed.deviance == pytest.approx(mixed.deviance, abs=1e-9)
        assert fixed.sigma == 4.0


def test_aliased_coefficients_are_nan():
    fit = lmm.fit("Reaction ~ Days + I(2 * Days)", frame("sleepstudy"), allow_fixed=True)
    assert np.isnan(fit.params["I(2 * Days)"])
    assert fit.n_params == 3
    assert fit.coef_table().loc["I(2 * Days)"].isna().all()
    assert (fit.coef_table()["df"].dropna() == 178).all()


# R 4.2.2: lm(Reaction ~ Days + I(Days^2), weights = rep(1:10, 18) / 5, offset = 3 * Days) of sleepstudy. Estimate,
# standard error, t value, p-value by summary(), 90 % limits by confint().
LM = np.array(
    [
        [255.038375540016, 17.560311787031, 14.523567612756, 5.60010274759e-32, 226.002259486036, 284.07449159400],
        [4.635778101528, 7.084644499748, 0.654341668335, 5.13741023641e-01, -7.078738268722, 16.35029447178],
        [0.317994677545, 0.650542565668, 0.488814559303, 6.25578105056e-01, -0.757682660299, 1.39367201539],
    ]
)
# predict() at 1 and 12 days with weights 0.4 and 2: fit and 95 % limits of the mean and of an observation; se.fit.
LM_NEW = {"Days": [1, 12], "off": [3, 36], "w": [0.4, 2.0]}
LM_MEAN = np.array(
    [
        [262.992148319, 11.9501676851, 239.409003841, 286.575292797],
        [392.458946325, 27.1100686986, 338.958386016, 445.959506634],
    ]
)
LM_OBSERVATION = np.array([[262.992148319, 86.635375779, 439.348920859], [392.458946325, 297.741370042, 487.176522607]])


def weighted(**options):
    data = frame("sleepstudy").assign(w=np.tile(np.arange(1, 11), 18) / 5, off=lambda d: 3 * d["Days"])
    return lmm.fit("Reaction ~ Days + I(Days^2)", data, weights="w", offset="off", allow_fixed=True, **options)


@pytest.mark.parametrize("reml", [True, False])
def test_coefficients_against_lm(reml):
    fit = weighted(reml=reml)
    for ddf in ("satterthwaite", "kenward-roger", "residual"):
        table = fit.coef_table(ddf, level=0.9)
        assert (table.pop("df") == 177).all()
        assert table.to_numpy() == pytest.approx(LM, rel=1e-9)
    assert fit.conf_int(0.9).to_numpy() == pytest.approx(LM[:, 4:], rel=1e-9)
    assert fit.bse.to_numpy() == pytest.approx(LM[:, 1], rel=1e-9)
    assert fit.tvalues.to_numpy() == pytest.approx(LM[:, 2], rel=1e-9)
    assert fit.pvalues.to_numpy() == pytest.approx(LM[:, 3], rel=1e-9)
    tidy = fit.tidy(level=0.9)
    assert list(tidy["term"]) == ["Intercept", "Days", "I(Days^2)"]
    columns = ["estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high"]
    assert tidy[columns].to_numpy() == pytest.approx(LM, rel=1e-9)
    assert fit.sigma == pytest.approx(56.0113748981, rel=1e-10)
    assert fit.llf == pytest.approx(-983.224667857 if reml else -987.405857082, abs=1e-8)
    assert fit.glance().loc[0, "sigma"] == fit.sigma


@pytest.mark.parametrize("reml", [True, False])
def test_limits_of_predictions_against_lm(reml):
    fit, new = weighted(reml=reml), pd.DataFrame(LM_NEW)
    for random in (True, False):
        means = fit.predict(new, random=random, new_levels="population", interval="confidence")
        assert means.to_numpy() == pytest.approx(LM_MEAN, rel=1e-9)
    observations = fit.predict(new, interval="prediction")[["fit", "lower", "upper"]]
    assert observations.to_numpy() == pytest.approx(LM_OBSERVATION, rel=1e-9)
    own = fit.predict(interval="confidence")
    assert own["fit"].to_numpy() == pytest.approx(fit.fittedvalues.to_numpy())
    assert own["se"].iloc[1] == pytest.approx(LM_MEAN[0, 1], rel=1e-9)


def test_contrasts_against_car():
    # car 3.1-1: linearHypothesis().
    result = weighted().contrast("Days = 8, I(Days^2) = 0")
    assert (result.statistic, result.p_value) == pytest.approx((0.11948, 0.88746), abs=5e-6)
    assert result.distribution == "F(2, 177)"
    assert result.notes == ("Degrees of freedom: residual.",)
    one = weighted().contrast("Days = 8", ddf="kenward-roger")
    assert one.distribution == "t(177)"
    assert one.statistic == pytest.approx((LM[1, 0] - 8) / LM[1, 1], rel=1e-9)


# Sum of squares, F value by anova() (type I) and car 3.1-1's Anova() (II, III, with sum contrasts) of lm() in R 4.2.2;
# the cakes without rows 1, 20, 77, 150 and 200, counted from 1.
LM_ANOVA = {
    ("lamb", 1): [(20.98126599, 1.56624), (0.05562033, 0.00830)],
    ("lamb", 2): [(20.13989977, 1.50343), (0.05562033, 0.00830)],
    ("lamb", 3): [(20.139900, 1.50343), (0.055620, 0.00830)],
    ("cake", 1): [(129.203305, 1.03918), (2212.925337, 7.11943), (175.160341, 0.28176)],
    ("cake", 2): [(126.137572, 1.01452), (2212.925337, 7.11943), (175.160341, 0.28176)],
    ("cake", 3): [(130.13252, 1.04666), (2215.22712, 7.12683), (175.16034, 0.28176)],
}


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize(("name", "kind"), LM_ANOVA)
def test_analysis_of_variance_against_lm_and_car(name, kind, reml):
    data = lmm.datasets.load(name)
    if name == "cake":
        data = data.drop(index=[0, 19, 76, 149, 199]).assign(temperature=lambda d: d["temperature"].astype(str))
    formula, df = ("Weight ~ Line + Age", 55) if name == "lamb" else ("angle ~ recipe * temperature", 247)
    table = lmm.anova(lmm.fit(formula, data, reml=reml, allow_fixed=True), kind)
    assert (table["den_df"] == df).all()
    assert table["sum_sq"].to_numpy() == pytest.approx([row[0] for row in LM_ANOVA[name, kind]], rel=1e-5)
    assert table["statistic"].to_numpy() == pytest.approx([row[1] for row in LM_ANOVA[name, kind]], abs=6e-6)


def test_dropped_terms_against_lm():
    # R 4.2.2: drop1(lm(Weight ~ Line + Age), test = "F") and test = "Chisq".
    fit = lmm.fit("Weight ~ Line + Age", lmm.datasets.load("lamb"), allow_fixed=True)
    F = lmm.drop1(fit, "f")
    assert F[["statistic", "p_value"]].to_numpy() == pytest.approx(
        np.array([[1.50343, 0.21387], [0.00830, 0.99173]]), abs=6e-6
    )
    assert lmm.drop1(fit)["p_value"].to_numpy()[1:] == pytest.approx([0.16903, 0.99068], abs=6e-6)


def test_marginal_means_against_emmeans():
    # emmeans 1.8.4-1 of lm() in R 4.2.2: mean, SE, limits; differences with Tukey's limits.
    fit = lmm.fit("Weight ~ Line + Age", lmm.datasets.load("lamb"), reml=False, allow_fixed=True)
    means = lmm.emmeans(fit, "Age", contrasts="pairwise")
    columns = ["estimate", "std_error", "lower", "upper"]
    expected = [
        [11.0019539823, 0.406995021760, 10.18631773210, 11.8175902325],
        [10.9387952822, 0.579872512680, 9.77670479819, 12.1008857662],
        [11.0237898656, 0.359429060936, 10.30347793106, 11.7441018001],
    ]
    differences = [
        [0.0631587000888, 0.713690577079, -1.65594428011, 1.78226168029],
        [-0.0218358833016, 0.554089081554, -1.35649858166, 1.31282681505],
        [-0.0849945833904, 0.659582331238, -1.67376426557, 1.50377509879],
    ]
    assert means.table[columns].to_numpy() == pytest.approx(np.array(expected), rel=1e-8)
    assert means.contrasts[columns].to_numpy() == pytest.approx(np.array(differences), rel=1e-4)


def test_tests_with_known_sigma_are_normal():
    fit = lmm.fit("Reaction ~ Days", frame("sleepstudy"), allow_fixed=True, sigma=50.0)
    table = fit.coef_table()
    assert np.isinf(table["df"]).all()
    Z = np.column_stack([np.ones(180), frame("sleepstudy")["Days"]])
    assert table["std_error"].to_numpy() == pytest.approx(50.0 * np.sqrt(np.diagonal(np.linalg.inv(Z.T @ Z))))
    assert fit.contrast("Days").distribution == "standard normal"
    assert np.isinf(lmm.anova(fit)["den_df"]).all()
    assert "Fixed effects (normal tests):" in str(fit)
    half = fit.predict(interval="confidence").eval("(upper - fit) / se")
    assert half.to_numpy() == pytest.approx(stats.norm.ppf(0.975))


def test_a_loop_over_models_with_and_without_random_effects():
    fits = [lmm.fit(f"Reaction ~ Days{more}", frame("sleepstudy"), allow_fixed=True) for more in ("", " + (1|Subject)")]
    for fit in fits:
        assert list(fit.conf_int().columns) == ["lower", "upper"]
        assert len(fit.predict(random=False)) == 180
        assert fit.simulate(2, rng=1, random="conditional", newdata=frame("sleepstudy").head(3)).shape == (2, 3)
        assert list(fit.glance().columns) == list(fits[0].glance().columns)
        assert list(lmm.anova(fit).index) == ["Days"]
        assert list(fit.__maketables_coef_table__.index) == ["Intercept", "Days"]
        assert fit.__maketables_stat__("SD (Residual)") == pytest.approx(fit.sigma)
    assert [fit.n_groups for fit in fits] == [{}, {"Subject": 18}]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda fit: fit.conf_int(method="profile"), 'has none: its limits by method="wald" are exact'),
        (lambda fit: fit.conf_int(method="bootstrap"), "is for models with random effects"),
        (lambda fit: fit.conf_int(ddf="t"), "ddf must be one of"),
        (lambda fit: fit.coef_table("profile"), "ddf must be one of"),
        (lambda fit: fit.summary("t"), "ddf must be one of"),
        (lambda fit: fit.tidy("ran_pars"), 'has no random effects: effects must be "fixed"'),
        (lambda fit: fit.predict(random="Subject"), "random must be True or False, as 'Reaction ~ Days' has no random"),
        (lambda fit: fit.predict(random=["(1 | Subject)"]), "random must be True or False"),
        (lambda fit: fit.predict(interval="tolerance"), "interval must be"),
    ],
)
def test_what_least_squares_do_not_have_is_refused(call, text):
    with pytest.raises(lmm.ArgumentError, match=text):
        call(lmm.fit("Reaction ~ Days", frame("sleepstudy"), allow_fixed=True))


def test_a_model_without_any_effect():
    fit = lmm.fit("Reaction ~ 0", frame("sleepstudy"), allow_fixed=True)
    assert len(fit.coef_table()) == 0
    assert "Fixed effects" not in str(fit)


def test_predictions_of_new_data():
    data = frame("sleepstudy")
    fit = lmm.fit("Reaction ~ poly(Days, 2)", data, allow_fixed=True)
    assert fit.predict(data.iloc[5:8]).to_numpy() == pytest.approx(fit.fittedvalues.iloc[5:8].to_numpy())
    assert (fit.fittedvalues + fit.resid).to_numpy() == pytest.approx(data["Reaction"].to_numpy())


def test_refit_of_simulated_responses():
    fit = lmm.fit("Reaction ~ Days", frame("sleepstudy"), allow_fixed=True)
    y = fit.simulate(2, rng=1)
    assert y.shape == (2, 180)
    assert np.array_equal(y, fit.simulate(2, rng=1))
    again = lmm.fit("Reaction ~ Days", frame("sleepstudy").assign(Reaction=y[1]), allow_fixed=True)
    assert fit.refit(y[1]).deviance == again.deviance
    with pytest.raises(lmm.DataError, match=r"shape \(180,\)"):
        fit.refit(y)


def test_prints_and_pickles():
    fit = pickle.loads(pickle.dumps(lmm.fit("Reaction ~ Days", frame("sleepstudy"), allow_fixed=True)))  # noqa: S301
    assert "Linear model without random effects, fit by REML" in str(fit)
    assert "Fixed effects (degrees of freedom: residual):" in str(fit)
    assert "p-value" not in str(fit.summary(None))
    assert "<table>" in fit.summary()._repr_html_()
    assert repr(fit).startswith("<FixedModel 'Reaction ~ Days'")


def test_random_terms_take_precedence():
    fit = lmm.fit(MODELS["pig"][0], frame("pig"), allow_fixed=True)
    assert isinstance(fit, lmm.FittedModel)
    assert fit.deviance == fitted("pig", reml=True).deviance


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "allow_fixed=True"),
        ({"allow_fixed": "yes"}, "allow_fixed must be True or False"),
        ({"allow_fixed": True, "start": [1.0]}, "start"),
    ],
)
def test_what_is_refused(options, text):
    with pytest.raises(lmm.LMMError, match=text):
        lmm.fit("Reaction ~ Days", frame("sleepstudy"), **options)


def test_a_forgotten_operator_is_pointed_at():
    with pytest.raises(lmm.FormulaError, match="reads as a call"):
        lmm.fit("Reaction ~ Days(1 | Subject)", frame("sleepstudy"), allow_fixed=True)


def test_residual_degrees_of_freedom_are_those_of_the_tests():
    fit = lmm.fit("weight ~ num.weeks", lmm.datasets.load("pig_weights"), allow_fixed=True)
    assert fit.df_resid == fit.nobs - 2 == fit.coef_table()["df"].iloc[0] == fit.glance()["df_resid"].iloc[0]
    assert fit.n_params == 3
