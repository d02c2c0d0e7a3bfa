"""How many requests a second does the API answer, and how soon? Beside plain FastAPI with ONNX Runtime.

    python benchmarks/serving.py [--rounds 3] [--seconds 5] [--connections 1,16,64] [--out FILE]

Both servers hold the network of the shipped reader, run in the same interpreter with the same versions of FastAPI and
uvicorn, and stay up all the time; wrk puts load on one at a time. A round measures every load and number of connections
on both, one right after the other, who is first changing with the round; a ratio is taken within a round. Each
measurement follows a second of the same load that is not counted, and begins when the server is at rest again.

Writes ``benchmarks/results/serving.json`` and ``docs/measurements/serving.md``. Needs wrk and onnxruntime.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from contest import describe_machine
from contest_command import command_line, positive
from digitlab.data.mnist import MnistData
from digitlab.reading.reader import Reader
from serving_page import write_page
from serving_servers import ROOT, Load, Server, digitlab_server, onnxruntime_server, put_load, wrk_version

_BOUNDARY = "a-boundary-of-the-benchmark"
_FORM = f"multipart/form-data; boundary={_BOUNDARY}"
_PACKAGES = ("digitlab", "fastapi", "uvicorn", "onnxruntime", "numpy")
_WARM_UP_S = 1.0
_PHOTO_TIMES = 4  # photos take longer each, and 64 of them longer still


def loads() -> list[Load]:
    """Return what is posted: one image in two ways, and a photo of twelve digits."""
    images = MnistData.load().test.images.reshape(-1, 28, 28)
    return [
        Load("raw", "one image, 784 raw bytes", images[0].tobytes(), "application/octet-stream", ("/api/predict",) * 2),
        Load("form", "one image, PNG in a form", _form(_png(images[0])), _FORM, ("/api/predict", "/api/form")),
        Load("photo", "a photo of 12 digits", _form(_png(_photo(images[:12]))), _FORM, ("/api/read",) * 2),
    ]


def measure(servers: Sequence[Server], options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Return one row for every load, number of connections and round, with both servers' values."""
    rows = []
    for number in range(1, options.rounds + 1):
        for load in loads():
            seconds = options.seconds * (_PHOTO_TIMES if load.name == "photo" else 1)
            for connections in options.connections:
                row: dict[str, Any] = {"round": number, "load": load.name, "connections": connections}
                places = (0, 1) if number % 2 else (1, 0)
                for place in places:
                    server, name = servers[place], ("digitlab", "peer")[place]
                    put_load(server, load.paths[place], load, connections, _WARM_UP_S, folder)
                    row[name] = put_load(server, load.paths[place], load, connections, seconds, folder)
                    say = f"{load.name}, {connections} connections, round {number}: {name} "
                    print(say + f"{row[name]['requests_per_s']:,.0f} requests/s", file=sys.stderr, flush=True)
                rows.append(row)
    return rows


def main(argv: list[str] | None = None) -> int:
    """Measure and write; return 0."""
    argv = sys.argv[1:] if argv is None else argv
    out = ROOT / "benchmarks" / "results" / "serving.json"
    parser = argparse.ArgumentParser(prog="python benchmarks/serving.py", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="of each measurement; four times as long with photos"
    )
    parser.add_argument("--connections", type=_numbers, default=[1, 16, 64], metavar="A,B")
    parser.add_argument("--out", type=Path, default=out, metavar="FILE")
    options = parser.parse_args(argv)
    versions = {"wrk": wrk_version()}
    if importlib.util.find_spec("onnxruntime") is None:
        sys.exit("onnxruntime is not installed, which the other server needs; install requirements-test.txt.")
    versions = {name: version(name) for name in _PACKAGES} | versions
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
        "command": command_line("serving", argv),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "versions": versions,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "loads": {load.name: load.title for load in loads()},
        "rows": rows,
    }
    kept = json.loads(options.out.read_text("utf-8")) if options.out.exists() else {}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"soak": kept.get("soak"), **result}, indent=1) + "\n", "utf-8")
    print(write_page(options.out))
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


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _form(content: bytes) -> bytes:
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    return head.encode() + content + f"\r\n--{_BOUNDARY}--\r\n".encode()


def _numbers(text: str) -> list[int]:
    return [positive(word) for word in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
