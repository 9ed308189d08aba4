"""Which kernel executes the weights of a choice: the one place where this is decided.

NOTE: a choice is numerics, a lowering is speed, and no candidate names one. All lowerings of one choice
read the same stored arrays, so that another one can be taken without preparing a model again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from qsearch.contracts.choices import Choice


class Kernel(StrEnum):
    """What multiplies with a packed matrix."""

    #: MatMulNBits: the weights stay packed in memory
    NBITS = "nbits"
    #: a float MatMul or Gemm; the runtime unpacks the weights when it loads the model
    FLOAT = "float"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowering:
    """How a packed matrix is multiplied with."""

    kernel: Kernel
    #: of MatMulNBits. 4: each block of the activation becomes int8 inside the kernel. 0: float activations
    accuracy_level: int = 0


#: choice → lowering of its matrices (MatMul and Gemm). Weights in other roles have one lowering: they are
#: unpacked when the model is loaded, or row by row where they are looked up.
#: NOTE: read off ONNX Runtime 1.32 on x86-64 with AVX-512 VNNI. Levels 0 and 4 are right for 2, 4 and 8 bits, any
#: block and any K, with the largest codes too; level 4 moves an output by about 1 % of the largest at most.
#: With one row of activations level 0 is many times slower than level 4 for 2 and 8 bits, and near it for 4
#: bits. It keeps activations in float, as FLOAT does, whose product is that of fp32.
MATRICES: Mapping[Choice, Lowering] = {
    Choice.INT8_WEIGHT: Lowering(kernel=Kernel.NBITS, accuracy_level=4),
    Choice.INT4_WEIGHT: Lowering(kernel=Kernel.NBITS, accuracy_level=4),
    Choice.TERNARY: Lowering(kernel=Kernel.NBITS, accuracy_level=4),
    Choice.BINARY: Lowering(kernel=Kernel.NBITS, accuracy_level=4),
}


def lowering_of(choice: Choice) -> Lowering:
    """How matrices of a choice are multiplied with."""
    return MATRICES[choice]
