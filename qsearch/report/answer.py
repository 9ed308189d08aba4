"""What a command answers, in every form at once: a document, flat rows, tables for people.

NOTE: the three are built by one function per noun, so that a number cannot be in the table and not
in the JSON. Which one is printed is the front's affair; nothing here knows a terminal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

#: one flat row: column (with its unit) → plain value
Row = dict[str, str | int | float | bool | None]


class Mark(StrEnum):
    """How a line of a table stands out, where the front can show it."""

    NONE = ""
    PICK = "pick"
    GOOD = "good"
    DIM = "dim"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a table."""

    cells: tuple[str, ...]
    mark: Mark = Mark.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table for people: formatted text, not yet escaped for any medium."""

    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    title: str = ""
    #: what a reader must know to read the table, one sentence each
    notes: tuple[str, ...] = ()
    #: columns that are set flush right
    right: frozenset[str] = frozenset()
    #: columns that may be left out where there is no room, the first first
    spare: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer of one command.

    `document` becomes one JSON document with `"schema": "qsearch.<noun>/1"` in front; `rows` become
    CSV, and JSON lines with `"schema": "qsearch.<row_noun>/1"`.
    """

    noun: str
    row_noun: str
    document: Mapping[str, object]
    rows: tuple[Row, ...]
    tables: tuple[Table, ...]


def listing(noun: str, row_noun: str, rows: Sequence[Row], *, title: str = "") -> Answer:
    """An answer whose table shows the rows as they are."""
    columns = tuple(dict.fromkeys(key for row in rows for key in row))
    lines = tuple(Line(cells=tuple(plain_cell(row.get(name)) for name in columns)) for row in rows)
    return Answer(
        noun=noun,
        row_noun=row_noun,
        document={noun: [dict(row) for row in rows]},
        rows=tuple(rows),
        tables=(Table(columns=columns, lines=lines, title=title),),
    )


def facts(title: str, pairs: Sequence[tuple[str, str]], *, notes: Sequence[str] = ()) -> Table:
    """A table of two columns without headings: a name and what is to be said of it; empty facts are left out."""
    lines = tuple(Line(cells=pair) for pair in pairs if pair[1])
    return Table(columns=("", ""), lines=lines, title=title, notes=tuple(notes))


def plain_cell(value: object) -> str:
    """A plain value as text: yes and no, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
