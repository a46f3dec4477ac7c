"""
Every touch of formulaic's internals, in one place.

formulaic reads the formula (tokens, operator algebra), provides the transforms with memory (``poly``, ``bs``,
``scale``, ...) and the contrast codings. Its materializer is not used: columns are built in ``encoding.py``.
``tests/test_formulaic.py`` pins what this file relies on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from formulaic.errors import FormulaicError
from formulaic.parser.algos.tokenize import tokenize as _tokenize
from formulaic.parser.parser import DefaultFormulaParser
from formulaic.transforms import TRANSFORMS
from formulaic.transforms.contrasts import (
    Contrasts,
    CustomContrasts,
    DiffContrasts,
    HelmertContrasts,
    PolyContrasts,
    SASContrasts,
    SumContrasts,
    TreatmentContrasts,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lmm.linalg import FloatArray

__all__ = [
    "CONTRASTS",
    "PLAIN_TRANSFORMS",
    "STATEFUL_TRANSFORMS",
    "Contrasts",
    "FormulaicError",
    "Token",
    "coding",
    "custom_contrasts",
    "expand_terms",
    "first_line",
    "tokenize",
    "unwrap",
]

# "One-sided" and without formulaic's own `|`: the bars of random terms are taken out before formulaic sees the text.
_PARSER = DefaultFormulaParser(feature_flags=set())
_PARSER_WITHOUT_INTERCEPT = DefaultFormulaParser(feature_flags=set(), include_intercept=False)


@dataclass(frozen=True, slots=True)
class Token:
    """
    One token of a formula.

    ``kind`` is "name", "python" (a call), "value", "operator" or "context" (a parenthesis); ``start`` and ``end``
    are positions in the formula, the end exclusive.
    """

    text: str
    kind: str
    start: int
    end: int


def tokenize(text: str) -> list[Token]:
    """Tokens of a formula; calls, strings and backticked names are single tokens."""
    return [Token(token.token, token.kind.value, token.source_start, token.source_end + 1) for token in _tokenize(text)]


def expand_terms(text: str, *, intercept: bool) -> list[tuple[str, ...]]:
    """
    Terms that an expression of names and operators stands for, ordered by degree; ``()`` stands for the intercept.

    ``intercept`` says whether an intercept is there unless removed.
    """
    terms = (_PARSER if intercept else _PARSER_WITHOUT_INTERCEPT).get_terms(text)
    expanded = [tuple(factor.expr for factor in term.factors if factor.expr != "1") for term in terms]
    return sorted(dict.fromkeys(expanded), key=len)


def first_line(error: Exception) -> str:
    """What formulaic says went wrong, without its coloured copy of the formula."""
    return str(error).strip().split("\n", 1)[0]


# What formulaic calls a stateful transform takes `_state`, a dict that it fills on the data of the fit and uses after.
_NOT_TAKEN = {"np", "C", "contr", "I", "Q", "Treatment", "Poly", "Sum", "Helmert", "Diff"}
STATEFUL_TRANSFORMS: Mapping[str, Any] = {
    name: function
    for name, function in TRANSFORMS.items()
    if name not in _NOT_TAKEN and getattr(function, "__is_stateful_transform__", False)
}
PLAIN_TRANSFORMS: Mapping[str, Any] = {
    name: function
    for name, function in TRANSFORMS.items()
    if name not in _NOT_TAKEN and name not in STATEFUL_TRANSFORMS and name != "hashed"
}

CONTRASTS: Mapping[str, type[Any]] = {
    "contr.treatment": TreatmentContrasts,
    "contr.SAS": SASContrasts,
    "contr.sum": SumContrasts,
    "contr.helmert": HelmertContrasts,
    "contr.poly": PolyContrasts,
    "contr.diff": DiffContrasts,
    "Treatment": TreatmentContrasts,
    "Sum": SumContrasts,
    "Helmert": HelmertContrasts,
    "Poly": PolyContrasts,
    "Diff": DiffContrasts,
}


def coding(contrasts: Any, levels: list[Any], *, reduced: bool) -> tuple[FloatArray, list[Any], str]:  # noqa: ANN401 - formulaic is untyped
    """
    Coding of a factor.

    Returns
    -------
    matrix : ndarray (levels, columns)
    fields : list
        What stands in the brackets of each column's name.
    pattern : str
        Format of the names, with ``name`` and ``field``.
    """
    matrix = np.asarray(contrasts.get_coding_matrix(levels, reduced_rank=reduced), dtype=np.float64)
    fields = list(contrasts.get_coding_column_names(levels, reduced_rank=reduced))
    return matrix, fields, str(contrasts.get_factor_format(levels, reduced_rank=reduced))


def unwrap(value: Any) -> tuple[Any, list[str] | None, str]:  # noqa: ANN401 - formulaic is untyped
    """Bare value of what a transform returned, the labels of its columns if it names them, and the name format."""
    metadata = getattr(value, "__formulaic_metadata__", None)
    pattern = "{name}[{field}]" if metadata is None else str(metadata.format)
    names = None if metadata is None or metadata.column_names is None else [str(c) for c in metadata.column_names]
    return getattr(value, "__wrapped__", value), names, pattern


def custom_contrasts(matrix: Any) -> Any:  # noqa: ANN401 - formulaic is untyped
    """Coding from a matrix (levels, columns), or a dict of columns."""
    return CustomContrasts(matrix)
