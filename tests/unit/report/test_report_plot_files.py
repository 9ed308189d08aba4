"""Fronts written to real files and read back: a page that needs nothing else, pictures that show something."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import report_records as records

from qsearch.contracts.choices import Choice
from qsearch.contracts.errors import UsageError
from qsearch.contracts.job import Constraints, DropLimit
from qsearch.contracts.views import FrontView
from qsearch.report.front_figure import figure
from qsearch.report.front_html import front_html
from qsearch.report.front_scene import scene_of
from qsearch.report.plot_files import write_plot

EVIL = "</script><script>alert(1)</script>$x_1$ <a href='http://x'>\x1b[2J"


def view(**changes: Any) -> FrontView:
    asked = Constraints(drop=DropLimit(amount=0.01, relative=True))
    return records.front(**{"constraints": asked, "origin": records.origin(), **changes})


class Loads(HTMLParser):
    """Collects what a page would fetch, and its parts."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []
        self.policy = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        told = dict(attrs)
        self.fetched += [str(told[name]) for name in ("src", "href", "data", "action", "poster") if name in told]
        if told.get("http-equiv") == "Content-Security-Policy":
            self.policy = str(told["content"])

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(page: str) -> Loads:
    seen = Loads()
    seen.feed(page)
    seen.close()
    return seen


def drawn_of(page: str) -> list[Any]:
    """The arguments of Plotly.newPlot: data, layout, configuration."""
    call = page[page.rindex('Plotly.newPlot("front", ') :].partition("</script>")[0]
    arguments = call.removeprefix('Plotly.newPlot("front", ').rstrip().removesuffix(");")
    return list(json.loads(f"[{arguments}]"))


def test_the_page_fetches_nothing_and_holds_library_data_title_and_table(tmp_path: Path) -> None:
    file = tmp_path / "front.html"
    write_plot(view(), file)
    page = file.read_text(encoding="utf-8")
    seen = parsed(page)
    assert seen.fetched == []
    assert "default-src 'none'" in seen.policy
    assert seen.tags.count("script") == 2
    assert seen.tags.count("tr") == 8
    text = " ".join(seen.text)
    assert "minilm on cpu-1thread" in text
    assert "The pick is j1/4: speed-up 1.58× [1.56, 1.60], held-out drop 0.6 %" in text
    assert "Imagined CPU" in text
    assert "plotly.js v" in page
    data, layout, config = drawn_of(page)
    hovers = " ".join(line for trace in data for line in trace.get("customdata", []))
    assert all(f"j1/{number}" in hovers for number in range(7))
    assert layout["yaxis"]["range"][0] > layout["yaxis"]["range"][1], "up is less drop"
    assert config["displaylogo"] is False


def test_what_lies_beyond_is_at_the_edge_or_at_its_place_but_never_both() -> None:
    drawn = figure(scene_of(view()))
    framed, everything = (button["args"] for button in drawn["layout"]["updatemenus"][0]["buttons"])
    shown = [trace.get("visible", True) for trace in drawn["data"]]
    assert framed[0]["visible"] == shown
    assert not any(a and b for a, b in zip(framed[0]["visible"], everything[0]["visible"], strict=True))
    assert everything[1]["xaxis.range"][0] < 0.5
    assert everything[1]["yaxis.range"][0] > 90
    lone = figure(scene_of(view(rows=records.front().rows[3:5])))
    assert "updatemenus" not in lone["layout"]


def test_all_trials_are_drawn_with_their_ties_and_bars_where_they_are() -> None:
    """The member and the front's own tie stay; the member of an infeasible one is far away, and so is its tie."""
    rows = (*view().rows, records.row(8, 0.4, 0.7, Choice.TERNARY, Choice.FP32, Choice.FP32, rank=1, tied_with="j1/2"))
    far_member = tuple(replace(row, rank=0, feasible=False) if row.result.trial.number == 2 else row for row in rows)
    scene = scene_of(view(rows=far_member, best=None))
    ends = scene.spots[0], next(spot for spot in scene.spots if spot.row.result.trial.number == 2)
    joined = replace(scene, ties=((scene.spots.index(ends[0]), scene.spots.index(ends[1])),))
    drawn = figure(joined)
    framed, everything = (button["args"][0]["visible"] for button in drawn["layout"]["updatemenus"][0]["buttons"])
    lines = [(trace["mode"] == "lines", trace) for trace in drawn["data"]]
    near, far = (
        [t for (is_line, t), seen in zip(lines, shown, strict=True) if is_line and seen]
        for shown in (framed, everything)
    )
    at = (ends[1].x.value, ends[1].y.value * 100)
    assert at in zip(far[0]["x"], far[0]["y"], strict=True), "the tie ends at the member"
    assert at not in zip(near[0]["x"], near[0]["y"], strict=True)
    assert any(at[0] in t["x"] and ends[1].y.high * 100 in t["y"] for t in far[1:]), "the far member has bars"
    named = [
        [t.get("name") for t, seen in zip(drawn["data"], shown, strict=True) if seen and t.get("showlegend")]
        for shown in (framed, everything)
    ]
    assert "beyond the frame" in named[0]
    assert set(named[1]) - set(named[0]) == {"not told apart", "uniform, breaks a limit"}


