from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from nicegui import core

from digitlab.studio.page import Refreshing


def on_a_loop(scenario: Callable[[], Awaitable[None]], monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        # As NiceGUI has it while the page is served.
        monkeypatch.setattr(core, "loop", asyncio.get_running_loop())
        async with asyncio.timeout(60):
            await scenario()

    asyncio.run(go())


def test_many_askings_are_one_refreshing_and_one_more_for_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        began, go_on = asyncio.Event(), asyncio.Event()

        async def refresh() -> None:
            began.set()
            await go_on.wait()

        refreshing = Refreshing(refresh, gap_s=0, hurried_gap_s=0)
        refreshing.ask()
        await began.wait()
        for _ in range(1000):
            refreshing.ask()
        go_on.set()
        while refreshing.n_done < 2:
            await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.sleep(0)
        assert refreshing.n_done == 2

    on_a_loop(scenario, monkeypatch)


def test_hurry_does_not_wait_for_the_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async def refresh() -> None:
            pass

        refreshing = Refreshing(refresh, gap_s=3600, hurried_gap_s=0)
        refreshing.ask()
        while refreshing.n_done < 1:
            await asyncio.sleep(0)
        refreshing.ask(at_once=True)
        while refreshing.n_done < 2:  # or the scenario runs out of time
            await asyncio.sleep(0)

    on_a_loop(scenario, monkeypatch)


def test_failed_refreshing_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        outcomes = iter([False, True])
        done = asyncio.Event()

        async def refresh() -> None:
            if not next(outcomes):
                raise ValueError("this time not")
            done.set()

        monkeypatch.setattr(core.app, "handle_exception", lambda error: None)
        refreshing = Refreshing(refresh, gap_s=0, hurried_gap_s=0)
        refreshing.ask()
        while refreshing._is_running:
            await asyncio.sleep(0)
        refreshing.ask()
        await done.wait()

    on_a_loop(scenario, monkeypatch)
