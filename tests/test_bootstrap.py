"""The bootstrap: against lme4's, reproducible, interruptible, and in words where it does not apply."""

import json
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import lmm
import lmm.batch.refits
from conftest import MODELS, fit_quietly, fitted, frame
from lmm.inference.cases import refit_groups
from lmm.inference.drawn import GroupSamples
from lmm.inference.estimated import estimate_values
from lmm.inference.null_distribution import bootstrap_lrt_statistics
from lmm.inference.resampling import Parametric, Residual, Wild, top_groups

REFERENCE = json.loads(Path(__file__).with_name("bootstrap_reference.json").read_text(encoding="utf-8"))
# Differences from a reference, in Monte Carlo standard errors of the difference.
MOST = 4.0


@pytest.fixture(scope="module")
def result():
    return fitted("sleepstudy", reml=True).bootstrap(600, rng=1)


def same(one, other):
    pd.testing.assert_frame_equal(one.estimates, other.estimates, check_exact=True)


# Against lme4


@pytest.mark.parametrize("case", ["lamb_ML", "lamb_REML", "pig_ML", "pig_REML", "penicillin_ML", "penicillin_REML"])
def test_moments_are_those_of_lme4(case):
    name, method = case.split("_")
    model = fitted(name, reml=method == "REML")
    found = model.bootstrap(2000, rng=8)
    values = found.estimates.to_numpy()[:, :-1]  # without sigma
    reference = REFERENCE[case]
    assert values.shape[1] == len(reference["names"])
    assert found.n_failed == 0
    for own, own_error, theirs, their_error in [
        (found.mean(), found.mcse(), reference["mean"], reference["mc_se_mean"]),
        (found.se(), found.mcse("se"), reference["se"], reference["mc_se_se"]),
    ]:
        error = np.hypot(own_error.to_numpy()[:-1], their_error)
        assert (np.abs(own.to_numpy()[:-1] - theirs) < MOST * error).all()
    centred = values - values.mean(axis=0)
    products = centred[:, :, None] * centred[:, None]
    error = products.std(axis=0) * np.sqrt(1.0 / len(values) + 1.0 / reference["nsim"])
    assert (np.abs(found.cov().to_numpy()[:-1, :-1] - reference["cov"]) < MOST * error + 1e-12).all()
    zeros = [(found.estimates[factor.group] == 0.0).mean() for factor in model.factors]
    for share, theirs in zip(zeros, reference["frac_zero_vc"], strict=True):
        spread = np.sqrt(max(theirs * (1.0 - theirs), 1e-3) * (1.0 / len(values) + 1.0 / reference["nsim"]))
        assert abs(share - theirs) < MOST * spread


def test_lambs_by_ml_are_far_from_the_asymptotic_standard_error():
    found = fitted("lamb", reml=False).bootstrap(2000, rng=3)
    assert found.se()["Sire"] == pytest.approx(0.125, abs=0.03)  # asymptotic: 0.297
    assert found.n_singular == (found.estimates["Sire"] == 0.0).sum() > 1600


# The replicates


def test_names_and_original(result):
    model = result.model
    expected = [*model.params.index, "Subject.Intercept", "Subject.Days", "Subject.Intercept.Days", "Residual", "sigma"]
    assert list(result.estimates.columns) == list(result.original.index) == expected
    np.testing.assert_allclose(result.original[:2], model.params)
    np.testing.assert_allclose(result.original[2:6], model.variance_components["vcov"])
    assert result.original["sigma"] == model.sigma
    np.testing.assert_allclose(result.estimates["Residual"], result.estimates["sigma"] ** 2)


def test_known_sigma_is_no_parameter():
    model = fit_quietly("Yield ~ 1 + (1 | Batch)", lmm.datasets.load("dyestuff"), sigma=50.0)
    assert list(model.bootstrap(20, rng=1).estimates.columns) == ["Intercept", "Batch"]


