"""MnistData: the published digits in three splits, seeded batches, other sets, and images chosen by a seed."""

from __future__ import annotations

import gzip
import hashlib
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from digitlab.data import MnistData, as_float, one_hot, read_idx, write_idx
from digitlab.data.idx import read_idx_content
from digitlab.data.mnist import Split, choose_images
from digitlab.data.packaged import PACKAGED_FILES, PACKAGED_FOLDER
from digitlab.errors import ConfigError, DataError

#: The MD5 sums of the files that Yann LeCun published.
MD5 = {
    "train-images-idx3-ubyte.xz": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte.xz": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte.xz": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte.xz": "27ae3e4e09519cfbb04c329615203637",
}
NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch) -> None:
    monkeypatch.setenv("DIGITLAB_CACHE", str(tmp_path_factory.getbasetemp() / "mnist-cache"))


@pytest.fixture
def mnist() -> MnistData:
    return MnistData.load()


def digits(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (n, 28, 28), np.uint8), random.integers(0, 10, n, np.uint8)


@pytest.fixture
def own(tmp_path) -> Path:
    """A set of 40 training and 12 test images."""
    folder = tmp_path / "own"
    folder.mkdir()
    arrays = (*digits(40), *digits(12, seed=1))
    for name, array in zip(NAMES, arrays, strict=True):
        write_idx(folder / name, array)
    return folder


def small(seed: int = 0) -> MnistData:
    """Twenty images an image's pixels of which are all its index, in three splits of 11, 6 and 3."""
    images = np.broadcast_to(np.arange(20, dtype=np.uint8)[:, None, None], (20, 28, 28)).copy()
    labels = np.arange(20, dtype=np.uint8) % 10
    splits = {"training": slice(0, 11), "validation": slice(11, 17), "test": slice(17, 20)}
    made = [Split(name, images[part], labels[part]) for name, part in splits.items()]
    return MnistData(*made, source="indices", digest="", seed=seed)


def indices(batch: tuple[np.ndarray, np.ndarray]) -> list[int]:
    """Return which images of `small` a batch holds."""
    return np.rint(batch[0][:, 0, 0, 0] * 255).astype(int).tolist()


@pytest.mark.parametrize("file", PACKAGED_FILES, ids=lambda file: file.name)
def test_the_packaged_files_are_byte_for_byte_the_published_ones(file):
    content = read_idx_content(PACKAGED_FOLDER / file.name)
    assert len(content) == file.n_bytes
    assert hashlib.md5(content).hexdigest() == MD5[file.name]
    assert hashlib.sha256(content).hexdigest() == file.sha256


def test_the_attribution_names_what_the_licence_asks_for_and_the_files_as_they_are():
    text = (PACKAGED_FOLDER / "ATTRIBUTION.md").read_text(encoding="utf-8")
    for words in (
        "The MNIST database of handwritten digits",
        "Yann LeCun and Corinna Cortes",
        "http://yann.lecun.com/exdb/mnist/",
        "https://creativecommons.org/licenses/by-sa/3.0/",
        "recompressed with xz, bytes unchanged",
    ):
        assert words in text
    for file in PACKAGED_FILES:
        name = file.name.removesuffix(".xz")
        assert f"| {name} | {file.n_bytes:,} | {MD5[file.name]} | {file.sha256} |" in text
    assert "by-sa/3.0/" in (PACKAGED_FOLDER / "LICENSE-MNIST.txt").read_text(encoding="utf-8")


