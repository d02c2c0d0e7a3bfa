"""What is too large, too much or too slow is refused before it costs much, and the next request is answered."""

from __future__ import annotations

import asyncio
import json
import threading
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from digitlab.errors import ConfigError, DataError
from digitlab.reading.predictor import Predictor
from digitlab.serving.accounting import Lines
from digitlab.serving.bodies import photo_of
from digitlab.serving.limits import ServingOptions
from digitlab.serving.server import guarded_api
from digitlab.serving.service import Service
from tests.serving.asking import FORM, JSON, RAW, Client, form, pdf, png

Images = NDArray[np.uint8]


@pytest.fixture(scope="module")
def small() -> Iterator[Service]:
    service = Service(ServingOptions(max_bytes=50_000, max_images=20, max_pages=2, workers=1, queue=2))
    yield service
    service.close()


@pytest.fixture(scope="module")
def tight(small: Service) -> Client:
    return Client(guarded_api(small, Lines(None)))


def test_body_that_says_it_is_too_large_is_not_read(tight: Client) -> None:
    reply = tight.ask("POST", "/api/predict", [], content_type=RAW, content_length="50001")
    assert (reply.status, reply.error["code"]) == (413, "too_large")
    assert reply.headers["connection"] == "close"
    assert tight.ask("POST", "/api/read", [], content_length="9" * 400).status == 413


@pytest.mark.parametrize("path", ["/api/predict", "/api/read"])
def test_body_that_grows_too_large_is_read_no_further(tight: Client, small: Service, path: str) -> None:
    chunks = [bytes(10_000)] * 100
    taken = iter(chunks)
    seen: list[bytes] = []

    def counted() -> Iterator[bytes]:
        for chunk in taken:
            seen.append(chunk)
            yield chunk

    reply = tight.ask("POST", path, counted(), content_type=RAW)
    assert reply.status == 413
    assert small.bodies.n_held == 0


def test_body_that_does_not_arrive_is_not_waited_for(
    tight: Client, small: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small.bodies, "timeout_s", 0.5)
    reply = tight.ask("POST", "/api/predict", [], content_type=RAW)
    assert (reply.status, reply.error["code"]) == (408, "too_slow")
    assert small.bodies.n_held == 0


def test_too_many_bodies_at_once_are_told_to_come_back(
    tight: Client, small: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small.bodies, "n_held", 10**9)
    reply = tight.predict(bytes(784), RAW)
    assert (reply.status, reply.headers["retry-after"]) == (503, "2")


def test_too_many_images_are_refused(tight: Client, digits: Images) -> None:
    many = digits[:21]
    assert tight.predict(many.tobytes(), RAW).status == 422
    assert "20" in tight.predict(many.tobytes(), RAW).error["message"]
    assert tight.predict(json.dumps({"images": [[0] * 784] * 21}, separators=(",", ":")).encode(), JSON).status == 422
    assert tight.predict(form(*[("a.png", png(digits[0]))] * 21), FORM).status == 422
    assert len(tight.predict(digits[:20].tobytes(), RAW).json()) == 20


@pytest.mark.slow
def test_too_many_pages_are_refused(tight: Client) -> None:
    assert len(tight.read(pdf(2), "application/pdf").json()) == 2
    assert "at most 2 pages" in tight.read(pdf(3), "application/pdf").error["message"]


def test_picture_of_too_many_pixels_is_refused(client: Client) -> None:
    bomb = png(np.zeros((8_000, 8_000), np.uint8))
    assert len(bomb) < 100_000
    for reply in (client.predict(bomb, "image/png"), client.read(bomb)):
        assert reply.status == 422
        assert "megapixels" in reply.error["message"]


