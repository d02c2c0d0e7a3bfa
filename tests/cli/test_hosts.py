"""Several processes train one network: the result of one, and a sentence when another host is gone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import digitlab as dl
from digitlab.cli.app import main
from digitlab.runs.run import Run

pytestmark = [pytest.mark.slow, pytest.mark.interop]
pytest.importorskip("jax")

_SETTINGS = ("--train-images", "600", "--validation-images", "100", "--batch-size", "50")


def start(out: Path, port: int, k: int, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "digitlab", "train", "--device", "cpu-xla", "--out", str(out)]
    command += ["--hosts", f"127.0.0.1:{port}", "--process", f"{k}/2", *words]
    environment = os.environ | {"PYTHONPATH": str(Path(dl.__file__).parents[1])}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_two_processes_come_to_the_weights_of_one_and_say_when_the_other_is_gone(tmp_path: Path) -> None:
    port, words = free_port(), ("--name", "both", *_SETTINGS, "--epochs", "20")
    first, second = (start(tmp_path, port, k, *words) for k in range(2))
    run = Run(tmp_path / "both")
    deadline = time.monotonic() + 200
    while not run.has("state.safetensors") and time.monotonic() < deadline and first.poll() is None:
        time.sleep(0.1)
    second.send_signal(signal.SIGKILL)
    _, told = first.communicate(timeout=100)
    second.communicate()
    assert first.returncode == 2, told
    assert "Another host that train" in told
    assert "--resume" in told
    assert "Traceback" not in told

    port = free_port()
    first, second = (start(tmp_path, port, k, "--name", "both", "--resume") for k in range(2))
    _, told = first.communicate(timeout=250)
    assert first.returncode == 0, told
    _, told = second.communicate(timeout=100)
    assert second.returncode == 0, told
    assert "This process trained along" in told
    assert not list(tmp_path.glob("hosts-*.log")) or len(list(tmp_path.glob("hosts-*.log"))) <= 2

    alone = dl.train(train_images=600, validation_images=100, batch_size=50, epochs=20, out=tmp_path, name="alone")
    for mine, theirs in zip(run.load_model().weights, alone.load_model().weights, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=0.02)
    evaluations = [one.read_json("evaluation.json") for one in (run, alone)]
    assert evaluations[0]["accuracy"] == pytest.approx(evaluations[1]["accuracy"], abs=0.005)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--hosts", "127.0.0.1:9", "--process", "2/2", "--device", "cpu-xla"], "does not say who is who"),
        (["--hosts", "nowhere", "--process", "0/2", "--device", "cpu-xla"], "does not say who is who"),
        (["--hosts", "127.0.0.1:70000", "--process", "0/2", "--device", "cpu-xla"], "does not say who is who"),
        (["--hosts", "127.0.0.1:0", "--process", "0/2", "--device", "cpu-xla"], "does not say who is who"),
        (["--hosts", "\x1b[2J:9", "--process", "0/2", "--device", "cpu-xla"], "does not say who is who"),
        (["--hosts", "127.0.0.1:9", "--process", f"0/{'9' * 5000}", "--device", "cpu-xla"], "does not say who is who"),
        (["--hosts", "127.0.0.1:9", "--process", "\u0660/\u0662", "--device", "cpu-xla"], "does not say who is who"),
        (["--process", "0/2", "--device", "cpu-xla"], "give all of them --hosts"),
        (["--hosts", "127.0.0.1:9", "--process", "0/2"], "give --device gpu"),
        (["--hosts", "auto", "--process", "0/2", "--device", "cpu-xla"], "leave out --process"),
    ],
)
def test_who_is_who_must_be_told(
    words: list[str],
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DIGITLAB_TRAINS_ALONG", "log")  # in the process that trains
    assert main(["train", *words, "--out", str(tmp_path)]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
