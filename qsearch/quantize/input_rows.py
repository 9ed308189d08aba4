"""The rows of a layer's input: what its weight, as a [K, N] matrix, is multiplied with.

A MatMul's rows are the vectors along the last axis of its activation, a Gemm's those of the (transposed)
activation, a Conv's the windows that its kernel sees, for each group its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from qsearch.graph.sites import Role, Site


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRows:
    """How one node reads its activation. Equal records read equal rows, so they are collected once."""

    tensor: str
    #: length of one row
    length: int
    #: 1, or a Conv's group
    groups: int = 1
    #: Gemm with transA: the activation is [K, M]
    transposed: bool = False
    #: Conv only: one number for each spatial axis
    kernel: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    #: begin of each axis, then end of each
    pads: tuple[int, ...] = ()
    #: NOTSET, VALID, SAME_UPPER, SAME_LOWER
    auto_pad: str = "NOTSET"

    def of(self, values: NDArray[Any], most: int) -> NDArray[np.float32]:
        """At most `most` rows, spread evenly, of one batch: float32 [groups, rows, length]."""
        array = np.asarray(values, dtype=np.float32)
        if not self.kernel:
            flat = array.T if self.transposed else array.reshape(-1, array.shape[-1] if array.ndim else 1)
            return flat[_spread(len(flat), most)][np.newaxis]
        windows = self._windows(array)
        count = len(self.kernel) + 1
        places = np.unravel_index(_spread(math.prod(windows.shape[:count]), most), windows.shape[:count])
        rows = windows[places].reshape(len(places[0]), self.groups, self.length)
        return np.ascontiguousarray(np.moveaxis(rows, 1, 0))

    def _windows(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """A view [batch, *output sizes, channels, *kernel] of the padded input; nothing is copied but the padding."""
        spans = tuple(d * (k - 1) + 1 for d, k in zip(self.dilations, self.kernel, strict=True))
        begins, ends = self._padding(array.shape[2:], spans)
        padded = np.pad(array, [(0, 0), (0, 0), *zip(begins, ends, strict=True)])
        axes = tuple(range(2, array.ndim))
        view = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=axes)
        steps = (slice(None), slice(None), *(slice(None, None, s) for s in (*self.strides, *self.dilations)))
        return np.moveaxis(view[steps], 1, len(axes) + 1)

    def _padding(self, sizes: tuple[int, ...], spans: tuple[int, ...]) -> tuple[list[int], list[int]]:
        count = len(self.kernel)
        if self.auto_pad not in {"SAME_UPPER", "SAME_LOWER"}:
            return list(self.pads[:count]), list(self.pads[count:])
        total = [
            max((-(-size // stride) - 1) * stride + span - size, 0)
            for size, stride, span in zip(sizes, self.strides, spans, strict=True)
        ]
        small, large = [t // 2 for t in total], [t - t // 2 for t in total]
        return (small, large) if self.auto_pad == "SAME_UPPER" else (large, small)


def input_rows(site: Site, node: onnx.NodeProto, shape: tuple[int, ...]) -> InputRows:
    """How a MATRIX or CONV site reads its activation; `shape` is its weight's."""
    found = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if site.role is Role.MATRIX:
        length = math.prod(shape) // shape[site.channel_axis]
        return InputRows(tensor=site.activation, length=length, transposed=bool(found.get("transA", 0)))
    axes = len(shape) - 2
    auto = found.get("auto_pad", b"NOTSET").decode()
    return InputRows(
        tensor=site.activation,
        length=math.prod(shape[1:]),
        groups=int(found.get("group", 1)),
        kernel=shape[2:],
        strides=tuple(found.get("strides", [1] * axes)),
        dilations=tuple(found.get("dilations", [1] * axes)),
        # Exporters may leave pads behind where auto_pad rules.
        pads=tuple(found.get("pads", [0] * 2 * axes)) if auto == "NOTSET" else (0,) * 2 * axes,
        auto_pad=auto,
    )


def _spread(count: int, most: int) -> NDArray[np.int64]:
    return np.arange(count) if count <= most else np.arange(most) * count // most
