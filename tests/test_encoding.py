import pickle

import formulaic
import numpy as np
import pandas as pd
import pytest

from lmm.design import build_design
from lmm.errors import DataError, FormulaError, LMMWarning
from lmm.formula import parse_formula

RNG = np.random.default_rng(0)
N = 60
DATA = pd.DataFrame(
    {
        "y": RNG.normal(size=N),
        "x": RNG.uniform(1, 9, N),
        "z": RNG.normal(size=N),
        "f": list("abc") * 20,
        "g": list("uvvwwu") * 10,
        "i": np.arange(N) % 4,
        "my col": RNG.normal(size=N),
        "num.weeks": np.arange(N) % 7 + 1.0,
        "h": np.arange(N) % 6,
    }
)
DATA["k"] = pd.Categorical(DATA["f"], categories=["c", "a", "b"])
DATA["b"] = DATA["x"] > 4


def design(fixed, data=DATA, **options):
    return build_design(parse_formula(f"y ~ {fixed} + (1|h)"), data, **options)


def columns(fixed, data=DATA):
    """All columns, aliased ones included, and their names."""
    built = design(fixed, data)
    return built.fixed_encoding.columns(built.new_rows(data)), built.all_names


AS_FORMULAIC = [
    *("1", "x", "x + z", "x - 1", "x + 0", "f", "f + x", "f*x", "f:x", "0 + f", "0 + f + g", "f*g", "0 + f*g"),
    *("f/g", "x/f", "(f+g+x)**2", "x*f*g", "0 + f:x", "x:z", "f + f:g", "g + f:g", "f*x - x", "k", "k*x", "-1 + k"),
    *("poly(x, 2)", "poly(x, 3, raw=True)", "bs(x, df=5)", "bs(x, df=4, degree=2)*f", "scale(x)", "center(x)"),
    *("log(x)", "log(x+1)", "np.log(x)", "I(x**2)", "exp(x) + log10(x)", "cr(x, df=4)", "cc(x, df=4)"),
    *("C(i)", "C(i)*f", "C(f, contr.sum)", "C(f, contr.helmert)", "C(f, contr.poly)", "C(f, contr.diff)"),
    *("C(f, contr.sum)*x", "0 + C(f, contr.sum) + g", "C(f, contr.treatment(base='b'))", "C(f, Sum)"),
    *("C(f, Treatment(reference='b'))", "C(f, levels=['b', 'c', 'a'])", "C(f, {'u': [1, 0, -1]})"),
    *("`my col`*f", "num.weeks + x", "standardize(x)", "b", "b*f"),
]


@pytest.mark.parametrize("fixed", AS_FORMULAIC)
def test_names_order_and_values_are_formulaics(fixed):
    expected = formulaic.model_matrix(fixed, DATA)
    X, names = columns(fixed)
    assert list(names) == list(expected.columns)
    np.testing.assert_allclose(X, expected.to_numpy(dtype=float), atol=1e-12)


@pytest.mark.parametrize("fixed", [*AS_FORMULAIC, "ns(x, df=3)*f", "factor(num.weeks)", "I(x > 4)", "f:g"])
def test_new_data_give_the_same_columns(fixed):
    built = pickle.loads(pickle.dumps(design(fixed)))  # noqa: S301 - our own bytes
    np.testing.assert_allclose(built.fixed_columns(DATA), built.X, atol=1e-13)
    some = DATA.iloc[[7, 3, 3]].reset_index(drop=True)
    np.testing.assert_allclose(built.fixed_columns(some), built.X[[7, 3, 3]], atol=1e-12)
    assert built.fixed_columns(DATA.iloc[:0]).shape == (0, len(built.names))


def test_missing_values_in_new_data_come_out_as_nan():
    built = design("f*poly(x, 2) + I(z > 0)")
    some = DATA.iloc[:4].copy()
    some.loc[0, "f"] = None
    some.loc[1, "x"] = np.nan
    some.loc[2, "z"] = np.nan
    assert np.isnan(built.fixed_columns(some)).any(axis=1).tolist() == [True, True, True, False]


@pytest.mark.parametrize(
    ("fixed", "names"),
    [
        ("f:x", ["Intercept", "f[a]:x", "f[b]:x", "f[c]:x"]),
        ("x + f:x", ["Intercept", "x", "f[T.b]:x", "f[T.c]:x"]),
        ("0 + f + k", ["f[a]", "f[b]", "f[c]", "k[T.a]", "k[T.b]"]),
        ("I(x^2)", ["Intercept", "I(x^2)"]),
        ("factor(i)", ["Intercept", "factor(i)[T.1]", "factor(i)[T.2]", "factor(i)[T.3]"]),
        ("ns(x, df=2)", ["Intercept", "ns(x, df=2)[1]", "ns(x, df=2)[2]"]),
        ("I(f == 'a')", ["Intercept", "I(f == 'a')"]),
    ],
)
def test_names(fixed, names):
    assert list(columns(fixed)[1]) == names


