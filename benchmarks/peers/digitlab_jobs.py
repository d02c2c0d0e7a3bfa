"""digitlab as a contestant, and what it writes for all of them: ``python digitlab_jobs.py JOB FOLDER ...``.

``write-JOB FOLDER ...`` writes what the contestants of a job read; any other job prints one line of JSON.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import jobs
import numpy as np

import digitlab as dl
from digitlab.network import Checkpoint, architecture
from digitlab.network.architecture import Architecture
from digitlab.training.config import PRESETS, TrainConfig, preset
from digitlab.training.session import TrainingSession

PACKAGES = ("digitlab", "numba", "numpy")


def write_mnist(folder: Path) -> None:
    """Write MNIST as four arrays; the validation images come last among the 60,000 training images."""
    data = dl.MnistData.load()
    arrays = jobs.Digits(
        np.concatenate([data.training.images, data.validation.images]),
        np.concatenate([data.training.labels, data.validation.labels]).astype(np.int64),
        data.test.images,
        data.test.labels.astype(np.int64),
    )
    for name, array in zip(jobs.Digits._fields, arrays, strict=True):
        np.save(folder / f"{name}.npy", array)


def write_codelab(folder: Path) -> None:
    """Write the first images and labels of the training and validation sets."""
    data = dl.MnistData.load()
    for prefix, part, n in (("", data.training, jobs.N_TRAINING), ("val_", data.validation, jobs.N_VALIDATION)):
        np.save(folder / f"{prefix}images.npy", jobs.as_floats(part.images[:n].reshape(-1, 28, 28, 1)))
        np.save(folder / f"{prefix}labels.npy", np.asarray(part.labels[:n], np.int64))


def write_inference(folder: Path, n_images: str, n_calls: str) -> None:
    """Write images, networks and answers; the networks have learnt a little, so that they tell digits apart."""
    data = dl.MnistData.load()
    images = jobs.as_floats(data.test.images[: int(n_images)].reshape(-1, 28, 28, 1))
    np.save(folder / "images.npy", images)
    for name in jobs.NETWORKS.values():
        model = getattr(dl, name)(seed=0)
        model.fit(data.training.images[:5_500], data.training.labels[:5_500], epochs=2)
        (folder / f"{name}.json").write_text(json.dumps(model.architecture.to_dict()))
        jobs.write_weights(folder / f"{name}.npz", model.get_weights())
        np.save(folder / f"{name}.npy", model.predict(images))
    (folder / "job.json").write_text(json.dumps({"n_calls": int(n_calls)}))


def write_page(folder: Path, n_calls: str) -> None:
    """Write a page, the finder's network and its answer; no weight is zero, so that every map says something."""
    from digitlab.exporting.writers import write_onnx

    network, rng = architecture(jobs.FINDER), np.random.default_rng(0)
    scales = [0.1 if len(shape) == 1 else (2 / np.prod(shape[:-1])) ** 0.5 for shape in network.weight_shapes]
    weights = [
        rng.normal(0, scale, shape).astype(np.float32)
        for scale, shape in zip(scales, network.weight_shapes, strict=True)
    ]
    page = rng.normal(size=(1, *jobs.PAGE, 1)).astype(np.float32)
    np.save(folder / "page.npy", page)
    np.save(folder / "maps.npy", dl.Sequential.from_architecture(network, weights).predict(page))
    jobs.write_weights(folder / "weights.npz", weights)
    write_onnx(Checkpoint(network, tuple(weights)), folder / "network.onnx")
    (folder / "job.json").write_text(json.dumps({"n_calls": int(n_calls)}))


def write_recipes(folder: Path, n_seeds: str, most_images: str, *presets: str) -> None:
    """Write MNIST, and recipes and initial weights of the presets that there are; ``most_images`` 0 is no limit."""
    write_mnist(folder)
    for name in PRESETS.keys() & set(presets):
        config = preset(name)
        if int(most_images):
            config = preset(name, {"train_images": min(int(most_images), config.train_images)})
        network = config.build_architecture()
        n_steps = config.epochs * -(-config.train_images // config.batch_size)
        recipe = {
            "config": config.to_dict(),
            "changed": config.changed(),
            "architecture": network.to_dict(),
            "rates": [config.rate(step, n_steps) for step in range(n_steps)],
        }
        (folder / f"{name}.json").write_text(json.dumps(recipe))
        for seed in range(1, int(n_seeds) + 1):
            jobs.write_weights(folder / f"{name}-{seed}.npz", network.initial_weights(seed))


def codelab(folder: Path) -> None:
    """Do the codelab's job."""
    arrays = jobs.read_arrays(folder)
    model = dl.codelab_cnn(seed=0)

    def start() -> None:
        nonlocal model
        model = dl.codelab_cnn(seed=0)

    def train(epochs: int) -> tuple[float, float]:
        # Adam(0.001, 0.9, 0.999, 1e-7) is the default of fit, and a thread for each core.
        history = model.fit(
            arrays.images,
            arrays.labels,
            batch_size=jobs.BATCH_SIZE,
            epochs=epochs,
            validation_data=(arrays.val_images, arrays.val_labels),
            shuffle=True,
            seed=0,
        )
        return history.epochs[-1].val_loss, history.epochs[-1].val_accuracy

    jobs.measure_codelab(PACKAGES, start, train)


def _predict(network: Architecture, weights: Sequence[np.ndarray], threads: int) -> jobs.Answer:
    return dl.Sequential.from_architecture(network, weights, threads=threads).predict


def inference(folder: Path) -> None:
    """Answer images, all in one call: predict cuts them into batches itself."""

    def make(network: jobs.Network, threads: int) -> jobs.Answer:
        return _predict(Architecture.from_dict(network.architecture), network.weights, threads)

    jobs.measure_inference(folder, PACKAGES, make, channels_first=False, batch_sizes=(0,))


def page(folder: Path) -> None:
    """Answer a page."""
    weights = jobs.read_weights(folder / "weights.npz")
    jobs.measure_page(folder, PACKAGES, _predict(architecture(jobs.FINDER), weights, jobs.n_threads()))


def train_preset(folder: Path, name: str, seed: str) -> None:
    """Train as a preset says."""
    recipe, _ = jobs.read_recipe(folder, name, seed)
    config = TrainConfig.from_dict(recipe["config"] | {"seed": int(seed)})
    n_warm = min(jobs.WARM_UP_STEPS * config.batch_size, config.train_images)
    few = TrainConfig.from_dict(config.to_dict() | {"epochs": 1, "train_images": n_warm})
    data = dl.MnistData.load()
    session: TrainingSession

    def warm_up() -> None:
        nonlocal session
        _train(TrainingSession(few, data))
        session = TrainingSession(config, data)

    jobs.measure_accuracy(
        PACKAGES,
        warm_up,
        lambda: _train(session),
        lambda: dl.evaluate(session.model, data.test.images, data.test.labels).accuracy,
    )


def _train(session: TrainingSession) -> None:
    for _ in session.records():
        pass


if __name__ == "__main__":
    jobs.run(
        {
            "write-mnist": write_mnist,
            "write-codelab": write_codelab,
            "write-inference": write_inference,
            "write-page": write_page,
            "write-recipes": write_recipes,
            "codelab": codelab,
            "inference": inference,
            "page": page,
            "preset": train_preset,
        }
    )
