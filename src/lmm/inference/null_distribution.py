"""
The distribution of a likelihood-ratio statistic under the smaller model, by simulation.

Both models are fitted to responses drawn from the smaller one: for fixed effects in small samples and for variances on
the boundary, where the chi-square distribution is no guide.

References
----------
Halekoh, U. and Hojsgaard, S. (2014). A Kenward-Roger approximation and parametric bootstrap methods for tests in linear
mixed models. Journal of Statistical Software 59(9).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from lmm.arguments import Seed, at_least, random_generator
from lmm.batch.refits import Refitter
from lmm.errors import ArgumentError, ModelError
from lmm.inference.resampling import Parametric
from lmm.linalg import FloatArray
from lmm.model import FittedModel
from lmm.workers import Workers, checked_workers, run_tasks

# Responses that are drawn and fitted at a time, unless they would hold more numbers than the second.
BLOCK, BLOCK_NUMBERS = 1024, 4_000_000


class Model(Protocol):
    """What is asked of the models that are compared: `FittedModel`, or a model without random effects."""

    @property
    def deviance(self) -> float:
        """-2 log-likelihood."""

    @property
    def nobs(self) -> int:
        """Number of rows used."""

    def simulate(self, n: int = 1, *, rng: Seed = None) -> FloatArray:
        """Draw responses, shape (n, nobs)."""

    def refit(self, y: ArrayLike) -> Model:
        """Fit the same model to a new response."""


@dataclass(frozen=True)
class _Comparison:
    """Two models, and the seed of the responses that both are fitted to."""

    small: Model
    big: Model
    n: int
    seed: tuple[int, ...]

    @property
    def block(self) -> int:
        """Responses that share a random stream."""
        return int(np.clip(BLOCK_NUMBERS // self.small.nobs, 1, BLOCK))

    @cached_property
    def _refitters(self) -> tuple[Refitter | None, ...]:
        """What fits the models in batches; None for a model without random effects."""
        return tuple(Refitter(model) if isinstance(model, FittedModel) else None for model in (self.small, self.big))

    @cached_property
    def _sampler(self) -> Parametric | None:
        return Parametric(self.small) if isinstance(self.small, FittedModel) else None

    def statistics(self, block: int) -> FloatArray:
        """Likelihood-ratio statistics of one block, NaN where a model could not be fitted."""
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(block,)))
        size = self.block
        Y = self.small.simulate(size, rng=rng).T if self._sampler is None else self._sampler.draw(rng, size)
        Y = Y[:, : self.n - block * size]
        small, big = (
            np.array([model.refit(y).deviance for y in Y.T]) if refitter is None else refitter.fit(Y).criterion
            for model, refitter in zip((self.small, self.big), self._refitters, strict=True)
        )
        # Rounding errors of two equal deviances may have either sign.
        return np.maximum(small - big, 0.0)


def bootstrap_lrt_statistics(
    small: Model, big: Model, n: int = 1000, rng: Seed = None, workers: Workers = 1
) -> FloatArray:
    """
    Likelihood-ratio statistics of responses drawn from the smaller of two nested models.

    Parameters
    ----------
    small, big : FittedModel
        Fitted by the same method to the same rows: by maximum likelihood where their fixed effects differ. The smaller
        one may also be a model without random effects that can `simulate` and `refit`.
    n : int
        Number of responses.
    rng : int or Generator, optional
        Seed; the same seed gives the same statistics, whatever the number of workers.
    workers : int or callable
        Number of processes, or a callable like `map`.

    Returns
    -------
    ndarray (n,)
        Fewer where a fit failed.

    Raises
    ------
    ModelError
        When no fit succeeds.

    References
    ----------
    Halekoh, U. and Hojsgaard, S. (2014). A Kenward-Roger approximation and parametric bootstrap methods for tests in
    linear mixed models. Journal of Statistical Software 59(9), section 5.

    Examples
    --------
    >>> import lmm
    >>> pigs = lmm.datasets.load("pig_weights")
    >>> small = lmm.fit("weight ~ num.weeks + (1 | id.num)", pigs, reml=False)
    >>> big = lmm.fit("weight ~ num.weeks + I(num.weeks^2) + (1 | id.num)", pigs, reml=False)
    >>> simulated = bootstrap_lrt_statistics(small, big, n=500, rng=1)
    >>> round(float(simulated.mean()), 1)
    1.0
    """
    count = at_least(1, "n", n, of="simulated responses")
    if small.nobs != big.nobs:
        raise ArgumentError(
            f"both models must be fitted to the same rows; the small one has {small.nobs} and the big one {big.nobs}"
        )
    seed = tuple(random_generator(rng).integers(2**32, size=4).tolist())
    comparison = _Comparison(small, big, count, seed)
    blocks = range(-(-count // comparison.block))
    found = np.concatenate(list(run_tasks(comparison.statistics, blocks, checked_workers(workers))))
    kept: FloatArray = found[np.isfinite(found)]
    if not len(kept):
        raise ModelError("none of the simulated responses could be fitted by both models")
    return kept
