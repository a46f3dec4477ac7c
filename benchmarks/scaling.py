"""
How the cost of a fit grows with the rows and with the levels of the smaller of two crossed factors.

``python benchmarks/scaling.py --out docs/performance.md`` writes the figure beside the page and the numbers into it.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import exchange
import matplotlib as mpl
import pandas as pd
from options import add_options, limits_of, packages_of
from processes import Job, Limits, Outcome, Package, interleaved
from report import milliseconds, provenance, table, write_section
from workloads import CROSSED, SLOPES, crossed, slopes

ROWS = (10_000, 30_000, 100_000, 300_000, 1_000_000)
ROWS_PER_GROUP = 100
LEVELS = (100, 250, 500, 1_000, 2_000, 4_000)
CROSSED_ROWS = 100_000
FIRST_LEVELS = 5_000

FIGURE = Path("benchmarks") / "scaling.png"
# Colours that the colour-blind tell apart, and markers for print.
STYLES = {"lmm": ("#0072b2", "o"), "lme4": ("#d55e00", "s"), "mixedlm": ("#009e73", "^")}

Series = Mapping[int, Mapping[str, Outcome]]


def main() -> None:
    """Measure, print, and write page and figure if asked to."""
    parser = argparse.ArgumentParser(description="Cost of a fit against its size.")
    add_options(parser, repeats=3, timeout=120.0)
    parser.add_argument("--largest", type=int, default=max(ROWS), help="leave out sizes above this (%(default)s)")
    options = parser.parse_args()
    packages, limits = packages_of(options), limits_of(options)

    def series(title: str, formula: str, sizes: Sequence[int], make: Callable[[int], pd.DataFrame]) -> Series:
        sizes = [size for size in sizes if size <= options.largest]
        return {
            size: measure(f"{size:,} {title}", formula, make(size), packages, limits, options.repeats) for size in sizes
        }

    by_rows = series("rows", SLOPES, ROWS, lambda n: slopes(n, n // ROWS_PER_GROUP))
    by_levels = series("levels", CROSSED, LEVELS, lambda q: crossed(CROSSED_ROWS, FIRST_LEVELS, q))
    names = [package.name for package in packages]
    text = "\n\n".join(
        [
            *provenance(packages),
            f"![Time of a fit against its size, both axes logarithmic]({FIGURE.as_posix()})",
            f"Milliseconds against rows: `{SLOPES}`, {ROWS_PER_GROUP} rows per group on average.",
            numbers("rows", by_rows, names),
            f"Milliseconds against the levels of b: `{CROSSED}`, {CROSSED_ROWS:,} rows, {FIRST_LEVELS:,} levels of a.",
            numbers("levels", by_levels, names),
        ]
    )
    print(text)
    if options.out:
        write_section(options.out, "scaling", text)
        draw(by_rows, by_levels, names, options.out.parent / FIGURE)
        print(f"figure: {options.out.parent / FIGURE}", file=sys.stderr)


def measure(
    title: str, formula: str, frame: pd.DataFrame, packages: Sequence[Package], limits: Limits, repeats: int
) -> dict[str, Outcome]:
    """Measure all packages on one frame."""
    with tempfile.TemporaryDirectory(prefix="lmm-benchmark-") as name:
        folder = Path(name) / "data"
        exchange.write(frame, folder)
        return interleaved(packages, Job("fit", folder, formula), limits, repeats, title)


def numbers(what: str, series: Series, names: Sequence[str]) -> str:
    """Table of the times and of the peak memory."""
    rows = []
    for size, outcomes in series.items():
        cells = [outcomes[name].failure or milliseconds(outcomes[name].seconds) for name in names]
        peaks = ["-" if outcomes[name].failure else f"{outcomes[name].memory:,.0f}" for name in names]
        rows.append([f"{size:,}", *cells, *peaks])
    return table([what, *(f"{name}, ms" for name in names), *(f"{name}, peak MiB" for name in names)], rows, n_left=0)


def draw(by_rows: Series, by_levels: Series, names: Sequence[str], path: Path) -> None:
    """Draw both series, log-log."""
    mpl.use("agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the choice of the back end

    figure, panels = plt.subplots(1, 2, figsize=(9.0, 3.8), layout="constrained", sharey=True)
    _panel(panels[0], by_rows, names, "rows", "intercept and slope by group")
    _panel(panels[1], by_levels, names, "levels of the smaller factor", "two crossed factors")
    panels[0].set_ylabel("time of a fit (s)")
    panels[0].legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def _panel(axes: Any, series: Series, names: Sequence[str], xlabel: str, title: str) -> None:  # noqa: ANN401
    """Draw one line for each package; a fit that failed has no point."""
    for name in names:
        colour, marker = STYLES[name]
        points = [(size, outcomes[name].seconds) for size, outcomes in series.items() if not outcomes[name].failure]
        axes.loglog([x for x, _ in points], [y for _, y in points], color=colour, marker=marker, label=name)
    axes.set_xlabel(xlabel)
    axes.set_title(title, fontsize="medium", loc="left")
    axes.grid(visible=True, which="major", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
