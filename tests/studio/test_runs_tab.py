from __future__ import annotations

import dataclasses
import os
import shutil
import zipfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from nicegui import ui
from nicegui.events import GenericEventArguments

import digitlab as dl
from digitlab.evaluation.train import train
from digitlab.runs.label import Label
from digitlab.studio.lesson import LessonLink
from digitlab.studio.page import Page
from digitlab.studio.run_list import add_report_route, report_url
from digitlab.studio.tabs.readers import Readers
from digitlab.studio.tabs.runs_tab import RunsTab
from digitlab.studio.trainer import Trainer
from digitlab.studio.widgets.charts import LiveChart
from digitlab.studio.widgets.digit_views import ImageList
from digitlab.studio.widgets.tables import ConfusionMatrix, SortableTable
from tests.studio.steered import SMALL, paused_at, wait_for_evaluation, wait_for_state
from tests.studio.visiting import User, only, until, visit

Scenario = Callable[[User, RunsTab, Page], Awaitable[None]]


def look_at_runs(trainer: Trainer, scenario: Scenario) -> None:
    built: list[tuple[RunsTab, Page]] = []

    def root() -> None:
        page = Page(trainer, trainer.data, ui.context.client, LessonLink(tab="runs"))
        built.append((RunsTab(page), page))
        page.follow()

    async def go(user: User) -> None:
        await scenario(user, *built[0])

    visit(root, go)


def texts(tab: RunsTab) -> dict[str, list[str]]:
    return {row.key: [part.text for cell in row.cells for part in (cell.parts or (cell,))] for row in tab._table.rows}


async def act(tab: RunsTab, name: str, action: str = "compare") -> None:
    await until(lambda: name in texts(tab))
    await tab._act(name, action)


async def compared(tab: RunsTab, a: str, b: str) -> None:
    await until(lambda: tab._status.text == f"A is {a}, B is {b}.")


@pytest.fixture
def three(trainer: Trainer) -> Sequence[str]:
    """Train three runs, the names of the oldest first."""
    names = []
    for k, seed in enumerate((0, 1, 2)):
        trainer.start(dataclasses.replace(SMALL, seed=seed))
        wait_for_state(trainer, "finished")
        wait_for_evaluation(trainer)
        assert trainer.run is not None
        os.utime(trainer.run.path / "config.json", (1000 + k, 1000 + k))
        names.append(trainer.run.name)
    return names


def test_list_shows_every_run_the_newest_first(trainer: Trainer, three: Sequence[str]) -> None:
    async def scenario(user: User, tab: RunsTab, page: Page) -> None:
        await until(lambda: list(texts(tab)) == three[::-1])
        row = texts(tab)[three[1]]
        for text in ("dense_baseline", "seed 1", "3/3 epochs", "complete", "Evaluate", "Report", "Delete"):
            assert text in row

    look_at_runs(trainer, scenario)


def test_damaged_run_is_shown_with_a_sentence_and_cannot_be_chosen(trainer: Trainer, three: Sequence[str]) -> None:
    assert trainer.out is not None
    (trainer.out / three[0] / "config.json").write_text("{")

    async def scenario(user: User, tab: RunsTab, page: Page) -> None:
        await until(lambda: three[0] in texts(tab))
        row = texts(tab)[three[0]]
        assert "damaged" in row
        assert any("The run is damaged" in text for text in row)
        user.find(kind=type(tab._table), content=None).trigger("act", {"row": three[0], "action": "compare"})
        assert tab._chosen == []

    look_at_runs(trainer, scenario)


def test_run_that_is_trained_at_the_terminal_appears(trainer: Trainer, out: Path, digits: dl.MnistData) -> None:
    async def scenario(user: User, tab: RunsTab, page: Page) -> None:
        await user.should_see("There are no runs yet.")
        trainer.start(SMALL)
        await until(lambda: any("complete" in row for row in texts(tab).values()))

    look_at_runs(trainer, scenario)


def test_two_chosen_runs_are_compared(trainer: Trainer, three: Sequence[str]) -> None:
    async def scenario(user: User, tab: RunsTab, page: Page) -> None:
        await act(tab, three[0])
        await user.should_see("Choose one more run to compare with it.")
        await act(tab, three[2])
        await compared(tab, three[0], three[2])
        found = tab._comparison._drawn
        assert found is not None
        assert (found.a.name, found.b.name) == (three[0], three[2])
        assert [row.cells[0].text for row in tab._table.rows] == ["B", "", "A"]
        charts = user.find(kind=LiveChart).elements
        assert [chart.n_points for chart in charts if chart.visible] == [{"A": 3, "B": 3}] * 2
        shown = [
            [int(cell["n"].replace("−", "-")) for cell in row] for row in only(user, ConfusionMatrix).props["cells"]
        ]
        assert shown == [list(row) for row in found.confusion_difference]

    look_at_runs(trainer, scenario)


