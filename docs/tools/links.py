"""Check that every link of the built site leads somewhere, and that the site needs nothing from elsewhere.

    python docs/tools/links.py build/site

Links within the site are followed to their page and their place on it. What a page is made of (scripts, styles,
pictures, fonts) may not come from another server. Links to other sites are left alone: they are looked at before a
release, with ``sphinx-build -b linkcheck``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_PARTS = {("script", "src"), ("img", "src"), ("link", "href"), ("source", "src"), ("iframe", "src"), ("object", "data")}
_STYLES = re.compile(r"(?:url\(|@import\s+)['\"]?(?!data:)((?:https?:)?//[^'\")\s]+)")


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.places: set[str] = set()
        self.links: list[str] = []
        self.parts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.places.add(value)
            elif value and (tag, name) in _PARTS:
                self.parts.append(value)
            elif value and (tag, name) == ("a", "href"):
                self.links.append(value)


@cache
def _page(file: Path) -> _Page:
    return _Page(file.read_text("utf-8"))


def complaints(site: Path) -> Iterator[str]:
    """Yield a sentence for every link that leads nowhere and every part that comes from elsewhere."""
    for file in sorted(site.rglob("*.html")):
        page, name = _page(file), file.relative_to(site)
        for part in page.parts:
            if urlsplit(part).netloc:
                yield f"{name}: needs {part} from another server."
        for link in [*page.links, *page.parts]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            if target.is_dir():
                target /= "index.html"
            if not target.is_file():
                yield f"{name}: there is no {link}."
            elif parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in _page(target).places:
                yield f"{name}: {link} has no such place."
    for file in sorted(site.rglob("*.css")):
        for address in _STYLES.findall(file.read_text("utf-8", errors="replace")):
            yield f"{file.relative_to(site)}: needs {address} from another server."


def main() -> int:
    """Print all complaints."""
    site = Path(sys.argv[1])
    found = list(complaints(site.resolve()))
    for complaint in found:
        print(complaint)
    print(f"{len(list(site.rglob('*.html')))} pages, {len(found)} links that lead nowhere or elsewhere")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
