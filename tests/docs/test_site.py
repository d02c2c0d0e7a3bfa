"""The site: it builds without a warning, its links lead somewhere, and its reference leaves nothing out."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import digitlab as dl
from digitlab.cli import app as command_line

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "docs" / "tools"
OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")


@pytest.fixture(scope="module")
def generated() -> ModuleType:
    """Return the module that makes the pages of the reference."""
    spec = importlib.util.spec_from_file_location("generated_pages", TOOLS / "generated_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def helped(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what ``--help`` says of a command, without breaks within a line."""
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("NO_COLOR", "1")
    assert command_line.main([*command.split(), "--help"]) == 0
    return capsys.readouterr().out


def test_every_option_of_every_command_is_documented(
    generated: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    page = generated.commands_page()
    # Verbs of a command have sections of their own below it.
    sections = dict(re.findall(r"^##+ digitlab ([^\n]+)\n(.*?)(?=^##+ |\Z)", page, re.MULTILINE | re.DOTALL))
    assert [command for command in sections if " " not in command] == list(command_line._COMMANDS)
    assert {"runs name", "runs note", "runs delete", "runs restore"} <= set(sections)
    for command, section in sections.items():
        # In the list of options a line begins with a name; elsewhere others' may be told.
        lines = re.findall(r"^│[ *]+(--.*)$", helped(command, capsys, monkeypatch), re.MULTILINE)
        options = {name for line in lines for name in OPTION.findall(line.split("  ")[0])}
        documented = {
            name for line in re.findall(r"^\* `(.*?)`", section, re.MULTILINE) for name in OPTION.findall(line)
        }
        assert options
        assert options == documented, command


def test_every_public_name_is_in_the_reference(generated: ModuleType):
    page = generated.python_page()
    named = re.findall(r"^\.\. auto(?:class|function|exception):: (\w+)$", page, re.MULTILINE)
    assert sorted(named) == sorted(dl.__all__)


def test_every_path_of_the_api_is_in_the_reference(generated: ModuleType):
    page = generated.http_page()
    pinned = json.loads((ROOT / "tests" / "pins" / "openapi.json").read_text("utf-8"))
    for path, methods in pinned["paths"].items():
        for method in methods:
            assert f"## {method.upper()} {path}\n" in page


def test_every_term_is_in_the_glossary(generated: ModuleType):
    page = generated.glossary_page()
    titles = generated._learn()
    assert len(titles) > 30
    for name, title in titles.items():
        assert f"({name.replace('_', '-')})=\n## {title}\n" in page


def test_links_of_a_paper_lead_from_its_page_where_they_led(generated: ModuleType):
    text = (
        "[a](docs/tutorial/codelab.md#x) [b](src/digitlab) [c](benchmarks/README.md) [d](https://example.org) [e](#e)"
    )
    moved = generated.relinked(text, ROOT, ROOT, ROOT / "docs" / "project")
    assert moved == "[a](../tutorial/codelab.md#x) b [c](benchmarks.md) [d](https://example.org) [e](#e)"


def shown_lines(prefix: str) -> set[str]:
    """Return the lines of all pages' and papers' blocks of shell that begin with a word, without their comments."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "examples").glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    blocks = [block for page in pages for block in re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.DOTALL)]
    lines = {re.split(r"\s+#", line)[0].strip() for block in blocks for line in block.splitlines()}
    return {line for line in lines if re.match(rf"{prefix}\b", line)}


def test_every_command_that_is_shown_exists_with_its_options(generated: ModuleType):
    sections = dict(re.findall(r"^## digitlab (\S+)\n(.*?)(?=^## |\Z)", generated.commands_page(), re.M | re.S))
    lines = shown_lines("digitlab") - {"digitlab", "digitlab --version"}
    assert len(lines) > 30
    for line in lines:
        command = line.split()[1]
        assert command in sections, line
        for option in OPTION.findall(line):
            assert re.search(rf"^\* `[^`]*{option}\b", sections[command], re.MULTILINE), line


def test_every_make_that_is_shown_is_a_target():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    lines = shown_lines("make")
    assert len(lines) > 5
    for line in lines:
        assert re.search(rf"^{line.split()[1]}:", makefile, re.MULTILINE), line


@pytest.mark.slow
def test_site_builds_without_a_warning_and_its_links_lead_somewhere(tmp_path: Path):
    for package in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(package, reason="the site is made by sphinx, myst-parser and furo: requirements-docs.txt")
    build = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--nitpicky", "--quiet"]
    done = subprocess.run([*build, str(ROOT / "docs"), str(tmp_path)], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    checked = subprocess.run(
        [sys.executable, str(TOOLS / "links.py"), str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert checked.returncode == 0, checked.stdout


def test_a_link_that_leads_nowhere_and_a_part_from_elsewhere_are_found(tmp_path: Path):
    (tmp_path / "a.html").write_text(
        '<p id="x"><a href="b.html"></a><a href="#x"></a><a href="#y"></a><a href="https://example.org"></a>'
        '<script src="https://example.org/x.js"></script><link href="a.html" rel="next"></p>'
    )
    done = subprocess.run([sys.executable, str(TOOLS / "links.py"), str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "a.html: needs https://example.org/x.js from another server.",
        "a.html: there is no b.html.",
        "a.html: #y has no such place.",
        "1 pages, 3 links that lead nowhere or elsewhere",
    ]


@pytest.mark.parametrize(
    "paper", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md"]
)
def test_links_of_the_papers_lead_somewhere(paper: str):
    file = ROOT / paper
    links = re.findall(r"\]\(([^)\s]+)\)", file.read_text("utf-8"))
    for link in links:
        if not link.startswith(("http", "#")):
            assert (file.parent / link.partition("#")[0]).exists(), link
