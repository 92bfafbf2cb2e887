"""Data that changes while a run goes on: noticed, told in words, and never a lost result."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from search.data import Dataset, SplitSettings, load_dataset, open_prepared, prepare
from search.data.origin import ORIGIN
from search.driver.opening import open_run
from search.errors import RunDirectoryError
from search.runs.source_guard import check_source
from search.space.loading import parse_space
from search.space.space import Space
from tests.search.data.data_files import toy_arrays, write_images, write_npz

SETTINGS = SplitSettings(0.3, None, 1)
SPACE = """\
backbone: {family: resnet_v1, depth: 8}
data: {name: %s, validation: 0.3, test_fraction: 0.3}
search: {max_epochs: 1}
"""


def refuse_to_load() -> Dataset:
    raise AssertionError("nothing changed, so nothing is decoded")


def check(name: object, folder: Path, load: Callable[[], Dataset] | None = None) -> list[str]:
    info = open_prepared(folder).info
    again = load or (lambda: load_dataset(str(name), test_fraction=0.3))
    return check_source(info, folder, SETTINGS, again)


def difference(name: object, folder: Path) -> str:
    """What is said of a change; that nothing may be lost by following the advice, too."""
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    with pytest.raises(RunDirectoryError) as caught:
        check(name, folder)
    message = str(caught.value)
    assert "choose another --name" in message and "--overwrite" not in message
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before
    assert message.isprintable()
    return message


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    path = Path(write_npz(tmp_path / "toy.npz", {**toy_arrays(), "class_names": ["x", "y", "z"]}))
    prepare(load_dataset(str(path)), SETTINGS, tmp_path / "data")
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    for split, count in (("train", 6), ("val", 3), ("test", 2)):
        for name, level in (("dark", 10), ("light", 200)):
            write_images(root / split / name, (level,), count)
    prepare(load_dataset(str(root)), SETTINGS, tmp_path / "data")
    return root


def rewrite(path: Path, **changes: object) -> None:
    arrays = {**toy_arrays(), "class_names": ["x", "y", "z"], **changes}
    write_npz(path, arrays)


def test_unchanged_files_are_not_even_read(npz: Path, tmp_path: Path) -> None:
    npz.chmod(0)  # forbids reading, where this is not run by root, and changes ctime
    npz.chmod(0o644)
    assert check(npz, tmp_path / "data", refuse_to_load) == []
    os.utime(npz)
    assert check(npz, tmp_path / "data", refuse_to_load) == []
    shutil.copy(npz, tmp_path / "copy")
    os.replace(tmp_path / "copy", npz)
    assert check(npz, tmp_path / "data", refuse_to_load) == []


def test_the_same_arrays_saved_again_are_no_change(npz: Path, tmp_path: Path) -> None:
    np.savez_compressed(npz, **toy_arrays(), class_names=np.array(["x", "y", "z"]))
    assert check(npz, tmp_path / "data") == []
    assert check(npz, tmp_path / "data", refuse_to_load) == []  # as it is on record now


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x_train": 255 - toy_arrays()["x_train"]}, "with other pixels"),
        ({"x_test": toy_arrays()["x_train"][:6]}, "with other pixels"),
        ({"y_test": np.array([0, 0, 1, 1, 1, 2])}, "2 test images of y in the run, 3 now"),
        ({"class_names": ["x", "y", "w"]}, "1 class added (w); 1 class removed (z)"),
        ({"class_names": ["y", "x", "z"]}, "the classes have another order"),
        ({"x_train": toy_arrays()["x_train"] / 255.0}, "cannot be used any more"),
    ],
)
def test_what_changed_in_a_file_is_told(
    npz: Path, tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    rewrite(npz, **changes)
    assert words in difference(npz, tmp_path / "data")
    rewrite(npz)
    assert check(npz, tmp_path / "data") == []  # restored, as it was advised


def test_a_changed_file_of_the_same_size_and_time_is_noticed(npz: Path, tmp_path: Path) -> None:
    times = npz.stat()
    rewrite(npz, x_train=255 - toy_arrays()["x_train"])
    os.utime(npz, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert npz.stat().st_size == times.st_size
    difference(npz, tmp_path / "data")


def change_of(images: Path, kind: str) -> None:
    dark = images / "train" / "dark"
    match kind:
        case "added":
            write_images(images / "train" / "more", (9,), 1)
            os.rename(images / "train" / "more" / "000.png", dark / "new.png")
            (images / "train" / "more").rmdir()
        case "removed":
            (dark / "003.png").unlink()
        case "replaced":
            shutil.copy(images / "train" / "light" / "000.png", dark / "003.png")
        case "test replaced":
            shutil.copy(images / "train" / "light" / "000.png", images / "test/dark/001.png")
        case "validation removed":
            (images / "val" / "light" / "000.png").unlink()
        case "renamed":
            for split in ("train", "val", "test"):
                os.rename(images / split / "dark", images / split / "black")
        case "swapped":
            os.rename(dark, images / "train" / "x")
            os.rename(images / "train" / "light", dark)
            os.rename(images / "train" / "x", images / "train" / "light")
        case "broken":
            (dark / "003.png").write_bytes(b"x")
        case "dead link":
            (dark / "003.png").unlink()
            (dark / "003.png").symlink_to("nowhere.png")
        case "empty class":
            (images / "train" / "green").mkdir()
        case "no validation":
            shutil.rmtree(images / "val")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (
            "added",
            r"6 training images of dark in the run, 7 now; 1 file added \(train/dark/new.png\)",
        ),
        ("removed", r"6 training images of dark in the run, 5 now; 1 file removed"),
        ("replaced", r"other pixels.*1 file with another content \(train/dark/003.png\)"),
        ("test replaced", r"1 file with another content \(test/dark/001.png\)"),
        ("validation removed", r"3 validation images of light in the run, 2 now"),
        ("renamed", r"1 class added \(black\); 1 class removed \(dark\)"),
        ("swapped", r"12 files with another content"),
        ("broken", r"cannot be used any more.*train/dark/003.png"),
        ("dead link", r"cannot be used any more"),
        ("empty class", r"cannot be used any more.*green has no images"),
        ("no validation", r"6 files removed"),
    ],
)
def test_what_changed_in_a_folder_is_told(
    images: Path, tmp_path: Path, kind: str, words: str
) -> None:
    change_of(images, kind)
    assert re.search(words, difference(images, tmp_path / "data"))


def test_files_that_were_never_read_may_change(images: Path, tmp_path: Path) -> None:
    (images / "train" / "dark" / "notes.txt").write_text("x")
    (images / "train" / "dark" / ".DS_Store").write_bytes(b"x")
    assert check(images, tmp_path / "data", refuse_to_load) == []


def test_a_source_that_is_gone_is_said(npz: Path, tmp_path: Path) -> None:
    npz.unlink()
    (notice,) = check(npz, tmp_path / "data", refuse_to_load)
    assert "is gone: the run goes on with its own copy" in notice


@pytest.mark.parametrize("content", [None, "", "[]", '{"format": 2}', "[" * 10_000, '{"format"'])
def test_a_run_without_a_record_goes_on_and_says_so(
    npz: Path, tmp_path: Path, content: str | None
) -> None:
    (tmp_path / "data" / ORIGIN).unlink()
    if content is not None:
        (tmp_path / "data" / ORIGIN).write_text(content)
    (notice,) = check(npz, tmp_path / "data", refuse_to_load)
    assert "has no record of the files" in notice


def test_manifests_of_before_still_open(npz: Path, tmp_path: Path) -> None:
    path = tmp_path / "data" / "data.json"
    manifest = json.loads(path.read_text())
    del manifest["class_counts"], manifest["own_validation"]
    path.write_text(json.dumps(manifest))
    assert open_prepared(tmp_path / "data").info.class_counts == {}
    rewrite(npz, x_train=255 - toy_arrays()["x_train"])
    assert "with other pixels" in difference(npz, tmp_path / "data")


# ---------------------------------------------------------------- whole runs


def space(name: Path) -> Space:
    return parse_space(SPACE % json.dumps(str(name)), "space.yaml")


def test_a_run_whose_data_changed_is_refused_and_goes_on_when_it_is_restored(
    npz: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with open_run(space(npz), run, searching=True) as first:
        fingerprint = first.info.fingerprint
        assert first.notices == ()
    rewrite(npz, x_train=255 - toy_arrays()["x_train"])
    with (
        pytest.raises(RunDirectoryError, match="has changed since this run began"),
        open_run(space(npz), run, searching=True),
    ):
        pass
    with open_run(space(npz), run, restore_data=True) as exported:  # as an export opens it
        assert exported.info.fingerprint == fingerprint
    rewrite(npz)
    with open_run(space(npz), run, searching=True) as again:
        assert again.resumed and again.info.fingerprint == fingerprint


def test_a_lost_copy_is_not_replaced_by_other_data(npz: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with open_run(space(npz), run):
        pass
    shutil.rmtree(run / "data")
    rewrite(npz, x_train=255 - toy_arrays()["x_train"])
    for _ in range(2):
        with (
            pytest.raises(RunDirectoryError, match="this is other data"),
            open_run(space(npz), run, restore_data=True),
        ):
            pass
        assert not (run / "data").exists()
    rewrite(npz)
    with open_run(space(npz), run, restore_data=True) as restored:
        assert restored.resumed


def test_notices_are_kept_in_the_run(images: Path, tmp_path: Path) -> None:
    (images / "train" / "dark" / "x\x1b.txt").write_text("")
    with open_run(space(images), tmp_path / "run", searching=True) as run:
        told = run.notices
    assert [notice.partition(":")[0] for notice in told] == [
        "The data has a validation split of its own",
        "1 file is left out, as the suffix is none of an image that Pillow reads",
    ]
    shutil.rmtree(images)
    with open_run(space(images), tmp_path / "run", searching=True) as run:
        assert run.notices[:2] == told and "is gone" in run.notices[2]
