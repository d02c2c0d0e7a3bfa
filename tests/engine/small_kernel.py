"""One small kernel that Python calls, for the tests of the folder in which compiled code is kept."""

from __future__ import annotations

from digitlab.engine.cpu.compiled import entry_point


@entry_point
def double(numbers):
    """Double the numbers in place."""
    for i in range(len(numbers)):
        numbers[i] *= 2.0
