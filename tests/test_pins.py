"""Pins: what people rely on is what is kept in tests/pins; whoever changes it on purpose renews the kept files.

::

    make pins    # or: RENEW_PINS=1 python -m pytest tests/test_pins.py

writes them anew; their difference belongs into the same commit as what changed. They are compared as they are made
with everything in requirements-test.txt installed.
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.util
import inspect
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from starlette.types import ASGIApp, Message

import digitlab as dl
from digitlab.cli import app as command_line

PINS = Path(__file__).parent / "pins"
RENEW = "RENEW_PINS"
WIDTH = "100"
SMALL = "--network dense_baseline --train-images 64 --validation-images 32 --batch-size 32 --epochs 1"

# Command lines that take no time, in an empty folder.
COMMAND_LINES = (
    "--version", "--help", "train --help", "runs", "runs --json", "trian", "train --epoch 3", "train extra",
    "train --epochs 2.5", "train --network no_such", "train --batch-size 0", "train --resume", "train --repeat none",
    "evaluate", "evaluate latest", "evaluate latest --split tset", "predict", "read", "read --json --csv photo.jpg",
    "read --grid 1x1 photo.jpg", "summary", "summary no_such", "export", "export latest --format onnx",
    "serve --port 99999", "serve --host 0.0.0.0", "studio --host 0.0.0.0",
)  # fmt: skip


def kept(name: str, found: str) -> None:
    """Hold a text to the kept one of that name, or keep it."""
    file = PINS / name
    if os.environ.get(RENEW):
        file.write_text(found, "utf-8")
    assert found.splitlines() == file.read_text("utf-8").splitlines(), f"tests/pins/{name} says otherwise; see above"


def unversioned(text: str) -> str:
    return text.replace(dl.__version__, "VERSION")


def signature(name: str, what: Callable[..., Any]) -> str:
    """Return a name with its parameters, as they are written."""
    shown = str(inspect.signature(what)).replace("self, ", "").replace("(self)", "()")
    # Values as defaults have addresses and long texts.
    return f"{name}{re.sub(r' at 0x[0-9a-f]+', '', shown)}"


def members(name: str, found: type) -> Iterator[str]:
    """Yield a class's fields, attributes, properties and methods that people may use."""
    if dataclasses.is_dataclass(found):
        yield from (f"  .{field.name}: {field.type}" for field in dataclasses.fields(found))
    for attribute in sorted(dir(found)):
        if attribute.startswith(("_", "set_score_")) or attribute in getattr(found, "__dataclass_fields__", {}):
            continue
        origin = next(one for one in found.__mro__ if attribute in one.__dict__)
        if not origin.__module__.startswith("digitlab"):
            continue
        value = inspect.getattr_static(found, attribute)
        if isinstance(value, property):
            yield f"  .{attribute}"
        elif isinstance(value, classmethod | staticmethod):
            yield f"  {signature(attribute, getattr(found, attribute))}"
        elif callable(value):
            yield f"  {signature(attribute, value)}"
        else:
            yield f"  .{attribute}"


def test_public_names_take_what_they_took():
    lines: list[str] = []
    for name in dl.__all__:
        found = getattr(dl, name)
        if not inspect.isclass(found):
            lines.append(signature(name, found))
            continue
        lines.append(signature(f"class {name}", found.__init__).removesuffix(" -> 'None'"))
        lines += members(name, found)
    kept("names.txt", "\n".join(lines) + "\n")


def test_every_help_says_what_it_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", WIDTH)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    texts = []
    for words in ([], *([name] for name in sorted(command_line._COMMANDS))):
        assert command_line.main([*words, "--help"]) == 0
        lines = (line.rstrip() for line in capsys.readouterr().out.splitlines())
        texts.append(f"$ digitlab {' '.join([*words, '--help'])}\n" + "\n".join(lines).strip() + "\n")
    kept("help.txt", unversioned("\n".join(texts)))


