"""Every command of docs/how-to/use-from-curl.md is run here, and answers what the page shows."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import digitlab as dl
from tests.serving.asking import Process, pdf, photo, png

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "use-from-curl.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files that the page sends."""
    folder = tmp_path_factory.mktemp("curl")
    images = dl.MnistData.load().test.images[:6].reshape(-1, 28, 28)
    (folder / "seven.png").write_bytes(png(images[0]))
    Image.fromarray(255 - images[1]).resize((140, 140)).save(folder / "two.jpg")
    (folder / "images.u8").write_bytes(images.tobytes())
    (folder / "images.json").write_text(json.dumps({"images": images[:2].tolist()}))
    (folder / "photo.png").write_bytes(png(photo(images)))
    (folder / "document.pdf").write_bytes(pdf(2))
    for name in ("first-try", "another"):
        config = dl.TrainConfig(network="dense_baseline", train_images=64, validation_images=32, epochs=1)
        dl.train(config, folder / "runs", name=name)
    return folder


def shape(document: Any) -> Any:
    """Return what a document is made of: keys, and the shape of the first of a list."""
    if isinstance(document, dict):
        return {key: shape(value) for key, value in document.items()}
    if isinstance(document, list):
        return [shape(document[0])]
    return "null" if document is None else "text" if isinstance(document, str) else "number"


def test_every_command_runs_and_answers_what_the_page_shows(folder: Path) -> None:
    assert BLOCKS[0] == ("sh", "digitlab serve\n")
    shown = 0
    with Process(folder) as server:
        answers: list[str] = []
        for language, code in BLOCKS[1:]:
            if language == "json":
                assert shape(json.loads(answers[-1])) == shape(json.loads(code))
                shown += 1
                continue
            assert language == "sh"
            commands = [line for line in code.splitlines() if line.startswith("curl ")]
            others = "\n".join(line for line in code.splitlines() if not line.startswith("curl "))
            if not commands:
                # How the page is begun, which is tried elsewhere.
                assert others.splitlines()[-1] == "digitlab"
                continue
            for command in commands:
                own = command.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")
                done = subprocess.run(["sh", "-ec", f"{others}\n{own}"], cwd=folder, capture_output=True, text=True,
                                      timeout=60)  # fmt: skip
                assert done.returncode == 0, done.stderr
                assert not done.stdout.startswith('{"error"') or "seven.png http" in command, done.stdout
                answers.append(done.stdout)
    assert shown == 2
    assert [answer["label"] for answer in json.loads(answers[1])] == [7, 2]
    assert len(json.loads(answers[2])) == 6
    assert list(folder.glob("*.zip"))
