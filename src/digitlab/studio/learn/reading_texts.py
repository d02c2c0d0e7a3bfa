"""How own digits come to a network, and what it can say of them, each in a few sentences."""

from __future__ import annotations

from digitlab.evaluation.markup import percent
from digitlab.studio.learn.explanation import Explanation, Topic
from digitlab.studio.learn.facts import Facts, plural
from digitlab.values import CLASS_NAMES

__all__ = ["READING_TOPICS"]


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


#: Topics about reading own digits.
READING_TOPICS: dict[str, Topic] = {
    "own_digits": Topic("Drawing digits", _own_digits, ("normalisation", "not_a_digit")),
    "not_a_digit": Topic("“No digit here”", _not_a_digit, ("softmax", "calibration")),
    "own_photos": Topic("Reading photos", _own_photos, ("normalisation", "confidence")),
    "confidence": Topic("How sure a number is", _confidence, ("calibration", "not_a_digit")),
    "normalisation": Topic("From paper to 28 × 28", _normalisation, ("images", "own_digits")),
    "corrections": Topic("Learning from corrections", _corrections, ("validation", "overfitting")),
}
