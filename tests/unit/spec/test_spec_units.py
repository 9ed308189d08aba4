"""Quantities: every example parses, every error shows one, and what is written is read back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsearch.contracts.errors import UsageError
from qsearch.contracts.job import DropLimit
from qsearch.spec import units


@pytest.mark.parametrize(
    ("text", "size"),
    [("60MiB", 62914560), ("20MB", 20_000_000), ("1.5GiB", 1610612736), ("4096bytes", 4096), ("46.7 MiB", 48968499)],
)
def test_sizes(text: str, size: int) -> None:
    assert units.parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"), [("10m", 600), ("90s", 90), ("1h", 3600), ("1h30m", 5400), ("0.5s", 0.5), ("1h 2m 3s", 3723)]
)
def test_times(text: str, seconds: float) -> None:
    assert units.parse_time(text) == seconds


@pytest.mark.parametrize(("text", "ms"), [("5ms", 5), ("200us", 0.2), ("200 µs", 0.2), ("1.5s", 1500)])
def test_latencies(text: str, ms: float) -> None:
    assert units.parse_latency(text) == pytest.approx(ms)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("1%", DropLimit(amount=0.01, relative=True)),
        ("0.5pt", DropLimit(amount=0.005, relative=False)),
        ("0 %", DropLimit(amount=0.0, relative=True)),
    ],
)
def test_drops(text: str, limit: DropLimit) -> None:
    assert units.parse_drop(text) == limit


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (units.parse_size, "60", 'expected a size such as 60MiB, 20MB, 1.5GiB or 4096bytes, found "60"'),
        (units.parse_size, "0MB", 'expected a size such as 60MiB, 20MB, 1.5GiB or 4096bytes, found "0MB"'),
        (units.parse_size, "-1MB", 'expected a size such as 60MiB, 20MB, 1.5GiB or 4096bytes, found "-1MB"'),
        (units.parse_size, "٣MB", 'expected a size such as 60MiB, 20MB, 1.5GiB or 4096bytes, found "٣MB"'),
        (units.parse_time, "", 'expected a time such as 10m, 90s or 1h30m, found ""'),
        (units.parse_time, "0s", 'expected a time above zero, such as 10m, 90s or 1h30m, found "0s"'),
        (units.parse_time, "9999h", 'expected a time of at most 8784h, such as 10m, 90s or 1h30m, found "9999h"'),
        (units.parse_size, "9999999999999GiB", 'expected a size of at most 4294967296GiB, found "9999999999999GiB"'),
        (units.parse_time, "30m1h", 'expected a time such as 10m, 90s or 1h30m, found "30m1h"'),
        (units.parse_latency, "5", 'expected a latency such as 5ms or 200us, found "5"'),
        (
            units.parse_drop,
            "1",
            'expected a drop such as 1% (relative to fp32\'s score) or 0.5pt (points of the metric), found "1"',
        ),
        (
            units.parse_drop,
            "100%",
            "expected a drop such as 1% (relative to fp32's score) or 0.5pt (points of the metric), "
            'found "100%", which allows everything',
        ),
    ],
)
def test_an_error_shows_an_example(parse: Callable[[str], object], text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert caught.value.message == message


@given(st.integers(1, 2**60))
def test_bytes_are_read_exactly(size: int) -> None:
    assert units.parse_size(f"{size}bytes") == size


@given(st.integers(1, 2**50))
def test_a_shown_size_is_read_back_to_a_rounding(size: int) -> None:
    assert units.parse_size(units.format_size(size)) == pytest.approx(size, rel=0.05)


@given(st.integers(1, 10**9))
def test_a_shown_time_is_read_back_to_the_millisecond(milliseconds: int) -> None:
    assert units.parse_time(units.format_time(milliseconds / 1000)) == pytest.approx(milliseconds / 1000, abs=1e-6)


@given(st.floats(0.001, 100_000))
def test_a_shown_latency_is_read_back_to_four_digits(latency: float) -> None:
    assert units.parse_latency(units.format_latency(latency)) == pytest.approx(latency, rel=1e-3)


@given(st.integers(0, 9999), st.booleans())
def test_a_shown_drop_is_read_back(hundredths: int, relative: bool) -> None:
    limit = DropLimit(amount=hundredths / 10_000, relative=relative)
    read = units.parse_drop(units.format_drop(limit))
    assert read.relative is relative
    assert read.amount == pytest.approx(limit.amount, abs=1e-9)


def test_formats() -> None:
    assert units.format_size(48_968_499) == "46.7 MiB"
    assert units.format_size(512) == "512 bytes"
    assert units.format_time(5400) == "1h30m"
    assert units.format_time(0) == "0s"
    assert units.format_latency(5) == "5 ms"
    assert units.format_latency(0.2) == "200 us"
