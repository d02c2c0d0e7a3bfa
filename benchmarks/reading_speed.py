"""How fast is reading? A 12-megapixel photo of 40 digits from its JPEG bytes, and one drawn digit, in this process.

    python benchmarks/reading_speed.py [--runs 20] [--out benchmarks/results/reading_speed.json]

The photo is composed from MNIST's test digits (``reading_photo.py``). Kernels are compiled and the reader is open
before anything is measured; asked for are less than a second for the photo and less than 5 ms for the digit.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from digitlab.data.mnist import MnistData
from digitlab.reading.reader import Reader
from digitlab.training.environment import environment
from reading_photo import ComposedPhoto, compose
from reading_scores import n_matched

ROOT = Path(__file__).resolve().parent.parent


def jpeg(photo: ComposedPhoto) -> bytes:
    """Return the photo as a camera would store it."""
    file = io.BytesIO()
    Image.fromarray(photo.pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


def drawn(index: int) -> np.ndarray:
    """Return a digit as the page's pad of 280 x 280 pixels holds it: dark on white, uint8."""
    digit = Image.fromarray(MnistData.load().test.images[index]).resize((280, 280), Image.Resampling.BICUBIC)
    return 255 - np.asarray(digit)


def timed(title: str, work: Callable[[], Any], n: int) -> dict[str, Any]:
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
    row = {"title": title, "n": n, "median": middle, "range": f"{low} to {high}", "processor": processor}
    return row | {"seconds": seconds}


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--runs", type=int, default=20, help="readings of the photo; the digit is answered 50 x as often"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "reading_speed.json")
    options = parser.parse_args()
    reader, photo = Reader(), compose()
    content, digit = jpeg(photo), drawn(0)
    load = os.getloadavg()[0]
    entries = [
        timed("a JPEG of 12 megapixels with 40 digits", lambda: reader.read(content), options.runs),
        timed("one drawn digit, 280 x 280", lambda: reader.read_digit(digit), 50 * options.runs),
        timed("one drawn digit, as a photo", lambda: reader.read(digit), 5 * options.runs),
    ]
    reading = reader.read(content)
    truth, text = "".join(photo.numbers), "".join(number.value for number in reading.numbers)
    n_right = n_matched(truth, text)
    machine = environment(os.cpu_count() or 1)
    result = {
        "entries": entries,
        "n_right": n_right,
        "load": load,
        "note": f"In process, kernels compiled, the reader open; {n_right} of the photo's {len(truth)} digits were "
        f"read and in place. {machine['threads']} threads of {machine['processor']}.",
        "environment": machine,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": f"python benchmarks/reading_speed.py --runs {options.runs}",
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    for row in entries:
        print(f"{row['title']}: {row['median']} ({row['range']}, n = {row['n']}; processor {row['processor']})")
    print(result["note"])


if __name__ == "__main__":
    main()
