"""How a network learns, each word of it in a few sentences."""

from __future__ import annotations

import math

from digitlab.engine.optimizers import Adam
from digitlab.explanation.facts import Explanation, Facts, Topic, plural
from digitlab.text import percent


def _training(facts: Facts) -> Explanation:
    text = (
        "Training is one small circle, many times: take a batch of images, answer them, measure by the loss how wrong "
        "the answers are, and move every parameter a little in the direction in which the loss falls.",
        "Pause, and take one batch at a time, to see it happen: the filters change a little, the answers get surer.",
    )
    config = facts.config
    here = (
        f"{plural(facts.n_training, 'image')} in batches of {facts.batch_size:,} are "
        f"{plural(facts.n_batches, 'batch', 'batches')} an epoch; in {plural(config.epochs, 'epoch')} the "
        f"{plural(facts.cost.n_parameters, 'parameter')} move {facts.n_steps:,} times.",
    )
    return Explanation(text, here)


def _batch(facts: Facts) -> Explanation:
    text = (
        "A batch is the images that the network sees before it changes its parameters once. One image alone would be "
        "a poor adviser; the mean over a batch is a better one, and a processor is fastest with many images at once.",
        "Small batches mean many rough steps, large ones few smooth steps. So the curve of onBatchEnd trembles: every "
        "point is another batch, answered before the network has learned from it.",
    )
    full, last = facts.n_batches - 1, facts.n_last
    if last == facts.batch_size:
        parts = f"{facts.n_batches:,} of {facts.batch_size:,}"
    else:
        parts = f"{full:,} of {facts.batch_size:,} and a last one of {last:,}"
    here = (
        f"An epoch of {plural(facts.n_training, 'training image')} has {plural(facts.n_batches, 'batch', 'batches')}: "
        f"{parts}. The run of {plural(facts.config.epochs, 'epoch')} has {plural(facts.n_steps, 'batch', 'batches')}, "
        "and so many steps.",
    )
    return Explanation(text, here)


def _epoch(facts: Facts) -> Explanation:
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
    return Explanation(
        (
            "An epoch is one pass over all training images: each is seen once. The network needs several, as people "
            "need more than one look.",
            "The points of onEpochEnd are of two kinds. loss and acc are means over the epoch's batches, while the "
            "network was still changing; val_loss and val_acc are measured at its end. That is one reason why "
            "validation can look better than training in the first epochs.",
        ),
        (f"{plural(config.epochs, 'epoch')} of {plural(facts.n_training, 'image')}. {order}{watched}",),
    )


def _cross_entropy(facts: Facts) -> Explanation:
    n = facts.architecture.n_classes
    smoothing = facts.config.label_smoothing
    smoothed = (
        f" With label smoothing the network learns as if {percent(smoothing, 0)} of the truth were any digit, so that "
        "it does not become ever surer; the curve shows the loss without it."
        if smoothing
        else ""
    )
    return Explanation(
        (
            "The loss says how surprised the network is by the right answer. It looks only at the probability that "
            "was given to the true digit: 100 % costs nothing, 50 % costs 0.69, 10 % costs 2.30, 1 % costs 4.61. "
            "Being sure and wrong is dear.",
            "Accuracy asks only whether the answer was right; the loss also asks how sure. So it can still fall when "
            "the accuracy stands still, and it changes smoothly, which is what learning needs. Its full name is "
            "categorical cross-entropy.",
        ),
        (
            f"Every point of the chart is the mean over a batch of {plural(facts.batch_size, 'image')}. Who gives "
            f"{percent(1 / n, 0)} to each of the {n} digits has a loss of ln {n} = {math.log(n):.2f}: about there the "
            f"curve begins.{smoothed}",
        ),
        "loss = −ln p(true digit)",
    )


def _gradient(facts: Facts) -> Explanation:
    n = facts.cost.n_parameters
    return Explanation(
        (
            "The gradient says for every parameter whether the loss would rise or fall if that one number grew a "
            "little, and how fast. Going against it is going downhill.",
            "It is worked out from the last layer back to the first, each layer passing on how much it contributed to "
            "the error: backpropagation. That costs about twice as much as answering the images.",
        ),
        (f"For every batch there are {plural(n, 'slope')}, one for each parameter.",),
    )


def _optimizer(facts: Facts) -> Explanation:
    optimizer = facts.config.build_optimizer()
    if isinstance(optimizer, Adam):
        return _adam(facts)
    momentum = optimizer.momentum
    text = (
        "The optimizer turns slopes into steps. SGD, stochastic gradient descent, is the plainest one: every "
        "parameter moves against its slope, by the slope times the learning rate. “Stochastic” because a batch only "
        "guesses the slope over all images.",
        "With momentum a part of the last step is taken again, so that the way downhill gets faster and straighter.",
    )
    going_on = (
        f" momentum = {momentum:g} takes {percent(momentum, 0)} of the last step again, which in a steady direction "
        f"makes steps {1 / (1 - momentum):,.1f} times as long."
        if momentum
        else " There is no momentum."
    )
    here = (f"Your optimizer is SGD with a learning rate of {facts.config.learning_rate:g}.{going_on}{_decay(facts)}",)
    return Explanation(text, here, "parameter ← parameter − learning rate × slope")


