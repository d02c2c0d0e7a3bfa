"""Batching: images of several requests go through the network together while they wait.

Requests hand in images and wait. As soon as the network is free it takes what is there, up to ``_MOST_AT_ONCE`` images,
and answers them in one call; whoever comes meanwhile makes the next batch. Nobody waits for a batch to become full.
A few images are answered on the event loop itself, because waking a thread takes longer than they do; more go to a
thread, and the loop reads the next requests meanwhile. Where a single client sends one image after the other, there is
nobody to share a batch with: as long as every round of the loop brings one request, it is answered in that round.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from digitlab.serving.guard import RefusedError

#: Answers float32 (n, 28, 28) with float32 (n, classes).
Rows = Callable[[NDArray[np.float32]], NDArray[np.float32]]

_MOST_AT_ONCE = 256
# Images that the loop answers itself: with the shipped reader a millisecond and a half.
_MOST_ON_LOOP = 16
# After an answer the event loop looks for the next request again and again for so long, and only then sleeps:
# waking up takes a processor some 30 microseconds, and who has sent one image often sends the next one at once.
_AWAKE_S = 0.0003
# The engine answers images in blocks of so many side by side; up to this many left over are faster one by one.
_BLOCK, _MOST_SINGLE = 16, 6


class Batcher:
    """Gathers images and asks the network, ``rows``.

    At most ``most_waiting`` images may wait; ``n_waiting`` wait or are being answered. ``note`` is told how many every
    batch had.
    """

    def __init__(self, rows: Rows, most_waiting: int, note: Callable[[int], None] = lambda n: None) -> None:
        self._rows, self._most_waiting, self._note = rows, most_waiting, note
        self._queue: deque[tuple[NDArray[np.float32], asyncio.Future[NDArray[np.float32]]]] = deque()
        self._is_busy = self._is_awake = False
        self._awake_until = 0.0
        # Requests in this round of the event loop, and whether the last one that came had a round for itself.
        self._n_in_round, self._was_alone = 0, True
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="digitlab-predicting")
        self.n_waiting = 0

    async def ask(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Answer images, float32 (n, 28, 28), 0-1, whenever it is their turn.

        Raises ``RefusedError`` if too many wait already.
        """
        if self.n_waiting and self.n_waiting + min(len(images), _MOST_AT_ONCE) > self._most_waiting:
            words = f"{self.n_waiting:,} images are waiting already."
            raise RefusedError(429, words, "Try again later.", retry_after_s=1.0)
        if not self._is_awake:
            self._is_awake = True
            asyncio.get_running_loop().call_soon(self._end_round)
        self._n_in_round += 1
        if len(images) == self._n_in_round == 1 and self._was_alone and not self._is_busy:
            # As it was with the one before, nobody else comes along: there is nothing to wait for.
            self._note(1)
            self._awake_until = time.perf_counter() + _AWAKE_S
            return self._rows(images)
        if len(images) <= _MOST_AT_ONCE:
            return await self._queued(images)
        # In pieces, each at the end of the queue: others get their turn in between.
        pieces = range(0, len(images), _MOST_AT_ONCE)
        return np.concatenate([await self._queued(images[k : k + _MOST_AT_ONCE]) for k in pieces])

    def close(self) -> None:
        """End the thread, after what it is doing."""
        self._thread.shutdown(wait=True)

    def _queued(self, images: NDArray[np.float32]) -> asyncio.Future[NDArray[np.float32]]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[NDArray[np.float32]] = loop.create_future()
        self._queue.append((images, answer))
        self.n_waiting += len(images)
        if not self._is_busy:
            self._is_busy = True
            # Not now: who else has a request read by the loop in this round comes along.
            loop.call_soon(self._next)
        return answer

    def _next(self) -> None:
        taken, n = [], 0
        while self._queue and n + len(self._queue[0][0]) <= _MOST_AT_ONCE:
            images, answer = self._queue.popleft()
            if answer.cancelled():
                self.n_waiting -= len(images)
            else:
                taken.append((images, answer))
                n += len(images)
        if not taken:
            self._is_busy = False
            return
        self._note(n)
        loop = asyncio.get_running_loop()
        images = taken[0][0] if len(taken) == 1 else np.concatenate([images for images, _ in taken])
        answers = [(len(images), answer) for images, answer in taken]
        if n <= _MOST_ON_LOOP:
            self._hand_out(answers, *self._answered(images))
            return

        def work() -> None:
            result = self._answered(images)
            loop.call_soon_threadsafe(self._hand_out, answers, *result)

        self._thread.submit(work)

    def _answered(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32] | None, Exception | None]:
        try:
            n = len(images)
            n_blocks = n - n % _BLOCK if 0 < n % _BLOCK <= _MOST_SINGLE else n
            parts = [self._rows(images[:n_blocks])] if n_blocks else []
            parts += [self._rows(images[k : k + 1]) for k in range(n_blocks, n)]
            return (parts[0] if len(parts) == 1 else np.concatenate(parts)), None
        except Exception as error:  # handed to those who wait
            return None, error

    def _hand_out(
        self,
        answers: list[tuple[int, asyncio.Future[NDArray[np.float32]]]],
        rows: NDArray[np.float32] | None,
        error: Exception | None,
    ) -> None:
        start = 0
        for n, answer in answers:
            if not answer.done():
                if rows is None:
                    answer.set_exception(error or RuntimeError("The network gave no answer."))
                else:
                    answer.set_result(rows[start : start + n])
            start += n
        self.n_waiting -= start
        if self._queue:
            asyncio.get_running_loop().call_soon(self._next)
        else:
            self._is_busy = False
            self._awake_until = time.perf_counter() + _AWAKE_S

    def _end_round(self) -> None:
        """Run in every round of the event loop while it is awake."""
        if self._n_in_round:
            self._was_alone = self._n_in_round == 1
            self._n_in_round = 0
        if time.perf_counter() < self._awake_until:
            asyncio.get_running_loop().call_soon(self._end_round)
        else:
            self._is_awake = False
