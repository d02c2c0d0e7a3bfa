"""Put the measured tables into the README, between the marks ``<!-- generated:NAME -->``, and fill the contests' pages.

    python benchmarks/readme.py

Reads ``benchmarks/results/codelab.json``, and ``inference.json``, ``startup.json`` and ``time_to_accuracy.json`` where
they exist; those also become pages of ``docs/measurements``. Tests compare README and pages with what this would write.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from bench_table import bench_table
from pages import results, write_pages

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
CODELAB = ROOT / "benchmarks" / "results" / "codelab.json"


def codelab_table(result: dict[str, Any]) -> str:
    """Return the comparison as a short table with its circumstances."""
    lines = [
        "The codelab's run (5,500 images, 10 epochs, batch 512) in process, on the same cores in turn:",
        "",
        "| | seconds | times digitlab | whole process, s | peak memory, MiB | validation accuracy |",
        "|---|---|---|---|---|---|",
    ]
    for entry in result["entries"]:
        if entry["reason"]:
            lines.append(f"| {entry['title']} | not measured: {entry['reason']} | | | | |")
            continue
        summary, ratios = entry["summary"], entry["ratios"]
        times = f"{ratios['training_s']['median']:.1f} x"
        lines.append(
            f"| {entry['title']} | {summary['training_s']['median']:.2f} | {times} | "
            f"{summary['process_s']['median']:.1f} | {summary['peak_rss_bytes']['median'] / 2**20:.0f} | "
            f"{100 * summary['val_accuracy']['median']:.1f} % |"
        )
    machine = result["machine"]
    versions: dict[str, str] = {}
    for entry in result["entries"]:
        versions |= {name: number for name, number in entry["versions"].items() if name not in ("numpy", "jaxlib")}
    n = min(entry["n"] for entry in result["entries"] if not entry["reason"])
    lines += [
        "",
        f"Medians of {n} runs each, ratios within a round; the whole process includes imports and a warm-up epoch. "
        f"{machine['cores']} cores of {machine['cpu']}, Python {machine['python']}, "
        + ", ".join(f"{name} {number}" for name, number in versions.items())
        + f". Made by `{result['command'].strip()}` on {result['date'][:10]}.",
    ]
    return "\n".join(lines)


def filled(readme: str, tables: dict[str, str]) -> str:
    """Return the README with every marked block replaced."""
    for name, table in tables.items():
        begin, end = f"<!-- generated:{name} -->", f"<!-- /generated:{name} -->"
        readme = re.sub(
            rf"{re.escape(begin)}.*?{re.escape(end)}",
            lambda _, table=table, begin=begin, end=end: f"{begin}\n{table}\n{end}",
            readme,
            flags=re.DOTALL,
        )
    return readme


def main() -> None:
    """Rewrite the README in place, and the pages."""
    held = results()
    tables = {"codelab": codelab_table(json.loads(CODELAB.read_text("utf-8"))), "bench": bench_table(held)}
    README.write_text(filled(README.read_text("utf-8"), tables), "utf-8")
    write_pages(held)


if __name__ == "__main__":
    main()
