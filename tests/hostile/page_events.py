"""Events that no browser sends, for everything on the pages of a class, its teacher's and its pupils', that listens.

``python -m tests.hostile.page_events SEED NUMBER`` starts a Studio, sends it so many, and prints what went
wrong. The same numbers make the same events.
"""

from __future__ import annotations

import html
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

import digitlab as dl
from digitlab.studio.lesson import TABS
from tests.hostile.inputs import MEMORY_BYTES, SECONDS, VALUES

__all__ = ["Studio", "every_event"]

_PROGRAM = """
import sys
from pathlib import Path
from digitlab.studio.app import run_studio
sys.exit(run_studio(Path("runs"), port=0, open_browser=False, autostart=False, token=sys.argv[1]))
"""
_TOKEN = "the-token-of-a-test"
_EVENTS_A_PAGE = 200
_PATIENCE_S = 300.0
# What honest events hold, to be put together and spoiled.
_KEYS = ("value", "label", "id", "serial", "box", "isNumber", "key", "action", "name", "on", "step", "at", "index")
_HONEST: tuple[object, ...] = (0, 1, 7, 0.5, "7", "train", [1, 2, 30, 40], True, {"value": 3, "label": "x"})


class Studio:
    """A Studio in a process of its own, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        environment = os.environ | {"PYTHONPATH": str(Path(dl.__file__).parents[1])}
        self.log = folder / "log.txt"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, _TOKEN],
                cwd=folder,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.port = int(self._found(r"http://127\.0\.0\.1:(\d+)/"))
        self.teacher = {"Authorization": f"Bearer {_TOKEN}"}
        link = self._found(r"(http\S+/class\?key=\w+)")
        with urllib.request.urlopen(link, timeout=_PATIENCE_S) as answer:
            self.pupil = {"Cookie": answer.headers["set-cookie"].partition(";")[0]}
        while "Loading the digits and the kernels." in self.page():
            time.sleep(0.2)

    def _found(self, pattern: str) -> str:
        while not (found := re.search(pattern, self.text)):
            assert self._process.poll() is None, self.text
            time.sleep(0.05)
        return found[1]

    @property
    def text(self) -> str:
        """What the terminal shows."""
        return self.log.read_text("utf-8", "replace")

    def page(self, path: str = "", who: dict[str, str] | None = None) -> str:
        """Ask for a page, by default as the teacher; it has to come within the limit."""
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}/{path}", headers=who or self.teacher)
        with urllib.request.urlopen(asked, timeout=_PATIENCE_S) as answer:
            return str(answer.read(), "utf-8", "replace")

    @property
    def memory_bytes(self) -> int:
        """Resident; 0 where the system does not tell."""
        with suppress(OSError):
            pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
            return pages * os.sysconf("SC_PAGE_SIZE")
        return 0

    @property
    def work_s(self) -> float:
        """Processor time, in seconds; the clock's where the system does not tell."""
        try:
            words = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return time.monotonic()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def every_event(seed: int, n: int, folder: Path) -> list[str]:
    """Send events to what listens on the pages; return what went wrong, a line each."""
    draw = random.Random(f"page events {seed}")
    problems: list[str] = []
    studio = Studio(folder)
    try:
        with _waiting(studio) as waits:
            for first in range(0, n, _EVENTS_A_PAGE):
                _visit(studio, draw, min(_EVENTS_A_PAGE, n - first))
        if max(waits) > SECONDS:
            problems.append(f"page events {seed}: a file came after {max(waits):.1f} s of work")
        studio.page()
        if studio.memory_bytes > MEMORY_BYTES:
            problems.append(f"page events {seed}: {studio.memory_bytes / 1e6:.0f} MB")
    finally:
        studio.end()
    text = studio.text
    problems += [f"page events {seed}: {word}" for word in ("Traceback", "never retrieved") if word in text]
    return problems


@contextmanager
def _waiting(studio: Studio) -> Iterator[list[float]]:
    """Ask for a small file again and again meanwhile, and note how long the Studio works until each comes.

    By the clock it may take longer where the machine has much else to do.
    """
    is_over, waits = threading.Event(), [0.0]

    def ask() -> None:
        while not is_over.wait(0.2):
            clock, work = time.monotonic(), studio.work_s
            studio.page("favicon.ico")
            waits.append(min(time.monotonic() - clock, studio.work_s - work))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield waits
    finally:
        is_over.set()
        thread.join()


