"""Quantities as people write them: sizes, times, latencies, drops. Every error shows an example."""

from __future__ import annotations

import math
import re

from qsearch.contracts.errors import UsageError
from qsearch.contracts.job import DropLimit

#: unit → bytes; the decimal ones are powers of 1000, the binary ones of 1024
SIZE_UNITS = {
    "GiB": 2**30,
    "MiB": 2**20,
    "KiB": 2**10,
    "GB": 10**9,
    "MB": 10**6,
    "KB": 10**3,
    "bytes": 1,
    "B": 1,
}
#: unit → milliseconds
LATENCY_UNITS = {"s": 1000.0, "ms": 1.0, "us": 0.001, "µs": 0.001}

#: seconds of a year: a budget or a wait beyond it is a slip of the finger
MAX_TIME_S = 366 * 86400
#: bytes that every part of the product can still count
MAX_SIZE = 2**62
#: most trials of a job: more could neither be measured nor be shown
MAX_TRIALS = 1_000_000
#: largest of the other whole numbers: sizes of axes, events that are counted
MAX_COUNT = 2**31 - 1

SIZE_PATTERN = r"^\s*(\d+(?:\.\d+)?)\s*(GiB|MiB|KiB|GB|MB|KB|bytes|B)\s*$"
TIME_PATTERN = r"^\s*(?=\d)(?:(\d+(?:\.\d+)?)h)?\s*(?:(\d+(?:\.\d+)?)m)?\s*(?:(\d+(?:\.\d+)?)s)?\s*$"
LATENCY_PATTERN = r"^\s*(\d+(?:\.\d+)?)\s*(s|ms|us|µs)\s*$"
SHARE_PATTERN = r"^\s*(?:(\d+(?:\.\d+)?)\s*%|never)\s*$"
DROP_PATTERN = r"^\s*(\d+(?:\.\d+)?)\s*(%|pt)\s*$"

SIZE_EXAMPLE = "a size such as 60MiB, 20MB, 1.5GiB or 4096bytes"
TIME_EXAMPLE = "a time such as 10m, 90s or 1h30m"
LATENCY_EXAMPLE = "a latency such as 5ms or 200us"
SHARE_EXAMPLE = "a share such as 3%, or never"
DROP_EXAMPLE = "a drop such as 1% (relative to fp32's score) or 0.5pt (points of the metric)"


def parse_size(text: str) -> int:
    """Bytes, at least one, at most `MAX_SIZE`.

    Raises:
        UsageError: not a number with one of `SIZE_UNITS`, less than a byte, or more than any disk holds.
    """
    number, unit = _split(SIZE_PATTERN, text, SIZE_EXAMPLE)
    if float(number) * SIZE_UNITS[unit] > MAX_SIZE:
        raise UsageError(f'expected a size of at most {MAX_SIZE // 2**30}GiB, found "{text.strip()}"')
    size = round(float(number) * SIZE_UNITS[unit]) if "." in number else int(number) * SIZE_UNITS[unit]
    if size < 1:
        raise _wrong(SIZE_EXAMPLE, text)
    return size


def parse_time(text: str) -> float:
    """Seconds, more than zero, at most a year; hours, minutes and seconds may be written together, in this order.

    Raises:
        UsageError: anything else.
    """
    found = re.fullmatch(TIME_PATTERN, text, re.ASCII)
    parts = [float(part or 0) for part in found.groups()] if found else []
    seconds = sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))
    if found is None:
        raise _wrong(TIME_EXAMPLE, text)
    if not 0 < seconds <= MAX_TIME_S:
        bound = "above zero" if seconds <= 0 else f"of at most {MAX_TIME_S // 3600}h"
        raise UsageError(f'expected a time {bound}, such as 10m, 90s or 1h30m, found "{text.strip()}"')
    return seconds


def parse_latency(text: str) -> float:
    """Milliseconds, more than zero.

    Raises:
        UsageError: anything else.
    """
    number, unit = _split(LATENCY_PATTERN, text, LATENCY_EXAMPLE)
    latency = float(number) * LATENCY_UNITS[unit]
    if latency <= 0 or latency == float("inf"):
        raise _wrong(LATENCY_EXAMPLE, text)
    return latency


def parse_share(text: str) -> float:
    """A fraction: `3%` → 0.03; `never` → infinity, which nothing is above.

    Raises:
        UsageError: anything else.
    """
    found = re.fullmatch(SHARE_PATTERN, text, re.ASCII)
    share = math.inf if found is None or found[1] is None else float(found[1]) / 100
    if found is None or (found[1] is not None and math.isinf(share)):
        raise _wrong(SHARE_EXAMPLE, text)
    return share


def parse_drop(text: str) -> DropLimit:
    """`1%` is relative to fp32's own score, `0.5pt` is points of a metric that goes from 0 to 100.

    Raises:
        UsageError: anything else, or 100 and more, which would allow everything.
    """
    number, unit = _split(DROP_PATTERN, text, DROP_EXAMPLE)
    amount = float(number) / 100
    if amount >= 1:
        raise UsageError(f'expected {DROP_EXAMPLE}, found "{text.strip()}", which allows everything')
    return DropLimit(amount=amount, relative=unit == "%")


def format_size(size_bytes: int) -> str:
    """The size in the largest binary unit it fills, to one decimal: `46.7 MiB`, `512 bytes`."""
    for unit in ("GiB", "MiB", "KiB"):
        if size_bytes >= SIZE_UNITS[unit]:
            return f"{size_bytes / SIZE_UNITS[unit]:.1f} {unit}"
    return f"{size_bytes} bytes"


def format_time(seconds: float) -> str:
    """Hours, minutes and seconds without the empty ones, exact to a millisecond: `1h30m`, `0.5s`."""
    milliseconds = round(seconds * 1000)
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    whole = f"{hours}h" * bool(hours) + f"{minutes}m" * bool(minutes)
    return whole + f"{_plain(rest / 1000)}s" if rest or not whole else whole


def format_latency(latency_ms: float) -> str:
    """Milliseconds, or microseconds below one: `5 ms`, `200 us`; four digits."""
    if latency_ms >= 1:
        return f"{_plain(float(f'{latency_ms:.4g}'))} ms"
    return f"{_plain(float(f'{latency_ms * 1000:.4g}'))} us"


def format_drop(limit: DropLimit) -> str:
    """As it is written in a spec: `1%`, `0.5pt`."""
    return str(limit)


def _split(pattern: str, text: str, example: str) -> tuple[str, str]:
    found = re.fullmatch(pattern, text, re.ASCII)
    if found is None:
        raise _wrong(example, text)
    return found[1], found[2]


def _wrong(example: str, text: str) -> UsageError:
    return UsageError(f'expected {example}, found "{text.strip()}"')


def _plain(number: float) -> str:
    """Without an exponent and without trailing zeros, so that the parser reads it back."""
    return f"{number:.6f}".rstrip("0").rstrip(".")
