from __future__ import annotations

from digitlab.evaluation.confusion import MISTAKES, Selection
from digitlab.studio.widgets.tables import Cell, Column, ConfusionMatrix, Row, SortableTable, bar_table
from digitlab.svg import Bar
from digitlab.values import CLASS_NAMES
from tests.studio.visiting import User, only, until, visit

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


def test_names_are_escaped_and_bars_end_where_the_longest_does() -> None:
    hostile = "<script>x</script>"
    table = bar_table(hostile, (hostile, "n"), [(hostile, (Bar("1", 2.0), hostile))])
    assert "<script>" not in table
    assert "width:100.00%" in table


MATRIX = [[900 * (label == answer) + 7 * (label + 2 == answer) for answer in range(10)] for label in range(10)]


def test_chosen_cell_is_told_and_let_go_when_chosen_again() -> None:
    told: list[Selection] = []

    def root() -> None:
        ConfusionMatrix(CLASS_NAMES, told.append).show_counts(MATRIX)

    async def scenario(user: User) -> None:
        interaction = user.find(kind=ConfusionMatrix)
        interaction.trigger("choose", {"label": 4, "predicted": 9})
        await until(lambda: told == [Selection(4, 9)])
        assert only(user, ConfusionMatrix).chosen == Selection(4, 9)
        interaction.trigger("choose", {"label": 4, "predicted": 9})
        await until(lambda: told == [Selection(4, 9), MISTAKES])

    visit(root, scenario)


def test_choice_that_is_none_is_not_told() -> None:
    told: list[Selection] = []

    def root() -> None:
        ConfusionMatrix(CLASS_NAMES, told.append).show_counts(MATRIX)

    async def scenario(user: User) -> None:
        for args in ("cell", {"label": 99, "predicted": 1}, {"label": "4", "predicted": None}, [4, 9]):
            user.find(kind=ConfusionMatrix).trigger("choose", args)
        user.find(kind=ConfusionMatrix).trigger("choose", {"label": None, "predicted": 9})
        await until(lambda: told == [Selection(predicted=9)])

    visit(root, scenario)
