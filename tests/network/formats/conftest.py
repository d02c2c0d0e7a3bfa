"""Model files to read and to spoil, and what a refusal must be like."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from digitlab.errors import DigitlabError
from digitlab.exporting.writers import write_keras, write_onnx, write_tfjs
from digitlab.network import Architecture, Checkpoint, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from digitlab.network.formats.files import load_model_file

# Programs that made the files there, for other environments than this.
collect_ignore = ["files"]

Refused = Callable[..., str]


def small_checkpoint() -> Checkpoint:
    """Every layer of the list, small."""
    network = Architecture(
        [
            Conv2D(3, 3, activation="relu", bias_initializer="he_normal"),
            MaxPooling2D(2),
            Dropout(0.25),
            Conv2D(4, (2, 3), padding="same", use_bias=False),
            MaxPooling2D(3, strides=2, padding="same"),
            Flatten(),
            Dense(5, activation="relu"),
            Dense(3, activation="softmax", bias_initializer="he_normal"),
        ],
        (9, 8, 2),
        "small",
    )
    return Checkpoint(network, tuple(network.initial_weights(seed=0)), ("a", "b", "c"))


@pytest.fixture
def checkpoint() -> Checkpoint:
    return small_checkpoint()


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the small network as a file of every format; tests leave them as they are."""
    folder = tmp_path_factory.mktemp("formats")
    paths = {"keras": folder / "small.keras", "onnx": folder / "small.onnx", "tfjs": folder / "small"}
    write_keras(small_checkpoint(), paths["keras"])
    write_onnx(small_checkpoint(), paths["onnx"])
    write_tfjs(small_checkpoint(), paths["tfjs"])
    return paths


@pytest.fixture
def refused() -> Refused:
    """Load a file that is to be refused: by a sentence, in a second of work and little memory. Return the sentence."""

    def load(path: Path, most_mib: float = 32.0) -> str:
        tracemalloc.start()
        began = time.thread_time()
        try:
            with pytest.raises(DigitlabError) as caught:
                load_model_file(path)
            seconds, peak_bytes = time.thread_time() - began, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        sentence = str(caught.value)
        assert seconds < 1.0
        assert peak_bytes < most_mib * 2**20
        assert sentence.endswith((".", "?"))
        assert len(sentence) < 600
        assert sentence.isprintable()
        return sentence

    return load
