"""`.npz` files: the names that people use, labels of every kind, and crafted or damaged ones."""

from __future__ import annotations

import io
import random
import resource
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.data import load_dataset
from search.errors import DataError
from tests.search.data.data_files import Arrays, toy_arrays, write_npz


def refusal(path: Path | str) -> str:
    with pytest.raises(DataError) as caught:
        load_dataset(str(path))
    message = str(caught.value)
    assert "Received: " in message and message.isprintable(), message
    return message


def with_validation(**names: str) -> Arrays:
    """Toy arrays in three splits, under other names where they are given."""
    arrays = toy_arrays()
    arrays["x_val"], arrays["y_val"] = 254 - arrays["x_test"][:3], arrays["y_test"][:3]
    return {names.get(key, key): value for key, value in arrays.items()}


MEDMNIST = {
    f"{letter}_{split}": f"{split}_{what}"
    for letter, what in (("x", "images"), ("y", "labels"))
    for split in ("train", "val", "test")
}

# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    "names",
    [
        {},
        MEDMNIST,
        {"x_val": "x_valid", "y_val": "y_valid"},
        {"x_val": "x_validation", "y_val": "Y_validation", "x_train": "X_train"},
        {"x_val": "valid_x", "y_val": "valid_y", "x_test": "x_testing", "y_test": "test_labels"},
    ],
)
def test_a_given_validation_split_is_used_under_every_name(
    tmp_path: Path, names: dict[str, str]
) -> None:
    arrays = with_validation()
    data = load_dataset(write_npz(tmp_path / "toy.npz", with_validation(**names)))
    assert data.validation is not None
    np.testing.assert_array_equal(data.validation.images, arrays["x_val"])
    np.testing.assert_array_equal(data.train.images, arrays["x_train"])
    np.testing.assert_array_equal(data.test.labels, arrays["y_test"])
    (notice,) = data.notices
    assert f"of its own: the 3 images of {names.get('x_val', 'x_val')} are used" in notice


def test_validation_without_test_leaves_validation_alone(tmp_path: Path) -> None:
    arrays = {k: v for k, v in with_validation().items() if not k.endswith("test")}
    data = load_dataset(write_npz(tmp_path / "toy.npz", arrays))
    assert data.validation is not None and len(data.validation.labels) == 3
    assert len(data.train.labels) == 27 and len(data.test.labels) == 3
    assert any("no test split: 3 of its 30 training images" in n for n in data.notices)


def test_arrays_without_a_use_are_said(tmp_path: Path) -> None:
    arrays = with_validation()
    del arrays["y_val"]
    arrays |= {"x_holdout": arrays["x_test"], "meta\x1b[2J": np.arange(3)}
    data = load_dataset(write_npz(tmp_path / "toy.npz", arrays))
    assert data.validation is None
    assert data.notices == (
        r"Arrays of the file that are not used: x_val, x_holdout, meta\x1b[2J.",
    )


@pytest.mark.parametrize(
    ("more", "part"),
    [
        ("x_valid", "validation images twice. Expected one array of them. Received: x_val, x_va"),
        ("train_images", "train images twice"),
        ("Y_TEST", "test labels twice"),
    ],
)
def test_two_arrays_for_one_split_are_refused(tmp_path: Path, more: str, part: str) -> None:
    arrays = {**with_validation(), more: np.zeros(3, np.uint8)}
    assert part in refusal(write_npz(tmp_path / "bad.npz", arrays))


def test_names_that_mean_nothing_are_told(tmp_path: Path) -> None:
    arrays = {"X": toy_arrays()["x_train"], "labels": toy_arrays()["y_train"]}
    message = refusal(write_npz(tmp_path / "bad.npz", arrays))
    assert "lacks x_train and y_train" in message and "Received: X, labels." in message


def test_validation_of_another_shape_or_class_is_refused(tmp_path: Path) -> None:
    arrays = with_validation()
    other = {**arrays, "x_val": arrays["x_val"][:, :7]}
    assert "train (8, 8, 3), validation (7, 8, 3)" in refusal(write_npz(tmp_path / "a.npz", other))
    other = {**arrays, "y_val": arrays["y_val"] + 3}
    message = refusal(write_npz(tmp_path / "b.npz", other))
    assert "no training image of class 3" in message and "The validation images have" in message


# ---------------------------------------------------------------- labels and images


def labeled(labels: Any) -> Arrays:
    """Toy images with these labels, made of the class numbers."""
    arrays = toy_arrays()
    return {**arrays, "y_train": labels(arrays["y_train"]), "y_test": labels(arrays["y_test"])}


