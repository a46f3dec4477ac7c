"""The data sets are complete, typed as promised, and safe to change."""

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from lmm import datasets
from lmm.datasets._registry import REGISTRY
from lmm.errors import DataError, LMMError

# name: (rows, columns, response, its mean in the shipped file: guards against a changed value)
FACTS = {
    "lamb": (62, 4, "Weight", 678.4 / 62),
    "pig_weights": (432, 3, "weight", 21775 / 432),
    "sitka": (395, 4, "size", 1912.11 / 395),
    "sleepstudy": (180, 3, "Reaction", 298.5078916667),
    "dyestuff": (30, 2, "Yield", 1527.5),
    "dyestuff2": (30, 2, "Yield", 5.6656),
    "penicillin": (144, 3, "diameter", 3308 / 144),
    "pastes": (60, 4, "strength", 3603.2 / 60),
    "cake": (270, 5, "angle", 8673 / 270),
    "oats": (72, 4, "yield", 7486 / 72),
    "machines": (54, 3, "score", 59.65),
    "orthodont": (108, 4, "distance", 2594.5 / 108),
    "rail": (18, 2, "travel", 66.5),
    "ergostool": (36, 3, "effort", 10.25),
    "milk": (43, 6, "yi", 41.688 / 43),
    "cornsoybean": (37, 5, "CornHec", 4452.0 / 37),
    "cornsoybean_means": (12, 6, "MeanCornPixPerSeg", 3545.53 / 12),
    "insteval": (73421, 7, "y", 235369 / 73421),
}


def labels(text):
    return text.split()


NUMBERS = [str(i) for i in range(1, 24)]
LEVELS = {
    ("lamb", "Sire"): NUMBERS,
    ("lamb", "Line"): NUMBERS[:5],
    ("lamb", "Age"): NUMBERS[:3],
    ("sitka", "treat"): ["control", "ozone"],
    ("sleepstudy", "Subject"): labels("308 309 310 330 331 332 333 334 335 337 349 350 351 352 369 370 371 372"),
    ("dyestuff", "Batch"): list("ABCDEF"),
    ("dyestuff2", "Batch"): list("ABCDEF"),
    ("penicillin", "plate"): list("abcdefghijklmnopqrstuvwx"),
    ("penicillin", "sample"): list("ABCDEF"),
    ("pastes", "batch"): list("ABCDEFGHIJ"),
    ("pastes", "cask"): list("abc"),
    ("pastes", "sample"): [f"{batch}:{cask}" for batch in "ABCDEFGHIJ" for cask in "abc"],
    ("cake", "replicate"): NUMBERS[:15],
    ("cake", "recipe"): list("ABC"),
    ("cake", "temperature"): ["175", "185", "195", "205", "215", "225"],
    ("oats", "Block"): ["VI", "V", "III", "IV", "II", "I"],
    ("oats", "Variety"): ["Golden Rain", "Marvellous", "Victory"],
    ("machines", "Worker"): list("624135"),
    ("machines", "Machine"): list("ABC"),
    ("orthodont", "Subject"): labels(
        "M16 M05 M02 M11 M07 M08 M03 M12 M13 M14 M09 M15 M06 M04 M01 M10 F10 F09 F06 F01 F05 F07 F02 F08 F03 F04 F11"
    ),
    ("orthodont", "Sex"): ["Male", "Female"],
    ("rail", "Rail"): list("251634"),
    ("ergostool", "Type"): ["T1", "T2", "T3", "T4"],
    ("ergostool", "Subject"): list("854963712"),
    ("cornsoybean_means", "CountyName"): labels(
        "CerroGordo Franklin Hamilton Hancock Hardin Humboldt Kossuth Pocahontas Webster Winnebago Worth Wright"
    ),
    ("insteval", "studage"): list("2468"),
    ("insteval", "lectage"): list("123456"),
    ("insteval", "service"): list("01"),
    ("insteval", "dept"): ["15", "5", "10", "12", "6", "7", "4", "8", "9", "14", "1", "3", "11", "2"],
}
ORDERED = {("cake", "temperature"), ("insteval", "studage"), ("insteval", "lectage")}
INTEGERS = {
    "pig_weights": {"id.num", "num.weeks"},
    "sitka": {"Time", "tree"},
    "sleepstudy": {"Days"},
    "cake": {"angle", "temp"},
    "orthodont": {"age"},
    "milk": {"SmallArea", "ni", "MajorArea"},
    "cornsoybean": {"County", "CornPix", "SoyBeansPix"},
    "cornsoybean_means": {"CountyIndex", "SampSegments", "PopnSegments"},
    "insteval": {"y"},
}


def test_names():
    assert datasets.names() == tuple(FACTS)


@pytest.mark.parametrize("name", FACTS)
def test_shape_and_mean_of_the_response(name):
    n_rows, n_columns, response, mean = FACTS[name]
    frame = datasets.load(name)
    assert frame.shape == (n_rows, n_columns)
    assert not frame.isna().to_numpy().any()
    assert isinstance(frame.index, pd.RangeIndex)
    assert frame[response].mean() == pytest.approx(mean, rel=1e-10)


