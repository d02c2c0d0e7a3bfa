"""Follow a batch, a photo and a request through digitlab, and name the files that they enter.

    python docs/tools/journeys.py            # three lists and their lengths
    python docs/tools/journeys.py --write    # the same into ARCHITECTURE.md

Everything is done once before, so that what is loaded, compiled and cached at first does not count. Then a file is
*entered* when one of its functions is called, in any thread (`sys.setprofile`). Compiled functions call each other
without Python's knowledge. So a file of kernels counts as entered when a function that was entered names one of its
compiled functions, or when such a function names another: that is what may run, rather more than what does.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import io
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "digitlab"
ARCHITECTURE = ROOT / "ARCHITECTURE.md"

#: What each journey is, as ARCHITECTURE.md heads it.
TITLES = {"batch": "A batch is trained", "photo": "A photo is read", "request": "A request is answered"}
_PATIENCE_S = 60.0


@dataclass
class Journey:
    """The files that were entered, in the order in which they were, and those of kernels."""

    called: list[Path] = field(default_factory=list)
    kernels: list[Path] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.called) + len(self.kernels)


class Tracer:
    """Notes the first call of every function of digitlab while ``following``; install it before any thread begins."""

    def __init__(self) -> None:
        self._is_on = False
        self._seen: dict[CodeType, dict[str, Any]] = {}
        threading.setprofile(self._note)
        sys.setprofile(self._note)

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        if self._is_on and event == "call" and frame.f_code not in self._seen:
            self._seen[frame.f_code] = frame.f_globals

    def follow(self, what: Callable[[], object]) -> Journey:
        """Do something and return the journey."""
        self._seen = {}
        self._is_on = True
        try:
            what()
        finally:
            self._is_on = False
        return _journey(self._seen)


def _journey(seen: dict[CodeType, dict[str, Any]]) -> Journey:
    journey = Journey()
    compiled: dict[int, Any] = {}
    for code, names in list(seen.items()):
        file = Path(code.co_filename)
        # A class or a module that is made on the way has a body, which is no function.
        if PACKAGE in file.parents and code.co_flags & 0x2:  # CO_NEWLOCALS
            if file not in journey.called:
                journey.called.append(file)
            _gather(code, names, compiled)
    files = {Path(sys.modules[one.__module__].__file__ or "") for one in compiled.values()}
    journey.kernels = sorted(file for file in files - set(journey.called) if PACKAGE in file.parents)
    return journey


def _gather(code: CodeType, names: dict[str, Any], compiled: dict[int, Any]) -> None:
    """Add the compiled functions that a function names, and those that they name."""
    for found in _named(code, names):
        if id(found) not in compiled:
            compiled[id(found)] = found
            if (function := getattr(found, "py_func", None)) is not None:
                _gather(function.__code__, function.__globals__, compiled)


def _named(code: CodeType, names: dict[str, Any]) -> Iterator[Any]:
    for name in code.co_names:
        found = names.get(name)
        is_own = isinstance(found, ModuleType) and found.__name__.startswith("digitlab.")
        candidates = [getattr(found, other, None) for other in code.co_names] if is_own else []
        for one in (found, *candidates):
            kinds = {kind.__name__ for kind in type(one).__mro__}
            if kinds & {"Dispatcher", "_Intrinsic"} and str(one.__module__).startswith("digitlab."):
                yield one
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _named(inner, names)


def _photo() -> bytes:
    """Return a grey sheet with five of MNIST's test digits in two lines, as PNG."""
    from digitlab import MnistData

    digits = MnistData.load().test.images[:5].reshape(-1, 28, 28)
    sheet = np.full((220, 320), 200, np.uint8)
    for k, digit in enumerate(digits):
        top, left = 40 + 80 * (k // 3), 40 + 50 * (k % 3)
        part = sheet[top : top + 28, left : left + 28]
        part[:] = np.minimum(part, 255 - digit)
    return _png(sheet)


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def follow_batch(tracer: Tracer) -> Journey:
    """Follow a batch of the codelab's run in the middle of an epoch."""
    from digitlab import TrainConfig
    from digitlab.training.session import TrainingSession

    records = TrainingSession(TrainConfig(epochs=1)).records()
    for _ in range(3):
        next(records)
    journey = tracer.follow(lambda: next(records))
    records.close()
    return journey


def follow_photo(tracer: Tracer) -> Journey:
    """Follow a photo through ``Reader.read``."""
    import digitlab as dl

    photo, reader = _photo(), dl.Reader()
    for _ in range(2):
        assert len(reader.read(photo).digits) == 5
    return tracer.follow(lambda: reader.read(photo))


def follow_request(tracer: Tracer) -> Journey:
    """Follow an image of 28 x 28 pixels through ``POST /api/predict`` of ``digitlab serve``."""
    from digitlab import MnistData
    from digitlab.cli.app import main as run_command

    image = _png(MnistData.load().test.images[0].reshape(28, 28))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["serve", "--port", str(port), "--no-log"]
    threading.Thread(target=run_command, args=(command,), daemon=True).start()
    end = time.monotonic() + _PATIENCE_S
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_S)
            connection.connect()
            break
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)

    def ask() -> None:
        connection.request("POST", "/api/predict", image, {"Content-Type": "image/png"})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()
        # What is counted and logged comes after the answer, and the server looks around ten times a second.
        time.sleep(0.25)

    for _ in range(3):
        ask()
    return tracer.follow(ask)


def journeys() -> dict[str, Journey]:
    """Follow all three."""
    tracer = Tracer()
    # The request last: its server goes on in a thread of its own.
    with contextlib.redirect_stdout(io.StringIO()):
        return {"batch": follow_batch(tracer), "photo": follow_photo(tracer), "request": follow_request(tracer)}


def purpose(file: Path) -> str:
    """Return the first sentence of a module's docstring."""
    import ast

    text = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
    paragraph = " ".join(text.split("\n\n")[0].split())
    return paragraph.split(". ")[0].removesuffix(".").replace("``", "`")


def to_markdown(journey: Journey) -> str:
    """Return a journey as ARCHITECTURE.md lists it."""

    def item(file: Path) -> str:
        return f"[`{file.relative_to(PACKAGE)}`](src/digitlab/{file.relative_to(PACKAGE)})"

    lines = [f"{k + 1}. {item(file)}: {purpose(file)}" for k, file in enumerate(journey.called)]
    if journey.kernels:
        lines += ["", "and compiled: " + ", ".join(item(file) for file in journey.kernels) + "."]
    return f"{len(journey)} files, in the order in which they are first entered:\n\n" + "\n".join(lines)


def main() -> None:
    """Print the journeys, or write them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="write the lists into ARCHITECTURE.md")
    is_to_write = parser.parse_args().write
    found = journeys()
    if is_to_write:
        from marked import filled

        text = ARCHITECTURE.read_text("utf-8")
        blocks = {f"journey-{name}": to_markdown(journey) for name, journey in found.items()}
        ARCHITECTURE.write_text(filled(text, blocks), "utf-8")
    for name, journey in found.items():
        print(f"{TITLES[name]}: {len(journey)} files, {len(journey.kernels)} of them compiled")
        for file in journey.called:
            print(f"  {file.relative_to(PACKAGE)}")
        for file in journey.kernels:
            print(f"  {file.relative_to(PACKAGE)} (compiled)")
    # The server's threads are still noted, which Python does not survive while it takes itself apart.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