@pytest.mark.parametrize(
    ("labels", "advice"),
    [
        (lambda y: y + 1, "numbered from 1, subtract 1"),
        (lambda y: np.where(y > 0, 1, -1), "Save (y_train + 1) // 2"),
        (lambda y: y > 0, "y_train.astype('uint8'): False is class 0"),
        (lambda y: np.array(["a", "b", "c"])[y], "np.unique(y_train, return_inverse=True)"),
        (lambda y: y.astype("float32"), "save y_train.astype('int64')"),
        (lambda y: y / 7, "quantities, not classes"),
        (lambda y: np.where(y > 0, np.nan, 1.0), "quantities, not classes"),
        (lambda y: np.eye(3)[y], "y_train.argmax(axis=1)"),
        (lambda y: np.eye(3, dtype="uint8")[y], "y_train.argmax(axis=1)"),
        (lambda y: np.eye(3, dtype=bool)[y], "y_train.argmax(axis=1)"),
        (lambda y: np.eye(3, dtype=int)[y] + np.eye(3, dtype=int)[0], "several classes at once"),
        (lambda y: np.full((len(y), 3), 0.3), "the most likely class of each"),
        (lambda y: y.astype(complex), "Save the labels as integers"),
    ],
)
def test_advice_on_labels_fits_them(tmp_path: Path, labels: Any, advice: str) -> None:
    assert advice in refusal(write_npz(tmp_path / "bad.npz", labeled(labels)))


@pytest.mark.parametrize(
    ("images", "advice"),
    [
        (lambda x: (x / 255).astype("float32"), "np.round(x_train * 255).astype('uint8')"),
        (lambda x: x.astype("float64"), "np.round(x_train).astype('uint8')"),
        (lambda x: x.astype("int32"), "np.round(x_train).astype('uint8')"),
        (lambda x: x.astype("uint16") * 200, "(x_train >> 8)"),
        (lambda x: x / 127.5 - 1, "Save the images unscaled"),
        (lambda x: np.full(x.shape, np.nan), "Save the images unscaled"),
        (lambda x: x.transpose(0, 3, 1, 2), "x_train.transpose(0, 2, 3, 1)"),
        (lambda x: np.concatenate([x, x[..., :1]], axis=-1), "save x_train[..., :3]"),
    ],
)
def test_advice_on_images_fits_them(tmp_path: Path, images: Any, advice: str) -> None:
    arrays = toy_arrays()
    arrays["x_train"] = images(arrays["x_train"])
    assert advice in refusal(write_npz(tmp_path / "bad.npz", arrays))


# ---------------------------------------------------------------- crafted and damaged files


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def with_header(text: bytes, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """An `.npy` of a header that NumPy would not write."""
    text += b" " * (63 - (len(text) + 10) % 64) + b"\n"
    size = len(text).to_bytes(2 if version == b"\x01\x00" else 4, "little")
    return b"\x93NUMPY" + version + size + text + data


def write_members(path: Path, **members: bytes) -> Path:
    whole = {"x_train": npy(toy_arrays()["x_train"]), "y_train": npy(toy_arrays()["y_train"])}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**whole, **members}.items():
            archive.writestr(f"{name}.npy", content)
    return path