def test_replicates_are_refits_to_simulated_responses():
    model = fitted("penicillin", reml=True)
    found = model.bootstrap(5, rng=4, statistic=lambda fit: fit.design.y)
    for y, row in zip(found.estimates.to_numpy(), model.bootstrap(5, rng=4).estimates.to_numpy(), strict=True):
        again = model.refit(y)
        np.testing.assert_allclose(row[0], again.params.iloc[0], rtol=1e-8)
        np.testing.assert_allclose(row[1:4], again.variance_components["vcov"], rtol=1e-6)


def test_weights_and_offset_are_kept():
    data = lmm.datasets.load("sleepstudy")
    weights, offset = 1.0 + np.arange(180) % 4, np.linspace(0.0, 50.0, 180)
    model = lmm.fit("Reaction ~ Days + (1 | Subject)", data, weights=weights, offset=offset)
    Y = Parametric(model).draw(np.random.default_rng(1), 4000)
    mean = model.design.X @ model.params.to_numpy() + offset
    variance = model.variance_components["vcov"].iloc[0] + model.sigma**2 / weights
    np.testing.assert_allclose(Y.mean(axis=1), mean, atol=MOST * np.sqrt(variance.max() / 4000))
    np.testing.assert_allclose(Y.var(axis=1), variance, rtol=MOST * np.sqrt(2.0 / 4000))
    found = model.bootstrap(400, rng=1)
    assert (found.bias().abs() < MOST * found.mcse() + 0.02 * found.original.abs()).all()


# Reproducible


def test_same_seed_same_replicates_for_any_workers(result):
    model = result.model
    same(result, model.bootstrap(600, rng=1))
    same(result, model.bootstrap(600, rng=np.random.default_rng(1)))
    same(result, model.bootstrap(600, rng=1, workers=map))
    many = model.bootstrap(2100, rng=1)
    same(many, model.bootstrap(2100, rng=1, workers=2))
    np.testing.assert_allclose(many.estimates[:600], result.estimates, rtol=1e-8, atol=1e-6)
    assert not np.allclose(model.bootstrap(5, rng=2).estimates, result.estimates[:5])


@pytest.mark.parametrize("batch_size", [1, 64, 128])
def test_same_replicates_in_batches_of_any_size(batch_size, monkeypatch):
    model = fitted("pastes", reml=True)
    expected = model.bootstrap(150, rng=7)
    monkeypatch.setattr("lmm.batch.refits.Refitter.batch_size", batch_size)
    monkeypatch.setattr("lmm.inference.bootstrap.Plan.block", 64)
    found = model.bootstrap(150, rng=7)
    np.testing.assert_allclose(found.estimates, expected.estimates, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found.singular, expected.singular)


def test_a_generator_moves_on():
    rng = np.random.default_rng(5)
    model = fitted("dyestuff", reml=True)
    assert not np.allclose(model.bootstrap(3, rng=rng).estimates, model.bootstrap(3, rng=rng).estimates)


@pytest.mark.parametrize("kind", ["residual", "cases", "wild"])
def test_other_kinds_are_reproducible_too(kind):
    model = fitted("dyestuff", reml=True)
    one = model.bootstrap(70, rng=3, kind=kind)
    same(one, model.bootstrap(70, rng=3, kind=kind, workers=2))
    pd.testing.assert_frame_equal(one.estimates[:20], model.bootstrap(20, rng=3, kind=kind).estimates, rtol=1e-7)


# Interrupted


def interrupting(n_results):
    """A map that Ctrl-C ends after some results."""

    def mapped(work, tasks):
        for i, task in enumerate(tasks):
            if i == n_results:
                raise KeyboardInterrupt
            yield work(task)

    return mapped


def test_ctrl_c_returns_what_is_done():
    model = fitted("sleepstudy", reml=True)
    found = model.bootstrap(3000, rng=1, workers=interrupting(1))
    assert found.interrupted
    assert 0 < len(found.estimates) < 3000
    np.testing.assert_array_equal(found.estimates, model.bootstrap(len(found.estimates), rng=1).estimates)
    assert "Interrupted: 3000 replicates were asked for." in str(found)


