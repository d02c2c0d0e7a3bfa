"""Many pages on a cluster: every file's rows once, in the order of the names, whoever was gone meanwhile."""

from __future__ import annotations

import contextlib
import csv
import errno
import functools
import http.server
import itertools
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

import digitlab as dl
from digitlab.cli.app import main
from digitlab.cli.read import EXTENSIONS, progress_line
from digitlab.cluster import connected
from digitlab.errors import ConfigError, DataError, DigitlabError, RunError, StorageError
from digitlab.reading import farm, parts, places
from digitlab.reading.farm import Asked, Found
from digitlab.reading.many import Task, read_many
from digitlab.reading.parts import PartsProgress, read_parts
from digitlab.reading.places import fetched, names_in
from digitlab.reading.reading import ReadingOptions
from digitlab.reading.results_file import safe_cell, table_rows

pytestmark = pytest.mark.interop
distributed = pytest.importorskip("distributed")
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


@pytest.mark.slow
def test_workers_of_this_machine_are_reached_from_it_alone_and_two_clusters_are_no_warning() -> None:
    with socket.socket() as other, warnings.catch_warnings():
        warnings.simplefilter("error")
        with contextlib.suppress(OSError):  # then somebody else has the port that Dask likes
            other.bind(("127.0.0.1", 8787))
            other.listen()
        with connected("local", 1) as client:
            processes = [os.getpid(), *client.run(os.getpid).values()]
            listening = [
                one.laddr.ip
                for process in processes
                for one in psutil.Process(process).net_connections("tcp")
                if one.status == psutil.CONN_LISTEN
            ]
    assert len(listening) >= len(processes)
    assert set(listening) == {"127.0.0.1"}


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
        (pages / "far.txt").write_text("2.png\nmore/1.png\n")
        far = list(names_in(f"{address}/far.txt", EXTENSIONS))
        assert far == [f"{address}/2.png", f"{address}/more/1.png"]
        assert list(names_in(f"{address}/far.txt?of=a/b", EXTENSIONS)) == [f"{address}/2.png", f"{address}/more/1.png"]
        assert list(names_in(f"{address}/2.PNG?size=4", EXTENSIONS)) == [f"{address}/2.PNG?size=4"]
        with pytest.raises(ConfigError, match="is a web page and no list"):
            list(names_in(f"{address}/more", EXTENSIONS))
        assert fetched(listed[1]) == (pages / "2.png").read_bytes()
        with pytest.raises(DataError, match="cannot be opened: there is no"):
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


def test_a_worker_tells_what_cannot_be_had_or_read_and_goes_on(pages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    opened = places._opened
    monkeypatch.setattr(places, "_opened", lambda place: tried.append(place) or opened(place))
    monkeypatch.setattr(places, "_PAUSES_S", (0.0, 0.0))
    names = [str(pages / "broken.png"), "http://127.0.0.1:9/a.png", str(pages / "0.png")]
    rows = farm.read_part([(name, name) for name in names], ASKED)
    errors = {row[0]: row[-1] for row in rows}
    assert "no image" in errors[names[0]]
    assert "cannot be opened" in errors[names[1]]
    assert len(tried) == 3  # a network fails now and then
    assert errors[names[2]] == ""


@pytest.mark.parametrize("out", ["a.json", "table"])
def test_results_are_a_table(out: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"something\.parquet or something\.csv"):
        read_parts(["x.png"], tmp_path / out, "local", ASKED)
    with pytest.raises(DataError, match="no pictures"):
        read_parts([], tmp_path / "a.csv", "local", ASKED)


def test_a_file_that_is_named_twice_in_any_way_is_read_once_and_found_from_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked: list[list[farm.Name]] = []

    def note(_: str, names_of: Callable[[int], list[farm.Name]], missing: list[int], *__: object) -> Found:
        asked.extend(map(names_of, missing))
        for part in missing:
            yield part, [[safe_cell(name), *[""] * 8] for name, _ in names_of(part)], 1

    monkeypatch.setattr(parts, "read_on", note)
    names = ["a.png", "./a.png", f"{tmp_path}/a.png", "s3://b/c.png", "b\n.png", "\udcff.png", "s3://b/c.png"]
    assert read_parts(names, Path("o.csv"), "tcp://elsewhere", ASKED, part_files=2).n_files == 4
    assert asked == [
        [("a.png", f"{tmp_path}/a.png"), ("s3://b/c.png", "s3://b/c.png")],
        [("b\n.png", f"{tmp_path}/b\n.png"), ("\udcff.png", f"{tmp_path}/\udcff.png")],
    ]
    assert [row[0] for row in rows_of(tmp_path / "o.csv")[1:]] == ["a.png", "s3://b/c.png", "b\n.png", "\\udcff.png"]


def every_name(_: str, names_of: Callable[[int], list[farm.Name]], missing: list[int], *__: object) -> Found:
    for part in missing:
        yield part, [[name, *[""] * 7, "It is broken."] for name, _ in names_of(part)], 2


def test_a_full_disk_keeps_what_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "read_on", every_name)
    keep, out = parts._keep, tmp_path / "o.csv"

    def full(path: Path, rows: Any) -> None:
        if "0000001" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        keep(path, rows)

    with monkeypatch.context() as patch:
        patch.setattr(parts, "_keep", full)
        with pytest.raises(StorageError, match=r"No space left on device\. What was read is kept"):
            read_parts(["a.png", "b.png", "c.png"], out, "local", ASKED, part_files=1)
    assert [path.name for path in tmp_path.glob("*.parts/*/*")] == ["part-0000000.csv"]
    assert read_parts([], out, "local", ASKED).n_bad == 3