def test_full_coding_of_an_interaction_is_dropped_by_rank():
    # R: model.matrix(~ f:g) has the intercept and all nine cells, of which lm() drops the last
    data = DATA.assign(g=np.repeat(list("uvw"), N // 3))
    built = design("f:g", data)
    assert len(built.all_names) == 10
    assert np.flatnonzero(~built.kept).tolist() == [9]


def test_ordered_factors_have_polynomial_contrasts():
    data = DATA.assign(o=pd.Categorical(DATA["f"], ordered=True))
    X, names = columns("o", data)
    assert names == ("Intercept", "o[.L]", "o[.Q]")
    # R 4.2.2: contr.poly(3)
    half, sixth = 1 / np.sqrt(2), 1 / np.sqrt(6)
    np.testing.assert_allclose(X[:3, 1:], [[-half, sixth], [0, -2 * sixth], [half, sixth]], atol=1e-12)
    assert columns("0 + o", data)[1] == ("o[a]", "o[b]", "o[c]")


def test_contrasts_by_argument():
    assert design("f", contrasts={"f": "sum"}).names == ("Intercept", "f[S.a]", "f[S.b]")
    with pytest.raises(FormulaError, match="no factor of the formula"):
        design("x", contrasts={"f": "sum"})
    with pytest.raises(FormulaError, match="no such coding"):
        design("f", contrasts={"f": "sums"})


def test_power_is_a_power():
    X, _ = columns("I(i^2) + I(-x^2) + I((x+1)^2*2)")
    i, x = DATA["i"], DATA["x"]
    np.testing.assert_allclose(X[:, 1:], np.column_stack([i**2, -(x**2), (x + 1) ** 2 * 2]))


def test_integers_do_not_overflow():
    data = DATA.assign(i=np.arange(N, dtype=np.int8) + 60)
    np.testing.assert_allclose(columns("I(i^2) + I(i*i)", data)[0][:, 1], (np.arange(N) + 60.0) ** 2)


def test_poly_of_days_is_rs():
    # R 4.2.2: poly(0:9, 2) on each of the 18 subjects of sleepstudy, first rows
    data = pd.DataFrame({"Days": np.tile(np.arange(10), 18), "y": RNG.normal(size=180), "h": np.repeat(range(18), 10)})
    X, _ = columns("poly(Days, 2)", data)
    expected = [[-0.116774841624229, 0.123091490979336], [-0.0908248768188443, 0.0410304969931108]]
    np.testing.assert_allclose(X[:2, 1:], expected, atol=1e-12)


def test_bs_of_days_is_rs():
    # R 4.2.2: bs(Days, df = 5), second and third row of sleepstudy
    data = pd.DataFrame({"Days": np.tile(np.arange(10), 18), "y": RNG.normal(size=180), "h": np.repeat(range(18), 10)})
    X, _ = columns("bs(Days, df = 5)", data)
    expected = [
        [0.564814814814815, 0.132716049382716, 0.00617283950617284, 0, 0],
        [0.518518518518518, 0.395061728395062, 0.0493827160493827, 0, 0],
    ]
    np.testing.assert_allclose(X[1:3, 1:], expected, atol=1e-12)


def test_natural_spline_is_rs():
    # R 4.2.2: splines::ns(0:9, df = 3)
    data = pd.DataFrame({"x": np.tile(np.arange(10.0), 6), "y": RNG.normal(size=60), "h": np.repeat(range(6), 10)})
    built = design("ns(x, df=3)", data)
    expected = [
        [-0.0756533021308236, 0.245478424910989, -0.163652283273993],
        [0.1974791658302651, 0.518673613620316, -0.339609569574038],
        [-0.1428571428571429, 0.428571428571429, 0.714285714285714],
    ]
    np.testing.assert_allclose(built.X[[1, 4, 9], 1:], expected, atol=1e-12)
    beyond = built.fixed_columns(pd.DataFrame({"x": [9.0, 10.0, 11.0, 12.0]}))
    np.testing.assert_allclose(np.diff(beyond, n=2, axis=0), 0, atol=1e-12)


def test_splines_extend_beyond_the_data_of_the_fit():
    built = design("bs(x, df=4)")
    inside = built.fixed_columns(DATA.assign(x=np.linspace(2, 8, N)))
    with pytest.warns(LMMWarning, match="60 of 60 rows of the new data lie outside the range"):
        outside = built.fixed_columns(DATA.assign(x=12.0))
    assert np.isfinite(inside).all()
    assert np.isfinite(outside).all()


def test_columns_named_like_functions():
    data = DATA.assign(
        C=DATA["x"], I=DATA["z"], log=DATA["x"] + 1, new=DATA["z"] ** 2, data=DATA["i"], pi=DATA["x"] ** 2
    )
    X, names = columns("C + I + log + log(log) + I(I^2) + C(f) + new + data + I(2*pi)", data)
    assert {"C", "I", "log", "log(log)", "I(I^2)", "C(f)[T.b]", "new", "data"} <= set(names)
    np.testing.assert_allclose(X[:, names.index("log(log)")], np.log(data["log"]))
    np.testing.assert_allclose(X[:, names.index("I(2 * pi)")], 2 * data["pi"])


def test_names_with_dots_spaces_and_reserved_words_inside_calls():
    data = DATA.rename(columns={"z": "class", "x": "größe"})
    X, names = columns("log(num.weeks) + I(`my col` + 1) + I(2*class) + log(größe)", data)
    assert (
        names[1:] == ("log(num.weeks)", "I(`my col` + 1)", "I(2 * `class`)", "log(größe)") or names[3] == "I(2 * class)"
    )
    np.testing.assert_allclose(X[:, 2], data["my col"] + 1)


def test_nothing_is_taken_from_the_calling_scope():
    secret = DATA["x"]
    assert len(secret) == N
    with pytest.raises(FormulaError, match="no column 'secret'"):
        design("I(x + secret)")


def test_summaries_are_remembered():
    built = design("I((x - mean(x)) / sd(x)) + I(z - np.min(z))")
    np.testing.assert_allclose(built.fixed_columns(DATA.iloc[:3]), built.X[:3])
    np.testing.assert_allclose(built.X[:, 1].std(ddof=1), 1)


def test_new_levels_are_named():
    built = design("f*x")
    with pytest.raises(DataError, match="'q'"):
        built.fixed_columns(DATA.assign(f=["q", "a"] * 30))
    with pytest.raises(DataError, match="was numeric in the data of the fit"):
        built.fixed_columns(DATA.assign(x="a"))


def test_labels_match_whether_numbers_or_text():
    built = design("factor(i)")
    np.testing.assert_array_equal(built.fixed_columns(DATA.assign(i=DATA["i"].astype(str))), built.X)
    np.testing.assert_array_equal(built.fixed_columns(DATA.assign(i=DATA["i"].astype(float))), built.X)


def test_random_effects_are_coded_by_the_same_rules():
    def effects(text):
        return build_design(parse_formula(f"y ~ x + {text}"), DATA).terms[0].effects

    assert effects("(f|h)") == ("Intercept", "f[T.b]", "f[T.c]")
    assert effects("(0+f|h)") == ("f[a]", "f[b]", "f[c]")
    assert effects("(f||h)") == ("Intercept", "f[T.b]", "f[T.c]")
    assert effects("(poly(x, 2)|h)") == ("Intercept", "poly(x, 2)[1]", "poly(x, 2)[2]")
    assert effects("(log(x + 1)|h)") == ("Intercept", "log(x + 1)")


def test_contrasts_as_objects_and_matrices():
    sums = design("f", contrasts={"f": "sum"})
    np.testing.assert_array_equal(design("f", contrasts={"f": formulaic.transforms.contrasts.SumContrasts()}).X, sums.X)
    matrix = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    np.testing.assert_array_equal(design("f", contrasts={"f": matrix}).X, sums.X)
    np.testing.assert_array_equal(design("C(f, base='b')").X, design("C(f, contr.treatment(base='b'))").X)


def test_levels_given_by_position_and_constants_in_expressions():
    assert design("factor(f, ['c', 'a', 'b'])").names == (
        "Intercept",
        *(f"factor(f, ['c', 'a', 'b'])[T.{x}]" for x in "ab"),
    )
    np.testing.assert_allclose(design("I(x * pi)").X[:, 1], np.pi * DATA["x"])
    np.testing.assert_array_equal(design("I('a' == f)").X[:, 1], DATA["f"] == "a")
    np.testing.assert_array_equal(design("Q('my col')").X[:, 1], DATA["my col"])
    assert design("Q('my col')").variables.keys() == {"my col"}


def test_numbers_of_the_fit_may_come_as_other_numbers():
    built = design("factor(i)")
    np.testing.assert_array_equal(built.fixed_columns(DATA.assign(i=DATA["i"].astype(float))), built.X)
    np.testing.assert_array_equal(built.fixed_columns(DATA.assign(i=DATA["i"].astype(str))), built.X)
