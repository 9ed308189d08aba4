"""Tables as rich draws them, fitted to the room there is."""

from __future__ import annotations

from dataclasses import replace

from rich import box
from rich.cells import cell_len
from rich.table import Table as RichTable
from rich.text import Text

from qsearch.report.answer import Table
from qsearch.report.escaping import visible, visible_lines

_STYLES = {"pick": "bold green", "good": "green", "dim": "dim", "warning": "yellow", "problem": "red"}
#: a column is never folded below this many characters
_NARROW = 20


def rich_table(table: Table) -> RichTable:
    """A table of ours as a table of rich. Cells are text, never markup."""
    headed = any(table.columns)
    # a fact may be told in several lines; a line of a list is one line
    show = visible if headed else visible_lines
    drawn = RichTable(box=box.SIMPLE_HEAD if headed else None, show_header=headed, pad_edge=False, padding=(0, 1, 0, 0))
    for place, (name, width) in enumerate(zip(table.columns, _widths(table), strict=True)):
        drawn.add_column(
            Text(visible(name)),
            justify="right" if name in table.right else "left",
            overflow="fold",
            min_width=min(width, _NARROW),
            style="" if headed or place else "bold",
        )
    for line in table.lines:
        drawn.add_row(*(Text(show(cell)) for cell in line.cells), style=_STYLES.get(line.mark.value, ""))
    return drawn


def roomy(table: Table, width: int) -> Table:
    """The table without as many of its spare columns as it takes to fit."""
    for name in table.spare:
        if needed_width(table) <= width:
            break
        gone = table.columns.index(name)
        lines = tuple(replace(line, cells=(*line.cells[:gone], *line.cells[gone + 1 :])) for line in table.lines)
        table = replace(table, columns=(*table.columns[:gone], *table.columns[gone + 1 :]), lines=lines)
    return table


def needed_width(table: Table) -> int:
    """Columns of a terminal below which cells would be cut."""
    return sum(min(width, _NARROW) + 2 for width in _widths(table)) + 2


def _widths(table: Table) -> list[int]:
    texts = [table.columns, *(line.cells for line in table.lines)]
    return [max(map(_width, column)) for column in zip(*texts, strict=True)]


def _width(text: str) -> int:
    """Of its longest line."""
    return max((cell_len(visible(line)) for line in text.split("\n")), default=0)
