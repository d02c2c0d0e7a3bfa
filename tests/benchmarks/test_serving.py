"""The API's benchmark: a short soak, what is sent in it, and the page that tells what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script(benchmark_module) -> ModuleType:
    return benchmark_module("serving")


def measured(rps: float, p99: float, refused: int = 0) -> dict[str, Any]:
    return {"requests": 10, "requests_per_s": rps, "p50_ms": 1.0, "p99_ms": p99, "cpu_ms": 0.4, "refused": refused,
            "broken": 0}  # fmt: skip


@pytest.fixture
def result() -> dict[str, Any]:
    rows = [
        {"round": number, "load": load, "connections": connections, "digitlab": measured(3000 * number, 4),
         "peer": measured(1500, 8, refused=int(number == 2))}
        for number in (1, 2, 3) for load in ("raw", "photo") for connections in (1, 16)
    ]  # fmt: skip
    return {
        "command": "python benchmarks/serving.py", "date": "2026-11-22T20:00:00", "rounds": 3, "seconds": 5.0,
        "machine": {"cores": 2, "cpu": "a CPU", "load_1min": 0.1, "python": "3.11.7"}, "versions": {"wrk": "4"},
        "loads": {"raw": "one image", "photo": "a photo"}, "rows": rows,
    }  # fmt: skip


def test_page_has_a_row_for_every_load_and_number_of_connections(script: ModuleType, result: dict[str, Any]) -> None:
    text = script.to_markdown(result)
    rows = [line for line in text.splitlines() if line.startswith(("| 1 |", "| 16 |"))]
    assert len(rows) == 4
    assert rows[0].count("|") == text[text.index("| connections") :].splitlines()[0].count("|")
    assert "| 6,000 | 1,500 | **4.00** [2.00, 6.00] |" in rows[0]
    assert "**0.50** [0.50, 0.50]" in rows[0]
    assert "4 answers were no success." in text
    assert "Ten minutes" not in text


def test_page_is_what_the_measurement_gives(script: ModuleType) -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "serving.json").read_text("utf-8"))
    assert script.PAGE.read_text("utf-8") == script.to_markdown(result)


def test_published_soak_found_nothing() -> None:
    soak = json.loads((ROOT / "benchmarks" / "results" / "serving.json").read_text("utf-8"))["soak"]
    assert soak["n_requests"] >= 30_000
    assert soak["n_5xx"] == 0
    assert soak["problems"] == []
    assert all(count["sent"] == count["as_expected"] for count in soak["kinds"].values())


def test_loads_are_what_both_servers_take(script: ModuleType) -> None:
    raw, form, photo = script.loads()
    assert len(raw.body) == 784
    for load in (form, photo):
        assert load.kind.startswith("multipart/form-data; boundary=")
        assert b"\x89PNG" in load.body


@pytest.mark.slow
def test_short_soak_finds_no_wrong_answer_no_5xx_and_no_leak(benchmark_module, tmp_path: Path) -> None:
    result = benchmark_module("soak").soak(600, 4, tmp_path)
    assert result["problems"] == []
    assert result["n_5xx"] == 0
    assert sum(count["sent"] for count in result["kinds"].values()) >= 600
    memory = [point["rss_bytes"] for point in result["memory"]]
    third = len(memory) // 3
    assert np.median(memory[-third:]) < np.median(memory[:third]) + 60 * 2**20


@pytest.mark.slow
def test_soak_tells_a_wrong_answer(benchmark_module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soak = benchmark_module("soak")
    raw = {"Content-Type": "application/octet-stream"}
    asked = soak.Request("/api/predict", bytes(784), raw, lambda content: b'"label":7' in content)
    wrong = soak.Kind("raw", "images", 1.0, lambda _: asked)
    monkeypatch.setattr(soak, "kinds", lambda: [wrong])
    result = soak.soak(20, 2, tmp_path)
    assert len(result["problems"]) == 20
    assert result["kinds"]["images"]["as_expected"] == 0