@pytest.mark.parametrize("name", FACTS)
def test_frame_agrees_with_its_description(name):
    frame, dataset = datasets.load(name), REGISTRY[name]
    assert len(frame) == dataset.n_rows
    assert list(frame.columns) == [column.name for column in dataset.columns]
    text = datasets.describe(name)
    assert text.startswith(f"{name}: ")
    for column in frame.columns:
        assert f"\n  {column} (" in text
    assert text.split("\nSource\n")[1].strip()


@pytest.mark.parametrize("name", FACTS)
def test_dtypes(name):
    for column, values in datasets.load(name).items():
        if isinstance(values.dtype, pd.CategoricalDtype):
            assert all(type(level) is str for level in values.cat.categories)
            assert set(values.cat.categories) == set(values.unique())
            assert values.cat.ordered == ((name, column) in ORDERED)
        else:
            assert values.dtype == (np.int64 if column in INTEGERS.get(name, ()) else np.float64)


@pytest.mark.parametrize(("name", "column"), LEVELS)
def test_levels_stand_in_published_order(name, column):
    assert list(datasets.load(name)[column].cat.categories) == LEVELS[name, column]


@pytest.mark.parametrize(("column", "n_levels", "last"), [("s", 2972, "2972"), ("d", 1128, "2160")])
def test_insteval_identifiers_are_in_numeric_order(column, n_levels, last):
    levels = datasets.load("insteval")[column].cat.categories
    assert len(levels) == n_levels
    assert levels[0] == "1"
    assert levels[-1] == last
    assert np.all(np.diff(levels.astype(int)) > 0)


def test_every_factor_is_checked():
    factors = {(name, column) for name in FACTS for column in datasets.load(name).select_dtypes("category").columns}
    assert factors == set(LEVELS) | {("insteval", "s"), ("insteval", "d")}


def test_rows_stand_in_published_order():
    # the 20th lamb is the one in which the two printings differ
    assert datasets.load("lamb").iloc[19].to_list() == ["9", "3", "3", 9.0]
    assert datasets.load("sleepstudy")["Reaction"].iloc[[0, -1]].to_list() == [249.56, 364.1236]
    assert datasets.load("oats")["Block"].iloc[0] == "I"
    assert datasets.load("insteval").iloc[0].to_list() == ["1", "1002", "2", "2", "0", "2", 5]


def test_designs():
    assert datasets.load("lamb").groupby("Sire", observed=True)["Line"].nunique().eq(1).all()
    assert datasets.load("penicillin").groupby(["plate", "sample"], observed=False).size().eq(1).all()
    assert datasets.load("pastes").groupby("sample", observed=True).size().eq(2).all()
    cake = datasets.load("cake")
    assert (cake["temperature"].astype(str).astype(int) == cake["temp"]).all()
    sitka = datasets.load("sitka").drop_duplicates("tree")
    assert sitka["treat"].value_counts().to_dict() == {"ozone": 54, "control": 25}
    corn, means = datasets.load("cornsoybean"), datasets.load("cornsoybean_means")
    assert corn.groupby("County").size().to_list() == means["SampSegments"].to_list()


@pytest.mark.parametrize("name", ["Sitka", "SITKA", "ergoStool", " InstEval "])
def test_case_and_blanks_do_not_matter(name):
    pd.testing.assert_frame_equal(datasets.load(name), datasets.load(name.strip().lower()))


def test_frames_are_independent():
    first = datasets.load("sleepstudy")
    first.loc[0, "Reaction"] = -1.0
    first["Subject"] = first["Subject"].cat.rename_categories(str.lower).cat.remove_categories(["308"])
    first["new"] = 1
    first.index = first.index + 1000
    second = datasets.load("sleepstudy")
    assert second.shape == (180, 3)
    assert second.loc[0, "Reaction"] == 249.56
    assert second["Subject"].cat.categories[0] == "308"


def test_pickle():
    frame = datasets.load("cake")
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(frame)), frame)  # noqa: S301 - our own bytes


def test_unknown_name_points_to_near_ones_and_lists_all():
    with pytest.raises(DataError, match=r"no data set 'sleep'\. Did you mean 'sleepstudy'\?") as error:
        datasets.load("sleep")
    assert all(name in str(error.value) for name in datasets.names())
    with pytest.raises(LMMError, match=r"no data set 'zzz'\. Available: lamb, "):
        datasets.describe("zzz")


@pytest.mark.parametrize("name", [None, 3, ["cake"], b"cake"])
def test_name_must_be_a_string(name):
    with pytest.raises(DataError, match=r"is a string, not \w+: .*Available: lamb"):
        datasets.load(name)


def test_table_of_the_module_lists_every_set():
    rows = dict(line.split()[:2] for line in datasets.__doc__.splitlines() if line[:1].isalpha() and "  " in line)
    assert rows == {"name": "rows"} | {name: str(facts[0]) for name, facts in FACTS.items()}


def test_import_reads_no_file_and_nothing_heavy():
    code = (
        "import sys, lmm.datasets as d; from lmm.datasets._read import read; "
        "assert read.cache_info().currsize == 0; d.describe('cake'); assert read.cache_info().currsize == 0; "
        "assert not {'matplotlib', 'scipy.stats'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - a fixed command
