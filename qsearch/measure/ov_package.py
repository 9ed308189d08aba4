"""The openvino package: imported when first needed, without its telemetry; what its errors mean."""

from __future__ import annotations

import re
import sys
from functools import cache
from typing import Any

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import ModelError, QSearchError, Unsupported, WorkFailed
from qsearch.contracts.installing import install_hint

_TELEMETRY = "openvino_telemetry"
#: what stands before the reason: the places in OpenVINO's sources that the error passed
_PLACE = re.compile(r"Exception from \S+:\d+:|Check '.*?' failed at \S+:\d+:|FrontEnd API failed with \w+:")
_NO_OPERATOR = re.compile(r"No conversion rule found for operations: (.+)")
_NO_MEMORY = ("bad_alloc", "failed to allocate", "not enough memory")


@cache
def openvino() -> Any:
    """The package.

    NOTE: importing it sends an event to its maker, from a thread that waits for the network. It does
    without where its telemetry package is absent, so that one counts as absent while this import lasts.

    Raises:
        Unsupported: it is not installed, or cannot be imported.
    """
    before = sys.modules.get(_TELEMETRY)
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # Python's way to say: not installed
    try:
        import openvino as package
    except ImportError as error:
        raise Unsupported(f"runtime openvino cannot be imported: {error}", install_hint("openvino")) from error
    finally:
        del sys.modules[_TELEMETRY]
        if before is not None:
            sys.modules[_TELEMETRY] = before
    return package


@cache
def refusals() -> tuple[type[Exception], ...]:
    """Every class OpenVINO raises; those of its frontends have no root but Exception."""
    own = [c for c in vars(openvino().frontend).values() if isinstance(c, type) and issubclass(c, Exception)]
    return (*own, RuntimeError, ValueError, TypeError, MemoryError)


def translated(error: Exception, what: str) -> QSearchError:
    """Ours for one of `refusals`.

    Args:
        error: as it was raised.
        what: the beginning of the message: "OpenVINO refuses x.onnx".

    Returns:
        WorkFailed(OUT_OF_MEMORY) for lack of memory, else ModelError; an operator that OpenVINO does
        not have is named.
    """
    if isinstance(error, MemoryError) or any(said in str(error).lower() for said in _NO_MEMORY):
        return WorkFailed(Cause.OUT_OF_MEMORY, f"{what}: out of memory: {words(error)}")
    missing = _NO_OPERATOR.search(str(error))
    if missing:
        return ModelError(f"{what}: it has no operator {missing[1].strip()}", "Measure it on onnxruntime instead.")
    return ModelError(f"{what}: {words(error)}")


def words(error: Exception) -> str:
    """OpenVINO's own reason, on one line, without the places in its sources."""
    said = " ".join(_PLACE.sub(" ", str(error)).split())
    return said[:300] or type(error).__name__