def test_what_was_killed_behind_its_last_step_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "read_on", every_name)
    out = tmp_path / "o.csv"
    with monkeypatch.context() as patch:
        patch.setattr(parts, "_remove", lambda folder: None)
        read_parts(["a.png"], out, "local", ASKED)
    before = out.read_bytes()
    assert read_parts([], out, "local", ASKED).n_files == 1
    assert out.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["o.csv"]


def test_ctrl_c_keeps_what_was_read_and_exit_codes_tell_what_could_not_be(
    pages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*arguments: Any) -> Found:
        for found in every_name(*arguments):
            yield found
            os.kill(os.getpid(), signal.SIGINT)
            while True:
                yield None, [], 0

    command = ["read", str(pages), "--cluster", "local", "--out", str(tmp_path / "o.csv")]
    monkeypatch.setattr(parts, "read_on", interrupted)
    monkeypatch.setattr(parts.read_parts, "__kwdefaults__", parts.read_parts.__kwdefaults__ | {"part_files": 3})
    assert main(command) == 130
    assert "Stopped after 3 of 8 files. What was read is kept" in " ".join(capsys.readouterr().err.split())
    monkeypatch.setattr(parts, "read_on", every_name)
    assert main(command) == 2  # nothing could be read


def test_progress_is_a_line() -> None:
    progress = PartsProgress(32_000, 1_000_000, 2.5, 7325.0, 16, 3)
    assert progress_line(progress) == (
        "32,000 of 1,000,000 files, 3 could not be read; 9,000 an hour on 16 workers; 2 h 2 min left"
    )
    assert progress_line(replace(progress, workers=0)).endswith("no worker is there, waiting for some")
    assert progress_line(PartsProgress(0, 9, 0.0, None, 1, 0)) == "0 of 9 files"
    assert progress_line(PartsProgress(9, 9, 2.0, 0.0, 1, 0)) == "9 of 9 files; 7,200 an hour on 1 worker"


# ---- what becomes of parts whose workers die ----


@dataclass(eq=False)
class Future:
    """One of Dask's that is done at once."""

    status: str
    told: Any

    def add_done_callback(self, call: Callable[[Any], None]) -> None:
        call(self)

    def result(self, timeout: float) -> Any:
        return self.told

    def exception(self, timeout: float) -> Any:
        return self.told


class Client:
    """A scheduler whose workers die of every ``killer``, and fail ``n_failures`` times before they read."""

    status = "running"

    def __init__(self, killer: str = "", n_failures: int = 0, error: Exception | None = None) -> None:
        self.killer, self.n_failures, self.error = killer, n_failures, error
        self.asked: list[int] = []

    def nthreads(self) -> dict[str, int]:
        return {"tcp://a": 2}

    def submit(self, _: Any, names: list[farm.Name], asked: Asked, pure: bool) -> Future:
        self.asked.append(len(names))
        if self.killer in [name for name, _ in names]:
            return Future("error", distributed.KilledWorker("part", None, 3))
        if self.n_failures:
            self.n_failures -= 1
            return Future("error", self.error or RuntimeError("a worker is damaged"))
        return Future("finished", [[name, *[""] * 8] for name, _ in names])


