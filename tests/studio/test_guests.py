"""Pages that nobody shows are freed, and what no browser sends leaves no traceback."""

from __future__ import annotations

import asyncio
import gc
import weakref
from pathlib import Path

import pytest
from nicegui import Client
from visiting import User, visit

from digitlab.studio import access, app
from digitlab.studio.page import current_page
from digitlab.studio.startup import Opening
from digitlab.studio.trainer import Trainer

pytestmark = pytest.mark.slow


class Opened(Opening):
    """An opening that is over."""

    def __init__(self, trainer: Trainer) -> None:
        super().__init__(Path("unused"), autostart=False, expects_page=False)
        self.trainer, self.is_ready = trainer, True


def test_page_that_was_left_is_freed_with_all_its_tabs(trainer: Trainer) -> None:
    async def scenario(user: User) -> None:
        client = user.client
        with user:
            page = current_page()
            page.subject.on_change(page.follow)
        for name in app.BUILDERS:
            page.set_tab(name)
        left = weakref.ref(page)
        await user.open("/")
        client.delete()
        del page, client

        for _ in range(100):  # what runs for it has to notice first
            gc.collect()
            if left() is None:
                break
            await asyncio.sleep(0.05)
        assert left() is None

    visit(app.set_up_page(Opened(trainer)), scenario)


def test_pages_that_no_browser_shows_are_few_and_the_shown_one_stays(trainer: Trainer) -> None:
    async def scenario(user: User) -> None:
        shown = user.client
        for _ in range(access.MOST_UNSEEN + 10):
            assert (await user.http_client.get("/")).status_code == 200
        assert len(Client.instances) <= access.MOST_UNSEEN + 2
        assert not shown.is_deleted  # type: ignore[union-attr]

    visit(app.set_up_page(Opened(trainer)), scenario)
