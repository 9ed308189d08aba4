"""The plot in plain text."""

from __future__ import annotations

from dataclasses import replace

import pytest
import report_records as records

from qsearch.contracts.errors import UsageError
from qsearch.report.front_plot import front_plot
from qsearch.report.plot import Axis, Dot, beyond, draw

AXIS = Axis(name="axis", tick=lambda value: f"{value:.3g}")


def dot(glyph: str, x: float, y: float, *, framed: bool = True, bars: bool = False) -> Dot:
    return Dot(glyph=glyph, x=(x, x - 0.2, x + 0.2), y=(y, y - 0.2, y + 0.2), weight=1, bars=bars, framed=framed)


def place(lines: list[str], glyph: str) -> tuple[int, int]:
    row = next(number for number, line in enumerate(lines) if glyph in line)
    return row, lines[row].index(glyph)


def test_right_is_faster_and_up_is_less_drop() -> None:
    lines = draw([dot("P", 1, 0), dot("Q", 2, 5)], x=AXIS, y=AXIS, width=60, height=20)
    (p_row, p_column), (q_row, q_column) = place(lines, "P"), place(lines, "Q")
    assert p_row < q_row
    assert p_column < q_column


def test_size_is_kept() -> None:
    lines = draw([dot("P", 1, 0, bars=True), dot("Q", 2, 5)], x=AXIS, y=AXIS, width=60, height=20)
    assert len(lines) == 20
    assert max(map(len, lines)) <= 60


def test_intervals_are_drawn_through_the_dot() -> None:
    lines = draw([dot("P", 1, 0, bars=True), dot("Q", 2, 1)], x=AXIS, y=AXIS, width=60, height=20)
    row, column = place(lines, "P")
    assert lines[row][column - 1] == lines[row][column + 1] == "─"
    assert lines[row + 1][column] == "│"


def test_what_lies_beyond_the_frame_is_drawn_at_its_edge_and_counted() -> None:
    dots = [dot("P", 1, 0), dot("Q", 2, 1), dot("Z", 0.1, 90, framed=False)]
    lines = draw(dots, x=AXIS, y=AXIS, width=60, height=20)
    assert place(lines, "Z")[1] < place(lines, "P")[1]
    assert place(lines, "Z")[0] == 16
    assert beyond(dots) == 1


def test_one_point_and_no_points() -> None:
    alone = Dot(glyph="P", x=(1, 1, 1), y=(0, 0, 0), weight=0, bars=True, framed=True)
    assert any("P" in line for line in draw([alone], x=AXIS, y=AXIS))
    assert draw([], x=AXIS, y=AXIS) == ["nothing is measured yet"]


def test_not_a_number_and_infinity_are_drawn_somewhere() -> None:
    odd = Dot(glyph="P", x=(1, 0.5, float("inf")), y=(float("nan"),) * 3, weight=0, bars=True, framed=True)
    assert any("P" in line for line in draw([odd], x=AXIS, y=AXIS))


def test_too_small_is_refused() -> None:
    with pytest.raises(UsageError, match="40 × 10"):
        draw([dot("P", 1, 0)], x=AXIS, y=AXIS, width=39)


def test_a_front_marks_pick_baselines_ties_and_infeasible() -> None:
    lines = front_plot(records.front(), width=90, height=24)
    drawn = "\n".join(lines[: lines.index("", 2)])
    for glyph in "★◆▲Ba·×":
        assert glyph in drawn, glyph
    legend = lines[lines.index("", lines.index("", 2) + 1) :]
    assert any(line.split()[:2] == ["★", "4"] and "front A" in line and "drop 0.4 %" in line for line in legend)
    assert any(line.split()[:2] == ["◆", "0"] and "uniform fp32" in line for line in legend)
    assert any(line.split()[:2] == ["×", "2"] and "infeasible" in line for line in legend)
    assert "1 beyond the frame, drawn at its edge" in lines


def test_a_tie_carries_the_letter_of_its_member() -> None:
    view = records.front()
    rows = tuple(replace(row, pick=False, result=replace(row.result, final_latency=None)) for row in view.rows)
    moved = tuple(
        replace(row, result=replace(row.result, latency=records.latency(1.8))) if row.rank == 1 else row for row in rows
    )
    lines = front_plot(replace(view, rows=moved), width=90, height=24)
    drawn = "\n".join(lines[: lines.index("", 2)])
    member = next(line for line in lines if line.split()[1:2] == ["4"]).split()[0]
    assert member.isupper()
    assert member.lower() in drawn.replace("drop of MRR against fp32 on the search split, up is better", "")


def test_the_same_view_gives_the_same_lines() -> None:
    assert front_plot(records.front()) == front_plot(records.front())
