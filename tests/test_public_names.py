"""The public names: listed once, importable, known to type checkers, and slow to import only when used."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import digitlab


def imported_for_type_checkers():
    """Return the names under TYPE_CHECKING with the modules they come from."""
    tree = ast.parse(Path(digitlab.__file__).read_text("utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    return {
        name.name: node.module.removeprefix("digitlab.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }


def test_the_list_of_names_is_that_of_their_homes():
    assert sorted(digitlab.__all__) == sorted(digitlab._HOMES)
    assert len(set(digitlab.__all__)) == len(digitlab.__all__)


def test_type_checkers_see_the_same_names_from_the_same_places():
    seen = imported_for_type_checkers()
    assert set(seen) == set(digitlab._HOMES)
    for name in seen:
        home = importlib.import_module(f"digitlab.{digitlab._HOMES[name]}")
        assert getattr(importlib.import_module(f"digitlab.{seen[name]}"), name) is getattr(home, name)


@pytest.mark.parametrize("name", digitlab.__all__)
def test_every_name_can_be_imported_and_has_a_docstring(name):
    assert getattr(digitlab, name).__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'digitlab' has no attribute 'cnn'"):
        digitlab.cnn  # noqa: B018
    for name in ("layers", "models", "datasets", "optimizers", "utils"):
        with pytest.raises(AttributeError, match=f"module 'digitlab' has no attribute '{name}': "):
            getattr(digitlab, name)


def test_names_are_listed_for_completion():
    assert {*digitlab.__all__, "__version__"} == set(dir(digitlab))


def test_importing_digitlab_waits_for_neither_numba_nor_numpy():
    code = "import sys, digitlab; print(*sys.modules)"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in child.stdout.split()}
    assert "digitlab" in loaded
    assert not loaded & {"numba", "llvmlite", "numpy", "PIL", "rich", "cyclopts", "safetensors"}


def test_the_version_stands_in_one_place():
    import tomllib

    root = Path(digitlab.__file__).parents[2]
    if not (root / "pyproject.toml").is_file():
        pytest.skip("the package is installed without its source tree")
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    home = root / project["tool"]["hatch"]["version"]["path"]
    assert f'__version__ = "{digitlab.__version__}"' in home.read_text("utf-8")
    assert f"version: {digitlab.__version__}" in (root / "CITATION.cff").read_text("utf-8")
