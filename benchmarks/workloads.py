"""
The workloads that are measured: real data sets, and generated ones with a fixed seed.

Formulas are in lme4's language. Grouping columns are categoricals (factors in R) with string labels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

import lmm

SEED = 20240229
# Of the workers: share that changes firm in a year, and share of those that stays in its region.
MOVING = 0.1
NEAR = 0.75

Maker = Callable[[Path | None], pd.DataFrame | None]


@dataclass(frozen=True)
class Workload:
    """
    One line of the table.

    Attributes
    ----------
    name : str
        What ``--only`` takes.
    title : str
        What the table says.
    formula : str
        In lme4's language; empty for the import.
    make : callable
        The data, given the folder of data sets that are not shipped; None where a data set is not there.
    reml : bool
    kind : {"fit", "predict", "profile", "import"}
        Predictions are for all rows, from a fit to a few rows of each group; profiles are of all parameters.
    peers : bool
        Whether the peers are measured too.
    threads : int
        Threads that BLAS may use.
    """

    name: str
    title: str
    formula: str
    make: Maker
    reml: bool = True
    kind: str = "fit"
    peers: bool = True
    threads: int = 1


def _shipped(name: str, _: Path | None) -> pd.DataFrame:
    """Load a data set that comes with lmm."""
    return lmm.datasets.load(name)


def _sitka(_: Path | None) -> pd.DataFrame:
    """Growth of spruces, with the time standardised: lme4 does not reach the optimum on raw days."""
    frame = lmm.datasets.load("sitka")
    time = frame["Time"].astype(float)
    tree = frame["tree"].astype(str).astype("category")
    return frame[["size", "treat"]].assign(time=(time - time.mean()) / time.std(), tree=tree)


def _chem97(folder: Path | None) -> pd.DataFrame | None:
    """A-level scores in chemistry, from ``Chem97.csv`` or ``Chem97.csv.gz`` with lea, school, score and gcsecnt."""
    paths = [folder / f"Chem97.csv{ending}" for ending in ("", ".gz")] if folder else []
    found = [path for path in paths if path.exists()]
    if not found:
        return None
    frame = pd.read_csv(found[0], usecols=["lea", "school", "score", "gcsecnt"])
    return frame.assign(**{name: frame[name].astype(str).astype("category") for name in ("lea", "school")})


def _labels(codes: np.ndarray, letter: str) -> "pd.Categorical[str]":
    """Factor with labels a letter and a number; a level that does not occur is left out."""
    used, codes = np.unique(codes, return_inverse=True)
    return pd.Categorical.from_codes(codes, categories=pd.Index([f"{letter}{level + 1}" for level in used]))


def _effects(rng: np.random.Generator, sd: list[float], n_levels: int) -> np.ndarray:
    """Random effects with standard deviations sd and correlations of 0.3, shape (levels, effects)."""
    k = len(sd)
    root = np.linalg.cholesky(np.full((k, k), 0.3) + 0.7 * np.eye(k))
    effects: np.ndarray = rng.standard_normal((n_levels, k)) @ root.T * sd
    return effects


def slopes(n: int, n_groups: int) -> pd.DataFrame:
    """Random intercept and slope by group, three covariates, groups of unequal size."""
    rng = np.random.default_rng(SEED)
    g = rng.integers(n_groups, size=n)
    x = rng.standard_normal((n, 3))
    b = _effects(rng, [1.0, 0.5], n_groups)[g]
    y = 1.0 + x @ [0.5, -0.2, 0.1] + b[:, 0] + b[:, 1] * x[:, 0] + rng.standard_normal(n)
    return pd.DataFrame({"y": y, "x1": x[:, 0], "x2": x[:, 1], "x3": x[:, 2], "g": _labels(g, "g")})


def crossed(n: int, n_first: int, n_second: int) -> pd.DataFrame:
    """Two crossed factors that meet at random, one covariate."""
    rng = np.random.default_rng(SEED)
    a, b = rng.integers(n_first, size=n), rng.integers(n_second, size=n)
    x = rng.standard_normal(n)
    y = 1.0 + 0.5 * x + 0.7 * rng.standard_normal(n_first)[a] + 0.5 * rng.standard_normal(n_second)[b]
    return pd.DataFrame({"y": y + rng.standard_normal(n), "x": x, "a": _labels(a, "a"), "b": _labels(b, "b")})


def _maximal(n_subjects: int, n_items: int) -> pd.DataFrame:
    """Every subject answers every item once: two manipulations and their interaction vary by subject and by item."""
    rng = np.random.default_rng(SEED)
    subject, item = (codes.ravel() for codes in np.indices((n_subjects, n_items)))
    n = len(subject)
    p, q = np.where((subject + item) % 2, 0.5, -0.5), np.where((subject // 2 + item // 2) % 2, 0.5, -0.5)
    X = np.stack([np.ones(n), p, q, p * q], axis=1)
    y = X @ [2.0, 0.4, -0.2, 0.1] + rng.standard_normal(n)
    y += (X * _effects(rng, [0.8, 0.5, 0.5, 0.6], n_subjects)[subject]).sum(axis=1)
    y += (X * _effects(rng, [0.6, 0.5, 0.4, 0.6], n_items)[item]).sum(axis=1)
    return pd.DataFrame({"y": y, "p": p, "q": q, "subject": _labels(subject, "s"), "item": _labels(item, "i")})


def _ratings(n: int, n_users: int, n_films: int) -> pd.DataFrame:
    """A user rates a film at most once; activity and popularity are skewed as in MovieLens 1M."""
    rng = np.random.default_rng(SEED)
    activity, popularity = rng.lognormal(0.0, 1.0, n_users), rng.lognormal(0.0, 1.5, n_films)
    user = rng.choice(n_users, size=3 * n, p=activity / activity.sum())
    film = rng.choice(n_films, size=3 * n, p=popularity / popularity.sum())
    user[:n_users], film[-n_films:] = np.arange(n_users), np.arange(n_films)
    # In the order of drawing, the first n pairs that are new; but every user and every film stays.
    pairs = np.concatenate(
        [(user * n_films + film)[:n_users], (user * n_films + film)[-n_films:], user * n_films + film]
    )
    first = np.sort(np.unique(pairs, return_index=True)[1])[:n]
    user, film = np.divmod(pairs[first], n_films)
    y = 3.5 + 0.4 * rng.standard_normal(n_users)[user] + 0.6 * rng.standard_normal(n_films)[film]
    return pd.DataFrame({"y": y + 0.9 * rng.standard_normal(n), "user": _labels(user, "u"), "film": _labels(film, "f")})


def _wages(n_workers: int, n_firms: int, n_years: int) -> pd.DataFrame:
    """Workers change firm in one year of ten, three times in four to a firm of their region of a hundred firms."""
    rng = np.random.default_rng(SEED)
    size = rng.lognormal(0.0, 1.0, n_firms)
    cumulated = np.cumsum(size)
    firm = np.empty((n_years, n_workers), dtype=np.int64)
    firm[0] = np.searchsorted(cumulated, rng.uniform(0.0, cumulated[-1], n_workers))
    firm[0, :n_firms] = np.arange(n_firms)
    for year in range(1, n_years):
        anywhere = np.searchsorted(cumulated, rng.uniform(0.0, cumulated[-1], n_workers))
        near = firm[year - 1] // 100 * 100 + rng.integers(100, size=n_workers)
        new = np.where(rng.random(n_workers) < NEAR, near, anywhere)
        firm[year] = np.where(rng.random(n_workers) < MOVING, new, firm[year - 1])
    worker = np.tile(np.arange(n_workers), n_years)
    x = np.repeat(np.arange(n_years, dtype=np.float64), n_workers)
    y = 2.0 + 0.02 * x + 0.3 * rng.standard_normal(n_workers)[worker] + 0.2 * rng.standard_normal(n_firms)[firm.ravel()]
    y += 0.2 * rng.standard_normal(len(y))
    return pd.DataFrame({"y": y, "x": x, "worker": _labels(worker, "w"), "firm": _labels(firm.ravel(), "f")})


def _nested(n_districts: int, n_schools: int, n_classes: int, n_pupils: int) -> pd.DataFrame:
    """Pupils in classes in schools in districts; classes and schools are numbered anew in each unit above."""
    rng = np.random.default_rng(SEED)
    district, school, of_school, _ = (
        codes.ravel() for codes in np.indices((n_districts, n_schools, n_classes, n_pupils))
    )
    n = len(district)
    x = rng.standard_normal(n)
    y = 1.0 + 0.3 * x + 0.3 * rng.standard_normal(n_districts)[district] + rng.standard_normal(n)
    y += 0.4 * rng.standard_normal((n_districts, n_schools))[district, school]
    y += 0.5 * rng.standard_normal((n_districts, n_schools, n_classes))[district, school, of_school]
    groups = {"district": _labels(district, "d"), "school": _labels(school, "s"), "class": _labels(of_school, "c")}
    return pd.DataFrame({"y": y, "x": x, **groups}).rename(columns={"class": "room"})


def _generated(make: Callable[..., pd.DataFrame], *sizes: int) -> Maker:
    """Bind a generator to its sizes."""
    return lambda _: make(*sizes)


SLOPES = "y ~ x1 + x2 + x3 + (x1 | g)"
CROSSED = "y ~ x + (1 | a) + (1 | b)"
_SITKA = "size ~ treat + time + I(time^2) + treat:time + treat:I(time^2) + (time + I(time^2) | tree)"
_INSTEVAL = "y ~ service + (1 | s) + (1 | d) + (1 | dept:service)"
_INSTEVAL_SLOPES = "y ~ service + (service | dept) + (1 | s) + (1 | d)"

WORKLOADS = (
    Workload(
        "sleepstudy",
        "sleepstudy, intercept and slope",
        "Reaction ~ Days + (Days | Subject)",
        partial(_shipped, "sleepstudy"),
    ),
    Workload(
        "penicillin",
        "Penicillin, 24 x 6 crossed",
        "diameter ~ 1 + (1 | plate) + (1 | sample)",
        partial(_shipped, "penicillin"),
    ),
    Workload("pastes", "Pastes, nested", "strength ~ 1 + (1 | batch/cask)", partial(_shipped, "pastes")),
    Workload("sitka", "Sitka, quadratic slopes, ML", _SITKA, _sitka, reml=False),
    Workload("dyestuff", "Dyestuff, one way", "Yield ~ 1 + (1 | Batch)", partial(_shipped, "dyestuff")),
    Workload("chem97", "Chem97, 31,022 rows", "score ~ gcsecnt + (1 | lea) + (1 | school)", _chem97),
    Workload("insteval", "InstEval, three factors, ML", _INSTEVAL, partial(_shipped, "insteval"), reml=False),
    Workload(
        "insteval-slopes",
        "InstEval, service by department, ML",
        _INSTEVAL_SLOPES,
        partial(_shipped, "insteval"),
        reml=False,
    ),
    Workload("million", "1,000,000 rows, 10,000 groups, slopes", SLOPES, _generated(slopes, 1_000_000, 10_000)),
    Workload("crossed", "100,000 rows, 5,000 x 500 crossed", CROSSED, _generated(crossed, 100_000, 5_000, 500)),
    Workload(
        "maximal",
        "maximal, 56 x 32 crossed, 4 effects each",
        "y ~ p * q + (p * q | subject) + (p * q | item)",
        _generated(_maximal, 56, 32),
    ),
    Workload(
        "predict",
        "predict 1,000,000 rows",
        SLOPES,
        _generated(slopes, 1_000_000, 10_000),
        kind="predict",
    ),
    Workload(
        "profile-sleepstudy",
        "profile limits, sleepstudy",
        "Reaction ~ Days + (Days | Subject)",
        partial(_shipped, "sleepstudy"),
        reml=False,
        kind="profile",
    ),
    Workload(
        "profile-penicillin",
        "profile limits, Penicillin",
        "diameter ~ 1 + (1 | plate) + (1 | sample)",
        partial(_shipped, "penicillin"),
        reml=False,
        kind="profile",
    ),
    Workload(
        "profile-pastes",
        "profile limits, Pastes",
        "strength ~ 1 + (1 | batch/cask)",
        partial(_shipped, "pastes"),
        reml=False,
        kind="profile",
    ),
    Workload(
        "ratings",
        "1,000,000 ratings, 6,000 x 3,700 crossed, 2 threads",
        "y ~ 1 + (1 | user) + (1 | film)",
        _generated(_ratings, 1_000_000, 6_000, 3_700),
        peers=False,
        threads=2,
    ),
    Workload(
        "wages",
        "500,000 rows, 100,000 workers x 20,000 firms",
        "y ~ x + (1 | worker) + (1 | firm)",
        _generated(_wages, 100_000, 20_000, 5),
        peers=False,
    ),
    Workload(
        "nested",
        "600,000 rows, 200,000 classes in schools in districts",
        "y ~ x + (1 | district/school/room)",
        _generated(_nested, 1_000, 20, 10, 3),
        peers=False,
    ),
    Workload("import", "import of the fitting function", "", lambda _: pd.DataFrame({"y": [0.0]}), kind="import"),
)
