"""Whatever moment a process is killed at: nothing finished is lost, no half file is taken for whole, nothing is left.

Run as a program, this file makes one kind of work 50 times in children that it kills. It has everything loaded, the
kernels too, so that a child costs no start; only the children work with threads, which do not survive a fork.
"""

from __future__ import annotations

import csv
import http.client
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import digitlab as dl
from digitlab.cli.app import main
from digitlab.data.cache import read_cached, write_cached
from digitlab.data.mnist import Split
from digitlab.data.storage import clear_leftovers
from digitlab.evaluation.finish import evaluate_and_report, own_folder
from digitlab.exporting.export import export
from digitlab.network import Checkpoint, architecture, load_checkpoint, save_checkpoint
from digitlab.network.formats.files import load_model_file
from digitlab.reading.many import FileReading
from digitlab.reading.reading import Box, Digit, Line, Number, Reading
from digitlab.reading.results_file import ResultsFile
from digitlab.runs.listing import all_runs
from digitlab.runs.run import MODEL, STATE, DamagedRun, Run
from digitlab.training import keeping
from digitlab.training.corrections import Corrections

_TIMES = 50
_STARTS = 20  # of the server, each of which takes far longer than another turn
_LONGEST_S = 1.0  # on a machine that does other work, too, one turn may take far longer
_RUNS, _NAME = Path("runs"), "it"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
@pytest.mark.parametrize("work", ["train", "resume", "read", "export", "cache", "corrections", "serve"])
def test_a_kill_at_any_moment_loses_nothing_that_was_finished(tmp_path: Path, work: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(dl.__file__).parents[1])}
    done = subprocess.run([sys.executable, __file__, work], cwd=tmp_path, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def _child(work: Callable[[], object]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _done(work: Callable[[], object]) -> float:
    """Do some work in a child, whole, and return the seconds it took."""
    began = time.monotonic()
    _, status = os.waitpid(_child(work), 0)
    assert status == 0
    return time.monotonic() - began


def _killed(work: Callable[[], object], longest_s: float, chance: random.Random) -> None:
    """Do some work in a child, and kill it at a random moment."""
    child = _child(work)
    time.sleep(chance.uniform(0, longest_s))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL)


def _images(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 28, 28), dtype=np.uint8)


def _config() -> dl.TrainConfig:
    for seed, name in enumerate(("train", "t10k")):
        dl.write_idx(f"{name}-images-idx3-ubyte", _images(100, seed))
        dl.write_idx(f"{name}-labels-idx1-ubyte", np.arange(100, dtype=np.uint8) % 10)
    sizes = {"train_images": 60, "validation_images": 10, "batch_size": 10, "epochs": 2, "threads": 1}
    return dl.TrainConfig(network="dense_baseline", data=".", **sizes)


def _weights(name: str) -> list[bytes]:
    return [array.tobytes() for array in load_checkpoint(_RUNS / name / MODEL).weights]


def _finish() -> None:
    """Go on with the run that was killed, as far as there is anything to go on with."""
    run = Run(_RUNS / _NAME)
    assert not any(isinstance(one, DamagedRun) for one in all_runs(_RUNS))
    if run.has(STATE):
        _done(lambda: dl.train(out=_RUNS, name=_NAME, resume=True))
    if run.has(MODEL):
        assert _weights(_NAME) == _weights("whole")
        _done(lambda: evaluate_and_report(run, dl.MnistData.load(own_folder(run))))
        assert not [name for name in os.listdir(run.path) if name.startswith(".")]


def _train(chance: random.Random) -> None:
    keeping._SECONDS_BETWEEN_SAVES = 0.0
    config = _config()
    seconds = _done(lambda: dl.train(config, _RUNS, name="whole"))
    for _ in range(_TIMES):
        _killed(lambda: dl.train(config, _RUNS, name=_NAME, force=True), min(seconds, _LONGEST_S), chance)
        _finish()
    assert sorted(os.listdir(_RUNS)) in (["it", "whole"], ["whole"])


def _resume(chance: random.Random) -> None:
    keeping._SECONDS_BETWEEN_SAVES = 0.0
    config = _config()
    seconds = _done(lambda: dl.train(config, _RUNS, name="whole"))

    def stop(record: object) -> None:
        raise KeyboardInterrupt

    def begin() -> None:
        try:
            dl.train(config, _RUNS, name="begun", on_record=stop)
        except KeyboardInterrupt:
            return

    _done(begin)
    for _ in range(_TIMES):
        shutil.rmtree(_RUNS / _NAME, ignore_errors=True)
        shutil.copytree(_RUNS / "begun", _RUNS / _NAME)
        _killed(lambda: dl.train(out=_RUNS, name=_NAME, resume=True), min(seconds, _LONGEST_S), chance)
        _finish()
        assert Run(_RUNS / _NAME).has(MODEL)


