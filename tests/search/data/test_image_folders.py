"""Folders of images as people have them: every format, every layout, nothing in silence."""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.data import SplitSettings, load_dataset, open_prepared, prepare
from search.data.listing import image_formats, image_suffixes
from search.errors import DataError
from tests.search.data.data_files import write_images

RED, BLUE, GREEN = (255, 0, 0), (0, 0, 255), (0, 255, 0)


def write_classes(folder: Path, count: int = 4, suffix: str = ".png") -> None:
    write_images(folder / "blue", BLUE, count, suffix=suffix)
    write_images(folder / "red", RED, count, suffix=suffix)


def said(folder: Path, *parts: str) -> str:
    """The notice of a folder that has every part."""
    notices = load_dataset(str(folder), test_fraction=0.5).notices
    found = [notice for notice in notices if all(part in notice for part in parts)]
    assert len(found) == 1, notices
    return found[0]


def refusal(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        load_dataset(str(folder), test_fraction=0.5)
    assert "Received: " in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------- formats


@pytest.mark.parametrize(
    "suffix", [".gif", ".jfif", ".jpe", ".TIF", ".avif", ".jp2", ".tga", ".ico", ".GIF", ".pnm"]
)
def test_every_format_that_pillow_reads_is_read(tmp_path: Path, suffix: str) -> None:
    kind = {".ico": (16, 16)}.get(suffix, (6, 6))
    write_images(tmp_path / "blue", BLUE, 4, suffix=suffix, size=kind)
    write_images(tmp_path / "red", RED, 4, suffix=suffix, size=kind)
    data = load_dataset(str(tmp_path), test_fraction=0.5)
    assert len(data.train.labels) + len(data.test.labels) == 8
    reddish = data.train.images[..., 0].mean(axis=(1, 2)) > 128
    np.testing.assert_array_equal(reddish, data.train.labels == 1)
    assert not any("left out" in notice for notice in data.notices)


def test_formats_that_run_programs_or_need_a_decoder_are_not_read(tmp_path: Path) -> None:
    assert {"EPS", "MPEG", "IPTC", "WMF", "HDF5", "GRIB", "BUFR"}.isdisjoint(image_formats())
    assert {".eps", ".ps", ".mpg", ".wmf", ".h5", ".pdf"}.isdisjoint(image_suffixes())
    write_classes(tmp_path)
    Image.new("RGB", (6, 6)).save(tmp_path / "red" / "x.eps")
    assert "red/x.eps" in said(tmp_path, "1 file is left out")
    os.rename(tmp_path / "red" / "x.eps", tmp_path / "red" / "x.png")  # by content, too
    assert "red/x.png (no image that Pillow knows)" in refusal(tmp_path)


def test_several_formats_are_counted(tmp_path: Path) -> None:
    write_classes(tmp_path)
    write_images(tmp_path / "red", RED, 2, suffix=".gif")
    said(tmp_path, "several formats: 8 .png, 2 .gif")


def test_first_frame_of_several_is_used_and_said(tmp_path: Path) -> None:
    write_classes(tmp_path)
    red, green = (Image.new("RGB", (6, 6), color) for color in (RED, GREEN))
    for name in ("a.gif", "b.tif", "c.webp", "d.png"):
        red.save(tmp_path / "red" / name, save_all=True, append_images=[green, green])
    data = load_dataset(str(tmp_path), test_fraction=0.25)
    images = np.concatenate([data.train.images, data.test.images])
    assert not (images[..., 1] > 100).any()
    notice = said(tmp_path, "4 files have more than one frame; the first is used")
    assert "red/a.gif, red/b.tif, red/c.webp, red/d.png" in notice


def test_what_an_image_loses_is_said(tmp_path: Path) -> None:
    write_classes(tmp_path)
    Image.new("RGBA", (6, 6), (*RED, 0)).save(tmp_path / "red" / "ghost.png")
    Image.new("RGBA", (6, 6), (*RED, 255)).save(tmp_path / "red" / "solid.png")
    seen = Image.new("P", (6, 6), 1)
    seen.putpalette([*GREEN, *RED])
    seen.save(tmp_path / "red" / "key.gif", transparency=1)
    notice = said(tmp_path, "2 images have transparency, which is dropped")
    assert "ghost" in notice and "key" in notice and "solid" not in notice


def png_of_16_bits(path: Path, level: int) -> None:
    """A 6x6 PNG of 16 bits in each of three channels, which Pillow reads and cannot write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + kind + content + check

    header = struct.pack(">IIBBBBB", 6, 6, 16, 2, 0, 0, 0)
    rows = (b"\0" + struct.pack(">H", level) * 18) * 6
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def test_the_lower_half_of_16_bits_in_color_is_said(tmp_path: Path) -> None:
    write_classes(tmp_path)
    png_of_16_bits(tmp_path / "red" / "deep.png", 0x7F80)
    said(tmp_path, "1 image has 16 bits a channel; the upper 8 are used: red/deep.png")


def test_cropping_is_said(tmp_path: Path) -> None:
    write_classes(tmp_path)
    write_images(tmp_path / "red", RED, 1, size=(9, 6), suffix=".bmp")
    notices = load_dataset(str(tmp_path), test_fraction=0.5, image_size=6).notices
    assert any(
        "1 image is not square; the center is cropped out: red/000.bmp" in n for n in notices
    )


# ---------------------------------------------------------------- what is no image


def test_clutter_is_left_out_silently_and_the_rest_by_name(tmp_path: Path) -> None:
    write_classes(tmp_path)
    write_images(tmp_path / "__MACOSX" / "red", RED, 1)
    (tmp_path / "red" / ".ipynb_checkpoints").mkdir()
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._000.png", ".gitkeep"):
        (tmp_path / "red" / name).write_bytes(b"\0")
        (tmp_path / name).write_bytes(b"\0")
    assert not any("left out" in n for n in load_dataset(str(tmp_path), test_fraction=0.5).notices)
    (tmp_path / "red" / "labels.txt").write_text("x")
    (tmp_path / "blue" / "no suffix").write_bytes(b"x")
    (tmp_path / "README.md").write_text("x")
    notice = said(tmp_path, "3 files are left out")
    assert all(name in notice for name in ("red/labels.txt", "blue/no suffix", "README.md"))


def test_many_names_are_counted_and_shortened(tmp_path: Path) -> None:
    write_classes(tmp_path)
    for index in range(25):
        (tmp_path / "red" / f"{index:02}.heic").write_bytes(b"x")
    assert said(tmp_path, "25 files are left out").endswith("red/09.heic and 15 more.")


@pytest.mark.parametrize("name", ["a\nb.txt", "\x1b[31mred.txt", "\udcff.txt", "\u202egnp.exe"])
def test_names_that_cannot_be_printed_are_escaped(tmp_path: Path, name: str) -> None:
    write_classes(tmp_path)
    (tmp_path / "red" / name).write_bytes(b"x")
    assert said(tmp_path, "1 file is left out").isprintable()
    os.rename(tmp_path / "red" / name, tmp_path / "red" / f"{name}.png")
    assert refusal(tmp_path).isprintable()


def test_brackets_in_names_stay_as_they_are(tmp_path: Path) -> None:
    write_images(tmp_path / "a[red]", RED, 4)
    write_images(tmp_path / "b[x]", BLUE, 4)
    (tmp_path / "a[red]" / "[bold]x.txt").write_text("")
    assert load_dataset(str(tmp_path), test_fraction=0.5).class_names == ("a[red]", "b[x]")
    assert "a[red]/[bold]x.txt" in said(tmp_path, "left out")


# ---------------------------------------------------------------- broken files


def test_all_broken_files_are_told_at_once(tmp_path: Path) -> None:
    write_classes(tmp_path, 6, ".jpg")
    whole = (tmp_path / "red" / "000.jpg").read_bytes()
    (tmp_path / "red" / "000.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "red" / "001.jpg").write_bytes(b"")
    (tmp_path / "blue" / "002.jpg").write_text("<html>404</html>")
    (tmp_path / "blue" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "blue" / "loop.png").symlink_to(tmp_path / "blue" / "loop.png")
    os.mkfifo(tmp_path / "blue" / "pipe.png")  # would wait for ever if it were opened
    Image.fromarray(np.full((6, 6), 4000, np.uint16)).save(tmp_path / "red" / "deep.tif")
    message = refusal(tmp_path)
    assert message.startswith("7 files of ")
    for part in (
        "red/000.jpg (",
        "red/001.jpg (OSError: an empty file)",
        "blue/002.jpg (no image that Pillow knows)",
        "blue/gone.png (a link to nothing)",
        "blue/loop.png (a link to nothing)",
        "blue/pipe.png (no regular file)",
        "red/deep.tif (not 8 bits a channel: Pillow mode I;16)",
    ):
        assert part in message, message


def test_many_broken_files_are_counted_and_ten_named(tmp_path: Path) -> None:
    write_classes(tmp_path)
    for index in range(30):
        (tmp_path / "red" / f"dead{index:02}.png").symlink_to(tmp_path / "nowhere" / str(index))
    message = refusal(tmp_path)
    assert message.startswith("30 files of ") and "dead09.png" in message
    assert "dead10.png" not in message and "and 20 more" in message


def test_a_class_folder_that_is_a_dead_link_is_told(tmp_path: Path) -> None:
    write_classes(tmp_path)
    (tmp_path / "green").symlink_to(tmp_path / "elsewhere")
    assert "green (a link to nothing)" in refusal(tmp_path)


def test_classes_and_images_may_be_reached_through_links(tmp_path: Path) -> None:
    write_classes(tmp_path / "store")
    (tmp_path / "data").mkdir()
    for name in ("red", "blue"):
        (tmp_path / "data" / name).symlink_to(tmp_path / "store" / name)
    (tmp_path / "data2" / "red").mkdir(parents=True)
    (tmp_path / "data2" / "blue").symlink_to(tmp_path / "store" / "blue")
    for image in (tmp_path / "store" / "red").iterdir():
        (tmp_path / "data2" / "red" / image.name).symlink_to(image)
    first, second = (
        load_dataset(str(tmp_path / name), test_fraction=0.5) for name in ("data", "data2")
    )
    np.testing.assert_array_equal(first.train.images, second.train.images)


def test_all_empty_class_folders_are_named(tmp_path: Path) -> None:
    write_classes(tmp_path)
    (tmp_path / "green").mkdir()
    (tmp_path / "yellow").mkdir()
    (tmp_path / "yellow" / "a.heic").write_bytes(b"x")
    message = refusal(tmp_path)
    assert "green" in message and "yellow" in message and "a.heic" in message


def test_sizes_are_counted_and_one_is_proposed(tmp_path: Path) -> None:
    write_classes(tmp_path)
    for side in (9, 12, 15):
        Image.new("RGB", (side, side + 1)).save(tmp_path / "red" / f"s{side}.png")
    message = refusal(tmp_path)
    assert "and 2 more sizes" in message and "Set data.image_size (6 is the middle" in message


# ---------------------------------------------------------------- layouts


@pytest.mark.parametrize(
    "names",
    [
        ("train", "val", "test"),
        ("Train", "Val", "Test"),
        ("training", "validation", "testing"),
        ("TRAIN", "valid", "test"),
    ],
)
def test_given_splits_are_used_as_they_are(tmp_path: Path, names: tuple[str, str, str]) -> None:
    for name, count in zip(names, (4, 3, 2), strict=True):
        write_classes(tmp_path / name, count)
    write_images(tmp_path / names[1] / "red", (250, 0, 0), 5)
    data = load_dataset(str(tmp_path))
    assert data.validation is not None
    assert data.train.labels.tolist() == [0] * 4 + [1] * 4
    assert data.validation.labels.tolist() == [0] * 3 + [1] * 5
    assert data.validation.images[3:, 0, 0].tolist() == [[250, 0, 0]] * 5
    assert data.test.labels.tolist() == [0, 0, 1, 1]
    (notice,) = data.notices
    assert "validation split of its own: the 8 images of " + names[1] + "/" in notice
    assert "data.validation has no effect" in notice
    info = prepare(data, SplitSettings(0.5, None, 3), tmp_path / "out")
    assert (info.train_count, info.validation_count, info.test_count) == (8, 8, 4)
    assert info.own_validation
    opened = open_prepared(tmp_path / "out", verify=True)
    np.testing.assert_array_equal(opened.validation.images, data.validation.images)
    np.testing.assert_array_equal(opened.train.images, data.train.images)


def test_a_limit_is_of_the_training_images_alone_where_validation_is_given(tmp_path: Path) -> None:
    write_classes(tmp_path / "train", 6)
    write_classes(tmp_path / "val", 3)
    data = load_dataset(str(tmp_path), test_fraction=0.34)
    info = prepare(data, SplitSettings(0.5, 4, 0), tmp_path / "out")
    assert (info.train_count, info.validation_count) == (4, 6)
    assert info.class_counts == {"train": (2, 2), "validation": (3, 3), "test": (2, 2)}
    with pytest.raises(DataError, match="at least 2: one of each class to train. Received"):
        prepare(data, SplitSettings(0.5, 1, 0), tmp_path / "out2")


def test_without_a_test_split_one_is_cut_from_training_and_said(tmp_path: Path) -> None:
    write_classes(tmp_path / "train", 6)
    write_classes(tmp_path / "val", 2)
    data = load_dataset(str(tmp_path), test_fraction=0.34)
    assert data.validation is not None and len(data.validation.labels) == 4
    assert len(data.train.labels) == 8 and len(data.test.labels) == 4
    assert any("no test split: 4 of its 12 training images" in n for n in data.notices)


@pytest.mark.parametrize("split", ["test", "val"])
def test_images_without_labels_are_left_out_and_said(tmp_path: Path, split: str) -> None:
    write_classes(tmp_path / "train", 4)
    write_images(tmp_path / split, GREEN, 5)
    data = load_dataset(str(tmp_path), test_fraction=0.5)
    assert data.validation is None and len(data.train.labels) == 4
    assert not (data.train.images[..., 1] > 0).any()
    said(tmp_path, f"{split} has 5 images and no class folders, so it is left out")
    shutil.rmtree(tmp_path / split)
    (tmp_path / split).mkdir()
    said(tmp_path, f"{split} is empty, so it is left out")


def test_training_images_without_class_folders_are_refused_with_what_fits(tmp_path: Path) -> None:
    for index in range(6):
        write_images(tmp_path / "train", RED, 1)
        os.rename(tmp_path / "train" / "000.png", tmp_path / "train" / f"cat.{index}.png")
        write_images(tmp_path / "train", BLUE, 1)
        os.rename(tmp_path / "train" / "000.png", tmp_path / "train" / f"dog.{index}.png")
    write_images(tmp_path / "test", RED, 4)
    message = refusal(tmp_path)
    assert "12 images in train/ itself" in message and "begin with cat, dog" in message
    assert "rename the two outer" not in message


def test_flat_training_without_a_pattern_has_no_classes_to_propose(tmp_path: Path) -> None:
    write_images(tmp_path / "Training", RED, 4)
    write_images(tmp_path / "valid", RED, 4)
    message = refusal(tmp_path)
    assert "4 images in Training/ itself" in message and "begin with" not in message


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for name in ("train", "bus"):
        write_images(tmp_path / name, RED, 4)
    assert load_dataset(str(tmp_path), test_fraction=0.5).class_names == ("bus", "train")


@pytest.mark.parametrize("names", [("val", "valid"), ("Train", "train"), ("test", "testing")])
def test_two_folders_for_one_split_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in ("train", *names):
        write_classes(tmp_path / name)
    message = refusal(tmp_path)
    assert "two folders for one split" in message and names[0] in message and names[1] in message


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_class_that_training_lacks_is_refused(tmp_path: Path, split: str) -> None:
    write_classes(tmp_path / "train")
    write_classes(tmp_path / split)
    write_images(tmp_path / split / "green", GREEN, 2)
    assert f"{split}/green is a class without training images" in refusal(tmp_path)
    shutil.rmtree(tmp_path / split)
    write_images(tmp_path / split / "unknown", GREEN, 2)
    assert f"If these images have no labels, move {split} elsewhere" in refusal(tmp_path)


def test_a_split_that_lacks_a_class_is_said(tmp_path: Path) -> None:
    write_classes(tmp_path / "train")
    write_images(tmp_path / "val" / "red", RED, 2)
    said(tmp_path, "The validation images lack 1 of 2 classes: blue.")


def test_what_lies_beside_the_splits_is_said(tmp_path: Path) -> None:
    for name in ("train", "test", "holdout"):
        write_classes(tmp_path / name)
    write_images(tmp_path, RED, 2)
    (tmp_path / "labels.csv").write_text("")
    said(tmp_path, "Beside train, these folders are not used: holdout.")
    said(tmp_path, "2 images are in no class folder and left out: 000.png, 001.png")
    said(tmp_path, "labels.csv")


def test_one_class_is_no_wrapper(tmp_path: Path) -> None:
    write_images(tmp_path / "red", RED, 4)
    (tmp_path / "red" / "notes.txt").write_text("")
    assert "1 sub-folders (red)" in refusal(tmp_path)


def test_a_split_of_dead_links_is_broken_and_not_empty(tmp_path: Path) -> None:
    write_classes(tmp_path / "train")
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "red").symlink_to(tmp_path / "nowhere")
    assert "val/red (a link to nothing)" in refusal(tmp_path)


def test_a_cifar_folder_in_a_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "batches.meta").write_bytes(b"")
    assert "batches.meta is damaged or no CIFAR-10 file" in refusal(tmp_path)


@pytest.mark.parametrize("inside", ["dataset", "a/b/c"])
def test_a_folder_in_folders_is_found_and_said(tmp_path: Path, inside: str) -> None:
    write_classes(tmp_path / inside)
    (tmp_path / "__MACOSX").mkdir()
    data = load_dataset(str(tmp_path), test_fraction=0.5)
    assert data.class_names == ("blue", "red")
    assert f"read from {tmp_path / inside}, the one folder in" in data.notices[0]


def test_loose_images_beside_classes_are_said_and_one_class_is_too_few(tmp_path: Path) -> None:
    write_classes(tmp_path)
    write_images(tmp_path, GREEN, 3)
    said(tmp_path, "3 images are in no class folder and left out")
    shutil.rmtree(tmp_path / "red")
    assert "1 sub-folders (blue), 3 images beside them" in refusal(tmp_path)


def test_advice_on_other_layouts_fits_them(tmp_path: Path) -> None:
    for outer in ("fold1", "fold2"):
        write_classes(tmp_path / "folds" / outer)
    assert "If fold1, fold2 are splits, name them train, val and test" in refusal(tmp_path)
    for outer in ("val", "test"):
        write_classes(tmp_path / "untrained" / outer)
    assert "Without a folder train" in refusal(tmp_path / "untrained")
    for outer in ("red", "blue"):
        for inner in ("train", "test"):
            write_images(tmp_path / "inverse" / outer / inner, RED, 2)
    assert "move CLASS/train to train/CLASS" in refusal(tmp_path / "inverse")
    write_classes(tmp_path / "deep")
    write_images(tmp_path / "deep" / "red" / "more", RED, 2)
    assert "Move the images up" in refusal(tmp_path / "deep")
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "my.npz").write_bytes(b"")
    assert "If the data is my.npz, give its path" in refusal(tmp_path / "table")
