"""What an accelerator makes of the presets: time on the device, accuracy, compiling, inference; PyTorch beside it.

One call, at most ten minutes; it installs nothing, and says what was missing. What did not fit into the time is told
as such, with how far it came. Writes ``benchmarks/results/device.json``, after every figure anew, and prints what it
found. ``--tiny`` takes every part with few images, to see on any machine (``--device cpu-xla``) that all of it works.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import math
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from digitlab.data.mnist import MnistData
from digitlab.engine.sequential import Sequential
from digitlab.engine.xla.devices import devices_of, list_devices
from digitlab.errors import ConfigError
from digitlab.evaluation.evaluate import evaluate
from digitlab.training.config import TrainConfig, preset
from digitlab.training.session import TrainingSession
from digitlab.values import EpochRecord, StepRecord
from measuring import describe_machine, made_by, parser_of, publish, say, write_json
from tables import markdown_table, page

# Of the ten minutes some are for starting, and for the part that takes longer than its share.
_MOST_S = 540.0
_N_INFERENCE = 60_000
# What is told of the machine where it is installed: JAX alone sees no GPU, one of its plugins does.
_PACKAGES = ("jax", "jaxlib", "jax-cuda12-plugin", "jax-cuda13-plugin", "torch", "numpy", "digitlab")
# What --tiny leaves of a preset.
_TINY = {"train_images": 96, "validation_images": 32, "batch_size": 32, "epochs": 1}
_TINY_FINDER = {"train_images": 4, "validation_images": 2, "batch_size": 2, "epochs": 1}


def trained(config: TrainConfig, data: MnistData, seed: int) -> dict[str, float]:
    """Train once; the seconds are those that the device was at work, the compiler's apart."""
    session = TrainingSession(replace(config, seed=seed), data)
    began, on_device = time.perf_counter(), 0.0
    for record in session.records():
        if isinstance(record, StepRecord):
            on_device += record.n_images / record.images_per_s
    whole = time.perf_counter() - began
    accuracy = evaluate(session.model, data.test.images, data.test.labels).accuracy
    return {
        "device_s": on_device, "whole_s": whole, "compile_s": session.runner.compile_seconds, "accuracy": accuracy,
    }  # fmt: skip


def of_seeds(config: TrainConfig, data: MnistData, seeds: int, until: float) -> dict[str, Any]:
    """Train with several seeds, as many as there is time for; the first one compiles."""
    runs: list[dict[str, float]] = []
    while len(runs) < seeds and (not runs or time.monotonic() < until):
        runs.append(trained(config, data, len(runs)))
    warm = runs[1:] or runs
    accuracies = [run["accuracy"] for run in runs]
    return {
        "n": len(runs), "device_s": statistics.median(run["device_s"] for run in warm),
        "whole_s": statistics.median(run["whole_s"] for run in warm), "compile_s": runs[0]["compile_s"],
        "accuracy": statistics.fmean(accuracies), "least": min(accuracies), "most": max(accuracies),
    }  # fmt: skip


