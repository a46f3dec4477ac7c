"""
Data frames as files that Python and R read quickly, to the last bit.

A frame is a folder: ``columns.txt`` names each column and its kind (double, integer, factor), ``<name>.bin`` holds its
numbers (little-endian, 8 bytes a double, 4 bytes an integer or a code from 0) and ``<name>.levels`` the labels of a
factor, one a line.
"""

from pathlib import Path

import numpy as np
import pandas as pd


def write(frame: pd.DataFrame, folder: Path) -> None:
    """Write the columns of a frame into a new folder."""
    folder.mkdir(parents=True)
    lines = []
    for name in map(str, frame.columns):
        column = frame[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            kind, numbers = "factor", column.cat.codes.to_numpy().astype("<i4")
            (folder / f"{name}.levels").write_text("\n".join(map(str, column.cat.categories)) + "\n", encoding="utf-8")
        elif pd.api.types.is_integer_dtype(column.dtype):
            kind, numbers = "integer", column.to_numpy().astype("<i4")
        else:
            kind, numbers = "double", column.to_numpy().astype("<f8")
        numbers.tofile(folder / f"{name}.bin")
        lines.append(f"{name} {kind}\n")
    (folder / "columns.txt").write_text("".join(lines), encoding="utf-8")


def read(folder: Path) -> pd.DataFrame:
    """Read a frame; factors become categoricals with string labels."""
    columns: dict[str, object] = {}
    for line in (folder / "columns.txt").read_text(encoding="utf-8").splitlines():
        name, kind = line.split()
        numbers = np.fromfile(folder / f"{name}.bin", dtype="<f8" if kind == "double" else "<i4")
        if kind == "factor":
            levels = (folder / f"{name}.levels").read_text(encoding="utf-8").splitlines()
            columns[name] = pd.Categorical.from_codes(numbers, categories=pd.Index(levels))
        else:
            columns[name] = numbers.astype(np.int64) if kind == "integer" else numbers
    return pd.DataFrame(columns)
