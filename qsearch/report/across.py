"""One job over its targets: the same candidates side by side, and where the picks differ."""

from __future__ import annotations

from collections.abc import Sequence

from qsearch.contracts.codec import to_data
from qsearch.contracts.comparison import Across, AcrossRow, AcrossView
from qsearch.report.answer import Answer, Line, Mark, Row, Table
from qsearch.report.bests import choice_counts
from qsearch.report.numbers import NOTHING, drop_of
from qsearch.report.remarks import verdict_text
from qsearch.report.speedups import latency_speedup, speedup_cells
from qsearch.report.trial import accuracy_document, latency_document
from qsearch.report.trial_rows import drops


def across_answer(view: AcrossView) -> Answer:
    """The answer of `compare JOB --targets`; its rows are one per candidate and target."""
    rows = tuple(
        _across_row(view, row, target, cell) for row in view.rows for target, cell in _cells(view, row) if cell
    )
    document = {
        "job": view.job,
        "metric": view.metric,
        "targets": [{"target": name, "runtime": runtime or None} for name, runtime in view.targets.items()],
        "candidates": [_across_document(view, row) for row in view.rows],
        "layers": [to_data(layer) for layer in view.layers],
        "notes": list(view.notes),
    }
    tables = [_across_table(view)]
    if view.layers:
        tables.append(_picks_table(view))
    return Answer(noun="across-targets", row_noun="across", document=document, rows=rows, tables=tuple(tables))


def _cells(view: AcrossView, row: AcrossRow) -> Sequence[tuple[str, Across | None]]:
    return [(target, row.cells.get(target)) for target in view.targets]


def _across_row(view: AcrossView, row: AcrossRow, target: str, cell: Across) -> Row:
    return {
        "job": view.job,
        "candidate": row.uniform or None,
        "choices": choice_counts(row.choices.values()),
        "target": target,
        "runtime": view.targets[target] or None,
        "trial": cell.trial,
        **speedup_cells(cell.latency.ratio, cell.latency.verdict),
        "verdict": cell.latency.verdict.value,
        "final": cell.final,
        **drops(cell.search, cell.heldout),
        "front": cell.front,
        "pick": cell.pick,
    }


def _across_document(view: AcrossView, row: AcrossRow) -> dict[str, object]:
    return {
        "uniform": row.uniform or None,
        "choices": to_data(row.choices),
        "on": {
            target: {
                "trial": cell.trial,
                "latency": latency_document(cell.latency),
                "final": cell.final,
                "drop_search": to_data(cell.search.drop),
                "drop": to_data(cell.heldout.drop) if cell.heldout else None,
                "accuracy_search": accuracy_document(cell.search),
                "accuracy_heldout": accuracy_document(cell.heldout) if cell.heldout else None,
                "front": cell.front,
                "pick": cell.pick,
            }
            for target, cell in row.cells.items()
        },
        "absent": dict(row.absent),
    }


def _across_table(view: AcrossView) -> Table:
    names = tuple(view.targets)
    columns = ("candidate", *(f"{name}: {what}" for name in names for what in ("speed-up", "drop")))
    lines = []
    for row in view.rows:
        cells = [text for target, cell in _cells(view, row) for text in _across_cells(row, target, cell)]
        picked = any(cell.pick for cell in row.cells.values())
        name = row.uniform or choice_counts(row.choices.values())
        lines.append(Line(cells=(name, *cells), mark=Mark.PICK if picked else Mark.NONE))
    return Table(
        columns=columns,
        lines=tuple(lines),
        title=f"{view.job} over its targets: {view.metric}",
        notes=(
            "Each speed-up is over fp32 on its own target: one column says nothing of another's milliseconds; "
            "qsearch compare A B --measure times two of them in one sitting. Drops are on the search samples.",
            *(f"{note[:1].upper()}{note[1:]}." for note in view.notes),
        ),
    )


def _across_cells(row: AcrossRow, target: str, cell: Across | None) -> tuple[str, str]:
    if cell is None:
        return row.absent.get(target, NOTHING), NOTHING
    said = ["the pick" if cell.pick else "", "front" if cell.front else ""]
    place = "".join(f", {word}" for word in said if word)
    number = cell.trial.rpartition("/")[2]
    verdict = verdict_text(cell.latency.verdict, cell.latency.reference_ms)
    told = f"{latency_speedup(cell.latency)} {verdict} (trial {number}{place})"
    return told, drop_of(cell.search, with_n=False)


def _picks_table(view: AcrossView) -> Table:
    names = tuple(view.targets)
    lines = tuple(
        Line(
            cells=(
                layer.layer,
                layer.op,
                *(layer.choices[name].value if name in layer.choices else NOTHING for name in names),
            )
        )
        for layer in view.layers
    )
    return Table(columns=("layer", "op", *names), lines=lines, title="layers that the picks treat otherwise")
