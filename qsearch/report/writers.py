"""Answers as text: CSV, Markdown, JSON, JSON lines. Each ends with a newline."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from qsearch.contracts.codec import to_data
from qsearch.contracts.errors import Unsupported
from qsearch.report.answer import Answer, Table
from qsearch.report.escaping import csv_cell, json_text, markdown_cell


def write(answer: Answer, form: str) -> str:
    """The answer in one of `FORMS`.

    Raises:
        Unsupported: another form; a table needs a terminal's front.
    """
    if form not in FORMS:
        raise Unsupported(f"cannot write {form!r} as text", f"Known are {', '.join(FORMS)}.")
    return FORMS[form](answer)


def to_json(answer: Answer) -> str:
    """One indented document; not-a-number and infinities become null, times are UTC."""
    document = {"schema": f"qsearch.{answer.noun}/1", **answer.document}
    return json_text(json.dumps(_plain(document), indent=2, allow_nan=False, ensure_ascii=False)) + "\n"


def to_jsonl(answer: Answer) -> str:
    """One row per line, each a document of its own."""
    head = {"schema": f"qsearch.{answer.row_noun}/1"}
    lines = (json.dumps(_plain({**head, **row}), allow_nan=False, ensure_ascii=False) for row in answer.rows)
    return "".join(f"{json_text(line)}\n" for line in lines)


def to_csv(answer: Answer) -> str:
    """A header and one line per row (RFC 4180, but `\\n` ends a line); text is never a formula."""
    columns = list(dict.fromkeys(key for row in answer.rows for key in row))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([csv_cell(name) for name in columns])
    for row in answer.rows:
        writer.writerow([_csv_value(row.get(name)) for name in columns])
    return out.getvalue()


def to_markdown(answer: Answer) -> str:
    """The tables for people, as Markdown tables."""
    return "\n".join(_markdown_table(table) for table in answer.tables)


#: form → writer; `table` is the front's own.
FORMS: dict[str, Callable[[Answer], str]] = {
    "json": to_json,
    "jsonl": to_jsonl,
    "csv": to_csv,
    "md": to_markdown,
}


def _markdown_table(table: Table) -> str:
    lines = [f"**{markdown_cell(table.title)}**", ""] if table.title else []
    lines.append(_markdown_line(table.columns))
    lines.append("|" + "|".join("---:" if name in table.right else "---" for name in table.columns) + "|")
    lines += [_markdown_line(line.cells) for line in table.lines]
    for note in table.notes:
        lines += ["", markdown_cell(note)]
    return "\n".join(lines) + "\n"


def _markdown_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(markdown_cell(cell) for cell in cells) + " |"


def _csv_value(value: object) -> object:
    plain = _plain(value)
    if isinstance(plain, bool):
        return "true" if plain else "false"
    return csv_cell(plain) if isinstance(plain, str) else plain


def _plain(value: Any) -> Any:
    return _finite(to_data(value))


def _finite(data: Any) -> Any:
    if isinstance(data, float) and not math.isfinite(data):
        return None
    if isinstance(data, dict):
        return {key: _finite(item) for key, item in data.items()}
    return [_finite(item) for item in data] if isinstance(data, list) else data
