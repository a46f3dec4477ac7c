"""
The Python text of one factor expression, such as ``log(x + 1)``, ``I(x^2)`` or ``factor(num.weeks)``.

Three things in it are not Python: a dot may be part of a name, names may stand in backticks, and ``^`` is a power.
Each is rewritten into Python before parsing and written back when the expression is shown.
"""

from __future__ import annotations

import ast
import keyword
import math
import re
from collections.abc import Iterable
from functools import lru_cache

__all__ = [
    "CONSTANTS",
    "FACTOR_CALLS",
    "canonical",
    "column_of",
    "columns_in",
    "decode",
    "made_a_factor",
    "match_name",
    "parse",
    "quote",
    "shown",
    "term_name",
]

# Words that R users write for constants, Python's own, and pi.
CONSTANTS = {
    "TRUE": True,
    "FALSE": False,
    "NULL": None,
    "True": True,
    "False": False,
    "None": None,
    "pi": math.pi,
    "np.pi": math.pi,
}
# Calls that make a factor of a column.
FACTOR_CALLS = ("C", "factor", "as.factor")

_LITERAL = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)""")
_DOTTED = re.compile(r"(?<![\w.)\]])[^\W\d]\w*(?:\.\w+)+")
_WORD = re.compile(r"(?<![\w.)\]])[^\W\d]\w*")
_PLAIN = re.compile(r"[^\W\d][\w.]*|\.+[^\W\d][\w.]*")
_OPERATOR_WORDS = {"and", "or", "not", "in", "is", "if", "else", "True", "False", "None"}
_RESERVED = set(keyword.kwlist) - _OPERATOR_WORDS
_PREFIX = "_quoted_"
_ENCODED = re.compile(_PREFIX + r"([0-9a-f]*)_")


def column_of(expression: str) -> str | None:
    """Name of the column when the expression is nothing but a column, else None."""
    if _PLAIN.fullmatch(expression):
        return expression
    if len(expression) > 1 and expression[0] == expression[-1] == "`" and expression.count("`") == 2:  # noqa: PLR2004 - one pair
        return expression[1:-1]
    return None


def shown(expression: str) -> str:
    """Give the expression as it stands in names: a column without its backticks."""
    return column_of(expression) or expression


def term_name(term: Iterable[str]) -> str:
    """Give the name of a term: ``a``, or ``a:b`` for an interaction; empty for the intercept."""
    return ":".join(map(shown, term))


def match_name(given: object, names: Iterable[str]) -> str | None:
    """The one of some names that is given, in backticks or without them; None where it is none of them."""
    if not isinstance(given, str):
        return None
    known = list(names)
    if given in known:
        return given
    return next((name for name in known if name.replace("`", "") == given.replace("`", "")), None)


def quote(name: str) -> str:
    """Write a column name as it must stand in a formula: in backticks unless it is a plain word."""
    return name if _PLAIN.fullmatch(name) else f"`{name}`"


@lru_cache(maxsize=1024)
def canonical(text: str) -> str:
    """
    Write an expression with Python's spacing, as formulaic does; a power keeps the user's sign and spacing.

    Raises
    ------
    SyntaxError
        If the text is no expression.
    """
    shown = decode(ast.unparse(parse(text)).replace("\n", " "))
    code = "".join(_LITERAL.split(text)[::2])
    if "^" in code:
        shown = shown.replace(" ** ", " ^ " if " ^ " in code else "^")
    return shown


@lru_cache(maxsize=1024)
def parse(text: str) -> ast.expr:
    """Syntax tree of an expression; names that are not Python's are encoded, see `decode`."""
    return ast.parse(_to_python(text).strip(), mode="eval").body


def decode(text: str) -> str:
    """Undo the encoding of names in a piece of (unparsed) code."""
    return _ENCODED.sub(lambda match: quote(_plain(match)), text)


def decode_name(identifier: str) -> str:
    """Name that an identifier of the syntax tree stands for."""
    match = _ENCODED.fullmatch(identifier)
    return identifier if match is None else _plain(match)


@lru_cache(maxsize=1024)
def columns_in(expression: str) -> tuple[str, ...]:
    """Names in an expression that may be columns: those that are not called, in order of appearance."""
    name = column_of(expression)
    if name is not None:
        return (name,)
    found: list[str] = []
    _collect(parse(expression), found)
    return tuple(dict.fromkeys(found))


def made_a_factor(expression: str) -> str | None:
    """Column that ``factor(x)`` or ``C(x, ...)`` makes a factor of; None for other expressions."""
    if column_of(expression) is not None:
        return None
    match parse(expression):
        case ast.Call(func=ast.Name(id=function), args=[ast.Name(id=column), *_]) if (
            decode_name(function) in FACTOR_CALLS
        ):
            return decode_name(column)
    return None


def _collect(node: ast.AST, found: list[str]) -> None:
    if isinstance(node, ast.Name):
        found.append(decode_name(node.id))
        return
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id == "Q" and node.args and isinstance(node.args[0], ast.Constant):
            found.append(str(node.args[0].value))
        children: list[ast.AST] = [*node.args, *(pair.value for pair in node.keywords)]
    else:
        children = list(ast.iter_child_nodes(node))
    for child in children:
        _collect(child, found)


def _plain(match: re.Match[str]) -> str:
    return bytes.fromhex(match.group(1)).decode()


def _encode(name: str) -> str:
    return f"{_PREFIX}{name.encode().hex()}_"


def _to_python(text: str) -> str:
    """Encode dotted, reserved and backticked names; turn ``^`` into ``**``; leave strings alone."""
    parts = _LITERAL.split(text)
    for i, part in enumerate(parts):
        if i % 2 == 0:
            code = _DOTTED.sub(lambda match: _encode(match.group()), part.replace("^", "**"))
            parts[i] = _WORD.sub(lambda match: _encode(w) if (w := match.group()) in _RESERVED else w, code)
        elif part.startswith("`"):
            parts[i] = _encode(part[1:-1])
    return "".join(parts)
