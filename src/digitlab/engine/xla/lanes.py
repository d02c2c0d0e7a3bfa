"""Lanes: many trainings of networks of the same shape side by side, the steps of all of them one XLA program.

Each training goes its own way in its own thread, and asks its runner for one step after the other. Where a runner would
take a chunk of steps, it waits for those of the others, and one program takes them for all (``jax.vmap``).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from digitlab.engine.images import Images
from digitlab.engine.xla.devices import telling_failures
from digitlab.engine.xla.learning import Batches, Results, learn, rows_of
from digitlab.engine.xla.state import State, lying, put
from digitlab.errors import RunError

if TYPE_CHECKING:
    from digitlab.engine.loop import Step
    from digitlab.engine.xla.runner import XlaRunner

_Asked = tuple[State, Images, "Sequence[Step]", float]
#: What a chunk gave one lane: the state, the results of its steps, how many those are, and how long it took.
Taken = tuple[State, Results, int, float]


class Lanes:
    """Trainings of ``n`` networks of the same shape, with batches of the same size."""

    def __init__(self, n: int) -> None:
        self._n, self._is_stopped = n, False
        self._changed = threading.Condition()
        self._asked: dict[int, _Asked] = {}
        self._given: dict[int, Taken | BaseException] = {}
        self._images: tuple[Sequence[Images], Any, int | None] | None = None
        self._programs: dict[Any, Any] = {}

    def leave(self) -> None:
        """Do without one of them from now on: it has ended."""
        with self._changed:
            self._n -= 1
            self._changed.notify_all()

    def stop(self) -> None:
        """Let none of them take any more steps."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def take(self, runner: XlaRunner, start: State, images: Images, steps: Sequence[Step], smoothing: float) -> Taken:
        """Take a chunk of steps together with all others."""
        lane = id(runner)
        with self._changed:
            self._asked[lane] = start, images, steps, smoothing
            self._changed.notify_all()
            self._changed.wait_for(lambda: lane in self._given or len(self._asked) == self._n or self._is_stopped)
            if self._is_stopped:
                raise RunError("It was stopped with all others; start it again to go on.")
            if lane not in self._given:  # the one that comes last works for all
                asked, self._asked = self._asked, {}
                try:
                    taken = self._taken(runner, list(asked.values()))
                    self._given |= dict(zip(asked, taken, strict=True))
                except BaseException as error:
                    self._given |= dict.fromkeys(asked, error)
                self._changed.notify_all()
            given = self._given.pop(lane)
        if isinstance(given, BaseException):
            raise given
        return given

    def _taken(self, runner: XlaRunner, asked: Sequence[_Asked]) -> list[Taken]:
        whole, n = runner.whole, min(len(steps) for _, _, steps, _ in asked)
        devices = whole.mesh.devices.ravel()
        # Lanes lie on devices as a batch's images do elsewhere, filled up so that each device has as many.
        shared = lying(list(devices), "images")
        lanes = [*asked, *[asked[-1]] * (-len(asked) % len(devices))]
        rows = [rows_of(steps[:n], runner.batch_size, 1 << (n - 1).bit_length()) for _, _, steps, _ in lanes]
        batches = Batches(*(put(np.stack(part), shared) for part in zip(*rows, strict=True)))
        starts = (start for start, _, _, _ in lanes)
        state = jax.tree.map(lambda *arrays: jax.device_put(jnp.stack(arrays), shared), *starts)
        images, axis = self._on_device([images for _, images, _, _ in lanes], whole, shared)
        smoothings = put(np.array([smoothing for *_, smoothing in lanes], np.float32), shared)
        arguments = (state, images, batches, smoothings, put(np.asarray(n, np.int32), whole))
        rule = asked[0][2][0][2].rule
        program = self._program(runner, rule, axis, arguments, shared)
        began = time.perf_counter()
        with telling_failures():
            state, results = jax.block_until_ready(program(*arguments))
        seconds = time.perf_counter() - began
        told = [np.asarray(one) for one in results]
        return [
            (
                jax.tree.map(lambda array, k=k: jax.device_put(array[k], whole), state),
                Results(*(one[k] for one in told)),
                n,
                seconds,
            )
            for k in range(len(asked))
        ]

    def _program(self, runner: XlaRunner, rule: int, axis: int | None, arguments: Any, shared: Any) -> Any:
        key = (rule, axis, *(array.shape for array in jax.tree.leaves(arguments)))
        if key not in self._programs:
            began = time.perf_counter()
            fixed = partial(learn, runner.architecture, runner.dtype, rule, runner.has_dropout)
            each = jax.vmap(fixed, in_axes=(0, axis, 0, 0, None))
            with telling_failures():
                self._programs[key] = jax.jit(each, out_shardings=shared).lower(*arguments).compile()
            runner.compile_seconds += time.perf_counter() - began
        return self._programs[key]

    def _on_device(self, images: Sequence[Images], whole: Any, shared: Any) -> tuple[Any, int | None]:
        """The images on the devices, and the axis of the lanes: None where all learn from the same ones."""
        before = () if self._images is None else self._images[0]
        if len(before) != len(images) or any(a is not b for a, b in zip(before, images, strict=True)):
            first, *others = [one.pixels for one in images]
            are_same = all(other is first or np.array_equal(other, first) for other in others)
            pixels = first if are_same else np.stack([first, *others])
            self._images = images, put(pixels, whole if are_same else shared), None if are_same else 0
        assert self._images is not None
        return self._images[1:]
