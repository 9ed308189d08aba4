"""Exporting a torch module: what a worker is asked, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOrder:
    """Call the user's factory and export its torch module to ONNX, in the child that runs user code."""

    #: module:function that returns a `TorchModel`
    torch: str
    #: folder put first on the import path of that child
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """Facts about the exported model on disk."""

    #: SHA-256 over the file, and its data where that lies beside it
    digest: str
    #: torch's version
    torch: str
    #: largest difference to the module's own output, as a share of that output's largest magnitude
    difference: float
    #: weight of the exported graph → torch parameter with the same values, transposed or not
    parameters: Mapping[str, str] = field(default_factory=dict)
