"""What was measured more than once, on every ledger."""

from __future__ import annotations

from dataclasses import replace
from math import log
from typing import Any

import ledger_samples as samples
import pytest

from qsearch.contracts.job import Job, Lease
from qsearch.contracts.ledger import Ledger
from qsearch.contracts.measurement import Measurement
from qsearch.contracts.noise import Wander
from qsearch.contracts.verdict import Verdict

KEY = samples.circumstances().machine_key
WANDER = Wander(pair_sd=0.02, within_sd=0.01, between_sd=0.01, repeats=3)


def measured(ratio: float, sha256: str = "cd" * 32, **latency: Any) -> Measurement:
    found = samples.measurement(ratio)
    whole = replace(found.latency, **{"wander": WANDER, **latency})
    return replace(found, latency=whole, artifact_sha256=sha256)


def accept(ledger: Ledger, lease: Lease, *measurements: Measurement) -> None:
    trials = ledger.add_trials(lease, samples.proposals(len(measurements)))
    for trial, measurement in zip(trials, measurements, strict=True):
        assert ledger.finish(lease.job, trial.number, ledger.start(lease, trial.number), measurement)


def test_one_file_in_two_trials_and_a_final_is_one_series(ledger: Ledger, job: Job, lease: Lease) -> None:
    accept(ledger, lease, measured(0.5), measured(0.8, "ab" * 32), measured(0.52))
    assert [found.shifts for found in ledger.repeats(KEY)] == [(log(0.5), log(0.52))]
    last = samples.final([0])
    finalist = replace(
        last.finalists[0], artifact_sha256="cd" * 32, latency=replace(last.finalists[0].latency, wander=WANDER)
    )
    ledger.save_final(lease, "laptop", replace(last, finalists=(finalist,)))
    (found,) = ledger.repeats(KEY)
    assert found.shifts == pytest.approx((log(0.5), log(0.52), log(finalist.latency.ratio.value)))
    assert found.wanders == (WANDER,) * 3
    assert (found.machine_key, found.runtime_key) == (KEY, samples.circumstances().runtime_key)


def test_what_is_not_comparable_is_no_repeat(ledger: Ledger, job: Job, lease: Lease) -> None:
    other = measured(0.5)
    elsewhere = replace(other.circumstances, runtime_key="another")
    accept(
        ledger,
        lease,
        measured(0.5),
        measured(0.5, verdict=Verdict.POLLUTED),
        measured(0.5, wander=None),
        measured(0.5, shapes="512"),
        replace(other, circumstances=elsewhere),
    )
    assert list(ledger.repeats(KEY)) == []
    assert list(ledger.repeats("unknown")) == []
    accept(ledger, lease, replace(measured(0.6), circumstances=elsewhere))
    assert [found.runtime_key for found in ledger.repeats(KEY)] == ["another"]