def _visit(studio: Studio, draw: random.Random, n: int) -> None:
    """Open a page as a browser does, and send events to all that listens there."""
    tab, who, path = draw.choice(list(TABS)), studio.teacher, ""
    if draw.random() < 0.5:
        with suppress(HTTPError):  # where an event has ended the class
            studio.page("class", studio.pupil)
            who, path = studio.pupil, "class"
    page = studio.page(f"{path}?tab={tab}", who)
    found = re.search(r"""client_id["']?: ?["']([\w-]+)""", page)
    assert found is not None, "the page does not say who it is"
    client = found[1]
    elements = re.search(r"parseElements\(String\.raw`(.*?)`\)", page, re.DOTALL)
    assert elements is not None, "the page has no elements"
    listening = dict(_listeners(json.loads(html.unescape(elements[1]))))
    address = f"ws://127.0.0.1:{studio.port}/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
    sent = 0
    while sent < n:
        with suppress(ConnectionClosed, OSError), connect(address, additional_headers=who, max_size=None) as socket:
            socket.send("40")
            document = {"client_id": client, "tab_id": "t", "document_id": f"d{sent}", "next_message_id": 0}
            socket.send("42" + json.dumps(["handshake", document]))
            while sent < n:
                sent += 1
                _take(socket, listening)
                socket.send(_event(client, listening, draw))


def _take(socket: ClientConnection, listening: dict[int, list[str]]) -> None:
    """Read what has come, and learn of what has been added to the page."""
    with suppress(TimeoutError):
        while True:
            message = socket.recv(timeout=0.001)
            if message == "2":
                socket.send("3")
            elif isinstance(message, str) and message.startswith('42["update"'):
                listening.update(_listeners(json.loads(message[2:])[1]))


def _listeners(elements: dict[str, Any]) -> Iterator[tuple[int, list[str]]]:
    for name, element in elements.items():
        if isinstance(element, dict) and element.get("events"):
            yield int(name), [one["listener_id"] for one in element["events"]]


def _event(client: str, listening: dict[int, list[str]], draw: random.Random) -> str:
    element = draw.choice(sorted(listening))
    listener = draw.choice(listening[element])
    event: dict[str, object] = {"id": element, "client_id": client, "listener_id": listener}
    event["args"] = [_json(draw) for _ in range(draw.choice((0, 1, 1, 1, 1, 1, 2, 3)))]
    way = draw.random()
    if way < 0.1:
        event[draw.choice(sorted(event))] = draw.choice(VALUES)
    elif way < 0.15:
        event["id"] = draw.choice((0, -1, 10**9, str(element), [element]))
    name = draw.choice(("event",) * 30 + ("handshake", "ack", "log", "javascript_response", "x"))
    # Python writes NaN and lone surrogates, which is no JSON; that is for the server to see.
    message = json.dumps([name, event] if draw.random() < 0.97 else [name, *[event] * draw.choice((0, 2))])
    return f"42{draw.choice(('', '', '', '7'))}{message}"


def _json(draw: random.Random) -> str:
    way = draw.random()
    if way < 0.05:
        return "[" * draw.choice((100, 1000, 100_000)) + "]" * draw.choice((0, 100))
    if way < 0.1:
        return json.dumps(draw.choice(("x" * 500_000, "9" * 5000, [0.5] * 50_000, {f"{k}": k for k in range(9000)})))
    if way < 0.15:
        return draw.choice(("", "{", "NaN", "1e999", "\x00", "9" * 5000, '"\\ud800"'))
    return json.dumps(_value(draw))


def _value(draw: random.Random) -> object:
    way = draw.random()
    if way < 0.4:
        return {key: draw.choice(VALUES + _HONEST * 2) for key in draw.sample(_KEYS, draw.choice((1, 2, 4, 8)))}
    if way < 0.55:
        return [draw.choice(VALUES + _HONEST * 2) for _ in range(draw.choice((1, 2, 4)))]
    return draw.choice(VALUES + _HONEST)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as where:
        print(*every_event(int(sys.argv[1]), int(sys.argv[2]), Path(where)), sep="\n")
        print((Path(where) / "log.txt").read_text())
