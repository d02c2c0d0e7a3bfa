"""The network, its other layers and its cost, each in a few sentences."""

from __future__ import annotations

import math

from digitlab.evaluation.markup import percent
from digitlab.network.layers import Dense, Dropout, Flatten, Layer, MaxPooling2D
from digitlab.studio.learn.explanation import Explanation, Topic
from digitlab.studio.learn.facts import Facts, joined, plural, times

__all__ = ["NETWORK_TOPICS"]


def _network(facts: Facts) -> Explanation:
    network, n = facts.architecture, len(facts.architecture.layers)
    return Explanation(
        (
            "A network is a stack of layers. Each takes numbers, makes other numbers of them and hands those on: first "
            "the pixels, in the end ten probabilities, one for each digit.",
            "The output shape says how many numbers a layer hands on: height, width and channels of an image, or the "
            "length of a row. The parameters are the layer's own numbers: they begin at random, and training changes "
            "them until the answers are right.",
        ),
        (
            f"{network.name} has {plural(n, 'layer')} and {plural(network.n_parameters, 'parameter')}. The shapes go "
            f"from {times(network.input_shape)} (one image) to "
            f"{' to '.join(times(shape) for shape in network.shapes)}.",
        ),
    )


def _relu(facts: Facts) -> Explanation:
    text = (
        "ReLU keeps what is above zero and turns the rest into zero. “The pattern is here, this strongly” goes "
        "through; “the pattern is not here” becomes a plain nothing.",
        "It matters because sums of sums are only sums: without something like it between them, two layers could do no "
        "more than one. Its name is short for rectified linear unit.",
    )
    users = [placed for placed in facts.placed(Layer) if getattr(placed.layer, "activation", "") == "relu"]
    if not users:
        others = (
            "" if not facts.placed(MaxPooling2D) else "; only max-pooling keeps its layers from being one large sum"
        )
        return Explanation(text, (f"No layer of this network uses ReLU{others}.",), "ReLU(x) = max(0, x)")
    n = sum(math.prod(placed.output_shape) for placed in users)
    here = (
        f"ReLU follows the sums of {joined([placed.name for placed in users])}: {plural(n, 'number')} of every image "
        "go through it.",
    )
    return Explanation(text, here, "ReLU(x) = max(0, x)")


def _flatten(facts: Facts) -> Explanation:
    text = (
        "A dense layer wants one row of numbers. Flatten lays an image out as such a row, line by line; it changes no "
        "number and has none of its own.",
    )
    here = tuple(
        f"{placed.name} makes a row of {math.prod(placed.output_shape):,} from {times(placed.input_shape)}."
        for placed in facts.placed(Flatten)[:2]
    )
    return Explanation(text, here)


def _dense(facts: Facts) -> Explanation:
    text = (
        "In a dense layer every unit looks at every input: it multiplies each with a weight of its own, adds all up, "
        "and adds its bias. Units are good at weighing evidence, but they know nothing of what lies beside what.",
    )
    here = []
    for placed in facts.placed(Dense)[:3]:
        layer, n = placed.layer, placed.input_shape[0]
        each = f"({n:,} + 1)" if layer.use_bias else f"{n:,}"
        here.append(
            f"{placed.name} has {plural(layer.units, 'unit')} and {plural(n, 'input')}: {layer.units:,} × {each} = "
            f"{plural(placed.n_parameters, 'number')}."
        )
    return Explanation(text, tuple(here))


def _dropout(facts: Facts) -> Explanation:
    text = (
        "While training, dropout sets a random part of the numbers to zero, others in every batch, and scales up those "
        "that stay. So no unit can rely on one other alone, and the network learns by heart less easily.",
        "When it answers, nothing is dropped. That is why the validation loss can lie below the training loss: the one "
        "is measured with all numbers in place, the other is not.",
    )
    here = []
    for placed in facts.placed(Dropout)[:3]:
        rate, n = placed.layer.rate, math.prod(placed.input_shape)
        here.append(
            f"{placed.name} sets about {percent(rate, 0)} of {n:,} numbers to zero, {rate * n:,.0f} an image, and "
            f"multiplies the others by 1 / (1 − {rate:g}) = {1 / (1 - rate):.2f}."
        )
    return Explanation(
        text, tuple(here) or ("This network has no dropout. You can add a layer of it in the Model tab.",)
    )


