"""How many pages an hour does a core read, on a cluster and without, and what does Dask cost a page?

Writes ``benchmarks/results/cluster.json`` and ``docs/measurements/cluster.md``. Pages are A4 at 150 dots an inch with
40 digits of MNIST's test images; each is a file of its own.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image

import digitlab
from cluster_kills import add_files, read_while_killing
from digitlab.data.mnist import MnistData
from digitlab.reading import parts
from digitlab.reading.farm import Asked, Found, Name
from digitlab.reading.many import Task, read_many
from digitlab.reading.parts import PartsProgress, read_parts
from digitlab.reading.reading import ReadingOptions
from measuring import Spread, describe_machine, in_turn, made_by, other_cpu_s, parser_of, publish, say
from tables import markdown_table, page

A4, SMALL = (1754, 1240), (96, 160)
_PART_FILES = 4
_MILLION = 1_000_000
# Rows that a page has where they are made up.
_NUMBERS = 5


def draw_pages(folder: Path, n: int, size: tuple[int, int], n_digits: int) -> list[Path]:
    """Write pages with digits in rows, and return their paths."""
    digits = MnistData.load().test.images
    paths = []
    for k in range(n):
        sheet = np.full(size, 255, np.uint8)
        columns = max(1, (size[1] - 60) // 100) if n_digits > 3 else 3
        for place in range(n_digits):
            row, column = divmod(place, columns)
            top, left = (100 + 150 * row, 60 + 100 * column) if n_digits > 3 else (32, 30 + 30 * column)
            sheet[top : top + 28, left : left + 28] -= digits[(n_digits * k + place) % len(digits)].reshape(28, 28)
        path = folder / f"page-{k:05d}.png"
        Image.fromarray(sheet).save(path)
        paths.append(path)
    return paths


def _steady_ms(times: list[float], counts: list[int]) -> float:
    """Milliseconds a page between the first result and the last, without what it takes to begin."""
    return 1000 * (times[-1] - times[0]) / (counts[-1] - counts[0])


def without_cluster(pages: list[Path], workers: int) -> float:
    """Read pages in processes of this machine: milliseconds a page."""
    times, counts = [], []
    for n, _ in enumerate(read_many([Task(str(path), str(path)) for path in pages], workers=workers), start=1):
        times.append(time.perf_counter())
        counts.append(n)
    return _steady_ms(times, counts)


def on_cluster(names: list[str], workers: int, out: Path, part_files: int = _PART_FILES) -> float:
    """Read pages on Dask's workers on this machine: milliseconds a page."""
    times, counts = [], []

    def note(progress: PartsProgress) -> None:
        if progress.done and progress.done > (counts[-1] if counts else 0):
            times.append(time.perf_counter())
            counts.append(progress.done)

    read_parts(
        names, out, "local", Asked(ReadingOptions()), part_files=part_files, workers=workers, force=True,
        on_progress=note,
    )  # fmt: skip
    return _steady_ms(times, counts)


def client_alone(n_files: int, out: Path) -> dict[str, float]:
    """Let the client work as with workers that take no time: names, parts and table of so many files, stopped midway.

    Returns seconds until parts go out, at first and when it goes on; milliseconds a page; seconds for the table; and
    the most memory, in MiB. It is to be called in a process of its own.
    """
    marks: dict[str, float] = {}
    begun: list[float] = []

    def at_once(_: str, names_of: Callable[[int], list[Name]], missing: Sequence[int], *__: object) -> Found:
        begun.append(time.perf_counter())
        for part in missing:
            numbers = [(name, str(k)) for name, _ in names_of(part) for k in range(_NUMBERS)]
            yield part, [[name, "1", "1", k, "0123456", "0.9", "0 0 9 9", "0", ""] for name, k in numbers], 1

    def stop_midway(progress: PartsProgress) -> None:
        if len(begun) == 1 and 2 * progress.done >= progress.n_files:
            marks["page_ms"] = 1000 * (time.perf_counter() - begun[0]) / progress.done
            raise KeyboardInterrupt
        marks["read"] = time.perf_counter()

    asked, names = Asked(ReadingOptions()), (f"/scans/box-{k // 1000:04d}/page-{k:07d}.png" for k in range(n_files))
    with patch.object(parts, "read_on", at_once):
        start = time.perf_counter()
        with suppress(KeyboardInterrupt):
            read_parts(names, out, "local", asked, on_progress=stop_midway)
        marks["names_s"] = begun[0] - start
        start = time.perf_counter()
        read_parts((), out, "local", asked, on_progress=stop_midway)
        marks["again_s"] = begun[1] - start
    marks["table_s"] = time.perf_counter() - marks.pop("read")
    return marks | {
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "table_mb": out.stat().st_size / 1e6,
    }


def on_one_core(call: Callable[[], float], is_one: bool) -> float:
    """Call something that one core is to do: what is begun meanwhile has no other either."""
    cores = os.sched_getaffinity(0)
    try:
        if is_one:
            os.sched_setaffinity(0, {min(cores)})
        return call()
    finally:
        os.sched_setaffinity(0, cores)


