"""Training on several hosts: each one's process, and beside it one that says in a sentence when another host is gone.

When a host dies, JAX ends the processes of all others at once, from within, where Python cannot say anything any more.
So the training is a process of its own, and the command that was typed watches it.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digitlab.cli.terminal import say
from digitlab.errors import ConfigError, RunError, TrainingDivergedError
from digitlab.training.config import TrainConfig

if TYPE_CHECKING:
    from digitlab.training.session import TrainingSession

# Set in the process that trains: where JAX's own words go, and a pipe that ends when nobody watches any more.
_WATCHED, _ALIVE = "DIGITLAB_TRAINS_ALONG", "DIGITLAB_WATCHED_BY"


def is_watched() -> bool:
    """Tell whether this is the process that trains."""
    return _WATCHED in os.environ


def watch(words: Sequence[str], out: Path) -> int:
    """Run a command in a process of its own until it ends, and return its exit code; RunError if it was ended."""
    if os.name == "nt":
        raise ConfigError("Several hosts train together under Linux and macOS only; leave out --hosts and --process.")
    out.mkdir(parents=True, exist_ok=True)
    log = out / f"hosts-{os.getpid()}.log"
    environment = os.environ | {_WATCHED: str(log)}
    alive, held = os.pipe()
    environment[_ALIVE] = str(alive)
    training = subprocess.Popen(
        [sys.executable, "-m", "digitlab.cli.hosts", *words], env=environment, pass_fds=(alive,)
    )
    os.close(alive)
    # Ctrl-C reaches both, and it is the training that knows what to do then.
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: training.terminate())
    try:
        code = training.wait()
    finally:
        os.close(held)
        for one, handler in before.items():
            signal.signal(one, handler)
    if code >= 0:
        log.unlink(missing_ok=True)
        return code
    raise RunError(
        f"Another host that trained along is gone, or this one was ended ({signal.Signals(-code).name}). What was "
        f"trained is kept up to the last save; start all processes again, with --resume. What JAX said is in {log}."
    )


def join(hosts: str | None, process: str | None, config: TrainConfig | None, settings: Mapping[str, Any]) -> bool:
    """Come together with the other hosts' processes; tell whether this one keeps the run."""
    from digitlab.engine.xla.devices import check_alike, join_hosts

    if hosts is None:
        raise ConfigError(f"--process {process} is one of several; give all of them --hosts COORDINATOR:PORT, too.")
    if (settings.get("device", "cpu") if config is None else config.device) == "cpu":
        raise ConfigError("Hosts train together on JAX's devices; give --device gpu, tpu or cpu-xla, too.")
    is_first = join_hosts(hosts, process)
    check_alike({"settings": dict(settings) if config is None else _of_all_hosts(config), "is_new": config is not None})
    return is_first


def check_sessions(session: TrainingSession) -> None:
    """Refuse to begin where the hosts would not take the same steps."""
    from digitlab.engine.xla.devices import check_alike

    told = session.describe()
    check_alike(
        {
            "config": _of_all_hosts(session.config),
            "network": told["network"],
            "data": told["data"]["digest"],
            "nondigits": told.get("nondigits", {}).get("digest"),
            "progress": dataclasses.asdict(session.progress),
        }
    )


def _of_all_hosts(config: TrainConfig) -> dict[str, Any]:
    return {name: value for name, value in config.to_dict().items() if name not in ("threads", "data", "network")}


def train_along(
    config: TrainConfig | None,
    out: Path,
    name: str | None,
    *,
    resume: bool,
    repeat: str | None,
    settings: Mapping[str, Any],
) -> None:
    """Train with the process that keeps the run, and keep nothing."""
    from digitlab.engine.xla.devices import leave_hosts
    from digitlab.training.session import open_session

    session = open_session(config, out, name=name, resume=resume, repeat=repeat, settings=settings, is_first=False)
    check_sessions(session)
    try:
        for _ in session.records():
            pass
    except TrainingDivergedError:
        leave_hosts()  # all have come to the same end
        raise
    leave_hosts()
    say("This process trained along; the first one keeps the run.")


def _end_with(alive: int) -> None:
    """End this process when the one that watches it is gone, however that ended."""
    os.read(alive, 1)
    os._exit(1)


def _main(words: Sequence[str]) -> None:
    """Train, and let what is written below Python go to the log, where it spoils no line of this."""
    from digitlab.cli.app import main

    threading.Thread(target=_end_with, args=(int(os.environ[_ALIVE]),), daemon=True).start()
    sys.stdout, sys.stderr = (os.fdopen(os.dup(one), "w", buffering=1, errors="replace") for one in (1, 2))
    with suppress(OSError):
        log = os.open(os.environ[_WATCHED], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
    code = main(words)
    sys.stdout.flush()
    sys.stderr.flush()
    # Not by the usual way, where JAX would wait for hosts that may be gone.
    os._exit(code)


if __name__ == "__main__":
    _main(sys.argv[1:])