def asked(app: ASGIApp, path: str) -> bytes:
    """Return what an app answers to GET, in this process."""
    body = b""

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal body
        body += message.get("body", b"")

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": path,
        "raw_path": path.encode(), "query_string": b"", "headers": [(b"host", b"127.0.0.1:8000")], "scheme": "http",
        "root_path": "", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000), "state": {},
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    return body


def test_the_api_is_described_as_it_was_and_beside_the_page_as_by_itself():
    if not all(map(importlib.util.find_spec, ("h5py", "onnx"))):
        pytest.skip("what can be exported depends on h5py and onnx; install requirements-test.txt")
    from digitlab.serving import server
    from digitlab.serving.service import Service
    from digitlab.studio.app import BesideThePage

    async def page(*_: object) -> None:
        raise AssertionError("the page was asked for the API's description")

    service = Service()
    try:
        alone = json.loads(asked(server.build_api(service), "/openapi.json"))
        beside = json.loads(asked(BesideThePage(page, service), "/openapi.json"))
    finally:
        service.close()
    assert beside == alone
    kept("openapi.json", unversioned(json.dumps(alone, indent=1, sort_keys=True) + "\n"))


def keys(document: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of a JSON document: keys of objects, [] for the elements of arrays, and what kind ends there."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from keys(value, f"{path}.{key}" if path else key)
    elif isinstance(document, list):
        if not document:
            yield f"{path}[]"
        for value in document:
            yield from keys(value, f"{path}[]")
    else:
        is_number = isinstance(document, int | float) and not isinstance(document, bool)
        kind = "number" if is_number else type(document).__name__
        # A source tree that git did not make has no commit.
        yield f"{path} ({'str or NoneType' if path == 'commit' else kind})"


def described(run: Path) -> Iterator[str]:
    """Yield the files of a run, each with its keys."""
    for file in sorted(one for one in run.iterdir() if not one.name.startswith(".")):
        yield file.name
        found: list[str] = []
        if file.suffix == ".json":
            found = [*keys(json.loads(file.read_text("utf-8")))]
        elif file.suffix == ".jsonl":
            found = [one for line in file.read_text("utf-8").splitlines() for one in keys(json.loads(line))]
        elif file.suffix == ".safetensors":
            with safe_open(file, "numpy") as tensors:
                for key, value in (tensors.metadata() or {}).items():
                    try:
                        found += keys(json.loads(value), f"__metadata__.{key}")
                    except ValueError:
                        found += keys(value, f"__metadata__.{key}")
                for key in sorted(tensors.keys()):
                    part = tensors.get_slice(key)
                    found.append(f"{key} {part.get_dtype()} {part.get_shape()}")
        for line in sorted(set(found)):
            yield f"  {line}"


def test_a_run_has_the_files_and_keys_that_it_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from digitlab.training.session import open_session

    monkeypatch.chdir(tmp_path)
    out = tmp_path / "runs"
    assert command_line.main(["train", *SMALL.split(), "--out", str(out), "--name", "complete", "--quiet"]) == 0
    config = dl.TrainConfig(
        network="dense_baseline", train_images=64, validation_images=32, batch_size=32, epochs=1, optimizer="adam"
    )
    session = open_session(config, out, name="interrupted")
    records = session.records()
    next(records)
    session.set_learning_rate(0.002)
    next(records)
    records.close()
    lines = ["$ digitlab train, to its end", *described(out / "complete")]
    lines += ["", "$ digitlab train with Adam, steered and stopped after two batches", *described(out / "interrupted")]
    kept("run.txt", "\n".join(lines) + "\n")


def test_exit_codes_are_what_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DIGITLAB_TOKEN", raising=False)
    lines = [f"{name} {value}" for name, value in sorted(vars(command_line).items()) if name.startswith("EXIT_")]
    lines.append("")
    for words in COMMAND_LINES:
        code = command_line.main(words.split())
        assert "Traceback" not in capsys.readouterr().err
        lines.append(f"{code} digitlab {words}")
    kept("exit-codes.txt", "\n".join(lines) + "\n")
