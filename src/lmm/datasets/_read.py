"""From a file of the package to a data frame."""

from functools import cache
from importlib.resources import as_file, files

import pandas as pd

from lmm.datasets._registry import REGISTRY
from lmm.datasets._schema import Column


@cache
def read(name: str) -> pd.DataFrame:
    """Read a data set once; the frame returned is shared, so callers must copy it.

    Parameters
    ----------
    name : str
        A key of the registry.

    Returns
    -------
    pandas.DataFrame
        Rows and columns in the order of the file.
    """
    dataset = REGISTRY[name]
    with as_file(files("lmm.datasets").joinpath("data", dataset.filename)) as path:
        frame = pd.read_csv(path, dtype={column.name: _dtype(column) for column in dataset.columns})
    for column in dataset.columns:
        if column.kind == "factor" and not column.levels:
            frame[column.name] = _in_numeric_order(frame[column.name])
    return frame


def _dtype(column: Column) -> str | pd.CategoricalDtype:
    if column.kind == "float":
        return "float64"
    if column.kind == "int":
        return "int64"
    if not column.levels:
        return "category"
    return pd.CategoricalDtype(list(column.levels), ordered=column.kind == "ordered")


def _in_numeric_order(labels: pd.Series) -> pd.Series:
    """Sort the categories as numbers ("2" before "10") and keep them strings."""
    levels = sorted((str(level) for level in labels.cat.categories), key=int)
    return labels.astype(str).astype(pd.CategoricalDtype(levels))
