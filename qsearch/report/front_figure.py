"""A front as a plotly figure: plain data that plotly.js draws. Pure; nothing here imports plotly.

NOTE: where something lies beyond the frame there are two drawings: the front, framed, with tips at the
edge that point to the rest; and all trials where they really are, with their ties, bars and labels. One
is seen at a time: a tip must not be seen beside the mark that it points to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from typing import Any

from qsearch.report import front_words as words
from qsearch.report.escaping import visible
from qsearch.report.front_labels import Room, placed_labels
from qsearch.report.front_scene import Limit, Role, Scene, Spot, Standing
from qsearch.report.front_style import GREY, INK, KEY_NAMES, PALE, PAPER, QUIET, TIED, Look, drawn, look, name_in
from qsearch.report.ranges import Range

Trace = dict[str, Any]
_SYMBOLS = {
    "star": "star",
    "diamond": "diamond",
    "triangle": "triangle-up",
    "circle": "circle",
    "cross": "x-thin",
    "asterisk": "asterisk",
    **{side: f"triangle-{side}" for side in ("up", "down", "left", "right")},
}
#: of the drawing, CSS pixels; it may be drawn wider
WIDE, HIGH = 1000, 560
_MARGIN = {"l": 70, "r": 24, "t": 72, "b": 96}
_FONT = 12
#: CSS pixels of a point, and a little, for a screen is further away than paper
_PIXELS = 1.5


def figure(scene: Scene) -> dict[str, Any]:
    """`data` and `layout` for `Plotly.newPlot`; equal scenes give equal figures."""
    near = _drawing(scene)
    layout = _layout(scene)
    if not scene.outside:
        return {"data": near, "layout": layout}
    whole = _unframed(scene)
    far = _drawing(whole)
    layout["updatemenus"] = [_switch((scene, whole), (len(near), len(far)))]
    return {"data": [*near, *({**trace, "visible": False} for trace in far)], "layout": layout}


def _unframed(scene: Scene) -> Scene:
    """The same with a frame around every estimate."""
    placed = [spot for spot in scene.spots if spot.placed]
    across = Range.over([(spot.x.value,) * 3 for spot in placed] + [(scene.across.low,) * 3, (scene.across.high,) * 3])
    down = Range.over([(spot.y.value,) * 3 for spot in placed] + [(scene.down.low,) * 3, (scene.down.high,) * 3])
    return replace(scene, across=across, down=down)


def _drawing(scene: Scene) -> list[Trace]:
    placed = [spot for spot in scene.spots if spot.placed]
    inside = [spot for spot in placed if not scene.tip(spot)]
    traces = [*_ties(scene), *_bars(scene, inside), *_marks(scene, placed)]
    _name_once(traces)
    return traces


def _texts(scene: Scene) -> dict[str, tuple[str, str]]:
    """Trial → its label and on which side of the mark it stands, in plotly's words."""
    room = Room(
        letter=_FONT * 0.58 / (WIDE - _MARGIN["l"] - _MARGIN["r"]),
        line=_FONT * 1.4 / (HIGH - _MARGIN["t"] - _MARGIN["b"]),
        gap=12 / (WIDE - _MARGIN["l"] - _MARGIN["r"]),
    )
    found = {}
    for spot, (across, up) in placed_labels(scene, room):
        text = _safe(words.label_in(scene, spot))
        side = f"{('bottom', 'middle', 'top')[up + 1]} {('left', 'center', 'right')[across + 1]}"
        found[spot.row.trial] = (f"<b>{text}</b>" if spot.role is Role.PICK else text, side)
    return found


def _ties(scene: Scene) -> list[Trace]:
    ends = [scene.spots[end] for pair in scene.ties if _both(scene, pair) for end in pair]
    if not ends:
        return []
    # thin and without a colour: they say which belong together, and are no trend
    dotted = _lines([_xy(scene, spot) for spot in ends], GREY, 1.0, opacity=0.8)
    dotted["line"]["dash"] = "dot"
    return [{**dotted, "name": TIED, "legendgroup": TIED, "legendrank": 1000 + len(KEY_NAMES)}]


