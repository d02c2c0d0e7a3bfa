"""Opening: every kind of picture, and every kind of broken file, in bounds."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pypdfium2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from digitlab.errors import DataError, DigitlabError
from digitlab.reading.photo import WORK_PX, open_pages, open_photo
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
@settings(max_examples=200, deadline=None)
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
        with pytest.raises(DataError, match=r"is HEIC.*Save it as JPEG, or: pip install pillow-heif"):
            open_photo(b"\0\0\0\x18ftyp" + brands + bytes(100))


def test_a_digit_is_not_looked_for_on_the_first_of_several_pages(reader: Reader) -> None:
    with pytest.raises(DataError, match="several pages"):
        reader.read_digit(tiff(drawing("1"), drawing("2")))
