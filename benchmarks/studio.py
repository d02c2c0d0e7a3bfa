"""What does the page cost the training, and does it stay quick and small over a long run? In a real Chromium.

First the default run of 110 batches in one Studio, in turn with a page that is open and live, on its Training tab, on
its Network tab with one side or with two, and with none: the order changes with every round, and the ratio is taken
within a round. "None" begins when the server has forgotten the page; the browser is there all the time. A page is new
in each round, and at rest before the run begins.

Then the time slider of the tab Network: how long each move takes until its moment is drawn. Last, one long run with the
page open. Meanwhile, time and again: how long the page takes to answer with an animation frame; how long a click on a
tab takes until its panel is seen, through the server; the heap of the page's script after a garbage collection; and,
within the server, the resident memory and what the recording of the weights takes of it.

Writes ``benchmarks/results/studio.json`` and ``docs/measurements/studio.md``. Needs Debian's Chromium.
"""

from __future__ import annotations

import inspect
import math
import os
import statistics
import time
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from class_room import class_told
from digitlab.studio.trainer import Trainer
from digitlab.training.config import TrainConfig
from digitlab.training.keeping import environment
from measuring import describe_machine, in_turn, made_by, parser_of, publish
from studio_process import StudioProcess, browser
from tables import markdown_table, page, was_busy
from visits import visits_told

#: The most that a page may cost the default run.
ALLOWED = 1.25

_MIB = 2**20
_AT_REST_MS = 1500
_SECONDS_BETWEEN_PROBES = 0.1
_SECONDS_BETWEEN_CLICKS = 1.0
_SECONDS_BETWEEN_HEAPS = 2.0
# Counts what the page really drew: a page that only looks live would be cheap.
_COUNT_FRAMES = """() => {
    const frame = window.studio.frame;
    window.framesDrawn = 0;
    window.studio.frame = function (calls) { window.framesDrawn += 1; return frame.call(this, calls); };
}"""
_COUNT_CHANGES = """() => {
    window.framesDrawn = 0;
    new MutationObserver(() => { window.framesDrawn += 1; }).observe(
        document.querySelector(".network-view"), { subtree: true, childList: true, characterData: true });
}"""
# Moves the time slider of the tab Network, again and again: milliseconds from each move until its moment is drawn.
_DRAG = """async ([n, last]) => {
    const labels = [...document.querySelectorAll("#panel-network label")];
    const slider = document.getElementById(labels.find((one) => one.textContent === "Time travel").htmlFor);
    const words = document.querySelector(".side-words.of-0");
    const times = [];
    for (let k = 0; k < n; k += 1) {
        const step = 1 + ((37 * k) % (last - 1));
        const began = performance.now();
        slider.value = step;
        slider.dispatchEvent(new Event("input", { bubbles: true }));
        while (!words.textContent.includes(`after batch ${step}.`)) await new Promise(requestAnimationFrame);
        await new Promise((done) => requestAnimationFrame(() => {
            const { port1, port2 } = new MessageChannel();
            port1.onmessage = done;
            port2.postMessage(null);
        }));
        times.push(performance.now() - began);
        await new Promise((done) => setTimeout(done, 100));
    }
    return times;
}"""
#: What is open meanwhile, by its name in the results.
VIEWS = {
    "training": "tab Training",
    "network": "tab Network",
    "two sides": "tab Network, and beside it the network before its first batch",
}
_FRAME = "() => new Promise(done => requestAnimationFrame(() => done(null)))"
_DRAGS = 60
_SEEN = "panel => !document.querySelector(panel).hidden"


def open_page(chromium: Any, address: str, view: str = "training") -> Any:
    """Open a tab in a new page, and wait until it is at rest."""
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{address}?tab={'training' if view == 'training' else 'network'}")
    if view == "training":
        page.locator(".live-chart-plot canvas").first.wait_for()
    else:
        page.locator(".arithmetic h2").first.wait_for()
    if view == "two sides":
        page.get_by_label("Beside it").click()
        page.get_by_role("option", name="The training here, before its first batch", exact=True).click()
        page.locator(".side-words.of-1").wait_for()
    page.wait_for_timeout(_AT_REST_MS)
    page.evaluate(_COUNT_FRAMES if view == "training" else _COUNT_CHANGES)
    return page