def test_ctrl_c_before_the_first_result_is_an_interrupt():
    with pytest.raises(KeyboardInterrupt):
        fitted("sleepstudy", reml=True).bootstrap(10, rng=1, workers=interrupting(0))


def test_ctrl_c_keeps_the_replicates_of_a_statistic():
    model, calls = fitted("sleepstudy", reml=True), []

    def stopped(fit):
        calls.append(fit)
        if len(calls) == 40:  # long before the end of the first block of 64
            raise KeyboardInterrupt
        return fit.sigma

    found = model.bootstrap(1000, rng=1, statistic=stopped)
    assert found.interrupted
    assert 30 < len(found.estimates) < 40
    same = model.bootstrap(len(found.estimates), rng=1, statistic=lambda fit: fit.sigma)
    np.testing.assert_array_equal(found.estimates, same.estimates)


# Other kinds


def test_residual_bootstrap_has_the_estimated_covariances():
    model = fitted("sleepstudy", reml=True)
    sampler = Residual(model)
    ((_, _, b),) = sampler.parts
    np.testing.assert_allclose(b.mean(axis=0), 0.0, atol=1e-10)
    np.testing.assert_allclose(b.T @ b / len(b), model.random_cov["Subject"], rtol=1e-10)
    assert sampler.residuals.mean() == pytest.approx(0.0, abs=1e-12)
    assert (sampler.residuals**2).mean() == pytest.approx(model.sigma**2, rel=1e-12)
    # The linear map that does it keeps the order of the residuals.
    np.testing.assert_array_equal(np.argsort(sampler.residuals), np.argsort(model.resid.to_numpy()))


def test_residual_bootstrap_of_a_singular_fit():
    model = fitted("oats", reml=True)
    sampler = Residual(model)
    for (_, _, b), factor in zip(sampler.parts, model.factors, strict=True):
        np.testing.assert_allclose(b.T @ b / len(b), model.random_cov[factor.group], atol=1e-8)
    zero = Residual(fitted("lamb", reml=False))
    assert not zero.parts[0][2].any()


def test_wild_bootstrap_keeps_the_second_moments_within_groups():
    model = fitted("sleepstudy", reml=True)
    sampler = Wild(model)
    Y = sampler.draw(np.random.default_rng(1), 20_000) - sampler.mean[:, None]
    here = model.factors[0].codes == 3
    expected = np.outer(sampler.residuals[here], sampler.residuals[here])
    np.testing.assert_allclose(Y[here] @ Y[here].T / 20_000, expected, rtol=0.05)
    ratio = Y[here] / sampler.residuals[here][:, None]
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[0], ratio.shape), rtol=1e-8)  # one number for a group
    values = np.unique(np.round(ratio[0], 10))
    np.testing.assert_allclose(values, [-0.6180339887, 1.6180339887])
    assert ratio[0].mean() == pytest.approx(0.0, abs=0.03)


@pytest.mark.parametrize(("name", "reml"), [("sleepstudy", True), ("pastes", True), ("lamb", False)])
def test_models_for_a_statistic_are_searched_for_together(name, reml, monkeypatch):
    model = fitted(name, reml=reml)

    def statistic(fit):
        assert fit.converged
        return [fit.sigma, fit.deviance, *fit.estimates.beta]

    with monkeypatch.context() as context:
        context.setattr("lmm.batch.refits.Refitter._certified_optima", lambda *_: {})
        one_by_one = model.bootstrap(40, rng=3, statistic=statistic)
    searches = []
    find_optimum = lmm.batch.refits.find_optimum
    monkeypatch.setattr("lmm.batch.refits.find_optimum", lambda *a, **k: searches.append(1) or find_optimum(*a, **k))
    together = model.bootstrap(40, rng=3, statistic=statistic)
    assert len(searches) <= 2  # what a batch cannot certify
    np.testing.assert_allclose(together.estimates, one_by_one.estimates, rtol=1e-7, atol=1e-9)
    assert together.n_singular == one_by_one.n_singular


