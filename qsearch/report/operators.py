"""Operators of an optimised graph, sorted by what they cost: float arithmetic, integer arithmetic, conversions.

The names are those of ONNX and of ONNX Runtime's own domain, as its optimiser leaves them, and OpenVINO's,
which carry the precision of the kernel behind a colon: "FullyConnected:u8".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

#: operators with weights or matrices that compute in float
FLOAT = frozenset(
    {
        "Attention",
        "BiasAttention",
        "Conv",
        "ConvTranspose",
        "Convolution",
        "Deconvolution",
        "Einsum",
        "EmbedLayerNormalization",
        "FusedConv",
        "FusedGemm",
        "FullyConnected",
        "FusedMatMul",
        "Gemm",
        "GRU",
        "LSTM",
        "MatMul",
        "MultiHeadAttention",
        "NhwcFusedConv",
        "RNN",
        "RNNCell",
        "RNNSeq",
        "ScaledDotProductAttention",
        "TransposeMatMul",
    }
)
#: the same in integers, or on weights of few bits
INTEGER = frozenset(
    {
        "ConvInteger",
        "DynamicQuantizeLSTM",
        "DynamicQuantizeMatMul",
        "MatMulBnb4",
        "MatMulFpQ4",
        "MatMulInteger",
        "MatMulInteger16",
        "MatMulIntegerToFloat",
        "MatMulNBits",
        "QAttention",
        "QEmbedLayerNormalization",
        "QGemm",
        "QLinearConv",
        "QLinearMatMul",
        "QOrderedAttention",
        "QOrderedMatMul",
    }
)
QUANTIZE = frozenset({"DynamicQuantizeLinear", "FakeQuantize", "QuantizeLinear"})
DEQUANTIZE = frozenset({"DequantizeLinear", "DequantizeBFP"})
#: other types for the same numbers; OpenVINO's Reorder changes type, layout or both
CAST = frozenset({"Cast", "Convert", "Reorder"})
#: precisions in which an operator of `FLOAT` computes in float; in every other one it works on integers or on
#: weights of few bits
_FLOAT_PRECISIONS = frozenset({"f64", "f32", "f16", "bf16"})


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorCounts:
    """Nodes of one graph, every node in exactly one number."""

    float_ops: int
    integer_ops: int
    quantize: int
    dequantize: int
    cast: int
    #: shapes, activations, normalisations, data moved: neither of the above
    other: int


def operator_counts(operators: Mapping[str, int]) -> OperatorCounts:
    """The counts of a graph's operators by kind."""
    counts: Counter[str] = Counter()
    for name, number in operators.items():
        counts[_kind(name)] += number
    return OperatorCounts(
        float_ops=counts["float"],
        integer_ops=counts["integer"],
        quantize=counts["quantize"],
        dequantize=counts["dequantize"],
        cast=counts["cast"],
        other=counts["other"],
    )


def operator_of(name: str) -> str:
    """The operator of a name that may carry a precision: "FullyConnected" of "FullyConnected:u8"."""
    return name.partition(":")[0]


def _kind(name: str) -> str:
    operator, _, precision = name.partition(":")
    if operator in FLOAT:
        return "integer" if precision and precision not in _FLOAT_PRECISIONS else "float"
    kinds = {"integer": INTEGER, "quantize": QUANTIZE, "dequantize": DEQUANTIZE, "cast": CAST}
    return next((kind for kind, names in kinds.items() if operator in names), "other")
