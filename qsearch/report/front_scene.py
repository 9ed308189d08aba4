"""What a drawing of a front shows: who is marked how, within which frame, with which words.

Pure, and the only place where it is decided; the terminal, the picture and the page draw the same
scene with what they have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from qsearch.contracts.choices import Choice
from qsearch.contracts.job import Constraints
from qsearch.contracts.verdict import Interval, Verdict
from qsearch.contracts.views import FrontRow, FrontView
from qsearch.report.numbers import milliseconds, percent
from qsearch.report.ranges import Range, Span
from qsearch.report.trial_rows import pooled_references, shown_latency
from qsearch.report.trials import by_speed

X_NAME = "speed-up over fp32, right is faster"
#: how far outside the frame a limit may lie, as a share of it, and still widen the frame to be seen
_REACH = 0.5
#: how far inside its edge the tip stands that points to a spot beyond, as a share of the frame
_INSET = 0.015


class Role(StrEnum):
    """What a trial is in the picture; the first that holds."""

    PICK = "pick"
    FP32 = "fp32"
    UNIFORM = "uniform"
    FRONT = "front"
    TIE = "tie"
    DOMINATED = "dominated"


class Standing(StrEnum):
    """Whether a trial can be an answer at all."""

    FEASIBLE = "feasible"
    INFEASIBLE = "infeasible"
    #: its sitting has no latency to place it by
    POLLUTED = "polluted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """One finished trial as it is drawn."""

    row: FrontRow
    role: Role
    standing: Standing
    #: which cluster it belongs to, counted from 0: a front member and what cannot be told from it
    cluster: int | None
    #: speed-up over fp32
    x: Interval
    #: relative drop on the search split
    y: Interval
    #: its intervals are drawn
    bars: bool
    #: the frame is chosen so that it is seen; others may lie beyond and are pointed to from the edge
    framed: bool
    #: higher is drawn over lower
    weight: int

    @property
    def told(self) -> bool:
        """Whether it deserves words beside the drawing: the pick, the baselines, the front."""
        return self.role not in (Role.TIE, Role.DOMINATED)

    @property
    def placed(self) -> bool:
        """Whether both estimates are numbers; without, there is no place to draw it at."""
        return math.isfinite(self.x.value) and math.isfinite(self.y.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A constraint of the job that is a line on one of the axes."""

    #: "x" or "y"
    axis: str
    value: float
    #: "drop ≤ 1%"
    text: str
    #: inside the frame
    seen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Everything that is drawn of a front."""

    view: FrontView
    #: members and their ties first, fastest first
    spots: tuple[Spot, ...]
    x_name: str
    y_name: str
    across: Range
    down: Range
    limits: tuple[Limit, ...]
    #: (position of a feasible tie in `spots`, position of its member)
    ties: tuple[tuple[int, int], ...]

    def beyond(self, spot: Spot) -> tuple[int, int]:
        """(−1 left, 1 right, 0 inside; −1 less drop, 1 more drop, 0 inside) of a placed spot."""
        return _side(self.across, spot.x.value), _side(self.down, spot.y.value)

    def position(self, spot: Spot) -> tuple[float, float]:
        """Where a placed spot is drawn: its estimates, or for its tip the edge beyond which it lies."""
        return _inside(self.across, spot.x.value), _inside(self.down, spot.y.value)

    def tip(self, spot: Spot) -> str:
        """Where a placed spot lies beyond the frame: up, down, left or right of it; empty for one inside."""
        across, down = self.beyond(spot)
        # of one beyond a corner the drop is told: it is what makes most of them useless
        return {-1: "up", 1: "down"}.get(down, "") or {-1: "left", 1: "right"}.get(across, "")

    @property
    def outside(self) -> int:
        """How many placed spots lie beyond the frame; a tip at its edge points to each."""
        return sum(self.beyond(spot) != (0, 0) for spot in self.spots if spot.placed)


def scene_of(view: FrontView) -> Scene:
    """The scene of a front; equal views give equal scenes.

    The frame shows, with their intervals, the feasible members of the front, what is tied with them,
    fp32 and the pick; whatever is far away must not squeeze these, and lies beyond. Where that is only
    one trial, everything is framed. A limit near the frame widens it.
    """
    rows = by_speed(view)
    members = [row.trial for row in rows if row.rank == 0]
    spots = [_spot(row, members) for row in rows]
    if sum(spot.framed for spot in spots) < 2:
        spots = [replace(spot, framed=True) for spot in spots]
    across = Range.over([span(spot.x) for spot in spots if spot.framed])
    down = Range.over([span(spot.y) for spot in spots if spot.framed])
    across, x_limits = _with_limits("x", across, _latency_limits(view))
    down, y_limits = _with_limits("y", down, _drop_limits(view))
    at = {spot.row.trial: place for place, spot in enumerate(spots)}
    return Scene(
        view=view,
        spots=tuple(spots),
        x_name=X_NAME,
        y_name=f"drop of {view.metric} against fp32 on the search split, up is better",
        across=across,
        down=down,
        limits=(*x_limits, *y_limits),
        ties=tuple(
            (place, at[spot.row.tied_with])
            for place, spot in enumerate(spots)
            if spot.row.tied_with in at and spot.row.rank == 1 and spot.standing is Standing.FEASIBLE
        ),
    )


def span(interval: Interval) -> Span:
    """Estimate, low, high."""
    return interval.value, interval.low, interval.high


def unseen_limits(constraints: Constraints) -> tuple[str, ...]:
    """Limits that are on neither axis, in words; who breaks them is infeasible all the same."""
    size, memory = constraints.size_bytes, constraints.memory_bytes
    return tuple(
        f"{name} ≤ {value / 2**20:.1f} MiB" for name, value in (("size", size), ("memory", memory)) if value is not None
    )


def _spot(row: FrontRow, members: Sequence[str]) -> Spot:
    role, standing = _role(row), _standing(row)
    mine = row.trial if row.rank == 0 else row.tied_with
    return Spot(
        row=row,
        role=role,
        standing=standing,
        cluster=members.index(mine) if mine in members and standing is not Standing.POLLUTED else None,
        x=shown_latency(row).ratio.inverse(),
        y=row.result.accuracy.drop,
        bars=role not in (Role.TIE, Role.DOMINATED) and standing is not Standing.POLLUTED,
        framed=(row.feasible and row.rank < 2) or role in (Role.PICK, Role.FP32),
        weight=_weight(row, role),
    )


def _role(row: FrontRow) -> Role:
    if row.pick:
        return Role.PICK
    if row.uniform == Choice.FP32.value:
        return Role.FP32
    if row.uniform:
        return Role.UNIFORM
    return {0: Role.FRONT, 1: Role.TIE}.get(row.rank, Role.DOMINATED)


def _standing(row: FrontRow) -> Standing:
    # fp32 against itself is 1 whatever the noise, so pollution takes nothing away from it
    if row.result.latency.verdict is Verdict.POLLUTED and row.uniform != Choice.FP32.value:
        return Standing.POLLUTED
    return Standing.FEASIBLE if row.feasible else Standing.INFEASIBLE


def _weight(row: FrontRow, role: Role) -> int:
    order = (role is Role.PICK, role is Role.FP32, row.rank == 0 and row.feasible, bool(row.uniform), row.rank == 1)
    return next((len(order) - place for place, holds in enumerate(order) if holds), 0)


def _side(shown: Range, value: float) -> int:
    return 0 if shown.holds(value) else (1 if value > shown.high else -1)


def _inside(shown: Range, value: float) -> float:
    inset = (shown.high - shown.low) * _INSET
    return value if shown.holds(value) else min(max(value, shown.low + inset), shown.high - inset)


def _drop_limits(view: FrontView) -> list[tuple[float, str]]:
    limit, rows = view.constraints.drop, view.rows
    if limit is None or not rows:
        return []
    if limit.relative:
        return [(limit.amount, f"drop ≤ {limit}")]
    score = abs(rows[0].result.accuracy.reference_score)
    return [(limit.amount / score, f"drop ≤ {limit} = {percent(limit.amount / score, 2)}")] if score else []


def _latency_limits(view: FrontView) -> list[tuple[float, str]]:
    limit = view.constraints.latency_ms
    pooled = next(iter(pooled_references(view.rows).values()), math.nan)
    if limit is None or not (limit > 0 and math.isfinite(pooled)):
        return []
    return [(pooled / limit, f"latency ≤ {milliseconds(limit)}")]


def _with_limits(axis: str, shown: Range, limits: Sequence[tuple[float, str]]) -> tuple[Range, list[Limit]]:
    reach = (shown.high - shown.low) * _REACH
    for value, _ in limits:
        if shown.low - reach <= value <= shown.high + reach:
            shown = Range.over([(value, shown.low, shown.high)]) if not shown.holds(value) else shown
    return shown, [Limit(axis=axis, value=value, text=text, seen=shown.holds(value)) for value, text in limits]