def test_a_limit_is_above_the_grid_and_no_tip_is_a_mark() -> None:
    drawn = figure(scene_of(view()))
    (rule,) = drawn["layout"]["shapes"]
    assert (rule["layer"], rule["y0"], rule["y1"]) == ("above", 1.0, 1.0)
    tips = [trace for trace in drawn["data"] if trace.get("name") == "beyond the frame" and trace.get("visible", True)]
    assert [trace["marker"]["symbol"] for trace in tips] == [["triangle-down"]]
    assert tips[0]["marker"]["color"] == ["#ffffff"], "hollow"
    assert tips[0]["text"] == ["uniform ternary: drop 90.0 %"]
    ties = next(trace for trace in drawn["data"] if trace.get("name") == "not told apart")
    assert (ties["line"]["dash"], ties["showlegend"]) == ("dot", True)


def test_the_buttons_are_above_the_drawing_and_the_legend_below() -> None:
    layout = figure(scene_of(view()))["layout"]
    assert layout["updatemenus"][0]["y"] == 1
    assert layout["legend"]["y"] < 0


def test_the_figure_is_one_that_plotly_knows() -> None:
    graph_objects = pytest.importorskip("plotly.graph_objects")
    drawn = figure(scene_of(view(constraints=Constraints(drop=DropLimit(amount=0.01, relative=True), latency_ms=8))))
    assert len(graph_objects.Figure(drawn).data) == len(drawn["data"])


def test_names_cannot_leave_their_place_in_the_page() -> None:
    rows = tuple(replace(row, trial=f"{EVIL}/{row.result.trial.number}") for row in view().rows)
    evil = view(target=EVIL, metric=EVIL, job=EVIL, origin=records.origin(name=EVIL, cpu=EVIL), rows=rows)
    page = front_html(scene_of(evil), "/* the library */")
    seen = parsed(page)
    assert seen.tags.count("script") == 2
    assert seen.fetched == []
    assert "\x1b" not in page
    assert "alert(1)" in " ".join(seen.text)
    assert not re.search(r"<a\b", page.lower())


def test_pictures_show_something_and_equal_fronts_are_equal_files(tmp_path: Path) -> None:
    """One test for all kinds: matplotlib takes seconds to import, once per process."""
    from matplotlib.image import imread

    evil = view(target=EVIL, metric=EVIL, origin=records.origin(name="$broken_{math$", cpu=EVIL))
    for suffix, head in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        write_plot(view(), tmp_path / f"front{suffix}")
        assert (tmp_path / f"front{suffix}").read_bytes().startswith(head)
    write_plot(view(), tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_bytes() == (tmp_path / "front.svg").read_bytes()
    write_plot(evil, tmp_path / "evil.svg")
    pixels = imread(tmp_path / "front.png")
    assert pixels.shape == (1024, 1440, 4)
    assert len(np.unique((pixels[..., :3] @ [1, 256, 65536]).round())) > 50
    blank = (pixels[..., :3] == 1.0).all(-1).mean()
    assert 0.5 < blank < 0.99
    assert b"http://" not in re.sub(rb'(xmlns(:\w+)?|rdf:resource)="[^"]*"', b"", _svg_body(tmp_path / "front.svg"))
    write_plot(view(rows=view().rows[:1], best=None), tmp_path / "one.svg")


def _svg_body(file: Path) -> bytes:
    return file.read_bytes().partition(b"<svg")[2]


def test_nothing_to_draw_and_nowhere_to_write_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to draw"):
        write_plot(view(rows=(), best=None), tmp_path / "x.html")
    with pytest.raises(UsageError, match=r"cannot write .*gone"):
        write_plot(view(), tmp_path / "gone" / "x.html")
    assert list(tmp_path.iterdir()) == []
