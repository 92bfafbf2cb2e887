"""Data sets by name and path, their splits, and the prepared arrays: on real files."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import pickle
import re
import resource
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from search.data import (
    Dataset,
    PreparedInfo,
    Split,
    SplitSettings,
    balanced_subset,
    fingerprint_of,
    load_dataset,
    open_prepared,
    open_test,
    prepare,
    stratified_split,
)
from search.data.class_names import CIFAR10_CLASSES, CIFAR100_CLASSES
from search.errors import DataError, StorageError
from tests.search.command import Payload
from tests.search.data.data_files import (
    Arrays,
    assert_says,
    toy_arrays,
    toy_dataset,
    write_images,
    write_npz,
)

# ---------------------------------------------------------------- the shipped sample


def test_sample_is_2500_real_balanced_images() -> None:
    sample = load_dataset("cifar10-sample")
    assert sample.train.images.shape == (2000, 32, 32, 3)
    assert sample.test.images.shape == (500, 32, 32, 3)
    assert sample.train.images.dtype == np.uint8
    assert sample.train.labels.dtype == np.int64
    assert np.bincount(sample.train.labels).tolist() == [200] * 10
    assert np.bincount(sample.test.labels).tolist() == [50] * 10
    assert sample.class_names == CIFAR10_CLASSES
    assert sample.source == "cifar10-sample"


def test_sample_pixels_are_pinned() -> None:
    sample = load_dataset("cifar10-sample")
    digests = [
        hashlib.sha256(array.astype(np.uint8).tobytes()).hexdigest()
        for split in (sample.train, sample.test)
        for array in (split.images, split.labels)
    ]
    assert digests == [
        "4e5ac895e46a9b569a45d0220f845bd1c317a6bbb96ae905af26bf5b6ca10a16",
        "cc4c5aa56e0ea34249936cd7a5956a98ebba578dba9473e0684b0d70ce1161df",
        "b130bd64837d7ea45dc3fbd2d32f1f70eda695648ee6ceacee1ee0a41dc4202a",
        "ef05233573cbaa3aef37039dda9546f3232a1e96050a39502b89413dc8c9e952",
    ]


def test_loading_needs_neither_keras_nor_pillow() -> None:
    code = (
        "import sys; from search.data import load_dataset; load_dataset('cifar10-sample');"
        "print(sorted({'keras', 'tensorflow', 'PIL'} & set(sys.modules)))"
    )
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---------------------------------------------------------------- .npz files


def test_npz_round_trip(tmp_path: Path) -> None:
    arrays = toy_arrays()
    path = write_npz(tmp_path / "toy.npz", {**arrays, "class_names": np.array(["x", "y", "z"])})
    data = load_dataset(path)
    np.testing.assert_array_equal(data.train.images, arrays["x_train"])
    np.testing.assert_array_equal(data.test.labels, arrays["y_test"])
    assert data.class_names == ("x", "y", "z")
    assert data.source == path


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, ">i4"])
def test_npz_labels_of_any_integer_dtype_and_as_a_column(tmp_path: Path, dtype: Any) -> None:
    arrays = toy_arrays()
    arrays["y_train"] = arrays["y_train"].astype(dtype)[:, np.newaxis]
    data = load_dataset(write_npz(tmp_path / "toy.npz", arrays))
    assert data.train.labels.dtype == np.int64
    assert data.train.labels.tolist() == arrays["y_train"][:, 0].tolist()
    assert data.class_names == ("0", "1", "2")


def test_npz_gray_images_get_one_channel(tmp_path: Path) -> None:
    arrays = toy_arrays()
    arrays["x_train"], arrays["x_test"] = arrays["x_train"][..., 0], arrays["x_test"][..., :1]
    data = load_dataset(write_npz(tmp_path / "toy.npz", arrays))
    assert data.train.images.shape == (30, 8, 8, 1)


def test_npz_without_test_gets_a_stratified_one_each_time_the_same(tmp_path: Path) -> None:
    arrays = {key: toy_arrays(per_class=20)[key] for key in ("x_train", "y_train")}
    path = write_npz(tmp_path / "toy.npz", arrays)
    data, again = (load_dataset(path, test_fraction=0.2) for _ in range(2))
    assert np.bincount(data.test.labels).tolist() == [4, 4, 4]
    assert np.bincount(data.train.labels).tolist() == [16, 16, 16]
    np.testing.assert_array_equal(data.test.images, again.test.images)
    np.testing.assert_array_equal(data.test.images[:, 0, 0, 0], data.test.labels)
    whole = {image.tobytes() for image in arrays["x_train"]}
    parts = [{image.tobytes() for image in split.images} for split in (data.train, data.test)]
    assert parts[0] | parts[1] == whole and not parts[0] & parts[1]


def edited(**changes: Any) -> Callable[[Arrays], Arrays]:
    """An edit of the toy arrays: new values by key, `None` to drop one."""

    def edit(arrays: Arrays) -> Arrays:
        values = {key: value(arrays[key]) for key, value in changes.items() if value is not None}
        return {k: v for k, v in {**arrays, **values}.items() if changes.get(k, 0) is not None}

    return edit


BAD_ARRAYS = {
    "lacks x_train": (edited(x_train=None), ["lacks x_train", "y_train"]),
    "lacks both": (edited(x_train=None, y_train=None), ["lacks x_train and y_train"]),
    "lacks y_test": (edited(y_test=None), ["lacks y_test"]),
    "float images": (edited(x_train=lambda x: x / 255.0), ["uint8", "0..255", "float64"]),
    "rank": (edited(x_train=lambda x: x.reshape(30, -1)), ["shape=(30, 192)", "channels"]),
    "channels first": (edited(x_train=lambda x: x.transpose(0, 3, 1, 2)), ["(30, 3, 8, 8)"]),
    "no images": (edited(x_train=lambda x: x[:0], y_train=lambda y: y[:0]), ["shape=(0, 8"]),
    "lengths": (edited(y_train=lambda y: y[:-1]), ["30 images, 29 labels"]),
    "float labels": (edited(y_train=lambda y: y.astype(float)), ["y_train", "float64"]),
    "bool labels": (edited(y_train=lambda y: y > 0), ["y_train", "bool"]),
    "one-hot": (edited(y_train=lambda y: np.eye(3, dtype=int)[y]), ["(30, 3)", "argmax"]),
    "negative": (edited(y_train=lambda y: y.astype(int) - 1), ["labels from -1 to 1"]),
    "huge": (edited(y_train=lambda y: y.astype(np.uint64) + 2**63), ["9223372036854775810"]),
    "from one": (edited(y_train=lambda y: y + 1, y_test=lambda y: y + 1), ["image of class 0"]),
    "gap": (edited(y_train=lambda y: y * 2, y_test=lambda y: y * 2), ["image of class 1", "to 4"]),
    "far gap": (edited(y_train=lambda y: y * np.int64(10**15)), ["image of class 1"]),
    "only in test": (edited(y_test=lambda y: y + 1), ["no training image of class 3"]),
    "one class": (edited(y_train=lambda y: y * 0, y_test=lambda y: y * 0), ["one class only"]),
    "shapes differ": (edited(x_test=lambda x: x[:, :7]), ["train (8, 8, 3), test (7, 8, 3)"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_npz_with_bad_arrays_is_refused(tmp_path: Path, case: str) -> None:
    edit, parts = BAD_ARRAYS[case]
    path = write_npz(tmp_path / "bad.npz", edit(toy_arrays()))
    with pytest.raises(DataError) as caught:
        load_dataset(path)
    assert_says(str(caught.value), "bad.npz", *parts)


@pytest.mark.parametrize(
    ("names", "part"),
    [
        (["a", "b"], "Received: 2 names"),
        (["a", "b", "a"], "['a', 'b', 'a']"),
        (["a", " ", "c"], "empty"),
        ([[1, 2, 3]], "list of names"),
    ],
)
def test_npz_with_bad_class_names_is_refused(tmp_path: Path, names: Any, part: str) -> None:
    path = write_npz(tmp_path / "bad.npz", {**toy_arrays(), "class_names": np.array(names)})
    with pytest.raises(DataError) as caught:
        load_dataset(path)
    assert_says(str(caught.value), "class", part)


def test_npz_with_too_few_images_for_a_test_split_is_refused(tmp_path: Path) -> None:
    arrays = {"x_train": toy_arrays(1)["x_train"], "y_train": toy_arrays(1)["y_train"]}
    with pytest.raises(DataError, match="at least 2 images of every class.*1 image of class 0"):
        load_dataset(write_npz(tmp_path / "bad.npz", arrays))


def test_files_that_are_no_npz_are_refused(tmp_path: Path) -> None:
    whole = Path(write_npz(tmp_path / "whole.npz", toy_arrays())).read_bytes()
    np.save(tmp_path / "array.npy", np.arange(3))
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "text.npz").write_text("x_train, y_train")
    (tmp_path / "torn.npz").write_bytes(whole[: len(whole) // 2])
    flipped = bytearray(whole)
    flipped[len(whole) // 3] ^= 1
    (tmp_path / "flipped.npz").write_bytes(flipped)
    for name in ("array.npy", "empty.npz", "text.npz", "torn.npz", "flipped.npz"):
        with pytest.raises(DataError) as caught:
            load_dataset(str(tmp_path / name))
        assert_says(str(caught.value), name, "numpy.savez")
    assert "empty file" in str(pytest.raises(DataError, load_dataset, str(tmp_path / "empty.npz")))


def test_npz_with_pickled_objects_is_refused_and_not_run(tmp_path: Path) -> None:
    objects = np.array([Payload(tmp_path / "run")], dtype=object)
    path = write_npz(tmp_path / "bad.npz", {**toy_arrays(), "x_train": objects})
    with pytest.raises(DataError, match="x_train in .*no pickled objects"):
        load_dataset(path)
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------- cifar-10-batches-py


class Python2Pickler(pickle._Pickler):
    """Writes what Python 2 wrote, which the real batch files are: byte strings as `str`."""

    dispatch: ClassVar[dict[type, Callable[..., None]]] = dict(pickle._Pickler.dispatch)

    def save_bytes(self, value: bytes) -> None:
        self.write(b"T" + struct.pack("<i", len(value)) + value)  # type: ignore[attr-defined]

    def save_text(self, value: str) -> None:
        self.save_bytes(value.encode("ascii"))

    dispatch[bytes] = save_bytes
    dispatch[str] = save_text


def python2_pickle(value: object) -> bytes:
    stream = io.BytesIO()
    Python2Pickler(stream, protocol=2).dump(value)
    return stream.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def python3_pickle(value: object) -> bytes:
    return pickle.dumps(value, protocol=4)


def write_batches(folder: Path, dump: Callable[[object], bytes], order: Any = "C") -> Arrays:
    folder.mkdir()
    rng = np.random.default_rng(1)
    written: Arrays = {}
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        labels = list(range(10)) * 2
        written[name] = rng.integers(0, 256, (20, 3072), dtype=np.uint8)
        record = {
            b"batch_label": name.encode(),
            b"labels": labels,
            b"data": np.asarray(written[name], order=order),
            b"filenames": [b"x.png"] * 20,
        }
        (folder / name).write_bytes(dump(record))
    names = [name.encode() for name in CIFAR10_CLASSES]
    (folder / "batches.meta").write_bytes(dump({b"label_names": names, b"num_vis": 3072}))
    return written


@pytest.mark.parametrize("dump", [python2_pickle, python3_pickle])
@pytest.mark.parametrize("order", ["C", "F"])
def test_batches_folder(tmp_path: Path, dump: Callable[[object], bytes], order: str) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    written = write_batches(folder, dump, order)
    data = load_dataset(str(folder))
    assert data.train.images.shape == (100, 32, 32, 3)
    assert data.test.images.shape == (20, 32, 32, 3)
    assert data.class_names == CIFAR10_CLASSES
    # A row is 1024 red, 1024 green and 1024 blue values, row by row of the image.
    assert data.train.images[21, 2, 5].tolist() == [
        written["data_batch_2"][1, channel * 1024 + 2 * 32 + 5] for channel in range(3)
    ]


def test_python2_fixture_has_the_globals_of_the_real_files() -> None:
    content = python2_pickle({b"data": np.zeros((1, 3072), np.uint8)})
    assert content.startswith(b"\x80\x02")
    assert re.findall(rb"c(numpy[\w.]*)\n(\w+)\n", content) == [
        (b"numpy.core.multiarray", b"_reconstruct"),
        (b"numpy", b"ndarray"),
        (b"numpy", b"dtype"),
    ]


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_malicious_batch_is_refused_and_not_run(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    write_batches(folder, python2_pickle)
    (folder / name).write_bytes(python3_pickle({b"data": Payload(tmp_path / "run")}))
    with pytest.raises(DataError, match=rf"{name} was refused.*Received: \w+\.mkdir"):
        load_dataset(str(folder))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "value",
    [
        {b"labels": [0, 1]},
        {b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, None]},
        {b"data": np.zeros((2, 100), np.uint8), b"labels": [0, 1]},
        {b"data": np.zeros((2, 3072), np.int16), b"labels": [0, 1]},
        {b"data": np.array([[None] * 3072] * 2), b"labels": [0, 1]},
        [1, 2],
    ],
)
def test_pickle_that_is_no_batch_is_refused(tmp_path: Path, value: object) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    write_batches(folder, python2_pickle)
    (folder / "data_batch_1").write_bytes(python3_pickle(value))
    with pytest.raises(DataError, match=r"data_batch_1 is damaged or no CIFAR-10 file"):
        load_dataset(str(folder))


def test_batch_torn_anywhere_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    write_batches(folder, python2_pickle)
    whole = (folder / "test_batch").read_bytes()
    for length in range(0, len(whole), 997):
        (folder / "test_batch").write_bytes(whole[:length])
        with pytest.raises(DataError, match="test_batch"):
            load_dataset(str(folder))
    (folder / "test_batch").unlink()
    with pytest.raises(DataError, match=r"test_batch cannot be read.*Received: "):
        load_dataset(str(folder))


# ---------------------------------------------------------------- folders of images


def test_image_folder_with_train_and_test(tmp_path: Path) -> None:
    write_images(tmp_path / "train" / "red", (255, 0, 0), 3)
    write_images(tmp_path / "train" / "blue", (0, 0, 255), 2)
    write_images(tmp_path / "test" / "red", (255, 0, 0), 2)
    write_images(tmp_path / "other" / "red", (9, 9, 9), 1)
    (tmp_path / "train" / "red" / "notes.txt").write_text("left out")
    (tmp_path / "train" / ".cache").mkdir()
    data = load_dataset(str(tmp_path))
    assert data.class_names == ("blue", "red")
    assert data.train.labels.tolist() == [0, 0, 1, 1, 1]
    assert data.train.images[:, 0, 0].tolist() == [[0, 0, 255]] * 2 + [[255, 0, 0]] * 3
    assert data.test.labels.tolist() == [1, 1]
    assert data.test.images.shape == (2, 6, 6, 3)


def test_image_folder_without_test_is_cut(tmp_path: Path) -> None:
    for name, level in (("dark", 10), ("light", 200)):
        for suffix in (".png", ".bmp", ".webp", ".JPG", ".jpeg"):
            write_images(tmp_path / name, (level,), 2, suffix=suffix)
    (tmp_path / "light" / "._000.png").write_bytes(b"a Finder's own")
    data = load_dataset(str(tmp_path), test_fraction=0.3)
    assert np.bincount(data.train.labels).tolist() == [7, 7]
    assert np.bincount(data.test.labels).tolist() == [3, 3]
    light = data.train.images.mean(axis=(1, 2, 3)) > 100
    np.testing.assert_array_equal(light, data.train.labels == 1)


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[2Jgone", "a\tb", "\udcff"])
def test_class_folder_that_cannot_be_printed_is_named(tmp_path: Path, name: str) -> None:
    """It would be two lines of class_names.txt, or an order to a terminal, or no text at all."""
    write_images(tmp_path / "dark", (10,), 3)
    write_images(tmp_path / name, (200,), 3)
    with pytest.raises(DataError) as caught:
        load_dataset(str(tmp_path), test_fraction=0.5)
    assert_says(str(caught.value), ascii(name), "cannot be printed", "Rename")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "name", ["..", "...", "../up", "a b", "-rf", "train", "Ä", "a\u3000b", "💥"]
)
def test_class_names_are_no_paths(tmp_path: Path, name: str) -> None:
    """They name nothing on disk, so a name from a data file may be whatever it likes."""
    path = write_npz(
        tmp_path / "names.npz", {**toy_arrays(), "class_names": np.array([name, "b", "c"])}
    )
    before = set(tmp_path.rglob("*"))
    prepare(load_dataset(path), SplitSettings(0.3, None, 0), tmp_path / "inner" / "data")
    made = set(tmp_path.rglob("*")) - before
    assert made and all(each.is_relative_to(tmp_path / "inner") for each in made)
    assert open_prepared(tmp_path / "inner" / "data").info.class_names == (name, "b", "c")


def test_image_folder_is_gray_only_when_every_image_is(tmp_path: Path) -> None:
    write_images(tmp_path / "a", (10,), 3)
    write_images(tmp_path / "b", (20,), 3)
    assert load_dataset(str(tmp_path), test_fraction=0.34).train.images.shape == (4, 6, 6, 1)
    write_images(tmp_path / "b", (1, 2, 3), 1)
    data = load_dataset(str(tmp_path), test_fraction=0.34)
    assert data.train.images.shape == (4, 6, 6, 3)
    assert data.train.images[0, 0, 0].tolist() == [10, 10, 10]


def test_image_size_resizes_the_short_side_and_crops_the_center(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_images(tmp_path / name, (0, 0, 0), 2, size=(7, 9))
        wide = Image.new("RGB", (40, 20), (255, 0, 0))
        wide.paste((0, 255, 0), (10, 0, 30, 20))
        wide.save(tmp_path / name / "wide.png")
    data = load_dataset(str(tmp_path), image_size=10, test_fraction=0.4)
    images = np.concatenate([data.train.images, data.test.images])
    assert images.shape == (6, 10, 10, 3)
    centers = images[:, 5, 5].tolist()
    assert centers.count([0, 255, 0]) == 2 and centers.count([0, 0, 0]) == 4
    assert not (images[..., 0] > 200).any()  # the red sides are cropped away


def test_resizing_is_bilinear(tmp_path: Path) -> None:
    board = np.where(np.indices((16, 16)).sum(axis=0) % 2, 255, 0).astype(np.uint8)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index in range(3):
            Image.fromarray(board).save(tmp_path / name / f"{index}.png")
    images = load_dataset(str(tmp_path), image_size=4, test_fraction=0.34).train.images
    assert images.min() > 100 and images.max() < 155  # gray: no pixel was merely picked


def test_images_of_two_sizes_without_image_size_are_named(tmp_path: Path) -> None:
    write_images(tmp_path / "a", (0, 0, 0), 2)
    write_images(tmp_path / "b", (0, 0, 0), 2, size=(7, 5))
    with pytest.raises(DataError) as caught:
        load_dataset(str(tmp_path))
    assert_says(str(caught.value), "a/000.png is 6x6", "b/000.png is 7x5", "image_size")


def test_corrupt_and_deep_images_are_named(tmp_path: Path) -> None:
    write_images(tmp_path / "a", (0, 0, 0), 2)
    write_images(tmp_path / "b", (0, 0, 0), 2)
    for content in (b"", b"no image", (tmp_path / "a" / "000.png").read_bytes()[:45]):
        (tmp_path / "b" / "001.png").write_bytes(content)
        with pytest.raises(DataError, match=r"1 file of .*Received: b/001\.png \("):
            load_dataset(str(tmp_path))
    Image.fromarray(np.full((6, 6), 40000, np.uint16)).save(tmp_path / "b" / "001.png")
    with pytest.raises(DataError, match=r"b/001\.png \(not 8 bits a channel.*I;16"):
        load_dataset(str(tmp_path))


def test_folders_of_another_layout_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too few classes.*Received: 0 sub-folders"):
        load_dataset(str(tmp_path))
    write_images(tmp_path / "train" / "a", (0, 0, 0), 1)
    with pytest.raises(DataError, match=r"train has too few classes.*1 sub-folders \(a\)"):
        load_dataset(str(tmp_path))
    write_images(tmp_path / "train" / "b", (0, 0, 0), 1)
    write_images(tmp_path / "test" / "c", (0, 0, 0), 1)
    with pytest.raises(DataError, match=r"test/c is a class without training images"):
        load_dataset(str(tmp_path))
    (tmp_path / "train" / "c").mkdir()
    with pytest.raises(DataError, match=r"class folder .*train/c has no images"):
        load_dataset(str(tmp_path))


def test_image_folder_without_pillow_names_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(tmp_path / "a", (0, 0, 0), 2)
    write_images(tmp_path / "b", (0, 0, 0), 2)
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(DataError, match=r"Pillow.*pip install pillow$"):
        load_dataset(str(tmp_path))


# ---------------------------------------------------------------- names


def fake_keras(load_data: Callable[[], Any]) -> Any:
    keras: Any = ModuleType("keras")
    keras.datasets = SimpleNamespace(
        cifar10=SimpleNamespace(load_data=load_data), cifar100=SimpleNamespace(load_data=load_data)
    )
    return keras


@pytest.mark.parametrize(
    ("name", "names"), [("cifar10", CIFAR10_CLASSES), ("cifar100", CIFAR100_CLASSES)]
)
def test_named_data_set_comes_from_keras(
    name: str,
    names: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    labels = np.arange(len(names), dtype=np.uint8)[:, np.newaxis]
    images = np.zeros((len(names), 32, 32, 3), np.uint8)

    def load_data() -> Any:
        print("Downloading data")
        return (images, labels), (images, labels)

    monkeypatch.setitem(sys.modules, "keras", fake_keras(load_data))
    data = load_dataset(name)
    assert data.class_names == names == tuple(sorted(names)) and data.source == name
    assert capsys.readouterr().out == ""  # stdout is the program's, for what it prints as data


def test_failed_download_gives_three_ways_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_data() -> Any:
        raise RuntimeError("URL fetch failure: no route to host\nsecond line")

    monkeypatch.setitem(sys.modules, "keras", fake_keras(load_data))
    with pytest.raises(DataError) as caught:
        load_dataset("cifar10")
    assert_says(
        str(caught.value),
        "download of cifar10 failed",
        "no route to host",
        "--data cifar10-sample",
        "--data path/to/cifar10.npz",
        "--data path/to/cifar-10-batches-py",
    )
    assert "second line" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("cifar-10", "Did you mean 'cifar10'?"),
        ("nowhere/data.npz", ""),
        ("", ""),
        ("~nobody-of-this-name/x", ""),
        ("a\0b", ""),
        ("x" * 5000, ""),
    ],
)
def test_unknown_name_lists_names_and_kinds(name: str, hint: str) -> None:
    with pytest.raises(DataError) as caught:
        load_dataset(name)
    parts = (
        "cifar10, cifar100, cifar10-sample",
        ".npz",
        "cifar-10-batches-py",
        "sub-folder",
        hint,
    )
    assert_says(str(caught.value), *parts)


def test_bad_options_are_refused() -> None:
    for fraction in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(DataError, match="Received: test_fraction="):
            load_dataset("cifar10-sample", test_fraction=fraction)
    with pytest.raises(DataError, match="Received: image_size=0"):
        load_dataset("cifar10-sample", image_size=0)
    with pytest.raises(DataError, match="only a folder of images can.*Received: image_size=64"):
        load_dataset("cifar10-sample", image_size=64)
    assert load_dataset("cifar10-sample", image_size=32).train.images.shape[1] == 32


# ---------------------------------------------------------------- splits


@pytest.mark.parametrize("size", [3, 10, 57, 117, 0.1, 0.5])
def test_split_is_a_stratified_partition(size: int | float) -> None:
    labels = np.repeat([0, 1, 2], [60, 40, 20])[np.random.default_rng(0).permutation(120)]
    rest, chosen = stratified_split(labels, size, seed=3)
    wanted = size if isinstance(size, int) else round(size * 120)
    assert len(chosen) == wanted
    assert sorted([*rest, *chosen]) == list(range(120))
    assert list(rest) == sorted(rest) and list(chosen) == sorted(chosen)
    counts = np.bincount(labels[chosen], minlength=3)
    assert counts.min() >= 1 and np.bincount(labels[rest], minlength=3).min() >= 1
    exact = np.array([60, 40, 20]) * wanted / 120
    if wanted not in (3, 117):  # there, one image a class comes before proportion
        assert np.abs(counts - exact).max() < 1


def test_every_class_is_in_both_parts_whenever_that_is_possible() -> None:
    for counts in itertools.product((2, 3, 7), (2, 5, 30), (2, 3, 4), (2, 9)):
        labels = np.repeat(np.arange(4), counts)
        for size in range(4, len(labels) - 3):
            _, chosen = stratified_split(labels, size, seed=0)
            taken = np.bincount(labels[chosen], minlength=4)
            assert taken.sum() == size
            assert (taken >= 1).all() and (taken < counts).all()


def test_split_follows_the_largest_remainder() -> None:
    labels = np.repeat([0, 1, 2], [50, 33, 17])
    _, chosen = stratified_split(labels, 15, seed=0)  # 7.5, 4.95, 2.55
    assert np.bincount(labels[chosen]).tolist() == [7, 5, 3]


def test_split_is_a_function_of_labels_size_and_seed() -> None:
    labels = np.arange(1000) % 10
    first, same, other = (stratified_split(labels, 0.1, seed=s)[1].tolist() for s in (0, 0, 1))
    assert first == same != other
    # Pinned: a change here would move the validation images of every resumed search.
    assert first[:8] == stratified_split(labels.astype(np.uint8), 100, seed=0)[1].tolist()[:8]
    digest = hashlib.sha256(np.array(first, dtype="<i8").tobytes()).hexdigest()
    assert digest == "6961697113a43f0a6ae82cc832febbf2dab111a5140d8507a7f30f6eecb53a3b"


@pytest.mark.parametrize("size", [0, -1, 20, 21, 0.0, 1.0, 1.5, True, float("nan"), "5"])
def test_split_size_out_of_range_is_refused(size: Any) -> None:
    with pytest.raises(DataError, match="Received: size="):
        stratified_split(np.arange(20) % 2, size, seed=0)


@pytest.mark.parametrize("size", [1, 9, 0.01])
def test_split_that_cannot_hold_every_class_twice_is_refused(size: int | float) -> None:
    with pytest.raises(DataError, match="Expected between 2 and 8 images. Received: size="):
        stratified_split(np.arange(10) % 2, size, seed=0)


def test_split_refuses_a_bad_seed() -> None:
    with pytest.raises(DataError, match="Received: seed=-1"):
        stratified_split(np.arange(10) % 2, 4, seed=-1)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(1, [1, 0, 0]), (9, [3, 3, 3]), (10, [4, 3, 3]), (14, [6, 5, 3]), (99, [10, 6, 3])],
)
def test_subset_is_as_balanced_as_the_counts_allow(limit: int, expected: list[int]) -> None:
    labels = np.repeat([0, 1, 2], [10, 6, 3])
    chosen = balanced_subset(labels, limit, seed=5)
    assert np.bincount(labels[chosen], minlength=3).tolist() == expected
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    assert chosen.tolist() == balanced_subset(labels, limit, seed=5).tolist()


def test_subset_depends_on_the_seed() -> None:
    labels = np.arange(100) % 2
    first, other = (balanced_subset(labels, 20, seed=seed).tolist() for seed in (0, 1))
    assert first != other


@pytest.mark.parametrize("limit", [0, -3, 1.5, True])
def test_subset_of_no_images_is_refused(limit: Any) -> None:
    with pytest.raises(DataError, match="Received: limit="):
        balanced_subset(np.arange(10) % 2, limit, seed=0)


# ---------------------------------------------------------------- prepared arrays


def test_prepare_writes_what_open_reads(tmp_path: Path) -> None:
    data = toy_dataset()
    info = prepare(data, SplitSettings(validation=6, seed=1), tmp_path / "deep" / "data")
    opened = open_prepared(tmp_path / "deep" / "data", verify=True)
    assert opened.info == info
    assert (info.train_count, info.validation_count, info.test_count) == (24, 6, 6)
    assert info.image_shape == (8, 8, 3) and info.class_names == ("a", "b", "c")
    rest, chosen = stratified_split(data.train.labels, 6, seed=1)
    np.testing.assert_array_equal(opened.train.images, data.train.images[rest])
    np.testing.assert_array_equal(opened.train.labels, data.train.labels[rest])
    np.testing.assert_array_equal(opened.validation.images, data.train.images[chosen])
    np.testing.assert_array_equal(opened.validation.labels, data.train.labels[chosen])
    np.testing.assert_array_equal(open_test(tmp_path / "deep" / "data").images, data.test.images)
    assert isinstance(opened.train.images, np.memmap)
    assert opened.train.labels.dtype == np.int64
    with pytest.raises(ValueError, match="read-only"):
        opened.train.images[0, 0, 0, 0] = 1


def test_manifest_holds_the_sha256_of_every_file(tmp_path: Path) -> None:
    info = prepare(toy_dataset(), SplitSettings(), tmp_path)
    manifest = json.loads((tmp_path / "data.json").read_text())
    files = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {*manifest["sha256"], "data.json"}
    for name, expected in manifest["sha256"].items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == expected
    assert manifest["fingerprint"] == info.fingerprint
    assert PreparedInfo.from_dict(manifest) == info
    # Pinned: the fingerprint decides whether a search may be resumed.
    assert info.fingerprint == "df090ebf40e5e8575dfb881ccf498d089b3d8edf24cd95346aeb448c7832ef92"


def test_files_are_what_numpy_would_write(tmp_path: Path) -> None:
    prepare(toy_dataset(), SplitSettings(), tmp_path)
    stream = io.BytesIO()
    np.save(stream, toy_dataset().test.images)
    assert (tmp_path / "test" / "test_images.npy").read_bytes() == stream.getvalue()


def test_fingerprint_is_of_the_contents_alone(tmp_path: Path) -> None:
    data, settings = toy_dataset(), SplitSettings(validation=6)
    first = prepare(data, settings, tmp_path / "a").fingerprint
    assert fingerprint_of(data, settings) == first
    assert fingerprint_of(toy_dataset("elsewhere"), settings) == first
    assert fingerprint_of(data, SplitSettings(validation=0.2)) == first
    renamed = Dataset(data.train, data.test, ("a", "b", "d"), data.source)
    flipped = Dataset(
        data.train, Split(255 - data.test.images, data.test.labels), ("a", "b", "c"), ""
    )
    others = [
        fingerprint_of(renamed, settings),
        fingerprint_of(flipped, settings),
        fingerprint_of(data, SplitSettings(validation=6, seed=1)),
        fingerprint_of(data, SplitSettings(validation=7)),
        fingerprint_of(data, SplitSettings(validation=6, limit=15)),
    ]
    assert len({first, *others}) == 6


def test_limit_is_balanced_and_of_the_training_images_alone(tmp_path: Path) -> None:
    info = prepare(toy_dataset(), SplitSettings(validation=3, limit=12), tmp_path)
    opened = open_prepared(tmp_path)
    assert np.bincount(opened.train.labels).tolist() == [3, 3, 3]
    assert np.bincount(opened.validation.labels).tolist() == [1, 1, 1]
    assert info.test_count == 6 and info.limit == 12


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        (SplitSettings(validation=30), "Received: size=30"),
        (SplitSettings(validation=5000), "Received: size=5000"),
        (SplitSettings(validation=29), "Received: size=29"),
        (SplitSettings(limit=0), "Received: limit=0"),
        (SplitSettings(limit=-1), "Received: limit=-1"),
        (SplitSettings(limit=5), "Received: limit=5"),
        (SplitSettings(seed=-1), "Received: seed=-1"),
    ],
)
def test_impossible_settings_write_nothing(
    tmp_path: Path, settings: SplitSettings, part: str
) -> None:
    with pytest.raises(DataError, match=part):
        prepare(toy_dataset(), settings, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_the_search_never_touches_the_test_split(tmp_path: Path) -> None:
    prepare(toy_dataset(), SplitSettings(), tmp_path)
    shutil.rmtree(tmp_path / "test")
    assert len(open_prepared(tmp_path, verify=True).train.labels) == 27
    with pytest.raises(DataError, match=r"test_images\.npy.*no such file"):
        open_test(tmp_path)


def test_changed_test_split_is_refused(tmp_path: Path) -> None:
    prepare(toy_dataset(), SplitSettings(), tmp_path)
    path = tmp_path / "test" / "test_labels.npy"
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"test_labels\.npy.*Received: sha256="):
        open_test(tmp_path)


def test_damaged_arrays_are_refused(tmp_path: Path) -> None:
    prepare(toy_dataset(), SplitSettings(), tmp_path)
    for name in ("train_images.npy", "train_labels.npy", "validation_images.npy"):
        path = tmp_path / name
        whole = path.read_bytes()
        np.savez(tmp_path / "other.npz", x=np.arange(3))
        for content in (
            b"",
            whole[:5],
            whole[:100],
            whole[:-1],
            whole + b"\0",
            b"nothing of the kind",
            (tmp_path / "other.npz").read_bytes(),
            (tmp_path / "validation_labels.npy").read_bytes(),
        ):
            path.write_bytes(content)
            with pytest.raises(DataError, match=rf"{name}.*Received: "):
                open_prepared(tmp_path)
        path.unlink()
        with pytest.raises(DataError, match=rf"{name}.*no such file"):
            open_prepared(tmp_path)
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        open_prepared(tmp_path)  # a flipped bit is seen only by reading every byte ...
        with pytest.raises(DataError, match=rf"{name}.*Received: sha256="):
            open_prepared(tmp_path, verify=True)
        path.write_bytes(whole)
    open_prepared(tmp_path, verify=True)


def test_damaged_manifest_is_refused(tmp_path: Path) -> None:
    prepare(toy_dataset(), SplitSettings(), tmp_path)
    path = tmp_path / "data.json"
    whole = path.read_text()
    for length in range(0, len(whole) - 1, 7):
        path.write_text(whole[:length])
        with pytest.raises(DataError, match=r"data\.json.*Received: "):
            open_prepared(tmp_path)
    values = json.loads(whole)
    changes: list[dict[str, Any]] = [
        {"format": 2},
        {"fingerprint": "0" * 64},
        {"class_names": ["a", "b", "d"]},
        {"class_names": [1, 2, 3]},
        {"counts": {"train": True}},
        {"image_shape": [8, 8]},
        {"sha256": {}},
    ]
    for change in changes:
        path.write_text(json.dumps({**values, **change}))
        with pytest.raises(DataError, match=r"data\.json.*Received: "):
            open_prepared(tmp_path)
    path.write_text("[" * 100_000)
    with pytest.raises(DataError, match=r"data\.json"):
        open_prepared(tmp_path)
    path.unlink()
    for opener in (open_prepared, open_test):
        with pytest.raises(DataError, match=r"data\.json.*no such file"):
            opener(tmp_path)


def test_write_where_no_folder_can_be_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="Received: .*Free some space or choose"):
        prepare(toy_dataset(), SplitSettings(), tmp_path / "file" / "data")


def test_write_refused_half_way_leaves_no_manifest_and_can_be_repeated(tmp_path: Path) -> None:
    first = prepare(toy_dataset(), SplitSettings(), tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # the system refuses more
    try:
        with pytest.raises(StorageError, match="Received: "):
            prepare(toy_dataset(), SplitSettings(seed=1), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.rglob("*.tmp"))
    with pytest.raises(DataError, match=r"data\.json.*no such file"):
        open_prepared(tmp_path)
    assert prepare(toy_dataset(), SplitSettings(), tmp_path) == first
    open_prepared(tmp_path, verify=True)
