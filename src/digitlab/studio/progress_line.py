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
    """How many batches and images a second are really done, waiting included: what somebody sees who looks on."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int, int]] = deque()
        self._n_images = 0

    def note(self, records: Sequence[StepRecord], now: float) -> None:
        """Take note of some batches, the last of which has just been done."""
        if not records:
            return
        self._n_images += sum(record.n_images for record in records)
        self._seen.append((now, records[-1].step, self._n_images))
        while now - self._seen[0][0] > _STRETCH_S and len(self._seen) > 2:
            self._seen.popleft()

    def rest(self) -> None:
        """Begin anew, after a pause."""
        self._seen.clear()

    def seconds_for(self, n_batches: int) -> float | None:
        """Return how long so many batches will take; None if nobody can know yet."""
        if len(self._seen) < 2 or self._seen[-1][1] == self._seen[0][1]:
            return None
        (began, first, _), (now, last, _) = self._seen[0], self._seen[-1]
        return n_batches * (now - began) / (last - first)

    @property
    def images_per_s(self) -> float | None:
        """Images a second over the last seconds; None if nobody can know yet."""
        if len(self._seen) < 2 or self._seen[-1][0] <= self._seen[0][0]:
            return None
        (began, _, before), (now, _, after) = self._seen[0], self._seen[-1]
        return (after - before) / (now - began)


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
        step, n_steps = self._page.step, max(1, trainer.n_steps)
        n_epochs = trainer.config.epochs
        epoch = min(n_epochs, step * n_epochs // n_steps + (step < n_steps))
        parts = [f"Batch {step:,} of {n_steps:,}", f"epoch {epoch} of {n_epochs}"]
        is_going_on = trainer.state == "training" and step < n_steps
        left_s = self.pace.seconds_for(n_steps - step) if is_going_on else None
        if left_s is not None:
            parts.append(f"{duration(max(left_s, 0.1))} left")
        images_per_s = self.pace.images_per_s
        if is_going_on and images_per_s is not None:
            parts.append(f"{images_per_s:,.0f} images/s")
        text = " · ".join(parts)
        if text != self.text:
            self.text = text
            self._page.send(self, "show", step / n_steps, text)
