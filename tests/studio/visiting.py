"""A page of the Studio in this process, without a browser: NiceGUI's simulated user, run by asyncio alone."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Awaitable, Callable
from time import monotonic
from types import SimpleNamespace
from typing import Any, TypeVar

from nicegui import ui

with warnings.catch_warnings():
    # NiceGUI's simulated user comes with an HTTP client that warns about itself; that is not ours to mend.
    warnings.simplefilter("ignore", DeprecationWarning)
    from nicegui.testing import User, general
    from nicegui.testing.user_simulation import user_simulation

# NiceGUI collects garbage before and behind every page, which takes a third of a test; once is enough.
general.gc = SimpleNamespace(collect=lambda: 0)

_PATIENCE_S = 60.0

T = TypeVar("T", bound=ui.element)


def visit(root: Callable[[], Any], scenario: Callable[[User], Awaitable[None]]) -> None:
    """Build a page with ``root`` and let a user do something with it."""

    async def go() -> None:
        try:
            async with user_simulation(root) as user:
                await user.open("/")
                await scenario(user)
                for _ in range(20):  # what has been put off begins
                    await asyncio.sleep(0)
        finally:
            await _end_of_tasks()

    gc.collect()
    asyncio.run(go())


async def _end_of_tasks() -> None:
    """Cancel what is still under way, until it has heard it.

    A task that is cancelled in the moment in which it is woken may go on (``asyncio.wait_for`` until Python 3.12), and
    the end of the loop, which cancels once, would wait for it.
    """
    while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=0.1)


async def until(condition: Callable[[], Any]) -> None:
    """Wait until something holds."""
    deadline = monotonic() + _PATIENCE_S
    while not condition():
        assert monotonic() < deadline, "what was waited for did not happen"
        await asyncio.sleep(0.005)


def only(user: User, kind: type[T], **filters: Any) -> T:
    """Return the one element of a kind."""
    found = user.find(kind=kind, **filters).elements
    assert len(found) == 1, f"{len(found)} elements"
    return found.pop()
