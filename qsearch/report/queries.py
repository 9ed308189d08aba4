"""Rows of a read-only query."""

from __future__ import annotations

from collections import Counter

from qsearch.contracts.views import QueryResult
from qsearch.report.answer import Answer, Line, Row, Table, plain_cell
from qsearch.report.numbers import count


def query_answer(result: QueryResult) -> Answer:
    """The answer of `query`. Two columns of one name are told apart in rows: `n`, `n_2`."""
    names = _unique(result.columns)
    rows: tuple[Row, ...] = tuple(
        dict(zip(names, (_plain(value) for value in row), strict=True)) for row in result.rows
    )
    lines = tuple(Line(cells=tuple(plain_cell(value) for value in row.values())) for row in rows)
    notes = (f"Cut at {count(len(rows), 'row')}: ask for more with --limit.",) if result.truncated else ()
    document = {"columns": list(names), "rows": [dict(row) for row in rows], "truncated": result.truncated}
    table = Table(columns=names, lines=lines, notes=notes)
    return Answer(noun="query", row_noun="query-row", document=document, rows=rows, tables=(table,))


def _unique(columns: tuple[str, ...]) -> tuple[str, ...]:
    seen: Counter[str] = Counter()
    names: list[str] = []
    for column in columns:
        seen[column] += 1
        name = column
        while name in names:
            name = f"{column}_{seen[column]}"
            seen[column] += 1
        names.append(name)
    return tuple(names)


def _plain(value: object) -> str | int | float | bool | None:
    if value is None or isinstance(value, str | int | float):
        return value
    return f"<{len(value)} bytes>" if isinstance(value, bytes | bytearray | memoryview) else str(value)
