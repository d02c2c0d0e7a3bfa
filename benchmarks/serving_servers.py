"""The two servers that are measured, each in a process of its own on 127.0.0.1, and the load that wrk puts on them."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from peers.peer import other_cpu_s

ROOT = Path(__file__).resolve().parent.parent

_PATIENCE_S = 120.0
_TICKS = os.sysconf("SC_CLK_TCK")
# Percentiles and errors as wrk counts them, as one line of JSON. What is posted comes from the environment.
_SCRIPT = """
local file = io.open(os.getenv("BODY"), "rb")
wrk.method, wrk.body = "POST", file:read("*a")
wrk.headers["Content-Type"] = os.getenv("KIND")
file:close()
function done(summary, latency, requests)
  local errors = summary.errors
  print(string.format('{"requests": %d, "us": %d, "p50_us": %d, "p99_us": %d, "bad": %d, "broken": %d}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
"""


class Server:
    """A server, seen from outside.

    Parameters
    ----------
    command : list of str
        What starts it, with ``PORT`` for the port.
    log : Path
        Where its words go.
    """

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

    def rss_bytes(self) -> int:
        """Return its resident memory."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

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


@dataclass(frozen=True)
class Load:
    """What is posted, over and over: a body, its Content-Type, and the address at either server."""

    name: str
    title: str
    body: bytes
    kind: str
    paths: tuple[str, str]


def wrk_version() -> str:
    """Return wrk's version; exit with a sentence where it is missing."""
    if shutil.which("wrk") is None:
        sys.exit("There is no wrk, which makes the load; install Debian's package wrk.")
    said = subprocess.run(["wrk", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"wrk (?:debian/)?([\w.+~-]+)", said)
    return found[1] if found else "of an unknown version"


def put_load(server: Server, path: str, load: Load, connections: int, seconds: float, folder: Path) -> dict[str, Any]:
    """Have wrk post for some seconds and return what it counted, and the server's processor time a request."""
    script, body = folder / "post.lua", folder / f"{load.name}.body"
    script.write_text(_SCRIPT)
    body.write_bytes(load.body)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "60s", "-s", str(script),
               f"http://127.0.0.1:{server.port}{path}"]  # fmt: skip
    server.wait_for_rest()
    began, others, clock = server.cpu_s(), other_cpu_s(), time.perf_counter()
    done = subprocess.run(
        command, env=os.environ | {"BODY": str(body), "KIND": load.kind}, capture_output=True, text=True, check=True,
        timeout=seconds + 120,
    )  # fmt: skip
    cpu_s = server.cpu_s() - began
    other_cores = max(0.0, (other_cpu_s() or 0.0) - (others or 0.0) - cpu_s) / (time.perf_counter() - clock)
    counted = json.loads(done.stdout[done.stdout.index("{") :])
    n = counted["requests"]
    return {
        "requests": n,
        "requests_per_s": n / counted["us"] * 1e6,
        "p50_ms": counted["p50_us"] / 1000,
        "p99_ms": counted["p99_us"] / 1000,
        "cpu_ms": 1000 * cpu_s / max(n, 1),
        "other_cores": round(other_cores, 3),
        "refused": counted["bad"],
        "broken": counted["broken"],
    }
