"""From the text of a formula to what it asks for; no data are involved."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from lmm import _formulaic, syntax
from lmm._formulaic import Token
from lmm.errors import FormulaError

__all__ = [
    "IdlePower",
    "LinearTerms",
    "ModelFormula",
    "RandomPart",
    "expand_dot",
    "formula_error",
    "parse_formula",
    "point_at",
]

_OPERATORS = re.compile(r"\*\*|\|\||\S")
# R's remainder and whole part of a division.
_REMAINDER = re.compile(r"%%|%/%")
_REMAINDER_IN_PYTHON = "The remainder of a division is written I(x % 2), its whole part I(x // 2)"
_EXAMPLE = "for example `y ~ x + (1 | group)`"


@dataclass(frozen=True)
class LinearTerms:
    """What stands for the fixed effects, or left of a bar: an intercept or none, and terms as factor expressions."""

    intercept: bool
    terms: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class RandomPart:
    """
    One random term ``(effects | group)``.

    ``structure`` is "unstructured", or "diagonal" when written with a double bar.
    """

    text: str
    effects: LinearTerms
    group: tuple[str, ...]
    structure: str

    @property
    def name(self) -> str:
        """The grouping factor as users write it: ``a``, or ``a:b`` for an interaction."""
        return syntax.term_name(self.group)


@dataclass(frozen=True)
class IdlePower:
    """A power of a single variable, which changes nothing outside ``I()``: ``x^2`` is ``x``."""

    base: str
    sign: str
    exponent: str

    def __str__(self) -> str:
        return f"{self.base}{self.sign}{self.exponent}"


@dataclass(frozen=True)
class ModelFormula:
    """A mixed-model formula, taken apart."""

    text: str
    response: str
    fixed: LinearTerms
    random: tuple[RandomPart, ...]
    offset: tuple[str, ...]
    idle_powers: tuple[IdlePower, ...] = ()


def formula_error(message: str, text: str, start: int | None = None, end: int | None = None) -> FormulaError:
    """Error that shows the formula with the part from ``start`` to ``end`` underlined."""
    if start is None or end is None:
        return FormulaError(f"{message}\n    {text}")
    return FormulaError(f"{message}\n    {text}\n    {' ' * start}{'^' * max(1, end - start)}")


def point_at(message: str, text: str, part: str) -> FormulaError:
    """Error that underlines the first place where an expression stands in the formula, whatever its spacing."""
    kept = [i for i, char in enumerate(text) if char != " "]
    squeezed, wanted = "".join(text[i] for i in kept), part.replace(" ", "")
    start = squeezed.find(wanted)
    while start >= 0:
        before = squeezed[start - 1] if start else "("
        after = squeezed[start + len(wanted) : start + len(wanted) + 1] or "("
        in_word = (before + wanted[:1], wanted[-1:] + after)
        if wanted and not any(re.fullmatch(r"[\w.]{2}", pair) for pair in in_word):
            return formula_error(message, text, kept[start], kept[start + len(wanted) - 1] + 1)
        start = squeezed.find(wanted, start + 1)
    return formula_error(message, text)


def parse_formula(text: str, *, allow_fixed: bool = False) -> ModelFormula:
    """
    Take a formula of lme4's language apart.

    Parameters
    ----------
    text : str
        ``response ~ fixed + (effects | group) + ...``. The parts are cached by text.
    allow_fixed : bool
        Whether there need be no random term.

    Returns
    -------
    ModelFormula

    Raises
    ------
    FormulaError
        If the text is no such formula; the message shows the part that is at fault.

    Examples
    --------
    >>> parsed = parse_formula("yield ~ nitro + (nitro | Block/Variety)")
    >>> parsed.fixed
    LinearTerms(intercept=True, terms=(('nitro',),))
    >>> [part.text for part in parsed.random]
    ['(nitro | Block)', '(nitro | Block:Variety)']
    """
    if not isinstance(text, str):
        raise FormulaError(f"The formula must be a string, {_EXAMPLE}; it is of type {type(text).__name__}.")
    return _parse(text, None, allow_fixed)


def expand_dot(formula: ModelFormula, columns: tuple[str, ...]) -> ModelFormula:
    """Replace ``.`` by the columns that are neither response nor grouping factor, when the formula has one."""
    parts = (formula.fixed, *(part.effects for part in formula.random))
    if not any("." in term for linear in parts for term in linear.terms):
        return formula
    used = set(syntax.columns_in(formula.response))
    for expression in (*(e for part in formula.random for e in part.group), *formula.offset):
        used.update(syntax.columns_in(expression))
    for name in columns:
        if "`" in name and name not in used:
            raise formula_error(f"`.` meets a column name with a backtick in it, {name!r}: rename it.", formula.text)
    names = tuple(name for name in columns if name not in used)
    return _parse(formula.text, names, not formula.random)


@lru_cache(maxsize=512)
def _parse(raw: str, dot: tuple[str, ...] | None, allow_fixed: bool) -> ModelFormula:
    text = _squeeze(raw)
    if not text:
        raise FormulaError(f"The formula is empty: write response ~ fixed effects + (effects | group), {_EXAMPLE}.")
    tokens = _tokens(text)
    left, right = _sides(tokens, text)
    response = _response(left, text)
    reader = _Reader(text, dot)
    fixed: list[str] = []
    random: list[tuple[RandomPart, Token, Token]] = []
    offset: list[str] = []
    for sign, written in _addends(right, text):
        addend = _unwrapped(written)
        if _is_random(addend):
            _require_plus(sign, addend, text)
            random.extend((part, addend[0], addend[-1]) for part in reader.random_parts(addend))
        elif len(addend) == 1 and addend[0].kind == "python" and addend[0].text.startswith("offset("):
            _require_plus(sign, addend, text)
            offset.append(reader.offset(addend[0]))
        else:
            _refuse_bars(addend, text)
            fixed.append(f"{sign} {reader.placeholders(addend)}")
    if not random:
        _refuse_called_bars(right, text)
    if not random and not allow_fixed:
        raise formula_error(
            "The formula has no random term. Add at least one, such as (1 | group); a model without random effects, "
            "to compare others with, is fitted with allow_fixed=True.",
            text,
        )
    _refuse_duplicates(random, text)
    whole = " ".join(fixed).removeprefix("+ ")
    span = (right[0].start, right[-1].end)
    linear = reader.linear(whole or "1", span)
    parts = tuple(part for part, _, _ in random)
    return ModelFormula(text, response, linear, parts, tuple(offset), tuple(reader.idle_powers))


def _squeeze(text: str) -> str:
    """Single spaces, except inside strings and backticks."""
    parts = re.split(r"""("[^"]*"|'[^']*'|`[^`]*`)""", text)
    parts[::2] = [re.sub(r"\s+", " ", part) for part in parts[::2]]
    return "".join(parts).strip()


