"""Compiled kernels are kept for the next process, and believed only as they were written.

Every process but the last test's compiles or loads one small kernel and tells which it did. The last one compiles for
smaller processors than this one, whose vectors are shorter.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digitlab.engine.cpu import compiled
from digitlab.engine.cpu.tiles import LANES
from digitlab.engine.optimizers import Adam
from digitlab.engine.sequential import Sequential
from digitlab.network import Architecture, AveragePooling2D, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from tests.engine.networks import digits

pytestmark = pytest.mark.slow

# Of digitlab, and of these tests.
_PATHS = os.pathsep.join(str(Path(file).parents[n]) for file, n in ((compiled.__file__, 3), (__file__, 2)))

_DOUBLE = """
import json
import numpy as np
from digitlab.engine.cpu.compiled import seal_cache
from tests.engine.small_kernel import double

numbers = np.arange(3.0)
double(numbers)
seal_cache()
print(json.dumps({
    "numbers": numbers.tolist(),
    "loaded": sum(double.stats.cache_hits.values()),
    "compiled": sum(double.stats.cache_misses.values()),
}))
"""


def start(script: str, cache: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    environment = os.environ | {"DIGITLAB_CACHE": cache, "PYTHONPATH": _PATHS} | variables
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    answer: dict[str, Any] = json.loads(out)
    assert answer.pop("numbers") == [0.0, 2.0, 4.0]
    return answer


def kept_in(cache: Path) -> tuple[Path, list[Path]]:
    """The folder of the kernels, and the files in it."""
    (folder,) = (cache / "kernels").iterdir()
    return folder, sorted(folder.rglob("*.nb[ic]"))


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that one process has filled."""
    cache = tmp_path_factory.mktemp("cache")
    assert finish(start(_DOUBLE, str(cache))) == {"loaded": 0, "compiled": 1}
    return cache


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the limit of a file's size is a POSIX one")
def test_a_disk_that_is_full_costs_the_next_process_a_compilation_and_nothing_else(tmp_path: Path) -> None:
    # Python would keep half of a module's byte code, and not notice.
    full = "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    full += "sys.dont_write_bytecode = True\n"
    full += "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
    assert finish(start(full + _DOUBLE, str(tmp_path))) == {"loaded": 0, "compiled": 1}
    assert finish(start(_DOUBLE, str(tmp_path))) == {"loaded": 0, "compiled": 1}


def assert_sealed(cache: Path) -> None:
    folder, files = kept_in(cache)
    lines = dict(line.split(" ", 1)[::-1] for line in (folder / "checksums").read_text().splitlines())
    assert lines == {str(file.relative_to(folder)): f"{zlib.crc32(file.read_bytes()):08x}" for file in files}
    assert len(files) == 2  # an index and the code


def test_a_second_process_loads_what_the_first_compiled(warm: Path) -> None:
    assert_sealed(warm)
    assert finish(start(_DOUBLE, str(warm))) == {"loaded": 1, "compiled": 0}
    assert_sealed(warm)


@pytest.mark.parametrize(
    "damage",
    [
        "code",
        "no checksums",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("index", "code cut short", "checksums", "unknown code")
        ),
    ],
)
def test_damaged_code_is_thrown_away_and_compiled_again(warm: Path, tmp_path: Path, damage: str) -> None:
    cache = tmp_path / "cache"
    original, _ = kept_in(warm)
    folder = cache / "kernels" / original.name
    for file in original.rglob("*"):
        if file.is_file():
            target = folder / file.relative_to(original)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    index, code = sorted(folder.rglob("*.nbi"))[0], sorted(folder.rglob("*.nbc"))[0]
    if damage in ("index", "code"):
        file = index if damage == "index" else code
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 0xFF
        file.write_bytes(content)
    elif damage == "code cut short":
        code.write_bytes(code.read_bytes()[:100])
    elif damage == "checksums":
        (folder / "checksums").write_bytes(b"\xff\x00 not a list\n" * 3)
    elif damage == "no checksums":
        (folder / "checksums").unlink()
    else:
        code.write_bytes(b"not machine code")
        (folder / "checksums").write_text(f"00000000 {index.name}\n")
    assert finish(start(_DOUBLE, str(cache))) == {"loaded": 0, "compiled": 1}
    assert_sealed(cache)


