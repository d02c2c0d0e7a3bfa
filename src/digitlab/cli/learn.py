"""``digitlab learn``."""

from __future__ import annotations

from digitlab.cli.output import print_json, stdout
from digitlab.cli.parameters import AsJson


def learn(*term: str, network: str = "codelab_cnn", as_json: AsJson = False) -> None:
    """Explain a term, with the numbers of a network.

    Parameters
    ----------
    term
        What to explain: convolution, learning rate, ... Without one, all terms are listed.
    network
        Whose numbers are told: a network of the zoo (codelab_cnn, dense_baseline, fast_cnn), or a JSON file with
        layers.
    as_json
        Print one JSON object.
    """
    from digitlab.explanation.topics import GROUPS, TOPICS, explain, find_topic
    from digitlab.training.config import TrainConfig

    if not term:
        if as_json:
            print_json({name: topic.title for name, topic in TOPICS.items()})
        else:
            for heading, topics in GROUPS.items():
                _list(heading, {name: topic.title for name, topic in topics.items()})
            stdout().print("Explain one with, for example: digitlab learn convolution")
        return
    name = find_topic(" ".join(term))
    topic = TOPICS[name]
    config = TrainConfig(network=network)
    architecture = config.build_architecture()
    found = explain(name, config, architecture=architecture)
    if as_json:
        document = {"term": name, "title": topic.title, "text": list(found.text), "formula": found.formula}
        print_json(document | {"network": architecture.name, "here": list(found.here), "see": list(topic.see)})
        return
    console = stdout()
    first, *others = found.text
    console.print(topic.title, style="bold")
    for paragraph in (first, *([f"  {found.formula}"] if found.formula else []), *others):
        console.print(f"\n{paragraph}")
    if found.here:
        console.print(f"\nIn {architecture.name}", style="bold")
        console.print("\n\n".join(found.here))
    console.print(f"\nSee also: {', '.join(topic.see)}", style="dim")


def _list(heading: str, titles: dict[str, str]) -> None:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="cyan", min_width=18)
    table.add_column()
    for name, title in titles.items():
        table.add_row(f"  {name}", title)
    console = stdout()
    console.print(heading, style="bold")
    console.print(table)
    console.print()