def compare(studio: StudioProcess, chromium: Any, n_rounds: int) -> dict[str, Any]:
    """Train the default run with a page and without one, in turn."""
    rounds: list[dict[str, dict[str, float]]] = []
    found: dict[str, dict[str, float]] = {}
    n_steps = 0
    for number, view in in_turn(("none", *VIEWS), n_rounds):
        page = None if view == "none" else open_page(chromium, studio.address, view)
        answer = studio.train()
        found[view], n_steps = {"seconds": answer["seconds"]}, answer["n_steps"]
        if page is not None:
            found[view]["frames"] = page.evaluate("window.framesDrawn")
            page.close()
            studio.tell("alone")
            studio.answer()
        if len(found) == 1 + len(VIEWS):
            for one in found.values():
                one["ratio"] = one["seconds"] / found["none"]["seconds"]
            rounds.append(found)
            print(f"round {number}: " + ", ".join(f"{view} {one['seconds']:.3f} s" for view, one in found.items()))
            found = {}
    return {"n": n_rounds, "n_steps": n_steps, "rounds": rounds}


def drag_time(studio: StudioProcess, chromium: Any) -> dict[str, dict[str, float]]:
    """Move the time slider after a default run: milliseconds until the moment is drawn, with one side and with two."""
    answer, found = studio.train(), {}
    for view in ("network", "two sides"):
        page = open_page(chromium, studio.address, view)
        found[view] = _percentiles(page.evaluate(_DRAG, [_DRAGS, answer["n_steps"]]))
        page.close()
    return found


def watch_long_run(studio: StudioProcess, chromium: Any, n_batches: int) -> dict[str, Any]:
    """Train many batches with a page open, and see how quick and how large it is meanwhile."""
    config = TrainConfig()
    page = open_page(chromium, studio.address)
    devtools = page.context.new_cdp_session(page)
    for tab in ("model", "training"):
        _click(page, tab)  # a tab is built when it is first shown, which is not what is measured
    frames_ms, clicks_ms, heaps = [], [], []
    last_click = last_heap = time.monotonic()
    studio.tell("train", math.ceil(n_batches / math.ceil(config.train_images / config.batch_size)), config.network)
    while not studio.has_answered:
        began = time.monotonic()
        page.evaluate(_FRAME)
        now = time.monotonic()
        frames_ms.append(1000 * (now - began))
        if now - last_click > _SECONDS_BETWEEN_CLICKS:
            clicks_ms += [_click(page, "model"), _click(page, "training")]
            last_click = time.monotonic()
        if now - last_heap > _SECONDS_BETWEEN_HEAPS:
            devtools.send("HeapProfiler.collectGarbage")
            heaps.append((now, devtools.send("Runtime.getHeapUsage")["usedSize"]))
            last_heap = time.monotonic()
        time.sleep(_SECONDS_BETWEEN_PROBES)
    answer = studio.answer()
    drawn = page.evaluate("window.framesDrawn")
    page.close()
    memory = answer["memory"]
    steps, rss = [one["step"] for one in memory], [one["rss"] for one in memory]
    end = answer["n_steps"]
    return {
        "n_steps": end,
        "seconds": answer["seconds"],
        "frames": drawn,
        "answer_ms": _percentiles(frames_ms),
        "click_ms": _percentiles(clicks_ms),
        "ms_per_batch_by_fifths": answer["ms_per_batch_by_fifths"],
        "rss_by_thirds": _thirds(steps, rss, 0, end),
        "recording_by_thirds": _thirds(steps, [one["recording"] for one in memory], 0, end),
        "rest_by_thirds": _thirds(steps, [one["rss"] - one["recording"] for one in memory], 0, end),
        "heap_by_thirds": _thirds(*zip(*heaps, strict=True), answer["began"], answer["ended"]) if heaps else [None] * 3,
        "memory": memory,
        "heaps": [heap for _, heap in heaps],
    }


