"""Tasks in this process, in several, or wherever a map-like callable takes them; and a bar of their progress."""

from __future__ import annotations

import inspect
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from lmm.arguments import true_or_false, whole_number
from lmm.errors import ArgumentError

Task = TypeVar("Task")
Result = TypeVar("Result")
Workers = int | Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


_LIKE_MAP = "a callable like map that takes a function and a sequence (the map of a pool, for example)"


def checked_workers(workers: object) -> Workers:
    """Refuse what is neither a number of processes nor a callable like `map`."""
    if callable(workers):
        _check_arguments(workers)
        return workers
    count = whole_number(workers)
    if count is None or count < 1:
        raise ArgumentError(f"workers must be a number of processes, 1 or more, or {_LIKE_MAP}; got {workers!r}")
    return count


def _check_arguments(workers: Callable[..., Any]) -> None:
    """Refuse a callable that cannot be called with a function and a sequence."""
    try:
        signature = inspect.signature(workers)
    except ValueError:  # written in C, as `map` is
        return
    try:
        signature.bind(None, ())
    except TypeError as error:
        raise ArgumentError(f"workers must be {_LIKE_MAP}; {workers!r} takes {signature}") from error


def run_tasks(work: Callable[[Task], Result], tasks: Sequence[Task], workers: Workers) -> Iterator[Result]:
    """
    Results of the tasks, in their order.

    Parameters
    ----------
    work : callable
    tasks : sequence
    workers : int or callable
        With more than one process, or with a callable that uses some, ``work`` and the tasks are pickled.
    """
    if callable(workers):
        yield from _mapped(workers(work, tasks), tasks)
    elif workers == 1 or len(tasks) == 1:
        yield from map(work, tasks)
    else:
        with ProcessPoolExecutor(min(workers, len(tasks)), initializer=_leave_interrupts_to_parent) as pool:
            try:
                yield from pool.map(work, tasks)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)


def _mapped(results: Iterable[Result], tasks: Sequence[Task]) -> Iterator[Result]:
    """Results that a user's callable gave; refused where they are not one for each task."""
    refused = ArgumentError(
        f"workers must be {_LIKE_MAP} and gives a result for each element, of which there were {len(tasks)}"
    )
    if not isinstance(results, Iterable):
        raise refused
    count = 0
    for result in results:
        if count == len(tasks):
            raise refused
        count += 1
        yield result
    if count < len(tasks):
        raise refused


@contextmanager
def progress_bar(total: int, unit: str, *, shown: bool) -> Iterator[Callable[[int], object]]:
    """
    A function to call with the number of units that are done since the last call.

    Raises
    ------
    ArgumentError
        When a bar is to be shown and the package tqdm is missing, or shown is no truth value.
    """
    if not true_or_false("progress", shown):
        yield lambda _: None
        return
    try:
        from tqdm.auto import tqdm  # noqa: PLC0415 - optional, and only where it is asked for
    except ImportError as error:
        raise ArgumentError(
            "progress=True needs the package tqdm, which is not installed: pip install tqdm, or leave progress out"
        ) from error
    with tqdm(total=total, unit=unit) as bar:
        yield bar.update


def _leave_interrupts_to_parent() -> None:
    """Ctrl-C reaches every process of a terminal; the one that collects the results decides what comes of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