def test_pictures_wait_in_a_queue_that_ends(
    tight: Client, small: Service, digits: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = threading.Event()
    look = Predictor.look

    def slow(self: Predictor, *arguments: object, **settings: object) -> object:
        free.wait(30)
        return look(self, *arguments, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(Predictor, "look", slow)
    picture = png(np.kron(255 - digits[0], np.ones((4, 4), np.uint8)))

    async def crowd() -> list[int]:
        requests = [
            asyncio.ensure_future(tight.asked("POST", "/api/predict", picture, content_type="image/png"))
            for _ in range(6)
        ]
        done, _ = await asyncio.wait(requests, return_when=asyncio.FIRST_COMPLETED)
        refused = [request.result() for request in done]
        assert all(int(reply.headers["retry-after"]) >= 1 for reply in refused)
        # Images that wait for nothing are still answered.
        reply = await tight.asked("POST", "/api/predict", digits[0].tobytes(), content_type=RAW)
        assert reply.status == 200
        free.set()
        return [reply.status for reply in await asyncio.gather(*requests)]

    tight.predict(bytes(784), RAW)  # loads the network
    assert sorted(asyncio.run(crowd())) == [200, 200, 200, 429, 429, 429]
    assert small.pool.n_waiting == 0


def test_picture_that_takes_too_long_is_given_up_and_its_thread_is_free_again(
    tight: Client, small: Service, digits: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = threading.Event()
    picture = png(np.kron(255 - digits[0], np.ones((4, 4), np.uint8)))

    async def go() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Predictor, "look", lambda *_, **__: free.wait(30))
            patch.setattr(small.pool, "timeout_s", 0.5)
            reply = await tight.asked("POST", "/api/predict", picture, content_type="image/png")
        assert reply.status == 503
        assert int(reply.headers["retry-after"]) >= 1
        assert reply.error["next"]
        assert small.pool.n_waiting == 1
        free.set()
        reply = await tight.asked("POST", "/api/predict", picture, content_type="image/png")
        assert reply.status == 200

    asyncio.run(go())
    assert small.pool.n_waiting == 0


def test_photos_of_those_who_have_gone_are_not_read(
    small: Service, digits: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = threading.Event()
    looked: list[object] = []

    def look(*arguments: object, **_: object) -> None:
        looked.append(arguments)
        free.wait(30)

    monkeypatch.setattr(Predictor, "look", look)
    app = guarded_api(small, Lines(None))
    picture = png(np.kron(255 - digits[0], np.ones((4, 4), np.uint8)))

    async def go() -> None:
        reading = asyncio.ensure_future(Client(app).asked("POST", "/api/predict", picture, content_type="image/png"))
        while not looked:
            await asyncio.sleep(0.01)
        reply = await Client(app).asked("POST", "/api/predict", picture, content_type="image/png", gone="yes")
        assert "closed" in reply.error["message"]
        assert small.pool.n_waiting == 2
        free.set()
        await asyncio.wait([reading])
        while small.pool.n_waiting:
            await asyncio.sleep(0.01)

    asyncio.run(go())
    assert len(looked) == 1


def test_an_error_in_digitlab_is_told_as_one_and_the_next_request_is_answered(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "judged", lambda *_: 1 / 0)
        reply = client.predict(bytes(784), RAW)
    assert (reply.status, reply.error["code"]) == (500, "error")
    assert b"ZeroDivision" not in reply.body
    assert client.predict(bytes(784), RAW).status == 200


@pytest.mark.parametrize(
    "settings", [{"max_bytes": 0}, {"workers": 0}, {"queue": -1}, {"timeout_s": 0}, {"timeout_s": float("nan")}]
)
def test_limits_that_cannot_be_used_are_told(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="--"):
        ServingOptions(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["ab " * 300_000, "data:image/png;" + "ab;" * 300_000 + "base64,AAAA"])
def test_base64_of_many_words_takes_no_object_for_each(text: str) -> None:
    """Bodies of 32 MB became lists of ten million words."""
    body = json.dumps({"image": text}).encode()
    with pytest.raises(DataError, match="no picture"):
        photo_of(b'{"image": "abab"}', "application/json")  # which imports what tells kinds apart
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"no picture|no base64"):
            photo_of(body, "application/json")
        assert tracemalloc.get_traced_memory()[1] < 15 * len(body)
    finally:
        tracemalloc.stop()
