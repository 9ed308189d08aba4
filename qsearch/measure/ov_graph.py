"""Operators of a model that OpenVINO has compiled, with the precision each one computes in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

_ENDS = frozenset({"Input", "Output"})


def count_executed(compiled: Any) -> dict[str, int]:
    """Operator and precision → nodes that run at every inference, most frequent first.

    NOTE: the names are OpenVINO's, after its fusions: a MatMul with constant weights is a
    FullyConnected, a run of elementwise nodes a Subgraph. The precision is of the kernel, so that a
    float operator which was meant to be an integer one shows: "FullyConnected:u8" and not
    "FullyConnected:f32". What hangs on constants alone was computed when the model was compiled and
    is left out. Bodies of If and Loop are not shown.
    """
    counts: Counter[str] = Counter()
    for info in _running(compiled):
        counts[f"{_text(info, 'layerType')}:{_text(info, 'runtimePrecision')}"] += 1
    return dict(counts.most_common())


def _running(compiled: Any) -> Iterator[Any]:
    """The facts of each node that runs at every inference."""
    constant: set[str] = set()
    for node in compiled.get_runtime_model().get_ordered_ops():
        info = node.get_rt_info()
        kind, sources = _text(info, "layerType"), [value.get_node().get_name() for value in node.input_values()]
        if kind == "Const" or (sources and constant.issuperset(sources)):
            constant.add(node.get_name())
        elif kind not in _ENDS:
            yield info


def _text(info: Any, key: str) -> str:
    return str(info[key].astype(str)) if key in info else ""
