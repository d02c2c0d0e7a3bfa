"""The Studio as a process: ports, addresses, what the terminal shows, Ctrl-C; and the frame of its page."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from nicegui import ui
from websockets.sync.client import connect

import digitlab as dl
from digitlab.data.mnist import Split
from digitlab.errors import ConfigError, DataError
from digitlab.reading.predictor import DigitImage, Predictor
from digitlab.runs.listing import list_runs
from digitlab.serving.guard import TOKEN_VARIABLE
from digitlab.serving.server import FIRST_PORT, address_of, listening_socket
from digitlab.studio import app, startup
from digitlab.studio.assets import STATIC
from digitlab.studio.startup import Opening
from digitlab.studio.trainer import Trainer
from tests.studio.visiting import User, until, visit

pytestmark = pytest.mark.slow

POSIX_ONLY = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
TOKEN = "a-token-of-good-length"

# The codelab's run is over in a second; this one is not.
LONG = """
import sys
from pathlib import Path
from digitlab.studio import startup
from digitlab.studio.app import run_studio
from digitlab.training.config import TrainConfig
startup.TrainConfig = lambda **k: TrainConfig(**{"network": "dense_baseline", "epochs": 1_000_000, **k})
token = sys.argv[3] if len(sys.argv) > 3 else None
sys.exit(run_studio(Path(sys.argv[1]), port=0, open_browser=False, autostart=sys.argv[2] == "start", token=token))
"""


class Studio:
    """A Studio in a process of its own."""

    def __init__(self, out: Path, *words: str) -> None:
        environment = os.environ | {"PYTHONPATH": str(Path(dl.__file__).parents[1])}
        environment.pop(TOKEN_VARIABLE, None)
        self.process = subprocess.Popen(
            [sys.executable, "-c", LONG, str(out), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            cwd=out.parent,
        )
        self.lines: list[str] = []
        self.address = re.search(r"http://127\.0\.0\.1:(\d+)/\S*", self.line("The Studio is at"))[0]  # type: ignore[index]
        self.port = int(self.address.split(":")[2].partition("/")[0])

    def line(self, beginning: str) -> str:
        """Wait for a line of the terminal."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if line.startswith(beginning):
                return line
        raise AssertionError(f"{beginning!r} never came:\n{''.join(self.lines)}")

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=60)
        self.lines += rest.splitlines(keepends=True)
        return self.process.returncode

    def get(self, path: str = "/", **headers: str) -> tuple[int, str, dict[str, str]]:
        """Ask for something."""
        return self.ask("GET", path, None, **headers)

    def ask(self, method: str, path: str, body: bytes | None, **headers: str) -> tuple[int, str, dict[str, str]]:
        """Send something and return the status, the answer and its headers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), dict(answer.getheaders())
        finally:
            connection.close()

    def upgrade(self, **headers: str) -> int:
        """Ask for the websocket and return the status: 101 if it is opened."""
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        key = {"Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg=="}
        return self.get("/_nicegui_ws/socket.io/?EIO=4&transport=websocket", **upgrade, **key, **headers)[0]


@contextmanager
def studio(out: Path, *words: str) -> Iterator[Studio]:
    running = Studio(out, *words)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.communicate()


@POSIX_ONLY
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_in_the_middle_of_a_run_saves_it_and_says_how_to_go_on(tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "runs"
    with studio(out, "start") as running:
        running.line("Epoch       2/1000000")
        assert running.end(number) == 0
        text = "".join(running.lines)
    assert "Traceback" not in text
    assert "Training dense_baseline: 1000000 epochs" in text
    (run,) = list_runs(out)
    assert run.status == "interrupted"
    session = dl.Run.open(run.path).load_state()
    assert int(session.metadata["step"]) >= 22


@POSIX_ONLY
def test_page_and_all_its_files_come_from_this_host(tmp_path: Path) -> None:
    with studio(tmp_path / "runs", "wait") as running:
        status, page, headers = running.get()
        assert status == 200
        assert "script-src 'self' 'nonce-" in headers["content-security-policy"]
        sources = re.findall(
            r"""(?:src|href)=["']([^"']+)|@import url\(["']?([^"')]+)|import [^;]* from "([^"]+)""", page
        )
        addresses = {address for found in sources for address in found if address}
        assert any(address.startswith("/studio/studio.css") for address in addresses)
        for address in addresses:
            assert address.startswith(("/", "data:", "vue", "dompurify")), address
            if address.startswith("/"):
                assert running.get(address)[0] == 200, address
        assert running.end() == 0


@POSIX_ONLY
def test_other_sites_reach_neither_page_nor_socket(tmp_path: Path) -> None:
    with studio(tmp_path / "runs", "wait") as running:
        assert running.get(Host="evil.example")[0] == 403
        assert running.get(Origin="http://evil.example")[0] == 403
        assert running.upgrade(Origin="http://evil.example") == 403
        assert running.upgrade(Host="evil.example") == 403
        assert running.upgrade(Origin=f"http://127.0.0.1:{running.port}") == 101


@POSIX_ONLY
def test_api_answers_beside_the_page(tmp_path: Path) -> None:
    image = dl.MnistData.load().test.images[0]
    (expected,) = Predictor().answers([DigitImage("image", image, image, is_given=True)])
    kind = {"Content-Type": "application/octet-stream"}
    with studio(tmp_path / "runs", "wait", TOKEN) as running:
        shown = {"Authorization": f"Bearer {TOKEN}"}
        assert running.get("/readyz", **shown)[0] == 200
        assert running.ask("POST", "/api/predict", image.tobytes(), **kind)[0] == 401
        status, content, headers = running.ask("POST", "/api/predict", image.tobytes(), **shown, **kind)
        assert (status, headers["content-type"]) == (200, "application/json")
        assert json.loads(content)[0]["probabilities"] == list(expected.prediction.probabilities)
        status, content, _ = running.ask("POST", "/api/predict", b"odd", **shown, **kind)
        assert status == 422
        assert "784 bytes" in json.loads(content)["error"]["message"]
        assert "/api/read" in json.loads(running.get("/openapi.json", **shown)[1])["paths"]
        assert "digitlab_images_predicted_total 1.0" in running.get("/metrics", **shown)[1]
        assert "<html" in running.get("/", **shown)[1]
        assert running.end() == 0


@POSIX_ONLY
def test_with_a_token_every_request_and_socket_needs_it(tmp_path: Path) -> None:
    with studio(tmp_path / "runs", "wait", TOKEN) as running:
        assert running.address.endswith(f"/?token={TOKEN}")
        for path in ("/", "/studio/studio.css", "/favicon.ico"):
            assert running.get(path)[0] == 401
        assert running.upgrade() == 401
        assert running.upgrade(Authorization=f"Bearer {TOKEN}") == 101
        status, page, headers = running.get(f"/?token={TOKEN}")
        assert status == 200
        assert TOKEN not in page
        cookie = headers["set-cookie"].partition(";")[0]
        assert running.get("/", Cookie=cookie)[0] == 200
        assert running.upgrade(Cookie=cookie) == 101


@POSIX_ONLY
def test_addresses_of_nothing_and_requests_of_other_sites_build_no_page(tmp_path: Path) -> None:
    with studio(tmp_path / "runs", "wait") as running:
        for path in ("/nothing", "/api/nothing", "/runs/none/report.html", "/studio/none.css", "/read/none/photo/0",
                     "/%00", "/studio/%00", "/runs/%00/report.html", "/_nicegui/%00", "/" + "x" * 5_000):  # fmt: skip
            status, content, _ = running.get(path)
            assert (status, "<html" in content) == (404, False), path
        assert running.ask("POST", "/", None)[0] == 405
        assert running.ask("POST", "/nothing", bytes(10**6))[0] == 404
        foreign = {"Sec-Fetch-Site": "cross-site"}
        for path in ("/", "/studio/studio.css", "/api/model"):
            assert running.get(path, **foreign)[0] == 403
        assert running.get("/", **foreign, **{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"})[0] == 403
        click = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        assert "<html" in running.get("/?tab=model", **foreign, **click)[1]
        assert running.get("/", **{"Sec-Fetch-Site": "same-origin"})[0] == 200
        assert running.end() == 0
    assert "Traceback" not in "".join(running.lines)


ODD_EVENTS = [
    "42",
    "42[]",
    "42{}",
    '42["event"]',
    '42["event",1,2,3]',
    '42["event",[]]',
    '42["event",{"client_id":[]}]',
    '42["event",{"client_id":"CLIENT","id":"x"}]',
    '42["event",{"client_id":"CLIENT","id":4,"listener_id":[],"args":7}]',
    '42["handshake",{}]',
    '42["handshake",null]',
    '42["ack",{"client_id":"CLIENT","next_message_id":{}}]',
    '42["log",{"client_id":"CLIENT","level":"x","message":[]}]',
    '42["javascript_response",{"client_id":"CLIENT","request_id":{}}]',
    '42["connect",1]',
    '42["disconnect"]',
    '42["too_long_message"]',
    '42["",""]',
    "43[]",
    "437[]",
    "44",
    "45",
    '451-["event",{"_placeholder":true,"num":9}]',
    "46",
    "4x",
    "9",
    "",
    "40{}",
    "41",
]


@POSIX_ONLY
def test_events_of_odd_kinds_leave_no_traceback_and_the_page_lives(tmp_path: Path) -> None:
    with studio(tmp_path / "runs", "wait") as running:
        running.get()  # the first page loads what all need
        for odd in ODD_EVENTS:
            page = running.get()[1]
            client = re.search(r"client_id&#34;: &#34;([\w-]+)|client_id[\"']+: ?[\"']([\w-]+)", page)
            assert client is not None
            name = client[1] or client[2]
            with connect(f"ws://127.0.0.1:{running.port}/_nicegui_ws/socket.io/?EIO=4&transport=websocket") as socket:
                socket.send("40")
                document = {"client_id": name, "tab_id": "t", "document_id": "d", "next_message_id": 0}
                socket.send("42" + json.dumps(["handshake", document]))
                socket.send(odd.replace("CLIENT", name))
                socket.send("42" + json.dumps(["log", {"client_id": name, "level": "error", "message": "after it"}]))
        assert running.get()[0] == 200
        assert running.end() == 0
    text = "".join(running.lines)
    assert "Traceback" not in text
    assert "never retrieved" not in text


def test_port_that_is_taken_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as open_sockets:
        first = open_sockets.enter_context(listening_socket("127.0.0.1"))
        port = first.getsockname()[1]
        assert port >= FIRST_PORT
        second = open_sockets.enter_context(listening_socket("127.0.0.1"))
        assert second.getsockname()[1] > port
        with pytest.raises(ConfigError, match=f"Port {port} cannot be used: .*Leave --port out"):
            listening_socket("127.0.0.1", port)
        monkeypatch.setattr("digitlab.serving.server.FIRST_PORT", port)
        monkeypatch.setattr("digitlab.serving.server._MOST_TRIES", 1)
        with pytest.raises(ConfigError, match="are all taken; name another with --port"):
            listening_socket("127.0.0.1")


@pytest.mark.parametrize("port", [-1, 65_536])
def test_port_that_cannot_be_is_told(port: int) -> None:
    with pytest.raises(ConfigError, match="from 0 to 65,535"):
        listening_socket("127.0.0.1", port)


@pytest.mark.parametrize("host", ["203.0.113.7", "no such host", "host.invalid"])
def test_host_that_is_not_this_machine_is_told(host: str) -> None:
    with pytest.raises(ConfigError, match="is no address of this machine"):
        listening_socket(host, 0)


def test_address_can_be_opened_in_a_browser() -> None:
    with listening_socket("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        assert address_of(listening, "127.0.0.1") == f"http://127.0.0.1:{port}/"
        assert address_of(listening, "0.0.0.0", "abc") == f"http://127.0.0.1:{port}/?token=abc"
        assert address_of(listening, "::1") == f"http://[::1]:{port}/"


def test_beyond_this_machine_nothing_is_served_without_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    monkeypatch.setattr(app, "listening_socket", lambda *_: pytest.fail("it listened"))
    with pytest.raises(ConfigError, match="needs a token"):
        app.run_studio(tmp_path, host="0.0.0.0")


# ---- the page, in this process ----


class Opened(Opening):
    """An opening that is over."""

    def __init__(self, trainer: Trainer) -> None:
        super().__init__(Path("unused"), autostart=False, expects_page=False)
        self.trainer, self.is_ready = trainer, True


def test_tabs_are_built_when_they_are_shown_and_then_kept(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    for name in app.BUILDERS:
        monkeypatch.setitem(
            app.BUILDERS, name, lambda page, name=name: built.append(name) or ui.label(f"this is {name}")
        )

    async def scenario(user: User) -> None:
        assert built == ["Network"]
        for name in ("Model", "Network", "Runs", "Model"):
            user.find(kind=ui.element, content=name).click()
            await user.should_see(f"this is {name}")
        assert built == ["Network", "Model", "Runs"]
        chosen = [tab for tab in tabs(user) if tab.props["aria-selected"] == "true"]
        assert [tab.props["id"] for tab in chosen] == ["tab-model"]
        assert [tab.props["tabindex"] for tab in tabs(user)] == ["-1", "0", *["-1"] * 5]

    visit(app.set_up_page(Opened(trainer)), scenario)


def test_a_page_of_letters_names_them_on_every_tab(digits: dl.MnistData, out: Path) -> None:
    names = ("Alpha", "Beta", "Gamma")
    splits = [Split(s.name, s.images, s.labels % 3) for s in (digits.training, digits.validation, digits.test)]
    letters = dl.MnistData(*splits, source="letters", digest="abc", class_names=names, notes=["They were turned."])
    trainer = Trainer(letters, out, data_folder="letters")
    config = dl.TrainConfig(network="dense_baseline", batch_size=32, epochs=1)
    trainer.start(config)
    trainer.wait(lambda: trainer.evaluation is not None, 60)
    assert trainer.evaluation is not None
    assert trainer.evaluation.class_names == names
    assert trainer.architecture.n_classes == 3
    assert (trainer.config.train_images, trainer.config.validation_images) == (200, 60)

    async def scenario(user: User) -> None:
        await user.open("/?tab=input-data&network=dense_baseline")
        await user.should_see("They were turned.", retries=20)
        for name, words in (("Model", "Model Architecture"), ("Training", "Test Images"), ("Evaluation", "Accuracy")):
            user.find(kind=ui.element, content=name).click()
            await user.should_see(words, retries=20)
        assert not [m for m in user.notify.messages if "classes" in m]

    visit(app.set_up_page(Opened(trainer)), scenario)
    trainer.close()


def tabs(user: User) -> list[ui.element]:
    elements = user.client.elements.values()  # type: ignore[union-attr]
    return [element for element in elements if element.props.get("role") == "tab"]


def test_link_opens_its_tab_with_its_settings(trainer: Trainer) -> None:
    from digitlab.studio.page import current_page

    async def scenario(user: User) -> None:
        await user.open("/?tab=runs&network=dense_baseline&epochs=3&step=7")
        with user:
            page = current_page()
        assert (page.tab, page.config.network, page.config.epochs, page.cursor) == ("Runs", "dense_baseline", 3, 7)

    visit(app.set_up_page(Opened(trainer)), scenario)


def test_link_that_cannot_be_used_is_told_and_the_page_is_there(trainer: Trainer) -> None:
    async def scenario(user: User) -> None:
        await user.open("/?epochs=many&tab=runs")
        await user.should_see("Test image")
        assert any("epochs must be a whole number" in message for message in user.notify.messages)

    visit(app.set_up_page(Opened(trainer)), scenario)


def test_page_waits_with_a_sentence_and_then_comes(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch, out: Path
) -> None:
    goes_on = asyncio.Event()

    async def made(self: Opening) -> Trainer:
        await goes_on.wait()
        return trainer

    monkeypatch.setattr(Opening, "trainer_made", made)

    async def scenario(user: User) -> None:
        await user.should_see("Loading the digits")
        goes_on.set()
        await user.should_see("Test image")
        await user.should_not_see(kind=ui.element, content="Nothing is being trained.")

    visit(app.set_up_page(Opening(out, autostart=False, expects_page=False)), scenario)


def test_data_that_cannot_be_loaded_is_a_sentence_on_the_page(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(folder: str | None) -> None:
        raise DataError("The digits are damaged; install digitlab again.")

    monkeypatch.setattr(dl.MnistData, "load", fail)
    begun = Opening(out, autostart=True, expects_page=False)

    async def scenario(user: User) -> None:
        await begun.open()
        await user.should_see("The digits are damaged; install digitlab again.", retries=20)

    visit(app.set_up_page(begun), scenario)


def test_first_run_waits_for_somebody_to_watch_it(
    digits: dl.MnistData, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dl.MnistData, "load", lambda folder: digits)
    small = dl.TrainConfig(network="dense_baseline", train_images=64, validation_images=16, batch_size=32, epochs=1)
    monkeypatch.setattr(startup, "TrainConfig", lambda **_: small)

    async def go() -> None:
        begun = Opening(out, autostart=True, expects_page=True)
        task = asyncio.create_task(begun.open())
        await until(lambda: begun.is_ready)
        trainer = begun.trainer
        assert trainer is not None
        assert trainer.generation == 0
        begun.note_page()
        await task
        assert trainer.generation == 1
        await begun.close()
        assert not begun.failure

    asyncio.run(go())


def test_studios_own_scripts_and_styles_name_no_other_host() -> None:
    for path in STATIC.iterdir():
        found = re.findall(
            r"(?:https?:)?//[\w.-]+\.\w+", re.sub(r"^\s*//.*$", "", path.read_text("utf-8"), flags=re.MULTILINE)
        )
        assert [host for host in found if "www.w3.org" not in host] == [], path.name
