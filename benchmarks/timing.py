"""Times of repeated calls, and the memory of the process that makes them."""

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Repeats in one process, at most.
MANY = 200


def timed(call: Callable[[], Any], seconds: float, long: float) -> tuple[list[float], Any]:
    """Times of repeated calls after a warm-up, and the last result; a long call is not repeated."""
    start = time.perf_counter()
    result = call()
    first = time.perf_counter() - start
    if first >= long:
        return [first], result
    times: list[float] = []
    gc.collect()
    while not times or (sum(times) < seconds and len(times) < MANY):
        result = None  # the memory of one fit is free before the next, as in a session that fits one model
        start = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - start)
    return times, result


def peak_memory() -> float:
    """Largest resident memory of this process so far, in MiB."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024.0
    return float("nan")
