"""Terms dropped in turn, against lmerTest and lme4."""

import json
from pathlib import Path

import numpy as np
import pytest

import lmm
from conftest import fit_quietly, fitted, frame

# R 4.2.2: lmerTest 3.1-3 ranova(), lme4 1.1-31 drop1(); F tests by lmerTest::drop1.
REFERENCE = json.loads(Path(__file__).with_name("reference_variance_tests.json").read_text())


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("model", REFERENCE["ranova"])
def test_ranova_against_lmertest(model, whole):
    expected = REFERENCE["ranova"][model]["whole" if whole else "reduced"]
    fit = fitted(model, reml=True)
    table = lmm.ranova(fit, "chi2", reduce_terms=not whole)
    swapped = {"(1 | cask:batch)": "(1 | batch:cask)", "(1 | Machine:Worker)": "(1 | Worker:Machine)"}
    assert list(table.index) == [swapped.get(row, row) for row in expected["row"]]
    assert list(table["n_params"]) == expected["n_params"]
    for name in ("llf", "aic"):
        assert table[name].to_numpy() == pytest.approx(expected[name], abs=1e-5)
    assert table["statistic"].to_numpy()[1:] == pytest.approx(expected["statistic"][1:], abs=1e-5)
    assert table["p_value"].to_numpy()[1:] == pytest.approx(expected["p"][1:], rel=1e-4)


def test_ranova_has_the_right_mixture():
    table = lmm.ranova(fitted("sleepstudy", reml=True))
    assert table.loc["Days in (Days | Subject)", "null_distribution"] == "0.5 chi2(1) + 0.5 chi2(2)"
    assert table.loc["Days in (Days | Subject)", "p_value"] == pytest.approx(
        REFERENCE["reml"]["sleepstudy"]["p_mixture"]
    )
    one = lmm.ranova(fitted("lamb", reml=True)).loc["(1 | Sire)"]
    assert one["p_value"] == pytest.approx(REFERENCE["against_fixed"]["lamb"]["REML"]["p_mixture"], rel=1e-6)


@pytest.mark.parametrize(
    ("model", "rows"),
    [
        ("sleepstudy_double_bar", ["1 in (Days || Subject)", "Days in (Days || Subject)"]),
        ("sleepstudy_uncorrelated", ["(1 | Subject)", "(0 + Days | Subject)"]),
        ("sleepstudy_slope", ["(0 + Days | Subject)"]),
        ("oats", ["nitro in (nitro | Block:Variety)", "nitro in (nitro | Block)"]),
    ],
)
def test_what_ranova_drops(model, rows):
    assert list(lmm.ranova(fitted(model, reml=True)).index) == ["<none>", *rows]


def test_ranova_respects_marginality():
    fit = fit_quietly(
        "angle ~ temp + (temp * recipe | replicate)", frame("cake").assign(temp=lambda d: d["temp"] / 100)
    )
    assert list(lmm.ranova(fit, "chi2").index) == ["<none>", "temp:recipe in (temp * recipe | replicate)"]


def test_ranova_by_bootstrap():
    table = lmm.ranova(fitted("lamb", reml=True), "bootstrap", n_boot=9, rng=1)
    assert table["null_distribution"].iloc[1] == "bootstrap, 9 draws"
    assert table["p_value"].iloc[1] >= 0.1


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("model", REFERENCE["drop1"])
def test_drop1_against_lme4(model, reml):
    expected = REFERENCE["drop1"][model]
    table = lmm.drop1(fitted(model, reml=reml))
    assert list(table.index) == expected["row"]
    assert list(table["df"][1:]) == expected["df"][1:]
    assert table["aic"].to_numpy() == pytest.approx(expected["aic"], abs=1e-5)
    assert table["statistic"].to_numpy()[1:] == pytest.approx(expected["statistic"][1:], abs=1e-5)
    assert table["p_value"].to_numpy()[1:] == pytest.approx(expected["p"][1:], rel=1e-5)


def test_dropped_terms_do_not_depend_on_the_coding():
    """`Line + Age - 1` is the same model as `Line + Age`: without Line the mean stays."""
    one, other = (lmm.drop1(fitted(model, reml=True)) for model in ("lamb", "lamb_treatment"))
    assert list(one.index) == list(other.index)
    for name in ("n_params", "llf", "statistic", "df"):
        assert one[name].to_numpy()[1:] == pytest.approx(other[name].to_numpy()[1:], abs=1e-7)


# lme4 1.1-31: drop1(lmer(..., REML = FALSE), test = "Chisq") on the cakes.
CODINGS = {
    "angle ~ 0 + recipe:temp + temperature + (1 | recipe:replicate)": {
        "temperature": (5, 6.5960),
        "recipe:temp": (2, 0.4169),
    },
    "angle ~ 0 + recipe*temp + (1 | recipe:replicate)": {"recipe:temp": (2, 0.084496)},
    "angle ~ recipe:temperature + (1 | recipe:replicate)": {"recipe:temperature": (17, 97.166)},
    "angle ~ poly(temp, 2)*recipe + (1 | recipe:replicate)": {"poly(temp, 2):recipe": (4, 0.96716)},
}


