"""Real files of this machine whose extension says what they are: of the running Python and of the system.

NOTE: what is left out, and why. Links are not followed and other file systems not entered, so that the
search ends and nothing outside is read. Only what everybody on the machine may read is taken, because
pieces of the files end up among a job's data, and only from folders where software is installed: /etc and
home folders hold secrets and change from day to day. `__pycache__` and `cache` fill up while programs run, and the
data of a job would then have another digest at every start.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sysconfig
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

#: bytes; below this many kinds of file look alike
SMALLEST = 128
#: bytes; a larger one is somebody's data
LARGEST = 256 << 20
_SKIPPED = frozenset({"__pycache__", "cache", "caches"})


def installed_roots() -> dict[str, Path]:
    """Name → folder: Python's library, its installed packages, and the system's shared files, as far as they exist.

    The names are the same on every machine, wherever the folders are.
    """
    named = {
        "python": Path(sysconfig.get_path("stdlib")),
        "packages": Path(sysconfig.get_path("purelib")),
        "binary packages": Path(sysconfig.get_path("platlib")),
        "share": Path("/usr/share"),
        "lib": Path("/usr/lib"),
    }
    return {name: folder for name, folder in named.items() if folder.is_dir()}


def labelled_files(roots: Mapping[str, Path], labels: Mapping[str, str], seed: int) -> dict[str, list[Path]]:
    """Label → regular files, in an order that the seed and the names below each root decide.

    The first of a label come from as many folders as there are: one of each folder, then a second of each,
    because neighbours are often alike. What cannot be read counts as empty.

    Args:
        roots: of `installed_roots`; a file below two of them is found once.
        labels: extension in lower case without its dot → label.
        seed: of the order.
    """
    folders: dict[tuple[str, str], list[tuple[bytes, str]]] = defaultdict(list)
    seen: set[tuple[int, int]] = set()
    for name, root in roots.items():
        for folder, file, place in _regular_files(str(root), labels):
            if place not in seen:
                seen.add(place)
                path = os.path.join(folder, file)
                key = hashlib.sha256(os.fsencode(f"{seed}:{name}:{path.removeprefix(str(root))}")).digest()
                folders[labels[_extension(file)], folder].append((key, path))
    ordered: dict[str, list[tuple[int, bytes, str]]] = defaultdict(list)
    for (label, _), files in folders.items():
        ordered[label] += [(turn, key, path) for turn, (key, path) in enumerate(sorted(files))]
    return {label: [Path(path) for _, _, path in sorted(ordered[label])] for label in sorted(ordered)}


def ends(path: Path, size: int) -> tuple[bytes, bytes] | None:
    """The first and the last bytes of a file, `size` each or all there are; None when it cannot be read."""
    try:
        with open(path, "rb", opener=_opened) as file:
            head = file.read(size)
            file.seek(max(0, file.seek(0, os.SEEK_END) - size))
            return head, file.read(size)
    except OSError:
        return None


def _opened(path: str, flags: int) -> int:
    # without waiting: what was a file a moment ago may be a pipe now
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _regular_files(root: str, labels: Mapping[str, str]) -> Iterator[tuple[str, str, tuple[int, int]]]:
    """Folder, name and (device, inode) of what is wanted below a root; strings, for there are 100 000 of them."""
    device = _device(os.path.realpath(root))
    for folder, below, names in os.walk(root):
        below[:] = [name for name in below if name not in _SKIPPED and _device(os.path.join(folder, name)) == device]
        for name in names:
            state = _state(os.path.join(folder, name)) if _extension(name) in labels else None
            if state and _is_wanted(state):
                yield folder, name, (state.st_dev, state.st_ino)


def _is_wanted(state: os.stat_result) -> bool:
    readable = state.st_mode & stat.S_IROTH
    return bool(stat.S_ISREG(state.st_mode) and readable and SMALLEST <= state.st_size <= LARGEST)


def _device(path: str) -> int | None:
    state = _state(path)
    return state.st_dev if state else None


def _state(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None


def _extension(name: str) -> str:
    """Of "a.tar.GZ" it is "gz"; a name that only begins with a dot has none."""
    return os.path.splitext(name)[1][1:].lower()
