"""Sets in all the forms that people have them in: what is read is the same, and what was made of it is told."""

from __future__ import annotations

import csv
import gzip
import io
import json
import pickle
import re
import shutil
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from digitlab.data import MnistData, write_idx
from digitlab.data.shaping import FASHION, KUZUSHIJI, flat_labels, names_in_mapping, numbered
from digitlab.errors import DataError
from digitlab.values import CLASS_NAMES

N_TRAINING, N_TEST = 140, 60


@pytest.fixture(scope="module")
def mnist() -> MnistData:
    return MnistData.load()


@pytest.fixture(scope="module")
def excerpt(mnist) -> tuple[np.ndarray, ...]:
    """Real digits: training images and labels, test images and labels."""
    training, test = mnist.training, mnist.test
    return (
        training.images[:N_TRAINING].copy(),
        training.labels[:N_TRAINING].copy(),
        test.images[:N_TEST].copy(),
        test.labels[:N_TEST].copy(),
    )


@pytest.fixture(scope="module")
def expected(excerpt, tmp_path_factory) -> MnistData:
    return MnistData.load(as_idx(excerpt, tmp_path_factory.mktemp("plain")))


def png(image: np.ndarray, kind: str = "PNG", mode: str = "L") -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).convert(mode).save(file, kind)
    return file.getvalue()


# ---- one set in many forms; each writes it into an empty folder and returns what is to be named ----

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def as_idx(arrays, folder, names=NAMES):
    for name, array in zip(names, arrays, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_idx(folder / name, array)
    return folder


def as_kaggles_folders(arrays, folder):
    as_idx(arrays, folder, [name.replace("-idx", ".idx") for name in NAMES])
    return as_idx(arrays, folder, [f"{name}/{name}" for name in NAMES])


def as_kaggles_folders_alone(arrays, folder):
    return as_idx(arrays, folder, [f"{name}/{name}" for name in NAMES])


def as_torchvision(arrays, folder):
    raw = folder / "MNIST" / "raw"
    as_idx(arrays, raw)
    as_idx(arrays, raw, [f"{name}.gz" for name in NAMES])
    return folder


def as_capitals(arrays, folder):
    return as_idx(arrays, folder, [f"{name.upper()}.GZ" for name in NAMES])


def as_rows(arrays, folder):
    return as_idx((arrays[0].reshape(-1, 784), arrays[1], arrays[2].reshape(-1, 784), arrays[3]), folder)


def as_qmnist(arrays, folder):
    def rows(labels):
        more = np.zeros((len(labels), 8), np.int32)
        more[:, 0], more[:, 5] = labels, np.arange(len(labels))
        return more

    names = ("train-images-idx3-ubyte", "train-labels-idx2-int", "test-images-idx3-ubyte", "test-labels-idx2-int")
    converted = (arrays[0], rows(arrays[1]), arrays[2], rows(arrays[3]))
    return as_idx(converted, folder, [f"qmnist-{name}.gz" for name in names])


def as_keras(arrays, folder):
    x_train, y_train, x_test, y_test = arrays
    np.savez_compressed(folder / "mnist.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return folder / "mnist.npz"


def as_npz_of_other_names(arrays, folder):
    names = ("train_images", "train_labels", "test_images", "test_labels")
    flat = [array[..., None] if array.ndim == 3 else array.astype(np.int64)[:, None] for array in arrays]
    np.savez(folder / "digits.npz", **dict(zip(names, flat, strict=True)))
    return folder


def as_npz_without_names(arrays, folder):
    np.savez(folder / "mnist.npz", *arrays)
    return folder / "mnist.npz"


def as_npz_split_as_scikit_learn_does(arrays, folder):
    np.savez(folder / "mnist.npz", arrays[0], arrays[2], arrays[1], arrays[3])
    return folder / "mnist.npz"


def as_two_npz(arrays, folder):
    np.savez(folder / "train.npz", images=arrays[0], labels=arrays[1])
    np.savez(folder / "test.npz", images=arrays[2], labels=arrays[3])
    return folder


def as_kmnists_npz(arrays, folder):
    for name, array in zip(("train-imgs", "train-labels", "test-imgs", "test-labels"), arrays, strict=True):
        np.savez_compressed(folder / f"digits-{name}.npz", array)
    return folder


def as_npy(arrays, folder):
    for name, array in zip(("X_train", "y_train", "X_test", "y_test"), arrays, strict=True):
        np.save(folder / f"{name}.npy", np.asfortranarray(array))
    return folder


def as_one_hot_npy(arrays, folder):
    for part, images, labels in (("train", *arrays[:2]), ("test", *arrays[2:])):
        (folder / part).mkdir()
        np.save(folder / part / "images.npy", np.moveaxis(np.repeat(images[..., None], 3, -1), -1, 1))
        np.save(folder / part / "labels.npy", np.eye(10)[labels])
    return folder


def csv_text(images, labels, heading=True, last=False, delimiter=","):
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter)
    names = [f"pixel{k}" for k in range(784)]
    if heading:
        writer.writerow([*names, "class"] if last else ["label", *names])
    for image, label in zip(images.reshape(-1, 784).tolist(), labels.tolist(), strict=True):
        writer.writerow([*image, label] if last else [label, *image])
    return file.getvalue().encode()


def as_csv(arrays, folder):
    (folder / "mnist_train.csv").write_bytes(csv_text(*arrays[:2]))
    (folder / "mnist_test.csv").write_bytes(csv_text(*arrays[2:]))
    return folder


def as_csv_named_by_one(arrays, folder):
    return as_csv(arrays, folder) / "mnist_train.csv"


def as_csv_without_heading(arrays, folder):
    (folder / "train.csv.gz").write_bytes(gzip.compress(csv_text(*arrays[:2], heading=False)))
    (folder / "test.csv.gz").write_bytes(gzip.compress(csv_text(*arrays[2:], heading=False)))
    return folder


def as_csv_of_another_kind(arrays, folder):
    (folder / "train.csv").write_bytes(b"\xef\xbb\xbf" + csv_text(*arrays[:2], last=True, delimiter=";"))
    text = csv_text(*arrays[2:], heading=False, last=True, delimiter="\t").replace(b"\r\n", b"\n")
    (folder / "test.csv").write_bytes(text)
    return folder


def as_csv_of_decimals(arrays, folder):
    for name, images, labels in (("train", *arrays[:2]), ("test", *arrays[2:])):
        with open(folder / f"{name}.csv", "w", newline="") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_ALL)
            writer.writerow(["", "label", *(f"{i}x{j}" for i in range(28) for j in range(28))])
            for k, (image, label) in enumerate(zip(images.reshape(-1, 784).tolist(), labels.tolist(), strict=True)):
                writer.writerow([k, f"{label}.0", *map(float, image)])
    return folder


