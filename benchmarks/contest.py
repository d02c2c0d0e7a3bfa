"""Measure contestants in turn, each in its own virtual environment, and tell the outcome as a table and as JSON.

The rounds go A B C D, A B C D ...: a machine that grows slower or faster meanwhile does so for all of them, and the
ratio of two contestants is taken within each round. A contestant that cannot be installed or crashes keeps its row,
with the reason in it. Only the standard library is needed here.
"""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from peers.peer import Peer, PeerError, prepare, run_once

#: Cores kept busy by other programs during a run, above which the table says that the machine was not quiet.
QUIET_CORES = 0.1


@dataclass(frozen=True)
class Quantity:
    """A column of the table: a key of the runs, its title with unit, how it is printed, and whether a ratio follows.

    A run without it counts as failed, unless it is optional.
    """

    key: str
    title: str
    digits: int = 2
    scale: float = 1.0
    ratio: bool = False
    optional: bool = False


@dataclass
class Entry:
    """What became of one contestant: its runs so far, and the reason why there are no more (None: nothing failed).

    One that is left out has a reason from the start, and is not run. ``options`` are its own arguments in a round, from
    1, and ``most_rounds`` is for those that take long.
    """

    peer: Peer
    runs: list[dict[str, Any]] = field(default_factory=list)
    reason: str | None = None
    options: Callable[[int], Sequence[str]] = lambda number: ()
    most_rounds: int | None = None
    left_out: bool = False

    def leave_out(self, reason: str) -> None:
        """Keep the row, with the reason why nothing is measured."""
        self.reason, self.left_out = reason, True

    def waits(self, number: int) -> bool:
        """Return whether it takes no part in a round."""
        return self.reason is not None or (self.most_rounds is not None and number > self.most_rounds)

    def values(self, key: str) -> dict[int, float]:
        """Return the value of each round that has one."""
        return {run["round"]: run[key] for run in self.runs if key in run}

    @property
    def versions(self) -> dict[str, str]:
        """Return the versions that ran, empty when nothing did."""
        return self.runs[0].get("versions", {}) if self.runs else {}


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


def ratio(entry: Entry, baseline: Entry, key: str) -> Spread | None:
    """Return how many times the baseline's value the entry's is, over the rounds that both finished."""
    own, base = entry.values(key), baseline.values(key)
    return Spread.of([own[number] / base[number] for number in sorted(own.keys() & base.keys()) if base[number]])


@dataclass
class Contest:
    """The entries, the first of which is the baseline, and the circumstances."""

    title: str
    command: str
    rounds: int
    quantities: tuple[Quantity, ...]
    entries: list[Entry]
    machine: dict[str, Any]
    date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    interrupted: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return everything, every single run included, as plain JSON types."""
        return {
            "title": self.title,
            "command": self.command,
            "date": self.date,
            "machine": self.machine,
            "rounds": self.rounds,
            "interrupted": self.interrupted,
            "baseline": self.entries[0].peer.name,
            "entries": [self._entry_dict(entry) for entry in self.entries],
        }

    def _entry_dict(self, entry: Entry) -> dict[str, Any]:
        spreads = {q.key: Spread.of([*entry.values(q.key).values()]) for q in self.quantities}
        ratios = {q.key: ratio(entry, self.entries[0], q.key) for q in self.quantities if q.ratio}
        return {
            "name": entry.peer.name,
            "title": entry.peer.title,
            "install": list(entry.peer.install),
            "versions": entry.versions,
            "n": len(entry.runs),
            "reason": entry.reason,
            "summary": {key: vars(spread) for key, spread in spreads.items() if spread},
            "ratios": {key: vars(spread) for key, spread in ratios.items() if spread},
            "runs": entry.runs,
        }

    def table(self) -> str:
        """Return the outcome as a Markdown table that can be read as plain text too."""
        header = ["contestant", "n"]
        for quantity in self.quantities:
            header += [quantity.title, f"ratio to {self.entries[0].peer.title}"] if quantity.ratio else [quantity.title]
        rows = [[*header, "versions"], *(self._row(entry) for entry in self.entries)]
        # The last column holds versions and reasons, too long to pad.
        widths = [*(max(map(len, column)) for column in zip(*(row[:-1] for row in rows), strict=True)), 0]
        rows.insert(1, ["-" * max(width, 3) for width in widths])
        lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
        machine = ", ".join(f"{key} {value}" for key, value in self.machine.items())
        notes = [f"Median [min, max] of n runs in turn; ratios within a round. {self.date}, {machine}.", self.command]
        others = [load for entry in self.entries for load in entry.values("other_cores").values()]
        if max(others, default=0) > QUIET_CORES:
            notes.insert(0, f"Not a quiet machine: other programs kept up to {max(others):.2f} cores busy.")
        if self.interrupted:
            notes.insert(0, f"Interrupted before {self.rounds} rounds were complete.")
        return "\n".join([f"## {self.title}", "", *lines, "", *notes])

    def _row(self, entry: Entry) -> list[str]:
        row = [entry.peer.title, str(len(entry.runs))]
        for quantity in self.quantities:
            spread = Spread.of([*entry.values(quantity.key).values()])
            row.append(spread.text(quantity.digits, quantity.scale) if spread else "-")
            if quantity.ratio:
                times = ratio(entry, self.entries[0], quantity.key)
                row.append(times.text(2, unit="x") if times else "-")
        remarks = [", ".join(f"{name} {number}" for name, number in entry.versions.items())]
        remarks += [f"{'not measured' if entry.left_out else 'failed'}: {entry.reason}"] if entry.reason else []
        return [*row, "; ".join(filter(None, remarks)) or "not reached"]


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


def hold(contest: Contest, envs: Path, arguments: Sequence[str], say: Callable[[str], None]) -> None:
    """Fill the contest's entries in place; Ctrl-C ends it early and keeps the complete runs."""
    pythons: dict[str, Path] = {}
    try:
        for entry in contest.entries:
            if entry.reason:
                say(f"{entry.peer.title}: {entry.reason}")
                continue
            say(f"{entry.peer.title}: preparing its environment")
            try:
                pythons[entry.peer.name] = prepare(entry.peer, envs)
            except PeerError as error:
                entry.reason = str(error)
                say(f"{entry.peer.title}: {entry.reason}")
        for number in range(1, contest.rounds + 1):
            for entry in contest.entries:
                if entry.waits(number):
                    continue
                try:
                    run = run_once(entry.peer, pythons[entry.peer.name], [*arguments, *entry.options(number)])
                    needed = [quantity.key for quantity in contest.quantities if not quantity.optional]
                    if missing := [key for key in needed if key not in run]:
                        raise PeerError(f"it does not report {', '.join(missing)}")
                except PeerError as error:
                    entry.reason = f"round {number}: {error}"
                    say(f"{entry.peer.title}: {entry.reason}")
                else:
                    entry.runs.append({"round": number, **run})
                    key = contest.quantities[0].key
                    say(f"round {number}/{contest.rounds}, {entry.peer.title}: {key} {run[key]:.3f}")
    except KeyboardInterrupt:
        contest.interrupted = True


def write_json(contest: Contest, path: Path) -> None:
    """Write the contest as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    draft.write_text(json.dumps(contest.to_dict(), indent=1) + "\n")
    draft.replace(path)
