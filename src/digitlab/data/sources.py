"""Where the four arrays of somebody's own MNIST-like set come from: files in any usual form."""

from __future__ import annotations

import hashlib
import os
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digitlab.data.arrays import read_array, read_arrays
from digitlab.data.idx import idx_header
from digitlab.data.layouts import IMAGES, LABELS, TEST, TRAINING, VALIDATION, Found, find_sets, role_of, several
from digitlab.data.packaged import DigitFiles, digest_of
from digitlab.data.pictures import has_bright_ground, read_pictures
from digitlab.data.shaping import (
    as_bytes,
    flat_labels,
    image_stack,
    is_written,
    names_in_mapping,
    numbered,
    scale_of,
    to_28,
)
from digitlab.data.storage import holding, read_ordinary
from digitlab.data.survey import shown_list
from digitlab.data.tables import read_csv, read_label_column, read_label_table, read_parquet
from digitlab.data.upright import is_transposed
from digitlab.errors import DataError
from digitlab.text import listed
from digitlab.values import CLASS_NAMES


def read_set(path: str | os.PathLike[str]) -> DigitFiles:
    """Read somebody's own set: a folder, an archive or a file of any of the kinds that `layouts` and `_raw` know."""
    if not isinstance(path, str | os.PathLike) or not str(path):
        raise DataError(f"A set is a folder, an archive or a file, told by its path; got {path!r:.60}.")
    if "://" in str(path):
        raise DataError(f"{path} is an address. Download what it leads to, and name the file or folder.")
    with suppress(RuntimeError):
        path = Path(path).expanduser()
    path = Path(path)
    # Corrections are written by a Studio at any time, and two of their files belong together.
    with holding(path) if os.path.isdir(path) else nullcontext(), ExitStack() as closing:
        sets = find_sets(path, closing)
        if len(sets) > 1 and len({found.kind for found in sets}) < len(sets):
            raise several(path, sets)
        read = [_shaped(_raw(found, path), path, found) for found in sorted(sets, key=lambda one: one.kind)]
    if any(_unordered(one) != _unordered(read[0]) for one in read[1:]):
        raise several(path, sets)
    if len(read) == 1:
        return read[0]
    taken = min(sets, key=lambda one: one.kind).first.name
    note = f"It is there in {len(read)} forms, with the same images; {taken} and what belongs to it were taken."
    names = next((one.class_names for one in read if one.class_names != CLASS_NAMES), CLASS_NAMES)
    return replace(read[0], class_names=names, notes=(note, *read[0].notes))


def _unordered(files: DigitFiles) -> list[list[bytes]]:
    """Return the images of a set with their labels, sorted, to tell whether another has the same."""
    pairs = [(files.training_images, files.training_labels), (files.test_images, files.test_labels)]
    rows = [np.column_stack([labels, images.reshape(len(images), -1)]) for images, labels in pairs]
    return [sorted(map(bytes, part)) for part in (rows if files.has_test else [np.concatenate(rows)])]


@dataclass(eq=False)
class _Raw:
    """What files hold, by part, before it is shaped: images, labels and where they come from."""

    parts: dict[str, tuple[NDArray[Any], NDArray[Any], str]]
    class_names: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)


def _raw(found: Found, path: Path) -> _Raw:
    read = {"arrays": _of_arrays, "bundle": _of_bundle, "table": _of_tables, "pictures": _of_pictures}[found.kind]
    raw = read(found, path)
    for images, _, where in raw.parts.values():
        if len(images) == 0:
            raise DataError(f"{where} holds no images; 1 at least was expected. Add images to the set.")
    return raw


def _of_arrays(found: Found, path: Path) -> _Raw:
    """Files of images and files of labels: IDX, ``.npy``, or ``.npz`` with one array each."""
    pairs = {}
    for part, what in sorted(found.files):
        other = LABELS if what == IMAGES else IMAGES
        item = found.files[part, what][0]
        if (part, other) not in found.files:
            raise DataError(
                f"{path} has {item.name}, the {part + ' ' if part else ''}{what}, but no {other} beside it, plain or "
                f"ending in .gz or .xz. Put {_other_name(item.name, what)} there."
            )
        pairs[part] = (found.files[part, IMAGES][0], found.files[part, LABELS][0])
    with ThreadPoolExecutor(2 * len(pairs)) as pool:
        arrays = list(pool.map(read_array, [item for pair in pairs.values() for item in pair]))
    by_part = zip(pairs.items(), arrays[::2], arrays[1::2], strict=True)
    return _Raw({part: (images, labels, f"{a} / {b.name}") for (part, (a, b)), images, labels in by_part})


def _other_name(name: str, what: str) -> str:
    """Return what the labels of images are called, or the images of labels; "them" where that is not clear."""
    for pair in (("images-idx3", "labels-idx1"), ("images.idx3", "labels.idx1"), ("images", "labels"), ("x_", "y_")):
        this, that = pair if what == IMAGES else pair[::-1]
        if this in name.lower():
            return re.sub(this, that, name, flags=re.IGNORECASE)
    return "them"