def test_mnist_has_its_published_sizes_and_classes(mnist):
    assert [len(split) for split in (mnist.training, mnist.validation, mnist.test)] == [55_000, 5_000, 10_000]
    labels = np.concatenate([mnist.training.labels, mnist.validation.labels])
    assert np.bincount(labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(mnist.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert mnist.training.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert mnist.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    # The mean and deviation by which most MNIST examples standardize.
    images = np.concatenate([mnist.training.images, mnist.validation.images])
    assert images.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert images.std() / 255 == pytest.approx(0.3081, abs=5e-5)


def test_the_splits_are_the_files_in_their_order(mnist):
    images = read_idx(PACKAGED_FOLDER / "train-images-idx3-ubyte.xz")
    np.testing.assert_array_equal(mnist.training.images, images[:55_000])
    np.testing.assert_array_equal(mnist.validation.images, images[55_000:])
    for split in (mnist.training, mnist.validation, mnist.test):
        assert split.images.dtype == split.labels.dtype == np.uint8
        assert split.images.flags.c_contiguous
        assert split.images.flags.writeable
        assert split.labels.flags.writeable
    assert [mnist.training.name, mnist.validation.name, mnist.test.name] == ["training", "validation", "test"]
    assert mnist.source == "MNIST, packaged"
    assert re.fullmatch("[0-9a-f]{64}", mnist.digest)
    assert "55,000 training" in repr(mnist)


def test_a_batch_is_normalized_images_and_one_hot_labels(mnist):
    for next_batch in (mnist.next_train_batch, mnist.next_validation_batch, mnist.next_test_batch):
        images, labels = next_batch(512)
        assert (images.shape, images.dtype) == ((512, 28, 28, 1), np.float32)
        assert (labels.shape, labels.dtype) == ((512, 10), np.float32)
        assert (images.min(), images.max()) == (0, 1)
        np.testing.assert_array_equal(labels.sum(axis=1), 1)


def test_an_image_and_its_label_stay_together():
    data = small()
    images, labels = data.next_train_batch(11)
    np.testing.assert_array_equal(labels.argmax(axis=1), np.array(indices((images, labels))) % 10)


def test_batches_are_a_random_order_without_repetition_that_wraps_round():
    data = small()
    order = indices(data.next_train_batch(11))
    assert sorted(order) == list(range(11))
    assert order != sorted(order)
    again = [index for n in (4, 4, 4, 1, 30) for index in indices(data.next_train_batch(n))]
    assert again == (order * 4)[:43]
    assert indices(data.next_train_batch(1)) == [order[43 % 11]]


def test_each_split_has_its_own_order_and_place():
    data, other = small(), small()
    data.next_train_batch(5)
    for split in ("validation", "test"):
        assert indices(getattr(data, f"next_{split}_batch")(20)) == indices(getattr(other, f"next_{split}_batch")(20))
    assert sorted(indices(data.next_validation_batch(6))) == list(range(11, 17))
    assert sorted(indices(data.next_test_batch(3))) == [17, 18, 19]


def test_a_seed_says_the_order():
    assert indices(small(3).next_train_batch(11)) == indices(small(3).next_train_batch(11))
    assert indices(small(3).next_train_batch(11)) != indices(small(4).next_train_batch(11))
    assert small(3).seed == 3


@pytest.mark.parametrize("n", [0, -1, 2.0, "5", None, True, np.float32(3)])
def test_a_batch_of_no_whole_number_of_images_is_refused(n):
    data = small()
    for next_batch in (data.next_train_batch, data.next_validation_batch, data.next_test_batch):
        with pytest.raises(ConfigError, match=r"images in a batch is .*; a whole number, 1 or more, was expected"):
            next_batch(n)


def test_any_kind_of_whole_number_will_do():
    assert len(small().next_train_batch(np.int64(3))[0]) == 3


@pytest.mark.parametrize(("name", "value"), [("seed", -1), ("seed", 0.5), ("validation_images", 0)])
def test_an_option_out_of_range_is_refused_by_name(name, value):
    with pytest.raises(ConfigError, match=f"^{name} is {value}; a whole number"):
        MnistData.load(**{name: value})


def test_as_float_divides_by_255():
    values = np.arange(256, dtype=np.uint8)
    images = np.broadcast_to(values[:, None, None], (256, 28, 28))
    floats = as_float(images)
    assert (floats.shape, floats.dtype) == ((256, 28, 28, 1), np.float32)
    np.testing.assert_array_equal(floats[:, 5, 7, 0], (values / 255).astype(np.float32))
    assert as_float(images[:0]).shape == (0, 28, 28, 1)


@pytest.mark.parametrize(
    "images",
    [np.zeros((1, 28, 28), np.float32), np.zeros((28, 28), np.uint8), np.zeros((1, 28, 28, 1), np.uint8), [[0]]],
)
def test_as_float_refuses_other_types_and_shapes(images):
    with pytest.raises(DataError, match=r"uint8 \(n, 28, 28\), 0-255, was expected"):
        as_float(images)


def test_one_hot_puts_a_one_in_the_place_of_the_label():
    np.testing.assert_array_equal(one_hot(np.arange(10, dtype=np.uint8)), np.eye(10, dtype=np.float32))
    np.testing.assert_array_equal(one_hot(np.array([300]), n_classes=301)[0, 299:], [0, 1])
    assert one_hot([]).shape == (0, 10)


def test_one_hot_names_the_first_label_out_of_range():
    with pytest.raises(DataError, match=r"labels holds 10 at position 1, but class numbers are 0 to 9"):
        one_hot([3, 10, 11])
    with pytest.raises(DataError, match=r"labels holds -1 at position 0"):
        one_hot([-1])
    with pytest.raises(DataError, match=r"labels holds 0\.5 at position 0"):
        one_hot([0.5])
    with pytest.raises(DataError, match=r"\(1, 2\)"):
        one_hot([[1, 2]])
    with pytest.raises(ConfigError, match="n_classes is 0"):
        one_hot([0], n_classes=0)


def test_an_own_set_is_read_from_a_folder(own):
    data = MnistData.load(own, validation_images=10)
    images, labels = digits(40)
    np.testing.assert_array_equal(data.training.images, images[:30])
    np.testing.assert_array_equal(data.validation.labels, labels[30:])
    np.testing.assert_array_equal(data.test.images, digits(12, seed=1)[0])
    assert data.source == str(own)
    assert data.training.images.flags.writeable


def test_mnist_in_a_folder_has_the_digest_of_the_packaged_set(mnist):
    assert MnistData.load(PACKAGED_FOLDER).digest == mnist.digest


def test_the_digest_tells_content_and_not_compression(own):
    digest = MnistData.load(own).digest
    plain = own / NAMES[3]
    (own / f"{NAMES[3]}.gz").write_bytes(gzip.compress(plain.read_bytes()))
    labels = read_idx(plain)
    plain.unlink()
    assert MnistData.load(own).digest == digest
    write_idx(plain, (labels + 1) % 10)
    assert MnistData.load(own).digest != digest


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
@pytest.mark.parametrize("variant", [("-idx", ".idx"), ("t10k-", "test-")])
def test_the_usual_other_names_are_found(own, suffix, variant):
    digest = MnistData.load(own).digest
    for name in NAMES:
        write_idx(own / (name.replace(*variant) + suffix), read_idx(own / name))
    for name in NAMES:
        if name.replace(*variant) + suffix != name:
            (own / name).unlink()
    assert MnistData.load(own).digest == digest


@pytest.mark.parametrize(
    ("n", "wanted", "n_validation"),
    [(40, 5000, 4), (40, 20, 20), (40, 21, 4), (40, 1, 1), (15, 5000, 1), (5, 5000, 1), (2, 5000, 1), (3, 1, 1)],
)
def test_a_small_set_keeps_nine_tenths_for_training(own, n, wanted, n_validation):
    images, labels = digits(n)
    write_idx(own / NAMES[0], images)
    write_idx(own / NAMES[1], labels)
    data = MnistData.load(own, validation_images=wanted)
    assert (len(data.training), len(data.validation)) == (n - n_validation, n_validation)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_named_with_the_names_that_will_do(own, name):
    (own / name).unlink()
    pair = NAMES[NAMES.index(name) ^ 1]
    with pytest.raises(DataError, match=rf"has {pair}, the \w+ \w+, but no .* ending in .gz or .xz. Put {name} there."):
        MnistData.load(own)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match=r"There is no folder or file .*nowhere\. Check its name"):
        MnistData.load(tmp_path / "nowhere")


IMAGES, LABELS = digits(40)


@pytest.mark.parametrize(
    ("file", "array", "sentence"),
    [
        (0, np.where(IMAGES < 9, np.nan, IMAGES).astype(np.float32), "holds pixels that are no numbers"),
        (0, IMAGES.astype(np.float32) * 9, "holds pixels from 0 to 2295; 0 to 255, 0 to 1 or -1 to 1 were expected"),
        (0, IMAGES.reshape(40, 28, 4, 7), "holds an array of shape (40, 28, 4, 7); images were expected"),
        (2, np.zeros((12, 3, 3), np.uint8), "holds an array of shape (12, 3, 3)"),
        (2, IMAGES[:0], "holds no images"),
        (1, LABELS.astype(np.float32) / 2, ".5; whole numbers were expected"),
        (1, LABELS[:39], "labels of shape (39,), and there are 40 images"),
        (3, LABELS[:12].reshape(6, 2), "labels of shape (6, 2), and there are 12 images"),
        (
            1,
            np.where(np.arange(40) < 7, LABELS.astype(np.int16), -1),
            "the label -1 at index 7; class numbers from 0 to 255",
        ),
    ],
)
def test_a_set_that_cannot_be_used_is_told_by_its_file(own, file, array, sentence):
    write_idx(own / NAMES[file], array)
    with pytest.raises(DataError, match=re.escape(sentence)) as error:
        MnistData.load(own)
    assert NAMES[file] in str(error.value)
    assert str(error.value).endswith(".")


def test_one_training_image_is_too_few(own):
    write_idx(own / NAMES[0], IMAGES[:1])
    write_idx(own / NAMES[1], LABELS[:1])
    with pytest.raises(DataError, match=r"has 1 training image; at least 2 were expected"):
        MnistData.load(own)


def test_a_damaged_file_of_an_own_set_is_named(own):
    (own / NAMES[2]).write_bytes(b"<html>")
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte begins with the bytes 3c 68 74 6d"):
        MnistData.load(own)


@pytest.mark.parametrize("damage", ["missing", "cut", "other digits"])
def test_a_damaged_package_asks_for_a_new_install(tmp_path, monkeypatch, damage):
    for file in PACKAGED_FILES:
        shutil.copy(PACKAGED_FOLDER / file.name, tmp_path)
    path = tmp_path / "t10k-labels-idx1-ubyte.xz"
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    else:
        write_idx(path, read_idx(path)[::-1])
    # Three small files are enough here, and the fourth takes most of a second.
    monkeypatch.setattr("digitlab.data.packaged.PACKAGED_FILES", PACKAGED_FILES[1:])
    monkeypatch.setattr("digitlab.data.packaged.PACKAGED_FOLDER", tmp_path)
    with pytest.raises(
        DataError, match=r"packaged MNIST is damaged\..*t10k-labels.*pip install --force-reinstall digitlab"
    ):
        MnistData.load()


SPLIT = Split(
    "test",
    np.arange(50, dtype=np.uint8)[:, None, None].repeat(28, 1).repeat(28, 2),
    np.arange(50, dtype=np.uint8) % 10,
)


def test_images_are_chosen_once_each_with_their_labels() -> None:
    places = choose_images(SPLIT, 20, seed=1)
    assert len(set(places.tolist())) == 20
    chosen = SPLIT.at(places)
    assert np.array_equal(chosen.images[:, 0, 0], places)
    assert np.array_equal(chosen.labels, places % 10)
    assert chosen.name == "test"


def test_a_seed_chooses_the_same_images_and_fewer_are_the_first_of_more() -> None:
    few, many = choose_images(SPLIT, 5, seed=1), choose_images(SPLIT, 20, seed=1)
    assert np.array_equal(few, many[:5])
    assert not np.array_equal(many, choose_images(SPLIT, 20, seed=2))


def test_all_images_come_in_their_order_and_are_not_copied() -> None:
    places = choose_images(SPLIT, 50, seed=1)
    assert np.array_equal(places, np.arange(50))
    assert SPLIT.at(places) is SPLIT


@pytest.mark.parametrize("n", [-1, 0, 51])
def test_a_number_that_cannot_be_chosen_is_a_sentence(n: int) -> None:
    with pytest.raises(ConfigError, match="test images"):
        choose_images(SPLIT, n, seed=0)


def test_what_other_libraries_data_has_is_told_in_this_ones_words():
    data = MnistData.load()
    with pytest.raises(DataError, match=r"The parts of a set are data\.training, data\.validation and data\.test"):
        (_x_train, _y_train), (_x_test, _y_test) = data
    with pytest.raises(DataError, match=r"x, y = data\.test\.images, data\.test\.labels"):
        _x, _y = data.test
    with pytest.raises(AttributeError, match=r"MnistData has no attribute 'x_train'\. The parts of a set"):
        data.x_train  # noqa: B018
