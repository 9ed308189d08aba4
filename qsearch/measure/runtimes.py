"""The runtimes of this version, by the name a target gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qsearch.contracts.errors import Unsupported
from qsearch.contracts.runtime import Runtime
from qsearch.contracts.target import Target
from qsearch.measure import ort, ov_properties
from qsearch.measure.ort import OnnxRuntime
from qsearch.measure.ov import OpenVino

_RUNTIMES: Mapping[str, Callable[[], Runtime]] = {"onnxruntime": OnnxRuntime, "openvino": OpenVino}
_SETTINGS: Mapping[str, Callable[[Target], Mapping[str, str]]] = {
    "onnxruntime": lambda _: ort.SETTINGS,
    "openvino": ov_properties.settings,
}


def runtime_named(name: str) -> Runtime:
    """The runtime of a target; nothing is imported yet.

    Raises:
        Unsupported: this version does not have it.
    """
    if name not in _RUNTIMES:
        raise Unsupported(f"runtime {name} is not in this version; it has {', '.join(_RUNTIMES)}")
    return _RUNTIMES[name]()


def settings_of(target: Target) -> Mapping[str, str]:
    """What the target's runtime is told besides the target's own options, by the runtime's own names.

    Raises:
        Unsupported: this version does not have it.
    """
    if target.runtime not in _SETTINGS:
        raise Unsupported(f"runtime {target.runtime} is not in this version; it has {', '.join(_SETTINGS)}")
    return _SETTINGS[target.runtime](target)