def test_cases_bootstrap_of_nested_factors():
    model = fitted("pastes", reml=True)
    codes = top_groups(model, "the cases bootstrap")
    assert len(np.unique(codes)) == 10  # batches, of three casks each
    found = model.bootstrap(40, rng=1, kind="cases")
    assert found.n_failed == 0
    # The mean of a balanced sample is the mean of the batches drawn.
    assert found.estimates["Intercept"].std() == pytest.approx(found.original["batch"] ** 0.5 / 3.0, rel=0.6)


@pytest.mark.parametrize("known", [False, True])
def test_cases_come_from_cross_products_of_the_groups(known, monkeypatch):
    """Estimates from samples of groups without a fit of their rows, in three nested factors with slopes."""
    data = frame("oats").assign(w=lambda d: 1.0 + np.arange(len(d)) % 3, off=lambda d: 5.0 * d["nitro"])
    data["plot"] = np.arange(len(data)) // 2
    options = {"sigma": 9.0} if known else {"reml": False}
    formula = "yield ~ nitro + (nitro || Block) + (1 | Block:Variety) + (1 | plot)"
    model = fit_quietly(formula, data, weights="w", offset="off", **options)
    codes = top_groups(model, "the cases bootstrap")
    samples = GroupSamples(model, codes)
    for drawn in ([0, 1, 2, 3, 4, 5], [5, 5, 1, 0, 2, 2], [3, 1, 4]):
        expected = refit_groups(model, codes, np.array(drawn))
        found, singular = samples.fit(np.array(drawn))
        assert singular == expected.optimum.on_boundary
        scale = np.abs(estimate_values(expected)).max()
        np.testing.assert_allclose(estimate_values(model, found), estimate_values(expected), atol=1e-6 * scale)
        ours, theirs = samples.cross_products(np.array(drawn)), expected.deviance_function.cross
        assert (ours.n, ours.sizes) == (theirs.n, theirs.sizes)
        for one, other in zip(ours.with_first, theirs.with_first, strict=True):
            np.testing.assert_array_equal([one.rows, one.columns], [other.rows, other.columns])
    monkeypatch.setattr("lmm.inference.cases.refit_groups", None)
    result = model.bootstrap(30, rng=1, kind="cases")
    assert result.conf_int(method="bca").notna().all(axis=None)


def test_cases_keep_their_own_levels():
    model = fitted("dyestuff", reml=True)
    batches = model.bootstrap(30, rng=2, kind="cases", statistic=lambda fit: fit.n_groups["Batch"]).estimates
    assert (batches == 6.0).all().all()  # a batch that is drawn twice counts as two


def test_failures_are_counted_with_their_reason():
    data = lmm.datasets.load("sleepstudy")
    data["x"] = (data["Subject"] == data["Subject"].iloc[0]) * 1.0  # absent from one cases sample in three
    model = lmm.fit("Reaction ~ Days + x + (1 | Subject)", data)
    found = model.bootstrap(60, rng=1, kind="cases")
    assert 5 < found.n_failed < 40
    assert set(found.failures.values()) == {
        "the fixed effects are not estimable from the groups drawn: some of their columns depend on each other"
    }
    assert len(found.estimates) == 60 - found.n_failed
    assert set(found.estimates.index).isdisjoint(found.failures)
    assert f"{found.n_failed} replicates failed: the fixed effects are not estimable" in str(found)


# What follows from the replicates


def test_moments(result):
    values = result.estimates
    np.testing.assert_allclose(result.mean(), values.mean())
    np.testing.assert_allclose(result.bias(), values.mean() - result.original)
    np.testing.assert_allclose(result.se(), values.std())
    np.testing.assert_allclose(result.cov(), values.cov())
    np.testing.assert_allclose(result.mcse(), values.sem())


def test_monte_carlo_error_of_the_standard_error():
    model = fitted("dyestuff", reml=True)
    several = [model.bootstrap(200, rng=seed) for seed in range(40)]
    spread = np.std([found.se()["Intercept"] for found in several], ddof=1)
    assert np.mean([found.mcse("se")["Intercept"] for found in several]) == pytest.approx(spread, rel=0.35)


