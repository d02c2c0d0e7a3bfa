"""Finding runs and models by name, and listing what there is."""

from __future__ import annotations

import os
import re
from datetime import date
from pathlib import Path

from digitlab.data.storage import reason_of
from digitlab.errors import ConfigError, RunError, did_you_mean
from digitlab.network.architecture import Architecture
from digitlab.network.checkpoint import Checkpoint
from digitlab.network.formats.files import is_model_file, load_model_file
from digitlab.network.pixels import OWN, PixelScale, told_scale, with_pixels
from digitlab.runs.run import CONFIG, MODEL, DamagedRun, Run, RunInfo

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?")
_LATEST = "latest"
_LONGEST_STEM = 60
# How often another process may take the name that was free a moment ago.
_MOST_TRIES = 100


class RunList(tuple[RunInfo, ...]):
    """Runs in a tuple that shows itself as a table in notebooks."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        from digitlab.notebook import runs_html

        return runs_html(self)


def list_runs(out: str | Path = "runs") -> RunList:
    """List the runs in a folder, the newest last; folders that are no runs, or damaged ones, are left out."""
    return RunList(one for one in all_runs(out) if isinstance(one, RunInfo))


def all_runs(out: str | Path = "runs") -> tuple[RunInfo | DamagedRun, ...]:
    """List the runs in a folder, the newest last, and damaged ones with the reason in their places."""
    found: list[RunInfo | DamagedRun] = []
    for path in _paths(Path(out)):
        try:
            found.append(Run(path).info())
        except RunError as error:
            # The list is about this folder; its path would only take room.
            problem, label = str(error).replace(f"{path}{os.sep}", ""), Run(path).label
            found.append(DamagedRun(path.name, str(path), problem, label.title, label.note))
    return tuple(found)


def find_run(run: str | Path, out: str | Path = "runs") -> Run:
    """Open a run by its name in a folder or by its path; ``latest`` is the newest of the folder."""
    name, path = str(run), Path(run)
    in_folder = _is_run(Path(out) / name) or (name == _LATEST and _run_paths(Path(out)))
    if path.name != name or (not in_folder and os.path.exists(path)):
        return Run.open(path)
    return run_in(out, name)


def run_in(out: str | Path, name: str) -> Run:
    """Open the run of that name in a folder, and no other; ``latest`` is the newest of the folder."""
    known = {path.name: path for path in _run_paths(Path(out))}
    if name == _LATEST and known:
        return Run.open(list(known.values())[-1])
    if name in known:
        return Run.open(known[name])
    if name != _LATEST:
        check_name(name)
        if os.path.lexists(Path(out) / name):
            return Run.open(Path(out) / name)  # says why it is not a run
    hint = did_you_mean(name, known) if known else " Train one with: digitlab train"
    raise RunError(f"There is no run {name!r} in {out}.{hint} See what there is with: digitlab runs --out {out}")


def check_name(name: str) -> str:
    """Return the name of a run, if it can be one: it does not leave its folder, and has no meaning already.

    >>> check_name("first-try")
    'first-try'
    """
    if not _NAME.fullmatch(name):
        raise RunError(
            f"A run's name has at most 100 letters, digits, '.', '_' and '-', begins with a letter or digit and does "
            f"not end with '.'; got {name!r}. Choose another --name."
        )
    if name == _LATEST:
        raise RunError(f"{_LATEST!r} means the newest run and cannot be the name of one. Choose another --name.")
    return name


def free_name(out: str | Path, network: str, seed: int) -> str:
    """Return a name that nothing in the folder has: date, network, seed and, if need be, a number."""
    stem = re.sub(r"[^A-Za-z0-9.]+", "-", Path(network).stem)[:_LONGEST_STEM].strip("-.") or "network"
    base = f"{date.today().isoformat()}_{stem}_s{seed}"
    name, number = base, 2
    while os.path.lexists(Path(out) / name):
        name, number = f"{base}_{number}", number + 1
    return name


def new_run(out: str | Path, network: str, seed: int, *, name: str | None = None, force: bool = False) -> Run:
    """Make the directory of a new run: of that name, or of one that is free; ``force`` replaces a run of that name."""
    if name is not None:
        return Run.create(Path(out) / check_name(name), force=force)
    for _ in range(_MOST_TRIES):
        path = Path(out) / free_name(out, network, seed)
        try:
            return Run.create(path)
        except RunError:
            continue  # somebody else took the name in this moment
    raise RunError(f"No free name for a run was found in {out}; give one with --name, or another folder with --out.")


def _is_run(path: Path) -> bool:
    return os.path.isfile(path / CONFIG)


def _run_paths(folder: Path) -> list[Path]:
    """Return the directories of a folder that have a run's settings, the one that was begun last at the end."""
    return [path for path in _paths(folder) if _is_run(path)]


def may_be_run(path: Path) -> bool:
    """Tell whether a directory has something called as a run's settings are: a file, or a pipe, or a link to nowhere.

    It may not be one then, and whoever reads it says why.
    """
    return not path.name.startswith(".") and os.path.lexists(path / CONFIG) and not os.path.isdir(path / CONFIG)


def _paths(folder: Path) -> list[Path]:
    if not os.path.isdir(folder):
        return []
    try:
        paths = [folder / name for name in os.listdir(folder) if may_be_run(folder / name)]
    except OSError as error:
        raise RunError(
            f"The folder {folder} cannot be read: {reason_of(error)}. Choose another one with --out."
        ) from None
    return [path for _, path in sorted((_began(path), path) for path in paths)]


def _began(path: Path) -> int:
    try:
        return (path / CONFIG).stat().st_mtime_ns
    except OSError:
        return 0  # it was deleted a moment ago


def open_model(
    model: str | Path,
    out: str | Path = "runs",
    pixels: str | None = None,
    network: str | Path | Architecture | None = None,
) -> Checkpoint:
    """Read a trained model, wherever a run is meant: the one way from a name to weights.

    ``model`` is a run's directory, its name in the folder ``out``, ``latest``, or a model file: a checkpoint
    (``.safetensors``), a TensorFlow.js ``model.json`` or its folder, a ``.keras``, ``.h5`` or ``.onnx``. ``pixels`` is
    how a file's network was given them, such as ``0-255``; it takes them from 0 to 1 then, as all others. ``network``
    is that of a PyTorch state dict. A RunError if there is none, it is damaged, or it holds a network that digitlab
    cannot run.
    """
    scale = None if pixels is None else PixelScale.of(pixels)
    if is_model_file(model):
        checkpoint, who = load_model_file(model, network), f"The file {model} says itself how its pixels are scaled"
        told = told_scale(checkpoint)
    elif network is not None:
        raise ConfigError(f"{model} is a run, which says itself what its network is. Leave network out.")
    else:
        checkpoint, told, who = find_run(model, out).load_model(), OWN, f"{model} is a run of digitlab's own"
    if scale is not None and told is not None and scale != told:
        raise ConfigError(f"{who}, so that images of 0 to 1 are answered rightly. Leave out pixels {scale.text}.")
    known = scale or told
    return checkpoint if known is None else with_pixels(checkpoint, known)


def checkpoint_of(name: str, runs: Path) -> Path:
    """Return the file that `open_model` reads: that of a run, or the model file itself."""
    return Path(name) if is_model_file(name) else find_run(name, runs).path / MODEL
