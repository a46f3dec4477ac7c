"""Options that the scripts share."""

import argparse
from collections.abc import Callable, Collection
from pathlib import Path

from processes import PEER_VARIABLE, Limits, Package, find_packages

PACKAGES = ("lmm", "lme4", "mixedlm")


def names_among(known: Collection[str]) -> Callable[[str], list[str]]:
    """Give a reader of names with commas between them, for argparse."""

    def read(text: str) -> list[str]:
        unknown = sorted(set(text.split(",")) - set(known))
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
        return text.split(",")

    return read


def add_options(parser: argparse.ArgumentParser, *, repeats: int, timeout: float) -> None:
    """Add what says which packages are measured, how often, and within which limits."""
    default = Limits()
    add = parser.add_argument
    add("--packages", type=names_among(PACKAGES), metavar="NAME,...", help="measure these packages only")
    add("--python-peer", metavar="PATH", help=f"interpreter that has mixedlm; else the variable {PEER_VARIABLE}")
    add("--repeats", type=int, default=repeats, help="processes for each workload and package (%(default)s)")
    add("--seconds", type=float, default=default.seconds, help="spent on repeats in a process (%(default)s)")
    add("--long", type=float, default=default.long, help="seconds from which one fit is enough (%(default)s)")
    add("--timeout", type=float, default=timeout, help="seconds a process may take (%(default)s)")
    add("--memory", type=float, default=default.memory, help="GiB of address space a process may take (%(default)s)")
    add("--out", type=Path, metavar="PAGE", help="Markdown page to write the result into")


def limits_of(options: argparse.Namespace) -> Limits:
    """Collect the limits that were asked for."""
    return Limits(options.seconds, options.long, options.timeout, options.memory)


def packages_of(options: argparse.Namespace) -> list[Package]:
    """List the packages that are there and were asked for."""
    found = find_packages(options.python_peer)
    return [package for package in found if options.packages is None or package.name in options.packages]
