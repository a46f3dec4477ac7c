"""Finding a data set by its name."""

from difflib import get_close_matches

from lmm.datasets._catalogue import DATASETS
from lmm.datasets._schema import Dataset
from lmm.errors import DataError

REGISTRY = {dataset.name: dataset for dataset in DATASETS}


def lookup(name: object) -> Dataset:
    """Find a data set by its name, in any case.

    Parameters
    ----------
    name : object
        What the user asked for.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        If `name` is not a string or no data set has this name; the message names the nearest ones and
        lists them all.
    """
    key = name.strip().casefold() if isinstance(name, str) else ""
    if key in REGISTRY:
        return REGISTRY[key]
    everything = ", ".join(REGISTRY)
    if not isinstance(name, str):
        problem = f"The name of a data set is a string, not {type(name).__name__}: {name!r}."
    else:
        near = " or ".join(repr(match) for match in get_close_matches(key, REGISTRY))
        problem = f"There is no data set {name!r}." + (f" Did you mean {near}?" if near else "")
    raise DataError(f"{problem} Available: {everything}.")
