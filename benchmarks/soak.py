"""Ten minutes' worth of requests to the API, good and bad, in a row: is every answer right, and the memory flat?

30,000 are as many as come in ten minutes at 50 a second; here they come as fast as they are answered. Two thirds are
good: single images and small batches in every form, and now and then a photo. Their answers are compared with what the
library says in this process: the same label, probabilities within 1e-4, the same digits on the photo. The others are
bad in many ways: too large, broken off, no image, an image of too many pixels, JSON that is none, forms that end too
soon, connections that are closed half-way. Each has the statuses that are right for it; 429 and 503 are right for all,
and no other 5xx for any. Writes the outcome into ``benchmarks/results/serving.json`` and
``docs/measurements/serving.md``.
"""

from __future__ import annotations

import http.client
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from digitlab.data.mnist import MnistData
from digitlab.reading.predictor import DigitImage, Predictor, small_image
from measuring import RESULTS, made_by, parser_of, publish, read_json, rss_bytes
from servers import FORM, Server, digitlab_server, form, png
from serving import PAGE, to_markdown

_SAMPLES = 60
_RETRIES = 50
_WARM_UP_PART = 10  # of the requests, in which threads start and buffers grow
_RAW, _JSON = "application/octet-stream", "application/json"
_TOLERANCE = 1e-4
_N_IMAGES = 200
_MOST_BYTES = 2_000_000


@dataclass(frozen=True)
class Request:
    """One request, and whether an answer with 200 is right."""

    path: str
    body: Any
    headers: Mapping[str, str]
    check: Callable[[bytes], bool] = lambda content: True
    method: str = "POST"


@dataclass(frozen=True)
class Kind:
    """A kind of request: how often it is sent, and the statuses that are right; 0 is a closed connection."""

    name: str
    title: str
    part: float
    make: Callable[[np.random.Generator], Request]
    statuses: tuple[int, ...] = (200,)
    is_good: bool = True


def kinds() -> list[Kind]:
    """Return all kinds; the library is asked here what the good ones should be answered."""
    images = MnistData.load().test.images[:_N_IMAGES].reshape(-1, 28, 28)
    predictor = Predictor()
    expected = [answer.to_dict() for answer in predictor.answers(
        [DigitImage("image", None, image, is_given=True) for image in images])]  # fmt: skip
    files = [png(image) for image in images]
    of_files = [answer.to_dict() for answer in predictor.answers(
        [DigitImage("a.png", content, small_image(content)) for content in files])]  # fmt: skip
    photo = png(_photo(images[:8]))
    assert predictor.reader is not None
    text = predictor.reader.read(photo).text

    def raw(rng: np.random.Generator) -> Request:
        chosen = rng.integers(0, _N_IMAGES, rng.choice([1, 1, 1, 1, 3, 20]))
        return _post(images[chosen].tobytes(), _RAW, _same([expected[k] for k in chosen]))

    def numbers(rng: np.random.Generator) -> Request:
        chosen = rng.integers(0, _N_IMAGES, rng.integers(1, 4))
        body = json.dumps({"images": images[chosen].tolist()}).encode()
        return _post(body, _JSON, _same([expected[k] for k in chosen]))

    def in_form(rng: np.random.Generator) -> Request:
        chosen = rng.integers(0, _N_IMAGES, rng.integers(1, 4))
        return _post(form(*(files[k] for k in chosen)), FORM, _same([of_files[k] for k in chosen]))

    def read(_: np.random.Generator) -> Request:
        return _post(photo, "image/png", lambda content: json.loads(content)[0]["text"] == text, "/api/read")

    def junk(rng: np.random.Generator) -> Request:
        start = rng.choice([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"%PDF-1.7", b'{"images": [['])
        path = str(rng.choice(["/api/predict", "/api/read"]))
        kind = str(rng.choice([_RAW, _JSON, FORM, "image/png", "application/pdf", "text/plain", ""]))
        # Never a whole number of raw images: those would be answered.
        return _post(start + rng.bytes(int(rng.integers(0, 3))) + b"!" * 800, kind, path=path)

    def cut(rng: np.random.Generator) -> Request:
        whole = files[int(rng.integers(0, _N_IMAGES))]
        if rng.random() < 0.5:
            return _post(form(whole)[: -int(rng.integers(5, 60))], FORM)
        return _post(photo[: int(rng.integers(20, len(photo) - 50))], "image/png", path="/api/read")

    def large(rng: np.random.Generator) -> Request:
        body: Any = bytes(_MOST_BYTES + 1)
        if rng.random() < 0.5:
            body = (bytes(100_000) for _ in range(30))  # in chunks, so that no header tells
        return _post(body, _RAW)

    bomb = png(np.zeros((9_000, 9_000), np.uint8))

    def bombed(rng: np.random.Generator) -> Request:
        return _post(bomb, "image/png", path=str(rng.choice(["/api/predict", "/api/read"])))

    def lost(rng: np.random.Generator) -> Request:
        address = str(rng.choice(["/", "/api", "/api/predict/7", "/docs", "/api/model/export?format=x"]))
        return Request(address, None, {}, method=str(rng.choice(["GET", "PUT", "DELETE"])))

    def asked(rng: np.random.Generator) -> Request:
        address = str(rng.choice(["/healthz", "/readyz", "/metrics", "/api/model", "/openapi.json"]))
        return Request(address, None, {}, method="GET")

    def stranger(_: np.random.Generator) -> Request:
        return _post(images[0].tobytes(), _RAW, host="evil.example")

    return [
        Kind("raw", "images as raw bytes", 0.34, raw),
        Kind("json", "images in JSON", 0.10, numbers),
        Kind("form", "images as PNG in a form", 0.16, in_form),
        Kind("photo", "a photo", 0.02, read),
        Kind("asked", "health, metrics, model, description", 0.05, asked),
        Kind("junk", "junk of all kinds", 0.16, junk, (415, 422), is_good=False),
        Kind("cut", "files and forms that end too soon", 0.06, cut, (422,), is_good=False),
        Kind("large", "bodies that are too large", 0.02, large, (413, 0), is_good=False),
        Kind("bomb", "81 megapixels in 79 kB", 0.01, bombed, (422, 429, 503), is_good=False),
        Kind("lost", "other addresses and methods", 0.05, lost, (404, 405, 422), is_good=False),
        Kind("stranger", "another name for this machine", 0.03, stranger, (403,), is_good=False),
    ]


