"""What schemathesis sends where a schema cannot say what is valid: real images, documents and names of runs."""

from __future__ import annotations

import base64
from functools import partial
from typing import Any

import numpy as np
import schemathesis
from hypothesis import strategies as st

from tests.serving.asking import pdf, png

_IMAGES = st.binary(min_size=784, max_size=784).map(lambda pixels: np.frombuffer(pixels, np.uint8).reshape(28, 28))

for kind in ("png", "jpeg", "webp", "gif", "tiff", "bmp", "avif"):
    schemathesis.openapi.media_type(f"image/{kind}", _IMAGES.map(partial(png, format=kind.upper())))
schemathesis.openapi.media_type("image/heic", _IMAGES.map(png))  # what it is called does not matter
_IN_BASE64 = _IMAGES.map(lambda image: f"data:image/png;base64,{base64.b64encode(png(image)).decode()}")
schemathesis.openapi.format("data-url", _IN_BASE64)
schemathesis.openapi.media_type("application/pdf", st.integers(1, 3).map(pdf))


@schemathesis.hook
def map_case(context: Any, case: Any) -> Any:
    # Bytes are raw images at one address, and a photo at another.
    if case.media_type == "application/octet-stream" and case.meta.generation.mode.is_positive:
        is_photo = case.operation.path == "/api/read"
        case.body = png(np.zeros((28, 28), np.uint8)) if is_photo else bytes(784)
    if case.operation.path == "/api/compare" and case.meta.generation.mode.is_positive:
        case.query = {**case.query, "a": "first", "b": "second"}
    return case
