"""Where int8-static values enter and leave the integer world.

NOTE: the choice is made per layer, the regions follow from it. A Conv's result is always quantized,
behind the Relu or Clip that the kernel absorbs, because only then is there an integer kernel. A
Gemm's result is quantized when a static layer reads it. A MatMul's never is: its integer kernel
writes floats, and the bias that follows is a float Add. Between two static layers, MaxPool, Reshape,
Transpose, Flatten, Squeeze and Unsqueeze get the scale of what they rearrange on both sides, so that
a runtime drops both pairs and moves codes; quantizing twice with one scale changes no value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qsearch.contracts.errors import DataError
from qsearch.graph.sites import Role, Site
from qsearch.quantize.flow import Flow
from qsearch.quantize.ranges import Range


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A QuantizeLinear and DequantizeLinear on one tensor."""

    scale: np.float32
    zero: np.uint8
    #: True: every reader gets the dequantized values; False: static layers only
    everywhere: bool


def find_pairs(flow: Flow, sites: Sequence[Site], ranges: Mapping[str, Range]) -> dict[str, Pair]:
    """Tensor → pair for the static sites of a candidate, given in graph order."""
    pairs: dict[str, Pair] = {}
    for site in sites:
        if site.role is Role.CONV:
            result = flow.result(site)
            pairs[result] = _pair(ranges, result, everywhere=True)
    results = {flow.result(site) for site in sites if site.op == "Gemm"}
    for site in sites:
        passed: list[str] = []
        for tensor in flow.upstream(site.activation):
            if tensor in results and tensor not in pairs:
                pairs[tensor] = _pair(ranges, tensor, everywhere=True)
            if tensor in pairs and pairs[tensor].everywhere:
                pairs.update(dict.fromkeys(passed, pairs[tensor]))
                break
            passed.append(tensor)
        else:
            pairs[site.activation] = _pair(ranges, site.activation, everywhere=False)
    return pairs


def _pair(ranges: Mapping[str, Range], tensor: str, *, everywhere: bool) -> Pair:
    if tensor not in ranges:
        raise DataError(f"the prepared model has no range for the tensor {tensor!r}", "Prepare the model again.")
    scale, zero = ranges[tensor].parameters()
    return Pair(scale=scale, zero=zero, everywhere=everywhere)