SHAPE = b"{'descr': '|u1', 'fortran_order': False, 'shape': %s}"
CRAFTED = {
    "booleans": with_header(SHAPE % b"(True, 8, 8, 3)", b"\0" * 192),
    "negative": with_header(SHAPE % b"(-1, 8, 8, 3)", b"\0" * 192),
    "floats": with_header(SHAPE % b"(1.0, 8)", b"\0" * 8),
    "strings": with_header(SHAPE % b"('1', 8)", b"\0" * 8),
    "huge": with_header(SHAPE % b"(10000000000000, 8, 8, 3)", b"\0" * 192),
    "overflow": with_header(SHAPE % (b"(" + b"9" * 400 + b",)"), b"\0" * 192),
    "empty and huge": with_header(SHAPE % b"(0, 99999999999999999999)"),
    "short": with_header(SHAPE % b"(30, 8, 8, 3)", b"\0" * 100),
    "long": with_header(SHAPE % b"(1, 8, 8, 3)", b"\0" * 193),
    "parentheses": with_header(b"(" * 9000),
    "brackets": with_header(b"[" * 9000 + b"]" * 9000),
    "minus": with_header(b"-" * 9000 + b"1"),
    "quote": with_header(b"{'descr': '''"),
    "not a dictionary": with_header(b"[1, 2]"),
    "other keys": with_header(b"{'descr': '|u1', 1: 2}"),
    "no dtype": with_header(SHAPE.replace(b"|u1", b"nonsense") % b"(1,)"),
    "records": with_header(SHAPE.replace(b"'|u1'", b"[('a', '|u1')]") % b"(1,)", b"\0"),
    "nested records": with_header(SHAPE.replace(b"'|u1'", b"('|u1', (2,))") % b"(1,)", b"\0\0"),
    "deep dtype": with_header(SHAPE.replace(b"'|u1'", b"[" * 90 + b"]" * 90) % b"(1,)", b"\0"),
    "objects": with_header(SHAPE.replace(b"|u1", b"|O") % b"(1,)", b"\0" * 8),
    "no size": with_header(SHAPE.replace(b"|u1", b"<U0") % b"(1000000000000,)"),
    "nul": with_header(b"\0" * 60),
    "no text": with_header(b"\xff\xfe" * 60, version=b"\x03\x00"),
    "version": with_header(SHAPE % b"(1,)", b"\0", version=b"\x09\x00"),
    "a header of gigabytes": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{'descr'",
    "no header": b"\x93NUMPY",
    "nothing": b"",
}


@pytest.mark.parametrize("kind", CRAFTED)
def test_crafted_headers_are_refused(tmp_path: Path, kind: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name in ("x_train", "y_train"):
        path = write_members(tmp_path / f"{name}.npz", **{name: CRAFTED[kind]})
        assert f"{name} in " in refusal(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes


def test_an_archive_with_one_name_twice_is_refused(tmp_path: Path) -> None:
    path = write_members(tmp_path / "twice.npz")
    with pytest.warns(UserWarning), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("y_train.npy", npy(np.zeros(30, np.uint8)))
    assert "two arrays of the name 'y_train'" in refusal(path)


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    path = write_members(tmp_path / "locked.npz")
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        position = content.find(mark)
        while position >= 0:
            content[position + offset] |= 1
            position = content.find(mark, position + 1)
    path.write_bytes(content)
    assert "encrypted" in refusal(path)


def test_a_size_that_lies_costs_no_memory(tmp_path: Path) -> None:
    """A member that claims 2 GiB and holds 30 images is refused when its bytes end."""
    path = tmp_path / "lie.npz"
    header = with_header(SHAPE % b"(11184810, 8, 8, 3)")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x_train.npy", header + b"\0" * 5760)
        archive.writestr("y_train.npy", npy(toy_arrays()["y_train"]))
    content = path.read_bytes()
    true, lie = len(header) + 5760, len(header) + 11184810 * 192
    path.write_bytes(content.replace(true.to_bytes(4, "little"), lie.to_bytes(4, "little")))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refusal(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_writes_is_read_as_numpy_reads_it(
    tmp_path: Path, order: Any, save: Any
) -> None:
    arrays = {name: np.asarray(value, order=order) for name, value in toy_arrays().items()}
    arrays["y_train"] = arrays["y_train"].astype(">i4")
    save(tmp_path / "toy.npz", **arrays)
    data = load_dataset(str(tmp_path / "toy.npz"))
    np.testing.assert_array_equal(data.train.images, arrays["x_train"])
    np.testing.assert_array_equal(data.train.labels, arrays["y_train"])


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Some bytes of a file changed, doubled, cut out or replaced by digits and brackets."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        # Mostly the first header, its length, and the directory at the end.
        limit = chance.choice([64, 200, 200, len(changed)])
        at = chance.randrange(min(limit, len(changed)))
        at = len(changed) - 1 - at if chance.random() < 0.3 else at
        match chance.randrange(4):
            case 0:
                changed[at] = chance.randrange(256)
            case 1:
                changed[at : at + 1] = bytes(chance.choices(b"0123456789()[]{}',-TrueL", k=3))
            case 2:
                del changed[at : at + chance.randint(1, 8)]
            case 3:
                changed[at:at] = changed[at : at + chance.randint(1, 40)] * chance.randint(1, 9)
    return bytes(changed)


def test_mutated_files_load_or_are_refused(tmp_path: Path) -> None:
    """Whatever the mutation: a data set, or a `DataError` and nothing else."""
    chance = random.Random(11)
    images, labels = npy(toy_arrays()["x_train"]), npy(toy_arrays()["y_train"])
    path = tmp_path / "mutated.npz"
    refused = 0
    for _ in range(400):
        if chance.random() < 0.8:  # a whole archive around a damaged array
            write_members(path, x_train=mutated(images, chance), y_train=labels)
        else:
            path.write_bytes(mutated(write_members(path).read_bytes(), chance))
        try:
            load_dataset(str(path))
        except DataError:
            refused += 1
    assert 200 < refused < 400
