"""The pages of ``docs/measurements`` that the contests fill, each from its JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measured import circumstances, markdown_table, mean_text, row, spread, times
from roofline_tables import to_markdown

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGES = ROOT / "docs" / "measurements"

#: The networks of the inference contest, by the prefix of their quantities.
NETWORKS = {"codelab": "The codelab's network", "fast": "The network of the fast preset"}


def inference_page(result: dict[str, Any]) -> str:
    """Return how fast images are answered."""
    parts = [
        "# Answering images",
        f"{result['title']}, in memory as float32, with the same weights for everybody. *Times digitlab* is a ratio of "
        "speeds where it follows images a second, and of times where it follows microseconds. Batches are the best of "
        "a short list, and one image is answered with one thread or with all cores, whichever is faster.",
    ]
    for key, title in NETWORKS.items():
        rows = [
            row(
                entry,
                [
                    spread(entry, f"{key}_images_per_s", 0),
                    times(entry, f"{key}_images_per_s"),
                    spread(entry, f"{key}_batch_size", 0),
                    spread(entry, f"{key}_median_us", 1),
                    spread(entry, f"{key}_p95_us", 1),
                    times(entry, f"{key}_median_us"),
                    spread(entry, f"{key}_call_threads", 0),
                    _difference(entry, key),
                ],
            )
            for entry in result["entries"]
        ]
        headings = ["", "images/s", "times digitlab", "batch", "one image, µs", "95 % of calls, µs", "times digitlab"]
        parts += [f"## {title}", markdown_table([*headings, "threads for it", "largest difference"], rows)]
    parts.append("The last column: how far a probability lies from digitlab's at most; more than 1e-4 is a failure.")
    return _page(result, parts)


def finder_page(result: dict[str, Any]) -> str:
    """Return how fast a page is answered with maps."""
    rows = [
        row(
            entry,
            [
                str(entry["n"]),
                spread(entry, "page_ms", 0),
                times(entry, "page_ms"),
                spread(entry, "fastest_ms", 0),
                times(entry, "fastest_ms"),
                _difference(entry, ""),
            ],
        )
        for entry in result["entries"]
    ]
    headings = ["", "n", "a page, ms", "times digitlab", "fastest call, ms", "times digitlab", "largest difference"]
    return _page(
        result,
        [
            "# Answering a page",
            f"{result['title']}, from float32 in memory to the maps, on all cores, with the same weights for all.",
            markdown_table(headings, rows),
            "The last column: how far a number of the maps lies from digitlab's at most, as a part of the largest; "
            "more than 1e-4 is a failure.",
        ],
    )


def startup_page(result: dict[str, Any]) -> str:
    """Return how long whole processes take."""
    rows = [
        row(
            entry,
            [
                str(entry["n"]),
                spread(entry, "command_s", 2),
                times(entry, "command_s"),
                spread(entry, "test_accuracy", 1, 100) if "test_accuracy" in entry["summary"] else "",
            ],
        )
        for entry in result["entries"]
    ]
    headings = ["", "n", "seconds", f"times {result['entries'][0]['title']}", "test accuracy, %"]
    return _page(
        result,
        [
            "# Whole processes",
            "From the start of the command to its end, by the clock of another process: the codelab's run (5,500 "
            "images, 10 epochs, validation on 1,000), evaluation on the 10,000 test images, accuracy of every class "
            "and confusion matrix. digitlab writes the run and its report besides.",
            markdown_table(headings, rows),
            "Every command but the first run ever ran once before, unmeasured, so that caches are warm. In the first "
            "run ever digitlab's cache is empty, so that kernels are compiled and the images unpacked; the files of "
            "its libraries have been read before.",
        ],
    )


def accuracy_page(result: dict[str, Any]) -> str:
    """Return seconds of training beside the accuracy on the test images."""
    rows = [
        row(
            entry,
            [
                str(entry["n"]),
                spread(entry, "training_s", 2),
                times(entry, "training_s"),
                mean_text(entry, "test_accuracy"),
                spread(entry, "load_s", 2),
                spread(entry, "warm_up_s", 2),
            ],
        )
        for entry in result["entries"]
    ]
    headings = ["", "n", "training, s", f"times {result['entries'][0]['title']}", "test accuracy", "loading, s"]
    measured = [entry for entry in result["entries"] if entry["n"]]
    by_seed = [{run["round"]: run["test_accuracy"] for run in entry["runs"]} for entry in measured]
    seeds = sorted({seed for accuracies in by_seed for seed in accuracies})
    seed_rows = [
        [str(seed), *(f"{100 * accuracies[seed]:.2f}" if seed in accuracies else "" for accuracies in by_seed)]
        for seed in seeds
    ]
    return _page(
        result,
        [
            "# Seconds to an accuracy",
            "Seconds of training within the process, with the validation that belongs to the recipe, and the accuracy "
            "on all 10,000 test images afterwards: the mean over seeds ± its standard error. Loading and the first few "
            "steps, in which code is compiled, traced or read from a cache, come before and are told apart.",
            markdown_table([*headings, "warm-up, s"], rows),
            "The recipes on PyTorch have digitlab's network, initial weights, batch size, optimizer and learning rate "
            "of every step. The published examples keep their own recipes, with the images in memory.",
            "## Test accuracy by seed, %",
            markdown_table(["seed", *(entry["title"] for entry in measured)], seed_rows),
        ],
    )


#: What is written where, by the name of the JSON.
WRITTEN: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "roofline": ("roofline.md", to_markdown),
    "inference": ("inference.md", inference_page),
    "finder_page": ("finder-page.md", finder_page),
    "startup": ("startup.md", startup_page),
    "time_to_accuracy": ("time-to-accuracy.md", accuracy_page),
}


def write_pages(held: dict[str, dict[str, Any]]) -> None:
    """Write the page of every contest that has been held."""
    PAGES.mkdir(parents=True, exist_ok=True)
    for name, result in held.items():
        file, page = WRITTEN[name]
        (PAGES / file).write_text(page(result), "utf-8")


def results() -> dict[str, dict[str, Any]]:
    """Return the contests that have been held, by the name of their JSON."""
    paths = {name: RESULTS / f"{name}.json" for name in WRITTEN}
    return {name: json.loads(path.read_text("utf-8")) for name, path in paths.items() if path.exists()}


def _difference(entry: dict[str, Any], key: str) -> str:
    found = entry["summary"].get(f"{key}_difference" if key else "difference")
    return f"{found['max']:.1e}" if found else "-"


def _page(result: dict[str, Any], parts: list[str]) -> str:
    return "\n\n".join([*parts, circumstances(result)]) + "\n"
