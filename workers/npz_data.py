"""Samples without Python: an .npz of arrays by input name, dealt into three splits."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from tokenize import TokenError

import numpy as np

from qsearch.contracts.errors import DataError
from qsearch.contracts.task import Array, Split, Task

#: the array that holds one label per sample
LABELS = "labels"
#: the array that holds the characters of classes; it belongs to no sample and goes into every split
CHARSET = "charset"
#: fewest samples worth dealing: 3 splits, and intervals over the scored ones
FEWEST = 12
#: calibration takes a sixth, and never more than this; ranges settle long before
MOST_CALIBRATION = 128
#: what numpy and zipfile raise for files that are empty, cut short, damaged, encrypted or no archive
_UNREADABLE = (OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error, TokenError)


def npz_task(path: Path, inputs: Sequence[str], seed: int) -> tuple[Task, bool]:
    """A task over the file's arrays, and whether it has labels.

    The first axis of every array counts samples. They are shuffled by the seed; a sixth (128 at most)
    calibrates, the rest is halved into search and held-out.

    Raises:
        DataError: as `npz_arrays`; arrays that do not fit each other or the model's inputs.
    """
    arrays = npz_arrays(path)
    labels, charset = arrays.pop(LABELS, None), arrays.pop(CHARSET, None) if CHARSET not in inputs else None
    missing = [name for name in inputs if name not in arrays]
    if missing:
        raise DataError(
            f"{path} has no array {missing[0]!r}; it has {sorted(arrays)}",
            f"Save one array per model input: np.savez({path.name!r}, {', '.join(inputs)}=..., labels=...)",
        )
    unknown = [name for name in arrays if name not in inputs]
    if unknown:
        raise DataError(
            f"{path} has an array {unknown[0]!r} that is no input of the model {sorted(inputs)}, nor `{LABELS}` "
            f"or `{CHARSET}`"
        )
    count = len(arrays[inputs[0]])
    every = {**arrays, **({} if labels is None else {LABELS: labels})}
    for name, array in every.items():
        if len(array) != count:
            raise DataError(
                f"{path}: {name!r} has {np.shape(array)[:1]} samples, {inputs[0]!r} has {count}; axis 0 counts samples"
            )
    if count < FEWEST:
        raise DataError(f"{path} has {count} samples; at least {FEWEST} are needed for three disjoint splits")
    order = np.random.default_rng(seed).permutation(count)
    calibration = min(MOST_CALIBRATION, count // 6)
    middle = calibration + (count - calibration) // 2
    parts = [order[:calibration], order[calibration:middle], order[middle:]]
    first, second, third = (_split(arrays, labels, charset, part) for part in parts)
    return Task(metric="", score="", calibration=first, search=second, heldout=third), labels is not None


def npz_arrays(path: Path) -> dict[str, Array]:
    """Every array of an .npz by name, each with samples on axis 0; pickled objects are refused.

    Raises:
        DataError: missing, not an .npz, damaged, without arrays, or with one that has no axis to count on.
    """
    try:
        # opened here: numpy leaves a file open that begins like an archive and is none
        with path.open("rb") as stream:
            found = np.load(stream, allow_pickle=False)
            if not isinstance(found, np.lib.npyio.NpzFile):
                raise DataError(
                    f"{path} is a single array (.npy); expected an .npz with one array per model input",
                    f"np.savez({path.name!r}, NAME_OF_INPUT=array)",
                )
            with found as file:
                arrays = {name: file[name] for name in file.files}
    except FileNotFoundError as error:
        raise DataError(f"no data file {path}") from error
    except _UNREADABLE as error:
        raise DataError(f"{path} cannot be read as .npz: {error}", "Write it with numpy.savez.") from error
    if not arrays:
        raise DataError(f"{path} holds no array; expected one per model input")
    for name, array in arrays.items():
        # a member that is no .npy comes back as its bytes
        if not isinstance(array, np.ndarray):
            raise DataError(f"{path}: {name!r} is no array", "Write it with numpy.savez.")
        if array.ndim < 1:
            raise DataError(f"{path}: {name!r} is a single number; expected an array whose axis 0 counts samples")
    return arrays


def _split(arrays: Mapping[str, Array], labels: Array | None, charset: Array | None, rows: Array) -> Split:
    samples = [{name: array[row] for name, array in arrays.items()} for row in rows]
    found = {} if labels is None else {LABELS: labels[rows]}
    return Split(samples=samples, labels=found if charset is None else {**found, CHARSET: charset})
