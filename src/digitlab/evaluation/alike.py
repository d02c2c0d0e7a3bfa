"""Alike: what runs were trained with, in which settings they differ, and in a sentence whether they were trained alike.

Figures of runs that were not trained alike do not tell what one setting is worth; so that is said before any figure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from digitlab.errors import DigitlabError, InputError, RunError
from digitlab.network.architecture import Architecture
from digitlab.network.layers import Conv2D, Dense, Layer
from digitlab.runs.run import CONFIG, MODEL, STATE, Run, RunInfo
from digitlab.runs.steering import n_batches
from digitlab.text import listed, setting_text
from digitlab.values import Value

#: The setting that says which data a run learned from, wherever they lay.
DIGEST = "data digest"
# What no setting says: what was done on the way, and where the training ended.
_CHANGED, _ENDED = "changed on the way", "ended"
# What several settings tell of, the first of them for people.
_GROUPS = {
    "the network": ("network", "layers", "initializers", "parameters"),
    "the data": ("data", DIGEST),
    "what was changed on the way": (_CHANGED,),
    "where they ended": (_ENDED,),
}
# Of more differences, and of more changes, a sentence tells the first and the number of the others. Values that are
# longer than that it leaves to the table, and so it does with names, which a damaged run may have.
_MOST_DIFFERENCES, _MOST_CHANGES, _LONGEST, _BETWEEN = 30, 3, 60, "; "
#: No result depends on them, but for rounding.
IRRELEVANT = ("threads", "device", "precision")


@dataclass(frozen=True, slots=True)
class SettingDifference(Value):
    """A setting that the two runs do not share; None where a run has none."""

    name: str
    a: Any
    b: Any


# ---- what a run was made with ----


def run_settings(run: Run) -> dict[str, Any]:
    """Return what a run was made with, by name and for people, as far as that can be told without its weights."""
    description, info = run.read_json(CONFIG), info_of(run)
    config, data = description.get("config"), description.get("data")
    config = config if isinstance(config, Mapping) else {}
    settings = {name: value for name, value in config.items() if name not in IRRELEVANT}
    if isinstance(data, Mapping):
        settings |= {"data": data.get("source"), DIGEST: data.get("digest")}
    settings |= layers_told(description.get("network"))
    settings[_CHANGED] = _BETWEEN.join(info.changes) if info is not None and info.changes else None
    # What learned from corrections had their copies besides, which no setting counts.
    whole = None if "fine_tuned" in description else n_batches(config)
    step, is_complete = 0 if info is None else info.batches_done, run.has(MODEL)
    if not is_complete and run.has(STATE):
        told = run.load_state().metadata.get("step", "")
        step = int(told) if told.isdecimal() else step
    is_short = not is_complete or (whole is not None and 0 < step < whole)
    of = f" of {whole:,}" if whole else ""
    return settings | {_ENDED: f"after batch {step:,}{of}" if is_short else "after the last batch"}


def info_of(run: Run) -> RunInfo | None:
    """Return what a list says of a run; None where its description is damaged, whose weights can be compared still."""
    try:
        return run.info()
    except RunError:
        return None


def layers_told(form: Any) -> dict[str, str]:
    """Return the layers in one line, without their names, and how they begin in another; for people."""
    try:
        layers = Architecture.from_dict(form).layers
    except InputError:
        return {}
    beginnings = [
        f"{type(layer).__name__} {layer.kernel_initializer}, {layer.bias_initializer}"
        for layer in layers
        if isinstance(layer, Conv2D | Dense)
    ]
    return {
        "layers": ", ".join(" ".join([type(layer).__name__, *_choices(layer)]) for layer in layers),
        "initializers": "; ".join(beginnings),
    }


def _choices(layer: Layer) -> Iterator[str]:
    """Return what was chosen of a layer: ``8``, ``5 x 5``, ``relu``."""
    for entry in fields(layer):
        value = getattr(layer, entry.name)
        is_implied = value == entry.default or (entry.name == "strides" and value == getattr(layer, "pool_size", None))
        if entry.name == "name" or entry.name.endswith("_initializer") or is_implied:
            continue
        if isinstance(value, tuple):
            value = " x ".join(map(str, value))
        yield f"{entry.name}={value}" if isinstance(value, bool) or entry.name == "strides" else str(value)


# ---- what they differ in ----


def differing_settings(runs: Sequence[Mapping[str, Any]]) -> list[tuple[str, tuple[Any, ...]]]:
    """Return the settings that not all of the runs share, by name, with each one's value; None where one has none."""
    digests = [settings.get("data digest") for settings in runs]  # which anybody may have written
    found = []
    for name in dict.fromkeys(name for settings in runs for name in settings):
        values = tuple(settings.get(name) for settings in runs)
        # The same images may be found in several places.
        if name == "data" and None not in digests and all(digest == digests[0] for digest in digests):
            continue
        if any(value != values[0] for value in values):
            found.append((name, values))
    return found


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[SettingDifference]:
    """Return the settings that two do not share; of a model file nothing is known but its network."""
    is_known = all(settings.keys() - {"layers", "initializers", "parameters"} for settings in (a, b))
    for name, values in differing_settings([a, b]):
        if is_known or (name in a and name in b):
            yield SettingDifference(name, *values)


