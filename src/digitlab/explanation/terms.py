"""The numbers that are told with each term of ``terms.toml``: a function a term, named as the term is."""

from __future__ import annotations

import math
from typing import TypeAlias

from digitlab.engine.optimizers import Adam
from digitlab.explanation.facts import Facts, Placed, plural, times
from digitlab.metrics import wilson_interval
from digitlab.network.layers import (
    AveragePooling2D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Layer,
    MaxPooling2D,
    activation_of,
)
from digitlab.text import listed, percent, size_text
from digitlab.values import CLASS_NAMES

# A paragraph, or several.
Told: TypeAlias = str | list[str]


def _batches(n: int) -> str:
    return plural(n, "batch", "batches")


def images(facts: Facts) -> str:
    data = facts.data
    shape = facts.architecture.input_shape
    total = len(data.training) + len(data.validation) + len(data.test)
    each = f"{times(shape)} = {math.prod(shape):,}" if len(shape) > 1 else times(shape)
    return (
        f"An image is {each} numbers. Of {plural(total, 'image')}, "
        f"{len(data.training):,} are for training, {len(data.validation):,} for validation and {len(data.test):,} "
        f"for the test. You train with {facts.n_training:,} of them."
    )


def class_counts(facts: Facts) -> str:
    counts = facts.class_counts("training")
    fewest, most, names = int(counts.argmin()), int(counts.argmax()), facts.data.class_names
    return (
        f"Among {plural(len(facts.data.training), 'training image')} the rarest is {names[fewest]} with "
        f"{counts[fewest]:,}, the most frequent {names[most]} with {counts[most]:,}. Always answering "
        f"{names[most]} would be right in {percent(counts[most] / counts.sum(), 1)}."
    )


def mean_image(facts: Facts) -> str:
    n, n_classes = len(facts.data.training), len(facts.data.class_names)
    return (
        f"Each mean is over some {n / n_classes:,.0f} of {plural(n, 'training image')}. The network sees the single "
        "images and never a mean."
    )


def data_source(facts: Facts) -> str:
    return f"{'Here:' if facts.config.data is None else 'They come from'} {facts.data.source}."


def own_digits(facts: Facts) -> str:
    n = len(facts.data.training)
    return (
        f"The network of this page learns from {plural(n, 'image')} of that kind and has seen no other. What looks "
        "otherwise to it is answered by chance, however sure it is."
    )


def not_a_digit(facts: Facts) -> str:
    n_outputs = facts.architecture.n_classes
    has = f"{facts.architecture.name} has {n_outputs} outputs"
    if n_outputs > len(CLASS_NAMES):
        return f"{has}, so it can say that there is no digit."
    return f"{has} and none for “no digit”: whatever it sees, their probabilities sum to 100 %."


def own_photos(facts: Facts) -> str:
    return (
        "Photos stay in the memory of this computer while the page is open. Nothing is written to the disk but "
        "the corrections that you make, each an image of 28 × 28 pixels."
    )


def confidence(facts: Facts) -> str:
    return f"Example: four digits with {percent(0.99, 0)} each make a number with {percent(0.99**4, 1)}."


def normalisation(facts: Facts) -> str:
    taken = times(facts.architecture.input_shape[:2])
    return f"{facts.architecture.name} takes {taken} numbers, and was shown nothing but images made in this way."


def corrections(facts: Facts) -> str:
    n_test = len(facts.data.test)
    return (
        f"Every fifth of {plural(n_test, 'test image')} tells whether anything was forgotten. How many corrections "
        "are right afterwards tells little: it has just learned them."
    )


def network(facts: Facts) -> str:
    network, n = facts.architecture, len(facts.architecture.layers)
    return (
        f"{network.name} has {plural(n, 'layer')} and {plural(network.n_parameters, 'parameter')}. The shapes go "
        f"from {times(network.input_shape)} (one image) to "
        f"{' to '.join(times(shape) for shape in network.shapes)}."
    )


