"""What the contests' scripts share at the command line: their options, the folder of files, and how they end."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

from contest import Contest, hold, write_json
from peers.peer import ROOT, PeerError


def command_line(name: str, argv: list[str]) -> str:
    """Return the command that repeats a measurement."""
    return f"python benchmarks/{name}.py {shlex.join(argv)}".strip()


def options_for(name: str, description: str, peers: Collection[str], rounds: int) -> argparse.ArgumentParser:
    """Return a parser with the options of every contest; a script may add its own."""

    def some(text: str) -> list[str]:
        names = list(dict.fromkeys(text.split(",")))
        if unknown := [name for name in names if name not in peers]:
            raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}; there are {', '.join(peers)}")
        return names

    parser = argparse.ArgumentParser(prog=f"python benchmarks/{name}.py", description=description)
    add = parser.add_argument
    out = ROOT / "benchmarks" / "results" / f"{name}.json"
    add("--rounds", type=positive, default=rounds, metavar="N", help=f"runs of each contestant (default {rounds})")
    add("--out", type=Path, default=out, metavar="FILE", help="the JSON to write")
    add("--peers", type=some, default=[*peers], metavar="A,B", help=f"of {','.join(peers)}; first the baseline")
    add("--envs", type=_folder, default=ROOT / ".venvs", metavar="FOLDER", help="virtual environments, made and reused")
    return parser


def positive(text: str) -> int:
    """Read a whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def contend(contest: Contest, envs: Path, out: Path, write: Callable[[Path], None]) -> int:
    """Hold the contest, write its JSON and print its table.

    Parameters
    ----------
    contest : Contest
        Its entries are filled in place.
    envs, out : Path
        The folder of virtual environments, and the JSON to write.
    write : callable
        Writes what the contestants read into a temporary folder, which is their first argument.

    Returns
    -------
    int
        The exit code: 0, 1 without a run of the baseline, 130 after Ctrl-C.
    """
    with tempfile.TemporaryDirectory(prefix="digitlab-contest-") as folder:
        try:
            write(Path(folder))
        except PeerError as error:
            print(f"What the contestants read could not be written with digitlab: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
        hold(contest, envs, [folder], say=lambda text: print(text, file=sys.stderr, flush=True))
    write_json(contest, out)
    print(contest.table())
    if contest.interrupted:
        return 130
    return 0 if contest.entries[0].runs else 1


def _folder(text: str) -> Path:
    return Path(text).resolve()
