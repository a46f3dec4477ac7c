"""The arguments of fit, refit and Control: what is refused, and in which words."""

import copy
import pickle
import warnings
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

import lmm
from conftest import MODELS, fitted, frame

FORMULA = MODELS["sleepstudy"][0]
DATA = frame("sleepstudy")


def refused(error=lmm.ArgumentError, *, formula=FORMULA, data=DATA, **options):
    """The message of the error that the arguments raise."""
    with pytest.raises(error) as caught:
        lmm.fit(formula, data, **options)
    assert isinstance(caught.value, lmm.LMMError)
    assert isinstance(caught.value, ValueError)
    return str(caught.value)


# Unknown arguments


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("REML", "reml"),
        ("weigths", "weights"),
        ("weight", "weights"),
        ("offsets", "offset"),
        ("na_actions", "na_action"),
        ("Sigma", "sigma"),
        ("controls", "control"),
        ("starts", "start"),
        ("contrast", "contrasts"),
    ],
)
def test_unknown_argument_with_a_near_match(name, near):
    message = refused(**{name: True})
    assert f"the argument {name!r}" in message
    assert f"did you mean {near!r}?" in message


def test_unknown_argument_without_a_near_match():
    message = refused(groups="Subject")
    assert "'groups'" in message
    assert "did you mean" not in message
    for name in ("reml", "weights", "offset", "sigma", "na_action", "start", "control", "contrasts"):
        assert name in message


def test_argument_errors_are_type_errors_too():
    with pytest.raises(TypeError):
        lmm.fit(FORMULA, DATA, nonsense=1)


def test_options_are_keyword_only():
    with pytest.raises(TypeError):
        lmm.fit(FORMULA, DATA, False)


# reml, sigma


@pytest.mark.parametrize("reml", ["yes", "True", "ML", 1, 0, None, 1.0, [True]])
def test_reml_is_true_or_false(reml):
    message = refused(reml=reml)
    assert "reml must be True (restricted maximum likelihood) or False (maximum likelihood)" in message
    assert repr(reml) in message


@pytest.mark.parametrize("reml", [np.True_, np.False_])
def test_reml_of_numpy(reml):
    assert lmm.fit(FORMULA, DATA, reml=reml).reml is bool(reml)


@pytest.mark.parametrize("sigma", [-1, 0, 0.0, "a", "1", True, False, np.nan, np.inf, -np.inf, [1.0], 1j])
def test_sigma_is_a_positive_number(sigma):
    message = refused(sigma=sigma)
    assert "sigma must be a positive number" in message
    assert repr(sigma) in message


@pytest.mark.parametrize("sigma", [25, 25.0, np.float64(25), np.int64(25), np.float32(25), Fraction(25)])
def test_sigma_of_any_real_type(sigma):
    fit = lmm.fit(FORMULA, DATA, sigma=sigma)
    assert fit.sigma == 25.0
    assert type(fit.sigma) is float
    assert type(fit.deviance) is float
    assert fit.deviance == lmm.fit(FORMULA, DATA, sigma=25.0).deviance


@pytest.mark.filterwarnings("ignore::lmm.SingularFitWarning")
@pytest.mark.parametrize("sigma", [25.0, 1.0, 0.1, 1 / 3, 17.3])
def test_known_sigma_comes_back_as_given(sigma):
    data = DATA.assign(Reaction=DATA["Reaction"] / 7.0)
    fit = lmm.fit(FORMULA, data, sigma=sigma)
    again = fit.refit(data["Reaction"] + np.sin(np.arange(180.0)))
    for model in (fit, again, again.refit(data["Reaction"]), copy.deepcopy(fit), pickle.loads(pickle.dumps(fit))):  # noqa: S301 - our own bytes
        assert model.known_sigma == sigma
        assert model.sigma == sigma
        assert model.variance_components["sdcor"].iloc[-1] == sigma
    assert fitted("sleepstudy", reml=True).known_sigma is None


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("joint", lambda fit: fit.contrast("Days = 8", joint="no")),
        ("conf_int", lambda fit: fit.tidy(conf_int=0.95)),
        ("progress", lambda fit: fit.bootstrap(2, rng=1, progress="no")),
    ],
)
def test_switches_are_true_or_false(name, call):
    with pytest.raises(lmm.ArgumentError, match=rf"^{name} must be True( \(.*\))? or False( \(.*\))?; got "):
        call(fitted("sleepstudy", reml=True))


# start


