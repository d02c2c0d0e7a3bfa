"""The network, its layers and its cost, each in a few sentences."""

from __future__ import annotations

import math

from digitlab.explanation.facts import Explanation, Facts, Placed, Topic, plural, times
from digitlab.network.layers import Conv2D, Dense, Dropout, Flatten, Layer, MaxPooling2D
from digitlab.text import listed, percent, size_text


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
        f"ReLU follows the sums of {listed([placed.name for placed in users])}: {plural(n, 'number')} of every image "
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


def _convolution(facts: Facts) -> Explanation:
    text = (
        "A convolution looks at the image through a small window. At every place it multiplies what it sees, pixel by "
        "pixel, with the numbers of a kernel and adds the products up. Where the image looks like the kernel, the sum "
        "is large: the kernel is a pattern, and the output is a map of where that pattern was found.",
        "The same kernel is used at every place. So what is learned about strokes in one corner holds in all others, "
        "and a few numbers are enough.",
    )
    convolutions = facts.placed(Conv2D)
    if not convolutions:
        dense = facts.placed(Dense)[0]
        return Explanation(
            text,
            (
                f"This network has no convolution. Its first layer with weights, {dense.name}, has a weight of its own "
                f"for each of {dense.input_shape[0]:,} inputs in each of its {plural(dense.layer.units, 'unit')}, and "
                "must learn every stroke again at every place.",
            ),
        )
    first, filters = convolutions[0], convolutions[0].layer.filters
    out_height, out_width, _ = first.output_shape
    n_inputs = math.prod(first.layer.kernel) * first.input_shape[2]
    fits = (
        f"It fits into {times((out_height, out_width))} places"
        if first.layer.padding == "valid"
        else f"With a border of zeros there are as many places as pixels, {times((out_height, out_width))}"
    )
    here = (
        f"{first.name} slides a window of {times(first.layer.kernel)} pixels over {times(first.input_shape[:2])}. "
        f"{fits}. With {plural(filters, 'filter')} that makes {times(first.output_shape)} = "
        f"{math.prod(first.output_shape):,} sums of {plural(n_inputs, 'multiply-add')} each: {first.multiply_adds:,} "
        "for one image."
    )
    return Explanation(text, (here,))


def _filter(facts: Facts) -> Explanation:
    text = (
        "A filter is one pattern that a convolution looks for: the numbers of its kernel and one more, the bias, "
        "that is added to every sum. Nobody draws these patterns. They begin as noise, and training turns them into "
        "edges, strokes and ends of strokes.",
        "A filter reads all channels that come in at once, so the filters of a second layer look for arrangements of "
        "what the first has found. In pictures of filters, one colour stands for numbers above zero and another for "
        "those below.",
    )
    convolutions = facts.placed(Conv2D)
    if not convolutions:
        return Explanation(
            text,
            (
                "This network has no convolution and so no filters. The weights from all pixels to one unit of its "
                "first dense layer can be looked at in the same way, as an image.",
            ),
        )
    return Explanation(text, tuple(_filter_numbers(placed, i) for i, placed in enumerate(convolutions[:3])))


def _filter_numbers(placed: Placed[Conv2D], i: int) -> str:
    layer, channels = placed.layer, placed.input_shape[2]
    size = math.prod(layer.kernel) * channels
    kernel = times(layer.kernel if channels == 1 else (*layer.kernel, channels))
    who = f"Your first layer of this kind, {placed.name}," if i == 0 else placed.name
    why = f", because it reads {channels:,} channels" if channels > 1 else ""
    each = f"({size:,} + 1)" if layer.use_bias else f"{size:,}"
    return (
        f"{who} has {plural(layer.filters, 'filter')} of {kernel}{why}: {layer.filters:,} × {each} = "
        f"{plural(placed.n_parameters, 'number')}."
    )