def compiled_again(config: TrainConfig) -> float:
    """How long another process compiles what this one has compiled."""
    program = (
        "from digitlab.training.config import TrainConfig\n"
        "from digitlab.training.session import TrainingSession\n"
        f"s = TrainingSession(TrainConfig.from_dict({config.to_dict()!r})); next(s.records())\n"
        "print(s.runner.compile_seconds)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[-250:])
    return float(done.stdout)


def agreement(config: TrainConfig, data: MnistData, seeds: int, until: float) -> dict[str, Any]:
    """Train on both engines, seed by seed, and compare the test accuracies."""
    own, theirs = [], []
    while len(own) < seeds and (len(own) < 2 or time.monotonic() < until):
        theirs.append(trained(config, data, len(own))["accuracy"])
        own.append(trained(replace(config, device="cpu"), data, len(own))["accuracy"])
    return {
        "n": len(own), "cpu": statistics.fmean(own), config.device: statistics.fmean(theirs),
        "standard_error": statistics.stdev(own) / math.sqrt(len(own)),
        "most_of_a_seed": max(abs(a - b) for a, b in zip(own, theirs, strict=True)),
    }  # fmt: skip


def machine() -> dict[str, Any]:
    """Versions of what is installed, and what the driver says of the GPU."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    told: dict[str, Any] = {**describe_machine(), **versions}
    if shutil.which("nvidia-smi"):
        asked = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        told["nvidia-smi"] = subprocess.run(asked, capture_output=True, text=True, timeout=30).stdout.strip()
    return told


def memory(device: str) -> dict[str, Any]:
    """The most memory of the device that was taken so far."""
    stats = devices_of(device)[0].memory_stats() or {}
    if "peak_bytes_in_use" not in stats:
        raise RuntimeError("this device does not tell its memory")
    return {"peak_gb": stats["peak_bytes_in_use"] / 1e9}


def side_by_side(config: TrainConfig, data: MnistData, n: int) -> dict[str, float]:
    """Train ``n`` seeds as one program, and keep nothing."""
    from concurrent.futures import ThreadPoolExecutor

    from digitlab.engine.xla.lanes import Lanes

    def in_lane(seed: int, lanes: Lanes) -> float:
        session = TrainingSession(replace(config, seed=seed), data)
        session.runner.lanes = lanes  # type: ignore[union-attr]
        try:
            for _ in session.records():
                pass
        finally:
            lanes.leave()
        return evaluate(session.model, data.test.images[:2_000], data.test.labels[:2_000]).accuracy

    times = []
    for _ in range(2):  # the first one compiles
        lanes, began = Lanes(n), time.perf_counter()
        with ThreadPoolExecutor(n) as pool:
            accuracies = list(pool.map(in_lane, range(n), [lanes] * n))
        times.append(time.perf_counter() - began)
    return {"n": n, "first_s": times[0], "again_s": times[1], "accuracy_of_2000": statistics.fmean(accuracies)}


def partly(config: TrainConfig, data: MnistData, until: float) -> dict[str, Any]:
    """Train a long preset as far as there is time, and tell the seconds of an epoch."""
    session = TrainingSession(config, data)
    began, epochs = time.monotonic(), []
    for record in session.records():
        if isinstance(record, EpochRecord):
            epochs.append(time.monotonic())
        if time.monotonic() > until:
            break
    seconds = [b - a for a, b in itertools.pairwise(epochs)]
    each = statistics.median(seconds) if seconds else None
    whole = time.monotonic() - began if session.finished else None
    return {
        "epochs": len(epochs), "of": config.epochs, "epoch_s": each, "whole_s": whole,
        "steps": session.progress.step, "seconds": time.monotonic() - began,
        "reckoned_s": None if each is None or whole is not None else each * config.epochs,
        "val_accuracy": getattr(record, "val_accuracy", None),
    }  # fmt: skip


def inference(device: str, precision: str, data: MnistData, n: int) -> dict[str, float]:
    """Answer ``n`` images, five times."""
    model = Sequential.from_architecture(preset("reader").build_architecture())
    model.use_device(device, precision)
    images = np.concatenate([data.training.images, data.validation.images])[:n]
    times = []
    for _ in range(6):
        began = time.perf_counter()
        model.predict(images)
        times.append(time.perf_counter() - began)
    return {"n_images": len(images), "seconds": statistics.median(times[1:])}


def pytorch(
    config: TrainConfig, data: MnistData, device: str, until: float, *, is_compiled: bool, seeds: int
) -> dict[str, Any]:
    """Train ``--preset fast`` in PyTorch: the same network, batches, rates and smoothing; images stay on the device."""
    import torch
    from torch import nn

    if device == "gpu" and not torch.cuda.is_available():
        raise RuntimeError(f"PyTorch {torch.__version__} sees no GPU")
    where = torch.device("cuda" if device == "gpu" else "cpu")
    n = config.train_images
    images = torch.from_numpy(data.training.images[:n].reshape(-1, 1, 28, 28).copy()).to(where)
    labels = torch.from_numpy(data.training.labels[:n].astype(np.int64)).to(where)
    test = torch.from_numpy(data.test.images.reshape(-1, 1, 28, 28).copy()).to(where)
    steps = -(-len(images) // config.batch_size)
    times, accuracies = [], []
    for seed in range(seeds + 1):  # the first one warms up
        if seed > 1 and time.monotonic() > until:
            break
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Conv2d(1, 24, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(24, 32, 3), nn.MaxPool2d(2), nn.ReLU(),
            nn.Flatten(), nn.Linear(800, 256), nn.ReLU(), nn.Linear(256, 10),
        ).to(where)  # fmt: skip
        called: Any = torch.compile(model) if is_compiled else model
        optimizer = torch.optim.Adam(model.parameters(), betas=(config.beta_1, config.beta_2), eps=config.epsilon)
        loss_of = nn.CrossEntropyLoss(label_smoothing=config.label_smoothing)
        order = torch.randperm(len(images), device=where)
        if where.type == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = config.rate(step, steps)
            chosen = order[step * config.batch_size : (step + 1) * config.batch_size]
            loss = loss_of(called(images[chosen].float() / 255), labels[chosen])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        if where.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
        with torch.no_grad():
            accuracies.append(float((model(test.float() / 255).argmax(1).cpu().numpy() == data.test.labels).mean()))
    return {
        "n": len(times) - 1,
        "seconds": statistics.median(times[1:]),
        "first_s": times[0],
        "accuracy": statistics.fmean(accuracies[1:]),
    }


def to_markdown(result: dict[str, Any]) -> str:
    """Return what was measured, a line a figure, and what was missing."""
    named = {name: figures for name, figures in result.items() if isinstance(figures, dict) and name != "command"}
    devices = "; ".join(f"{one['n']} x {one['kind']}" for one in result["devices"]) or "none"
    named = {"the machine": named.pop("machine"), **named}
    rows = [[name, ", ".join(f"{key} {_short(value)}" for key, value in one.items())] for name, one in named.items()]
    missing = "\n".join(f"- {one}" for one in result["missing"])
    return page(
        "# On an accelerator",
        f"Devices: {devices}. Made by `{result['command']['command']}`.",
        markdown_table(["what", "figures"], rows),
        f"Missing:\n\n{missing}" if missing else "Nothing was missing.",
    )


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main(argv: list[str] | None = None) -> None:
    """Measure, in the order of what matters, as long as there is time."""
    parser = parser_of("device", __doc__, seeds=(10, "runs"))
    parser.add_argument("--device", default="gpu")
    parser.add_argument("--seconds", type=float, default=_MOST_S, help="how long it may take in all")
    parser.add_argument("--tiny", action="store_true", help="every part with few images, to see that it works")
    parser.add_argument("--only", default="", metavar="TEXT", help="the parts whose names have this in them")
    options = parser.parse_args(argv)
    until, data, device = time.monotonic() + options.seconds, MnistData.load(), options.device
    missing: list[str] = []
    result: dict[str, Any] = {
        "devices": [one.to_dict() for one in list_devices()],
        "command": made_by("device", argv),
        "machine": machine(),
        "missing": missing,
    }
    seeds = min(2, options.seeds) if options.tiny else options.seeds

    def measure(name: str, share: float, what: Callable[[float], dict[str, Any]]) -> None:
        if options.only not in name:
            return
        left = until - time.monotonic()
        if left < 5:
            missing.append(f"{name}: no time was left")
            return
        try:
            result[name] = what(time.monotonic() + share * left)
            say(
                f"{name}: "
                + ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in result[name].items())
            )
        except (ConfigError, ImportError) as error:
            missing.append(f"{name}: {error}")
        except Exception as error:  # one figure that fails must not cost the others
            missing.append(f"{name}: {type(error).__name__}: {str(error)[:300]}")
        # Whoever ends this too early has what was measured until then.
        write_json(options.out, result)

    def config(name: str, precision: str = "bfloat16") -> TrainConfig:
        few = (_TINY_FINDER if name == "finder" else _TINY) if options.tiny else {}
        return preset(name, {"device": device, "precision": precision, **few})

    try:
        devices_of(device)
    except ConfigError as error:
        missing.append(f"everything on {device}: {error}")
        publish(options.out, result, to_markdown)
        return

    both = TrainConfig(device=device, **({"epochs": 2} | (_TINY if options.tiny else {})))
    n_lanes, n_inference = (3, 500) if options.tiny else (64, _N_INFERENCE)

    def beside(until: float, *, is_compiled: bool) -> dict[str, Any]:
        return pytorch(config("fast"), data, device, until, is_compiled=is_compiled, seeds=min(5, seeds))

    measure("fast, float32", 0.15, lambda t: of_seeds(config("fast", "float32"), data, seeds, t))
    measure("fast, bfloat16", 0.15, lambda t: of_seeds(config("fast"), data, seeds, t))
    measure("accurate, bfloat16", 0.2, lambda t: of_seeds(config("accurate"), data, seeds, t))
    measure("compiled by another process", 0.1, lambda _: {"compile_s": compiled_again(config("fast"))})
    measure(f"{n_lanes} seeds at once", 0.2, lambda _: side_by_side(config("fast"), data, n_lanes))
    measure("inference, float32", 0.2, lambda _: inference(device, "float32", data, n_inference))
    measure("inference, bfloat16", 0.2, lambda _: inference(device, "bfloat16", data, n_inference))
    measure("PyTorch, eager", 0.1, lambda t: beside(t, is_compiled=False))
    measure("PyTorch, compiled", 0.2, lambda t: beside(t, is_compiled=True))
    measure("agreement of the engines", 0.2, lambda t: agreement(both, data, seeds, t))
    measure("memory", 0.1, lambda _: memory(device))
    measure("reader", 0.45, lambda t: partly(config("reader"), data, t))
    measure("finder", 0.9, lambda t: partly(config("finder"), data, t))
    publish(options.out, result, to_markdown)


if __name__ == "__main__":
    main()
