"""Markdown tables, and the sections of a page that a script writes anew."""

import datetime as dt
import re
from collections.abc import Sequence
from pathlib import Path

from processes import Package, machine


def provenance(packages: Sequence[Package]) -> list[str]:
    """Give the paragraphs that say when, where and with what was measured."""
    when = dt.datetime.now(tz=dt.UTC).date().isoformat()
    versions = "\n".join(f"- {package.versions}" for package in packages)
    return [f"Measured on {when}: {machine()}.", *([versions] if versions else [])]


def table(header: Sequence[str], rows: Sequence[Sequence[str]], n_left: int = 1) -> str:
    """Markdown table, padded so that it reads as plain text too; all but the first columns are aligned right."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if i < n_left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "| " + " | ".join(padded) + " |"

    rule = ("-" * width if i < n_left else "-" * (width - 1) + ":" for i, width in enumerate(widths))
    return "\n".join([line(header), "| " + " | ".join(rule) + " |", *map(line, rows)])


def write_section(page: Path, name: str, text: str) -> None:
    """Replace what stands between the marks of a section in a page; add the section if it is not there."""
    begin, end = f"<!-- {name}: written by benchmarks/{name}.py -->", f"<!-- {name}: end -->"
    old = page.read_text(encoding="utf-8") if page.exists() else ""
    section = f"{begin}\n\n{text.strip()}\n\n{end}"
    pattern = re.escape(begin) + ".*?" + re.escape(end)
    if re.search(pattern, old, flags=re.DOTALL):
        new = re.sub(pattern, lambda _: section, old, flags=re.DOTALL)
    else:
        new = f"{old.rstrip()}\n\n{section}\n".lstrip()
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(new, encoding="utf-8")


def milliseconds(seconds: float) -> str:
    """Three significant digits, never fewer than the whole milliseconds."""
    ms = seconds * 1e3
    decimals = 2 if ms < 10.0 else 1 if ms < 100.0 else 0  # noqa: PLR2004
    return f"{ms:,.{decimals}f}"
