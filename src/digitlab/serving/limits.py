"""Limits: what a server allows itself and others."""

from __future__ import annotations

from dataclasses import dataclass

from digitlab.errors import ConfigError
from digitlab.reading.apart import PAGE_SECONDS
from digitlab.values import Value


@dataclass(frozen=True, slots=True)
class ServingOptions(Value):
    """The limits of a server. What is above them is refused with a sentence, before it costs much.

    ``max_bytes`` is of one request's body. ``workers`` processes read photos, and look for digits in pictures, at the
    same time; ``queue`` photos may wait for one of them, and images of 16 times as many requests for the network.
    ``timeout_s`` is how long a photo may wait and be read, and a body take to arrive; ``page_timeout_s`` is the
    processor time that a page or picture may take.
    """

    max_bytes: int = 32_000_000
    max_images: int = 10_000
    max_pages: int = 50
    workers: int = 2
    queue: int = 64
    timeout_s: float = 60.0
    page_timeout_s: float = PAGE_SECONDS

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_images", "max_pages", "workers", "queue"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"--{name.replace('_', '-')} must be a whole number of at least 1; got {getattr(self, name)}."
                )
        if not 0 < self.timeout_s < 86_400:
            raise ConfigError(f"--timeout is a number of seconds, above 0 and at most a day; got {self.timeout_s}.")
