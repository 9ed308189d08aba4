"""What `doctor` found."""

from __future__ import annotations

from collections.abc import Sequence

from qsearch.contracts.views import Check
from qsearch.report.answer import Answer, Line, Mark, Row, Table

_MARKS = {"ok": Mark.GOOD, "warning": Mark.WARNING, "problem": Mark.PROBLEM}


def checks_answer(checks: Sequence[Check]) -> Answer:
    """One row per check, in the order they were made."""
    rows: tuple[Row, ...] = tuple(
        {"check": check.name, "status": check.status, "finding": _one_line(check.finding), "advice": check.advice}
        for check in checks
    )
    lines = tuple(
        Line(
            cells=(check.status, check.name, _one_line(check.finding), check.advice),
            mark=_MARKS.get(check.status, Mark.NONE),
        )
        for check in checks
    )
    table = Table(columns=("status", "check", "finding", "what to do"), lines=lines)
    return Answer(noun="checks", row_noun="check", document={"checks": list(rows)}, rows=rows, tables=(table,))


def _one_line(text: str) -> str:
    """What a child printed may have lines of its own; a cell has one."""
    return " ".join(text.split())
