"""Every refusal names the thing, says what was expected and the way out."""

import datetime as dt
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import lmm
from lmm.design import build_design
from lmm.errors import ArgumentError, DataError, FormulaError, ModelError
from lmm.formula import parse_formula

N = 36
RNG = np.random.default_rng(2)
DATA = pd.DataFrame(
    {
        "y": RNG.normal(size=N),
        "x": RNG.normal(size=N),
        "f": list("abcd") * 9,
        "g": np.repeat(np.arange(6), 6),
        "one": "a",
        "const": 1.0,
        "row": np.arange(N),
        "text": [str(i) for i in range(N)],
        "when": pd.date_range("2020-01-01", periods=N),
        "z": 1j * np.arange(N),
        "inf": np.r_[np.inf, np.ones(N - 1)],
        "none": np.nan,
        "odd": np.where(np.arange(N) % 2, 1.5, np.nan),
        "even": np.where(np.arange(N) % 2, np.nan, 1.5),
        "lists": [[1]] * N,
        "same": np.repeat(list("uvwxyz"), 6),
        "day": [dt.date(2020, 1, 1 + i % 28) for i in range(N)],
        "nothing": [None] * N,
        "interval": pd.interval_range(0, N),
    }
)

CASES = [
    # unknown names
    ("y ~ X + (1|g)", FormulaError, ["no column 'X'", "'x'"]),
    ("y ~ xx1 + (1|g)", FormulaError, ["no column 'xx1'", "Columns: 'y', 'x'"]),
    ("y ~ I(x > cutoff) + (1|g)", FormulaError, ["no column 'cutoff'", "columns only", 'f"... {cutoff} ..."']),
    ("y ~ x + (1|groop)", FormulaError, ["no column 'groop'"]),
    ("y ~ lgo(x) + (1|g)", FormulaError, ["no function 'lgo'", "log"]),
    ("y ~ dummy(f, 'a') + (1|g)", FormulaError, ["I(f == 'level')"]),
    ("y ~ np.load(x) + (1|g)", FormulaError, ["no function 'np.load'"]),
    ("y ~ C() + (1|g)", FormulaError, ["needs a column"]),
    ("y ~ Q() + (1|g)", FormulaError, ["no function 'Q'"]),
    ("y ~ log(x, 2) + (1|g)", FormulaError, ["log takes 1 argument", "log2"]),
    ("y ~ np.exp(x, out=row) + (1|g)", FormulaError, ["exp takes 1 argument"]),
    ("y ~ max(x, row) + (1|g)", FormulaError, ["max takes 1 argument", "np.maximum(a, b)"]),
    ("y ~ np.clip(x, 0, 1, row) + (1|g)", FormulaError, ["read-only"]),
    ("y ~ pmin(x, row) + (1|g)", FormulaError, ["np.minimum(a, b)"]),
    ("y ~ trunc(x) + (1|g)", FormulaError, ["Write np.trunc(...)"]),
    ("y ~ cumsum(x) + (1|g)", FormulaError, ["Write np.cumsum(...)"]),
    ("y ~ x + (1|interaction(f, g))", FormulaError, ["Write a:b"]),
    ("y ~ I(row %% 2) + (1|g)", FormulaError, ["I(x % 2)"]),
    ("y ~ I(row %/% 2) + (1|g)", FormulaError, ["I(x // 2)"]),
    ("y ~ log(*x) + (1|g)", FormulaError, ["not of the formula language"]),
    ("y ~ x(f) + (1|g)", FormulaError, ["'x' is a column"]),
    ("y ~ x*offset(x) + (1|g)", FormulaError, ["term of its own"]),
    # response
    ("f ~ x + (1|g)", FormulaError, ["`f` is not numeric", "'a'"]),
    ("text ~ x + (1|g)", FormulaError, ["numbers stored as text", "to_numeric"]),
    ("poly(x, 2) ~ 1 + (1|g)", FormulaError, ["2 columns"]),
    ("const ~ x + (1|g)", ModelError, ["`const` is constant"]),
    ("inf ~ x + (1|g)", DataError, ["'inf' holds infinite values", "row 0"]),
    ("my y ~ x + (1|g)", FormulaError, ["in backticks, `my y`"]),
    ("y+x ~ x + (1|g)", FormulaError, ["I(y+x)"]),
    # predictors
    ("y ~ my x + (1|g)", FormulaError, ["Missing operator", "backticks"]),
    ("y ~ inf + (1|g)", DataError, ["'inf' holds infinite values"]),
    ("y ~ when + (1|g)", DataError, ["'when'", "datetime", "days"]),
    ("y ~ z + (1|g)", DataError, ["'z'", "complex"]),
    ("y ~ lists + (1|g)", DataError, ["'lists'"]),
    ("y ~ day + (1|g)", DataError, ["'day'", "date", "days since the first"]),
    ("y ~ nothing + (1|g)", DataError, ["'nothing' is missing in all 36 rows"]),
    ("y ~ interval + (1|g)", DataError, ["'interval'", "numbers, text or categories"]),
    ("y ~ np.where(x > 0, 'a', 'b') + (1|g)", FormulaError, ["not numbers"]),
    ("y ~ np.diff(x) + (1|g)", FormulaError, ["35 values for 36 rows"]),
    ("y ~ factor(f, level='a') + (1|g)", FormulaError, ["unknown argument level"]),
    ("y ~ ns(x, df=0) + (1|g)", FormulaError, ["df must be at least 1"]),
    ("y ~ one + (1|g)", DataError, ["`one` has a single level"]),
    ("y ~ none + (1|g)", DataError, ["No complete row", "'none' is missing in all 36 rows"]),
    ("y ~ odd + even + (1|g)", DataError, ["No complete row", "'odd': 18", "'even': 18"]),
    ("y ~ text + (1|g)", ModelError, ["36 fixed coefficients and 36 rows", "numbers stored as text"]),
    ("y ~ log(x) + (1|g)", DataError, ["`log(x)` is not finite"]),
    ("y ~ log(f) + (1|g)", FormulaError, ["`log(f)` needs numbers", "'a'"]),
    ("y ~ I(f + 1) + (1|g)", FormulaError, ["`f + 1` calculates with something that is categorical"]),
    ("y ~ I(f > 'a') + (1|g)", FormulaError, ["== or !="]),
    ("y ~ I(3) + (1|g)", FormulaError, ["a single number"]),
    ("y ~ bs(x, df=2) + (1|g)", FormulaError, ["`bs(x, df=2)` cannot be computed"]),
    ("y ~ ns(x, knots=c(99)) + (1|g)", FormulaError, ["knots must lie between"]),
    ("y ~ np.sum(x) + (1|g)", FormulaError, ["a single number"]),
    ("y ~ x.mean() + (1|g)", FormulaError, ["'x' is a column"]),
    ("y ~ I(x[0]) + (1|g)", FormulaError, ["not of the formula language"]),
    ("y ~ I(log(x)(2)) + (1|g)", FormulaError, ["does not call a function by its name"]),
    ("y ~ C(f, contr.treatment(base='q')) + (1|g)", FormulaError, ["do not fit its levels", "'q'"]),
    ("y ~ factor(f, levels=c('a', 'b')) + (1|g)", DataError, ["leaves out levels", "'c', 'd'"]),
    ("y ~ x + offset(f) + (1|g)", DataError, ["`f` gives categories"]),
    # random terms
    ("y ~ x + (1|one)", ModelError, ["'one' has a single level", "'a'"]),
    ("y ~ x + (1|row)", ModelError, ["36 levels for 36 rows"]),
    ("y ~ x + (x + I(x^2) + f|g:f)", ModelError, ["24 levels x 6 effects = 144 random effects for 36 rows"]),
    ("y ~ x + (x + I(2*x)|g)", ModelError, ["column 'I(2 * x)'", "linear combination"]),
    ("y ~ x + (1 + const|g)", ModelError, ["column 'const'"]),
    ("y ~ f + (1|f)", FormulaError, ["'f' is both a fixed factor and the grouping factor"]),
    ("y ~ factor(g) + (x|g)", FormulaError, ["both a fixed factor"]),
    ("y ~ same + (1|same / f)", FormulaError, ["both a fixed factor", "of (1 | same/...) keep (1 | same:...)"]),
    ("y ~ f*same + (1|same:f)", FormulaError, ["both a fixed factor"]),
    ("y ~ x + (1|g) + (1|same)", ModelError, ["same 6 groups"]),
    ("y ~ x + (1|poly(x, 2))", DataError, ["gives several columns"]),
]


