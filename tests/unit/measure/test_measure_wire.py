"""Messages between the child and its parent survive the trip, or are refused."""

from __future__ import annotations

import pytest

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import DataError
from qsearch.contracts.target import Target
from qsearch.measure import wire

MESSAGES = [
    wire.ArmOrder(model="m", target=Target(name="t"), samples="s", batches=3, cpus=(1, 2), warmup_cap_s=1.5),
    wire.PredictOrder(model="m\n", target=Target(name="t"), samples="s", out="o", cpus=(0,)),
    wire.Turn(first=3, runs=5),
    wire.Times(samples_ns=(1, 2), telemetry={"elapsed_ms": 1.5}, peak_rss_bytes=7),
    wire.Failure(cause=Cause.BAD_MODEL, message="über\nzwei"),
]


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_is_one_line_and_comes_back(message: wire.Message) -> None:
    line = wire.encode(message)
    assert line.count(b"\n") == 1
    assert wire.decode(line) == message


@pytest.mark.parametrize("line", [b"", b"hello\n", b"[]\n", b'{"kind":"Turn"}\n', b'{"kind":"Nothing","body":{}}\n'])
def test_what_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(DataError, match="expected a message"):
        wire.decode(line)


def test_another_version_is_named() -> None:
    with pytest.raises(DataError, match="unknown key 'colour'"):
        wire.decode(b'{"kind":"Turn","body":{"first":1,"runs":1,"colour":2}}\n')
