"""Many pages on a cluster: every file's rows once, in the order of the names, whoever was gone meanwhile."""

from __future__ import annotations

import contextlib
import csv
import functools
import http.server
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import digitlab as dl
from digitlab.cli.read import EXTENSIONS
from digitlab.errors import ConfigError, DataError
from digitlab.reading import parts
from digitlab.reading.many import Task, read_many
from digitlab.reading.parts import Asked, PartsProgress, read_parts
from digitlab.reading.places import fetched, names_in
from digitlab.reading.reading import ReadingOptions
from digitlab.reading.results_file import safe_cell, table_rows

pytestmark = pytest.mark.interop
pytest.importorskip("distributed")
Found = Iterator[tuple[int, list[list[str]], int]]
ASKED = Asked(ReadingOptions())


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    digits = dl.MnistData.load().test.images
    (folder / "more").mkdir()
    for k in range(7):
        page = np.full((96, 160), 255, np.uint8)
        for place in range(3):
            page[32:60, 30 + 30 * place : 58 + 30 * place] -= digits[3 * k + place].reshape(28, 28)
        Image.fromarray(page).save(folder / ("more" if k % 2 else ".") / f"{k}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "notes.txt.md").write_text("not asked for")
    return folder


def rows_of(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


@pytest.mark.slow
def test_a_cluster_reads_what_is_read_without_one(pages: Path, tmp_path: Path) -> None:
    names = list(names_in(str(pages), EXTENSIONS))
    assert len(names) == 8
    told: list[PartsProgress] = []
    result = read_parts(
        [*names, names[0]], tmp_path / "all.csv", "local", ASKED, part_files=3, workers=1, on_progress=told.append
    )
    here = [row[:-1] for one in read_many([Task(n, n) for n in names]) for row in table_rows(one)]
    header, *rows = rows_of(tmp_path / "all.csv")
    assert rows == here
    assert (result.n_files, result.n_bad) == (8, 1)
    assert result.n_numbers == sum(row[header.index("digits")] != "" for row in rows)
    assert told[-1].done == told[-1].n_files == 8
    assert {path.name for path in tmp_path.iterdir()} == {"all.csv"}
    with pytest.raises(ConfigError, match="is there already"):
        read_parts(names, tmp_path / "all.csv", "local", ASKED)


def test_it_goes_on_with_the_parts_that_are_there_and_the_names_of_then(
    pages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    names, read, out = list(names_in(str(pages), EXTENSIONS)), [], tmp_path / "all.parquet"

    def by_hand(all_parts: list[list[str]], missing: list[int], *_: object) -> Found:
        for part in reversed(missing):
            if len(read) == 2:
                read.append(-1)
                raise KeyboardInterrupt
            read.append(part)
            yield part, [[name, "1", "1", "1", f"{part}", "0.5", "0 0 1 1", "0", ""] for name in all_parts[part]], 1

    monkeypatch.setattr(parts, "_read", by_hand)
    with pytest.raises(KeyboardInterrupt):
        read_parts(names, out, "local", ASKED, part_files=2)
    assert not out.exists()
    with pytest.raises(ConfigError, match="begun with other options"):
        read_parts(names, out, "local", Asked(ReadingOptions(digits=3)), part_files=2)
    read_parts(names[:1], out, "local", ASKED, part_files=5)
    assert read == [3, 2, -1, 1, 0]
    table = pq.read_table(out)
    assert table["file"].to_pylist() == names
    assert table["digits"].to_pylist() == [str(k // 2) for k in range(8)]
    assert table["confidence"].to_pylist() == [0.5] * 8
    assert not out.with_name("all.parquet.parts").exists()


def test_two_clients_do_not_write_the_same_table(pages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def during(*_: object) -> Found:
        with pytest.raises(ConfigError, match="Another process reads into"):
            read_parts(["x"], tmp_path / "a.csv", "local", ASKED)
        yield 0, [[""] * 9], 1

    monkeypatch.setattr(parts, "_read", during)
    read_parts(["x.png"], tmp_path / "a.csv", "local", ASKED)


def test_names_come_from_folders_lists_and_elsewhere(pages: Path, tmp_path: Path) -> None:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(pages))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_address[1]}"
        (tmp_path / "list.txt").write_text(f"# pages\n{pages}/0.png\n\n{address}/2.png\nbeside.png\n")
        listed = list(names_in(str(tmp_path / "list.txt"), EXTENSIONS))
        assert listed == [f"{pages}/0.png", f"{address}/2.png", f"{tmp_path}/beside.png"]
        assert fetched(listed[1]) == (pages / "2.png").read_bytes()
        with pytest.raises(DataError, match="cannot be"):
            fetched(f"{address}/nothing.png")
    finally:
        server.shutdown()
        server.server_close()
    below = {Path(name).name for name in names_in(f"file://{pages}", EXTENSIONS)}
    assert below == {Path(name).name for name in names_in(str(pages), EXTENSIONS)}
    with pytest.raises(ConfigError, match="There is no file or folder"):
        list(names_in(str(tmp_path / "none"), EXTENSIONS))
    (tmp_path / "long.txt").write_bytes(b"x" * 10_000)
    with pytest.raises(ConfigError, match="Line 1 of"):
        list(names_in(str(tmp_path / "long.txt"), EXTENSIONS))


def test_a_worker_tells_what_cannot_be_had_or_read_and_goes_on(pages: Path) -> None:
    names = [str(pages / "broken.png"), "http://127.0.0.1:9/a.png", str(pages / "0.png")]
    rows = parts.read_part(names, ASKED)
    errors = {row[0]: row[-1] for row in rows}
    assert "no image" in errors[names[0]]
    assert "cannot be" in errors[names[1]]
    assert errors[names[2]] == ""


@pytest.mark.parametrize("out", ["a.json", "table"])
def test_results_are_a_table(out: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"something\.parquet or something\.csv"):
        read_parts(["x.png"], tmp_path / out, "local", ASKED)
    with pytest.raises(DataError, match="no pictures"):
        read_parts([], tmp_path / "a.csv", "local", ASKED)


def whole(all_parts: list[list[str]], missing: list[int], *_: object) -> Found:
    """Read as a cluster would, with a number for every file."""
    for part in missing:
        yield part, [[safe_cell(name), "1", "1", "1", "7", "0.5", "0 0 1 1", "0", ""] for name in all_parts[part]], 1


def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str]) -> tuple[Path, Path]:
    """Leave a table of which every part is read, and that is not put together."""
    out = tmp_path / "all.csv"

    def stopped(*_: object) -> tuple[int, int]:
        raise KeyboardInterrupt

    monkeypatch.setattr(parts, "_read", whole)
    with monkeypatch.context() as patch:
        patch.setattr(parts, "_put_together", stopped)
        with pytest.raises(KeyboardInterrupt):
            read_parts(names, out, "local", ASKED, part_files=2)
    return out, out.with_name("all.csv.parts")


NAMES = ["a.png", "b,\n.png", "=c.png", "\udcff.png", "e.png"]
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "half a row": lambda content: content[:-20],
    "a row less": lambda content: b"".join(content.splitlines(keepends=True)[:-1]),
    "another number": lambda content: content.replace(b"0.5", b"nan"),
    "no number": lambda content: content.replace(b",1,1,1,", b",1,x,1,"),
    "a large number": lambda content: content.replace(b",1,1,1,", b",1,%s,1," % (b"9" * 30)),
    "a huge number": lambda content: content.replace(b",1,1,1,", b",1,%s,1," % (b"9" * 5000)),
    "no text": lambda content: content + b"\xff\xfe",
    "zeros": lambda content: bytes(len(content)),
    "a huge cell": lambda content: content + b"x" * 200_000,
    "a quote": lambda content: b'"' + content,
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_part_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    out, folder = begun(tmp_path, monkeypatch, NAMES)
    part, asked = folder / "part-0000001.csv", []
    part.write_bytes(DAMAGE[how](part.read_bytes()))
    monkeypatch.setattr(parts, "_read", lambda a, missing, *_: (asked.extend(missing), whole(a, missing))[1])
    assert read_parts(["other"], out, "local", ASKED).n_numbers == 5
    assert asked == [1]
    assert [row[0] for row in rows_of(out)[1:]] == [safe_cell(name) for name in NAMES]


def test_a_part_that_leads_elsewhere_or_waits_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, folder = begun(tmp_path, monkeypatch, NAMES)
    for part, made in ((0, lambda p: p.symlink_to("/dev/zero")), (1, os.mkfifo), (2, lambda p: p.symlink_to("gone"))):
        (folder / f"part-000000{part}.csv").unlink()
        made(folder / f"part-000000{part}.csv")
    assert read_parts(["other"], out, "local", ASKED).n_numbers == 5
    assert not folder.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]\n",
        b"3\n",
        b'{"recipe": "x"}\n',
        b'{"part_files": NaN}\n',
        b"[" * 60_000,
        b'{"recipe": "RECIPE", "part_files": 0}\n"a"\n1\n',
        b'{"recipe": "RECIPE", "part_files": "2"}\n"a"\n1\n',
        b'{"recipe": "RECIPE", "part_files": 2}\n"a"\n',
        b'{"recipe": "RECIPE", "part_files": 2}\n"a"\n"b"\n3\n',
        b'{"recipe": "RECIPE", "part_files": 2}\n"a"\n7\n2\n',
        b'{"recipe": "RECIPE", "part_files": 2}\n',
        b'{"recipe": "RECIPE", "part_files": 2}\n"\xff"\n1\n',
        b'{"recipe": "RECIPE", "part_files": 2}\n"' + b"a" * 200_000,
    ],
)
def test_damaged_names_are_told_and_begun_anew_by_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    out, folder = begun(tmp_path, monkeypatch, NAMES)
    (folder / "names.jsonl").write_bytes(content.replace(b"RECIPE", ASKED.recipe.encode()))
    with pytest.raises((DataError, ConfigError), match="--force"):
        read_parts(NAMES, out, "local", ASKED)
    assert read_parts(NAMES, out, "local", ASKED, force=True).n_files == 5


