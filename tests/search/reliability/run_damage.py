"""What can stand in a run directory that this program did not put there.

A `Damage` changes one entry of a run directory. Links, second names and payloads lead to a
`Canary`, a folder outside: whatever reaches it has left the run directory.
"""

from __future__ import annotations

import functools
import io
import json
import os
import random
import shutil
import socket
import stat
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from search.runs.journal import decode, encode
from tests.search.command import Payload

HUGE = 2**40
Apply = Callable[[Path, random.Random, "Canary"], None]


class Canary:
    """A folder outside of the run directory that nothing may change.

    Args:
        folder: The folder; made anew.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "chapters").mkdir(parents=True)
        (folder / "thesis.tex").write_text("years of work")
        (folder / "chapters" / "one.tex").write_text("once upon a time")
        self.mark = folder / "executed"

    def twin_of(self, path: Path) -> Path:
        """The place of what is moved out of the run directory, or has a second name here."""
        return self.folder / f"twin of {path.name}"

    def state(self) -> dict[str, tuple[Any, ...]]:
        return tree(self.folder)


def tree(folder: Path) -> dict[str, tuple[Any, ...]]:
    """All that can be seen of a folder from outside: names, kinds, times, contents."""
    found = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        status = path.lstat()
        plain = stat.S_ISREG(status.st_mode) and status.st_size < 2**26
        content: Any = path.read_bytes() if plain else None
        if path.is_symlink():
            content = os.readlink(path)
        found[str(path)] = (status.st_mode, status.st_mtime_ns, status.st_size, content)
    return found


@dataclass(frozen=True)
class Damage:
    """One way to damage an entry.

    Args:
        name: What stands there then.
        apply: Does it.
        strange: Boolean, whether it is neither a file nor a folder of the run any more.
    """

    name: str
    apply: Apply
    strange: bool = False


# ---- bytes ------------------------------------------------------------------------------------


def _bytes(change: Callable[[bytes, random.Random], bytes]) -> Apply:
    def apply(path: Path, dice: random.Random, canary: Canary) -> None:
        path.write_bytes(change(path.read_bytes(), dice))

    return apply


def _flip(content: bytes, dice: random.Random) -> bytes:
    place = dice.randrange(len(content)) if content else 0
    return content[:place] + bytes([dice.randrange(256)]) + content[place + 1 :]


def _overwrite(content: bytes, dice: random.Random) -> bytes:
    place, size = dice.randrange(len(content) + 1), dice.randrange(1, 200)
    return content[:place] + dice.randbytes(size) + content[place + size :]


def _cut(content: bytes, dice: random.Random) -> bytes:
    return content[: dice.randrange(len(content) + 1)]


def _insert(content: bytes, dice: random.Random) -> bytes:
    place = dice.randrange(len(content) + 1)
    return content[:place] + dice.randbytes(dice.randrange(1, 20)) + content[place:]


def npy(header: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def stated(shape: object, dtype: str = "|u1") -> bytes:
    """An array that states a shape and holds nothing."""
    return npy(f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode())


HEADERS = [
    npy(b"(" * 9000),
    npy(b"-" * 9000 + b"1"),
    npy(b"{'descr': '|u1', 'fortran_order': False, 'shape': (1,"),
    npy(b"\xff" * 100),
    npy(b"{1: 2}"),
    npy(b"[" * 90 + b"]" * 90),
    stated((2**62, 2**62)),
    stated((-1, -5)),
    stated((HUGE,)),
    stated("(1.5,)"),
    stated("(True,)"),
    stated((3,), "|O"),
    stated((3,), "|V2000000000"),
    stated((3,), "M8[ns]"),
    stated((3,), ">U999999999"),
    b"\x93NUMPY\x09\x00xx",
    b"\x93NUMPY\x02\x00\xff\xff\xff\xff",
]
TEXTS = [
    b"",
    b"\0" * 4096,
    b"[" * 200_000,
    b'{"a":' * 100_000,
    b"[" * 900 + b"]" * 900,
    b"3",
    b"null",
    b"[]",
    b"{}",
    b'"text"',
    b"NaN",
    b"1e999",
    b"9" * 5000,
    b'{"format": 1}',
    b'{"format": 1, "sha256": [], "counts": 3}',
    b"\xff\xfe" * 50,
    b"\x1b[2J\x1b]0;owned\x07",
]
METAS = [
    b"[" * 200_000,
    b'{"curve": 3}',
    b'{"format": 1, "curve": 3}',
    b'{"format": 1, "curve": {"0": {}}}',
    b'{"format": 1, "curve": [3]}',
    b'{"format": 1, "curve": [{"loss": NaN}]}',
    b'{"format": 1, "curve": [{"loss": "x"}]}',
    b'{"format": 1, "curve": [{"loss": ' + b"9" * 4000 + b"}]}",
    b"[]",
    b"\xff",
]


def _archive(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def _meta_of(meta: bytes) -> bytes:
    file = io.BytesIO()
    np.save(file, np.frombuffer(meta, np.uint8))
    return file.getvalue()


@functools.cache
def archives() -> list[bytes]:
    bomb = _archive({"meta.npy": b"\0" * 2**26}, zipfile.ZIP_DEFLATED)
    whole = _archive({"meta.npy": _meta_of(b'{"format": 1, "curve": []}')})
    directory = whole.index(b"PK\x01\x02")
    larger = bytearray(whole)
    for place in (18, 22, directory + 20, directory + 24):  # sizes, packed and not, twice
        larger[place : place + 4] = (2**31).to_bytes(4, "little")
    return [
        *(_archive({"meta.npy": header}) for header in HEADERS),
        *(_archive({"meta.npy": _meta_of(meta)}) for meta in METAS),
        _archive({}),
        _archive({"meta.npy": b"", "../../x.npy": b"", "/etc/x.npy": b""}),
        bomb,
        bytes(larger),
        whole[: directory + 10],
        whole.replace(b"meta.npy", b"meta\xff\xfe\x00y"),
        whole + b"PK\x05\x06" + b"\xff" * 18,
    ]


def _pickle(path: Path, dice: random.Random, canary: Canary) -> None:
    bomb = np.array([Payload(canary.mark)], dtype=object)
    with path.open("wb") as file:
        if path.suffix == ".npz":
            np.savez(file, meta=bomb)
        else:
            np.save(file, bomb)


def _sparse(path: Path, dice: random.Random, canary: Canary) -> None:
    if dice.random() < 0.5:
        path.write_bytes(b"")
    os.truncate(path, HUGE)


STRANGE_VALUES: list[Any] = [
    None, True, 0, -1, 1.5, 10**30, 2**63, 1e308, "", "x" * 1000, "../../x", "/etc/passwd", "x\0y",
    "\x1b[2J", "[bold]", "💥", "\udc80", [], {}, [[[[]]]], {"a": {"b": 3}}, [1, 2, 3],
]  # fmt: skip


def places(content: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in nested mappings and lists."""
    inner: Any = ()
    if isinstance(content, dict):
        inner = content.items()
    elif isinstance(content, list):
        inner = enumerate(content)
    found: list[tuple[Any, ...]] = []
    for key, value in inner:
        found += [(*prefix, key), *places(value, (*prefix, key))]
    return found


