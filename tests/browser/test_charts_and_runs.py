"""Charts read by hand and by keys, runs laid over each other, named and deleted: what needs eyes and keys."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import digitlab as dl

api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed, which drives the browser.")
expect = api.expect

pytestmark = pytest.mark.browser

Open = Callable[..., "api.Page"]

SMALL = dl.TrainConfig(network="dense_baseline", train_images=400, validation_images=200, batch_size=50, epochs=3)
KINDS = {
    "plain": {},
    "small-batches": {"batch_size": 20, "seed": 1},
    "one-epoch": {"epochs": 1},
}
# The n-th chart that is seen.
CHART = (
    "n => getElement(Number([...document.querySelectorAll('.live-chart')].filter(e => e.checkVisibility())[n]"
    ".id.slice(1)))"
)
# How many pixels of it have the color of a curve.
INKED = f"""n => {{
    const canvas = ({CHART})(n).$refs.plot.querySelector("canvas");
    const {{ data }} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let nInked = 0;
    for (let i = 0; i < data.length; i += 4) {{
        const [r, g, b, a] = data.slice(i, i + 4);
        if (a > 200 && Math.max(r, g, b) - Math.min(r, g, b) > 80) nInked += 1;
    }}
    return nInked;
}}"""
FITS = """() => {
    const card = document.querySelector(".of-runs").getBoundingClientRect();
    return [...document.querySelectorAll(".of-runs tbody :is(td, th) > *")].every((e) => {
        const { left, right } = e.getBoundingClientRect();
        return left >= card.left - 1 && right <= card.right + 1;
    });
}"""


@pytest.fixture(scope="module")
def out(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train three runs in different batches and for different times."""
    out = tmp_path_factory.mktemp("studio") / "runs"
    for k, (name, changes) in enumerate(KINDS.items()):
        run = dl.train(dataclasses.replace(SMALL, **changes), out, name=name)
        os.utime(run.path / "config.json", (1_000_000 + k, 1_000_000 + k))
    return out


@pytest.fixture(scope="module")
def studio(serve: Callable[..., Any], out: Path) -> Any:
    """Serve the Studio with these runs."""
    return serve(out)


def runs_of(visit: Open, *, width: int = 1280, height: int = 900, **settings: Any) -> api.Page:
    page = visit("?tab=runs", width=width, height=height, reduced_motion="reduce", **settings)
    page.get_by_role("checkbox").nth(len(KINDS) - 1).wait_for()
    return page


def laid_over(visit: Open, **settings: Any) -> api.Page:
    page = runs_of(visit, **settings)
    for name in KINDS:
        page.get_by_role("checkbox", name=f"Compare {name}", exact=True).click()
    expect(page.locator(".evaluated:visible")).to_have_text("A is plain, B is small-batches and C is one-epoch.")
    expect(page.locator(".live-chart-plot canvas:visible")).to_have_count(2)
    page.wait_for_function(f"() => ({CHART})(0).drawn?.every(points => points.length)")
    return page


def finished(visit: Open, **settings: Any) -> api.Page:
    """Open the Training tab with a training that is over: 16 batches in 2 epochs."""
    query = "?tab=training&network=dense_baseline&train_images=400&validation_images=50&batch_size=50&epochs=2"
    page = visit(query, reduced_motion="reduce", **settings)
    status = page.locator(".studio-status")
    start = page.get_by_role("button", name="Start", exact=True)
    expect(start).not_to_have_attribute("aria-disabled", "true")
    if "is trained" not in status.inner_text():  # by the test before
        start.click()
    expect(status).to_contain_text("is trained")
    page.wait_for_function(f"() => ({CHART})(0).drawn[0]?.length === 16")
    return page


