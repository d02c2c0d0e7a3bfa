"""What the README shows runs: its lines of Python, as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import digitlab as dl

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


@pytest.mark.slow
def test_the_lines_of_python_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len([line for line in code.splitlines() if line and not line.startswith("import")]) <= 6
    sheet = np.full((120, 200), 210, np.uint8)
    for k, image in enumerate(dl.MnistData.load().test.images[[0, 1]].reshape(-1, 28, 28)):
        part = sheet[46:74, 50 + 40 * k : 78 + 40 * k]
        part[:] = np.minimum(part, 255 - image)
    Image.fromarray(sheet).save(tmp_path / "photo.jpg", quality=95)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})  # it is our own
    accuracy, text = capsys.readouterr().out.strip().split("\n", 1)
    assert float(accuracy) > 0.85
    assert text.replace(" ", "") == "72"


def test_how_to_start_comes_first():
    first, *others = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    assert first.startswith("make run ")
    assert others[0].splitlines() == ["python3 -m venv .venv", ".venv/bin/pip install .", ".venv/bin/digitlab"]


def test_the_animation_is_light():
    docs = ROOT / "docs"
    (name,) = re.findall(r"!\[[^\]]*\]\((images/\S+\.webp)\)", (docs / "index.md").read_text("utf-8"))
    with Image.open(docs / name) as image:
        assert image.n_frames > 10
    assert (docs / name).stat().st_size < 1_500_000