def relu(facts: Facts) -> str:
    users = [placed for placed in facts.placed(Layer) if activation_of(placed.layer)[0] == "relu"]
    if not users:
        bends = {activation_of(placed.layer)[0] for placed in facts.placed(Layer)} - {"linear", "softmax"}
        if bends:
            return f"No layer of this network uses ReLU; it uses {listed(sorted(bends))}."
        others = (
            "" if not facts.placed(MaxPooling2D) else "; only max-pooling keeps its layers from being one large sum"
        )
        return f"No layer of this network uses ReLU{others}."
    n = sum(math.prod(placed.output_shape) for placed in users)
    return (
        f"ReLU follows the sums of {listed([placed.name for placed in users])}: {plural(n, 'number')} of every image "
        "go through it."
    )


def activation(facts: Facts) -> Told:
    here = []
    for placed in facts.placed(Layer):
        name, below = activation_of(placed.layer)
        if name not in ("linear", "softmax"):
            size = f" with {below:g} below zero" if name in ("leaky_relu", "elu") else ""
            here.append(f"{placed.name} ({name}{size}, {plural(math.prod(placed.output_shape), 'number')})")
    return f"In this network: {listed(here)}." if here else "No layer of this network bends its sums with one of them."


def flatten(facts: Facts) -> Told:
    return [
        f"{placed.name} makes a row of {math.prod(placed.output_shape):,} from {times(placed.input_shape)}."
        for placed in facts.placed(Flatten)[:2]
    ]


def dense(facts: Facts) -> Told:
    here = []
    for placed in facts.placed(Dense)[:3]:
        layer, n = placed.layer, placed.input_shape[0]
        each = f"({n:,} + 1)" if layer.use_bias else f"{n:,}"
        here.append(
            f"{placed.name} has {plural(layer.units, 'unit')} and {plural(n, 'input')}: {layer.units:,} × {each} = "
            f"{plural(placed.n_parameters, 'number')}."
        )
    return here


def dropout(facts: Facts) -> Told:
    here = []
    for placed in facts.placed(Dropout)[:3]:
        rate, n = placed.layer.rate, math.prod(placed.input_shape)
        here.append(
            f"{placed.name} sets about {percent(rate, 0)} of {n:,} numbers to zero, {rate * n:,.0f} an image, and "
            f"multiplies the others by 1 / (1 − {rate:g}) = {1 / (1 - rate):.2f}."
        )
    return here or "This network has no dropout. You can add a layer of it in the Model tab."


def softmax(facts: Facts) -> str:
    last, n = facts.architecture.layers[-1], facts.architecture.n_classes
    return (
        f"{last.name} gives {n} sums, and softmax makes {n} probabilities of them. Who knows nothing says "
        f"{percent(1 / n, 0)} for each."
    )


def cost(facts: Facts) -> Told:
    cost = facts.cost
    busiest = max(cost.layers, key=lambda layer: layer.multiply_adds)
    largest = max(cost.layers, key=lambda layer: layer.n_parameters)
    return [
        f"One image costs {plural(cost.multiply_adds, 'multiply-add')}. {busiest.name} does most of them, "
        f"{busiest.multiply_adds:,} or {percent(busiest.multiply_adds / max(1, cost.multiply_adds), 0)}; "
        f"{largest.name} has the most parameters, {largest.n_parameters:,} of {cost.n_parameters:,}.",
        f"The weights take {size_text(cost.weights_bytes)}, four bytes each. One image and all that the layers make of "
        f"it are {plural(cost.n_values, 'number')}: {size_text(cost.values_bytes)}.",
    ]


def dense_baseline(facts: Facts) -> str:
    return (
        f"{facts.architecture.name} has {plural(facts.cost.n_parameters, 'parameter')} and costs "
        f"{plural(facts.cost.multiply_adds, 'multiply-add')} an image."
    )


def convolution(facts: Facts) -> str:
    convolutions = facts.placed(Conv2D)
    if not convolutions:
        dense = facts.placed(Dense)[0]
        return (
            f"This network has no convolution. Its first layer with weights, {dense.name}, has a weight of its own "
            f"for each of {dense.input_shape[0]:,} inputs in each of its {plural(dense.layer.units, 'unit')}, and "
            "must learn every stroke again at every place."
        )
    first, filters = convolutions[0], convolutions[0].layer.filters
    out_height, out_width, _ = first.output_shape
    n_inputs = math.prod(first.layer.kernel) * first.input_shape[2]
    places = times((out_height, out_width))
    if first.layer.stride != (1, 1):
        fits = f"In steps of {_step(first.layer.stride)} it stops at {places} places"
    elif first.layer.padding == "valid":
        fits = f"It fits into {places} places"
    else:
        fits = f"With a border of zeros there are as many places as pixels, {places}"
    return (
        f"{first.name} slides a window of {times(first.layer.kernel)} pixels over {times(first.input_shape[:2])}. "
        f"{fits}. With {plural(filters, 'filter')} that makes {times(first.output_shape)} = "
        f"{math.prod(first.output_shape):,} sums of {plural(n_inputs, 'multiply-add')} each: {first.multiply_adds:,} "
        "for one image."
    )


