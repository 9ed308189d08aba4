"""Records as the store keeps them: packed text, packed arrays, and the digest that guards them.

NOTE: a record is read back through the codec before it is hashed, so that a score of `1` and the
`1.0` it becomes on its way through a pipe have one digest.
"""

from __future__ import annotations

import hashlib
import json
import sys
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from qsearch.contracts.codec import canonical, from_data, to_data
from qsearch.contracts.errors import DataError
from qsearch.contracts.measurement import Accuracy, Latency

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class Packed(Generic[Record]):
    """A record in its stored form."""

    #: equal to what was given, as the codec reads it
    record: Record
    #: SHA-256 (hex) of its canonical JSON
    digest: str
    #: zlib of its canonical JSON
    content: bytes


def normal(kind: type[Record], record: Record) -> Record:
    """The record as the codec reads it: what every later reader will see.

    Raises:
        DataError: values of another type than its fields say.
    """
    return from_data(kind, to_data(record))


def text_of(data: Any) -> str:
    """Canonical JSON of a record or of plain data.

    Raises:
        DataError: it holds NaN or an infinity.
    """
    try:
        return canonical(data)
    except ValueError as error:
        raise DataError(
            f"a record must hold finite numbers, found NaN or an infinity ({error})",
            "When a candidate's outputs are NaN, its trial has failed: bad-model.",
        ) from error


def pack(kind: type[Record], record: Record) -> Packed[Record]:
    """The record as it will be read again.

    Raises:
        DataError: it holds NaN, an infinity, or values of another type than its fields say.
    """
    same = normal(kind, record)
    content = text_of(same).encode()
    return Packed(same, hashlib.sha256(content).hexdigest(), zlib.compress(content))


def unpack(kind: type[Record], content: bytes, *, digest: str = "", name: str = "") -> Record:
    """The record that was packed.

    Args:
        kind: its class.
        content: what `pack` made.
        digest: what the content must hash to; empty = not checked.
        name: what it is, for the message.

    Raises:
        DataError: the content is damaged.
    """
    try:
        plain = zlib.decompress(content)
        found = hashlib.sha256(plain).hexdigest()
        data = json.loads(plain)
    except (zlib.error, ValueError) as error:
        raise _damaged(name or kind.__name__, str(error)) from error
    if digest and found != digest:
        raise _damaged(name or kind.__name__, f"its SHA-256 is {found[:12]}…, {digest[:12]}… was accepted")
    return from_data(kind, data)


def pack_floats(values: Sequence[float]) -> bytes:
    """zlib of the values as float64, little-endian."""
    return zlib.compress(_little_endian(array("d", values)).tobytes())


def unpack_floats(content: bytes) -> tuple[float, ...]:
    """The values, bit by bit as they were."""
    values = array("d")
    values.frombytes(zlib.decompress(content))
    return tuple(_little_endian(values))


def summary_of(latency: Latency, accuracy: Accuracy) -> str:
    """Both as text, without the accuracy's per-sample arrays."""
    data = to_data(accuracy)
    del data["outcomes"], data["weights"]
    return text_of({"latency": to_data(latency), "accuracy": data})


def read_summary(text: str, outcomes: bytes, weights: bytes) -> tuple[Latency, Accuracy]:
    """What `summary_of` and `pack_floats` made."""
    data: dict[str, Any] = json.loads(text)
    accuracy = from_data(Accuracy, {**data["accuracy"], "outcomes": []})
    # The arrays go around the codec: thousands of checked floats per trial would make a listing slow.
    whole = replace(accuracy, outcomes=unpack_floats(outcomes), weights=unpack_floats(weights))
    return from_data(Latency, data["latency"]), whole


def read_latency(text: str) -> Latency:
    """The first half of what `summary_of` made."""
    return from_data(Latency, json.loads(text)["latency"])


def _damaged(name: str, finding: str) -> DataError:
    return DataError(f"{name} in the database is damaged: {finding}", "Restore the database from a backup.")


def _little_endian(values: array[float]) -> array[float]:
    if sys.byteorder == "big":
        values.byteswap()
    return values
