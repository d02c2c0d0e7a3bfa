"""What the terminal shows while the page is served: the address, one line an epoch, and how it ended."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from digitlab.evaluation.markup import epoch_line, percent
from digitlab.studio.opening import Opening
from digitlab.studio.trainer import Trainer
from digitlab.values import EpochRecord

__all__ = ["announce", "say"]

_SECONDS_BETWEEN_LOOKS = 0.2


def say(line: str) -> None:
    """Print a line at once; if nobody reads any more, the Studio goes on without a word."""
    with suppress(OSError, ValueError):
        print(line, flush=True)


async def announce(opening: Opening) -> None:
    """Print what happens, until cancelled."""
    has_said = False
    while not (opening.is_ready or opening.failure):
        if opening.is_compiling and not has_said:
            has_said = True
            say("Compiling the kernels for this processor, once: some 10 seconds. Later starts take no time.")
        await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
    if opening.trainer is None or opening.failure:
        say(f"Error: {opening.failure}")
        return
    await _watch(opening.trainer)


async def _watch(trainer: Trainer) -> None:
    generation, cursor, state, has_evaluation = 0, 0, "idle", False
    while True:
        if trainer.generation != generation:
            generation, cursor, state, has_evaluation = trainer.generation, 0, "idle", False
            if trainer.state != "idle":
                name, n_epochs = trainer.architecture.name, trainer.config.epochs
                say(f"Training {name}: {n_epochs} epochs, {trainer.n_steps:,} batches.")
        records, cursor = trainer.records_since(cursor)
        for record in records:
            if isinstance(record, EpochRecord):
                say(epoch_line(record, trainer.config.epochs))
        if trainer.state != state:
            state = trainer.state
            if sentence := _sentence(trainer, state):
                say(sentence)
        if trainer.evaluation is not None and not has_evaluation:
            has_evaluation = True
            evaluation = trainer.evaluation
            say(
                f"Accuracy on {evaluation.n_images:,} test images: {percent(evaluation.accuracy)}. The run is in "
                f"{trainer.run and trainer.run.path}"
            )
        await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)


def _sentence(trainer: Trainer, state: str) -> str:
    if state == "failed":
        return f"Error: {trainer.message}"
    if state == "stopped":
        resume = "" if trainer.run is None else f" Go on with it by: {trainer.run.resume_command()}"
        return f"Stopped after batch {trainer.step_done:,} of {trainer.n_steps:,}.{resume}"
    return ""
