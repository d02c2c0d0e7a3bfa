"""How fast is reading, and how much memory does it take? Photos and scans from their files' bytes, drawn digits.

A photo of 12 megapixels with 40 digits (``compose``), a page of A4 scanned at 300 dots an inch, and a digit as
the page's pad gives it, all composed from MNIST's test digits. Kernels are compiled and the reader is open before
anything is timed. Asked for are less than a second for photo and scan, less than 10 ms for the digit, and less than 600
MB at the peak of a fresh process that reads one of them; a picture of 20,000 x 20,000 pixels is refused. ``--check``
makes the exit code 1 where one of these is missed.
"""

from __future__ import annotations

import argparse
import io
import os
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from composed_kinds import some_hand, some_number, write
from digitlab.data.mnist import MnistData
from digitlab.errors import DataError
from digitlab.reading.reader import Reader
from digitlab.training.keeping import environment
from measuring import made_by, parser_of, peak_bytes, write_json
from reading_composed import plainly_lit
from reading_scores import n_matched

PEAK_OPTION = "--peak-of"
A4_PX = (2480, 3508)  # at 300 dots an inch
#: What is asked: seconds, and bytes at the peak.
ASKED_S = {"photo": 1.0, "scan": 1.0, "digit": 0.010}
ASKED_BYTES = 600e6


@dataclass(frozen=True)
class ComposedPhoto:
    """Grey pixels, uint8 (h, w), 0-255, and the numbers on them, a line each."""

    pixels: NDArray[np.uint8]
    numbers: tuple[str, ...]


