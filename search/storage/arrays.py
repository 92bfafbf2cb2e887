"""Arrays in files that may be a stranger's: looked at before room is made for them.

A header can state any size and any type. Nothing here allocates what a header states
before the file is known to hold as much, nothing is a pickle, and whatever is wrong is one
`ValueError`: NumPy's own readers raise what Python's parser does, and more.
"""

from __future__ import annotations

import math
import os
import warnings
import zipfile
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

AnyArray = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Header:
    """What the head of an `.npy` file says.

    Args:
        shape: Its shape.
        dtype: Its type; numbers or booleans.
        fortran: Boolean, whether the first index runs fastest.
        length: Bytes of the head.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    length: int

    @property
    def size(self) -> int:
        """Bytes of the array behind the head."""
        return math.prod(self.shape) * self.dtype.itemsize

    def array(self, content: bytes) -> AnyArray:
        """The array, read-only, of the bytes behind the head."""
        return np.ndarray(self.shape, self.dtype, content, order="F" if self.fortran else "C")


def read_header(file: IO[bytes]) -> Header:
    """Reads the head of an `.npy` file of version 1.0, which is the one written here.

    Raises:
        ValueError: If it is none, or of anything but numbers.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"version {version} of the format")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        length = file.tell()
    # The head is parsed as a Python literal: brackets alone can end in five kinds of error.
    except Exception as error:
        raise ValueError(f"no head of an array ({_told(error)})") from error
    if dtype.kind not in "biuf" or any(extent < 0 for extent in shape):
        raise ValueError(f"an array of {str(dtype)[:40]} and shape {str(shape)[:40]}")
    return Header(shape, dtype, fortran, length)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:100]}"


class ArrayArchive:
    """An `.npz` file as `np.savez` writes it: arrays that lie there uncompressed.

    Args:
        file: The open file.

    Attributes:
        headers: The `Header` of each array, by its name.

    Raises:
        ValueError: If it is none, or states more than it holds.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.headers: dict[str, Header] = {}
        try:
            self._zip = zipfile.ZipFile(file)
            self._look(os.fstat(file.fileno()).st_size)
        except ValueError:
            raise
        # A directory of a ZIP file can be wrong in as many ways as there are errors.
        except Exception as error:
            raise ValueError(f"no archive of arrays ({_told(error)})") from error

    def _look(self, room: int) -> None:
        for entry in self._zip.infolist():
            room -= entry.file_size
            if entry.compress_type != zipfile.ZIP_STORED or room < 0:
                raise ValueError("an archive that states more than it holds")
            with self._zip.open(entry) as member:
                header = read_header(member)
            name = entry.filename.removesuffix(".npy")
            if header.length + header.size != entry.file_size or name in self.headers:
                raise ValueError(f"its array {name[:60]!r} has another size than it states")
            self.headers[name] = header

    def read(self, name: str) -> AnyArray:
        """Reads an array and compares its checksum.

        Raises:
            ValueError: If it is damaged.
        """
        header = self.headers[name]
        try:
            with self._zip.open(f"{name}.npy") as member:
                member.read(header.length)
                content = member.read()
                if len(content) != header.size:
                    raise ValueError("it ends early")
                return header.array(content)
        except Exception as error:
            raise ValueError(f"its array {name[:60]!r} is damaged ({_told(error)})") from error

    def check(self) -> None:
        """Compares the checksum of every array, without keeping any.

        Raises:
            ValueError: If one is damaged.
        """
        try:
            damaged = self._zip.testzip()
        except Exception as error:
            raise ValueError(f"a damaged archive ({_told(error)})") from error
        if damaged is not None:
            raise ValueError(f"its array {damaged[:60]!r} is damaged")
