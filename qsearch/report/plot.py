"""A scatter plot with error bars as lines of text. Pure: the same dots and size give the same lines."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qsearch.contracts.errors import UsageError
from qsearch.report.ranges import Range, Span

_MARGIN = 10
_TICK_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """One thing to be drawn."""

    #: one character
    glyph: str
    #: estimate, low, high
    x: Span
    y: Span
    #: higher is drawn over lower
    weight: int
    #: draw the intervals too
    bars: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """What an axis says."""

    name: str
    #: a tick's value → its text, at most 8 characters
    tick: Callable[[float], str]
    #: what is shown of it; dots beyond are drawn at the edge
    shown: Range
    #: values where a line is drawn across, where they are shown
    lines: tuple[float, ...] = ()


def draw(dots: Sequence[Dot], *, x: Axis, y: Axis, width: int = 80, height: int = 24) -> list[str]:
    """Lines of at most `width` characters, `height` of them: frame, ticks, dots. y grows downwards.

    NOTE: y grows downwards because it is a drop: less is better, and the arrow points to what is better.

    Raises:
        UsageError: the frame is too small to hold anything.
    """
    if width < 40 or height < 10:
        raise UsageError(f"a plot needs 40 × 10 characters, the terminal offers {width} × {height}")
    if not dots:
        return ["nothing is measured yet"]
    columns, lines = width - _MARGIN, height - 4
    across, down = _Scale(x.shown, columns), _Scale(y.shown, lines)
    grid = [[" "] * columns for _ in range(lines)]
    _lines(grid, x, y, across, down)
    for dot in dots:
        if dot.bars:
            _bars(grid, dot, across, down)
    for dot in sorted(dots, key=lambda each: each.weight):
        grid[down.cell(dot.y[0])][across.cell(dot.x[0])] = dot.glyph
    return [f"{y.name} ↑", *_body(grid, down, y), *_foot(across, x, columns)]


@dataclass(frozen=True, slots=True)
class _Scale:
    shown: Range
    cells: int

    def cell(self, value: float) -> int:
        return min(int(self.shown.share(self.shown.clamped(value)) * self.cells), self.cells - 1)

    def ticks(self, wanted: int) -> list[float]:
        raw = (self.shown.high - self.shown.low) / wanted
        scale = 10.0 ** math.floor(math.log10(raw))
        step = next(each * scale for each in _TICK_STEPS if each * scale >= raw * 0.999)
        first = math.ceil(self.shown.low / step)
        return [index * step for index in range(first, math.floor(self.shown.high / step) + 1)]


def _lines(grid: list[list[str]], x: Axis, y: Axis, across: _Scale, down: _Scale) -> None:
    for value in y.lines:
        if y.shown.holds(value):
            grid[down.cell(value)] = ["┄"] * across.cells
    for value in x.lines:
        if x.shown.holds(value):
            for row in grid:
                row[across.cell(value)] = "┆"


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