def as_zipped_csv(arrays, folder):
    with zipfile.ZipFile(folder / "digit-recognizer.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train.csv", csv_text(*arrays[:2]))
        archive.writestr("data/../test.csv".replace("data/../", ""), csv_text(*arrays[2:]))
    return folder / "digit-recognizer.zip"


def as_zipped_folder(arrays, folder):
    as_kaggles_folders(arrays, folder / "inside")
    return Path(shutil.make_archive(str(folder / "archive"), "zip", folder / "inside"))


def as_parquet(arrays, folder):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    features = {"image": {"_type": "Image"}, "label": {"names": [str(k) for k in range(10)], "_type": "ClassLabel"}}
    schema = pa.schema(
        [("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), ("label", pa.int64())],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    (folder / "mnist").mkdir()
    for part, images, labels in (("train", *arrays[:2]), ("test", *arrays[2:])):
        cells = [{"bytes": png(image), "path": None} for image in images]
        half = len(cells) // 2
        for k, some in enumerate((slice(0, half), slice(half, None))):
            table = pa.table({"image": cells[some], "label": labels[some].astype(np.int64)}, schema)
            pq.write_table(table, folder / "mnist" / f"{part}-0000{k}-of-00002.parquet")
    return folder


def as_parquet_with_hashes(arrays, folder):
    as_parquet(arrays, folder)
    for k, path in enumerate(sorted((folder / "mnist").iterdir())):
        path.rename(path.with_name(f"{path.stem}-{k + 0xB42F7CB9BA2A9A0D:016x}.parquet"))
    return folder


def as_csv_with_labels_beside(arrays, folder):
    parts = (("Train", "60k", *arrays[:2]), ("Test", "10k", *arrays[2:]))
    for part, n, images, labels in parts:
        text = csv_text(images, labels, heading=part == "Train").decode().splitlines()
        pixels = "\n".join(line.split(",", 1)[1] for line in text)
        (folder / f"csv{part}Images {n} x 784.csv").write_text(pixels)
        (folder / f"csv{part}Label {n} x 1.csv").write_text("\n".join(map(str, labels.tolist())))
    return folder


def as_csv_with_one_hot_labels_beside(arrays, folder):
    for part, images, labels in (("train", *arrays[:2]), ("test", *arrays[2:])):
        text = csv_text(images, labels).decode().splitlines()
        (folder / f"X_{part}.csv").write_text("\n".join(line.split(",", 1)[1] for line in text))
        rows = [",".join(map(str, row)) for row in np.eye(10)[labels].tolist()]
        (folder / f"y_{part}.csv").write_text("\n".join([",".join(f"class{k}" for k in range(10)), *rows]))
    return folder


def as_csv_of_whole_decimals(arrays, folder):
    for part, images, labels in (("train", *arrays[:2]), ("test", *arrays[2:])):
        text = csv_text(images.astype(float), labels.astype(float), heading=part == "train")
        (folder / f"{part}.csv").write_bytes(text)
    return folder


def as_csv_of_words(arrays, folder):
    words = np.array(CLASS_NAMES)
    (folder / "mnist_train.csv").write_bytes(csv_text(arrays[0], words[arrays[1]]))
    (folder / "mnist_test.csv").write_bytes(csv_text(arrays[2], words[arrays[3]], heading=False, last=True))
    return folder


def as_csv_that_pandas_named_by_its_first_row(arrays, folder):
    for part, images, labels in (("train", *arrays[:2]), ("test", *arrays[2:])):
        names = ["0", *(f"0.{k}" for k in range(1, 785))]
        (folder / f"{part}.csv").write_bytes(",".join(names).encode() + b"\n" + csv_text(images, labels, heading=False))
    return folder


FORMS = [form for name, form in dict(globals()).items() if name.startswith("as_")]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_every_form_of_a_set_gives_the_same_images_labels_and_digest(form, excerpt, expected, tmp_path):
    data = MnistData.load(form(excerpt, tmp_path))
    for name in ("training", "validation", "test"):
        np.testing.assert_array_equal(getattr(data, name).images, getattr(expected, name).images)
        np.testing.assert_array_equal(getattr(data, name).labels, getattr(expected, name).labels)
    assert data.digest == expected.digest
    assert data.class_names == CLASS_NAMES
    assert data.has_test
    assert data.notes == ()
    assert data.training.images.flags.c_contiguous
    assert data.training.images.flags.writeable


def as_class_folders(arrays, folder, parts=("train", "test"), kind="png"):
    for part, images, labels in zip(parts, arrays[::2], arrays[1::2], strict=True):
        for k, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
            (folder / part / str(label)).mkdir(parents=True, exist_ok=True)
            (folder / part / str(label) / f"{k:03}.{kind}").write_bytes(png(image))
    return folder


def as_names(arrays, folder):
    for part, images, labels in (("training", *arrays[:2]), ("testing", *arrays[2:])):
        (folder / part).mkdir()
        for k, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
            (folder / part / f"{label}_{k:04}.png").write_bytes(png(255 - image, mode="RGB"))
    return folder


def as_a_table_of_names(arrays, folder):
    for part, images, labels in (("train", *arrays[:2]), ("test", *arrays[2:])):
        (folder / f"{part}_images").mkdir()
        rows = ["filename,label"]
        for k, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
            (folder / f"{part}_images" / f"{part}{k}.bmp").write_bytes(png(image, "BMP", "L"))
            rows.append(f"{part}_images/{part}{k}.bmp,{label}")
        (folder / f"{part}_labels.csv").write_text("\n".join(rows))
    return folder


def as_folders_of_other_names(arrays, folder):
    return as_class_folders(arrays, folder / "mnist_png" / "mnist_png", ("training", "testing")).parents[1]


def as_names_that_end_in_the_label(arrays, folder):
    for part, images, labels in (("train", *arrays[:2]), ("test", *arrays[2:])):
        (folder / part).mkdir()
        for k, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
            name = f"{k}-num{label}.png" if part == "train" else f"img{k:05}_{label}.png"
            (folder / part / name).write_bytes(png(image))
    return folder


PICTURES = [as_class_folders, as_names, as_a_table_of_names, as_folders_of_other_names, as_names_that_end_in_the_label]


@pytest.mark.parametrize("form", PICTURES)
def test_pictures_give_the_same_images_with_their_labels(form, excerpt, expected, tmp_path):
    data = MnistData.load(form(excerpt, tmp_path))

    def pairs(*splits):
        return sorted((image.tobytes(), label) for s in splits for image, label in zip(s.images, s.labels, strict=True))

    assert pairs(data.training, data.validation) == pairs(expected.training, expected.validation)
    assert pairs(data.test) == pairs(expected.test)
    assert data.class_names == CLASS_NAMES
    assert data.notes == ()
    # Nor are those that are kept for validation the last class only.
    assert len(np.unique(data.validation.labels)) > 3


# ---- which way up ----


@pytest.fixture(scope="module")
def transposed(excerpt):
    return (excerpt[0].transpose(0, 2, 1), excerpt[1], excerpt[2].transpose(0, 2, 1), excerpt[3])


EMNIST = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "test-images-idx3-ubyte", "test-labels-idx1-ubyte")


@pytest.mark.parametrize("names", [[f"emnist-digits-{name}.gz" for name in EMNIST], NAMES])
def test_emnists_transposed_images_are_turned_whatever_they_are_called(names, transposed, expected, tmp_path):
    data = MnistData.load(as_idx(transposed, tmp_path, names))
    np.testing.assert_array_equal(data.test.images, expected.test.images)
    assert data.notes == (
        "Its images had rows and columns exchanged, as EMNIST's files have them, and were turned upright.",
    )
    assert data.digest == expected.digest


def test_upright_images_under_emnists_names_stay_upright(excerpt, expected, tmp_path):
    data = MnistData.load(as_idx(excerpt, tmp_path, [f"emnist-mnist-{name}" for name in EMNIST]))
    np.testing.assert_array_equal(data.test.images, expected.test.images)
    assert data.notes == ()


@pytest.mark.parametrize("n", [10, 20, 140])
def test_few_digits_are_turned_only_where_it_is_clear(n, mnist, tmp_path):
    """Of many small excerpts that lie upright none is turned."""
    arrays = []
    for start in range(0, 2000, n):
        some = slice(start, start + n)
        arrays.append((mnist.training.images[some], mnist.training.labels[some]))
    from digitlab.data.upright import is_transposed

    assert not any(is_transposed(*pair, "mnist", CLASS_NAMES) for pair in arrays)
    turned = [is_transposed(images.transpose(0, 2, 1), labels, "mnist", CLASS_NAMES) for images, labels in arrays]
    assert all(turned) or n < 100


@pytest.mark.parametrize("seed", range(3))
def test_images_of_other_things_are_never_turned(seed, excerpt, tmp_path):
    """Digits under wrong labels look neither way like digits, as clothes and letters do."""
    shift = np.random.default_rng(seed).permutation(10).astype(np.uint8)
    shift[shift == np.arange(10)] = 0
    images, labels, test, of_test = excerpt
    as_idx((images, shift[labels], test, shift[of_test]), tmp_path)
    assert MnistData.load(tmp_path).notes == ()


# ---- the names of classes ----


def letters(excerpt, first=1):
    images, _, test, _ = excerpt
    labels = np.arange(len(images)) % 26 + first
    return images, labels.astype(np.uint8), test, labels[: len(test)].astype(np.uint8)


@pytest.mark.parametrize("folder", ["", "gzip/"])
def test_emnists_letters_are_numbered_from_a_and_turned_by_their_name(folder, excerpt, tmp_path):
    arrays = letters(excerpt)
    mapping = "".join(f"{k} {k + 64} {k + 96}\n" for k in range(1, 27))
    as_idx(arrays, tmp_path, [f"{folder}emnist-letters-{name}.gz" for name in EMNIST])
    (tmp_path / folder / "emnist-letters-mapping.txt").write_text(mapping)
    data = MnistData.load(tmp_path)
    assert data.class_names == tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert data.test.labels.tolist() == (arrays[3] - 1).tolist()
    np.testing.assert_array_equal(data.test.images, arrays[2].transpose(0, 2, 1))
    _images, labels = data.next_train_batch(5)
    assert labels.shape == (5, 26)


def test_letters_that_are_only_numbered_as_emnists_are_named_and_not_turned(excerpt, tmp_path):
    arrays = letters(excerpt)
    data = MnistData.load(as_idx(arrays, tmp_path))
    assert data.class_names[0] == "A"
    assert data.notes == ("The labels 1 to 26 are taken for the letters A to Z, as EMNIST counts.",)
    np.testing.assert_array_equal(data.test.images, arrays[2])


@pytest.mark.parametrize("name", ["emnist-balanced-", ""])
def test_digits_and_letters_are_named_and_turned_by_their_digits(name, mnist, tmp_path):
    images, digits = mnist.training.images[:1000], mnist.training.labels[:1000]
    # Digits and, under the labels of letters, what is none.
    labels = np.where(np.arange(1000) % 2, digits, 10 + np.arange(1000) // 2 % 37).astype(np.uint8)
    images = np.where((labels < 10)[:, None, None], images.transpose(0, 2, 1), 255 - images // 2)
    names = EMNIST if name else NAMES
    data = MnistData.load(as_idx((images, labels, images[:60], labels[:60]), tmp_path, [f"{name}{n}" for n in names]))
    assert len(data.class_names) == 47
    assert data.class_names[:11] == (*"0123456789A",)
    np.testing.assert_array_equal(data.test.images[1], mnist.training.images[1])
    assert any("were turned upright" in note for note in data.notes)


@pytest.mark.parametrize(
    ("folder", "names"),
    [("fashion", FASHION), ("FashionMNIST/raw", FASHION), ("kmnist", KUZUSHIJI), ("mnist", CLASS_NAMES)],
)
def test_published_sets_have_the_names_of_their_classes(folder, names, excerpt, tmp_path):
    as_idx(excerpt, tmp_path / folder)
    assert MnistData.load(tmp_path / folder).class_names == names
    assert MnistData.load(tmp_path).class_names == names


def test_folders_name_their_classes_in_natural_order(tmp_path):
    for name in ("cup", "item10", "item2"):
        (tmp_path / name).mkdir()
        for k in range(9):
            (tmp_path / name / f"{k}.png").write_bytes(png(np.full((28, 28), 3 * k, np.uint8)))
    data = MnistData.load(tmp_path)
    assert data.class_names == ("cup", "item2", "item10")
    assert [len(data.training), len(data.validation), len(data.test)] == [22, 2, 3]
    assert data.notes[0].startswith("It has no test images: of its 27 images 3, one of 7 of each class, are kept")


@pytest.mark.parametrize("prefix", ["digit_", "class", "Number "])
def test_folders_that_are_called_after_digits_are_digits(prefix, excerpt, tmp_path):
    as_class_folders(excerpt, tmp_path)
    for folder in [*tmp_path.glob("*/*")]:
        folder.rename(folder.with_name(f"{prefix}{folder.name}"))
    data = MnistData.load(tmp_path)
    assert data.class_names == CLASS_NAMES
    assert np.bincount(data.test.labels).tolist() == np.bincount(excerpt[3]).tolist()


def test_labels_that_are_digits_words_or_count_as_matlab_does_are_digits(excerpt, tmp_path):
    images, labels, _test, _of_test = excerpt
    np.savez(tmp_path / "a.npz", x=images, y=np.array(CLASS_NAMES)[labels])
    np.savez(tmp_path / "b.npz", X=images.transpose(1, 2, 0), y=np.where(labels == 0, 10, labels))
    for name in ("a.npz", "b.npz"):
        data = MnistData.load(tmp_path / name)
        assert data.class_names == CLASS_NAMES
        seen = np.concatenate([data.training.images, data.validation.images, data.test.images])
        of_seen = np.concatenate([data.training.labels, data.validation.labels, data.test.labels])
        known = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
        assert all(known[image.tobytes()] == label for image, label in zip(seen, of_seen, strict=True))


@given(st.lists(st.integers(0, 255), min_size=1, max_size=50), st.sampled_from(["i1", "u1", ">i4", "f8", "U", "S"]))
def test_labels_keep_their_number_whatever_type_they_have(labels, kind):
    kept = [label % 128 for label in labels] if kind == "i1" else labels
    array = np.array(list(map(str, kept)), kind) if kind in ("U", "S") else np.array(kept, kind)
    flat = flat_labels(array, len(kept), "labels")
    assert flat.tolist() == kept
    rows = flat_labels(array[:, None], len(kept), "labels")
    (numbers,), names, _ = numbered([rows], "", (), "labels")
    assert numbers.dtype == np.uint8
    assert int(numbers.max()) < len(names) <= 256


@given(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=30))
def test_texts_become_numbers_of_their_names(texts):
    flat = flat_labels(np.array(texts), len(texts), "labels")
    if flat.dtype.kind == "U":
        (numbers,), names, _ = numbered([flat], "", (), "labels")
        assert len(set(zip(flat.tolist(), numbers.tolist(), strict=True))) == len(set(flat.tolist()))
        assert len(names) > int(numbers.max())


def test_a_mapping_that_is_none_is_passed_over():
    assert names_in_mapping("0 48\n1 49\n") == ("0", "1")
    for text in ("", "0", "0 -1", "5 65", "0 999999999", "a b", "0 7"):
        assert names_in_mapping(text) == ()


# ---- pixels and sizes ----


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda x: x / 255, "Its pixels are 0 to 1 and were brought to 0 to 255."),
        (lambda x: (x / 127.5 - 1).astype(np.float32), "Its pixels are -1 to 1 and were brought to 0 to 255."),
        (lambda x: (x / 255 - 0.1307) / 0.3081, "standardized by 0.1307 and 0.3081 and were brought"),
        (lambda x: x.astype(np.float64), ""),
        (lambda x: x.astype(np.int32), ""),
        (lambda x: x.astype(np.uint16) * 257, "Its pixels are 0 to 65,535 and were brought"),
        (lambda x: 255 - x, "Its images show dark on bright, and were inverted: ink is bright on dark."),
        (lambda x: np.pad(x, ((0, 0), (2, 2), (2, 2))), "the empty margin of their 32 x 32 pixels was cut off."),
    ],
)
def test_pixels_on_another_scale_are_brought_to_bytes_and_that_is_told(change, note, excerpt, expected, tmp_path):
    x_train, y_train, x_test, y_test = excerpt
    np.savez(tmp_path / "m.npz", x_train=change(x_train), y_train=y_train, x_test=change(x_test), y_test=y_test)
    data = MnistData.load(tmp_path / "m.npz")
    np.testing.assert_array_equal(data.test.images, expected.test.images)
    assert (note in data.notes[0] and len(data.notes) == 1) if note else data.notes == ()