def _tokens(text: str) -> list[Token]:
    """Tokens with the operators one by one (the tokenizer leaves ``~-`` together)."""
    _check_balance(text)
    try:
        tokens = _formulaic.tokenize(text)
    except _formulaic.FormulaicError as error:
        reason = _formulaic.first_line(error) if not _REMAINDER.search(text) else f"{_REMAINDER_IN_PYTHON}."
        raise formula_error(f"The formula cannot be read: {reason}", text) from error
    split: list[Token] = []
    for token in tokens:
        if token.kind == "operator" and token.text == "in":
            split.append(Token(":", "operator", token.start, token.end + 1))
        elif token.kind == "operator":
            piece = text[token.start : token.end]
            split.extend(
                Token(m.group(), "operator", token.start + m.start(), token.start + m.end())
                for m in _OPERATORS.finditer(piece)
            )
        elif token.kind == "name" and text[token.start] == "`":
            split.append(Token(f"`{token.text}`", "name", token.start, token.end + 1))
        else:
            split.append(token)
    return split


def _check_balance(text: str) -> None:
    """Point at the parenthesis without a partner, or the quote that does not end."""
    opened: list[int] = []
    quoted: tuple[str, int] | None = None
    for i, char in enumerate(text):
        if quoted is not None:
            quoted = None if char == quoted[0] else quoted
        elif char in "\"'`":
            quoted = (char, i)
        elif char == "(":
            opened.append(i)
        elif char == ")":
            if not opened:
                raise formula_error("The formula has a closing parenthesis too many.", text, i, i + 1)
            opened.pop()
    if quoted is not None:
        raise formula_error(f"The formula has a {quoted[0]} that is not closed.", text, quoted[1], quoted[1] + 1)
    if opened:
        raise formula_error("The formula has a parenthesis that is not closed.", text, opened[-1], opened[-1] + 1)