@pytest.mark.parametrize("formula", CODINGS)
def test_marginality_and_coding_against_lme4(formula):
    table = lmm.drop1(lmm.fit(formula, frame("cake"), reml=False))
    assert list(table.index[1:]) == list(CODINGS[formula])
    for name, (df, statistic) in CODINGS[formula].items():
        assert table.loc[name, "df"] == df
        assert table.loc[name, "statistic"] == pytest.approx(statistic, rel=1e-4)


# lmerTest 3.1-3, drop1() with Satterthwaite's method: F value, NumDF, DenDF by term.
DROP1_F = {
    "cake": {"recipe:temperature": (1.00619797397178, 10, 209.999999999301)},
    "lamb": {"Line": (173.336752710629, 5, 9.51688645103791), "Age": (0.0346152597629392, 2, 50.4851024109463)},
    "lamb_age_three": {
        "Line": (1.12271328543349, 4, 8.88025528671572),
        "Age": (0.0346152597700229, 2, 50.4851024122951),
    },
    "machines": {"Machine": (41.003768435306, 2, 5.00000001548262)},
    "machines_nested": {"Machine": (20.5760829642864, 2, 10.0000000122758)},
    "oats_cells": {"Variety:factor(nitro)": (0.30282352941301, 6, 45.0000000043398)},
    "orthodont_interaction": {"age:Sex": (5.11859840158464, 1, 24.9999996442707)},
    "pig": {"num.weeks": (25271.4988702563, 1, 383.000000089772)},
    "pig_slopes": {"num.weeks": (4552.31538133451, 1, 46.9999999446616)},
    "sitka": {
        "treat:time": (6.85775271569014, 1, 77.0000001269124),
        "treat:I(time^2)": (0.326864795313686, 1, 77.0000001201236),
    },
    "sleepstudy": {"Days": (45.8530059068514, 1, 16.9999999742035)},
    "sleepstudy_double_bar": {"Days": (45.0464625304454, 1, 18.1562040696484)},
    "sleepstudy_intercept": {"Days": (169.401361269021, 1, 161.000000019529)},
}


@pytest.mark.parametrize("model", DROP1_F)
def test_f_tests_against_lmertest(model):
    if model == "lamb_age_three":
        fit = lmm.fit("Weight ~ Line + Age + (1 | Sire)", frame("lamb"))
    else:
        fit = fitted(model, reml=True)
    table = lmm.drop1(fit, "f")
    assert list(table.index) == list(DROP1_F[model])
    assert table.to_numpy()[:, :3] == pytest.approx(np.array(list(DROP1_F[model].values())), rel=1e-6)


def test_f_tests_by_kenward_and_roger():
    cake = lmm.drop1(fitted("cake", reml=True), "f", ddf="kenward-roger")
    # pbkrtest 0.5.2, KRmodcomp().
    assert cake.to_numpy() == pytest.approx(np.array([[1.0062, 10, 210, 0.4393]]), rel=1e-3)


def test_terms_are_named_as_in_the_coefficients():
    data = frame("cake").rename(columns={"temp": "the temp", "recipe": "the recipe"})
    fit = lmm.fit("angle ~ `the temp` * `the recipe` + (1 | replicate)", data)
    assert list(lmm.anova(fit).index) == ["the temp", "the recipe", "the temp:the recipe"]
    for test in ("lrt", "f"):
        assert lmm.drop1(fit, test).index[-1] == "the temp:the recipe"
    assert fit.params.index[-1] == "the temp:the recipe[T.C]"
    assert "the temp:the recipe" in str(fit.check())
    assert "the temp:the recipe" in str(lmm.anova_estimates(fit.formula, data))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: lmm.drop1(fitted("dyestuff", reml=True)), "no fixed term but the intercept: there is nothing to drop"),
        (
            lambda: lmm.drop1(fitted("sleepstudy_aliased", reml=True)),
            r"aliased with each other or with the intercept \(Days, I\(2 \* Days\)\)",
        ),
        (lambda: lmm.drop1(fitted("pig", reml=True), "Chisq"), "test must be"),
        (lambda: lmm.drop1(fitted("pig", reml=True), "f", ddf="x"), "ddf"),
        (lambda: lmm.ranova(fitted("pig", reml=True), "f"), "test must be one of"),
        (lambda: lmm.ranova(fitted("pig", reml=True), reduce_terms=2), "reduce_terms"),
    ],
)
def test_what_is_refused(call, text):
    with pytest.raises(lmm.ArgumentError, match=text):
        call()
