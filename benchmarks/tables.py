"""The one table of the documentation: cells, means and circumstances, from what a measurement's JSON says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import fmean, median, stdev
from typing import Any

from measuring import QUIET_CORES, Spread

#: Versions that say nothing more: what everybody has, and what comes with its library.
_UNSAID = ("numpy", "jaxlib")

Cell = Callable[[dict[str, Any]], str]


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def contest_table(result: dict[str, Any], headings: Sequence[str], cells: Sequence[Any], title: str = "") -> str:
    """Return a table with a row for each contestant.

    A cell is a function of the entry, or ``(key, digits, ...)`` for ``spread``. Where nothing was measured the reason
    stands in the row.
    """
    rows = []
    for entry in result["entries"]:
        if entry["n"]:
            rows.append([entry["title"], *(cell(entry) if callable(cell) else spread(entry, *cell) for cell in cells)])
        else:
            reason = f"not measured: {entry['reason'] or 'not reached'}"
            rows.append([entry["title"], reason, *[""] * (len(cells) - 1)])
    return markdown_table([title, *headings], rows)


def n_runs(entry: dict[str, Any]) -> str:
    """Return the number of an entry's runs."""
    return str(entry["n"])


def spread(entry: dict[str, Any], key: str, digits: int, scale: float = 1.0) -> str:
    """Return ``median [smallest, largest]``; the median alone where all are printed alike, - where there is none."""
    found = entry["summary"].get(key)
    return Spread(**found).text(digits, scale) if found else "-"


def middle(key: str, form: str, scale: float = 1.0) -> Cell:
    """Return a cell with the median of an entry, in a form such as ``{:.2f}``."""
    return lambda entry: form.format(entry["summary"][key]["median"] * scale)


def times(key: str, digits: int = 2) -> Cell:
    """Return a cell that tells how many times the baseline's value the entry's is, as the median over rounds."""

    def cell(entry: dict[str, Any]) -> str:
        found = entry["ratios"].get(key)
        return f"{found['median']:.{digits}f} x" if found else "-"

    return cell


def difference(key: str) -> Cell:
    """Return a cell that tells how far an answer lies from digitlab's at most."""

    def cell(entry: dict[str, Any]) -> str:
        found = entry["summary"].get(key)
        return f"{found['max']:.1e}" if found else "-"

    return cell


def paired_ratio(entry: dict[str, Any], other: dict[str, Any], key: str) -> float | None:
    """Return the median, over the rounds both finished, of how many times the other's value the entry's is."""
    own, base = ({run["round"]: run[key] for run in part["runs"]} for part in (entry, other))
    ratios = [own[number] / base[number] for number in own.keys() & base.keys()]
    return median(ratios) if ratios else None


def mean_text(entry: dict[str, Any], key: str) -> str:
    """Return a fraction's ``mean ± standard error`` in per cent."""
    values = [run[key] for run in entry["runs"] if key in run]
    if len(values) < 2:
        return f"{100 * values[0]:.2f} %" if values else "-"
    return f"{100 * fmean(values):.2f} ± {100 * stdev(values) / len(values) ** 0.5:.2f} %"


def said_versions(result: dict[str, Any]) -> str:
    """Return the versions that ran in a contest, each after a comma."""
    versions: dict[str, str] = {}
    for entry in result["entries"]:
        versions |= {name: number for name, number in entry["versions"].items() if name not in _UNSAID}
    return "".join(f", {name} {number}" for name, number in versions.items())


def on_machine(machine: dict[str, Any]) -> str:
    """Return cores, processor and Python."""
    return f"{machine['cores']} cores of {machine['cpu']}, Python {machine['python']}"


def was_busy(machine: dict[str, Any]) -> str:
    """Return a remark where the machine was not quiet when a measurement began."""
    return "" if machine["load_1min"] < QUIET_CORES * machine["cores"] else ", which was not quiet when it began"


def circumstances(result: dict[str, Any]) -> str:
    """Return number of runs, machine, noise, failures, versions, command and date of a contest, as a paragraph."""
    entries = result["entries"]
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
    sentences.append(f"{on_machine(result['machine'])}{said_versions(result)}.")
    sentences.append(f"Made by `{result['command'].strip()}` on {result['date'][:10]}.")
    return " ".join(sentences)


def page(*parts: str) -> str:
    """Return the parts of a page with empty lines between them."""
    return "\n\n".join(parts) + "\n"
