"""
Time of bootstraps, and of fits of one model to many responses.

``python benchmarks/resampling.py --out docs/performance.md`` writes the table into the page. The time is that of the
resampling alone; the fit that it starts from is made before.
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import exchange
import pandas as pd
from options import add_options, limits_of, names_among, packages_of
from processes import Job, Limits, Outcome, Package, interleaved
from report import milliseconds, provenance, table, write_section

import lmm


@dataclass(frozen=True)
class Resampling:
    """
    One line of the table.

    Attributes
    ----------
    name : str
        What ``--only`` takes.
    title : str
        What the table says.
    dataset : str
        A data set that comes with lmm.
    formula : str
    n : int
        Number of replicates or responses.
    reml : bool
    kind : {"bootstrap", "responses", "loop"}
    peers : bool
        Whether the peers are measured too.
    """

    name: str
    title: str
    dataset: str
    formula: str
    n: int
    reml: bool = True
    kind: str = "bootstrap"
    peers: bool = True


_SLEEPSTUDY = "Reaction ~ Days + (Days | Subject)"
_INSTEVAL = "y ~ service + (1 | s) + (1 | d) + (1 | dept:service)"

RESAMPLINGS = (
    Resampling("sleepstudy", "sleepstudy, 1,000 replicates", "sleepstudy", _SLEEPSTUDY, 1000),
    Resampling("lamb", "lambs, ML, 1,000 replicates", "lamb", "Weight ~ Line + Age - 1 + (1 | Sire)", 1000, reml=False),
    Resampling(
        "penicillin", "Penicillin, 1,000 replicates", "penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)", 1000
    ),
    Resampling("pastes", "Pastes, 1,000 replicates", "pastes", "strength ~ 1 + (1 | batch/cask)", 1000),
    Resampling("insteval", "InstEval, ML, 20 replicates", "insteval", _INSTEVAL, 20, reml=False),
    Resampling("many", "sleepstudy, 10,000 replicates", "sleepstudy", _SLEEPSTUDY, 10_000, peers=False),
    Resampling("responses", "sleepstudy, 2,000 responses", "sleepstudy", _SLEEPSTUDY, 2000, kind="responses"),
    Resampling(
        "loop", "sleepstudy, 2,000 responses, in a loop", "sleepstudy", _SLEEPSTUDY, 2000, kind="loop", peers=False
    ),
    Resampling(
        "genes", "sleepstudy, 20,000 responses", "sleepstudy", _SLEEPSTUDY, 20_000, kind="responses", peers=False
    ),
)

METHOD = """\
From the fitted model to the replicates of a parametric bootstrap, or to the estimates from all responses (the peers:
`refit` in a loop), in one thread. Medians of {repeats} processes for each package, in turn, with a warm-up in each;
what takes {long:g} s or more is made once, without warm-up. The last columns are there to see that all compute the
same: the bootstrap standard error of the first fixed effect, with a Monte Carlo error of 2 % for 1,000 replicates and
of 16 % for 20, or its mean over the responses. The bootstrap of lme4 1.1-31 does not take the number of fixed effects
into account under REML, which its residual variance shows, but its time and its fixed effects do not."""


def main() -> None:
    """Measure, print, and write the page if asked to."""
    parser = argparse.ArgumentParser(description="Time of bootstraps and of fits to many responses.")
    names = names_among([resampling.name for resampling in RESAMPLINGS])
    parser.add_argument("--only", type=names, metavar="NAME,...", help="measure these only")
    add_options(parser, repeats=3, timeout=900.0)
    options = parser.parse_args()
    packages, limits = packages_of(options), limits_of(options)
    chosen = [one for one in RESAMPLINGS if options.only is None or one.name in options.only]
    outcomes = [measure(one, packages, limits, options.repeats) for one in chosen]
    text = "\n\n".join(
        [
            *provenance(packages),
            METHOD.format(repeats=options.repeats, long=limits.long),
            "Milliseconds, and their ratio to those of lmm:",
            _times(chosen, outcomes, [package.name for package in packages]),
        ]
    )
    print(text)
    if options.out:
        write_section(options.out, "resampling", text)


def measure(one: Resampling, packages: list[Package], limits: Limits, repeats: int) -> dict[str, Outcome]:
    """Measure one line of the table with all packages in turn, several times."""
    frame = lmm.datasets.load(one.dataset)
    with tempfile.TemporaryDirectory(prefix="lmm-benchmark-") as name:
        folder = Path(name)
        exchange.write(frame, folder / "data")
        new_data = None
        if one.kind != "bootstrap":
            new_data = folder / "responses"
            responses = lmm.fit(one.formula, frame, reml=one.reml).simulate(one.n, rng=1)
            exchange.write(pd.DataFrame(responses.T, columns=[f"y{i}" for i in range(one.n)]), new_data)
        job = Job(one.kind, folder / "data", one.formula, one.reml, new_data=new_data, replicates=one.n)
        chosen = [package for package in packages if one.peers or package.name == "lmm"]
        return interleaved(chosen, job, limits, repeats, one.name)


def _times(chosen: list[Resampling], outcomes: list[dict[str, Outcome]], names: list[str]) -> str:
    """Table of times, ratios and checks."""
    peers = [name for name in names if name != "lmm"]
    rows = []
    for one, found in zip(chosen, outcomes, strict=True):
        cells = [one.title]
        for name in names:
            outcome = found.get(name)
            cells.append("-" if outcome is None else outcome.failure or milliseconds(outcome.seconds))
        for name in peers:
            failed = name not in found or found[name].failure or found["lmm"].failure
            cells.append("-" if failed else f"{found[name].seconds / found['lmm'].seconds:.1f}")
        for name in names:
            objective = found[name].objective if name in found else None
            cells.append("-" if objective is None else f"{objective:.4g}")
        rows.append(cells)
    header = ["workload", *(f"{name}, ms" for name in names), *(f"{name} / lmm" for name in peers)]
    return table([*header, *(f"check, {name}" for name in names)], rows)


if __name__ == "__main__":
    main()
