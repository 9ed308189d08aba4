"""One settings file: TOML with a handful of known text keys."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from qsearch.contracts.errors import Problem, SpecError
from qsearch.spec.tree import read_text
from qsearch.spec.words import meant_or_known


def read_settings_file(file: Path, known: Iterable[str]) -> dict[str, str]:
    """The file's keys and values.

    Raises:
        SpecError: not TOML, an unknown key, or a value that is not text; every problem at once.
    """
    text = read_text(file, what="settings file")
    data = _parse(text, file)
    names = tuple(known)
    problems = [_problem(key, value, names, text) for key, value in data.items() if not _fits(key, value, names)]
    if problems:
        raise SpecError(str(file), tuple(sorted(problems, key=lambda p: p.line)))
    return data


def _parse(text: str, file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = str(error)
        place = re.search(r" \(at line (\d+), column (\d+)\)$", said)
        line, column = (int(place[1]), int(place[2])) if place else (0, 0)
        message = f"not TOML: {said[: place.start()] if place else said}"
        raise SpecError(str(file), (Problem("", message, line, column),)) from error


def _fits(key: str, value: object, known: tuple[str, ...]) -> bool:
    return key in known and isinstance(value, str)


def _problem(key: str, value: object, known: tuple[str, ...], text: str) -> Problem:
    if key not in known:
        message = f"unknown key; {meant_or_known(key, known)}"
    else:
        message = f'expected text in quotes, found {_name_of(value)}; write {key} = "..."'
    return Problem(key, message, *_place(key, text))


def _name_of(value: object) -> str:
    if isinstance(value, bool):
        return f"the truth value {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {value}"
    return "a table" if isinstance(value, dict) else "a list" if isinstance(value, list) else "a date or time"


def _place(key: str, text: str) -> tuple[int, int]:
    """Where the key stands; TOML's parser does not say."""
    found = re.search(rf"^([ \t]*\[*[ \t]*)[\"']?{re.escape(key)}\b", text, re.MULTILINE)
    return (text.count("\n", 0, found.start()) + 1, len(found[1]) + 1) if found else (0, 0)
