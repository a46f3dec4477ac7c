"""How large and how small the numbers of a model may be for its estimates to be numbers of double precision."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from lmm.errors import DataError
from lmm.linalg import FloatArray

# Covariances of variances go with the fourth power of the response. That of anything between 1e-60 and 1e60 keeps off
# the ends of the range of double precision, 1e-308 and 1e308.
LARGEST = 1e60


def check_magnitudes(
    name: str, y: FloatArray, weights: FloatArray | None, matrices: Iterable[tuple[Sequence[str], FloatArray]]
) -> None:
    """
    Refuse a response, or a column in relation to it, of a size whose variances could not be computed.

    Parameters
    ----------
    name : str
        Name of the response.
    y : ndarray (n,)
    weights : ndarray (n,), optional
        The residual standard deviation is of the size of the response times the square root of a weight.
    matrices : iterable of (sequence of str, ndarray (n, k))
        Columns with their names; coefficients are of the size of the response over that of their column.

    Raises
    ------
    DataError
        When the response varies by less than 1e-60 or is beyond 1e60, or a coefficient would.
    """
    low, high = float(y.min()), float(y.max())
    root = 1.0 if weights is None else float(np.sqrt(weights.max()))
    size = max(-low, high)
    spread = high - low or size  # of a response that does not vary there is more to say than its size
    if size == 0.0:
        return
    if not _in_range(size * root, spread * root):
        times = f", times the square root of a weight, {root:.3g}," if root != 1.0 else ""
        raise DataError(
            f"The response `{name}`, which goes from {low:.3g} to {high:.3g}{times} is out of the range in which "
            "variances and their standard errors can be computed in double precision (1e-60 to 1e60). Measure it in "
            f"other units{'' if weights is None else ', or divide all weights by the same number'}."
        )
    for names, columns in matrices:
        extents = np.maximum(columns.max(axis=0, initial=0.0), -columns.min(axis=0, initial=0.0)).tolist()
        for column, extent in zip(names, extents, strict=True):
            if extent != 0.0 and not _in_range(size / extent, spread / extent):
                raise DataError(
                    f"`{column}` goes up to {extent:.3g} and the response `{name}` to {size:.3g}: a coefficient is of "
                    "the size of the one over the other, which is out of the range in which its variance and the "
                    "standard error of that can be computed in double precision (1e-60 to 1e60). Measure "
                    f"`{column}` in other units, or standardise it."
                )


def _in_range(size: float, spread: float) -> bool:
    return size <= LARGEST and spread >= 1.0 / LARGEST
