"""Draw how data flows one way, from the contract that import-linter holds the packages to.

    python docs/tools/layers.py

Writes ``docs/images/layers.svg``, which ARCHITECTURE.md shows. What each layer is stands in its ``__init__.py``.
"""

from __future__ import annotations

import ast
import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "docs" / "images" / "layers.svg"

_WIDTH, _HEIGHT, _GAP, _LEFT = 980, 34, 8, 40


def layers() -> list[tuple[str, str]]:
    """Return every layer with what it is, the highest first, as pyproject.toml lists them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    (names,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    return [(name.removeprefix("digitlab."), _purpose(name)) for name in names]


def _purpose(module: str) -> str:
    """Return the first sentence of a package's or module's docstring."""
    path = ROOT / "src" / Path(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = " ".join((ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "").split("\n\n")[0].split())
    return text.split(". ")[0].removesuffix(".").replace("``", "").replace('"', "'")


def to_svg(rows: list[tuple[str, str]]) -> str:
    """Return the picture: a box a layer, and one arrow past them all."""
    height = len(rows) * (_HEIGHT + _GAP) + _GAP
    title = "The layers of digitlab; each imports only what is below it"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img" font-family="system-ui, sans-serif" font-size="14"><title>{title}</title>',
        f'<rect width="{_WIDTH}" height="{height}" rx="8" fill="#fff"/>',
        f'<path d="M20 {_GAP + 4}V{height - _GAP - 6}m-6-8l6 8l6-8" fill="none" stroke="#666" stroke-width="2"/>',
    ]
    for k, (name, purpose) in enumerate(rows):
        top = _GAP + k * (_HEIGHT + _GAP)
        parts.append(
            f'<rect x="{_LEFT}" y="{top}" width="{_WIDTH - _LEFT - _GAP}" height="{_HEIGHT}" rx="6" fill="#eef3fb" '
            f'stroke="#9db4d6"/><text x="{_LEFT + 12}" y="{top + 22}" font-weight="600" fill="#123">'
            f'{escape(name)}</text><text x="{_LEFT + 120}" y="{top + 22}" fill="#345">{escape(purpose)}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


def main() -> None:
    """Write the picture."""
    PICTURE.write_text(to_svg(layers()), "utf-8")


if __name__ == "__main__":
    main()
