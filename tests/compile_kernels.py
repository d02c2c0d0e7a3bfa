"""Compile the kernels that most tests need, as a program: ``python tests/compile_kernels.py pages|digits``.

Workers that run beside each other would each compile them, which takes longer than most of the tests.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

import digitlab as dl
from digitlab.cli.app import main
from digitlab.training.letters import BUILT_IN, Font
from digitlab.training.pages import compose_sheet, make_bank


def few_digits(folder: Path) -> None:
    """Write MNIST's first digits as a set of their own."""
    data = dl.MnistData.load()
    for name, split in (("train", data.training), ("t10k", data.test)):
        dl.write_idx(folder / f"{name}-images-idx3-ubyte", split.images[:200])
        dl.write_idx(folder / f"{name}-labels-idx1-ubyte", split.labels[:200])


def train(folder: Path, preset: str, n_images: int) -> None:
    sizes = ["--train-images", n_images, "--validation-images", 8, "--batch-size", 8, "--epochs", 1]
    words = ["train", "--preset", preset, "--data", folder, "--out", folder / "runs", "--quiet", *sizes]
    assert main([str(word) for word in words]) == 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        few_digits(Path(name))
        if sys.argv[1] == "pages":
            train(Path(name), "finder", 8)
        else:
            train(Path(name), "reader", 16)
            dl.read(np.full((100, 100), 255, np.uint8))
            bank = make_bank(dl.MnistData.load(name).training, seed=0, fonts=[Font(BUILT_IN)])
            compose_sheet(bank, 0, seed=1)
            dl.codelab_cnn(seed=0).predict(np.zeros((1, 28, 28, 1), np.uint8))
