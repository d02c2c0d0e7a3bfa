"""A training steered on the page, in a real browser: what is told of it afterwards, and a fair comparison with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import digitlab as dl
from digitlab.runs.run import Run
from digitlab.training.session import TrainingSession
from digitlab.values import RateChange, StepRecord

api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed, which drives the browser.")

pytestmark = pytest.mark.browser

RATES = {10: 0.01, 20: 0.002}
TOLD = "learning rate 0.01 from batch 11 and learning rate 0.002 from batch 21"

Open = Callable[..., "api.Page"]


@pytest.fixture(scope="module")
def out(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train both networks of the card, the one with convolutions with rates that were set on the way."""
    out = tmp_path_factory.mktemp("steering")
    data = dl.MnistData.load()
    config = {"train_images": 1_000, "validation_images": 200, "batch_size": 100, "epochs": 3}
    for name, network, rates in (("with", "codelab_cnn", RATES), ("without", "dense_baseline", {})):
        session = TrainingSession(dl.TrainConfig(network=network, **config), data, Run.create(out / name))
        for record in session.records():
            if isinstance(record, StepRecord) and record.step in rates:
                session.set_learning_rate(rates[record.step])
    return out


@pytest.fixture(scope="module")
def studio(serve: Callable[..., object], out: Path) -> object:
    """Serve the Studio with these runs."""
    return serve(out)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_two_runs_of_unlike_steering_are_told_apart_above_their_figures(visit: Open, width: int, scheme: str) -> None:
    page = visit("?tab=runs", width=width, height=900, color_scheme=scheme, reduced_motion="reduce")
    for run in ("with", "without"):
        page.get_by_role("checkbox", name=f"Compare {run}", exact=True).check()
    warning = page.locator(".comparison .unlike").first
    api.expect(warning).to_have_text(
        "A and B were not trained alike: they differ in the network (A: codelab_cnn, B: dense_baseline) and what was "
        f"changed on the way (A: {TOLD}; B: nothing); what sets their figures apart may come from any of these."
    )
    figures = page.get_by_text("Two Runs Compared", exact=True).bounding_box()
    above = warning.bounding_box()
    assert above is not None
    assert figures is not None
    assert above["y"] + above["height"] <= figures["y"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_fair_comparison_with_a_steered_run_is_made_by_keyboard(visit: Open, out: Path) -> None:
    page = visit("?tab=model", reduced_motion="reduce")
    api.expect(page.locator("#panel-model .unlike")).to_contain_text(f"(codelab_cnn: {TOLD}; dense_baseline: nothing)")
    api.expect(page.get_by_text("times as many mistakes")).to_have_count(0)
    button = page.get_by_role("button", name="Train dense_baseline as with was", exact=True)
    button.focus()
    button.press("Enter")
    api.expect(page.get_by_role("tab", name="Training")).to_have_attribute("aria-selected", "true")
    page.get_by_role("tab", name="Model").click()
    api.expect(page.get_by_text("the dense network made")).to_contain_text("times as many mistakes")
    api.expect(page.locator("#panel-model .unlike")).to_be_hidden()
    api.expect(button).to_be_hidden()
    made = next(run for run in map(Run, out.iterdir()) if run.name not in ("with", "without"))
    assert made.steering() == [RateChange(*change) for change in RATES.items()]
