"""Mutated inputs for all parsers of digitlab, each tried in this process: a result, or digitlab's own error.

``python -m tests.hostile.inputs PARSER SEED FIRST LAST PLACE`` tries the inputs from FIRST up to LAST and prints those
that ended in something else, a JSON object a line; into the file PLACE it writes which one it tries, so that whoever
started it knows what has ended it. The same numbers make the same inputs. With PARSER SEED NUMBER it tries one and
shows what comes of it.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import lzma
import mmap
import os
import random
import re
import signal
import struct
import sys
import tempfile
import traceback
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

from digitlab.errors import DigitlabError
from digitlab.network.formats.files import load_model_file
from digitlab.processes import limit_memory

SECONDS, MEMORY_BYTES = 10.0, 2**30

_BYTES = (b"\x00", b"\xff", b"\x7f", b"\x80", b"\x01", b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff")
_WORDS = (b"null", b"NaN", b"Infinity", b"-Infinity", b"true", b"{}", b"[]", b'""', b"[" * 200, b'"' + b"9" * 400,
          b"\\u0000", b"\xed\xa0\x80", b"%00", b"%ff", b"\r\n", b"\n", b"../../etc/passwd")  # fmt: skip
_NUMBERS = (b"0", b"-1", b"1", b"2", b"255", b"65536", b"2147483648", b"-9223372036854775809", b"1e308", b"1e400",
            b"0.5", b"1" + b"0" * 400, b"1" * 5000, b"null", b'"7"', b"[1]", b"NaN")  # fmt: skip

VALUES: tuple[object, ...] = (
    *(None, True, "", "x", "relu", "\x00", "\ud800", [], {}, [[]], [None], {"a": 1}, [1, 2, 3], [1] * 3000, ["x"], "7"),
    *(0, -1, 1, 2, 255, 2**31, 2**63, -(2**63) - 1, 10**400, 0.5, -0.0, 1e308, 5e-324),
    *(float("nan"), float("inf"), -float("inf"), "9" * 5000, {"class_name": "Dense", "config": {}}),
)


def mutated(content: bytes, others: Sequence[bytes], draw: random.Random) -> bytes:
    """Return content with one to four things done to it that damaged files and clever people do."""
    # What is written in JSON is refused at its first bad comma; so most of it stays JSON, of something odd.
    stays_json = content.find(b"{", 0, 16) >= 0 and draw.random() < 0.7
    for _ in range(draw.choice((1, 1, 1, 2, 2, 3, 4))):
        content = (_rebuilt if stays_json else draw.choice(_WAYS))(content, others, draw)
        if len(content) > 2_000_000:
            content = content[:2_000_000]
    return content


def _spot(content: bytes, draw: random.Random) -> int:
    # Heads hold what is believed; so half of all spots are in the first hundred bytes.
    n = len(content)
    return draw.randrange(min(n, 100) + 1) if draw.random() < 0.5 else draw.randrange(n + 1)


def _flipped(content: bytes, _: Sequence[bytes], draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 8))):
        if changed:
            at = min(_spot(content, draw), len(changed) - 1)
            changed[at] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _overwritten(content: bytes, _: Sequence[bytes], draw: random.Random) -> bytes:
    at, word = _spot(content, draw), draw.choice(_BYTES)
    return content[:at] + word + content[at + len(word) :]


def _inserted(content: bytes, _: Sequence[bytes], draw: random.Random) -> bytes:
    at = _spot(content, draw)
    return content[:at] + draw.choice(_BYTES + _WORDS) + content[at:]


def _cut(content: bytes, _: Sequence[bytes], draw: random.Random) -> bytes:
    return content[: _spot(content, draw)]


def _without(content: bytes, _: Sequence[bytes], draw: random.Random) -> bytes:
    at = _spot(content, draw)
    return content[:at] + content[at + draw.choice((1, 4, 16, 100)) :]


def _repeated(content: bytes, _: Sequence[bytes], draw: random.Random) -> bytes:
    at, n = _spot(content, draw), draw.choice((1, 4, 16, 64))
    return content[:at] + content[at : at + n] * draw.choice((2, 3, 100, 2000)) + content[at + n :]


def _spliced(content: bytes, others: Sequence[bytes], draw: random.Random) -> bytes:
    other = draw.choice(others)
    return content[: _spot(content, draw)] + other[_spot(other, draw) :]


def _renumbered(content: bytes, others: Sequence[bytes], draw: random.Random) -> bytes:
    """Put another number, or none, where digits stand: what JSON, PDF and addresses are made of."""
    numbers = list(re.finditer(rb"-?\d+(\.\d+)?([eE][-+]?\d+)?", content[:200_000]))
    if not numbers:
        return _overwritten(content, others, draw)
    chosen = draw.choice(numbers)
    return content[: chosen.start()] + draw.choice(_NUMBERS) + content[chosen.end() :]


def _reworded(content: bytes, others: Sequence[bytes], draw: random.Random) -> bytes:
    words = list(re.finditer(rb'"[^"]*"|/[A-Za-z]+|[a-z_]+', content[:200_000]))
    if not words:
        return _flipped(content, others, draw)
    chosen, other = draw.choice(words), draw.choice(words)
    return content[: chosen.start()] + draw.choice((other[0], *_WORDS)) + content[chosen.end() :]


def _rebuilt(content: bytes, others: Sequence[bytes], draw: random.Random) -> bytes:
    """Put something else in a place of JSON, which stays JSON; also of the header of a safetensors file."""
    start = content.find(b"{", 0, 16)
    try:
        text = content[start:].decode("latin-1")
        document, length = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return _renumbered(content, others, draw)
    holders: list[object] = [document]
    for holder in holders:
        inside = list(holder.values()) if isinstance(holder, dict) else holder
        holders += [one for one in inside if isinstance(one, dict | list) and one] if isinstance(inside, list) else []
        if len(holders) > 500:
            break
    holder = draw.choice(holders)
    if isinstance(holder, dict) and holder:
        key: object = draw.choice(sorted(holder))
    elif isinstance(holder, list) and holder:
        key = draw.randrange(len(holder))
    else:
        return content
    inner = holder[key]  # type: ignore[index]
    if isinstance(inner, str) and inner.startswith("{") and draw.random() < 0.9:
        holder[key] = _rebuilt(inner.encode(), others, draw).decode("utf-8", "replace")  # type: ignore[index]
    elif draw.random() < 0.2:
        del holder[key]  # type: ignore[attr-defined]
    else:
        holder[key] = draw.choice(VALUES)  # type: ignore[index]
    made = json.dumps(document).encode()
    rest = text[length:].encode("latin-1")
    if start != 8:
        return content[:start] + made + rest
    padding = struct.unpack("<Q", content[:8])[0] - length  # the header of safetensors ends in spaces
    return struct.pack("<Q", len(made)) + made + (rest[padding:] if 0 <= padding <= 8 else rest)


_WAYS = (_flipped, _overwritten, _inserted, _cut, _without, _repeated, _spliced, _renumbered, _renumbered, _reworded,
         _rebuilt)  # fmt: skip


class _Honest(random.Random):
    """Draws nothing that spoils an input."""

    def random(self) -> float:
        return 0.999


@dataclass(frozen=True)
class Parser:
    """What is attacked: honest inputs, and how one is tried."""

    honest: Callable[[], list[bytes]]
    attempt: Callable[[bytes, Path, random.Random], object]


# ---- pictures and documents ----


def _picture(width: int = 60, height: int = 80) -> Image.Image:
    pixels = np.full((height, width), 255, np.uint8)
    pixels[height // 4 : -height // 4, width // 2 - 2 : width // 2 + 2] = 0
    return Image.fromarray(pixels)


def _saved(picture: Image.Image, kind: str, **settings: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **settings)
    return file.getvalue()


def _pictures() -> list[bytes]:
    grey = _picture()
    rgb, rgba = grey.convert("RGB"), grey.convert("RGBA")
    made = [
        _saved(grey, kind) for kind in ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000", "TGA", "ICO")
    ]
    made += [_saved(rgb, "JPEG", progressive=True), _saved(rgba, "PNG"), _saved(rgb, "TIFF", compression="tiff_lzw")]
    made += [
        _saved(grey.convert("P"), "PNG"),
        _saved(grey.convert("1"), "TIFF", compression="group4"),
        _saved(rgb, "PCX"),
    ]
    made += [_saved(_picture(28, 28), "PNG"), _saved(grey.convert("I;16"), "PNG"), _saved(rgb, "AVIF")]
    other = _picture(60, 80).transpose(Image.Transpose.ROTATE_180).convert("RGB")
    kinds = ("GIF", "PNG", "WEBP", "TIFF")
    return [*made, *(_saved(rgb, kind, save_all=True, append_images=[other]) for kind in kinds)]


def _heic_photos() -> list[bytes]:
    import pillow_heif

    pillow_heif.register_heif_opener()
    page = _picture().convert("RGB")
    grain = Image.fromarray(np.random.default_rng(0).integers(0, 256, (72, 64, 3), np.uint8))
    made = [_saved(page, "HEIF"), _saved(_picture(), "HEIF", quality=-1), _saved(grain, "HEIF")]
    return [*made, _saved(page, "HEIF", save_all=True, append_images=[page.transpose(Image.Transpose.ROTATE_180)])]


def _open_heic(content: bytes, _: Path, __: random.Random) -> object:
    from digitlab.reading import photo

    # Not in a process apart, which would hide what it ends in.
    return [page.pixels.shape for page in photo.pictures_here(content, "image", 2000, 1, 3)]


def _open_picture(content: bytes, _: Path, draw: random.Random) -> object:
    from digitlab.reading.photo import open_pages
    from digitlab.reading.predictor import small_image

    small_image(content)
    return [page.pixels.shape for page in open_pages(content, 3)]


def _documents() -> list[bytes]:
    page = _picture()
    objects = (
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 90 60]/Contents 4 0 R"
        b"/Resources<</XObject<</F 5 0 R>>/Pattern<</P 6 0 R>>>>>>",
        b"<</Length 52>>stream\n/F Do /Pattern cs /P scn 0 0 90 60 re f 0 0 5 9 re S\n\nendstream",
        b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Length 14>>stream\n0 0 3 3 re f  \nendstream",
        b"<</Type/Pattern/PatternType 1/PaintType 1/TilingType 1/BBox[0 0 4 4]/XStep 4/YStep 4"
        b"/Resources<<>>/Length 14>>stream\n0 0 2 2 re f  \nendstream",
    )
    numbered = [b"%d 0 obj" % number + one + b" endobj\n" for number, one in enumerate(objects, 1)]
    drawn = b"%PDF-1.4\n" + b"".join(numbered) + b"trailer<</Root 1 0 R/Size 7>>\n%%EOF"
    return [_saved(page, "PDF"), _saved(page.convert("RGB"), "PDF", save_all=True, append_images=[page]), drawn]


def _open_document(content: bytes, _: Path, __: random.Random) -> object:
    from digitlab.reading.photo import open_pages

    return [page.pixels.shape for page in open_pages(content, 3)]


# ---- data, models, runs ----


def _idx_files() -> list[bytes]:
    images = struct.pack(">HBBIII", 0, 8, 3, 3, 28, 28) + bytes(3 * 784)
    labels = struct.pack(">HBBI", 0, 8, 1, 5) + bytes(5)
    floats = struct.pack(">HBBII", 0, 0x0D, 2, 2, 3) + bytes(24)
    return [images, labels, floats, gzip.compress(images), lzma.compress(images)]


def _read_idx(content: bytes, folder: Path, draw: random.Random) -> object:
    from digitlab.data.idx import read_idx

    path = folder / "images-idx3-ubyte"
    path.write_bytes(content)
    return read_idx(path)


def _digits(n: int = 12) -> tuple[np.ndarray, np.ndarray]:
    return np.random.default_rng(0).integers(0, 256, (n, 28, 28), np.uint8), np.arange(n, dtype=np.uint8) % 10


@cache
def _array_files() -> list[bytes]:
    images, labels = _digits()
    made = []
    for save in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        save(file, x_train=images, y_train=labels, x_test=images[:4].astype(np.float32) / 255, y_test=labels[:4])
        made.append(file.getvalue())
    return made


def _load_arrays(content: bytes, folder: Path, draw: random.Random) -> object:
    if draw.random() < 0.7:  # what is in the archive, which is whole
        content = _with_one_spoiled(draw.choice(_array_files()), draw)
    return _load_set(content, folder, "mnist.npz")


def _with_one_spoiled(honest: bytes, draw: random.Random) -> bytes:
    """Return an archive, one member of which is mutated, or has another name."""
    with zipfile.ZipFile(io.BytesIO(honest)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    chosen = draw.choice(sorted(files))
    inside = files.pop(chosen)
    if draw.random() < 0.2:
        chosen = (
            mutated(chosen.encode(), [b"train/0/../../x.png"], draw).decode("latin-1").replace("\0", "")[:200] or "x"
        )
    else:
        inside = mutated(inside, [inside, *files.values()], draw)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (*files.items(), (chosen, inside)):
            archive.writestr(name, content)
    return packed.getvalue()


def _load_set(content: bytes, folder: Path, name: str) -> object:
    from digitlab.data import MnistData

    path = folder / name
    path.write_bytes(content)
    data = MnistData.load(path)
    return len(data.test), data.class_names, data.notes


def _tables() -> list[bytes]:
    images, labels = _digits()
    rows = [
        ",".join(map(str, (label, *image.tolist())))
        for label, image in zip(labels, images.reshape(-1, 784), strict=True)
    ]
    heading = ",".join(["label", *(f"pixel{k}" for k in range(784))])
    decimals = [";".join(map(str, (*row.tolist(), "A"))) for row in images[:4].reshape(-1, 784) / 255]
    return [text.encode() for text in ("\n".join([heading, *rows]), "\r\n".join(rows), "\n".join(decimals))]


def _tables_apart() -> dict[str, bytes]:
    images, labels = _digits()
    pixels = "\n".join(",".join(map(str, row)) for row in images.reshape(-1, 784).tolist())
    return {"X": pixels.encode(), "y": "\n".join(["label", *map(str, labels.tolist())]).encode()}


def _parquet_files() -> list[bytes]:
    # Its own allocator reserves a gigabyte at once, which is all that there is here.
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    import pyarrow as pa
    import pyarrow.parquet as pq

    images, labels = _digits()
    cells = [{"bytes": _saved(Image.fromarray(image), "PNG"), "path": "x"} for image in images]
    made = []
    for settings in ({}, {"compression": "none", "use_dictionary": False}):
        file = io.BytesIO()
        pq.write_table(pa.table({"image": cells, "label": labels.astype(np.int64)}), file, **settings)
        made.append(file.getvalue())
    return made


def _read_parquet(content: bytes, _: Path, __: random.Random) -> object:
    from digitlab.data.tables import parquet_here

    # Not in a process apart, which would hide what it ends in.
    return parquet_here(content, "train.parquet").images.shape


@cache
def _zipped_sets() -> list[bytes]:
    images, labels = _digits()
    picture, small = _saved(_picture(), "PNG"), [_saved(Image.fromarray(image), "PNG") for image in images]
    idx = (
        struct.pack(">HBBIII", 0, 8, 3, 12, 28, 28) + images.tobytes(),
        struct.pack(">HBBI", 0, 8, 1, 12) + labels.tobytes(),
    )
    sets = [
        {f"train/{k % 3}/{k}.png": content for k, content in enumerate(small)} | {"test/1/a.png": picture},
        {f"{k % 10}_{k}.png": content for k, content in enumerate(small)},
        {"labels.csv": "\n".join(["file,label", *(f"{k}.png,{k % 4}" for k in range(12))]).encode()}
        | {f"all/{k}.png": content for k, content in enumerate(small)},
        {f"{part}_train.csv": _tables_apart()[part] for part in "Xy"},
        {f"{k % 3}/{k}.heic": content for k, content in enumerate(_heic_photos())},
        {
            "emnist-letters-train-images-idx3-ubyte": idx[0],
            "emnist-letters-train-labels-idx1-ubyte.gz": gzip.compress(idx[1]),
        },
    ]
    made = []
    for files in sets:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        made.append(file.getvalue())
    return made


def _load_zipped(content: bytes, folder: Path, draw: random.Random) -> object:
    if draw.random() < 0.7:
        content = _with_one_spoiled(draw.choice(_zipped_sets()), draw)
    return _load_set(content, folder, "set.zip")


@cache
def _models() -> dict[str, list[bytes]]:
    from digitlab.exporting.writers import write_keras, write_onnx, write_tfjs
    from digitlab.network import (
        ELU,
        Architecture,
        AveragePooling2D,
        Checkpoint,
        Conv2D,
        Dense,
        Flatten,
        MaxPooling2D,
        ZeroPadding2D,
    )
    from digitlab.network.checkpoint import save_checkpoint

    made: dict[str, list[bytes]] = {"safetensors": [], "keras": [], "onnx": [], "tfjs": [], "shard": []}
    for seed in range(2):
        end = [Flatten(), Dense(4, activation="relu"), Dense(10, activation="softmax")]
        begin = [
            [Conv2D(2, 3, activation="relu"), MaxPooling2D(3)],
            [ZeroPadding2D(1), Conv2D(2, 5, strides=2, activation="leaky_relu"), AveragePooling2D(3), ELU()],
        ]
        network = Architecture([*begin[seed], *end], (28, 28, 1), "small")
        checkpoint = Checkpoint(network, tuple(network.initial_weights(seed=seed)))
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            save_checkpoint(folder / "m.safetensors", checkpoint)
            write_keras(checkpoint, folder / "m.keras")
            write_onnx(checkpoint, folder / "m.onnx")
            write_tfjs(checkpoint, folder / "m")
            for kind in ("safetensors", "keras", "onnx"):
                made[kind].append((folder / f"m.{kind}").read_bytes())
            if seed == 0:
                made["tfjs"].append((folder / "m" / "model.json").read_bytes())
                made["shard"].append((folder / "m" / "group1-shard1of1.bin").read_bytes())
    # What others have written: normalization, borders, weights in another file.
    made["onnx"] += [_kept(f"{name}_torch_{exporter}.onnx") for name in ("modern", "odd") for exporter in _EXPORTERS]
    made["beside"] = [_kept("modern_torch_default.onnx")]
    made["torch"] = [_kept("modern_torch.safetensors")]
    return made


_EXPORTERS = ("script", "dynamo")


def _kept(name: str) -> bytes:
    """Return a file that another program has written."""
    return (Path(__file__).parents[1] / "network" / "formats" / "files" / name).read_bytes()


def _load_model(content: bytes, folder: Path, suffix: str) -> object:
    path = folder / f"model.{suffix}"
    path.write_bytes(content)
    return load_model_file(path)


def _load_keras(content: bytes, folder: Path, draw: random.Random) -> object:
    return _load_model(_spoilt_archive(draw) if draw.random() < 0.7 else content, folder, "keras")


def _spoilt_archive(draw: random.Random) -> bytes:
    """Return a whole archive in which a file is mutated."""
    honest = draw.choice(_models()["keras"])
    with zipfile.ZipFile(io.BytesIO(honest)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    chosen = draw.choice(sorted(files))
    files[chosen] = mutated(files[chosen], list(files.values()), draw)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, inside in files.items():
            archive.writestr(name, inside)
    return packed.getvalue()


@cache
def _described() -> list[bytes]:
    """Descriptions of networks of everything that is read of Keras'."""

    def layer(kind: str, **settings: Any) -> dict[str, Any]:
        return {"class_name": kind, "config": settings}

    inner = [
        layer("Conv2D", name="c", filters=2, kernel_size=[3, 3], strides=[2, 2], padding="same", use_bias=False),
        layer("BatchNormalization", name="b", axis=-1, epsilon=1e-3, center=True, scale=True, mode=0),
        layer("LeakyReLU", name="l", negative_slope=0.1, alpha={"class_name": "__numpy__", "config": {"value": 0.1}}),
    ]
    new = [
        layer("InputLayer", batch_shape=[None, 28, 28]),
        layer("Reshape", target_shape=[28, 28, 1]),
        layer("Rescaling", scale=[1 / 127.5], offset=-1.0),
        {"class_name": "Sequential", "config": {"name": "inner", "layers": inner}},
        layer("SpatialDropout2D", rate=0.5),
        layer("ZeroPadding2D", padding=[[1, 0], [2, 1]]),
        layer("AveragePooling2D", pool_size=[2, 2], strides=None, padding="same"),
        layer("ELU", alpha=0.5),
        layer("Permute", dims=[3, 1, 2]),
        layer("Flatten", data_format="channels_last"),
        layer("Normalization", name="n", axis=[-1], mean=None, variance=None),
        layer("Dense", name="d", units=4, activation={"class_name": "ReLU", "config": {"max_value": None}}),
        layer("Dropout", rate=0.5),
        layer("Dense", name="e", units=10, activation={"class_name": "function", "config": "softmax"}),
    ]
    old = [
        layer("Convolution2D", name="c", nb_filter=2, nb_row=3, nb_col=3, border_mode="valid", subsample=[2, 2],
              dim_ordering="th", bias=True, activation="tanh", batch_input_shape=[None, 1, 28, 28]),
        layer("BatchNormalization", name="b", axis=1, epsilon=1e-5, mode=0),
        layer("GlobalMaxPooling2D", dim_ordering="th"),
        layer("Dropout", p=0.5),
        layer("Dense", name="d", output_dim=10, bias=True),
    ]  # fmt: skip
    ends = [
        layer("InputLayer", name="i", batch_input_shape=[None, 28, 28, 1]),
        layer("Flatten", name="f"),
        layer("Dense", name="e", units=10),
    ]
    nodes: list[Any] = [[], [[["i", 0, 0, {}]]], [[["f", 0, 0, {}]]]]
    whole = [
        entry | {"name": name, "inbound_nodes": node} for entry, name, node in zip(ends, "ife", nodes, strict=True)
    ]
    configs: list[Any] = [{"name": "new", "layers": new}, old]
    described = [{"class_name": "Sequential", "config": config} for config in configs]
    described.append({"class_name": "Functional", "config": {"name": "f", "layers": whole}})
    return [json.dumps(one).encode() for one in described]


