"""Pixels: in which scale a network takes them, told, found and kept.

Every image is 0 to 1 in digitlab, and so are networks that it trains. Files of others may hold networks that learned
from pixels of 0 to 255, of -1 to 1, or of mean 0 and deviation 1; they answer other pixels without complaint, and
wrongly. One that was trained with pixels from 0 to 255 can be wrong nine times in ten and sure of it. So the scale is
told with ``pixels``, or found by asking for digits whose labels are known, and folded into the network.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.data.cache import cache_folder
from digitlab.data.storage import parse_json, read_ordinary, replacing
from digitlab.errors import ConfigError, NetworkError
from digitlab.network.checkpoint import Checkpoint
from digitlab.network.folding import rescaled
from digitlab.text import percent

# What a model's metadata call its scale.
PIXELS = "pixels"
#: Labelled images that are asked for at most.
MOST_IMAGES = 2_000

_NUMBER = r"\d{1,6}(?:\.\d{0,12})?|\.\d{1,12}"
_RANGE = re.compile(rf"(-?(?:{_NUMBER}))-(-?(?:{_NUMBER}))")
_MOMENTS = re.compile(rf"({_NUMBER}),({_NUMBER})")
_FORMS = "0-1, 0-255, -1-1, or MEAN,STD of pixels from 0 to 1, such as 0.1307,0.3081"
_LEAST_STD = 1e-6

# Whoever answers so many of the first images rightly has the right scale, and a look costs nothing then; a scale with
# which so few are right is not the one.
_FIRST, _GOOD, _LEAST = 200, 0.98, 0.3
# Far better: at most this part of the mistakes, beyond chance (standard deviations of a fair coin), and more right than
# wrong at all: a network for other things than digits is none the better for any scale.
_MOST_MISTAKES, _LEAST_DEVIATIONS, _LEAST_ACCURACY = 0.7, 3.0, 0.5

_FILE = "pixels.json"
_MOST_KEPT, _MOST_KEPT_BYTES = 500, 2**17
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class PixelScale:
    """A scale of pixels: what is 0 to 1 in digitlab, times ``factor``, plus ``offset``; ``text`` is how people tell it.

    >>> PixelScale.of("-1-1")
    PixelScale(text='-1-1', factor=2.0, offset=-1.0)
    """

    text: str
    factor: float
    offset: float

    @classmethod
    def of(cls, text: str) -> PixelScale:
        """Return the scale that a text means: ``0-255`` (of the ground and of ink), or ``MEAN,STD``."""
        plain = str(text).replace(" ", "")
        if found := _RANGE.fullmatch(plain):
            low, high = map(float, found.groups())
            if low != high:
                return cls(plain, high - low, low)
        if found := _MOMENTS.fullmatch(plain):
            mean, std = map(float, found.groups())
            if std >= _LEAST_STD:
                return cls(plain, 1 / std, -mean / std)
        raise ConfigError(f"pixels is how the network's pixels were scaled, {_FORMS}; got {str(text)[:40]!r}.")

    @property
    def is_own(self) -> bool:
        """Whether this is the scale of digitlab's own networks."""
        return (self.factor, self.offset) == (1.0, 0.0)

    @property
    def words(self) -> str:
        """What people say of it.

        >>> PixelScale.of("0-255").words, PixelScale.of("0.1307,0.3081").words
        ('from 0 to 255', 'less 0.1307 and divided by 0.3081')
        """
        if "," in self.text:
            mean, std = self.text.split(",")
            return f"less {mean} and divided by {std}"
        low, high = self.offset, self.offset + self.factor
        return f"from {low:g} to {high:g}" + (" (dark ink on bright ground)" if high < low else "")


#: The scale of digitlab's own networks, and those that others use.
OWN = PixelScale.of("0-1")
#: What the metadata of a network say that takes it.
TAKES_OWN = {PIXELS: OWN.text}
USUAL = tuple(map(PixelScale.of, ("0-255", "-1-1", "0.1307,0.3081", "-0.5-0.5", "1-0", "255-0")))


def with_pixels(checkpoint: Checkpoint, scale: PixelScale) -> Checkpoint:
    """Return the network that takes pixels of 0 to 1 and answers as this one does when it gets them in its scale."""
    if not scale.is_own:
        checkpoint = rescaled(checkpoint, scale.factor, scale.offset)
    return replace(checkpoint, metadata=checkpoint.metadata | TAKES_OWN)


def told_scale(checkpoint: Checkpoint) -> PixelScale | None:
    """Return the scale that a file's metadata tell; None where they tell none, or none that there is."""
    try:
        return PixelScale.of(checkpoint.metadata[PIXELS])
    except (KeyError, ConfigError):
        return None


