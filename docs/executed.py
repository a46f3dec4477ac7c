"""Running the Python blocks of a page: what they show must be what they print."""  # noqa: INP001 - not a package

from __future__ import annotations

import doctest


def as_doctest(markdown: str) -> str:
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


def differences(markdown: str, name: str) -> str:
    """What the blocks of a page print otherwise than they show, in doctest's words; empty where nothing differs."""
    test = doctest.DocTestParser().get_doctest(as_doctest(markdown), {}, name, name, 0)
    said: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=said.append)
    return "".join(said)
