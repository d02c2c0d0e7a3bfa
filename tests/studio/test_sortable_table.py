from __future__ import annotations

from digitlab.studio.widgets.sortable_table import Cell, Column, Row, SortableTable
from tests.studio.visiting import User, until, visit

COLUMNS = (Column("Name"), Column("Size", is_number=True), Column("Do", can_sort=False, is_hidden=True))
ROWS = [
    Row("first", (Cell("First"), Cell("10 %", order=0.1), Cell("Open", kind="button", action="open"))),
    Row("second", (Cell("Second"), Cell("", order=None), Cell(""))),
]


def test_only_what_the_table_offers_is_done() -> None:
    done: list[tuple[str, str]] = []

    def root() -> None:
        SortableTable("Things", COLUMNS, on_action=lambda row, action: done.append((row, action))).show(ROWS)

    async def scenario(user: User) -> None:
        table = user.find(kind=SortableTable)
        for args in ({"row": "second", "action": "open"}, {"row": "first", "action": "delete"}, None, "open", 3):
            table.trigger("act", args)
        table.trigger("act", {"row": "first", "action": "open"})
        await until(lambda: done == [("first", "open")])

    visit(root, scenario)


def test_cell_is_sorted_by_its_text_unless_it_says_otherwise() -> None:
    assert Cell("Bold Words").to_dict() == {"text": "Bold Words", "order": "bold words"}
    assert Cell("10 %", order=0.1).to_dict()["order"] == 0.1
    assert Cell("unknown", order=None).to_dict()["order"] is None
