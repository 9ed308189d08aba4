"""A front as a picture: PNG, SVG or PDF, drawn by matplotlib.

NOTE: a figure of its own and never pyplot, which keeps figures alive and may ask for a display. The
user's matplotlibrc is set aside while the figure is drawn, so that a picture looks the same everywhere.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from textwrap import fill
from typing import Any

from qsearch import __version__
from qsearch.report import front_words as words
from qsearch.report.escaping import visible
from qsearch.report.front_labels import Room, placed_labels
from qsearch.report.front_plot import drop_tick
from qsearch.report.front_scene import Role, Scene, Spot, Standing
from qsearch.report.front_style import GREY, INK, PALE, PAPER, QUIET, TIED, Look, drawn, key

#: inches; the frame's sides as shares of the figure
_WIDE, _HIGH, _DPI = 9.0, 6.4, 160
_LEFT, _RIGHT = 0.085, 0.97
#: where the lines above the frame begin and those below it end, and how high one is, as shares of the figure
_HEAD, _FOOT, _SAID, _TOLD, _KEY_LINE = 0.922, 0.02, 0.0275, 0.0255, 0.032
#: marks in a line of the key
_KEY_COLUMNS = 6
_MARKERS: dict[str, Any] = {
    "star": "*",
    "diamond": "D",
    "triangle": "^",
    "circle": "o",
    "cross": "x",
    "asterisk": (6, 2, 0),
    "up": "^",
    "down": "v",
    "left": "<",
    "right": ">",
}
_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "text.usetex": False,
    "text.parse_math": False,
    "svg.hashsalt": "qsearch",
}
_LABEL_PT, _GAP_PT = 8.5, 8.0
#: a tie; thin and without a colour: it says which belong together, and is no trend
_DOTTED: dict[str, Any] = {"color": GREY, "linewidth": 0.9, "linestyle": (0, (1, 2.5))}


def front_image(scene: Scene, form: str) -> bytes:
    """The picture as the content of a file.

    Args:
        scene: what is drawn.
        form: png, svg or pdf. Equal scenes give equal files of one version of matplotlib.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)
        figure = Figure(figsize=(_WIDE, _HIGH), dpi=_DPI, facecolor=PAPER)
        page = _Page.of(scene)
        axes = figure.add_axes((_LEFT, page.bottom, _RIGHT - _LEFT, page.top - page.bottom), facecolor=PAPER)
        _frame(axes, scene)
        _limits(axes, scene)
        _ties(axes, scene)
        _marks(axes, scene)
        _labels(axes, scene, page)
        _texts(figure, scene, page)
        _key(figure, scene, page)
        out = io.BytesIO()
        figure.savefig(out, format=form, dpi=_DPI, facecolor=PAPER, metadata=_metadata(scene, form))
    return out.getvalue()


@dataclass(frozen=True, slots=True)
class _Page:
    """The words above and below, folded, and the frame's edges between them, as shares of the figure."""

    said: str
    told: str
    bottom: float
    top: float

    @classmethod
    def of(cls, scene: Scene) -> _Page:
        said = "\n".join(fill(visible(line), 122) for line in words.sentences(scene))
        told = "\n".join(fill(visible(line), 138) for line in words.caption(scene))
        below = (told.count("\n") + 1) * _TOLD + _key_lines(scene) * _KEY_LINE
        above = (said.count("\n") + 1) * _SAID
        return cls(said, told, bottom=_FOOT + below + 0.095, top=_HEAD - above - 0.045)


def _key_lines(scene: Scene) -> int:
    return -(-(len(key(scene)) + bool(scene.ties)) // _KEY_COLUMNS)


def _frame(axes: Any, scene: Scene) -> None:
    axes.set_xlim(scene.across.low, scene.across.high)
    # more drop is further down, so that better is up and right
    axes.set_ylim(scene.down.high, scene.down.low)
    axes.set_xlabel(f"{scene.x_name} →", fontsize=9.5, color=QUIET, loc="right")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.4g}×")
    axes.yaxis.set_major_formatter(lambda value, _: drop_tick(value))
    axes.tick_params(colors=QUIET, labelsize=9, length=0, pad=5)
    axes.grid(color=PALE, linewidth=0.8)
    axes.set_axisbelow(True)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(GREY)
        spine.set_linewidth(0.8)


def _limits(axes: Any, scene: Scene) -> None:
    for limit in scene.limits:
        if not limit.seen:
            continue
        line = {"color": QUIET, "linewidth": 1.0, "linestyle": (0, (4, 3)), "zorder": 1.5}
        text = {"fontsize": 8.5, "color": QUIET, "textcoords": "offset points", "style": "italic"}
        if limit.axis == "y":
            axes.axhline(limit.value, **line)
            at, offset, place = (scene.across.high, limit.value), (-2, 3), {"ha": "right", "va": "bottom"}
        else:
            axes.axvline(limit.value, **line)
            at, offset, place = (limit.value, scene.down.high), (3, 4), {"ha": "left", "va": "bottom"}
        axes.annotate(limit.text, at, xytext=offset, **place, **text)