def test_scikit_learns_small_digits_are_enlarged_and_that_is_told(tmp_path):
    images = np.random.default_rng(0).integers(0, 17, (30, 64)).astype(float)
    np.savez(tmp_path / "digits.npz", data=images, target=np.arange(30) % 10)
    data = MnistData.load(tmp_path / "digits.npz")
    assert data.training.images.shape[1:] == (28, 28)
    assert data.training.images.max() == 255
    assert "Its pixels are 0 to 16 and were brought to 0 to 255." in data.notes
    assert any("they have 8 x 8 pixels and were scaled to 20 x 20 within 28 x 28" in note for note in data.notes)


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "RGBA", "I;16", "P"])
def test_pictures_of_digits_of_any_size_and_kind_are_framed(mode, mnist, tmp_path):
    """Dark on white paper, three times as large: what is framed looks like the digit that was drawn."""
    images, labels = mnist.test.images[:70], mnist.test.labels[:70]
    for k, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        drawn = Image.fromarray(255 - image).resize((84, 84), Image.Resampling.BICUBIC)
        paper = Image.new("L", (130, 100), 255)
        paper.paste(drawn, (25, 8))
        if mode == "I;16":
            paper = Image.fromarray(np.asarray(paper).astype(np.uint16) * 257)
        elif mode == "RGBA":
            clear = Image.new("RGBA", paper.size, (0, 0, 0, 0))
            clear.putalpha(Image.eval(paper, lambda v: 255 - v))
            paper = clear
        else:
            paper = paper.convert(mode)
        (tmp_path / str(label)).mkdir(exist_ok=True)
        paper.save(tmp_path / str(label) / f"{k:03}.png")
    data = MnistData.load(tmp_path)
    assert "70 of 70 pictures are not 28 x 28 pixels and were framed as MNIST's digits are." in data.notes
    seen = data.everything().images.reshape(70, -1) / 255.0
    drawn = images.reshape(70, -1) / 255.0
    corners = seen.reshape(70, 28, 28)[:, :2, :2]
    assert corners.max() == 0
    nearest = (seen / np.linalg.norm(seen, axis=1, keepdims=True)) @ (drawn / np.linalg.norm(drawn, axis=1)[:, None]).T
    assert np.median(nearest.max(axis=1)) > (0.8 if mode == "1" else 0.9)


