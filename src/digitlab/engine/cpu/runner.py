"""The runner: a program, its parameters and the memory of its workers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.cpu import batch, single
from digitlab.engine.cpu.blocks import WorkerMemory, aligned, scratch_room
from digitlab.engine.cpu.compiled import seal_cache
from digitlab.engine.cpu.program import DENSE, build_program
from digitlab.engine.cpu.team import Team, new_board
from digitlab.engine.cpu.threads import available_threads, share
from digitlab.engine.cpu.tiles import LANES
from digitlab.engine.images import Images
from digitlab.engine.optimizers import OptimizerStep
from digitlab.errors import ConfigError
from digitlab.network.architecture import Architecture
from digitlab.network.layers import Dropout

# Gradients are summed in this many slots, whatever the number of threads: it bounds the threads that can help.
_MOST_SLOTS = 8
# Blocks of images that a thread answers before it takes more: few enough that all threads have some, so many that
# waking a thread, some 50 microseconds, is little beside the multiply-adds.
_MOST_BLOCKS, _WORTH_A_TASK = 16, 20_000_000
# Parameters below which a second thread would be no help with the optimizer's step.
_SMALL = 1_000
_NO_ANSWERS = np.zeros((0, 0), np.float32)


@dataclass(frozen=True, eq=False)
class RunnerState:
    """All that learning changes in a runner, copied: float32 (n,); ``older`` (2, n); and a count of batches."""

    parameters: NDArray[np.float32]
    first_moment: NDArray[np.float32]
    second_moment: NDArray[np.float32]
    older: NDArray[np.float32]
    n_batches: int


class Runner:
    """What runs a network: its weights, and those from before the last two batches.

    ``n_threads`` may become 1 while it trains, and again what it was when training began: results are the same.
    ``is_finite``: whether all weights and moments were finite numbers after the last batch. ``batch_seconds``: how long
    it took, and ``compile_seconds`` how long compiling, both 0 where whoever calls can tell. ``where``: what a run's
    ``environment.json`` says of the device, nothing of the processor.
    """

    batch_seconds = compile_seconds = 0.0
    where: Mapping[str, str] = MappingProxyType({})

    def __init__(self, architecture: Architecture, n_threads: int | None, n_parameters: int) -> None:
        self.architecture = architecture
        if n_threads is not None and n_threads < 1:
            raise ConfigError(f"threads must be at least 1, or left out for all cores; got {n_threads}.")
        self.n_threads = n_threads or available_threads()
        self.is_finite = True
        self._n_batches = 0
        self._params = aligned(n_parameters)

    @property
    def parameters(self) -> NDArray[np.float32]:
        """A copy of all weights as one flat float32 array, in Keras' order."""
        return self._params.copy()

    @parameters.setter
    def parameters(self, values: NDArray[np.float32]) -> None:
        self._params[:] = values
        self._spread_parameters()

    def _spread_parameters(self) -> None:
        """Write the weights once more as other kernels want them."""
        raise NotImplementedError

    def _make_learning_room(self, n_parameters: int) -> None:
        """Make what the threads share while they learn; all of it is empty for who only answers."""
        self._older = np.zeros((2, n_parameters), np.float32)
        self._gradients = aligned(n_parameters)
        self.first_moment = aligned(n_parameters)
        self.second_moment = aligned(n_parameters)

    def set_moments(self, first: NDArray[np.float32], second: NDArray[np.float32]) -> None:
        """Set the optimizer's two means, in the order of ``parameters``."""
        self.first_moment[:], self.second_moment[:] = first, second

    @property
    def gradients(self) -> NDArray[np.float32]:
        """A copy of the last batch's gradients as one flat float32 array, in the order of ``parameters``."""
        return self._gradients.copy()

    def weights(self) -> list[NDArray[np.float32]]:
        """Return copies of all weights, in Keras' order and layout."""
        shapes = self.architecture.weight_shapes
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        return [flat.reshape(shape) for flat, shape in zip(np.split(self.parameters, ends[:-1]), shapes, strict=True)]

    def set_weights(self, weights: Sequence[NDArray[np.float32]]) -> None:
        """Set all weights, in Keras' order and layout."""
        self.parameters = np.concatenate([np.ravel(w) for w in weights]).astype(np.float32)

    def state(self) -> RunnerState:
        """Return copies of all that learning changes, between two batches."""
        moments = self.first_moment.copy(), self.second_moment.copy()
        return RunnerState(self.parameters, *moments, self._older.copy(), self._n_batches)

    def go_back(self, state: RunnerState) -> None:
        """Learn on from a state, bit for bit as the runner did whose it was."""
        self.parameters = state.parameters
        self.first_moment[:], self.second_moment[:] = state.first_moment, state.second_moment
        self._older[:] = state.older
        self._n_batches, self.is_finite = state.n_batches, True

    def remember(self) -> None:
        """Make the present weights those that ``take_back`` finds where fewer batches were learned."""
        self._older[:] = self._params

    def take_back(self, n_batches: int) -> None:
        """Put the weights in place that were there before the last batch or, for 2, before the one before it, too."""
        self.parameters = self._older[(self._n_batches - n_batches + 1) % 2]

    def seal(self) -> None:
        """Note the compiled code's checksums, once everything that was wanted has been compiled."""
        seal_cache()


