"""``digitlab train``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from digitlab.cli.settings import TrainSettings, describe_presets, given
from digitlab.errors import ConfigError
from digitlab.training.config import TrainConfig, preset

__all__ = ["train"]

_RUN = Group("Run", sort_key=1)


def train(
    *,
    settings: Annotated[TrainSettings | None, Parameter(name="*")] = None,
    preset_name: Annotated[
        str | None, Parameter(name="--preset", help=describe_presets(), show_default=lambda _: "codelab", group=_RUN)
    ] = None,
    out: Annotated[Path, Parameter(group=_RUN)] = Path("runs"),
    name: Annotated[str | None, Parameter(group=_RUN)] = None,
    force: Annotated[bool, Parameter(negative="", group=_RUN, show_default=False)] = False,
    resume: Annotated[bool, Parameter(negative="", group=_RUN, show_default=False)] = False,
    repeat: Annotated[str | None, Parameter(group=_RUN)] = None,
    quiet: Annotated[bool, Parameter(alias="-q", negative="", group=_RUN, show_default=False)] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="", group=_RUN, show_default=False)] = False,
) -> int:
    """Train a network on handwritten digits, evaluate it and write a report.

    Without options this is the codelab's training run. The run gets a folder of its own, with the settings, the
    history, the weights, the evaluation on the whole test set and the report (report.html). Ctrl-C ends a training
    between two batches and keeps what there is; --resume goes on with it and gives the same weights, bit for
    bit on processors with the same vector instructions (AVX-512, AVX2 and NEON each have their own).

    Parameters
    ----------
    out
        The folder of runs.
    name
        The run's name; date, network and seed by default.
    force
        Replace a run of that name.
    resume
        Go on with the run of that --name, or with the newest one that was interrupted.
    repeat
        Make the weights of this run (a name or a folder) anew, bit for bit on processors with the same vector
        instructions: with its settings, its network, and the learning rates that were set on the way. One that was
        stopped is trained as far as it was, and what a network learned from corrections is learned again.
    quiet
        Print nothing but the run's folder.
    as_json
        Print one JSON object a line: {"kind": "step", ...} for every batch and {"kind": "epoch", ...} for every epoch
        as they happen, and {"kind": "result", ...} or {"kind": "interrupted", ...} at the end.
    """
    config = _config(given(settings), preset_name, force=force, resume=resume, repeat=repeat)
    began = time.perf_counter()
    from digitlab.cli.training_run import run_training

    return run_training(config, out, name, force=force, repeat=repeat, as_json=as_json, quiet=quiet, began=began)


def _config(
    settings: dict[str, object], preset_name: str | None, *, force: bool, resume: bool, repeat: str | None
) -> TrainConfig | None:
    """Return what to train, or None for a run that has its own settings."""
    if not resume and repeat is None:
        return preset(preset_name or "codelab", settings)
    others = ["preset"] * (preset_name is not None) + list(settings)
    if repeat is not None:
        word, does, others = "--repeat", "makes a run anew with its own settings", ["resume"] * resume + others
    else:
        word, does, others = "--resume", "goes on with a run and its own settings", ["force"] * force + others
    if others:
        options = ", ".join(f"--{option.replace('_', '-')}" for option in others)
        raise ConfigError(f"{word} {does}; leave out {options}, or leave out {word} to start anew.")
    return None
