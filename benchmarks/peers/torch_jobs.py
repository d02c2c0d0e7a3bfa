"""The jobs on PyTorch, eager: ``python torch_jobs.py JOB FOLDER ...`` prints one line of JSON.

- ``codelab FOLDER`` and ``inference FOLDER``: as ``jobs.py`` says;
- ``recipe FOLDER PRESET SEED``: a preset of digitlab: the same network, initial weights, images, batch size, optimizer
  and learning rate at every step; the order of the images is PyTorch's own;
- ``example FOLDER SEED EPOCHS N_IMAGES``: the MNIST example that PyTorch publishes, on at most N_IMAGES training
  images, 0 for all. As published: the network, Adadelta with a rate of 1.0 that is multiplied by 0.7 after every epoch,
  batches of 64, 14 epochs over 60,000 standardised images. Otherwise than published, all in its favour: the images lie
  in memory as one tensor, and the test images are answered once at the end, untimed, not after every epoch;
- ``process FOLDER``: what ``digitlab train`` does, as a script of its own that prints a report and no JSON.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jobs
import numpy as np
import torch
from networks import PlacedLayer, decay, lacking, placed
from torch import nn
from torch.nn import functional

PACKAGES = ("torch", "numpy")
#: Images at once where only answers are wanted.
ANSWERED = 1_000
#: The published example: batches, rates, and mean and standard deviation of the training pixels in [0, 1].
EXAMPLE_BATCH_SIZE = 64
EXAMPLE_RATE, EXAMPLE_GAMMA = 1.0, 0.7
MEAN, STD = 0.1307, 0.3081


class Labelled(NamedTuple):
    """Images, float32 (n, 1, 28, 28), and labels, int64 (n,)."""

    images: torch.Tensor
    labels: torch.Tensor

    @classmethod
    def of(cls, floats: np.ndarray, labels: np.ndarray) -> Labelled:
        """Return images, float32 (n, 28, 28) or (n, 28, 28, 1), with one channel both the same bytes."""
        return cls(torch.from_numpy(floats.reshape(-1, 1, 28, 28)), torch.from_numpy(np.array(labels)))

    def first(self, n: int) -> Labelled:
        """Return the first images."""
        return Labelled(self.images[:n], self.labels[:n])


def fit(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    training: Labelled,
    validation: Labelled | None,
    *,
    batch_size: int,
    epochs: int,
    rates: Sequence[float] | None = None,
    shuffle: bool = True,
    label_smoothing: float = 0.0,
) -> tuple[float, float]:
    """Train on logits with cross-entropy; return the validation loss and accuracy of the last epoch.

    ``rates`` are the learning rates of all steps; without them the optimizer's own is used throughout.
    """
    images, labels = training
    step, result = 0, (float("nan"), float("nan"))
    for _ in range(epochs):
        model.train()
        # Every contestant keeps the epoch's loss and accuracy; without .item() a step nothing waits for them.
        loss_sum, n_right = torch.zeros(()), torch.zeros((), dtype=torch.int64)
        # Batches are indexed out of one tensor: a DataLoader would only add work for data that is in memory.
        order = torch.randperm(len(images)) if shuffle else torch.arange(len(images))
        for batch in order.split(batch_size):
            if rates is not None:
                for group in optimizer.param_groups:
                    group["lr"] = rates[step]
            x, y = images[batch], labels[batch]
            logits = model(x)
            loss = functional.cross_entropy(logits, y, label_smoothing=label_smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            step += 1
            loss_sum += loss.detach() * len(y)
            n_right += (logits.detach().argmax(1) == y).sum()
        if validation is not None:
            logits = answers(model, validation.images)
            loss = functional.cross_entropy(logits, validation.labels).item()
            result = loss, (logits.argmax(1) == validation.labels).float().mean().item()
    return result


def answers(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the logits of images."""
    model.eval()
    with torch.inference_mode():
        return torch.cat([model(part) for part in images.split(ANSWERED)])


def accuracy(model: nn.Module, labelled: Labelled) -> float:
    """Return the fraction of the images that the model answers rightly."""
    return (answers(model, labelled.images).argmax(1) == labelled.labels).double().mean().item()


