"""``POST /api/predict``: however images are sent, the answers are those of ``digitlab predict --json``."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from digitlab.cli.app import main
from digitlab.network import Checkpoint, architecture, save_checkpoint
from digitlab.serving import bodies
from digitlab.serving.accounting import Lines
from digitlab.serving.bodies import asked_of
from digitlab.serving.server import guarded_api
from digitlab.serving.service import Service
from tests.serving.asking import BOUNDARY, FORM, JSON, RAW, Client, Reply, form, png

Images = NDArray[np.uint8]


def test_every_way_to_send_images_gives_the_same_answers(client: Client, digits: Images) -> None:
    few = digits[:3]
    files = [(f"{k}.png", png(image)) for k, image in enumerate(few)]
    ways = [
        client.predict(few.tobytes(), RAW),
        client.predict(form(*files), FORM),
        client.predict(json.dumps({"images": few.tolist()}).encode(), JSON),
        client.predict(json.dumps({"images": few.reshape(3, 784).tolist()}).encode(), JSON),
        client.predict(json.dumps({"images": (few / 255).tolist()}).encode(), JSON),
    ]
    assert [way.status for way in ways] == [200] * 5
    rows = np.array([[answer["probabilities"] for answer in way.json()] for way in ways])
    np.testing.assert_allclose(rows, np.broadcast_to(rows[0], rows.shape), atol=1e-6)
    assert [answer["source"] for answer in ways[0].json()] == ["image#0", "image#1", "image#2"]
    assert [answer["source"] for answer in ways[1].json()] == ["0.png", "1.png", "2.png"]


def test_answers_are_those_of_the_command(
    client: Client, digits: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    framed, drawn = tmp_path / "framed.png", tmp_path / "drawn.png"
    framed.write_bytes(png(digits[0]))
    drawn.write_bytes(png(np.kron(255 - digits[1], np.ones((5, 5), np.uint8))))
    assert main(["predict", str(framed), str(drawn), "--json"]) == 0
    command = json.loads(capsys.readouterr().out)
    api = client.predict(form(("framed.png", framed.read_bytes()), ("drawn.png", drawn.read_bytes())), FORM).json()
    for ours, theirs in zip(api, command, strict=True):
        assert set(ours) == set(theirs)
        assert ours["label"] == theirs["label"]
        np.testing.assert_allclose(ours["probabilities"], theirs["probabilities"], atol=1e-6)


def test_answers_are_right(client: Client, digits: Images, labels: NDArray[np.int64]) -> None:
    answers = client.predict(digits.tobytes(), RAW).json()
    right = sum(answer["label"] == label for answer, label in zip(answers, labels, strict=True))
    assert right >= 95
    for answer in answers:
        assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-5)
        assert 0 <= answer["not_a_digit"] <= 1


def test_no_digit_is_an_answer(client: Client) -> None:
    (answer,) = client.predict(bytes(784), RAW).json()
    assert answer["label"] is None
    assert answer["not_a_digit"] == pytest.approx(answer["confidence"])


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_image_as_the_whole_body(client: Client, digits: Images, format: str) -> None:
    (answer,) = client.predict(png(digits[0], format), f"image/{format.lower()}").json()
    assert answer["label"] == 7


def test_images_with_dark_ink_are_turned_round_when_told_so(client: Client, digits: Images) -> None:
    dark = (255 - digits[:2]).tobytes()
    assert [answer["label"] for answer in client.predict(dark, RAW, "?invert=true").json()] == [7, 2]
    assert client.predict(dark, RAW, "?invert=maybe").status == 422


def test_requests_that_come_together_are_answered_together_and_each_gets_its_own(
    client: Client, digits: Images, labels: NDArray[np.int64]
) -> None:
    alone = [client.predict(image.tobytes(), RAW).json()[0]["label"] for image in digits[:40]]

    async def together() -> list[int]:
        tasks = [client.asked("POST", "/api/predict", image.tobytes(), content_type=RAW) for image in digits[:40]]
        return [reply.json()[0]["label"] for reply in await asyncio.gather(*tasks)]

    before = batches(client)
    assert asyncio.run(together()) == alone
    assert batches(client) - before < 10


def batches(client: Client) -> float:
    lines = client.ask("GET", "/metrics").body.decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("digitlab_batch_images_count"))


IMAGE = [[0] * 28] * 28


@pytest.mark.parametrize(
    ("body", "kind", "word"),
    [
        (b"", RAW, "784"),
        (b"x" * 783, RAW, "784"),
        (b"", JSON, "JSON"),
        (b"[]", JSON, '"images"'),
        (b"{", JSON, "JSON"),
        (b'{"images": []}', JSON, '"images"'),
        (b'{"images": [[1, 2]]}', JSON, "28 rows"),
        (json.dumps({"images": [IMAGE, IMAGE[:-1]]}).encode(), JSON, "28 rows"),
        (json.dumps({"images": [[["1"] * 28] * 28]}).encode(), JSON, "28 rows"),
        (json.dumps({"images": [[[None] * 28] * 28]}).encode(), JSON, "28 rows"),
        (json.dumps({"images": [[[True] * 28] * 28]}).encode(), JSON, "true"),
        (json.dumps({"images": [[[256] * 28] * 28]}).encode(), JSON, "255"),
        (json.dumps({"images": [[[-1] * 28] * 28]}).encode(), JSON, "255"),
        (json.dumps({"images": [[[10**30] * 28] * 28]}).encode(), JSON, "255"),
        (b'{"images": [[[1e999]]]}', JSON, "J"),
        (b'{"images": [[[NaN]]]}', JSON, "JSON"),
        (json.dumps({"images": [IMAGE], "model": "x"}).encode(), JSON, '"images"'),
        (b'{"images": ' + b"[" * 500_000, JSON, "images"),
        (b'{"images": ' + b"{" * 9, JSON, "images"),
        (b"GIF89a", "image/png", "Save it as PNG"),
        (b"<svg/>", "image/svg+xml", "SVG"),
        (b"%PDF-1.7", "image/png", "/api/read"),
        (b"\x89PNG\r\n\x1a\n", "image/png", "image"),
        (b"", FORM, "form"),
        (form(("a.png", b"no image")), FORM, "a.png"),
        (form(("a.png", b"x"))[:-9], FORM, "ends before"),
        (f"--{BOUNDARY}--\r\n".encode(), FORM, "no file"),
        (b"x", "multipart/form-data", "boundary"),
        (form(("a.png", b"x")).replace(b'name="file"; filename="a.png"', b'name="digits"'), FORM, "no file"),
        (form(("a.png", b"x")).replace(b"form-data", b"x" * 9_000), FORM, "header"),
    ],
)
def test_what_cannot_be_used_is_told_in_a_sentence(client: Client, body: bytes, kind: str, word: str) -> None:
    reply = client.predict(body, kind)
    assert reply.status == 422
    assert word in reply.error["message"]
    assert reply.error["code"] == "cannot_be_used"


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "video/mp4", "\x7f" * 300])
def test_other_kinds_of_bodies_are_refused_with_what_to_send(client: Client, kind: str) -> None:
    reply = client.predict(b"x", kind)
    assert reply.status == 415
    assert "curl" in reply.error["next"]
    assert "canvas.toDataURL()" in reply.error["next"]


def test_names_of_files_lose_their_folders_and_what_is_too_long(client: Client, digits: Images) -> None:
    for name, shown in (("../../etc/7.png", "7.png"), ("C:\\a\\7.png", "7.png"), ("é" * 300, "é" * 200), ("", "image")):
        (answer,) = client.predict(form((name, png(digits[0]))), FORM).json()
        assert answer["source"] == shown


@settings(max_examples=60, deadline=None)
@given(
    body=st.binary(max_size=2_000),
    kind=st.sampled_from([RAW, JSON, FORM, "image/png", "image/jpeg", "multipart/form-data; boundary=a"]),
    start=st.sampled_from(
        [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b'{"images": ', f"--{BOUNDARY}\r\n".encode()]
    ),
)
def test_whatever_is_sent_is_answered_or_refused(client: Client, body: bytes, kind: str, start: bytes) -> None:
    reply = client.predict(start + body, kind)
    assert reply.status in (200, 422)
    if reply.status == 422:
        assert reply.error


@pytest.mark.slow
def test_a_model_whose_answers_are_no_numbers_is_told_to_who_asks_it(digits: Images, tmp_path: Path) -> None:
    network = architecture("dense_baseline")
    weights = tuple(np.full(shape, 3.4e38, np.float32) for shape in network.weight_shapes)
    save_checkpoint(tmp_path / "max.safetensors", Checkpoint(network, weights))
    service = Service(model=str(tmp_path / "max.safetensors"))
    try:
        client = Client(guarded_api(service, Lines(None)))
        for reply in (
            client.predict(digits[:1].tobytes(), RAW),
            client.predict(digits[:20].tobytes(), RAW),
            client.predict(form(("a.png", png(digits[0]))), FORM),
            client.read(png(np.kron(255 - digits[0], np.ones((4, 4), np.uint8)))),
        ):
            assert reply.status == 422
            assert "answers with what is no number" in reply.error["message"]
    finally:
        service.close()


@pytest.mark.parametrize("dtype", ["<f4", "<f8"])
def test_raw_bytes_of_floats_are_refused_with_what_to_send(client: Client, digits: Images, dtype: str) -> None:
    for scaled in (digits[:1] / 255, (digits[:3] / 255 - 0.1307) / 0.3081, digits[:1] * 1.0):
        reply = client.predict(scaled.astype(dtype).tobytes(), RAW)
        assert reply.status == 422
        assert f"{len(scaled)} image" in reply.error["message"]
        assert "raw images are bytes, uint8" in reply.error["message"]


@pytest.mark.parametrize("dtype", ["<i8", "<i4", "<i2", "<u2"])
def test_raw_bytes_of_wider_integers_are_refused_with_what_to_send(client: Client, digits: Images, dtype: str) -> None:
    reply = client.predict(digits[:2].astype(dtype).tobytes(), RAW)
    assert reply.status == 422
    assert "2 images; raw images are bytes, uint8" in reply.error["message"]


def test_floats_of_which_a_resize_has_left_next_to_nothing_are_refused(client: Client, digits: Images) -> None:
    scaled = (digits[:1] / 255).astype("<f4")
    scaled[0, 0, :2] = 1e-12
    assert client.predict(scaled.tobytes(), RAW).status == 422


def test_a_picture_that_is_called_bytes_is_read_as_the_picture_that_it_is(client: Client, digits: Images) -> None:
    file = io.BytesIO()
    Image.fromarray(255 - digits[0]).resize((112, 112)).save(file, "PNG")
    content = file.getvalue() + bytes(-len(file.getvalue()) % 784)
    assert [answer["label"] for answer in client.predict(content, RAW).json()] == [7]


def test_images_of_bytes_are_not_taken_for_floats(digits: Images) -> None:
    for n in (2, 4, 8):
        for k in range(0, len(digits) - n, n):
            assert asked_of(digits[k : k + n].tobytes(), RAW, n).given is not None
    assert asked_of(bytes(4 * 784), RAW, 4).given is not None


@pytest.mark.parametrize(
    "images",
    [
        ["a" * 100_000] + [""] * 10_000,  # as NumPy would have it: 10,000 texts of 100,000 letters, 4 GB
        [["a" * 10_000] * 28] * 28,
        [[["a" * 1_000] * 28] * 28],
        [[[0] * 28] * 28, "a" * 5_000_000],
        [[0] * 784, [[0] * 28] * 28],
        [[[0] * 784] * 28],
        [[[[0, 0]] * 28] * 28],
        [[0] * 783 + [[0] * 9]],
        [{}],
        [None] * 9_999,
    ],
)
def test_json_is_checked_before_arrays_are_made_of_it(
    client: Client, monkeypatch: pytest.MonkeyPatch, images: list[object]
) -> None:
    made: list[object] = []
    asarray = np.asarray

    def counted(values: object, *arguments: object, **settings: object) -> NDArray[np.generic]:
        array = asarray(values, *arguments, **settings)  # type: ignore[call-overload]
        made.append(array.nbytes)
        return array

    monkeypatch.setattr(bodies.np, "asarray", counted)
    reply = client.predict(json.dumps({"images": images}).encode(), JSON)
    assert reply.status == 422
    assert "28" in reply.error["message"] or "images" in reply.error["message"]
    assert sum(made) < 20_000  # type: ignore[call-overload]


def test_json_of_many_names_is_refused_before_it_is_read(client: Client) -> None:
    many = {f"n{k}": k for k in range(5_000)}
    assert client.predict(json.dumps({"images": [IMAGE], **many}).encode(), JSON).status == 422


def test_large_bodies_are_taken_apart_off_the_event_loop(
    client: Client, digits: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: list[int] = []
    loads = orjson.loads
    monkeypatch.setattr(bodies.orjson, "loads", lambda body: where.append(threading.get_ident()) or loads(body))
    for n, is_on_loop in ((1, True), (100, False)):
        body = json.dumps({"images": digits[:n].tolist()}).encode()
        assert len(client.predict(body, JSON).json()) == n
        assert (where.pop() == threading.get_ident()) is is_on_loop


# ---- what programs in a browser send ----


def in_json(client: Client, **named: object) -> Reply:
    return client.predict(json.dumps(named).encode(), JSON)


def drawn(digit: Images, *, pen: int, ground: int | None, side: int = 140) -> Image.Image:
    """Return a canvas on which a digit was drawn, on a ground or on nothing."""
    ink = np.asarray(Image.fromarray(digit).resize((side // 2, side // 2)))
    canvas = np.zeros((side, side, 4), np.uint8)
    canvas[..., :3] = pen
    canvas[side // 4 :, side // 3 :, 3][: side // 2, : side // 2] = ink
    picture = Image.fromarray(canvas)
    if ground is None:
        return picture
    under = Image.new("RGBA", picture.size, (ground, ground, ground, 255))
    under.alpha_composite(picture)
    return under


def data_url(picture: Image.Image, kind: str = "png") -> str:
    file = io.BytesIO()
    picture.save(file, kind)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


@pytest.mark.parametrize(("pen", "ground"), [(0, None), (255, None), (0, 255), (255, 0), (90, None)])
@pytest.mark.parametrize("side", [28, 140, 600])
def test_what_a_canvas_gives_is_answered(
    client: Client, digits: Images, pen: int, ground: int | None, side: int
) -> None:
    url = data_url(drawn(digits[0], pen=pen, ground=ground, side=side))
    (answer,) = in_json(client, image=url).json()
    assert answer["source"] == "image"
    assert answer["label"] == 7 or side == 28


def test_pictures_in_base64_are_answered_as_files_are(client: Client, digits: Images) -> None:
    pictures = [drawn(digit, pen=0, ground=255) for digit in digits[:3]]
    urls = [data_url(picture) for picture in pictures]
    files = [(f"{k}.png", base64.b64decode(url.partition(",")[2])) for k, url in enumerate(urls)]
    labels = [answer["label"] for answer in client.predict(form(*files), FORM).json()]
    assert labels == [7, 2, 1]
    bare = [url.partition(",")[2] for url in urls]
    lines = [base64.encodebytes(base64.b64decode(text)).decode() for text in bare]
    for_addresses = [text.replace("+", "-").replace("/", "_").rstrip("=") for text in bare]
    for texts in (urls, bare, lines, for_addresses):
        for name in ("images", "instances"):
            answers = in_json(client, **{name: texts}).json()
            assert [answer["label"] for answer in answers] == labels
            assert [answer["source"] for answer in answers] == ["image#0", "image#1", "image#2"]
    (answer,) = in_json(client, image=data_url(pictures[0].convert("RGB"), "jpeg")).json()
    assert answer["label"] == 7


def test_numbers_of_every_usual_shape_give_the_same_answers(client: Client, digits: Images) -> None:
    few = digits[:3]
    rows = client.predict(few.tobytes(), RAW).json()
    for array in (few, few[..., None], few[:, None], few.reshape(3, 784), few.reshape(3, 784, 1), few / 255):
        for name in ("images", "instances"):
            answers = in_json(client, **{name: array.tolist()}).json()
            assert [answer["label"] for answer in answers] == [answer["label"] for answer in rows]
    for one in (few[0], few[:1], few[0, ..., None], few[0].ravel(), few[0].reshape(1, 784), few[:1, ..., None] / 255):
        for name in ("image", "images"):
            (answer,) = in_json(client, **{name: one.tolist()}).json()
            assert (answer["label"], answer["source"]) == (7, "image")


def test_there_may_be_as_many_images_as_an_image_has_numbers_or_rows(client: Client, digits: Images) -> None:
    assert len(in_json(client, images=digits[:28].tolist()).json()) == 28
    many = np.repeat(digits[:1], 784, 0)
    assert len(in_json(client, images=many.reshape(784, 784).tolist()).json()) == 784


PNG = data_url(Image.new("RGB", (40, 40), "white"))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"image": "data:,"}, "width and a height"),
        ({"image": "data:image/png;base64,"}, "width and a height"),
        ({"image": "data:image/png;base64,@@@@"}, "no base64"),
        ({"image": PNG[:-7]}, "no base64"),
        ({"image": PNG.replace(";base64", "")}, "toDataURL"),
        ({"image": "data:text/plain;base64,aGVsbG8="}, "text/plain, which is no picture"),
        ({"image": "data:image/svg+xml;base64,PHN2Zy8+"}, "SVG"),
        ({"image": "aGVsbG8="}, "no picture"),
        ({"image": ""}, "no base64"),
        ({"image": "é"}, "no base64"),
        ({"image": "https://example.org/five.png"}, "address"),
        ({"image": "blob:https://example.org/123"}, "address"),
        ({"image": [PNG, PNG], "x": 1}, "one name"),
        ({"images": [PNG, [[0] * 28] * 28]}, "28 rows"),
        ({"images": [PNG, 0]}, "28 rows"),
        ({"image": {str(k): 0 for k in range(784)}}, "toDataURL"),
        ({"instances": [{"b64": PNG}]}, "no object"),
        ({"image": [0, 0, 0, 255] * 784}, "colors"),
        ({"image": [[[255, 255, 255]] * 28] * 28}, "colors"),
        ({"image": [[[0] * 28] * 28] * 2}, '"images"'),
        ({"picture": PNG}, "one name"),
        ({"image": None}, "one name"),
        ({"image": [[-0.42] * 28] * 28}, "before"),
        ({"image": [[2.8] * 28] * 28}, "2.8"),
        ({"images": [[[255] * 28] * 28, [[1] * 28] * 28]}, "some to 1"),
    ],
)
def test_what_programs_get_wrong_is_told_with_what_to_send(
    client: Client, document: dict[str, object], words: str
) -> None:
    reply = client.predict(json.dumps(document).encode(), JSON)
    assert reply.status == 422
    assert words in reply.error["message"]


def test_a_body_of_texts_is_bounded_before_it_is_read(client: Client) -> None:
    for document in (["a,"] * 30_000, [""] * 10_001, "x" * 100):
        assert in_json(client, images=document).status == 422


def test_nesting_without_end_is_refused(client: Client) -> None:
    for depth in (900, 2_000, 100_000):
        assert client.predict(b'{"images": ' + b"[" * depth + b"0" + b"]" * depth + b"}", JSON).status == 422
    assert client.predict(b'{"images": ["x", ' + b"[" * 900 + b"0" + b"]" * 900 + b"]}", JSON).status == 422