@pytest.mark.slow
def test_two_processes_that_begin_at_once_both_get_their_kernels(tmp_path: Path) -> None:
    processes = [start(_DOUBLE, str(tmp_path)) for _ in range(2)]
    for process in processes:
        answer = finish(process)
        assert answer["loaded"] + answer["compiled"] == 1
    # Whatever they did to each other's files, the next one finds them in order.
    finish(start(_DOUBLE, str(tmp_path)))
    assert_sealed(tmp_path)


def test_without_a_cache_everything_is_compiled_and_nothing_written(tmp_path: Path) -> None:
    answer = finish(start(_DOUBLE, "off", HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path / "xdg")))
    assert answer == {"loaded": 0, "compiled": 1}
    assert list(tmp_path.iterdir()) == []


def test_what_is_compiled_after_the_sealing_is_sealed_when_the_process_ends(tmp_path: Path) -> None:
    # As in a process that only predicts.
    process = start(_DOUBLE.replace("runner.seal()", ""), str(tmp_path))
    assert finish(process) == {"loaded": 0, "compiled": 1}
    assert_sealed(tmp_path)


NETWORK = Architecture(
    [
        Conv2D(6, 3, activation="relu", bias_initializer="he_normal"),
        MaxPooling2D(2),
        Conv2D(9, 3, padding="same", activation="relu"),
        MaxPooling2D(3, strides=2),
        Conv2D(7, 2, strides=(2, 1), padding="same", activation="tanh"),
        AveragePooling2D(2, strides=1, padding="same"),
        Flatten(),
        Dropout(0.1),
        Dense(21, activation="relu"),
        Dense(10, activation="softmax"),
    ],
    (14, 13, 1),
)

_TRAIN = f"""
import json, sys
import numpy as np
from digitlab.engine.cpu import tiles
from digitlab.engine.optimizers import Adam
from digitlab.engine.sequential import Sequential
from digitlab.network import Architecture

network = Architecture.from_dict(json.loads(sys.argv[1]))
data = np.load(sys.argv[2])
model = Sequential.from_architecture(network, seed=0)
history = model.fit(data["images"], data["labels"], batch_size=50, epochs=2, optimizer=Adam(0.002))
losses, answers = [r.loss for r in history.steps], model.predict(data["images"])
np.savez(sys.argv[3], *model.get_weights(), losses=losses, answers=answers, alone=model.predict(data["images"][:1]))
print(json.dumps({{"lanes": tiles.LANES, "numbers": {[0.0, 2.0, 4.0]}}}))
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="the processors named are x86")
@pytest.mark.parametrize(
    ("n_lanes", "name", "features"),
    [
        (8, "haswell", "+avx,+avx2,+fma"),
        (4, "nehalem", "+sse4.2"),
    ],
)
def test_every_width_of_vectors_trains_alike(tmp_path: Path, n_lanes: int, name: str, features: str) -> None:
    if n_lanes > LANES:
        pytest.skip("this processor has no vectors that wide")
    images, labels = digits(NETWORK, 90)
    np.savez(tmp_path / "data.npz", images=images, labels=labels)
    arguments = [json.dumps(NETWORK.to_dict()), str(tmp_path / "data.npz"), str(tmp_path / "result.npz")]
    process = start(_TRAIN, "off", *arguments, NUMBA_CPU_NAME=name, NUMBA_CPU_FEATURES=features)
    assert finish(process) == {"lanes": n_lanes}

    model = Sequential.from_architecture(NETWORK, seed=0)
    history = model.fit(images, labels, batch_size=50, epochs=2, optimizer=Adam(0.002))
    result = np.load(tmp_path / "result.npz")
    # Images are summed in other groups, so that gradients differ by a few roundings; Adam's small gradients amplify
    # them, to 1 % of a step at most. Dropout depends on the image and not on its lane.
    np.testing.assert_allclose(result["losses"], [r.loss for r in history.steps], rtol=1e-5)
    for i, weights in enumerate(model.get_weights()):
        np.testing.assert_allclose(result[f"arr_{i}"], weights, rtol=0.0, atol=2e-5)
    np.testing.assert_allclose(result["answers"], model.predict(images), rtol=0.0, atol=2e-5)
    np.testing.assert_allclose(result["alone"], result["answers"][:1], rtol=0.0, atol=1e-6)
