"""What a drawn front shows: decided once, for the terminal, the picture and the page."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import report_records as records

from qsearch.contracts.choices import Choice
from qsearch.contracts.job import Constraints, DropLimit, JobState
from qsearch.contracts.measurement import Tier
from qsearch.contracts.verdict import Interval, Verdict
from qsearch.contracts.views import FrontRow, FrontView
from qsearch.report import front_words as words
from qsearch.report.front_labels import SIDES, Box, Room, placed_labels
from qsearch.report.front_scene import Role, Scene, Spot, Standing, scene_of
from qsearch.report.front_style import GREY, PAPER, drawn, key, key_name, look

ROOM = Room(letter=0.009, line=0.045, gap=0.015)


def view(**changes: Any) -> FrontView:
    asked = Constraints(drop=DropLimit(amount=0.01, relative=True))
    return records.front(**{"constraints": asked, "origin": records.origin(), **changes})


def spot(scene: Scene, number: int) -> Spot:
    return next(each for each in scene.spots if each.row.trial == f"j1/{number}")


def polluted(row: FrontRow, ratio: float = math.nan) -> FrontRow:
    seen = replace(row.result.latency, verdict=Verdict.POLLUTED, ratio=Interval(value=ratio, low=ratio, high=ratio))
    return replace(row, feasible=False, excess=1e6, result=replace(row.result, latency=seen, final_latency=None))


def test_every_trial_has_one_role_and_one_standing() -> None:
    scene = scene_of(view())
    roles = {each.row.result.trial.number: each.role for each in scene.spots}
    assert roles == {
        0: Role.FP32,
        1: Role.UNIFORM,
        2: Role.UNIFORM,
        3: Role.FRONT,
        4: Role.PICK,
        5: Role.TIE,
        6: Role.DOMINATED,
    }
    assert {n: spot(scene, n).standing for n in (2, 4)} == {2: Standing.INFEASIBLE, 4: Standing.FEASIBLE}


def test_ties_form_a_cluster_with_their_member() -> None:
    scene = scene_of(view())
    assert spot(scene, 5).cluster == spot(scene, 4).cluster != spot(scene, 3).cluster
    assert [(scene.spots[tie].row.trial, scene.spots[member].row.trial) for tie, member in scene.ties] == [
        ("j1/5", "j1/4")
    ]
    assert look(spot(scene, 5)).colour == look(spot(scene, 4)).colour != look(spot(scene, 3)).colour
    rows = tuple(replace(row, feasible=row.rank != 1) for row in records.front().rows)
    assert scene_of(view(rows=rows)).ties == (), "what breaks a limit is grey, and linked with nobody"


def test_intervals_are_drawn_for_the_front_the_pick_and_the_baselines() -> None:
    assert {each.row.result.trial.number for each in scene_of(view()).spots if each.bars} == {0, 1, 2, 3, 4}


def test_what_is_far_away_does_not_squeeze_the_front_and_is_drawn_just_inside_the_edge() -> None:
    scene = scene_of(view())
    far = spot(scene, 2)
    assert scene.beyond(far) == (-1, 1)
    assert scene.outside == 1
    assert scene.down.high < 0.02
    x, y = scene.position(far)
    assert scene.across.holds(x)
    assert scene.down.holds(y)
    assert scene.position(spot(scene, 4)) == (spot(scene, 4).x.value, spot(scene, 4).y.value)


def test_where_only_fp32_is_feasible_everything_is_framed() -> None:
    rows = tuple(
        replace(row, feasible=row.uniform == "fp32", pick=row.uniform == "fp32") for row in records.front().rows
    )
    scene = scene_of(view(rows=rows))
    assert scene.outside == 0
    assert scene.down.high > 0.9


def test_a_drop_limit_is_a_line_in_points_or_relative() -> None:
    (limit,) = scene_of(view()).limits
    assert (limit.axis, limit.value, limit.text, limit.seen) == ("y", 0.01, "drop ≤ 1%", True)
    points = Constraints(drop=DropLimit(amount=0.004, relative=False))
    (limit,) = scene_of(view(constraints=points)).limits
    assert limit.value == pytest.approx(0.005), "of a score of 0.8"
    assert limit.text == "drop ≤ 0.4pt = 0.50 %"


def test_a_latency_limit_is_a_line_at_its_speed_up() -> None:
    limits = scene_of(view(constraints=Constraints(latency_ms=8.0))).limits
    assert [(limit.axis, limit.value, limit.text) for limit in limits] == [("x", 1.25, "latency ≤ 8.00 ms")]


def test_a_limit_near_the_frame_widens_it_and_a_far_one_is_told_in_words() -> None:
    near = scene_of(view(constraints=Constraints(drop=DropLimit(amount=0.013, relative=True))))
    assert near.limits[0].seen
    assert near.down.holds(0.013)
    far = scene_of(view(constraints=Constraints(drop=DropLimit(amount=0.2, relative=True), size_bytes=2**20)))
    assert not far.limits[0].seen
    assert "Limits that are no line here: size ≤ 1.0 MiB, drop ≤ 20%." in words.caption(far)[0]


def test_a_polluted_trial_is_grey_and_one_without_a_number_is_named_instead_of_drawn() -> None:
    first, *others = records.front().rows
    rows = (first, *others, polluted(records.row(7, 1.3, 0.0, Choice.TERNARY), 0.8), polluted(others[-1]))
    scene = scene_of(view(rows=(*rows[:-2], rows[-2], rows[-1])))
    seen = spot(scene, 7)
    assert (seen.standing, seen.bars, key_name(seen)) == (Standing.POLLUTED, False, "polluted")
    assert look(seen).colour == GREY
    lost = [each for each in scene.spots if not each.placed]
    assert len(lost) == 1
    assert "Without a usable number, so not drawn: trial 6." in words.caption(scene)[0]


def test_shapes_alone_tell_roles_and_grey_tells_what_breaks_a_limit() -> None:
    scene = scene_of(view())
    shapes = {number: look(spot(scene, number)).shape for number in range(7)}
    assert shapes == {0: "diamond", 1: "triangle", 2: "triangle", 3: "circle", 4: "star", 5: "circle", 6: "circle"}
    assert look(spot(scene, 5)).size < look(spot(scene, 3)).size > look(spot(scene, 6)).size
    assert (look(spot(scene, 2)).colour, look(spot(scene, 2)).fill) == (GREY, PAPER)
    assert [name for name, _ in key(scene)] == [
        "pick",
        "front",
        "tied with it",
        "fp32",
        "uniform, dominated",
        "dominated",
        "beyond the frame",
    ]
    assert dict(key(scene))["tied with it"].colour == look(spot(scene, 5)).colour, "the key has the drawing's colours"
    assert (drawn(scene, spot(scene, 2)).shape, drawn(scene, spot(scene, 2)).fill) == ("down", PAPER)
    assert key_name(spot(scene, 2)) == "uniform, breaks a limit"


def test_words_tell_the_pick_its_held_out_drop_and_the_circumstances() -> None:
    scene = scene_of(view())
    assert words.title(scene) == "minilm on cpu-1thread"
    said = words.pick_sentence(scene)
    assert said == (
        "The pick is j1/4: speed-up 1.58× [1.56, 1.60], held-out drop 0.6 % [0.1, 1.1] n=1500, the limit NOT REFUTED."
    )
    assert words.versus_sentence(scene).startswith("It is faster than uniform int8-dynamic (trial 1)")
    caption = " ".join(words.caption(scene))
    told = (
        "95 %",
        "1 trial lies beyond the frame",
        "n=500",
        "tier screen",
        "Imagined CPU, 4 cores (class mk)",
        "onnxruntime 1.32.0",
        "1 thread, batch 1",
        "Job j1, 2026-01-02.",
    )
    assert [part for part in told if part not in caption] == []


def test_words_for_other_ends() -> None:
    assert words.pick_sentence(scene_of(view(best=None))) == "No pick yet."
    fp32 = records.best(uniform="uniform fp32", trial="j1/0", drop=None)
    assert words.pick_sentence(scene_of(view(best=fp32))) == "The pick is fp32 itself, j1/0."
    closest = records.best(feasible=False, drop=None)
    said = words.pick_sentence(scene_of(view(best=closest)))
    assert said.startswith("Nothing keeps the limits; the closest is j1/4")
    assert "0.4 % [−0.1, 0.9] n=500 on the search split" in said
    caption = " ".join(
        words.caption(scene_of(view(origin=records.origin(tier=Tier.QUICK), objectives=("size", "drop"))))
    )
    assert "tier quick, indicative only" in caption
    assert "The front is that of size and drop, not of these axes." in caption


def test_a_pick_of_fp32_has_the_reason_of_best_and_an_unfinished_job_says_so() -> None:
    why = "fp32 for want of anything to compare: 3 quantized trials were polluted, so nothing could be judged."
    fp32 = records.best(uniform="uniform fp32", trial="j1/0", drop=None, versus_uniform=None, reason=why)
    assert words.sentences(scene_of(view(best=fp32))) == ("The pick is fp32 itself, j1/0.", why)
    cancelled = words.sentences(scene_of(view(best=fp32, state=JobState.CANCELLED)))
    assert cancelled[0] == "The job was cancelled: this is what it had."
    searching = words.sentences(scene_of(view(best=None, state=JobState.SEARCHING)))
    assert searching == ("The job is not finished (SEARCHING): this is what there is so far.", "No pick yet.")
    assert words.reason_sentence(scene_of(view())) == "", "the numbers of a quantized pick are its reason"


def test_where_20_microseconds_decide_the_caption_says_so() -> None:
    fast = tuple(
        replace(row, result=replace(row.result, latency=replace(row.result.latency, reference_ms=0.006)))
        for row in records.front().rows
    )
    told = "fp32 takes 6.00 µs, and differences under 20 µs count as equal, in ties and verdicts."
    assert told in words.caption(scene_of(view(rows=fast)))[0]
    assert "20 µs" not in " ".join(words.caption(scene_of(view())))


def test_a_hover_says_everything_of_a_trial() -> None:
    scene = scene_of(view())
    lines = words.hover(spot(scene, 4), scene)
    assert lines[0] == "j1/4: the pick, on the front"
    assert "speed-up 1.58× [1.56, 1.60], FASTER, 6 sessions" in lines
    assert "drop, held out 0.6 % [0.1, 1.1] n=1500" in lines
    assert lines[-1] == "fp32 1, int8-dynamic 2"
    assert "infeasible" in words.hover(spot(scene, 2), scene)[0]


def test_labels_stay_in_the_frame_and_off_each_other() -> None:
    rows = [records.row(n, 1.5 + n / 500, n / 5000, Choice.TERNARY, rank=0) for n in range(5)]
    scene = scene_of(view(rows=tuple(rows), best=None))
    placed = placed_labels(scene, ROOM)
    assert len(placed) == 5
    assert {side for _, side in placed} <= set(SIDES)
    assert len({side for _, side in placed}) > 1, "crowded labels go to different sides"
    assert placed == placed_labels(scene, ROOM)


def test_boxes_cover_each_other_by_area_and_lines_by_touch() -> None:
    whole, half, line = Box(0, 0, 1, 1), Box(0.5, 0, 1.5, 1), Box(0.2, 0.5, 0.8, 0.5)
    assert whole.covered(half) == 0.5
    assert whole.covered(Box(2, 2, 3, 3)) == 0.0
    assert line.covered(whole) == 1.0


def test_an_empty_front_is_a_scene_without_spots() -> None:
    scene = scene_of(view(rows=(), best=None))
    assert (scene.spots, scene.ties, scene.outside) == ((), (), 0)
    assert words.pick_sentence(scene) == "No pick yet."
