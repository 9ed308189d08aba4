"""A front drawn in plain text: drop against speed-up, ties as clusters, baselines and the pick marked."""

from __future__ import annotations

from string import ascii_uppercase

from qsearch.contracts.views import FrontView
from qsearch.report.front_scene import Role, Scene, Spot, Standing, scene_of, span
from qsearch.report.limits import limits_remark
from qsearch.report.numbers import drop_of, percent, size, speedup
from qsearch.report.plot import Axis, Dot, draw
from qsearch.report.trials import short

_FP32, _UNIFORM, _PICK, _INFEASIBLE, _DOMINATED, _MORE, _POLLUTED = "◆", "▲", "★", "×", "·", "●", "?"
_OWN = {Role.PICK: _PICK, Role.FP32: _FP32}
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
    scene = scene_of(view)
    dots = [_dot(spot) for spot in scene.spots]
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
    lines = [f"{view.job} on {view.target}", "", *draw(dots, x=x, y=y, width=width, height=height)]
    if not dots:
        return lines
    if scene.outside:
        lines.append(f"{scene.outside} beyond the frame, drawn at its edge")
    return [*lines, "", _key(scene), "", *(_legend(spot) for spot in scene.spots if spot.told)]


def drop_tick(value: float) -> str:
    """A drop as an axis writes it: one decimal, two where one would hide it."""
    return percent(value) if abs(value) >= 0.00095 or value == 0 else percent(value, 2)


def _key(scene: Scene) -> str:
    limits = [limit.text for limit in scene.limits if limit.seen]
    return f"{_KEY}   ┄ {', '.join(limits)}" if limits else _KEY


def _dot(spot: Spot) -> Dot:
    bars = spot.bars and spot.standing is Standing.FEASIBLE
    return Dot(glyph=_glyph(spot), x=span(spot.x), y=span(spot.y), weight=spot.weight, bars=bars)


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
        f"tie with {letter or short(row.tied_with)}" if row.rank == 1 else "",
        limits_remark(row),
    ]
    told = ", ".join(remark for remark in remarks if remark)
    parts = [
        f"{glyph} {short(row.trial):>4} {speedup(*span(spot.x)):<22}",
        f"drop {drop_of(row.result.accuracy):<28} {size(row.result.size_bytes):>9}",
        told,
    ]
    return "  ".join(parts).rstrip()
