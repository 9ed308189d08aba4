"""What the measuring child and its parent say to each other: one JSON text per line.

    arm:      ArmOrder →  ← Warm   (Turn →  ← Times)*  end of file →
    predict:  PredictOrder →  ← Predictions  (More →  ← Predictions)*  end of file →
    probe:    RuntimeOrder →  ← RuntimeFound
    any:      ← Failure, and the child ends

NOTE: lines of JSON and not pickles, because the two ends may run different versions of Python and
numpy, and reading a pickle from a crashing process is running its code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from qsearch.contracts.causes import Cause
from qsearch.contracts.codec import from_data, to_data
from qsearch.contracts.errors import DataError
from qsearch.contracts.target import Target

#: Longest line either end accepts, bytes; a block of a million inferences fits.
LONGEST_LINE = 32 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmOrder:
    """Load, warm up, then wait for turns."""

    model: str
    target: Target
    samples: str
    #: read the first so many batches, less what is no whole cycle of their shapes
    batches: int
    #: pin to these CPUs
    cpus: tuple[int, ...]
    warmup_cap_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictOrder:
    """Run all samples once and write the outputs."""

    model: str
    target: Target
    samples: str
    out: str
    cpus: tuple[int, ...]
    #: numbers of the batches to run, in this order; empty = all
    batches: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class More:
    """Run other batches of the same samples through the model that is loaded."""

    out: str
    batches: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeOrder:
    """Import a runtime and say what it is."""

    target: Target


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeFound:
    """The runtime of this environment."""

    runtime: str
    python: str
    numpy: str
    providers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Warm:
    """The arm is loaded and warm."""

    #: SHA-256 (hex) of the model file
    model_sha256: str
    #: "onnxruntime 1.32.0"
    runtime: str
    load_ms: float
    first_ms: float
    warmup_s: float
    steady: bool
    #: of an average inference; the median where all inputs have one shape
    typical_ns: int
    #: inferences after which the shapes of the inputs repeat
    cycle: int
    #: what the child found itself under: niceness, affinity, threads, library path
    facts: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Time a block."""

    #: number of the first inference, a multiple of the cycle; the input is this number modulo the batches
    first: int
    runs: int
    #: inferences timed together as one sample
    group: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """A block."""

    samples_ns: tuple[int, ...]
    telemetry: Mapping[str, float]
    #: so far, bytes
    peak_rss_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """All outputs are written."""

    model_sha256: str
    runtime: str
    float_ops: Mapping[str, int]
    peak_rss_bytes: int
    facts: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The child cannot go on."""

    cause: Cause
    message: str
    hint: str = ""


Message = ArmOrder | PredictOrder | More | RuntimeOrder | RuntimeFound | Warm | Turn | Times | Predictions | Failure
_KINDS: dict[str, type[Message]] = {
    kind.__name__: kind
    for kind in (ArmOrder, PredictOrder, More, RuntimeOrder, RuntimeFound, Warm, Turn, Times, Predictions, Failure)
}


def encode(message: Message) -> bytes:
    """One line, its end included."""
    text = json.dumps({"kind": type(message).__name__, "body": to_data(message)}, separators=(",", ":"))
    return text.encode() + b"\n"


def decode(line: bytes) -> Message:
    """The message of one line.

    Raises:
        DataError: not a line of `encode`.
    """
    try:
        data = json.loads(line)
        kind, body = _KINDS[data["kind"]], data["body"]
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"expected a message, found {line[:80]!r}") from error
    return from_data(kind, body)
