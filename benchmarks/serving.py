"""How many requests a second does the API answer, and how soon? Beside plain FastAPI with ONNX Runtime.

Both servers hold the network of the shipped reader, run in the same interpreter with the same versions of FastAPI and
uvicorn, and stay up all the time; wrk puts load on one at a time. A round measures every load and number of connections
on both, one right after the other, who is first changing with the round; a ratio is taken within a round. Each
measurement follows a second of the same load that is not counted, and begins when the server is at rest again.

Writes ``benchmarks/results/serving.json`` and ``docs/measurements/serving.md``. Needs wrk and onnxruntime.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from digitlab.data.mnist import MnistData
from digitlab.reading.reader import Reader
from measuring import PAGES, describe_machine, made_by, other_cpu_s, parser_of, positive, publish, read_json, say
from servers import FORM, Server, digitlab_server, form, onnxruntime_server, png
from tables import markdown_table, page

PAGE = PAGES / "serving.md"

_PACKAGES = ("digitlab", "fastapi", "uvicorn", "onnxruntime", "numpy")
_WARM_UP_S = 1.0
_PHOTO_TIMES = 4  # photos take longer each, and 64 of them longer still
_MIB = 2**20
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


def loads() -> list[Load]:
    """Return what is posted: one image in two ways, and a photo of twelve digits."""
    images = MnistData.load().test.images.reshape(-1, 28, 28)
    return [
        Load("raw", "one image, 784 raw bytes", images[0].tobytes(), "application/octet-stream", ("/api/predict",) * 2),
        Load("form", "one image, PNG in a form", form(png(images[0])), FORM, ("/api/predict", "/api/form")),
        Load("photo", "a photo of 12 digits", form(png(_photo(images[:12]))), FORM, ("/api/read",) * 2),
    ]


def measure(servers: Sequence[Server], options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Return one row for every load, number of connections and round, with both servers' values."""
    rows = []
    both = list(zip(("digitlab", "peer"), servers, (0, 1), strict=True))
    for number in range(1, options.rounds + 1):
        for load in loads():
            seconds = options.seconds * (_PHOTO_TIMES if load.name == "photo" else 1)
            for connections in options.connections:
                row: dict[str, Any] = {"round": number, "load": load.name, "connections": connections}
                for name, server, place in both if number % 2 else reversed(both):
                    put_load(server, load.paths[place], load, connections, _WARM_UP_S, folder)
                    row[name] = put_load(server, load.paths[place], load, connections, seconds, folder)
                    told = f"{load.name}, {connections} connections, round {number}: {name}"
                    say(f"{told} {row[name]['requests_per_s']:,.0f} requests/s")
                rows.append(row)
    return rows


def main(argv: list[str] | None = None) -> int:
    """Measure and write; return 0."""
    parser = parser_of("serving", __doc__, rounds=(3, "of all loads"))
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement; four times as long for photos")
    parser.add_argument("--connections", type=_numbers, default=[1, 16, 64], metavar="A,B")
    options = parser.parse_args(argv)
    wrk = wrk_version()
    if importlib.util.find_spec("onnxruntime") is None:
        sys.exit("onnxruntime is not installed, which the other server needs; install requirements-test.txt.")
    machine = describe_machine()
    with tempfile.TemporaryDirectory(prefix="digitlab-serving-") as name:
        folder = Path(name)
        network, weights = _write_network(folder)
        with (
            digitlab_server(folder / "digitlab.log") as ours,
            onnxruntime_server(network, weights, folder / "peer.log") as peer,
        ):
            rows = measure((ours, peer), options, folder)
    result = {
        **made_by("serving", argv),
        "machine": machine,
        "versions": {name: version(name) for name in _PACKAGES} | {"wrk": wrk},
        "rounds": options.rounds,
        "seconds": options.seconds,
        "loads": {load.name: load.title for load in loads()},
        "rows": rows,
    }
    publish(options.out, read_json(options.out) | result, to_markdown, PAGE.name)
    return 0


def _write_network(folder: Path) -> tuple[Path, Path]:
    model = Reader().answers.model
    network, weights = folder / "network.json", folder / "weights.npz"
    network.write_text(json.dumps(model.architecture.to_dict()))
    np.savez(weights, *model.get_weights())
    return network, weights


