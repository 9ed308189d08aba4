"""The runtimes of this version, by the name a target gives."""

from __future__ import annotations

from qsearch.contracts.errors import Unsupported
from qsearch.contracts.runtime import Runtime
from qsearch.measure.ort import OnnxRuntime

_RUNTIMES = {"onnxruntime": OnnxRuntime}


def runtime_named(name: str) -> Runtime:
    """The runtime of a target; nothing is imported yet.

    Raises:
        Unsupported: this version does not have it.
    """
    if name not in _RUNTIMES:
        raise Unsupported(f"runtime {name} is not in this version; it has {', '.join(_RUNTIMES)}")
    return _RUNTIMES[name]()
