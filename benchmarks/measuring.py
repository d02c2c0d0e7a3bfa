"""What all measurements share: the machine and its noise, rounds in turn, spreads, options, and what is written.

Only the standard library is needed here.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

#: The project's folder, the folder of JSON results, and the folder of the pages that are made from them.
ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGES = ROOT / "docs" / "measurements"
IMAGES = ROOT / "docs" / "images"
#: Cores kept busy by other programs during a run, above which a page says that the machine was not quiet.
QUIET_CORES = 0.1

T = TypeVar("T")


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of ``n`` values."""

    n: int
    median: float
    min: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """Return the spread of the values, or None for no values."""
        return cls(len(values), median(values), min(values), max(values)) if values else None

    def text(self, digits: int, scale: float = 1.0, unit: str = "") -> str:
        """Return ``median [min, max]``, without the brackets when all three are printed alike."""
        middle, low, high = (f"{value * scale:,.{digits}f}{unit}" for value in (self.median, self.min, self.max))
        return middle if low == high else f"{middle} [{low}, {high}]"


def in_turn(things: Sequence[T], n_rounds: int) -> Iterator[tuple[int, T]]:
    """Give every thing once a round, with the round's number from 1, in an order that turns round every time.

    A machine that grows slower or faster meanwhile does so for all of them; ratios are taken within a round.

    Examples
    --------
    >>> "".join(thing for _, thing in in_turn("abc", 3))
    'abccbaabc'
    """
    for number in range(1, n_rounds + 1):
        for thing in things if number % 2 else reversed(things):
            yield number, thing


def describe_machine() -> dict[str, Any]:
    """Return CPU model, cores this process may use, memory, load, system and Python."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.exists() else []
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "cores": cores,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_1min": round(os.getloadavg()[0], 2),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def other_cpu_s() -> float | None:
    """Return the processor time, in seconds, that others than this process and its ended children have used."""
    # Spinning threads (OpenMP's, for one) lose far more than their share to a busy neighbor, so that an unquiet machine
    # distorts the ratios too, and has to show.
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    # user, nice, system, idle, I/O wait, interrupts, soft interrupts, stolen by the host: all but the two that idle.
    ticks = [int(number) for number in stat.read_text().partition("\n")[0].split()[1:9]]
    return (sum(ticks[:3]) + sum(ticks[5:])) / os.sysconf("SC_CLK_TCK") - sum(os.times()[:4])


def rss_bytes(process: int | str = "self") -> int:
    """Return a process' resident memory."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_bytes() -> int | None:
    """Return the most memory that this process has had; None where the system does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


def parser_of(name: str, doc: str | None, **numbers: tuple[int, str]) -> argparse.ArgumentParser:
    """Return a measurement's parser: ``--out`` for its JSON, and whole numbers, each with its default and meaning."""
    parser = argparse.ArgumentParser(prog=f"python benchmarks/{name}.py", description=(doc or "").partition("\n")[0])
    out = RESULTS / f"{name}.json"
    parser.add_argument("--out", type=Path, default=out, metavar="FILE", help="the JSON to write")
    for option, (default, meaning) in numbers.items():
        told = f"{meaning} (default {default:,})"
        parser.add_argument(f"--{option.replace('_', '-')}", type=positive, default=default, metavar="N", help=told)
    return parser


def positive(text: str) -> int:
    """Read a whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number}; give at least 1.")
    return number


def say(text: str) -> None:
    """Tell how far a measurement is, beside what it prints."""
    print(text, file=sys.stderr, flush=True)


def made_by(name: str, argv: Sequence[str] | None) -> dict[str, str]:
    """Return the command that repeats a measurement, and the date, as every result has them."""
    words = sys.argv[1:] if argv is None else argv
    command = f"python benchmarks/{name}.py {shlex.join(words)}".strip()
    return {"command": command, "date": datetime.now(UTC).isoformat(timespec="seconds")}


def publish(out: Path, result: Any, to_markdown: Callable[[Any], str], page: str | None = None) -> None:
    """Write a result and print its page, which becomes the documentation's where the kept result was written."""
    write_json(out, result)
    text = to_markdown(result)
    if page and out.resolve().parent == RESULTS:
        write(PAGES / page, text)
    print(text)


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all, its folders too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    draft.write_text(text, "utf-8")
    draft.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write a result."""
    write(path, json.dumps(value, indent=1) + "\n")


def read_json(path: Path) -> Any:
    """Read a result; an empty one where none is kept."""
    return json.loads(path.read_text("utf-8")) if path.exists() else {}