def _read(chance: random.Random) -> None:
    box = Box(1, 2, 3, 4)
    lines = tuple(Line(box, (Number(v, box, 0.5, (Digit(int(v), box, 0.9, ()),)),)) for v in "123")
    names, path = [f"{k}.png" for k in range(200)], Path("r.csv")

    def work() -> None:
        with ResultsFile(path, "how") as table:
            for name in names:
                if not table.has(name, name):
                    table.append(FileReading(name, (Reading("x", 1, 9, 9, 0, 0.0, lines, ()),), None, 0.1), name)

    seconds, before = _done(work), 0
    path.unlink()
    for _ in range(_TIMES):
        _killed(work, seconds / 5, chance)
        with ResultsFile(path, "how"):
            pass
        with open(path, newline="") as file:
            files = [row["file"] for row in csv.DictReader(file)]
        assert files == [name for name in names[: len(files) // 3] for _ in range(3)]
        assert len(files) >= before
        before = len(files)
    assert os.listdir() == ["r.csv"]


def _export(chance: random.Random) -> None:
    network = architecture("dense_baseline")
    made = [Checkpoint(network, tuple(network.initial_weights(seed))) for seed in range(2)]
    for k, checkpoint in enumerate(made):
        save_checkpoint(f"{k}.safetensors", checkpoint)
    some = Split("test", _images(20, 0), np.arange(20, dtype=np.uint8) % 10)
    data = dl.MnistData(some, some, some, source="noise", digest="noise")

    def work(rounds: int = 5) -> None:
        for _ in range(rounds):
            for k in range(2):
                model = dl.Sequential.from_checkpoint(load_checkpoint(f"{k}.safetensors"), threads=1)
                export(model, "model", format="tfjs", data=data, ask_runtimes=False)

    seconds = _done(work)
    for _ in range(_TIMES):
        _killed(work, min(seconds, _LONGEST_S), chance)
        clear_leftovers(Path())
        assert sorted(os.listdir()) == ["0.safetensors", "1.safetensors", "model"]
        found = load_model_file("model").weights
        assert any(all(map(np.array_equal, found, checkpoint.weights)) for checkpoint in made)


def _cache(chance: random.Random) -> None:
    os.environ["DIGITLAB_CACHE"] = str(Path("cache").absolute())
    contents = [bytes([k]) * 3_000_000 for k in range(2)]

    def work() -> None:
        for _ in range(10):
            for k, content in enumerate(contents):
                write_cached("blob", bytes([k]) * 32, [bytearray(content)])

    seconds = _done(work)
    for _ in range(_TIMES):
        _killed(work, seconds, chance)
        found = [read_cached("blob", bytes([k]) * 32, len(content)) for k, content in enumerate(contents)]
        assert [None if blob is None else blob.tobytes() for blob in found] in (
            [contents[0], None],
            [None, contents[1]],
        )
        write_cached("blob", bytes(32), [bytearray(contents[0])])
        assert os.listdir("cache") == ["blob"]


def _corrections(chance: random.Random) -> None:
    for turn in range(_TIMES):
        folder, images = Path(f"corrections {turn}"), _images(12, turn)
        receiving, sending = os.pipe()

        def work(folder: Path = folder, images: np.ndarray = images, sending: int = sending) -> None:
            kept = Corrections(folder)
            for k, image in enumerate(images):
                kept.add(image, k % 10)
                os.write(sending, bytes([k]))

        _killed(work, 0.2, chance)
        os.close(sending)
        told = os.read(receiving, len(images))
        os.close(receiving)
        found = Corrections(folder).entries()
        assert len(found) in (len(told), len(told) + 1)
        for k, one in enumerate(found):
            assert (one.label, one.image.tobytes()) == (k % 10, images[k].tobytes())
        Corrections(folder).add(images[0], 0)
        assert not [name for name in os.listdir(folder) if name.startswith(".")]
        shutil.rmtree(folder)


def _serve(chance: random.Random) -> None:
    import digitlab.serving.server  # noqa: F401 - so that the children need not import it

    image, expected, started_s = _images(1, 0).tobytes(), b"", 0.0

    def begin() -> tuple[int, int]:
        receiving, sending = os.pipe()

        def work() -> None:
            sys.stdout = os.fdopen(sending, "w")
            sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - a line a request, for as long as it lives
            assert main(["serve", "--port", "0"]) in (0, 143)

        child = _child(work)
        os.close(sending)
        return child, receiving

    def port_of(receiving: int) -> int:
        text = b""
        while not (found := re.search(rb"http://127[.]0[.]0[.]1:(\d+)/", text)):
            more = os.read(receiving, 1000)
            if not more:
                raise ConnectionError
            text += more
        return int(found[1])

    def ask(port: int) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        with closing(connection):
            connection.request("POST", "/api/predict", image, {"content-type": "application/octet-stream"})
            answer = connection.getresponse()
            assert answer.status in (200, 503)
            content = answer.read()
            return content if answer.status == 200 else expected

    for turn in range(_STARTS + 1):
        began = time.monotonic()
        child, receiving = begin()
        # The first is asked and ended as it should be, and tells how long that takes.
        number = signal.SIGKILL if turn else signal.SIGTERM
        killer = threading.Timer(chance.uniform(0, 1.5 * min(started_s, _LONGEST_S)), os.kill, (child, number))
        if turn:
            killer.start()
        try:
            port = port_of(receiving)
            while turn:
                assert ask(port) == expected
            expected, started_s = ask(port), time.monotonic() - began
            os.kill(child, number)
        except (OSError, http.client.HTTPException):
            assert turn
        if turn:
            killer.join()
        _, status = os.waitpid(child, 0)
        assert status == (signal.SIGKILL if turn else 0)
        os.close(receiving)
    assert os.listdir() == []


def _load_kernels() -> None:
    model = dl.Sequential.from_architecture(architecture("dense_baseline"), seed=0, threads=1)
    model.fit(_images(20, 0), np.arange(20) % 10, batch_size=10)
    model.predict(_images(1, 0))


if __name__ == "__main__":
    _load_kernels()
    work = {"train": _train, "resume": _resume, "read": _read, "export": _export, "cache": _cache}
    work |= {"corrections": _corrections, "serve": _serve}
    work[sys.argv[1]](random.Random(sys.argv[1]))
