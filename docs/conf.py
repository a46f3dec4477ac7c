"""How Sphinx builds the documentation: ``sphinx-build -W docs docs/_build``."""  # noqa: INP001 - not a package

import sys
from pathlib import Path

from docutils.nodes import Element, TextElement
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

import lmm

sys.path.insert(0, str(Path(__file__).parent))
from executed import differences

project = "lmm"
author = "The lmm developers"
project_copyright = author
version = release = lmm.__version__

extensions = [
    "matplotlib.sphinxext.plot_directive",
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
]
exclude_patterns = ["_build", "generated/datasets.md"]
templates_path = ["_templates"]
default_role = "py:obj"

myst_enable_extensions = ["amsmath", "deflist", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

plot_include_source = False
plot_html_show_source_link = False
plot_html_show_formats = False
plot_formats = [("png", 120)]
plot_rcparams = {"figure.max_open_warning": 0}

html_theme = "pydata_sphinx_theme"
html_title = f"lmm {release}"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False, "navbar_center": []}
html_sidebars = {"**": ["pages.html"]}
toc_object_entries_show_parents = "hide"


def _describe_datasets() -> None:
    """Write the descriptions of the data sets, which the page about them includes."""
    sections = [f"## {name}\n\n```text\n{lmm.datasets.describe(name)}\n```\n" for name in lmm.datasets.names()]
    page = Path(__file__).parent / "generated" / "datasets.md"
    page.parent.mkdir(exist_ok=True)
    page.write_text("\n".join(sections), encoding="utf-8")


_describe_datasets()


def _execute(_: Sphinx, page: str, source: list[str]) -> None:
    """Run the Python blocks of a page: with ``-W`` the build fails where they print something else than they show."""
    said = differences(source[0], page)
    if said:
        logging.getLogger(__name__).warning("the page shows what its code does not print:\n%s", said, location=page)


def _signature(_: Sphinx, what: str, name: str, *__: object) -> tuple[str, str] | None:
    """Classes that the library makes, and not its users, have no arguments to show."""
    return ("", "") if what == "class" and name not in {"lmm.Control", "lmm.Priors"} else None


def _elsewhere(app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: TextElement) -> Element | None:
    """Find a public name that another module documents, such as `FittedModel.profile`."""
    if node.get("refdomain") != "py":
        return None
    target = f"lmm.{node['reftarget']}"
    return env.domains["py"].resolve_xref(env, node["refdoc"], app.builder, "obj", target, node, contnode)


def setup(app: Sphinx) -> None:
    """Run every page that is read, link names across modules, show no constructors of what only the library makes."""
    app.connect("source-read", _execute)
    app.connect("missing-reference", _elsewhere)
    app.connect("autodoc-process-signature", _signature)
