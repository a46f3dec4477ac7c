"""What `lmm._formulaic` relies on in formulaic, so that a new release that changes it is noticed."""

import numpy as np
import pytest

from lmm import _formulaic


def test_tokens_carry_kind_and_position():
    tokens = _formulaic.tokenize("y ~ -1 + `a b` + log(x + 1) + (x||g)")
    found = [(token.text, token.kind, token.start, token.end) for token in tokens]
    assert found[1] == ("~-", "operator", 2, 5)
    assert ("a b", "name", 9, 13) in found
    assert ("log(x + 1)", "python", 17, 27) in found
    assert ("||", "operator", 32, 34) in found


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("1", [()]),
        ("- 1 + a", [("a",)]),
        ("0 + a * b", [("a",), ("b",), ("a", "b")]),
        ("a : b + a", [(), ("a",), ("a", "b")]),
        ("( a + b + c ) ^ 2", [(), ("a",), ("b",), ("c",), ("a", "b"), ("a", "c"), ("b", "c")]),
        ("a * b - a : b", [(), ("a",), ("b",)]),
    ],
)
def test_operator_expansion(text, terms):
    assert _formulaic.expand_terms(text, intercept=True) == terms


def test_groups_have_no_intercept():
    assert _formulaic.expand_terms("a / b / c", intercept=False) == [("a",), ("a", "b"), ("a", "b", "c")]


def test_unreadable_pieces_raise_formulaics_error():
    with pytest.raises(_formulaic.FormulaicError) as caught:
        _formulaic.expand_terms("a b", intercept=True)
    assert _formulaic.first_line(caught.value) == "Missing operator between `a` and `b`."


@pytest.mark.parametrize(
    ("name", "pattern", "fields"),
    [
        ("contr.treatment", "{name}[T.{field}]", ["b", "c"]),
        ("contr.sum", "{name}[S.{field}]", ["a", "b"]),
        ("contr.helmert", "{name}[H.{field}]", ["b", "c"]),
        ("contr.poly", "{name}[{field}]", [".L", ".Q"]),
        ("contr.diff", "{name}[D.{field}]", ["b", "c"]),
    ],
)
def test_contrast_names(name, pattern, fields):
    matrix, found, shown = _formulaic.coding(_formulaic.CONTRASTS[name](), ["a", "b", "c"], reduced=True)
    assert matrix.shape == (3, 2)
    assert (found, shown) == (fields, pattern)


def test_transforms_take_a_state_and_use_it_later():
    x = np.linspace(0.0, 9.0, 10)
    for name in ("poly", "bs", "scale", "center"):
        state: dict = {}
        arguments = {"poly": (2,), "bs": (5,)}.get(name, ())
        first, _, _ = _formulaic.unwrap(_formulaic.STATEFUL_TRANSFORMS[name](x, *arguments, _state=state))
        assert state, name
        again, _, _ = _formulaic.unwrap(_formulaic.STATEFUL_TRANSFORMS[name](x[:3], *arguments, _state=state))
        if name == "bs":
            first, again = (np.column_stack(list(basis.values())) for basis in (first, again))
        np.testing.assert_allclose(again, first[:3], err_msg=name)
