"""What is opened and read in another process: whole where it is honest, given up where it is not, and the next goes on.

What the processes are asked for here is of Python's own library, which they know too.
"""

from __future__ import annotations

import io
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import digitlab as dl
from digitlab.engine.sequential import Sequential
from digitlab.errors import ConfigError, DataError
from digitlab.network.zoo import architecture
from digitlab.processes import EndedError, UnforeseenError, _Pickler, _read, _write
from digitlab.reading import photo
from digitlab.reading.apart import Apart
from digitlab.reading.many import Task, read_many, read_pages_apart
from digitlab.reading.reader import Reader
from digitlab.reading.reading import ReadingOptions

pytestmark = pytest.mark.slow

_CATALOG = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>"]


@pytest.fixture(scope="module")
def apart() -> Iterator[Apart]:
    apart = Apart(1, page_seconds=30.0)
    yield apart
    apart.close()


@pytest.fixture
def hasty(apart: Apart) -> Iterator[Apart]:
    apart.allow(0.3)
    yield apart
    apart.allow(30.0)


def document(*objects: bytes) -> bytes:
    places, content = [], b"%PDF-1.4\n"
    for number, one in enumerate([*_CATALOG, *objects], 1):
        places.append(len(content))
        content += b"%d 0 obj\n" % number + one + b"\nendobj\n"
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    n = len(places) + 1
    tail = b"trailer<</Root 1 0 R/Size %d>>\nstartxref\n%d\n%%%%EOF" % (n, len(content))
    return content + b"xref\n0 %d\n0000000000 65535 f \n" % n + table + tail


def stream(head: bytes, content: bytes) -> bytes:
    return b"<<" + head + b"/Length %d>>stream\n" % len(content) + content + b"\nendstream"


def endless_tiles() -> bytes:
    """Return a document of a page filled with tiles that are a thousandth of a point apart."""
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R/Resources<</Pattern<</P 5 0 R>>>>>>"
    tile = b"/Type/Pattern/PatternType 1/PaintType 1/TilingType 1/BBox[0 0 1 1]/XStep 0.001/YStep 0.001/Resources<<>>"
    return document(page, stream(b"", b"/Pattern cs /P scn 0 0 200 200 re f"), stream(tile, b"0.2 0 0.5 1 re f"))