def filter(facts: Facts) -> Told:
    convolutions = facts.placed(Conv2D)
    if not convolutions:
        return (
            "This network has no convolution and so no filters. The weights from all pixels to one unit of its "
            "first dense layer can be looked at in the same way, as an image."
        )
    return [_filter_numbers(placed, i) for i, placed in enumerate(convolutions[:3])]


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


def stride(facts: Facts) -> str:
    for placed in facts.placed(Layer):
        layer = placed.layer
        if isinstance(layer, MaxPooling2D | AveragePooling2D):
            window = layer.pool
        elif isinstance(layer, Conv2D) and layer.stride != (1, 1):
            window = layer.kernel
        else:
            continue
        sizes = f"{times(placed.input_shape[:2])} becomes {times(placed.output_shape[:2])}"
        here = f"{placed.name} has a window of {times(window)} and steps by {_step(layer.stride)}: {sizes}."
        if layer.padding == "valid" and layer.stride != (1, 1):
            one = tuple(n - k + 1 for n, k in zip(placed.input_shape[:2], window, strict=True))
            here += f" With stride 1 it would be {times(one)}."
        return here
    return "This network has no pooling by windows: whatever slides in it has stride 1."


def _step(stride: tuple[int, int]) -> str:
    if stride[0] == stride[1]:
        return plural(stride[0], "pixel")
    return f"{plural(stride[0], 'pixel')} downwards and {stride[1]:,} sideways"


def padding(facts: Facts) -> Told:
    here = [_padding_numbers(placed) for placed in facts.placed(Conv2D)[:3]]
    return here or "This network has no convolution, and so no windows that could hang over."


def _padding_numbers(placed: Placed[Conv2D]) -> str:
    before, after, kernel = placed.input_shape, placed.output_shape, placed.layer.kernel
    begin = f"{placed.name} has padding “{placed.layer.padding}”: {times(before[:2])}"
    if placed.layer.stride != (1, 1):
        return f"{begin} becomes {times(after[:2])}, in steps of {_step(placed.layer.stride)}."
    if placed.layer.padding == "same":
        return f"{begin} stays as it is."
    return f"{begin} becomes {times(after[:2])}, since {before[0]:,} − {kernel[0]:,} + 1 = {after[0]:,}."


def max_pooling(facts: Facts) -> Told:
    pools = facts.placed(MaxPooling2D)
    if not pools:
        return "This network has no max-pooling. You can add one in the Model tab."
    here = []
    for pool in pools[:3]:
        before, after = math.prod(pool.input_shape), math.prod(pool.output_shape)
        here.append(
            f"{pool.name} takes the largest of every {times(pool.layer.pool)} window: {times(pool.input_shape)} = "
            f"{before:,} numbers become {times(pool.output_shape)} = {after:,}."
        )
    return here


def average_pooling(facts: Facts) -> Told:
    here = []
    for pool in [*facts.placed(AveragePooling2D), *facts.placed(GlobalAveragePooling2D)][:3]:
        window = pool.layer.pool if isinstance(pool.layer, AveragePooling2D) else pool.input_shape[:2]
        before, after = math.prod(pool.input_shape), math.prod(pool.output_shape)
        here.append(
            f"{pool.name} takes the mean of every {times(window)} window: {times(pool.input_shape)} = {before:,} "
            f"numbers become {times(pool.output_shape)}{f' = {after:,}' if len(pool.output_shape) > 1 else ''}."
        )
    return here or "This network has no average pooling. You can add one in the Model tab."


def training(facts: Facts) -> str:
    config = facts.config
    return (
        f"{plural(facts.n_training, 'image')} in batches of {facts.batch_size:,} are "
        f"{_batches(facts.n_batches)} an epoch; in {plural(config.epochs, 'epoch')} the "
        f"{plural(facts.cost.n_parameters, 'parameter')} move {facts.n_steps:,} times."
    )


