"""Options: what a server allows itself and others."""

from __future__ import annotations

from dataclasses import dataclass

from digitlab.errors import ConfigError
from digitlab.reading.apart import PAGE_SECONDS
from digitlab.values import Value

__all__ = ["ServingOptions"]


@dataclass(frozen=True, slots=True)
class ServingOptions(Value):
    """The limits of a server. What is above them is refused with a sentence, before it costs much.

    Attributes
    ----------
    max_bytes : int
        Of one request's body.
    max_images : int
        Images in one request to predict.
    max_pages : int
        Pages of a document.
    workers : int
        Processes that read photos, and look for digits in pictures, at the same time.
    queue : int
        Photos that may wait for a worker, and requests whose images may wait for the network times 16.
    timeout_s : float
        How long a photo may wait and be read, and a body take to arrive, in seconds.
    page_timeout_s : float
        Processor time that a page or picture may take, in seconds.

    Raises
    ------
    ConfigError
        If a value cannot be used.
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
