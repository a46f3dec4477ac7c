"""
The bootstrap: refits to responses that are made from the fitted model.

Every block of replicates has a random stream of its own, and its size depends on the model only, so that a seed gives
the same replicates whatever the number of workers.

References
----------
Davison, A. C. and Hinkley, D. V. (1997). Bootstrap Methods and their Application. Cambridge University Press.

Van der Leeden, R., Meijer, E. and Busing, F. M. T. A. (2008). Resampling multilevel models. In: Handbook of Multilevel
Analysis, Springer, 401-433.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lmm.arguments import Seed, at_least, one_of, random_generator
from lmm.batch.refits import Refitter
from lmm.errors import ArgumentError
from lmm.inference.bootstrap_result import BootstrapResult, Statistic
from lmm.inference.cases import Cases, Replicates, collected, joined, statistic_values
from lmm.inference.estimated import estimate_names, estimate_values, original_of, refit_values
from lmm.inference.resampling import Parametric, Residual, Sampler, Wild, top_groups
from lmm.linalg import FloatArray, IntArray
from lmm.workers import Workers, checked_workers, progress_bar, run_tasks

if TYPE_CHECKING:
    from lmm.model import FittedModel

KINDS = ("parametric", "residual", "cases", "wild")
SAMPLERS: dict[str, Callable[[FittedModel], Sampler]] = {"parametric": Parametric, "residual": Residual, "wild": Wild}
# Replicates that share a random stream, unless their responses would hold more numbers than this.
BLOCK, BLOCK_NUMBERS = 64, 1_000_000
# Replicates of a statistic that are fitted together, and lost by Ctrl-C: a statistic may take long.
FEW = 16
# Tasks into which the replicates are split where they are done in several processes.
MOST_TASKS = 256


@dataclass(frozen=True)
class Plan:
    """
    What every worker needs to know.

    Attributes
    ----------
    model : FittedModel
    kind : str
    statistic : callable or None
    names : tuple of str
        Names of the parameters.
    n : int
        Number of replicates.
    seed : tuple of int
        Entropy that all random streams come from.
    """

    model: FittedModel
    kind: str
    statistic: Statistic | None
    names: tuple[str, ...]
    n: int
    seed: tuple[int, ...]

    def __reduce__(self) -> tuple[type[Plan], tuple[object, ...]]:
        # What was computed from the model is computed again where the plan arrives: that is less than to send it.
        return Plan, (self.model, self.kind, self.statistic, self.names, self.n, self.seed)

    @cached_property
    def refitter(self) -> Refitter:
        """What fits the model to other responses."""
        return Refitter(self.model)

    @cached_property
    def block(self) -> int:
        """Replicates that share a random stream."""
        if self.refitter.batch_size == 1 or self.kind == "cases":
            return 1
        return int(np.clip(BLOCK_NUMBERS // self.model.nobs, 1, BLOCK))

    @cached_property
    def batches(self) -> list[range]:
        """Replicates that are fitted together."""
        if self.kind == "cases":
            size = self._cases.batch_size
        elif self.statistic is not None:
            size = min(FEW, self.block)
        else:
            size = self.block * max(1, self.refitter.batch_size // self.block)
        return [range(i, min(i + size, self.n)) for i in range(0, self.n, size)]

    def run(self, batches: Sequence[range]) -> Replicates:
        """Replicates of some batches."""
        return joined([self._run_batch(batch) for batch in batches])

    def _run_batch(self, batch: range) -> Replicates:
        if self.kind == "cases":
            return self._cases.replicates(self._drawn_groups(batch))
        blocks = range(batch.start // self.block, -(-batch.stop // self.block))
        drawn = np.concatenate([self._block_of_responses(i) for i in blocks], axis=1)
        before = blocks.start * self.block
        Y = drawn[:, batch.start - before : batch.stop - before]
        if self.statistic is not None:
            return collected(self._statistics(self.statistic, Y), len(self.names))
        found = self.refitter.fit(Y)
        return Replicates(refit_values(self.model, found), found.singular, found.failures)

    def _stream(self, block: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(block,)))

    def _block_of_responses(self, block: int) -> FloatArray:
        """Responses of a block, drawn whole, so that none of them depends on the number of replicates."""
        Y = self._last_block.get(block)
        if Y is None:
            Y = self._sampler.draw(self._stream(block), self.block)
            self._last_block.clear()
            self._last_block[block] = Y
        return Y

    @cached_property
    def _last_block(self) -> dict[int, FloatArray]:
        """The block drawn last, by its number: batches that are parts of a block follow each other."""
        return {}

    @cached_property
    def _sampler(self) -> Sampler:
        return SAMPLERS[self.kind](self.model)

    @cached_property
    def _cases(self) -> Cases:
        return Cases(self.model, top_groups(self.model, "the cases bootstrap"), self.statistic, len(self.names))

    def _drawn_groups(self, replicates: range) -> IntArray:
        """Groups of some replicates of the cases bootstrap, a row for each."""
        n_groups = self._cases.n_groups
        return np.array([self._stream(i).integers(n_groups, size=n_groups) for i in replicates])

    def _statistics(self, statistic: Statistic, Y: FloatArray) -> Iterator[tuple[FloatArray, bool] | str]:
        """The statistic of the models of some responses."""
        for model in self.refitter.models(Y):
            yield model if isinstance(model, str) else statistic_values(statistic, model, len(self.names))


def bootstrap(
    model: FittedModel,
    n: int = 1000,
    *,
    rng: Seed = None,
    kind: str = "parametric",
    statistic: Statistic | None = None,
    workers: Workers = 1,
    progress: bool = False,
) -> BootstrapResult:
    """Refit a model to responses made from it; see `FittedModel.bootstrap`."""
    count = at_least(1, "n", n, of="replicates")
    one_of("kind", kind, KINDS)
    if statistic is not None and not callable(statistic):
        raise ArgumentError(f"statistic must be a function of a fitted model; got {statistic!r}")
    workers = checked_workers(workers)
    if statistic is not None and workers != 1 and not callable(workers):
        _require_picklable(statistic)
    if statistic is None:
        names, original = estimate_names(model), estimate_values(model)
    else:
        names, original = original_of(statistic, model)
    if kind in ("cases", "wild"):
        top_groups(model, f"the {kind} bootstrap")  # before any worker starts
    seed = tuple(random_generator(rng).integers(2**32, size=4).tolist())
    plan = Plan(model, kind, statistic, names, count, seed)
    done, interrupted = _collect(plan, workers, progress=progress)
    return BootstrapResult(
        model=model,
        kind=kind,
        estimates=pd.DataFrame(done.estimates, columns=list(names)).drop(index=list(done.failures)),
        original=pd.Series(original, index=list(names)),
        singular=np.asarray(done.singular == 1.0),
        failures=done.failures,
        n_requested=count,
        interrupted=interrupted,
        statistic=statistic,
    )


def _require_picklable(statistic: Statistic) -> None:
    """Refuse a function that cannot be sent to another process."""
    try:
        pickle.dumps(statistic)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ArgumentError(
            f"statistic cannot be sent to other processes ({error}): define it with def at the top of a module, or "
            "use workers=1"
        ) from error


def _collect(plan: Plan, workers: Workers, *, progress: bool) -> tuple[Replicates, bool]:
    """Replicates in their order, and whether Ctrl-C cut them short."""
    per_task = 1 if workers == 1 else -(-len(plan.batches) // MOST_TASKS)
    tasks = [plan.batches[i : i + per_task] for i in range(0, len(plan.batches), per_task)]
    parts: list[Replicates] = []
    with progress_bar(plan.n, "replicate", shown=progress) as advance:
        try:
            for part in run_tasks(plan.run, tasks, workers):
                parts.append(part)
                advance(len(part.singular))
        except KeyboardInterrupt:
            if not parts:
                raise
            return joined(parts), True
    return joined(parts), False
