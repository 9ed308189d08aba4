"""Factories in their own child, exported and run beside torch."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from qsearch.contracts.errors import ModelError, QSearchError, WorkFailed
from qsearch.contracts.torch_work import Exported, ExportOrder
from workers.torch_exporting import export

START = """
    import numpy as np, torch
    from qsearch.contracts.torch_model import TorchModel

    X = np.ones((2, 4), np.float32)
"""
GOOD = """
    def make():
        torch.manual_seed(0)
        return TorchModel(module=torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout()), inputs={"input": X})
"""
#: the file notes what the clock said when the module was traced
CLOCK = """
    import time

    class Clock(torch.nn.Module):
        def forward(self, x):
            return x * (time.perf_counter_ns() % 1_000_003)

    def make():
        return TorchModel(module=Clock(), inputs={"x": X})
"""


def _export(folder: Path, body: str) -> Exported:
    (folder / "net.py").write_text(textwrap.dedent(START) + textwrap.dedent(body))
    return export(ExportOrder(torch="net:make", folder=str(folder)), folder, 120)


def test_a_module_is_exported_in_evaluation_mode_and_agrees_with_torch(tmp_path: Path) -> None:
    found = _export(tmp_path, GOOD)
    assert found.difference < 1e-6
    assert set(found.parameters.values()) == {"0.weight"}
    assert (tmp_path / "exported" / "model.onnx").is_file()


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        ("    def make():\n        return 1 / 0\n", WorkFailed, r"net:make failed: ZeroDivisionError"),
        ("    def make():\n        return 5\n", WorkFailed, "net:make returned int; expected .*TorchModel"),
        (CLOCK, ModelError, "net:make: the exported model differs from the torch module by"),
    ],
)
def test_a_factory_that_cannot_be_used_is_told_with_its_reason(
    tmp_path: Path, body: str, error: type[QSearchError], words: str
) -> None:
    with pytest.raises(error, match=words):
        _export(tmp_path, body)
