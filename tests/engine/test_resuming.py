"""Going on: a run that stopped after any record and one that did not stop are the same, bit for bit."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest

from digitlab.engine.cpu.runner import CpuRunner
from digitlab.engine.images import Images, LabelledImages
from digitlab.engine.loop import Progress, steps
from digitlab.engine.optimizers import Adam
from digitlab.network import Architecture, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from digitlab.values import EpochRecord, StepRecord
from tests.engine.networks import digits

NETWORK = Architecture(
    [Conv2D(4, 3, activation="relu"), MaxPooling2D(2), Flatten(), Dropout(0.2), Dense(5, activation="softmax")],
    (8, 7, 1),
)
N, BATCH = 70, 30  # three batches an epoch, the last of ten


def run(runner: CpuRunner, progress: Progress) -> Iterator[StepRecord | EpochRecord]:
    images, labels = digits(NETWORK, N)
    data = LabelledImages(Images.from_array(images, 56), labels)
    return steps(
        runner, data, batch_size=BATCH, epochs=2, optimizer=Adam(0.01), learning_rate=lambda step: 0.01 / (1 + step),
        seed=3, validation=data, progress=progress,
    )  # fmt: skip


def ready() -> CpuRunner:
    runner = CpuRunner(NETWORK, 2)
    runner.set_weights(NETWORK.initial_weights(seed=0))
    runner.start_training(BATCH)
    return runner


def timeless(records: list[StepRecord | EpochRecord]) -> list[StepRecord | EpochRecord]:
    return [dataclasses.replace(record, images_per_s=0.0) for record in records]


@pytest.mark.parametrize("n_before", range(9))
def test_a_run_stopped_after_any_record_goes_on_as_if_it_had_not_stopped(n_before: int) -> None:
    whole = ready()
    expected = list(run(whole, Progress()))
    assert [type(r) for r in expected] == 2 * [StepRecord, StepRecord, StepRecord, EpochRecord]

    first, progress = ready(), Progress()
    records = run(first, progress)
    seen = [next(records) for _ in range(n_before)]
    kept = copy.copy(progress)  # as a state file holds it, written when the record came

    second = ready()
    second.parameters = first.parameters
    second.first_moment[:], second.second_moment[:] = first.first_moment, first.second_moment
    seen += run(second, kept)
    assert timeless(seen) == timeless(expected)
    np.testing.assert_array_equal(second.parameters, whole.parameters)
