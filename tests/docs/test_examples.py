"""The programs in examples/ run as they stand, and do what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import digitlab as dl

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

pytestmark = pytest.mark.slow


def run(program: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run an example with the Python and the digitlab of the tests."""
    return subprocess.run(
        [sys.executable, str(EXAMPLES / program), *map(str, words)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=280,
    )


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with 20 of MNIST's test digits as somebody may have scanned them: dark on bright, larger."""
    folder = tmp_path_factory.mktemp("digits")
    test = dl.MnistData.load().test
    for k, (image, label) in enumerate(zip(test.images[:20], test.labels[:20], strict=True)):
        Image.fromarray(255 - image.reshape(28, 28)).resize((112, 112)).save(folder / f"{label}-{k}.png")
    return folder


def test_the_codelab_on_one_screen_learns_the_digits():
    assert len((EXAMPLES / "codelab.py").read_text("utf-8").splitlines()) <= 40
    done = run("codelab.py")
    assert done.returncode == 0, done.stderr
    rows = dict(line.split(None, 1) for line in done.stdout.splitlines()[-11:])
    assert list(rows)[:2] == ["Zero", "One"]
    assert float(rows["all"].split()[0]) > 0.85


def test_a_folder_is_read_and_a_bad_file_is_told(digits: Path, tmp_path: Path):
    folder = tmp_path / "photos"
    folder.mkdir()
    seven = next(path for path in digits.iterdir() if path.name.startswith("7"))
    (folder / "seven.png").write_bytes(seven.read_bytes())
    (folder / "bad.png").write_bytes(b"no picture")
    done = run("read_folder.py", folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("seven.png\t7\t")
    assert "bad.png: " in done.stderr


def test_fine_tuning_learns_own_images_and_keeps_mnist(digits: Path):
    done = run("fine_tune.py", digits)
    assert done.returncode == 0, done.stderr
    before, after = done.stdout.splitlines()[-2:]
    own = [float(line.split()[1].rstrip("%")) for line in (before, after)]
    mnist = [float(line.split("images, ")[1].split("%")[0]) for line in (before, after)]
    assert own[1] >= max(own[0], 95)
    assert mnist[1] > mnist[0] - 1


@pytest.mark.interop
def test_tensorflowjs_answers_with_an_exported_network(
    tfjs: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("NODE_PATH", str(ROOT / "tests" / "tfjs" / "node_modules"))
    data = dl.MnistData.load()
    model = dl.dense_baseline()
    model.fit(data.training.images[:5000], data.training.labels[:5000], epochs=3)
    dl.export(model, tmp_path / "digits", format="tfjs", ask_runtimes=False)
    (tmp_path / "image.u8").write_bytes(data.test.images[0].tobytes())
    answer = tfjs("../../examples/tensorflowjs.cjs", tmp_path / "digits", tmp_path / "image.u8")
    assert int(answer.split(",")[0]) == model.predict(data.test.images[:1]).argmax()


def test_every_example_is_listed():
    text = (EXAMPLES / "README.md").read_text("utf-8")
    for file in EXAMPLES.iterdir():
        assert file.name == "README.md" or f"]({file.name})" in text


@pytest.mark.parametrize("program", ["read_folder.py", "fine_tune.py"])
def test_an_example_without_its_folder_says_how_it_is_used(program: str):
    done = run(program)
    assert done.returncode == 1
    assert done.stderr.startswith("Usage: ")
