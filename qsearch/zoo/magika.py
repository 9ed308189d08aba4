"""Telling the content type of a file from its first and last bytes, with the model of the package `magika`.

The samples are real files of this machine, `qsearch.zoo.files`; the label of each is what its extension
says, `qsearch.zoo.extensions`. The metric is top-1 of the model's own answer: the package's thresholds,
which turn an unsure answer into "text" or "unknown", belong to the tool and not to the model.

NOTE: every machine has other files, so scores of two machines cannot be compared, and the digest of the
data says so. On one machine the samples stay the same until packages are installed or removed. How many
there are depends on what is there, and stands in the job's record; no content type gets more of the
samples than it must, or half of them would be Python.

NOTE: near duplicates. Installed software is full of files that begin or end alike: licence texts, generated
pages, versions of one package. The model sees the two ends only, so no two samples have an end in common, in all
splits together, and files from unlike folders are taken first. An end of one byte repeated, such as the zeros
behind every tar, does not count as common. Neighbours in one folder may stand in two splits: nothing is trained here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from itertools import islice
from pathlib import Path

import numpy as np

from qsearch.contracts.errors import TaskError
from qsearch.contracts.task import Array, Feeds, Split, Task
from qsearch.zoo.extensions import CONTENT_OF
from qsearch.zoo.files import ends, installed_roots, labelled_files

#: samples of each split on a machine that has enough files
CALIBRATION, SEARCH, HELDOUT = 128, 500, 1200
#: of all splits together: with fewer files or types a score would say little
FEWEST_FILES, FEWEST_TYPES = 300, 8
#: of one type at most, on a machine that has few types
MOST_OF_A_TYPE = 200
_PACKAGE, _FOLDER = "magika", "magika/models/standard_v3_3"
_SEED = 33


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How the model wants to see a file, from the package's config.min.json."""

    #: tokens from each end
    tokens: int
    #: bytes read from each end, before white space is taken off
    block: int
    #: stands where a file is shorter
    padding: int
    #: bytes; shorter files are none of the model's business
    shortest: int
    #: the model's classes
    classes: tuple[str, ...]


def task() -> Task:
    """Samples `bytes`, int32 [2048]; labels int64 [n], the model's classes.

    Raises:
        TaskError: the model's package is not installed, or the machine has too few files.
    """
    return file_task(installed_roots())


def file_task(roots: Mapping[str, Path]) -> Task:
    """The same over the files below some folders, name → folder."""
    reading = _reading()
    found = _distinct(roots, reading)
    chosen = _level(found, CALIBRATION + SEARCH + HELDOUT)
    if len(chosen) < FEWEST_FILES or len(found) < FEWEST_TYPES:
        counts = ", ".join(f"{label} {len(files)}" for label, files in found.items()) or "nothing"
        raise TaskError(
            f"expected {FEWEST_FILES} files of {FEWEST_TYPES} types that everybody may read, found {len(chosen)} "
            f"of {len(found)} below {', '.join(str(root) for root in roots.values())}: {counts}",
            "Use a Python with more packages installed, or a machine with more software.",
        )
    calibration, search = _sizes(len(chosen))
    return Task(
        metric="top1",
        score="top1",
        calibration=_split(chosen[:calibration], reading),
        search=_split(chosen[calibration : calibration + search], reading),
        heldout=_split(chosen[calibration + search :], reading),
    )


def features(head: bytes, tail: bytes, reading: Reading) -> Array | None:
    """What the model is fed: the first tokens and the last ones, filled up in the middle; int32 [2 · tokens].

    White space counts from the outside only: before the first token and behind the last one it is left out.

    Args:
        head: the file's first `reading.block` bytes, or all of it.
        tail: its last ones.

    Returns:
        None for a file of so little that the package would not ask the model.
    """
    first = head.lstrip()[: reading.tokens]
    last = tail.rstrip()[-reading.tokens :]
    if len(first) < reading.shortest:
        return None
    tokens = np.full(2 * reading.tokens, reading.padding, dtype=np.int32)
    tokens[: len(first)] = list(first)
    tokens[len(tokens) - len(last) :] = list(last)
    return tokens


def _distinct(roots: Mapping[str, Path], reading: Reading) -> dict[str, list[Array]]:
    """Type → its samples, those of all types together without a common end; types without any are left out."""
    seen: set[bytes] = set()
    files = labelled_files(roots, CONTENT_OF, _SEED)
    found = {label: list(islice(_unseen(paths, reading, seen), MOST_OF_A_TYPE)) for label, paths in files.items()}
    return {label: samples for label, samples in found.items() if samples}


def _unseen(paths: Sequence[Path], reading: Reading, seen: set[bytes]) -> Iterator[Array]:
    for path in paths:
        read = ends(path, reading.block)
        tokens = features(*read, reading) if read else None
        if tokens is None:
            continue
        # an end of one repeated byte, such as the zeros behind every tar, makes no two files alike
        halves = {half.tobytes() for half in np.split(tokens, 2) if len(np.unique(half)) > 1}
        if seen.isdisjoint(halves):
            seen |= halves
            yield tokens


def _level(found: Mapping[str, Sequence[Array]], wanted: int) -> list[tuple[str, Array]]:
    """So many samples with their types, as many of each type as of any other as far as there are; mixed."""
    turns = [
        (turn, hashlib.sha256(f"{_SEED}:{label}:{turn}".encode()).digest(), label)
        for label, samples in found.items()
        for turn in range(len(samples))
    ]
    chosen = sorted(turns)[:wanted]
    return [(label, found[label][turn]) for turn, _, label in sorted(chosen, key=lambda one: one[1])]


def _sizes(count: int) -> tuple[int, int]:
    """Samples for calibration and search; the rest, the largest part, is held out."""
    calibration = min(CALIBRATION, count // 10)
    return calibration, min(SEARCH, (count - calibration) * 2 // 5)


def _split(chosen: Sequence[tuple[str, Array]], reading: Reading) -> Split:
    samples: list[Feeds] = [{"bytes": tokens} for _, tokens in chosen]
    labels = np.array([reading.classes.index(label) for label, _ in chosen], dtype=np.int64)
    return Split(samples=samples, labels={"labels": labels})


def _reading() -> Reading:
    try:
        folder = Path(str(metadata.distribution(_PACKAGE).locate_file(_FOLDER)))
    except metadata.PackageNotFoundError as error:
        raise TaskError(f"the task needs the package {_PACKAGE}", "make models") from error
    try:
        config = json.loads((folder / "config.min.json").read_text(encoding="utf-8"))
        reading = Reading(
            tokens=config["beg_size"],
            block=config["block_size"],
            padding=config["padding_token"],
            shortest=config["min_file_size_for_dl"],
            classes=tuple(config["target_labels_space"]),
        )
        if config["mid_size"] or config["use_inputs_at_offsets"] or config["end_size"] != reading.tokens:
            raise ValueError("it asks for more than two equal ends")
        if unknown := set(CONTENT_OF.values()).difference(reading.classes):
            raise ValueError(f"it lacks the types {', '.join(sorted(unknown))}")
    except (OSError, ValueError, KeyError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise TaskError(
            f"{folder / 'config.min.json'} is not that of standard_v3_3: {reason}", "make models"
        ) from error
    return reading