def _photo(images: np.ndarray) -> np.ndarray:
    """Return lines of four digits on grey paper, 1000 pixels wide."""
    paper = np.full((750, 1000), 225, np.uint8)
    for place, image in enumerate(images):
        top, left = 90 + 210 * (place // 4), 60 + 230 * (place % 4)
        digit = np.asarray(Image.fromarray(image).resize((168, 168), Image.Resampling.BICUBIC))
        paper[top : top + 168, left : left + 168] -= np.minimum(digit, 200)
    return paper


def _numbers(text: str) -> list[int]:
    return [positive(word) for word in text.split(",")]


def to_markdown(result: dict[str, Any]) -> str:
    """Return the page."""
    parts = ["# The HTTP API under load"]
    if result.get("rows"):
        parts += _contest(result)
    if result.get("soak"):
        parts += _soak(result["soak"])
    return page(*parts)


def _contest(result: dict[str, Any]) -> list[str]:
    parts = [
        "`digitlab serve` beside a plain server: FastAPI and ONNX Runtime with the same network, as one writes it from "
        "the two libraries' documentation (`benchmarks/peers/onnxruntime_server.py`). Both run in one process each, on "
        "the same cores in turn, under the load of wrk, which takes its share of those cores. digitlab checks limits, "
        "gathers images into batches and counts every request; the plain server does nothing of the kind. *Times* are "
        "digitlab's value divided by the other's, the median over the rounds [smallest, largest]: more is better for "
        "requests a second, less for the others.",
    ]
    headings = ["connections", "requests/s", "other", "times", "p50, ms", "other", "p99, ms", "other", "times",
                "processor, ms a request", "other"]  # fmt: skip
    for load, title in result["loads"].items():
        rows = [row for row in result["rows"] if row["load"] == load]
        table = [
            _row(connections, [row for row in rows if row["connections"] == connections])
            for connections in sorted({row["connections"] for row in rows})
        ]
        parts += [f"## {title[0].upper()}{title[1:]}", markdown_table(headings, table)]
    machine, n_bad = result["machine"], sum(_n_bad(row) for row in result["rows"])
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    others = [row[name].get("other_cores", 0.0) for row in result["rows"] for name in ("digitlab", "peer")]
    bad = "Every answer was a success." if not n_bad else f"{n_bad:,} answers were no success."
    parts.append(
        f"{bad} {result['rounds']} rounds of {result['seconds']:g} s for images and four times as long for "
        f"photos. {machine['cores']} cores of {machine['cpu']}, of which other programs kept {median(others):.2f} busy "
        f"(median; at most {max(others):.2f}), Python {machine['python']}, "
        f"{versions}. Made by `{result['command']}` on {result['date'][:10]}."
    )
    return parts


def _row(connections: int, rows: list[dict[str, Any]]) -> list[str]:
    def of(key: str, digits: int) -> tuple[str, str]:
        ours, other = (median(row[name][key] for row in rows) for name in ("digitlab", "peer"))
        return f"{ours:,.{digits}f}", f"{other:,.{digits}f}"

    def times(key: str) -> str:
        ratios = [row["digitlab"][key] / row["peer"][key] for row in rows]
        return f"**{median(ratios):.2f}** [{min(ratios):.2f}, {max(ratios):.2f}]"

    digits = 0 if rows[0]["digitlab"]["requests_per_s"] >= 100 else 1
    return [
        str(connections),
        *of("requests_per_s", digits),
        times("requests_per_s"),
        *of("p50_ms", 2),
        *of("p99_ms", 2),
        times("p99_ms"),
        *of("cpu_ms", 2),
    ]


def _n_bad(row: dict[str, Any]) -> int:
    return sum(row[name][key] for name in ("digitlab", "peer") for key in ("refused", "broken"))


def _soak(soak: dict[str, Any]) -> list[str]:
    memory = [point["rss_bytes"] / _MIB for point in soak["memory"]]
    third = max(1, len(memory) // 3)
    first, last = median(memory[:third]), median(memory[-third:])
    rows = [[name, f"{count['sent']:,}", f"{count['as_expected']:,}", _statuses(count)]
            for name, count in soak["kinds"].items()]  # fmt: skip
    return [
        "## Ten minutes' worth of requests",
        f"{soak['n_requests']:,} requests, as many as come in ten minutes at {soak['n_requests'] / 600:.0f} a second, "
        f"over {soak['connections']} connections in {soak['seconds']:.0f} s; bad ones are mixed in. Answers to good "
        "ones are compared with what the library says in another process.",
        markdown_table(["what was sent", "requests", "answered as expected", "statuses"], rows),
        f"Resident memory, median of the first third of {len(memory)} samples after {soak['warm_up']:,} requests: "
        f"{first:.1f} MiB; of the last third: {last:.1f} MiB. Answers with 5xx other than 503: {soak['n_5xx']}.",
        f"Made by `{soak['command']}` on {soak['date'][:10]}.",
    ]


def _statuses(count: dict[str, Any]) -> str:
    return ", ".join(f"{status}: {n:,}" for status, n in sorted(count["statuses"].items()))


if __name__ == "__main__":
    sys.exit(main())
