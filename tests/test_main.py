"""The command line: what goes to stdout and stderr, and the exit status."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import lmm
from lmm.__main__ import main

FORMULA = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture
def sleepstudy_csv(tmp_path):
    path = tmp_path / "data.csv"
    lmm.datasets.load("sleepstudy").to_csv(path, index=False)
    return str(path)


def test_embedded_data_set_prints_the_summary(capsys):
    assert main([FORMULA, "sleepstudy"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{lmm.fit(FORMULA, lmm.datasets.load('sleepstudy'))}\n"
    assert "REML criterion at convergence: 1743.6283" in out
    assert err == ""


def test_file_gives_the_same_fit(capsys, sleepstudy_csv):
    assert main([FORMULA, sleepstudy_csv]) == 0
    from_file = capsys.readouterr().out
    main([FORMULA, "sleepstudy"])
    assert from_file == capsys.readouterr().out


def test_ml(capsys):
    assert main([FORMULA, "sleepstudy", "--ml"]) == 0
    out = capsys.readouterr().out
    assert "fit by maximum likelihood" in out
    assert "1751.939" in out


def test_file_wins_over_an_embedded_data_set(capsys, tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"y": rng.normal(size=12), "g": np.repeat([1, 2, 3], 4)})
    frame["y"] += 10.0 * frame["g"]
    frame.to_csv(tmp_path / "sleepstudy", index=False)
    monkeypatch.chdir(tmp_path)
    assert main(["y ~ 1 + (1 | g)", "sleepstudy"]) == 0
    out, err = capsys.readouterr()
    assert "Number of obs: 12, groups: g, 3" in out
    assert err == "lmm: note: 'sleepstudy' is a file here and also an embedded data set; the file is read\n"


def test_directory_of_that_name_does_not_hide_the_data_set(capsys, tmp_path, monkeypatch):
    (tmp_path / "sleepstudy").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main([FORMULA, "sleepstudy"]) == 0
    assert capsys.readouterr().err == ""


def test_warning_is_one_line_without_source(capsys):
    assert main(["Yield ~ 1 + (1 | Batch)", "dyestuff2"]) == 0
    out, err = capsys.readouterr()
    assert "Variance" in out
    assert err.startswith("lmm: warning: The random effects of 'Batch' (Intercept) have an estimated variance of zero")
    assert err.count("\n") == 1
    assert ".py" not in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["Reaction ~ Dayz + (1 | Subject)", "sleepstudy"], ["'Dayz'", "'Days'", "^^^^"]),
        (["Reaction ~ Days | Subject", "sleepstudy"], ["parentheses"]),
        (["Reaction ~ Days", "sleepstudy"], ["random term"]),
        ([FORMULA, "nowhere.csv"], ["'nowhere.csv'", "neither a file", "lamb, pig_weights"]),
        ([FORMULA, "sleepstdy"], ["Did you mean 'sleepstudy'?"]),
    ],
)
def test_errors_say_what_is_wrong(capsys, arguments, words):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("lmm: error: ")
    assert "Traceback" not in err
    for word in words:
        assert word in err


def test_directory_and_unreadable_files(capsys, tmp_path):
    assert main([FORMULA, str(tmp_path)]) == 2
    assert "is a directory" in capsys.readouterr().err
    for name, content in {
        "empty.csv": b"",
        "ragged.csv": b"a,b\n1,2\n1,2,3\n",
        "binary.csv": b"\xff\xfe\x00\x81",
    }.items():
        path = tmp_path / name
        path.write_bytes(content)
        assert main([FORMULA, str(path)]) == 2
        err = capsys.readouterr().err
        assert "cannot be read as a CSV file" in err
        assert err.count("\n") == 1


def test_help_and_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    shown = capsys.readouterr().out
    for word in ("formula", "CSV file", "--ml", "sleepstudy", "insteval", "exit status"):
        assert word in shown
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"lmm {lmm.__version__}\n"


def test_usage_error_exits_with_2(capsys):
    with pytest.raises(SystemExit, match="2"):
        main([FORMULA])
    assert "data" in capsys.readouterr().err


def run(*arguments):
    command = [sys.executable, "-m", "lmm", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own interpreter


def test_as_a_process():
    good = run(FORMULA, "sleepstudy")
    assert good.returncode == 0
    assert "Number of obs: 180, groups: Subject, 18" in good.stdout
    bad = run(FORMULA, "nowhere.csv")
    assert bad.returncode == 2
    assert bad.stdout == ""
    assert "Traceback" not in bad.stderr
