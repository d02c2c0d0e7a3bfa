"""``POST /api/read``: a photo or document, and the readings of ``digitlab read --json``."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import digitlab as dl
from digitlab.serving.bodies import PATTERN, checked_expectation
from tests.serving.asking import FORM, JSON, RAW, Client, form, pdf, photo, png

Images = NDArray[np.uint8]


def test_reading_is_that_of_the_library(client: Client, digits: Images) -> None:
    content = png(photo(digits[:10]))
    (reading,) = client.read(content).json()
    assert reading == json.loads(json.dumps(dl.read(content).to_dict()))
    assert len(reading["text"].replace(" ", "").replace("\n", "")) >= 8


def test_photo_may_come_in_a_form_or_without_a_name(client: Client, digits: Images) -> None:
    content = png(photo(digits[:5]))
    replies = [client.read(content), client.read(form(("p.png", content)), FORM), client.read(content, RAW)]
    assert [reply.status for reply in replies] == [200] * 3
    assert len({json.dumps(reply.json()) for reply in replies}) == 1


@pytest.mark.slow
def test_document_gives_a_reading_a_page(client: Client) -> None:
    readings = client.read(pdf(3), "application/pdf").json()
    assert [reading["page"] for reading in readings] == [1, 2, 3]


def test_options_are_those_of_the_command(client: Client, digits: Images) -> None:
    content = png(photo(digits[:4], columns=4))
    expected = dl.read(content, options=dl.ReadingOptions(digits=4, min_confidence=0.1)).to_dict()
    (reading,) = client.read(content, query="?digits=4&min_confidence=0.1").json()
    assert reading == json.loads(json.dumps(expected))
    assert client.read(content, query=r"?expect=\d{4}").status == 200


@pytest.mark.parametrize(
    "query",
    ["?digits=0", "?digits=x", "?min_confidence=2", "?min_confidence=nan", "?expect=(a%2B)%2B$", "?expect=",
     "?expect=%5Cd{4}%0A", "?expect=" + "1" * 201, "?expect=(1*)*1"],
)  # fmt: skip
def test_options_that_cannot_be_used_are_refused(client: Client, query: str) -> None:
    reply = client.read(png(np.zeros((40, 40), np.uint8)), query=query)
    assert reply.status == 422
    assert query[1:].partition("=")[0] in reply.error["message"]


@pytest.mark.parametrize("expect", [r"\d{4}", r"20\d\d|\d{6}", "1", r"\d", r"7{12}"])
def test_harmless_expectations_are_taken(expect: str) -> None:
    assert checked_expectation(expect) == expect


@pytest.mark.parametrize("expect", [r"\d+", "(1)", "[0-9]", r"\d{4,}", r"\d{0}", "a", "|", "1|", r"\1", "١"])
def test_other_regular_expressions_are_not(expect: str) -> None:
    with pytest.raises(dl.DigitlabError, match="digitlab read --expect"):
        checked_expectation(expect)
    assert PATTERN.startswith("^")


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"", "image/png"), (b"no photo", "image/png"), (b"%PDF-1.7 broken", "application/pdf"), (b"\xff\xd8\xff", RAW),
     (form(("a.png", b"1"), ("b.png", b"2")), FORM)],
)  # fmt: skip
def test_what_is_no_photo_is_told(client: Client, body: bytes, kind: str) -> None:
    assert client.read(body, kind).error["code"] == "cannot_be_used"


def test_other_kinds_are_refused(client: Client) -> None:
    assert client.read(b"x", "text/plain").status == 415


def test_a_photo_in_json_is_read_as_the_file_is(client: Client, digits: Images) -> None:
    content = png(photo(digits[:5]))
    [reading] = client.read(content).json()
    text = base64.b64encode(content).decode()
    for document in ({"image": text}, {"image": f"data:image/png;base64,{text}"}, {"images": [text]}):
        assert client.read(json.dumps(document).encode(), JSON).json() == [reading]
    for document in ({"image": [[0] * 28] * 28}, {"images": [text, text]}, {"image": None}, {"image": "aGVsbG8="}):
        assert client.read(json.dumps(document).encode(), JSON).error["code"] == "cannot_be_used"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["TIFF", "GIF", "WEBP", "PNG"])
def test_all_pictures_of_a_file_are_pages(client: Client, digits: Images, kind: str) -> None:
    pages = [Image.fromarray(photo(digits[k : k + 1])).convert("RGB") for k in range(3)]
    file = io.BytesIO()
    pages[0].save(file, kind, save_all=True, append_images=pages[1:], lossless=True)
    readings = client.read(file.getvalue(), f"image/{kind.lower()}").json()
    assert [(reading["page"], reading["text"]) for reading in readings] == [(1, "7"), (2, "2"), (3, "1")]
    refused = client.predict(file.getvalue(), f"image/{kind.lower()}")
    assert "several pages" in refused.error["message"]
