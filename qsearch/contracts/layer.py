"""A layer: one weighted node of the normalised graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qsearch.contracts.choices import Choice


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A node with constant weights, or several nodes that share one initializer.

    The id survives re-loading the file and re-running the normalisation: it comes from names and
    structure, never from the order of a dict or the address of an object.
    """

    #: stable, unique within the model, printable; what specs pin and candidates name
    id: str
    #: ONNX operator: Conv, Gemm, MatMul, Gather
    op: str
    #: names of the nodes in the normalised graph; more than one when they share the weight
    nodes: tuple[str, ...]
    #: shape of the weight as stored
    weight_shape: tuple[int, ...]
    #: number of weights, bias included
    parameters: int
    #: multiply-accumulates for one sample of the reference shapes; 0 where nothing is multiplied
    macs: int
    #: what the target's runtime can execute for this op, fp32 first
    choices: tuple[Choice, ...]
    #: bytes of the stored weights (scales and zero points included) under each of `choices`
    bytes: Mapping[Choice, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorInfo:
    """An input or output of a model."""

    name: str
    #: numpy name: float32, int64, uint8...
    dtype: str
    #: an int, a symbolic name, or None where the model says nothing
    shape: tuple[int | str | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What `inspect` says of a model; read in a child, so that no caller needs onnx."""

    #: SHA-256 of the file (with its external data), hex
    digest: str
    opset: int
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    layers: tuple[Layer, ...]
    #: nodes by operator in the normalised graph
    operators: Mapping[str, int]
    #: bytes of everything that is no layer's weight: graph, other initializers
    other_bytes: int

    @property
    def size_bytes(self) -> int:
        """Bytes of the model with every layer in fp32."""
        return self.other_bytes + sum(layer.bytes[Choice.FP32] for layer in self.layers)

    @property
    def smallest_bytes(self) -> int:
        """Bytes of the smallest model that the layers' choices can reach."""
        return self.other_bytes + sum(min(layer.bytes.values()) for layer in self.layers)
