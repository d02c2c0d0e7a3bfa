"""``digitlab serve`` as a process: over a real connection, from its first line to its last answer."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from digitlab.cli.app import EXIT_BAD_INPUT, main
from digitlab.serving import server as serving
from digitlab.serving.limits import ServingOptions
from tests.serving.asking import FORM, RAW, Process, Reply, endless, form, pdf, photo, png

pytestmark = pytest.mark.slow

Images = NDArray[np.uint8]
POSIX_ONLY = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")


def test_images_and_photos_are_answered(server: Process, digits: Images) -> None:
    (answer,) = server.ask("POST", "/api/predict", form(("7.png", png(digits[0]))), Content_Type=FORM).json()
    assert (answer["source"], answer["label"]) == ("7.png", 7)
    (reading,) = server.ask("POST", "/api/read", png(photo(digits[:5])), Content_Type="image/png").json()
    assert reading["text"]


def test_too_large_a_body_is_refused_before_it_is_sent(server: Process) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        head = f"POST /api/read HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {10**12}\r\nContent-Type: {RAW}\r\n\r\n"
        connection.sendall(head.encode())
        answer = b""
        while chunk := connection.recv(4096):  # until the server closes
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 413")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "too_large"


@pytest.mark.parametrize(
    "junk", [b"\x00\x01\x02\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"POST /api/predict\r\n\r\n", b""]
)
def test_what_is_no_http_does_no_harm(server: Process, junk: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(junk)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(4096)
    assert server.ask("GET", "/healthz").status == 200


def test_connection_that_ends_within_a_body_does_no_harm(server: Process) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(b"POST /api/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 784\r\n\r\nxyz")
    text = server.ask("GET", "/metrics").body.decode()
    assert "digitlab_held_bytes 0.0" in text or "digitlab_held_bytes 3.0" in text
    assert server.ask("GET", "/readyz").status == 200


@POSIX_ONLY
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_requests_that_were_accepted_are_answered_before_the_end(
    tmp_path: Path, digits: Images, number: signal.Signals
) -> None:
    with Process(tmp_path, "--workers", "1") as process:
        replies: list[Reply] = []
        body = pdf(4)

        def ask() -> None:
            replies.append(process.ask("POST", "/api/read", body, Content_Type="application/pdf"))

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        while "digitlab_waiting_pictures 3.0" not in process.ask("GET", "/metrics").body.decode():
            assert not replies, "the photos were read before the signal"
        assert process.end(number) == 0
        for thread in threads:
            thread.join()
        assert [reply.status for reply in replies] == [200] * 3
        assert all(len(reply.json()) == 4 for reply in replies)
        with pytest.raises(OSError, match=r"refused|reset"):
            process.ask("GET", "/healthz")
        lines = [json.loads(line) for line in process.log.read_text().splitlines()]
        assert sum(line["path"] == "/api/read" for line in lines) == 3


@POSIX_ONLY
def test_documents_that_never_end_hold_neither_the_server_nor_its_end(tmp_path: Path) -> None:
    with Process(
        tmp_path, "--workers", "2", "--page-timeout", "3"
    ) as process:  # an ordinary page takes one on a busy core
        replies: list[Reply] = []

        def ask() -> None:
            replies.append(process.ask("POST", "/api/read", endless(), Content_Type="application/pdf"))

        ask()
        assert (replies[0].status, replies[0].error["code"]) == (422, "cannot_be_used")
        assert "given up" in replies[0].error["message"]
        assert process.ask("POST", "/api/read", pdf(1), Content_Type="application/pdf").status == 200
        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        while "digitlab_waiting_pictures 2.0" not in process.ask("GET", "/metrics").body.decode():
            assert len(replies) == 1, "the documents were given up before the signal"
        assert process.end() == 0
        for thread in threads:
            thread.join()
        assert {reply.status for reply in replies[1:]} <= {422, 503}


@POSIX_ONLY
def test_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with Process(tmp_path, "--workers", "1") as process:
        connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=60)
        connection.request("POST", "/api/read", pdf(50), {"Content-Type": "application/pdf"})
        while "digitlab_waiting_pictures 1.0" not in process.ask("GET", "/metrics").body.decode():
            pass
        process.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        while process.process.poll() is None:
            assert time.monotonic() - began < 60
            process.process.send_signal(signal.SIGTERM)
        assert process.process.returncode in (128 + signal.SIGTERM, -signal.SIGTERM, 0)
        connection.close()


def test_token_comes_from_the_environment_and_is_asked_for(tmp_path: Path) -> None:
    token = "a-token-of-good-length"
    with Process(tmp_path, token=token) as process:
        assert process.ask("GET", "/api/model").status == 401
        assert process.ask("GET", "/api/model", Authorization=f"Bearer {token}").status == 200
        assert process.ask("GET", "/healthz").status == 200
        process.end()
        assert token not in process.log.read_text()


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What would have been served."""
    calls: list[dict[str, Any]] = []

    def run_server(options: ServingOptions, **settings: Any) -> int:
        calls.append(settings | {"options": options})
        return 0

    monkeypatch.setattr(serving, "run_server", run_server)
    return calls


def test_options_reach_the_server(served: list[dict[str, Any]]) -> None:
    words = (
        "serve --model latest --runs x --host ::1 --port 9000 --token t --max-bytes 5 --workers 3 --queue 7 --no-log "
        "--pixels 0-255 --allow-origin http://localhost:3000"
    )
    assert main([*words.split(), "--timeout", "1.5", "--max-images", "8", "--max-pages", "9"]) == 0
    assert served == [
        {"model": "latest", "pixels": "0-255", "runs": Path("x"), "host": "::1", "port": 9000, "token": "t",
         "log": False, "allow_origins": ("http://localhost:3000",), "options": ServingOptions(5, 8, 9, 3, 7, 1.5)},
    ]  # fmt: skip


@pytest.mark.parametrize("words", [["--workers", "0"], ["--host", "0.0.0.0"], ["--model", "nothing-here"],
                                   ["--token", "short"], ["--port", "-1"], ["--timeout", "0"]])  # fmt: skip
def test_what_cannot_be_served_is_told(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DIGITLAB_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)
    assert main(["serve", *words]) == EXIT_BAD_INPUT
    assert "Error: " in capsys.readouterr().err
