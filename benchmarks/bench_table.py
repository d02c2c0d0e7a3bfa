"""The README's short table of the contests besides the codelab's run: a line a question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from measured import markdown_table, mean_text, paired_ratio
from roofline_tables import share

#: Where the pages are, for the README.
_LINKS = {
    "roofline": "[kernels and peak](docs/measurements/roofline.md)",
    "inference": "[answering images](docs/measurements/inference.md)",
    "finder_page": "[answering a page](docs/measurements/finder-page.md)",
    "startup": "[whole processes](docs/measurements/startup.md)",
    "time_to_accuracy": "[seconds to an accuracy](docs/measurements/time-to-accuracy.md)",
}
_NETWORKS = {"codelab": "codelab's network", "fast": "fast preset's network"}
#: digitlab's other commands in the startup contest, which have a line of their own.
_KIN = {"digitlab-help": "`digitlab --help`", "digitlab-first": "`digitlab train`, the first run ever"}


def bench_table(results: dict[str, dict[str, Any]]) -> str:
    """Return the table of what has been measured, empty where nothing has."""
    rows = [
        *_roofline_rows(results.get("roofline")),
        *_inference_rows(results.get("inference")),
        *_page_rows(results.get("finder_page")),
        *_startup_rows(results.get("startup")),
        *_accuracy_rows(results.get("time_to_accuracy")),
    ]
    if not rows:
        return ""
    links = ", ".join(_LINKS[name] for name in _LINKS if name in results)
    table = markdown_table(["", "digitlab", "others, as a multiple of it"], rows)
    return f"{table}\n\nMedians, contestants in turn on the same cores; spread, versions and commands: {links}."


def _roofline_rows(result: dict[str, Any] | None) -> list[list[str]]:
    if result is None:
        return []
    cores = result["cores"]
    networks = [entry["network"] for entry in result["entries"] if entry["name"] == "whole batch"]
    told = [f"{name} {100 * share(result, name, cores):.0f} %" for name in networks if name != "dense_baseline"]
    return [[f"training, share of the peak of {cores} cores", ", ".join(told), ""]]


def _inference_rows(result: dict[str, Any] | None) -> list[list[str]]:
    if result is None:
        return []
    rows = []
    for key, title in _NETWORKS.items():
        for quantity, what, unit, digits in (
            ("images_per_s", "test images answered", "images/s", 0),
            ("median_us", "one image answered", "µs", 0),
        ):
            rows += _line(result, f"{key}_{quantity}", f"{what}, {title}", unit, digits)
    return rows


def _page_rows(result: dict[str, Any] | None) -> list[list[str]]:
    return [] if result is None else _line(result, "page_ms", "a page of 1024 x 768 answered with maps", "ms", 0)


def _startup_rows(result: dict[str, Any] | None) -> list[list[str]]:
    if result is None:
        return []
    rows = _line(result, "command_s", "`digitlab train`, whole process", "s", 1, without=tuple(_KIN))
    for entry in result["entries"]:
        if entry["name"] in _KIN and entry["n"]:
            rows.append([_KIN[entry["name"]], f"{entry['summary']['command_s']['median']:.2g} s", ""])
    return rows


def _accuracy_rows(result: dict[str, Any] | None) -> list[list[str]]:
    if result is None:
        return []
    rows = []
    for entry in result["entries"]:
        if entry["name"].startswith("digitlab-") and entry["n"]:
            preset = entry["name"].removeprefix("digitlab-")
            # The published examples have no recipe of digitlab's to stand beside; they are told with the first preset.
            beside = [f"torch-{preset}", *(["torch-example", "keras-example"] if not rows else [])]
            own = entry["summary"]["training_s"]["median"]
            others = [
                f"{other['title']} {ratio:.1f} x ({mean_text(other, 'test_accuracy')})"
                for other in result["entries"]
                if other["name"] in beside and (ratio := paired_ratio(other, entry, "training_s"))
            ]
            cell = f"{own:.1f} s, {mean_text(entry, 'test_accuracy')}"
            rows.append([f"training with `--preset {preset}`, test accuracy", cell, ", ".join(others)])
    return rows


def _line(
    result: dict[str, Any], key: str, what: str, unit: str, digits: int, without: Sequence[str] = ()
) -> list[list[str]]:
    """Return a row of the baseline's median and the others' ratios to it; none without a run of digitlab's."""
    baseline, *others = result["entries"]
    if not baseline["n"] or not baseline["name"].startswith("digitlab"):
        return []
    told = [
        f"{other['title']} {other['ratios'][key]['median']:.2f} x"
        for other in others
        if key in other["ratios"] and other["name"] not in without
    ]
    return [[what, f"{baseline['summary'][key]['median']:,.{digits}f} {unit}", ", ".join(told)]]