def build(formula="y ~ x + (1|g)", data=DATA, **options):
    return build_design(parse_formula(formula), data, **options)


@pytest.mark.parametrize(("formula", "kind", "words"), CASES)
def test_refused_with_a_message(formula, kind, words):
    with pytest.raises(kind) as caught:
        build(formula)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("y ~ Intercept + (1|g)", ["The intercept and the column 'Intercept'", "rename(columns={'Intercept': "]),
        ("y ~ x + (Intercept|g)", ["The intercept and the column 'Intercept'"]),
        ("y ~ x*row + `x:row` + (1|g)", ["same name, 'x:row'", "rename(columns={'x:row': "]),
        ("y ~ 0 + mixed + (1|g)", ["Two levels of `mixed`", "'mixed[1]'", "labels"]),
    ],
)
def test_no_two_coefficients_of_one_name(formula, words):
    data = DATA.assign(**{"Intercept": DATA["x"], "x:row": DATA["x"] ** 2, "mixed": [1, "1", 2] * (N // 3)})
    with pytest.raises(FormulaError) as caught:
        lmm.fit(formula, data)
    for word in words:
        assert word in str(caught.value)
    assert build("y ~ 0 + Intercept + (1|g)", data).names == ("Intercept",)


def test_functions_do_not_write_into_columns():
    # the columns of rows left out for a missing value are copies, which NumPy could write to
    data = DATA.assign(x=DATA["x"].where(DATA["row"] > 0), p=DATA["row"] + 1.0)
    expected = build("y ~ x + p + (1|g)", data=data).X
    for call in ("np.clip(x, 0, 1, p)", "log(p, x)"):
        with pytest.raises(FormulaError):
            build(f"y ~ x + {call} + p + (1|g)", data=data)
    np.testing.assert_array_equal(build("y ~ x + p + (1|g)", data=data).X, expected)


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        # f by other names: the formula does not tell, the columns do.
        ("y ~ C(f) + (1|g) + (1|letter)", "what (Intercept | letter) is to explain"),
        ("y ~ f + (x||letter)", "what (Intercept | letter)"),
        ("y ~ f:x + (0 + x|letter)", "what (x | letter)"),
        ("y ~ f:x + (x|letter)", "for some combination of its effects no variance"),
    ],
)
def test_a_variance_that_the_fixed_effects_leave_nothing_of(formula, words):
    data = DATA.assign(letter=DATA["f"].str.upper())
    with pytest.raises(ModelError) as caught:
        lmm.fit(formula, data, weights=np.linspace(0.5, 2.0, N))
    assert words in str(caught.value)
    # The ordinary likelihood knows: it is highest without the variance.
    with pytest.warns(lmm.SingularFitWarning):
        ml = lmm.fit(formula, data, reml=False)
    assert ml.converged


def test_the_unknown_name_is_underlined():
    with pytest.raises(FormulaError) as caught:
        build("y ~ x + log( X ) + (1|g)")
    _, shown, marks = str(caught.value).split("\n")
    assert shown[marks.index("^") : len(marks)] == "X"


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ g + (1|g)",
        "y ~ f + (1|f:g)",
        "y ~ f + (1|g) + (0 + x|g)",
        "y ~ same + (0 + x|same)",
        "y ~ const + x + (1|g)",
    ],
)
def test_not_refused(formula):
    assert build(formula).X.shape[0] == N