def _whole_model(description: bytes, weights_of: bytes, **options: Any) -> bytes:
    """Write an HDF5 model of a description, with the weights of a network that may be another."""
    import h5py

    from digitlab.network.formats.keras_walk import read_keras_config

    memory = io.BytesIO()
    numbers = np.random.default_rng(0)
    with h5py.File(memory, "w", **options) as file:
        # As text, which is stored elsewhere and may therefore be long.
        file.attrs["model_config"] = description.decode("utf-8", "replace").replace("\0", "")
        names: dict[str, dict[str, Any]] = {}
        for layer in read_keras_config(json.loads(weights_of)).learning:
            for name, shape in layer.weights:
                array = np.abs(numbers.normal(size=shape)).astype(np.float32)
                names.setdefault(layer.names[0], {})[f"{layer.name}/{name}:0"] = array
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [name.encode() for name in names]
        group.attrs["backend"] = b"tensorflow"
        for name, arrays in names.items():
            inner = group.create_group(name)
            inner.attrs["weight_names"] = [part.encode() for part in arrays]
            for part, array in arrays.items():
                packed = {"compression": "gzip", "shuffle": True} if array.size > 200 and not options else {}
                inner.create_dataset(part, data=array, **packed)
    return memory.getvalue()


@cache
def _whole_models() -> list[bytes]:
    options: tuple[dict[str, Any], ...] = ({}, {"libver": "latest"})
    return [_whole_model(one, one, **option) for one in _described() for option in options]