def test_limits(result):
    values, t = result.estimates["Days"].to_numpy(), result.original["Days"]
    low, high = np.sort(values)[[14, 585]]  # about (B + 1) p = 15.0 and 586 for B = 600
    percentile = result.conf_int().loc["Days"]
    assert percentile["lower"] == pytest.approx(low, abs=0.05)
    assert percentile["upper"] == pytest.approx(high, abs=0.05)
    basic = result.conf_int(method="basic").loc["Days"]
    np.testing.assert_allclose(basic, [2 * t - percentile["upper"], 2 * t - percentile["lower"]])
    normal = result.conf_int(0.9, method="normal").loc["Days"]
    centre, half = 2 * t - values.mean(), 1.6448536269514722 * values.std(ddof=1)
    np.testing.assert_allclose(normal, [centre - half, centre + half])


def test_bca_limits_by_hand():
    model = fitted("dyestuff", reml=True)
    found = model.bootstrap(800, rng=2)
    values, t = found.estimates["Intercept"].to_numpy(), found.original["Intercept"]
    data = frame("dyestuff")
    left_out = np.array(
        [
            fit_quietly(MODELS["dyestuff"][0], data[data["Batch"] != batch]).params.iloc[0]
            for batch in data["Batch"].unique()
        ]
    )
    d = left_out.mean() - left_out
    a = (d**3).sum() / (6.0 * (d**2).sum() ** 1.5)
    z0 = norm.ppf((values < t).mean())
    levels = [norm.cdf(z0 + (z0 + z) / (1.0 - a * (z0 + z))) for z in norm.ppf([0.025, 0.975])]
    expected = np.quantile(values, levels, method="weibull")
    np.testing.assert_allclose(found.conf_int(method="bca").loc["Intercept"], expected, rtol=1e-8)


def test_bca_needs_replicates_on_both_sides():
    model = fitted("dyestuff", reml=True)
    found = model.bootstrap(20, rng=2, statistic=lambda fit: np.abs(fit.design.y[:5] - model.design.y[:5]).sum())
    with pytest.raises(lmm.ModelError, match="one side of its estimate"):
        found.conf_int(method="bca")


@pytest.mark.parametrize(
    ("statistic", "names"),
    [
        (lambda fit: fit.sigma, ["statistic"]),
        (lambda fit: [fit.sigma, fit.deviance], ["statistic[0]", "statistic[1]"]),
        (lambda fit: {"sd": fit.sigma}, ["sd"]),
        (lambda fit: fit.params, ["Intercept", "Days"]),
    ],
)
def test_statistic(statistic, names, result):
    found = result.model.bootstrap(12, rng=1, statistic=statistic)
    assert list(found.estimates.columns) == names
    if names[0] == "Intercept":
        np.testing.assert_allclose(found.estimates, result.estimates.iloc[:12, :2], rtol=1e-6)
    else:
        np.testing.assert_allclose(found.estimates.iloc[:, 0], result.estimates["sigma"][:12], rtol=1e-6)
    assert list(found.conf_int(method="bca").index) == names


def often_failing(fit):
    """A statistic that every third replicate or so does not have."""
    if fit.sigma < 24.0:
        raise ZeroDivisionError("no such thing.")
    return np.nan if fit.sigma > 28.0 else fit.sigma


@pytest.mark.parametrize("workers", [1, 2])
def test_a_statistic_that_fails_costs_its_replicate_only(workers, result):
    found = result.model.bootstrap(60, rng=1, statistic=often_failing, workers=workers)
    sigma = result.estimates["sigma"][:60]
    low, high = sigma.index[sigma < 24.0], sigma.index[sigma > 28.0]
    assert len(low) > 3
    assert len(high) > 1
    assert found.failures == {
        **dict.fromkeys(low, "ZeroDivisionError: no such thing"),
        **dict.fromkeys(high, "the statistic is not a number"),
    }
    assert found.n_failed + len(found.estimates) == 60
    np.testing.assert_allclose(found.estimates["statistic"], sigma[sigma.between(24.0, 28.0)], rtol=1e-6)
    assert found.conf_int().notna().all(axis=None)
    assert f"{len(low)} replicates failed: ZeroDivisionError: no such thing." in str(found)