def build(architecture: dict[str, Any], weights: Sequence[np.ndarray]) -> nn.Sequential:
    """Return a network of digitlab with the weights it gave, from (n, channels, height, width) to logits.

    ValueError if the network holds something that PyTorch's contestant lacks.
    """
    modules: list[nn.Module] = []
    channels = architecture["input_shape"][-1]
    for layer in placed(architecture, weights):
        pools = layer.kind == "MaxPooling2D"
        if pools and modules and isinstance(modules[-1], nn.ReLU):
            # ReLU never falls, so that it may come after the maximum: the same function on a quarter of the values.
            modules.insert(-1, _module(layer, channels))
        else:
            modules.append(_module(layer, channels))
        if layer.settings.get("activation") == "relu":
            modules.append(nn.ReLU(inplace=True))
        channels = layer.shape[-1]
    return nn.Sequential(*modules)


def _module(layer: PlacedLayer, channels: int) -> nn.Module:
    settings = layer.settings
    if layer.kind == "Conv2D":
        size = tuple(settings["kernel_size"])
        return _weighted(nn.Conv2d(channels, settings["filters"], size, padding=settings["padding"]), layer)
    if layer.kind == "MaxPooling2D":
        return nn.MaxPool2d(tuple(settings["pool_size"]), tuple(settings["strides"]))
    if layer.kind == "Dropout":
        return nn.Dropout(settings["rate"])
    if layer.kind == "Dense":
        return _weighted(nn.Linear(channels, settings["units"]), layer)
    return nn.Flatten()


def _weighted(module: nn.Conv2d | nn.Linear, layer: PlacedLayer) -> nn.Module:
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(layer.kernel))
        if layer.bias is None:
            module.bias = None
        else:
            module.bias.copy_(torch.from_numpy(layer.bias))
    return module


def build_codelab() -> nn.Sequential:
    """Return the codelab's network with fresh weights; it ends in logits, as cross_entropy wants them."""
    convolutions = (nn.Conv2d(1, 8, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 5), nn.ReLU(), nn.MaxPool2d(2))
    model = nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(256, 10))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        else:
            std = math.sqrt(1 / parameter[0].numel()) / jobs.TRUNCATED_STD
            nn.init.trunc_normal_(parameter, std=std, a=-2 * std, b=2 * std)
    return model


def _adam(model: nn.Module) -> torch.optim.Adam:
    # On a trial, foreach, fused and plain Adam, channels_last or not, lay within 5 % (best epochs of ten, in turn).
    betas = (jobs.BETA_1, jobs.BETA_2)
    return torch.optim.Adam(model.parameters(), lr=jobs.LEARNING_RATE, betas=betas, eps=jobs.EPSILON, foreach=True)


def codelab(folder: Path) -> None:
    """Do the codelab's job."""
    torch.manual_seed(0)
    arrays = jobs.read_arrays(folder)
    training = Labelled.of(arrays.images, arrays.labels)
    validation = Labelled.of(arrays.val_images, arrays.val_labels)
    model: nn.Sequential
    optimizer: torch.optim.Adam

    def start() -> None:
        nonlocal model, optimizer
        model = build_codelab()
        optimizer = _adam(model)

    def train(epochs: int) -> tuple[float, float]:
        return fit(model, optimizer, training, validation, batch_size=jobs.BATCH_SIZE, epochs=epochs)

    jobs.measure_codelab(PACKAGES, start, train)


def inference(folder: Path) -> None:
    """Answer images."""

    def make(network: jobs.Network, threads: int) -> jobs.Answer:
        torch.set_num_threads(threads)
        model = build(*network).eval()

        def answer(images: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                # With one channel both layouts are the same bytes: a view, no copy.
                x = torch.from_numpy(images).view(-1, 1, 28, 28)
                return torch.softmax(model(x), 1).numpy()

        return answer

    jobs.measure_inference(folder, PACKAGES, make)


def recipe(folder: Path, preset: str, seed: str) -> None:
    """Train as a preset of digitlab says."""
    torch.manual_seed(int(seed))
    told, weights = jobs.read_recipe(folder, preset, seed)
    if lacks := lacking(told):
        raise SystemExit(f"the peer lacks {', '.join(lacks)}")
    config = told["config"]
    training, validation, test = _splits(jobs.read_digits(folder), config)

    def train(model: nn.Module, images: Labelled, epochs: int) -> None:
        # Without decay AdamW is Adam. digitlab's epsilon, like Keras', is beside the uncorrected root, PyTorch's beside
        # the corrected one; at 1e-7 neither is felt.
        optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=config["learning_rate"],
            betas=(config["beta_1"], config["beta_2"]),
            eps=config["epsilon"],
            weight_decay=decay(config),
            foreach=True,
        )
        fit(
            model,
            optimizer,
            images,
            validation,
            batch_size=config["batch_size"],
            epochs=epochs,
            rates=told["rates"],
            shuffle=config["shuffle"],
            label_smoothing=config["label_smoothing"],
        )

    few = training.first(jobs.WARM_UP_STEPS * config["batch_size"])
    model = build(told["architecture"], weights)
    jobs.measure_accuracy(
        PACKAGES,
        lambda: train(build(told["architecture"], weights), few, 1),
        lambda: train(model, training, config["epochs"]),
        lambda: accuracy(model, test),
    )


