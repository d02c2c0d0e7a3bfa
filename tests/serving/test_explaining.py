"""Runs compared, networks priced and words explained over HTTP: as the commands of the same names print them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from digitlab.cli.app import main
from digitlab.explanation import TOPICS
from digitlab.network.zoo import ZOO
from digitlab.serving import service as serving
from digitlab.serving.accounting import Lines
from digitlab.serving.server import guarded_api
from digitlab.serving.service import Service
from tests.serving.asking import Client


@pytest.fixture(scope="module")
def asking(runs: Path) -> Iterator[Client]:
    service = Service(runs=runs)
    yield Client(guarded_api(service, Lines(None)))
    service.close()


def printed(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    capsys.readouterr()
    assert main([str(word) for word in (*words, "--json")]) == 0
    return json.loads(capsys.readouterr().out)


def test_comparing_is_what_the_command_prints_but_for_every_batch(
    asking: Client, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = printed(capsys, "compare", "first", "second", "--out", runs, "--images", 200)
    for side in ("a", "b"):
        assert told[side].pop("steps")
    assert asking.ask("GET", "/api/compare?a=first&b=second&images=200").json() == told
    assert asking.ask("GET", "/api/compare?a=latest&b=first&images=1").json()["a"]["name"] == "second"


@pytest.mark.parametrize("name", ["none", "..%2Ffirst", "%2Fetc", "first%2Fmodel.safetensors", "broken", "%00", "-"])
def test_runs_are_those_of_the_folder_and_it_is_not_told_where_that_is(asking: Client, runs: Path, name: str) -> None:
    for address in (f"/api/compare?a=first&b={name}", f"/api/cost?network={name}"):
        reply = asking.ask("GET", address)
        assert reply.status in (404, 422)
        assert name == "broken" or reply.error["code"] == "not_found"
        assert str(runs.parent) not in reply.body.decode()


@pytest.mark.parametrize(
    "query", ["", "?a=first", "?a=&b=first", "?a=first&b=second&images=0", "?a=first&b=second&images=10001"]
)
def test_what_cannot_be_compared_is_told(asking: Client, query: str) -> None:
    assert asking.ask("GET", f"/api/compare{query}").error["code"] == "cannot_be_used"


def test_comparing_has_an_end(asking: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_MOST_MULTIPLY_ADDS", 100_000)
    reply = asking.ask("GET", "/api/compare?a=first&b=second")
    assert reply.status == 422
    assert "images=7" in reply.error["message"]
    assert asking.ask("GET", "/api/compare?a=first&b=second&images=7").status == 200


def test_more_questions_than_may_wait_are_refused(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_MOST_QUESTIONS", -1)
    service = Service(runs=runs)
    reply = Client(guarded_api(service, Lines(None))).ask("GET", "/api/compare?a=first&b=second")
    assert (reply.status, "retry-after" in reply.headers) == (429, True)
    service.close()


def test_cost_is_what_the_command_prints(asking: Client, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for network in ("codelab_cnn", "first"):
        told = printed(capsys, "summary", network, "--cost", "--out", runs)["cost"]
        assert asking.ask("GET", f"/api/cost?network={network}").json() == told


def test_cost_is_by_default_that_of_the_network_that_answers(client: Client) -> None:
    about = client.ask("GET", "/api/model").json()
    cost = client.ask("GET", "/api/cost").json()
    assert (cost["name"], cost["n_parameters"]) == (about["name"], about["n_parameters"])


def test_what_costs_as_much_as_its_image_is_large_is_told(client: Client) -> None:
    assert "any size" in client.ask("GET", "/api/cost?network=finder_cnn").error["message"]


def test_a_term_is_explained_as_the_command_explains_it(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    told = printed(capsys, "learn", "max", "pooling", "--network", "fast_cnn")
    assert client.ask("GET", "/api/learn?term=max%20pooling&network=fast_cnn").json() == told
    titles = client.ask("GET", "/api/learn").json()
    assert titles == {name: topic.title for name, topic in TOPICS.items()}


def test_an_unknown_term_or_network_is_told(client: Client, tmp_path: Path) -> None:
    reply = client.ask("GET", "/api/learn?term=convolutoin")
    assert reply.error == {"code": "not_found", "message": reply.error["message"]}
    assert "'convolution'" in reply.error["message"]
    # A file of this machine is no network over HTTP.
    (tmp_path / "net.json").write_text(json.dumps({"layers": []}))
    for network in ("finder_cnn", str(tmp_path / "net.json"), "x" * 1000, ""):
        for term in ("", "term=filter&"):
            assert client.ask("GET", f"/api/learn?{term}network={network}").error["code"] == "cannot_be_used"
    assert client.ask("GET", f"/api/learn?term={'x' * 101}").status == 422
    assert "codelab_cnn" in ZOO
