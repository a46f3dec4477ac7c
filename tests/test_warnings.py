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