def test_a_statistic_that_fails_without_a_group_is_left_out_of_the_jackknife(result):
    model = result.model
    found = model.bootstrap(40, rng=1, statistic=lambda fit: fit.sigma if fit.sigma > 24.0 else 1 / 0)
    assert found.conf_int(method="bca").notna().all(axis=None)


def failing(_):
    raise ValueError("boom")


@pytest.mark.parametrize(
    ("statistic", "said"),
    [
        (failing, "statistic cannot be computed from the model itself.*ValueError: boom"),
        (lambda _: {"a": 1.0, "b": np.nan}, "must be a number for the model itself.*'b' is NaN"),
    ],
)
def test_a_statistic_that_the_model_itself_does_not_have(statistic, said):
    with pytest.raises(lmm.ArgumentError, match=said):
        fitted("dyestuff", reml=True).bootstrap(5, rng=1, statistic=statistic)


def test_many_reasons_are_not_all_printed():
    model = fitted("dyestuff", reml=True)

    def own_reason(fit):
        if fit is not model:
            raise ValueError(str(fit.sigma))
        return fit.sigma

    found = model.bootstrap(8, rng=1, statistic=own_reason)
    assert str(found).count("1 replicate failed: ValueError") == 5
    assert "3 replicates failed for other reasons" in str(found)


def test_numbers_of_replicates_are_said_in_words(result):
    one = result.model.bootstrap(1, rng=1)
    assert str(one).startswith("Parametric bootstrap, 1 replicate\n")
    singular = np.zeros(600, dtype=bool)
    singular[4] = True
    text = str(replace(result, singular=singular))
    assert "\n1 replicate (<1%) has a singular covariance of random effects." in text


def test_summary_as_text_and_html(result):
    text = str(result)
    assert text.startswith("Parametric bootstrap, 600 replicates")
    for part in ("Estimate", "Bias", "Std. Error", "MC error", "2.5 %", "97.5 %", "Subject.Intercept.Days"):
        assert part in text
    assert f"{result.n_singular} replicates (" in text
    assert "<table>" in result._repr_html_()
    assert str(result.summary(0.9)).splitlines()[1].split()[-4:] == ["5", "%", "95", "%"]


def test_plot(result):
    plt = pytest.importorskip("matplotlib.pyplot")
    panels = result.plot()
    assert [panel.get_xlabel() for panel in panels] == list(result.original.index)
    _, ax = plt.subplots()
    assert result.plot("Days", ax=ax) is ax
    explained = ["kernel density", "estimate", "95 % percentile limits"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == explained
    assert [text.get_text() for text in panels[0].figure.legends[0].get_texts()] == explained
    with pytest.raises(lmm.ArgumentError, match="one pair of axes holds one parameter"):
        result.plot(ax=ax)
    with pytest.raises(lmm.ArgumentError, match="there is no parameter 'days'"):
        result.plot("days")
    lamb = fitted("lamb", reml=False).bootstrap(100, rng=1)
    assert any("at 0" in text.get_text() for text in lamb.plot("Sire").texts)
    plt.close("all")


def test_progress(monkeypatch):
    shown = []

    class Bar:
        def __init__(self, **options):
            shown.append(options["total"])

        def __enter__(self):
            return self

        def __exit__(self, *exception):
            return None

        def update(self, n):
            shown.append(n)

    auto = types.ModuleType("tqdm.auto")
    auto.tqdm = Bar
    monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))
    monkeypatch.setitem(sys.modules, "tqdm.auto", auto)
    fitted("dyestuff", reml=True).bootstrap(1500, rng=1, progress=True)
    assert shown[0] == sum(shown[1:]) == 1500
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(lmm.ArgumentError, match="pip install tqdm"):
        fitted("dyestuff", reml=True).bootstrap(5, progress=True)


