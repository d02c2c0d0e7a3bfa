from __future__ import annotations

from digitlab.evaluation.confusion import MISTAKES, Selection
from digitlab.studio.widgets.evaluation_views import ConfusionMatrix
from digitlab.values import CLASS_NAMES
from tests.studio.visiting import User, only, until, visit

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
