"""Image files, decoded into one array; whatever is wrong with any of them is told at once."""

from __future__ import annotations

import io
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from search.data.dataset import Images
from search.data.listing import Findings, image_formats
from search.data.origin import SourceFile, read_whole
from search.data.wording import SHOWN_NAMES, some_of
from search.errors import DataError
from search.text import pluralize, printable

if TYPE_CHECKING:
    from PIL import Image

Progress = Callable[[str, int, int], object]
"""Told what is being done, how much of it is done, and how much there is of it."""

_GRAY_MODES = ("1", "L", "LA")
_COLOR_MODES = ("RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr")


def no_progress(what: str, done: int, total: int) -> None:
    """For who does not want to know."""


@dataclass
class _Remarks:
    """Files in which something is dropped."""

    frames: list[Path] = field(default_factory=list)
    transparent: list[Path] = field(default_factory=list)
    deep: list[Path] = field(default_factory=list)
    cropped: list[Path] = field(default_factory=list)

    def tell(self, findings: Findings) -> None:
        for files, one, several, what in (
            (self.frames, "file has", "files have", "more than one frame; the first is used"),
            (self.transparent, "image has", "images have", "transparency, which is dropped"),
            (self.deep, "image has", "images have", "16 bits a channel; the upper 8 are used"),
            (self.cropped, "image is", "images are", "not square; the center is cropped out"),
        ):
            if files:
                findings.sentences.append(
                    f"{pluralize(len(files), one, several)} {what}: {findings.names(files)}."
                )


def decode(
    files: Sequence[Path],
    image_size: int | None,
    findings: Findings,
    progress: Progress = no_progress,
) -> tuple[Images, Mapping[str, SourceFile]]:
    """Decodes every file into one array of shape `(n, height, width, 1 or 3)`.

    Args:
        files: The files; nothing is read of any other.
        image_size: Height and width to which every image is brought (short side resized,
            bilinear, then cropped at the center), or `None`: all must have one size.
        findings: Takes what is dropped; its broken files are refused with those found here.
        progress: Called for every file.

    Returns:
        The images, with 1 channel when every one is gray, else 3; and the records of the
        files by name.

    Raises:
        DataError: When a file is broken, or the images differ in size.
    """
    images: Images | None = None
    all_gray = True
    remarks = _Remarks()
    sizes: dict[tuple[int, ...], Path] = {}
    counts: Counter[tuple[int, ...]] = Counter()
    origin: dict[str, SourceFile] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own remarks on odd but whole files
        for index, file in enumerate(files):
            progress("Decoding images", index, len(files))
            try:
                content, record = read_whole(file)
                pixels = _pixels(content, image_size, file, remarks)
            except Exception as error:  # decoders raise OSError, SyntaxError and more
                findings.broken.append((file, _reason(error)))
                continue
            origin[str(file.relative_to(findings.root))] = record
            counts[pixels.shape[:2]] += 1
            sizes.setdefault(pixels.shape[:2], file)
            if len(sizes) == 1 and not findings.broken:
                if images is None:
                    images = np.empty((len(files), *pixels.shape[:2], 3), dtype=np.uint8)
                all_gray = all_gray and pixels.shape[2] == 1
                images[index] = pixels
    if findings.broken:
        raise _broken_files(findings, len(files))
    if len(sizes) > 1:
        raise _different_sizes(sizes, counts)
    if images is None:
        raise AssertionError("a listing without images was let through")
    remarks.tell(findings)
    _tell_formats(files, findings)
    return (np.ascontiguousarray(images[..., :1]) if all_gray else images), origin


def _tell_formats(files: Sequence[Path], findings: Findings) -> None:
    """Says how many images have which suffix: one that goes with a class gives it away."""
    counts = Counter(file.suffix.lower() for file in files)
    if len(counts) > 1:
        listed = (f"{count:,} {suffix}" for suffix, count in counts.most_common())
        findings.sentences.append(f"The images are of several formats: {some_of(listed)}.")


class _NotEightBitError(Exception):
    """An image that Pillow would clip to 255 without a word."""


def _reason(error: Exception) -> str:
    if isinstance(error, _NotEightBitError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    name = type(error).__name__
    if name == "UnidentifiedImageError":
        return "no image that Pillow knows"
    return printable(f"{name}: {str(error)[:100]}")


def _pixels(content: bytes, image_size: int | None, file: Path, remarks: _Remarks) -> Images:
    from PIL import Image, ImageOps

    if not content:
        raise OSError("an empty file")
    with Image.open(io.BytesIO(content), formats=image_formats()) as opened:
        mode = opened.mode
        if mode not in _GRAY_MODES and mode not in _COLOR_MODES:
            raise _NotEightBitError(f"not 8 bits a channel: Pillow mode {mode}")
        deep = ";16" in str(getattr(opened, "tile", ""))
        gray = mode in _GRAY_MODES
        turned = ImageOps.exif_transpose(opened)
        seen_through = _is_transparent(turned)
        image = turned.convert("L" if gray else "RGB")
        if image_size is not None:
            if image.width != image.height:
                remarks.cropped.append(file)
            image = _fit(image, image_size)
        pixels = np.asarray(image, dtype=np.uint8)
        for files, found in (
            (remarks.deep, deep),
            (remarks.transparent, seen_through),
            (remarks.frames, _has_frames(opened)),
        ):
            if found:
                files.append(file)
    return pixels[..., np.newaxis] if gray else pixels


def _is_transparent(image: Image.Image) -> bool:
    """Whether a pixel of an image is seen through, not only whether one might be."""
    if image.mode == "PA" or "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode not in ("LA", "RGBA"):
        return False
    lowest: Any = image.getchannel("A").getextrema()[0]
    return bool(lowest < 255)


def _has_frames(opened: Image.Image) -> bool:
    try:
        return int(getattr(opened, "n_frames", 1)) > 1
    except Exception:  # a damaged later frame is of no concern
        return True


def _fit(image: Image.Image, size: int) -> Image.Image:
    """Resizes the short side to `size`, bilinear, and crops the center square."""
    from PIL import Image

    short = min(image.size)
    width, height = (max(size, round(side * size / short)) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + size, top + size))


def _broken_files(findings: Findings, total: int) -> DataError:
    broken = sorted(findings.broken)
    listed = [f"{findings.name(path)} ({printable(why)})" for path, why in broken[:SHOWN_NAMES]]
    more = len(broken) - len(listed)
    tail = f"; and {more:,} more" if more > 0 else ""
    return DataError(
        f"{pluralize(len(broken), 'file')} of {printable(findings.root)} cannot be read as images "
        "of 8 bits. Expected whole image files, 8 bits a channel. "
        f"Received: {'; '.join(listed)}{tail}. Replace, convert or remove them."
    )


def _different_sizes(
    sizes: Mapping[tuple[int, ...], Path], counts: Mapping[tuple[int, ...], int]
) -> DataError:
    (first, one), (second, other), *more = sizes.items()
    shorter = sorted(min(size) for size in sizes for _ in range(counts[size]))
    return DataError(
        "The images differ in size. Expected one size, or an image_size to bring them "
        f"to. Received: {printable(one)} is {_size_text(first)}, {printable(other)} is "
        f"{_size_text(second)}{f' and {len(more)} more sizes' if more else ''}. Set "
        f"data.image_size ({shorter[len(shorter) // 2]} is the middle one of their shorter "
        "sides), or resize the files."
    )


def _size_text(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
