"""The page ``docs/measurements/serving.md``: what ``serving.py`` and ``soak.py`` have measured, from their JSON."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

from measured import markdown_table

__all__ = ["PAGE", "to_markdown", "write_page"]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "measurements" / "serving.md"

_MIB = 2**20


def write_page(result: Path, page: Path = PAGE) -> str:
    """Write the page of a result, and return it."""
    text = to_markdown(json.loads(result.read_text("utf-8")))
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, "utf-8")
    return text


def to_markdown(result: dict[str, Any]) -> str:
    """Return the page."""
    parts = ["# The HTTP API under load"]
    if result.get("rows"):
        parts += _contest(result)
    if result.get("soak"):
        parts += _soak(result["soak"])
    return "\n\n".join(parts) + "\n"


def _contest(result: dict[str, Any]) -> list[str]:
    parts = [
        "`digitlab serve` beside a plain server: FastAPI and ONNX Runtime with the same network, as one writes it from "
        "the two libraries' documentation (`benchmarks/peers/onnxruntime_server.py`). Both run in one process each, on "
        "the same cores in turn, under the load of wrk, which takes its share of those cores. digitlab checks limits, "
        "gathers images into batches and counts every request; the plain server does nothing of the kind. *Times* are "
        "digitlab's value divided by the other's, the median over the rounds [smallest, largest]: more is better for "
        "requests a second, less for the others.",
    ]
    headings = ["connections", "requests/s", "other", "times", "p50, ms", "other", "p99, ms", "other", "times",
                "processor, ms a request", "other"]  # fmt: skip
    for load, title in result["loads"].items():
        rows = [row for row in result["rows"] if row["load"] == load]
        table = [
            _row(connections, [row for row in rows if row["connections"] == connections])
            for connections in sorted({row["connections"] for row in rows})
        ]
        parts += [f"## {title[0].upper()}{title[1:]}", markdown_table(headings, table)]
    machine, n_bad = result["machine"], sum(_n_bad(row) for row in result["rows"])
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    others = [row[name].get("other_cores", 0.0) for row in result["rows"] for name in ("digitlab", "peer")]
    bad = "Every answer was a success." if not n_bad else f"{n_bad:,} answers were no success."
    parts.append(
        f"{bad} {result['rounds']} rounds of {result['seconds']:g} s for images and four times as long for "
        f"photos. {machine['cores']} cores of {machine['cpu']}, of which other programs kept {median(others):.2f} busy "
        f"(median; at most {max(others):.2f}), Python {machine['python']}, "
        f"{versions}. Made by `{result['command']}` on {result['date'][:10]}."
    )
    return parts


def _row(connections: int, rows: list[dict[str, Any]]) -> list[str]:
    def of(key: str, digits: int) -> tuple[str, str]:
        ours, other = (median(row[name][key] for row in rows) for name in ("digitlab", "peer"))
        return f"{ours:,.{digits}f}", f"{other:,.{digits}f}"

    def times(key: str) -> str:
        ratios = [row["digitlab"][key] / row["peer"][key] for row in rows]
        return f"**{median(ratios):.2f}** [{min(ratios):.2f}, {max(ratios):.2f}]"

    digits = 0 if rows[0]["digitlab"]["requests_per_s"] >= 100 else 1
    return [
        str(connections),
        *of("requests_per_s", digits),
        times("requests_per_s"),
        *of("p50_ms", 2),
        *of("p99_ms", 2),
        times("p99_ms"),
        *of("cpu_ms", 2),
    ]


def _n_bad(row: dict[str, Any]) -> int:
    return sum(row[name][key] for name in ("digitlab", "peer") for key in ("refused", "broken"))


def _soak(soak: dict[str, Any]) -> list[str]:
    memory = [point["rss_bytes"] / _MIB for point in soak["memory"]]
    third = max(1, len(memory) // 3)
    first, last = median(memory[:third]), median(memory[-third:])
    rows = [[name, f"{count['sent']:,}", f"{count['as_expected']:,}", _statuses(count)]
            for name, count in soak["kinds"].items()]  # fmt: skip
    return [
        "## Ten minutes' worth of requests",
        f"{soak['n_requests']:,} requests, as many as come in ten minutes at {soak['n_requests'] / 600:.0f} a second, "
        f"over {soak['connections']} connections in {soak['seconds']:.0f} s; bad ones are mixed in. Answers to good "
        "ones are compared with what the library says in another process.",
        markdown_table(["what was sent", "requests", "answered as expected", "statuses"], rows),
        f"Resident memory, median of the first third of {len(memory)} samples after {soak['warm_up']:,} requests: "
        f"{first:.1f} MiB; of the last third: {last:.1f} MiB. Answers with 5xx other than 503: {soak['n_5xx']}.",
        f"Made by `{soak['command']}` on {soak['date'][:10]}.",
    ]


def _statuses(count: dict[str, Any]) -> str:
    return ", ".join(f"{status}: {n:,}" for status, n in sorted(count["statuses"].items()))
