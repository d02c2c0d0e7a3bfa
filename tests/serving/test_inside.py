"""One image's way through the network over HTTP: what Python says, bounded, and told where it cannot be done."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

import digitlab as dl
from digitlab.explanation.attribution import METHODS
from digitlab.serving import service as serving
from digitlab.serving.accounting import Lines
from digitlab.serving.server import guarded_api
from digitlab.serving.service import Service
from tests.serving.asking import JSON, Client


@pytest.fixture(scope="module")
def model() -> dl.Sequential:
    return dl.codelab_cnn(seed=3)


@pytest.fixture(scope="module")
def asking(model: dl.Sequential, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    path = tmp_path_factory.mktemp("inside") / "model.safetensors"
    model.save(path)
    service = Service(model=str(path))
    yield Client(guarded_api(service, Lines(None)))
    service.close()


@pytest.fixture(scope="module")
def image() -> Any:
    return dl.MnistData.load().test.images[4]


def ask(asking: Client, image: Any, query: str = "") -> Any:
    body = json.dumps({"image": np.asarray(image).tolist()}).encode()
    return asking.ask("POST", f"/api/inside{query}", body, content_type=JSON)


def test_every_layer_is_what_python_sees(asking: Client, model: dl.Sequential, image: Any) -> None:
    told, inside = ask(asking, image).json(), dl.look_inside(model, image)
    assert [layer["name"] for layer in told["layers"]] == [layer.layer.name for layer in inside.layers]
    for layer, own in zip(told["layers"], inside.layers, strict=True):
        np.testing.assert_allclose(layer["outputs"], own.outputs, atol=1e-6)
    assert (told["label"], told["arithmetic"], told["attribution"]) == (inside.label, None, None)


def test_the_arithmetic_of_one_number_adds_up(asking: Client, model: dl.Sequential, image: Any) -> None:
    for layer, unit in (("conv2d_1", (3, 4, 5)), ("max_pooling2d", (5, 5, 0)), ("dense", (4,))):
        told = ask(asking, image, f"?layer={layer}&unit={','.join(map(str, unit))}").json()["arithmetic"]
        why = dl.look_inside(model, image).why(layer, *unit)
        assert (told["unit"], told["n_terms"], told["formula"]) == (list(unit), why.n_terms, why.formula)
        assert told["bias"] + sum(term["product"] for term in told["terms"]) == pytest.approx(told["total"], abs=1e-9)
        assert told["output"] == pytest.approx(why.output, abs=1e-6)


def test_a_layer_alone_means_its_largest_number_and_a_unit_alone_the_answer(
    asking: Client, model: dl.Sequential, image: Any
) -> None:
    outputs = dl.look_inside(model, image).layer("conv2d").outputs
    told = ask(asking, image, "?layer=conv2d").json()["arithmetic"]
    assert told["unit"] == [int(place) for place in np.unravel_index(outputs.argmax(), outputs.shape)]
    told = ask(asking, image, "?unit=4").json()["arithmetic"]
    assert (told["layer"], told["unit"]) == ("dense", [4])


def test_a_picture_without_ink_is_black(asking: Client) -> None:
    file = io.BytesIO()
    Image.new("L", (90, 90), 255).save(file, "PNG")
    told = asking.ask("POST", "/api/inside", file.getvalue(), content_type="image/png").json()
    assert not np.any(told["image"])


def test_what_speaks_for_the_answer_is_told_by_every_method(asking: Client, model: dl.Sequential, image: Any) -> None:
    for method in METHODS:
        told = ask(asking, image, f"?why={method}").json()["attribution"]
        found = dl.attribute(model, image, method=method)
        assert (told["method"], told["label"], told["tells"]) == (method, found.label, found.tells)
        np.testing.assert_allclose(told["values"], found.values, atol=1e-4)


def test_a_picture_of_another_size_is_framed_first(asking: Client, image: Any) -> None:
    sheet = np.full((200, 300), 255, np.uint8)
    sheet[60:144, 90:174] -= np.asarray(Image.fromarray(image).resize((84, 84)))
    file = io.BytesIO()
    Image.fromarray(sheet).save(file, "PNG")
    told = asking.ask("POST", "/api/inside", file.getvalue(), content_type="image/png").json()
    seen = np.array(told["image"])[..., 0]
    assert seen.shape == (28, 28)
    assert np.corrcoef(seen.ravel(), image.ravel())[0, 1] > 0.8


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?unit=1,2,3", "place 0 to 9"),
        ("?layer=conv&unit=1,1,1", "conv2d"),
        ("?layer=conv2d&unit=1", "has no number"),
        ("?layer=conv2d&unit=24,0,0", "row 0 to 23"),
        (f"?layer=conv2d&unit={quote('1;2')}", "unit"),
        ("?why=magic", "occlusion"),
        ("?invert=perhaps", "invert"),
    ],
)
def test_what_cannot_be_asked_is_told(asking: Client, image: Any, query: str, words: str) -> None:
    reply = ask(asking, image, query)
    assert reply.error["code"] in ("cannot_be_used", "not_found")
    assert words in reply.error["message"] + reply.error.get("next", "")


def test_several_images_and_large_networks_are_refused(
    asking: Client, image: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = json.dumps({"images": [image.tolist()] * 2}).encode()
    reply = asking.ask("POST", "/api/inside", body, content_type=JSON)
    assert "one by one" in reply.error["message"]
    monkeypatch.setattr(serving, "_MOST_INSIDE", 1000)
    assert "digitlab explain" in ask(asking, image).error["message"]


def test_a_model_of_another_runtime_says_that_it_cannot_be_looked_inside(
    asking: Client, image: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "RuntimeModel", dl.Sequential)
    monkeypatch.setattr(dl.Sequential, "sentence", lambda _: "This model runs elsewhere.", raising=False)
    assert "elsewhere" in ask(asking, image).error["message"]