def _stride(facts: Facts) -> Explanation:
    text = (
        "The stride is the step from one window to the next, in pixels. With stride 1 the window stops at every pixel; "
        "with stride 2 at every other one, and the output has half the height and half the width.",
        "Convolutions here have stride 1. Max-pooling steps by the size of its window unless you say otherwise, so "
        "that its windows lie side by side.",
    )
    pools = facts.placed(MaxPooling2D)
    if not pools:
        return Explanation(text, ("This network has no max-pooling: whatever slides in it has stride 1.",))
    pool = pools[0]
    sizes = f"{times(pool.input_shape[:2])} becomes {times(pool.output_shape[:2])}"
    here = f"{pool.name} has a window of {times(pool.layer.pool)} and steps by {_step(pool.layer.stride)}: {sizes}."
    if pool.layer.padding == "valid" and pool.layer.stride != (1, 1):
        one = tuple(n - k + 1 for n, k in zip(pool.input_shape[:2], pool.layer.pool, strict=True))
        here += f" With stride 1 it would be {times(one)}."
    return Explanation(text, (here,))


def _step(stride: tuple[int, int]) -> str:
    if stride[0] == stride[1]:
        return plural(stride[0], "pixel")
    return f"{plural(stride[0], 'pixel')} downwards and {stride[1]:,} sideways"


def _padding(facts: Facts) -> Explanation:
    text = (
        "At the edge a window hangs over. Padding says what then happens: “valid” stops at the edge, and the output "
        "is smaller than the input; “same” puts a border of zeros round the image, and the size stays as it is.",
    )
    here = tuple(_padding_numbers(placed) for placed in facts.placed(Conv2D)[:3])
    return Explanation(text, here or ("This network has no convolution, and so no windows that could hang over.",))


def _padding_numbers(placed: Placed[Conv2D]) -> str:
    before, after, kernel = placed.input_shape, placed.output_shape, placed.layer.kernel
    begin = f"{placed.name} has padding “{placed.layer.padding}”: {times(before[:2])}"
    if placed.layer.padding == "same":
        return f"{begin} stays as it is."
    return f"{begin} becomes {times(after[:2])}, since {before[0]:,} − {kernel[0]:,} + 1 = {after[0]:,}."


def _max_pooling(facts: Facts) -> Explanation:
    text = (
        "Max-pooling keeps the largest number of every window and drops the others. What remains is that a pattern was "
        "found around here, not at which pixel exactly: so a digit may sit a little to the left and is still read.",
        "It has nothing to learn, and the layers after it have less to do.",
    )
    pools = facts.placed(MaxPooling2D)
    if not pools:
        return Explanation(text, ("This network has no max-pooling. You can add one in the Model tab.",))
    here = []
    for pool in pools[:3]:
        before, after = math.prod(pool.input_shape), math.prod(pool.output_shape)
        here.append(
            f"{pool.name} takes the largest of every {times(pool.layer.pool)} window: {times(pool.input_shape)} = "
            f"{before:,} numbers become {times(pool.output_shape)} = {after:,}."
        )
    return Explanation(text, tuple(here))


NETWORK_TOPICS: dict[str, Topic] = {
    "network": Topic("The network and its layers", _network, ("convolution", "max_pooling", "dense", "cost")),
    "relu": Topic("ReLU", _relu, ("convolution", "dense")),
    "flatten": Topic("Flatten", _flatten, ("dense",)),
    "dense": Topic("Dense layer", _dense, ("flatten", "softmax", "dense_baseline")),
    "dropout": Topic("Dropout", _dropout, ("overfitting",)),
    "softmax": Topic("Softmax", _softmax, ("cross_entropy", "calibration")),
    "cost": Topic("The cost of one image", _cost, ("network", "dense_baseline")),
    "dense_baseline": Topic("With and without convolutions", _dense_baseline, ("convolution", "cost", "validation")),
    "convolution": Topic("Convolution", _convolution, ("filter", "stride", "padding")),
    "filter": Topic("Filter", _filter, ("convolution", "relu")),
    "stride": Topic("Stride", _stride, ("convolution", "max_pooling", "padding")),
    "padding": Topic("Padding", _padding, ("convolution", "stride")),
    "max_pooling": Topic("Max-pooling", _max_pooling, ("stride", "convolution")),
}
