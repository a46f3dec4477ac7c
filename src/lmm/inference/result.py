"""The result of a test: a statistic, the distribution it is compared with, and the null hypothesis as a sentence."""

from __future__ import annotations

import html
from dataclasses import dataclass

import numpy as np

from lmm.display import format_p


@dataclass(frozen=True)
class TestResult:
    """
    Result of one test.

    Attributes
    ----------
    test : str
        Name of the test.
    null : str
        Null hypothesis, a sentence.
    statistic : float
        NaN where the test does not apply.
    df : tuple of float
        Degrees of freedom of the distribution: (t,), (numerator, denominator), (chi-square,) or ().
    p_value : float
    distribution : str
        Distribution of the statistic under the null hypothesis, as text: ``"F(18, 37)"``, ``"t(17)"``,
        ``"0.5 chi2(0) + 0.5 chi2(1)"``.
    symbol : str
        Name of the statistic where it is printed: ``"F"``, ``"t"``, ``"LR"``.
    notes : tuple of str
        What a reader must know besides; why the test does not apply, where it does not.

    Examples
    --------
    >>> print(TestResult("Exact F test", "The variance of Batch is zero.", 4.6, (5.0, 24.0), 0.0044, "F(5, 24)", "F"))
    Exact F test
    Null hypothesis: The variance of Batch is zero.
    F = 4.6, null distribution F(5, 24), p-value 0.0044
    """

    __test__ = False  # not a test of pytest's, whatever its name

    test: str
    null: str
    statistic: float
    df: tuple[float, ...]
    p_value: float
    distribution: str
    symbol: str = "statistic"
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [self.test, f"Null hypothesis: {self.null}"]
        if np.isfinite(self.statistic):
            p_value = format_p(self.p_value)
            lines.append(
                f"{self.symbol} = {self.statistic:.5g}, null distribution {self.distribution}, p-value {p_value}"
            )
        else:
            lines.append("The test does not apply.")
        return "\n".join([*lines, *self.notes])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        first, *rest = (html.escape(line) for line in str(self).splitlines())
        return f"<p><b>{first}</b><br>{'<br>'.join(rest)}</p>"
