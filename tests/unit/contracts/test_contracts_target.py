"""Targets: what makes two of them one, and which scenario holds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qsearch.contracts.scenario import Scenario, scenario_objection
from qsearch.contracts.target import Target

PLAIN = Target(name="a")


def test_digests_of_targets_without_the_newer_keys_stay_what_they_were() -> None:
    assert PLAIN.digest.startswith("3895249e2600d414c72b913a")
    assert PLAIN.digest == replace(PLAIN, name="b", scenario="single_stream").digest
    assert replace(PLAIN, batch=8).digest == replace(PLAIN, batch=8, scenario="offline").digest


def test_an_interpreter_options_of_the_provider_and_a_scenario_make_another_target() -> None:
    others = (
        replace(PLAIN, python="/other/bin/python"),
        replace(PLAIN, provider_options={"device_id": "1"}),
        replace(PLAIN, scenario="offline"),
        replace(PLAIN, batch=2),
    )
    assert len({PLAIN.digest, *(other.digest for other in others)}) == 5


@pytest.mark.parametrize(
    ("asked", "batch", "scenario"),
    [
        ("", 1, Scenario.SINGLE_STREAM),
        ("", 8, Scenario.OFFLINE),
        ("offline", 1, Scenario.OFFLINE),
        ("single_stream", 1, Scenario.SINGLE_STREAM),
    ],
)
def test_the_batch_says_the_scenario_where_nothing_else_does(asked: str, batch: int, scenario: Scenario) -> None:
    assert Target(name="t", batch=batch, scenario=asked).measured_as is scenario
    assert scenario_objection(asked, batch) == ""


@pytest.mark.parametrize(
    ("asked", "batch", "said"),
    [
        ("single_stream", 8, "one sample at a time, found batch 8; write offline, or batch: 1"),
        ("server", 1, "server is not available in this version; available: single_stream, offline"),
        ("multi_stream", 8, "multi_stream is not available in this version"),
        ("burst", 1, 'unknown scenario "burst"'),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name(asked: str, batch: int, said: str) -> None:
    assert said in scenario_objection(asked, batch)
