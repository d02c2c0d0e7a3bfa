"""A page of the Studio in this process, without a browser: NiceGUI's simulated user, run by asyncio alone."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, TypeVar

from nicegui import ui

with warnings.catch_warnings():
    # NiceGUI's simulated user comes with an HTTP client that warns about itself; that is not ours to mend.
    warnings.simplefilter("ignore", DeprecationWarning)
    from nicegui.testing import User
    from nicegui.testing.user_simulation import user_simulation

_PATIENCE_S = 60.0

T = TypeVar("T", bound=ui.element)


def visit(root: Callable[[], Any], scenario: Callable[[User], Awaitable[None]]) -> None:
    """Build a page with ``root`` and let a user do something with it."""

    async def go() -> None:
        async with user_simulation(root) as user:
            await user.open("/")
            await scenario(user)
            # A task that is cancelled in the moment in which it is woken goes on, and the end would wait for it.
            for _ in range(20):
                await asyncio.sleep(0)

    asyncio.run(go())


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