DATES = {
    "dates": DATA["when"],
    "dates with a time zone": DATA["when"].dt.tz_localize("Europe/Oslo"),
    "lengths of time": DATA["when"] - DATA["when"][0],
    "months": DATA["when"].dt.to_period("D"),
    "Python's dates": DATA["when"].dt.date,
    "Python's times of the day": pd.Series([when.replace(hour=i % 6).time() for i, when in enumerate(DATA["when"])]),
}


@pytest.mark.parametrize("days", DATES.values(), ids=list(DATES))
def test_dates_label_groups_and_are_no_predictors(days):
    own = days.take(DATA["g"].to_numpy()).reset_index(drop=True)
    data = DATA.assign(day=own, y=DATA["y"] + DATA["g"])
    fit, by_number = (lmm.fit(f"y ~ x + (1 | {name})", data) for name in ("day", "g"))
    assert fit.deviance == by_number.deviance
    np.testing.assert_array_equal(fit.predict(data[::-7]), by_number.predict(data[::-7]))
    if "date" in str(own.dtype) or "date" in str(type(own[0])):
        as_text = data.assign(day=data["day"].astype(str).str[:10])
        np.testing.assert_array_equal(fit.predict(as_text), by_number.predict(data))
    with pytest.raises(DataError, match="'day' has 1 level that the fit did not have: '2031'"):
        fit.predict(data[:1].assign(day="2031"))
    for formula in ("y ~ day + (1|g)", "y ~ factor(day) + (1|g)", "y ~ x + (day|g)", "day ~ x + (1|g)"):
        with pytest.raises(DataError, match=r"Column 'day' is of type .* no predictor") as caught:
            lmm.fit(formula, data)
        advice = re.search(r"d = (.*); (.*)\.dt\.days", str(caught.value))
        if advice:
            d = eval(advice[1], {"df": data, "pandas": pd})  # noqa: S307 - code of our own message
            assert eval(advice[2], {"d": d}).dt.days.equals(data["g"].astype("int64"))  # noqa: S307 - idem
    first = data["day"].where(data.index != 3)
    assert build("y ~ x + (1|day)", data=data.assign(day=first)).n_missing == 1