@pytest.mark.parametrize("width", [360, 390, 768, 1024, 1280, 1920])
def test_the_list_of_runs_fits_into_its_card(visit: Open, width: int) -> None:
    page = runs_of(visit, width=width)
    for region in page.locator(".sortable:visible").all():
        assert region.evaluate("e => e.scrollWidth <= e.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(FITS)
    for action in ("Evaluate", "Report of", "Export", "Delete"):
        expect(page.locator(f"[aria-label^='{action} plain']")).to_be_visible()


def test_settings_stand_below_the_letters_of_their_runs(visit: Open) -> None:
    page = laid_over(visit)
    table = page.get_by_role("table", name="Settings that differ")
    heads = [head.bounding_box()["x"] for head in table.get_by_role("columnheader").all()]
    rows = table.locator("tbody tr").all()
    assert rows
    for row in rows:
        assert [cell.bounding_box()["x"] for cell in row.locator("th, td").all()] == heads


def test_charts_of_one_epoch_draw_a_point(visit: Open) -> None:
    page = laid_over(visit)
    page.get_by_role("checkbox", name="Compare plain", exact=True).click()
    expect(page.locator(".evaluated:visible")).to_have_text("A is small-batches, B is one-epoch.")
    expect(page.locator(".live-chart-plot canvas:visible")).to_have_count(2)
    for n in (0, 1):
        page.wait_for_function(f"() => ({CHART})({n}).drawn?.some(points => points.length === 1)")
        shown = page.evaluate(
            f"() => ({CHART})({n}).chart.getOption().series.map(one => [one.data.length, one.showSymbol])"
        )
        assert all(symbol for n_points, symbol in shown if n_points == 1)
        assert page.evaluate(INKED, n) > 20


def test_first_batch_of_a_training_is_seen(visit: Open) -> None:
    page = visit("?tab=training&network=dense_baseline&train_images=400&validation_images=50&batch_size=400&epochs=9")
    step = page.get_by_role("button", name="Step one batch", exact=True)
    expect(step).not_to_have_attribute("aria-disabled", "true")
    step.click()
    page.wait_for_function(f"() => ({CHART})(0).drawn[0]?.length === 1")
    assert page.evaluate(INKED, 0) > 10
    page.get_by_role("button", name="Reset", exact=True).click()


def test_hand_reads_values_that_say_what_they_are_and_cover_no_curve(visit: Open) -> None:
    page = finished(visit)
    loss, accuracy = page.evaluate(f"() => [0, 1].map(n => ({CHART})(n).curves[0].at(8)[1])")
    for n, text in ((0, f"{loss:.4f}"), (1, f"{100 * accuracy:.1f} %")):
        plot = page.locator(".live-chart-plot:visible").nth(n)
        chart = page.locator(".live-chart:visible").nth(n)
        box = plot.bounding_box()
        page.mouse.move(box["x"] + 60 + (box["width"] - 74) / 2, box["y"] + 70)
        expect(chart.locator(".live-chart-where")).to_have_text("Batch 8")
        expect(chart.locator(".live-chart-entry b").first).to_have_text(text)
        # The word stands below the axis; nothing but a line and dots stands over the curves.
        where = chart.locator(".live-chart-where").bounding_box()
        assert where["y"] >= box["y"] + box["height"] - 40
    page.mouse.move(0, 0)
    expect(page.locator(".live-chart-where")).to_have_count(0)
    expect(page.locator(".live-chart-entry b").first).not_to_have_text(f"{loss:.4f}")


def test_keys_move_along_a_curve_and_take_the_training_there(visit: Open) -> None:
    page = finished(visit)
    chart = page.get_by_role("slider", name="Loss of every batch")
    chart.focus()
    for key, batch in (("Home", 1), ("ArrowRight", 2), ("End", 16), ("ArrowLeft", 15), ("PageDown", 13)):
        page.keyboard.press(key)
        loss = page.evaluate(f"() => ({CHART})(0).curves[0].at({batch})[1]")
        said = re.compile(rf"^Batch {batch}: loss {loss:.4f}")
        expect(chart).to_have_attribute("aria-valuetext", said)
        expect(chart).to_have_attribute("aria-valuenow", str(batch))
    assert ", val_loss " in chart.get_attribute("aria-valuetext")
    assert chart.get_attribute("aria-valuetext").endswith(" at 8")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Time travel")).to_have_attribute("aria-valuetext", "batch 13 of 16")
    page.keyboard.press("Escape")
    expect(page.locator(".live-chart-hair")).to_have_count(0)


def test_an_earlier_run_stands_pale_behind_the_curves_at_every_width(visit: Open, tmp_path: Path) -> None:
    page = finished(visit, width=1280)
    page.get_by_role("combobox", name="Earlier run behind the curves").click()
    page.get_by_role("option", name="small-batches", exact=True).click()
    expect(page.locator(".live-chart:visible").first.locator(".is-behind")).to_have_count(2)
    expect(page.locator(".ghost")).to_contain_text("batch size 20 (here 50)")
    expect(page.locator(".ghost")).not_to_contain_text("device")
    page.get_by_text("Both in numbers").click()
    expect(page.locator(".ghost-table td").first).to_be_visible()
    xs = page.evaluate(f"() => ({CHART})(0).ghosts[0].points().map(([x]) => x)")
    # 20 images are 0.4 of a batch of 50; after 800 images the axis ends, and one point goes on.
    assert xs[:3] == pytest.approx([0.4, 0.8, 1.2])
    assert xs[-2:] == pytest.approx([16, 16.4])
    looks = page.evaluate(
        f"() => ({CHART})(0).chart.getOption().series.map(one => [one.z, one.lineStyle.opacity ?? 1])"
    )
    assert looks[0][0] > looks[-1][0]
    assert looks[-1][1] < 0.7 < looks[0][1] == 1
    for width in (390, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("button", name="Save: onBatchEnd").click()
    with page.expect_download() as download:
        page.get_by_text("SVG file").click()
    assert "loss: small-batches" in Path(download.value.path()).read_text()
    page.get_by_role("combobox", name="Earlier run behind the curves").click()
    page.get_by_role("option", name="None", exact=True).click()
    expect(page.locator(".is-behind")).to_have_count(0)


def test_runs_laid_over_each_other_are_told_apart_by_more_than_color(visit: Open) -> None:
    page = laid_over(visit)
    expect(page.locator("#panel-runs .unlike:visible")).to_contain_text("They were not trained alike")
    cells = page.locator(".of-settings tbody tr").first.locator("th, td")
    tops = {cell.bounding_box()["y"] for cell in cells.all()}
    assert (cells.count(), len(tops)) == (4, 1)  # beside each other, a column for every run
    series = page.evaluate(f"() => ({CHART})(0).chart.getOption().series.slice(0, 3)")
    for what in (lambda one: one["color"], lambda one: str(one["lineStyle"]["type"]), lambda one: one["symbol"]):
        assert len({what(one) for one in series}) == 3
    assert [one["data"][-1][0] for one in series] == [1200, 1200, 400]
    page.get_by_role("combobox", name="Curves", exact=True).last.click()
    page.get_by_role("option", name="Training, every batch").click()
    page.wait_for_function(f"() => ({CHART})(0).drawn?.[1]?.length === 60")
    files = {}
    for kind in ("PNG", "SVG", "CSV"):
        page.get_by_role("button", name="Save: Accuracy over the Images Seen").click()
        with page.expect_download() as download:
            page.get_by_text(f"{kind} file").click()
        assert download.value.suggested_filename == f"runs-accuracy.{kind.lower()}"
        files[kind] = Path(download.value.path()).read_bytes()
        page.locator(".q-menu").wait_for(state="detached")
    assert len(Image.open(io.BytesIO(files["PNG"])).getcolors(1_000_000)) > 20
    for words in (b"Images seen", b"B  small-batches", b"C  one-epoch"):
        assert words in files["SVG"]
    rows = list(csv.DictReader(io.StringIO(files["CSV"].decode())))
    assert [sum(row["run"] == name for row in rows) for name in KINDS] == [24, 60, 8]
    assert rows[0]["images_seen"] == "50"


def test_run_is_named_noted_deleted_and_brought_back_by_keys_alone(visit: Open, out: Path) -> None:
    page = runs_of(visit)
    title = page.get_by_role("textbox", name="Title of plain", exact=True)
    title.focus()
    page.keyboard.type("<i>The plain</i> one")
    page.keyboard.press("Enter")
    expect(page.locator(".of-runs")).to_contain_text("plain")
    expect(title).to_have_value("<i>The plain</i> one")
    note = page.get_by_role("textbox", name="Note on plain", exact=True)
    note.focus()
    page.keyboard.type("first line")
    page.keyboard.press("Enter")
    page.keyboard.type("second line")
    page.keyboard.press("Control+Enter")
    page.wait_for_timeout(300)
    assert dl.Run.open(out / "plain").label.to_dict() == {
        "title": "<i>The plain</i> one",
        "note": "first line\nsecond line",
    }
    title.focus()
    page.keyboard.type(" never kept")
    page.keyboard.press("Escape")
    expect(title).to_have_value("<i>The plain</i> one")
    page.get_by_role("tab", name="Evaluation").click()
    page.get_by_role("combobox", name="Network").last.click()
    page.get_by_role("option", name="Run <i>The plain</i> one (plain)").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Runs").click()
    page.get_by_role("button", name="Delete plain", exact=True).focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Delete <i>The plain</i> one (plain)?")
    expect(dialog).to_contain_text("settings, history, weights, evaluation, report and title and note")
    expect(dialog.get_by_role("button", name="Keep it")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert (out / "plain").is_dir()
    page.get_by_role("button", name="Delete plain", exact=True).focus()
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("button", name="Keep it")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(title).to_have_count(0)
    assert not (out / "plain").exists()
    undo = page.get_by_role("button", name="Bring plain back")
    undo.focus()
    page.keyboard.press("Enter")
    expect(title).to_have_value("<i>The plain</i> one")
    assert (out / "plain").is_dir()
    dl.Run.open(out / "plain").annotate(title="", note="")


def test_what_is_typed_stays_while_the_list_changes(visit: Open, out: Path) -> None:
    page = runs_of(visit)
    title = page.get_by_role("textbox", name="Title of plain", exact=True)
    title.focus()
    page.keyboard.type("half of")
    dl.Run.open(out / "one-epoch").annotate(title="Somebody else was here")
    expect(page.get_by_role("textbox", name="Title of one-epoch")).to_have_value("Somebody else was here")
    expect(title).to_have_value("half of")
    page.keyboard.press("Escape")
    dl.Run.open(out / "one-epoch").annotate(title="")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_of_charts_and_runs_can_be_read(visit: Open, scheme: str, least_contrast: Callable[[Any], float]) -> None:
    page = laid_over(visit, color_scheme=scheme)
    words = ".live-chart-entry:visible, .live-chart-y:visible, .run-letter:visible, .of-runs .in-cell, .of-runs .muted"
    assert least_contrast(page.locator(words)) >= 4.5
