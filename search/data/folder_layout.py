"""Which folders of a data set are its splits, and which are its classes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from search.data.cifar import is_batches_folder
from search.data.listing import Contents, Findings, look_into
from search.data.split_names import SPLIT_NAMES, TEST, TRAIN, VALIDATION, split_of
from search.data.wording import some_of
from search.errors import DataError
from search.text import pluralize, printable

Listing = dict[str, list[Path]]
"""The image files of each class, by its name, sorted."""

_MAX_WRAPPERS = 8


def unwrapped(path: Path) -> Path:
    """The folder behind folders that hold one folder and no image, as archives do."""
    for _ in range(_MAX_WRAPPERS):
        contents = look_into(path)
        if len(contents.folders) != 1 or contents.images or contents.broken:
            break
        inner = look_into(contents.folders[0])
        if not inner.folders and not is_batches_folder(inner.path):
            break  # a class
        path = contents.folders[0]
    return path


def list_splits(path: Path, findings: Findings) -> dict[str, Listing]:
    """Lists the images of every split and class of a folder, without reading them.

    Args:
        path: A folder with class folders, or with folders named as splits that have them.
        findings: Takes what is left out, assumed or broken.

    Returns:
        A listing for `train`, and for `validation` and `test` where they are there with
        classes.

    Raises:
        DataError: When the folder has another layout.
        OSError: When a folder cannot be listed.
    """
    contents = look_into(path)
    parts = _parts(contents)
    if parts is None:
        _say_loose(contents, findings)
        return {TRAIN: _list_classes(contents, findings, at_least=2)}
    _say_unused(contents, parts, findings)
    listings = {TRAIN: _list_classes(parts[TRAIN], findings, at_least=2)}
    _say_loose(parts[TRAIN], findings)
    for kind in (VALIDATION, TEST):
        if kind in parts:
            listing = _list_other_split(parts[kind], findings)
            _refuse_extra_classes(parts[kind], listing, parts[TRAIN], sorted(listings[TRAIN]))
            if listing:
                listings[kind] = listing
    return listings


def _parts(contents: Contents) -> dict[str, Contents] | None:
    """The folders named as splits, or `None` where the folders are classes."""
    named: dict[str, list[Path]] = {}
    for folder in contents.folders:
        kind = split_of(folder.name)
        if kind is not None:
            named.setdefault(kind, []).append(folder)
    if TRAIN not in named:
        return None
    parts = {kind: [look_into(folder) for folder in folders] for kind, folders in named.items()}
    if not any(part.folders for part in parts[TRAIN]):
        if len(parts) > 1:
            raise _flat_training(parts[TRAIN][0])
        return None  # a class of that name, such as CIFAR-100 has
    for kind, folders in named.items():
        if len(folders) > 1:
            raise DataError(
                f"{contents.path} has two folders for one split. Expected one of "
                f"{', '.join(SPLIT_NAMES[kind])}. Received: {some_of(f.name for f in folders)}. "
                "Rename the one that is not meant, or move it elsewhere."
            )
    return {kind: found[0] for kind, found in parts.items()}


def _flat_training(train: Contents) -> DataError:
    prefixes = _class_prefixes(train.images)
    return DataError(
        f"{train.path} has no class folders, so nothing says which class an image is of. "
        f"Expected {train.path.name}/CLASS/ with the images of each class. Received: "
        f"{pluralize(len(train.images), 'image')} in {train.path.name}/ itself. "
        + (
            f"Their names begin with {some_of(prefixes, 5)}: if these are the classes, make a "
            "folder for each and move its images there."
            if prefixes
            else "Sort the training images into one sub-folder a class."
        )
        + " Test images without class folders are then left out."
    )


def _class_prefixes(images: Sequence[Path]) -> list[str]:
    """What most file names begin with, as in `cat.0.jpg`; none where that is no pattern."""
    matches = [re.match(r"([^\W\d_]+)[._\- ]*\d+\.\w+$", image.name) for image in images]
    counts = Counter(match[1] for match in matches if match)
    usual = 2 <= len(counts) <= len(images) // 2 and counts.total() == len(images)
    return sorted(counts) if usual else []


def _say_unused(contents: Contents, parts: Mapping[str, Contents], findings: Findings) -> None:
    used = {part.path for part in parts.values()}
    beside = [folder for folder in contents.folders if folder not in used]
    if beside:
        findings.sentences.append(
            f"Beside {findings.name(parts[TRAIN].path)}, these folders are not used: "
            f"{findings.names(beside)}."
        )
    _say_loose(contents, findings)


def _say_loose(contents: Contents, findings: Findings) -> None:
    """Says which files beside class folders are in no class."""
    findings.left_out += contents.others
    findings.broken += contents.broken
    if contents.images:
        findings.sentences.append(
            f"{pluralize(len(contents.images), 'image is', 'images are')} in no class folder and "
            f"left out: {findings.names(contents.images)}."
        )


def _list_other_split(part: Contents, findings: Findings) -> Listing:
    """The classes of a validation or test folder; none where its images have no labels."""
    name = findings.name(part.path)
    if not part.folders:
        if not part.images:
            findings.broken += part.broken
        files = pluralize(len(part.images) + len(part.broken), "image")
        why = f"has {files} and no class folders" if part.images else "is empty"
        findings.sentences.append(f"{name} {why}, so it is left out.")
        findings.left_out += part.others
        return {}
    listing = _list_classes(part, findings, at_least=1)
    if not listing:
        findings.sentences.append(f"{name} has no image in any class folder; it is left out.")
    _say_loose(part, findings)
    return listing


def _refuse_extra_classes(
    part: Contents, listing: Listing, train: Contents, class_names: Sequence[str]
) -> None:
    extra = sorted(set(listing) - set(class_names))
    if extra:
        alone = len(listing) == 1
        raise DataError(
            f"{part.path / printable(extra[0])} is a class without training images. Expected the "
            f"classes of {train.path}: {some_of(class_names)}. "
            f"Received: {pluralize(len(extra), 'other class', 'other classes')}: "
            f"{some_of(extra)}. "
            + (
                f"If these images have no labels, move {part.path.name} elsewhere."
                if alone
                else "Rename or remove the folder, or give training images of it."
            )
        )


def _list_classes(part: Contents, findings: Findings, *, at_least: int) -> Listing:
    """The image files of each class folder; a test folder may lack classes, training not."""
    if len(part.folders) < at_least:
        raise _too_few_classes(part)
    classes = {folder.name: look_into(folder) for folder in part.folders}
    # A deeper folder is refused, not skipped: it is another layout than this one, and
    # reading it as classes would be wrong in silence.
    deeper = {name: inner for name, inner in classes.items() if inner.folders}
    if deeper:
        raise _too_deep(part, deeper)
    empty = [name for name, inner in classes.items() if not inner.images and not inner.broken]
    if empty and at_least > 1:
        raise _without_images(part, [classes[name] for name in empty])
    for inner in classes.values():
        findings.left_out += inner.others
        findings.broken += inner.broken
    return {name: inner.images for name, inner in classes.items() if name not in empty}


def _too_few_classes(part: Contents) -> DataError:
    folders = part.folders
    found = [f"{len(folders)} sub-folders{f' ({printable(folders[0].name)})' if folders else ''}"]
    if part.images:
        found.append(f"{pluralize(len(part.images), 'image')} beside them")
    tables = [file.name for file in part.others if file.suffix.lower() in (".npz", ".csv")]
    if tables:
        found.append(some_of(tables, 3))
    npz = [part.path / name for name in tables if name.lower().endswith(".npz")]
    return DataError(
        f"{part.path} has too few classes. Expected two or more sub-folders, one a class, with "
        f"image files. Received: {', '.join(found)}. "
        + (
            f"If the data is {printable(npz[0].name)}, give its path."
            if npz
            else "Sort the images into one sub-folder a class."
        )
    )


def _too_deep(part: Contents, deeper: Mapping[str, Contents]) -> DataError:
    name, inner = next(iter(deeper.items()))
    inner_names = [{folder.name for folder in each.folders} for each in deeper.values()]
    outer_are_splits = split_of(name) is not None
    if all(split_of(folder) for names in inner_names for folder in names):
        advice = "Here the splits are inside the classes: move CLASS/train to train/CLASS."
    elif outer_are_splits:
        advice = (
            "Without a folder train with class folders in it, nothing can be trained: add it, "
            "or give the folder that has it."
        )
    elif len(deeper) > 1 and set.intersection(*inner_names):
        advice = (
            f"If {some_of(deeper, 3)} are splits, name them train, val and test (test or val "
            "may be missing)."
        )
    else:
        advice = "Move the images up, so that each class folder has image files alone."
    return DataError(
        f"The class folder {part.path / printable(name)} has folders in it. Expected image files, "
        "or the layout train/CLASS/, with val/CLASS/ and test/CLASS/ where there are such splits. "
        f"Received: {printable(inner.folders[0].name)}/. {advice}"
    )


def _without_images(part: Contents, empty: Sequence[Contents]) -> DataError:
    others = [file for each in empty for file in each.others]
    folders = some_of(each.path.name for each in empty)
    return DataError(
        f"The class folder {part.path / printable(empty[0].path.name)} has no images"
        f"{f' (nor have {len(empty) - 1} more: {folders})' if len(empty) > 1 else ''}. "
        "Expected image files that Pillow reads, such as .png, .jpg, .gif, .tif or .webp. "
        f"Received: {f'other files: {some_of(f.name for f in others)}' if others else 'none'}. "
        "Add images or remove the folder."
    )
