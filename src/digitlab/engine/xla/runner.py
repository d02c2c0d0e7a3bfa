"""The runner on XLA: it does what ``cpu.runner.CpuRunner`` does, some steps ahead of whoever asks for them.

A step asked for is a step of a *chunk* that the device takes as one program, as long as what comes next is known. Who
asks for the steps one by one is given their results one by one; whoever looks at the weights in between gets those of
the step that was asked for last, made anew from the chunk's beginning. So training can be stopped, kept, or steered at
any batch, and nothing but the time it takes depends on how long chunks are.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from digitlab.engine.cpu.program import build_program
from digitlab.engine.cpu.runner import CpuRunner
from digitlab.engine.images import Images
from digitlab.engine.loop import Step
from digitlab.engine.optimizers import OptimizerStep
from digitlab.engine.xla.devices import telling_failures
from digitlab.engine.xla.lanes import Lanes
from digitlab.engine.xla.learning import Batches, Results, learn, probabilities, rows_of
from digitlab.engine.xla.state import DeviceRunner, State, lying, put
from digitlab.network.architecture import Architecture
from digitlab.network.layers import Dropout

# A chunk may take so long, and have so many steps: whoever looks on wants to see something.
_CHUNK_S, _MOST_STEPS, _FIRST_STEPS = 0.4, 1_024, 16
# So many numbers of images may a chunk name: it is sent as a table of that size, however few of its steps are taken.
_MOST_NUMBERS = 1 << 20
# Several hosts have to take the same chunks, whatever each one's clock says.
_STEPS_OF_HOSTS = 64
# Images that are answered at once, at most; a smaller power of two for fewer. And how many such parts wait on the way.
_AT_ONCE, _WAITING = 4_096, 4


@dataclass(frozen=True, eq=False)
class _Chunk:
    """Steps that were taken at once, what they began with, and what they gave."""

    start: State
    end: State
    images: Images
    steps: Sequence[Step]
    smoothing: float
    results: Results  # as NumPy's arrays
    seconds_a_step: float


class XlaRunner(DeviceRunner):
    """Runs one network, whose last layer is Dense with a softmax, on devices that JAX knows.

    The images of a batch are shared out among all of them, on every host; each adds up its part of the gradients, and
    the sums of all make the step, so that the result is that of one device, to rounding.
    """

    def __init__(self, architecture: Architecture, device: str, precision: str = "float32") -> None:
        build_program(architecture)  # which says what is no network that can be trained
        super().__init__(architecture, device, precision)
        self.has_dropout = any(isinstance(layer, Dropout) for layer in architecture.layers)
        self._shared, self._shared_here = (lying(some, None, "images") for some in (self._everywhere, self._here))
        #: Other trainings whose steps one program takes with those of this one.
        self.lanes: Lanes | None = None
        self._chunk: _Chunk | None = None
        self._before: _Chunk | None = None  # the chunk before, for who takes steps back
        self._n_done = 0  # of the chunk's steps
        self._looked: tuple[_Chunk, int, State] | None = None  # the state that was looked at last, on this host alone
        self.batch_size, self._most_steps = 1, _MOST_STEPS
        self._n_next = _FIRST_STEPS
        self._images: tuple[Images, Any] | None = None
        self._programs: dict[tuple[Any, ...], Any] = {}

    def _now(self) -> State:
        chunk = self._chunk
        if chunk is None or self._n_done in (0, len(chunk.steps)):
            return self._state if chunk is None else chunk.end if self._n_done else chunk.start
        steps = chunk.steps[: self._n_done]
        state, _, _ = self._taken(chunk.start, chunk.images, steps, chunk.smoothing)
        self._chunk = replace(chunk, end=state, steps=steps)
        return state

    def _seen(self) -> State:
        chunk = self._chunk
        if self._is_alone or chunk is None or self._n_done in (0, len(chunk.steps)):
            return self._now()
        if self._looked is None or self._looked[:2] != (chunk, self._n_done):
            start = jax.tree.map(lambda array: put(np.asarray(array), self._whole_here), chunk.start)
            state, _, _ = self._taken(start, chunk.images, chunk.steps[: self._n_done], chunk.smoothing, is_here=True)
            self._looked = chunk, self._n_done, state
        return self._looked[2]

    def _set(self, state: State) -> None:
        self._state, self._chunk, self._before, self._n_done, self._looked = state, None, None, 0, None

    # Learning.

    def start_training(self, batch_size: int) -> None:
        """Make room for batches of ``batch_size`` images and forget the optimizer's moments."""
        self.batch_size = -(-batch_size // self._n_devices) * self._n_devices
        self._most_steps = min(_MOST_STEPS, max(1, _MOST_NUMBERS // self.batch_size))
        self.forget_moments()

    def remember(self) -> None:
        """Make the present weights those that ``take_back`` finds where fewer batches were learned."""
        self._set(self._now())

    def take_back(self, n_batches: int) -> None:
        """Put the state in place that was there before the last batch or, for 2, before the one before it, too."""
        done = self._n_done - n_batches
        if done < 0 and self._before is not None:
            done += len(self._before.steps)
            self._chunk, self._before = self._before, None
        self._n_done = max(0, done)
        self._set(self._now())

    def train_batch(
        self,
        images: Images,
        labels: NDArray[np.int64],
        order: NDArray[np.int64],
        step: OptimizerStep,
        salt: int,
        label_smoothing: float = 0.0,
        ahead: Callable[[int], Sequence[Step]] | None = None,
    ) -> tuple[float, int]:
        """Learn from one batch, as ``CpuRunner.train_batch`` does.

        ``ahead`` gives as many of the steps that will probably be asked for next; if others are, it does them instead.
        """
        wanted, chunk = (labels, order, step, salt), self._chunk
        is_taken = (
            chunk is not None
            and self._n_done < len(chunk.steps)
            and chunk.images is images
            and chunk.smoothing == label_smoothing
            and _are_alike(chunk.steps[self._n_done], wanted)
        )
        if not is_taken:
            following = list(ahead(min(self._n_next, self._most_steps) - 1)) if ahead is not None else []
            self._take(images, [wanted, *following], label_smoothing)
        chunk = self._chunk
        assert chunk is not None
        k, self._n_done = self._n_done, self._n_done + 1
        self.is_finite, self.batch_seconds = bool(chunk.results.finite[k]), chunk.seconds_a_step
        return float(chunk.results.losses[k]), int(chunk.results.corrects[k])

    def _take(self, images: Images, steps: Sequence[Step], smoothing: float) -> None:
        """Take a chunk of steps, from where things stand."""
        start, before = self._now(), self._chunk
        if self.lanes is None:
            end, results, seconds = self._taken(start, images, steps, smoothing)
        else:
            end, results, n, seconds = self.lanes.take(self, start, images, steps, smoothing)
            steps = steps[:n]
        self._before, self._n_done = before, 0
        told = Results(*(np.asarray(one) for one in results))
        self._chunk = _Chunk(start, end, images, steps, smoothing, told, seconds / len(steps))
        if not self._is_alone:
            self._n_next = _STEPS_OF_HOSTS  # on every host the same
            return
        wanted = int(len(steps) * min(16.0, _CHUNK_S / max(seconds, 1e-6)))
        self._n_next = max(1, min(self._most_steps, wanted))

    def _taken(
        self, start: State, images: Images, steps: Sequence[Step], smoothing: float, *, is_here: bool = False
    ) -> tuple[State, Results, float]:
        """Return the state after some steps, their results, and how many seconds the devices took, or those here."""
        whole, shared = (self._whole_here, self._shared_here) if is_here else (self.whole, self._shared)
        order, labels, *others = rows_of(steps, self.batch_size, self._most_steps)
        rows = Batches(put(order, shared), put(labels, shared), *(put(one, whole) for one in others))
        told = tuple(put(np.asarray(one), whole) for one in (np.float32(smoothing), np.int32(len(steps))))
        arguments = (start, self._on_device(images, whole), rows, *told)
        program = self._program(steps[0][2].rule, arguments, whole)
        began = time.perf_counter()
        with telling_failures():
            state, results = jax.block_until_ready(program(*arguments))
        return state, results, time.perf_counter() - began

    def _program(self, rule: int, arguments: tuple[Any, ...], whole: Any) -> Any:
        """The compiled program for arguments of these shapes, that lie like this."""
        key = (rule, whole, *((one.shape, one.dtype) for one in (arguments[1], arguments[2].order)))
        if key not in self._programs:
            began = time.perf_counter()
            fixed = partial(learn, self.architecture, self.dtype, rule, self.has_dropout)
            with telling_failures():
                self._programs[key] = jax.jit(fixed, out_shardings=whole).lower(*arguments).compile()
            self.compile_seconds += time.perf_counter() - began
        return self._programs[key]

    def _on_device(self, images: Images, whole: Any) -> Any:
        """All images, on every device; the last ones are kept there."""
        if self._images is None or self._images[0] is not images or self._images[1].sharding != whole:
            self._images = None  # those of before make room first
            self._images = images, put(images.pixels, whole)
        return self._images[1]

    # Answering.

    def predict(self, images: Images) -> NDArray[np.float32]:
        """Return probabilities, float32 (n, n_classes); memory besides the result does not grow with n."""
        pixels, n = images.pixels, len(images)
        size = min(_AT_ONCE, 1 << max(0, n - 1).bit_length())
        size = -(-size // self._n_here) * self._n_here
        weights, split = self._weights_here(), lying(self._here, "images")
        out = np.empty((n, self.architecture.n_classes), np.float32)
        waiting: deque[tuple[int, Any]] = deque()

        def receive(n_left: int) -> None:
            while len(waiting) > n_left:
                begin, given = waiting.popleft()
                out[begin : begin + size] = np.asarray(given)[: n - begin]

        with telling_failures():
            for begin in range(0, n, size):
                part = pixels[begin : begin + size]
                if len(part) < size:
                    part = np.concatenate([part, np.zeros((size - len(part), *part.shape[1:]), part.dtype)])
                given = probabilities(self.architecture, self.dtype, weights, put(part, split))
                waiting.append((begin, given))  # the device goes on while the next part is sent
                receive(_WAITING)
            receive(0)
        return out

    def features(self, images: Images) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what the last dense layer reads, and the probabilities, as the processor's engine answers them."""
        own = CpuRunner(self.architecture)
        own.parameters = self.parameters
        return own.features(images)


def _are_alike(one: Step, other: Step) -> bool:
    return one[2:] == other[2:] and all(np.array_equal(a, b) for a, b in zip(one[:2], other[:2], strict=True))
