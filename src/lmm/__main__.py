"""The command line: ``python -m lmm "Reaction ~ Days + (Days | Subject)" data.csv`` prints the summary of a fit."""

from __future__ import annotations

import argparse
import sys
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

import lmm
from lmm import datasets
from lmm.errors import DataError, LMMError, LMMWarning
from lmm.frames import near_matches

# Exit status when the fit cannot be made; argparse uses the same for a call it does not understand.
FAILURE = 2

_EPILOG = f"""\
example:
  python -m lmm "Reaction ~ Days + (Days | Subject)" sleepstudy

The exit status is 0, or 2 when the data cannot be read or the model not fitted.

embedded data sets:
{textwrap.fill(", ".join(datasets.names()), 78, initial_indent="  ", subsequent_indent="  ")}
"""


def main(argv: Sequence[str] | None = None) -> int:
    """
    Fit a model and print its summary; warnings, each on one line, and errors go to stderr.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments of the command line; those of the process when None.

    Returns
    -------
    int
        Exit status: 0, or 2 when the data cannot be read or the model not fitted.
    """
    arguments = _parser().parse_args(argv)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LMMWarning)
        try:
            output, status = str(lmm.fit(arguments.formula, _frame(arguments.data), reml=not arguments.ml)), 0
        except LMMError as error:
            output, status = str(error), FAILURE
    for warning in caught:
        _say(f"warning: {_one_line(warning.message)}")
    if status:
        _say(f"error: {output}")
    else:
        print(output)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lmm",
        description="Fit a Gaussian linear mixed model and print its summary.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "formula",
        help='the model in the language of lme4, in quotes: "y ~ x + (x | group)"',
    )
    parser.add_argument(
        "data",
        help="a CSV file with a header line, or the name of an embedded data set; a file of that name wins",
    )
    parser.add_argument("--ml", action="store_true", help="maximum likelihood (the default is REML)")
    parser.add_argument("--version", action="version", version=f"lmm {lmm.__version__}")
    return parser


def _frame(data: str) -> pd.DataFrame:
    """Read a CSV file, or load an embedded data set where no file has that name."""
    path = Path(data)
    embedded = data in datasets.names()
    if path.is_dir() or not path.exists():
        if embedded:
            return datasets.load(data)
        near = near_matches(data, datasets.names())
        hint = f"Did you mean {near[0]!r}? " if near else ""
        what = "is a directory, not a CSV file" if path.is_dir() else "is neither a file nor an embedded data set"
        raise DataError(f"{data!r} {what}. {hint}Embedded data sets: {', '.join(datasets.names())}.")
    if embedded:
        _say(f"note: {data!r} is a file here and also an embedded data set; the file is read")
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{data!r} cannot be read as a CSV file: {_one_line(error)}") from error


def _one_line(message: object) -> str:
    return " ".join(str(message).split())


def _say(text: str) -> None:
    print(f"lmm: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
