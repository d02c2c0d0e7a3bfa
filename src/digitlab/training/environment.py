"""What a run depends on besides its settings: versions, the processor, and the command that repeats it."""

from __future__ import annotations

import dataclasses
import os
import platform
import re
import shlex
from importlib import metadata
from pathlib import Path
from typing import Any

import digitlab
from digitlab.training.config import PRESETS, TrainConfig

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


def environment(n_threads: int) -> dict[str, Any]:
    """Return versions, processor and threads, as ``environment.json`` holds them.

    ``commit`` is that of the source tree, or None for an installed package.
    """
    return {
        "digitlab": digitlab.__version__,
        "commit": _commit(Path(digitlab.__file__).parents[2]),
        "python": platform.python_version(),
        "numpy": _version("numpy"),
        "numba": _version("numba"),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "threads": n_threads,
    }


def command_for(config: TrainConfig) -> str:
    """Return the shortest command that repeats a run with these settings.

    Examples
    --------
    >>> command_for(TrainConfig(epochs=2, shuffle=False))
    'digitlab train --epochs 2 --no-shuffle'
    >>> command_for(TrainConfig(**PRESETS["fast"], seed=3))
    'digitlab train --preset fast --seed 3'
    """
    by_preset = {name: _differences(config, TrainConfig(**changes)) for name, changes in PRESETS.items()}
    # A preset cannot be undone by an option that has no word for "none".
    usable = {name: changes for name, changes in by_preset.items() if None not in changes.values()}
    best = min(usable, key=lambda name: len(usable[name]))
    words = ["digitlab", "train"] + (["--preset", best] if best != "codelab" else [])
    for name, value in usable[best].items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        elif str(value).startswith("-"):
            words.append(f"--{option}={value}")
        else:
            words += [f"--{option}", str(value)]
    return shlex.join(words)


def _differences(config: TrainConfig, base: TrainConfig) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(config)]
    return {name: getattr(config, name) for name in names if getattr(config, name) != getattr(base, name)}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def _commit(folder: Path) -> str | None:
    """Return the commit of a git repository's working tree, read without git; None if there is none."""
    try:
        head = (folder / ".git" / "HEAD").read_text("utf-8").strip()
        if head.startswith("ref: "):
            reference = head.removeprefix("ref: ")
            path = folder / ".git" / reference
            if path.exists():
                head = path.read_text("utf-8").strip()
            else:
                packed = (folder / ".git" / "packed-refs").read_text("utf-8").splitlines()
                head = next(line.split()[0] for line in packed if line.endswith(f" {reference}"))
    except (OSError, ValueError, StopIteration):
        return None
    return head if _COMMIT.fullmatch(head) else None
