"""A preset of digitlab: ``python digitlab_preset.py FOLDER PRESET SEED`` prints one line of JSON."""

from __future__ import annotations

import sys
from pathlib import Path

import accuracy_job as job

import digitlab as dl
from digitlab.training.config import TrainConfig
from digitlab.training.session import TrainingSession


def main(folder: Path, preset: str, seed: int) -> None:
    """Train as the preset says."""
    recipe, _ = job.read_recipe(folder, preset, seed)
    config = TrainConfig.from_dict(recipe["config"] | {"seed": seed})
    data = dl.MnistData.load()
    n_warm = min(job.WARM_UP_STEPS * config.batch_size, config.train_images)
    few = TrainConfig.from_dict(recipe["config"] | {"seed": seed, "epochs": 1, "train_images": n_warm})
    session: TrainingSession

    def warm_up() -> None:
        nonlocal session
        _train(TrainingSession(few, data))
        session = TrainingSession(config, data)

    job.measure(
        ("digitlab", "numba", "numpy"),
        warm_up,
        lambda: _train(session),
        lambda: dl.evaluate(session.model, data.test.images, data.test.labels).accuracy,
    )


def _train(session: TrainingSession) -> None:
    for _ in session.records():
        pass


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