def _splits(digits: jobs.Digits, config: dict[str, Any]) -> tuple[Labelled, Labelled | None, Labelled]:
    n_training = len(digits.training_images) - jobs.N_MNIST_VALIDATION
    chosen = np.arange(n_training)
    if config["train_images"] < n_training:
        chosen = torch.randperm(n_training).numpy()[: config["train_images"]]
    watched = slice(n_training, n_training + config["validation_images"])
    validation = _labelled(digits.training_images[watched], digits.training_labels[watched])
    return (
        _labelled(digits.training_images[chosen], digits.training_labels[chosen]),
        validation if len(validation.labels) else None,
        _labelled(digits.test_images, digits.test_labels),
    )


def _labelled(images: np.ndarray, labels: np.ndarray) -> Labelled:
    return Labelled.of(jobs.as_floats(images), labels)


def build_example() -> nn.Sequential:
    """Return the example's network; it ends in logits: cross-entropy of them is its log-softmax with its loss."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(9216, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, 10),
    )


def example(folder: Path, seed: str, epochs: str, most_images: str) -> None:
    """Train the example as published."""
    torch.manual_seed(int(seed))
    digits = jobs.read_digits(folder)
    used = slice(int(most_images) or None)
    training = _standardised(digits.training_images[used], digits.training_labels[used])
    test = _standardised(digits.test_images, digits.test_labels)

    def train(model: nn.Module, images: Labelled, epochs: int) -> None:
        optimizer = torch.optim.Adadelta(model.parameters(), lr=EXAMPLE_RATE)
        n_batches = -(-len(images.images) // EXAMPLE_BATCH_SIZE)
        rates = [EXAMPLE_RATE * EXAMPLE_GAMMA**epoch for epoch in range(epochs) for _ in range(n_batches)]
        fit(model, optimizer, images, None, batch_size=EXAMPLE_BATCH_SIZE, epochs=epochs, rates=rates)

    few = training.first(jobs.WARM_UP_STEPS * EXAMPLE_BATCH_SIZE)
    model = build_example()
    jobs.measure_accuracy(
        PACKAGES,
        lambda: train(build_example(), few, 1),
        lambda: train(model, training, int(epochs)),
        lambda: accuracy(model, test),
    )


def _standardised(images: np.ndarray, labels: np.ndarray) -> Labelled:
    return Labelled.of((jobs.as_floats(images) - np.float32(MEAN)) / np.float32(STD), labels)


def process(folder: Path) -> None:
    """Do what ``digitlab train`` does; digitlab writes a run with a report besides."""
    torch.manual_seed(0)
    digits = jobs.read_digits(folder)
    n_training = len(digits.training_images) - jobs.N_MNIST_VALIDATION
    training, validation = (
        _labelled(digits.training_images[begin : begin + n], digits.training_labels[begin : begin + n])
        for begin, n in ((0, jobs.N_TRAINING), (n_training, jobs.N_VALIDATION))
    )
    test = _labelled(digits.test_images, digits.test_labels)
    model = build_codelab()
    fit(model, _adam(model), training, validation, batch_size=jobs.BATCH_SIZE, epochs=jobs.EPOCHS)
    found = answers(model, test.images).argmax(1)
    matrix = torch.bincount(test.labels * 10 + found, minlength=100).reshape(10, 10).numpy()
    for label, row in enumerate(matrix):
        print(f"{label}: {100 * row[label] / max(1, row.sum()):5.1f} % of {row.sum():,}")
    print(np.array2string(matrix))
    print(f"Accuracy {100 * matrix.trace() / matrix.sum():.2f} %")


if __name__ == "__main__":
    torch.set_num_threads(jobs.n_threads())
    jobs.run({"codelab": codelab, "inference": inference, "recipe": recipe, "example": example, "process": process})
