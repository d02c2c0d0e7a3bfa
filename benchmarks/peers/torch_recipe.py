"""A preset of digitlab on PyTorch, eager: ``python torch_recipe.py FOLDER PRESET SEED`` prints one line of JSON.

The same network, initial weights, images, batch size, optimizer and learning rate at every step; the order of the
images is PyTorch's own.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import accuracy_job as job
import mnist_arrays
import numpy as np
import torch
from codelab_job import n_threads
from recipe import decay, lacking
from torch import nn
from torch_network import build
from torch_training import Labelled, accuracy, fit


def main(folder: Path, preset: str, seed: int) -> None:
    """Train as the recipe says."""
    torch.set_num_threads(n_threads())
    torch.manual_seed(seed)
    recipe, weights = job.read_recipe(folder, preset, seed)
    if lacks := lacking(recipe):
        raise SystemExit(f"the peer lacks {', '.join(lacks)}")
    config = recipe["config"]
    training, validation, test = _labelled(mnist_arrays.read_digits(folder), config)

    def train(model: nn.Module, images: Labelled, epochs: int) -> None:
        fit(
            model,
            _optimizer(model, config),
            images,
            validation,
            batch_size=config["batch_size"],
            epochs=epochs,
            rates=recipe["rates"],
            shuffle=config["shuffle"],
            label_smoothing=config["label_smoothing"],
        )

    few = job.WARM_UP_STEPS * config["batch_size"]
    model = build(recipe["architecture"], weights)
    job.measure(
        ("torch", "numpy"),
        lambda: train(build(recipe["architecture"], weights), Labelled(*(part[:few] for part in training)), 1),
        lambda: train(model, training, config["epochs"]),
        lambda: accuracy(model, test),
    )


def _optimizer(model: nn.Module, config: dict[str, Any]) -> torch.optim.AdamW:
    # Without decay AdamW is Adam. digitlab's epsilon, like Keras', is beside the uncorrected root, PyTorch's beside the
    # corrected one; at 1e-7 neither is felt.
    return torch.optim.AdamW(
        model.parameters(),
        lr=config["learning_rate"],
        betas=(config["beta_1"], config["beta_2"]),
        eps=config["epsilon"],
        weight_decay=decay(config),
        foreach=True,
    )


def _labelled(digits: mnist_arrays.Digits, config: dict[str, Any]) -> tuple[Labelled, Labelled | None, Labelled]:
    n_training = len(digits.training_images) - mnist_arrays.N_VALIDATION
    chosen = np.arange(n_training)
    if config["train_images"] < n_training:
        chosen = torch.randperm(n_training).numpy()[: config["train_images"]]
    watched = slice(n_training, n_training + config["validation_images"])
    return (
        _tensors(digits.training_images[chosen], digits.training_labels[chosen]),
        _tensors(digits.training_images[watched], digits.training_labels[watched])
        if config["validation_images"]
        else None,
        _tensors(digits.test_images, digits.test_labels),
    )


def _tensors(images: np.ndarray, labels: np.ndarray) -> Labelled:
    return Labelled(torch.from_numpy(mnist_arrays.as_floats(images)[:, None]), torch.from_numpy(np.array(labels)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
