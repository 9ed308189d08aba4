"""A task's samples to files: one .npz per split and batch size, the same bytes for the same data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from qsearch.contracts.errors import DataError, TaskError
from qsearch.contracts.task import Array, Feeds, Split, Task
from qsearch.measure.samples import write_samples

SPLITS = ("calibration", "search", "heldout")


def split_file(folder: Path, split: str, batch: int) -> Path:
    """Where a split collated at a batch size lies."""
    return folder / f"{split}.b{batch}.npz"


def write_splits(task: Task, batches: Sequence[int], out: Path) -> str:
    """Collate and write all splits; the digest (SHA-256, hex) of all files.

    Raises:
        TaskError: an empty split, samples without a common set of inputs, or a collate that returns
            something else than arrays.
        DataError: a float input that is not a number.
    """
    out.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    for name in SPLITS:
        split: Split = getattr(task, name)
        _check(name, split)
        for batch in batches:
            file = split_file(out, name, batch)
            feeds, sizes = _collate(task, split, batch, name)
            write_samples(file, feeds, {k: np.asarray(v) for k, v in split.labels.items()}, sizes)
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _check(name: str, split: Split) -> None:
    if not isinstance(split, Split) or not (
        hasattr(split.samples, "__len__") and hasattr(split.samples, "__getitem__")
    ):
        found = type(split.samples if isinstance(split, Split) else split).__name__
        raise TaskError(f"the {name} split holds a {found}; expected Split(samples=[...])")
    if not len(split.samples):
        raise TaskError(f"the {name} split has no samples; every split needs at least one")
    inputs = set(split.samples[0]) if isinstance(split.samples[0], Mapping) else set()
    for i, sample in enumerate(split.samples):
        if not isinstance(sample, Mapping):
            raise TaskError(f"{name} sample {i} is a {type(sample).__name__}; expected input name → array")
        if set(sample) != inputs:
            raise TaskError(f"{name} sample {i} has the inputs {sorted(sample)}; sample 0 has {sorted(inputs)}")
        for key, value in sample.items():
            _check_values(f"{name} sample {i}, input {key!r}", np.asarray(value))


def _check_values(what: str, value: Array) -> None:
    if value.dtype == object:
        raise TaskError(f"{what} is no plain array (dtype object); give numbers")
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise DataError(f"{what} holds NaN or infinity", "Mend the task's data; a model fed with it answers nothing.")


def _collate(task: Task, split: Split, batch: int, name: str) -> tuple[list[Feeds], list[int]]:
    feeds: list[Feeds] = []
    sizes: list[int] = []
    for start in range(0, len(split.samples), batch):
        group = split.samples[start : start + batch]
        try:
            collated = task.collate(group)
        except ValueError as error:
            raise TaskError(
                f"samples {start}..{start + len(group) - 1} of {name} cannot be collated: {error}",
                "Samples of unlike shapes need a collate that pads them, or a target with batch 1.",
            ) from error
        feeds.append(_batched(collated, len(group), name))
        sizes.append(len(group))
    return feeds, sizes


def _batched(collated: Mapping[str, Array], size: int, name: str) -> Feeds:
    for key, value in collated.items():
        if np.ndim(value) < 1 or np.shape(value)[0] != size:
            raise TaskError(
                f"collate gave {key!r} of shape {np.shape(value)} for {size} {name} samples; axis 0 is the batch"
            )
    return {key: np.asarray(value) for key, value in collated.items()}
