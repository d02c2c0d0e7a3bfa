"""Ten minutes' worth of requests to the API, good and bad, in a row: is every answer right, and the memory flat?

    python benchmarks/soak.py [--requests 30000] [--connections 8] [--out FILE]

30,000 are as many as come in ten minutes at 50 a second; here they come as fast as they are answered. Two thirds are
good: single images and small batches in every form, and now and then a photo. Their answers are compared with what the
library says in this process: the same label, probabilities within 1e-4, the same digits on the photo. The others are
bad in many ways: too large, broken off, no image, an image of too many pixels, JSON that is none, forms that end too
soon, connections that are closed half-way. Each has the statuses that are right for it; 429 and 503 are right for all,
and no other 5xx for any. Writes the outcome into ``benchmarks/results/serving.json`` and
``docs/measurements/serving.md``.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from contest_command import command_line, positive
from serving_page import write_page
from serving_servers import ROOT, Server, digitlab_server
from soak_requests import Kind, kinds

_SAMPLES = 60
_RETRIES = 50
_WARM_UP_PART = 10  # of the requests, in which threads start and buffers grow


class Soak:
    """One run.

    Parameters
    ----------
    server : Server
        Who is asked.
    every : list of Kind
        What is sent; the parts of all add up to the whole.
    n_requests, connections : int
        How many, and over how many connections at a time.
    """

    def __init__(self, server: Server, every: list[Kind], n_requests: int, connections: int) -> None:
        self.server, self.kinds = server, every
        self.n_requests, self.connections = n_requests, connections
        self.counts = {kind.name: Counter[str]() for kind in every}
        self.problems: list[str] = []
        self.memory: list[dict[str, int]] = []
        self.n_sent = self.n_5xx = 0
        self._lock = threading.Lock()

    @property
    def warm_up(self) -> int:
        """Requests after which the memory is looked at."""
        return self.n_requests // _WARM_UP_PART

    def run(self) -> float:
        """Send everything, and return the seconds it took."""
        began = time.perf_counter()
        threads = [threading.Thread(target=self._send, args=(number,)) for number in range(self.connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - began

    def to_dict(self) -> dict[str, Any]:
        """Return what happened."""
        table = {}
        for kind in self.kinds:
            count = self.counts[kind.name]
            statuses = {key: n for key, n in count.items() if key.isdigit() or key == "closed"}
            table[kind.title] = {"sent": sum(statuses.values()), "as_expected": count["right"], "statuses": statuses}
        return {"n_requests": self.n_sent, "connections": self.connections, "warm_up": self.warm_up, "kinds": table,
                "memory": self.memory, "n_5xx": self.n_5xx, "problems": self.problems}  # fmt: skip

    def _send(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        parts = np.array([kind.part for kind in self.kinds])
        connection = self._connected()
        step = max(1, (self.n_requests - self.warm_up) // _SAMPLES)
        while True:
            with self._lock:
                if self.n_sent >= self.n_requests:
                    break
                self.n_sent += 1
                n = self.n_sent
                if n > self.warm_up and n % step == 0:
                    self.memory.append({"requests": n, "rss_bytes": self.server.rss_bytes()})
            kind = self.kinds[rng.choice(len(parts), p=parts / parts.sum())]
            connection = self._one(connection, kind, rng)
        connection.close()

    def _one(
        self, connection: http.client.HTTPConnection, kind: Kind, rng: np.random.Generator
    ) -> http.client.HTTPConnection:
        request = kind.make(rng)
        for _ in range(_RETRIES if kind.is_good else 1):
            try:
                connection.request(request.method, request.path, request.body, dict(request.headers))
                answer = connection.getresponse()
                status, content = answer.status, answer.read()
                if answer.will_close:
                    connection.close()
            except (OSError, http.client.HTTPException):
                # A refused body may end the connection before the answer is seen; and some close it themselves.
                connection.close()
                connection = self._connected()
                status, content = 0, b""
            if status not in (429, 503) or not kind.is_good:
                break
            self._note(kind, str(status), True, "")
            time.sleep(0.02)
        is_right = status in kind.statuses and (status != 200 or request.check(content))
        self._note(kind, str(status) if status else "closed", is_right, content[:200].decode("utf-8", "replace"))
        return connection

    def _note(self, kind: Kind, status: str, is_right: bool, content: str) -> None:
        with self._lock:
            self.counts[kind.name][status] += 1
            self.counts[kind.name]["right"] += is_right
            self.n_5xx += status.startswith("5") and status != "503"
            if not is_right and len(self.problems) < 20:
                self.problems.append(f"{kind.name}: {status} {content}")

    def _connected(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=120)


def soak(n_requests: int, connections: int, folder: Path, say: Callable[[str], None] = lambda text: None) -> Any:
    """Start a server, send it everything, and return the outcome."""
    every = kinds()
    with digitlab_server(folder / "soak.log", "--max-bytes", "2000000") as server:
        run = Soak(server, every, n_requests, connections)
        say(f"{n_requests:,} requests over {connections} connections ...")
        seconds = run.run()
        with suppress(OSError):
            say((folder / "soak.log").read_text()[-500:])
    return run.to_dict() | {"seconds": seconds}


def main(argv: list[str] | None = None) -> int:
    """Soak and write; return 0, or 1 where something was wrong."""
    argv = sys.argv[1:] if argv is None else argv
    out = ROOT / "benchmarks" / "results" / "serving.json"
    parser = argparse.ArgumentParser(prog="python benchmarks/soak.py", description=__doc__.split("\n")[0])
    parser.add_argument("--requests", type=positive, default=30_000, metavar="N")
    parser.add_argument("--connections", type=positive, default=8, metavar="N")
    parser.add_argument("--out", type=Path, default=out, metavar="FILE")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="digitlab-soak-") as name:
        result = soak(options.requests, options.connections, Path(name), lambda text: print(text, file=sys.stderr))
    result |= {"command": command_line("soak", argv), "date": datetime.now(UTC).isoformat(timespec="seconds")}
    kept = json.loads(options.out.read_text("utf-8")) if options.out.exists() else {}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(kept | {"soak": result}, indent=1) + "\n", "utf-8")
    print(write_page(options.out))
    print(*result["problems"], sep="\n", file=sys.stderr)
    return 1 if result["problems"] or result["n_5xx"] else 0


if __name__ == "__main__":
    sys.exit(main())
