"""The training loop of the contestants that run on PyTorch, eager."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

#: Images at once where only answers are wanted.
ANSWERED = 1_000


class Labelled(NamedTuple):
    """Images, float32 (n, 1, 28, 28), and labels, int64 (n,)."""

    images: torch.Tensor
    labels: torch.Tensor


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
            logits = answer(model, validation.images)
            loss = functional.cross_entropy(logits, validation.labels).item()
            result = loss, (logits.argmax(1) == validation.labels).float().mean().item()
    return result


def answer(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the logits of images."""
    model.eval()
    with torch.inference_mode():
        return torch.cat([model(part) for part in images.split(ANSWERED)])


def accuracy(model: nn.Module, labelled: Labelled) -> float:
    """Return the fraction of the images that the model answers rightly."""
    return (answer(model, labelled.images).argmax(1) == labelled.labels).double().mean().item()
