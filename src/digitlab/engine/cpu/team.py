"""The team: threads that share out the tasks of a batch among themselves, woken once and then found waiting.

Thread 0 opens a *phase* of so many tasks on a board; then every thread, thread 0 too, claims the next one again and
again, until none is left. The phase is over when as many tasks are done as there were. So nobody waits for a thread
that is late: the others do its share, and only a task that it has begun is waited for.

The board is an array of int64 with two numbers that several threads change at once:

- the *ticket*: the phase's number, how many tasks it has, and which is next, in one number, so that nobody can claim a
  task of a phase that is over;
- how many tasks are done.

They are read and changed with the processor's atomic instructions, in an order on which all threads agree.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numpy.typing import NDArray

from digitlab.engine.cpu.compiled import kernel
from digitlab.engine.cpu.threads import submit
from digitlab.engine.cpu.tiles import pointer_to, vector_code

#: Tasks of one phase, at most.
MOST_TASKS = 2**15 - 1

# On cache lines of their own, so that threads do not take them from each other needlessly.
_TICKET, _DONE, _DISMISSED = 0, 16, 32
_ORDER = "seq_cst"
_ROUNDS_BETWEEN_YIELDS = 64

# Between two looks at the board: tell the processor that this thread waits ...
_PAUSES = {"x86_64": "llvm.x86.sse2.pause", "AMD64": "llvm.x86.sse2.pause"}
_PAUSE = _PAUSES.get(platform.machine())
# ... and now and then the operating system, which may have another thread to run here.
_yield: Any = types.ExternalFunction("SwitchToThread" if sys.platform == "win32" else "sched_yield", types.int32())


def new_board() -> NDArray[np.int64]:
    """Return a board on which no phase was opened yet."""
    return np.zeros(48, np.int64)


def dismiss(board: NDArray[np.int64]) -> None:
    """Send the helpers away; no phase may be opened on this board any more."""
    board[_DISMISSED] = 1


@vector_code
def _read(typing_context: Any, board: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(pointer_to(context, builder, board, args[0], args[1]), _ORDER, 8)

    return types.int64(board, types.int64), generate


@vector_code
def _write(typing_context: Any, board: Any, index: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store_atomic(args[2], pointer_to(context, builder, board, args[0], args[1]), _ORDER, 8)
        return context.get_dummy_value()

    return types.none(board, types.int64, types.int64), generate


@vector_code
def _add_one(typing_context: Any, board: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = pointer_to(context, builder, board, args[0], args[1])
        return builder.atomic_rmw("add", pointer, ir.IntType(64)(1), _ORDER)

    return types.int64(board, types.int64), generate


@vector_code
def _exchange(typing_context: Any, board: Any, index: Any, expected: Any, value: Any) -> Any:
    """Write the value if the number there is the expected one; tell whether it was."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = pointer_to(context, builder, board, args[0], args[1])
        return builder.extract_value(builder.cmpxchg(pointer, args[2], args[3], _ORDER, _ORDER), 1)

    return types.boolean(board, types.int64, types.int64, types.int64), generate


@vector_code
def _pause(typing_context: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if _PAUSE is not None:
            function = builder.module.globals.get(_PAUSE)
            if function is None:
                function = ir.Function(builder.module, ir.FunctionType(ir.VoidType(), []), _PAUSE)
            builder.call(function, [])
        return context.get_dummy_value()

    return types.none(), generate


@kernel
def open_phase(board, n_tasks):
    """Open the next phase; only thread 0 does, when the phase before is over."""
    phase = (_read(board, _TICKET) >> 32) + 1
    _write(board, _DONE, 0)
    _write(board, _TICKET, (phase << 32) | (n_tasks << 16))


@kernel
def claim(board):
    """Return a ticket that nobody else has; -1 where there is none at the moment."""
    ticket = _read(board, _TICKET)
    if task_of(ticket) >= (ticket >> 16) & MOST_TASKS or not _exchange(board, _TICKET, ticket, ticket + 1):
        return -1
    return ticket


@kernel
def task_of(ticket):
    """Return the number of the task, from 0."""
    return ticket & 0xFFFF


@kernel
def phase_of(board):
    """Return the number of the phase, from 1."""
    return _read(board, _TICKET) >> 32


@kernel
def finish(board):
    """Say that the claimed task is done."""
    _add_one(board, _DONE)


@kernel
def is_finished(board):
    """Tell whether all tasks of the phase are done."""
    return _read(board, _DONE) == (_read(board, _TICKET) >> 16) & MOST_TASKS


@kernel
def is_dismissed(board):
    """Tell whether helpers are not wanted any more."""
    return _read(board, _DISMISSED) != 0


@kernel
def rest(n_rounds):
    """Wait for a moment; ``n_rounds`` is how often the caller has looked in vain."""
    for _ in range(8):
        _pause()
    if n_rounds % _ROUNDS_BETWEEN_YIELDS == _ROUNDS_BETWEEN_YIELDS - 1:
        _yield()


# Looks in vain after which a thread goes to sleep, some milliseconds: waking it takes longer than Python needs between
# two batches, and whoever steps through a training batch by batch must not find a core busy.
_PATIENCE = 10_000


class Team:
    """The calling thread, number 0, and its helpers: ``n_workers`` in all.

    A helper stays within compiled code from batch to batch for as long as they follow one another quickly. Nobody
    depends on it: where it does not come, the caller does all the work.
    """

    def __init__(self, n_workers: int) -> None:
        self._n_workers = n_workers
        self._helpers: dict[int, Future[None]] = {}
        self._board = new_board()
        self._material: object = None

    def work(self, part: Callable[[int, int, NDArray[np.int64]], None], material: object) -> None:
        """Do one batch: call ``part`` with the number of the thread, its patience and the board.

        ``material`` stands for the arrays that ``part`` works on: where it is another one than before, helpers begin
        anew.
        """
        if material is not self._material:
            # Helpers still hold the arrays of before.
            self.dismiss()
            self._material = material
        for worker in range(1, self._n_workers):
            helper = self._helpers.get(worker)
            if helper is None or helper.done():
                self._helpers[worker] = submit(part, worker, _PATIENCE, self._board)
        part(0, 0, self._board)

    def dismiss(self) -> None:
        """Send the helpers away at once, so that they do not wait on a core that others could use."""
        dismiss(self._board)
        self._helpers, self._board, self._material = {}, new_board(), None