def _sides(tokens: list[Token], text: str) -> tuple[list[Token], list[Token]]:
    tildes = [i for i, token in enumerate(tokens) if token.kind == "operator" and token.text == "~"]
    if not tildes:
        raise formula_error(f"The formula has no `~` between response and effects: write it {_EXAMPLE}.", text)
    if len(tildes) > 1:
        second = tokens[tildes[1]]
        raise formula_error("The formula has more than one `~`.", text, second.start, second.end)
    at = tildes[0]
    if at == 0:
        raise formula_error(f"The formula has no response on the left of `~`: write it {_EXAMPLE}.", text, 0, 1)
    if at == len(tokens) - 1:
        tilde = tokens[at]
        raise formula_error("The formula has nothing on the right of `~`.", text, tilde.start, tilde.end)
    return tokens[:at], tokens[at + 1 :]


def _response(tokens: list[Token], text: str) -> str:
    start, end = tokens[0].start, tokens[-1].end
    if len(tokens) != 1 or tokens[0].kind not in ("name", "python"):
        written = text[start:end]
        way = f"write arithmetic as I({written})"
        if all(token.kind == "name" for token in tokens):
            way = f"a column whose name has spaces goes in backticks, `{written}`"
        raise formula_error(
            f"The response must be one column or one call, such as log(y); {way}.",
            text,
            start,
            end,
        )
    return _expression(tokens[0], text)


def _addends(tokens: list[Token], text: str) -> list[tuple[str, list[Token]]]:
    """Split at ``+`` and ``-`` outside parentheses; each addend comes with its sign."""
    addends: list[tuple[str, list[Token]]] = []
    sign, current, depth = "+", list[Token](), 0
    for token in tokens:
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token.text, 0) if token.kind == "context" else 0
        if depth == 0 and token.kind == "operator" and token.text in "+-":
            if current:
                addends.append((sign, current))
                sign, current = token.text, []
            elif token.text == "-":
                sign = "-" if sign == "+" else "+"
        else:
            current.append(token)
    if not current:
        last = tokens[-1]
        raise formula_error(f"Nothing follows the last `{last.text}` of the formula.", text, last.start, last.end)
    return [*addends, (sign, current)]


def _is_bar(token: Token) -> bool:
    return token.kind == "operator" and token.text in ("|", "||")


def _is_random(addend: list[Token]) -> bool:
    """Whether an addend is one pair of parentheses with a bar directly inside."""
    if addend[0].text != "(" or addend[-1].text != ")" or addend[0].kind != "context":
        return False
    depth, bar = 0, False
    for i, token in enumerate(addend):
        if token.kind == "context":
            depth += 1 if token.text == "(" else -1
            if depth == 0 and i < len(addend) - 1:
                return False
        bar |= depth == 1 and _is_bar(token)
    return bar


def _unwrapped(addend: list[Token]) -> list[Token]:
    """Take off spare parentheses around a random term."""
    inner = addend
    while len(inner) > 2 and inner[0].text == "(" and inner[-1].text == ")":  # noqa: PLR2004 - something inside
        if _is_random(inner):
            return inner
        inner = inner[1:-1]
    return addend


def _require_plus(sign: str, addend: list[Token], text: str) -> None:
    if sign == "-":
        start, end = addend[0].start, addend[-1].end
        raise formula_error(
            f"`{text[start:end]}` is subtracted; leave the term out of the formula instead.", text, start, end
        )


