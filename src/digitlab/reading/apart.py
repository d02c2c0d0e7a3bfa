"""Apart: photos and documents are opened and read in processes that are warm, bounded, and replaced when it is over.

A page that takes too long, or too much memory, ends its process and not more (``digitlab.processes``).
"""

from __future__ import annotations

from digitlab.errors import ConfigError, DataError
from digitlab.processes import Processes

#: What a page may take: processor time, and memory of the process that reads it.
PAGE_SECONDS, MEMORY_BYTES = 10.0, 2**30
#: Of a process whose networks run on an accelerator: what drives that has gigabytes of its own.
DEVICE_MEMORY_BYTES = 2**34


class Apart(Processes):
    """Processes that open and read, a page a result; with ``reads`` the shipped reader is ready in each.

    Those that are ``single`` use one core each. Errors are DataErrors that name the file.
    """

    does = "reads photos"

    def __init__(
        self,
        most: int,
        page_seconds: float = PAGE_SECONDS,
        memory_bytes: int = MEMORY_BYTES,
        *,
        reads: bool = True,
        single: bool = False,
    ) -> None:
        self.allow(page_seconds)
        ready = _be_ready_on_one_core if single else _be_ready_to_read
        super().__init__(most, page_seconds, memory_bytes, ready if reads else _be_ready_to_open)

    def allow(self, page_seconds: float) -> None:
        """Let a page take more or less time from now on."""
        if not 0 < page_seconds <= 86_400:
            raise ConfigError(f"--page-timeout is a number of seconds, above 0 and at most a day; got {page_seconds}.")
        self.seconds = page_seconds

    def too_late(self, source: str, n: int) -> DataError:
        """Return the error for a page that took too long."""
        return DataError(
            f"{_given_up(source, n)}: it takes more than {self.seconds:g} seconds of work. Save it plainer or "
            "smaller, or allow a page more with --page-timeout."
        )

    def too_large(self, source: str, n: int) -> DataError:
        """Return the error for a page that took too much memory, or ended the process."""
        return DataError(
            f"{_given_up(source, n)}: it takes more than {self.memory_bytes / 2**30:g} GB of memory, or is "
            "damaged in a way that ends what reads it. Save it again, plainer or smaller."
        )


def _given_up(source: str, n: int) -> str:
    return f"{source} was given up" + (f" after page {n}" if n else "")


# ---- in the process itself ----


def _be_ready_to_open() -> None:
    import pypdfium2  # noqa: F401 - now, and not when the first document comes


def _be_ready_to_read() -> None:
    from digitlab.reading.reader import warm_up

    warm_up()
    _be_ready_to_open()


def _be_ready_on_one_core() -> None:
    import cv2

    from digitlab.engine.cpu.threads import use_at_most

    use_at_most(1)
    cv2.setNumThreads(1)
    _be_ready_to_read()