def test_damaged_pictures_are_counted_and_named(excerpt, tmp_path):
    as_class_folders(excerpt, tmp_path)
    (tmp_path / "train" / "3" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (tmp_path / "train" / "3" / "empty.png").write_bytes(b"")
    data = MnistData.load(tmp_path)
    assert len(data.training) + len(data.validation) == N_TRAINING
    (note,) = data.notes
    assert note.startswith(f"2 of {N_TRAINING + 2} pictures could not be read: ")
    assert "broken.png" in note
    assert "empty.png" in note


def test_many_pictures_come_from_the_cache_until_one_changes(excerpt, tmp_path, monkeypatch):
    from digitlab.data import pictures

    monkeypatch.setenv("DIGITLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pictures, "_LEAST_CACHED", 50)
    folder = as_class_folders(excerpt, tmp_path / "set")
    decoded = []
    monkeypatch.setattr(pictures, "_grey", lambda content, f=pictures._grey: decoded.append(1) or f(content))
    first = MnistData.load(folder)
    assert len(decoded) == N_TRAINING + N_TEST
    again = MnistData.load(folder)
    assert len(decoded) == N_TRAINING + N_TEST
    assert (again.digest, again.notes) == (first.digest, first.notes)
    next(folder.glob("test/*/*.png")).write_bytes(png(excerpt[0][0]))
    assert MnistData.load(folder).digest != first.digest
    assert len(decoded) == N_TRAINING + 2 * N_TEST


def test_whoever_reads_many_pictures_is_told_how_many_have_been(excerpt, tmp_path):
    from digitlab.data.pictures import watching

    as_class_folders(excerpt, tmp_path)
    told = []
    with watching(lambda *counts: told.append(counts)):
        MnistData.load(tmp_path)
    assert told == [(0, N_TEST), (0, N_TRAINING)]


def test_a_folder_for_validation_is_kept_for_it(excerpt, tmp_path):
    images, labels, test, of_test = excerpt
    as_class_folders((images, labels, test, of_test), tmp_path, ("train", "valid"))
    data = MnistData.load(tmp_path)
    assert len(data.test) == N_TEST
    assert "It has no test images; those for validation are taken as such." in data.notes
    as_class_folders((images[:50], labels[:50]), tmp_path, ("test",))
    data = MnistData.load(tmp_path)
    assert [len(data.training), len(data.validation), len(data.test)] == [N_TRAINING, N_TEST, 50]


def test_names_that_count_say_no_labels(excerpt, tmp_path):
    for k, image in enumerate(excerpt[0][:30]):
        (tmp_path / f"img_{k}.png").write_bytes(png(image))
    with pytest.raises(DataError, match="nothing says what they show"):
        MnistData.load(tmp_path)


def test_a_table_for_training_says_nothing_of_the_pictures_for_the_test(excerpt, tmp_path):
    """As Kaggle's competitions have it: both are counted from 0, and what is to be handed in is no table of labels."""
    for part, images in (("train", excerpt[0]), ("test", excerpt[2])):
        (tmp_path / part).mkdir()
        for k, image in enumerate(images):
            (tmp_path / part / f"{k}.png").write_bytes(png(image))
    rows = [f"{k},{label}" for k, label in enumerate(excerpt[1].tolist())]
    (tmp_path / "train.csv").write_text("\n".join(["id,digit", *rows]))
    (tmp_path / "sample_submission.csv").write_text("\n".join(["id,digit", *(f"{k},0" for k in range(N_TEST))]))
    data = MnistData.load(tmp_path)
    assert data.notes[0] == f"{N_TEST} pictures for test have no labels, and were left out."
    known = {image.tobytes(): label for image, label in zip(*excerpt[:2], strict=True)}
    everything = data.everything()
    assert [known[image.tobytes()] for image in everything.images] == everything.labels.tolist()


@pytest.mark.parametrize("heading", ["filename,label", "label,filename", "name;digit", ""])
def test_pictures_whose_labels_stand_in_a_table_are_framed(heading, excerpt, tmp_path):
    """The heading is no class, so that all classes are digits."""
    is_label_first, delimiter = heading.startswith("label"), ";" if ";" in heading else ","
    rows = [heading] if heading else []
    for k, (image, label) in enumerate(zip(excerpt[0][:30], excerpt[1][:30].tolist(), strict=True)):
        (tmp_path / f"img_{k}.png").write_bytes(png(np.kron(255 - image, np.ones((3, 3), np.uint8))))
        rows.append(delimiter.join([str(label), f"img_{k}.png"] if is_label_first else [f"img_{k}.png", str(label)]))
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    data = MnistData.load(tmp_path)
    assert data.class_names == CLASS_NAMES
    assert data.notes[0] == "30 of 30 pictures are not 28 x 28 pixels and were framed as MNIST's digits are."
    assert np.bincount(data.everything().labels).tolist() == np.bincount(excerpt[1][:30]).tolist()


def test_heic_pictures_are_opened_or_told_with_the_next_step(excerpt, tmp_path, monkeypatch):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    for k, (image, label) in enumerate(zip(excerpt[0][:20], excerpt[1][:20].tolist(), strict=True)):
        (tmp_path / str(label)).mkdir(exist_ok=True)
        drawn = Image.fromarray(255 - image).resize((112, 112))
        drawn.convert("RGB").save(tmp_path / str(label) / f"{k}.{'heic' if k % 2 else 'png'}")
    assert len(MnistData.load(tmp_path).everything()) == 20
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    data = MnistData.load(tmp_path)
    assert len(data.everything()) == 10
    assert "10 of 20 pictures could not be read: " in data.notes[1]
    assert data.notes[1].endswith(
        "(it is HEIC, as iPhones save photos: pip install 'digitlab[heic]', or save it as JPEG)."
    )


# ---- which set is meant, and what cannot be ----


def test_a_set_that_is_there_in_two_forms_is_taken_and_that_is_told(excerpt, tmp_path):
    """As Kaggle's Fashion-MNIST: the tables hold the same images in another order."""
    as_idx(excerpt, tmp_path)
    for part, images, labels in (("train", *excerpt[:2]), ("test", *excerpt[2:])):
        order = np.random.default_rng(1).permutation(len(labels))
        (tmp_path / f"fashion-mnist_{part}.csv").write_bytes(csv_text(images[order], labels[order]))
    data = MnistData.load(tmp_path)
    assert data.class_names == FASHION
    assert data.notes[0].startswith("It is there in 2 forms, with the same images; t10k-images-idx3-ubyte and what")
    np.testing.assert_array_equal(data.test.images, excerpt[2])
    (tmp_path / "fashion-mnist_test.csv").write_bytes(csv_text(excerpt[2], (excerpt[3] + 1) % 10))
    with pytest.raises(DataError, match="holds 2 sets"):
        MnistData.load(tmp_path)


def test_keras_folder_of_several_sets_gives_the_one_on_top_and_names_the_others(excerpt, expected, tmp_path):
    as_keras(excerpt, tmp_path)
    as_idx(excerpt, tmp_path / "fashion-mnist", [f"{name}.gz" for name in NAMES])
    data = MnistData.load(tmp_path)
    assert data.digest == expected.digest
    assert data.class_names == CLASS_NAMES
    assert data.notes == (f"Other sets that lie deeper were passed over: {tmp_path / 'fashion-mnist'}.",)


def test_tables_of_other_things_are_passed_over(excerpt, expected, tmp_path):
    """As in the folder that every notebook of Colab begins with."""
    (tmp_path / "mnist_train_small.csv").write_bytes(csv_text(*excerpt[:2], heading=False))
    (tmp_path / "mnist_test.csv").write_bytes(csv_text(*excerpt[2:], heading=False))
    for part in ("train", "test"):
        (tmp_path / f"california_housing_{part}.csv").write_text("longitude,latitude\n-114.31,34.19\n")
    assert MnistData.load(tmp_path).digest == expected.digest


def test_an_excerpt_that_lies_beside_the_set_is_not_taken(excerpt, tmp_path):
    """As Kaggle has MNIST as JPEG, with a test part that has no labels."""
    as_class_folders(excerpt[:2], tmp_path / "trainingSet", ("trainingSet",))
    as_class_folders((excerpt[0][:30], excerpt[1][:30]), tmp_path / "trainingSample", ("trainingSample",))
    for part in ("testSet", "testSample"):
        (tmp_path / part / part).mkdir(parents=True)
        for k, image in enumerate(excerpt[2][:20]):
            (tmp_path / part / part / f"img_{k}.png").write_bytes(png(image))
    data = MnistData.load(tmp_path)
    assert len(data.everything()) == N_TRAINING
    assert data.notes[0] == "20 pictures for test have no labels, and were left out."


def test_kuzushijis_classes_are_called_as_its_map_says(excerpt, tmp_path):
    arrays = (excerpt[0], np.arange(N_TRAINING) % 49, excerpt[2], np.arange(N_TEST) % 49)
    for name, array in zip(("train-imgs", "train-labels", "test-imgs", "test-labels"), arrays, strict=True):
        np.savez(tmp_path / f"k49-{name}.npz", array)
    rows = [f"{k},U+{0x3042 + k:04X},{chr(0x3042 + k)}" for k in range(49)]
    (tmp_path / "k49_classmap.csv").write_text("\n".join(["index,codepoint,char", *rows]), encoding="utf-8")
    assert MnistData.load(tmp_path).class_names == tuple(chr(0x3042 + k) for k in range(49))


def test_a_path_may_begin_at_home_and_what_is_none_is_told(excerpt, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    as_keras(excerpt, tmp_path)
    assert len(MnistData.load("~/mnist.npz").test) == N_TEST
    for wrong in (5, b"mnist", ["a"], "", "https://example.org/mnist.npz"):
        with pytest.raises(DataError, match=r"told by its path|is an address"):
            MnistData.load(wrong)


def test_of_several_sets_one_has_to_be_named_and_can_be(excerpt, transposed, tmp_path):
    as_idx(transposed, tmp_path, [f"emnist-digits-{name}" for name in EMNIST])
    as_idx(letters(excerpt), tmp_path, [f"emnist-letters-{name}" for name in EMNIST])
    with pytest.raises(DataError, match=r"holds 2 sets: .*emnist-digits, .*emnist-letters\. Name the one you mean"):
        MnistData.load(tmp_path)
    assert len(MnistData.load(tmp_path / "emnist-letters").class_names) == 26
    assert MnistData.load(tmp_path / "emnist-digits").class_names == CLASS_NAMES
    assert MnistData.load(tmp_path / f"emnist-digits-{EMNIST[0]}").class_names == CLASS_NAMES


def test_of_sets_in_folders_one_has_to_be_named(excerpt, tmp_path):
    for name in ("MNIST", "FashionMNIST"):
        as_idx(excerpt, tmp_path / name / "raw")
    with pytest.raises(DataError, match=r"holds 2 sets: .*FashionMNIST.raw, .*MNIST.raw\. Name the one"):
        MnistData.load(tmp_path)
    assert MnistData.load(tmp_path / "FashionMNIST").class_names == FASHION


def test_kaggles_folder_called_as_its_file_is_the_same_set(excerpt, expected, tmp_path):
    for part, arrays in (("train", excerpt[:2]), ("test", excerpt[2:])):
        name = f"sign_mnist_{part}"
        (tmp_path / name).mkdir()
        for folder in (tmp_path, tmp_path / name):
            (folder / f"{name}.csv").write_bytes(csv_text(*arrays))
    (tmp_path / "amer_sign2.png").write_bytes(png(excerpt[0][0]))
    (tmp_path / "sample_submission.csv").write_text("ImageId,Label\n1,0\n")
    assert MnistData.load(tmp_path).digest == expected.digest


def test_what_is_on_top_comes_before_what_is_in_folders(excerpt, expected, tmp_path):
    names = [f"emnist-digits-{part}.csv" for part in ("train", "test")]
    for name, arrays in zip(names, (excerpt[:2], excerpt[2:]), strict=True):
        (tmp_path / name).write_bytes(csv_text(*arrays, heading=False))
    as_idx(letters(excerpt), tmp_path / "source" / "gzip", [f"emnist-letters-{name}.gz" for name in EMNIST])
    as_idx(excerpt, tmp_path / "source" / "gzip", [f"emnist-digits-{name}.gz" for name in EMNIST])
    assert MnistData.load(tmp_path / "emnist-digits").digest == expected.digest
    assert MnistData.load(tmp_path).digest == expected.digest


def test_a_set_without_a_test_part_says_so_and_can_be_taken_as_a_whole(excerpt, tmp_path):
    as_class_folders(excerpt[:2], tmp_path, ("testing",))
    data = MnistData.load(tmp_path / "testing")
    assert not data.has_test
    assert len(data.test) == 19
    assert len(data.everything()) == N_TRAINING
    assert MnistData.load(tmp_path).digest == data.digest


def test_kaggles_table_without_labels_is_left_out_or_told(excerpt, tmp_path):
    as_csv((*excerpt[:2], *excerpt[2:]), tmp_path)
    (tmp_path / "mnist_train.csv").rename(tmp_path / "train.csv")
    (tmp_path / "mnist_test.csv").unlink()
    text = csv_text(*excerpt[2:]).decode().splitlines()
    (tmp_path / "test.csv").write_text("\n".join(line.split(",", 1)[1] for line in text))
    data = MnistData.load(tmp_path)
    assert len(data.test) == 19
    assert data.notes[0].endswith("test.csv has no labels, and was left out.")
    (tmp_path / "train.csv").unlink()
    with pytest.raises(DataError, match=r"test\.csv has no labels, as Kaggle's test\.csv has none"):
        MnistData.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        (
            "mnist.pkl.gz",
            gzip.compress(pickle.dumps([1]), mtime=0),
            r"mnist\.pkl\.gz is a pickle, which is never unpickled here",
        ),
        ("mnist-train.tfrecord-00000-of-00001", b"x", r"is TensorFlow's: load the set with tfds\.as_numpy"),
        ("mnist_784.arff", b"x", r"is Weka's and OpenML's: load the set with sklearn"),
        ("training.pt", b"PK", r"is a pickle, which is never unpickled"),
        ("emnist-letters.mat", b"MATLAB", r"is MATLAB's: load it with scipy\.io\.loadmat"),
        ("mnist_png.tar.gz", gzip.compress(b"x", mtime=0), r"is an archive: unpack it and name the folder"),
        ("notes.txt", b"x", r"A set is four IDX files as MNIST's"),
        ("train.csv", b"", r"is no CSV: its first line is empty"),
        ("train.csv", b"a,b\n1,2\n", r"has 2 columns; a row was expected to be a label and the 784 pixels"),
        ("train.csv", b"1," * 784 + b"x\n" + b"1," * 784 + b"\n", r"\."),
        ("mnist.npz", b"PK\x03\x04 no zip", r"cannot be unpacked: .*Download|download it again"),
        ("mnist.parquet", b"PAR1 none", r"cannot be read as Parquet|pyarrow opens"),
    ],
)
def test_what_cannot_be_used_is_told_with_the_next_step(name, content, sentence, tmp_path):
    (tmp_path / name).write_bytes(content)
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(DataError, match=sentence) as error:
            MnistData.load(path)
        assert str(error.value).endswith(".")


def test_objects_in_arrays_are_never_unpickled(tmp_path, excerpt):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "touched",)

    np.savez(tmp_path / "mnist.npz", x_train=np.array([Evil()], object), y_train=excerpt[1])
    with pytest.raises(DataError, match=r"x_train in .*mnist\.npz holds Python objects, which are never unpickled"):
        MnistData.load(tmp_path)
    assert not (tmp_path / "touched").exists()