def _refuse_bars(addend: list[Token], text: str) -> None:
    """Explain a bar that stands where no random term can be."""
    depth = 0
    for token in addend:
        if token.kind == "context":
            depth += 1 if token.text == "(" else -1
        if not _is_bar(token):
            continue
        start, end = addend[0].start, addend[-1].end
        if depth == 0:
            raise formula_error(
                f"A random term must stand in parentheses: write ({text[start:end]}).", text, start, end
            )
        raise formula_error("A random term must stand on its own, added with `+`: " + _EXAMPLE + ".", text, start, end)


def _refuse_called_bars(tokens: list[Token], text: str) -> None:
    """Explain ``x(1|g)``, where an operator was forgotten."""
    for token in tokens:
        name, bracket, inner = token.text.partition("(")
        if token.kind == "python" and bracket and "|" in inner:
            raise formula_error(
                f"`{token.text}` reads as a call of {name!r}; a random term is added with `+`: {name} + ({inner}.",
                text,
                token.start,
                token.end,
            )


def _expression(token: Token, text: str) -> str:
    """Canonical text of a name or a call."""
    if token.kind == "name":
        name = token.text.strip("`") if token.text.startswith("`") else token.text
        return syntax.quote(name)
    try:
        return syntax.canonical(token.text)
    except SyntaxError as error:
        advice = "A column whose name is not a plain word goes in backticks"
        if _REMAINDER.search(token.text):
            advice = _REMAINDER_IN_PYTHON
        raise formula_error(
            f"`{token.text}` cannot be read as an expression ({error.msg}). {advice}.",
            text,
            token.start,
            token.end,
        ) from error


def _refuse_duplicates(random: list[tuple[RandomPart, Token, Token]], text: str) -> None:
    """Two terms that give the same effect to the same groups cannot be told apart."""
    seen: dict[tuple[frozenset[str], frozenset[str]], RandomPart] = {}
    for part, first, last in random:
        effects = [frozenset(term) for term in part.effects.terms]
        if part.effects.intercept:
            effects.append(frozenset())
        for effect in effects:
            key = (frozenset(part.group), effect)
            if key not in seen:
                seen[key] = part
                continue
            what = "an intercept" if not effect else f"an effect of {syntax.term_name(sorted(effect))}"
            message = (
                f"{seen[key].text} and {part.text} both give each {part.name} {what}: the two variances cannot be "
                "told apart. "
            )
            if seen[key].text == part.text:
                message += "Write the term once; a/b already stands for a and a:b."
            else:
                message += "Keep one of them, or write (0 + x | group) for a slope without an intercept."
            raise formula_error(message, text, first.start, last.end)