def _of_bundle(found: Found, path: Path) -> _Raw:
    """``.npz`` with all arrays, such as Keras' ``mnist.npz``, or one for each part."""
    parts: dict[str, tuple[NDArray[Any], NDArray[Any], str]] = {}
    for (of_file, _), (item, *_) in sorted(found.files.items()):
        arrays = read_arrays(item)
        by_role: dict[tuple[str, str], NDArray[Any]] = {}
        for key, array in arrays.items():
            role = role_of(key)
            if role.what:
                by_role.setdefault((role.part or of_file, role.what), array)
        if not by_role and len(arrays) in (2, 4):
            # As np.savez names what has no name: the larger of a pair are the images.
            given = list(arrays.values())
            if len(given) == 4 and len(given[0]) == len(given[2]) != len(given[1]):
                given = [given[0], given[2], given[1], given[3]]  # as train_test_split gives them
            for part, *pair in zip((of_file or TRAINING, TEST), given[::2], given[1::2], strict=False):
                by_role[part, IMAGES], by_role[part, LABELS] = sorted(pair, key=lambda one: -one.size)
        for part, what in by_role:
            if what == IMAGES and (part, LABELS) in by_role:
                parts[part] = (by_role[part, IMAGES], by_role[part, LABELS], str(item))
        if not parts:
            raise DataError(
                f"{item} holds the arrays {shown_list(list(arrays))}; images and labels were expected, named x_train, "
                "y_train, x_test and y_test. Save them with np.savez under those names."
            )
    return _Raw(parts)


def _of_tables(found: Found, path: Path) -> _Raw:
    """CSV or Parquet with a column of labels, or with a table of labels beside it."""
    raw, without = _Raw({}), []
    for (part, what), items in sorted(found.files.items()):
        if what == LABELS:
            continue
        table = read_parquet(items) if items[0].name.lower().endswith(".parquet") else read_csv(items[0])
        raw.notes += table.notes
        labels = table.labels
        if labels is None and (part, LABELS) in found.files:
            labels = read_label_column(found.files[part, LABELS][0], len(table.images))
        if labels is None:
            without.append(items[0])
        else:
            raw.parts[part] = (table.images, labels, str(items[0]))
            raw.class_names = raw.class_names or table.class_names
    if not raw.parts:
        raise DataError(
            f"{without[0]} has no labels, as Kaggle's test.csv has none: nothing can be learned from it, nor can a "
            "network be evaluated. Name a table with a column label, such as train.csv."
        )
    raw.notes += [f"{item.name} has no labels, and was left out." for item in without]
    return raw


def _of_pictures(found: Found, path: Path) -> _Raw:
    """Folders of pictures, one a class, or pictures whose names or a table say what they are."""
    tables = {
        part: read_label_table([t for t in found.label_tables if not part or role_of(t.name).part in ("", part)])
        for part in sorted(found.parts)
    }
    classes = {label for _, label in found.files if label}.union(*(table.values() for table in tables.values()))
    is_writing = is_written(sorted(classes)) and "fashion" not in _told(path, found)
    raw, unlabelled = _Raw({}), []
    for part, table in tables.items():
        files = {label: items for (of, label), items in found.files.items() if of == part}
        read = read_pictures(files, table, str(path), is_writing=is_writing)
        if read is None:
            unlabelled.append(f"{sum(map(len, files.values())):,} pictures {part and 'for ' + part}".strip())
            continue
        images, labels, notes = read
        raw.parts[part] = (images, labels, str(path))
        raw.notes += notes
    if not raw.parts:
        raise DataError(
            f"{path} holds pictures, but nothing says what they show. Put them into folders, one a class, such as 0 to "
            "9; begin their names with the label, as in 3_0001.png; or lay labels.csv beside them, with the columns "
            "filename and label."
        )
    if unlabelled:
        raw.notes.append(f"{listed(unlabelled)} have no labels, and were left out.")
    return raw


def _told(path: Path, found: Found) -> str:
    """Return all that names say of a set, in small letters."""
    return "/".join((*path.absolute().parts[-3:], *found.place, found.name, found.first.name)).lower()


