"""What the soak sends: good requests with the answers they should get, and bad ones of many kinds."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from digitlab.data.mnist import MnistData
from digitlab.reading.predictor import DigitImage, Predictor
from digitlab.reading.small_image import small_image

_RAW, _JSON = "application/octet-stream", "application/json"
_BOUNDARY = "a-boundary-of-the-soak"
_FORM = f"multipart/form-data; boundary={_BOUNDARY}"
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
    is_good: bool = field(default=True)


def kinds() -> list[Kind]:
    """Return all kinds; the library is asked here what the good ones should be answered."""
    images = MnistData.load().test.images[:_N_IMAGES].reshape(-1, 28, 28)
    predictor = Predictor()
    expected = [answer.to_dict() for answer in predictor.answers(
        [DigitImage("image", None, image, is_given=True) for image in images])]  # fmt: skip
    files = [_file(image) for image in images]
    of_files = [answer.to_dict() for answer in predictor.answers(
        [DigitImage("a.png", content, small_image(content)) for content in files])]  # fmt: skip
    photo = _file(_photo(images[:8]))
    assert predictor.reader is not None
    text = predictor.reader.read(photo).text

    def raw(rng: np.random.Generator) -> Request:
        chosen = rng.integers(0, _N_IMAGES, rng.choice([1, 1, 1, 1, 3, 20]))
        return _post(images[chosen].tobytes(), _RAW, _same([expected[k] for k in chosen]))

    def numbers(rng: np.random.Generator) -> Request:
        chosen = rng.integers(0, _N_IMAGES, rng.integers(1, 4))
        body = json.dumps({"images": images[chosen].tolist()}).encode()
        return _post(body, _JSON, _same([expected[k] for k in chosen]))

    def form(rng: np.random.Generator) -> Request:
        chosen = rng.integers(0, _N_IMAGES, rng.integers(1, 4))
        return _post(_form([files[k] for k in chosen]), _FORM, _same([of_files[k] for k in chosen]))

    def read(_: np.random.Generator) -> Request:
        return _post(photo, "image/png", lambda content: json.loads(content)[0]["text"] == text, "/api/read")

    def junk(rng: np.random.Generator) -> Request:
        start = rng.choice([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"%PDF-1.7", b'{"images": [['])
        path = str(rng.choice(["/api/predict", "/api/read"]))
        kind = str(rng.choice([_RAW, _JSON, _FORM, "image/png", "application/pdf", "text/plain", ""]))
        # Never a whole number of raw images: those would be answered.
        return _post(start + rng.bytes(int(rng.integers(0, 3))) + b"!" * 800, kind, path=path)

    def cut(rng: np.random.Generator) -> Request:
        whole = files[int(rng.integers(0, _N_IMAGES))]
        if rng.random() < 0.5:
            return _post(_form([whole])[: -int(rng.integers(5, 60))], _FORM)
        return _post(photo[: int(rng.integers(20, len(photo) - 50))], "image/png", path="/api/read")

    def large(rng: np.random.Generator) -> Request:
        body: Any = bytes(_MOST_BYTES + 1)
        if rng.random() < 0.5:
            body = (bytes(100_000) for _ in range(30))  # in chunks, so that no header tells
        return _post(body, _RAW)

    bomb = _file(np.zeros((9_000, 9_000), np.uint8))

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
        Kind("form", "images as PNG in a form", 0.16, form),
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


def _file(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _photo(images: np.ndarray) -> np.ndarray:
    paper = np.full((180, 60 * len(images) // 2 + 60), 230, np.uint8)
    for place, image in enumerate(images):
        top, left = 30 + 70 * (place % 2), 30 + 60 * (place // 2)
        paper[top : top + 28, left : left + 28] -= np.minimum(image, 200)
    return paper


def _form(files: list[bytes]) -> bytes:
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'.encode()
    return b"\r\n".join([head + content for content in files]) + f"\r\n--{_BOUNDARY}--\r\n".encode()
