"""README and documentation: their Python prints what they show; the README's commands and lists are the package's."""

import doctest
import re
from pathlib import Path

import pytest

import lmm

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def as_doctest(markdown):
    """Python blocks of a page as one doctest, each at its line; empty lines within an output are marked as such."""
    lines, inside, shown = [], False, False
    for line in markdown.splitlines():
        if line.startswith("```"):
            inside, shown = line == "```python", False
            lines.append("")
        elif not inside:
            lines.append("")
        else:
            shown = shown or line.startswith(">>> ")
            lines.append(line if line or not shown else "<BLANKLINE>")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_print_what_they_show(page):
    text = as_doctest(page.read_text(encoding="utf-8"))
    test = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
    said = []
    doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=said.append)
    assert not said, "".join(said)


def test_pages_have_examples():
    assert README.count(">>> ") > 10
    assert len(PAGES) > 5


@pytest.mark.parametrize("command", ["pip install . && python examples/lamb.py", 'pip install ".[test]" && pytest'])
def test_commands_stand_on_lines_of_their_own(command):
    assert README.splitlines().count(command) == 1


def test_every_data_set_is_listed():
    listed = README.partition("## Data sets")[2].partition("##")[0]
    assert tuple(re.findall(r"`(\w+)`", listed)) == lmm.datasets.names()


def test_every_example_is_named():
    for path in (ROOT / "examples").glob("*.py"):
        assert f"`{path.name}`" in README


def test_citation_and_changelog_have_the_version():
    assert f"version: {lmm.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## {lmm.__version__} " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
