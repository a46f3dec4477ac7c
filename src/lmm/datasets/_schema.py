"""What is recorded about a data set, and how it is told."""

from dataclasses import dataclass
from textwrap import fill
from typing import Literal

_WIDTH = 88


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a data set.

    Parameters
    ----------
    name : str
        The name in the file and in the frame.
    kind : {"float", "int", "factor", "ordered"}
        How the column is loaded; the last two are categoricals with string labels.
    meaning : str
        What was recorded, with the unit.
    levels : tuple of str
        The levels of a factor, the reference level first. Empty for a factor whose labels are numbers
        too many to list: its levels are the labels that occur, in numeric order.
    """

    name: str
    kind: Literal["float", "int", "factor", "ordered"]
    meaning: str
    levels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set of the package; `str` gives its description."""

    name: str
    title: str
    n_rows: int
    columns: tuple[Column, ...]
    about: str
    sources: tuple[str, ...]
    compressed: bool = False

    @property
    def filename(self) -> str:
        """Name of the file in the package's data folder."""
        return f"{self.name}.csv.gz" if self.compressed else f"{self.name}.csv"

    def __str__(self) -> str:
        head = f"{self.name}: {self.title}\n{self.n_rows:,} rows, {len(self.columns)} columns"
        columns = "\n".join(_wrap(_column_line(column)) for column in self.columns)
        sources = "\n".join(_wrap(source) for source in self.sources)
        return f"{head}\n\n{fill(self.about, _WIDTH)}\n\nColumns\n{columns}\n\nSource\n{sources}"


def _wrap(text: str) -> str:
    return fill(text, _WIDTH, initial_indent="  ", subsequent_indent="      ")


def _column_line(column: Column) -> str:
    if column.kind in {"float", "int"}:
        return f"{column.name} ({column.kind}): {column.meaning}"
    separator = " < " if column.kind == "ordered" else ", "
    levels = separator.join(column.levels) or "in numeric order"
    return f"{column.name} ({column.kind}): {column.meaning}. Levels: {levels}"
