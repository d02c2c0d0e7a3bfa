"""What a screen reader gets of the page: Chromium's accessibility tree, on a phone and on a desk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed, which drives the browser.")

# Compiling the kernels is waited for, too.
api.expect.set_options(timeout=60_000)

pytestmark = pytest.mark.browser

Visit = Callable[..., Any]

WIDTHS = {"phone": 390, "desk": 1280}
OTHERS = {390: 360, 1280: 1920}  # the narrowest and the widest
TABS = ("Input Data", "Model", "Training", "Network", "Evaluation", "Read", "Runs")
SMALL = "?tab=training&network=dense_baseline&train_images=400&validation_images=50&batch_size=20&epochs=1"
FAILING = SMALL + "&optimizer=sgd&learning_rate=1000"

# What one can do something with, or look at, whatever else it is.
ROLES = {
    *("button", "link", "textbox", "searchbox", "spinbutton", "combobox", "checkbox", "switch", "radio", "slider"),
    *("tab", "menuitem", "option", "image", "img", "dialog", "listbox", "tabpanel"),
}


def tree(page: Any) -> list[dict[str, Any]]:
    """Return the nodes that a screen reader is given, each with its role, name, and whether it takes the focus."""
    session = page.context.new_cdp_session(page)
    try:
        nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    finally:
        session.detach()
    return [
        {
            "role": node.get("role", {}).get("value", ""),
            "name": node.get("name", {}).get("value", "").strip(),
            "text": node.get("name", {}).get("value", ""),
            "takes_focus": any(one["name"] == "focusable" and one["value"]["value"] for one in node["properties"]),
            "id": node["nodeId"],
            "inside": node.get("childIds", []),
            "place": node.get("backendDOMNodeId"),
        }
        for node in nodes
        if not node.get("ignored") and "properties" in node
    ]


def text_within(nodes: list[dict[str, Any]], role: str) -> list[str]:
    """Return what is read out of every node of a role: the texts below it."""
    known = {node["id"]: node for node in nodes}

    def texts(node: dict[str, Any]) -> str:
        if node["role"] == "StaticText":
            return str(node["text"])
        return " ".join(filter(None, (texts(known[one]) for one in node["inside"] if one in known)))

    return [texts(node) for node in nodes if node["role"] == role]


def start(page: Any) -> None:
    """Start the training, once the page lets one."""
    button = page.get_by_role("button", name="Start", exact=True)
    api.expect(button).not_to_have_attribute("aria-disabled", "true")
    button.click()


def nameless(page: Any) -> list[str]:
    """Return what takes the focus or stands for something to use, and has no name."""
    session = page.context.new_cdp_session(page)
    found = []
    for node in tree(page):
        is_used = node["role"] in ROLES or (node["takes_focus"] and node["role"] != "RootWebArea")
        if is_used and (not node["name"] or (node["takes_focus"] and node["role"] == "generic")):
            html = session.send("DOM.getOuterHTML", {"backendNodeId": node["place"]})["outerHTML"]
            tag = html.partition(">")[0]
            # What no key leads to is a place for scripts to put the focus, or a part of what has a name.
            if node["role"] != "generic" or 'tabindex="-1"' not in tag:
                found.append(f"{node['role']}: {html[:160]}")
    session.detach()
    return found


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_whatever_can_be_used_has_a_name_in_every_tab(visit: Visit, width: int) -> None:
    page = visit(SMALL, width=width, height=800)
    start(page)
    api.expect(page.locator(".studio-status")).to_contain_text("of all 10,000 test images")
    for name in TABS:
        page.get_by_role("tab", name=name).click()
        panel = page.get_by_role("tabpanel", name=name)
        api.expect(panel).to_be_visible()
        api.expect(panel.get_by_role("button").first).to_be_visible()
        page.wait_for_timeout(500)  # what is drawn late
        assert nameless(page) == [], name
        page.set_viewport_size({"width": OTHERS[width], "height": 800})
        assert nameless(page) == [], (name, OTHERS[width])
        page.set_viewport_size({"width": width, "height": 800})
        [shown] = [node["name"] for node in tree(page) if node["role"] == "tabpanel"]
        assert shown == name
    page.get_by_role("tab", name="Training").click()
    page.get_by_role("button", name="Reset", exact=True).click()


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_what_fails_is_read_out_whole(visit: Visit, width: int) -> None:
    page = visit(FAILING, width=width, height=800)
    start(page)
    message = page.get_by_role("alert")
    api.expect(message).to_contain_text("Try a learning rate ten times smaller.")
    api.expect(page.locator(".studio-status")).to_have_text("The training failed.")
    nodes = tree(page)
    # Not the part that a line has room for: the sentence as it is, advice at its end included.
    assert message.inner_text().strip() in [" ".join(text.split()) for text in text_within(nodes, "alert")]
    assert "The training failed." in text_within(nodes, "status")
    page.get_by_role("button", name="Reset", exact=True).click()
    api.expect(message).not_to_be_visible()
    assert not any(text_within(tree(page), "alert"))


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_explanations_are_dialogs_with_names(visit: Visit, width: int) -> None:
    page = visit("?tab=model", width=width, height=800)
    page.get_by_role("button", name="Explain").first.click()
    api.expect(page.get_by_role("dialog")).to_be_visible()
    page.wait_for_timeout(500)
    assert nameless(page) == []
    [name] = [node["name"] for node in tree(page) if node["role"] == "dialog"]
    assert name
