"""Ids of jobs: twelve characters, sortable by creation, safe in a file name and a URL.

Nine characters are milliseconds since 1970 (good for a thousand years), three are random.
The alphabet is Crockford's base 32 in lower case: no i, l, o or u that could be misread.
"""

from __future__ import annotations

import secrets

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
LENGTH = 12
_TIME = 9


def next_id(now_ms: int, last: str = "") -> str:
    """An id greater than `last`, whatever the clock did in between.

    Args:
        now_ms: milliseconds since 1970.
        last: the greatest id so far; empty when there is none.
    """
    at_ms = max(now_ms, time_of(last) + 1) if last else now_ms
    return _digits(at_ms, _TIME) + _digits(secrets.randbelow(32 ** (LENGTH - _TIME)), LENGTH - _TIME)


def time_of(job_id: str) -> int:
    """The milliseconds that the id carries."""
    value = 0
    for character in job_id[:_TIME]:
        value = value * 32 + ALPHABET.index(character)
    return value


def _digits(value: int, width: int) -> str:
    digits = []
    for _ in range(width):
        value, digit = divmod(value, 32)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
