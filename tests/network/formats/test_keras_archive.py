from __future__ import annotations

import json
import shutil
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digitlab.network.formats.files import load_model_file
from digitlab.network.formats.keras import CONFIG, WEIGHTS, ForeignLayer, weight_folders


def rezipped(source: Path, target: Path, compression: int = zipfile.ZIP_STORED, **members: bytes | None) -> Path:
    """Copy an archive with some members changed, added, or left out (None); ``_`` stands for a point."""
    with zipfile.ZipFile(source) as old:
        contents = {name: old.read(name) for name in old.namelist()}
    contents |= {name.replace("__", "."): content for name, content in members.items()}
    with zipfile.ZipFile(target, "w", compression) as new:
        for name, content in contents.items():
            if content is not None:
                new.writestr(name, content)
    return target


@pytest.fixture
def keras(written: dict[str, Path]) -> Path:
    return written["keras"]


def test_a_compressed_archive_is_read_too(keras: Path, tmp_path: Path) -> None:
    copy = rezipped(keras, tmp_path / "c.keras", zipfile.ZIP_DEFLATED)
    assert load_model_file(copy).architecture.n_classes == 3


def test_weights_lie_where_keras_puts_them() -> None:
    kinds = ["Conv2D", "MaxPooling2D", "Conv2D", "Flatten", "ReLU", "Dense"]
    assert weight_folders([ForeignLayer(kind, "", learns=False) for kind in kinds]) == [
        f"layers/{name}/vars" for name in ("conv2d", "max_pooling2d", "conv2d_1", "flatten", "re_lu", "dense")
    ]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"config__json": None}, "has no config.json"),
        ({"model__weights__h5": None}, "has no model.weights.h5"),
        ({"config__json": b"[" * 500_000}, "nested too deep"),
        ({"config__json": b'{"a":' * 100_000}, "nested too deep"),
        ({"config__json": b"no"}, "cannot be read as JSON"),
        ({"config__json": b"[]"}, "JSON object"),
        ({"config__json": b" " * 2_000_000}, "more than 1,048,576 bytes"),
        ({"model__weights__h5": b"\x80\x04pickle"}, "cut short"),
        ({"model__weights__h5": b"PK\x03\x04" * 100}, "not an HDF5 file"),
    ],
)
def test_archives_without_what_is_needed_are_refused(
    keras: Path, tmp_path: Path, refused: Any, members: dict[str, Any], expected: str
) -> None:
    assert expected in refused(rezipped(keras, tmp_path / "bad.keras", **members))


def test_zip_bombs_are_not_unpacked(keras: Path, tmp_path: Path, refused: Any) -> None:
    bomb = bytes(200_000_000)
    for member in ("config__json", "model__weights__h5", "metadata__json"):
        path = rezipped(keras, tmp_path / "bomb.keras", zipfile.ZIP_DEFLATED, **{member: bomb})
        assert path.stat().st_size < 1_000_000
        if member == "metadata__json":  # only class names come from there
            assert load_model_file(path).class_names == ("0", "1", "2")
        else:
            assert "bytes" in refused(path)


def test_a_large_network_is_no_excuse_for_a_bomb(keras: Path, tmp_path: Path, refused: Any) -> None:
    with zipfile.ZipFile(keras) as archive:
        config = json.loads(archive.read(CONFIG))
    for entry in config["config"]["layers"]:
        if entry["class_name"] == "Dense" and entry["config"]["units"] == 5:
            entry["config"]["units"] = 60_000
    bomb = {"config__json": json.dumps(config).encode(), "model__weights__h5": bytes(100_000_000)}
    path = rezipped(keras, tmp_path / "bomb.keras", zipfile.ZIP_DEFLATED, **bomb)
    assert "bytes" in refused(path, most_mib=40.0)


def test_archives_that_claim_many_files_are_not_listed(keras: Path, tmp_path: Path, refused: Any) -> None:
    many = tmp_path / "many.keras"
    with zipfile.ZipFile(many, "w") as archive:
        for i in range(70_000):
            archive.writestr(zipfile.ZipInfo(str(i)), b"")
    assert "claims to hold" in refused(many)


def test_members_with_paths_that_leave_the_archive_are_never_written(keras: Path, tmp_path: Path) -> None:
    path = rezipped(keras, tmp_path / "sub" / "x.keras") if (tmp_path / "sub").mkdir() is None else keras
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../escaped.txt", b"x")
        archive.writestr("/absolute.txt", b"x")
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, b"/etc/passwd")
    load_model_file(path)
    assert {entry.name for entry in tmp_path.rglob("*")} == {"sub", "x.keras"}


def test_encrypted_and_oddly_compressed_members_are_refused(keras: Path, tmp_path: Path, refused: Any) -> None:
    path = rezipped(keras, tmp_path / "lzma.keras", zipfile.ZIP_LZMA)
    assert "compressed in a way" in refused(path)
    content = bytearray(keras.read_bytes())
    entry = content.rindex(b"PK\x01\x02", 0, content.rindex(CONFIG.encode()))
    content[entry + 8] |= 1
    path.write_bytes(content)
    assert "encrypted" in refused(path)


def test_archives_that_are_cut_or_changed_are_refused(keras: Path, tmp_path: Path, refused: Any) -> None:
    content = keras.read_bytes()
    path = tmp_path / "cut.keras"
    for damaged in (content[:-1], content[:100], content + b"x", b"", b"PK\x03\x04"):
        path.write_bytes(damaged)
        refused(path)


def with_weights(keras: Path, target: Path, change: Any) -> Path:
    with zipfile.ZipFile(keras) as archive:
        weights = bytearray(archive.read(WEIGHTS))
    change(weights)
    return rezipped(keras, target, model__weights__h5=bytes(weights))


def test_weights_that_are_nan_are_refused(keras: Path, tmp_path: Path, refused: Any) -> None:
    bias = load_model_file(keras).weights[1].tobytes()

    def change(weights: bytearray) -> None:
        struct.pack_into("<f", weights, weights.index(bias), np.nan)

    assert "NaN" in refused(with_weights(keras, tmp_path / "nan.keras", change))


def test_a_network_larger_than_its_weights_is_refused(keras: Path, tmp_path: Path, refused: Any) -> None:
    with zipfile.ZipFile(keras) as archive:
        config = json.loads(archive.read(CONFIG))
    for entry in config["config"]["layers"]:
        if entry["class_name"] == "Dense" and entry["config"]["units"] == 5:
            entry["config"]["units"] = 60_000
    path = rezipped(keras, tmp_path / "large.keras", config__json=json.dumps(config).encode())
    assert "should have the shape" in refused(path)


def test_lambda_layers_are_not_run(keras: Path, tmp_path: Path, refused: Any) -> None:
    with zipfile.ZipFile(keras) as archive:
        config = json.loads(archive.read(CONFIG))
    code = {"class_name": "__lambda__", "config": {"code": "4wEAAAA=", "defaults": None, "closure": None}}
    config["config"]["layers"].insert(
        1, {"module": "keras.layers", "class_name": "Lambda", "config": {"function": code}}
    )
    path = rezipped(keras, tmp_path / "lambda.keras", config__json=json.dumps(config).encode())
    assert "digitlab runs no code from a file" in refused(path)


def test_symlinks_to_a_model_are_followed(keras: Path, tmp_path: Path) -> None:
    (tmp_path / "link.keras").symlink_to(keras)
    shutil.copy(keras, tmp_path / "copy.keras")
    assert (
        load_model_file(tmp_path / "link.keras").architecture == load_model_file(tmp_path / "copy.keras").architecture
    )
