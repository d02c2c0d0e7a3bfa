"""What the cards of the shipped networks share: a run's model and words, templates from ``cards``, fonts by package.

Every figure of a card is measured by its script or was written down by the run. Test digits are looked at there, once,
and nothing is chosen by them.
"""

from __future__ import annotations

import datetime
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import digitlab
from digitlab.engine.sequential import Sequential
from digitlab.metrics import wilson_interval
from digitlab.network.checkpoint import load_checkpoint
from digitlab.runs.run import Run
from digitlab.training.letters import find_fonts

FOLDER = Path(digitlab.__file__).parent / "reading" / "model"
TEMPLATES = Path(__file__).with_name("cards")


class Shipped:
    """The model of a run that is shipped, and what the run wrote down, in the words of the cards."""

    def __init__(self, path: str) -> None:
        self.run = Run(Path(path))
        self.source = self.run.path / "model.safetensors"
        self.checkpoint = load_checkpoint(self.source)
        self.model = Sequential.from_checkpoint(self.checkpoint)
        described, timings = self.run.read_json("config.json"), self.run.read_json("timings.json")
        self.words: dict[str, Any] = {
            "command": described["command"],
            "config": described["config"],
            "nondigits": described["nondigits"],
            "network": self.checkpoint.architecture.name,
            "minutes": timings["train"] / 60,
            "timings": timings,
            "where": self.run.read_json("environment.json"),
            "date": datetime.date.fromtimestamp(self.source.stat().st_mtime).isoformat(),
            "n_bytes": self.source.stat().st_size,
            "n_parameters": self.model.count_params(),
        }

    def ship(self, name: str, card_name: str, **more: Any) -> None:
        """Copy the model into the package with its card, the template of its name filled in, and print the card."""
        fonts = self.words["nondigits"]["fonts"]
        told = "\n".join(f"- {package}: {', '.join(files)}" for package, files in packages(fonts).items())
        template = (TEMPLATES / f"{name}.md").read_text("utf-8")
        card = template.format(**self.words | {"fonts": told, "n_fonts": len(fonts)} | more)
        FOLDER.mkdir(exist_ok=True)
        shutil.copyfile(self.source, FOLDER / f"{name}.safetensors")
        (FOLDER / card_name).write_text(card, encoding="utf-8")
        print(card)


def packages(names: Sequence[str]) -> dict[str, list[str]]:
    """Return font files by the Debian package that they come from, as far as dpkg knows."""
    paths = {font.name: font.path for font in find_fonts()}
    found: dict[str, list[str]] = {}
    for name in names:
        path, package = paths.get(name), "elsewhere"
        if path is None:
            package = "Pillow"
        elif shutil.which("dpkg"):
            answer = subprocess.run(["dpkg", "-S", path], capture_output=True, text=True, check=False).stdout
            package = answer.partition(":")[0] or package
        found.setdefault(package, []).append(name)
    return dict(sorted(found.items()))


def share(n: int, whole: int) -> str:
    """Return a percentage with its Wilson interval."""
    low, high = wilson_interval(n, whole)
    return f"{100 * n / whole:.2f} % ({100 * low:.2f}-{100 * high:.2f})"
