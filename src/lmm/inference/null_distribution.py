"""The null distribution of a likelihood ratio by parametric bootstrap."""

from __future__ import annotations

import warnings
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np

from lmm.errors import SingularFitWarning
from lmm.inference.reduced import gain
from lmm.linalg import FloatArray

if TYPE_CHECKING:
    from lmm.fixed import FixedModel
    from lmm.inference.lrt import Workers
    from lmm.model import FittedModel

# Parts of the work that processes share.
PARTS = 32


def bootstrap_lrt_statistics(
    small: FittedModel | FixedModel, big: FittedModel | FixedModel, n: int, rng: np.random.Generator, workers: Workers
) -> FloatArray:
    """
    Likelihood-ratio statistics of responses drawn from the smaller model, both models fitted to each.

    Parameters
    ----------
    small, big : FittedModel or FixedModel
        Nested models, fitted by the same criterion.
    n : int
        Number of responses.
    rng : Generator
    workers : int or callable
        Processes that share the fits, or a callable like `map`; the numbers do not depend on it.

    Returns
    -------
    ndarray (n,)
    """
    responses = small.simulate(n, rng=rng)
    if workers == 1:
        return _statistics(small, big, responses)
    parts = np.array_split(responses, min(n, PARTS))
    if not isinstance(workers, int):
        return np.concatenate(list(workers(_statistics, repeat(small), repeat(big), parts)))
    with ProcessPoolExecutor(workers) as pool:
        return np.concatenate(list(pool.map(_statistics, repeat(small), repeat(big), parts)))


def _statistics(small: FittedModel | FixedModel, big: FittedModel | FixedModel, responses: FloatArray) -> FloatArray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        return np.array([gain(small.refit(y).deviance, big.refit(y).deviance) for y in responses])