@pytest.mark.parametrize("start", [[1.0], [1.0, 0.0], [1.0, 0.0, 1.0, 0.0], [[1.0, 0.0, 1.0]], 1.0, []])
def test_start_of_another_size(start):
    assert "start must hold 3 finite numbers" in refused(start=start)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_start_that_is_not_finite(bad):
    assert "start must hold 3 finite numbers" in refused(start=[1.0, bad, 1.0])


@pytest.mark.parametrize(
    "start",
    [
        "abc",
        ["a", "b", "c"],
        ["1", "0", "1"],
        {"theta": 1.0},
        {1.0, 2.0, 3.0},
        [1j, 0, 1],
        [[1.0], [0.0, 1.0]],
        object(),
    ],
)
def test_start_that_is_no_numbers(start):
    message = refused(start=start)
    assert "start must hold 3 finite numbers" in message
    assert repr(start) in message


def test_start_at_the_optimum_takes_hardly_any_step():
    best = fitted("sleepstudy", reml=True)
    again = lmm.fit(FORMULA, DATA, start=best.theta)
    assert again.optimum.n_evaluations <= 3
    np.testing.assert_allclose(again.deviance, best.deviance, rtol=1e-13)


def test_start_is_not_changed():
    start = np.array([1.0, 0.1, 0.5])
    lmm.fit(FORMULA, DATA, start=start)
    assert start.tolist() == [1.0, 0.1, 0.5]


def test_start_may_be_any_sequence():
    expected = fitted("sleepstudy", reml=True).deviance
    for start in ([1, 0, 1], (1.0, 0.0, 1.0), pd.Series([1.0, 0.0, 1.0]), np.array([1, 0, 1])):
        assert lmm.fit(FORMULA, DATA, start=start).deviance == pytest.approx(expected, rel=1e-12)


# control


@pytest.mark.parametrize("control", [{"max_evaluations": 10}, "fast", 1e-8, lmm.Control])
def test_control_of_another_type(control):
    message = refused(control=control)
    assert "control must be an lmm.Control" in message
    assert "lmm.Control(tolerance=1e-10)" in message


@pytest.mark.parametrize("tolerance", [0, 0.0, -1e-8, np.nan, np.inf, "1e-8", None, True, [1e-8], 1j])
def test_tolerance_is_a_positive_number(tolerance):
    with pytest.raises(lmm.ArgumentError, match="tolerance must be a positive number") as caught:
        lmm.Control(tolerance=tolerance)
    assert repr(tolerance) in str(caught.value)


@pytest.mark.parametrize("most", [0, -1, 2.5, 300.0, "300", None, True, np.inf, [300]])
def test_max_evaluations_is_a_whole_number(most):
    with pytest.raises(lmm.ArgumentError, match="max_evaluations must be an integer, 1 or more") as caught:
        lmm.Control(max_evaluations=most)
    assert repr(most) in str(caught.value)


def test_control_of_numpy():
    control = lmm.Control(tolerance=np.float32(1e-6), max_evaluations=np.int64(40))
    assert lmm.fit(FORMULA, DATA, control=control).converged


def test_control_is_frozen():
    with pytest.raises(AttributeError):
        lmm.Control().tolerance = 1.0


def test_looser_tolerance_stops_earlier():
    loose = lmm.fit(FORMULA, DATA, reml=False, control=lmm.Control(tolerance=1e-2))
    best = fitted("sleepstudy", reml=False)
    assert loose.converged
    assert loose.optimum.n_evaluations < best.optimum.n_evaluations
    assert 0.0 <= loose.deviance - best.deviance <= 2e-2


def test_refit_keeps_the_control():
    control = lmm.Control(tolerance=1e-6)
    fit = lmm.fit(FORMULA, DATA, control=control)
    assert fit.refit(DATA["Reaction"] + 1.0).control == control


# na_action, weights, offset


@pytest.mark.parametrize("na_action", ["ignore", "omit", None, True, pd.NA])
def test_unknown_na_action(na_action):
    message = refused(na_action=na_action)
    assert '"drop"' in message
    assert '"raise"' in message
    assert repr(na_action) in message


@pytest.mark.parametrize("argument", ["weights", "offset"])
def test_unknown_column_as_argument(argument):
    message = refused(lmm.DataError, **{argument: "Dayz"})
    assert "'Dayz'" in message
    assert "'Days'" in message
    assert argument in message


@pytest.mark.parametrize("argument", ["weights", "offset"])
@pytest.mark.parametrize("values", [np.ones(179), np.ones((180, 2)), 2.0])
def test_argument_of_another_length(argument, values):
    message = refused(lmm.DataError, **{argument: values})
    assert f"The {argument} must be a column name or one number for each of the 180 rows" in message


