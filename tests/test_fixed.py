"""Models without random effects: least squares with the likelihood of a mixed model."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

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
        assert fixed.bse.to_numpy() == pytest.approx(mixed.bse.to_numpy())
        assert fixed.sigma == pytest.approx(mixed.sigma)
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
