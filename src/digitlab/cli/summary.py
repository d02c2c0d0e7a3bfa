"""``digitlab summary``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from digitlab.errors import InputError

if TYPE_CHECKING:
    from digitlab.network.architecture import Architecture

__all__ = ["summary"]


def summary(
    network: str = "codelab_cnn",
    /,
    *,
    out: Path = Path("runs"),
    as_json: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False,
) -> None:
    """Show a network's layers, shapes and parameters.

    Parameters
    ----------
    network
        A network of the zoo (codelab_cnn, dense_baseline, fast_cnn), a JSON file with layers, a run's name or folder,
        "latest", or a model file: .safetensors, .keras, .onnx, or TensorFlow.js' model.json.
    out
        The folder of runs.
    as_json
        Print one JSON object.
    """
    from digitlab.cli.tables import summary_table
    from digitlab.cli.terminal import print_json, stdout

    architecture = _architecture(network, out)
    if as_json:
        rows = [row.to_dict() for row in architecture.summary()]
        document = {"name": architecture.name, "input_shape": list(architecture.input_shape), "layers": rows}
        print_json(document | {"n_parameters": architecture.n_parameters})
        return
    console = stdout()
    console.print(summary_table(architecture))
    console.print()
    shape = " x ".join(map(str, architecture.input_shape))
    console.print(f"{architecture.n_parameters:,} parameters, all trainable. Input: {shape}.")


def _architecture(name: str, out: Path) -> Architecture:
    from digitlab.network.formats.opening import is_model_file, load_model_file
    from digitlab.network.formats.tfjs import is_layers_model
    from digitlab.network.zoo import ZOO
    from digitlab.runs.listing import find_run
    from digitlab.training.config import TrainConfig

    if name.replace("-", "_") in ZOO or (name.endswith(".json") and not is_layers_model(Path(name))):
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
