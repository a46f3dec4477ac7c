"""The analysis-of-variance table of a model: sums of squares, expected mean squares, and the F tests they lead to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import fdtrc

from lmm.design import Design
from lmm.errors import ModelError
from lmm.inference.parameters import RESIDUAL
from lmm.linalg import FloatArray, IntArray
from lmm.moments.henderson import Reductions
from lmm.moments.sources import Source, SourceProducts

# Relative difference up to which two expected mean squares are the same.
SAME = 1e-8


@dataclass(frozen=True)
class AnovaRows:
    """
    Rows of the table: the terms of the fixed part, the random sources, the residual.

    Attributes
    ----------
    names : tuple of str
    n_fixed : int
        How many rows are fixed terms.
    ss : ndarray (r,)
    df : ndarray (r,) of int
    ems : ndarray (r, m + 1)
        Coefficients of the variances in the expected mean squares, the residual variance last. That of a fixed term has
        a quadratic form of its own effects besides.
    """

    names: tuple[str, ...]
    n_fixed: int
    ss: FloatArray
    df: IntArray
    ems: FloatArray


def anova_rows(design: Design, products: SourceProducts, sources: tuple[Source, ...], found: Reductions) -> AnovaRows:
    """Put fixed terms, one after the other and without the intercept, on top of the random sources."""
    assign = np.array(design.fixed_encoding.assign)[design.kept]
    names, ss, df, ems = [], [], [], []
    for number, name in enumerate(design.fixed_encoding.term_names, start=1):
        columns = np.flatnonzero(assign == number)
        if len(columns) == 0:
            continue
        shared = [products.A[columns][:, places].power(2).sum() for places in products.random]
        names.append(name)
        ss.append(float((products.fixed_part[columns] ** 2).sum()))
        df.append(len(columns))
        ems.append(np.array([*shared, len(columns)]) / len(columns))
    random = {source.name for source in sources}
    return AnovaRows(
        names=(
            *(f"{name} (fixed)" if name in random else name for name in names),
            *(source.name for source in sources),
            RESIDUAL,
        ),
        n_fixed=len(names),
        ss=np.concatenate([ss, found.ss]),
        df=np.concatenate([np.array(df, dtype=int), found.df]),
        ems=np.vstack([*ems, found.coefficients / found.df[:, None]]),
    )


def imbalance(rows: AnovaRows, products: SourceProducts, sources: tuple[Source, ...]) -> str:
    """
    Say why a layout is not balanced; empty where it is.

    In a balanced layout every level of a factor has as many rows, r_c, and each row of the table contains a source
    wholly or not at all: its expected mean square has the coefficient r_c or 0. The mean squares are then independent,
    each a multiple of a chi-square variable.
    """
    lengths = products.A.diagonal()
    for c, (source, columns) in enumerate(zip(sources, products.random, strict=True)):
        size = lengths[columns]
        if np.ptp(size) > SAME * size[0]:
            return f"the levels of {source.name!r} do not have equally many rows ({size.min():g} to {size.max():g})"
        for name, coefficient in zip(rows.names, rows.ems[:, c], strict=True):
            if min(abs(coefficient), abs(coefficient - size[0])) > SAME * size[0]:
                return f"{name!r} and {source.name!r} are neither orthogonal nor nested"
    return ""


def require_balance(why: str) -> None:
    """Refuse what is not balanced."""
    if why:
        raise ModelError(
            f"The layout is not balanced: {why}. Use method='henderson3', which needs no balance, or lmm.fit."
        )


def error_rows(rows: AnovaRows, *, balanced: bool) -> list[int | None]:
    """
    Find for each row the row that it is compared with in an F test; None where there is no exact test.

    In a balanced layout it is the row whose expected mean square is that of the row without its own effects. In any
    layout the last random source can be tested against the residual.
    """
    n_random = rows.ems.shape[1] - 1
    found: list[int | None] = [None] * len(rows.names)
    found[-2] = len(rows.names) - 1
    for i in range(len(rows.names) - 1 if balanced else 0):
        wanted = rows.ems[i].copy()
        if i >= rows.n_fixed:
            wanted[i - rows.n_fixed] = 0.0
        candidates = range(rows.n_fixed, rows.n_fixed + n_random + 1)
        found[i] = next((j for j in candidates if np.allclose(rows.ems[j], wanted, rtol=0.0, atol=SAME)), None)
    return found


def f_test(ms: FloatArray, df: IntArray, row: int, error: int | None) -> tuple[float, float]:
    """F statistic and p-value of a row against its error row; NaN without one."""
    if error is None:
        return np.nan, np.nan
    statistic = float(ms[row] / ms[error])
    return statistic, float(fdtrc(df[row], df[error], statistic))
