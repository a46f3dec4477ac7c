"""
What a model keeps of the columns that its fixed part uses: the levels of factors, mean and spread of covariates.

The data themselves are not kept; a reference grid (see `lmm.marginal`) is made from these.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.linalg import blas

from lmm import syntax
from lmm.columns import Categorical, as_categorical

if TYPE_CHECKING:
    from lmm.expressions import Rows

__all__ = ["Covariate", "Factor", "Variable", "read_variables"]


@dataclass(frozen=True)
class Factor:
    """Levels of a column of labels or truth values, or of numbers that the formula uses as ``factor(x)``."""

    levels: pd.Index[Any]
    numeric: bool


@dataclass(frozen=True)
class Covariate:
    """Mean and standard deviation of a column of numbers over the rows used."""

    mean: float
    sd: float


Variable = Factor | Covariate


def read_variables(expressions: Iterable[str], rows: Rows) -> dict[str, Variable]:
    """
    Columns that expressions use, in order of appearance.

    Parameters
    ----------
    expressions : iterable of str
        Canonical text, see `lmm.syntax.canonical`.
    rows : Rows
        The rows used, without missing values.
    """
    found: dict[str, Variable] = {}
    for expression in expressions:
        factor = syntax.made_a_factor(expression)
        for name in syntax.columns_in(expression):
            if name in rows and (name not in found or (name == factor and isinstance(found[name], Covariate))):
                found[name] = _read(name, rows, as_factor=name == factor)
    return found


def _read(name: str, rows: Rows, *, as_factor: bool) -> Variable:
    column = rows.column(name)
    if isinstance(column, Categorical):
        return Factor(column.levels, numeric=False)
    numbers = column.numbers
    if as_factor or numbers.dtype.kind == "b":
        return Factor(as_categorical(column).levels, numeric=True)
    mean = float(numbers.mean())
    # BLAS takes the norm without squares that overflow
    length = float(blas.dnrm2(numbers - mean))
    return Covariate(mean, length / float(np.sqrt(max(len(numbers) - 1, 1))))