def nested_forms(depth: int) -> bytes:
    """Return a document that draws a form ten times, which draws another one ten times, and so on."""
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R/Resources<</XObject<</F 5 0 R>>>>>>"
    forms = [page, stream(b"", b"/F Do " * 10)]
    for number in range(6, 6 + depth):
        head = b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</F %d 0 R>>>>" % number
        forms.append(stream(head, b"/F Do " * 10))
    return document(*forms, stream(b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]", b"0 0 1 1 re f"))


def test_what_is_read_apart_is_what_is_read_here(apart: Apart, reader: Reader, compose: Callable[..., Any]) -> None:
    file = io.BytesIO()
    Image.fromarray(compose(0, n_numbers=6).pixels).save(file, "PNG")
    content = file.getvalue()
    [there] = read_pages_apart(apart, reader.origin, ReadingOptions(), content, "a.png")
    assert there == reader.read(content)
    assert len(there.digits) > 10


def test_a_network_of_ones_own_reads_apart_as_here(apart: Apart) -> None:
    own = Reader(Sequential.from_architecture(architecture("codelab_cnn"), seed=3))
    file = io.BytesIO()
    Image.fromarray(np.kron(dl.MnistData.load().test.images[0].reshape(28, 28), np.ones((4, 4), np.uint8))).save(
        file, "PNG"
    )
    [there] = read_pages_apart(apart, own.origin, ReadingOptions(min_confidence=0), file.getvalue(), "a.png")
    assert there == own.read(file.getvalue(), ReadingOptions(min_confidence=0))


def test_process_is_used_again(apart: Apart) -> None:
    first = apart.call(os.getpid, source="a")
    assert first != os.getpid()
    assert apart.call(os.getpid, source="b") == first


def test_what_takes_too_long_is_given_up_within_a_page_and_the_process_replaced(hasty: Apart) -> None:
    before = hasty.call(os.getpid, source="a")
    with pytest.raises(DataError, match=r"^a\.pdf was given up: it takes more than 0\.3 seconds of work"):
        hasty.call(sum, itertools.count(), source="a.pdf")
    assert hasty.call(os.getpid, source="a") != before


def test_time_begins_anew_with_every_page(hasty: Apart) -> None:
    results = hasty.each(map, sum, [range(3), range(10**5), itertools.count()], source="a.pdf")
    assert [next(results), next(results)] == [3, 4_999_950_000]
    with pytest.raises(DataError, match=r"^a\.pdf was given up after page 2:"):
        next(results)


@pytest.mark.parametrize("content", [endless_tiles(), nested_forms(9)], ids=["endless", "all memory"])
def test_document_that_would_hold_the_machine_is_given_up(hasty: Apart, reader: Reader, content: bytes) -> None:
    with pytest.raises(DataError, match=r"^a\.pdf was given up: it takes more than"):
        list(read_pages_apart(hasty, reader.origin, ReadingOptions(), content, "a.pdf"))


def test_what_takes_too_much_memory_is_given_up(apart: Apart) -> None:
    with pytest.raises(DataError, match=r"^a\.png was given up: it takes more than 1 GB of memory"):
        apart.call(np.ones, 2**28, source="a.png")


def test_what_ends_the_process_is_told_of_the_file(apart: Apart) -> None:
    with pytest.raises(DataError, match=r"^a\.png was given up: .* is damaged in a way that ends what reads it"):
        apart.call(os.abort, source="a.png")
    assert apart.call(os.getpid, source="b") > 0


def test_an_error_of_digitlab_is_told_as_one_and_any_other_by_its_kind(apart: Apart, reader: Reader) -> None:
    before = apart.call(os.getpid, source="a")
    with pytest.raises(DataError, match="no image"):
        list(read_pages_apart(apart, reader.origin, ReadingOptions(), b"nonsense", "a.png"))
    with pytest.raises(UnforeseenError, match="ZeroDivisionError"):
        apart.call(divmod, 1, 0, source="a")
    assert apart.call(os.getpid, source="a") == before


def test_closing_ends_what_is_done_at_once() -> None:
    apart = Apart(1)
    assert apart.call(os.getpid, source="a") > 0
    threading.Timer(0.05, apart.close).start()
    with pytest.raises(EndedError):
        apart.call(sum, itertools.count(), source="a")
    with pytest.raises(EndedError):
        apart.call(os.getpid, source="a")


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), 1e9])
def test_time_that_cannot_be_given_is_told(seconds: float) -> None:
    with pytest.raises(ConfigError, match="--page-timeout"):
        Apart(1, seconds)


def test_batch_goes_on_and_says_which_file_it_was(tmp_path: Path, reader: Reader) -> None:
    picture = np.full((80, 60), 255, np.uint8)
    picture[20:60, 28:32] = 0
    Image.fromarray(picture).save(tmp_path / "c.png")
    for name, content in (("a.pdf", endless_tiles()), ("b.pdf", nested_forms(9))):
        (tmp_path / name).write_bytes(content)
    names = [str(tmp_path / name) for name in ("a.pdf", "b.pdf", "c.png")]
    results = list(read_many([Task(name, name) for name in names], page_seconds=4.0))
    assert [result.file for result in results] == names
    assert [(result.error or "").partition(":")[0] for result in results] == [
        "a.pdf was given up", "b.pdf was given up", "",
    ]  # fmt: skip
    assert results[2].readings == (reader.read(names[2]),)


def test_document_read_in_python_is_drawn_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(photo._processes(), "seconds", 0.3)
        with pytest.raises(DataError, match="given up"):
            dl.read(endless_tiles())
    file = io.BytesIO()
    picture = np.full((200, 150), 255, np.uint8)
    picture[60:140, 70:78] = 0
    Image.fromarray(picture).save(file, "PDF")
    assert dl.read(file.getvalue()).page == 1


def test_what_a_file_holds_goes_over_as_it_is() -> None:
    pipe = io.BytesIO()
    content, pixels = os.urandom(200_000), np.arange(12, dtype=np.uint8).reshape(3, 4)
    _write(pipe, ("few", b"few", content, [content, pixels]), _Pickler)
    assert len(pipe.getvalue()) < 3 * len(content)
    pipe.seek(0)
    words, few, whole, (again, array) = _read(pipe)
    assert (words, few, whole, again, type(whole)) == ("few", b"few", content, content, bytes)
    assert (array == pixels).all()
    assert array.flags.writeable
    with pytest.raises(EOFError):
        _read(io.BytesIO(pipe.getvalue()[:-1]))
