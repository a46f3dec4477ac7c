"""Every warning names the thing, says what it means and what to do."""

import warnings

import numpy as np
import pandas as pd
import pytest

import lmm

SLEEP = lmm.datasets.load("sleepstudy")


def said(formula, data=SLEEP):
    """What a fit warns of, but for singular random effects."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        lmm.fit(formula, data)
    return [str(w.message) for w in caught if not issubclass(w.category, lmm.SingularFitWarning)]


@pytest.mark.parametrize(
    ("formula", "written", "instead"),
    [
        ("Reaction ~ Days + Days^2 + (1 | Subject)", "Days^2", "I(Days^2)"),
        ("Reaction ~ Days + ((Days)) ^ 2 + (1 | Subject)", "Days^2", "I(Days^2)"),
        ("Reaction ~ Days**3 + (1 | Subject)", "Days**3", "I(Days**3)"),
        ("Reaction ~ log1p(Days)^2 + (1 | Subject)", "log1p(Days)^2", "I(log1p(Days)^2)"),
        ("Reaction ~ Days + (Days^2 | Subject)", "Days^2", "I(Days^2)"),
        ("Reaction ~ Days + (1 + Days^2 || Subject)", "Days^2", "I(Days^2)"),
    ],
)
def test_a_power_that_changes_nothing_is_named_with_what_to_write(formula, written, instead):
    (message,) = said(formula)
    assert message.startswith(f"`{written}` in the formula stands for `")
    assert f"write `{instead}`" in message
    lmm.fit(f"Reaction ~ {instead} + (1 | Subject)", SLEEP)


def test_a_power_of_a_factor_is_to_be_left_out():
    (message,) = said("Weight ~ Line^2 + (1 | Sire)", lmm.datasets.load("lamb"))
    assert "`Line^2` in the formula stands for `Line` alone" in message
    assert message.endswith("leave the power out")


@pytest.mark.parametrize(
    ("formula", "data"),
    [
        ("Weight ~ (Line + Age)^2 + (1 | Sire)", "lamb"),
        ("Weight ~ (Line:Age)^2 + (1 | Sire)", "lamb"),
        ("Reaction ~ Days^1 + (1 | Subject)", "sleepstudy"),
        ("Reaction ~ Days + I(Days^2) + (1 | Subject)", "sleepstudy"),
    ],
)
def test_powers_that_cross_terms_and_those_inside_I_are_silent(formula, data):
    assert said(formula, lmm.datasets.load(data)) == []


def with_dirty_days(dirty, n=4):
    """The sleep study with text in place of some days, each of them different."""
    rng = np.random.default_rng(3)
    days = (SLEEP["Days"] + rng.uniform(0.0, 0.5, size=len(SLEEP)).round(1)).astype(str).to_numpy(dtype=object)
    days[rng.choice(len(days), size=n, replace=False)] = dirty
    return SLEEP.assign(Days=days)


@pytest.mark.parametrize("dirty", ["NA ", "12a", "."])
@pytest.mark.parametrize("formula", ["Reaction ~ Days + (1 | Subject)", "Reaction ~ 0 + Days + (1 | Subject)"])
def test_text_that_is_mostly_numbers_is_named_with_its_cells(formula, dirty):
    data = with_dirty_days(dirty)
    (message,) = said(formula, data)
    assert "the column 'Days' holds text" in message
    assert f"only 4 cells of 180 cannot be read as a number: {dirty!r}" in message
    assert "df['Days'] = pd.to_numeric(df['Days'], errors=\"coerce\")" in message
    data["Days"] = pd.to_numeric(data["Days"], errors="coerce")
    assert lmm.fit("Reaction ~ Days + (1 | Subject)", data).nobs == 176


def test_text_of_numbers_alone_of_words_and_of_groups_is_silent():
    words = with_dirty_days("word", n=60)
    assert not any("cannot be read" in message for message in said("Reaction ~ Days + (1 | Subject)", words))
    digits = SLEEP.assign(Days=(10 * SLEEP["Days"] + SLEEP.index % 3).astype(str))
    assert digits["Days"].nunique() > 20
    assert said("Reaction ~ Days + (1 | Subject)", digits) == []
    groups = SLEEP.assign(g=[f"{i // 4}" if i else "NA " for i in range(180)])
    assert said("Reaction ~ Days + (1 | g)", groups) == []
    assert said("Reaction ~ factor(Days) + (1 | Subject)", with_dirty_days(".")) == []


def said_of(call, *args, **options):
    """What a call warns of, and what it returns."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(*args, **options)
    assert all(w.category is lmm.LMMWarning and w.filename == __file__ for w in caught)
    return [str(w.message) for w in caught]


BEYOND = pd.DataFrame({"Days": [0.0, 9.0, 12.0, -3.0, np.nan], "Subject": "308"})


@pytest.mark.parametrize("random", ["1", "bs(Days, df=4)", "1 + bs(Days, df=4)"])
@pytest.mark.parametrize("interval", [None, "prediction"])
def test_predictions_beyond_the_knots_of_a_spline_are_named_once(random, interval):
    fit = lmm.fit(f"Reaction ~ bs(Days, df=4) + ({random} || Subject)", SLEEP)
    (message,) = said_of(fit.predict, BEYOND, interval=interval)
    assert "2 of 5 rows of the new data lie outside the range of `bs(Days, df=4)` in the fit, 0 to 9" in message
    assert "from -3 to 12" in message
    assert "ns()" in message
    assert said_of(fit.predict, BEYOND[:2], interval=interval) == []
    assert said_of(fit.predict, interval=interval) == []


def test_each_spline_and_each_use_of_new_data_warns():
    fit = lmm.fit("Reaction ~ bs(log(Days + 10), df=3) + (1 | Subject)", SLEEP)
    (message,) = said_of(fit.simulate, newdata=BEYOND[:4], rng=1)
    assert "`bs(log(Days + 10), df=3)` in the fit, 2.30259 to 2.94444 (they go from 1.94591 to 3.09104)" in message
    (message,) = said_of(lmm.emmeans, fit, [], at={"Days": 20})
    assert "1 of 1 rows" in message
    assert said_of(lmm.emmeans, fit, []) == said_of(lmm.emtrends, fit, [], "Days") == []


@pytest.mark.parametrize("term", ["ns(Days, df=3)", "bs(Days, df=4, extrapolation='clip')", "poly(Days, 2)"])
def test_other_ways_to_go_on_are_silent(term):
    fit = lmm.fit(f"Reaction ~ {term} + (1 | Subject)", SLEEP)
    assert said_of(fit.predict, BEYOND) == []
