"""Hashes of files and folders, and making what was written durable."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from qsearch.contracts.codec import digest_of
from qsearch.contracts.errors import InputError


def content_of(path: Path) -> tuple[str, int]:
    """SHA-256 (hex) and size in bytes of a file, or of a folder's sorted names and hashes.

    Raises:
        InputError: a link or something that is neither file nor folder is inside.
    """
    _check_plain(path)
    if not path.is_dir():
        return _file_hash(path)
    entries = {str(file.relative_to(path)): _file_hash(file) for file in files_of(path)}
    return digest_of({name: sha256 for name, (sha256, _) in entries.items()}), sum(s for _, s in entries.values())


def files_of(path: Path) -> Iterator[Path]:
    """Every file of a folder, or the file itself, sorted by name."""
    if not path.is_dir():
        yield path
        return
    for entry in sorted(path.iterdir()):
        _check_plain(entry)
        yield from files_of(entry)


def sync(path: Path) -> None:
    """Bring a file, or a folder with everything in it, to the disk."""
    if path.is_dir():
        for entry in path.iterdir():
            sync(entry)
    sync_one(path)


def sync_one(path: Path) -> None:
    """Bring one file, or the names in one folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _file_hash(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return digest, os.fstat(file.fileno()).st_size


def _check_plain(path: Path) -> None:
    mode = path.lstat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(f"an artifact holds plain files and folders, found {path}, which is a link or a device")
