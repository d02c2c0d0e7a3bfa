"""How Sphinx makes the site of this folder: `make site`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_ROOT / "src"), str(_ROOT / "docs" / "tools")]

import generated_pages  # noqa: E402

import digitlab  # noqa: E402

project = "digitlab"
author = "digitlab contributors"
copyright = "digitlab contributors, Apache-2.0"
version = release = digitlab.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["tools", "README.md"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "digitlab"
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": False}

# The docstrings are numpydoc, with types in prose ("float32 (n, 28, 28, 1)"), which are no references.
napoleon_google_docstring = False
napoleon_use_param = False
napoleon_use_rtype = False
napoleon_use_ivar = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 88
nitpicky = True
nitpick_ignore_regex = [(r"py:(class|exc|obj)", r".*")]


def _relink(app: Any, name: str, source: list[str]) -> None:
    """Let links to papers lead to their pages; in the repository they lead to the papers."""
    folder = (_ROOT / "docs" / name).parent
    source[0] = generated_pages.relinked(source[0], _ROOT, folder, folder)


def _is_foreign(app: Any, kind: str, name: str, found: Any, is_skipped: bool, options: Any) -> bool | None:
    """Leave out what other libraries put into a class."""
    home = str(getattr(found, "__module__", None) or "digitlab")
    return None if home.startswith("digitlab") else True


def setup(app: Any) -> None:
    """Write the pages that are made from the program before Sphinx looks for pages."""
    app.connect("builder-inited", lambda _: generated_pages.write_all(_ROOT))
    app.connect("source-read", _relink)
    app.connect("autodoc-skip-member", _is_foreign)
