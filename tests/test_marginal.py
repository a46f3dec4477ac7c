"""Marginal means, slopes and contrasts: against emmeans 1.8.4-1 (R), closed forms and dense averages."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import lmm
from conftest import fit_quietly
from lmm.inference.studentized_range import range_quantile, range_tail
from lmm.marginal.families import read_family

# estimates and standard errors agree to 1e-6, degrees of freedom to 1e-4 (relative); p-values of Tukey's method are
# accurate to 1e-6 in R
CLOSE = {"rtol": 1e-6, "atol": 1e-9}


@pytest.fixture(scope="module")
def oats():
    return lmm.fit("yield ~ Variety + factor(nitro) + (1 | Block/Variety)", lmm.datasets.load("oats"))


@pytest.fixture(scope="module")
def oats_crossed():
    return lmm.fit("yield ~ Variety * factor(nitro) + (1 | Block/Variety)", lmm.datasets.load("oats"))


@pytest.fixture(scope="module")
def machines():
    return lmm.fit("score ~ Machine + (Machine | Worker)", lmm.datasets.load("machines"))


@pytest.fixture(scope="module")
def orthodont():
    return lmm.fit("distance ~ age * Sex + (age | Subject)", lmm.datasets.load("orthodont"))


@pytest.fixture(scope="module")
def lamb():
    data = lmm.datasets.load("lamb")
    data["Age"] = data["Age"].cat.reorder_categories(["3", "1", "2"])
    return lmm.fit("Weight ~ Line + Age + (1 | Sire)", data)


@pytest.fixture(scope="module")
def cake():
    """One cell, recipe C at 225 degrees, has no rows."""
    data = lmm.datasets.load("cake")
    empty = (data["recipe"] == "C") & (data["temperature"].astype(str) == "225")
    return lmm.fit("angle ~ recipe * temperature + (1 | recipe:replicate)", data[~empty])


def sleepstudy(formula, **options):
    data = lmm.datasets.load("sleepstudy")
    data["off"] = 3.0 * data["Days"] + 1.0
    data["late"] = data["Days"] > 4
    return lmm.fit(formula, data, **options)


# emmeans 1.8.4-1: estimate, SE, df, lower, upper
MEANS = {
    ("oats", "nitro", "kenward-roger"): [
        (79.3888888888884, 7.13241040194079, 6.63856649317278, 62.3354784931377, 96.4422992846392),
        (98.8888888888884, 7.13241040194079, 6.63856649317277, 81.8354784931377, 115.942299284639),
        (114.222222222222, 7.13241040194079, 6.63856649317277, 97.168811826471, 131.275632617973),
        (123.388888888888, 7.13241040194079, 6.63856649317278, 106.335478493138, 140.442299284639),
    ],
    ("lamb", "Line", "kenward-roger"): [
        (10.4425567560138, 0.752949187731735, 11.9440738344634, 8.80116904707755, 12.08394446495),
        (12.2416906440526, 0.767125443439838, 18.1859702878978, 10.6312004301622, 13.8521808579429),
        (10.9842677612534, 0.661264452498282, 8.27798537471231, 9.46825671726092, 12.5002788052458),
        (10.2281390873489, 0.769928787949866, 10.9251908969171, 8.53212046284348, 11.9241577118543),
        (10.9042435164537, 0.502394465732403, 15.098767485444, 9.83402483064436, 11.9744622022629),
    ],
    ("lamb", "Line", "satterthwaite"): [
        (10.4425567560138, 0.716331624786123, 9.03907884600552, 8.82316933623114, 12.0619441757964),
        (12.2416906440526, 0.749208269927772, 14.2658507369395, 10.6376035305226, 13.8457777575825),
        (10.9842677612534, 0.627084241954369, 6.13753990665013, 9.45814467699635, 12.5103908455104),
        (10.2281390873489, 0.74550076874614, 8.22069065989429, 8.51701144985127, 11.9392667248465),
        (10.9042435164537, 0.491392249894076, 11.6338183311859, 9.82984222961886, 11.9786448032884),
    ],
    ("machines", "Machine", "satterthwaite"): [
        (52.355555555556, 1.68071119576575, 5.00000000382278, 48.0351498857635, 56.6759612253485),
        (60.3222222222227, 3.52854672297286, 5.00000001575963, 51.2518041185536, 69.3926403258918),
        (66.2722222222228, 1.80627336163963, 5.00000001067993, 61.6290487315812, 70.9153957128643),
    ],
}

# emmeans 1.8.4-1: p-value, lower, upper of all differences of Variety in oats (Kenward-Roger, 10 df)
VARIETIES = {
    "tukey": [
        (0.7418726972785, -24.6970312892898, 14.1136979559559),
        (0.610353759273208, -12.5303646226232, 26.2803646226226),
        (0.245830144993401, -7.23869795595629, 31.5720312892896),
    ],
    "holm": [
        (0.708710931099344, -25.6086343134256, 15.0253009800917),
        (0.708710931099344, -13.441967646759, 27.1919676467583),
        (0.349235120717504, -8.15030098009201, 32.4836343134253),
    ],
    "bonferroni": [
        (1.0, -25.6086343134256, 15.0253009800917),
        (1.0, -13.441967646759, 27.1919676467583),
        (0.349235120717504, -8.15030098009201, 32.4836343134253),
    ],
    "sidak": [
        (0.852767006849066, -25.5384209329463, 14.9550875996124),
        (0.730858643551439, -13.3717542662796, 27.121754266279),
        (0.310157639044371, -8.08008759961267, 32.413420932946),
    ],
    "none": [
        (0.471958105712987, -21.064447350916, 10.481114017582),
        (0.354355465549672, -8.8977806842493, 22.6477806842487),
        (0.116411706905835, -3.60611401758235, 27.9394473509157),
    ],
}


@pytest.mark.parametrize("case", MEANS, ids="-".join)
def test_means_agree_with_emmeans(case, request):
    name, specs, ddf = case
    table = lmm.emmeans(request.getfixturevalue(name), specs, ddf=ddf).table
    assert list(table.columns) == [specs, "estimate", "std_error", "df", "lower", "upper"]
    expected = np.array(MEANS[case])
    np.testing.assert_allclose(table[["estimate", "std_error", "lower", "upper"]], expected[:, [0, 1, 3, 4]], rtol=1e-6)
    np.testing.assert_allclose(table["df"], expected[:, 2], rtol=1e-6)


@pytest.mark.parametrize("adjust", VARIETIES)
def test_adjustments_agree_with_emmeans(oats, adjust):
    contrasts = lmm.emmeans(oats, "Variety", contrasts="pairwise", adjust=adjust).contrasts
    assert list(contrasts["contrast"]) == ["Golden Rain - Marvellous", "Golden Rain - Victory", "Marvellous - Victory"]
    np.testing.assert_allclose(contrasts["estimate"], [-5.29166666666695, 6.8749999999997, 12.1666666666667], **CLOSE)
    np.testing.assert_allclose(contrasts["std_error"], 7.07890384398098, **CLOSE)
    np.testing.assert_allclose(contrasts["df"], 10.0, rtol=1e-6)
    np.testing.assert_allclose(
        contrasts["statistic"], [-0.747526281370008, 0.971195562409757, 1.71872184377976], **CLOSE
    )
    np.testing.assert_allclose(contrasts[["p_value", "lower", "upper"]], VARIETIES[adjust], atol=1e-6)


def test_unequal_degrees_of_freedom_in_one_family(lamb):
    contrasts = lmm.emmeans(lamb, "Age", contrasts="pairwise").contrasts
    assert list(contrasts["contrast"]) == ["Age3 - Age1", "Age3 - Age2", "Age1 - Age2"]
    np.testing.assert_allclose(contrasts["df"], [54.0219069441705, 50.9606010594948, 54.9975415911513], rtol=1e-6)
    np.testing.assert_allclose(contrasts["lower"], [-1.34819678530415, -1.41728348738869, -1.62897598032227], rtol=1e-6)
    p = [0.999838425180775, 0.965663714187537, 0.976033145186356]
    np.testing.assert_allclose(contrasts["p_value"], p, atol=1e-6)


def test_normal_distribution(machines, orthodont):
    contrasts = lmm.emmeans(machines, "Machine", contrasts="pairwise", ddf="normal").contrasts
    p = [0.00287073565568252, 1.93178806284777e-14, 0.0398185546732295]
    np.testing.assert_allclose(contrasts["p_value"], p, atol=1e-6)
    np.testing.assert_allclose(contrasts["lower"], [-13.64041607263, -17.5261994834827, -11.683805286301], rtol=1e-6)
    assert np.isinf(contrasts["df"]).all()
    (row,) = lmm.emtrends(orthodont, "Sex", "age", contrasts="pairwise", ddf="normal").contrasts.itertuples()
    assert row.contrast == "Male - Female"
    expected = (0.304829545454514, 0.134735342326981, 0.0236707278010562, 0.0407531270489571, 0.568905963860071)
    np.testing.assert_allclose((row.estimate, row.std_error, row.p_value, row.lower, row.upper), expected, rtol=1e-6)


def test_slopes_agree_with_emmeans(orthodont):
    table = lmm.emtrends(orthodont, "Sex", "age").table
    np.testing.assert_allclose(table["estimate"], [0.784374999999987, 0.479545454545473], rtol=1e-9)
    np.testing.assert_allclose(table["std_error"], [0.085999512744459, 0.103719314882453], rtol=1e-6)
    np.testing.assert_allclose(table["df"], 25.0, rtol=1e-6)
    np.testing.assert_allclose(table["upper"], [0.961494312015199, 0.693159382211043], rtol=1e-6)


# emmeans 1.8.4-1 with adjust="sidak": estimate, p-value and lower limit within Golden Rain, 45 df; from a fit of lme4
# that stopped short of the optimum, at standard errors 8e-7 too small
FAMILIES = {
    "trt.vs.ctrl": (
        ["nitro0.2 - nitro0", "nitro0.4 - nitro0", "nitro0.6 - nitro0"],
        [18.5, 34.6666666667, 44.8333333333],
        [5.93944310459e-02, 1.37278147049e-04, 1.64304703354e-06],
        [-0.552733443704, 15.613933222962, 25.780599889629],
    ),
    "consecutive": (
        ["nitro0.2 - nitro0", "nitro0.4 - nitro0.2", "nitro0.6 - nitro0.4"],
        [18.5, 16.1666666667, 10.1666666667],
        [0.0593944310459, 0.1179633033197, 0.4733231852915],
        [-0.552733443704, -2.886066777037, -8.886066777037],
    ),
    "poly": (
        ["linear", "quadratic", "cubic"],
        [150.66666666667, -8.33333333333, -3.66666666667],
        [4.70312866874e-07, 8.30986065735e-01, 9.98302671102e-01],
        [90.4166333325, -35.2779673697, -63.9167000008],
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_families_within_levels_of_by(oats_crossed, family):
    result = lmm.emmeans(oats_crossed, "nitro", by="Variety", contrasts=family)
    names, estimate, p_value, lower = FAMILIES[family]
    contrasts = result.contrasts
    assert list(contrasts.columns[:3]) == ["contrast", "Variety", "estimate"]
    assert len(contrasts) == 9
    assert list(contrasts["Variety"]) == np.repeat(["Golden Rain", "Marvellous", "Victory"], 3).tolist()
    first = contrasts.iloc[:3]
    assert list(first["contrast"]) == names
    np.testing.assert_allclose(first["estimate"], estimate, rtol=1e-9)
    np.testing.assert_allclose(first["p_value"], p_value, rtol=1e-4)
    np.testing.assert_allclose(first["lower"], lower, rtol=1e-4)
    assert any("Sidak's is used" in note for note in result.notes)


def test_polynomials_are_those_of_the_tables():
    """Fisher & Yates (1963), Statistical Tables, table XXIII."""
    assert read_family("poly", pd.DataFrame({"f": list("abcde")})).W.tolist() == [
        [-2, -1, 0, 1, 2],
        [2, -1, -2, -1, 2],
        [-1, 2, 0, -2, 1],
        [1, -4, 6, -4, 1],
    ]
    W = read_family("poly", pd.DataFrame({"x": range(11)})).W
    assert len(W) == 6
    np.testing.assert_allclose(W @ W.T, np.diag(np.diag(W @ W.T)), atol=1e-9)


def test_weights_by_row_and_by_name(machines):
    rows = lmm.emmeans(machines, "Machine", contrasts=[[-0.5, -0.5, 1.0], [1.0, 0.0, 0.0]], adjust="none").contrasts
    named = lmm.emmeans(machines, "Machine", contrasts={"C": [-0.5, -0.5, 1.0]}).contrasts
    means = lmm.emmeans(machines, "Machine").table
    assert list(rows["contrast"]) == ["-0.5 * A - 0.5 * B + C", "A"]
    assert list(named["contrast"]) == ["C"]
    estimate = means["estimate"].to_numpy()
    np.testing.assert_allclose(rows["estimate"], [estimate[2] - estimate[:2].mean(), estimate[0]])
    np.testing.assert_allclose(rows.loc[1, "lower"], means.loc[0, "lower"])
    np.testing.assert_allclose(named["p_value"], rows["p_value"][:1])


def test_weights_by_level(machines, oats, oats_crossed):
    rows = {"C": [-0.5, -0.5, 1.0], "B": [0, 1.0, 0]}
    named = {"C": {"C": 1, "A": -0.5, "B": -0.5}, "B": {"B": 1}}
    expected = lmm.emmeans(machines, "Machine", contrasts=rows).contrasts
    pd.testing.assert_frame_equal(lmm.emmeans(machines, "Machine", contrasts=named).contrasts, expected)
    # numbers by value or by the name of the mean; several variables by a tuple or by the name
    pairwise = lmm.emmeans(oats, "nitro", contrasts="pairwise", adjust="none").contrasts["estimate"]
    for weights in ({0.0: 1, 0.2: -1}, {"nitro0": 1, "nitro0.2": -1}):
        assert lmm.emmeans(oats, "nitro", contrasts={"d": weights}).contrasts["estimate"][0] == pairwise[0]
    both = lmm.emmeans(oats_crossed, ["Variety", "nitro"], at={"nitro": [0, 0.2]}, contrasts="pairwise").contrasts
    for weights in (
        {("Golden Rain", 0.0): 1, ("Marvellous", 0.0): -1},
        {"Golden Rain nitro0": 1, "Marvellous nitro0": -1},
    ):
        found = lmm.emmeans(oats_crossed, ["Variety", "nitro"], at={"nitro": [0, 0.2]}, contrasts={"d": weights})
        assert found.contrasts["estimate"][0] == pytest.approx(both["estimate"][0])


def test_names_in_backticks():
    data = lmm.datasets.load("oats").rename(columns={"Variety": "the variety", "nitro": "g*N", "Block": "the block"})
    fit = lmm.fit("yield ~ `the variety` * `g*N` + (1 | `the block`)", data)
    plain = lmm.emmeans(fit, "the variety", at={"g*N": [0.1]})
    for specs in ("`the variety`", ["`the variety`"]):
        pd.testing.assert_frame_equal(lmm.emmeans(fit, specs, at={"`g*N`": [0.1]}).table, plain.table)
    pd.testing.assert_frame_equal(lmm.emmeans(fit, "1", by="`the variety`", at={"g*N": [0.1]}).table, plain.table)
    both = lmm.emmeans(fit, "`the variety` * `g*N`")
    assert both.factors == ("the variety", "g*N")
    slopes = lmm.emtrends(fit, "`the variety`", "`g*N`")
    pd.testing.assert_frame_equal(slopes.table, lmm.emtrends(fit, "the variety", "g*N").table)


def test_one_overall_mean_or_slope(orthodont):
    slope = lmm.emtrends(orthodont, None, "age")
    pd.testing.assert_frame_equal(slope.table, lmm.emtrends(orthodont, "1", "age").table)
    assert len(lmm.emmeans(orthodont, None)) == 1


def test_means_of_a_model_without_random_effects():
    data = lmm.datasets.load("machines")
    fit = lmm.fit("score ~ Machine", data, allow_fixed=True)
    means = lmm.emmeans(fit, "Machine", ddf="residual").table["estimate"]
    np.testing.assert_allclose(means, data.groupby("Machine", observed=True)["score"].mean())


def test_means_of_what_is_no_model():
    for call in (lambda: lmm.emmeans(3, "a"), lambda: lmm.emtrends("fit", "a", "x")):
        with pytest.raises(lmm.ArgumentError, match=r"takes a fitted model, as lmm\.fit gives it; got a (int|str)"):
            call()


def test_means_are_averages_of_predictions(oats_crossed):
    """Over the grid of all cells, whatever the order of specs and by."""
    grid = pd.MultiIndex.from_product(
        [["Golden Rain", "Marvellous", "Victory"], [0.0, 0.2, 0.4, 0.6]], names=["Variety", "nitro"]
    ).to_frame(index=False)
    grid["fit"] = oats_crossed.predict(grid, random=False)
    cells = lmm.emmeans(oats_crossed, "nitro * Variety").table
    assert list(cells.columns[:2]) == ["nitro", "Variety"]
    assert list(cells["nitro"][:5]) == [0.0, 0.2, 0.4, 0.6, 0.0]
    merged = cells.merge(grid, on=["nitro", "Variety"])
    np.testing.assert_allclose(merged["estimate"], merged["fit"])
    average = lmm.emmeans(oats_crossed, "Variety").table.set_index("Variety")["estimate"]
    np.testing.assert_allclose(average, grid.groupby("Variety")["fit"].mean())
    split = lmm.emmeans(oats_crossed, ["nitro"], by=["Variety"])
    pd.testing.assert_frame_equal(split.table, cells)
    assert split.by == ("Variety",)


def test_means_do_not_depend_on_the_coding_of_factors():
    data = lmm.datasets.load("oats")
    formula = "yield ~ Variety * C(nitro) + (1 | Block/Variety)"
    one = lmm.emmeans(lmm.fit(formula, data), "Variety", contrasts="pairwise")
    other = lmm.emmeans(lmm.fit(formula, data, contrasts={"Variety": "sum"}), "Variety", contrasts="pairwise")
    np.testing.assert_allclose(other.table.iloc[:, 1:], one.table.iloc[:, 1:], rtol=1e-6)
    np.testing.assert_allclose(other.contrasts.iloc[:, 1:], one.contrasts.iloc[:, 1:], rtol=1e-6)


def test_covariates_are_at_their_means_or_where_told():
    fit = sleepstudy("Reaction ~ Days * late + (1 | Subject)")
    beta = fit.params
    table = lmm.emmeans(fit, "late").table
    assert table["late"].tolist() == [False, True]
    np.testing.assert_allclose(table["estimate"].iloc[0], beta["Intercept"] + 4.5 * beta["Days"])
    moved = lmm.emmeans(fit, ["Days", "late"], at={"Days": [0, 9], "late": True}).table
    assert len(moved) == 2
    nine = beta["Intercept"] + beta["late"] + 9.0 * (beta["Days"] + beta["Days:late"])
    np.testing.assert_allclose(moved["estimate"].iloc[1], nine)


def test_rows_left_out_do_not_count():
    data = lmm.datasets.load("sleepstudy")
    data.loc[data["Days"] == 9, "Reaction"] = np.nan
    fit = lmm.fit("Reaction ~ Days + (1 | Subject)", data)
    assert lmm.emmeans(fit, "Days").table["Days"].tolist() == [4.0]


def test_what_a_design_keeps_of_its_columns():
    data = lmm.datasets.load("sleepstudy").assign(late=lambda d: d["Days"] > 4, sex=["f", "m"] * 90)
    formula = "Reaction ~ log(Days + 1) + C(week) + week + late:sex + offset(off) + (1 | Subject)"
    kept = lmm.fit(formula, data.assign(week=data["Days"] // 4, off=data["Days"] * 2.0)).design.variables
    assert list(kept) == ["Days", "week", "late", "sex", "off"]
    assert (kept["Days"].mean, kept["Days"].sd) == pytest.approx((4.5, data["Days"].std()))
    assert kept["week"].levels.tolist() == [0, 1, 2]
    assert kept["late"].levels.tolist() == [False, True]
    assert kept["sex"].levels.tolist() == ["f", "m"]
    assert kept["off"].mean == pytest.approx(9.0)


def test_slopes_of_transformed_covariates():
    at = {"Days": [0.0, 5.0, 9.0]}
    quadratic = sleepstudy("Reaction ~ poly(Days, 2) + (Days | Subject)")
    raw = sleepstudy("Reaction ~ Days + I(Days^2) + (Days | Subject)")
    slopes = lmm.emtrends(quadratic, "Days", "Days", at=at).table
    beta = raw.params
    np.testing.assert_allclose(slopes["estimate"], beta["Days"] + 2.0 * beta["I(Days^2)"] * slopes["Days"], rtol=1e-6)
    lines = np.array([[0.0, 1.0, 2.0 * day] for day in at["Days"]])
    single = raw.contrast(lines, ddf="kenward-roger", joint=False)
    np.testing.assert_allclose(slopes["std_error"], single["std_error"], rtol=1e-6)
    np.testing.assert_allclose(slopes["df"], single["df"], rtol=1e-5)
    logarithm = sleepstudy("Reaction ~ log(Days + 1) + (1 | Subject)")
    slopes = lmm.emtrends(logarithm, "1", "Days", at={"Days": 4}).table
    np.testing.assert_allclose(slopes["estimate"], logarithm.params["log(Days + 1)"] / 5.0, rtol=1e-9)


def test_offsets():
    """emmeans adds an offset at the values of the grid too."""
    formula = sleepstudy("Reaction ~ Days + offset(off) + (1 | Subject)")
    column = sleepstudy("Reaction ~ Days + (1 | Subject)", offset="off")
    array = sleepstudy("Reaction ~ Days + (1 | Subject)", offset=3.0 * lmm.datasets.load("sleepstudy")["Days"] + 1.0)
    at = {"Days": [0, 9]}
    expected = formula.params["Intercept"] + formula.params["Days"] * np.array([0, 9]) + 14.5
    for fit in (formula, column, array):
        result = lmm.emmeans(fit, "Days", at=at, contrasts="consecutive")
        np.testing.assert_allclose(result["estimate"], expected)
        np.testing.assert_allclose(result.contrasts["estimate"], 9.0 * fit.params["Days"])
        assert any("offset" in note for note in result.notes)
    shifted = lmm.emmeans(column, "1", at={"off": 0.0}).table
    np.testing.assert_allclose(shifted["estimate"], expected.mean() - 14.5)
    np.testing.assert_allclose(lmm.emtrends(formula, "1", "off").table["estimate"], 1.0)


def test_empty_cells_are_named(cake):
    result = lmm.emmeans(cake, "recipe", contrasts="pairwise")
    assert result["estimate"].isna().tolist() == [False, False, True]
    assert result.contrasts["estimate"].isna().tolist() == [False, True, True]
    assert any("recipe = C, temperature = 225" in note for note in result.notes)
    assert str(result).count("not estimable") == 4
    # emmeans 1.8.4-1 counts the empty cell in the family
    within = lmm.emmeans(cake, "temperature", by="recipe", contrasts="pairwise", ddf="normal").contrasts
    row = within[(within["contrast"] == "temperature175 - temperature215") & (within["recipe"] == "C")].iloc[0]
    assert round(row["p_value"], 4) == 0.0008
    consecutive = lmm.emmeans(cake, "temperature", by="recipe", contrasts="consecutive", ddf="normal").contrasts
    last = consecutive["p_value"].to_numpy()[-5:]
    np.testing.assert_allclose(last, [0.9779, 0.3451, 0.9883, 0.1313, np.nan], atol=6e-5)


def test_what_a_covariate_on_another_scale_cannot_hide():
    data = lmm.datasets.load("cake")
    data["huge"] = 1e10 + np.arange(len(data)) % 7
    empty = (data["recipe"] == "C") & (data["temperature"].astype(str) == "225")
    fit = lmm.fit("angle ~ recipe * temperature + huge + (1 | recipe:replicate)", data[~empty])
    assert lmm.emmeans(fit, "recipe", ddf="normal")["estimate"].isna().tolist() == [False, False, True]


def test_a_covariate_that_follows_from_others():
    data = lmm.datasets.load("sleepstudy")
    fit = lmm.fit("Reaction ~ Days + double + (1 | Subject)", data.assign(double=2 * data["Days"]))
    assert np.isfinite(lmm.emmeans(fit, "1")["estimate"].iloc[0])
    result = lmm.emmeans(fit, "Days", at={"Days": [1, 2], "double": 4})
    assert result["estimate"].isna().tolist() == [True, False]
    assert any("Days = 1, double = 4" in note for note in result.notes)


def test_interactions_are_noted(oats, oats_crossed, orthodont):
    assert not any("Interaction" in note for note in lmm.emmeans(oats, "Variety").notes)
    averaged = lmm.emmeans(oats_crossed, "Variety").notes
    assert any("Variety:factor(nitro)" in note and "by='nitro'" in note for note in averaged)
    assert "Averaged with equal weights over: nitro." in averaged
    assert not any("Interaction" in note for note in lmm.emmeans(oats_crossed, "Variety", by="nitro").notes)
    held = lmm.emmeans(orthodont, "Sex").notes
    assert any("depend on age, at the value above" in note for note in held)
    assert "At: age = 11." in held
    assert any("slopes in age depend on Sex" in note for note in lmm.emtrends(orthodont, "1", "age").notes)


def test_a_transformed_response_is_noted():
    fit = sleepstudy("log(Reaction) ~ Days + (1 | Subject)")
    assert any("log(Reaction)" in note for note in lmm.emmeans(fit, "1").notes)


def test_joint_tests(oats, machines, cake):
    """Kenward & Roger's F; for balanced random slopes it is Hotelling's T^2 (here 2 and 6 - 2 df)."""
    row = lmm.emmeans(oats, "nitro").joint_test().iloc[0]
    np.testing.assert_allclose(row, [3.0, 51.0, 41.0528316, 1.2277084660202e-13], rtol=1e-6)
    data = lmm.datasets.load("machines")
    means = data.groupby(["Worker", "Machine"], observed=True)["score"].mean().unstack()  # noqa: PD010 - a matrix
    gaps = means.to_numpy()[:, 1:] - means.to_numpy()[:, :1]
    T2 = 6 * gaps.mean(axis=0) @ np.linalg.solve(np.cov(gaps.T), gaps.mean(axis=0))
    row = lmm.emmeans(machines, "Machine").joint_test().iloc[0]
    np.testing.assert_allclose(row[["num_df", "den_df", "statistic"]], [2.0, 4.0, T2 * 4 / (5 * 2)], rtol=1e-5)
    within = lmm.emmeans(cake, "temperature", by="recipe").joint_test()
    assert within["recipe"].tolist() == ["A", "B", "C"]
    assert within["num_df"].tolist() == [5.0, 5.0, 4.0]
    assert lmm.emmeans(machines, "1").joint_test()["statistic"].isna().all()


def test_means_are_contrasts_of_the_model(lamb):
    result = lmm.emmeans(lamb, "Line")
    table = lamb.contrast(result.L, ddf="kenward-roger", joint=False)
    columns = ["estimate", "std_error", "df", "lower", "upper"]
    np.testing.assert_allclose(result.table[columns], table[columns])


def test_results_show_and_travel(machines):
    result = lmm.emmeans(machines, "Machine", contrasts="pairwise")
    assert len(result) == 3
    assert result["Machine"].tolist() == ["A", "B", "C"]
    assert "Tukey" in str(result)
    assert repr(result) == str(result)
    assert result._repr_html_().count("<table>") == 2
    copy = pickle.loads(pickle.dumps(result))  # noqa: S301 - our own bytes
    pd.testing.assert_frame_equal(copy.table, result.table)


def test_plots(oats_crossed, orthodont, cake):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("agg")
    ax = lmm.emmeans(oats_crossed, "Variety", by="nitro").plot()
    assert [text.get_text() for text in ax.get_xticklabels()] == ["Golden Rain", "Marvellous", "Victory"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["0", "0.2", "0.4", "0.6"]
    assert ax.get_ylabel() == "yield"
    _, given = plt.subplots()
    result = lmm.emtrends(orthodont, "Sex", "age")
    assert result.plot(given) is given
    drawn = given.containers[0].lines[0].get_ydata()
    np.testing.assert_allclose(drawn, result["estimate"])
    empty = lmm.emmeans(cake, "recipe").plot()
    assert len(empty.containers[0].lines[0].get_ydata()) == 2
    plt.close("all")


REFUSED = [
    ({"specs": "Worker"}, "It groups random effects"),
    ({"specs": "machine"}, "Did you mean 'Machine'"),
    ({"specs": 3}, "specs must be a name"),
    ({"specs": "1", "by": "x"}, "by: 'x'"),
    ({"at": {"Machine": ["A", "Z"]}}, "does not have 'Z'; its levels are 'A', 'B', 'C'"),
    ({"at": {"Machine": ["A", "A"]}}, "distinct"),
    ({"at": {"x": 1}}, "at: 'x' is not in the fixed part"),
    ({"at": ["A"]}, "at must be a dict"),
    ({"contrasts": "dunnett"}, "contrasts must be None, one of 'pairwise'"),
    ({"contrasts": [1, 2]}, "one for each of the 3 means (A, B, C)"),
    ({"contrasts": [0, 0, 0]}, "all zero"),
    ({"contrasts": {"A": 1, "B": -1, "C": 0}}, "in a dict by name of the contrast, whose values may be dicts by level"),
    ({"contrasts": {"d": {"A": 1, "Z": -1}}}, "there is no mean 'Z'; the means are A, B, C"),
    ({"contrasts": {"d": {"A": "one"}}}, "got {'A': 'one'}"),
    ({"contrasts": {"d": {"A": 0}}}, "all zero"),
    ({"specs": "1", "contrasts": "pairwise"}, "at least two means"),
    ({"adjust": "scheffe"}, "adjust must be one of 'tukey'"),
    ({"ddf": "kr"}, "ddf must be one of"),
    ({"level": 95}, "level must be a number"),
]


@pytest.mark.parametrize(("arguments", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_bad_arguments_are_named(machines, arguments, words):
    with pytest.raises(lmm.ArgumentError) as error:
        lmm.emmeans(machines, **{"specs": "Machine", **arguments})
    assert words in str(error.value)


def test_slopes_refuse_what_has_none(machines, orthodont):
    with pytest.raises(lmm.ArgumentError, match="is a factor in this model"):
        lmm.emtrends(machines, "1", "Machine")
    with pytest.raises(lmm.ArgumentError, match="var: 'size' is not in the fixed part"):
        lmm.emtrends(orthodont, "Sex", "size")
    for var in (np.ones(2), ["age", "Sex"], None):
        with pytest.raises(lmm.ArgumentError, match=r"var: .* is not in the fixed part"):
            lmm.emtrends(orthodont, "Sex", var)
    with pytest.raises(lmm.ArgumentError, match="needs finite numbers"):
        lmm.emtrends(orthodont, "Sex", "age", at={"age": "old"})
    with pytest.raises(lmm.ArgumentError, match="no finite value at Days = -2"):
        lmm.emmeans(sleepstudy("Reaction ~ log(Days + 1) + (1 | Subject)"), "1", at={"Days": -2})


def test_models_that_cannot_answer():
    data = lmm.datasets.load("machines")
    with pytest.raises(lmm.ArgumentError, match="maximum likelihood"):
        lmm.emmeans(lmm.fit("score ~ Machine + (1 | Worker)", data, reml=False), "Machine")
    with pytest.raises(lmm.ModelError, match="no fixed effects"):
        lmm.emmeans(lmm.fit("score ~ 0 + (1 | Worker)", data), "1")
    with pytest.raises(lmm.ArgumentError, match="would hide the column"):
        lmm.emmeans(lmm.fit("score ~ df + (1 | Worker)", data.rename(columns={"Machine": "df"})), "df")


def test_singular_fits():
    fit = fit_quietly("Yield ~ half + (1 | Batch)", lmm.datasets.load("dyestuff2").assign(half=[0, 1] * 15))
    table = lmm.emmeans(fit, "half", at={"half": [0, 1]}).table
    assert np.isfinite(table.to_numpy(dtype=float)).all()


@pytest.mark.parametrize("df", [1.0, 2.0, 7.3, 60.0, 1e4, np.inf])
@pytest.mark.parametrize("k", [2, 3, 12])
def test_studentized_range(k, df):
    """Against SciPy's quadrature, and for two means against t."""
    for q in (0.5, 3.0, 9.0):
        assert range_tail(q, k, df) == pytest.approx(stats.studentized_range.sf(q, k, df), abs=1e-9)
        if k == 2:
            assert range_tail(q, 2, df) == pytest.approx(2.0 * stats.t.sf(q / np.sqrt(2.0), df), abs=1e-11)
    for level in (0.5, 0.95, 0.999):
        assert range_tail(range_quantile(level, k, df), k, df) == pytest.approx(1.0 - level, abs=1e-10)
    assert range_tail(0.0, k, df) == 1.0


def test_a_grid_that_memory_cannot_hold(oats, monkeypatch):
    monkeypatch.setattr("lmm.memory.total_memory", lambda: 100.0)
    with pytest.raises(lmm.ModelError, match="a grid of 12 combinations"):
        lmm.emmeans(oats, "Variety")


@pytest.mark.parametrize(
    ("q", "k", "df", "p"),
    [(40.0, 3, 2.0, 0.0022785026529), (40.0, 8, 3.3, 0.00033186661639), (10.0, 3, 3.3, 0.0088436385652)],
)
def test_the_far_tail_of_the_studentized_range(q, k, df, p):
    # By adaptive quadrature of both integrals, scipy.integrate.quad to 1e-9; ptukey() of R 4.2.2 loses digits here.
    assert range_tail(q, k, df) == pytest.approx(p, rel=1e-8)
