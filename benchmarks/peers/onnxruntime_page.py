"""Answering a page with ONNX Runtime: ``python onnxruntime_page.py FOLDER`` prints one line of JSON."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import page_job as job


def make(folder: Path, threads: int) -> job.Answer:
    """Return a function that answers a page with this many threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(folder / "network.onnx", options, providers=["CPUExecutionProvider"])

    def answer(page: np.ndarray) -> np.ndarray:
        return session.run(None, {"images": page})[0]

    return answer


if __name__ == "__main__":
    job.measure(("onnxruntime", "numpy"), make)
