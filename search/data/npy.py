"""Arrays out of the members of an `.npz`, which may be a stranger's or damaged.

NumPy's own reader raises whatever its parser raises, allocates what a header declares,
and lets the last of two members of one name win. Here a member is read only where its
header and its size agree.
"""

from __future__ import annotations

import io
import math
import warnings
import zipfile
from typing import IO

import numpy as np

from search.data.dataset import AnyArray

_LONGEST_HEADER = 10_000
_ENCRYPTED = 1
_BLOCK = 1 << 20


class Archive:
    """An `.npz` file, open for reading.

    Args:
        file: The open file.

    Raises:
        ValueError: When it is no archive, or holds a name twice.
        Exception: Whatever `zipfile` raises for a damaged one.
    """

    def __init__(self, file: IO[bytes]) -> None:
        start = file.read(2)
        if start != b"PK":
            raise ValueError("a file of another kind" if start else "an empty file")
        file.seek(0)
        self._zip = zipfile.ZipFile(file)
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in self._zip.infolist():
            name = member.filename
            if not name.endswith(".npy"):
                continue
            if name.removesuffix(".npy") in self._members:
                raise ValueError(f"two arrays of the name {name.removesuffix('.npy')[:100]!r}")
            self._members[name.removesuffix(".npy")] = member

    @property
    def names(self) -> list[str]:
        """The names of the arrays, in the order of the file."""
        return list(self._members)

    def read(self, name: str) -> AnyArray:
        """Reads an array; every byte is compared with the archive's checksum.

        Raises:
            ValueError: When the member is no plain array, or its header does not fit it.
            MemoryError: When it does not fit into memory.
            Exception: Whatever `zipfile` and its decompressors raise for damage.
        """
        member = self._members[name]
        if member.flag_bits & _ENCRYPTED:
            raise ValueError("an encrypted array")
        with self._zip.open(member) as file:
            head = io.BytesIO(file.read(_LONGEST_HEADER + 64))
            shape, fortran, dtype = _header(head)
            rest = head.read()
            count = math.prod(shape)
            expected = count * dtype.itemsize
            if member.file_size - (head.tell() - len(rest)) != expected:
                raise ValueError(
                    f"a header of shape={shape}, dtype={dtype}, which the "
                    f"{member.file_size} bytes of the array do not fit"
                )
            # Memory is handed out as it is filled: a size that lies costs nothing.
            buffer = np.empty(expected, np.uint8)
            view = memoryview(buffer.data)
            view[: len(rest)] = rest
            filled = len(rest)
            while filled < expected and (block := file.read(min(_BLOCK, expected - filled))):
                view[filled : filled + len(block)] = block
                filled += len(block)
            if filled != expected or file.read(1):  # the checksum is compared at the end
                raise ValueError("an array with bytes missing")
        flat = buffer.view(dtype) if expected else np.empty(count, dtype)
        return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def _header(head: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and dtype of an array; leaves the stream at its first value."""
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        version = np.lib.format.read_magic(head)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # files of Python 2 are read all the same
            shape, fortran, dtype = readers[version](head, _LONGEST_HEADER)
    except Exception as error:  # the parsers of Python and NumPy raise what they like
        raise ValueError(f"no header of an array ({type(error).__name__})") from error
    if not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"a shape that is no list of sizes: {str(shape)[:100]}")
    if dtype.itemsize == 0:
        raise ValueError(f"values without a size: dtype={dtype}")
    if dtype.hasobject:
        raise ValueError("pickled objects")
    if dtype.names is not None or dtype.subdtype is not None:
        raise ValueError(f"an array of records: dtype={str(dtype)[:100]}")
    return shape, fortran, dtype
