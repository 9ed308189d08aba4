"""A front as one HTML file that needs nothing else: no server, no network, no second file.

NOTE: plotly.js comes from the installed package and is written into the page. It knows addresses of
map tiles and of its makers; the page's own Content-Security-Policy forbids it to fetch anything.
"""

from __future__ import annotations

import json
from html import escape
from typing import Any

from qsearch.report import front_words as words
from qsearch.report.answer import Mark, Table
from qsearch.report.escaping import visible
from qsearch.report.front_figure import HIGH, figure
from qsearch.report.front_scene import Scene
from qsearch.report.trials import front_table

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "form-action 'none'; base-uri 'none'"
)
_CONFIG = {
    "displaylogo": False,
    "responsive": True,
    "plotlyServerURL": "",
    # by name, so that no button of a later plotly.js offers to send the data somewhere
    "modeBarButtons": [["toImage", "zoom2d", "resetScale2d"]],
    "toImageButtonOptions": {"format": "svg", "filename": "front"},
}
_STYLE = """
:root { color-scheme: light }
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1f24; background: #fff; max-width: 1100px; margin: 2rem auto;
  padding: 0 1rem }
h1 { font-size: 1.5rem; margin: 0 0 .3rem }
p { margin: .2rem 0 } .quiet { color: #5b6470; font-size: .87rem }
#front { min-height: HIGHpx; margin: 1rem 0 }
.wide { overflow-x: auto; margin-top: 1.5rem }
table { border-collapse: collapse; font-size: .87rem; font-variant-numeric: tabular-nums; white-space: nowrap }
caption { text-align: left; font-weight: 600; padding-bottom: .3rem }
th { text-align: left; font-weight: 600; border-bottom: 1px solid #9aa3ad } th, td { padding: .2rem .8rem .2rem 0 }
.right { text-align: right } .pick { font-weight: 600 } .dim { color: #5b6470 }
@media print { .wide { break-inside: avoid } }
"""


def front_html(scene: Scene, plotly_js: str) -> str:
    """The page: title, the pick, the drawing, how to read it, and every finished trial as a table.

    Args:
        scene: what is drawn.
        plotly_js: the library's text, written into the page as it is.
    """
    drawn = figure(scene)
    said = words.sentences(scene)
    table = front_table(scene.view)
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{_text(words.title(scene))}</title>",
            f"<style>{_STYLE.replace('HIGH', str(HIGH))}</style>",
            "</head>",
            "<body>",
            f"<h1>{_text(words.title(scene))}</h1>",
            *(f"<p>{_text(line)}</p>" for line in said),
            f'<div id="front" role="img" aria-label="{_text(" ".join(said))}"></div>',
            '<noscript><p class="quiet">The drawing needs scripts; the table has the same numbers.</p></noscript>',
            *(f'<p class="quiet">{_text(line)}</p>' for line in words.caption(scene)),
            f'<div class="wide">{_table(table)}</div>',
            *(f'<p class="quiet">{_text(note)}</p>' for note in table.notes if note not in words.caption(scene)[0]),
            f"<script>{plotly_js}</script>",
            f"<script>{_call(drawn)}</script>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _call(drawn: dict[str, Any]) -> str:
    data, layout, config = (_json(part) for part in (drawn["data"], drawn["layout"], _CONFIG))
    return f'Plotly.newPlot("front", {data}, {layout}, {config});'


def _json(value: object) -> str:
    """JSON that is safe inside a script: nothing in it can end the element."""
    text = json.dumps(value, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _table(table: Table) -> str:
    sides = ["right" if name in table.right else "" for name in table.columns]
    head = "".join(f'<th class="{side}">{_text(name)}</th>' for name, side in zip(table.columns, sides, strict=True))
    lines = []
    for line in table.lines:
        mark = line.mark.value if line.mark in (Mark.PICK, Mark.DIM) else ""
        cells = "".join(f'<td class="{side}">{_text(cell)}</td>' for cell, side in zip(line.cells, sides, strict=True))
        lines.append(f'<tr class="{mark}">{cells}</tr>')
    body = "\n".join(lines)
    return f"<table><caption>{_text(table.title)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _text(text: str) -> str:
    return escape(visible(text))
