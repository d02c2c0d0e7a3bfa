"""How a training run is shown while it goes on: a live bar at a terminal, a line an epoch elsewhere.

A run of the codelab's size takes about a second, so a record is only kept, and looked at a few times a second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleRenderable, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from digitlab.cli.output import COMPILING
from digitlab.text import duration, epoch_line, percent
from digitlab.values import EpochRecord, FinderEpochRecord, StepRecord

_STOPPING = " Stopping after this batch; Ctrl-C again ends at once."

# A batch takes milliseconds when its kernels are in the cache.
_COMPILING_AFTER_S = 1.0
_FRAMES_PER_S = 10


class TrainingProgress:
    """Shows the records of a run. Enter it, then call ``record`` with each of them.

    ``n_epochs`` and ``n_steps`` are those of the whole run. ``lines`` prints a line an epoch where the console is no
    terminal; ``live`` shows the bar where it is one; ``is_stopping`` tells whether somebody asked the run to end.
    """

    def __init__(
        self,
        console: Console,
        n_epochs: int,
        n_steps: int,
        *,
        lines: bool = True,
        live: bool = True,
        is_stopping: Callable[[], bool] = bool,
    ) -> None:
        self._console = console
        self._n_epochs, self._n_steps = n_epochs, n_steps
        self._is_live = live and console.is_terminal and not console.is_dumb_terminal
        self._lines = lines and not self._is_live
        self._step: StepRecord | None = None
        self._epoch: EpochRecord | None = None
        self._is_stopping = is_stopping
        self._began = time.monotonic()
        self._first_batch: tuple[float, int] | None = None
        self._n_images = 0
        self._timer = threading.Timer(_COMPILING_AFTER_S, self._say_compiling)
        self._live: AbstractContextManager[object] = nullcontext()
        if self._is_live:
            self._live = Live(
                console=console, get_renderable=self._render, refresh_per_second=_FRAMES_PER_S, redirect_stdout=False
            )

    def __enter__(self) -> Self:
        self._timer.daemon = True
        if self._lines:
            self._timer.start()
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self._live.__exit__(kind, error, trace)

    def record(self, record: StepRecord | EpochRecord) -> None:
        """Take note of a record."""
        if isinstance(record, StepRecord):
            if self._first_batch is None:
                # Speed is counted from here, because kernels are compiled or loaded in the first batch.
                self._timer.cancel()
                self._first_batch = (time.monotonic(), record.step)
            else:
                self._n_images += record.n_images
            self._step = record
            return
        self._epoch = record
        if self._lines:
            self._console.print(epoch_line(record, self._n_epochs), soft_wrap=True)

    def _say_compiling(self) -> None:
        self._console.print(COMPILING, soft_wrap=True)

    def _render(self) -> ConsoleRenderable:
        step = self._step
        if step is None or self._first_batch is None:
            is_compiling = time.monotonic() - self._began > _COMPILING_AFTER_S
            text = Text(COMPILING if is_compiling else "Starting ...", style="dim")
            return text.append(_STOPPING, "bold") if self._is_stopping() else text
        began, first = self._first_batch
        seconds, n_done = time.monotonic() - began, step.step - first
        if step.step == self._n_steps:
            clock = duration(seconds)
        else:
            clock = f"{duration(max(1.0, seconds / n_done * (self._n_steps - step.step)))} left" if n_done else ""
        row = Table.grid(padding=(0, 2))
        row.add_row(
            f"Epoch {step.epoch:>{len(str(self._n_epochs))}}/{self._n_epochs}",
            ProgressBar(
                total=self._n_steps,
                completed=step.step,
                width=max(8, min(50, self._console.width - 48)),
                complete_style="cyan",
                finished_style="green",
            ),
            f"batch {step.step:,}/{self._n_steps:,}",
            clock,
        )
        speed = self._n_images / seconds if self._n_images and seconds > 0 else step.images_per_s
        return Group(row, self._figures(step, speed))

    def _figures(self, step: StepRecord, images_per_s: float) -> Text:
        epoch = self._epoch
        shown = epoch if epoch is not None and epoch.step == step.step else step
        figures = [("loss", f"{shown.loss:.4f}"), ("accuracy", percent(shown.accuracy))]
        if epoch is not None and epoch.val_accuracy is not None:
            figures.append(("val_accuracy", percent(epoch.val_accuracy)))
        text = Text(no_wrap=True, overflow="ellipsis")
        for name, value in figures:
            text.append(f"{name} ", "dim").append(value, "bold").append("  ")
        if isinstance(epoch, FinderEpochRecord) and epoch.n_crops:
            text.append("extra ", "dim").append(f"{epoch.n_extra / epoch.n_crops:.3f} a crop", "bold").append("  ")
        return text.append(f"{images_per_s:,.0f}", "bold").append(" images/s", "dim")
