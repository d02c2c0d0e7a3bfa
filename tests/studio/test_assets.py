"""The page's files as they are sent: compressed, kept by browsers for good or asked for again, and always the whole."""

from __future__ import annotations

import asyncio
import gzip
import re
from dataclasses import dataclass
from typing import Any

import pytest
from nicegui import __version__ as nicegui_version
from nicegui import ui

from digitlab.studio.assets import STATIC, Assets, add_assets

LIBRARY = f"/_nicegui/{nicegui_version}/static/library.js"
TEXT = b"/* a stylesheet */ " * 200
NEW = b"/* another one */ " * 200
SMALL = b"a {}"


class Files:
    """An app that serves some files, and counts how often it is asked."""

    def __init__(self) -> None:
        self.content = {
            "/studio/a.css": TEXT, LIBRARY: TEXT, "/studio/small.css": SMALL, "/studio/f.woff2": TEXT, "/": TEXT
        }  # fmt: skip
        self.asked: list[dict[bytes, bytes]] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.asked.append(dict(scope["headers"]))
        content = self.content.get(scope["path"])
        kind = b"font/woff2" if scope["path"].endswith(".woff2") else b"text/css; charset=utf-8"
        headers = [(b"content-type", kind), (b"etag", b'"of-the-app"'), (b"cache-control", b"for good")]
        headers.append((b"content-length", b"%d" % len(content or b"")))
        status = 200 if content is not None else 404
        await send({"type": "http.response.start", "status": status, "headers": headers})
        half = len(content or b"") // 2
        await send({"type": "http.response.body", "body": (content or b"")[:half], "more_body": True})
        await send({"type": "http.response.body", "body": (content or b"")[half:]})


@dataclass(frozen=True)
class Got:
    status: int
    headers: dict[str, str]
    body: bytes


def ask(assets: Assets, path: str, query: str = "", method: str = "GET", **headers: str) -> Got:
    sent: list[Any] = []
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(assets(scope, receive, send))
    got = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Got(sent[0]["status"], got, b"".join(message.get("body", b"") for message in sent[1:]))


@pytest.fixture
def files() -> Files:
    return Files()


@pytest.fixture
def assets(files: Files) -> Assets:
    return Assets(files)


@pytest.mark.parametrize("path", ["/studio/a.css", LIBRARY])
def test_text_is_sent_compressed_to_whoever_can_take_it(assets: Assets, path: str) -> None:
    packed = ask(assets, path, accept_encoding="br, gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == TEXT
    assert len(packed.body) == int(packed.headers["content-length"]) < len(TEXT) / 10
    plain = ask(assets, path)
    assert (plain.body, "content-encoding" in plain.headers) == (TEXT, False)
    assert int(plain.headers["content-length"]) == len(TEXT)
    assert packed.headers["etag"] != plain.headers["etag"]
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"


def test_fonts_pages_and_what_is_not_there_pass_as_they_are(assets: Assets) -> None:
    for path, status in (("/studio/f.woff2", 200), ("/", 200), ("/studio/none.css", 404)):
        got = ask(assets, path, accept_encoding="gzip")
        assert (got.status, got.headers["etag"], "content-encoding" in got.headers) == (status, '"of-the-app"', False)
    assert ask(assets, "/studio/small.css", accept_encoding="gzip").body == SMALL
    assert ask(assets, "/studio/a.css", method="POST").headers["etag"] == '"of-the-app"'


def test_a_browser_that_has_a_file_is_sent_nothing(assets: Assets) -> None:
    had = ask(assets, "/studio/a.css", accept_encoding="gzip")
    again = ask(assets, "/studio/a.css", accept_encoding="gzip", if_none_match=f'W/{had.headers["etag"]}, "other"')
    assert (again.status, again.body) == (304, b"")
    assert again.headers["etag"] == had.headers["etag"]
    assert ask(assets, "/studio/a.css", if_none_match='"other"').status == 200


def test_the_app_is_asked_for_the_whole_file_whatever_a_browser_asks_for(assets: Assets, files: Files) -> None:
    got = ask(assets, "/studio/a.css", range="bytes=0-9", if_none_match='"of-the-app"', accept_encoding="gzip")
    assert (got.status, gzip.decompress(got.body)) == (200, TEXT)
    assert files.asked == [{}]


def test_a_library_is_compressed_once_and_an_own_file_is_always_the_newest(assets: Assets, files: Files) -> None:
    for path in (LIBRARY, "/studio/a.css"):
        ask(assets, path)
        files.content[path] = NEW
    assert ask(assets, LIBRARY).body == TEXT  # its address would be another one
    assert ask(assets, "/studio/a.css").body == NEW
    assert len(files.asked) == 3


def test_browsers_keep_for_good_only_what_its_address_names(assets: Assets) -> None:
    name = ask(assets, "/studio/a.css").headers["etag"].strip('"')
    assert "immutable" in ask(assets, "/studio/a.css", f"v={name}").headers["cache-control"]
    for query in ("", "v=", "v=0123456789abcdef", "v=%00&v", "v=" + "9" * 5000):
        assert ask(assets, "/studio/a.css", query).headers["cache-control"] == "no-cache"
    assert ask(assets, LIBRARY).headers["cache-control"] == "for good"


def test_every_stylesheet_is_linked_under_the_hash_of_what_is_in_it(
    monkeypatch: pytest.MonkeyPatch, assets: Assets, files: Files
) -> None:
    said: list[str] = []
    monkeypatch.setattr(ui, "add_head_html", said.append)
    add_assets()
    links = re.findall(r'(?:href|src)="(/studio/([^?]+)\?v=([^"]+))"', said[0])
    names = [name for _, name, _ in links]
    assert names[:2] == ["tokens.css", "studio.css"]
    assert {path.name for path in STATIC.glob("*.css")} | {"inside.css", "shades.css", "studio.js"} <= set(names)
    assert "page.css" not in names
    files.content["/studio/studio.css"] = (STATIC / "studio.css").read_bytes()
    version = next(version for _, name, version in links if name == "studio.css")
    assert "immutable" in ask(assets, "/studio/studio.css", f"v={version}").headers["cache-control"]


def test_however_an_address_is_written_a_library_is_kept_once(assets: Assets, files: Files) -> None:
    folder, _, name = LIBRARY.rpartition("/")
    others = [f"{folder}/{'./' * n}{name}" for n in range(1, 9)] + [f"{folder}//{name}", f"{folder}/x/../{name}"]
    for path in (LIBRARY, *others):
        files.content[path] = TEXT
        assert gzip.decompress(ask(assets, path, accept_encoding="gzip").body) == TEXT
    assert list(assets._kept) == [LIBRARY]
