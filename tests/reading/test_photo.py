"""Opening: every kind of picture, and every kind of broken file, in bounds."""

from __future__ import annotations

import io
import struct
import sys
import time
import zlib
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pypdfium2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from digitlab.errors import DataError, DigitlabError
from digitlab.reading import photo as photo_module
from digitlab.reading.apart import Apart
from digitlab.reading.photo import WORK_PX, kind_of, open_pages, open_photo
from digitlab.reading.predictor import small_image
from digitlab.reading.reader import Reader
from digitlab.reading.reading import Reading


def drawing(text: str = "47", size: tuple[int, int] = (240, 160)) -> Image.Image:
    pixels = np.full((size[1], size[0], 3), 250, np.uint8)
    cv2.putText(pixels, text, (30, 120), cv2.FONT_HERSHEY_SIMPLEX, 4, (30, 20, 90), 8, cv2.LINE_AA)
    return Image.fromarray(pixels)


def saved(image: Image.Image, kind: str, **settings: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


def claimed_png(width: int, height: int) -> bytes:
    """A PNG whose header claims a size that its few bytes do not hold."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def pdf(*pages: Image.Image) -> bytes:
    return saved(pages[0], "PDF", save_all=True, append_images=list(pages[1:]), resolution=72)


GOOD: dict[str, Callable[[], bytes]] = {
    "png": lambda: saved(drawing(), "PNG"),
    "jpeg": lambda: saved(drawing(), "JPEG", quality=80),
    "grey": lambda: saved(drawing().convert("L"), "PNG"),
    "bit": lambda: saved(drawing().convert("1", dither=Image.Dither.NONE), "PNG"),
    "palette": lambda: saved(drawing().convert("P"), "PNG"),
    "gif": lambda: saved(drawing(), "GIF", save_all=True, append_images=[Image.new("RGB", (240, 160))]),
    "cmyk": lambda: saved(drawing().convert("CMYK"), "JPEG"),
    "16 bit": lambda: saved(Image.fromarray(np.asarray(drawing().convert("L")).astype(np.uint16) * 257), "PNG"),
    "tiff": lambda: saved(drawing(), "TIFF"),
    "float": lambda: saved(Image.fromarray(np.asarray(drawing().convert("L")).astype(np.float32) / 255), "TIFF"),
    "webp": lambda: saved(drawing(), "WEBP"),
    "bmp": lambda: saved(drawing(), "BMP"),
    "pdf": lambda: pdf(drawing()),
}


@pytest.mark.parametrize("kind", GOOD)
def test_every_format_gives_the_same_picture(kind: str) -> None:
    photo = open_photo(GOOD[kind]())
    assert photo.pixels.dtype == np.uint8
    grey = photo.pixels if photo.pixels.ndim == 2 else photo.pixels.mean(2)
    expected = np.asarray(drawing().convert("L"), np.float32)
    if grey.shape == expected.shape:
        assert np.abs(grey - expected).mean() < 12
    assert grey.min() < 100
    assert grey.max() > 200


def test_a_photo_is_turned_as_its_exif_data_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    lying = drawing().transpose(Image.Transpose.ROTATE_90)
    photo = open_photo(saved(lying, "JPEG", exif=exif.tobytes(), quality=95))
    assert (photo.width, photo.height) == (240, 160)
    assert np.abs(photo.pixels.astype(int) - np.asarray(drawing()).astype(int)).mean() < 3


def test_a_transparent_picture_lies_on_white_unless_its_ink_is_white() -> None:
    alpha = 255 - np.asarray(drawing().convert("L"))
    for color in (0, 255):
        layers = [np.full_like(alpha, color)] * 3
        pixels = np.asarray(open_photo(np.dstack([*layers, alpha])).pixels)
        assert np.median(pixels) > 240
        assert pixels.min() < 60


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32, np.float64, np.bool_])
def test_arrays_of_every_kind_are_one_picture(kind: type) -> None:
    grey = np.asarray(drawing().convert("L"))
    scaled = {np.uint8: grey, np.uint16: grey.astype(np.uint16) * 257, np.bool_: grey > 128}
    array = scaled.get(kind, grey / 255.0).astype(kind)
    opened = open_photo(array).pixels
    assert np.abs(opened.astype(int) - grey.astype(int)).mean() < (12 if kind is np.bool_ else 1)


def test_large_photos_are_worked_on_small() -> None:
    photo = open_photo(np.full((3000, 4000), 255, np.uint8))
    assert max(photo.pixels.shape) == WORK_PX
    assert (photo.width, photo.height) == (4000, 3000)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"these are words, whatever the name says", "no image"),
        (claimed_png(20_000, 20_000), "megapixels"),
        (claimed_png(60_000, 60_000), "pixels"),
        (saved(drawing(), "JPEG")[:1500], "damaged"),
        (saved(drawing(), "PNG")[:300], "damaged"),
        (pdf(drawing())[:200], "damaged"),
        (b"%PDF-1.4 and nothing else", "damaged"),
    ],
)
def test_what_cannot_be_opened_is_told_in_a_sentence(content: bytes, word: str) -> None:
    with pytest.raises(DataError, match=word) as told:
        open_photo(content)
    assert str(told.value).endswith(".")


def test_files_are_checked_before_they_are_read(tmp_path: Path) -> None:
    named = tmp_path / "words.png"
    named.write_text("no picture")
    with pytest.raises(DataError, match=r"words\.png"):
        open_photo(named)
    with pytest.raises(DataError, match="no file"):
        open_photo(tmp_path / "none.png")
    with pytest.raises(DataError, match="not a file"):
        open_photo(tmp_path)
    with pytest.raises(DataError, match="NumPy array"):
        open_photo(7)
    for shape in ((3,), (2, 3, 5), (0, 7)):
        with pytest.raises(DataError, match="shape"):
            open_photo(np.zeros(shape, np.uint8))
    assert open_photo(io.BytesIO(GOOD["png"]())).source == "image"


@pytest.mark.slow
def test_a_document_is_read_page_by_page(reader: Reader) -> None:
    document = pdf(drawing("1"), drawing("22"), drawing("4"))
    pages = list(open_pages(document))
    assert [page.page for page in pages] == [1, 2, 3]
    readings = list(reader.read_pages(document))
    assert [reading.page for reading in readings] == [1, 2, 3]
    assert readings[1].text == "22"
    assert len(list(open_pages(document, most_pages=2))) == 2


def test_an_encrypted_document_is_told_so() -> None:
    # The trailer names a password handler that no password is given for.
    plain = pdf(drawing())
    entry = (
        b"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <" + b"11" * 32 + b"> /U <" + b"22" * 32 + b"> >> "
        b"/ID [<00112233445566778899aabbccddeeff> <00112233445566778899aabbccddeeff>] /Size"
    )
    head, size, tail = plain.rpartition(b"/Size")
    assert size
    with pytest.raises(DataError, match="encrypted"):
        open_photo(head + entry + tail)
    with pytest.raises(pypdfium2.PdfiumError):
        pypdfium2.PdfDocument(head + entry + tail)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.* more pages")
@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(sorted(GOOD)),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=12),
    st.floats(0, 1),
    st.booleans(),
)
def test_a_damaged_file_gives_a_reading_or_a_sentence(
    reader: Reader, kind: str, changes: list[tuple[float, int]], end: float, cut: bool
) -> None:
    content = bytearray(GOOD[kind]())
    for where, value in changes:
        content[int(where * (len(content) - 1))] = value
    if cut:
        del content[int(end * len(content)) :]
    try:
        outcome: object = reader.read(bytes(content))
    except DigitlabError as error:
        outcome = error
    assert isinstance(outcome, Reading) or str(outcome).endswith(".")


def tiff(*pages: Image.Image, **kinds: int) -> bytes:
    return saved(pages[0], "TIFF", save_all=True, append_images=list(pages[1:]), **kinds)


def test_all_pages_of_a_tiff_are_opened() -> None:
    document = tiff(Image.new("L", (40, 30)), Image.new("RGB", (50, 60)), Image.new("1", (70, 80)))
    pages = list(open_pages(document))
    assert [(page.page, page.width, page.height) for page in pages] == [(1, 40, 30), (2, 50, 60), (3, 70, 80)]
    assert len(list(open_pages(document, most_pages=2))) == 2
    assert open_photo(document).width == 40


def test_a_smaller_copy_in_a_tiff_is_no_page() -> None:
    document = Image.new("L", (40, 30))
    small = Image.new("L", (4, 3))
    small.encoderinfo = {"tiffinfo": {254: 1}}
    found = list(open_pages(tiff(document, small, Image.new("L", (50, 30)))))
    assert [(page.page, page.width) for page in found] == [(1, 40), (2, 50)]


def test_a_damaged_page_of_a_tiff_is_named() -> None:
    document = tiff(Image.new("L", (40, 30), 9), Image.new("L", (500, 300), 7))
    pages = open_pages(document[:-90_000] if len(document) > 100_000 else document[:-50])
    assert next(pages).page == 1
    with pytest.raises(DataError, match=r"Page 2 of image is damaged"):
        next(pages)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
def test_all_pictures_of_an_animation_are_pages(reader: Reader, kind: str) -> None:
    pages = [drawing(text) for text in ("1", "22", "4")]
    document = saved(pages[0], kind, save_all=True, append_images=pages[1:], duration=500, lossless=True)
    assert [page.page for page in open_pages(document)] == [1, 2, 3]
    readings = list(reader.read_pages(document))
    assert [(reading.page, reading.text) for reading in readings] == [(1, "1"), (2, "22"), (3, "4")]
    assert len(list(open_pages(document, most_pages=2))) == 2
    [last] = open_pages(document, 1, first_page=3)
    assert last.page == 3
    assert np.abs(last.pixels.astype(int) - list(open_pages(document))[2].pixels).max() == 0
    with pytest.raises(DataError, match="several pages"):
        reader.read_digit(document)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_several_small_pictures_none_is_taken_for_the_image(kind: str) -> None:
    pages = [Image.fromarray(np.full((28, 28), grey, np.uint8)) for grey in (0, 200)]
    assert small_image(saved(pages[0], kind)) is not None
    assert small_image(saved(pages[0], kind, save_all=True, append_images=pages[1:])) is None


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF", "JPEG", "TIFF", "BMP"])
def test_a_picture_alone_is_one_page(kind: str) -> None:
    assert [page.page for page in open_pages(saved(drawing(), kind))] == [1]


def test_further_pictures_of_a_photo_are_no_pages() -> None:
    document = saved(drawing(), "MPO", save_all=True, append_images=[drawing("2")])
    assert [page.page for page in open_pages(document)] == [1]


def test_a_damaged_picture_of_an_animation_is_named() -> None:
    grain = np.random.default_rng(0).integers(0, 255, (2, 60, 80), np.uint8)
    document = saved(Image.fromarray(grain[0]), "GIF", save_all=True, append_images=[Image.fromarray(grain[1])])
    pages = open_pages(document[:-2000])
    assert next(pages).page == 1
    with pytest.raises(DataError, match=r"Page 2 of image is damaged"):
        next(pages)


def test_heic_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for brands in (b"heic\0\0\0\0mif1heic", b"mif1\0\0\0\0mif1heic", b"msf1\0\0\0\0hevc"):
        with pytest.raises(DataError, match=r"is HEIC.*Save it as JPEG, or: pip install 'digitlab\[heic\]'"):
            open_photo(b"\0\0\0\x18ftyp" + brands + bytes(100))


def heic(*pages: Image.Image, **kinds: object) -> bytes:
    module = pytest.importorskip("pillow_heif", reason="install requirements-test.txt to run this")
    module.register_heif_opener()
    return saved(pages[0], "HEIF", save_all=True, append_images=list(pages[1:]), **kinds)


@pytest.mark.slow
def test_heic_is_read_as_other_photos_and_its_pictures_are_pages(reader: Reader) -> None:
    assert reader.read(heic(drawing("7"))).text == "7"
    readings = list(reader.read_pages(heic(drawing("1"), drawing("22"))))
    assert [(reading.page, reading.text) for reading in readings] == [(1, "1"), (2, "22")]
    photo = open_photo(heic(drawing("1").convert("RGB"), exif=_exif(6)))
    assert (photo.width, photo.height) == drawing("1").size[::-1]


def _exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


@pytest.mark.slow
def test_heic_is_decoded_in_a_process_that_is_ended_when_it_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    large = heic(Image.fromarray(np.random.default_rng(0).integers(0, 255, (600, 800), np.uint8)))
    apart = Apart(1, 0.01, reads=False)
    monkeypatch.setattr(photo_module, "_processes", lambda: apart)
    try:
        with pytest.raises(DataError, match=r"more than 0\.01 seconds"):
            open_photo(large)
    finally:
        apart.close()


KINDS = {
    "PNG": "PNG", "JPEG": "JPEG", "GIF": "GIF", "BMP": "BMP", "TIFF": "TIFF", "WEBP": "WebP", "AVIF": "AVIF",
    "JPEG2000": "JPEG 2000", "PDF": "PDF",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_file_is_is_seen_in_its_first_bytes(kind: str) -> None:
    assert kind_of(saved(drawing().convert("RGB"), kind)) == KINDS[kind]


def test_heic_is_known_by_its_brands() -> None:
    assert kind_of(heic(drawing())) == "HEIC"


@pytest.mark.parametrize(
    "content",
    [b"", b"BMW is a car", b"II", b"Dear GIF89a", b"<html><svg></svg></html>", b"{}", b"P1 is first", bytes(99)],
)
def test_what_is_no_picture_is_not_taken_for_one(content: bytes) -> None:
    assert kind_of(content) == ""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(99), "JPEG XL"),
        (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"gimp xcf v011", "XCF"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(99), "raw data"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "raw data"),
    ],
)
def test_pictures_that_are_not_opened_are_named(content: bytes, words: str) -> None:
    with pytest.raises(DataError, match=rf"image is .*{words}.* not opened here\. Save it as PNG or JPEG"):
        open_photo(content)


def test_the_preview_in_a_cameras_raw_file_is_not_read_for_the_photo() -> None:
    for tags in ({50706: b"\1\4\0\0"}, {254: 1, 330: 8}):
        with pytest.raises(DataError, match="raw data"):
            open_photo(saved(drawing(), "TIFF", tiffinfo=tags))


def test_a_tiff_whose_directories_lead_round_ends() -> None:
    content = bytearray(tiff(drawing("1"), drawing("2")))
    first = int.from_bytes(content[4:8], "little")
    n = int.from_bytes(content[first : first + 2], "little")
    second = int.from_bytes(content[first + 2 + 12 * n :][:4], "little")
    n = int.from_bytes(content[second : second + 2], "little")
    content[second + 2 + 12 * n : second + 6 + 12 * n] = first.to_bytes(4, "little")
    assert len(list(islice(open_pages(bytes(content)), 9))) == 2


def test_a_tiff_of_copies_without_end_is_told_before_long() -> None:
    # A directory of 1 x 1 pixels that is marked as a copy, as many times as there is room for.
    def directory(at: int, kind: int) -> bytes:
        tags = ((254, kind), (256, 1), (257, 1), (258, 8), (262, 1), (273, 8), (277, 1), (278, 1), (279, 1))
        size = 2 + 12 * len(tags) + 4
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
        return struct.pack("<H", len(tags)) + entries + struct.pack("<I", at + size)

    content = b"II*\0" + struct.pack("<I", 10) + b"\0\0"
    for k in range(3_000):
        content += directory(len(content), int(k > 0))
    began = time.process_time()
    with pytest.raises(DataError, match="no end of copies"):
        list(open_pages(content))
    assert time.process_time() - began < 10


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["TIFF", "GIF", "PDF"])
def test_reading_one_page_of_several_warns(reader: Reader, kind: str) -> None:
    pages = [drawing("1").convert("RGB"), drawing("2").convert("RGB")]
    document = saved(pages[0], kind, save_all=True, append_images=pages[1:])
    with pytest.warns(UserWarning, match=r"more pages, and only the first is read here\. Reader\(\)\.read_pages"):
        assert reader.read(document).text == "1"
    assert [which.argmax() for which, _ in reader.read_digits(document)] == [1, 2]


def test_a_digit_is_not_looked_for_on_the_first_of_several_pages(reader: Reader) -> None:
    with pytest.raises(DataError, match="several pages"):
        reader.read_digit(tiff(drawing("1"), drawing("2")))
