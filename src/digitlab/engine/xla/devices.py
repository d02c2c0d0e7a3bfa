"""Devices: which accelerators this machine has, by the names that people choose them by, and several hosts as one.

JAX is imported here and beside this file only, and only when one of its devices is asked for.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from digitlab.data.cache import cache_folder
from digitlab.errors import ConfigError, RunError, did_you_mean
from digitlab.values import Value

#: What ``device`` may be: digitlab's own engine on the processor, what JAX knows, and the first of gpu, tpu and cpu
#: that is there.
DEVICES = ("cpu", "gpu", "tpu", "cpu-xla", "auto")
#: What numbers between the layers may be; weights, losses and optimizers stay float32.
PRECISIONS = ("float32", "bfloat16")

_INSTALL = (
    "Install it with: pip install 'digitlab[xla]', and for an NVIDIA GPU on Linux also: pip install 'jax[cuda12]'."
)
# How long the hosts have to come together, and to part; and after how long one that is not heard of has died.
_COORDINATE_S, _PART_S, _HEARTBEAT_S = 60, 10, 20
# Whether this process is one of several that train together.
_is_joined = False
# What JAX is told of them: it ends the process over much else.
_HOSTS, _COUNT = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}"), re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class DeviceInfo(Value):
    """One device: its name here, what it is, how many there are, and bytes of memory of one, None if unknown."""

    name: str
    kind: str
    n: int
    memory_bytes: int | None

    def __str__(self) -> str:
        memory = "" if self.memory_bytes is None else f", {self.memory_bytes / 1e9:.0f} GB each"
        return f"{self.n} x {self.kind}{memory}"


def check_device(device: str, precision: str = "float32") -> None:
    """Say what is wrong with the name of a device or a precision: ConfigError."""
    for what, name, known in (("device", device, DEVICES), ("precision", precision, PRECISIONS)):
        if name not in known:
            hint = did_you_mean(name, known)
            raise ConfigError(f"There is no {what} {name!r}.{hint} There are {', '.join(known)}.")
    if precision != "float32" and device == "cpu":
        raise ConfigError(f"digitlab's own engine computes in float32; {precision} needs --device gpu, tpu or cpu-xla.")


def load_jax() -> Any:
    """Import JAX, so that it leaves memory to others and keeps what it compiled; ConfigError if it is not there."""
    # By itself JAX takes three quarters of a GPU's memory at once.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    try:
        import jax
    except ImportError:
        raise ConfigError(f"JAX, which runs networks on accelerators, is not installed. {_INSTALL}") from None
    folder = cache_folder()
    if folder is not None and getattr(jax.config, "jax_compilation_cache_dir", None) is None:
        jax.config.update("jax_compilation_cache_dir", str(folder / "xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
    return jax


def devices_of(name: str, *, of_all_hosts: bool = False) -> list[Any]:
    """Return JAX's devices of a kind, those of this host first of all; ConfigError if there are none."""
    jax = load_jax()
    backend = "cpu" if name == "cpu-xla" else name
    try:
        return list(jax.devices(backend) if of_all_hosts else jax.local_devices(backend=backend))
    except RuntimeError:
        others = ", ".join(str(one) for one in list_devices()) or "none"
        raise ConfigError(
            f"JAX sees no {name.upper()} on this machine; it sees: {others}. Leave out --device for digitlab's own "
            f"engine on the processor, or install what the device needs. {_INSTALL}"
        ) from None


def list_devices() -> tuple[DeviceInfo, ...]:
    """Return what JAX sees on this machine; empty where it is not installed."""
    try:
        jax = load_jax()
    except ConfigError:
        return ()
    found = []
    for name, backend in (("gpu", "gpu"), ("tpu", "tpu"), ("cpu-xla", "cpu")):
        with contextlib.suppress(RuntimeError):
            devices = jax.local_devices(backend=backend)
            found.append(DeviceInfo(name, devices[0].device_kind, len(devices), _memory(devices[0])))
    return tuple(found)


def _memory(device: Any) -> int | None:
    stats = None
    with contextlib.suppress(Exception):  # not every backend knows
        stats = device.memory_stats()
    limit = (stats or {}).get("bytes_limit")
    return None if limit is None else int(limit)


def chosen_device(name: str) -> tuple[str, str]:
    """Return the device that a name stands for, and a sentence on it for whoever trains; none for the processor.

    >>> chosen_device("cpu")
    ('cpu', '')
    """
    if name == "cpu":
        return name, ""
    if name == "auto":
        there = [one.name for one in list_devices() if one.name != "cpu-xla"]
        if not there:
            return "cpu", (
                "There is no accelerator that JAX sees, so digitlab's own engine on the processor is used, in float32."
            )
        name = there[0]
    devices = devices_of(name, of_all_hosts=True)
    info = DeviceInfo(name, devices[0].device_kind, len(devices), _memory(devices[0]))
    hosts = load_jax().process_count()
    return name, f"Runs on {info}{f', of {hosts} hosts' if hosts > 1 else ''}."