@pytest.mark.parametrize("argument", ["weights", "offset"])
def test_infinite_argument(argument):
    values = np.ones(180)
    values[7] = np.inf
    message = refused(lmm.DataError, **{argument: values})
    assert argument in message
    assert "row 7" in message


def test_negative_weight():
    weights = np.ones(180)
    weights[5] = -2.0
    message = refused(lmm.DataError, weights=weights)
    assert "must not be negative" in message
    assert "Row 5" in message
    assert "-2" in message


def test_weights_all_zero():
    assert "all zero" in refused(lmm.DataError, weights=np.zeros(180))


def test_missing_weights_and_offsets_drop_their_rows():
    values = np.ones(180)
    values[[3, 9]] = np.nan
    for argument in ("weights", "offset"):
        assert lmm.fit(FORMULA, DATA, **{argument: values}).nobs == 178
        assert "2 of 180" in refused(lmm.DataError, na_action="raise", **{argument: values})


@pytest.mark.parametrize("labels", ["Subject", np.array(["a"] * 180)])
def test_weights_that_are_labels(labels):
    assert "numbers" in refused(lmm.DataError, weights=labels)


# refit


@pytest.mark.parametrize(
    "y", ["abc", ["a"] * 180, ["1"] * 180, {"y": 1.0}, {1.0}, [1j] * 180, [[1.0], [1.0, 2.0]], object()]
)
def test_refit_of_what_is_no_numbers(y):
    with pytest.raises(lmm.DataError) as caught:
        fitted("sleepstudy", reml=True).refit(y)
    assert "refit needs one response for each of the 180 rows used, numbers in an array" in str(caught.value)
    assert type(y).__name__ in str(caught.value)


@pytest.mark.parametrize(
    "y", [pd.Series(["a"] * 180), pd.Series(["a"] * 180, dtype="category"), pd.Series([None] * 180)]
)
def test_refit_of_labels(y):
    with pytest.raises(lmm.DataError):
        fitted("sleepstudy", reml=True).refit(y)


@pytest.mark.parametrize("dtype", ["Float64", "float32", object, np.longdouble])
def test_refit_of_any_real_type(dtype):
    y = np.round(DATA["Reaction"])
    expected = fitted("sleepstudy", reml=True).refit(y).deviance
    assert fitted("sleepstudy", reml=True).refit(pd.Series(y).astype(dtype)).deviance == expected


@pytest.mark.parametrize(
    "index", [pd.RangeIndex(180)[::-1], pd.RangeIndex(1, 181), pd.MultiIndex.from_arrays([range(180)] * 2)]
)
def test_refit_of_labelled_rows(index):
    fit, y = fitted("sleepstudy", reml=True), DATA["Reaction"]
    for given in (y.set_axis(index), pd.DataFrame({"a": y, "b": 2.0 * y}).set_axis(index)):
        with pytest.raises(lmm.DataError, match=r"y is a .*by position.*fit.design.index.*to_numpy"):
            fit.refit(given)


def test_refit_after_rows_were_left_out():
    data = DATA.assign(Reaction=DATA["Reaction"].mask(DATA.index < 3))
    fit = lmm.fit("Reaction ~ Days + (Days | Subject)", data)
    kept = data["Reaction"].dropna()
    for y in (kept, kept.reset_index(drop=True), kept.to_numpy()):
        assert fit.refit(y).deviance == pytest.approx(fit.deviance, rel=1e-10)
    with pytest.raises(lmm.DataError, match="position 0 has the label 179 in it and 3 there"):
        fit.refit(kept[::-1])
    fixed = lmm.fit("Reaction ~ Days", data, allow_fixed=True)
    assert fixed.refit(kept).deviance == pytest.approx(fixed.deviance)
    with pytest.raises(lmm.DataError, match="by position"):
        fixed.refit(kept[::-1])


def test_refit_of_a_constant():
    with pytest.raises(lmm.ModelError):
        fitted("sleepstudy", reml=True).refit(np.ones(180))


# predict, simulate, random_effects_table


@pytest.mark.parametrize("level", [0, 1, 0.0, 1.0, 2, -0.5, 95, np.nan, np.inf, "x", "0.95", None, True, [0.95], 1j])
def test_level_lies_between_zero_and_one(level):
    fit = fitted("sleepstudy", reml=True)
    for call in (
        lambda: fit.random_effects_table(level=level),
        lambda: fit.predict(level=level),
        lambda: fit.predict(interval="confidence", level=level),
    ):
        with pytest.raises(lmm.ArgumentError, match="level must be a number strictly between 0 and 1") as caught:
            call()
        assert repr(level) in str(caught.value)


