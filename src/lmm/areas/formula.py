"""The formula of a small-area model: fixed effects from the user, and a random intercept for each area."""

from __future__ import annotations

from lmm.errors import FormulaError
from lmm.formula import ModelFormula, formula_error, parse_formula
from lmm.syntax import quote


def area_formula(formula: str, area: str) -> ModelFormula:
    """
    Add a random intercept of the areas to a formula of fixed effects.

    Raises
    ------
    FormulaError
        When the formula has random terms of its own, or cannot be read.
    """
    if not isinstance(formula, str):
        raise FormulaError(f"The formula must be a string such as `y ~ x`; it is of type {type(formula).__name__}.")
    parsed = parse_formula(f"{formula} + (1 | {quote(area)})")
    if len(parsed.random) > 1:
        raise formula_error(
            f"The formula of a small-area model has fixed effects only, such as `y ~ x`: leave out "
            f"{parsed.random[0].text}. The random intercept of the areas is added.",
            formula,
        )
    return parsed
