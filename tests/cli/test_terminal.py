"""What commands share: Ctrl-C keeps what there is, in a process of its own; networks that are given to state dicts."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from digitlab.cli.terminal import Interruption
from digitlab.network import architecture
from digitlab.network.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

pytestmark = pytest.mark.slow

SETTINGS = (
    "--network",
    "dense_baseline",
    "--train-images",
    "2000",
    "--validation-images",
    "100",
    "--batch-size",
    "20",
    "--epochs",
    "30",
)


def _start(folder: Path, name: str, *options: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "digitlab", "train", *options, "--out", str(folder), "--name", name, "--json"]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_and_resumed_training_gives_the_weights_of_an_uninterrupted_one(
    call: Any, tmp_path: Path, number: int, code: int
) -> None:
    assert call("train", *SETTINGS, "--out", tmp_path, "--name", "whole", "-q").code == 0
    process = _start(tmp_path, "parted", *SETTINGS)
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    process.send_signal(number)
    rest, messages = process.communicate(timeout=120)
    assert first["kind"] == "step"
    assert process.returncode == code
    last = json.loads(rest.splitlines()[-1])
    assert last["kind"] == "interrupted"
    assert 1 <= last["step"] < last["n_steps"] == 3000
    assert last["resume"] in messages
    assert "Traceback" not in messages
    assert last["run"]["status"] == "interrupted"

    words = last["resume"].split()[1:]
    assert call(*words, "-q").code == 0
    whole = load_checkpoint(tmp_path / "whole" / "model.safetensors").weights
    parted = load_checkpoint(tmp_path / "parted" / "model.safetensors").weights
    assert [array.tobytes() for array in whole] == [array.tobytes() for array in parted]
    assert (tmp_path / "parted" / "report.html").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
def test_the_first_signal_is_noted_and_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interruption() as interruption:
        assert not interruption.requested
        signal.raise_signal(signal.SIGINT)
        for _ in range(1000):
            if interruption.requested:
                break
            threading.Event().wait(0.01)
        assert interruption.exit_code == 130
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
def test_the_second_signal_ends_the_process_at_once() -> None:
    program = (
        "import signal, threading\n"
        "from digitlab.cli.terminal import Interruption\n"
        "with Interruption() as interruption:\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    while not interruption.requested: pass\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    threading.Event().wait(60)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 130


def test_in_another_thread_signals_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def enter() -> None:
        with Interruption():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]


def _state_dict(path: Path) -> Path:
    """Write the codelab's network as PyTorch's state dict has it."""
    network = architecture("codelab_cnn")
    first, first_bias, second, second_bias, last, last_bias = network.initial_weights(seed=0)
    tensors = {
        "0.weight": first.transpose(3, 2, 0, 1),
        "0.bias": first_bias,
        "3.weight": second.transpose(3, 2, 0, 1),
        "3.bias": second_bias,
        "7.weight": last.reshape(4, 4, 16, 10).transpose(3, 2, 0, 1).reshape(10, 256),
        "7.bias": last_bias,
    }
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, path, {"format": "pt"})
    return path


def test_every_command_that_takes_a_model_takes_a_state_dict_with_its_network(tmp_path: Path, call: Any) -> None:
    path, image = _state_dict(tmp_path / "theirs.safetensors"), tmp_path / "digit.png"
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(image)
    given = ("--network", "codelab_cnn")
    assert "5,994 parameters" in call("summary", path, *given).out
    kept = _own(tmp_path / "own.safetensors")
    own = call("evaluate", kept, "--images", "50", "--json").json()
    assert call("evaluate", path, *given, "--images", "50", "--json").json()["accuracy"] == own["accuracy"]
    for pair in ((path, kept), (kept, path), (path, path)):
        compared = call("compare", *pair, *given, "--images", "50")
        assert (compared.code, "They give the same answer to all 50 images." in compared.out) == (0, True)
    assert len(call("predict", path, image, *given, "--json").json()) == 1
    assert call("read", image, "--model", path, *given, "--json").code == 0
    target = tmp_path / "theirs.onnx"
    assert call("export", path, *given, "--format", "onnx", "--out", target).code == 0
    assert target.is_file()


def _own(path: Path) -> Path:
    network = architecture("codelab_cnn")
    save_checkpoint(path, Checkpoint(network, tuple(network.initial_weights(seed=0))))
    return path


def test_a_network_without_a_state_dict_is_a_sentence(tmp_path: Path, call: Any, out: Path) -> None:
    image = tmp_path / "digit.png"
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(image)
    given = ("--network", "codelab_cnn")
    for words in (("read", image), ("predict", image), ("serve",)):
        outcome = call(*words, *given)
        assert outcome.code == 2
        assert "--network is that of a PyTorch state dict" in outcome.err
    outcome = call("evaluate", "first", "--out", out, *given)
    assert outcome.code == 2
    assert "first is none" in outcome.err
    outcome = call("compare", "first", _own(tmp_path / "own.safetensors"), "--out", out, *given)
    assert outcome.code == 2
    assert "neither first nor own.safetensors is one. Leave it out." in outcome.err