def _load_h5(content: bytes, folder: Path, draw: random.Random) -> object:
    if draw.random() < 0.5:  # a whole file of something odd
        honest = draw.choice(_described())
        content = _whole_model(mutated(honest, _described(), draw), honest, **draw.choice(({}, {"libver": "latest"})))
    return _load_model(content, folder, "h5")


def _weights() -> list[bytes]:
    with zipfile.ZipFile(io.BytesIO(_models()["keras"][0])) as archive:
        return [archive.read("model.weights.h5")]


def _load_weights(content: bytes, folder: Path, _: random.Random) -> object:
    """Load weights alone, as ``Sequential.load_weights`` does, for the network that they belong to."""
    from digitlab.engine.keras_bridge import weights_in

    whole = folder / "model.keras"
    whole.write_bytes(_models()["keras"][0])
    path = folder / "some.weights.h5"
    path.write_bytes(content)
    return weights_in(load_model_file(whole).architecture, path)


def _load_tfjs(content: bytes, folder: Path, draw: random.Random) -> object:
    shard = _models()["shard"][0]
    (folder / "group1-shard1of1.bin").write_bytes(mutated(shard, [shard], draw) if draw.random() < 0.2 else shard)
    return _load_model(content, folder, "json")


def _load_onnx(content: bytes, folder: Path, draw: random.Random) -> object:
    if draw.random() < 0.7:  # a whole file of something odd
        import onnx

        model = onnx.load_from_string(draw.choice(_models()["onnx"]))
        for _ in range(draw.choice((1, 1, 2, 3))):
            _spoil_graph(model.graph, draw)
        content = model.SerializeToString()
    return _load_model(content, folder, "onnx")


