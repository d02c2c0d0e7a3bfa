"""``digitlab summary`` and ``digitlab learn``: a network layer by layer, and what the words mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from digitlab.cli.terminal import AsJson, Flag, StateNetwork, print_json, results_table, right, stdout
from digitlab.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from digitlab.network.architecture import Architecture
    from digitlab.network.cost import Cost
    from digitlab.network.formats.files import LackingError


def summary(
    network: str = "codelab_cnn",
    /,
    *,
    out: Path = Path("runs"),
    cost: Flag = False,
    examples: Path | None = None,
    state_network: StateNetwork = None,
    as_json: AsJson = False,
) -> None:
    """Show a network's layers, shapes and parameters.

    Parameters
    ----------
    network
        A network of the zoo (codelab_cnn, dense_baseline, fast_cnn, finder), a JSON file with layers, a run's name or
        folder, "latest", or a model file: .safetensors, .keras, .h5, .onnx, or TensorFlow.js' model.json.
    out
        The folder of runs.
    cost
        Add what one image costs: multiply-adds and values, layer by layer and in all.
    examples
        Of a finder: write pictures of what it practises on into this folder, with digits framed in green, separators in
        blue, and what it is not asked about in red.
    state_network
        The network whose weights a PyTorch state dict (.safetensors) holds: a name of the zoo, or a JSON file with
        layers.
    as_json
        Print one JSON object.
    """
    from digitlab.network.formats.files import LackingError

    try:
        architecture = _architecture("finder_cnn" if network == "finder" else network, out, state_network)
    except LackingError as error:
        _show_runtime(error, wants_more=cost or examples is not None, as_json=as_json)
        return
    price = _cost(architecture) if cost else None
    pictures = _write_examples(architecture, examples)
    if as_json:
        rows = [row.to_dict() for row in architecture.summary()]
        document = {"name": architecture.name, "input_shape": list(architecture.input_shape), "layers": rows}
        priced = {} if price is None else {"cost": price.to_dict()}
        print_json(document | {"n_parameters": architecture.n_parameters} | priced)
        return
    console = stdout()
    console.print(_summary_table(architecture, price))
    console.print()
    shape = " x ".join("any" if side is None else str(side) for side in architecture.input_shape)
    if pictures:
        console.print(f"{len(pictures)} pictures of practice pages in {pictures[0].parent}.", soft_wrap=True)
    console.print(f"{architecture.n_parameters:,} parameters, all trainable. Input: {shape}.")
    if price is not None:
        console.print(f"One image costs {price.sentence}.", soft_wrap=True)


def _show_runtime(error: LackingError, *, wants_more: bool, as_json: bool) -> None:
    """Show what is known of a model that digitlab's layers cannot express: what it takes and gives, and who runs it."""
    from digitlab.engine.runtime import RuntimeModel

    model = RuntimeModel(error.path, error.why)
    if wants_more:
        raise InputError(model.sentence())
    if as_json:
        shape, n = list(model.architecture.input_shape), model.count_params()
        told = {"name": model.name, "input_shape": shape, "layers": [], "n_parameters": n}
        print_json(told | {"runtime": model.runtime, "input": model.inputs, "output": model.outputs})
        return
    console = stdout()
    model.summary(lambda line: console.print(line, soft_wrap=True, markup=False, highlight=False))


def _cost(architecture: Architecture) -> Cost:
    from digitlab.network.cost import cost_of

    if architecture.answers_maps:
        raise InputError(
            f"What one image costs depends on its size, and {architecture.name} takes images of any size; leave out "
            "--cost."
        )
    return cost_of(architecture)


def _summary_table(architecture: Architecture, cost: Cost | None) -> Table:
    """Return the table Layer Name | Output Shape | # Of Params | Trainable, and what one image costs in each layer."""
    priced = () if cost is None else (right("Multiply-adds"), right("Values"))
    table = results_table(architecture.name, "Layer Name", "Output Shape", right("# Of Params"), "Trainable", *priced)
    for position, row in enumerate(architecture.summary()):
        shape = ", ".join(["batch", *map(str, row.output_shape)])
        told = (row.name, f"({shape})", f"{row.n_parameters:,}", "yes" if row.trainable else "no")
        layer = None if cost is None else cost.layers[position]
        table.add_row(*told, *(() if layer is None else (f"{layer.multiply_adds:,}", f"{layer.n_values:,}")))
    return table


def _write_examples(architecture: Architecture, folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    if not architecture.answers_maps:
        raise InputError(f"Only a finder practises on pages; {architecture.name} learns from the images of its data.")
    from digitlab.errors import StorageError
    from digitlab.training.pages import write_sheets

    try:
        return write_sheets(folder)
    except OSError as error:
        raise StorageError(f"The pictures cannot be written to {folder}: {error.strerror or error}.") from None


def _architecture(name: str, out: Path, state_network: str | None) -> Architecture:
    from digitlab.network.formats.files import is_model_file, load_model_file
    from digitlab.network.formats.tfjs import is_layers_model
    from digitlab.network.zoo import FINDERS, ZOO
    from digitlab.runs.listing import find_run
    from digitlab.training.config import TrainConfig

    if state_network is not None:
        return load_model_file(name, state_network).architecture
    if name.replace("-", "_") in ZOO | FINDERS or (name.endswith(".json") and not is_layers_model(Path(name))):
        return TrainConfig(network=name).build_architecture()
    if is_model_file(name):
        return load_model_file(name).architecture
    try:
        run = find_run(name, out)
    except InputError:
        if Path(name).exists():
            raise
        try:
            return TrainConfig(network=name).build_architecture()
        except InputError as no_network:
            raise InputError(f"{no_network} Nor is there such a run in {out}.") from None
    return run.load_model().architecture


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
    from digitlab.explanation.topics import GROUPS, TOPICS, lesson

    if not term:
        if as_json:
            print_json({name: topic.title for name, topic in TOPICS.items()})
        else:
            for heading, topics in GROUPS.items():
                _list(heading, {name: topic.title for name, topic in topics.items()})
            stdout().print("Explain one with, for example: digitlab learn convolution")
        return
    told = lesson(" ".join(term), network)
    if as_json:
        print_json(told)
        return
    console = stdout()
    first, *others = told["text"]
    console.print(told["title"], style="bold")
    for paragraph in (first, *([f"  {told['formula']}"] if told["formula"] else []), *others):
        console.print(f"\n{paragraph}")
    if told["here"]:
        console.print(f"\nIn {told['network']}", style="bold")
        console.print("\n\n".join(told["here"]))
    console.print(f"\nSee also: {', '.join(told['see'])}", style="dim")


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
