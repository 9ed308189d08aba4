"""The numerics class of a target on this machine: a hash of what the canary's outputs are, bit by bit."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from qsearch.contracts.causes import Cause
from qsearch.contracts.codec import canonical
from qsearch.contracts.errors import WorkFailed
from qsearch.contracts.target import Target
from qsearch.graph.numerics import BATCH, VERSION, numerics_feeds, write_numerics
from qsearch.measure import wire
from qsearch.measure.samples import read_samples, write_samples
from workers.child_process import ChildProcess

#: seconds that a child has for it; a fraction of one is what it takes
PATIENCE_S = 120.0


def numerics_class(target: Target, python: str, cpus: Sequence[int], inherit: Sequence[int] = ()) -> str:
    """16 hex digits; empty where the runtime cannot run the canary. Asked once per target while this process lives.

    NOTE: the machine is this one, so that it needs no place in the key of what is remembered; a target with
    another batch or other labels computes alike and is the same here.

    Args:
        target: runtime, provider, threads and options.
        python: interpreter of the child.
        cpus: to pin it to.
        inherit: descriptors that the child keeps open, such as the machine's lock.

    Raises:
        WorkFailed: the child could not be started, hung or crashed.
    """
    alike = replace(target, name="numerics", batch=1, scenario="", labels={}, python=python)
    key = canonical(alike)
    if key not in _known:
        _known[key] = _computed(alike, tuple(cpus), tuple(inherit))
    return _known[key]


#: target → class, as found by this process
_known: dict[str, str] = {}


def _computed(asked: Target, cpus: tuple[int, ...], inherit: tuple[int, ...]) -> str:
    with tempfile.TemporaryDirectory(prefix="qsearch-") as place:
        folder = Path(place)
        write_samples(folder / "samples.npz", [numerics_feeds()], {}, [BATCH])
        order = wire.PredictOrder(
            model=str(write_numerics(folder / "numerics.onnx")),
            target=asked,
            samples=str(folder / "samples.npz"),
            out=str(folder / "out.npz"),
            cpus=cpus,
        )
        try:
            with ChildProcess("numerics canary", asked.python, asked.threads, inherit) as child:
                child.ask(order, PATIENCE_S)
        except WorkFailed as error:
            if error.cause is not Cause.BAD_MODEL:
                raise
            return ""
        return _digest(folder / "out.npz")


def _digest(outputs: Path) -> str:
    digest = hashlib.sha256(VERSION.encode())
    for name, array in sorted(read_samples(outputs).feeds[0].items()):
        digest.update(f"{name} {array.dtype.name} {np.shape(array)}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
