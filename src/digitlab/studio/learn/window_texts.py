"""What the layers that look through windows do, each in a few sentences: convolution and max-pooling."""

from __future__ import annotations

import math

from digitlab.network.layers import Conv2D, Dense, MaxPooling2D
from digitlab.studio.learn.explanation import Explanation, Topic
from digitlab.studio.learn.facts import Facts, Placed, plural, times

__all__ = ["WINDOW_TOPICS"]


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


#: Topics about layers that look through windows.
WINDOW_TOPICS: dict[str, Topic] = {
    "convolution": Topic("Convolution", _convolution, ("filter", "stride", "padding")),
    "filter": Topic("Filter", _filter, ("convolution", "relu")),
    "stride": Topic("Stride", _stride, ("convolution", "max_pooling", "padding")),
    "padding": Topic("Padding", _padding, ("convolution", "stride")),
    "max_pooling": Topic("Max-pooling", _max_pooling, ("stride", "convolution")),
}
