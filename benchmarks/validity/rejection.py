"""
How often tests of a variance reject a null hypothesis that is true.

``python benchmarks/validity/rejection.py --out docs/which_test.md`` simulates data sets under the null hypothesis,
tests each at 1, 5 and 10 %, and writes the rejection rates into the page.

The bootstrap test of every data set would need refits by the million. Its rejection rate is estimated with one draw for
each data set instead, all draws together standing for the bootstrap distribution (Giacomini, R., Politis, D. N. and
White, H. (2013). A warp-speed method for conducting Monte Carlo experiments involving bootstrap estimators. Econometric
Theory 29, 567-589).
"""

import argparse
import datetime as dt
import sys
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

import lmm
from lmm.inference.boundary import null_distribution
from lmm.inference.nested import embed

sys.path.insert(0, str(Path(__file__).parents[1]))
from report import table, write_section

FloatArray = NDArray[np.float64]

LEVELS = (0.01, 0.05, 0.10)
EXACT_DRAWS = 400_000
CHI2, MIXTURE, EXACT_F, EXACT_RLRT, BOOTSTRAP = "chi-square", "mixture", "exact F", "exact RLRT", "bootstrap"


@dataclass(frozen=True)
class Scenario:
    """A design, a true model and a larger one."""

    hypothesis: str
    size: str
    data: pd.DataFrame
    small: str
    large: str
    tested: str | None
    """Random effects of the exact F test."""
    single: bool
    """Whether they have one variance, so that there is an exact restricted likelihood-ratio test."""


def scenarios() -> list[Scenario]:
    """List the designs; nuisance variances equal the residual variance."""
    found = []
    for size, groups, rows in (("small", 6, 5), ("moderate", 30, 5)):
        data = _one_way(groups, rows)
        small, large = "y ~ x", "y ~ x + (1 | g)"
        found.append(Scenario("one variance", f"{size}: {groups} x {rows}", data, small, large, "g", single=True))
    for size, groups, rows in (("small", 8, 5), ("moderate", 30, 5)):
        data = _one_way(groups, rows)
        small, large = "y ~ x + (1 | g)", "y ~ x + (x | g)"
        tested = "(0 + x | g)"
        found.append(Scenario("a slope", f"{size}: {groups} x {rows}", data, small, large, tested, single=False))
    large = "y ~ 1 + (1 | g) + (1 | h)"
    crossed = (("small: 6 x 6", _two_way(6, 6)), ("moderate: 20 x 15", _two_way(20, 15)))
    found += [Scenario("two variances", size, data, "y ~ 1", large, None, single=False) for size, data in crossed]
    small = "y ~ 1 + (1 | h)"
    found += [Scenario("one beside another", size, data, small, large, "g", single=True) for size, data in crossed]
    return found


def _one_way(groups: int, rows: int) -> pd.DataFrame:
    """Groups with a covariate at equal distances."""
    return pd.DataFrame({"g": np.repeat(np.arange(groups), rows), "x": np.tile(np.linspace(-1, 1, rows), groups)})


def _two_way(rows: int, columns: int) -> pd.DataFrame:
    """Two crossed factors, one observation for each pair of levels."""
    return pd.DataFrame({"g": np.repeat(np.arange(rows), columns), "h": np.tile(np.arange(columns), rows)})


def true_responses(scenario: Scenario, n: int, rng: np.random.Generator) -> FloatArray:
    """Draw responses, shape (n, rows), from the smaller model with all its variances 1."""
    y = rng.normal(size=(n, len(scenario.data)))
    for group in ("g", "h"):
        if f"(1 | {group})" in scenario.small:
            codes = scenario.data[group].to_numpy()
            y += rng.normal(size=(n, codes.max() + 1))[:, codes]
    return y


def rejections(scenario: Scenario, n: int, rng: np.random.Generator) -> dict[str, FloatArray]:
    """Rejection rates at each level, by test."""
    y = true_responses(scenario, n, rng)
    data = scenario.data.assign(y=y[0])
    small, large = (lmm.fit(formula, data, allow_fixed=True) for formula in (scenario.small, scenario.large))
    statistics, boot, exact_f = np.empty(n), np.empty(n), np.empty(n)
    for i, response in enumerate(y):
        null, full = small.refit(response), large.refit(response)
        statistics[i] = null.deviance - full.deviance
        if scenario.tested is not None:
            exact_f[i] = lmm.exact_f_test(full, scenario.tested).p_value
        draw = null.simulate(1, rng=rng)[0]
        boot[i] = small.refit(draw).deviance - large.refit(draw).deviance
    statistics[statistics < 1e-8] = 0.0  # noqa: PLR2004 - rounding error of a difference of deviances
    mixture = null_distribution(small, large, embed(small, large), rng)
    df = large.n_params - small.n_params
    p_values = {
        CHI2: stats.chi2.sf(statistics, df),
        MIXTURE: np.array([mixture.sf(statistic) for statistic in statistics]),
    }
    if scenario.tested is not None:
        p_values[EXACT_F] = exact_f
    if scenario.single:
        draws = lmm.exact_rlrt(large, scenario.tested, n_sim=EXACT_DRAWS, rng=rng).draws
        p_values[EXACT_RLRT] = _share_beyond(draws, statistics)
    p_values[BOOTSTRAP] = _share_beyond(boot, statistics)
    return {test: np.array([(p <= level).mean() for level in LEVELS]) for test, p in p_values.items()}


def _share_beyond(draws: FloatArray, statistics: FloatArray) -> FloatArray:
    """Share of draws that reach each statistic."""
    return 1.0 - np.searchsorted(np.sort(draws), statistics, side="left") / len(draws)


def markdown(results: Mapping[tuple[str, str], Mapping[str, FloatArray]], n: int, seconds: float) -> str:
    """Table of rejection rates in percent."""
    header = ("null hypothesis: no ...", "design", "test", *(f"at {100 * level:g} %" for level in LEVELS))
    rows = [
        (hypothesis, size, test, *(f"{100 * rate:.1f}" for rate in rates))
        for (hypothesis, size), by_test in results.items()
        for test, rates in by_test.items()
    ]
    errors = ", ".join(f"{100 * np.sqrt(level * (1 - level) / n):.1f}" for level in LEVELS)
    return (
        f"{table(header, rows, n_left=3)}\n\n"
        f"Rejection rates in percent of {n:,} data sets each, simulated under the null hypothesis; REML fits. The "
        f"standard error of a rate that is right is {errors}; 1.4 times that for the bootstrap, whose distribution is "
        f"made of as many draws. Version {lmm.__version__}, {dt.datetime.now(tz=dt.UTC):%d %B %Y}, "
        f"{seconds / 60:.0f} minutes."
    )


def main() -> None:
    """Simulate, test, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n-sim", type=int, default=5_000, help="data sets for each design (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the simulation (%(default)s)")
    parser.add_argument("--out", type=Path, metavar="PAGE", help="Markdown page to write the table into")
    options = parser.parse_args()
    warnings.simplefilter("ignore", lmm.SingularFitWarning)
    start = time.perf_counter()
    results = {}
    for number, scenario in enumerate(scenarios()):
        rng = np.random.default_rng([options.seed, number])
        results[scenario.hypothesis, scenario.size] = rejections(scenario, options.n_sim, rng)
        print(scenario.hypothesis, scenario.size, f"{time.perf_counter() - start:.0f} s", file=sys.stderr)
    text = markdown(results, options.n_sim, time.perf_counter() - start)
    print(text)
    if options.out is not None:
        write_section(options.out, "validity/rejection", text)


if __name__ == "__main__":
    main()
