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
