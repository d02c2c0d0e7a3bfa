"""The page of docs/how-to/use-from-a-browser.md, as written, in a real browser and on another port than the server."""

from __future__ import annotations

import functools
import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving.asking import Process

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "use-from-a-browser.md"
[PAGE] = re.findall(r"```html\n(.*?)```", HOW_TO.read_text("utf-8"), flags=re.DOTALL)
TOKEN = "a-token-of-good-length"

pytestmark = [pytest.mark.browser, pytest.mark.slow]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    """Serve the folder, as ``python -m http.server`` does, and return the port."""
    handler = functools.partial(_Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def drawn(browser: Any, folder: Path, port: int, server: Process, page: str = PAGE) -> str:
    """Draw a one on the page, and return what it says then."""
    (folder / "draw.html").write_text(page.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}"), "utf-8")
    tab = browser.new_page()
    try:
        tab.goto(f"http://localhost:{port}/draw.html")
        assert tab.text_content("output") == "Draw a digit."
        box = tab.locator("canvas").bounding_box()
        x, y = box["x"] + 140, box["y"]
        tab.mouse.move(x, y + 50)
        tab.mouse.down()
        tab.mouse.move(x - 5, y + 230, steps=12)
        tab.mouse.up()
        tab.wait_for_function("document.querySelector('output').textContent !== 'Draw a digit.'")
        return str(tab.text_content("output"))
    finally:
        tab.close()


def test_the_page_asks_from_another_port_where_it_is_allowed(browser: Any, folder: Path, port: int) -> None:
    with Process(
        folder, "--allow-origin", "http://localhost:5499", "--allow-origin", f"http://localhost:{port}"
    ) as server:
        assert drawn(browser, folder, port, server) == "1"


def test_elsewhere_it_may_not_ask_and_the_server_tells_how_it_would(browser: Any, folder: Path, port: int) -> None:
    with Process(folder, "--allow-origin", "http://localhost:5499") as server:
        said = drawn(browser, folder, port, server)
        assert f"--allow-origin http://localhost:{port}" in said
        server.end()
        assert f"start the server with --allow-origin http://localhost:{port}" in server.log.read_text()


def test_the_token_counts_for_the_page(browser: Any, folder: Path, port: int) -> None:
    with Process(folder, "--allow-origin", f"http://localhost:{port}", token=TOKEN) as server:
        assert drawn(browser, folder, port, server) == "This server asks for its token."
        shown = PAGE.replace('"application/json" }', f'"application/json", Authorization: "Bearer {TOKEN}" }}')
        assert drawn(browser, folder, port, server, shown) == "1"
