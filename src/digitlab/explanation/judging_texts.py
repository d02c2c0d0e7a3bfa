"""How good a network is, and how one can tell, each in a few sentences."""

from __future__ import annotations

from digitlab.explanation.facts import Explanation, Facts, Topic, plural
from digitlab.metrics import wilson_interval
from digitlab.text import percent
from digitlab.values import CLASS_NAMES


def _validation(facts: Facts) -> Explanation:
    data, n = facts.data, facts.n_validation
    text = (
        "How well does the network read digits that it has not learned from? Three sets of images keep that question "
        "honest. Training images are learned from. Validation images are answered after every epoch, but never "
        "learned from: choose your settings by them. Test images are for the report at the end.",
        "Whoever chooses settings by the test images has, in a way, learned from them, and reports a number that is "
        "too good.",
    )
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
    return Explanation(text, (here,))


def _accuracy(facts: Facts) -> Explanation:
    n_test = len(facts.data.test)
    text = (
        "Accuracy is the part of the images that were answered rightly. It comes from a sample, so it has a margin: "
        "with other images of the same kind it would be a little different. The 95 % interval is that margin (E. B. "
        "Wilson, 1927); two networks whose intervals overlap widely may be equally good.",
        "The table gives it for each digit too: of all sevens, how many were read as seven.",
    )
    sizes = sorted({min(500, n_test), n_test})
    margins = [(n, *wilson_interval(round(0.97 * n), n)) for n in sizes]
    here = "; ".join(f"from {n:,} images from {percent(low, 1)} to {percent(high, 1)}" for n, low, high in margins)
    return Explanation(text, (f"97 % right has the interval {here}.",), "accuracy = right answers / images")


def _confusion_matrix(facts: Facts) -> Explanation:
    counts = facts.class_counts("test")
    fewest, most = int(counts.argmin()), int(counts.argmax())
    text = (
        "The confusion matrix shows which digits are taken for which. The row is what the digit is, the column what "
        "the network answered. Right answers lie on the diagonal; everything beside it is a mistake, and a dark cell "
        "there is a pair that it keeps mixing up.",
        "Row percent divides by the number of images of that digit, so that rows can be compared. Choose a cell to see "
        "exactly its images.",
    )
    here = (
        f"The rows add up to how often each digit occurs: among all {plural(len(facts.data.test), 'test image')} "
        f"between {counts[fewest]:,} times ({CLASS_NAMES[fewest]}) and {counts[most]:,} times ({CLASS_NAMES[most]}). "
        "10 × 10 = 100 cells, 90 of them mistakes.",
    )
    return Explanation(text, here)


def _mistakes(facts: Facts) -> Explanation:
    return Explanation(
        (
            "The worst mistakes are those of which the network was surest: a wrong answer with 99 % is worse than "
            "one with 40 %. Look at them: some are hard for people too, some carry a label that is disputable, and "
            "some show what the network has not understood.",
            "Below every image stand the answer and its probability, and what would have been right.",
        ),
        (
            "They come from the test images, of which the network has learned none; it has learned from "
            f"{facts.n_training:,} others.",
        ),
    )


def _calibration(facts: Facts) -> Explanation:
    return Explanation(
        (
            "When the network says 90 %, is it right nine times out of ten? If so, its confidence is calibrated: it "
            "can be relied on. A network may read well and still be too sure of itself.",
            "The chart puts answers of similar confidence together. A bar at the diagonal is honest; below it the "
            "network is too sure, above it too modest. The whisker is the 95 % interval: long where there are few "
            "answers. The expected calibration error is the mean distance from the diagonal, weighted by the number "
            "of answers.",
        ),
        (
            f"Its confidence is the largest of the {facts.architecture.n_classes} probabilities that softmax gives. "
            "Long training on few images makes networks too sure: watch it with your "
            f"{plural(facts.config.epochs, 'epoch')} of {plural(facts.n_training, 'image')}, and with ten times as "
            "many epochs.",
        ),
    )


def _test_digits(facts: Facts) -> Explanation:
    return Explanation(
        (
            "The same 20 test images are answered again and again while the network learns. Each shows the answer, "
            "its probability, and whether it is right. Plain digits are settled after a few batches, odd ones change "
            "sides for long.",
            "They are for watching. For a number, see the Evaluation tab: 20 images cannot tell 95 % from 99 %.",
        ),
        (f"After {plural(facts.n_steps, 'batch', 'batches')} the run is over.",),
    )


def _seed(facts: Facts) -> Explanation:
    return Explanation(
        (
            "Learning begins with chance: random parameters, a random choice and order of images, random dropout. "
            "All of it is drawn from one number, the seed. The same seed and settings give the same network, bit for "
            "bit on processors with the same vector instructions.",
            "Other seeds give other networks, some better, some worse. So one run does not show that a setting is "
            "better than another: try each with several seeds and compare the spread.",
        ),
        (f"Your seed is {facts.config.seed}.",),
    )


def _runs(facts: Facts) -> Explanation:
    return Explanation(
        (
            "Every training is kept in a folder of its own, with its settings, its seed, what happened at every "
            "batch, and the parameters that came out. It can be looked at later, repeated exactly, and compared with "
            "another.",
            "To find out what one setting does, change that one and leave all others, the seed included, as they are.",
        ),
        (
            f"The next one is {facts.architecture.name} with seed {facts.config.seed}, "
            f"{plural(facts.config.epochs, 'epoch')} and {plural(facts.n_training, 'image')}.",
        ),
    )


def _comparison(facts: Facts) -> Explanation:
    n = len(facts.data.test)
    low, high = wilson_interval(round(0.97 * n), n)
    return Explanation(
        (
            "Two runs over each other show which one learned faster and which one further. The difference of their "
            "confusion matrices shows where: a digit that the one has learned and the other has not.",
            "The images on which they disagree are the interesting ones. Were the two equally good, each would win "
            "about half of those that one reads rightly and the other wrongly.",
        ),
        (
            f"On {plural(n, 'image')} an accuracy of 97 % has an interval of {(high - low) * 100:.1f} percentage "
            "points. Smaller differences may be chance; other seeds tell.",
        ),
    )


JUDGING_TOPICS: dict[str, Topic] = {
    "validation": Topic("Training, validation and test", _validation, ("overfitting", "epoch", "accuracy")),
    "accuracy": Topic("Accuracy", _accuracy, ("confusion_matrix", "cross_entropy", "validation")),
    "confusion_matrix": Topic("Confusion matrix", _confusion_matrix, ("accuracy", "mistakes")),
    "mistakes": Topic("The worst mistakes", _mistakes, ("confusion_matrix", "calibration")),
    "calibration": Topic("Calibration", _calibration, ("softmax", "overfitting", "mistakes")),
    "test_digits": Topic("20 test digits", _test_digits, ("softmax", "validation")),
    "seed": Topic("Seed", _seed, ("training", "runs")),
    "runs": Topic("Runs", _runs, ("seed", "comparison")),
    "comparison": Topic("Two runs compared", _comparison, ("runs", "seed", "accuracy")),
}
