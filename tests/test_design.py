import datetime as dt
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmm.design import build_design
from lmm.errors import DataError
from lmm.formula import parse_formula

RNG = np.random.default_rng(1)
N = 60


def frame():
    return pd.DataFrame(
        {
            "y": RNG.normal(size=N),
            "x": RNG.normal(size=N),
            "f": ["a", "b", "c"] * 20,
            "g": np.arange(N) % 6,
            "w": RNG.uniform(0.5, 2, N),
        }
    )


DATA = frame()
FORMULA = "y ~ x + f + (x|g)"


def design(formula=FORMULA, data=DATA, **options):
    return build_design(parse_formula(formula), data, **options)


def assert_same(built, expected):
    np.testing.assert_array_equal(built.y, expected.y)
    np.testing.assert_allclose(built.X, expected.X, atol=1e-15)
    assert built.names == expected.names
    for term, other in zip(built.terms, expected.terms, strict=True):
        np.testing.assert_array_equal(term.codes, other.codes)
        np.testing.assert_allclose(term.columns, other.columns, atol=1e-15)
        assert list(term.levels) == list(other.levels)


def test_arrays():
    built = design()
    assert built.X.flags.f_contiguous
    assert built.X.dtype == built.y.dtype == np.float64
    np.testing.assert_allclose(built.R.T @ built.R, built.X.T @ built.X, atol=1e-12)
    assert built.names == ("Intercept", "x", "f[T.b]", "f[T.c]")
    assert built.terms[0].effects == ("Intercept", "x")
    assert built.terms[0].codes.dtype == np.intp
    assert built.response_name == "y"
    assert built.kept.all()
    assert (built.weights, built.offset, built.rows) == (None, None, None)


def test_pickles():
    assert_same(pickle.loads(pickle.dumps(design())), design())  # noqa: S301 - our own bytes


@pytest.mark.parametrize("formula", [FORMULA, "y ~ I(x) + (I(x)|g)", "I(y) ~ offset(x) + (1|g)"])
def test_shares_no_memory_with_the_data(formula):
    data = {name: DATA[name].to_numpy().copy() for name in DATA}
    built = design(formula, data, weights="w", offset="x")
    before = pickle.dumps(built)
    for values in data.values():
        values[:] = values[::-1].copy()
    assert pickle.dumps(built) == before


