"""Images go through the network together while they wait, in turn, and each requester gets its own answers."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from digitlab.serving.batching import Batcher
from digitlab.serving.guard import RefusedError


def marked(*numbers: int) -> NDArray[np.float32]:
    """Return images that are told apart by their pixels."""
    return np.stack([np.full((28, 28), number, np.float32) for number in numbers])


class Network:
    """Answers every image with its number, and remembers how many it was asked at a time."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.free = threading.Event()
        self.free.set()
        self.error: Exception | None = None

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        self.free.wait(30)
        self.sizes.append(len(images))
        if self.error is not None:
            raise self.error
        return images[:, 0, :1].copy()


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def noted() -> list[int]:
    return []


@pytest.fixture
def batcher(network: Network, noted: list[int]) -> Batcher:
    return Batcher(network, 600, noted.append)


def test_requests_of_one_moment_make_one_batch(batcher: Batcher, noted: list[int]) -> None:
    async def go() -> None:
        rows = await asyncio.gather(*(batcher.ask(marked(k, k + 100)) for k in range(30)))
        for k, own in enumerate(rows):
            np.testing.assert_array_equal(own.ravel(), [k, k + 100])

    asyncio.run(go())
    assert noted == [60]
    assert batcher.n_waiting == 0


def test_single_client_is_answered_in_the_round_it_comes_in_and_others_share_batches_as_before(
    batcher: Batcher, noted: list[int]
) -> None:
    async def go() -> None:
        loop = asyncio.get_running_loop()
        for k in range(3):
            rounds: list[int] = []
            loop.call_soon(rounds.append, k)
            assert (await batcher.ask(marked(k))).ravel() == [k]
            assert not rounds  # the loop did nothing in between
            await asyncio.sleep(0)
        # Of those who come together only the first is answered alone, and from then on none.
        for _ in range(2):
            rows = await asyncio.gather(*(batcher.ask(marked(k)) for k in range(5)))
            assert [row.item() for row in rows] == [0, 1, 2, 3, 4]
            await asyncio.sleep(0)

    asyncio.run(go())
    assert noted == [1, 1, 1, 1, 4, 5]


def test_loop_sleeps_again_when_nobody_asks_any_more(batcher: Batcher) -> None:
    async def go() -> None:
        await batcher.ask(marked(1))
        assert batcher._is_awake
        await asyncio.sleep(0.05)
        assert not batcher._is_awake

    asyncio.run(go())


def test_whoever_comes_while_the_network_works_makes_the_next_batch(
    batcher: Batcher, network: Network, noted: list[int]
) -> None:
    async def go() -> None:
        network.free.clear()
        first = asyncio.ensure_future(batcher.ask(marked(*range(20))))
        await asyncio.sleep(0.01)
        others = [asyncio.ensure_future(batcher.ask(marked(k))) for k in range(5)]
        await asyncio.sleep(0.01)
        network.free.set()
        await first
        for k, own in enumerate(await asyncio.gather(*others)):
            assert own.ravel() == [k]

    asyncio.run(go())
    assert noted == [20, 5]


def test_large_request_lets_others_in_between_its_pieces(batcher: Batcher, noted: list[int]) -> None:
    async def go() -> None:
        large = asyncio.ensure_future(batcher.ask(marked(*range(900))))
        await asyncio.sleep(0)
        small = asyncio.ensure_future(batcher.ask(marked(7)))
        await asyncio.wait([large, small], return_when=asyncio.FIRST_COMPLETED)
        assert small.done()
        assert not large.done()
        np.testing.assert_array_equal((await large).ravel(), np.arange(900))

    asyncio.run(go())
    assert sum(noted) == 901
    assert max(noted) <= 256


def test_images_left_over_by_whole_blocks_are_asked_one_by_one(batcher: Batcher, network: Network) -> None:
    np.testing.assert_array_equal(asyncio.run(batcher.ask(marked(*range(18)))).ravel(), np.arange(18))
    assert network.sizes == [16, 1, 1]


def test_too_many_are_refused_and_leave_no_trace(batcher: Batcher, network: Network) -> None:
    async def go() -> None:
        network.free.clear()
        waiting = [asyncio.ensure_future(batcher.ask(marked(*range(200)))) for _ in range(3)]
        await asyncio.sleep(0.01)
        with pytest.raises(RefusedError) as refused:
            await batcher.ask(marked(1))
        assert refused.value.status == 429
        network.free.set()
        await asyncio.gather(*waiting)
        assert len(await batcher.ask(marked(1))) == 1

    asyncio.run(go())
    assert batcher.n_waiting == 0


@pytest.mark.parametrize("n", [1, 40])
def test_error_reaches_everybody_in_the_batch_and_the_next_batch_is_answered(
    batcher: Batcher, network: Network, n: int
) -> None:
    async def go() -> None:
        network.error = ValueError("broken")
        asked = (batcher.ask(marked(k)) for k in range(n))
        assert all(isinstance(one, ValueError) for one in await asyncio.gather(*asked, return_exceptions=True))
        network.error = None
        assert (await batcher.ask(marked(3))).ravel() == [3]

    asyncio.run(go())
    assert batcher.n_waiting == 0


def test_requester_that_has_gone_is_not_answered(batcher: Batcher, network: Network) -> None:
    async def go() -> None:
        network.free.clear()
        first = asyncio.ensure_future(batcher.ask(marked(*range(20))))
        await asyncio.sleep(0.01)
        gone = asyncio.ensure_future(batcher.ask(marked(1)))
        await asyncio.sleep(0.01)
        gone.cancel()
        network.free.set()
        await first
        assert (await batcher.ask(marked(2))).ravel() == [2]

    asyncio.run(go())
    assert sum(network.sizes) == 21
    assert batcher.n_waiting == 0