def _both(scene: Scene, pair: tuple[int, int]) -> bool:
    return all(scene.spots[end].placed and not scene.tip(scene.spots[end]) for end in pair)


def _bars(scene: Scene, spots: Sequence[Spot]) -> list[Trace]:
    by_colour: dict[str, list[tuple[float, float]]] = {}
    for spot in spots:
        if spot.bars:
            x, y = _xy(scene, spot)
            left, right = (scene.across.clamped(end) for end in (spot.x.low, spot.x.high))
            low, high = (scene.down.clamped(end) * 100 for end in (spot.y.low, spot.y.high))
            by_colour.setdefault(look(spot).colour, []).extend([(left, y), (right, y), (x, low), (x, high)])
    return [_lines(ends, colour, 1.5, opacity=0.5) for colour, ends in by_colour.items()]


def _marks(scene: Scene, spots: Sequence[Spot]) -> list[Trace]:
    """One trace per kind of mark, so that the legend can hide it."""
    texts = _texts(scene)
    traces = []
    for name in KEY_NAMES:
        mine = sorted((spot for spot in spots if name_in(scene, spot) == name), key=lambda spot: spot.weight)
        if not mine:
            continue
        at = [_xy(scene, spot) for spot in mine]
        said = [texts.get(spot.row.trial, ("", "top right")) for spot in mine]
        feasible = [spot.standing is Standing.FEASIBLE for spot in mine]
        traces.append(
            {
                **_scatter(at),
                "mode": "markers+text",
                "name": name,
                "legendgroup": name,
                "legendrank": 1000 + KEY_NAMES.index(name),
                "marker": _marker([drawn(scene, spot) for spot in mine]),
                "text": [text for text, _ in said],
                "textposition": [side for _, side in said],
                "textfont": {"color": [INK if ok else QUIET for ok in feasible], "size": _FONT},
                "customdata": ["<br>".join(_safe(line) for line in words.hover(spot, scene)) for spot in mine],
                "hovertemplate": "%{customdata}<extra></extra>",
            }
        )
    return traces


def _marker(looks: Sequence[Look]) -> dict[str, Any]:
    return {
        "symbol": [_SYMBOLS[seen.shape] for seen in looks],
        "color": [seen.fill for seen in looks],
        "size": [seen.size * _PIXELS for seen in looks],
        "line": {
            "color": [seen.outline for seen in looks],
            "width": [1.0 if seen.outline == PAPER else 1.8 for seen in looks],
        },
        "opacity": 1,
    }


def _name_once(traces: Sequence[Trace]) -> None:
    named: set[str] = set()
    for trace in traces:
        name = trace.get("name", "")
        if name and name not in named:
            trace["showlegend"] = True
            named.add(name)


def _lines(ends: Sequence[tuple[float, float]], colour: str, width: float, opacity: float) -> Trace:
    """Each two ends are a line."""
    at: list[tuple[float | None, float | None]] = []
    for start, end in zip(ends[::2], ends[1::2], strict=True):
        at += [start, end, (None, None)]
    line = {"color": colour, "width": width}
    return {**_scatter(at), "mode": "lines", "line": line, "opacity": opacity, "hoverinfo": "skip"}


def _scatter(at: Sequence[tuple[float | None, float | None]]) -> Trace:
    return {
        "type": "scatter",
        "x": [x for x, _ in at],
        "y": [y for _, y in at],
        "showlegend": False,
        "cliponaxis": False,
    }


def _xy(scene: Scene, spot: Spot) -> tuple[float, float]:
    x, y = scene.position(spot)
    return x, y * 100