def turn(client: Client) -> dict[int, list[list[str]]]:
    names = {part: [(f"{part}-{k}", "") for k in range(3)] for part in range(5)}
    found = {}
    for part, rows, _ in farm._Turn(client, names.__getitem__, ASKED).read(list(names)):
        if part is not None:
            assert part not in found
            found[part] = rows
    return found


def test_a_file_that_kills_its_worker_is_told_and_those_beside_it_are_read() -> None:
    client = Client(killer="2-1")
    found = turn(client)
    assert list(found) == [0, 1, 3, 4, 2]
    assert [(row[0], row[-1] == "") for row in found[2]] == [("2-0", True), ("2-1", False), ("2-2", True)]
    assert "ended the worker" in found[2][1][-1]
    assert client.asked == [3] * 5 + [1] * 3


# What befalls a worker that reads one of these: it dies, or raises what Dask cannot send.
_BEFALLING = """
import os
from digitlab.reading import farm
from digitlab.reading.many import read_one_apart

def befall(apart, who, options, task):
    if "killer" in task.name:
        os._exit(1)
    if "odd" in task.name:
        raise Odd
    return read_one_apart(apart, who, options, task)

class Odd(Exception):
    def __reduce__(self):
        raise TypeError("cannot be pickled")

farm.read_one_apart = befall
"""


@pytest.mark.slow
def test_what_befalls_the_workers_of_a_real_cluster_is_told(pages: Path, tmp_path: Path) -> None:
    names = [str(tmp_path / f"{name}.png") for name in ("0", "killer", "2", "odd", "4")]
    for name in names:
        shutil.copy(pages / "0.png", name)
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        dashboard_address="127.0.0.1:0",
        preload=[_BEFALLING],
        silence_logs=logging.CRITICAL,
    ) as cluster:
        address = cluster.scheduler_address
        result = read_parts(names[:3], tmp_path / "o.csv", address, ASKED, part_files=2)
        with pytest.raises(ConfigError, match=r"The workers cannot read: Odd: .*line \d+ of"):
            read_parts(names[2:], tmp_path / "odd.csv", address, ASKED, part_files=1)
    _, *rows = rows_of(tmp_path / "o.csv")
    assert (result.n_files, result.n_bad) == (3, 1)
    assert [name for name, _ in itertools.groupby(row[0] for row in rows)] == names[:3]
    assert [(row[0], "ended the worker that read it" in row[-1]) for row in rows if row[-1]] == [(names[1], True)]


def test_a_part_is_given_out_again_but_not_for_ever() -> None:
    assert sorted(turn(Client(n_failures=3))) == [0, 1, 2, 3, 4]
    with pytest.raises(ConfigError, match="The workers cannot read: RuntimeError: a worker is damaged"):
        turn(Client(n_failures=1000))


def test_what_every_worker_lacks_ends_the_reading_in_its_own_words() -> None:
    with pytest.raises(RunError, match="There is no"):
        turn(Client(n_failures=1, error=RunError("There is no model.")))


def test_a_worker_that_cannot_read_does_not_tell_a_million_files_so() -> None:
    with pytest.raises(ConfigError, match=r"has digitlab .* and 0\.0\.1 asks"):
        farm.read_part([("a.png", "a.png")], replace(ASKED, version="0.0.1"))
    with pytest.raises(DigitlabError, match=r"none\.safetensors"):
        farm.read_part([("a.png", "a.png")], replace(ASKED, model="/nowhere/none.safetensors"))


def test_documents_have_rows_a_page(tmp_path: Path) -> None:
    sheets = [Image.new("L", (120, 90), 255) for _ in range(3)]
    sheets[0].save(tmp_path / "three.tiff", save_all=True, append_images=sheets[1:])
    rows = farm.read_part([("three.tiff", str(tmp_path / "three.tiff"))], ASKED)
    assert [row[:2] for row in rows] == [["three.tiff", "1"], ["three.tiff", "2"], ["three.tiff", "3"]]