def test_images_of_a_comparison_are_those_on_which_the_runs_disagree(trainer: Trainer, three: Sequence[str]) -> None:
    images = trainer.data.test.images
    assert trainer.out is not None
    a, b = (dl.load_model(trainer.out / name).predict(images).argmax(axis=1) for name in three[:2])

    async def scenario(user: User, tab: RunsTab, page: Page) -> None:
        await act(tab, three[0])
        await act(tab, three[1])
        await compared(tab, three[0], three[1])
        shown = only(user, ImageList)
        await until(lambda: shown.title)
        seen: set[int] = set()
        for number in range(shown.props["pages"]):
            user.find(kind=ImageList).trigger("page", number)
            await until(lambda number=number: shown.page_number == number)
            seen |= set(shown.shown_numbers)
        assert seen == {i for i in range(len(images)) if a[i] != b[i]}
        first = shown.props["items"][0]
        names = dl.codelab_cnn().class_names
        for given, answers in zip(first["answers"], (a, b), strict=True):
            assert given["text"].startswith(names[answers[first["index"]]])

    look_at_runs(trainer, scenario)


def test_cell_of_the_difference_shows_its_images(trainer: Trainer, three: Sequence[str]) -> None:
    async def scenario(user: User, tab: RunsTab, page: Page) -> None:
        await act(tab, three[0])
        await act(tab, three[1])
        await compared(tab, three[0], three[1])
        found = tab._comparison._drawn
        assert found is not None
        d = found.disagreements[-1]
        user.find(kind=ConfusionMatrix).trigger("choose", {"label": d.label, "predicted": d.b.label})
        await until(lambda: "by one of the two" in only(user, ImageList).title)
        assert d.index in only(user, ImageList).shown_numbers

    look_at_runs(trainer, scenario)


def test_two_runs_swap_their_places_and_one_alone_is_not_compared(trainer: Trainer, three: Sequence[str]) -> None:
    async def scenario(user: User, tab: RunsTab, page: Page) -> None:
        for name in (three[0], three[2]):
            await act(tab, name)
        await compared(tab, three[0], three[2])
        user.find("Swap A and B").click()
        await compared(tab, three[2], three[0])
        await act(tab, three[2])
        await until(lambda: tab._chosen == [three[0]])
        assert not tab._comparison._box.visible

    look_at_runs(trainer, scenario)


def test_three_runs_are_laid_over_each_other_with_what_differs_first(trainer: Trainer, three: Sequence[str]) -> None:
    async def scenario(user: User, tab: RunsTab, page: Page) -> None:
        for name in three:
            await act(tab, name)
        await until(lambda: tab._status.text == f"A is {three[0]}, B is {three[1]} and C is {three[2]}.")
        assert tab._overlay._box.visible
        assert not tab._comparison._box.visible
        await user.should_see("They were trained alike but for one thing: seed.")
        (settings,) = (t for t in user.find(kind=SortableTable).elements if t.props["name"] == "Settings that differ")
        assert [[cell.text for cell in row.cells] for row in settings.rows] == [["seed", "0", "1", "2"]]
        charts = tab._overlay._charts._charts
        assert {chart.props["x-name"] for chart in charts.values()} == {"Images seen"}
        assert [chart.n_points for chart in charts.values()] == [{"A": 3, "B": 3, "C": 3}] * 2
        await act(tab, three[1])
        await compared(tab, three[0], three[2])
        assert not tab._overlay._box.visible

    look_at_runs(trainer, scenario)


def test_a_seventh_run_is_not_taken(trainer: Trainer, three: Sequence[str], out: Path) -> None:
    names = [f"copy-{k}" for k in range(7)]
    for name in names:
        shutil.copytree(out / three[0], out / name)

    async def scenario(user: User, tab: RunsTab, page: Page) -> None:
        for name in names:
            await act(tab, name)
        await until(lambda: "At most 6 runs" in tab._status.text)
        assert tab._chosen == names[:6]

    look_at_runs(trainer, scenario)