def _shaped(raw: _Raw, path: Path, found: Found) -> DigitFiles:
    """Bring a set to images and labels as a network takes them, in a training and a test part."""
    told, notes = _told(path, found), list(raw.notes)
    if found.passed_over:
        notes.append(f"Other sets that lie deeper were passed over: {shown_list(found.passed_over)}.")
    stacks, labels = {}, {}
    for part, (images, of_images, where) in raw.parts.items():
        stacks[part] = image_stack(images, len(of_images), where)
        labels[part] = flat_labels(of_images, len(stacks[part]), where)
    first = next(part for part in (TRAINING, "", VALIDATION, TEST) if part in stacks)
    times, plus, scale = scale_of(stacks[first], raw.parts[first][2])
    if scale:
        notes.append(f"Its pixels are {scale} and were brought to 0 to 255.")
    shaped = {}
    for part, stack in stacks.items():
        if stack.shape[1:] != stacks[first].shape[1:]:
            raise DataError(
                f"{raw.parts[part][2]} holds images of {stack.shape[1]} x {stack.shape[2]} pixels, and those for "
                f"training have {stacks[first].shape[1]} x {stacks[first].shape[2]}. Bring all to one size."
            )
        is_other = stack.dtype.kind != stacks[first].dtype.kind
        own = scale_of(stack, raw.parts[part][2]) if is_other else (times, plus, "")
        shaped[part], how = to_28(as_bytes(stack, own[0], own[1]))
        if how and part == first:
            notes.append(f"Images: {how}.")
    if found.kind != "pictures" and has_bright_ground(shaped[first]):
        shaped = {part: 255 - images for part, images in shaped.items()}
        notes.append("Its images show dark on bright, and were inverted: ink is bright on dark.")
    order = list(shaped)
    given = raw.class_names or _mapping(path, found)
    numbers, class_names, word = numbered([labels[part] for part in order], told, given, str(path))
    notes += [word] if word else []
    by_part = dict(zip(order, numbers, strict=True))
    if found.kind != "pictures" and is_transposed(shaped[first], by_part[first], told, class_names):
        shaped = {part: np.ascontiguousarray(images.transpose(0, 2, 1)) for part, images in shaped.items()}
        notes.append("Its images had rows and columns exchanged, as EMNIST's files have them, and were turned upright.")
    return _parted(shaped, by_part, class_names, notes, _source(path, found))


def _mapping(path: Path, found: Found) -> tuple[str, ...]:
    """Return the names of classes in the file that EMNIST and Kuzushiji-49 have beside their sets."""
    item = found.first
    if not re.search("emnist|k49", found.name) or item.archive is not None:
        return ()
    for beside in (f"{found.name}-mapping.txt", f"{found.name}_classmap.csv"):
        with suppress(OSError, ValueError):
            return names_in_mapping(read_ordinary(Path(item.place).with_name(beside), 100_000).decode("utf-8"))
    return ()


def _source(path: Path, found: Found) -> str:
    name = str(path)
    return name if not found.name or found.name in name.lower() else f"{name} ({found.name})"


def _parted(
    images: dict[str, NDArray[np.uint8]],
    labels: dict[str, NDArray[np.uint8]],
    class_names: tuple[str, ...],
    notes: list[str],
    source: str,
) -> DigitFiles:
    """Make a training and a test part of what there is, always the same."""
    if TRAINING not in images:
        # What does not say for what it is, or is all that there is.
        part = "" if "" in images else VALIDATION if VALIDATION in images and TEST in images else next(iter(images))
        images[TRAINING], labels[TRAINING] = images.pop(part), labels.pop(part)
    if TEST not in images and VALIDATION in images:
        images[TEST], labels[TEST] = images.pop(VALIDATION), labels.pop(VALIDATION)
        notes.append("It has no test images; those for validation are taken as such.")
    training, of_training = images[TRAINING], labels[TRAINING]
    is_sorted = len(of_training) > 2 and bool((np.diff(of_training.astype(np.int16)) >= 0).all())
    if is_sorted and of_training[0] != of_training[-1]:
        # Its last images, which are kept apart for validation, would be of one class.
        order = np.random.default_rng(0).permutation(len(of_training))
        training, of_training = training[order], of_training[order]
    has_test = TEST in images
    if not has_test:
        if len(training) < 3:
            raise DataError(f"{source} has {len(training)} images; at least 3 were expected. Add images to the set.")
        kept = _kept_for_test(of_training)
        images[TEST], labels[TEST] = training[kept], of_training[kept]
        training, of_training = training[~kept], of_training[~kept]
        notes.append(
            f"It has no test images: of its {len(kept):,} images {int(kept.sum()):,}, one of {_ONE_OF} of each class, "
            "are kept for the test, always the same."
        )
    n_validation = None
    if VALIDATION in images and len(images[VALIDATION]):
        n_validation = len(images[VALIDATION])
        training = np.concatenate([training, images[VALIDATION]])
        of_training = np.concatenate([of_training, labels[VALIDATION]])
    arrays = (training, of_training, images[TEST], labels[TEST])
    with ThreadPoolExecutor(len(arrays)) as pool:
        digest = digest_of(list(pool.map(_hash, arrays)))
    return DigitFiles(source, digest, *arrays, class_names, n_validation, tuple(notes), has_test)


# As of MNIST's 70,000 images 10,000 are for the test.
_ONE_OF = 7


def _kept_for_test(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Choose the images of a set that are kept for the test: one of seven of each class, bool (n,)."""
    random = np.random.default_rng(0)
    kept = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        places = random.permutation(np.flatnonzero(labels == label))
        kept[places[: round(len(places) / _ONE_OF)]] = True
    if not kept.any():
        kept[random.integers(len(labels))] = True
    return kept


def _hash(array: NDArray[np.uint8]) -> bytes:
    """Return the SHA-256 of the IDX file that would hold an array."""
    key = hashlib.sha256(idx_header(array))
    key.update(np.ascontiguousarray(array).reshape(-1).data)
    return key.digest()