KINDS = {
    "nullable": lambda d: d.convert_dtypes(),
    "objects": lambda d: d.astype(object),
    "small": lambda d: d.astype({"f": "string", "g": "int8"}),
    "nullable group": lambda d: d.astype({"g": "UInt16", "x": "Float64"}),
    "category": lambda d: d.astype({"f": "category", "g": "category"}),
    "float group": lambda d: d.astype({"g": float}),
    "dict of arrays": lambda d: {name: d[name].to_numpy() for name in d},
    "dict of lists": lambda d: {name: d[name].tolist() for name in d},
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_columns(kind):
    assert_same(design(data=KINDS[kind](DATA)), design())


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_other_frames(library):
    module = pytest.importorskip(library)
    make = module.DataFrame if library == "polars" else module.table
    assert_same(design(data=make({name: DATA[name].tolist() for name in DATA})), design())


def test_groups_of_every_kind():
    def levels(values):
        return list(design("y ~ x + (1|g)", DATA.assign(g=values)).terms[0].levels)

    assert levels(DATA["g"] > 2) == [False, True]
    assert levels((DATA["g"] + 300).astype(str)) == [str(i) for i in range(300, 306)]
    assert levels(DATA["g"] * 10**12) == [i * 10**12 for i in range(6)]
    assert levels(DATA["g"] - 3) == [-3, -2, -1, 0, 1, 2]
    assert levels(DATA["g"] + 0.5) == [i + 0.5 for i in range(6)]
    assert levels((DATA["g"] + 200).astype("uint8")) == list(range(200, 206))
    assert levels(pd.Categorical(DATA["g"], categories=[9, 5, 4, 3, 2, 1, 0])) == [5, 4, 3, 2, 1, 0]
    assert levels([["a", 3][i % 2] for i in range(N)]) == [3, "a"]


def test_interactions_are_not_pasted():
    data = pd.DataFrame({"y": RNG.normal(size=8), "a": ["a:b", "a"] * 4, "b": ["c", "b:c"] * 2 + ["c", "c"] * 2})
    term = design("y ~ 1 + (1|a:b)", data).terms[0]
    assert list(term.levels) == [("a", "b:c"), ("a", "c"), ("a:b", "c")]
    assert list(term.levels.names) == ["a", "b"]
    assert term.codes.tolist() == [2, 0, 2, 0, 2, 1, 2, 1]


def test_terms_come_by_decreasing_number_of_groups():
    data = DATA.assign(h=np.arange(N) // 10)
    assert [term.group for term in design("y ~ (1|f) + (1|g) + (1|h)", data).terms] == ["g", "h", "f"]
    assert [term.group for term in design("y ~ (1|f/h)", data).terms] == ["f:h", "f"]


def test_missing_rows_are_counted_and_dropped_by_position():
    data = DATA.set_index(pd.MultiIndex.from_arrays([[1] * N, [0] * N]))
    data.iloc[3, data.columns.get_loc("x")] = np.nan
    data.iloc[5, data.columns.get_loc("f")] = None
    data.iloc[5, data.columns.get_loc("y")] = np.nan
    built = design(data=data)
    kept = np.delete(np.arange(N), [3, 5])
    assert (built.n_missing, len(built.y), len(built.index)) == (2, N - 2, N - 2)
    np.testing.assert_array_equal(built.rows, kept)
    np.testing.assert_array_equal(built.y, DATA["y"].to_numpy()[kept])


def test_missing_group_label_is_a_missing_row():
    for values in (DATA["g"].where(DATA["g"] > 0), DATA["g"].astype(str).where(DATA["g"] > 0)):
        built = design(data=DATA.assign(g=values))
        assert built.n_missing == 10
        assert len(built.terms[0].levels) == 5


def test_transforms_see_only_the_rows_used():
    data = DATA.assign(x=DATA["x"].where(DATA["g"] > 0))
    built = design("y ~ scale(x) + poly(x, 2) + (1|f)", data)
    np.testing.assert_allclose(built.X[:, 1:].mean(axis=0), 0, atol=1e-12)
    assert built.n_missing == 10
    used = data.dropna().reset_index(drop=True)
    np.testing.assert_allclose(built.X, design("y ~ scale(x) + poly(x, 2) + (1|f)", used).X)


def test_levels_that_only_dropped_rows_have_disappear():
    data = DATA.astype({"f": "category"})
    data["x"] = data["x"].where(data["f"] != "c")
    assert design(data=data).names == ("Intercept", "x", "f[T.b]")


def test_zero_weights_drop_rows():
    w = np.ones(N)
    w[:7] = 0
    built = design(weights=w)
    assert (built.n_zero_weight, built.n_missing, len(built.y)) == (7, 0, N - 7)
    assert_same(built, design(data=DATA.iloc[7:]))


def test_weights_and_offsets_by_name_array_and_expression():
    named = design(weights="w", offset="x")
    arrays = design(weights=DATA["w"].to_list(), offset=DATA["x"].sort_index(ascending=True))
    expressions = design("y ~ x + f + offset(x/2) + (x|g)", weights="w^1", offset="x / 2")
    for built in (named, arrays, expressions):
        np.testing.assert_allclose(built.weights, DATA["w"])
        np.testing.assert_allclose(built.offset, DATA["x"])
        np.testing.assert_array_equal(built.y, DATA["y"])
    np.testing.assert_allclose(named.R.T @ named.R, (named.X.T * named.weights) @ named.X, atol=1e-12)


def test_a_series_of_weights_is_matched_by_position():
    shifted = pd.Series(DATA["w"].to_numpy(), index=range(100, 100 + N))
    with pytest.raises(DataError, match="weights is a Series, which is matched"):
        design(weights=shifted)
    np.testing.assert_array_equal(design(weights=shifted.to_numpy()).weights, DATA["w"])


def test_offset_for_new_data():
    built = design("y ~ x + offset(log(w)) + (1|g)", offset="x")
    np.testing.assert_allclose(built.new_offset(DATA), built.offset)
    assert not built.offset_given
    assert design(offset=DATA["x"].to_numpy()).offset_given
    assert design().new_offset(DATA) is None


def test_aliased_columns_the_first_stays():
    built = design("y ~ x + I(2*x) + f + (1|g)")
    assert built.names == ("Intercept", "x", "f[T.b]", "f[T.c]")
    assert built.all_names == ("Intercept", "x", "I(2 * x)", "f[T.b]", "f[T.c]")
    assert built.kept.tolist() == [True, True, False, True, True]
    np.testing.assert_allclose(built.fixed_columns(DATA), built.X)


def test_groups_of_new_data():
    built = design("y ~ x + (1|g)")
    new = pd.DataFrame({"g": [5, 0, 77, 3]})
    assert built.group_codes(new, 0).tolist() == [5, 0, -1, 3]
    assert built.group_codes(new.astype(str), 0).tolist() == [5, 0, -1, 3]
    assert built.group_codes(new.astype(float).replace(0, np.nan), 0).tolist() == [5, -2, -1, 3]
    assert list(built.group_labels(new, 0)) == [5, 0, 77, 3]
    np.testing.assert_array_equal(built.random_columns(new, 0), np.ones((4, 1)))


def test_interaction_groups_of_new_data():
    built = design("y ~ x + (1|f:w2)", DATA.assign(w2=np.arange(N) // 20))
    data = DATA.assign(w2=np.arange(N) // 20)
    np.testing.assert_array_equal(built.group_codes(data, 0), built.terms[0].codes)
    new = pd.DataFrame({"f": ["a", "zz", None], "w2": [1, 1, 1]})
    assert built.group_codes(new, 0).tolist() == [1, -1, -2]
    assert list(built.group_labels(new.iloc[:2], 0)) == [("a", 1), ("zz", 1)]


def test_no_fixed_effects():
    built = design("y ~ 0 + (1|g)")
    assert built.X.shape == (N, 0)
    assert built.R.shape == (0, 0)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(-50, 50), min_size=2, max_size=40).filter(lambda v: 1 < len(set(v)) < len(v)))
def test_codes_and_levels_rebuild_the_labels(labels):
    data = pd.DataFrame({"y": np.arange(len(labels)) ** 1.5, "g": labels})
    for values in (data["g"], data["g"].astype(str), data["g"] * 10**9, data["g"] / 3, data["g"].astype("category")):
        term = design("y ~ 1 + (1|g)", data.assign(g=values)).terms[0]
        assert list(term.levels[term.codes]) == list(values)
        assert sorted(set(term.codes)) == list(range(len(term.levels)))
        assert list(term.levels) == sorted(set(values))


@settings(deadline=None, max_examples=30)
@given(st.permutations(range(N)))
def test_row_order_permutes_rows_and_nothing_else(order):
    order = np.array(order)
    built, shuffled = design(), design(data=DATA.iloc[order])
    np.testing.assert_array_equal(shuffled.X, built.X[order])
    np.testing.assert_array_equal(shuffled.terms[0].codes, built.terms[0].codes[order])
    np.testing.assert_array_equal(shuffled.index, order)


def test_dot_leaves_out_columns_given_as_arguments():
    assert design("y ~ . + (1|g)", weights="w").names == ("Intercept", "x", "f[T.b]", "f[T.c]")


def test_labels_may_be_anything_that_sorts():
    data = DATA.assign(cut=pd.cut(DATA["x"], 3), pair=[(i % 3, 1) for i in range(N)], big=DATA["g"] + 2**60)
    for name in ("cut", "pair", "big"):
        built = design(f"y ~ x + (1|{name})", data)
        assert list(built.terms[0].levels[built.terms[0].codes]) == list(data[name])
        np.testing.assert_array_equal(built.group_codes(data, 0), built.terms[0].codes)


def test_typed_columns_of_other_frames():
    pl = pytest.importorskip("polars")
    pa = pytest.importorskip("pyarrow")
    x = DATA["x"].round(3)
    expected = design(data=DATA.assign(x=x))
    columns = {name: pl.Series(DATA[name].tolist()) for name in DATA}
    texts = pl.Series(DATA["f"].tolist())
    typed = {"x": pl.Series(x.tolist()).cast(pl.Decimal(10, 3)), "f": texts.cast(pl.Enum(["a", "b", "c"]))}
    assert_same(design(data=pl.DataFrame({**columns, **typed})), expected)
    assert_same(design(data=pl.DataFrame({**columns, **typed, "f": texts.cast(pl.Categorical)}).lazy()), expected)
    decimals = pd.array([f"{value:.3f}" for value in x], dtype="string").astype(pd.ArrowDtype(pa.decimal128(10, 3)))
    codes = pd.arrays.ArrowExtensionArray(pa.array(DATA["f"].tolist()).dictionary_encode())
    assert_same(design(data=DATA.assign(x=decimals, f=codes)), expected)
    with pytest.raises(DataError, match="Turn it into numbers, such as days"):
        design(data=pl.DataFrame({**columns, "x": pl.Series([dt.date(2020, 1, 1)] * N)}))


def test_labels_of_several_types_as_a_predictor():
    mixed = [["b", 3, "a", 10][i % 4] for i in range(N)]
    assert design("y ~ k + (1|g)", DATA.assign(k=mixed)).names == ("Intercept", "k[T.10]", "k[T.a]", "k[T.b]")
