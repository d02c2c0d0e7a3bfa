"""A contest: contestants measured in turn, each in its own virtual environment, told as a table and as JSON.

The ratio of two contestants is taken within each round. A contestant that cannot be installed or crashes keeps its row,
with the reason in it. Only the standard library is needed here.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contestants import Peer, PeerError, prepare, run_once, write_job
from measuring import QUIET_CORES, ROOT, Spread, describe_machine, in_turn, made_by, parser_of, write_json
from tables import markdown_table


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
    options: Callable[[int], Sequence[object]] = lambda number: ()
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


def ratio(entry: Entry, baseline: Entry, key: str) -> Spread | None:
    """Return how many times the baseline's value the entry's is, over the rounds that both finished."""
    own, base = entry.values(key), baseline.values(key)
    return Spread.of([own[number] / base[number] for number in sorted(own.keys() & base.keys()) if base[number]])


@dataclass
class Contest:
    """The entries, the first of which is the baseline, and the circumstances."""

    title: str
    made_by: dict[str, str]  # command and date
    rounds: int
    quantities: tuple[Quantity, ...]
    entries: list[Entry]
    machine: dict[str, Any] = field(default_factory=describe_machine)
    interrupted: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return everything, every single run included, as plain JSON types."""
        return {
            "title": self.title,
            **self.made_by,
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
        """Return the outcome as a Markdown table, for the terminal."""
        header = ["contestant", "n"]
        for quantity in self.quantities:
            header += [quantity.title, f"ratio to {self.entries[0].peer.title}"] if quantity.ratio else [quantity.title]
        told = markdown_table([*header, "versions"], map(self._row, self.entries))
        circumstances = ", ".join([self.made_by["date"], *(f"{key} {value}" for key, value in self.machine.items())])
        notes = [
            f"Median [min, max] of n runs in turn; ratios within a round. {circumstances}.",
            self.made_by["command"],
        ]
        others = [load for entry in self.entries for load in entry.values("other_cores").values()]
        if max(others, default=0) > QUIET_CORES:
            notes.insert(0, f"Not a quiet machine: other programs kept up to {max(others):.2f} cores busy.")
        if self.interrupted:
            notes.insert(0, f"Interrupted before {self.rounds} rounds were complete.")
        return "\n".join([f"## {self.title}", "", told, "", *notes])

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


def hold(contest: Contest, envs: Path, arguments: Sequence[str], say: Callable[[str], None]) -> None:
    """Fill the contest's entries in place; Ctrl-C ends it early and keeps the complete runs."""
    pythons: dict[str, Path] = {}
    try:
        for entry in contest.entries:
            if not entry.reason:
                say(f"{entry.peer.title}: preparing its environment")
                try:
                    pythons[entry.peer.name] = prepare(entry.peer, envs)
                except PeerError as error:
                    entry.reason = str(error)
            if entry.reason:
                say(f"{entry.peer.title}: {entry.reason}")
        needed = [quantity.key for quantity in contest.quantities if not quantity.optional]
        for number, entry in in_turn(contest.entries, contest.rounds):
            if entry.waits(number):
                continue
            try:
                own = map(str, entry.options(number))
                run = run_once(entry.peer, pythons[entry.peer.name], [*arguments, *own])
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


def contest_parser(name: str, description: str, peers: Iterable[Peer], rounds: int) -> argparse.ArgumentParser:
    """Return a parser with the options of every contest; a script may add its own."""
    known = {peer.name: peer for peer in peers}

    def some(text: str) -> list[str]:
        names = list(dict.fromkeys(text.split(",")))
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}; there are {', '.join(known)}")
        return names

    parser = parser_of(name, description, rounds=rounds)
    add = parser.add_argument
    add("--peers", type=some, default=[*known], metavar="A,B", help=f"of {','.join(known)}; first the baseline")
    add("--envs", type=_folder, default=ROOT / ".venvs", metavar="FOLDER", help="virtual environments, made and reused")
    return parser


def contend(
    name: str,
    argv: Sequence[str],
    options: argparse.Namespace,
    title: str,
    quantities: tuple[Quantity, ...],
    entries: list[Entry],
    job: tuple[object, ...],
    check: Callable[[Path], None] = lambda folder: None,
) -> int:
    """Hold a contest, write its JSON and print its table.

    ``job`` is the name of what the contestants do, and what digitlab is told to write for it into a temporary folder,
    their first argument; ``check`` may look into it and leave entries out. Returns the exit code: 0, 1 without a run of
    the baseline, 130 after Ctrl-C.
    """
    contest = Contest(title, made_by(name, argv), options.rounds, quantities, entries)
    with tempfile.TemporaryDirectory(prefix="digitlab-contest-") as folder:
        try:
            write_job(str(job[0]), options.envs, [folder, *job[1:]])
            check(Path(folder))
        except PeerError as error:
            print(f"What the contestants read could not be written with digitlab: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
        hold(contest, options.envs, [folder], say=lambda text: print(text, file=sys.stderr, flush=True))
    write_json(options.out, contest.to_dict())
    print(contest.table())
    if contest.interrupted:
        return 130
    return 0 if contest.entries[0].runs else 1


def _folder(text: str) -> Path:
    return Path(text).resolve()
