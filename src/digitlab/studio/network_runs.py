"""What runs have shown of two networks: the newest two that differ in nothing but the network, if there are such."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from digitlab.errors import DigitlabError
from digitlab.network.architecture import Architecture
from digitlab.runs.listing import run_in
from digitlab.runs.run import CONFIG
from digitlab.studio.run_list import run_lines
from digitlab.studio.trainer import Trainer
from digitlab.values import Value

__all__ = ["NetworkResult", "fair_pair", "results_of", "unlike"]

# No result depends on these, or they name the network, which is compared by its layers.
_IRRELEVANT = ("network", "threads")
# Runs are looked through from the newest on, and no further than this.
_MOST_RUNS = 200


@dataclass(frozen=True, slots=True)
class NetworkResult(Value):
    """A complete run of a network: its name, its settings but the network, and what came out, as fractions.

    The settings include the data, and what was changed on the way.
    """

    run: str
    settings: tuple[tuple[str, Any], ...]
    val_accuracy: float | None
    test_accuracy: float | None


def results_of(trainer: Trainer, networks: Sequence[Architecture]) -> list[list[NetworkResult]]:
    """Return the complete runs of each network, the newest first; reads files, so do it off the event loop.

    Raises
    ------
    StorageError
        If the folder of runs cannot be read.
    """
    found: list[list[NetworkResult]] = [[] for _ in networks]
    if trainer.out is None:
        return found
    for line in run_lines(trainer)[:_MOST_RUNS]:
        info = line.info
        if info is None or info.status != "complete":
            continue
        try:
            description = run_in(trainer.out, line.name).read_json(CONFIG)
            network = Architecture.from_dict(description["network"])
            settings = {name: value for name, value in description["config"].items() if name not in _IRRELEVANT}
            settings["data"] = description["data"]["digest"]
            settings["changed on the way"] = "; ".join(info.changes)
        except (DigitlabError, KeyError, AttributeError, TypeError):
            continue  # the list of runs says what is wrong with it
        result = NetworkResult(line.name, tuple(sorted(settings.items())), info.val_accuracy, info.test_accuracy)
        for wanted, results in zip(networks, found, strict=True):
            if network.layers == wanted.layers:
                results.append(result)
    return found


def unlike(first: NetworkResult, second: NetworkResult) -> list[str]:
    """Return the names of the settings that two runs do not share."""
    a, b = dict(first.settings), dict(second.settings)
    return [name.replace("_", " ") for name in dict.fromkeys([*a, *b]) if a.get(name) != b.get(name)]


def fair_pair(
    first: Sequence[NetworkResult], second: Sequence[NetworkResult]
) -> tuple[NetworkResult | None, NetworkResult | None, bool]:
    """Choose a run of each of two networks, and tell whether all their settings are the same.

    The newest two with the same settings; else the newest of each.
    """
    for a in first:
        for b in second:
            if a.settings == b.settings:
                return a, b, True
    return (first[0] if first else None), (second[0] if second else None), False