def change_a_place(content: Any, dice: random.Random) -> Any:
    """Puts something strange somewhere into JSON values, or takes something out."""
    where = places(content)
    if not where:
        return dice.choice(STRANGE_VALUES)
    *way, last = dice.choice(where)
    holder = content
    for key in way:
        holder = holder[key]
    if dice.random() < 0.2:
        del holder[last]
    elif dice.random() < 0.1:
        nested: Any = 1
        for _ in range(dice.choice([50, 500, 900])):
            nested = [nested]
        holder[last] = nested
    else:
        holder[last] = dice.choice(STRANGE_VALUES)
    return content


def _values(path: Path, dice: random.Random, canary: Canary) -> None:
    """Other values in JSON, or in a journal's records with checksums that hold."""
    raw = path.read_bytes()
    if path.name.startswith("journal"):
        records = [decode(line) or {} for line in raw.splitlines()] or [{}]
        for _ in range(dice.randrange(1, 3)):
            number = dice.randrange(len(records))
            kind = dice.choice(["value", "value", "value", "drop", "twice", "swap"])
            if kind == "value":
                records[number] = change_a_place(records[number], dice)
            elif kind == "drop" and len(records) > 1:
                del records[number]
            elif kind == "twice":
                records.insert(dice.randrange(len(records)), records[number])
            else:
                dice.shuffle(records)
        path.write_bytes(b"".join(map(encode, records)))
        return
    try:
        content = json.loads(raw)
    except ValueError:
        path.write_bytes(_overwrite(raw, dice))
        return
    path.write_text(json.dumps(change_a_place(content, dice)))


