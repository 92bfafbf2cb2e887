"""A folder of images: one sub-folder a class, or `train/` and `test/` with such folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from search.data.dataset import Dataset, Images, Split, checked_dataset, cut_test
from search.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")

_GREY_MODES = ("1", "L", "LA")
_COLOUR_MODES = ("RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr")


def load_image_folder(
    path: Path, source: str, *, test_fraction: float, image_size: int | None
) -> Dataset:
    """Loads a folder with one sub-folder of images a class.

    The names of the sub-folders, sorted, are the classes. With `train/` and `test/`, each
    holding class folders, these are the splits and anything beside them is left alone.
    Names that start with a dot, and files with another suffix than `SUFFIXES`, are left
    out. Images are turned as their EXIF orientation says, and transparency is dropped.

    Args:
        path: The folder.
        source: What a person sees in messages.
        test_fraction: Share of each class cut off as test split where there is no `test/`.
        image_size: Height and width to which every image is brought (short side resized,
            bilinear, then cropped at the centre), or `None`: all must have one size.

    Returns:
        A `Dataset`; 1 channel when every image is grey, else 3.

    Raises:
        DataError: When Pillow is missing, the folder has fewer than two classes, a class
            has no image, an image is corrupt, or the images differ in size.
    """
    parts = [path / "train", path / "test"]
    has_parts = all(part.is_dir() and _folders(part) for part in parts)
    # A test folder may lack classes; the training images may not.
    listings = [_list_classes(parts[0] if has_parts else path, at_least=2)]
    if has_parts:
        listings.append(_list_classes(parts[1], at_least=1))
    class_names = sorted(listings[0])
    for extra in sorted(set(listings[-1]) - set(class_names)):
        raise DataError(
            f"{parts[1] / extra} is a class without training images. Expected the classes of "
            f"{parts[0]}: {', '.join(class_names[:10])}. Received: class {extra!r}. "
            "Rename or remove the folder."
        )
    files: list[Path] = []
    labels: list[int] = []
    ends: list[int] = []
    for listing in listings:
        for label, name in enumerate(class_names):
            files += listing.get(name, [])
            labels += [label] * len(listing.get(name, []))
        ends.append(len(files))
    # All images are decoded together, so that one coloured image makes all three-channel.
    images = _decode(files, image_size)
    every_label = np.array(labels, dtype=np.int64)
    first = Split(images[: ends[0]], every_label[: ends[0]])
    if has_parts:
        train, test = first, Split(images[ends[0] :], every_label[ends[0] :])
    else:
        train, test = cut_test(first, test_fraction, source)
    return checked_dataset(train, test, class_names, source)


def _folders(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def _list_classes(path: Path, *, at_least: int) -> dict[str, list[Path]]:
    """The image files of each class folder, sorted by name."""
    folders = _folders(path)
    if len(folders) < at_least:
        raise DataError(
            f"{path} has too few classes. Expected two or more sub-folders, one a class, with "
            f"image files. Received: {len(folders)} sub-folders"
            f"{f' ({folders[0].name})' if folders else ''}. "
            "Sort the images into one sub-folder a class."
        )
    listing: dict[str, list[Path]] = {}
    for folder in folders:
        # A deeper folder is refused, not skipped: it is another layout than this one
        # (train/ and val/, say), and reading it as classes would be wrong in silence.
        deeper = _folders(folder)
        if deeper:
            raise DataError(
                f"The class folder {folder} has folders in it. Expected image files, or the "
                f"layout train/CLASS/ and test/CLASS/. Received: {deeper[0].name}/. "
                "Move the images up, or rename the two outer folders to train and test."
            )
        listing[folder.name] = sorted(
            file
            for file in folder.iterdir()
            if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
        )
        if not listing[folder.name]:
            raise DataError(
                f"The class folder {folder} has no images. Expected files ending in "
                f"{', '.join(SUFFIXES)}. Received: none. Add images or remove the folder."
            )
    return listing


def _decode(files: Sequence[Path], image_size: int | None) -> Images:
    """Decodes every file into one array of shape `(n, height, width, 1 or 3)`."""
    try:
        import PIL.Image  # noqa: F401  (only image folders need Pillow)
    except ImportError as error:
        raise DataError(
            "Reading a folder of images needs Pillow, which is not installed. "
            f"Expected: the extra cbam-search[images]. Received: {error}. "
            "Run: pip install 'cbam-search[images]'"
        ) from error
    images: Images | None = None
    all_grey = True
    for index, file in enumerate(files):
        pixels = _decode_one(file, image_size)
        if images is None:
            images = np.empty((len(files), *pixels.shape[:2], 3), dtype=np.uint8)
        if pixels.shape[:2] != images.shape[1:3]:
            raise DataError(
                "The images differ in size. Expected one size, or an image_size to bring them "
                f"to. Received: {files[0]} is {_size_text(images[0])}, {file} is "
                f"{_size_text(pixels)}. Set data.image_size, or resize the files."
            )
        all_grey = all_grey and pixels.shape[2] == 1
        images[index] = pixels
    if images is None:
        raise AssertionError("a listing without images was let through")
    return np.ascontiguousarray(images[..., :1]) if all_grey else images


def _decode_one(file: Path, image_size: int | None) -> Images:
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as opened:
            mode = opened.mode
            if mode in _GREY_MODES or mode in _COLOUR_MODES:
                target = "L" if mode in _GREY_MODES else "RGB"
                image = ImageOps.exif_transpose(opened).convert(target)
                image = image if image_size is None else _fit(image, image_size)
                pixels = np.asarray(image, dtype=np.uint8)
                return pixels[..., np.newaxis] if target == "L" else pixels
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError and more
        raise DataError(
            f"{file} cannot be read as an image. Expected a whole image file. "
            f"Received: {type(error).__name__}: {str(error)[:200]}. Replace or remove the file."
        ) from error
    # Pillow would clip 16-bit and float pixels to 255 without a word.
    raise DataError(
        f"{file} is not an 8-bit image. Expected 8 bits a channel. "
        f"Received: Pillow mode {mode!r}. Convert the file to 8 bits."
    )


def _fit(image: Image.Image, size: int) -> Image.Image:
    """Resizes the short side to `size`, bilinear, and crops the centre square."""
    from PIL import Image

    short = min(image.size)
    width, height = (max(size, round(side * size / short)) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + size, top + size))


def _size_text(pixels: Images) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"