def _softmax(facts: Facts) -> Explanation:
    text = (
        "The last layer gives one sum for each digit; they may be any numbers. Softmax makes probabilities of them: "
        "e to the power of each sum, divided by the total of all. Sums of 2, 1 and 0 become 67 %, 24 % and 9 %.",
        "The largest stays the largest, and together they make 100 %. That is also its weakness: a letter, a blank "
        "or a scribble is given ten probabilities that make 100 % as well.",
    )
    last, n = facts.architecture.layers[-1], facts.architecture.n_classes
    here = (
        f"{last.name} gives {n} sums, and softmax makes {n} probabilities of them. Who knows nothing says "
        f"{percent(1 / n, 0)} for each.",
    )
    return Explanation(text, here, "p(digit) = e^sum(digit) / (e^sum(0) + … + e^sum(9))")


def _cost(facts: Facts) -> Explanation:
    from digitlab.network.cost import size_text

    text = (
        "Nearly all work of a network is multiply-adds: a weight times an input, added to a sum. A convolution uses "
        "each of its few weights at every place, so it does much arithmetic with few parameters; a dense layer uses "
        "each weight once.",
        "Learning from an image costs about three times as much as answering it: once forwards, once backwards to see "
        "what each layer contributed to the error, and once for how each weight should change.",
    )
    cost = facts.cost
    busiest = max(cost.layers, key=lambda layer: layer.multiply_adds)
    largest = max(cost.layers, key=lambda layer: layer.n_parameters)
    here = (
        f"One image costs {plural(cost.multiply_adds, 'multiply-add')}. {busiest.name} does most of them, "
        f"{busiest.multiply_adds:,} or {percent(busiest.multiply_adds / max(1, cost.multiply_adds), 0)}; "
        f"{largest.name} has the most parameters, {largest.n_parameters:,} of {cost.n_parameters:,}.",
        f"The weights take {size_text(cost.weights_bytes)}, four bytes each. One image and all that the layers make of "
        f"it are {plural(cost.n_values, 'number')}: {size_text(cost.values_bytes)}.",
    )
    return Explanation(text, here)


def _dense_baseline(facts: Facts) -> Explanation:
    return Explanation(
        (
            "Are convolutions worth their arithmetic? To see it, give a network without them about as many parameters, "
            "train both in the same way and compare.",
            "A dense network spends its parameters on places: a weight for every pixel and unit. The codelab's network "
            "spends them on patterns, and uses each pattern all over the image. So it does far more arithmetic with as "
            "many numbers, and makes fewer mistakes.",
        ),
        (
            f"{facts.architecture.name} has {plural(facts.cost.n_parameters, 'parameter')} and costs "
            f"{plural(facts.cost.multiply_adds, 'multiply-add')} an image.",
        ),
    )


#: Topics about the network.
NETWORK_TOPICS: dict[str, Topic] = {
    "network": Topic("The network and its layers", _network, ("convolution", "max_pooling", "dense", "cost")),
    "relu": Topic("ReLU", _relu, ("convolution", "dense")),
    "flatten": Topic("Flatten", _flatten, ("dense",)),
    "dense": Topic("Dense layer", _dense, ("flatten", "softmax", "dense_baseline")),
    "dropout": Topic("Dropout", _dropout, ("overfitting",)),
    "softmax": Topic("Softmax", _softmax, ("cross_entropy", "calibration")),
    "cost": Topic("The cost of one image", _cost, ("network", "dense_baseline")),
    "dense_baseline": Topic("With and without convolutions", _dense_baseline, ("convolution", "cost", "validation")),
}
