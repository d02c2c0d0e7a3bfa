"""The images: those that are learned from, and own digits on their way to a network, each in a few sentences."""

from __future__ import annotations

from digitlab.explanation.facts import Explanation, Facts, Topic, plural, times
from digitlab.text import percent
from digitlab.values import CLASS_NAMES


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
    counts = facts.class_counts("training")
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


def _own_digits(facts: Facts) -> Explanation:
    n = len(facts.data.training)
    return Explanation(
        (
            "Draw with the mouse, a finger or a pen; the answer follows while you draw. Several digits side by side "
            "are read as a number. With the keyboard, arrow keys move the pen and Space puts it down.",
            "What you draw is not what the network gets. It is cut out, fitted into 20 × 20 pixels, given strokes of "
            "the usual width and put into the middle of 28 × 28: as MNIST was made. The strip further down shows "
            "every step.",
        ),
        (
            f"The network of this page learns from {plural(n, 'image')} of that kind and has seen no other. What looks "
            "otherwise to it is answered by chance, however sure it is.",
        ),
    )


def _not_a_digit(facts: Facts) -> Explanation:
    n_outputs = facts.architecture.n_classes
    if n_outputs > len(CLASS_NAMES):
        here = f"{facts.architecture.name} has {n_outputs} outputs, so it can say that there is no digit."
    else:
        here = (
            f"{facts.architecture.name} has {n_outputs} outputs and none for “no digit”: whatever it sees, their "
            "probabilities sum to 100 %."
        )
    return Explanation(
        (
            "The bars are probabilities and sum to 100 %. A network with ten outputs has to give them all to digits: "
            "ask it about an empty sheet or a letter, and it will be sure of an 8.",
            "The shipped reader has an eleventh answer, “no digit here”. It was trained with letters, scribbles, "
            "lines, pieces of digits and pairs of them, all made by digitlab itself. Where that answer is likely "
            "enough, the ink is refused; and where there is no ink, nobody is asked.",
        ),
        (here,),
    )


def _own_photos(facts: Facts) -> Explanation:
    return Explanation(
        (
            "Photos, scans and PDF pages are turned upright, freed of shadows and ruled lines, and parted into lines,"
            " numbers and digits. Digits that touch are cut in every sensible way, and the way whose pieces look most"
            " like digits wins.",
            "A box with a solid border is a digit that was read, its answer above it. A dashed border with a cross is"
            " ink that was refused; point at it, or choose it, to learn why. Choose any box to correct it, or press "
            "the digit’s key while it has the focus; or type over a whole number, here or in the table. What you "
            "correct changes the numbers, the text and the files that you save, and is marked there.",
            "Turn the photo or crop it where other things on it are in the way, or leave a region out: it is painted "
            "over with the paper around it. What you have turned by hand is not turned back.",
        ),
        (
            "Photos stay in the memory of this computer while the page is open. Nothing is written to the disk but "
            "the corrections that you make, each an image of 28 × 28 pixels.",
        ),
    )


def _confidence(facts: Facts) -> Explanation:
    return Explanation(
        (
            "A digit’s confidence is the probability of its answer, calibrated on validation images so that of all "
            "answers with 90 % about nine in ten are right. A number is right only if all its digits are, so its "
            "confidence is their product, and long numbers are less sure than short ones.",
            "Calibration holds for handwriting like that of the training images. Other hands, other countries’ sevens"
            " and ones, and letters among digits are answered less well than the numbers say.",
        ),
        (f"Example: four digits with {percent(0.99, 0)} each make a number with {percent(0.99**4, 1)}.",),
    )


def _normalisation(facts: Facts) -> Explanation:
    return Explanation(
        (
            "A network that is right in 99 of 100 of MNIST’s test images may fail on your own digits, since MNIST’s "
            "are all alike in what nobody notices: bright ink on black, one size, one place, no shadow, strokes of "
            "two to four pixels. Own digits are none of that until they are brought to it.",
            "Switch a step off to see what it is worth. Without centring, a digit sits in a corner, where no training"
            " image had ink. Without finding out which is ink and which is paper, the paper is read. Choose the "
            "network that was trained here to see which of the steps it needs most.",
        ),
        (
            f"{facts.architecture.name} takes {facts.architecture.input_shape[0]} × "
            f"{facts.architecture.input_shape[1]} numbers, and was shown nothing but images made in this way.",
        ),
    )


def _corrections(facts: Facts) -> Explanation:
    n_test = len(facts.data.test)
    return Explanation(
        (
            "Every correction is kept as the 28 × 28 image that the network saw, with the label that you gave it. "
            "Together they are a small data set of your own handwriting, in the same format as MNIST.",
            "Learning from them begins with the weights of the network that is chosen. If it saw the corrections "
            "alone it would soon forget all other hands; so they are mixed into some thousand images that it knows, "
            "and of the way from the old weights to the new ones only as large a part is gone as validation images "
            "allow. It takes seconds, and the network that it came from stays as it was.",
            "Learning can do harm all the same. So the new network is read with before it is used: the corrections, "
            "test images, a page composed of digits. If it reads fewer of any of them than before, it is used only "
            "if you say so. What is used becomes a run of its own.",
        ),
        (
            f"Every fifth of {plural(n_test, 'test image')} tells whether anything was forgotten. How many corrections "
            "are right afterwards tells little: it has just learned them.",
        ),
    )


DATA_TOPICS: dict[str, Topic] = {
    "images": Topic("The images", _images, ("class_counts", "mean_image", "validation")),
    "class_counts": Topic("How often each digit occurs", _class_counts, ("accuracy", "images")),
    "mean_image": Topic("Mean images", _mean_image, ("images", "filter")),
    "data_source": Topic("Where the digits come from", _source, ("images", "validation")),
}

READING_TOPICS: dict[str, Topic] = {
    "own_digits": Topic("Drawing digits", _own_digits, ("normalisation", "not_a_digit")),
    "not_a_digit": Topic("“No digit here”", _not_a_digit, ("softmax", "calibration")),
    "own_photos": Topic("Reading photos", _own_photos, ("normalisation", "confidence")),
    "confidence": Topic("How sure a number is", _confidence, ("calibration", "not_a_digit")),
    "normalisation": Topic("From paper to 28 × 28", _normalisation, ("images", "own_digits")),
    "corrections": Topic("Learning from corrections", _corrections, ("validation", "overfitting")),
}