class _Reader:
    """Reads pieces of one formula; hands formulaic placeholders in place of the factor expressions."""

    # formulaic rewrites the code of calls (and loses parentheses in front of `^`), hence the placeholders.

    def __init__(self, text: str, dot: tuple[str, ...] | None) -> None:
        self._text = text
        self._dot = dot
        self._expressions: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self.idle_powers: dict[IdlePower, None] = {}

    def placeholders(self, tokens: list[Token]) -> str:
        """Text for formulaic, each factor expression replaced by a plain name."""
        pieces: list[str] = []
        power = False
        for i, token in enumerate(tokens):
            if token.kind == "value" and power:
                self._note_power(tokens[: i - 1], tokens[i - 1], token)
            if token.kind in ("name", "python") or token.text == ".":
                pieces.append(self._placeholder(token))
            elif token.kind == "value" and not power and token.text not in ("0", "1"):
                raise formula_error(
                    f"`{token.text}` is no term. Only 0 and 1 stand for something (the intercept); arithmetic goes "
                    "inside I(), and names that begin with a digit in backticks.",
                    self._text,
                    token.start,
                    token.end,
                )
            else:
                pieces.append(token.text)
            power = token.text in ("^", "**")
        return " ".join(pieces)

    def _note_power(self, before: list[Token], sign: Token, exponent: Token) -> None:
        """Remember a power whose base is a single variable, in parentheses or not."""
        base = list(before)
        while base[-1].text == ")":
            base.pop()
        depth = len(before) - len(base)
        opened = all(token.text == "(" for token in base[len(base) - 1 - depth : -1])
        if opened and base[-1].kind in ("name", "python") and exponent.text != "1":
            self.idle_powers[IdlePower(_expression(base[-1], self._text), sign.text, exponent.text)] = None

    def linear(self, pieces: str, span: tuple[int, int]) -> LinearTerms:
        """Terms of a piece that was written with placeholders; it stood at ``span``."""
        terms = self._expand(pieces, span, intercept=True)
        return LinearTerms(() in terms, tuple(term for term in terms if term))

    def offset(self, token: Token) -> str:
        """Expression inside ``offset(...)``."""
        inner = Token(token.text[len("offset(") : -1].strip(), "python", token.start, token.end)
        if not inner.text:
            raise formula_error("offset() needs a column or an expression.", self._text, token.start, token.end)
        return _expression(inner, self._text)

    def random_parts(self, addend: list[Token]) -> list[RandomPart]:
        """All parts that one ``(effects | group)`` stands for."""
        text, inner = self._text, addend[1:-1]
        depth, bars = 0, []
        for i, token in enumerate(inner):
            depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "context" else 0
            if _is_bar(token):
                bars.append(i)
                if depth > 0 or len(bars) > 1:
                    raise formula_error(
                        "A random term has one bar, outside inner parentheses: write nested groups as (1 | a/b), "
                        "several terms as (1 | a) + (1 | b).",
                        text,
                        addend[0].start,
                        addend[-1].end,
                    )
        bar = inner[bars[0]]
        left, right = inner[: bars[0]], inner[bars[0] + 1 :]
        where = (addend[0].start, addend[-1].end)
        if not left or not right:
            side = "effects left" if not left else "grouping factor right"
            raise formula_error(f"The random term has no {side} of the bar: write (1 | group).", text, *where)
        written = text[left[0].start : left[-1].end]
        effects = self.linear(self.placeholders(left), (left[0].start, left[-1].end))
        if not effects.intercept and not effects.terms:
            raise formula_error(
                f"({written} | ...) has no effect left; write (1 | group) for an intercept.", text, *where
            )
        structure = "diagonal" if bar.text == "||" else "unstructured"
        return [
            RandomPart(f"({written} {bar.text} {':'.join(group)})", effects, group, structure)
            for group in self._groups(right)
        ]

    def _groups(self, tokens: list[Token]) -> list[tuple[str, ...]]:
        span = (tokens[0].start, tokens[-1].end)
        if any(token.kind == "value" for token in tokens):
            raise formula_error(
                "The grouping factor must be a column (or an interaction of columns), not a number.", self._text, *span
            )
        if any(token.kind == "operator" and token.text in "+-" for token in tokens):
            raise formula_error(
                "Grouping factors are not added: write (1 | a) + (1 | b) for crossed groups, (1 | a/b) for nested "
                "ones, (1 | a:b) for their combinations.",
                self._text,
                *span,
            )
        return self._expand(self.placeholders(tokens), span, intercept=False)

    def _placeholder(self, token: Token) -> str:
        if token.text == ".":
            if self._dot is not None and not self._dot:
                raise formula_error("`.` stands for no column: all are used.", self._text, token.start, token.end)
            names = (".",) if self._dot is None else tuple(map(syntax.quote, self._dot))
            return f"({' + '.join(map(self._name, names))})"
        return self._name(_expression(token, self._text))

    def _name(self, expression: str) -> str:
        name = self._names.setdefault(expression, f"f{len(self._names)}_")
        self._expressions[name] = expression
        return name

    def _expand(self, pieces: str, span: tuple[int, int], *, intercept: bool) -> list[tuple[str, ...]]:
        try:
            terms = _formulaic.expand_terms(pieces, intercept=intercept)
        except (_formulaic.FormulaicError, RecursionError) as error:
            reason = re.sub(
                r"f\d+_", lambda m: syntax.shown(self._expressions[m.group()]), _formulaic.first_line(error)
            )
            if reason.startswith("Missing operator"):
                reason += " A name that is not a plain word goes in backticks."
            if re.search(r"\^|\*\*", pieces):
                reason += " A power of a variable goes inside I(), as in I(x^0.5)."
            raise formula_error(f"This part cannot be read: {reason}", self._text, *span) from error
        return [tuple(self._expressions[name] for name in term) for term in terms]