MISSING = """
import sys
sys.modules |= dict.fromkeys(sys.argv[1].split(","))
from digitlab.cli.app import main
code = main(sys.argv[2:])
print(sorted({name.partition(".")[0] for name in sys.modules} & {"distributed", "dask", "fsspec", "pyarrow"}))
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("missing", "place", "out", "told"),
    [
        ("distributed", "a.png", "o.csv", "digitlab[cluster]"),
        ("fsspec", "s3://b/a.txt", "o.csv", "digitlab[cluster]"),
        ("pyarrow", "a.png", "o.parquet", "digitlab[parquet]"),
    ],
)
def test_what_is_not_installed_is_told_with_the_extra_before_anything_is_read(
    missing: str, place: str, out: str, told: str, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    command = [sys.executable, "-c", MISSING, missing, "read", place, "--cluster", "local", "--out", out]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"COLUMNS": "200"})
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_of_it_is_loaded_where_no_cluster_is_asked(tmp_path: Path) -> None:
    code = f"import digitlab.reading.parts, digitlab.cli.read{MISSING}".replace("sys.modules |= ", "x = ")
    command = [sys.executable, "-c", code, "x", "read", "none.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


# ---- damage ----


def whole(_: str, names_of: Callable[[int], list[farm.Name]], missing: list[int], *__: object) -> Found:
    """Read as a cluster would, with a number for every file."""
    for part in missing:
        yield part, [[safe_cell(name), "1", "1", "1", "7", "0.5", "0 0 1 1", "0", ""] for name, _ in names_of(part)], 1


def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str]) -> tuple[Path, Path]:
    """Leave a table of which every part is read, and that is not put together."""
    out = tmp_path / "all.csv"

    def stopped(*_: object) -> tuple[int, int]:
        raise KeyboardInterrupt

    monkeypatch.setattr(parts, "read_on", whole)
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
    part, asked = folder / "00000" / "part-0000001.csv", []
    part.write_bytes(DAMAGE[how](part.read_bytes()))
    monkeypatch.setattr(
        parts, "read_on", lambda c, names_of, missing, *_: (asked.extend(missing), whole(c, names_of, missing))[1]
    )
    assert read_parts(["other"], out, "local", ASKED).n_numbers == 5
    assert asked == [1]
    assert [row[0] for row in rows_of(out)[1:]] == [safe_cell(name) for name in NAMES]


def test_a_part_that_leads_elsewhere_or_waits_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, folder = begun(tmp_path, monkeypatch, NAMES)
    for part, made in ((0, lambda p: p.symlink_to("/dev/zero")), (1, os.mkfifo), (2, lambda p: p.symlink_to("gone"))):
        (folder / "00000" / f"part-000000{part}.csv").unlink()
        made(folder / "00000" / f"part-000000{part}.csv")
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
        b'{"recipe": "RECIPE", "part_files": 2, "home": "/"}\n"a"\n',
        b'{"recipe": "RECIPE", "part_files": 2, "home": "/"}\n"a"\n"b"\n3\n',
        b'{"recipe": "RECIPE", "part_files": 2, "home": "/"}\n"a"\n7\n2\n',
        b'{"recipe": "RECIPE", "part_files": 2, "home": "/"}\n',
        b'{"recipe": "RECIPE", "part_files": 2, "home": "/"}\n"\xff"\n1\n',
        b'{"recipe": "RECIPE", "part_files": 2, "home": "/"}\n"' + b"a" * 200_000,
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
    monkeypatch.setattr(parts, "read_on", whole)
    read_parts(NAMES, tmp_path / "all.csv", "local", ASKED, force=True)
    assert sorted(path.name for path in folder.rglob("*")) == ["mine", "part-1.csv", "photo.png", "thesis.txt"]


def test_a_part_that_is_gone_or_damaged_at_the_end_is_told_and_then_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, folder = begun(tmp_path, monkeypatch, NAMES)

    def spoiled(*arguments: Any) -> Found:
        (folder / "00000" / "part-0000001.csv").write_bytes(b"x")
        yield from whole(*arguments)

    monkeypatch.setattr(parts, "read_on", spoiled)
    with pytest.raises(DataError, match="Give the same command again"):
        read_parts(NAMES, out, "local", ASKED)
    assert not out.exists()
    monkeypatch.setattr(parts, "read_on", whole)
    assert read_parts(NAMES, out, "local", ASKED).n_numbers == 5


@pytest.mark.parametrize("error", [ConnectionError("gone"), CancelledError()])
def test_workers_of_this_machine_that_are_gone_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def gone(*_: object) -> Found:
        raise error
        yield

    monkeypatch.setattr(farm, "connected", lambda *_: contextlib.nullcontext())
    monkeypatch.setattr(farm._Turn, "read", gone)
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
