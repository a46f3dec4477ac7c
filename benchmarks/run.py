"""
Time lmm and its peers on the workloads, and write the table of the documentation.

``python benchmarks/run.py --help`` lists the options; README.md beside this file says what is measured.
"""

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import exchange
from options import add_options, limits_of, names_among, packages_of
from processes import Job, Limits, Outcome, Package, interleaved, run
from report import milliseconds, provenance, table, write_section
from workloads import WORKLOADS, Workload

# What a package cannot do: mixedlm profiles fixed effects only.
LACKING = {"profile": {"mixedlm"}}
# The model whose predictions are timed is fitted to so many rows of each group.
ROWS_PER_GROUP = 5

METHOD = """\
From formula and data frame in memory to the fitted model, or to 95 % profile likelihood limits of all parameters, one
thread unless the workload says otherwise. Medians of {repeats} processes for each package, in turn, with a warm-up in
each; a fit of {long:g} s or more is made once, without warm-up. Limits: {timeout:g} s and {memory:g} GiB of
address space."""

DETAILS = """\
Peak memory of the process (interpreter and data included), evaluations of the objective, and the objective reached:
deviance (ML), REML criterion, the mean square of the predictions, or the upper profile limit of the residual standard
deviation. Lower is better for the first two; an asterisk marks a fit that says of itself that it has not converged."""


@dataclass(frozen=True)
class Line:
    """A workload and its outcome by package; why it was left out, otherwise."""

    workload: Workload
    outcomes: dict[str, Outcome]
    skipped: str = ""


def main() -> None:
    """Measure, print, and write the page if asked to."""
    options = parse_options()
    packages, limits = packages_of(options), limits_of(options)
    chosen = [workload for workload in WORKLOADS if options.only is None or workload.name in options.only]
    print(", ".join(package.versions for package in packages), file=sys.stderr)
    lines = [measure(workload, packages, limits, options.repeats, options.data) for workload in chosen]
    text = page(lines, packages, limits, options.repeats)
    print(text)
    if options.out:
        write_section(options.out, "run", text)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Time lmm and its peers on the same workloads.")
    names = names_among([workload.name for workload in WORKLOADS])
    parser.add_argument("--only", type=names, metavar="NAME,...", help="measure these workloads only")
    text = "folder with data sets that are not shipped: Chem97.csv or Chem97.csv.gz"
    parser.add_argument("--data", type=Path, metavar="DIR", help=text)
    add_options(parser, repeats=5, timeout=600.0)
    return parser.parse_args()


def measure(workload: Workload, packages: list[Package], limits: Limits, repeats: int, data: Path | None) -> Line:
    """Measure one workload with all packages in turn, several times."""
    frame = workload.make(data)
    if frame is None:
        return Line(workload, {}, "data not given")
    able = [package for package in packages if package.name not in LACKING.get(workload.kind, ())]
    chosen = [package for package in able if workload.peers or package.name == "lmm"]
    with tempfile.TemporaryDirectory(prefix="lmm-benchmark-") as name:
        folder = Path(name)
        exchange.write(frame, folder / "all")
        if workload.kind == "predict":
            exchange.write(frame.groupby("g", observed=True).head(ROWS_PER_GROUP), folder / "some")
        del frame
        job = Job(
            kind=workload.kind,
            data=folder / ("some" if workload.kind == "predict" else "all"),
            formula=workload.formula,
            reml=workload.reml,
            new_data=folder / "all",
            threads=workload.threads,
        )
        if workload.kind == "import":
            for package in chosen:  # the files are in the system's cache from here on
                run(package, job, limits)
        return Line(workload, interleaved(chosen, job, limits, repeats, workload.name))


def page(lines: list[Line], packages: list[Package], limits: Limits, repeats: int) -> str:
    """Both tables, with when, where and how they were measured."""
    names = [package.name for package in packages]
    peers = [name for name in names if name != "lmm"]
    parts = [
        *provenance(packages),
        METHOD.format(repeats=repeats, long=limits.long, timeout=limits.timeout, memory=limits.memory),
        "Milliseconds, and their ratio to those of lmm:",
        table(
            ["workload", *(f"{name}, ms" for name in names), *(f"{name} / lmm" for name in peers)],
            [_summary_row(line, names, peers) for line in lines],
        ),
        DETAILS,
        table(
            ["workload", "package", "ms", "peak MiB", "evaluations", "objective"],
            [row for line in lines for row in _detail_rows(line)],
            n_left=2,
        ),
    ]
    notes = [
        f"- {line.workload.title}, {name}: {outcome.failure}."
        for line in lines
        for name, outcome in line.outcomes.items()
        if outcome.failure
    ]
    notes += [f"- {line.workload.title}: {line.skipped}." for line in lines if line.skipped]
    if notes:
        parts += ["Not measured:", "\n".join(notes)]
    formulas = [
        f"- {line.workload.title}: `{line.workload.formula}`, {'REML' if line.workload.reml else 'ML'}"
        for line in lines
        if line.workload.formula
    ]
    return "\n\n".join([*parts, "Formulas:", "\n".join(formulas)])


def _summary_row(line: Line, names: list[str], peers: list[str]) -> list[str]:
    """Times and ratios of a workload."""
    own = line.outcomes.get("lmm", Outcome()).seconds
    cells = [line.workload.title]
    for name in names:
        outcome = line.outcomes.get(name)
        cells.append("-" if outcome is None else "failed" if outcome.failure else milliseconds(outcome.seconds))
    for name in peers:
        ratio = line.outcomes.get(name, Outcome()).seconds / own
        cells.append(f"{ratio:.1f}" if ratio == ratio else "-")  # noqa: PLR0124 - not a number where one is missing
    return cells


def _detail_rows(line: Line) -> list[list[str]]:
    """One row for each package that was measured."""
    rows = []
    for name, outcome in line.outcomes.items():
        if outcome.failure:
            continue
        objective = "" if outcome.objective is None else f"{outcome.objective:.6f}" + "*" * (not outcome.converged)
        evaluations = "" if outcome.evaluations is None else str(outcome.evaluations)
        memory = f"{outcome.memory:,.0f}"
        rows.append([line.workload.title, name, milliseconds(outcome.seconds), memory, evaluations, objective])
    return rows


if __name__ == "__main__":
    main()
