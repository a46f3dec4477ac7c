"""
Where the time of a fit goes, phase by phase, on three workloads.

``python benchmarks/phases.py --out docs/performance.md`` writes the table into the page. The functions that `lmm.fit`
calls one after the other are timed; what none of them takes is the result: the fitted model and its warnings.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import exchange
from options import add_options, limits_of, names_among
from processes import Job, Limits, find_packages, run
from report import milliseconds, provenance, table, write_section
from timing import timed
from workloads import WORKLOADS, Workload

CASES = ("sleepstudy", "insteval", "million")

# The functions of each phase, by their names in `lmm.fitting`.
PHASES = {
    "formula": ("parse_formula",),
    "design": ("build_design",),
    "standardise": ("grouping_factors", "standardize"),
    "cross-products": ("cross_products",),
    "layout": ("ProfiledDeviance",),
    "optimisation": ("moment_start", "find_optimum"),
}

METHOD = """\
Milliseconds, medians of repeated fits in one process. Layout is the analysis of the sparsity of the model, optimisation
includes the starting value, result is all that remains: the fitted model and its warnings."""


def main() -> None:
    """Measure, print, and write the page if asked to."""
    parser = argparse.ArgumentParser(description="Time of a fit by phase.")
    names = names_among([workload.name for workload in WORKLOADS if workload.kind == "fit"])
    parser.add_argument("--only", type=names, default=list(CASES), metavar="NAME,...", help="measure these workloads")
    add_options(parser, repeats=1, timeout=600.0)
    options = parser.parse_args()
    chosen = [workload for workload in WORKLOADS if workload.name in options.only]
    header = ["workload", *PHASES, "result", "total"]
    rows = [[workload.title, *measure(workload, limits_of(options))] for workload in chosen]
    text = "\n\n".join(
        [
            *provenance([]),
            METHOD,
            table(header, rows),
        ]
    )
    print(text)
    if options.out:
        write_section(options.out, "phases", text)


def measure(workload: Workload, limits: Limits) -> list[str]:
    """Milliseconds of each phase, in a process of its own."""
    frame = workload.make(None)
    width = len(PHASES) + 2
    if frame is None:
        return ["-"] * width
    package = next(package for package in find_packages(None) if package.name == "lmm")
    with tempfile.TemporaryDirectory(prefix="lmm-benchmark-") as name:
        folder = Path(name) / "data"
        exchange.write(frame, folder)
        outcome = run(package, Job("phases", folder, workload.formula, workload.reml), limits)
    if outcome.failure:
        return [outcome.failure, *["-"] * (width - 1)]
    return [milliseconds(float(seconds)) for seconds in dict(outcome.record)["phases"]]


def measure_phases(call: Callable[[], Any], seconds: float, long: float) -> dict[str, list[Any]]:
    """Medians by phase over repeated fits; called in the process that measures."""
    from lmm import fitting  # noqa: PLC0415 - only this process needs it

    spent = dict.fromkeys(PHASES, 0.0)
    for phase, functions in PHASES.items():
        for name in functions:
            setattr(fitting, name, _timed(getattr(fitting, name), spent, phase))
    rows: list[list[float]] = []

    def fit() -> Any:  # noqa: ANN401
        spent.update(dict.fromkeys(PHASES, 0.0))
        start = time.perf_counter()
        model = call()
        total = time.perf_counter() - start
        rows.append([*spent.values(), total - sum(spent.values()), total])
        return model

    times, _ = timed(fit, seconds, long)
    last = rows[-len(times) :]
    return {"seconds": times, "phases": [statistics.median(column) for column in zip(*last, strict=True)]}


def _timed(function: Callable[..., Any], spent: dict[str, float], phase: str) -> Callable[..., Any]:
    """Give the function, adding the time it takes to its phase."""

    def wrapped(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            spent[phase] += time.perf_counter() - start

    return wrapped


if __name__ == "__main__":
    main()