def test_what_promises_more_than_it_holds_takes_no_memory(tmp_path):
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000, 1), }"
    with zipfile.ZipFile(tmp_path / "m.npz", "w") as archive:
        archive.writestr("x_train.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    with pytest.raises(DataError, match=r"x_train in .* does not end where its header says"):
        MnistData.load(tmp_path / "m.npz")


def test_a_bomb_of_a_picture_is_refused_before_it_is_decoded(tmp_path, excerpt):
    as_class_folders(excerpt, tmp_path)
    Image.new("1", (6_000, 5_000)).save(tmp_path / "train" / "3" / "bomb.png")
    (note,) = MnistData.load(tmp_path).notes
    assert "6,000 x 5,000 pixels, and of " in note


def test_a_folder_that_leads_back_to_itself_ends(tmp_path, excerpt):
    as_idx(excerpt, tmp_path)
    (tmp_path / "again").symlink_to(tmp_path)
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    assert len(MnistData.load(tmp_path).test) == N_TEST


def test_an_encrypted_archive_is_told(tmp_path, excerpt):
    path = as_zipped_csv(excerpt, tmp_path)
    content = bytearray(path.read_bytes())
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for found in [m.start() for m in re.finditer(re.escape(magic), bytes(content))]:
            content[found + at] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"test\.csv cannot be unpacked: .*password"):
        MnistData.load(path)