# In words


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n": 0}, "n must be a whole number of replicates"),
        ({"n": 2.5}, "n must be a whole number of replicates"),
        ({"kind": "jackknife"}, "kind must be one of 'parametric', 'residual', 'cases', 'wild'"),
        ({"rng": "a"}, "rng must be None, a seed"),
        ({"workers": 0}, "workers must be a number of processes"),
        ({"workers": "two"}, "workers must be a number of processes"),
        ({"workers": lambda x: x}, r"a callable like map that takes a function and a sequence .* takes \(x\)"),
        ({"workers": lambda *_: []}, "gives a result for each element, of which there were 1"),
        ({"workers": lambda *given: [*map(*given), 1]}, "gives a result for each element, of which there were 1"),
        ({"workers": lambda *_: 3}, "gives a result for each element, of which there were 1"),
        ({"statistic": "sigma"}, "statistic must be a function of a fitted model"),
        ({"statistic": lambda _: "much"}, "statistic must return a number"),
        ({"statistic": lambda _: np.eye(2)}, "statistic must return a number"),
    ],
)
def test_arguments_are_checked(options, said):
    with pytest.raises(lmm.ArgumentError, match=said):
        fitted("dyestuff", reml=True).bootstrap(**{"n": 2, **options})


def test_statistic_has_the_same_numbers_for_every_fit():
    model = fitted("dyestuff", reml=True)
    with pytest.raises(lmm.ArgumentError, match="it returned 1 for the model and 2 for a replicate"):
        model.bootstrap(2, rng=1, statistic=lambda fit: [1.0] if fit is model else [1.0, 2.0])


def test_statistic_must_reach_other_processes():
    model = fitted("dyestuff", reml=True)
    with pytest.raises(lmm.ArgumentError, match="statistic cannot be sent to other processes"):
        model.bootstrap(2, rng=1, statistic=lambda fit: fit.sigma, workers=2)


@pytest.mark.parametrize("kind", ["cases", "wild"])
def test_crossed_factors_have_no_independent_groups(kind):
    with pytest.raises(lmm.ModelError, match=rf"the {kind} bootstrap needs independent groups, and 'plate' is not"):
        fitted("penicillin", reml=True).bootstrap(5, kind=kind)
    with pytest.raises(lmm.ModelError, match='method="bca" needs independent groups'):
        fitted("penicillin", reml=True).bootstrap(50, rng=1).conf_int(method="bca")


def test_limits_are_checked(result):
    with pytest.raises(lmm.ArgumentError, match="method must be one of 'percentile'"):
        result.conf_int(method="t")
    with pytest.raises(lmm.ArgumentError, match="level must be"):
        result.conf_int(95)
    with pytest.raises(lmm.ArgumentError, match="of must be one of 'mean', 'se'"):
        result.mcse("median")
    with pytest.raises(lmm.ModelError, match="this needs 2 replicates or more, and there is 1"):
        result.model.bootstrap(1).se()


def test_a_single_replicate_can_be_printed(result):
    assert str(result.model.bootstrap(1, rng=1)).splitlines()[1].split() == ["Estimate"]


# Many responses


def test_refit_of_a_matrix_is_a_loop_of_refits():
    model = fitted("sleepstudy", reml=True)
    Y = pd.DataFrame(model.simulate(6, rng=3).T, columns=list("abcdef"))
    table = model.refit(Y)
    assert list(table.index) == list("abcdef")
    for label in Y:
        one = fit_quietly("y ~ Days + (Days | Subject)", frame("sleepstudy").assign(y=Y[label].to_numpy()))
        row = table.loc[label]
        np.testing.assert_allclose(row[["Intercept", "Days"]].astype(float), one.params, rtol=1e-6)
        np.testing.assert_allclose(row[["std_error(Intercept)", "std_error(Days)"]].astype(float), one.bse, rtol=1e-5)
        np.testing.assert_allclose(
            row[["Subject.Intercept", "Subject.Days", "Subject.Intercept.Days", "Residual"]].astype(float),
            one.variance_components["vcov"],
            rtol=1e-4,
            atol=1e-3,
        )
        assert row["deviance"] == pytest.approx(one.deviance, abs=1e-8)
        assert row["singular"] == one.is_singular