def _ties(axes: Any, scene: Scene) -> None:
    for tie, member in scene.ties:
        ends = [scene.spots[tie], scene.spots[member]]
        if all(spot.placed and not scene.tip(spot) for spot in ends):
            x, y = zip(*(scene.position(spot) for spot in ends), strict=True)
            axes.plot(x, y, **_DOTTED, zorder=2)


def _marks(axes: Any, scene: Scene) -> None:
    for spot in scene.spots:
        if not spot.placed:
            continue
        seen, at = drawn(scene, spot), scene.position(spot)
        if spot.bars and not scene.tip(spot):
            _bars(axes, spot, scene, seen)
        axes.plot(
            [at[0]],
            [at[1]],
            marker=_MARKERS[seen.shape],
            markersize=seen.size,
            markerfacecolor=seen.fill,
            markeredgecolor=seen.outline,
            markeredgewidth=0.7 if seen.outline == PAPER else 1.3,
            linestyle="none",
            zorder=4 + spot.weight,
        )


def _bars(axes: Any, spot: Spot, scene: Scene, seen: Look) -> None:
    across, down = scene.across, scene.down
    style = {"color": seen.colour, "linewidth": 1.1, "alpha": 0.5, "zorder": 3, "solid_capstyle": "butt"}
    axes.plot([across.clamped(spot.x.low), across.clamped(spot.x.high)], [spot.y.value] * 2, **style)
    axes.plot([spot.x.value] * 2, [down.clamped(spot.y.low), down.clamped(spot.y.high)], **style)


def _labels(axes: Any, scene: Scene, page: _Page) -> None:
    wide, high = _WIDE * 72 * (_RIGHT - _LEFT), _HIGH * 72 * (page.top - page.bottom)
    room = Room(letter=_LABEL_PT * 0.64 / wide, line=_LABEL_PT * 1.25 / high, gap=_GAP_PT / wide)
    for spot, side in placed_labels(scene, room):
        across, up = side
        axes.annotate(
            visible(words.label_in(scene, spot)),
            scene.position(spot),
            xytext=(across * _GAP_PT, up * _GAP_PT * 0.8),
            textcoords="offset points",
            ha=("right", "center", "left")[across + 1],
            va=("top", "center", "bottom")[up + 1],
            fontsize=_LABEL_PT,
            fontweight="bold" if spot.role is Role.PICK else "normal",
            color=INK if spot.standing is Standing.FEASIBLE else QUIET,
            zorder=12,
        )


def _texts(figure: Any, scene: Scene, page: _Page) -> None:
    figure.text(_LEFT, 0.965, visible(words.title(scene)), fontsize=14, fontweight="bold", color=INK, va="top")
    figure.text(_LEFT, _HEAD, page.said, fontsize=9, color=INK, va="top", linespacing=1.4)
    figure.text(_LEFT, page.top + 0.012, visible(f"{scene.y_name} ↑"), fontsize=9.5, color=QUIET, va="bottom")
    figure.text(_LEFT, _FOOT, page.told, fontsize=8, color=QUIET, va="bottom", linespacing=1.45)


def _key(figure: Any, scene: Scene, page: _Page) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [],
            [],
            linestyle="none",
            marker=_MARKERS[seen.shape],
            markersize=min(seen.size, 10.0),
            markerfacecolor=seen.fill,
            markeredgecolor=seen.outline,
            label=name,
        )
        for name, seen in key(scene)
    ]
    if scene.ties:
        handles.append(Line2D([], [], **_DOTTED, label=TIED))
    text = {"fontsize": 8.5, "labelcolor": QUIET, "handletextpad": 0.3, "columnspacing": 1.2, "frameon": False}
    # a legend per line: one of several lines is filled column by column
    for line, start in enumerate(range(0, len(handles), _KEY_COLUMNS)):
        at = (_LEFT - 0.012, page.bottom - 0.065 - line * _KEY_LINE)
        shown = handles[start : start + _KEY_COLUMNS]
        figure.legend(handles=shown, loc="upper left", bbox_to_anchor=at, ncols=len(shown), **text)


def _metadata(scene: Scene, form: str) -> dict[str, Any]:
    """Without the time of drawing: equal scenes are equal files."""
    named, maker = visible(words.title(scene)), f"QSearch {__version__}"
    if form == "png":
        return {"Title": named, "Software": maker}
    return {"Title": named, "Creator": maker, "Date" if form == "svg" else "CreationDate": None}
