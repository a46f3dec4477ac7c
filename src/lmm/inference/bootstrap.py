"""
The bootstrap: refits to responses that are made from the fitted model.

Every block of replicates has a random stream of its own, and batches are whole blocks whose size depends on the model
only, so that a seed gives the same replicates whatever the number of workers.

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

from lmm.arguments import Seed, one_of, random_generator, whole_number
from lmm.batch.refits import Refitter
from lmm.errors import ArgumentError
from lmm.inference.bootstrap_result import BootstrapResult, Statistic
from lmm.inference.cases import refit_groups
from lmm.inference.estimated import estimate_names, estimate_values, refit_values, statistic_values
from lmm.inference.resampling import Parametric, Residual, Sampler, Wild, top_groups
from lmm.linalg import FloatArray
from lmm.workers import Workers, checked_workers, progress_bar, run_tasks

if TYPE_CHECKING:
    from lmm.model import FittedModel

KINDS = ("parametric", "residual", "cases", "wild")
SAMPLERS: dict[str, Callable[[FittedModel], Sampler]] = {"parametric": Parametric, "residual": Residual, "wild": Wild}
# Replicates that share a random stream, unless their responses would hold more numbers than this.
BLOCK, BLOCK_NUMBERS = 64, 1_000_000
# Tasks into which the replicates are split where they are done in several processes.
MOST_TASKS = 256


@dataclass(frozen=True)
class Replicates:
    """
    Estimates of some replicates.

    Attributes
    ----------
    estimates : ndarray (B, n_parameters)
        NaN where a fit failed.
    singular : ndarray (B,)
        1 for a singular fit, 0 for another.
    failures : dict of int to str
        Why a replicate could not be fitted, by its position.
    """

    estimates: FloatArray
    singular: FloatArray
    failures: dict[int, str]


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
        """Blocks that are fitted together."""
        n_blocks = -(-self.n // self.block)
        alone = self.kind == "cases" or self.statistic is not None
        size = 1 if alone else max(1, self.refitter.batch_size // self.block)
        return [range(i, min(i + size, n_blocks)) for i in range(0, n_blocks, size)]

    def run(self, batches: Sequence[range]) -> Replicates:
        """Replicates of some batches."""
        return _join([self._run_batch(blocks) for blocks in batches])

    def _run_batch(self, blocks: range) -> Replicates:
        streams = [np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(i,))) for i in blocks]
        counts = [min(self.block, self.n - i * self.block) for i in blocks]
        if self.kind == "cases":
            return self._from_models(self._drawn_groups(streams))
        # A block is drawn whole, so that the last one does not depend on the number of replicates.
        Y = np.concatenate(
            [self._sampler.draw(rng, self.block)[:, :m] for rng, m in zip(streams, counts, strict=True)], axis=1
        )
        if self.statistic is not None:
            return self._from_models(self.refitter.models(Y))
        found = self.refitter.fit(Y)
        return Replicates(refit_values(self.model, found), found.singular, found.failures)

    @cached_property
    def _sampler(self) -> Sampler:
        return SAMPLERS[self.kind](self.model)

    def _drawn_groups(self, streams: list[np.random.Generator]) -> Iterator[FittedModel | str]:
        codes = top_groups(self.model, "the cases bootstrap")
        n_groups = int(codes.max()) + 1
        for rng in streams:
            yield refit_groups(self.model, codes, rng.integers(n_groups, size=n_groups))

    def _from_models(self, models: Iterator[FittedModel | str]) -> Replicates:
        values, singular, failures = [], [], {}
        for i, model in enumerate(models):
            if isinstance(model, str):
                failures[i] = model
                values.append(np.full(len(self.names), np.nan))
                singular.append(np.nan)
                continue
            values.append(self._values_of(model))
            singular.append(float(model.optimum.on_boundary))
        return Replicates(np.array(values).reshape(-1, len(self.names)), np.array(singular), failures)

    def _values_of(self, model: FittedModel) -> FloatArray:
        if self.statistic is None:
            return estimate_values(model)
        found = statistic_values(self.statistic(model))[1]
        if len(found) != len(self.names):
            raise ArgumentError(
                f"statistic must return the same numbers for every fit; it returned {len(self.names)} for the model "
                f"and {len(found)} for a replicate"
            )
        return found


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
    count = whole_number(n)
    if count is None or count < 1:
        raise ArgumentError(f"n must be the number of replicates, a whole number, 1 or more; got {n!r}")
    one_of("kind", kind, KINDS)
    if statistic is not None and not callable(statistic):
        raise ArgumentError(f"statistic must be a function of a fitted model; got {statistic!r}")
    workers = checked_workers(workers)
    if statistic is not None and workers != 1 and not callable(workers):
        _require_picklable(statistic)
    if statistic is None:
        names, original = estimate_names(model), estimate_values(model)
    else:
        names, original = statistic_values(statistic(model))
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
            return _join(parts), True
    return _join(parts), False


def _join(parts: Sequence[Replicates]) -> Replicates:
    """Replicates one after the other."""
    failures: dict[int, str] = {}
    start = 0
    for part in parts:
        failures.update({start + i: reason for i, reason in part.failures.items()})
        start += len(part.singular)
    values = np.concatenate([part.estimates for part in parts])
    return Replicates(values, np.concatenate([part.singular for part in parts]), failures)
