"""Named models on the embedded data, each fitted once in a run and shared by all test files."""

import functools
import os
import warnings

import pytest

import lmm

# Pictures are drawn without a window, here and in the programs that tests start.
os.environ.setdefault("MPLBACKEND", "Agg")


def _reference_age_three(lamb):
    return lamb.assign(Age=lamb["Age"].cat.reorder_categories(["3", "1", "2"]))


def _time(sitka):
    return sitka.rename(columns={"Time": "time"})


def _standardised_time(sitka):
    sitka = _time(sitka)
    return sitka.assign(time=(sitka["time"] - sitka["time"].mean()) / sitka["time"].std())


_QUADRATIC = "time + I(time^2)"

# name: (formula, data set, what is done to the data first)
MODELS = {
    "lamb": ("Weight ~ Line + Age - 1 + (1|Sire)", "lamb", _reference_age_three),
    "lamb_treatment": ("Weight ~ Line + Age + (1|Sire)", "lamb", None),
    "pig": ("weight ~ (1 | id.num) + num.weeks", "pig_weights", None),
    "pig_week_factor": ("weight ~ factor(num.weeks) + (1 | id.num)", "pig_weights", None),
    "pig_slopes": ("weight ~ num.weeks + (num.weeks | id.num)", "pig_weights", None),
    "sitka": (f"size ~ treat*({_QUADRATIC}) + ({_QUADRATIC} | tree)", "sitka", _standardised_time),
    "sitka_raw": (f"size ~ treat*({_QUADRATIC}) + ({_QUADRATIC} | tree)", "sitka", _time),
    "sitka_without_treat": (f"size ~ {_QUADRATIC} + ({_QUADRATIC} | tree)", "sitka", _standardised_time),
    "sitka_intercept": ("size ~ time + (1|tree)", "sitka", _standardised_time),
    "sitka_intercept_treat": ("size ~ treat*time + (1|tree)", "sitka", _standardised_time),
    "dyestuff": ("Yield ~ 1 + (1|Batch)", "dyestuff", None),
    "dyestuff2": ("Yield ~ 1 + (1|Batch)", "dyestuff2", None),
    "penicillin": ("diameter ~ 1 + (1|plate) + (1|sample)", "penicillin", None),
    "pastes": ("strength ~ 1 + (1|batch/cask)", "pastes", None),
    "pastes_sample": ("strength ~ 1 + (1|sample) + (1|batch)", "pastes", None),
    "sleepstudy": ("Reaction ~ Days + (Days|Subject)", "sleepstudy", None),
    "sleepstudy_explicit": ("Reaction ~ Days + (1 + Days|Subject)", "sleepstudy", None),
    "sleepstudy_uncorrelated": ("Reaction ~ Days + (1|Subject) + (0 + Days|Subject)", "sleepstudy", None),
    "sleepstudy_double_bar": ("Reaction ~ Days + (Days||Subject)", "sleepstudy", None),
    "sleepstudy_slope": ("Reaction ~ Days + (0 + Days|Subject)", "sleepstudy", None),
    "sleepstudy_slope_minus": ("Reaction ~ Days + (-1 + Days|Subject)", "sleepstudy", None),
    "sleepstudy_intercept": ("Reaction ~ 1 + Days + (1|Subject)", "sleepstudy", None),
    "sleepstudy_fixed_intercept": ("Reaction ~ 1 + (Days|Subject)", "sleepstudy", None),
    "sleepstudy_quadratic": ("Reaction ~ Days + I(Days^2) + (Days + I(Days^2) | Subject)", "sleepstudy", None),
    "sleepstudy_aliased": ("Reaction ~ Days + I(2 * Days) + (Days | Subject)", "sleepstudy", None),
    "sleepstudy_scaled": ("Reaction ~ scale(Days) + (scale(Days) | Subject)", "sleepstudy", None),
    "sleepstudy_log": ("log(Reaction) ~ Days + (Days|Subject)", "sleepstudy", None),
    "sleepstudy_poly": ("Reaction ~ poly(Days, 2) + (1|Subject)", "sleepstudy", None),
    "sleepstudy_spline": ("Reaction ~ bs(Days, df=5) + (1|Subject)", "sleepstudy", None),
    "cake": ("angle ~ recipe * temperature + (1|recipe:replicate)", "cake", None),
    "cake_linear": ("angle ~ recipe + temp + (1|recipe:replicate)", "cake", None),
    "oats": ("yield ~ nitro + (nitro | Block/Variety)", "oats", None),
    "oats_split": ("yield ~ nitro + Variety + (1 | Block/Variety)", "oats", None),
    "oats_cells": ("yield ~ Variety * factor(nitro) + (1 | Block/Variety)", "oats", None),
    "oats_block_fixed": ("yield ~ Block + nitro + (1 | Block:Variety)", "oats", None),
    "oats_block_fixed_slopes": ("yield ~ nitro * Block + (nitro | Block:Variety)", "oats", None),
    "machines": ("score ~ Machine + (Machine | Worker)", "machines", None),
    "machines_nested": ("score ~ Machine + (1 | Worker/Machine)", "machines", None),
    "orthodont": ("distance ~ age + Sex + (1 | Subject)", "orthodont", None),
    "orthodont_interaction": ("distance ~ age * Sex + (age | Subject)", "orthodont", None),
    "orthodont_slopes": ("distance ~ age + (age | Subject)", "orthodont", None),
    "rail": ("travel ~ 1 + (1|Rail)", "rail", None),
    "ergostool": ("effort ~ Type + (1|Subject)", "ergostool", None),
    "cornsoybean": ("CornHec ~ CornPix + SoyBeansPix + (1|County)", "cornsoybean", None),
    "insteval": ("y ~ service + (1|s) + (1|d) + (1|dept)", "insteval", None),
    "insteval_service": ("y ~ 1 + (1|s) + (1|d) + (1|dept:service)", "insteval", None),
}

# Models whose optimum lies on the boundary, by method (REML or not).
SINGULAR = {
    ("lamb", False),
    ("lamb_treatment", False),
    ("dyestuff2", False),
    ("dyestuff2", True),
    ("oats", False),
    ("oats", True),
    ("oats_block_fixed_slopes", False),
    ("oats_block_fixed_slopes", True),
}

# All but the two large ones: what a test that loops over the models can afford.
SMALL = tuple(name for name in MODELS if not name.startswith("insteval"))


def frame(name):
    """The data of a named model, a new frame at each call."""
    _, dataset, prepare = MODELS[name]
    data = lmm.datasets.load(dataset)
    return data if prepare is None else prepare(data)


def fit_quietly(*args, **options):
    """Fit a model, singular or not; every other warning stays an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", lmm.SingularFitWarning)
        return lmm.fit(*args, **options)


@functools.cache
def fitted(name, *, reml):
    """A named model, fitted once; it must be singular exactly where `SINGULAR` says so."""
    if (name, reml) in SINGULAR:
        with pytest.warns(lmm.SingularFitWarning):
            return lmm.fit(MODELS[name][0], frame(name), reml=reml)
    return lmm.fit(MODELS[name][0], frame(name), reml=reml)