def batch(facts: Facts) -> str:
    full, last = facts.n_batches - 1, facts.n_last
    if last == facts.batch_size:
        parts = f"{facts.n_batches:,} of {facts.batch_size:,}"
    else:
        parts = f"{full:,} of {facts.batch_size:,} and a last one of {last:,}"
    return (
        f"An epoch of {plural(facts.n_training, 'training image')} has {_batches(facts.n_batches)}: "
        f"{parts}. The run of {plural(facts.config.epochs, 'epoch')} has {_batches(facts.n_steps)}, "
        "and so many steps."
    )


def epoch(facts: Facts) -> str:
    config = facts.config
    order = (
        f"Each has an order of its own, drawn from the seed {config.seed}."
        if config.shuffle
        else "All have the same order, because shuffling is off."
    )
    watched = (
        f" After each, {plural(facts.n_validation, 'validation image')} are answered."
        if facts.n_validation
        else " There are no validation images, so nothing is measured after it."
    )
    return f"{plural(config.epochs, 'epoch')} of {plural(facts.n_training, 'image')}. {order}{watched}"


def cross_entropy(facts: Facts) -> str:
    n = facts.architecture.n_classes
    smoothing = facts.config.label_smoothing
    smoothed = (
        f" With label smoothing the network learns as if {percent(smoothing, 0)} of the truth were any digit, so that "
        "it does not become ever surer; the curve shows the loss without it."
        if smoothing
        else ""
    )
    return (
        f"Every point of the chart is the mean over a batch of {plural(facts.batch_size, 'image')}. Who gives "
        f"{percent(1 / n, 0)} to each of the {n} digits has a loss of ln {n} = {math.log(n):.2f}: about there the "
        f"curve begins.{smoothed}"
    )


def gradient(facts: Facts) -> str:
    n = facts.cost.n_parameters
    return f"For every batch there are {plural(n, 'slope')}, one for each parameter."


def optimizer(facts: Facts) -> str:
    optimizer = facts.config.build_optimizer()
    if isinstance(optimizer, Adam):
        return adam(facts)
    momentum = optimizer.momentum
    going_on = (
        f" momentum = {momentum:g} takes {percent(momentum, 0)} of the last step again, which in a steady direction "
        f"makes steps {1 / (1 - momentum):,.1f} times as long."
        if momentum
        else " There is no momentum."
    )
    return f"Your optimizer is SGD with a learning rate of {facts.config.learning_rate:g}.{going_on}{_decay(facts)}"


def adam(facts: Facts) -> str:
    config, n = facts.config, facts.cost.n_parameters
    if not isinstance(config.build_optimizer(), Adam):
        return (
            f"You have chosen {config.optimizer} now, which keeps no such means; with Adam it would be 2 × {n:,} "
            "numbers more."
        )
    return (
        f"beta_1 = {config.beta_1:g} makes the first mean one over about {_reach(config.beta_1)}, beta_2 = "
        f"{config.beta_2:g} the second over about {_reach(config.beta_2)}. The learning rate is "
        f"{config.learning_rate:g}. The two means are 2 × {n:,} = {2 * n:,} numbers beside the parameters."
        + _decay(facts)
    )


def _decay(facts: Facts) -> str:
    decay = facts.config.build_optimizer().weight_decay
    if not decay:
        return ""
    return (
        f" Weight decay also takes {decay:g} × {facts.config.learning_rate:g} of itself off every parameter in each "
        "step, which keeps them small."
    )


def _reach(beta: float) -> str:
    return _batches(max(1, round(1 / (1 - beta))))


def learning_rate(facts: Facts) -> str:
    config = facts.config
    here = f"Yours is {config.learning_rate:g}."
    if config.schedule == "constant":
        here += " It stays the same over the run."
        if config.optimizer != "sgd":
            reach = config.learning_rate * facts.n_steps
            here += (
                f" With {config.optimizer} a parameter seldom moves by more than that in a step: in "
                f"{plural(facts.n_steps, 'step')} by {reach:.3g}, if it always goes the same way."
            )
    elif config.schedule == "cosine":
        here += f" It falls from there to zero along half a cosine wave, over {plural(facts.n_steps, 'step')}."
    else:
        here += (
            " It is the peak: the rate begins at a 25th of it, rises for the first 30 % of "
            f"{plural(facts.n_steps, 'step')} and then falls to nearly zero."
        )
    return here