def test_as_many_effects_as_rows_when_sigma_is_known():
    assert len(build("y ~ 1 + (1|row)", sigma_fixed=True).terms[0].levels) == N


WEIGHTS = [
    (-np.ones(N), ["must not be negative", "has -1"]),
    (np.zeros(N), ["all zero"]),
    (np.ones(3), ["36 rows", "(3,)"]),
    (2.0, ["36 rows", "a float"]),
    (np.full(N, np.inf), ["infinite"]),
    (np.full(N, np.nan), ["all missing"]),
    (["a"] * N, ["36 rows", "type string"]),
    (["1"] * N, ["36 rows", "type string"]),
    (1j * np.ones(N), ["36 rows", "type complex"]),
    (np.log, ["36 rows", "a ufunc"]),
    ([[1.0], [1.0, 2.0]], ["36 rows", "unequal parts"]),
    ("ww", ["no column 'ww'", "weights='ww'"]),
    ("f", ["'f'", "labels"]),
    ("1 +", ["neither a column nor an expression"]),
    ("log(x^2*0)", ["not finite"]),
]


@pytest.mark.parametrize(("weights", "words"), WEIGHTS)
def test_weights(weights, words):
    with pytest.raises(DataError) as caught:
        build(weights=weights)
    for word in words:
        assert word in str(caught.value)


LABELLED = DATA[["y", "x", "g"]].set_index(pd.Index([f"row {i}" for i in range(N)]))


@pytest.mark.parametrize("argument", ["weights", "offset"])
def test_a_series_in_another_order_is_refused(argument):
    given = pd.Series(np.arange(1.0, N + 1.0), index=LABELLED.index)
    expected = getattr(build(data=LABELLED, **{argument: given.to_numpy()}), argument)
    for accepted in (given, given.reset_index(drop=True)):
        assert np.array_equal(getattr(build(data=LABELLED, **{argument: accepted}), argument), expected)
    with pytest.raises(
        DataError, match=f"{argument} is a Series.*by position.*'row 35'.*'row 0'.*loc.*to_numpy"
    ) as error:
        build(data=LABELLED, **{argument: given[::-1]})
    assert f"{argument}.loc[data.index]" in str(error.value)
    # the data in another order, the series with its default index
    with pytest.raises(DataError, match="position 0 has the label 0 in it and 35 there"):
        build(data=DATA[::-1], **{argument: given.reset_index(drop=True)})


def test_weights_with_missing_entries_of_any_kind():
    weights = np.r_[np.nan, np.linspace(1.0, 2.0, N - 1)]
    expected = build(weights=weights).weights
    assert len(expected) == N - 1
    for given in (pd.Series(weights).astype("Float64"), [None, *weights[1:]], [pd.NA, *weights[1:]]):
        assert np.array_equal(build(weights=given).weights, expected)


@pytest.mark.parametrize(
    ("contrasts", "words"),
    [
        ("sum", ["contrasts must be a dict", "'sum'"]),
        (["sum"], ["contrasts must be a dict"]),
        ({"f": 5}, ["'f'", "a row for each level", "got 5"]),
        ({"f": [1, -1]}, ["'f'", "a row for each level"]),
    ],
)
def test_contrasts(contrasts, words):
    with pytest.raises(ArgumentError) as caught:
        build("y ~ f + (1|g)", contrasts=contrasts)
    for word in words:
        assert word in str(caught.value)


def test_a_refusal_is_short_although_the_model_is_large():
    with pytest.raises(ModelError, match="6 levels x 18 effects = 108 random effects") as caught:
        build("y ~ x + (x*f + x:same + same | g)")
    assert len(str(caught.value)) < 400
    with pytest.raises(ModelError, match="1 fixed coefficient and 1 row:"):
        build("y ~ 1 + (1|g)", data=DATA[:1])


def test_a_column_in_the_index():
    for data in (DATA.set_index("g"), DATA.set_index(["row", "g"])):
        with pytest.raises(FormulaError, match=r"no column 'g' in the data\. It is in the index .*reset_index\(\)"):
            build(data=data)


