"""Make the site's pages that are made from the program itself: Python, commands, HTTP, glossary; and the root's papers.

Called by docs/conf.py. The pages are not kept in the repository, so that none can be out of date:

- ``docs/reference/python.md`` from the docstrings of the public names (Sphinx fills it),
- ``docs/reference/commands.md`` from what ``--help`` says,
- ``docs/reference/http.md`` from ``/openapi.json``,
- ``docs/reference/glossary.md`` from what ``digitlab learn`` says,
- ``docs/project/*.md`` from the papers that stand beside what they are about: ARCHITECTURE, model cards and others.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import re
from pathlib import Path
from typing import Any

#: The headings of the Python reference, in the order of the layers.
HEADINGS = {
    "data": "Data",
    "network": "Layers",
    "engine": "Models",
    "runs": "Runs",
    "training": "Training",
    "evaluation": "Evaluation",
    "exporting": "Export",
    "reading": "Reading",
    "values": "Results",
    "errors": "Errors",
}
#: The papers that are pages too, and how they are called there.
PAPERS = {
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
    "examples/README.md": "examples.md",
    "src/digitlab/reading/model/MODEL_CARD.md": "model-card.md",
    "src/digitlab/reading/model/FINDER_CARD.md": "finder-card.md",
    "src/digitlab/reading/model/SECOND_LOOK_CARD.md": "second-look-card.md",
}
_LINK = re.compile(r"\[((?:[^\[\]]|`[^`]*`)*)\]\(([^)\s]+)\)")


def write_all(root: Path) -> None:
    """Write every page whose text has changed."""
    docs = root / "docs"
    pages = {
        "reference/python.md": python_page(),
        "reference/commands.md": commands_page(),
        "reference/http.md": http_page(),
        "reference/glossary.md": glossary_page(),
        **{
            f"project/{to}": relinked((root / name).read_text("utf-8"), root, (root / name).parent, docs / "project")
            for name, to in PAPERS.items()
        },
    }
    for name, text in pages.items():
        file = docs / name
        file.parent.mkdir(exist_ok=True)
        if not file.is_file() or file.read_text("utf-8") != text:
            file.write_text(text, "utf-8")


def python_page() -> str:
    """Return the page of the public names, which autodoc fills."""
    import digitlab

    groups: dict[str, list[str]] = {}
    for name in digitlab.__all__:
        home = getattr(digitlab, name).__module__.split(".")[1]
        groups.setdefault(home, []).append(name)
    parts = [
        "# Python\n\nEverything is in `import digitlab as dl`, and is imported when it is first used. The names and "
        "what they take stay as they are within a version's first number.\n"
    ]
    for home in sorted(groups, key=[*HEADINGS, *groups].index):
        parts.append(f"## {HEADINGS.get(home, home.title())}\n\n```{{eval-rst}}\n.. currentmodule:: digitlab\n")
        for name in sorted(groups[home], key=str.lower):
            found = getattr(digitlab, name)
            if isinstance(found, type):
                members = "" if issubclass(found, Exception) else "\n   :members:"
                parts.append(f".. autoclass:: {name}{members}\n")
            else:
                parts.append(f".. autofunction:: {name}\n")
        if home == "errors":
            parts += [f".. autoexception:: digitlab.errors.{name}\n   :show-inheritance:\n" for name in _errors()]
        parts.append("```\n")
    return "\n".join(parts)


def _errors() -> list[str]:
    errors = importlib.import_module("digitlab.errors")
    base = errors.DigitlabError
    return [
        name
        for name, found in vars(errors).items()
        if isinstance(found, type) and issubclass(found, base) and found is not base
    ]


def commands_page() -> str:
    """Return the page of all commands, as cyclopts writes it."""
    from digitlab.cli.app import build_app

    app = build_app()
    app.resolved_commands()
    text = app.generate_docs()
    begin, end = text.index("## Table of Contents"), text.index("**Commands**:")
    text = text[:begin] + text[end:].replace("**Commands**:\n\n", "", 1)
    # What is meant as it stands: <, and * and _ within words.
    return text.replace("# digitlab\n", "# Commands\n", 1).rstrip() + "\n"


def http_page() -> str:
    """Return the page of the HTTP API: every path with what it takes and answers."""
    from digitlab.serving.api import build_api
    from digitlab.serving.service import Service

    service = Service()
    try:
        api: dict[str, Any] = build_api(service).openapi()
    finally:
        service.close()
    parts = [
        "# HTTP",
        "`digitlab serve` answers programs, and so does the page's server. The whole description, for programs, is at "
        "`/openapi.json`; how to ask is in [use it from curl](../how-to/use-from-curl.md).",
    ]
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            parts.append(f"## {method.upper()} {path}")
            parts.append(operation.get("description") or operation.get("summary", ""))
            if rows := [_parameter(one) for one in operation.get("parameters", [])]:
                parts.append("\n".join(["| parameter | what |", "| --- | --- |", *rows]))
            if body := operation.get("requestBody"):
                parts.append("Takes " + ", ".join(f"`{kind}`" for kind in body["content"]) + ".")
            rows = [f"| {code} | {_line(one['description'])} |" for code, one in sorted(operation["responses"].items())]
            parts.append("\n".join(["| answer | what |", "| --- | --- |", *rows]))
    return "\n\n".join(parts) + "\n"


def _parameter(parameter: dict[str, Any]) -> str:
    schema = parameter.get("schema", {})
    default = f" Default: `{json.dumps(schema['default'])}`." if schema.get("default") is not None else ""
    what = parameter.get("description") or schema.get("description", "")
    return f"| `{parameter['name']}` | {_line(what)}{default} |"


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def glossary_page() -> str:
    """Return the glossary: what `digitlab learn` says of every term, in the order of the alphabet."""
    titles = _learn()
    parts = [
        "# Glossary",
        "The same texts that the page shows beside its charts and `digitlab learn TERM` in the terminal, which also "
        "tell the numbers of a network of yours. Here they are those of the codelab's.",
    ]
    for name, title in sorted(titles.items(), key=lambda pair: pair[1].strip("“”").lower()):
        found = _learn(name)
        first, *others = (_escaped(text) for text in found["text"])
        formula = [f"    {found['formula']}"] if found["formula"] else []
        see = ", ".join(f"[{titles[other]}](#{other.replace('_', '-')})" for other in found["see"])
        parts += [f"({name.replace('_', '-')})=\n## {title}", first, *formula, *others]
        if found["here"]:
            parts += ["*In the codelab's network*: " + _escaped(" ".join(found["here"]))]
        parts += [f"See also: {see}."] if see else []
    return "\n\n".join(parts) + "\n"


def _learn(*term: str) -> Any:
    from digitlab.cli.app import main

    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = main(["learn", *term, "--json"])
    if code != 0:
        raise RuntimeError(f"digitlab learn {' '.join(term)} has failed with code {code}.")
    return json.loads(out.getvalue())


def _escaped(text: str) -> str:
    return re.sub(r"([\\*_`<\[$])", r"\\\1", text)


def relinked(text: str, root: Path, old: Path, new: Path) -> str:
    """Return a page of the folder ``old`` as it stands in ``new``: its links lead where they led.

    A link to a paper leads to its page. A folder is no page, so its link is dropped and its name stays.
    """

    def moved(match: re.Match[str]) -> str:
        words, target = match[1], match[2]
        if re.match(r"(https?:|mailto:|#)", target):
            return match[0]
        file, sharp, place = target.partition("#")
        path = Path(os.path.normpath(old / file))
        if path.is_dir():
            return words
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else ""
        if name in PAPERS:
            path = root / "docs" / "project" / PAPERS[name]
        return f"[{words}]({Path(os.path.relpath(path, new)).as_posix()}{sharp}{place})"

    return _LINK.sub(moved, text)
