"""What a contest's JSON says, in the words of the documentation: cells, means, circumstances."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean, median, stdev
from typing import Any

from contest import QUIET_CORES

#: Versions that say nothing more: what everybody has, and what comes with its library.
_UNSAID = ("numpy", "jaxlib")


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def row(entry: dict[str, Any], cells: Sequence[str]) -> list[str]:
    """Return a contestant's row, with the reason in it where nothing was measured."""
    if entry["n"]:
        return [entry["title"], *cells]
    return [entry["title"], f"not measured: {entry['reason'] or 'not reached'}", *[""] * (len(cells) - 1)]


def spread(entry: dict[str, Any], key: str, digits: int, scale: float = 1.0) -> str:
    """Return ``median [smallest, largest]``; the median alone where all are printed alike, - where there is none."""
    found = entry["summary"].get(key)
    if not found:
        return "-"
    middle, low, high = (f"{found[name] * scale:,.{digits}f}" for name in ("median", "min", "max"))
    return middle if low == high else f"{middle} [{low}, {high}]"


def times(entry: dict[str, Any], key: str) -> str:
    """Return how many times the baseline's value the entry's is, as the median over rounds."""
    found = entry["ratios"].get(key)
    return f"{found['median']:.2f} x" if found else "-"


def paired_ratio(entry: dict[str, Any], other: dict[str, Any], key: str) -> float | None:
    """Return the median, over the rounds both finished, of how many times the other's value the entry's is."""
    own, base = ({run["round"]: run[key] for run in part["runs"]} for part in (entry, other))
    ratios = [own[number] / base[number] for number in own.keys() & base.keys()]
    return median(ratios) if ratios else None


def mean_and_error(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and its standard error, which needs two values or more."""
    return fmean(values), stdev(values) / len(values) ** 0.5 if len(values) > 1 else None


def mean_text(entry: dict[str, Any], key: str) -> str:
    """Return a fraction's ``mean ± standard error`` in per cent."""
    values = [run[key] for run in entry["runs"] if key in run]
    if not values:
        return "-"
    mean, error = mean_and_error(values)
    return f"{100 * mean:.2f} %" if error is None else f"{100 * mean:.2f} ± {100 * error:.2f} %"


def circumstances(result: dict[str, Any]) -> str:
    """Return number of runs, machine, noise, failures, versions, command and date, as a paragraph."""
    machine, entries = result["machine"], result["entries"]
    numbers = sorted({entry["n"] for entry in entries if entry["n"]})
    runs = " to ".join(str(number) for number in dict.fromkeys((numbers[0], numbers[-1]))) if numbers else "0"
    runs += " run" if numbers == [1] else " runs"
    sentences = [f"Medians [smallest, largest] of {runs} each, in turn; ratios are medians over the rounds."]
    if result["interrupted"]:
        sentences.append(f"The measurement was interrupted before {result['rounds']} rounds were complete.")
    others = max((run.get("other_cores", 0.0) for entry in entries for run in entry["runs"]), default=0.0)
    if others > QUIET_CORES:
        sentences.append(f"The machine was not quiet: other programs kept up to {others:.2f} cores busy during a run.")
    sentences += [f"{entry['title']} failed: {entry['reason']}." for entry in entries if entry["n"] and entry["reason"]]
    versions: dict[str, str] = {}
    for entry in entries:
        versions |= {name: number for name, number in entry["versions"].items() if name not in _UNSAID}
    said = "".join(f", {name} {number}" for name, number in versions.items())
    sentences.append(f"{machine['cores']} cores of {machine['cpu']}, Python {machine['python']}{said}.")
    sentences.append(f"Made by `{result['command'].strip()}` on {result['date'][:10]}.")
    return " ".join(sentences)