def unlike_sentence(names: Sequence[str]) -> str:
    """Say in which settings several runs differ.

    >>> unlike_sentence(["seed"])
    'They were trained alike but for one thing: seed.'
    """
    things = list(dict.fromkeys(_thing(name) for name in names))
    if not things:
        return "They were trained alike, with the same settings."
    if len(things) == 1:
        return f"They were trained alike but for one thing: {things[0]}."
    return (
        f"They were not trained alike: they differ in {listed(_first(things, _MOST_DIFFERENCES))}. What sets their "
        "curves apart may come from any of these."
    )


def differences_told(differences: Iterable[SettingDifference], names: Sequence[str]) -> list[str]:
    """Return each thing that two differ in, with both values where they are short; ``names`` are those of the two.

    >>> differences_told([SettingDifference("seed", 0, 1), SettingDifference("parameters", 10, 20)], "AB")
    ['seed (A: 0, B: 1)', 'the network']
    """
    groups: dict[str, SettingDifference | None] = {}
    for one in differences:
        thing = _thing(one.name)
        if one.name == _GROUPS.get(thing, (one.name,))[0]:
            groups[thing] = one
        else:
            groups.setdefault(thing, None)
    return _first([group + _values_told(one, names) for group, one in groups.items()], _MOST_DIFFERENCES)


def _thing(name: str) -> str:
    """Return what a setting is about: several tell of one thing."""
    return next((thing for thing, members in _GROUPS.items() if name in members), name.replace("_", " ")[:_LONGEST])


def _first(texts: Sequence[str], most: int) -> list[str]:
    more = len(texts) - most
    return [*texts[:most], *([f"{more:,} more"] if more > 0 else [])]


def _values_told(one: SettingDifference | None, names: Sequence[str]) -> str:
    texts = [] if one is None else [_short(one.name, value) for value in (one.a, one.b)]
    if not texts or (one is not None and one.name != _CHANGED and max(map(len, texts)) > _LONGEST):
        return ""
    between = "; " if any(" " in text for text in texts) else ", "
    return f" ({between.join(f'{name}: {text}' for name, text in zip(names, texts, strict=True))})"


def _short(name: str, value: Any) -> str:
    if name == _CHANGED:
        return listed(_first(["nothing"] if value is None else str(value).split(_BETWEEN), _MOST_CHANGES))
    # The page keeps edited networks in files with long paths.
    return Path(value).stem if name == "network" and isinstance(value, str) else setting_text(value)


# ---- two networks, each by the runs that there are of it ----


@dataclass(frozen=True, slots=True)
class NetworkResult(Value):
    """A complete run of a network: its settings but the network, with the data and what was changed on the way."""

    run: str
    settings: tuple[tuple[str, Any], ...]
    val_accuracy: float | None
    test_accuracy: float | None


def results_of(runs: Iterable[tuple[Run, RunInfo]], networks: Sequence[Architecture]) -> list[list[NetworkResult]]:
    """Return the complete ones of the runs by the network that they trained, in their order."""
    found: list[list[NetworkResult]] = [[] for _ in networks]
    for run, info in runs:
        if info.status != "complete":
            continue
        try:
            description = run.read_json(CONFIG)
            network = Architecture.from_dict(description["network"])
            settings = {name: value for name, value in description["config"].items() if name not in IRRELEVANT}
            settings[DIGEST] = description["data"]["digest"]
            settings[_CHANGED] = _BETWEEN.join(info.changes) or None
        except (DigitlabError, KeyError, AttributeError, TypeError):
            continue  # the list of runs says what is wrong with it
        for name in ("network", "data"):  # compared by their layers, and by what is in it
            settings.pop(name, None)
        result = NetworkResult(run.name, tuple(sorted(settings.items())), info.val_accuracy, info.test_accuracy)
        for wanted, results in zip(networks, found, strict=True):
            if network.layers == wanted.layers:
                results.append(result)
    return found


def unlike_settings(first: NetworkResult, second: NetworkResult, names: Sequence[str] = ()) -> list[str]:
    """Return what two runs were not trained alike in, as ``differences_told``; ``names`` are by default the runs'."""
    found = differences(dict(first.settings), dict(second.settings))
    return differences_told(found, names or (first.run, second.run))


def fair_pair(
    first: Sequence[NetworkResult], second: Sequence[NetworkResult]
) -> tuple[NetworkResult | None, NetworkResult | None, bool]:
    """Return the first run of each network with the same settings, or just the first ones; and whether they are."""
    for a in first:
        for b in second:
            if a.settings == b.settings:
                return a, b, True
    return (first[0] if first else None), (second[0] if second else None), False
