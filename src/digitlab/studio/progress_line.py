"""ProgressLine: how far the training is, as a bar and in words."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from nicegui import ui

from digitlab.evaluation.markup import duration
from digitlab.studio.page import Page
from digitlab.studio.trainer import Trainer
from digitlab.values import StepRecord

__all__ = ["Pace", "ProgressLine"]

# Over how long a stretch the time left is reckoned.
_STRETCH_S = 4.0


class Pace:
    """How many batches a second are really done, waiting included, and how many images a second are computed."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()
        self.images_per_s = 0.0

    def note(self, records: Sequence[StepRecord], now: float) -> None:
        """Take note of some batches, the last of which has just been done."""
        if not records:
            return
        self._seen.append((now, records[-1].step))
        while now - self._seen[0][0] > _STRETCH_S and len(self._seen) > 2:
            self._seen.popleft()
        n_images = sum(record.n_images for record in records)
        speed = n_images / sum(record.n_images / record.images_per_s for record in records)
        # One frame with a pause of the processor in it says little: half of what is shown is what was before.
        self.images_per_s = (self.images_per_s + speed) / 2 if self.images_per_s else speed

    def rest(self) -> None:
        """Begin anew, after a pause."""
        self._seen.clear()

    def seconds_for(self, n_batches: int) -> float | None:
        """Return how long so many batches will take; None if nobody can know yet."""
        if len(self._seen) < 2 or self._seen[-1][1] == self._seen[0][1]:
            return None
        (began, first), (now, last) = self._seen[0], self._seen[-1]
        return n_batches * (now - began) / (last - first)


class ProgressLine(ui.element, component="static/progress_line.js"):
    """A bar and a line of text: batch, epoch, time left, images a second.

    Parameters
    ----------
    page : Page
        Where it stands.
    """

    def __init__(self, page: Page) -> None:
        super().__init__()
        self._page = page
        self.text = ""
        self.pace = Pace()
        self._props |= {"label": "Progress of the training", "fraction": 0.0, "text": ""}

    def note(self, records: Sequence[StepRecord]) -> None:
        """Take note of new batches."""
        self.pace.note(records, time.monotonic())

    def restart(self) -> None:
        """Forget what was seen."""
        self.pace = Pace()

    def show(self, trainer: Trainer) -> None:
        """Show where the training is."""
        step, n_steps = trainer.step_done, max(1, trainer.n_steps)
        n_epochs = trainer.config.epochs
        epoch = min(n_epochs, step * n_epochs // n_steps + (step < n_steps))
        parts = [f"Batch {step:,} of {n_steps:,}", f"epoch {epoch} of {n_epochs}"]
        left_s = self.pace.seconds_for(n_steps - step) if trainer.state == "training" and step < n_steps else None
        if left_s is not None:
            parts.append(f"{duration(max(left_s, 0.1))} left")
        if self.pace.images_per_s:
            parts.append(f"{self.pace.images_per_s:,.0f} images/s")
        text = " · ".join(parts)
        if text != self.text:
            self.text = text
            self._page.send(self, "show", step / n_steps, text)
