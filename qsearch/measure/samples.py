"""Batches of samples as a file: what every arm is fed, and what a predicting child gives back.

A zip of plain .npy members, readable with `numpy.load` too:

    sizes.npy                 int64 [b], samples in each batch
    feeds/000000/NAME.npy     batch 0, one member per name, first axis = samples
    labels/NAME.npy           whatever the split carries

NOTE: the bytes are a function of the values alone (fixed time stamps, no compression, members in the
order given), because the digest of the data is a digest of these files. Arrays of Python objects are
refused: reading them back would run code.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from qsearch.contracts.errors import DataError
from qsearch.contracts.task import Array, Feeds
from qsearch.measure.reshape import reshape_feeds

__all__ = ["SampleFile", "SampleWriter", "read_samples", "read_sizes", "reshape_feeds", "stream_feeds", "write_samples"]

#: zip cannot say "no date"; this is its earliest
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleFile:
    """A whole file in memory."""

    #: collated batches, first axis = samples; other axes may differ between batches
    feeds: tuple[Feeds, ...]
    labels: Mapping[str, Array]
    #: samples in each batch
    sizes: tuple[int, ...]


def write_samples(path: Path, feeds: Sequence[Feeds], labels: Mapping[str, Array], sizes: Sequence[int]) -> None:
    """Write batches and labels; equal values give equal bytes.

    Args:
        path: replaced when it exists.
        feeds: collated batches with a batch axis; shapes may differ between batches.
        labels: arrays by name, in no fixed relation to the batches.
        sizes: samples in each batch, as many numbers as batches.

    Raises:
        DataError: sizes that do not fit the batches, an array of Python objects, or an unwritable path.
    """
    if len(feeds) != len(sizes):
        raise DataError(f"expected one size per batch, found {len(sizes)} sizes for {len(feeds)} batches")
    with SampleWriter(path) as writer:
        for batch, size in zip(feeds, sizes, strict=True):
            writer.add(batch, size)
        writer.finish(labels)


def read_samples(path: Path, *, limit: int | None = None, batches: Sequence[int] | None = None) -> SampleFile:
    """Read a file of `write_samples`.

    Args:
        path: the file.
        limit: read the first so many batches only; None = all.
        batches: read those with these numbers only, in this order; labels are read whole.

    Raises:
        DataError: missing, truncated, or not such a file.
    """
    with _Archive(path) as archive:
        wanted = range(len(archive.sizes))[:limit] if batches is None else batches
        return SampleFile(
            feeds=tuple(archive.batch(i) for i in wanted),
            labels=archive.labels(),
            sizes=tuple(archive.sizes[i] for i in wanted),
        )


def read_sizes(path: Path) -> tuple[int, ...]:
    """Samples in each batch of a file; no batch is read.

    Raises:
        DataError: missing, truncated, or not such a file.
    """
    with _Archive(path) as archive:
        return archive.sizes


def stream_feeds(path: Path, batches: Sequence[int] | None = None) -> Iterator[tuple[int, Feeds]]:
    """Yield (size, batch) one at a time, so that a large split never is in memory as a whole.

    Args:
        path: the file.
        batches: those with these numbers only, in this order; None = all.

    Raises:
        DataError: missing, truncated, or not such a file.
    """
    with _Archive(path) as archive:
        for index in range(len(archive.sizes)) if batches is None else batches:
            yield archive.sizes[index], archive.batch(index)


class SampleWriter:
    """Writes batch by batch; the file appears under its name when `finish` was called, or not at all."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._sizes: list[int] = []
        try:
            self._zip = zipfile.ZipFile(self._part, "w", zipfile.ZIP_STORED, allowZip64=True)
        except OSError as error:
            raise DataError(f"cannot write samples to {path}: {error.strerror}") from error

    def add(self, batch: Feeds, size: int) -> None:
        """Append one batch of `size` samples."""
        if not batch or size < 1:
            raise DataError(f"batch {len(self._sizes)} is empty; a batch holds at least one array and one sample")
        for name, array in batch.items():
            if np.ndim(array) < 1 or len(array) != size:
                shape = list(np.shape(array))
                raise DataError(f"{name} in batch {len(self._sizes)}: expected {size} samples first, found {shape}")
            self._member(f"feeds/{len(self._sizes):06d}/{name}", array)
        self._sizes.append(size)

    def finish(self, labels: Mapping[str, Array]) -> None:
        """Write labels and sizes and put the file under its name."""
        for name, array in labels.items():
            self._member(f"labels/{name}", array)
        self._member("sizes", np.asarray(self._sizes, np.int64))
        self._zip.close()
        self._part.replace(self._path)

    def __enter__(self) -> SampleWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._zip.close()
        self._part.unlink(missing_ok=True)

    def _member(self, name: str, array: Array) -> None:
        plain = np.asarray(array)
        if plain.dtype.hasobject or plain.dtype.kind == "V":
            raise DataError(f"{name}: expected numbers, booleans or text, found an array of {plain.dtype}")
        info = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
        info.external_attr = 0o600 << 16
        with self._zip.open(info, "w", force_zip64=True) as member:
            np.lib.format.write_array(member, np.ascontiguousarray(plain).reshape(plain.shape), allow_pickle=False)


class _Archive:
    """An open file: its sizes, and batches on demand."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} is not a file of samples: {error}") from error
        self._names: dict[str, list[str]] = {}
        for member in self._zip.namelist():
            kind, _, rest = member.removesuffix(".npy").partition("/")
            index, _, name = rest.partition("/") if kind == "feeds" else ("", "", rest)
            self._names.setdefault(f"{kind}/{index}", []).append(name)
        sizes = self._array("sizes.npy")
        if sizes.ndim != 1 or sizes.dtype != np.int64:
            raise DataError(f"{path}: sizes must be int64 of one axis, found {sizes.dtype} {list(sizes.shape)}")
        self.sizes = tuple(int(size) for size in sizes)

    def batch(self, index: int) -> dict[str, Any]:
        names = self._names.get(f"feeds/{index:06d}", [])
        if not names:
            raise DataError(f"{self._path} lacks batch {index} of {len(self.sizes)}: it is incomplete, write it again")
        return {name: self._array(f"feeds/{index:06d}/{name}.npy") for name in names}

    def labels(self) -> dict[str, Any]:
        return {name: self._array(f"labels/{name}.npy") for name in self._names.get("labels/", [])}

    def __enter__(self) -> _Archive:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._zip.close()

    def _array(self, member: str) -> Array:
        try:
            with self._zip.open(member) as stream:
                array: Array = np.lib.format.read_array(stream, allow_pickle=False)
                return array
        except KeyError as error:
            raise DataError(f"{self._path} is not a file of samples: it lacks {member}") from error
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"{self._path}: cannot read {member}: {error}") from error