def _layout(scene: Scene) -> dict[str, Any]:
    axis = {"gridcolor": PALE, "zeroline": False, "linecolor": GREY, "showline": True, "ticks": "", "color": QUIET}
    x = {
        "range": _ends(scene.across),
        "ticksuffix": "×",
        "title": {"text": f"{_safe(scene.x_name)} →", "standoff": 8},
    }
    # more drop is further down, so that better is up and right
    y = {"range": _ends(scene.down, 100)[::-1], "ticksuffix": " %"}
    return {
        "xaxis": axis | x,
        "yaxis": axis | y,
        "height": HIGH,
        "margin": _MARGIN,
        "paper_bgcolor": PAPER,
        "plot_bgcolor": PAPER,
        "font": {"family": "system-ui, sans-serif", "size": _FONT, "color": INK},
        "hoverlabel": {"align": "left", "bgcolor": PAPER, "bordercolor": GREY, "font": {"color": INK}},
        "legend": {"orientation": "h", "x": 0, "y": -0.13, "font": {"color": QUIET}},
        "shapes": [_rule(limit) for limit in scene.limits if limit.seen],
        "annotations": [_y_title(scene), *(_rule_text(limit) for limit in scene.limits if limit.seen)],
        "dragmode": "zoom",
    }


def _y_title(scene: Scene) -> dict[str, Any]:
    place = {"xref": "paper", "yref": "paper", "x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom", "yshift": 6}
    return {**place, "text": f"{_safe(scene.y_name)} ↑", "showarrow": False, "font": {"color": QUIET}}


def _rule(limit: Limit) -> dict[str, Any]:
    other = "y" if limit.axis == "x" else "x"
    value = limit.value * (100 if limit.axis == "y" else 1)
    along = {f"{limit.axis}0": value, f"{limit.axis}1": value, f"{other}0": 0, f"{other}1": 1}
    line = {"color": QUIET, "width": 1.5, "dash": "dash"}
    # NOTE: plotly knows "between" for two axes only; by the paper it would be drawn below the grid and be hidden
    place = {f"{limit.axis}ref": limit.axis, f"{other}ref": "paper"}
    return {"type": "line", "layer": "above", **place, **along, "line": line}


def _rule_text(limit: Limit) -> dict[str, Any]:
    upright = limit.axis == "x"
    place = {"x": limit.value, "y": 0, "xref": "x", "yref": "paper", "xanchor": "left", "yanchor": "bottom"}
    if not upright:
        place = {"x": 1, "y": limit.value * 100, "xref": "paper", "yref": "y", "xanchor": "right", "yanchor": "bottom"}
    return {**place, "text": f"<i>{_safe(limit.text)}</i>", "showarrow": False, "font": {"color": QUIET}}


def _switch(views: tuple[Scene, Scene], counts: tuple[int, int]) -> dict[str, Any]:
    """Two buttons: the front, framed; and all trials where they really are."""
    buttons = [
        {
            "label": label,
            "method": "update",
            "args": [
                {"visible": [mine == drawing for drawing, count in enumerate(counts) for _ in range(count)]},
                {"xaxis.range": _ends(view.across), "yaxis.range": _ends(view.down, 100)[::-1]},
            ],
        }
        for mine, (label, view) in enumerate(zip(("the front", "all trials"), views, strict=True))
    ]
    # above the axis' title: below the drawing is the legend, which takes more lines on a narrow page
    place = {"x": 0, "y": 1, "xanchor": "left", "yanchor": "bottom", "direction": "right", "type": "buttons"}
    pad = {"b": 26, "l": 0, "t": 0, "r": 0}
    return {**place, "pad": pad, "buttons": buttons, "bordercolor": GREY, "font": {"color": QUIET}}


def _ends(shown: Range, factor: float = 1.0) -> list[float]:
    return [shown.low * factor, shown.high * factor]


def _safe(text: str) -> str:
    """Plotly reads a little HTML in its texts; names must not be read so."""
    return escape(visible(text))
