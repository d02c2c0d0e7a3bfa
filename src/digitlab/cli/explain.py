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
    from digitlab.explanation.step import StepApart, WeightStep

_SHOWN_TERMS = 8
_UNTRAINED = "untrained"


def explain(
    run: str,
    image: str | None = None,
    /,
    *,
    html: Path | None = None,
    step: int | None = None,
    learning_rate: float | None = None,
    weight: str | None = None,
    beside: str | None = None,
    invert: Flag = False,
    pixels: Pixels = None,
    network: StateNetwork = None,
    out: Path = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Show why a network answers an image as it does, or with --step what one step of its training did.

    Every layer's numbers and the arithmetic behind them; with --html as one page to open in any browser, where every
    number can be taken apart. Of a step: the images with the largest losses, and how far every layer's weights moved.

    Parameters
    ----------
    run
        A run's name or folder, "latest", or a model file: .safetensors, .keras, .h5, .onnx, or TensorFlow.js'
        model.json.
    image
        A picture of one digit, of any size; or a number: that test image of the run's data, from 0.
    html
        The page to write: one file, which needs no server and no network.
    step
        Take this step of the run apart, from 1, instead of an image: the run is trained once more up to it.
    learning_rate
        Take the step with another learning rate; the peak, where there is a schedule.
    weight
        The weight of the step whose change is taken apart, as layer and place: conv2d:2,1,0,3 is row, column, input
        channel and filter, dense:17,4 input and unit, and conv2d:3 a bias.
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
    if (image is None) == (step is None):
        raise InputError("Name an image to explain, or a step with --step; one of the two.")
    if step is not None:
        if html is not None or beside is not None:
            raise InputError("--html and --beside show an image's way through a network; leave them out with --step.")
        _explain_step(run, step, learning_rate, weight, out, as_json=as_json)
        return
    if learning_rate is not None or weight is not None:
        raise InputError("--learning-rate and --weight are about a step; name one with --step.")
    assert image is not None
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
            f"{term.product:+.2f} (input {term.place[0]}: {term.value:.4f} x {term.weight:.4f})"
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


def _explain_step(
    run: str, step: int, learning_rate: float | None, weight: str | None, out: Path, *, as_json: bool
) -> None:
    from digitlab.explanation.step import take_step_apart

    place = None if weight is None else _weight(weight)
    apart = take_step_apart(run, step, learning_rate=learning_rate, out=out)
    why = None if place is None else apart.why(place[0], *place[1], n_terms=_SHOWN_TERMS)
    if as_json:
        print_json(apart.to_dict() if why is None else why.to_dict())
        return
    console = stdout()
    after = "no number any more" if apart.loss_after is None else f"{apart.loss_after:.4f}"
    console.print(
        f"Step {apart.step:,} is batch {apart.batch:,} of epoch {apart.epoch:,}: {len(apart.labels):,} images. Their "
        f"mean loss was {apart.loss:.4f} before it and is {after} after it, with {apart.optimizer.name} and learning "
        f"rate {apart.learning_rate:g}.",
        soft_wrap=True,
    )
    if why is not None:
        for sentence in _weight_sentences(apart, why):
            console.print(sentence, soft_wrap=True)
        return
    console.print()
    console.print(_losses_table(apart))
    console.print()
    console.print(_moves_table(apart))
    for note in apart.notes:
        console.print(note, soft_wrap=True)


def _weight(text: str) -> tuple[str, tuple[int, ...]]:
    layer, _, places = text.partition(":")
    parts = places.split(",")
    if not layer or not all(part.strip().isdecimal() for part in parts) or len(parts) > 4:
        raise InputError(f"A weight is a layer and a place, such as conv2d:2,1,0,3; got {text!r:.60}.")
    return layer, tuple(int(part) for part in parts)


def _losses_table(apart: StepApart) -> Table:
    table = results_table(
        "Its images with the largest losses", right("Training image"), "Label", "Answer", right("Sure of the label"),
        right("Loss"),
    )  # fmt: skip
    for at in (-apart.losses).argsort(kind="stable")[:_SHOWN_TERMS].tolist():
        answers, label = apart.probabilities[at], int(apart.labels[at])
        names = apart.class_names
        table.add_row(
            f"{int(apart.places[at]):,}",
            names[label],
            names[int(answers.argmax())],
            percent(float(answers[label]), 1),
            f"{apart.losses[at]:.4f}",
        )
    return table


def _moves_table(apart: StepApart) -> Table:
    import numpy as np

    table = results_table(
        "Its layers, by the largest of each", "Layer", "Array", right("Weight"), right("Gradient"), right("Change"),
        right("Mean change"),
    )  # fmt: skip
    for layer in apart.layers:
        for name, array in (("kernel", layer.kernel), ("bias", layer.bias)):
            if array is not None:
                largest = (f"{np.abs(each).max():.3g}" for each in (array.before, array.gradient, array.change))
                table.add_row(layer.layer.name, name, *largest, f"{np.abs(array.change).mean():.3g}")
    return table


def _weight_sentences(apart: StepApart, why: WeightStep) -> list[str]:
    from digitlab.explanation.moves import AdamUpdate
    from digitlab.explanation.shares import GRADIENT_FORMULA

    update, rate = why.update, why.learning_rate
    largest = ", ".join(f"{share.share:+.3g} (training image {apart.places[share.image]:,})" for share in why.shares)
    sentences = [
        "",
        f"{why.layer} {why.array} {why.index}: {why.before:.7g} before, {why.after:.7g} after, a change of "
        f"{why.change:.7g}.",
        f"{GRADIENT_FORMULA} = {why.gradient:.7g}, from {why.n_shares:,} images. The largest shares: {largest}.",
        why.formula,
    ]
    if isinstance(update, AdamUpdate):
        t, b1, b2 = update.t, update.beta_1, update.beta_2
        sentences += [
            f"m = {b1:g} x {update.mean_before:.7g} + {1 - b1:g} x {why.gradient:.7g} = {update.mean:.7g}",
            f"v = {b2:g} x {update.square_before:.7g} + {1 - b2:g} x ({why.gradient:.7g})^2 = {update.square:.7g}",
            f"m / (1 - {b1:g}^{t}) = {update.corrected_mean:.7g}, v / (1 - {b2:g}^{t}) = {update.corrected_square:.7g}",
            f"-{rate:g} x {update.corrected_mean:.7g} / (sqrt({update.corrected_square:.7g}) + "
            f"{update.corrected_epsilon:.7g}) = {why.change - why.decay:.7g}",
        ]
    elif update.momentum:
        sentences.append(
            f"velocity = {update.momentum:g} x {update.velocity_before:.7g} - {rate:g} x {why.gradient:.7g} = "
            f"{update.velocity:.7g}"
        )
    else:
        sentences.append(f"-{rate:g} x {why.gradient:.7g} = {why.change - why.decay:.7g}")
    if apart.optimizer.weight_decay:
        sentences.append(
            f"weight decay: -{rate:g} x {apart.optimizer.weight_decay:g} x {why.before:.7g} = {why.decay:.7g}"
        )
    return sentences