def test_title_and_note_are_typed_into_the_list_and_stand_where_runs_are_chosen(
    trainer: Trainer, three: Sequence[str], out: Path
) -> None:
    async def scenario(user: User, tab: RunsTab, page: Page) -> None:
        await until(lambda: three[0] in texts(tab))
        await tab._edit(three[0], "title", "<b>First</b>\u202e try\x07")
        await tab._edit(three[0], "note", "one\ntwo")
        assert dl.Run.open(out / three[0]).label.to_dict() == {"title": "<b>First</b> try", "note": "one\ntwo"}
        row = texts(tab)[three[0]]
        assert {"<b>First</b> try", three[0], "one\ntwo"} <= set(row)
        assert f"Run <b>First</b> try ({three[0]})" in Readers(trainer).choices().values()
        await act(tab, three[0])
        await act(tab, three[1])
        await until(lambda: tab._status.text == f"A is <b>First</b> try ({three[0]}), B is {three[1]}.")

    look_at_runs(trainer, scenario)


def test_title_that_is_too_long_is_told_and_not_kept(trainer: Trainer, three: Sequence[str], out: Path) -> None:
    async def scenario(user: User, tab: RunsTab, page: Page) -> None:
        await until(lambda: three[0] in texts(tab))
        (act_of,) = (one.handler for one in tab._table._event_listeners.values() if one.type == "act")
        for text in ("x" * 81, "x" * 10_000_000, 7, None):
            args = {"row": three[0], "action": "title", "text": text}
            result = act_of(GenericEventArguments(sender=tab._table, client=page.client, args=args))
            if result is not None:
                await result
        assert [message[:45] for message in user.notify.messages] == [
            "The title of a run has at most 80 characters;"
        ] * 2
        assert dl.Run.open(out / three[0]).label == Label()

    look_at_runs(trainer, scenario)


def test_deleted_run_says_what_is_lost_is_gone_everywhere_and_comes_back(
    trainer: Trainer, three: Sequence[str], out: Path
) -> None:
    before = {path.name: path.read_bytes() for path in (out / three[1]).iterdir()}

    async def scenario(user: User, tab: RunsTab, page: Page) -> None:
        page.evaluate_run(three[1])
        await act(tab, three[1])
        await act(tab, three[1], "delete")
        await user.should_see(f"Delete {three[1]}?")
        await user.should_see("settings, history, weights, evaluation and report")
        assert (out / three[1]).is_dir()
        await tab._deleting._deleted()
        assert not (out / three[1]).exists()
        assert (three[1] in texts(tab), tab._chosen, page.run_name) == (False, [], "")
        await user.should_see(f"{three[1]} is deleted.")
        await tab._bring_back()
        assert {path.name: path.read_bytes() for path in (out / three[1]).iterdir()} == before
        assert three[1] in texts(tab)
        assert not tab._deleted.visible

    look_at_runs(trainer, scenario)


def test_run_that_is_trained_here_is_not_deleted(trainer: Trainer, out: Path) -> None:
    async def scenario(user: User, tab: RunsTab, page: Page) -> None:
        with paused_at(trainer, 1):
            assert trainer.run is not None
            await act(tab, trainer.run.name, "delete")
            await tab._deleting._deleted()
            assert "is being trained" in user.notify.messages[-1]
            assert trainer.run.path.is_dir()
            assert not tab._deleted.visible

    look_at_runs(trainer, scenario)


def test_run_is_loaded_into_the_evaluation(trainer: Trainer, three: Sequence[str]) -> None:
    async def scenario(user: User, tab: RunsTab, page: Page) -> None:
        await act(tab, three[1], "evaluate")
        assert page.run_name == three[1]
        assert page.tab == "Evaluation"

    look_at_runs(trainer, scenario)


def test_missing_report_is_written_and_served(trainer: Trainer, three: Sequence[str]) -> None:
    assert trainer.out is not None
    (trainer.out / three[0] / "report.html").unlink()

    async def scenario(user: User, tab: RunsTab, page: Page) -> None:
        add_report_route(trainer.out)
        await until(lambda: "Write report" in texts(tab).get(three[0], []))
        assert (await user.http_client.get(report_url(three[0]))).status_code == 404
        await act(tab, three[0], "report")
        await until(lambda: "Report" in texts(tab)[three[0]])
        response = await user.http_client.get(report_url(three[0]))
        assert response.status_code == 200
        assert three[0] in response.text

    look_at_runs(trainer, scenario)


