"""A front drawn in plain text: drop against speed-up, ties as clusters, baselines and the pick marked."""

from __future__ import annotations

from string import ascii_uppercase
from textwrap import wrap

from qsearch.contracts.views import FrontView
from qsearch.report.front_scene import Role, Scene, Spot, Standing, scene_of, span
from qsearch.report.front_words import unfinished_sentence
from qsearch.report.limits import limits_remark
from qsearch.report.numbers import drop_of, percent, size, speedup
from qsearch.report.plot import Axis, Dot, draw
from qsearch.report.remarks import explained
from qsearch.report.trials import short

_FP32, _UNIFORM, _PICK, _INFEASIBLE, _DOMINATED, _MORE, _POLLUTED = "◆", "▲", "★", "×", "·", "●", "?"
_TIPS = {"up": "↑", "down": "↓", "left": "←", "right": "→"}
_OWN = {Role.PICK: _PICK, Role.FP32: _FP32}
_KEY = (
    f"{_PICK} pick",
    "A B C front",
    "a b c ties with it",
    f"{_FP32} fp32",
    f"{_UNIFORM} uniform",
    f"{_DOMINATED} dominated",
    f"{_INFEASIBLE} infeasible",
    f"{_POLLUTED} polluted",
)


def front_plot(view: FrontView, *, width: int = 80, height: int = 24) -> list[str]:
    """The plot, its key, and one line for each front member and baseline.

    A member of the front is a capital letter; what cannot be told from it (EQUIVALENT) carries the
    same letter in lower case, so a cluster is one letter. Intervals are drawn for the front, fp32 and
    the uniform candidates. Drops are the search split's, which every trial has.

    Raises:
        UsageError: the terminal is too small.
    """
    scene = scene_of(view)
    dots = [_dot(scene, spot) for spot in scene.spots]
    x = Axis(
        name=scene.x_name,
        tick=lambda value: f"{value:.4g}×",
        shown=scene.across,
        lines=tuple(limit.value for limit in scene.limits if limit.axis == "x"),
    )
    y = Axis(
        name=scene.y_name,
        tick=drop_tick,
        shown=scene.down,
        lines=tuple(limit.value for limit in scene.limits if limit.axis == "y"),
    )
    lines = [f"{view.job} on {view.target}", *_folded(unfinished_sentence(scene), width)]
    lines += ["", *draw(dots, x=x, y=y, width=width, height=height)]
    if not dots:
        return lines
    if scene.outside:
        lines += _folded(f"{scene.outside} beyond the frame, where the arrows at its edge point", width)
    told = [line for spot in scene.spots if spot.told for line in _folded(_legend(spot), width)]
    notes = [line for note in explained(view.rows) for line in _folded(note, width)]
    return [*lines, "", *_key(scene, width), "", *told, *(["", *notes] if notes else [])]


def drop_tick(value: float) -> str:
    """A drop as an axis writes it: one decimal, two where one would hide it."""
    return percent(value) if abs(value) >= 0.00095 or value == 0 else percent(value, 2)


def _key(scene: Scene, width: int) -> list[str]:
    """Whole entries to a line."""
    limits = [limit.text for limit in scene.limits if limit.seen]
    entries = [*_KEY, f"┄ {', '.join(limits)}"] if limits else list(_KEY)
    lines = [entries[0]]
    for entry in entries[1:]:
        joined = f"{lines[-1]}   {entry}"
        lines = [*lines[:-1], joined] if len(joined) <= width else [*lines, entry]
    return lines


def _folded(line: str, width: int) -> list[str]:
    return wrap(line, width, subsequent_indent="       ", break_long_words=False, break_on_hyphens=False)


def _dot(scene: Scene, spot: Spot) -> Dot:
    tip = scene.tip(spot) if spot.placed else ""
    bars = spot.bars and spot.standing is Standing.FEASIBLE and not tip
    return Dot(glyph=_TIPS.get(tip) or _glyph(spot), x=span(spot.x), y=span(spot.y), weight=spot.weight, bars=bars)


def _letter(cluster: int) -> str:
    return ascii_uppercase[cluster] if cluster < len(ascii_uppercase) else _MORE


def _glyph(spot: Spot) -> str:
    if spot.role in _OWN:
        return _OWN[spot.role]
    if spot.standing is not Standing.FEASIBLE:
        return _POLLUTED if spot.standing is Standing.POLLUTED else _INFEASIBLE
    if spot.row.rank == 0 and spot.cluster is not None:
        return _letter(spot.cluster)
    if spot.role is Role.UNIFORM:
        return _UNIFORM
    return _letter(spot.cluster).lower() if spot.row.rank == 1 and spot.cluster is not None else _DOMINATED


def _legend(spot: Spot) -> str:
    row, glyph = spot.row, _glyph(spot)
    letter = _letter(spot.cluster) if spot.cluster is not None else ""
    remarks = [
        f"front {letter}" if row.rank == 0 and letter and glyph != letter else "",
        f"uniform {row.uniform}" if row.uniform else "",
        f"tie with {letter or short(row.tied_with)}" if row.rank == 1 and row.feasible else "",
        limits_remark(row),
    ]
    told = ", ".join(remark for remark in remarks if remark)
    parts = [
        f"{glyph} {short(row.trial):>4} {speedup(*span(spot.x)):<22}",
        f"drop {drop_of(row.result.accuracy):<28} {size(row.result.size_bytes):>9}",
        told,
    ]
    return "  ".join(parts).rstrip()
