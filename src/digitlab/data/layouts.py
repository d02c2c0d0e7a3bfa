"""Layouts: which files of a folder or archive are a set, by the names that people and publishers give them.

A name says for what the images are (``train``, ``t10k``, ``test``, ``valid`` ...), whether it holds images or labels
(``images``, ``x``, ``labels``, ``y`` ...), and of which set it is (``emnist-letters``, ``qmnist``, what is left). So
do the folders that lead to it. Files of the same set in the same place belong together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from digitlab.data.survey import Item, shown_list, survey
from digitlab.errors import DataError

TRAINING, VALIDATION, TEST = "training", "validation", "test"
IMAGES, LABELS = "images", "labels"

_PARTS = {
    **dict.fromkeys(("train", "training"), TRAINING),
    **dict.fromkeys(("t10k", "test", "testing", "test10k"), TEST),
    **dict.fromkeys(("valid", "validation", "val"), VALIDATION),
}
_WHATS = {
    **dict.fromkeys(("images", "image", "imgs", "img", "x", "data", "pixels", "features"), IMAGES),
    **dict.fromkeys(("labels", "label", "lbls", "y", "target", "targets"), LABELS),
}
# Said of the format, the kind of picture, or nothing.
_FILLERS = re.compile("(idx[1-4]?|ubyte|byte|int|set|dataset|small|npy|bin|png|jpg|csv)?")
# What publishers add: the part of so many, with what it is hashed to, and "60k x 784".
_ADDED = re.compile(r"-\d{5}-of-\d{5}(-[0-9a-f]{16})?| *\(\d+\)| ?\d+k x \d+", re.IGNORECASE)
_ORDER = {"": 0, ".gz": 1, ".xz": 2}
_PICTURES = re.compile(r"\.(png|jpe?g?|jpg|jfif|bmp|gif|tiff?|webp|p[gpbn]m|hei[cf]|avif)")
_TABLES = frozenset((".csv", ".tsv", ".parquet"))
_PUBLISHED = (".idx", ".bin", ".ubyte", ".idx1-ubyte", ".idx3-ubyte", ".idx2-int", ".byte")
_SAVE = "with np.savez('mnist.npz', x_train=..., y_train=..., x_test=..., y_test=...)"
#: What other programs keep sets in, and what to do about it; what says most of a folder comes first.
_TO_CONVERT = {
    (".tfrecord",): "is TensorFlow's: load the set with tfds.as_numpy(tfds.load('mnist', batch_size=-1)), and save the "
    f"images and labels of its parts {_SAVE}",
    (".pkl", ".pickle", ".pt", ".pth"): "is a pickle, which is never unpickled here, since it could run anything: load "
    f"it with what wrote it, and save its arrays {_SAVE}",
    (".mat",): f"is MATLAB's: load it with scipy.io.loadmat, and save its images and labels {_SAVE}",
    (".arff",): "is Weka's and OpenML's: load the set with sklearn.datasets.fetch_openml('mnist_784', as_frame=False), "
    "and save np.savez('mnist.npz', x=set.data, y=set.target)",
    (".arrow",): "is of Hugging Face's datasets, as save_to_disk has it: save each part as Parquet, "
    "dataset['train'].to_parquet('train.parquet')",
    (".tar", ".tgz", ".rar", ".7z", ".zip", ".bz2"): "is an archive: unpack it and name the folder",
    (".h5", ".hdf5", ".jsonl", ".json"): f"is of a kind that is not read: save its images and labels {_SAVE}",
}
# Of a table of names and labels; boxes and sizes may stand beside them.
_MOST_COLUMNS = 16
_KINDS = (
    "A set is four IDX files as MNIST's, .npz or .npy with x_train, y_train, x_test and y_test, CSV or Parquet with a "
    "column of labels, or folders of pictures, one a class, such as train/0 to train/9."
)


@dataclass(frozen=True, slots=True)
class Role:
    """What a name says: for what, images or labels or both (empty), and of which set."""

    part: str
    what: str
    of_set: str


def role_of(name: str) -> Role:
    """Return what a name says of its content.

    >>> role_of("emnist-letters-train-images-idx3-ubyte")
    Role(part='training', what='images', of_set='emnist-letters')
    >>> role_of("y_test").part, role_of("mnist").of_set, role_of("train-00000-of-00002").of_set
    ('test', 'mnist', '')
    """
    words = re.split(r"[^a-z0-9]+", re.sub(r"([a-z])([A-Z])", r"\1-\2", _ADDED.sub("", name)).lower())
    part = what = ""
    rest = []
    for word in words:
        run_together = re.fullmatch(r"([xy])(train|test|valid|val)|(train|test|valid|val)([xy])", word)
        if run_together:
            a, b, c, d = run_together.groups()
            part, what = part or _PARTS[b or c], what or _WHATS[a or d]
        elif word in _PARTS and not part:
            part = _PARTS[word]
        elif word in _WHATS and not what:
            what = _WHATS[word]
        elif not _FILLERS.fullmatch(word):
            rest.append(word)
    return Role(part, what, "-".join(rest))


@dataclass(eq=False)
class Found:
    """A set that was found: its kind (``arrays``, ``bundle``, ``table``, ``pictures``), place, name and files.

    ``files`` are by part and by what they hold; of ``pictures`` that is their class, or nothing where only their names
    or a table tell it. ``passed_over`` are sets that lie deeper.
    """

    kind: str
    place: tuple[str, ...]
    name: str
    files: dict[tuple[str, str], list[Item]] = field(default_factory=dict)
    label_tables: list[Item] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)

    @property
    def parts(self) -> set[str]:
        """For what there are images."""
        return {part for part, what in self.files if what != LABELS or self.kind == "pictures"}

    @property
    def first(self) -> Item:
        """The file that it is named by."""
        return min((item for items in self.files.values() for item in items), key=lambda one: (one.folders, one.name))


def find_sets(path: Path, closing: ExitStack) -> list[Found]:
    """Find the set that a path means: a folder, an archive, a file, or a folder with the beginning of names.

    Several where it is not clear which. An archive stays open until ``closing`` closes it. DataError if there is none.
    """
    if path.is_file() and not _is_zip(path):
        _tell_kind([(path.name, str(path))])
        for found in _sets(survey(path.parent, closing, most_deep=0)):
            if any(item.name == path.name for item in _all(found)):
                return [found]
        raise DataError(f"{path} is not named as a part of a set, nor by a kind of file that holds one. {_KINDS}")
    if not path.exists() and path.parent.exists():
        named = [found for found in _sets(survey(path.parent, closing, most_deep=0)) if _is_called(found, path.name)]
        if not named:
            raise DataError(f"There is no folder or file {path}. Check its name.")
        return _likeliest(named, path.parent)
    items = survey(path, closing)
    sets = _sets(items)
    if likeliest := _likeliest(sets, path):
        return likeliest
    if sets:
        raise DataError(f"{path} has labels ({sets[0].first.name}) but no images to them. {_KINDS}")
    _tell_kind((item.name, str(item)) for item in items)
    raise DataError(f"{path} holds no set of images with labels. {_KINDS}")


def _is_zip(path: Path) -> bool:
    from digitlab.data.survey import is_archive

    try:
        return is_archive(path)
    except (OSError, ValueError):
        return False


def _is_called(found: Found, name: str) -> bool:
    return found.name == name.lower() or any(item.name.lower().startswith(name.lower()) for item in _all(found))


def _all(found: Found) -> Iterable[Item]:
    return (item for items in found.files.values() for item in items)


def _likeliest(sets: Sequence[Found], path: Path) -> list[Found]:
    """Return those that may be meant: what is no excerpt, can be images, is for training, and lies on top."""
    whole = [found for found in sets if found.parts]
    whole = [found for found in whole if not {"sample", "samples"} & set(found.name.split("-"))] or whole
    if len(whole) > 1:
        whole = [found for found in whole if found.kind != "table" or not all(map(_is_narrow, _all(found)))] or whole
    whole = [found for found in whole if _rank(found) == min(map(_rank, whole))]
    top = [found for found in whole if len(found.place) == min(len(other.place) for other in whole)]
    known = {found.name for found in top}
    for found in top:
        found.passed_over = [_called(path, one, whole) for one in whole if one not in top and one.name not in known]
    return top


def _rank(found: Found) -> int:
    """Return 0 for a set for training, 1 for one that does not say for what it is, and 2 for others."""
    is_whole = TRAINING in found.parts or (found.kind == "bundle" and "" in found.parts)
    return 0 if is_whole else 1 if "" in found.parts else 2


def several(path: Path, sets: Sequence[Found]) -> DataError:
    """Return what to say where it is not clear which set is meant."""
    names = [_called(path if path.exists() else path.parent, found, sets) for found in sets]
    return DataError(
        f"{path} holds {len(sets)} sets: {shown_list(names, 10)}. Name the one you mean, as in --data {names[0]}"
    )


def _called(path: Path, found: Found, others: Sequence[Found]) -> str:
    """Return how to name one of several sets."""
    if sum(other.place == found.place for other in others) == 1:
        return str(path.joinpath(*found.place))
    if found.kind == "pictures":
        return str(path.joinpath(*found.first.folders[: len(found.place) + 1]))
    if found.name and sum(_is_called(other, found.name) for other in others if other.place == found.place) == 1:
        return str(path.joinpath(*found.place, found.name))
    return str(path.joinpath(*found.place, found.first.name))


def _tell_kind(items: Iterable[tuple[str, str]]) -> None:
    """Say what to do about files, by name and place, of a kind that is not read."""
    named = [(_ADDED.sub("", name.lower()).removesuffix(".gz"), place) for name, place in items]
    for suffixes, sentence in _TO_CONVERT.items():
        for name, place in named:
            if name.endswith(suffixes):
                raise DataError(f"{place} {sentence}.")


def _sets(items: Sequence[Item]) -> list[Found]:
    """Put files together to sets."""
    sets: dict[tuple[str, tuple[str, ...], str], Found] = {}
    pictures: dict[tuple[str, ...], list[Item]] = {}
    for item in items:
        stem, suffix = item.stem_and_suffix
        if _PICTURES.fullmatch(suffix):
            pictures.setdefault(item.folders, []).append(item)
            continue
        role = role_of(stem + suffix if suffix not in (".npy", ".npz", *_TABLES) else stem)
        place, part, of_set = _without_parts(item.folders)
        part = role.part or part
        # A folder is often called as the file in it.
        name = role.of_set if of_set == role.of_set else "-".join(filter(None, (of_set, role.of_set)))
        what = role.what
        if suffix in _TABLES and "submission" in stem.lower():
            continue  # what Kaggle wants to have back
        if suffix in _TABLES:
            kind, what = "table", LABELS if role.what == LABELS else ""
        elif suffix == ".npz" and role.what not in (IMAGES, LABELS):
            kind, what = "bundle", ""
        elif role.what and (suffix in (".npy", ".npz") or _is_published(stem + suffix, suffix, role)):
            kind = "arrays"
        else:
            continue
        found = sets.setdefault((kind, place, name), Found(kind, place, name))
        found.files.setdefault((part, what), []).append(item)
    for found in sets.values():
        _keep_best(found)
    found_pictures = _picture_sets(pictures, sets.values())
    return [found for found in (*sets.values(), *found_pictures) if found.files]


def _is_published(name: str, suffix: str, role: Role) -> bool:
    # images.txt is none, train-images is one, and so is a name with what the publishers put at its end.
    return suffix in _PUBLISHED or bool(re.search(r"idx\d|ubyte", name.lower())) or (not suffix and bool(role.part))


def _without_parts(folders: tuple[str, ...]) -> tuple[tuple[str, ...], str, str]:
    """Split folders into where a set lies, for what its images are, and of which set those folders say it is."""
    place, part = folders, ""
    names: list[str] = []
    while place:
        role = role_of(place[-1])
        if not role.part:
            break
        part = part or role.part
        # A folder may be called as the file in it.
        if not role.what and role.of_set and role.of_set not in names:
            names.insert(0, role.of_set)
        place = place[:-1]
    return place, part, "-".join(names)


def _keep_best(found: Found) -> None:
    """Of a file that is there in several forms, keep the plain one on top; of tables, all that are parts of one."""
    for key, items in found.files.items():
        is_sharded = found.kind == "table" and all(re.search(r"\d{5}-of-\d{5}", item.name) for item in items)
        if not is_sharded:
            best = min(
                items, key=lambda one: (len(one.folders), _ORDER.get(Path(one.name).suffix.lower(), 0), one.name)
            )
            found.files[key] = [best]


def _picture_sets(pictures: dict[tuple[str, ...], list[Item]], others: Iterable[Found]) -> list[Found]:
    """Put folders of pictures together to sets, and take the tables that lie beside them for their labels."""
    sets: dict[tuple[tuple[str, ...], str], Found] = {}
    for folders, items in pictures.items():
        parts = [k for k, name in enumerate(folders) if role_of(name).part]
        if parts:
            at = parts[-1]
            place, part, of_set = _without_parts(folders[: at + 1])
            label = folders[at + 1] if len(folders) > at + 1 else ""
        else:
            place, part, of_set, label = folders[:-1], "", "", folders[-1] if folders else ""
        found = sets.setdefault((place, of_set), Found("pictures", place, of_set))
        found.files.setdefault((part, label), []).extend(items)
    for found in sets.values():
        labels = {label for _, label in found.files}
        if len(labels) == 1 and "" not in labels and "" in found.parts:
            # One folder of pictures is no class, and their names say what they are.
            ((key, items),) = found.files.items()
            found.place, found.files = (*found.place, key[1]), {("", ""): items}
        if any(label == "" for _, label in found.files):
            near = {
                found.place,
                found.place[:-1],
                *(item.folders for items in found.files.values() for item in items[:1]),
            }
            found.label_tables = [
                item
                for other in others
                if other.kind == "table"
                for item in _all(other)
                if item.folders in near and _is_narrow(item)
            ]
    taken = {id(item) for found in sets.values() for item in found.label_tables}
    for other in others:
        other.files = {
            key: [item for item in items if id(item) not in taken]
            for key, items in other.files.items()
            if any(id(item) not in taken for item in items)
        }
    return list(sets.values())


def _is_narrow(item: Item) -> bool:
    """Tell whether a table can be one of names and labels, rather than of pixels, by its first line."""
    if item.name.lower().endswith(".parquet"):
        return False
    try:
        with item.open() as stream:
            first = stream.read(4096).split(b"\n", 1)[0]
    except DataError:
        return False
    return max(map(first.count, (b",", b";", b"\t"))) < _MOST_COLUMNS
