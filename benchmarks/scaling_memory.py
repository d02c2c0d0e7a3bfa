"""What ``scaling.py`` weighs: the memory that training adds to a process, for one batch size.

Linux' own count of the largest resident memory (``VmHWM``) begins anew, by ``/proc/self/clear_refs``, once the images
lie in memory and the kernels are loaded; what it says after three batches, less what it said before the room for a
batch was made, is what training took. Afterwards, with a second model, the engine's arrays are counted by the
allocations that NumPy reports from ``digitlab/engine/cpu``: that slows training, and takes memory itself.
"""

from __future__ import annotations

import ctypes
import gc
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import digitlab as dl
from contest import Spread
from digitlab.engine import cpu
from scaling_points import in_turn

N_BATCHES = 3
#: A batch large enough to start every thread before the weighing.
WARM_UP_BATCH = 128
#: The hidden option of ``scaling.py`` that weighs one batch size in its own process.
OPTION = "--memory-of"

_ENGINE = str(Path(cpu.__file__).parent / "*")


def weigh_here(batch_size: int) -> dict[str, int]:
    """Train a few batches in this process, which should be fresh, and return what that added, in bytes."""
    data, n = dl.MnistData.load(), N_BATCHES * batch_size
    if n > len(data.training):
        raise SystemExit(f"{N_BATCHES} batches of {batch_size:,} are more than {len(data.training):,} images.")
    # Copied: images that are mapped into memory would be copied by the engine, within what is weighed.
    images, labels = (np.array(part[: max(n, WARM_UP_BATCH)]) for part in (data.training.images, data.training.labels))

    def trained(n_images: int, size: int) -> tuple[dl.Sequential, Any]:
        model = dl.codelab_cnn(seed=0)
        records = model.steps(images[:n_images], labels[:n_images], batch_size=size, epochs=1, seed=0)
        for _ in islice(records, N_BATCHES):
            pass
        return model, records

    # Kept, so that nothing of what it took can be used again below and be missing from the count.
    warm = trained(WARM_UP_BATCH, WARM_UP_BATCH)
    _give_back_what_is_free()
    Path("/proc/self/clear_refs").write_text("5")
    before = _peak_bytes()
    measured = trained(n, batch_size)
    growth = _peak_bytes() - before
    del measured
    tracemalloc.start()
    counted = trained(n, batch_size)
    snapshot = tracemalloc.take_snapshot()
    tracemalloc.stop()
    for chosen in (tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain), tracemalloc.Filter(True, _ENGINE)):
        snapshot = snapshot.filter_traces([chosen])
    del warm, counted
    return {"growth_bytes": growth, "engine_bytes": sum(trace.size for trace in snapshot.traces)}


def weigh(script: Path, batch_sizes: Sequence[int], n_rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Weigh every batch size once a round, each time in a fresh process that runs ``script`` with the hidden option."""

    def fresh(batch_size: int) -> dict[str, int]:
        command = [sys.executable, str(script), OPTION, str(batch_size)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(done.stdout)

    values, other_cores = in_turn(batch_sizes, fresh, n_rounds, say)
    points = []
    for batch_size, runs in zip(batch_sizes, values, strict=True):
        spreads = {key: vars(Spread.of([run[key] for run in runs])) for key in ("growth_bytes", "engine_bytes")}
        points.append({"batch_size": batch_size, **spreads, "runs": runs})
    return {"points": points, "n_batches": N_BATCHES, "other_cores": other_cores}


def _give_back_what_is_free() -> None:
    # Free memory that stays with the process would be used again, and training would seem to take less than it does.
    gc.collect()
    with suppress(OSError, AttributeError):  # a C library other than GNU's
        ctypes.CDLL(None).malloc_trim(0)


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