@cache
def _operations() -> list[str]:
    """All that is read of ONNX, and what is not."""
    from digitlab.network.formats.onnx_graph import COMPUTABLE
    from digitlab.network.formats.onnx_operations import OPERATIONS

    return [*sorted({*OPERATIONS, *COMPUTABLE}), "Loop", "If", "x"]


_PLACES = (
    "m.data",
    "link",
    "folder",
    "sub/m.data",
    "../m.data",
    "/etc/passwd",
    "",
    ".",
    "..",
    "\x00",
    "x" * 5000,
    "m.onnx",
)
_OFFSETS = ("0", "1", "-1", "600", str(2**31), str(2**63), "9" * 5000, "", "x", "1e3", " 7 ", "0x10", "\u0663")


def _load_onnx_beside(content: bytes, folder: Path, draw: random.Random) -> object:
    """Try a model with weights in a file beside it; where they lie, and what that holds, is changed."""
    import onnx

    name = "modern_torch_default.onnx.data"
    data = _kept(name)
    (folder / name).write_bytes(mutated(data, [data], draw) if draw.random() < 0.2 else data)
    if not (folder / "link").is_symlink():
        (folder / "link").symlink_to("/etc/passwd")
    (folder / "folder").mkdir(exist_ok=True)
    (folder / "m.data").write_bytes(data)
    if draw.random() < 0.8:
        model = onnx.load_from_string(_kept("modern_torch_default.onnx"))
        given = model.graph.initializer
        for _ in range(draw.choice((0, 1, 1, 2, 3))):
            one = draw.choice(given)
            words = {"location": draw.choice(_PLACES), "offset": draw.choice(_OFFSETS), "length": draw.choice(_OFFSETS)}
            key = draw.choice(sorted(words))
            entry = next((entry for entry in one.external_data if entry.key == key), None) or one.external_data.add()
            entry.key, entry.value = key, words[key]
            one.data_location = draw.choice((0, 1, 1, 1))
            if draw.random() < 0.2 and one.dims:
                one.dims[draw.randrange(len(one.dims))] = draw.choice((0, -1, 7, 2**31, 2**62))
            if draw.random() < 0.1:
                one.data_type = draw.randrange(24)
        if draw.random() < 0.05:
            for i in range(1_000):
                given.add().CopyFrom(given[0])
                given[-1].name = str(i)
        if draw.random() < 0.2:
            _spoil_graph(model.graph, draw)
        content = model.SerializeToString()
    return _load_model(content, folder, "onnx")


