"""Classical data sets of the mixed-model literature, ready for `lmm.fit`.

=================  ======  ==========================================================
name               rows    what
=================  ======  ==========================================================
lamb               62      birth weights of lambs: sires in lines
pig_weights        432     growth of pigs over nine weeks
sitka              395     growth of Sitka spruces, ozone against control
sleepstudy         180     reaction times over ten days of restricted sleep
dyestuff           30      yield of a dyestuff by batch: the one-way layout
dyestuff2          30      the same layout with a batch variance of zero
penicillin         144     samples crossed with plates
pastes             60      casks nested in deliveries
cake               270     breaking angle of cakes: a split plot
oats               72      yield of oats: blocks, varieties and nitrogen
machines           54      workers crossed with machines, with interaction
orthodont          108     growth of the jaw in boys and girls
rail               18      travel time of waves in six rails
ergostool          36      effort of rising from four types of stool
milk               43      expenditure on milk: area-level small-area model
cornsoybean        37      crop areas: unit-level small-area model
cornsoybean_means  12      county means that go with cornsoybean
insteval           73421   ratings of lecturers by students: large and crossed
=================  ======  ==========================================================

`describe` gives the columns with their units and the original publication of each set.

Factors are categoricals with string labels, and their first category is the reference level. They are unordered,
also where the R package nlme stores a grouping factor as ordered (Block of oats, Worker of machines, Subject of
orthodont and ergostool, Rail of rail): that order serves plotting there and means nothing to a model; the
categories keep it. Only temperature in cake and studage and lectage in insteval, which measure something, are
ordered. Numbers that merely identify a unit (id.num of pig_weights, tree of sitka, the areas of the
small-area sets) stay integers: they can group rows, and where one is to be a fixed factor, write ``C(MajorArea)``.
"""

from typing import TYPE_CHECKING

from lmm.datasets._read import read
from lmm.datasets._registry import REGISTRY, lookup

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["describe", "load", "names"]


def load(name: str) -> "pd.DataFrame":
    """Load a data set.

    Parameters
    ----------
    name : str
        One of `names`; upper and lower case are not distinguished.

    Returns
    -------
    pandas.DataFrame
        A new frame at each call, which may be changed freely: rows in their published order under a
        RangeIndex; factors are categoricals with string labels, the reference level first.

    Raises
    ------
    lmm.errors.DataError
        If there is no such data set.

    See Also
    --------
    describe : What the rows and columns are, and who published them.

    Notes
    -----
    A file is read when its data set is first asked for, and kept.

    Examples
    --------
    >>> from lmm import datasets
    >>> sleepstudy = datasets.load("sleepstudy")
    >>> sleepstudy.head(3)
       Reaction  Days Subject
    0  249.5600     0     308
    1  258.7047     1     308
    2  250.8006     2     308
    >>> list(datasets.load("sitka")["treat"].cat.categories)
    ['control', 'ozone']
    """
    return read(lookup(name).name).copy()


def names() -> tuple[str, ...]:
    """List the names of the data sets.

    Returns
    -------
    tuple of str
        What `load` and `describe` accept.

    Examples
    --------
    >>> from lmm import datasets
    >>> datasets.names()
    ('lamb', 'pig_weights', 'sitka', 'sleepstudy', ..., 'insteval')
    """
    return tuple(REGISTRY)


def describe(name: str) -> str:
    """Say what a data set is: its columns with their units and levels, and the original publication.

    Parameters
    ----------
    name : str
        One of `names`; upper and lower case are not distinguished.

    Returns
    -------
    str
        Text to print. The data are not read.

    Raises
    ------
    lmm.errors.DataError
        If there is no such data set.

    Examples
    --------
    >>> from lmm import datasets
    >>> print(datasets.describe("dyestuff"))
    dyestuff: yield of a dyestuff by batch
    30 rows, 2 columns
    <BLANKLINE>
    Five preparations of the dye Naphthalene Black 12B from each of six batches of its
    intermediate, H-acid. ...
    <BLANKLINE>
    Columns
      Batch (factor): batch of the intermediate product. Levels: A, B, C, D, E, F
      Yield (float): yield of a preparation (grams of standard colour)
    <BLANKLINE>
    Source
      Davies, O. L. and Goldsmith, P. L. (eds) (1972). Statistical Methods in Research and
          Production, 4th edition. Oliver and Boyd. Section 6.4.
    """
    return str(lookup(name))
