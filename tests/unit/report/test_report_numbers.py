"""Numbers for people."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest

from qsearch.report import numbers


def test_an_estimate_is_written_with_its_interval() -> None:
    assert numbers.speedup(1.523, 1.489, 1.551) == "1.52× [1.49, 1.55]"
    assert numbers.drop(0.003, -0.002, 0.008, 500) == "0.3 % [−0.2, 0.8] n=500"


def test_no_negative_zero() -> None:
    assert numbers.drop(-0.0001, -0.0004, 0.0, 10) == "0.0 % [0.0, 0.0] n=10"


def test_not_a_number_is_a_dash_and_infinity_is_said() -> None:
    assert numbers.percent(math.nan) == "– %"
    assert numbers.speedup(1.0, 0.5, math.inf) == "1.00× [not told]"
    assert numbers.milliseconds(math.nan) == numbers.NOTHING


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.00 KiB"), (46.7 * 2**20, "46.7 MiB"), (300 * 2**20, "300 MiB")],
)
def test_sizes_have_three_digits(count: float, text: str) -> None:
    assert numbers.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (math.inf, "–"),
        (0.35, "350 ms"),
        (0.9999, "1.0 s"),
        (4.2, "4.2 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (250, "4 min 10 s"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations_never_carry_over(seconds: float | None, text: str) -> None:
    assert numbers.duration(seconds) == text


def test_times_are_utc() -> None:
    tokyo = datetime(2026, 1, 2, 12, 0, 0, 999, tzinfo=timezone(timedelta(hours=9)))
    assert numbers.moment(tokyo) == "2026-01-02T03:00:00Z"
    assert numbers.moment(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02T00:00:00Z"
    assert numbers.moment(None) is None


@pytest.mark.parametrize(("value", "text"), [(999, "999"), (1000, "1.00 k"), (17_400_000, "17.4 M")])
def test_large_counts(value: int, text: str) -> None:
    assert numbers.large(value) == text
