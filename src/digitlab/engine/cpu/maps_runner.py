"""The runner of networks that answer with maps: pages of any size one at a time, every core on the same page."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.engine.cpu import maps, maps_training
from digitlab.engine.cpu.blocks import aligned, scratch_room
from digitlab.engine.cpu.finder_loss import n_room
from digitlab.engine.cpu.maps_program import MapsNetwork, MapsPlan, build_maps_network, plan_page, plan_training
from digitlab.engine.cpu.runner import Runner
from digitlab.engine.cpu.team import dismiss, new_board
from digitlab.engine.cpu.threads import submit
from digitlab.engine.cpu.tiles import LANES
from digitlab.engine.crops import N_MAPS, Crops
from digitlab.engine.optimizers import OptimizerStep
from digitlab.errors import NetworkError
from digitlab.network.architecture import Architecture

# Gradients are summed in this many slots, whatever the number of threads: it bounds the threads that can help.
_MOST_SLOTS = 8

# Multiply-adds of a page below which waking a thread, some 50 microseconds, is not worth it.
_WORTH_HELP = 20_000_000
_NO_BYTES, _NO_FLOATS = np.empty((0, 0), np.uint8), np.empty((0, 0), np.float32)
_NO_WINNERS = np.empty(1, np.uint8)


@dataclass(frozen=True)
class FinderLosses:
    """The finder's loss on some crops, in parts.

    Attributes
    ----------
    centers, classes, places : float
        Focal loss of the heat maps; cross-entropy at the marks, in nats, without label smoothing; smooth absolute
        errors of place and size. Each divided by the number of marks.
    n_right, n_marks : int
        Marks whose largest logit was the right one, and all.
    """

    centers: float
    classes: float
    places: float
    n_right: int
    n_marks: int

    @property
    def total(self) -> float:
        """What is made small: the sum of the parts."""
        return self.centers + self.classes + self.places


class _PageMemory:
    """What all threads write to while they answer a page."""

    def __init__(self, n_scratch: int, n_threads: int) -> None:
        self.values = aligned(0)
        self.scratch = [aligned(n_scratch) for _ in range(n_threads)]


class _Memory:
    """What one thread writes to while it learns from crops."""

    def __init__(self, network: MapsNetwork, plan: MapsPlan) -> None:
        self.values = aligned(plan.n_values)
        self.lifted_sums = aligned(network.n_lifted_sums)
        self.scratch = aligned(network.n_scratch)
        self.spare = scratch_room()
        self.winners = np.zeros(plan.n_winners + LANES, np.uint8)
        self.room = np.zeros(n_room(*plan.out_shape[:2]), np.float32)


class MapsRunner(Runner):
    """Runs one fully convolutional network, with 2 x 2 max-poolings, on the processor's cores."""

    def __init__(self, architecture: Architecture, n_threads: int | None = None) -> None:
        self.network = build_maps_network(architecture)
        super().__init__(architecture, n_threads, self.network.n_parameters)
        self._packed = aligned(self.network.n_packed)
        self._flipped = aligned(self.network.n_flipped)
        self._lifted = aligned(self.network.n_lifted)
        self._page_memory: list[_PageMemory] = []
        self._plan: tuple[tuple[int, int], MapsPlan] | None = None
        self._crop_plan: tuple[tuple[int, ...], MapsPlan, list[_Memory]] | None = None
        self._make_room(0)

    def _spread_parameters(self) -> None:
        network = self.network
        self._packed[network.places] = self._params
        turned = network.flipped_places >= 0
        self._flipped[network.flipped_places[turned]] = self._params[turned]
        maps_training.lift_now(network.ops, self._packed, self._flipped, self._lifted)

    def predict(self, page: NDArray[Any]) -> NDArray[np.float32]:
        """Return the maps, float32 (height, width, maps), of a page, uint8 or float32 (height, width, channels).

        The poolings leave so much of height and width; memory besides is bounded whatever the page's size.
        """
        height, width = page.shape[:2]
        plan = self._planned(height, width)
        rows = np.ascontiguousarray(page).reshape(height, -1)
        if not rows.flags.writeable:
            rows = rows.copy()  # Numba would compile the kernel once more for arrays that are read-only
        is_bytes = rows.dtype == np.uint8
        bytes_ = rows if is_bytes else _NO_BYTES
        floats = _NO_FLOATS if is_bytes else rows.astype(np.float32, copy=False)
        # Taken and given back, because a server answers in several threads at once; pop and append are atomic.
        try:
            memory = self._page_memory.pop()
        except IndexError:
            memory = _PageMemory(self.network.n_scratch, self.n_threads)
        if len(memory.values) < plan.n_values:
            memory.values = aligned(plan.n_values)
        out = np.empty(plan.out_shape, np.float32)

        def part(worker: int, board: NDArray[np.int64]) -> None:
            maps.answer_page(
                worker, board, plan.ops, plan.bases, plan.ends, bytes_, floats, self._packed, self._lifted,
                memory.values, _NO_WINNERS, memory.scratch[worker], out,
            )  # fmt: skip

        ops = plan.ops
        taps = ops["kernel_height"] * ops["kernel_width"] * ops["channels"] * ops["filters"]
        multiply_adds = int((taps * ops["height"] * ops["width"]).sum())
        work_together(part, self.n_threads if multiply_adds > _WORTH_HELP else 1)
        self._page_memory.append(memory)
        return out

    def start_training(self) -> None:
        """Make room for learning and forget the optimizer's moments; NetworkError if the maps are not the finder's."""
        check_finder(self.architecture, self.network)
        self._make_room(self.network.n_parameters)
        self.remember()

    def _make_room(self, n_parameters: int) -> None:
        self._make_learning_room(n_parameters)
        self._sums = aligned(_MOST_SLOTS * self.network.n_packed if n_parameters else 0).reshape(_MOST_SLOTS, -1)
        self._faults, self._squares = np.zeros(maps_training.N_PARTS, np.int64), np.zeros(maps_training.N_PARTS)

    def train_batch(
        self,
        crops: Crops,
        chosen: NDArray[np.int64],
        step: OptimizerStep,
        label_smoothing: float = 0.0,
        clip_norm: float = 0.0,
    ) -> FinderLosses:
        """Learn from one batch, the ``chosen`` crops, int64, at least one; return the losses before the step.

        Part ``label_smoothing``, 0-1, of the truth is spread over all classes; the gradients follow it, the loss does
        not. Gradients whose norm over all weights is longer than ``clip_norm`` are shortened to it (Pascanu, Mikolov
        and Bengio 2013); 0 for never.
        """
        self._n_batches += 1
        return self._work(crops, chosen, step, label_smoothing, clip_norm)

    def losses(self, crops: Crops) -> FinderLosses:
        """Return the losses on crops without learning from them."""
        check_finder(self.architecture, self.network)
        return self._work(crops, np.arange(len(crops)), None, 0.0, 0.0)

    def _work(
        self,
        crops: Crops,
        chosen: NDArray[np.int64],
        step: OptimizerStep | None,
        label_smoothing: float,
        clip_norm: float,
    ) -> FinderLosses:
        _, height, width, _ = crops.images.shape
        n_slots = min(_MOST_SLOTS, len(chosen))
        plan, memory = self._planned_crops(height, width, min(self.n_threads, n_slots))
        # Writable and contiguous, whatever was passed in: Numba would compile the kernel once more.
        images = _plain(crops.images, np.float32).reshape(len(crops), height, width)
        boxes, labels = _plain(crops.boxes, np.float32), _plain(crops.labels, np.int64)
        starts, order = _plain(crops.starts, np.int64), _plain(chosen, np.int64)
        rule, rate, settings = (0, 0.0, (0.0,) * 4) if step is None else (step.rule, step.rate, step.settings)
        counts = np.array([n_slots, step is not None, rule, self._n_batches % 2], np.int64)
        rates = np.array([rate, *settings, label_smoothing], np.float32)
        losses, rights, n_marks = np.zeros((len(order), 3)), np.zeros(len(order), np.int64), np.zeros(1, np.int64)
        network = self.network

        def part(worker: int, board: NDArray[np.int64]) -> None:
            own = memory[worker]
            maps_training.take_part(
                worker, board, plan.ops, images, boxes, labels, starts, order, counts, rates, float(clip_norm),
                network.places, network.flipped_places, self._params, self._older, self._packed, self._flipped,
                self._lifted, own.values, own.winners, own.room, own.scratch, own.spare, self._sums, own.lifted_sums,
                losses, rights, n_marks, self._gradients, self._squares, self.first_moment, self.second_moment,
                self._faults, _NO_BYTES,
            )  # fmt: skip

        work_together(part, len(memory))
        if step is not None:
            self.is_finite = not self._faults.any()
        centers, classes, places = (float(one) for one in losses.sum(axis=0))
        return FinderLosses(centers, classes, places, int(rights.sum()), int(n_marks[0]))

    def _planned_crops(self, height: int, width: int, n_workers: int) -> tuple[MapsPlan, list[_Memory]]:
        """The plan for crops of this size, with memory for so many threads; the last one is kept."""
        kept, wanted = self._crop_plan, (height, width, n_workers)
        if kept is None or kept[0] != wanted:
            plan = plan_training(self.network, height, width)
            kept = self._crop_plan = wanted, plan, [_Memory(self.network, plan) for _ in range(n_workers)]
        return kept[1:]

    def _planned(self, height: int, width: int) -> MapsPlan:
        """The plan for pages of this size; the last one is kept."""
        kept = self._plan
        if kept is None or kept[0] != (height, width):
            kept = self._plan = (height, width), plan_page(self.network, height, width)
        return kept[1]