def test_report_of_a_run_of_other_data_is_refused_with_a_sentence(
    trainer: Trainer, three: Sequence[str], mnist: dl.MnistData
) -> None:
    name = train(dataclasses.replace(SMALL, epochs=1), trainer.out, name="real").name

    async def scenario(user: User, tab: RunsTab, page: Page) -> None:
        await act(tab, name, "report")
        assert "is not what the run" in user.notify.messages[-1]

    look_at_runs(trainer, scenario)


def test_run_that_vanishes_is_no_longer_compared(trainer: Trainer, three: Sequence[str]) -> None:
    assert trainer.out is not None
    path = trainer.out / three[0]

    async def scenario(user: User, tab: RunsTab, page: Page) -> None:
        await act(tab, three[0])
        await act(tab, three[1])
        await compared(tab, three[0], three[1])
        path.rename(path.parent / ".gone")
        await until(lambda: tab._chosen == [three[1]])
        assert not tab._comparison._box.visible

    look_at_runs(trainer, scenario)


def test_run_that_cannot_be_read_is_told(trainer: Trainer, three: Sequence[str]) -> None:
    assert trainer.out is not None
    (trainer.out / three[0] / "model.safetensors").write_bytes(b"nothing of the kind")

    async def scenario(user: User, tab: RunsTab, page: Page) -> None:
        await act(tab, three[0])
        await act(tab, three[1])
        await until(lambda: "error" in tab._status.classes)
        assert three[0] in tab._status.text

    look_at_runs(trainer, scenario)


def test_studio_without_a_folder_says_so(digits: dl.MnistData) -> None:
    trainer = Trainer(digits, None)

    async def scenario(user: User, tab: RunsTab, page: Page) -> None:
        await user.should_see("This Studio keeps no runs")

    try:
        look_at_runs(trainer, scenario)
    finally:
        trainer.close()


async def exported(user: User, tab: RunsTab, format: str, quantize: str = "float32") -> bytes:
    """Choose in the dialog, press its button, and return what the browser saves."""
    tab._exporting._format.set_value(format)
    tab._exporting._quantize.set_value(quantize)
    await tab._exporting.export()
    response = await user.download.next()
    return response.content


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "ending", "inside"),
    [
        ("tfjs", ".zip", "model.json"),
        ("web", ".zip", "index.html"),
        ("keras", ".keras", "model.weights.h5"),
        ("onnx", ".onnx", None),
    ],
)
def test_run_is_exported_verified_and_saved(
    trainer: Trainer, three: Sequence[str], tmp_path: Path, format: str, ending: str, inside: str | None
) -> None:
    assert trainer.out is not None
    expected = dl.load_model(trainer.out / three[1]).predict(trainer.data.test.images)
    path = tmp_path / (three[1] + ending)

    async def scenario(user: User, tab: RunsTab, page: Page) -> None:
        await act(tab, three[1], "export")
        await user.should_see(f"Export {three[1]}")
        path.write_bytes(await exported(user, tab, format))
        await user.should_see(f"{path.name}, {path.stat().st_size:,} bytes.")
        await user.should_see("Read by digitlab: the same answer to all")

    look_at_runs(trainer, scenario)
    if inside is not None:
        assert any(member.endswith(inside) for member in zipfile.ZipFile(path).namelist())
    model = path
    if ending == ".zip":
        zipfile.ZipFile(path).extractall(tmp_path)
        (model,) = tmp_path.rglob("model.json")
    np.testing.assert_allclose(dl.load_model(model).predict(trainer.data.test.images), expected, rtol=0, atol=1e-6)


def test_quantized_export_tells_what_it_costs(trainer: Trainer, three: Sequence[str]) -> None:
    async def scenario(user: User, tab: RunsTab, page: Page) -> None:
        await act(tab, three[0], "export")
        await exported(user, tab, "tfjs", "uint8")
        await user.should_see("before quantizing to uint8")

    look_at_runs(trainer, scenario)


@pytest.mark.slow
def test_export_that_fails_says_why_and_can_be_tried_again(trainer: Trainer, three: Sequence[str]) -> None:
    assert trainer.out is not None
    weights = trainer.out / three[0] / "model.safetensors"
    content = weights.read_bytes()

    async def scenario(user: User, tab: RunsTab, page: Page) -> None:
        await act(tab, three[0], "export")
        weights.write_bytes(content[:100])
        await tab._exporting.export()
        await user.should_see("The checkpoint ")
        assert not user.download.http_responses
        weights.write_bytes(content)
        assert await exported(user, tab, "onnx")

    look_at_runs(trainer, scenario)
