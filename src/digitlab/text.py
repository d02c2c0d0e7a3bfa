"""Numbers as text, the same at every door."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence has them.

    >>> listed(["seed", "epochs", "data"])
    'seed, epochs and data'
    """
    return " and ".join([", ".join(names[:-1]), *names[-1:]] if len(names) > 1 else names)


def counted(n: int, one: str, many: str = "") -> str:
    """Return a number of things.

    >>> counted(1, "image"), counted(2_000, "image"), counted(2, "batch", "batches")
    ('1 image', '2,000 images', '2 batches')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def percent(fraction: float, digits: int = 2) -> str:
    """Return a fraction in [0, 1] as text; never 100 % for what is not all, nor 0 % for what is not nothing.

    >>> [percent(f) for f in (0.9876, 0.99999, 1.0, 0.00001)]
    ['98.76 %', '>99.99 %', '100 %', '<0.01 %']
    """
    if fraction in (0, 1):
        return f"{fraction:.0%}".replace("%", " %")
    smallest = 10.0**-digits
    if fraction * 100 < smallest / 2:
        return f"<{smallest:.{digits}f} %"
    if (1 - fraction) * 100 < smallest / 2:
        return f">{100 - smallest:.{digits}f} %"
    return f"{fraction * 100:.{digits}f} %"


def duration(seconds: float) -> str:
    """Return a time span as text.

    >>> [duration(s) for s in (0.00042, 0.0123, 0.684, 3.2051, 75.0, 7325.0)]
    ['0.42 ms', '12.3 ms', '684 ms', '3.21 s', '1 min 15 s', '2 h 2 min']
    """
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 59.995:
        return f"{seconds:.3g} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def size_text(n_bytes: int) -> str:
    """Return a size for people.

    >>> [size_text(n) for n in (40, 23_976, 3_500_000)]
    ['40 bytes', '23.4 KiB', '3.3 MiB']
    """
    if n_bytes < 1024:
        return f"{n_bytes} bytes"
    return f"{n_bytes / 1024:.1f} KiB" if n_bytes < 1024**2 else f"{n_bytes / 1024**2:.1f} MiB"


def setting_text(value: Any) -> str:
    """Return the value of a setting for people."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:g}"
    return str(value)
