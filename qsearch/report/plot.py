"""A scatter plot with error bars as lines of text. Pure: the same dots and size give the same lines."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qsearch.contracts.errors import UsageError

_MARGIN = 10
_TICK_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """One thing to be drawn."""

    #: one character
    glyph: str
    #: estimate, low, high
    x: tuple[float, float, float]
    y: tuple[float, float, float]
    #: higher is drawn over lower
    weight: int
    #: draw the intervals too
    bars: bool
    #: the axes are chosen so that it is seen; others may lie beyond and are drawn at the edge
    framed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """What an axis says."""

    name: str
    #: a tick's value → its text, at most 8 characters
    tick: Callable[[float], str]


def draw(dots: Sequence[Dot], *, x: Axis, y: Axis, width: int = 80, height: int = 24) -> list[str]:
    """Lines of at most `width` characters, `height` of them: frame, ticks, dots. y grows downwards.

    NOTE: y grows downwards because it is a drop: less is better, and better is up and right.

    Raises:
        UsageError: the frame is too small to hold anything.
    """
    if width < 40 or height < 10:
        raise UsageError(f"a plot needs 40 × 10 characters, the terminal offers {width} × {height}")
    if not dots:
        return ["nothing is measured yet"]
    columns, lines = width - _MARGIN, height - 4
    across = _Scale.over([dot.x for dot in dots if dot.framed] or [dot.x for dot in dots], columns)
    down = _Scale.over([dot.y for dot in dots if dot.framed] or [dot.y for dot in dots], lines)
    grid = [[" "] * columns for _ in range(lines)]
    for dot in dots:
        if dot.bars:
            _bars(grid, dot, across, down)
    for dot in sorted(dots, key=lambda each: each.weight):
        grid[down.cell(dot.y[0])][across.cell(dot.x[0])] = dot.glyph
    return [f"{y.name} ↓", *_body(grid, down, y), *_foot(across, x, columns)]


def beyond(dots: Sequence[Dot]) -> int:
    """How many dots `draw` would put at the edge because they lie outside the frame."""
    framed = [dot for dot in dots if dot.framed]
    if not framed:
        return 0
    across, down = _Scale.over([dot.x for dot in framed], 100), _Scale.over([dot.y for dot in framed], 100)
    return sum(not (across.holds(dot.x[0]) and down.holds(dot.y[0])) for dot in dots)


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    cells: int

    @classmethod
    def over(cls, spans: Sequence[tuple[float, float, float]], cells: int) -> _Scale:
        ends = [value for span in spans for value in span if math.isfinite(value)]
        low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
        pad = (high - low) * 0.04 or max(abs(high) * 0.05, 1e-3)
        return cls(low - pad, high + pad, cells)

    def cell(self, value: float) -> int:
        if math.isnan(value):
            return self.cells - 1
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return min(int(share * self.cells), self.cells - 1)

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high

    def ticks(self, wanted: int) -> list[float]:
        raw = (self.high - self.low) / wanted
        scale = 10.0 ** math.floor(math.log10(raw))
        step = next(each * scale for each in _TICK_STEPS if each * scale >= raw * 0.999)
        first = math.ceil(self.low / step)
        return [index * step for index in range(first, math.floor(self.high / step) + 1)]


def _bars(grid: list[list[str]], dot: Dot, across: _Scale, down: _Scale) -> None:
    row, column = down.cell(dot.y[0]), across.cell(dot.x[0])
    for cell in range(across.cell(dot.x[1]), across.cell(dot.x[2]) + 1):
        grid[row][cell] = "┼" if grid[row][cell] == "│" else "─"
    for cell in range(down.cell(dot.y[1]), down.cell(dot.y[2]) + 1):
        grid[cell][column] = "┼" if grid[cell][column] == "─" else "│"


def _body(grid: list[list[str]], down: _Scale, y: Axis) -> list[str]:
    labels = {down.cell(value): y.tick(value) for value in down.ticks(max(2, len(grid) // 4))}
    return [
        f"{labels.get(number, ''):>{_MARGIN - 2}} {'┤' if number in labels else '│'}{''.join(cells)}".rstrip()
        for number, cells in enumerate(grid)
    ]


def _foot(across: _Scale, x: Axis, columns: int) -> list[str]:
    rule, labels = ["─"] * columns, [" "] * columns
    for value in across.ticks(max(2, columns // 14)):
        cell, text = across.cell(value), x.tick(value)
        start = min(max(0, cell - len(text) // 2), columns - len(text))
        if any(mark != " " for mark in labels[max(0, start - 1) : start + len(text) + 1]):
            continue
        rule[cell] = "┴"
        labels[start : start + len(text)] = text
    name = f"{x.name} →"
    return [
        f"{'':>{_MARGIN - 1}}└{''.join(rule)}"[: columns + _MARGIN],
        f"{'':>{_MARGIN}}{''.join(labels)}".rstrip(),
        f"{name:>{columns + _MARGIN}}",
    ]