def overfitting(facts: Facts) -> str:
    n, n_images, available = facts.cost.n_parameters, facts.n_training, len(facts.data.training)
    each = f"{n / n_images:,.1f}" if n < 100 * n_images else f"{n / n_images:,.0f}"
    here = f"Your network has {plural(n, 'parameter')} and sees {plural(n_images, 'image')}: {each} numbers for each."
    if n_images < available:
        here += f" There are {available:,} training images: {available - n_images:,} more than you use."
    if facts.config.early_stopping:
        here += f" Training stops after {plural(facts.config.early_stopping, 'epoch')} without a lower val_loss."
    return here


def time_travel(facts: Facts) -> str:
    size = 4 * facts.cost.n_parameters
    return (
        f"One copy is {facts.cost.n_parameters:,} × 4 bytes = {size:,} bytes; the whole run has "
        f"{_batches(facts.n_steps)}. Where all copies would be too much for the memory set "
        "aside, every second one is dropped."
    )


def validation(facts: Facts) -> str:
    data, n = facts.data, facts.n_validation
    here = f"You learn from {facts.n_training:,} of {plural(len(data.training), 'training image')} and watch "
    here += (
        f"{n:,} of {plural(len(data.validation), 'validation image')}"
        if n
        else "no validation images, so over-fitting stays unseen"
    )
    here += f". The {plural(len(data.test), 'test image')} wait for the Evaluation tab."
    if n:
        low, high = wilson_interval(round(0.97 * n), n)
        here += (
            f" From {plural(n, 'image')}, 97 % right means somewhere between {percent(low, 1)} and {percent(high, 1)}."
        )
    return here


def accuracy(facts: Facts) -> str:
    n_test = len(facts.data.test)
    sizes = sorted({min(500, n_test), n_test})
    margins = [(n, *wilson_interval(round(0.97 * n), n)) for n in sizes]
    here = "; ".join(f"from {n:,} images from {percent(low, 1)} to {percent(high, 1)}" for n, low, high in margins)
    return f"97 % right has the interval {here}."


def confusion_matrix(facts: Facts) -> str:
    counts = facts.class_counts("test")
    fewest, most, names = int(counts.argmin()), int(counts.argmax()), facts.data.class_names
    n, what = len(names), "digit" if names == CLASS_NAMES else "class"
    return (
        f"The rows add up to how often each {what} occurs: among all {plural(len(facts.data.test), 'test image')} "
        f"between {counts[fewest]:,} times ({names[fewest]}) and {counts[most]:,} times ({names[most]}). "
        f"{n} × {n} = {n * n:,} cells, {n * n - n:,} of them mistakes."
    )


def mistakes(facts: Facts) -> str:
    return (
        "They come from the test images, of which the network has learned none; it has learned from "
        f"{facts.n_training:,} others."
    )


def calibration(facts: Facts) -> str:
    return (
        f"Its confidence is the largest of the {facts.architecture.n_classes} probabilities that softmax gives. "
        "Long training on few images makes networks too sure: watch it with your "
        f"{plural(facts.config.epochs, 'epoch')} of {plural(facts.n_training, 'image')}, and with ten times as "
        "many epochs."
    )


def threshold(facts: Facts) -> str:
    n = facts.architecture.n_classes
    return f"The largest of {n} probabilities is never below {percent(1 / n, 1)}: up to there nothing is refused."


def test_digits(facts: Facts) -> str:
    return f"After {_batches(facts.n_steps)} the run is over."


def seed(facts: Facts) -> str:
    return f"Your seed is {facts.config.seed}."


def runs(facts: Facts) -> str:
    return (
        f"The next one is {facts.architecture.name} with seed {facts.config.seed}, "
        f"{plural(facts.config.epochs, 'epoch')} and {plural(facts.n_training, 'image')}."
    )


def comparison(facts: Facts) -> str:
    n = len(facts.data.test)
    low, high = wilson_interval(round(0.97 * n), n)
    return (
        f"On {plural(n, 'image')} an accuracy of 97 % has an interval of {(high - low) * 100:.1f} percentage "
        "points. Smaller differences may be chance; other seeds tell."
    )