def test_what_somebody_keeps_beside_the_parts_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "all.csv.parts"
    (folder / "mine").mkdir(parents=True)
    for name in ("thesis.txt", "part-1.csv", "mine/photo.png"):
        (folder / name).write_text("mine")
    monkeypatch.setattr(parts, "_read", whole)
    read_parts(NAMES, tmp_path / "all.csv", "local", ASKED, force=True)
    assert sorted(path.name for path in folder.rglob("*")) == ["mine", "part-1.csv", "photo.png", "thesis.txt"]


def test_a_part_that_is_gone_or_damaged_at_the_end_is_told_and_then_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, folder = begun(tmp_path, monkeypatch, NAMES)

    def spoiled(_: object, missing: list[int], *__: object) -> Found:
        (folder / "part-0000001.csv").write_bytes(b"x")
        yield from whole(_, missing)  # type: ignore[arg-type]

    monkeypatch.setattr(parts, "_read", spoiled)
    with pytest.raises(DataError, match="Give the same command again"):
        read_parts(NAMES, out, "local", ASKED)
    assert not out.exists()
    monkeypatch.setattr(parts, "_read", whole)
    assert read_parts(NAMES, out, "local", ASKED).n_numbers == 5


@pytest.mark.parametrize("error", [ConnectionError("gone"), CancelledError()])
def test_workers_of_this_machine_that_are_gone_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def gone(*_: object) -> Found:
        raise error

    monkeypatch.setattr(parts, "connected", lambda *_: contextlib.nullcontext())
    monkeypatch.setattr(parts, "_asked_of", gone)
    with pytest.raises(ConfigError, match="give the same command again"):
        read_parts(NAMES, tmp_path / "all.csv", "local", ASKED)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("protocol", ["file://", "local://"])
def test_what_is_no_ordinary_file_is_told_however_it_is_called(tmp_path: Path, protocol: str) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to("/dev/zero")
    (tmp_path / "folder.png").mkdir()
    for name in ("pipe.png", "link.png", "folder.png", "none.png"):
        with pytest.raises(DataError, match="cannot be opened"):
            fetched(f"{protocol}{tmp_path}/{name}")
    (tmp_path / "page.png").write_bytes(b"page")
    assert fetched(f"{protocol}{tmp_path}/page.png") == b"page"
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(500_000_000)
    with pytest.raises(DataError, match="larger than 400 MB"):
        fetched(f"{protocol}{tmp_path}/large.png")