def _post(
    body: Any,
    kind: str,
    check: Callable[[bytes], bool] = lambda content: True,
    path: str = "/api/predict",
    host: str = "127.0.0.1",
) -> Request:
    return Request(path, body, {"Content-Type": kind, "Host": host}, check)


def _same(expected: list[dict[str, Any]]) -> Callable[[bytes], bool]:
    def check(content: bytes) -> bool:
        answers = json.loads(content)
        return len(answers) == len(expected) and all(
            answer["label"] == known["label"]
            and np.abs(np.subtract(answer["probabilities"], known["probabilities"])).max() < _TOLERANCE
            for answer, known in zip(answers, expected, strict=True)
        )

    return check


def _photo(images: np.ndarray) -> np.ndarray:
    paper = np.full((180, 60 * len(images) // 2 + 60), 230, np.uint8)
    for place, image in enumerate(images):
        top, left = 30 + 70 * (place % 2), 30 + 60 * (place // 2)
        paper[top : top + 28, left : left + 28] -= np.minimum(image, 200)
    return paper


def ask(connection: http.client.HTTPConnection, request: Request) -> tuple[int, bytes]:
    """Return the status and the content of the answer; 0 where the connection was closed before it."""
    try:
        connection.request(request.method, request.path, request.body, dict(request.headers))
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, http.client.HTTPException):
        # A refused body may end the connection before the answer is seen; and some close it themselves. The next
        # request opens it anew.
        connection.close()
        return 0, b""
    if answer.will_close:
        connection.close()
    return answer.status, content


def send_all(server: Server, every: Sequence[Kind], n_requests: int, connections: int) -> dict[str, Any]:
    """Send so many requests over so many connections at a time, and return what happened."""
    counts = {kind.name: Counter[str]() for kind in every}
    problems: list[str] = []
    memory: list[dict[str, int]] = []
    lock = threading.Lock()
    parts = np.array([kind.part for kind in every])
    warm_up = n_requests // _WARM_UP_PART
    step = max(1, (n_requests - warm_up) // _SAMPLES)

    def note(kind: Kind, status: int, is_right: bool, content: bytes = b"") -> None:
        told = str(status) if status else "closed"
        with lock:
            counts[kind.name].update({told: 1, "right": int(is_right)})
            if not is_right and len(problems) < 20:
                problems.append(f"{kind.name}: {told} {content[:200].decode('utf-8', 'replace')}")

    def send(seed: int) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)) as connection:
            send_part(connection, np.random.default_rng(seed), range(seed + 1, n_requests + 1, connections))

    def send_part(connection: http.client.HTTPConnection, rng: np.random.Generator, numbers: range) -> None:
        for n in numbers:
            if n > warm_up and n % step == 0:
                memory.append({"requests": n, "rss_bytes": rss_bytes(server.process.pid)})
            kind = every[rng.choice(len(parts), p=parts / parts.sum())]
            request = kind.make(rng)
            status, content = ask(connection, request)
            for _ in range(_RETRIES):
                if status not in (429, 503) or not kind.is_good:
                    break
                note(kind, status, True)
                time.sleep(0.02)
                status, content = ask(connection, request)
            is_right = status in kind.statuses and (status != 200 or request.check(content))
            note(kind, status, is_right, content)

    began = time.perf_counter()
    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(send, range(connections)))
    seconds = time.perf_counter() - began
    table, n_5xx = {}, 0
    for kind in every:
        statuses = {key: n for key, n in counts[kind.name].items() if key != "right"}
        n_5xx += sum(n for key, n in statuses.items() if key.startswith("5") and key != "503")
        right = counts[kind.name]["right"]
        table[kind.title] = {"sent": sum(statuses.values()), "as_expected": right, "statuses": statuses}
    return {
        "n_requests": n_requests,
        "connections": connections,
        "warm_up": warm_up,
        "kinds": table,
        "memory": sorted(memory, key=lambda point: point["requests"]),
        "n_5xx": n_5xx,
        "problems": problems,
        "seconds": seconds,
    }


def soak(n_requests: int, connections: int, folder: Path) -> dict[str, Any]:
    """Start a server, send it everything, and return the outcome."""
    every = kinds()
    with digitlab_server(folder / "soak.log", "--max-bytes", "2000000") as server:
        return send_all(server, every, n_requests, connections)


def main(argv: list[str] | None = None) -> int:
    """Soak and write; return 0, or 1 where something was wrong."""
    parser = parser_of("soak", __doc__, requests=(30_000, "in all"), connections=(8, "at a time"))
    parser.set_defaults(out=RESULTS / "serving.json")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="digitlab-soak-") as name:
        result = soak(options.requests, options.connections, Path(name))
    result |= made_by("soak", argv)
    publish(options.out, read_json(options.out) | {"soak": result}, to_markdown, PAGE.name)
    print(*result["problems"], sep="\n", file=sys.stderr)
    return 1 if result["problems"] or result["n_5xx"] else 0


if __name__ == "__main__":
    sys.exit(main())