@pytest.mark.parametrize("n", [2.5, 2.0, "2", None, True, -1, [2], np.nan])
def test_number_of_simulated_responses(n):
    with pytest.raises(lmm.ArgumentError, match="n must be a whole number") as caught:
        fitted("sleepstudy", reml=True).simulate(n)
    assert repr(n) in str(caught.value)


def test_more_simulated_responses_than_memory_holds():
    with pytest.raises(lmm.ModelError, match=r"1000000000000 simulated responses would need .* Simulate fewer"):
        fitted("sleepstudy", reml=True).simulate(10**12)


@pytest.mark.parametrize("random", [True, False, None, "all", "Subject", ["new"], np.array(["new", "new"])])
def test_simulated_random_effects_are_new_or_conditional(random):
    with pytest.raises(lmm.ArgumentError, match=r'random must be "new" .* or "conditional"') as caught:
        fitted("sleepstudy", reml=True).simulate(random=random)
    assert repr(random) in str(caught.value)


@pytest.mark.parametrize("rng", ["a", -1, 1.0, True, [1, 2], np.random.RandomState(1)])
def test_rng_is_a_seed_or_a_generator(rng):
    with pytest.raises(lmm.ArgumentError, match=r"rng must be None, a seed .* or a numpy\.random\.Generator") as caught:
        fitted("sleepstudy", reml=True).simulate(rng=rng)
    assert repr(rng) in str(caught.value)


@pytest.mark.parametrize("interval", ["both", True, 0.95, ["confidence"], np.array(["confidence"])])
def test_unknown_interval(interval):
    with pytest.raises(lmm.ArgumentError, match='interval must be None, "confidence" or "prediction"') as caught:
        fitted("sleepstudy", reml=True).predict(interval=interval)
    assert repr(interval) in str(caught.value)


@pytest.mark.parametrize("new_levels", ["allow", True, None, ["population"]])
def test_unknown_treatment_of_new_levels(new_levels):
    with pytest.raises(lmm.ArgumentError, match="new_levels must be one of 'error', 'population'") as caught:
        fitted("sleepstudy", reml=True).predict(new_levels=new_levels)
    assert repr(new_levels) in str(caught.value)


@pytest.mark.parametrize(
    "random",
    [None, 1, {}, "Days", "Subjects", ["Subject", "Days"], ["Subject", 3], "(1 | Days)", "(I(Days^2) | Subject)"],
)
def test_unknown_random_effects(random):
    with pytest.raises(lmm.ArgumentError) as caught:
        fitted("sleepstudy", reml=True).predict(random=random)
    assert "Subject" in str(caught.value)


@pytest.mark.parametrize(
    "call",
    [
        lambda fit, given: fit.tidy(conf_int=given),
        lambda fit, given: fit.contrast("Days = 0", joint=given),
        lambda fit, given: fit.bootstrap(5, progress=given),
        lambda fit, given: lmm.ranova(fit, reduce_terms=given),
    ],
    ids=["conf_int", "joint", "progress", "reduce_terms"],
)
@pytest.mark.parametrize("given", ["yes", None, 1, np.ones(2)])
def test_truth_values(call, given):
    with pytest.raises(lmm.ArgumentError, match=r"must be True.* or False.*; got"):
        call(fitted("sleepstudy", reml=True), given)


@pytest.mark.parametrize("effects", [None, 5, "random", ["fixed", 5], [], pd.NA])
def test_effects_of_tidy(effects):
    with pytest.raises(lmm.ArgumentError, match="effects must be one or several of 'fixed', 'ran_pars', 'ran_vals'"):
        fitted("sleepstudy", reml=True).tidy(effects)


@pytest.mark.parametrize("given", [None, -1, "1", np.ones(2), pd.NA, float("nan")])
def test_priors(given):
    for name in ("relative_sd", "shape", "scale"):
        with pytest.raises(lmm.ArgumentError, match=f"{name} must be a"):
            lmm.Priors(**{name: given})


def test_warnings_can_be_filtered_by_type():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", lmm.LMMWarning)
        assert lmm.fit(MODELS["dyestuff2"][0], frame("dyestuff2")).is_singular
    assert issubclass(lmm.SingularFitWarning, lmm.LMMWarning)
    assert issubclass(lmm.ConvergenceWarning, lmm.LMMWarning)
    assert issubclass(lmm.LMMWarning, UserWarning)
