"""How numbers and tables are shown: cells as text, aligned for a terminal or as HTML for a notebook."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time

import numpy as np

from lmm.linalg import FloatArray

# Significant digits of the smallest number of a column.
DIGITS = 4
# Numbers that would need more characters than this are printed in scientific notation.
WIDEST = 14
# p-values below this are shown as "<0.0001".
LEAST_P = 1e-4


@dataclass(frozen=True)
class Table:
    """Cells as text: a title, a header and rows; columns before ``n_labels`` are labels, aligned to the left."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    n_labels: int

    def text(self) -> str:
        """Aligned columns."""
        widths = [max(len(cell) for cell in column) for column in zip(self.header, *self.rows, strict=True)]
        lines = [
            " ".join(
                cell.ljust(width) if i < self.n_labels else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in (self.header, *self.rows)
        ]
        return "\n".join([self.title, *lines] if self.title else lines)

    def html(self) -> str:
        """An HTML table."""
        caption = f'<caption style="text-align:left">{as_html(self.title)}</caption>' if self.title else ""
        head = "".join(self._cell_html("th", i, cell) for i, cell in enumerate(self.header))
        body = "".join(
            "<tr>"
            + "".join(self._cell_html("th" if i < self.n_labels else "td", i, cell) for i, cell in enumerate(row))
            + "</tr>"
            for row in self.rows
        )
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _cell_html(self, tag: str, column: int, cell: str) -> str:
        side = "left" if column < self.n_labels else "right"
        return f'<{tag} style="text-align:{side}">{html.escape(cell)}</{tag}>'


class Report:
    """
    A result that prints as text and shows as HTML in a notebook: lines of a heading, tables, and notes below them.

    The classes of results say what these are.
    """

    _before_note = "\n"

    def __str__(self) -> str:
        heading = ["\n".join(self._heading())] if self._heading() else []
        text = "\n\n".join([*heading, *(table.text() for table in self._tables())])
        return self._before_note.join([text, *self._notes()])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        heading = as_html("\n".join(self._heading()))
        tables = "".join(table.html() for table in self._tables())
        notes = "".join(f"<p>{as_html(note)}</p>" for note in self._notes())
        return f"<p>{heading}</p>{tables}{notes}" if heading else tables + notes

    def _heading(self) -> list[str]:
        return []

    def _tables(self) -> list[Table]:
        raise NotImplementedError

    def _notes(self) -> Sequence[str]:
        return []


def format_column(values: FloatArray, *, digits: int = DIGITS, most_decimals: int | None = None) -> list[str]:
    """
    Numbers with as many decimals as the smallest needs for its significant digits.

    Parameters
    ----------
    values : ndarray
    digits : int
        Significant digits of the number that needs most decimals.
    most_decimals : int, optional
        Upper bound on the decimals.
    """
    flat = np.ravel(values)
    decimals = max((_decimals(float(x), digits) for x in flat if np.isfinite(x) and x != 0.0), default=0)
    if most_decimals is not None:
        decimals = min(decimals, most_decimals)
    texts = [f"{x:.{decimals}f}" if np.isfinite(x) else "NaN" for x in flat]
    if max(len(text) for text in texts) > WIDEST:
        texts = [f"{x:.{digits - 1}e}" if np.isfinite(x) else "NaN" for x in flat]
    return texts


def _decimals(x: float, digits: int) -> int:
    """Decimals that x needs for its significant digits, trailing zeros not counted."""
    mantissa, exponent = f"{abs(x):.{digits - 1}e}".split("e")
    significant = len(mantissa.replace(".", "").rstrip("0"))
    return max(0, significant - 1 - int(exponent))


def format_p(p_value: float) -> str:
    """
    A p-value with four decimals, or ``"<0.0001"``; nothing where there is none.

    Examples
    --------
    >>> format_p(0.0312), format_p(3e-9), format_p(float("nan"))
    ('0.0312', '<0.0001', '')
    """
    if not np.isfinite(p_value):
        return ""
    return f"{p_value:.4f}" if p_value >= LEAST_P else f"<{LEAST_P:.4f}"


def label_text(label: object) -> str:
    """
    A label as it is printed, that of a nested group as ``a:b``.

    Examples
    --------
    >>> label_text(("I", "Victory")), label_text(308)
    ('I:Victory', '308')
    """
    return ":".join(map(scalar_text, label)) if isinstance(label, tuple) else scalar_text(label)


def scalar_text(label: object) -> str:
    """
    A label that is no tuple as it is printed, a date without the hour of midnight.

    Examples
    --------
    >>> from datetime import datetime
    >>> scalar_text(datetime(2020, 5, 1)), scalar_text(datetime(2020, 5, 1, 12))
    ('2020-05-01', '2020-05-01 12:00:00')
    """
    if isinstance(label, datetime) and label.time() == time():
        return str(label.date())
    return str(label)


def as_html(text: str) -> str:
    """Text for HTML, line by line."""
    return html.escape(text).replace("\n", "<br>")


def capital(text: str) -> str:
    """Text with a capital first letter."""
    return text[0].upper() + text[1:]