def test_a_response_with_cells_of_text():
    y = [*DATA["y"][:-2].astype(str), "n/a", "?"]
    for given in (y, [*DATA["y"][:-2], "n/a", "?"]):
        with pytest.raises(FormulaError, match=r"is not numeric.*; '\?', 'n/a' cannot be read as numbers"):
            build(data=DATA.assign(y=given))


def test_names_of_columns_that_are_not_text():
    with pytest.raises(FormulaError, match=r"Columns: 0, 1\. .*names are text"):
        build(data=pd.DataFrame(np.ones((3, 2))))


NOT_FRAMES = [None, 5, "data.csv", [1, 2], np.ones((3, 3)), DATA["y"], DATA.iloc[:0], pd.DataFrame(index=range(3))]


@pytest.mark.parametrize("data", NOT_FRAMES, ids=lambda d: type(d).__name__)
def test_data_that_cannot_be_used(data):
    with pytest.raises(DataError, match="data"):
        build(data=data)


@pytest.mark.parametrize(
    ("data", "way"),
    [
        ({"y": 1.0, "x": 2.0, "g": "a"}, "lists of one"),
        (DATA.to_dict("records"), "list of dicts"),
        (DATA[["y", "x", "g"]].to_records(), "named fields"),
        (DATA.iloc[0], "double brackets"),
        (Path("data.csv"), "read_csv"),
    ],
)
def test_the_way_to_a_data_frame(data, way):
    with pytest.raises(DataError, match=way):
        build(data=data)


def test_columns_of_different_length_or_the_same_name():
    with pytest.raises(DataError, match="differ in length"):
        build(data={"y": [1, 2], "x": [1], "g": [1, 2]})
    with pytest.raises(DataError, match="several columns named 'x'"):
        build(data=pd.concat([DATA, DATA[["x"]]], axis=1))


def test_na_action():
    data = DATA.assign(x=DATA["x"].where(DATA["row"] > 2))
    assert build(data=data).n_missing == 3
    with pytest.raises(DataError, match=r"3 of 36 rows have missing values \('x': 3\)"):
        build(data=data, na_action="raise")
    with pytest.raises(ArgumentError, match="na_action must be"):
        build(na_action="omit")


@pytest.mark.parametrize("formula", ["y ~ y + (1|g)", "y ~ I(3*y - 1) + (1|g)"])
def test_a_response_that_the_fixed_effects_fit_exactly(formula):
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"y": rng.normal(size=40), "g": np.arange(40) % 5})
    with pytest.raises(ModelError, match="fit the response `y` exactly"):
        lmm.fit(formula, data)
    fit = lmm.fit("y ~ 1 + (1|g)", data.assign(y=data["y"] + data["g"]))
    with pytest.raises(ModelError, match="fit the response `y` exactly"):
        fit.refit(np.full(40, 3.0))


def test_contrasts_must_fit_the_levels():
    with pytest.raises(FormulaError, match="The contrasts of `f` do not fit its levels 'a', 'b'"):
        build_design(parse_formula("y ~ f + (1|g)"), DATA, contrasts={"f": np.eye(3)[:, 1:]})


def test_a_single_row_or_no_weight_leaves_nothing():
    with pytest.raises(ModelError, match=r"1 fixed coefficient and 1 row.* Use fewer terms"):
        build_design(parse_formula("y ~ 1 + (1|g)"), DATA.head(1))
    incomplete = DATA.assign(x=DATA["x"].where(DATA["row"] > 0))
    with pytest.raises(DataError, match="those without missing values all have weight zero"):
        build_design(parse_formula("y ~ x + (1|g)"), incomplete, weights=(DATA["row"] == 0) * 1.0)


def test_a_dot_needs_columns_to_stand_for():
    with pytest.raises(FormulaError, match=r"`\.` stands for no column"):
        build_design(parse_formula("y ~ . + (1|g)"), DATA[["y", "g"]])
    with pytest.raises(FormulaError, match="a column name with a backtick in it"):
        build_design(parse_formula("y ~ . + (1|g)"), DATA[["y", "g", "x"]].rename(columns={"x": "x`s"}))


def test_columns_of_a_dict_are_one_dimensional():
    with pytest.raises(DataError, match="cannot be read as columns"):
        build_design(parse_formula("y ~ x + (1|g)"), {**DATA[["y", "g"]], "x": np.ones((N, 2))})


def test_new_data_without_a_column_of_an_expression():
    built = build_design(parse_formula("y ~ C(x > 0) + (1|g)"), DATA)
    with pytest.raises(FormulaError, match="no column 'x'"):
        built.fixed_columns(DATA.drop(columns="x"))
