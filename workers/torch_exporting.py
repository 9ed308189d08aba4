"""`export-torch`: the user's factory makes a module, its child exports it, and the file is run beside torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qsearch.contracts.errors import ModelError
from qsearch.contracts.target import Target
from qsearch.contracts.task import Array
from qsearch.contracts.torch_work import Exported, ExportOrder
from qsearch.graph.inspection import digest_of_file
from qsearch.measure.ort import OnnxRuntime
from workers.scoring import UserCode

#: Largest difference to torch's output, as a share of its largest magnitude. Exported models differ by
#: the order of sums: about 1e-6 of the largest value for those of tests/bench, 1e-5 for deep ones.
TOLERANCE = 1e-3
#: what the child leaves for the comparison
_FEEDS, _EXPECTED = "feeds.npz", "expected.npz"


def export(order: ExportOrder, scratch: Path, deadline_s: float) -> Exported:
    """Write `exported/model.onnx` below scratch.

    Raises:
        WorkFailed: USER_ERROR, the factory or torch's exporter failed, and the message says how.
        ModelError: the file computes something else than the module.
    """
    out = scratch / "exported"
    # A child of its own: torch and the module leave with it, and scoring does not wait behind them.
    code = UserCode()
    try:
        answer = code.ask(
            {"do": "export", "factory": order.torch, "folder": order.folder, "out": str(out), "beside": str(scratch)},
            deadline_s,
        )
    finally:
        code.close()
    model = out / "model.onnx"
    found = OnnxRuntime().load(model, Target(name="parity")).run(_arrays(scratch / _FEEDS))
    difference = max(
        _difference(name, value, np.asarray(found[name])) for name, value in _arrays(scratch / _EXPECTED).items()
    )
    if not difference <= TOLERANCE:
        raise ModelError(
            f"{order.torch}: the exported model differs from the torch module by {difference:.2g} of the largest "
            f"output; expected {TOLERANCE:g} at most",
            "Is the module in evaluation mode free of randomness? If so, export it yourself and give its path.",
        )
    tied = answer["tied"]
    return Exported(
        digest=digest_of_file(model),
        torch=str(answer["torch"]),
        difference=difference,
        parameters={str(k): str(v) for k, v in tied.items()} if isinstance(tied, dict) else {},
    )


def _arrays(path: Path) -> dict[str, Array]:
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


def _difference(name: str, expected: Array, found: Array) -> float:
    if expected.shape != found.shape:
        raise ModelError(f"output {name!r}: torch gives shape {expected.shape}, the exported model {found.shape}")
    if not expected.size:
        return 0.0
    largest = float(np.max(np.abs(expected.astype(np.float64))))
    apart = float(np.max(np.abs(expected.astype(np.float64) - found.astype(np.float64))))
    return apart / largest if largest > 0 else apart
