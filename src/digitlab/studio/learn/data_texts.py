"""What the network learns from, each in a few sentences."""

from __future__ import annotations

from digitlab.evaluation.markup import percent
from digitlab.studio.class_statistics import class_counts
from digitlab.studio.learn.explanation import Explanation, Topic
from digitlab.studio.learn.facts import Facts, plural, times
from digitlab.values import CLASS_NAMES

__all__ = ["DATA_TOPICS"]


def _images(facts: Facts) -> Explanation:
    data = facts.data
    shape = facts.architecture.input_shape
    total = len(data.training) + len(data.validation) + len(data.test)
    return Explanation(
        (
            "These are the digits that the network learns to read, each with its label: the digit that its writer "
            "meant. They are centred, of one size and bright on dark, and a network that has seen only such digits "
            "expects others to be so too.",
            "For the network an image is nothing but numbers: 0 is black, 255 is white. Choose a digit to see them. "
            "They are divided by 255 first, so that all lie between 0 and 1.",
        ),
        (
            f"An image is {times(shape)} = {shape[0] * shape[1] * shape[2]:,} numbers. Of {plural(total, 'image')}, "
            f"{len(data.training):,} are for training, {len(data.validation):,} for validation and {len(data.test):,} "
            f"for the test. You train with {facts.n_training:,} of them.",
        ),
    )


def _class_counts(facts: Facts) -> Explanation:
    counts = class_counts(facts.data.training)
    fewest, most = int(counts.argmin()), int(counts.argmax())
    return Explanation(
        (
            "How often each digit occurs. If one occurred in nine of ten images, a network could be right in nine of "
            "ten by always giving that one answer. Where all occur about equally often, accuracy means what it seems "
            "to mean.",
        ),
        (
            f"Among {plural(len(facts.data.training), 'training image')} the rarest is {CLASS_NAMES[fewest]} with "
            f"{counts[fewest]:,}, the most frequent {CLASS_NAMES[most]} with {counts[most]:,}. Always answering "
            f"{CLASS_NAMES[most]} would be right in {percent(counts[most] / counts.sum(), 1)}.",
        ),
    )


def _mean_image(facts: Facts) -> Explanation:
    n = len(facts.data.training)
    return Explanation(
        (
            "A mean image is made pixel by pixel: the values of that pixel in all images of the digit, added up and "
            "divided by their number. A pixel at 255 has ink in every image, one at 0 in none. Choose one to read its "
            "pixels.",
            "One could read digits by asking which mean image is nearest: that is right about four times out of "
            "five, and fails where hands differ. Convolutions look for strokes instead, wherever they are.",
        ),
        (
            f"Each mean is over some {n / 10:,.0f} of {plural(n, 'training image')}. The network sees the single "
            "images and never a mean.",
        ),
    )


def _source(facts: Facts) -> Explanation:
    if facts.config.data is not None:
        return Explanation(
            (
                "These images are a set of your own choice, in the format of MNIST's four files. What is said here "
                "of digits holds for its ten classes.",
            ),
            (f"They come from {facts.data.source}.",),
        )
    return Explanation(
        (
            "Half of these digits were written by employees of the United States Census Bureau, half by high school "
            "students; no writer of the training images is a writer of the test images. MNIST was made of them in "
            "the 1990s and has been the first thing that networks learn to read ever since.",
            "Because everybody tries their methods on the same test images, results close to 100 % say more about "
            "MNIST than about handwriting: photos, other pens and other countries’ digits are harder.",
        ),
        (f"Here: {facts.data.source}.",),
    )


#: Topics about the data.
DATA_TOPICS: dict[str, Topic] = {
    "images": Topic("The images", _images, ("class_counts", "mean_image", "validation")),
    "class_counts": Topic("How often each digit occurs", _class_counts, ("accuracy", "images")),
    "mean_image": Topic("Mean images", _mean_image, ("images", "filter")),
    "data_source": Topic("Where the digits come from", _source, ("images", "validation")),
}