class CpuRunner(Runner):
    """Runs one network, whose last layer is Dense with a softmax, on the processor's cores.

    ``has_dropout``: whether a step needs a number of its own.
    """

    def __init__(self, architecture: Architecture, n_threads: int | None = None) -> None:
        self.program = build_program(architecture)
        super().__init__(architecture, n_threads, self.program.n_parameters)
        self.has_dropout = any(isinstance(layer, Dropout) for layer in architecture.layers)
        ops = self.program.ops
        self._multiply_adds = int((ops["n_weights"] * ops["height"] * ops["width"]).sum())
        self._flipped = aligned(max(1, self.program.n_flipped))
        self._training_memory: list[WorkerMemory] = []
        self._team = self._alone = Team(1)
        self._prediction_memory: list[WorkerMemory] = []
        self._single_memory: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
        self._make_room(0, 0)

    def _spread_parameters(self) -> None:
        for op in self.program.ops[self.program.ops["flipped"] >= 0]:
            # As the input gradient wants them: the last two axes exchanged, and phase by phase from right to left.
            width, stride = int(op["kernel_width"]), int(op["stride_width"])
            shape = (op["kernel_height"], width, op["channels"], op["filters"])
            kernel = self._params[op["weights"] :][: op["n_weights"]].reshape(shape)
            order = sorted(range(width), key=lambda tap: (tap % stride, -tap))
            self._flipped[op["flipped"] :][: op["n_weights"]] = kernel[:, order].swapaxes(2, 3).ravel()

    def start_training(self, batch_size: int) -> None:
        """Make room for batches of ``batch_size`` images and forget the optimizer's moments."""
        program = self.program
        n_blocks = -(-batch_size // LANES)
        n_slots = min(_MOST_SLOTS, n_blocks)
        n_workers = min(self.n_threads, n_slots)
        self._training_memory = [WorkerMemory(program.memory, program.n_winners) for _ in range(n_workers)]
        self._team = Team(n_workers)
        self._make_room(batch_size, n_slots)
        self.remember()

    def _make_room(self, batch_size: int, n_slots: int) -> None:
        """Make what the threads share; all of it is empty for who only answers."""
        program, n_blocks = self.program, -(-batch_size // LANES)
        self._make_learning_room(program.n_parameters if batch_size else 0)
        self._d_lanes = aligned(n_slots * program.n_lane_gradients).reshape(n_slots, program.n_lane_gradients)
        self._tape = aligned(n_blocks * int(program.layout["tape"]))
        self._losses = np.zeros(n_blocks, np.float64)
        self._corrects = np.zeros(n_blocks, np.int64)
        self._order = np.zeros(batch_size, np.int64)
        self._labels = np.zeros(batch_size, np.int64)
        self._counts = np.zeros(6, np.int64)
        self._rates = np.zeros(6, np.float32)
        self._faults = np.zeros(self.n_threads, np.int64)

    def train_batch(
        self,
        images: Images,
        labels: NDArray[np.int64],
        order: NDArray[np.int64],
        step: OptimizerStep,
        salt: int,
        label_smoothing: float = 0.0,
        ahead: object = None,
    ) -> tuple[float, int]:
        """Learn from one batch; return its mean cross-entropy in nats and its right answers, both before the step.

        ``images`` are all images, ``order`` (int64) says which make the batch, at most as many as ``start_training``
        was told, and ``labels`` (int64) are those of the batch. ``salt``, from 0 to 2**32 - 1, is this step's own; only
        dropout asks for it. Part ``label_smoothing``, 0-1, of the truth is spread over all classes; the gradients
        follow it, the loss does not. ``ahead`` is for runners that take several steps at once.
        """
        program, memory, n = self.program, self._training_memory, len(order)
        n_blocks = -(-n // LANES)
        self._n_batches += 1
        self._order[:n], self._labels[:n] = order, labels
        n_parts = len(memory) if program.n_parameters > _SMALL else 1
        self._counts[:] = n, min(len(self._d_lanes), n_blocks), n_parts, salt, step.rule, self._n_batches % 2
        self._rates[:] = step.rate, *step.settings, label_smoothing

        def take_part(worker: int, patience: int, board: NDArray[np.int64]) -> None:
            self._take_part(worker, patience, board, images, memory[worker], self._order, self._counts, _NO_ANSWERS)

        (self._team if self.n_threads > 1 else self._alone).work(take_part, images)
        self.is_finite = not self._faults[:n_parts].any()
        return float(self._losses[:n_blocks].sum()) / n, int(self._corrects[:n_blocks].sum())

    def _take_part(
        self,
        worker: int,
        patience: int,
        board: NDArray[np.int64],
        images: Images,
        own: WorkerMemory,
        order: NDArray[np.int64],
        counts: NDArray[np.int64],
        out: NDArray[np.float32],
    ) -> None:
        batch.take_part(
            worker, patience, board, self.program.ops, self.program.layout, images.as_bytes, images.as_floats, order,
            self._labels, counts, self._rates, self._params, self._older, self._flipped, own.values, own.scratch,
            own.winners, own.places, self._d_lanes, self._tape, self._losses, self._corrects, self._gradients,
            self.first_moment, self.second_moment, self._faults, out, self.program.rare,
        )  # fmt: skip

    def predict(self, images: Images) -> NDArray[np.float32]:
        """Return probabilities, float32 (n, n_classes); memory besides the result does not grow with n."""
        program, n = self.program, len(images)
        if n == 1:
            return self._predict_one(images)
        self._team.dismiss()
        size = self._images_in_task(n)
        n_tasks = -(-n // size)
        # Taken and given back, because a server predicts in several threads at once; pop and append are atomic.
        memory: list[WorkerMemory] = []
        while len(memory) < min(self.n_threads, n_tasks):
            try:
                memory.append(self._prediction_memory.pop())
            except IndexError:
                memory.append(WorkerMemory(program.forward_memory, program.n_winners))
        out = np.empty((n, int(program.layout["n_classes"])), np.float32)

        def run_task(worker: int, task: int) -> None:
            own = memory[worker]
            begin, end = task * size, min(n, (task + 1) * size)
            order = np.arange(begin, end)
            counts = np.array([end - begin, 1, 0, 0, 0, 0])
            self._take_part(0, 0, new_board(), images, own, order, counts, out[begin:end])

        share(run_task, n_tasks, len(memory))
        self._prediction_memory += memory
        return out

    def features(self, images: Images) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what the last dense layer reads, float32 (n, n_features), and the probabilities, (n, n_classes).

        Without a dense layer it is the sums that the softmax reads. A block's values stand in memory until the next
        block comes, so it is asked for block by block.
        """
        program, n = self.program, len(images)
        dense = program.ops[program.ops["kind"] == DENSE]
        sums = int(program.layout["logits"]), int(program.layout["n_classes"])
        first, n_features = (int(dense[-1]["x"]), int(dense[-1]["channels"])) if len(dense) else sums
        self._team.dismiss()
        features = np.empty((n, n_features), np.float32)
        out = np.empty((n, sums[1]), np.float32)
        n_tasks = -(-n // LANES)
        memory = [WorkerMemory(program.forward_memory, program.n_winners) for _ in range(min(self.n_threads, n_tasks))]

        def run_task(worker: int, task: int) -> None:
            own, begin, end = memory[worker], task * LANES, min(n, (task + 1) * LANES)
            counts = np.array([end - begin, 1, 0, 0, 0, 0])
            self._take_part(0, 0, new_board(), images, own, np.arange(begin, end), counts, out[begin:end])
            block = own.values[first : first + n_features * LANES].reshape(n_features, LANES)
            features[begin:end] = block.T[: end - begin]

        share(run_task, n_tasks, len(memory))
        return features, out

    def _images_in_task(self, n: int) -> int:
        least = -(-_WORTH_A_TASK // max(1, LANES * self._multiply_adds))
        fair = -(-n // (2 * self.n_threads * LANES))
        return LANES * max(1, min(_MOST_BLOCKS, max(least, fair)))

    def _predict_one(self, images: Images) -> NDArray[np.float32]:
        program = self.program
        n_values = program.forward_memory // LANES
        try:
            values, scratch = self._single_memory.pop()
        except IndexError:
            values, scratch = aligned(n_values + program.largest_map), scratch_room()
        out = np.empty((1, int(program.layout["n_classes"])), np.float32)
        single.predict_one(
            program.ops, program.layout, images.as_bytes, images.as_floats, self._params, values, n_values, scratch,
            out, program.rare,
        )  # fmt: skip
        self._single_memory.append((values, scratch))
        return out
