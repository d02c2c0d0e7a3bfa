"""``digitlab explain``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from digitlab.cli.predict import read_digits
from digitlab.cli.terminal import (
    AsJson,
    Flag,
    Pixels,
    StateNetwork,
    print_json,
    results_table,
    right,
    say,
    stdout,
    with_network,
)
from digitlab.errors import DataError, InputError
from digitlab.text import percent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.table import Table

    from digitlab.engine.sequential import Sequential
    from digitlab.explanation.inside import Inside

_SHOWN_TERMS = 8
_UNTRAINED = "untrained"


def explain(
    run: str,
    image: str,
    /,
    *,
    html: Path | None = None,
    beside: str | None = None,
    invert: Flag = False,
    pixels: Pixels = None,
    network: StateNetwork = None,
    out: Path = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Show why a network answers an image as it does: every layer's numbers, and the arithmetic behind them.

    With --html it becomes one page to open in any browser, where every number can be taken apart.

    Parameters
    ----------
    run
        A run's name or folder, "latest", or a model file: .safetensors, .keras, .h5, .onnx, or TensorFlow.js'
        model.json.
    image
        A picture of one digit, of any size; or a number: that test image of the run's data, from 0.
    html
        The page to write: one file, which needs no server and no network.
    beside
        What stands beside it on the page, for the same image: another run, a model file, or "untrained" for the
        network as it was before its training.
    invert
        The picture has dark ink on bright ground: turn it round.
    pixels
        How the pixels were scaled that a model file's network learned from, as for digitlab predict.
    network
        The network whose weights a PyTorch state dict (.safetensors) holds: a name of the zoo, or a JSON file with
        layers. All other files say it themselves.
    out
        The folder of runs.
    as_json
        Print every layer's numbers as one JSON object.
    """
    from digitlab.engine.sequential import Sequential
    from digitlab.explanation.inside import look_inside
    from digitlab.explanation.inside_page import write_inside_page
    from digitlab.reading.predictor import Predictor

    predictor = Predictor(with_network(run, network), out, pixels)
    if predictor.note:
        say(predictor.note, style="yellow")
    model: Any = predictor.model
    if not isinstance(model, Sequential):
        raise InputError(model.sentence())
    shown, title = _image(run, out, image, predictor, invert=invert)
    inside = look_inside(model, shown)
    if beside is not None and html is None:
        raise InputError("Two networks stand beside each other on a page; name the file to write with --html.")
    if html is not None:
        other = None if beside is None else _beside(beside, run, out, model)
        ways = None if other is None else (other, look_inside(other, shown))
        names = _names(run, beside) if beside is not None else ("", "")
        write_inside_page(model, inside, html, title, beside=ways, names=names)
    if as_json:
        print_json(inside.to_dict())
        return
    console = stdout()
    console.print(_layers_table(inside))
    console.print()
    for sentence in _sentences(model, inside):
        console.print(sentence, soft_wrap=True)
    if html is not None:
        console.print(f"{html}: open it in a browser, and choose any number.", soft_wrap=True)


def _image(
    run: str, out: Path, image: str, predictor: Any, *, invert: bool
) -> tuple[NDArray[np.uint8] | NDArray[np.float32], str]:
    """Return the image as the network gets it, and what it is."""
    from digitlab.data.mnist import MnistData
    from digitlab.evaluation.finish import own_folder
    from digitlab.network.formats.files import is_model_file
    from digitlab.reading.reading import ReadingOptions
    from digitlab.runs.listing import find_run

    path = Path(image)
    if image.isdecimal() and not path.exists():
        found = None if is_model_file(run) else find_run(run, out)
        test = MnistData.load(own_folder(found)).test
        place = int(image)
        if place >= len(test):
            raise DataError(f"There are test images 0 to {len(test) - 1:,}; got {place:,}.")
        return test.images[place], f"Test image {place}"
    digits, n_images = read_digits(path, limit=1)
    if n_images > 1:
        raise DataError(f"{image} holds {n_images:,} images, and one is explained. Name a picture, or a test image.")
    given = predictor.as_it_is(digits[0], invert=invert)
    if given is not None:
        return given, path.name
    if predictor.reader is None:
        raise DataError(f"{image} is not 28 x 28 pixels of grey. {predictor.why_not}")
    options = ReadingOptions(invert="always" if invert else "auto")
    return predictor.reader.framed_digit(path, options), path.name


def _beside(beside: str, run: str, out: Path, model: Sequential) -> Sequential:
    """Return the network that stands beside the first."""
    from digitlab.engine.sequential import Sequential
    from digitlab.network.formats.files import is_model_file
    from digitlab.reading.predictor import Predictor
    from digitlab.runs.listing import find_run

    if beside != _UNTRAINED:
        other: Any = Predictor(beside, out).model
        if not isinstance(other, Sequential):
            raise InputError(other.sentence())
        return other
    if is_model_file(run):
        raise InputError("Only a run knows how its network was before the training; name a run, or another model file.")
    seed = find_run(run, out).info().seed
    return Sequential.from_architecture(model.architecture, seed=seed, class_names=model.class_names)


def _names(run: str, beside: str) -> tuple[str, str]:
    return ("Trained", "Before its training") if beside == _UNTRAINED else (Path(run).name, Path(beside).name)


def _layers_table(inside: Inside) -> Table:
    table = results_table(
        f"{inside.network.name}, from the image to the answer",
        "Layer", "Kind", "Numbers", right("Smallest"), right("Mean"), right("Largest"),
    )  # fmt: skip
    for layer in inside.layers:
        numbers = layer.outputs
        shape = " x ".join(map(str, numbers.shape))
        values = (f"{value:.3f}" for value in (numbers.min(), numbers.mean(), numbers.max()))
        table.add_row(layer.layer.name, type(layer.layer).__name__, shape, *values)
    return table


def _sentences(model: Sequential, inside: Inside) -> list[str]:
    """Return the answer, the largest contributions to it, and the smallest change that makes another one."""
    import numpy as np

    from digitlab.errors import NetworkError
    from digitlab.explanation.attribution import smallest_change
    from digitlab.network.layers import Dense

    label, names = inside.label, inside.class_names
    sentences = [f"The answer: {names[label]}, {percent(float(inside.probabilities[label]), 1)}."]
    last = next((layer.layer for layer in reversed(inside.layers) if isinstance(layer.layer, Dense)), None)
    if last is not None:
        why = inside.why(last.name, label)
        largest = ", ".join(
            f"{term.product:+.2f} (input {term.place[0]}: {term.value:.2f} x {term.weight:.2f})"
            for term in why.terms[:_SHOWN_TERMS]
        )
        sentences.append(
            f"Its sum in {last.name} is {why.total:.3f}, from {why.n_terms:,} products and a bias of {why.bias:.3f}. "
            f"The largest: {largest}."
        )
    rival = int(np.argsort(inside.probabilities)[-2])
    try:
        change = smallest_change(model, inside.image, rival)
    except NetworkError as error:
        return [*sentences, str(error)]
    return [
        *sentences,
        f"The smallest change that was found to make it {names[rival]} is {change.distance:.2f}, where a pixel that "
        f"turns from black to white is 1; the whole image is {float(np.linalg.norm(inside.image)):.2f}.",
    ]
