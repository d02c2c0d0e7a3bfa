"""The other server: plain FastAPI and ONNX Runtime, as one writes it from the two libraries' documentation.

``python onnxruntime_server.py NETWORK.json WEIGHTS.npz PORT`` serves on 127.0.0.1. No limits, no queue, no token,
no log and no metrics. One image is answered on the event loop, which is faster than in a thread for a network so small;
photos are read in FastAPI's threads, by digitlab's own reader with ONNX Runtime for its network.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI, File, Request
from jobs import read_weights
from onnxruntime_jobs import model_of
from PIL import Image

from digitlab.reading.reader import Reader


def session_of(network: Path, weights: Path) -> onnxruntime.InferenceSession:
    """Return what answers images with the network."""
    model = model_of(json.loads(network.read_text()), read_weights(weights)).SerializeToString()
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


class OnnxModel:
    """Stands in for a ``Sequential`` within a ``Reader``."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self.session = session

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Answer images, float32 (n, 28, 28, 1)."""
        return self.session.run(None, {"images": images.reshape(-1, 1, 28, 28)})[0]


def build_app(session: onnxruntime.InferenceSession) -> FastAPI:
    """Return the app with its two routes."""
    app = FastAPI()
    reader = Reader()
    reader.answers.model = OnnxModel(session)  # type: ignore[assignment]

    def answered(images: np.ndarray) -> list[dict[str, Any]]:
        rows = session.run(None, {"images": images})[0]
        return [{"label": int(row.argmax()), "probabilities": row.tolist()} for row in rows]

    @app.post("/api/predict")
    async def predict(request: Request) -> list[dict[str, Any]]:
        content = await request.body()
        if request.headers["content-type"] == "image/png":
            pixels = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
        else:
            pixels = np.frombuffer(content, np.uint8)
        return answered(pixels.reshape(-1, 1, 28, 28).astype(np.float32) / np.float32(255))

    @app.post("/api/form")
    async def form(file: bytes = File()) -> list[dict[str, Any]]:
        pixels = np.asarray(Image.open(io.BytesIO(file)).convert("L"))
        return answered(pixels.reshape(1, 1, 28, 28).astype(np.float32) / np.float32(255))

    @app.post("/api/read")
    def read(file: bytes = File()) -> dict[str, Any]:
        return reader.read(file).to_dict()

    return app


if __name__ == "__main__":
    app = build_app(session_of(Path(sys.argv[1]), Path(sys.argv[2])))
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[3]), log_level="warning", access_log=False)
