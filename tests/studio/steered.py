"""A small training, and waiting for what it must come to; nothing here sleeps."""

from __future__ import annotations

import dataclasses
from contextlib import contextmanager

import numpy as np

from digitlab.network import Architecture, Conv2D, Dense, Flatten, MaxPooling2D
from digitlab.training.config import TrainConfig
from digitlab.training.session import TrainingSession
from digitlab.values import StepRecord

# 4 batches an epoch, the last of 2 images; 12 in all.
SMALL = TrainConfig(network="dense_baseline", train_images=50, validation_images=20, batch_size=16, epochs=3)
# Waits for what must come; only a broken trainer takes so long.
PATIENCE_S = 60

EDITED = Architecture(
    [Conv2D(2, 3, activation="relu"), MaxPooling2D(4), Flatten(), Dense(10, activation="softmax")], name="my network!"
)


def wait(trainer, until):
    assert trainer.wait(until, PATIENCE_S), (trainer.state, trainer.message)


def wait_for_state(trainer, *states):
    wait(trainer, lambda: trainer.state in states)


def wait_for_evaluation(trainer):
    wait(trainer, lambda: trainer.evaluation is not None or trainer.message)


def wait_for_records(trainer, n):
    wait(trainer, lambda: len(trainer.records_since(0)[0]) >= n)


def train(trainer, config=SMALL, **kwargs):
    trainer.start(config, **kwargs)
    wait_for_state(trainer, "finished", "failed")


def timeless(records):
    return [dataclasses.replace(record, images_per_s=0.0) for record in records]


def trained_alone(digits, config=SMALL, architecture=None):
    session = TrainingSession(config, digits, architecture=architecture)
    return list(session.records()), session.model.get_weights()


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@contextmanager
def paused_at(trainer, n_batches, config=SMALL, **kwargs):
    """A training that waits after so many batches."""
    trainer.start(config, paused=True, **kwargs)
    for n in range(1, n_batches + 1):
        trainer.step()
        wait(trainer, lambda n=n: trainer.step_done >= n and len(steps_of(trainer)) == n)
    yield trainer


def steps_of(trainer):
    return [record for record in trainer.records_since(0)[0] if isinstance(record, StepRecord)]