def _click(page: Any, tab: str) -> float:
    box = page.locator(f"#tab-{tab}").bounding_box()
    began = time.monotonic()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_function(_SEEN, arg=f"#panel-{tab}")
    return 1000 * (time.monotonic() - began)


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values) or [math.nan]
    return {"n": len(values), **{f"p{p}": ordered[min(len(ordered) - 1, len(ordered) * p // 100)] for p in (50, 95)}}


def _thirds(at: Sequence[float], values: Sequence[float], begin: float, end: float) -> list[float | None]:
    groups: list[list[float]] = [[], [], []]
    for x, value in zip(at, values, strict=True):
        groups[min(2, max(0, int(3 * (x - begin) / (end - begin))))].append(value)
    return [statistics.median(group) if group else None for group in groups]


def to_markdown(result: dict[str, Any]) -> str:
    """Return the page."""
    short, long, machine, versions = (result[key] for key in ("default_run", "long_run", "machine", "versions"))
    answer, click = long["answer_ms"], long["click_ms"]

    def row(title: str, values: Sequence[float | None], scale: float = 1, digits: int = 2) -> list[str]:
        return [title, *("-" if v is None else f"{v / scale:,.{digits}f}" for v in values)]

    costs = []
    for view, title in VIEWS.items():
        own = [one[view] for one in short["rounds"]]
        seconds, frames, ratio = (statistics.median(one[key] for one in own) for key in ("seconds", "frames", "ratio"))
        ratios = [one["ratio"] for one in own]
        ends = [f"{min(ratios):.2f}", f"{max(ratios):.2f}"]
        costs.append([title, f"{seconds:.3f}", f"**{ratio:.2f}**", *ends, f"{frames:.0f}"])
    alone = statistics.median(one["none"]["seconds"] for one in short["rounds"])
    waits = [("with an animation frame", answer), ("to a click on a tab, until its panel is seen", click)]
    memory = [("server, resident", "rss"), ("of it, the recording of the weights", "recording"), ("the rest", "rest")]
    memory.append(("the page's script, after garbage collection", "heap"))
    return page(
        "# What the page costs",
        f"The default run of {short['n_steps']} batches, from its start to its last record, in one Studio in turn with "
        f"a Chromium page open and live and with none, which takes {alone:.3f} s; medians of {short['n']} rounds, the "
        f"ratio taken within a round. Allowed is {ALLOWED}.",
        markdown_table(["what is open", "s", "ratio", "lowest", "highest", "drawn"], costs),
        "## The time slider",
        f"From a move of the slider in the tab Network until the network of that moment is drawn, {_DRAGS} moves each.",
        markdown_table(
            ["what is open", "median, ms", "95 %, ms"],
            [[VIEWS[view], f"{one['p50']:.0f}", f"{one['p95']:.0f}"] for view, one in result["drags"].items()],
        ),
        f"## A run of {long['n_steps']:,} batches",
        f"With the page open; {long['seconds']:.0f} s, {long['frames']:,} frames drawn; one run.",
        markdown_table(
            ["the page answers", "n", "median, ms", "95 %, ms"],
            [[title, f"{found['n']}", f"{found['p50']:.0f}", f"{found['p95']:.0f}"] for title, found in waits],
        ),
        markdown_table(
            ["part of the run", "1st fifth", "2nd", "3rd", "4th", "5th"],
            [row("ms a batch", long["ms_per_batch_by_fifths"])],
        ),
        markdown_table(
            ["memory, MiB (median of samples)", "1st third", "2nd", "3rd"],
            [row(title, long[f"{key}_by_thirds"], _MIB, 1) for title, key in memory],
        ),
        f"The recording may take {result['recording_budget'] // _MIB} MiB, and is thinned from there on; before, a "
        "snapshot of every batch is kept.",
        *visits_told(),
        *class_told(),
        f"digitlab {versions['digitlab']}, NiceGUI {versions['nicegui']}, Chromium {versions['chromium']}, Python "
        f"{versions['python']}, {machine['cores']} cores of {machine['cpu']}{was_busy(machine)}. Made by "
        f"`{result['command']}`.",
    )


def main(argv: list[str] | None = None) -> None:
    """Measure, write JSON and the page."""
    numbers = {"rounds": (5, "of the default run"), "batches": (5_000, "of the long run")}
    options = parser_of("studio", __doc__, **numbers).parse_args(argv)
    machine = describe_machine()
    with browser() as chromium:
        studio = StudioProcess()
        try:
            studio.train()  # the first run of a process and what it loads are not measured
            short = compare(studio, chromium, options.rounds)
            drags = drag_time(studio, chromium)
            long = watch_long_run(studio, chromium, options.batches)
        finally:
            studio.close()
        versions = environment(os.cpu_count() or 1)
        versions |= {"nicegui": metadata.version("nicegui"), "chromium": chromium.version}
    result = {
        "default_run": short,
        "drags": drags,
        "long_run": long,
        "recording_budget": inspect.signature(Trainer).parameters["memory_budget_bytes"].default,
        "machine": machine,
        "versions": versions,
        **made_by("studio", ["--rounds", str(options.rounds), "--batches", str(options.batches)]),
    }
    publish(options.out, result, to_markdown, "studio.md")


if __name__ == "__main__":
    main()
