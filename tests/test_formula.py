import pickle

import pytest

from lmm.errors import FormulaError
from lmm.formula import LinearTerms, expand_dot, parse_formula, point_at

ONE = LinearTerms(intercept=True, terms=())
X = LinearTerms(intercept=True, terms=(("x",),))
ONLY_X = LinearTerms(intercept=False, terms=(("x",),))


def parts(text):
    return [(part.name, part.effects, part.structure) for part in parse_formula(text).random]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # the rows of lme4's table of formulas (Bates et al. 2015, Table 2)
        ("y ~ (1|g)", [("g", ONE, "unstructured")]),
        ("y ~ (x|g)", [("g", X, "unstructured")]),
        ("y ~ (1+x|g)", [("g", X, "unstructured")]),
        ("y ~ (0+x|g)", [("g", ONLY_X, "unstructured")]),
        ("y ~ (-1+x|g)", [("g", ONLY_X, "unstructured")]),
        ("y ~ (x+0|g)", [("g", ONLY_X, "unstructured")]),
        ("y ~ (x-1|g)", [("g", ONLY_X, "unstructured")]),
        ("y ~ (1|g) + (0+x|g)", [("g", ONE, "unstructured"), ("g", ONLY_X, "unstructured")]),
        ("y ~ (x||g)", [("g", X, "diagonal")]),
        ("y ~ (1|a/b)", [("a", ONE, "unstructured"), ("a:b", ONE, "unstructured")]),
        ("y ~ a + (1|a:b)", [("a:b", ONE, "unstructured")]),
        ("y ~ (x|a/b)", [("a", X, "unstructured"), ("a:b", X, "unstructured")]),
        ("y ~ x*a + (x|a:b)", [("a:b", X, "unstructured")]),
        ("y ~ (1|a) + (1|b)", [("a", ONE, "unstructured"), ("b", ONE, "unstructured")]),
        ("y ~ (1|a*b)", [("a", ONE, "unstructured"), ("b", ONE, "unstructured"), ("a:b", ONE, "unstructured")]),
        ("y ~ (x||a/b/c)", [(name, X, "diagonal") for name in ("a", "a:b", "a:b:c")]),
        ("y ~ ((1|g))", [("g", ONE, "unstructured")]),
        ("y ~ (1|factor(z))", [("factor(z)", ONE, "unstructured")]),
        ("y ~ (1|`my group`)", [("my group", ONE, "unstructured")]),
    ],
)
def test_random_terms(text, expected):
    assert parts(text) == expected


@pytest.mark.parametrize(
    ("text", "intercept", "terms"),
    [
        ("y ~ (1|g)", True, ()),
        ("y ~ 1 + (1|g)", True, ()),
        ("y ~ 0 + (1|g)", False, ()),
        ("y ~ (1|g) - 1", False, ()),
        ("y ~-1+x+(1|g)", False, (("x",),)),
        ("y ~ x + 0 + (1|g)", False, (("x",),)),
        ("y ~ (1 | id.num) + num.weeks", True, (("num.weeks",),)),
        ("y ~ Line + Age - 1 + (1|g)", False, (("Line",), ("Age",))),
        ("y ~ a:b + a + (1|g)", True, (("a",), ("a", "b"))),
        ("y ~ (a+b+c)^2 - a:c + (1|g)", True, (("a",), ("b",), ("c",), ("a", "b"), ("b", "c"))),
        ("y ~ a/b + (1|g)", True, (("a",), ("a", "b"))),
        ("y ~ a + b %in% a + (1|g)", True, (("a",), ("b", "a"))),
        ("y ~ t*(x + I(x^2)) + (1|g)", True, (("t",), ("x",), ("I(x^2)",), ("t", "x"), ("t", "I(x^2)"))),
        ("y ~ x + (1|g) + x", True, (("x",),)),
        ("y ~ log(x+1) + log( x + 1 ) + (1|g)", True, (("log(x + 1)",),)),
        ("y ~ `my col`*factor(num.weeks) + (1|g)", True, None),
    ],
)
def test_fixed_part(text, intercept, terms):
    fixed = parse_formula(text).fixed
    assert fixed.intercept == intercept
    if terms is None:
        terms = (("`my col`",), ("factor(num.weeks)",), ("`my col`", "factor(num.weeks)"))
    assert fixed.terms == terms


def test_power_keeps_its_parentheses_and_spacing():
    terms = parse_formula("y ~ I((x+1)^2) + I(x ^ 2) + I(a + b^2) + I(z**2) + (1|g)").fixed.terms
    assert terms == (("I((x + 1)^2)",), ("I(x ^ 2)",), ("I(a + b^2)",), ("I(z ** 2)",))


