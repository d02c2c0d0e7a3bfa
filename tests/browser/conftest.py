"""A Studio in a process of its own, and a real browser that looks at it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

import digitlab as dl

PATIENCE_S = 60
FLAGS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

SERVE = """
import sys
from pathlib import Path
from digitlab.studio.app import run_studio
out, port, token, autostart = sys.argv[1:]
sys.exit(run_studio(Path(out), port=int(port), token=token or None, open_browser=False, autostart=autostart == "start"))
"""


class Studio:
    """The process, and where it is."""

    def __init__(self, out: Path, *, token: str = "", autostart: bool = False) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}/"
        self._words = [str(out), str(self.port), token, "start" if autostart else "wait"]
        self.start()

    def start(self) -> None:
        """Start it, again where it was ended, and wait until it answers."""
        environment = os.environ | {"PYTHONPATH": str(Path(dl.__file__).parents[1])}
        self.process = subprocess.Popen([sys.executable, "-c", SERVE, *self._words], env=environment)
        deadline = time.monotonic() + PATIENCE_S
        while not self._answers():
            assert self.process.poll() is None, "the Studio ended"
            assert time.monotonic() < deadline, "the Studio did not answer"

    def end(self) -> int:
        """End it and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.address + "favicon.ico", timeout=1):
                return True
        except URLError as error:
            return getattr(error, "code", None) == 401
        except OSError:
            return False


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return where the browser is, or skip."""
    pytest.importorskip("playwright.sync_api", reason="Playwright is not installed, which drives the browser.")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("There is no Chromium; install Debian's package chromium to run these tests.")
    return path


@pytest.fixture(scope="module")
def serve(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Studio]]:
    """Start Studios, which end with the module."""
    started: list[Studio] = []

    def start(out: Path | None = None, **options: Any) -> Studio:
        started.append(Studio(out or tmp_path_factory.mktemp("studio") / "runs", **options))
        return started[-1]

    yield start
    for studio in started:
        studio.end()


@pytest.fixture(scope="module")
def studio(serve: Callable[..., Studio]) -> Studio:
    """Return a Studio that waits for somebody to start a training."""
    return serve()


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    """Return a running browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def visit(studio: Studio, browser: Any) -> Iterator[Callable[..., Any]]:
    """Open pages; in the end none may have asked another host, or had an error that was not expected."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def go(
        query: str = "",
        *,
        at: str = "",
        context: Any = None,
        expect: tuple[str, ...] = (),
        width: int = 1440,
        height: int = 1000,
        **settings: Any,
    ) -> Any:
        address = at or studio.address
        if context is None:
            context = browser.new_context(viewport={"width": width, "height": height}, **settings)
            context.set_default_timeout(PATIENCE_S * 1000)
            contexts.append(context)
        page = context.new_page()

        def listen(kind: str, text: str) -> None:
            if not any(words in text for words in expect):
                complaints.append(f"{kind}: {text}")

        page.on("console", lambda message: listen("console", message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: listen("error", str(error)))
        page.on("request", lambda request: listen("request", request.url) if is_foreign(request.url, address) else None)
        page.goto(address + query)
        return page

    yield go
    for context in contexts:
        context.close()
    assert complaints == []


def is_foreign(url: str, address: str) -> bool:
    """Tell whether a request leaves the Studio."""
    host = address.split("/")[2]
    return not url.startswith((f"http://{host}/", f"ws://{host}/", "data:", "blob:"))


CONTRASTS = """elements => {
    const parsed = (color) => color.match(/[\\d.]+/g).map(Number);
    const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const luminance = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
    const behind = (element) => {
        const color = parsed(getComputedStyle(element).backgroundColor);
        return color.length === 4 && color[3] === 0 ? behind(element.parentElement) : color;
    };
    return Math.min(...elements.map(element => {
        const [a, b] = [luminance(parsed(getComputedStyle(element).color)), luminance(behind(element))];
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    }));
}"""


@pytest.fixture(scope="session")
def least_contrast() -> Callable[[Any], float]:
    """Tell the least contrast of text and background among the elements of a locator, after WCAG 2.2."""
    return lambda elements: float(elements.evaluate_all(CONTRASTS))
