"""The plot in plain text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import report_records as records

from qsearch.contracts.errors import UsageError
from qsearch.contracts.job import JobState
from qsearch.contracts.verdict import Verdict
from qsearch.report.front_plot import front_plot
from qsearch.report.plot import Axis, Dot, draw
from qsearch.report.ranges import Range


def axis(shown: Range, *lines: float) -> Axis:
    return Axis(name="axis", tick=lambda value: f"{value:.3g}", shown=shown, lines=lines)


def drawn(dots: Sequence[Dot], width: int = 60, height: int = 20) -> list[str]:
    """All dots framed."""
    x, y = Range.over([dot.x for dot in dots]), Range.over([dot.y for dot in dots])
    return draw(dots, x=axis(x), y=axis(y), width=width, height=height)


def dot(glyph: str, x: float, y: float, *, bars: bool = False) -> Dot:
    return Dot(glyph=glyph, x=(x, x - 0.2, x + 0.2), y=(y, y - 0.2, y + 0.2), weight=1, bars=bars)


def place(lines: list[str], glyph: str) -> tuple[int, int]:
    row = next(number for number, line in enumerate(lines) if glyph in line)
    return row, lines[row].index(glyph)


def test_right_is_faster_and_up_is_less_drop() -> None:
    lines = drawn([dot("P", 1, 0), dot("Q", 2, 5)])
    (p_row, p_column), (q_row, q_column) = place(lines, "P"), place(lines, "Q")
    assert p_row < q_row
    assert p_column < q_column


def test_size_is_kept() -> None:
    lines = drawn([dot("P", 1, 0, bars=True), dot("Q", 2, 5)])
    assert len(lines) == 20
    assert max(map(len, lines)) <= 60


def test_intervals_are_drawn_through_the_dot() -> None:
    lines = drawn([dot("P", 1, 0, bars=True), dot("Q", 2, 1)])
    row, column = place(lines, "P")
    assert lines[row][column - 1] == lines[row][column + 1] == "─"
    assert lines[row + 1][column] == "│"


def test_what_lies_beyond_the_frame_is_drawn_at_its_edge_and_counted() -> None:
    dots = [dot("P", 1, 0), dot("Q", 2, 1), dot("Z", 0.1, 90)]
    shown = axis(Range(0.5, 2.5)), axis(Range(-0.3, 1.3))
    lines = draw(dots, x=shown[0], y=shown[1], width=60, height=20)
    assert place(lines, "Z")[1] < place(lines, "P")[1]
    assert place(lines, "Z")[0] == 16


def test_limits_are_lines_across_and_only_where_they_are_shown() -> None:
    lines = draw([dot("P", 1, 0)], x=axis(Range(0, 2), 1.5, 3), y=axis(Range(-1, 1), 0.5, 7), width=60, height=20)
    assert sum("┄" in line for line in lines) == 1
    assert all(line.count("┆") == 1 for line in lines[1:17])


def test_one_point_and_no_points() -> None:
    alone = Dot(glyph="P", x=(1, 1, 1), y=(0, 0, 0), weight=0, bars=True)
    assert any("P" in line for line in drawn([alone]))
    assert drawn([]) == ["nothing is measured yet"]


def test_not_a_number_and_infinity_are_drawn_somewhere() -> None:
    odd = Dot(glyph="P", x=(1, 0.5, float("inf")), y=(float("nan"),) * 3, weight=0, bars=True)
    assert any("P" in line for line in drawn([odd]))


def test_too_small_is_refused() -> None:
    with pytest.raises(UsageError, match="40 × 10"):
        drawn([dot("P", 1, 0)], width=39)


def test_a_front_marks_pick_baselines_ties_and_infeasible() -> None:
    lines = front_plot(records.front(), width=110, height=24)
    drawn = "\n".join(lines[: lines.index("", 2)])
    for glyph in "★◆▲Ba·↓":
        assert glyph in drawn, glyph
    legend = lines[lines.index("", lines.index("", 2) + 1) :]
    assert any(line.split()[:2] == ["★", "4"] and "front A" in line and "drop 0.4 %" in line for line in legend)
    assert any(line.split()[:2] == ["◆", "0"] and "uniform fp32" in line for line in legend)
    assert any(line.split()[:2] == ["×", "2"] and "infeasible" in line for line in legend)
    inside = [line for line in drawn.splitlines() if "│" in line or "┤" in line]
    assert not any("×" in line for line in inside), "what lies beyond the frame is no mark inside it"
    assert "1 beyond the frame, where the arrows at its edge point" in lines


def test_the_arrow_points_to_what_is_better_and_words_fold_at_the_width() -> None:
    for width in (60, 90):
        lines = front_plot(records.front(state=JobState.CANCELLED), width=width, height=20)
        assert max(map(len, lines)) <= width
        assert lines[1].startswith("The job was cancelled")
        assert any(line.endswith("up is better ↑") for line in lines)
        assert not any("↓" in line for line in lines if "better" in line)


def test_words_that_occur_are_explained_once_below_the_list() -> None:
    rows = records.front().rows
    noisy = replace(rows[1].result.latency, verdict=Verdict.POLLUTED, flags=("many_rejected",))
    spoiled = replace(rows[1], feasible=False, result=replace(rows[1].result, latency=noisy))
    lines = front_plot(records.front(rows=(rows[0], spoiled, *rows[2:])), width=120)
    assert sum("too few undisturbed pairs" in line for line in lines) == 1
    assert any(line.startswith("?    1") and line.endswith("polluted") for line in lines)


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