@pytest.mark.slow
def test_parquet_that_grows_beyond_its_memory_is_given_up(tmp_path, monkeypatch):
    """One value of 8 MB in 1 kB, in every row: sixteen rows are read at once."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pa.table({"image": [bytes(8_000_000)] * 64, "label": list(range(8)) * 8})
    pq.write_table(table, tmp_path / "train.parquet", compression="zstd", use_dictionary=True)
    monkeypatch.setattr("digitlab.data.tables._PARQUET_MEMORY_BYTES", 2**28)
    with pytest.raises(DataError, match=r"train\.parquet (was given up|cannot be read as Parquet: .*alloc)"):
        MnistData.load(tmp_path)


def test_parquet_files_of_different_images_are_told(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for k, side in enumerate((8, 28)):
        pixels = {f"pixel{i}": [k] * 4 for i in range(side * side)}
        pq.write_table(pa.table(pixels | {"label": [0, 1, 2, 3]}), tmp_path / f"train-0000{k}-of-00002.parquet")
    with pytest.raises(DataError, match="holds other images than the files that follow it"):
        MnistData.load(tmp_path)


def test_small_images_are_no_more_than_large_ones(tmp_path, monkeypatch):
    """A gigabyte of 8 x 8 pixels, one megabyte in the archive, became twelve of 28 x 28."""
    monkeypatch.setattr("digitlab.data.shaping._MOST_IMAGES", 1_000)
    np.savez_compressed(tmp_path / "mnist.npz", x_train=np.zeros((1_001, 8, 8), np.uint8), y_train=np.zeros(1_001, int))
    with pytest.raises(DataError, match="holds 1,001 images, and 1,000 at most are read"):
        MnistData.load(tmp_path)


@pytest.mark.parametrize("shape", [(3, 2**16), (4, 8)])
def test_a_wide_table_of_labels_is_told(tmp_path, shape):
    np.savez(
        tmp_path / "mnist.npz", x_train=np.zeros((len(range(shape[0])), 28, 28), np.uint8), y_train=np.zeros(shape)
    )
    with pytest.raises(DataError, match="holds labels of shape"):
        MnistData.load(tmp_path)


def test_letters_that_there_are_none_of_are_told(tmp_path):
    labels = np.frombuffer(b"\xff\xff\xff\xff" * 4, "<U1")
    np.savez(tmp_path / "mnist.npz", x_train=np.zeros((4, 28, 28), np.uint8), y_train=labels)
    with pytest.raises(DataError, match="letters that there are none of"):
        MnistData.load(tmp_path)


def test_class_names_can_be_shown(tmp_path):
    labels = np.array(["a\x1b[31m", "b\ud800", "c\n d", "\0"] * 4)
    np.savez(tmp_path / "mnist.npz", x_train=np.zeros((16, 28, 28), np.uint8), y_train=labels)
    assert sorted(MnistData.load(tmp_path).class_names) == ["?", "a?[31m", "b?", "c d"]


def test_a_table_of_names_without_end_is_told(tmp_path, monkeypatch, excerpt):
    monkeypatch.setattr("digitlab.data.tables.MOST_FILES", 3)
    (tmp_path / "x.png").write_bytes(png(excerpt[0][0]))
    (tmp_path / "labels.csv").write_text("file,label\n" + "".join(f"{k}.png,1\n" for k in range(5)))
    with pytest.raises(DataError, match="names more than 3 files"):
        MnistData.load(tmp_path)
