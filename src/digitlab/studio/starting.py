"""From what a page asks for to a session with a run directory of its own."""

from __future__ import annotations

import dataclasses
import json
import re
import zlib
from pathlib import Path

from digitlab.data.mnist import MnistData
from digitlab.data.storage import replacing
from digitlab.errors import StorageError
from digitlab.network.architecture import Architecture
from digitlab.runs.listing import new_run
from digitlab.training.config import TrainConfig
from digitlab.training.session import TrainingSession

__all__ = ["NETWORKS", "new_session"]

#: Beside the runs: the networks that were edited on the page, by name and content.
NETWORKS = "networks"


def new_session(
    config: TrainConfig, architecture: Architecture | None, data: MnistData, out: Path | None
) -> TrainingSession:
    """Open a session for a new run.

    A network that is not the one that ``config.network`` names is written as a JSON file beside the runs, and the
    config names that file, so that the command in the run's ``config.json`` repeats the run.

    Raises
    ------
    InputError
        If the settings, the network or the data cannot be used.
    StorageError
        If the run directory cannot be made.
    """
    session = TrainingSession(config, data, architecture=architecture)
    if out is None:
        return session
    network = session.model.architecture
    if architecture is not None and network != config.build_architecture():
        session.config = dataclasses.replace(config, network=str(_written(network, out / NETWORKS)))
    session.run = new_run(out, session.config.network, session.config.seed)
    session.lock = session.run.lock()
    return session


def _written(network: Architecture, folder: Path) -> Path:
    content = (json.dumps(network.to_dict(), indent=2) + "\n").encode()
    stem = re.sub(r"[^A-Za-z0-9]+", "-", network.name).strip("-")[:40] or "network"
    path = folder / f"{stem}-{zlib.crc32(content):08x}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(content)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror or error}. Make room, or choose another folder with --out."
        ) from error
    return path
