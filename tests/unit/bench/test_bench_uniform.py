"""The goals of the uniform bench, on rows as `against_ort` writes them."""

from __future__ import annotations

from tests.bench.uniform import goal_of

ROWS = [
    {"what": "fp32", "score": 0.96},
    {"what": "j1/1, uniform int8-dynamic", "drop_points": 0.2},
    {"what": "j1/2, uniform int8-static", "drop_points": 0.021},
]


def test_points_of_the_static_candidate_are_judged() -> None:
    goal = goal_of("ocr", ROWS)
    assert goal.value is not None
    assert abs(goal.value - 2.1) < 1e-9
    assert goal.met


def test_what_was_not_measured_is_not_met() -> None:
    failed = {"what": "j1/2, uniform int8-static", "error": "it crashed"}
    assert not goal_of("magika", [failed]).met
    assert not goal_of("magika", ROWS[:2]).met
