"""What `show` tells of a sitting's surroundings."""

from __future__ import annotations

from dataclasses import replace

import report_records as records

from qsearch.contracts.limits import Limits, Thresholds
from qsearch.contracts.measurement import Block, CanaryReading, Readiness, Sitting, Tier
from qsearch.contracts.verdict import Verdict
from qsearch.report.surroundings import canary_drift, disturbance_notes, surroundings_document, surroundings_facts

QUIET = Sitting(tier=Tier.SCREEN, reference="R", runs=(), blocks=(), seconds=1.0)


def test_nothing_seen_is_nothing_said() -> None:
    assert canary_drift(QUIET) is None
    assert {text for _, text in surroundings_facts(QUIET)} == {""}


def test_everything_seen_is_said() -> None:
    readings = [(0, 0, 100), (0, 2, 110), (1, 0, 300), (1, 2, 303)]
    sitting = Sitting(
        tier=Tier.SCREEN,
        reference="R",
        runs=(),
        blocks=tuple(
            Block(arm="R", session=0, round=n, order=n, samples_ns=(1,), rejected="steal 9.0 % > 3 %") for n in range(2)
        ),
        seconds=1.0,
        canary=tuple(CanaryReading(session=s, rounds=r, typical_ns=t) for s, r, t in readings),
        readiness=(Readiness(session=0, waited_s=0.1), Readiness(session=1, waited_s=2.0, unrest="steal 5.0 % > 1 %")),
        unavailable={"clock": "this kernel or container does not tell"},
        polluters={"make": 1240.0},
    )
    said = dict(surroundings_facts(sitting))
    assert said["rejected for"] == "steal 9.0 % > 3 % (2×)"
    assert said["canary"].startswith("changed by at most 10")
    assert said["not ready"].startswith("session 1 after 2")
    assert said["not ready"].endswith(": steal 5.0 % > 1 %")
    assert said["others ran"].startswith("make 1.2")
    assert said["unavailable"] == "clock: this kernel or container does not tell"
    document = surroundings_document(sitting)
    assert document["rejections"] == {"steal 9.0 % > 3 %": 2}
    assert document["polluters_ms"] == {"make": 1240.0}


def test_pollution_is_told_with_its_cause_and_what_to_do() -> None:
    clean, polluted = records.latency(1.5), records.latency(1.5, verdict=Verdict.POLLUTED, pairs=1)
    assert disturbance_notes(QUIET, [clean]) == ()
    lost = Block(arm="R", session=0, round=0, order=0, samples_ns=(1,), rejected="steal 9.0 % > 3 %")
    busy = replace(QUIET, blocks=(lost, lost), polluters={"make": 1240.0})
    (note,) = disturbance_notes(busy, [clean, polluted])
    assert note.startswith("POLLUTED: 1 usable pair left (rejected for steal 9.0 % > 3 % (2×); others ran: make 1.2 s)")
    assert note.endswith("stop other programs, wait for a calm moment, and repeat")
    (short,) = disturbance_notes(QUIET, [polluted])
    assert "none was rejected" in short
    assert "--tier final" in short


def test_thresholds_that_a_spec_changed_are_told_beside_every_sitting() -> None:
    never = replace(QUIET, limits=Limits(reject=Thresholds(steal=None)))
    (note,) = disturbance_notes(never, [records.latency(1.5)])
    assert "rejects above steal never" in note
    assert dict(surroundings_facts(never))["thresholds"] == "rejects above steal never"


def test_rejections_are_told_by_signal_and_not_by_each_value() -> None:
    reasons = [
        "steal 9.0 % > 3 %",
        "run-queue wait 50.5 % > 3 %",
        "run-queue wait 59.4 % > 3 %",
        "steal could not be read",
    ]
    blocks = tuple(
        Block(arm="R", session=0, round=0, order=n, samples_ns=(1,), rejected=r) for n, r in enumerate(reasons)
    )
    said = dict(surroundings_facts(replace(QUIET, blocks=blocks)))["rejected for"]
    assert said == "run-queue wait up to 59.4 % > 3 % (2×); steal 9.0 % > 3 % (1×); steal could not be read (1×)"