def test_response_offset_and_text():
    formula = parse_formula("log(y)  ~ x +\n offset(log(w)) + (1|g) + offset(v)")
    assert formula.response == "log(y)"
    assert formula.offset == ("log(w)", "v")
    assert formula.text == "log(y) ~ x + offset(log(w)) + (1|g) + offset(v)"
    assert formula.fixed.terms == (("x",),)


def test_text_of_expanded_terms():
    texts = [part.text for part in parse_formula("y ~ (1+x | a/b)").random]
    assert texts == ["(1+x | a)", "(1+x | a:b)"]


def test_dot_stands_for_the_other_columns():
    formula = expand_dot(parse_formula("log(y) ~ . - z + (1|g)"), ("y", "g", "my col", "z", "x"))
    assert formula.fixed.terms == (("`my col`",), ("x",))


def test_parsing_is_cached_and_pickles():
    formula = parse_formula("y ~ x + (x|g)")
    assert parse_formula("y ~ x + (x|g)") is formula
    assert pickle.loads(pickle.dumps(formula)) == formula  # noqa: S301 - our own bytes


ERRORS = [
    ("", "empty", None),
    ("   ", "empty", None),
    ("y", "no `~`", None),
    ("~ x + (1|g)", "no response", "~"),
    ("y ~", "nothing on the right", "~"),
    ("y ~ x", "no random term", None),
    ("y ~ x | g", "write (x | g)", "x | g"),
    ("y ~ x(1|g)", "added with `+`", "x(1|g)"),
    ("y ~ (1|1)", "not a number", "1"),
    ("y ~ (1|g", "not closed", "("),
    ("y ~ x + 1|g)", "too many", ")"),
    ("y ~ `x + (1|g)", "not closed", "`"),
    ("y ~ (0|g)", "no effect left", "(0|g)"),
    ("y ~ (|g)", "no effects left of the bar", "(|g)"),
    ("y ~ (1|)", "no grouping factor right of the bar", "(1|)"),
    ("y ~ (1|g) + (1|g)", "Write the term once", "(1|g)"),
    ("y ~ (1|g) + (x|g)", "cannot be told apart", "(x|g)"),
    ("y ~ (1|a/b) + (1|a)", "cannot be told apart", "(1|a)"),
    ("y ~ (1|a:b) + (1|b:a)", "cannot be told apart", "(1|b:a)"),
    ("y ~ (1|(1|g))", "one bar", "(1|(1|g))"),
    ("y ~ (1|g|h)", "one bar", "(1|g|h)"),
    ("y ~ x * (1|g)", "on its own", "x * (1|g)"),
    ("y ~ x - (1|g)", "subtracted", "(1|g)"),
    ("y ~ (1|a + b)", "not added", "a + b"),
    ("y/2 ~ (1|g)", "I(y/2)", "y/2"),
    ("y + z ~ (1|g)", "I(y + z)", "y + z"),
    ("y ~ 2*x + (1|g)", "`2` is no term", "2"),
    ("y ~ 'a' + (1|g)", "is no term", "'a'"),
    ("y ~ a b + (1|g)", "Missing operator between `a` and `b`", None),
    ("y ~ x + (1|g) +", "Nothing follows", "+"),
    ("y ~ x ~ (1|g)", "more than one `~`", "~"),
    ("y ~ log(x+) + (1|g)", "cannot be read as an expression", "log(x+)"),
    ("y ~ offset() + (1|g)", "offset() needs", "offset()"),
]


@pytest.mark.parametrize(("text", "words", "marked"), ERRORS)
def test_errors_name_the_fault_and_underline_it(text, words, marked):
    with pytest.raises(FormulaError) as caught:
        parse_formula(text)
    lines = str(caught.value).split("\n")
    assert words in lines[0]
    if text.strip():
        assert lines[1].strip() == text.strip()
    if marked is not None:
        start, end = lines[2].index("^"), len(lines[2])
        assert lines[1][start:end] == marked


def test_formula_must_be_text():
    with pytest.raises(FormulaError, match="must be a string"):
        parse_formula(3)


def test_pointing_ignores_spacing_and_finds_whole_words():
    message = str(point_at("Oh.", "y ~ xx + log( x+1 ) + x", "log(x + 1)"))
    assert message.split("\n")[2].strip() == "^" * len("log( x+1 )")
    assert str(point_at("Oh.", "y ~ xx + x", "x")).split("\n")[2].index("^") == 4 + len("y ~ xx + ")
    assert "^" not in str(point_at("Oh.", "y ~ xx", "x"))
