"""Asking the API: in this process without a network, or over a real connection to a process of its own."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from starlette.types import ASGIApp

import digitlab as dl

RAW, JSON = "application/octet-stream", "application/json"
BOUNDARY = "a-boundary-of-the-tests"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


@dataclass(frozen=True)
class Reply:
    """What was answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, str]:
        """The error, after a look at its shape."""
        document = self.json()
        assert set(document) == {"error"}
        error = document["error"]
        assert {"code", "message"} <= set(error) <= {"code", "message", "next"}
        assert len(error["message"].split()) > 3
        return error


class Client:
    """Asks an ASGI app in this process."""

    def __init__(self, app: ASGIApp, **headers: str) -> None:
        self.app, self.headers = app, {"host": "127.0.0.1:8000"} | headers

    def ask(self, method: str, path: str, body: bytes | Iterable[bytes] = b"", **headers: str) -> Reply:
        return asyncio.run(self.asked(method, path, body, **headers))

    async def asked(self, method: str, path: str, body: bytes | Iterable[bytes] = b"", **headers: str) -> Reply:
        path, _, query = path.partition("?")
        headers = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        chunks = [body] if isinstance(body, bytes) else list(body)
        scope = {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode(),
            "root_path": "", "scheme": "http", "http_version": "1.1", "server": ("127.0.0.1", 8000),
            "client": ("127.0.0.1", 50_000), "asgi": {"version": "3.0"}, "extensions": {}, "state": {},
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }  # fmt: skip
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            if not chunks and "gone" in headers:
                return {"type": "http.disconnect"}
            if not chunks:
                await asyncio.sleep(3600)
            return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        got = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Reply(sent[0]["status"], got, b"".join(message.get("body", b"") for message in sent[1:]))

    def predict(self, body: bytes, kind: str, query: str = "") -> Reply:
        return self.ask("POST", f"/api/predict{query}", body, content_type=kind)

    def read(self, body: bytes, kind: str = "image/png", query: str = "") -> Reply:
        return self.ask("POST", f"/api/read{query}", body, content_type=kind)


class Process:
    """``digitlab serve`` in a process of its own."""

    def __init__(self, folder: Path, *words: str, token: str | None = None) -> None:
        environment = os.environ | {"PYTHONPATH": str(Path(dl.__file__).parents[1])}
        environment.pop("DIGITLAB_TOKEN", None)
        if token is not None:
            environment["DIGITLAB_TOKEN"] = token
        self.log = folder / "log.jsonl"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "digitlab", "serve", "--port", "0", *words],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
                cwd=folder,
            )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)/api/", line):
                self.port = int(found[1])
                return
        raise AssertionError(f"The server did not start: {self.log.read_text()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, names)
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        self.process.communicate(timeout=60)
        return self.process.returncode

    def memory_bytes(self) -> int:
        """Return the resident memory."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


def png(pixels: NDArray[np.uint8], format: str = "PNG") -> bytes:
    """Return an image file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format)
    return file.getvalue()


def form(*files: tuple[str, bytes]) -> bytes:
    """Return a form with files, for the Content-Type ``FORM``."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode() + content
        for name, content in files
    ]
    return b"\r\n".join([*parts, f"--{BOUNDARY}--\r\n".encode()])


def photo(digits: NDArray[np.uint8], columns: int = 5) -> NDArray[np.uint8]:
    """Return digits side by side on white paper, uint8, ink dark, some of them in each line."""
    lines = [digits[k : k + columns] for k in range(0, len(digits), columns)]
    paper = np.full((60 * len(lines) + 40, 40 * columns + 40), 255, np.uint8)
    for y, line in enumerate(lines):
        for x, image in enumerate(line):
            paper[30 + 60 * y :, 20 + 40 * x :][:28, :28] = 255 - image
    return paper


def endless() -> bytes:
    """Return a document of a page filled with tiles that are a thousandth of a point apart: PDFium draws for hours."""
    return (
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R/Resources<</Pattern<</P 5 0 R>>>>>>"
        b"endobj\n4 0 obj<</Length 35>>stream\n/Pattern cs /P scn 0 0 200 200 re f\nendstream endobj\n"
        b"5 0 obj<</Type/Pattern/PatternType 1/PaintType 1/TilingType 1/BBox[0 0 1 1]/XStep 0.001/YStep 0.001"
        b"/Resources<<>>/Length 16>>stream\n0.2 0 0.5 1 re f\nendstream endobj\ntrailer<</Root 1 0 R/Size 6>>\n%%EOF"
    )


def pdf(pages: int) -> bytes:
    """Return a document with so many pages, on each of which there is a stroke."""
    image = np.full((200, 150), 255, np.uint8)
    image[60:140, 70:78] = 0
    pictures = [Image.fromarray(image)] * pages
    file = io.BytesIO()
    pictures[0].save(file, "PDF", save_all=True, append_images=pictures[1:])
    return file.getvalue()
