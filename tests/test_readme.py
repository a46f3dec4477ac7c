"""README and documentation: their Python prints what they show; the README's commands and lists are the package's."""

import importlib.util
import re
from pathlib import Path

import pytest

import lmm

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# The documentation runs its pages by the same rules when it is built.
SPEC = importlib.util.spec_from_file_location("executed", ROOT / "docs" / "executed.py")
executed = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(executed)

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_print_what_they_show(page):
    assert executed.differences(page.read_text(encoding="utf-8"), page.name) == ""


def test_a_page_that_shows_another_number_is_found():
    page = "# Title\n\n```python\n>>> 1 + 1\n3\n```\n"
    assert 'File "page", line 4' in executed.differences(page, "page")
    assert executed.differences(page.replace("3", "2"), "page") == ""


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


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_no_section_stands_twice(page):
    version = page.read_text(encoding="utf-8").split("\n## 0.")[-1]
    headings = re.findall(r"(?m)^##+ .*$", re.sub(r"(?ms)^```.*?^```", "", version))
    assert len(set(headings)) == len(headings)


def test_every_page_is_listed_once():
    listed = [
        name
        for tree in re.findall(r"(?s)```{toctree}\n(.*?)```", (ROOT / "docs" / "index.md").read_text(encoding="utf-8"))
        for name in tree.splitlines()
        if name and not name.startswith(":")
    ]
    pages = [page.stem for page in PAGES if page.parent.name == "docs" and page.stem != "index"]
    assert sorted(listed) == sorted(pages)


def test_every_public_name_is_in_the_reference_once():
    reference = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    listed = re.findall(r"(?m)^   ~?([a-z_0-9.]*\w+)$", reference)
    public = [*lmm.__all__, *(f"plots.{name}" for name in lmm.plots.__all__)]
    modules = {"datasets", "diagnostics", "plots"}
    assert len(set(listed)) == len(listed)
    assert set(public) - modules <= set(listed)


def test_citation_and_changelog_have_the_version():
    assert f"version: {lmm.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## {lmm.__version__} " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
