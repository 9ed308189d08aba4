"""What a layer can get. The words are the design's; `AVAILABLE` is what this version can build."""

from __future__ import annotations

from enum import StrEnum


class Choice(StrEnum):
    """What one layer gets.

    NOTE: a choice is the user's word for numerics. Which kernel executes it (its *lowering*) is
    decided below, per runtime, and never appears in a spec or a candidate.
    """

    FP32 = "fp32"
    INT8_STATIC = "int8-static"
    INT8_DYNAMIC = "int8-dynamic"
    TERNARY = "ternary"
    BINARY = "binary"
    INT8_WEIGHT = "int8-weight"
    INT4_WEIGHT = "int4-weight"
    TDQ = "tdq"
    FP16 = "fp16"
    BF16 = "bf16"


#: Choices that this version can assemble, in the order tables show them.
AVAILABLE: tuple[Choice, ...] = (
    Choice.FP32,
    Choice.INT8_STATIC,
    Choice.INT8_DYNAMIC,
    Choice.INT8_WEIGHT,
    Choice.INT4_WEIGHT,
    Choice.TERNARY,
    Choice.BINARY,
    Choice.TDQ,
)

#: Choices for models that declare a time input, and those for any model.
TIMED: tuple[Choice, ...] = (Choice.TDQ,)
UNTIMED: tuple[Choice, ...] = tuple(choice for choice in AVAILABLE if choice not in TIMED)

#: What a spec that names no choices searches.
#: NOTE: not all that is available. Each choice is a uniform candidate to measure and a factor of the space,
#: and jobs of specs that are silent must stay what they were. Choices of weights alone pay where memory is
#: what counts, or for matrix times vector; who wants them names them.
DEFAULT: tuple[Choice, ...] = (Choice.FP32, Choice.INT8_STATIC, Choice.INT8_DYNAMIC, Choice.TERNARY)

#: Name and version of the rules that turn weights and ranges into tensors. Raised whenever equal
#: inputs would give other tensors, so that prepared models of an older version are never reused.
QUANTIZER = "qsearch-quantize/4"