def _load_torch_state(content: bytes, folder: Path, draw: random.Random) -> object:
    from digitlab.network import AveragePooling2D, Conv2D, Dense, Flatten, ZeroPadding2D
    from digitlab.network.architecture import Architecture
    from digitlab.network.formats.files import load_model_file

    path = folder / "model.safetensors"
    path.write_bytes(content)
    layers = [
        *(ZeroPadding2D(((1, 0), (1, 0))), Conv2D(4, 3, strides=2, activation="relu")),
        *(Conv2D(6, 3, padding="same", activation="relu"), AveragePooling2D(4), Flatten()),
        *(Dense(16, activation="tanh"), Dense(10, activation="softmax")),
    ]
    network = draw.choice((None, "codelab_cnn", *[Architecture(layers)] * 8)) if draw.random() < 0.99 else None
    return load_model_file(path, network if not isinstance(draw, _Honest) else Architecture(layers))


def _spoil_graph(graph: Any, draw: random.Random) -> None:
    constants = graph.initializer
    nodes = graph.node
    way = draw.randrange(9)
    if way == 0 and constants:
        del constants[draw.randrange(len(constants))]
    elif way == 1 and nodes:
        del nodes[draw.randrange(len(nodes))]
    elif way == 2 and nodes:
        nodes.add().CopyFrom(draw.choice(nodes))
    elif way == 3 and nodes:
        draw.choice(nodes).op_type = draw.choice(_operations())
    elif way == 4 and nodes:
        names = [name for node in nodes for name in (*node.input, *node.output)]
        one = draw.choice(nodes)
        if one.input:
            one.input[draw.randrange(len(one.input))] = draw.choice([*names, "", "nowhere"])
    elif way == 5 and constants:
        one = draw.choice(constants)
        if one.dims:
            one.dims[draw.randrange(len(one.dims))] = draw.choice((0, 1, -1, 7, 2**31, 2**62))
    elif way == 6 and constants:
        draw.choice(constants).data_type = draw.randrange(24)
    elif way == 7 and constants:
        one = draw.choice(constants)
        one.raw_data = draw.choice((b"", one.raw_data[:-3], b"\x00\x00\xc0\x7f" * 9, b"\x00\x00\x80\x7f" * 40))
    elif nodes:
        spoiled = [attribute for node in nodes for attribute in node.attribute]
        if spoiled:
            one = draw.choice(spoiled)
            one.type = draw.randrange(1, 12) if draw.random() < 0.3 else one.type
            one.i, one.f = draw.choice((0, -1, 2**62, 7)), draw.choice((0.0, float("nan"), 1e38))
            one.ints.extend(draw.choice(([0], [-1, 2**40], [1] * 500)))


@cache
def _runtime() -> Any:
    """The process that onnxruntime works in, with less time than usual."""
    from digitlab.engine import runtime

    processes = runtime._Apart(runtime._ONNXRUNTIME)
    processes.seconds = 5.0
    return processes