def check_finder(architecture: Architecture, network: MapsNetwork) -> None:
    """NetworkError if a network's maps are not the finder's."""
    if network.n_maps != N_MAPS or network.n_channels != 1:
        raise NetworkError(
            f"The finder's loss needs {N_MAPS} maps of grey images; {architecture.name} answers with "
            f"{network.n_maps} maps. Give its last Conv2D {N_MAPS} filters and it input_shape=(None, None, 1)."
        )


def _plain(array: NDArray[Any], dtype: type) -> NDArray[Any]:
    plain: NDArray[Any] = np.ascontiguousarray(array, dtype)
    return plain if plain.flags.writeable else plain.copy()


def work_together(part: Callable[[int, NDArray[np.int64]], None], n_workers: int) -> None:
    """Call ``part(worker, board)`` in so many threads, this one as worker 0; return when it is done.

    Nobody depends on the others: where one does not come, this thread does all the work.
    """
    board = new_board()
    others: list[Future[None]] = [submit(part, worker, board) for worker in range(1, n_workers)]
    try:
        part(0, board)
    finally:
        dismiss(board)
        # Nobody may look at this memory any more when it is given back.
        for other in others:
            # One that never began is not waited for: its thread is busy elsewhere, or did not survive a fork.
            if not other.cancel():
                other.result()