def join_hosts(hosts: str, process: str | None = None) -> bool:
    """Make this process one of several that train one network together; tell whether it is the first of them.

    ``hosts`` is ``HOST:PORT`` of the first one, and ``process`` says which of how many this is, ``I/N``, from 0; or
    ``hosts`` is ``auto``, and the variables of Slurm, Open MPI or Kubernetes tell, as JAX reads them. ConfigError if
    the others do not come.
    """
    given: dict[str, Any] = {}
    if hosts != "auto":
        index, _, n = (process or "").partition("/")
        port = hosts.rpartition(":")[2] if _HOSTS.fullmatch(hosts) else "0"
        is_told = bool(_COUNT.fullmatch(index) and _COUNT.fullmatch(n)) and int(index) < int(n)
        if not is_told or not 0 < int(port) < 2**16:
            raise ConfigError(
                f"--hosts {hosts!r:.100} --process {process!r:.40} does not say who is who. Start every process "
                "with the same --hosts COORDINATOR:PORT, and with --process 0/2 and --process 1/2, for two; or --hosts "
                "auto under Slurm, Open MPI or Kubernetes."
            )
        given = {"coordinator_address": hosts, "process_id": int(index), "num_processes": int(n)}
    elif process is not None:
        raise ConfigError("--hosts auto finds out by itself which process this is; leave out --process.")
    global _is_joined
    jax = load_jax()
    try:
        timeouts = {
            "initialization_timeout": _COORDINATE_S,
            "heartbeat_timeout_seconds": _HEARTBEAT_S,
            "shutdown_timeout_seconds": _PART_S,
        }
        known = inspect.signature(jax.distributed.initialize).parameters  # the first releases have the first one only
        jax.distributed.initialize(**given, **{name: value for name, value in timeouts.items() if name in known})
    except (RuntimeError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise ConfigError(
            f"The hosts did not come together within {_COORDINATE_S} s ({reason}). Start every process with the same "
            "--hosts COORDINATOR:PORT and its own --process I/N, and see that the port is open."
        ) from None
    _is_joined = True
    return bool(jax.process_index() == 0)


def check_alike(what: Mapping[str, Any]) -> None:
    """Refuse to train with hosts that were told something else: their steps would not be those of one training.

    ``what`` can be JSON, and says all that the steps depend on. ConfigError on every host; they have parted then.
    """
    jax = load_jax()
    if jax.process_count() == 1:
        return
    from jax.experimental import multihost_utils

    own = np.frombuffer(hashlib.sha256(json.dumps(what, sort_keys=True).encode()).digest(), np.uint8)
    with telling_failures():
        every = np.asarray(multihost_utils.process_allgather(own))
    if (every != every[0]).any():
        leave_hosts()
        raise ConfigError(
            "The processes were not told the same: their settings, data, fonts or saved states differ. Start every one "
            "with the same options but for --process, and with the same folders."
        )


def of_first_host(number: float) -> float:
    """Return a number as the first host has it, for what all must decide alike; on one host alone, the number."""
    if not _is_joined or load_jax().process_count() == 1:
        return number
    from jax.experimental import multihost_utils

    with telling_failures():  # as two halves, since JAX would round it to float32
        halves = multihost_utils.broadcast_one_to_all(np.frombuffer(np.float64(number).tobytes(), np.uint32))
    return float(np.frombuffer(np.asarray(halves, np.uint32).tobytes(), np.float64)[0])


def leave_hosts() -> None:
    """Part from the other hosts when the training is done; what this one has goes on with its own devices."""
    global _is_joined
    _is_joined = False
    with contextlib.suppress(RuntimeError):
        load_jax().distributed.shutdown()


@contextlib.contextmanager
def telling_failures() -> Iterator[None]:
    """Say in a sentence of digitlab's own what a device or another host did wrong: RunError."""
    jax = load_jax()
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        if "RESOURCE_EXHAUSTED" in reason:
            raise RunError(f"The device's memory is full ({reason}). Use a smaller batch size or network.") from None
        if jax.process_count() > 1:
            raise RunError(
                f"Another host that trains along is gone ({reason}). What was trained is kept up to the last save; "
                "start all processes again, with --resume."
            ) from None
        raise RunError(f"The device failed ({reason}). Go on with --resume, there or with another --device.") from None
