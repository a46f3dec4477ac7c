"""The functions of the formula language that formulaic does not have, or has with another meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from lmm import _formulaic
from lmm.linalg import FloatArray

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["INSTEAD", "NUMPY", "PLAIN", "STATEFUL", "SUMMARIES", "natural_spline"]


def combine(*values: float) -> list[float]:
    """R's ``c()``: ``knots=c(2, 5)``."""
    return list(values)


def standard_deviation(x: FloatArray) -> float:
    """R's ``sd()``: with n - 1 in the denominator."""
    return float(np.std(x, ddof=1))


def identity(x: Any) -> Any:  # noqa: ANN401 - whatever stands inside I()
    """``I(x)``: arithmetic rather than formula operators."""
    return x


def natural_spline(
    x: ArrayLike,
    df: int | None = None,
    knots: ArrayLike | None = None,
    intercept: bool = False,
    *,
    _state: dict[str, Any],
) -> dict[int, FloatArray]:
    """
    Natural cubic spline: cubic between the knots, linear beyond the outermost ones.

    Spans the same functions as ``splines::ns`` of R, with the same knots (quantiles of ``x``). The columns are those
    of the cubic B-spline basis, restricted to vanishing second derivatives at both ends.

    Parameters
    ----------
    x : array_like (n,)
        Values.
    df : int, optional
        Number of columns; sets the number of inner knots, at quantiles of ``x``.
    knots : array_like, optional
        Inner knots, in place of ``df``.
    intercept : bool
        Whether the constant is among the functions spanned.

    Returns
    -------
    dict of ndarray (n,)
        Columns, numbered from 1.
    """
    x = np.asarray(x, dtype=np.float64)
    if "knots" not in _state:
        _state["bounds"] = (float(x.min()), float(x.max()))
        inner = _inner_knots(x, df, knots, intercept)
        low, high = _state["bounds"]
        if any(not low < knot < high for knot in inner):
            raise ValueError(f"the knots must lie between the smallest and the largest value, {low:g} and {high:g}")
        _state["knots"] = np.concatenate([[low] * 4, inner, [high] * 4])
        _state["map"] = _natural_map(_state["knots"], _state["bounds"], intercept)
    columns = _evaluate_natural(x, _state["knots"], _state["bounds"], intercept) @ _state["map"]
    return dict(enumerate(columns.T, start=1))


def _inner_knots(x: FloatArray, df: int | None, knots: ArrayLike | None, intercept: bool) -> FloatArray:
    if knots is not None:
        return np.sort(np.atleast_1d(np.asarray(knots, dtype=np.float64)))
    count = (1 if df is None else df) - 1 - int(intercept)
    if count < 0:
        raise ValueError(f"df must be at least {1 + int(intercept)}")
    return np.asarray(np.quantile(x, np.linspace(0, 1, count + 2)[1:-1]), dtype=np.float64)


def _basis(knots: FloatArray, intercept: bool, derivative: int, at: FloatArray) -> FloatArray:
    """B-splines (or a derivative) at points within the bounds; without the first one unless ``intercept``."""
    from scipy.interpolate import BSpline  # noqa: PLC0415 - slow to import, and few models have splines

    count = len(knots) - 4
    columns = BSpline(knots, np.eye(count), 3)(at, nu=derivative)
    return np.asarray(columns[:, 0 if intercept else 1 :], dtype=np.float64)


def _natural_map(knots: FloatArray, bounds: tuple[float, float], intercept: bool) -> FloatArray:
    """Map from the B-splines to those without curvature at both bounds (R's map: the same Householder QR)."""
    curvature = _basis(knots, intercept, 2, np.array(bounds))
    return np.asarray(np.linalg.qr(curvature.T, mode="complete")[0][:, 2:], dtype=np.float64)


def _evaluate_natural(x: FloatArray, knots: FloatArray, bounds: tuple[float, float], intercept: bool) -> FloatArray:
    """B-splines, continued linearly beyond the bounds."""
    inside = np.clip(x, *bounds)
    values = _basis(knots, intercept, 0, inside)
    beyond = x - inside
    outside = beyond != 0
    if outside.any():
        values[outside] += beyond[outside, None] * _basis(knots, intercept, 1, inside[outside])
    return values


# Functions of one column that give one number.
SUMMARIES = ("mean", "median", "min", "max", "sum")
STATEFUL: Mapping[str, Callable[..., Any]] = {**_formulaic.STATEFUL_TRANSFORMS, "ns": natural_spline}
PLAIN: Mapping[str, Callable[..., Any]] = {
    **_formulaic.PLAIN_TRANSFORMS,
    **{name: getattr(np, name) for name in ("log1p", "expm1", "sqrt", "abs", "sin", "cos", "tan", "floor", "ceil")},
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "round": np.round,
    **{name: getattr(np, name) for name in SUMMARIES},
    "sd": standard_deviation,
    "I": identity,
    "c": combine,
}

# Of NumPy: its elementwise functions, and these.
NUMPY = {
    *("where", "clip", "round", "interp", "digitize", "isin", "nan_to_num", "cumsum", "diff", "sinc", "select"),
    *("mean", "median", "min", "max", "sum", "std", "var", "quantile", "percentile", "ptp"),
}

# What to write for functions of R that are not here.
INSTEAD: Mapping[str, str] = {
    "dummy": "Write I(f == 'level') for the indicator of one level.",
    "relevel": "Write C(f, contr.treatment(base='level')) for another reference level.",
    "ifelse": "Write np.where(condition, a, b).",
    "pmin": "Write np.minimum(a, b).",
    "pmax": "Write np.maximum(a, b).",
    "interaction": "Write a:b for the combinations of two factors.",
    "paste": "Write a:b for the combinations of two factors.",
    "as.character": "Write factor(x).",
    "cut": "Make the categories before, with pandas.cut().",
    "cbind": "A formula has one response; fit a model for each.",
    "ordered": "Write factor(f, levels=[...], ordered=True).",
    "as.numeric": "Columns of numbers are numeric already; convert text with pandas.to_numeric() before.",
    "is.na": "Rows with missing values are not used; make the indicator before, with df['x'].isna().",
}