def _adam(facts: Facts) -> Explanation:
    config, n = facts.config, facts.cost.n_parameters
    text = (
        "Adam decides how far each parameter moves after a batch. Of every slope it keeps two running means: of the "
        "slope, which gives the direction, and of its square, which says how large such slopes usually are. The step "
        "is the one divided by the square root of the other, times the learning rate.",
        "So a parameter with small but steady slopes moves as fast as one with large ones, and one whose slopes keep "
        "changing their sign hardly moves. It is by D. P. Kingma and J. Ba, 2015.",
    )
    formula = "parameter ← parameter − learning rate × mean of slopes / √(mean of squares)"
    optimizer = config.build_optimizer()
    if not isinstance(optimizer, Adam):
        here = (
            f"You have chosen {config.optimizer} now, which keeps no such means; with Adam it would be 2 × {n:,} "
            "numbers more."
        )
        return Explanation(text, (here,), formula)
    here = (
        f"beta_1 = {config.beta_1:g} makes the first mean one over about {_reach(config.beta_1)}, beta_2 = "
        f"{config.beta_2:g} the second over about {_reach(config.beta_2)}. The learning rate is "
        f"{config.learning_rate:g}. The two means are 2 × {n:,} = {2 * n:,} numbers beside the parameters."
    )
    return Explanation(text, (here + _decay(facts),), formula)


def _decay(facts: Facts) -> str:
    decay = facts.config.build_optimizer().weight_decay
    if not decay:
        return ""
    return (
        f" Weight decay also takes {decay:g} × {facts.config.learning_rate:g} of itself off every parameter in each "
        "step, which keeps them small."
    )


def _reach(beta: float) -> str:
    return plural(max(1, round(1 / (1 - beta))), "batch", "batches")


def _learning_rate(facts: Facts) -> Explanation:
    config = facts.config
    text = (
        "The learning rate says how far a step goes. Too small, and learning crawls; too large, and it jumps over the "
        "valley: the loss trembles, rises or becomes no number at all. It is the first setting to try, in factors of 3 "
        "or 10.",
        "You may change it while training is paused: in the middle of a run, smaller steps often get the last bit.",
    )
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
    return Explanation(text, (here,))


def _overfitting(facts: Facts) -> Explanation:
    n, n_images, available = facts.cost.n_parameters, facts.n_training, len(facts.data.training)
    text = (
        "A network that over-fits learns its training images by heart instead of what digits look like. You see it in "
        "onEpochEnd: loss falls on, while val_loss stops falling and turns up.",
        "What helps: more images, a smaller network, dropout, weight decay, or stopping earlier. More images are the "
        "best of these.",
    )
    each = f"{n / n_images:,.1f}" if n < 100 * n_images else f"{n / n_images:,.0f}"
    here = f"Your network has {plural(n, 'parameter')} and sees {plural(n_images, 'image')}: {each} numbers for each."
    if n_images < available:
        here += f" There are {available:,} training images: {available - n_images:,} more than you use."
    if facts.config.early_stopping:
        here += f" Training stops after {plural(facts.config.early_stopping, 'epoch')} without a lower val_loss."
    return Explanation(text, (here,))


def _time_travel(facts: Facts) -> Explanation:
    size = 4 * facts.cost.n_parameters
    return Explanation(
        (
            "While it trains, the page keeps copies of all parameters. Move the slider, and you see the network as "
            "it was after that batch: its filters, its answers, its mistakes. Let go of it at the end, and it "
            "follows the training again.",
        ),
        (
            f"One copy is {facts.cost.n_parameters:,} × 4 bytes = {size:,} bytes; the whole run has "
            f"{plural(facts.n_steps, 'batch', 'batches')}. Where all copies would be too much for the memory set "
            "aside, every second one is dropped.",
        ),
    )


TRAINING_TOPICS: dict[str, Topic] = {
    "training": Topic("Training", _training, ("batch", "epoch", "gradient", "optimizer")),
    "batch": Topic("Batch", _batch, ("epoch", "gradient", "cross_entropy")),
    "epoch": Topic("Epoch", _epoch, ("batch", "validation", "overfitting")),
    "cross_entropy": Topic("Loss: cross-entropy", _cross_entropy, ("softmax", "accuracy", "gradient")),
    "gradient": Topic("Gradient", _gradient, ("optimizer", "learning_rate")),
    "optimizer": Topic("Optimizer", _optimizer, ("adam", "learning_rate", "gradient")),
    "adam": Topic("Adam", _adam, ("optimizer", "learning_rate", "gradient")),
    "learning_rate": Topic("Learning rate", _learning_rate, ("optimizer", "adam")),
    "overfitting": Topic("Over-fitting", _overfitting, ("validation", "dropout", "epoch")),
    "time_travel": Topic("Time travel", _time_travel, ("batch", "filter")),
}
