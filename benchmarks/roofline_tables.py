"""The roofline's outcome as JSON and as a page of the documentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from contest import QUIET_CORES

__all__ = ["page_path", "peak", "share", "to_markdown", "write"]

_OF_MAPS = (
    "A page and a batch of crops with everything that belongs to it, shared by so many cores. Arithmetic counts as "
    "textbooks do, and 3 x 3 convolutions take less than half of it (`docs/decisions/0011-networks-of-maps.md`): so "
    "there can be more than 100 %."
)
_PEAK, _COPY, _BATCH = "multiply-adds in registers", "copy of a large array", "whole batch"


def page_path(result_path: Path) -> Path:
    """Return where the page of a result belongs."""
    return result_path.parent.parent.parent / "docs" / "measurements" / "roofline.md"


def peak(result: dict[str, Any], cores: int) -> float:
    """Return the machine's GFLOP/s in registers on so many cores."""
    return next(entry["gflops"][str(cores)] for entry in result["entries"] if entry["name"] == _PEAK)


def share(result: dict[str, Any], network: str, cores: int) -> float:
    """Return which part of the peak whole batches of a network reach."""
    found = (entry for entry in result["entries"] if (entry["network"], entry["name"]) == (network, _BATCH))
    return next(found)["gflops"][str(cores)] / peak(result, cores)


def to_markdown(result: dict[str, Any]) -> str:
    """Return the page."""
    cores = result["cores"]
    counts = sorted({1, cores})
    machine = result["machine"]
    copy = next(entry for entry in result["entries"] if entry["name"] == _COPY)
    heads = ["1 core", f"{cores} cores"][: len(counts)]
    lines = [
        "# How near the kernels are to the machine",
        "",
        "Multiply-adds that stay in the registers are the most that the machine can do; copying a large array is the "
        "most that its memory can deliver.",
        "",
        "| | " + " | ".join(heads) + " |",
        "|---" * (1 + len(counts)) + "|",
        "| multiply-adds, GFLOP/s | " + " | ".join(f"{peak(result, n):.0f}" for n in counts) + " |",
        "| copying, GB/s read and written | " + " | ".join(f"{copy['gbytes'][str(n)]:.1f}" for n in counts) + " |",
    ]
    for network in dict.fromkeys(entry["network"] for entry in result["entries"][2:]):
        own = [entry for entry in result["entries"] if entry["network"] == network]
        size = result["batch_sizes"].get(network, 512)
        told = (
            f"Each kernel on a block of {result['lanes']} images, and a whole batch of {size} with everything that "
            "belongs to it. Bytes are those that must be read and written once; most come from the core's own cache."
        )
        lines += [
            "",
            f"## {network}",
            "",
            _OF_MAPS if network == "finder_cnn" else told,
            "",
            "| kernel | MFLOP | kB | "
            + " | ".join(f"{head}: us | GFLOP/s | of the peak | GB/s" for head in heads)
            + " |",
            "|---" * (3 + 4 * len(counts)) + "|",
        ]
        lines += [_row(result, entry, counts) for entry in own]
    noise = "" if machine["load_1min"] < QUIET_CORES * machine["cores"] else ", which was not quiet when it began"
    lines += [
        "",
        f"The best of {result['n']} rounds over everything. {machine['cores']} cores of {machine['cpu']}, Python "
        f"{machine['python']}{noise}. Made by `{result['command']}`.",
    ]
    return "\n".join(lines) + "\n"


def _row(result: dict[str, Any], entry: dict[str, Any], counts: list[int]) -> str:
    cells = [entry["name"], f"{entry['flops'] / 1e6:.2f}", f"{entry['bytes'] / 1e3:.0f}" if entry["bytes"] else ""]
    for n in counts:
        key = str(n)
        gflops, gbytes = entry["gflops"][key], entry["gbytes"][key]
        cells += [f"{entry['microseconds'][key]:.1f}"]
        cells += [f"{gflops:.0f}", f"{100 * gflops / peak(result, n):.0f} %"] if gflops else ["", ""]
        cells += [f"{gbytes:.0f}" if gbytes else ""]
    return "| " + " | ".join(cells) + " |"


def write(result: dict[str, Any], path: Path) -> None:
    """Write the JSON, and the page where the JSON is the published one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    if page_path(path).parent.exists():
        page_path(path).write_text(to_markdown(result), "utf-8")
