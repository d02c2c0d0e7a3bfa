"""A class of 25: does every page answer while all rooms train at once? At the 95th percentile a click takes 300 ms.

    python benchmarks/class_room.py [--rooms 25] [--rounds 2] [--out FILE]

The Studio runs as a teacher starts it, ``digitlab studio --host 0.0.0.0``, and pupils come by its link. Each has what
a browser has, as far as the server can tell: the page, its cookie, its compressed websocket, and an answer to every
frame. They open the page at once, look at two tabs, which builds them, and press Start at once; then each clicks on a
tab about every second, at a time of its own, until all runs are trained, evaluated and kept. A click's time is from
sending it until the browser is told to show that tab. Pupils' browsers draw on machines of their own, so no browser
shares these cores; the script that plays them does, and takes a part of them.

Writes ``benchmarks/results/class_room.json``; ``studio.py`` tells it in ``docs/measurements/studio.md``.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from measuring import RESULTS, ROOT, describe_machine, made_by, parser_of, read_json, rss_bytes, write_json

#: The most that a click may take at the 95th percentile.
ALLOWED_MS = 300

_TABS = ("model", "training")
_BETWEEN_CLICKS_S = 1.0
_DRAWING_MS = 5.0  # what a browser tells that drawing a frame took it
_PATIENCE_S, _TRAINED_S = 60.0, 600.0
_CLIENT = re.compile(r"""["']client_id["']?: ?["']([\w-]+)""")
_TOKEN = "a-token-for-the-measurement"


class Studio:
    """The server; ``link`` is what pupils open, and ``out`` where their runs are."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="digitlab-class-")
        self.out = Path(self._folder.name) / "runs"
        words = ["studio", "--host", "0.0.0.0", "--port", "0", "--out", str(self.out), "--no-browser", "--no-start"]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]),
            "DIGITLAB_TOKEN": _TOKEN,
        }
        command = [sys.executable, "-m", "digitlab", *words]
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        found = next((found for line in self._process.stdout if (found := re.search(r"http\S+\?key=\S+", line))), None)
        assert found is not None, "the Studio told no link for a class"
        self.link = re.sub(r"//[^/]+:", "//127.0.0.1:", found[0])

    def rss_bytes(self) -> int:
        """Return the resident memory."""
        return rss_bytes(self._process.pid)

    def cpu_s(self) -> float:
        """Return the processor time that it has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def n_evaluated(self) -> int:
        """Return how many of the pupils' runs are trained and evaluated."""
        return len(list(self.out.glob("class/*/runs/*/evaluation.json")))

    def close(self) -> None:
        """End it as Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(timeout=60)
        self._folder.cleanup()


class Pupil:
    """One browser tab, as far as the server can tell."""

    def __init__(self, link: str) -> None:
        self._link, self._base = link, link.partition("/class")[0]
        self.elements: dict[str, dict[str, Any]] = {}
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._reading: asyncio.Task[None] | None = None
        self._socket: ClientConnection | None = None
        self._client = ""
        self.n_frames = 0

    async def open(self) -> None:
        """Show the page, until its tabs are there."""
        cookie, text = await asyncio.to_thread(self._ask)
        found = _CLIENT.search(text)
        assert found is not None, "the page does not say who it is"
        self._client = found[1]
        address = f"{self._base.replace('http', 'ws', 1)}/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
        self._socket = await connect(address, additional_headers={"Cookie": cookie}, max_size=None)
        document = {"client_id": found[1], "tab_id": found[1], "document_id": found[1], "next_message_id": 0}
        await self._socket.send("40")
        await self._socket.send("42" + json.dumps(["handshake", document]))
        self._reading = asyncio.create_task(self._read())
        await self._until(lambda: self._tab("training") is not None)

    def _ask(self) -> tuple[str, str]:
        with urllib.request.urlopen(self._link) as answer:
            cookie = answer.headers["set-cookie"].partition(";")[0]
        with urllib.request.urlopen(
            urllib.request.Request(f"{self._base}/class", headers={"Cookie": cookie})
        ) as answer:
            return cookie, answer.read().decode()

    async def _read(self) -> None:
        assert self._socket is not None
        async for message in self._socket:
            text = str(message)
            if text == "2":
                await self._socket.send("3")  # engine.io's sign of life
            elif text.startswith("42"):
                name, told = json.loads(text[2:])
                if name == "update":
                    self.elements.update({key: one for key, one in told.items() if isinstance(one, dict)})
                elif name == "notify":
                    print(told.get("message"), file=sys.stderr)
                elif name == "run_javascript" and told.get("request_id"):
                    self.n_frames += 1
                    await self._send("javascript_response", request_id=told["request_id"], result=_DRAWING_MS)
                for holds, future in self._waiting:
                    if not future.done() and holds():
                        future.set_result(None)

    async def _send(self, name: str, **values: Any) -> None:
        assert self._socket is not None
        await self._socket.send("42" + json.dumps([name, {"client_id": self._client, **values}]))

    async def _until(self, holds: Callable[[], bool]) -> None:
        if holds():  # the answer was quicker than this
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (holds, future)
        self._waiting.append(entry)
        try:
            await asyncio.wait_for(future, _PATIENCE_S)
        finally:
            self._waiting.remove(entry)

    async def click_tab(self, tab: str) -> float:
        """Click on a tab, and return how many milliseconds went by until it was to be shown."""
        began = time.monotonic()
        await self._click(self._tab(tab))
        await self._until(lambda: "hidden" not in (self._find(f"panel-{tab}") or {"props": {"hidden": True}})["props"])
        return 1000 * (time.monotonic() - began)

    async def may_start(self) -> None:
        """Wait until a training can be started."""
        if "aria-disabled" in self._start()["props"]:
            await self._until(lambda: "aria-disabled" not in self._start()["props"])

    async def start(self) -> float:
        """Press Start, and return how many milliseconds went by until it could not be pressed again."""
        began = time.monotonic()
        await self._click(self._start())
        await self._until(lambda: "aria-disabled" in self._start()["props"])
        return 1000 * (time.monotonic() - began)

    async def _click(self, element: dict[str, Any] | None) -> None:
        assert element is not None
        place = next(key for key, one in self.elements.items() if one is element)
        listener = next(event["listener_id"] for event in element["events"] if event["type"] == "click")
        await self._send("event", id=int(place), listener_id=listener, args=[])

    def _tab(self, tab: str) -> dict[str, Any] | None:
        return self._find(f"tab-{tab}")

    def _find(self, id: str) -> dict[str, Any] | None:
        return next((one for one in self.elements.values() if one.get("props", {}).get("id") == id), None)

    def _start(self) -> dict[str, Any]:
        return next(one for one in self.elements.values() if one.get("text") == "Start")

    async def close(self) -> None:
        """Leave."""
        if self._reading is not None:
            self._reading.cancel()
        if self._socket is not None:
            await self._socket.close()


async def teach(studio: Studio, n_rooms: int, n_rounds: int) -> dict[str, Any]:
    """Let a class come in and train, some times over."""
    pupils = [Pupil(studio.link) for _ in range(n_rooms)]
    before = studio.rss_bytes()
    began = time.monotonic()
    await asyncio.gather(*(pupil.open() for pupil in pupils))
    opened_s = time.monotonic() - began
    first_ms = [one for tab in _TABS for one in await asyncio.gather(*(pupil.click_tab(tab) for pupil in pupils))]
    await asyncio.gather(*(pupil.may_start() for pupil in pupils))
    seen = studio.rss_bytes()
    rounds = [await _train(studio, pupils) for _ in range(n_rounds)]
    after = studio.rss_bytes()
    await asyncio.gather(*(pupil.close() for pupil in pupils))
    clicks = [ms for one in rounds for ms in one.pop("clicks_ms")]
    starts = [ms for one in rounds for ms in one.pop("starts_ms")]
    return {
        "rooms": n_rooms,
        "opened_s": opened_s,
        "first_ms": _percentiles(first_ms),
        "clicks_ms": _percentiles(clicks),
        "starts_ms": _percentiles(starts),
        "rounds": rounds,
        "rss_bytes": {"alone": before, "pages open": seen, "all trained": after},
    }


async def _train(studio: Studio, pupils: list[Pupil]) -> dict[str, Any]:
    began, cpu_s, n_frames = time.monotonic(), studio.cpu_s(), sum(pupil.n_frames for pupil in pupils)
    n_all, is_over = studio.n_evaluated() + len(pupils), asyncio.Event()
    clicks: list[float] = []

    async def click(pupil: Pupil) -> None:
        rng = random.Random(id(pupil))
        while not is_over.is_set():
            for tab in _TABS:
                await asyncio.sleep(rng.uniform(0.0, 2 * _BETWEEN_CLICKS_S))
                clicks.append(await pupil.click_tab(tab))

    starts = await asyncio.gather(*(pupil.start() for pupil in pupils))
    clicking = [asyncio.create_task(click(pupil)) for pupil in pupils]
    while studio.n_evaluated() < n_all:
        assert time.monotonic() - began < _TRAINED_S, "the class is not trained"
        await asyncio.sleep(0.1)
    seconds = time.monotonic() - began
    is_over.set()
    await asyncio.gather(*clicking)
    frames = sum(pupil.n_frames for pupil in pupils) - n_frames
    cores = (studio.cpu_s() - cpu_s) / seconds
    print(f"all {len(pupils)} trained in {seconds:.1f} s, {cores:.2f} cores, {frames} frames", file=sys.stderr)
    return {"seconds": seconds, "cores": cores, "frames": frames, "clicks_ms": clicks, "starts_ms": starts}


def _percentiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    at = {f"p{p}": ordered[min(len(ordered) - 1, len(ordered) * p // 100)] for p in (50, 95)}
    return {"n": len(values), **at, "max": ordered[-1]}


def class_told() -> list[str]:
    """Return the paragraphs on the last measurement; none where there was none."""
    found = read_json(RESULTS / "class_room.json")
    if not found:
        return []
    words = "{p50:.0f} ms in the median, {p95:.0f} ms at the 95th percentile and {max:.0f} ms at most (n = {n:,})"
    told = {name: words.format(**found[f"{name}_ms"]) for name in ("clicks", "starts", "first")}
    alone, seen, trained = (n_bytes / 2**20 for n_bytes in found["rss_bytes"].values())
    rounds, machine = found["rounds"], found["machine"]
    seconds = ", ".join(f"{one['seconds']:.1f} s in which the server had {one['cores']:.2f} cores" for one in rounds)
    return [
        f"## A class of {found['rooms']}",
        f"{found['rooms']} pupils' websockets on {machine['cores']} cores, which the program that plays them shares, "
        f"train the codelab's run at once: all are trained, evaluated and kept after {seconds}. Meanwhile a click on a "
        f"tab takes {told['clicks']}; {ALLOWED_MS} ms are allowed at the 95th percentile. Start, pressed by all at "
        f"once, takes {told['starts']}, and a tab's first showing, by all at once, {told['first']}. All pages, opened "
        f"at once, are there after {found['opened_s']:.1f} s. The server takes {alone:.0f} MiB alone, {seen:.0f} MiB "
        f"with the pages, and {trained:.0f} MiB when all are trained. The load was {machine['load_1min']} before it "
        f"began. Made by `{found['command']}`.",
    ]


def main(argv: list[str] | None = None) -> int:
    """Measure and write; return 0, or 1 where clicks took too long."""
    argv = sys.argv[1:] if argv is None else argv
    parser = parser_of("class_room", __doc__, rooms=(25, "that train at once"), rounds=(2, "of training"))
    options = parser.parse_args(argv)
    machine = describe_machine()
    studio = Studio()
    try:
        result = asyncio.run(teach(studio, options.rooms, options.rounds))
    finally:
        studio.close()
    write_json(options.out, result | {"machine": machine, **made_by("class_room", argv)})
    print(json.dumps(result, indent=1))
    return int(result["clicks_ms"]["p95"] > ALLOWED_MS)


if __name__ == "__main__":
    sys.exit(main())