@dataclass(frozen=True, slots=True)
class ScaleFit:
    """How well a scale fits: the part of ``n_images`` answered rightly in it, and in digitlab's own."""

    scale: PixelScale
    n_images: int
    accuracy: float
    own_accuracy: float

    @property
    def reason(self) -> str:
        """What people are told of it.

        >>> ScaleFit(PixelScale.of("0-255"), 2000, 0.967, 0.096).reason
        '96.7 % of 2,000 labelled images are answered rightly with pixels from 0 to 255, and 9.6 % with pixels from 0 to 1'
        """  # noqa: E501 - it has no ends of lines
        return (
            f"{percent(self.accuracy, 1)} of {self.n_images:,} labelled images are answered rightly with pixels "
            f"{self.scale.words}, and {percent(self.own_accuracy, 1)} with pixels from 0 to 1"
        )


def fitting_scale(answers: Callable[[PixelScale, int], NDArray[Any]], labels: NDArray[np.integer]) -> ScaleFit | None:
    """Return the scale that fits a network, another than its own only where it fits far better; None where none does.

    ``answers`` gives the network's, (n, n_classes), to the first so many of the labelled images, at most
    ``MOST_IMAGES``, when it gets their pixels in a scale.
    """
    labels = labels[:MOST_IMAGES]
    if not len(labels):
        return None

    def is_right(scale: PixelScale, n: int = MOST_IMAGES) -> NDArray[np.bool_]:
        try:
            return np.asarray(answers(scale, n).argmax(axis=1) == labels[:n])
        except NetworkError:  # they are no numbers then
            return np.zeros(len(labels[:n]), np.bool_)

    first = float(is_right(OWN, _FIRST).mean())
    if first >= _GOOD:
        return ScaleFit(OWN, min(_FIRST, len(labels)), first, first)
    likely = [scale for scale in USUAL if is_right(scale, _FIRST).mean() >= _LEAST]
    if not likely and first < _LEAST:
        return None
    now = is_right(OWN)
    found = [(is_right(scale), scale) for scale in likely]
    then, scale = max(found, key=lambda one: int(one[0].sum()), default=(now, OWN))
    n_better, n_worse = int((then & ~now).sum()), int((now & ~then).sum())
    if (
        then.mean() >= _LEAST_ACCURACY
        and (~then).sum() <= _MOST_MISTAKES * (~now).sum()
        and n_better - n_worse >= _LEAST_DEVIATIONS * math.sqrt(n_better + n_worse)
    ):
        return ScaleFit(scale, len(labels), float(then.mean()), float(now.mean()))
    right = float(now.mean())
    return ScaleFit(OWN, len(labels), right, right) if right >= _LEAST_ACCURACY else None


# ---- what was found is kept in the cache folder, under what the network is: renamed and copied files have it too ----


def digest_of(checkpoint: Checkpoint) -> str:
    """Return the SHA-256 of a network and its weights, whatever file they were in."""
    digest = hashlib.sha256(json.dumps(checkpoint.architecture.to_dict(), sort_keys=True).encode())
    for array in checkpoint.weights:
        digest.update(np.ascontiguousarray(array, "<f4").data)
    return digest.hexdigest()


def kept_scale(digest: str) -> ScaleFit | None:
    """Return what was found of a network before; None where nothing is kept, or what is kept cannot be used."""
    entry: Any = _kept().get(digest)
    try:
        text, n_images, accuracy, own_accuracy = entry
        fit = ScaleFit(PixelScale.of(text), int(n_images), float(accuracy), float(own_accuracy))
    except (TypeError, ValueError, OverflowError):
        return None
    is_sound = 0 < fit.n_images <= MOST_IMAGES and 0 <= fit.own_accuracy <= fit.accuracy <= 1
    return fit if is_sound and (fit.scale.is_own or fit.scale in USUAL) else None


def keep_scale(digest: str, fit: ScaleFit) -> None:
    """Keep what was found of a network; the last ones are kept, and nothing where there is no cache folder."""
    folder, entry = cache_folder(), [fit.scale.text, fit.n_images, fit.accuracy, fit.own_accuracy]
    kept = _kept()
    if folder is None or kept.get(digest) == entry:
        return
    kept.pop(digest, None)
    content = json.dumps(dict([*kept.items(), (digest, entry)][-_MOST_KEPT:])).encode()
    try:
        with replacing(folder / _FILE, mode=0o600, durable=False) as file:
            file.write(content)
    except (OSError, ValueError):
        return  # it is found again when it is asked for again


def _kept() -> dict[str, Any]:
    folder = cache_folder()
    try:
        kept = {} if folder is None else parse_json(read_ordinary(folder / _FILE, _MOST_KEPT_BYTES))
    except (OSError, ValueError):
        return {}
    entries = kept.items() if isinstance(kept, dict) else ()
    return {key: entry for key, entry in entries if _DIGEST.fullmatch(key) and len(str(entry)) < 100}
