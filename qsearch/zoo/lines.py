"""Short lines of text as they stand on screens and papers: prose, names and numbers.

The words come from the standard library's docstrings, so that every machine has them.
"""

from __future__ import annotations

import random
import string
from collections.abc import Sequence
from pathlib import Path

from qsearch.contracts.errors import TaskError
from qsearch.zoo.docstrings import Pair, pairs

#: characters of a line
SHORTEST, LONGEST = 6, 40
#: most lines are about so long
_COMMON = 10
#: what stands on paper. Source text also has underscores, backticks and asterisks, which the recogniser of
#: the OCR task leaves out however clean the picture is
_CHARACTERS = frozenset(string.ascii_letters + string.digits + " .,:;-+/%$()'\"!?&=@#")
#: shares of prose, of names, and the rest: numbers
_PROSE, _NAMES = 0.6, 0.2


def text_lines(seed: int, count: int, library: Path | None = None) -> tuple[str, ...]:
    """Distinct lines of 6 to 40 characters, no two alike but for case and spaces.

    Of the words of one docstring at most one line is made. Numbers are drawn, prose and names depend on
    the version of Python.

    Args:
        seed: of the choice and the order.
        count: how many.
        library: folder of the sources; None = this interpreter's.

    Raises:
        TaskError: the standard library has not so much text.
    """
    found: list[str] = []
    known: set[str] = set()
    for pair in pairs(seed, library):
        if len(found) == count:
            return tuple(found)
        line = _line(pair, random.Random(f"{seed}:{pair.name}"))  # noqa: S311 - samples, not secrets
        key = "".join(line.split()).casefold()
        if SHORTEST <= len(line) <= LONGEST and _CHARACTERS.issuperset(line) and key not in known:
            found.append(line)
            known.add(key)
    if len(found) < count:
        raise TaskError(
            f"expected {count} lines of text in the standard library's docstrings, found {len(found)}",
            "This Python was installed without its sources; use another one.",
        )
    return tuple(found)


def _line(pair: Pair, rng: random.Random) -> str:
    kind = rng.random()
    length = round(rng.triangular(SHORTEST, LONGEST, _COMMON))
    if kind < _PROSE:
        return _piece(pair.document.split(), length, rng, " ")
    if kind < _PROSE + _NAMES:
        return _piece(pair.name.split("."), length, rng, ".")
    return rng.choice(_NUMBERS)(rng)


def _piece(words: Sequence[str], length: int, rng: random.Random, between: str) -> str:
    """Consecutive words of about a length, from anywhere in the text."""
    first = rng.randrange(len(words))
    line = words[first]
    for word in words[first + 1 :]:
        if len(line) + len(between) + len(word) > length:
            break
        line += between + word
    return line


def _date(rng: random.Random) -> str:
    year, month, day = rng.randint(1970, 2039), rng.randint(1, 12), rng.randint(1, 28)
    return rng.choice((f"{year}-{month:02d}-{day:02d}", f"{day}.{month}.{year}", f"{month}/{day}/{year}"))


def _time(rng: random.Random) -> str:
    return f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}:{rng.randint(0, 59):02d}"


def _amount(rng: random.Random) -> str:
    return rng.choice(("$", "EUR ", "")) + f"{rng.randint(1000, 9_999_999) / 100:,.2f}"


def _share(rng: random.Random) -> str:
    return f"{rng.randint(-9999, 9999) / 100:+.2f}% ({rng.randint(1, 999)})"


def _digits(rng: random.Random) -> str:
    return "".join(rng.choice("0123456789") for _ in range(rng.randint(6, 14)))


def _serial(rng: random.Random) -> str:
    letters = "".join(rng.choice("ABCDEFGHKLMNPQRSTUVWXYZ") for _ in range(rng.randint(2, 3)))
    return f"{letters}-{rng.randint(100, 9999)}-{rng.randint(10, 99)}"


def _address(rng: random.Random) -> str:
    return ".".join(str(rng.randint(0, 255)) for _ in range(4)) + f":{rng.randint(1024, 65535)}"


_NUMBERS = (_date, _time, _amount, _share, _digits, _serial, _address)