@cache
def _branched() -> list[bytes]:
    """Models that are no chains: a branch behind the images, and one image at a time."""
    from onnx import TensorProto, helper, numpy_helper

    made = []
    for batch in ("n", 1):
        nodes = [
            helper.make_node(kind, inputs, [output])
            for kind, inputs, output in (
                ("Flatten", ["x"], "f"), ("MatMul", ["f", "w"], "m"), ("Erf", ["m"], "e"), ("Add", ["m", "e"], "s"),
                ("Softmax", ["s"], "y"),
            )
        ]  # fmt: skip
        images = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 1, 28, 28])
        answers = helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 10])
        table = np.random.default_rng(0).normal(0, 0.1, (784, 10)).astype(np.float32)
        graph = helper.make_graph(nodes, "g", [images], [answers], [numpy_helper.from_array(table, "w")])
        opsets = [helper.make_opsetid("", 17)]
        made.append(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
    return made


def _run_onnx(content: bytes, folder: Path, draw: random.Random) -> object:
    from digitlab.engine import runtime_process

    if draw.random() < 0.8:
        import onnx

        model = onnx.load_from_string(draw.choice(_branched()))
        for _ in range(draw.choice((1, 1, 2, 3))):
            _spoil_graph(model.graph, draw)
        content = model.SerializeToString()
    # Each has a name of its own: the process keeps the last one.
    path = folder / f"model{draw.random()}.onnx"
    path.write_bytes(content)
    question = _runtime().call(runtime_process.opened, str(path), 1, source="model.onnx").question
    images = np.zeros((3, 28, 28), np.uint8)
    found = list(
        _runtime().each(runtime_process.answered, str(path), 1, question, (1.0, 0.0), images, source="model.onnx")
    )
    assert np.allclose(np.concatenate(found).sum(1), 1, atol=1e-4)
    return found


def _copy_for_keras(content: bytes, folder: Path, draw: random.Random) -> object:
    from digitlab.engine.runtime_files import _copied
    from digitlab.network.formats.keras_whitelist import harmless

    if draw.random() < 0.8:
        content = _spoilt_archive(draw)
    path = folder / "model.keras"
    path.write_bytes(content)
    with tempfile.TemporaryDirectory(dir=folder) as own:
        copied = _copied(path, content, Path(own))
        if copied.suffix == ".keras":
            with zipfile.ZipFile(copied) as archive:
                description = json.loads(archive.read("config.json"))
            assert harmless(description) == description
    return None


_RUN_FILES = ("config.json", "environment.json", "history.jsonl", "evaluation.json", "timings.json")


@cache
def _run() -> dict[str, bytes]:
    """The files of a real run, small."""
    import digitlab as dl
    from digitlab.training.config import TrainConfig

    with tempfile.TemporaryDirectory() as name:
        config = TrainConfig(train_images=64, validation_images=32, batch_size=32, epochs=1)
        dl.train(config, out=Path(name))
        [folder] = [path for path in Path(name).iterdir() if path.is_dir()]
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def _list_run(content: bytes, folder: Path, draw: random.Random) -> object:
    from digitlab.runs.listing import list_runs
    from digitlab.runs.run import Run

    path = folder / "runs" / "r"
    path.mkdir(parents=True, exist_ok=True)
    files = dict(_run())
    chosen = draw.choice([name for name in _RUN_FILES if name in files])
    if draw.random() < 0.98:
        files[chosen] = mutated(files[chosen], list(files.values()), draw)
    for name, inside in files.items():
        (path / name).write_bytes(inside)
    list_runs(folder / "runs")
    run = Run.open(path)
    return run.info(), run.history()


@cache
def _steered() -> dict[str, dict[str, bytes]]:
    """The files of two small runs whose rate was changed on the way: one that is complete, and one that was stopped."""
    from digitlab.training.config import TrainConfig
    from digitlab.training.session import open_session

    found = {}
    with tempfile.TemporaryDirectory() as name:
        for which, n_records in (("complete", 99), ("stopped", 4)):
            config = TrainConfig(
                network="dense_baseline", train_images=64, validation_images=32, batch_size=32, epochs=3
            )
            session = open_session(config, Path(name), name=which)
            records = session.records()
            for _ in zip(range(n_records), records, strict=False):
                if session.progress.step == 2:
                    session.set_learning_rate(0.01)
            records.close()
            assert session.run is not None
            session.run.annotate(title="Steered", note="one\ntwo")
            folder = Path(name) / which
            found[which] = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    return found


def _spoilt_run(folder: Path, draw: random.Random) -> Any:
    """Write a run of which one file is mutated, and return it."""
    from digitlab.runs.run import Run

    path = folder / "runs" / "r"
    path.mkdir(parents=True, exist_ok=True)
    for left in path.iterdir():
        left.unlink()
    files = dict(draw.choice([*_steered().values()]))
    if not isinstance(draw, _Honest):
        chosen = draw.choice([*files, *["history.jsonl", "config.json", "label.json"] * 2])
        files[chosen] = mutated(files[chosen], list(files.values()), draw)
    for name, inside in files.items():
        (path / name).write_bytes(inside)
    return Run.open(path)


def _see_run(_: bytes, folder: Path, draw: random.Random) -> object:
    """Ask everything of a run that lists, charts, comparisons and pages show, and give it another title."""
    from digitlab.evaluation.alike import differing_settings, unlike_sentence
    from digitlab.evaluation.overlay import ImagesAxis, read_curves
    from digitlab.runs.trash import what_is_lost
    from digitlab.studio.run_list import RunList

    run = _spoilt_run(folder, draw)
    label = run.label
    assert label.title == label.title.strip()
    assert label.title.isprintable()
    assert len(label.title) <= 80
    [line] = RunList(folder / "runs").lines()
    run.annotate(title=draw.choice(("", "x", None)))
    what_is_lost(run)
    curves = read_curves(run)
    axis = ImagesAxis(64, 32, of_epochs=False)
    places = [axis.place(point.images) for point in curves.batches]
    sentence = unlike_sentence([name for name, _ in differing_settings([curves.settings, {"seed": 1}])])
    return line, run.info(), places, sentence


def _repeat_run(_: bytes, folder: Path, draw: random.Random) -> object:
    """Take a step of a run apart, which repeats it as far, and go on with it."""
    from digitlab.explanation.step import take_step_apart
    from digitlab.training.session import TrainingSession

    run = _spoilt_run(folder, draw)
    try:
        apart = take_step_apart(run, draw.choice((1, 3, 4, 6)))
        apart.why(apart.layers[0].layer.name, 0, 0)
    except DigitlabError:
        apart = None
    if not run.has("state.safetensors"):
        return apart
    for record in TrainingSession.resume(run).records():
        apart = record
    return apart, run.info()


def _room_names() -> list[bytes]:
    return [json.dumps({"name": name}).encode() for name in ("Mia", "Zo\u00eb \u0639\u0644\u064a", "x" * 30)]


def _name_room(content: bytes, folder: Path, _: random.Random) -> object:
    from digitlab.studio.rooms import LONGEST_NAME, _kept_name, checked_name

    (folder / "room.json").write_bytes(content)
    kept = _kept_name(folder)
    for name in (kept, content.decode("utf-8", "replace")):
        with suppress(DigitlabError):
            shown = checked_name(name)
            assert shown.isprintable()
            assert len(shown) <= LONGEST_NAME
            assert checked_name(shown) == shown
    return kept


def _progresses() -> list[bytes]:
    from digitlab.studio.tasks import TASK_IDS, Progress

    return [progress.to_json().encode() for progress in (Progress(), Progress(TASK_IDS[:3], TASK_IDS[3], "open"))]


def _go_on_with_tasks(content: bytes, _: Path, __: random.Random) -> object:
    from digitlab.studio.tasks import TASK_IDS, Progress

    found = Progress.from_browser(content.decode("utf-8", "replace"))
    assert {*found.done, found.at} <= {*TASK_IDS}
    return found.next


def _sweep_plans() -> list[bytes]:
    from digitlab.evaluation import sweep
    from digitlab.training.config import TrainConfig

    config = TrainConfig()
    told = sweep._told(config, sweep._plan(config, {"learning_rate": [0.1, 0.2]}, 2), 2)
    return [json.dumps(one).encode() for one in (told, told | {"result": {"points": []}})]


def _open_sweep(content: bytes, folder: Path, _: random.Random) -> object:
    from digitlab.evaluation import sweep
    from digitlab.training.config import TrainConfig

    config = TrainConfig()
    plan = sweep._plan(config, {"learning_rate": [0.1, 0.2]}, 2)
    (folder / "sweep").mkdir(exist_ok=True)
    (folder / "sweep" / sweep.PLAN).write_bytes(content)
    return sweep._folder(folder / "sweep", config, plan, 2, force=False)


def _parts_begun() -> list[bytes]:
    from digitlab.reading.parts import Asked
    from digitlab.reading.reading import ReadingOptions

    head = {"recipe": Asked(ReadingOptions()).recipe, "part_files": 2}
    rows = [[name, "1", "1", "1", "42", "0.9", "1 2 3 4", "0", ""] for name in ("a.png", "b.png")]
    names = [json.dumps(line) for line in (head | {"home": "/scans"}, "a.png", "b.png", "s3://x/\udcff.png", 3)]
    return ["\n".join([*names, ""]).encode(), "\n".join(",".join(row) for row in rows).encode()]


def _go_on_with_parts(content: bytes, folder: Path, _: random.Random) -> object:
    from digitlab.reading import parts
    from digitlab.reading.reading import ReadingOptions

    asked = parts.Asked(ReadingOptions())
    if content.startswith(b"{"):
        (folder / "names.jsonl").write_bytes(content)
        plan = parts._begun(folder, asked)
        assert plan is not None
        return [plan.names(part) for part in plan.missing()]
    plan = parts._plan(["a.png", "b.png"], folder, asked, 2)
    path = plan.path_of(0)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return plan.rows(0) if not plan.missing() else None


def _lists() -> list[bytes]:
    return [b"# pages\na.png\n/b/c.png\nhttps://x/d.png\nfile:///e.png\n", b"\xff.png\r\n\r\n../f.png"]


def _read_list(content: bytes, folder: Path, _: random.Random) -> object:
    from digitlab.reading.places import names_in

    (folder / "list.txt").write_bytes(content)
    return list(names_in(str(folder / "list.txt"), frozenset({".png"})))


def _results() -> list[bytes]:
    from digitlab.reading.results_file import COLUMNS, csv_text

    row = ["a.png", "1", "1", "1", "42", "0.9", "1 2 3 4", "0", "", "12 bytes 2026-01-01T00:00:00Z abc"]
    return [csv_text([COLUMNS, row, row]).encode(), csv_text([COLUMNS]).encode()]


def _open_results(content: bytes, folder: Path, _: random.Random) -> object:
    from digitlab.reading.results_file import ResultsFile

    path = folder / "results.csv"
    path.write_bytes(content)
    with ResultsFile(path, "abc") as table:
        table.forget(["b.png"])
        return table.has("a.png", "a.png")


def _scales() -> list[bytes]:
    texts = {"0": "0-255", "1": "-1-1", "a": "0.1307,0.3081"}
    return [json.dumps({digit * 64: [text, 2000, 0.967, 0.096] for digit, text in texts.items()}).encode(), b"{}"]


def _keep_scale(content: bytes, folder: Path, draw: random.Random) -> object:
    """Read what was kept of networks from the cache folder, and keep something more."""
    from digitlab.network.pixels import USUAL, ScaleFit, keep_scale, kept_scale

    os.environ["DIGITLAB_CACHE"] = str(folder)
    (folder / "pixels.json").write_bytes(content)
    found = kept_scale(draw.choice("01a") * 64)
    keep_scale("b" * 64, ScaleFit(USUAL[0], 200, 0.9, 0.1))
    assert kept_scale("b" * 64) is not None
    return found


# ---- what comes over the network ----


@cache
def _client() -> object:
    from digitlab.serving.accounting import Lines
    from digitlab.serving.server import guarded_api
    from digitlab.serving.service import Service
    from tests.serving.asking import Client

    return Client(guarded_api(Service(), Lines(None)))


def _ask(content: bytes, kind: str) -> object:
    reply = _client().predict(content, kind)  # type: ignore[attr-defined]
    assert reply.status < 500, f"{reply.status}: {reply.body[:200]!r}"
    return reply.status


def _json_bodies() -> list[bytes]:
    return [
        json.dumps({"images": [[0, 255, 7] + [0] * 781]}).encode(),
        json.dumps({"images": [[[0.5] * 28] * 28] * 2}).encode(),
        json.dumps({"instances": [[[[9]] * 28] * 28]}).encode(),
        json.dumps({"image": _in_base64()}).encode(),
        json.dumps({"images": [f"data:image/png;base64,{_in_base64()}"] * 2}).encode(),
    ]


def _in_base64() -> str:
    return base64.b64encode(_saved(_picture(), "PNG")).decode()


def _forms() -> list[bytes]:
    head = b'--B\r\nContent-Disposition: form-data; name="file"; filename="7.png"\r\nContent-Type: image/png\r\n\r\n'
    picture = _saved(_picture(28, 28), "PNG")
    return [head + picture + b"\r\n--B--\r\n", head + picture + b"\r\n" + head + picture + b"\r\n--B--\r\n"]


_QUERIES = ("", "layer=conv2d", "layer=dense&unit=3", "unit=0,0,0", "why=occlusion", "why=integrated_gradients")
_ODD = ("%00", "-1", "9" * 4999, "\u0663", "1e9", "nan", "", ",,,", "[]", "0,0,0,0,0", "%ff", "x" * 9999, "true")


def _look_inside(content: bytes, draw: random.Random) -> object:
    query = draw.choice(_QUERIES)
    if not isinstance(draw, _Honest) and draw.random() < 0.5:
        key = draw.choice(("layer", "unit", "why", "invert", "x"))
        query += f"&{key}={quote(draw.choice(_ODD), safe='%')}"
    reply = _client().ask("POST", f"/api/inside?{query}", content, content_type="application/json")  # type: ignore[attr-defined]
    assert reply.status < 500, f"{reply.status}: {reply.body[:200]!r}"
    return reply.status


def _lesson_links() -> list[bytes]:
    from digitlab.network import Architecture, Dense, Flatten
    from digitlab.studio.lesson import LessonLink

    own = Architecture([Flatten(), Dense(10, activation="softmax")], (28, 28, 1), "own")
    links = [
        LessonLink(changes={"epochs": 3, "optimizer": "sgd", "learning_rate": 0.1}, tab="training"),
        LessonLink(layers=own, step=40),
        LessonLink(tasks="on", tab="network"),
        LessonLink(tasks="rate", network="fast_cnn"),
    ]
    return [link.to_query().encode() for link in links]


def _follow_link(content: bytes, _: Path, __: random.Random) -> object:
    from digitlab.studio.lesson import LessonLink

    link, sentence = LessonLink.from_query(content.decode("utf-8", "replace"))
    link.config, link.architecture  # noqa: B018
    return sentence


def _network_documents() -> list[bytes]:
    from digitlab.network.zoo import architecture
    from digitlab.studio.trainer import network_document

    return [network_document(architecture(name)).encode() for name in ("codelab_cnn", "dense_baseline")]


def _open_network(content: bytes, _: Path, __: random.Random) -> object:
    from digitlab.studio.tabs.model_tab import read_network_document

    return read_network_document(content)


def _events() -> list[bytes]:
    change = {"serial": 3, "box": [1, 2, 30, 40], "value": "7", "isNumber": False}
    return [
        json.dumps(event).encode()
        for event in (change, change | {"value": None}, [1, 2, 30, 40], {"name": "turn", "on": True})
    ]


def _take_event(content: bytes, _: Path, __: random.Random) -> object:
    from digitlab.studio.tabs.read_elements import as_box, as_change

    try:
        event = json.loads(content)
    except (ValueError, RecursionError):
        return None  # what the browser's library would not let through either
    return as_change(event), as_box(event)


PARSERS = {
    "pictures": Parser(_pictures, _open_picture),
    "documents": Parser(_documents, _open_document),
    "heic": Parser(_heic_photos, _open_heic),
    "idx": Parser(_idx_files, _read_idx),
    "arrays": Parser(_array_files, _load_arrays),
    "tables": Parser(_tables, lambda c, f, _: _load_set(c, f, "train.csv")),
    "parquet": Parser(_parquet_files, _read_parquet),
    "sets": Parser(_zipped_sets, _load_zipped),
    "safetensors": Parser(lambda: _models()["safetensors"], lambda c, f, _: _load_model(c, f, "safetensors")),
    "keras": Parser(lambda: _models()["keras"], _load_keras),
    "h5": Parser(_whole_models, _load_h5),
    "weights": Parser(_weights, _load_weights),
    "tfjs": Parser(lambda: _models()["tfjs"], _load_tfjs),
    "onnx": Parser(lambda: _models()["onnx"], _load_onnx),
    "onnx beside": Parser(lambda: _models()["beside"], _load_onnx_beside),
    "torch state": Parser(lambda: _models()["torch"], _load_torch_state),
    "onnxruntime": Parser(lambda: [*_branched(), *_models()["onnx"]], _run_onnx),
    "keras copied": Parser(lambda: _models()["keras"], _copy_for_keras),
    "runs": Parser(lambda: [b"{}"], _list_run),
    "run seen": Parser(lambda: [b""], _see_run),
    "run repeated": Parser(lambda: [b""], _repeat_run),
    "sweeps": Parser(_sweep_plans, _open_sweep),
    "parts": Parser(_parts_begun, _go_on_with_parts),
    "lists": Parser(_lists, _read_list),
    "rooms": Parser(_room_names, _name_room),
    "tasks": Parser(_progresses, _go_on_with_tasks),
    "scales": Parser(_scales, _keep_scale),
    "results": Parser(_results, _open_results),
    "json": Parser(_json_bodies, lambda c, _, __: _ask(c, "application/json")),
    "inside": Parser(_json_bodies, lambda c, _, draw: _look_inside(c, draw)),
    "forms": Parser(_forms, lambda c, _, __: _ask(c, "multipart/form-data; boundary=B")),
    "lessons": Parser(_lesson_links, _follow_link),
    "networks": Parser(_network_documents, _open_network),
    "events": Parser(_events, _take_event),
}


def tried(name: str, seed: int, number: int, folder: Path, honest: list[bytes]) -> object:
    """Make one input and try it."""
    draw = random.Random(f"{name} {seed} {number}")
    content = mutated(draw.choice(honest), honest, draw)
    try:
        return PARSERS[name].attempt(content, folder, draw)
    except DigitlabError as error:
        if not str(error).strip():
            raise AssertionError("an error without a sentence") from error
        return error


def _all(name: str, seed: int, first: int, last: int, place: Path) -> None:
    honest = PARSERS[name].honest()
    with tempfile.TemporaryDirectory() as folder, place.open("r+b") as file, mmap.mmap(file.fileno(), 8) as at:
        for content in honest:
            PARSERS[name].attempt(content, Path(folder), _Honest())  # warm, and what is honest is taken
        limit_memory(MEMORY_BYTES)
        for number in range(first, last):
            at[:] = struct.pack("<q", number)
            if hasattr(signal, "setitimer"):
                signal.setitimer(signal.ITIMER_PROF, SECONDS)  # ends this process
            try:
                tried(name, seed, number, Path(folder), honest)
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                place_of = f"{Path(where.filename).name}:{where.lineno}"
                print(json.dumps({"number": number, "error": f"{error!r:.300}", "at": place_of}), flush=True)
        at[:] = struct.pack("<q", last)


if __name__ == "__main__":
    parser, seed, first, *rest = sys.argv[1:]
    if rest:
        _all(parser, int(seed), int(first), int(rest[0]), Path(rest[1]))
    else:
        with tempfile.TemporaryDirectory() as where:
            print(repr(tried(parser, int(seed), int(first), Path(where), PARSERS[parser].honest())))
    os._exit(0)  # nothing of it is waited for
