"""The two servers that are measured, each in a process of its own on 127.0.0.1, and what they are sent."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from measuring import ROOT

_PATIENCE_S = 120.0
_TICKS = os.sysconf("SC_CLK_TCK")
_BOUNDARY = "a-boundary-of-the-benchmark"
#: The Content-Type of a form.
FORM = f"multipart/form-data; boundary={_BOUNDARY}"


class Server:
    """A server, seen from outside: what starts it, with ``PORT`` for the port, and where its words go."""

    def __init__(self, command: list[str], log: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "benchmarks/peers")])}
        self.log = log
        with log.open("w") as file:
            words = [word.replace("PORT", str(self.port)) for word in command]
            self.process = subprocess.Popen(words, env=environment, stdout=file, stderr=file)
        deadline = time.monotonic() + _PATIENCE_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise RuntimeError(f"A server did not start: {log.read_text()[-500:]}")
            time.sleep(0.1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it as SIGTERM does."""
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def cpu_s(self) -> float:
        """Return the processor time it has used so far, in seconds."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def wait_for_rest(self) -> None:
        """Wait until it does nothing any more: a server may go on for those who have left."""
        deadline, before = time.monotonic() + _PATIENCE_S, -1.0
        while time.monotonic() < deadline and self.cpu_s() - before > 0.05:
            before = self.cpu_s()
            time.sleep(0.5)

    def _answers(self) -> bool:
        with (
            suppress(urllib.error.URLError, OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/openapi.json", timeout=5),
        ):
            return True
        return False


def digitlab_server(log: Path, *words: str) -> Server:
    """Return ``digitlab serve``, as everybody has it but for the log of requests."""
    return Server([sys.executable, "-m", "digitlab", "serve", "--port", "PORT", "--no-log", *words], log)


def onnxruntime_server(network: Path, weights: Path, log: Path) -> Server:
    """Return the plain server with the same network."""
    script = ROOT / "benchmarks" / "peers" / "onnxruntime_server.py"
    return Server([sys.executable, str(script), str(network), str(weights), "PORT"], log)


def png(pixels: np.ndarray) -> bytes:
    """Return an image as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def form(*files: bytes) -> bytes:
    """Return files as a form."""
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'.encode()
    return b"\r\n".join(head + content for content in files) + f"\r\n--{_BOUNDARY}--\r\n".encode()