def compose(n_lines: int = 8, n_digits: int = 5, width: int = 4000, height: int = 3000, seed: int = 0) -> ComposedPhoto:
    """Write numbers on paper, one a line, with ink of MNIST's test digits."""
    rng = np.random.default_rng(seed)
    test = MnistData.load().test
    ink = np.zeros((height, width), np.float32)
    side = min(height // (2 * n_lines), width // (2 * n_digits))
    numbers = []
    for line in range(n_lines):
        chosen = rng.integers(0, len(test), n_digits)
        left = int(rng.integers(side // 2, max(side, width // 4)))
        top = side // 2 + line * (height - side) // n_lines
        for index in chosen:
            size = round(side * rng.uniform(0.9, 1.1))
            digit = Image.fromarray(test.images[index]).resize((size, size), Image.Resampling.BICUBIC)
            y = top + int(rng.integers(-side // 20, side // 20 + 1))
            place = ink[y : y + size, left : left + size]
            np.maximum(place, np.asarray(digit, np.float32)[: place.shape[0], : place.shape[1]] / 255, out=place)
            left += round(0.85 * side)
        numbers.append("".join(str(test.labels[index]) for index in chosen))
    return ComposedPhoto(plainly_lit(ink, rng), tuple(numbers))


def scan(n_lines: int = 12, n_digits: int = 6, seed: int = 0) -> ComposedPhoto:
    """Write numbers on a page of A4 as a scanner sees it, two a line: grey, even light, a little noise."""
    rng = np.random.default_rng(seed)
    width, height = A4_PX
    ink = np.zeros((height, width), np.float32)
    hand = some_hand(rng, 76.0)
    numbers = []
    for line in range(n_lines):
        for left in (260.0, 1400.0):
            numbers.append(some_number(rng, n_digits, n_digits))
            write(ink, numbers[-1], left, 300 + 240 * line, hand, rng)
    grain = rng.standard_normal(ink.shape, np.float32)
    return ComposedPhoto(np.clip(243 - 200 * ink + 3 * grain, 0, 255).astype(np.uint8), tuple(numbers))


def jpeg(photo: ComposedPhoto) -> bytes:
    """Return the photo as a camera or a scanner would store it."""
    file = io.BytesIO()
    Image.fromarray(photo.pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


def huge_png(side: int = 20_000) -> bytes:
    """Return a small PNG whose pixels would fill the memory: its header says how many, its rows compress well."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    packer = zlib.compressobj()
    rows = b"".join(packer.compress(bytes(side + 1)) for _ in range(side)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def drawn(index: int) -> np.ndarray:
    """Return a digit as the page's pad of 280 x 280 pixels holds it: dark on white, uint8."""
    digit = Image.fromarray(MnistData.load().test.images[index]).resize((280, 280), Image.Resampling.BICUBIC)
    return 255 - np.asarray(digit)


def timed(name: str, title: str, work: Callable[[], Any], n: int) -> dict[str, Any]:
    """Return a row: the seconds of ``n`` calls, after two that are not counted, by the clock and of processor time."""
    seconds, busy = [], []
    for number in range(n + 2):
        began, cpu = time.perf_counter(), time.process_time()
        work()
        if number >= 2:
            seconds.append(time.perf_counter() - began)
            busy.append(time.process_time() - cpu)
    low, middle, high, processor = (
        f"{value:.2f} s" if median(seconds) >= 0.5 else f"{1000 * value:.1f} ms"
        for value in (min(seconds), median(seconds), max(seconds), median(busy))
    )
    row = {"name": name, "title": title, "n": n, "median": middle, "range": f"{low} to {high}", "processor": processor}
    return row | {"seconds": seconds}


def refused(reader: Reader, content: bytes) -> bool:
    """Refuse to open what has too many pixels; an answer would be an error."""
    try:
        reader.read(content)
    except DataError:
        return True
    return False


def peak(content: bytes) -> int | None:
    """Return the peak of a fresh process that reads these bytes once; None where the system does not tell."""
    if peak_bytes() is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo"
        path.write_bytes(content)
        command = [sys.executable, str(Path(__file__).resolve()), PEAK_OPTION, str(path)]
        return int(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def measure(n_runs: int) -> dict[str, Any]:
    """Time everything, weigh what is large, and count what was read."""
    reader, photo, page = Reader(), compose(), scan()
    contents = {"photo": jpeg(photo), "scan": jpeg(page), "huge": huge_png()}
    digit = drawn(0)
    load = os.getloadavg()[0]
    titles = {
        "photo": "a JPEG of 12 megapixels with 40 digits",
        "digit": "one drawn digit, 280 x 280",
        "scan": f"a JPEG of A4 scanned at 300 dpi with {sum(map(len, page.numbers))} digits",
        "pad": "one drawn digit, as a photo",
        "huge": "20,000 x 20,000 pixels, refused",
    }
    entries = [
        timed("photo", titles["photo"], lambda: reader.read(contents["photo"]), n_runs),
        timed("digit", titles["digit"], lambda: reader.read_digit(digit), 50 * n_runs),
        timed("scan", titles["scan"], lambda: reader.read(contents["scan"]), n_runs),
        timed("pad", titles["pad"], lambda: reader.read(digit), 5 * n_runs),
        timed("huge", titles["huge"], lambda: refused(reader, contents["huge"]), n_runs),
    ]
    for row in entries:
        row["peak_bytes"] = peak(contents[row["name"]]) if row["name"] in contents else None
    read = {
        name: (n_matched("".join(truth.numbers), _digits(reader, contents[name])), sum(map(len, truth.numbers)))
        for name, truth in (("photo", photo), ("scan", page))
    }
    machine = environment(os.cpu_count() or 1)
    return {
        "entries": entries,
        "read": read,
        "is_refused": refused(reader, contents["huge"]),
        "load": load,
        "note": f"In process, kernels compiled, the reader open; {read['photo'][0]} of the photo's {read['photo'][1]} "
        f"digits and {read['scan'][0]} of the scan's {read['scan'][1]} were read and in place. The peak is that of a "
        f"fresh process with all it has loaded. {machine['threads']} threads of {machine['processor']}.",
        "environment": machine,
        **made_by("reading_speed", ["--runs", str(n_runs)]),
    }


def missed(result: dict[str, Any]) -> list[str]:
    """Return what is not as it is asked, a sentence each."""
    found = []
    for row in result["entries"]:
        asked, peak_bytes = ASKED_S.get(row["name"]), row["peak_bytes"]
        if asked is not None and median(row["seconds"]) >= asked:
            found.append(f"{row['title']} takes {row['median']}; less than {asked:g} s is asked.")
        if peak_bytes is not None and peak_bytes >= ASKED_BYTES:
            found.append(f"{row['title']} takes {peak_bytes / 1e6:.0f} MB; less than {ASKED_BYTES / 1e6:.0f} is asked.")
    if not result["is_refused"]:
        found.append("20,000 x 20,000 pixels are not refused.")
    return found


def main(argv: list[str] | None = None) -> int:
    """Measure, print, write JSON."""
    numbers = {"runs": (20, "readings of photo and scan; the digit is answered 50 x as often")}
    parser = parser_of("reading_speed", __doc__, **numbers)
    parser.add_argument("--check", action="store_true", help="exit code 1 where something is not as it is asked")
    parser.add_argument(PEAK_OPTION, type=Path, metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.peak_of is not None:
        refused(Reader(), options.peak_of.read_bytes())
        print(peak_bytes())
        return 0
    result = measure(options.runs)
    write_json(options.out, result)
    for row in result["entries"]:
        weight = "" if row["peak_bytes"] is None else f"; peak {row['peak_bytes'] / 1e6:.0f} MB"
        print(f"{row['title']}: {row['median']} ({row['range']}, n = {row['n']}; processor {row['processor']}){weight}")
    print(result["note"])
    faults = missed(result)
    print("\n".join(faults))
    return 1 if options.check and faults else 0


def _digits(reader: Reader, content: bytes) -> str:
    return "".join(number.value for number in reader.read(content).numbers)


if __name__ == "__main__":
    sys.exit(main())
