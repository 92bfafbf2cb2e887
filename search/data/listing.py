"""What lies in a folder of images: images, folders, clutter, and what is neither."""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from search.data.wording import some_of
from search.errors import DataError
from search.text import pluralize, printable

_CLUTTER = {
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "icon\r",
    "__macosx",
    "__pycache__",
    "@eadir",
    "$recycle.bin",
    "system volume information",
    "lost+found",
}
"""Names that operating systems and tools leave behind, in lower case."""

_NEVER_READ = {
    "EPS",  # Pillow hands it to Ghostscript, which is a program and runs programs
    "IPTC",  # a wrapper that opens whatever it wraps, EPS too
    "MPEG",  # Pillow knows its size and nothing else
}


def need_pillow() -> None:
    """Makes sure that Pillow is there.

    Raises:
        DataError: When it is missing.
    """
    try:
        import PIL.Image  # noqa: F401  (only image folders need Pillow)
    except ImportError as error:
        raise DataError(
            "Reading a folder of images needs Pillow, which is not installed. "
            f"Expected: the package pillow. Received: {error}. Run: pip install pillow"
        ) from error


@functools.cache
def image_formats() -> tuple[str, ...]:
    """Pillow's names of the formats that it decodes by itself."""
    from PIL import Image, ImageFile

    Image.init()
    return tuple(
        name
        for name, (factory, _) in Image.OPEN.items()
        if name not in _NEVER_READ
        # A stub needs a decoder that somebody else installs.
        and not (isinstance(factory, type) and issubclass(factory, ImageFile.StubImageFile))
    )


@functools.cache
def image_suffixes() -> frozenset[str]:
    """The suffixes of those formats, in lower case."""
    formats = {*image_formats(), "MPO"}  # opened as JPEG
    from PIL import Image

    return frozenset(
        suffix for suffix, name in Image.registered_extensions().items() if name in formats
    )


@dataclass
class Contents:
    """What a folder holds, each sorted by name and without clutter.

    Args:
        path: The folder.
        folders: Its folders, also those reached through links.
        images: Its files with an image's suffix.
        others: Its other files.
        broken: What cannot be read, with the reason: dead links, pipes.
    """

    path: Path
    folders: list[Path] = field(default_factory=list)
    images: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    broken: list[tuple[Path, str]] = field(default_factory=list)


def look_into(path: Path) -> Contents:
    """Lists a folder.

    Raises:
        DataError: When Pillow is missing.
        OSError: When the folder cannot be listed.
    """
    need_pillow()
    contents = Contents(path)
    for entry in sorted(path.iterdir()):
        image = entry.suffix.lower() in image_suffixes()
        if _is_clutter(entry.name, image):
            continue
        try:
            mode = entry.stat().st_mode
        except OSError as error:
            dead = entry.is_symlink()
            reason = "a link to nothing" if dead else str(error.strerror or error)
            contents.broken.append((entry, reason))
            continue
        if stat.S_ISDIR(mode):
            contents.folders.append(entry)
        elif not image:
            contents.others.append(entry)
        elif stat.S_ISREG(mode):
            contents.images.append(entry)
        else:
            contents.broken.append((entry, "no regular file"))
    return contents


def _is_clutter(name: str, image: bool) -> bool:
    if name.lower() in _CLUTTER or name.startswith("._"):
        return True
    # A hidden file is the system's; a hidden image is somebody's, and is said.
    return name.startswith(".") and not image


@dataclass
class Findings:
    """What is to be said about a folder of images: collected on the way, told at once.

    Args:
        root: The folder that names are relative to.
        sentences: Notices that stand for themselves.
        left_out: Files that are not read as images.
        broken: Files that should be images and cannot be read, with the reason.
    """

    root: Path
    sentences: list[str] = field(default_factory=list)
    left_out: list[Path] = field(default_factory=list)
    broken: list[tuple[Path, str]] = field(default_factory=list)

    def name(self, path: Path) -> str:
        """A path below the root as a person reads it."""
        return printable(os.path.relpath(path, self.root))

    def names(self, paths: Iterable[Path]) -> str:
        return some_of(os.path.relpath(path, self.root) for path in paths)

    def notices(self) -> tuple[str, ...]:
        """Every sentence."""
        if not self.left_out:
            return tuple(self.sentences)
        count = len(self.left_out)
        files = pluralize(count, "file is", "files are")
        return (
            *self.sentences,
            f"{files} left out, as the suffix is none of an image that Pillow reads: "
            f"{self.names(self.left_out)}.",
        )
