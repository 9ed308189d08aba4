"""A front drawn in plain text: drop against speed-up, ties as clusters, baselines and the pick marked."""

from __future__ import annotations

from string import ascii_uppercase

from qsearch.contracts.choices import Choice
from qsearch.contracts.measurement import Accuracy
from qsearch.contracts.verdict import Verdict
from qsearch.contracts.views import FrontRow, FrontView
from qsearch.report.limits import limits_remark
from qsearch.report.numbers import drop_of, percent, size, speedup, speedup_of
from qsearch.report.plot import Axis, Dot, beyond, draw
from qsearch.report.trial_rows import shown_latency
from qsearch.report.trials import by_speed, short

_FP32, _UNIFORM, _PICK, _INFEASIBLE, _DOMINATED, _MORE, _POLLUTED = "◆", "▲", "★", "×", "·", "●", "?"
_KEY = (
    f"{_PICK} pick   A B C front   a b c ties with it   {_FP32} fp32   {_UNIFORM} uniform   "
    f"{_DOMINATED} dominated   {_INFEASIBLE} infeasible   {_POLLUTED} polluted"
)


def front_plot(view: FrontView, *, width: int = 80, height: int = 24) -> list[str]:
    """The plot, its key, and one line for each front member and baseline.

    A member of the front is a capital letter; what cannot be told from it (EQUIVALENT) carries the
    same letter in lower case, so a cluster is one letter. Intervals are drawn for the front, fp32 and
    the uniform candidates. Drops are the search split's, which every trial has.

    Raises:
        UsageError: the terminal is too small.
    """
    rows = by_speed(view)
    letters = _letters(rows)
    dots = [_dot(row, letters) for row in rows]
    x = Axis(name="speed-up over fp32, right is faster", tick=lambda value: f"{value:.4g}×")
    y = Axis(name=f"drop of {view.metric} against fp32 on the search split, up is better", tick=_percent_tick)
    lines = [f"{view.job} on {view.target}", "", *draw(dots, x=x, y=y, width=width, height=height)]
    if not rows:
        return lines
    outside = beyond(dots)
    if outside:
        lines.append(f"{outside} beyond the frame, drawn at its edge")
    return [*lines, "", _KEY, "", *(_legend(row, letters) for row in rows if _told(row))]


def _percent_tick(value: float) -> str:
    return percent(value) if abs(value) >= 0.00095 or value == 0 else percent(value, 2)


def _letters(rows: list[FrontRow]) -> dict[str, str]:
    members = [row.trial for row in rows if row.rank == 0]
    return {trial: ascii_uppercase[i] if i < len(ascii_uppercase) else _MORE for i, trial in enumerate(members)}


def _dot(row: FrontRow, letters: dict[str, str]) -> Dot:
    gain, drop = speedup_of(shown_latency(row)), _search(row).drop
    told = _told(row)
    return Dot(
        glyph=_glyph(row, letters),
        x=(gain.value, gain.low, gain.high),
        y=(drop.value, drop.low, drop.high),
        weight=_weight(row),
        bars=told and row.feasible,
        framed=(row.feasible and row.rank < 2) or row.uniform == Choice.FP32.value or row.pick,
    )


def _glyph(row: FrontRow, letters: dict[str, str]) -> str:
    if row.pick:
        return _PICK
    if row.uniform == Choice.FP32.value:
        return _FP32
    if row.result.latency.verdict is Verdict.POLLUTED:
        return _POLLUTED
    if not row.feasible:
        return _INFEASIBLE
    if row.rank == 0:
        return letters[row.trial]
    if row.uniform:
        return _UNIFORM
    return letters.get(row.tied_with, _MORE).lower() if row.rank == 1 else _DOMINATED


def _weight(row: FrontRow) -> int:
    order = (row.pick, row.uniform == Choice.FP32.value, row.rank == 0 and row.feasible, bool(row.uniform))
    return next((len(order) - place for place, holds in enumerate(order) if holds), 0)


def _told(row: FrontRow) -> bool:
    return row.pick or bool(row.uniform) or row.rank == 0


def _legend(row: FrontRow, letters: dict[str, str]) -> str:
    gain = speedup_of(shown_latency(row))
    remarks = [
        f"front {letters[row.trial]}" if row.rank == 0 and _glyph(row, letters) != letters[row.trial] else "",
        f"uniform {row.uniform}" if row.uniform else "",
        f"tie with {letters.get(row.tied_with, short(row.tied_with))}" if row.rank == 1 else "",
        limits_remark(row),
    ]
    told = ", ".join(remark for remark in remarks if remark)
    parts = [
        f"{_glyph(row, letters)} {short(row.trial):>4} {speedup(gain.value, gain.low, gain.high):<22}",
        f"drop {drop_of(_search(row)):<28} {size(row.result.size_bytes):>9}",
        told,
    ]
    return "  ".join(parts).rstrip()


def _search(row: FrontRow) -> Accuracy:
    return row.result.accuracy
