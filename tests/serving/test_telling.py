"""What the server tells of itself: health, model, export, metrics, description, and one line a request in the log."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import digitlab as dl
from digitlab.errors import NetworkError, RunError
from digitlab.network import Architecture, Dense
from digitlab.network.checkpoint import Checkpoint, save_checkpoint
from digitlab.serving.accounting import Lines
from digitlab.serving.api import PATHS
from digitlab.serving.server import guarded_api
from digitlab.serving.service import Service
from tests.serving.asking import RAW, Client


def saved(model: dl.Sequential, folder: Path) -> str:
    path = folder / "own.safetensors"
    save_checkpoint(path, Checkpoint(model.architecture, tuple(model.get_weights()), model.class_names))
    return str(path)


def test_model_says_what_it_is_and_nothing_about_folders(client: Client) -> None:
    about = client.ask("GET", "/api/model").json()
    assert about["source"] == "shipped reader"
    assert about["knows_not_a_digit"]
    assert about["class_names"][10] == "Not a digit"


def test_own_model_answers_and_is_exported_as_it_is(tmp_path: Path) -> None:
    path = saved(dl.codelab_cnn(seed=3), tmp_path)
    service = Service(model=path)
    own = Client(guarded_api(service, Lines(None)))
    about = own.ask("GET", "/api/model").json()
    assert (about["name"], about["source"]) == ("codelab_cnn", "own.safetensors")
    (answer,) = own.predict(bytes(784), RAW).json()
    assert answer["not_a_digit"] is None
    reply = own.ask("GET", "/api/model/export?format=safetensors")
    assert reply.body == Path(path).read_bytes()
    assert reply.headers["content-disposition"] == 'attachment; filename="codelab_cnn.safetensors"'
    service.close()


def test_a_model_of_another_scale_answers_as_it_learned_and_is_exported_so(
    foreign: Callable[[str], Path], digits: NDArray[np.uint8], labels: NDArray[np.int64], tmp_path: Path
) -> None:
    service = Service(model=str(foreign("0-255")))
    assert service.predictor.note.startswith("of 0-255.safetensors gets pixels from 0 to 255 here")
    own = Client(guarded_api(service, Lines(None)))
    answers = own.predict(digits.tobytes(), RAW).json()
    assert np.mean([answer["label"] == label for answer, label in zip(answers, labels, strict=True)]) > 0.85
    (tmp_path / "m.safetensors").write_bytes(own.ask("GET", "/api/model/export?format=safetensors").body)
    exported = dl.load_model(tmp_path / "m.safetensors").predict(digits)
    np.testing.assert_allclose(exported, [answer["probabilities"] for answer in answers], atol=1e-6)
    service.close()


def test_a_model_whose_input_is_no_picture_of_28_pixels_is_served(
    learned: Checkpoint, digits: NDArray[np.uint8], labels: NDArray[np.int64], tmp_path: Path
) -> None:
    row = Architecture(learned.architecture.layers[1:], (784,))
    save_checkpoint(tmp_path / "row.safetensors", Checkpoint(row, learned.weights))
    service = Service(model=str(tmp_path / "row.safetensors"))
    answers = Client(guarded_api(service, Lines(None))).predict(digits.tobytes(), RAW).json()
    assert np.mean([answer["label"] == label for answer, label in zip(answers, labels, strict=True)]) > 0.85
    service.close()


@pytest.mark.slow
def test_network_is_exported_in_every_format_that_comes_back_in(tmp_path: Path) -> None:
    layers = dl.codelab_cnn().architecture.layers
    model = dl.Sequential(layers, name='../a "name"', seed=3)
    service = Service(model=saved(model, tmp_path))
    own = Client(guarded_api(service, Lines(None)))
    image = np.random.default_rng(0).integers(0, 256, (1, 28, 28), np.uint8)
    formats = own.ask("GET", "/api/model").json()["export_formats"]
    assert "tfjs" in formats
    for format in formats:
        reply = own.ask("GET", f"/api/model/export?format={format}")
        name = reply.headers["content-disposition"].partition('filename="')[2].rstrip('"')
        assert name.startswith("a-name")
        path = tmp_path / name
        path.write_bytes(reply.body)
        if path.suffix == ".zip":
            zipfile.ZipFile(path).extractall(tmp_path / format)
            path = tmp_path / format / path.stem
        np.testing.assert_allclose(dl.load_model(path).predict(image), model.predict(image), atol=1e-5)
    service.close()


def test_network_for_other_classes_predicts_but_does_not_read(tmp_path: Path) -> None:
    model = dl.Sequential([dl.Flatten(), Dense(3, activation="softmax")], class_names=["a", "b", "c"])
    service = Service(model=saved(model, tmp_path))
    own = Client(guarded_api(service, Lines(None)))
    (answer,) = own.predict(bytes(784), RAW).json()
    assert len(answer["probabilities"]) == 3
    reply = own.read(b"\x89PNG\r\n\x1a\n")
    assert reply.status == 422
    assert "--model" in reply.error["message"]
    assert not own.ask("GET", "/api/model").json()["reads_photos"]
    service.close()


def test_network_for_other_images_is_refused_at_the_start(tmp_path: Path) -> None:
    model = dl.Sequential([dl.Flatten(), Dense(10, activation="softmax")], input_shape=(8, 8, 1))
    with pytest.raises(NetworkError, match="28 x 28"):
        assert Service(model=saved(model, tmp_path)).predictor
    with pytest.raises(RunError):
        assert Service(model="nothing", runs=tmp_path).predictor


def test_unknown_format_is_told(client: Client) -> None:
    for query in ("", "?format=", "?format=pickle"):
        assert client.ask("GET", f"/api/model/export{query}").status == 422


def test_ready_only_while_it_answers() -> None:
    service = Service()
    own = Client(guarded_api(service, Lines(None)))
    reply = own.ask("GET", "/readyz")
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")
    assert own.ask("GET", "/healthz").status == 200
    assert service.predictor
    assert own.ask("GET", "/readyz").status == 200
    service.close()
    assert "stopping" in own.ask("GET", "/readyz").error["message"]


def test_metrics_count_requests_by_the_addresses_that_exist(client: Client) -> None:
    client.ask("GET", "/a-secret-of-somebody")
    client.predict(bytes(784), RAW)
    reply = client.ask("GET", "/metrics")
    assert reply.headers["content-type"].startswith("text/plain")
    text = reply.body.decode()
    assert 'digitlab_requests_total{path="/api/predict",status="200"}' in text
    assert 'path="other",status="404"' in text
    assert "secret" not in text
    assert "digitlab_ready 1.0" in text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/api/predict", 405), ("DELETE", "/api/model", 405), ("GET", "/docs", 404)],
)
def test_other_addresses_and_methods_are_told_where_to_go(client: Client, method: str, path: str, status: int) -> None:
    reply = client.ask(method, path)
    assert reply.status == status
    assert "/openapi.json" in reply.error["next"]
    assert (status == 405) == ("allow" in reply.headers)


def test_description_names_every_address_with_examples(client: Client) -> None:
    document = client.ask("GET", "/openapi.json").json()
    assert set(document["paths"]) == set(PATHS) - {"/openapi.json"}
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation["summary"]
            for status, response in operation["responses"].items():
                if status == "200" and path.startswith(("/api/predict", "/api/read")):
                    assert response["content"]["application/json"]["example"]
                if status != "200":
                    assert set(response["content"]) == {"application/json"}


def test_log_has_a_line_a_request_without_contents_names_and_tokens(service: Service) -> None:
    written = io.StringIO()
    lines = Lines(written)
    app = Client(guarded_api(service, lines, token="a-token-of-good-length", local_only=False))

    async def go() -> None:
        bearer = "Bearer a-token-of-good-length"
        await app.asked("POST", "/api/predict?invert=secret", b"secret" * 9, content_type=RAW, authorization=bearer)
        await app.asked("GET", "/healthz?token=a-token-of-good-length")

    asyncio.run(go())
    lines.flush()
    first, second = (json.loads(line) for line in written.getvalue().splitlines())
    assert set(first) == {"time", "level", "method", "path", "status", "ms", "bytes", "sent"}
    assert (first["method"], first["path"], first["status"]) == ("POST", "/api/predict", 422)
    assert second["path"] == "/healthz"
    for word in ("secret", "token"):
        assert word not in written.getvalue()


def test_log_that_nobody_reads_is_cut_short_and_says_so() -> None:
    written = io.StringIO()
    lines = Lines(written)

    async def go() -> None:
        for k in range(20_010):
            lines.note(n=k)

    asyncio.run(go())
    lines.flush()
    last = json.loads(written.getvalue().splitlines()[-1])
    assert last["n"] == 10
