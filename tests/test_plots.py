"""What the pictures draw: the data of their points, lines and bars."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from scipy import stats

import lmm
from conftest import fit_quietly, fitted, frame
from lmm.diagnostics.simulated import drawn, observed, simulated
from lmm.plots.effects import estimates_alone
from lmm.plots.quantiles import default_count
from lmm.plots.residuals import smooth
from test_residuals import crossed, dense

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def points(ax, number=0):
    """Coordinates of a set of points."""
    scatters = [c for c in ax.collections if isinstance(c, mpl.collections.PathCollection)]
    return np.asarray(scatters[number].get_offsets())


@pytest.mark.parametrize("kind", ["studentized", "response", "cholesky"])
def test_residuals_against_fitted_values(kind):
    fit = fitted("sleepstudy", reml=True)
    ax = lmm.plots.residuals_vs_fitted(fit, kind=kind)
    np.testing.assert_allclose(points(ax), np.column_stack([fit.fittedvalues, fit.residuals(kind)]))
    line = next(line for line in ax.get_lines() if line.get_label() == "smooth")
    np.testing.assert_allclose(line.get_xydata().T, smooth(fit.fittedvalues.to_numpy(), fit.residuals(kind).to_numpy()))


def test_smooth_follows_a_line_and_averages_ties():
    x = np.random.default_rng(1).uniform(size=80)
    at, values = smooth(x, 3.0 - 2.0 * x)
    np.testing.assert_allclose(values, 3.0 - 2.0 * at)
    at, values = smooth(np.zeros(10), np.arange(10.0))
    np.testing.assert_allclose((at, values), ([0.0], [4.5]))


def test_scale_location():
    fit = fitted("pig", reml=True)
    ax = lmm.plots.scale_location(fit)
    np.testing.assert_allclose(points(ax)[:, 1] ** 2, np.abs(fit.residuals("studentized")))


def test_boxes_by_group_stand_in_the_order_of_their_medians():
    fit = fitted("sleepstudy", reml=True)
    ax = lmm.plots.residuals_by_group(fit, "Subject", kind="marginal")
    medians = [line.get_ydata()[0] for line in ax.get_lines() if line.get_color() == "#0072B2"]
    expected = fit.residuals("marginal").groupby(frame("sleepstudy")["Subject"]).median().sort_values()
    np.testing.assert_allclose(medians, expected)
    assert [label.get_text() for label in ax.get_xticklabels()] == list(expected.index)
    assert not lmm.plots.residuals_by_group(fitted("sitka", reml=False)).get_xticklabels()


def test_quantiles_of_residuals_with_a_band():
    fit = fitted("sleepstudy", reml=True)
    ax = lmm.plots.qq_residuals(fit, n_sim=100, rng=3)
    inside, outside = points(ax, 0), points(ax, 1)
    shown = np.concatenate([inside, outside])
    normal = stats.norm.ppf((np.arange(180) + 0.5) / 180)
    np.testing.assert_allclose(np.sort(shown[:, 0]), normal)
    np.testing.assert_allclose(np.sort(shown[:, 1]), np.sort(fit.residuals("studentized")))
    draws = np.sort(simulated(fit, 100, np.random.default_rng(3)).residuals, axis=1)
    lower, upper = np.quantile(draws, [0.025, 0.975], axis=0, method="weibull")
    values = np.sort(fit.residuals("studentized"))
    assert len(outside) == ((values < lower) | (values > upper)).sum() > 3
    band = next(c for c in ax.collections if isinstance(c, mpl.collections.PolyCollection))
    assert band.get_paths()[0].get_extents().ymax == pytest.approx(upper.max())


def test_many_points_are_thinned_where_they_cover_each_other(monkeypatch):
    monkeypatch.setattr("lmm.plots.quantiles.MOST_POINTS", 60)
    monkeypatch.setattr("lmm.plots.quantiles.ENDS", 10)
    monkeypatch.setattr("lmm.plots.distances.MOST_BARS", 30)
    monkeypatch.setattr("lmm.plots.residuals.MOST_SMOOTHED", 60)
    fit = fitted("sleepstudy", reml=True)
    ax = lmm.plots.qq_residuals(fit)
    shown = np.sort(np.concatenate([points(ax, 0), points(ax, 1)])[:, 1])
    values = np.sort(fit.residuals("studentized"))
    assert 40 < len(shown) <= 60
    np.testing.assert_allclose(shown[:10], values[:10])
    np.testing.assert_allclose(shown[-10:], values[-10:])
    assert np.abs(shown[:, None] - values).min(axis=1).max() < 1e-12
    cook = fit.influence().cooks_distance.to_numpy()
    bars = lmm.plots.cooks_distance(fit).collections
    tops = np.concatenate([[segment[1, 1] for segment in bar.get_segments()] for bar in bars])
    assert len(tops) < 60
    assert np.isin(np.sort(cook)[-10:], tops).all()
    x, y = np.asarray(fit.fittedvalues), np.asarray(fit.resid)
    line = smooth(x, y)[1]
    monkeypatch.setattr("lmm.plots.residuals.MOST_SMOOTHED", 1000)
    np.testing.assert_allclose(line, smooth(x, y)[1], atol=0.1 * np.std(y))


def test_many_rows_need_fewer_simulations():
    assert default_count(fitted("sleepstudy", reml=True)) == 200
    assert default_count(fitted("insteval", reml=False)) == 136
    # The extremes of 39 responses hold one more with a probability of 95 %.
    ax = lmm.plots.qq_residuals(fitted("sleepstudy", reml=True), n_sim=39, rng=1)
    draws = np.sort(simulated(fitted("sleepstudy", reml=True), 39, np.random.default_rng(1)).residuals, axis=1)
    band = next(c for c in ax.collections if isinstance(c, mpl.collections.PolyCollection))
    assert band.get_paths()[0].get_extents().ymin == pytest.approx(draws.min())


def test_no_band_on_request():
    ax = lmm.plots.qq_residuals(fitted("dyestuff", reml=True), n_sim=0)
    assert not [c for c in ax.collections if isinstance(c, mpl.collections.PolyCollection)]
    assert len(points(ax)) == 30


def test_quantiles_of_random_effects_by_term():
    fit = fitted("sitka", reml=False)
    axes = lmm.plots.qq_random_effects(fit)
    assert [ax.get_title() for ax in axes] == ["tree: Intercept", "tree: time", "tree: I(time^2)"]
    ax = lmm.plots.qq_random_effects(fit, effect="time")
    shown = np.sort(np.concatenate([points(ax, 0), points(ax, 1)])[:, 1])
    np.testing.assert_allclose(shown, np.sort(observed(fit).modes[0][0, :, 1]))
    own = plt.figure().subplots()
    assert lmm.plots.qq_random_effects(fit, "tree", "time", ax=own) is own
    assert len(lmm.plots.qq_random_effects(fitted("penicillin", reml=True))) == 2


def test_an_effect_that_does_not_vary_is_said_so():
    ax = lmm.plots.qq_random_effects(fitted("dyestuff2", reml=True))
    assert [text.get_text() for text in ax.texts] == ["does not vary"]


@pytest.mark.parametrize("weights", [False, True])
def test_simulated_responses_are_fitted_at_the_same_ratios(weights, monkeypatch):
    fit = crossed(seed=2, weights=weights)
    X, Z, V, _ = dense(fit)
    monkeypatch.setattr("lmm.diagnostics.simulated.BATCH", 2)
    found = simulated(fit, 3, np.random.default_rng(5))
    w = np.ones(fit.nobs) if fit.design.weights is None else fit.design.weights
    y = np.concatenate(list(drawn(fit, 3, np.random.default_rng(5))), axis=1).T / np.sqrt(w)
    inverse = np.linalg.inv(V)
    P = inverse - inverse @ X @ np.linalg.solve(X.T @ inverse @ X, X.T @ inverse)
    for r in range(3):
        sigma = np.sqrt(y[r] @ P @ y[r] / (fit.nobs - 2))
        e = P @ y[r] / (w * sigma)  # W^-1 V^-1 (y - X beta), the residual at the predicted random effects
        scale = np.sqrt(np.diagonal(P)) / w
        np.testing.assert_allclose(found.residuals[r], e / scale, atol=1e-9)
        b = fit.Lambda @ Z.T @ P @ y[r]
        deviation = np.sqrt(np.diagonal(fit.Lambda @ Z.T @ P @ Z @ fit.Lambda.T))
        modes = np.concatenate([m[r].ravel() for m in found.modes])
        np.testing.assert_allclose(modes, b / (sigma * deviation), atol=1e-8)


def test_observed_are_the_residuals_of_the_fit():
    data = frame("sleepstudy").assign(off=lambda d: 3.0 * d["Days"])
    for fit in (
        fitted("pastes", reml=True),
        lmm.fit("Reaction ~ Days + (1 | Subject)", data, offset="off", sigma=30.0),
        fit_quietly("Reaction ~ 0 + (1 | Subject)", data),
    ):
        np.testing.assert_allclose(observed(fit).residuals[0], fit.residuals("studentized"), atol=1e-9)
        assert simulated(fit, 4, np.random.default_rng(1)).residuals.shape == (4, fit.nobs)


def test_drawn_responses_have_the_covariance_of_the_model():
    fit = crossed(seed=2, weights=True)
    _, _, V, _ = dense(fit)
    root = np.sqrt(fit.design.weights)
    draws = np.concatenate(list(drawn(fit, 40_000, np.random.default_rng(2))), axis=1) / root[:, None]
    found = np.cov(draws)
    scale = np.sqrt(np.diagonal(V))
    np.testing.assert_allclose(found / np.outer(scale, scale), V / np.outer(scale, scale), atol=0.03)


def test_more_simulations_than_rows():
    fit = fitted("dyestuff", reml=True)
    draws = simulated(fit, 300, np.random.default_rng(0))
    assert np.isfinite(draws.residuals).all()
    assert draws.residuals.std() == pytest.approx(1.0, abs=0.02)
    assert draws.modes[0].std() == pytest.approx(1.0, abs=0.05)


def test_cooks_distances_and_the_line_at_three_times_their_mean():
    fit = fitted("sitka", reml=False)
    ax = lmm.plots.cooks_distance(fit, n_labels=3)
    distance = fit.influence().cooks_distance
    heights = np.concatenate([[s[1] for s in c.get_segments()] for c in ax.collections])
    np.testing.assert_allclose(np.sort(heights[:, 1]), np.sort(distance))
    (line,) = [line for line in ax.get_lines() if line.get_label() == "3 x mean"]
    assert line.get_ydata()[0] == pytest.approx(3 * distance.mean())
    beyond = ax.collections[1].get_segments()
    assert len(beyond) == (distance > 3 * distance.mean()).sum()
    assert [text.get_text() for text in ax.texts] == [str(i) for i in distance.nlargest(3).index]


def test_cooks_distances_by_group_bear_the_names_of_the_groups():
    influence = fitted("sleepstudy", reml=True).influence(by="Subject")
    ax = lmm.plots.cooks_distance(influence)
    assert [label.get_text() for label in ax.get_xticklabels()] == list(influence.cooks_distance.index)


def test_caterpillar():
    fit = fitted("sleepstudy", reml=True)
    ax = lmm.plots.caterpillar(fit, "Subject", "Days", level=0.9)
    table = fit.random_effects_table(0.9)
    table = table[table["effect"] == "Days"].sort_values("estimate")
    np.testing.assert_allclose(points(ax)[:, 0], table["estimate"])
    intervals = np.array([s[:, 0] for s in ax.collections[0].get_segments()])
    np.testing.assert_allclose(intervals, table[["lower", "upper"]])
    assert [label.get_text() for label in ax.get_yticklabels()] == list(table["level"])


def test_shrinkage_of_a_random_intercept():
    fit = fitted("pig", reml=True)
    ax = lmm.plots.shrinkage(fit)
    drawn = points(ax)
    residual = fit.residuals("marginal").groupby(frame("pig")["id.num"]).mean()
    np.testing.assert_allclose(np.sort(drawn[:, 0]), np.sort(residual), atol=1e-9)
    np.testing.assert_allclose(drawn[:, 1] / drawn[:, 0], 0.96876, atol=1e-5)  # 9 s_u^2 / (s^2 + 9 s_u^2)


def test_shrinkage_of_intercepts_and_slopes():
    fit = fitted("sleepstudy", reml=True)
    ax = lmm.plots.shrinkage(fit)
    data = frame("sleepstudy")
    alone = [np.polyfit(own["Days"], own["Reaction"], 1)[::-1] - fit.params for _, own in data.groupby("Subject")]
    np.testing.assert_allclose(points(ax, 0), alone, atol=1e-8)
    np.testing.assert_allclose(points(ax, 1), fit.random_effects["Subject"])


def test_groups_too_small_to_stand_alone_are_left_out():
    data = frame("sleepstudy").drop(index=range(1, 10))
    fit = lmm.fit("Reaction ~ Days + (Days | Subject)", data)
    assert np.isnan(estimates_alone(fit, 0)).all(axis=1).tolist() == [True] + [False] * 17
    assert len(points(lmm.plots.shrinkage(fit), 1)) == 17


def test_fitted_lines_of_groups_and_population():
    pigs, fit = frame("pig"), fitted("pig", reml=True)
    ax = lmm.plots.fitted_lines(fit, pigs, "num.weeks", n_points=9)
    np.testing.assert_allclose(points(ax), pigs[["num.weeks", "weight"]])
    (lines,) = [c for c in ax.collections if isinstance(c, mpl.collections.LineCollection)]
    assert len(lines.get_segments()) == 48
    b = fit.random_effects["id.num"].iloc[4, 0]
    weeks = np.arange(1.0, 10.0)
    expected = fit.params["Intercept"] + b + fit.params["num.weeks"] * weeks
    np.testing.assert_allclose(lines.get_segments()[4], np.column_stack([weeks, expected]))
    (population,) = [line for line in ax.get_lines() if line.get_label() == "population"]
    np.testing.assert_allclose(population.get_ydata(), expected - b)


def test_fitted_lines_by_treatment_on_rows_that_were_used():
    data = frame("sitka")
    data.loc[data["tree"] == 3, "size"] = np.nan
    fit = lmm.fit("size ~ treat*(time + I(time^2)) + (time + I(time^2) | tree)", data, reml=False)
    ax = lmm.plots.fitted_lines(fit, data, "time", by="treat", n_points=5)
    labels = [line.get_label() for line in ax.get_lines()]
    assert labels[:2] == ["treat ozone", "treat control"]
    counts = [len(c.get_segments()) for c in ax.collections if isinstance(c, mpl.collections.LineCollection)]
    assert counts == [53, 25]
    assert len(points(ax)) == fit.nobs
    control = ax.get_lines()[1].get_xydata()
    beta = fit.params
    curve = beta["Intercept"] + beta["time"] * control[:, 0] + beta["I(time^2)"] * control[:, 0] ** 2
    np.testing.assert_allclose(control[:, 1], curve)


def test_information_criteria():
    data = frame("sleepstudy")
    fits = [lmm.fit(f"Reaction ~ {f}", data, reml=False) for f in ("1 + (1 | Subject)", "Days + (Days | Subject)")]
    ax = lmm.plots.information_criteria(*fits, names=["one", "two"])
    aic, bic = ax.get_lines()
    np.testing.assert_allclose(aic.get_ydata(), [fit.aic for fit in fits])
    np.testing.assert_allclose(bic.get_ydata(), [fit.bic for fit in fits])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["one", "two"]
    assert points(ax).tolist() == [[1.0, fits[1].aic]]


def test_panel_of_four():
    figure = fitted("sleepstudy", reml=True).plot()
    assert [ax.get_ylabel() for ax in figure.axes] == [
        "Studentised residual",
        "Studentised residual",
        "Cook's distance",
        "Standardised Subject: Intercept",
    ]
    inside, outside = points(figure.axes[1], 0), points(figure.axes[1], 1)
    alone = lmm.plots.qq_residuals(fitted("sleepstudy", reml=True))
    np.testing.assert_allclose(points(alone, 0), inside)
    np.testing.assert_allclose(points(alone, 1), outside)
    without = fit_quietly("Reaction ~ 0 + (1 | Subject)", frame("sleepstudy")).plot()
    assert without.axes[2].get_ylabel() == "Square root of |studentised residual|"


DRAW = {
    "residuals_vs_fitted": lambda fit, ax: lmm.plots.residuals_vs_fitted(fit, ax=ax),
    "scale_location": lambda fit, ax: lmm.plots.scale_location(fit, ax=ax),
    "residuals_by_group": lambda fit, ax: lmm.plots.residuals_by_group(fit, ax=ax),
    "qq_residuals": lambda fit, ax: lmm.plots.qq_residuals(fit, ax=ax),
    "cooks_distance": lambda fit, ax: lmm.plots.cooks_distance(fit, ax=ax),
    "caterpillar": lambda fit, ax: lmm.plots.caterpillar(fit, ax=ax),
    "shrinkage": lambda fit, ax: lmm.plots.shrinkage(fit, ax=ax),
    "fitted_lines": lambda fit, ax: lmm.plots.fitted_lines(fit, frame("sleepstudy"), "Days", ax=ax),
    "information_criteria": lambda fit, ax: lmm.plots.information_criteria(fit, fit, ax=ax),
}


@pytest.mark.parametrize("name", DRAW)
def test_pictures_draw_on_the_axes_given_and_open_no_figure(name):
    own = plt.figure().subplots()
    assert DRAW[name](fitted("sleepstudy", reml=True), own) is own
    assert plt.get_fignums() == [own.figure.number]
    assert own.has_data()


@pytest.mark.parametrize("name", DRAW)
def test_without_matplotlib_the_way_out_is_named(name, monkeypatch):
    for module in ("matplotlib", "matplotlib.pyplot"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=r"pictures need the package matplotlib.*pip install matplotlib"):
        DRAW[name](fitted("sleepstudy", reml=True), None)


def refusal(match, draw):
    with pytest.raises(lmm.ArgumentError, match=match):
        draw()


def test_refusals():
    plots, fit, data = lmm.plots, fitted("sleepstudy", reml=True), frame("sleepstudy")
    refusal("takes a model with random effects", lambda: plots.residuals_vs_fitted("fit"))
    refusal("takes a model with random effects", lambda: plots.cooks_distance(data))
    refusal("ax must be one Axes of matplotlib.*got Figure", lambda: plots.caterpillar(fit, ax=plt.figure()))
    refusal("ax must be one Axes .*got ndarray", lambda: plots.shrinkage(fit, ax=plt.figure().subplots(1, 2)))
    refusal("kind must be one of", lambda: plots.residuals_vs_fitted(fit, kind="deviance"))
    refusal("group must be a grouping factor", lambda: plots.caterpillar(fit, "subject"))
    refusal("effect must be a random effect of 'Subject'", lambda: plots.caterpillar(fit, effect="Nights"))
    refusal("level must be a number", lambda: plots.qq_residuals(fit, level=95))
    refusal("n_sim must be", lambda: plots.qq_residuals(fit, n_sim=-1))
    refusal("n_labels must be", lambda: plots.cooks_distance(fit, n_labels=1.5))
    refusal("ax holds one effect", lambda: plots.qq_random_effects(fit, ax=plt.figure().subplots()))
    refusal("x must be a numeric column that the formula names", lambda: plots.fitted_lines(fit, data, "Subject"))
    doses = lmm.datasets.load("oats")
    for formula in ("yield ~ factor(nitro) + (1 | Block)", "yield ~ nitro + C(nitro, contr.poly) + (1 | Block)"):
        coded = fit_quietly(formula, doses)
        refusal(
            r"x must be numeric in the formula, where '.*nitro.*' makes a factor",
            lambda fit=coded: plots.fitted_lines(fit, doses, "nitro"),
        )
    refusal("by must be a column", lambda: plots.fitted_lines(fit, data, "Days", by="sex"))
    refusal("by must be a column", lambda: plots.fitted_lines(fit, data, "Days", by=[]))
    refusal("n_points must be", lambda: plots.fitted_lines(fit, data, "Days", n_points=1))
    refusal("data must be the data of the fit", lambda: plots.fitted_lines(fit, data.head(9), "Days"))
    refusal("two or more fitted models", lambda: plots.information_criteria(fit))
    refusal("names must give one name", lambda: plots.information_criteria(fit, fit, names=["one"]))
    refusal("names must give one name", lambda: plots.information_criteria(fit, fit, names=5))
    refusal("the same reml=", lambda: plots.information_criteria(fit, fitted("sleepstudy", reml=False)))
    refusal("same response only", lambda: plots.information_criteria(fit, fitted("sleepstudy_log", reml=True)))
    other = fitted("sleepstudy_fixed_intercept", reml=True)
    refusal("fit with reml=False", lambda: plots.information_criteria(fit, other))


@pytest.mark.parametrize("ax", [5, "new", [], [5, 6]], ids=str)
def test_results_refuse_axes_that_are_none(ax):
    fit = fitted("dyestuff", reml=True)
    profile, bootstrap = fit.profile("Batch"), fit.bootstrap(5, rng=1)
    refusal("ax must hold 1 Axes of matplotlib", lambda: profile.plot(ax=ax))
    refusal("ax must be one Axes of matplotlib", lambda: bootstrap.plot("Batch", ax=ax))
    refusal("one pair of axes holds one parameter", lambda: bootstrap.plot(ax=ax))
    means = lmm.emmeans(fitted("lamb_treatment", reml=True), "Line")
    refusal("ax must be one Axes of matplotlib", lambda: means.plot(ax))
    milk = lmm.datasets.load("milk")
    areas = lmm.fay_herriot("yi ~ factor(MajorArea)", milk, variance="SD^2", area="SmallArea")
    refusal("ax must be one Axes of matplotlib", lambda: areas.plot(ax))


@pytest.mark.parametrize("kind", [[], 5, None, "trace"], ids=str)
def test_results_refuse_a_kind_that_is_none(kind):
    profile = fitted("dyestuff", reml=True).profile("Batch")
    refusal("kind must be one of 'zeta', 'density', 'pairs'", lambda: profile.plot(kind))


def test_frames_of_other_libraries():
    pl = pytest.importorskip("polars")
    fit = fitted("sleepstudy", reml=True)
    data = pl.from_pandas(frame("sleepstudy").assign(Subject=lambda d: d["Subject"].astype(str)))
    assert len(points(lmm.plots.fitted_lines(fit, data, "Days"))) == 180


def test_plots_import_matplotlib_on_use_only():
    code = "import sys, lmm; lmm.plots.caterpillar; assert 'matplotlib' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr


def test_every_picture_is_public_and_documented():
    assert set(DRAW) | {"qq_random_effects"} <= set(lmm.plots.__all__)
    for name in lmm.plots.__all__:
        assert ">>> " in getattr(lmm.plots, name).__doc__
    assert isinstance(lmm.plots.caterpillar(fitted("dyestuff", reml=True)), mpl.axes.Axes)