BYTES = [
    Damage("a flipped byte", _bytes(_flip)),
    Damage("other bytes", _bytes(_overwrite)),
    Damage("a part", _bytes(_cut)),
    Damage("more bytes", _bytes(_insert)),
    Damage("all of it twice", _bytes(lambda content, dice: content + content)),
    Damage("noise", _bytes(lambda content, dice: dice.randbytes(dice.randrange(3000)))),
    Damage("another text", _bytes(lambda content, dice: dice.choice(TEXTS))),
    Damage("another array", _bytes(lambda content, dice: dice.choice(HEADERS))),
    Damage("another archive", _bytes(lambda content, dice: dice.choice(archives()))),
    Damage("a pickle", _pickle),
    Damage("a terabyte", _sparse),
    Damage("other values", _values),
    Damage("other values again", _values),
    Damage("nothing", lambda path, dice, canary: path.unlink()),
]


# ---- entries ----------------------------------------------------------------------------------


def _vacant(path: Path) -> Path:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _link(target: Callable[[Path, Canary], Path | str]) -> Apply:
    def apply(path: Path, dice: random.Random, canary: Canary) -> None:
        _vacant(path).symlink_to(target(path, canary))

    return apply


def _moved_out(path: Path, dice: random.Random, canary: Canary) -> None:
    """As somebody does whose disk is full: all works as before, were the link followed."""
    twin = canary.twin_of(path)
    if path.exists():
        shutil.move(path, twin)
    else:
        twin.mkdir()
        (twin / "thesis.tex").write_text("years of work")
        path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(twin)


def _socket(path: Path, dice: random.Random, canary: Canary) -> None:
    _vacant(path)
    here = os.open(path.parent, os.O_RDONLY)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(f"/proc/self/fd/{here}/{path.name}")
    finally:
        os.close(here)


def _device(path: Path, dice: random.Random, canary: Canary) -> None:
    """A device that gives bytes without end; a FIFO where this user may make none."""
    try:
        os.mknod(_vacant(path), 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    except PermissionError:
        os.mkfifo(path)


def _folder(path: Path, dice: random.Random, canary: Canary) -> None:
    (_vacant(path) / "inner").mkdir(parents=True)


def _second_name(path: Path, dice: random.Random, canary: Canary) -> None:
    os.link(path, canary.twin_of(path))


def _name_of_another(path: Path, dice: random.Random, canary: Canary) -> None:
    os.link(canary.folder / "thesis.tex", _vacant(path))


def _to_itself(path: Path, canary: Canary) -> str:
    return path.name


ENTRIES = [
    Damage("a link to a file", _link(lambda path, canary: canary.folder / "thesis.tex"), True),
    Damage("a link to a folder", _link(lambda path, canary: canary.folder), True),
    Damage("a link to where it was moved", _moved_out, True),
    Damage("a dangling link", _link(lambda path, canary: canary.folder / "new"), True),
    Damage("a link to itself", _link(_to_itself), True),
    Damage("a FIFO", lambda path, dice, canary: os.mkfifo(_vacant(path)), True),
    Damage("a socket", _socket, True),
    Damage("a device", _device, True),
]
A_FOLDER = Damage("a folder", _folder, True)
ANOTHERS = Damage("another's file", _name_of_another)
FOR_FILES = [A_FOLDER, ANOTHERS, Damage("a file with a second name", _second_name)]
FOR_FOLDERS = [
    Damage("a file", lambda path, dice, canary: _vacant(path).write_bytes(b"x") and None, True)
]