def to_markdown(result: dict[str, Any]) -> str:
    """Return the page."""
    found = {key: Spread(**value) for key, value in result["summary"].items()}
    rows = []
    for workers in (1, 2):
        for kind, title in (("many", "`digitlab read`, processes"), ("dask", "Dask, workers")):
            spread = found[f"{kind} {workers}"]
            hours = Spread(spread.n, *(3.6e6 / value for value in (spread.median, spread.max, spread.min)))
            rows.append([title, str(workers), spread.text(0), hours.text(0)])
    kills, machine, overhead = result["kills"], result["machine"], found["overhead"]
    core_s = found["dask 1"].median / 1000
    text = (
        f"Pages of A4 at 150 dots an inch with 40 digits, {result['pages']} a run, {result['rounds']} runs each in "
        "turn; from the first result to the last. One worker has one core, which it shares with Dask's scheduler and "
        "the client; two have two."
    )
    client, n_files = result["client"], result["client_files"]
    on_paper = (
        f"The client alone, with {n_files:,} names and workers that answer {_NUMBERS} numbers a page at once, "
        f"measured once: **{client['page_ms']:.2f} ms a page** for parts that are kept on the disk; "
        f"{client['names_s']:.0f} s until the first part goes out, {client['again_s']:.0f} s when it goes on with half "
        f"of them read; {client['table_s']:.0f} s for the table of {client['table_mb']:.0f} MB (Parquet); "
        f"{client['mib']:.0f} MiB at most."
    )
    killed = (
        f"Scheduler, workers and client were killed (SIGKILL) {kills['kills_each']} times each at random moments, "
        f"{kills['kills_amid']} of the {3 * kills['kills_each']} while some parts were kept and others were not, as "
        f"{kills['files']:,} files were read, {kills['rounds']} times over: {kills['missing']} of them missing, "
        f"{kills['twice']} there twice, {kills['differing']} read otherwise than before."
    )
    return page(
        "# Pages on a cluster",
        text,
        markdown_table(["", "n", "ms a page", "pages an hour"], rows),
        f"What Dask, the client and the parts cost a page, measured with names of no file, so that nothing is read: "
        f"**{overhead.text(2)} ms**.",
        f"Two workers read {found['dask 1'].median / found['dask 2'].median:.2f} times what one reads. At "
        f"{core_s:.2f} s a page a million pages take {core_s * _MILLION / 3600:,.0f} core hours.",
        on_paper,
        killed,
        f"{machine['cores']} cores of {machine['cpu']}, Python {machine['python']}, digitlab {result['digitlab']}; "
        f"load {machine['load_1min']} when it began, and other programs kept {result['others_cores']:.2f} cores busy"
        f"{', so that times are too long' if result['others_cores'] > 0.1 else ''}. Made by `{result['command']}` on "
        f"{result['date'][:10]}.",
    )


def main(argv: list[str] | None = None) -> None:
    """Measure, write JSON and the page."""
    options = parser_of(
        "cluster", __doc__, pages=(32, "pages a run"), rounds=(3, "runs"), nothing=(4000, "names of no file"),
        client=(1_000_000, "names for the client alone"), kills=(20, "kills of each kind"),
        small=(125, "small pages read meanwhile"),
    ).parse_args(argv)  # fmt: skip
    machine, busy, began = describe_machine(), other_cpu_s(), time.perf_counter()
    values: dict[str, list[float]] = {}
    with TemporaryDirectory(prefix="digitlab-cluster-") as name:
        folder = Path(name)
        (folder / "a4").mkdir()
        (folder / "small").mkdir()
        pages = draw_pages(folder / "a4", options.pages, A4, 40)
        contestants = [(kind, workers) for workers in (1, 2) for kind in ("many", "dask")]
        for number, (kind, workers) in in_turn([*contestants, ("overhead", 1)], options.rounds):
            if kind == "overhead":
                nowhere = [str(folder / "none" / f"{k}.png") for k in range(options.nothing)]
                took = on_cluster(nowhere, 1, folder / "out.csv", 32)
                key = kind
            else:
                key = f"{kind} {workers}"
                if kind == "many":
                    took = on_one_core(lambda n=workers: without_cluster(pages, n), workers == 1)
                else:
                    names = [str(path) for path in pages]
                    took = on_one_core(lambda n=workers, to=names: on_cluster(to, n, folder / "out.csv"), workers == 1)
            values.setdefault(key, []).append(took)
            say(f"round {number}, {key}: {took:.2f} ms a page")
        with ProcessPoolExecutor(1, get_context("spawn")) as apart:
            client = apart.submit(client_alone, options.client, folder / "client.parquet").result()
        say(f"the client alone: {client}")
        after, wall = other_cpu_s(), time.perf_counter() - began
        small = add_files(folder / "small", draw_pages(folder / "small", options.small, SMALL, 3))
        kills = read_while_killing(small, folder, options.kills)
    summary = {key: vars(Spread.of(found)) for key, found in values.items()}
    result = {
        "pages": options.pages,
        "rounds": options.rounds,
        "summary": summary,
        "values": values,
        "ratio": median(values["dask 1"]) / median(values["dask 2"]),
        "client": client,
        "client_files": options.client,
        "kills": kills,
        "machine": machine,
        "others_cores": (after - busy) / wall if after is not None and busy is not None else 0.0,
        "digitlab": digitlab.__version__,
        **made_by("cluster", argv),
    }
    publish(options.out, result, to_markdown, "cluster.md")


if __name__ == "__main__":
    main()
