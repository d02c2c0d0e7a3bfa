"""Many pages on a cluster: every file's rows once, in the order of the names, whoever was gone meanwhile."""

from __future__ import annotations

import csv
import functools
import http.server
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import digitlab as dl
from digitlab.cli.read import EXTENSIONS
from digitlab.errors import ConfigError, DataError
from digitlab.reading import farm, parts
from digitlab.reading.farm import Asked, Found
from digitlab.reading.many import Task, read_many
from digitlab.reading.parts import PartsProgress, read_parts
from digitlab.reading.places import fetched, names_in
from digitlab.reading.reading import ReadingOptions
from digitlab.reading.results_file import table_rows

pytestmark = pytest.mark.interop
pytest.importorskip("distributed")
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

    def by_hand(_: str, names_of: Callable[[int], list[farm.Name]], missing: list[int], *__: object) -> Found:
        for part in reversed(missing):
            if len(read) == 2:
                read.append(-1)
                raise KeyboardInterrupt
            read.append(part)
            yield part, [[name, "1", "1", "1", f"{part}", "0.5", "0 0 1 1", "0", ""] for name, _ in names_of(part)], 1

    monkeypatch.setattr(parts, "read_on", by_hand)
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

    monkeypatch.setattr(parts, "read_on", during)
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
    rows = farm.read_part([(name, name) for name in names], ASKED)
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
