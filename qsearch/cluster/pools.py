"""A pool by its name on the command line."""

from __future__ import annotations

import difflib
from pathlib import Path

from qsearch.cluster.local import LocalPool
from qsearch.cluster.memory import MemoryPool
from qsearch.cluster.recording import Recording
from qsearch.contracts.errors import UsageError
from qsearch.contracts.pool import Pool

_NAMES = ("local", "ray", "replay:FILE")


def open_pool(name: str, *, scratch: Path, ray_address: str = "") -> Pool:
    """The pool of this name, to be closed by the caller.

    Args:
        name: `local`, `ray`, or `replay:FILE` with a recording.
        scratch: folder the workers of this machine run in.
        ray_address: `ray` only: the cluster to join; empty starts a local one. What a person keeps in
            the environment or a file for the days they use Ray is not to be given with another pool.

    Raises:
        UsageError: another name, or an address for a pool that has none.
        NotFound, DataError: the recording.
        Unreachable, Unsupported: the Ray cluster.
    """
    if ray_address and name != "ray":
        raise UsageError(f"a Ray address ({ray_address}) means nothing to the pool {name!r}", "Use --pool ray.")
    if name == "local":
        return LocalPool(scratch=scratch)
    if name == "ray":
        from qsearch.cluster.ray_pool import RayPool

        return RayPool(ray_address or None, scratch=scratch)
    kind, colon, file = name.partition(":")
    if kind == "replay" and colon and file:
        recording = Recording(Path(file))
        return MemoryPool(recording.answer, recording.slots)
    close = difflib.get_close_matches(kind, ["local", "ray", "replay"], n=1, cutoff=0.5)
    meant = f"Did you mean {'replay:FILE' if close[0] == 'replay' else close[0]}?" if close else ""
    raise UsageError(f"--pool: expected one of {', '.join(_NAMES)}, found {name!r}", meant)