def test_responses_of_any_scale():
    model = fitted("penicillin", reml=True)
    Y = model.simulate(4, rng=3).T
    table, scaled = model.refit(Y), model.refit(Y * [1e-12, 1.0, 1e9, 1.0] + [0.0, 1e6, 0.0, 0.0])
    np.testing.assert_allclose(scaled["sigma"], table["sigma"] * [1e-12, 1.0, 1e9, 1.0], rtol=1e-6)
    np.testing.assert_allclose(
        scaled["Intercept"], table["Intercept"] * [1e-12, 1.0, 1e9, 1.0] + [0.0, 1e6, 0.0, 0.0], rtol=1e-9
    )


def test_responses_that_cannot_be_fitted_are_named():
    model = fitted("dyestuff", reml=True)
    Y = model.simulate(3, rng=1).T
    Y[:, 1] = 7.0
    with pytest.warns(lmm.ConvergenceWarning, match=r"1 of 3 responses could not be fitted .* \(1\)\. 1: the fixed"):
        table = model.refit(Y)
    assert table.loc[1].drop("singular").isna().all()
    assert table.loc[[0, 2]].notna().all().all()


@pytest.mark.parametrize(
    ("Y", "said"),
    [
        (np.zeros((29, 3)), r"shape \(30, m\), one row for each of the 30 rows used; got shape \(29, 3\)"),
        (np.zeros((30, 3, 1)), r"got shape \(30, 3, 1\)"),
        ([["a"] * 2] * 30, "got a list that holds something else"),
        (np.full((30, 2), np.nan), "2 of the 2 responses hold values that are not finite"),
    ],
)
def test_matrices_are_checked(Y, said):
    with pytest.raises(lmm.DataError, match=said):
        fitted("dyestuff", reml=True).refit(Y)


# Likelihood-ratio statistics under the smaller model


def test_sitka_treatment():
    small, big = fitted("sitka_without_treat", reml=False), fitted("sitka", reml=False)
    observed = small.deviance - big.deviance
    assert observed == pytest.approx(12.61996, abs=1e-4)
    simulated = bootstrap_lrt_statistics(small, big, 2000, rng=1)
    p_value = (1 + (simulated >= observed).sum()) / (1 + len(simulated))
    # lme4 1.1-31 with two seeds of 1000 statistics each: 0.011 and 0.005.
    assert p_value == pytest.approx(0.008, abs=MOST * np.sqrt(0.008 / 2000 + 0.008 / 2000))
    # Its 1000 statistics have mean 3.265 and variance 6.951.
    assert simulated.mean() == pytest.approx(3.265, abs=MOST * np.sqrt(6.951 / 1000 + 6.951 / 2000))


def test_statistics_are_those_of_single_fits():
    small, big = fitted("sleepstudy_intercept", reml=False), fitted("sleepstudy_double_bar", reml=False)
    found = bootstrap_lrt_statistics(small, big, 4, rng=6)
    seed = tuple(np.random.default_rng(6).integers(2**32, size=4).tolist())
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    Y = Parametric(small).draw(rng, 1024)[:, :4]
    data = frame("sleepstudy")
    for statistic, y in zip(found, Y.T, strict=True):
        fits = [fit_quietly(model.formula, data.assign(Reaction=y), reml=False) for model in (small, big)]
        assert statistic == pytest.approx(fits[0].deviance - fits[1].deviance, abs=1e-7)
    assert (found >= 0.0).all()
    np.testing.assert_array_equal(found, bootstrap_lrt_statistics(small, big, 4, rng=6, workers=2))


def test_comparisons_are_checked():
    model, other = fitted("dyestuff", reml=True), fitted("penicillin", reml=True)
    with pytest.raises(lmm.ArgumentError, match="fitted to the same rows; the small one has 30 and the big one 144"):
        bootstrap_lrt_statistics(model, other)
    with pytest.raises(lmm.ArgumentError, match="n must be a whole number of simulated responses"):
        bootstrap_lrt_statistics(model, model, 0)
