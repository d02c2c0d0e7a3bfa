"""What schemathesis sends where a schema cannot say what is valid: real images, documents and names of runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import schemathesis
from hypothesis import strategies as st

from tests.serving.asking import pdf, png

_IMAGES = st.binary(min_size=784, max_size=784).map(lambda pixels: np.frombuffer(pixels, np.uint8).reshape(28, 28))

schemathesis.openapi.media_type("image/png", _IMAGES.map(png))
schemathesis.openapi.media_type("image/jpeg", _IMAGES.map(lambda image: png(image, "JPEG")))
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
