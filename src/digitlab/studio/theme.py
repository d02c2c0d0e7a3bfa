"""What the page looks like: the stylesheet, the page's own script, and the defaults of NiceGUI's elements.

Everything is served from this package and from NiceGUI's; nothing is fetched from another host. Colours, spaces and the
classes that all tabs use are in ``static/studio.css``; a tab with a stylesheet of its own puts it beside that one.
"""

from __future__ import annotations

from pathlib import Path

from nicegui import app, ui

from digitlab import __version__

__all__ = ["ICON", "STATIC", "add_theme", "set_up_theme"]

#: Where stylesheets and scripts are kept, and the path under which the page finds them.
STATIC = Path(__file__).parent / "static"
_PATH = "/studio"

#: The page's icon: a seven, as people in many countries write it.
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#2456d6"/>'
    '<path d="M9 9h13L14 25M11.5 17.5h9" fill="none" stroke="#fff" stroke-width="3" stroke-linecap="round" '
    'stroke-linejoin="round"/></svg>'
)


def set_up_theme() -> None:
    """Serve the stylesheets and scripts, and give NiceGUI's elements a quiet look. Once a process."""
    # Age 0: the browser asks every time whether a file has changed, and mostly hears that it has not.
    app.add_static_files(_PATH, STATIC, max_cache_age=0)
    ui.button.default_props("unelevated no-caps :ripple=false")
    for field in (ui.select, ui.number, ui.input):
        field.default_props("outlined dense options-dense")
    for switch in (ui.switch, ui.checkbox):
        switch.default_props("dense")


def add_theme() -> None:
    """Give the page being built its stylesheets and its script."""
    sheets = ["studio.css", *sorted(path.name for path in STATIC.glob("*.css") if path.name != "studio.css")]
    links = [f'<link rel="stylesheet" href="{_PATH}/{name}?v={__version__}">' for name in sheets]
    script = f'<script type="module" src="{_PATH}/studio.js?v={__version__}"></script>'
    ui.add_head_html("\n".join([*links, script]))
