"""A Studio in a process of its own that trains when it is told to and says how long that took; and a browser for it.

The process is that of ``digitlab studio``: ``run_studio`` with everything in it. Beside it a thread reads commands from
standard input, one a line, and answers with JSON lines among the Studio's own lines on standard output:

- ``train EPOCHS [NETWORK]``: train at full speed, and answer when the evaluation is done too;
- ``begin EPOCHS SPEED``: begin to train so many batches a second, and answer when the first is done; ``pause``: pause;
  ``look``: do nothing;
- ``alone``: answer when the server has forgotten all pages.

The clock is ``time.monotonic``. A training begins just before ``Trainer.start``, which makes the session and the run's
directory, and ends when the trainer's state is ``finished``: all batches, all validations, all records. A thread looks
every millisecond, with a page and without.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from measuring import ROOT, rss_bytes

#: Debian's Chromium, or None.
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

_SOURCE = ROOT / "src"
_FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
_LOOK_S = 0.001
_SAMPLES = 15  # of the memory, in a training
_FIFTHS = 5
_PATIENCE_S = 1800.0


class StudioProcess:
    """The Studio's process, seen from outside; ``address`` is the page's."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="digitlab-studio-")
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve())],
            cwd=self._folder.name,  # so that the runs are in "runs", as they are for everybody
            env=os.environ | {"PYTHONPATH": str(_SOURCE)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self.address: str = self.answer()["address"]
        except RuntimeError:
            self.close()
            raise

    def tell(self, *words: object) -> None:
        """Give a command, without waiting for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Wait for the next answer; RuntimeError if the Studio has ended, or the training has failed."""
        answer = self._answers.get(timeout=_PATIENCE_S)
        if answer is None or "failure" in answer:
            raise RuntimeError("The Studio has ended." if answer is None else answer["failure"])
        return answer

    @property
    def has_answered(self) -> bool:
        """Whether an answer is there."""
        return not self._answers.empty()

    def train(self, epochs: int = 10, network: str = "codelab_cnn") -> dict[str, Any]:
        """Train, and return the answer."""
        self.tell("train", epochs, network)
        return self.answer()

    def rss_bytes(self) -> int:
        """Return the resident memory."""
        return rss_bytes(self._process.pid)

    def close(self) -> None:
        """End the Studio as Ctrl-C does, and remove its runs."""
        self._process.terminate()
        self._process.wait(timeout=60)
        self._folder.cleanup()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                self._answers.put(json.loads(line))
        self._answers.put(None)


@contextmanager
def browser() -> Iterator[Any]:
    """Give Chromium under Playwright's control; exit with a sentence where one of them is missing."""
    if CHROMIUM is None:
        sys.exit("There is no Chromium; install Debian's package chromium to do this.")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sys.exit("Playwright is not installed, which drives the browser; install requirements-test.txt.")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=[*_FLAGS, "--no-first-run"])
        try:
            yield chromium
        finally:
            chromium.close()


# From here on: what runs within the Studio's process.


def _serve() -> None:
    from digitlab.serving.server import listening_socket
    from digitlab.studio import app
    from digitlab.studio.startup import Opening

    class WatchedOpening(Opening):
        """Hands the trainer to the thread that obeys commands."""

        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            threading.Thread(target=_obey, args=(self, port), daemon=True).start()

    # A port that was free a moment ago: people's Studio may have 8000.
    with listening_socket("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    app.Opening = WatchedOpening  # type: ignore[misc]
    app.run_studio(port=port, open_browser=False, autostart=False)


def _obey(opening: Any, port: int) -> None:
    from nicegui import Client

    while not (opening.is_ready or opening.failure):
        time.sleep(0.05)
    _say({"failure": opening.failure} if opening.failure else {"address": f"http://127.0.0.1:{port}/"})
    for line in sys.stdin:
        name, *words = line.split()
        if name == "train":
            _say(_trained(opening.trainer, int(words[0]), words[1]))
        elif name in ("begin", "pause", "look"):
            _say(_steered(opening.trainer, name, words))
        elif name == "alone":
            while Client.instances:
                time.sleep(0.05)
            _say({"alone": True})


def _steered(trainer: Any, name: str, words: list[str]) -> dict[str, Any]:
    from digitlab.training.config import TrainConfig

    if name == "begin":
        trainer.set_speed(float(words[1]))
        trainer.start(TrainConfig(epochs=int(words[0])))
        while trainer.step_done == 0:
            time.sleep(_LOOK_S)
    elif name == "pause":
        trainer.pause()
    return {"state": trainer.state}


def _trained(trainer: Any, epochs: int, network: str) -> dict[str, Any]:
    from digitlab.training.config import TrainConfig

    memory: list[dict[str, float]] = []
    trainer.stop()
    trainer.set_speed(None)
    began = time.monotonic()
    trainer.start(TrainConfig(network=network, epochs=epochs))
    n_steps, step, fifths = trainer.n_steps, 0, [began]
    while trainer.state == "training":
        time.sleep(_LOOK_S)
        step, now = trainer.step_done, time.monotonic()
        while len(fifths) <= _FIFTHS and step >= len(fifths) * n_steps / _FIFTHS:
            fifths.append(now)
        if step >= (len(memory) + 1) * n_steps / _SAMPLES:
            memory.append({"step": step, "rss": rss_bytes(), "recording": trainer.recording.n_bytes})
    ended = time.monotonic()
    if trainer.state != "finished":
        return {"failure": trainer.message or f"The training is {trainer.state}."}
    fifths += [ended] * (_FIFTHS + 1 - len(fifths))
    # The next training must not share the processor with this one's evaluation.
    while trainer.evaluation is None and not trainer.message:
        time.sleep(_LOOK_S)
    return {
        "began": began,
        "ended": ended,
        "seconds": ended - began,
        "n_steps": n_steps,
        "ms_per_batch_by_fifths": [1000 * (b - a) / (n_steps / _FIFTHS) for a, b in pairwise(fifths)],
        "memory": memory,
    }


def _say(answer: dict[str, Any]) -> None:
    # A line of its own, in one write: another thread may be between its text and the end of its line.
    sys.stdout.write(f"\n{json.dumps(answer)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _serve()
