"""What resuming needs, as a checkpoint and back: weights, moments, the sums of the epoch, the best weights so far."""

from __future__ import annotations

import dataclasses
import json
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.data.storage import parse_json
from digitlab.engine.cpu.maps_runner import MapsRunner
from digitlab.engine.cpu.runner import CpuRunner
from digitlab.engine.fitting import Progress
from digitlab.engine.sequential import Sequential
from digitlab.network.checkpoint import Checkpoint

__all__ = ["BestWeights", "pack_state", "unpack_state"]


@dataclass(frozen=True, eq=False)
class BestWeights:
    """The weights of the epoch with the lowest validation loss: float32 (n,), in Keras' order."""

    epoch: int
    val_loss: float
    weights: NDArray[np.float32]


def pack_state(
    model: Sequential,
    runner: CpuRunner | MapsRunner,
    progress: Progress,
    best: BestWeights | None,
    metadata: dict[str, str],
) -> Checkpoint:
    """Return the state of a training between two records; ``runner`` is the one of the model's that learns."""
    numbers: dict[str, Any] = dataclasses.asdict(progress)
    extra = {"first_moment": runner.first_moment, "second_moment": runner.second_moment}
    if best is not None:
        numbers |= {"best_epoch": best.epoch, "best_val_loss": best.val_loss}
        extra["best_weights"] = best.weights
    text = json.dumps(numbers)
    checksum = _checksum(text, runner.parameters, extra)
    texts = metadata | {"progress": text, "checksum": checksum}
    return Checkpoint(model.architecture, tuple(model.get_weights()), model.class_names, texts, extra)


def unpack_state(
    state: Checkpoint, model: Sequential, runner: CpuRunner | MapsRunner, n_images: int, batch_size: int
) -> tuple[Progress, BestWeights | None]:
    """Give a model the weights and moments of a state, and return the rest of it.

    Parameters
    ----------
    state : Checkpoint
        As ``pack_state`` made it, or anybody.
    model : Sequential
        Its network is the state's.
    runner : CpuRunner or MapsRunner
        The one of the model's that learns; its training has been started.
    n_images, batch_size : int
        Of the training, to see whether the numbers can be true.

    Raises
    ------
    ValueError, TypeError, KeyError
        If the state is damaged; the model may have been changed.
    """
    model.set_weights(state.weights)
    extra, text, n_parameters = state.extra, state.metadata["progress"], model.count_params()
    if state.metadata["checksum"] != _checksum(text, runner.parameters, extra):
        raise ValueError("its checksum differs")
    if any(extra[name].shape != (n_parameters,) for name in ("first_moment", "second_moment", *extra)):
        raise ValueError("an array has the wrong length")
    numbers = parse_json(text)
    if "epoch_marks" not in numbers:  # a state from before there were finders
        numbers["epoch_marks"] = 0
    progress = Progress(**{field.name: numbers[field.name] for field in dataclasses.fields(Progress)})
    n_epoch_batches = progress.step - progress.epochs_done * -(-n_images // batch_size)
    if min(n_epoch_batches, progress.epochs_done) < 0 or progress.epoch_images != min(
        n_epoch_batches * batch_size, n_images
    ):
        raise ValueError(f"{progress} cannot be")
    runner.first_moment[:] = extra["first_moment"]
    runner.second_moment[:] = extra["second_moment"]
    if "best_weights" not in extra:
        return progress, None
    return progress, BestWeights(int(numbers["best_epoch"]), float(numbers["best_val_loss"]), extra["best_weights"])


def _checksum(text: str, parameters: NDArray[np.float32], extra: dict[str, NDArray[Any]]) -> str:
    checksum = zlib.crc32(parameters.data, zlib.crc32(text.encode()))
    for name in sorted(extra):
        checksum = zlib.crc32(extra[name].data, checksum)
    return f"{checksum:08x}"
