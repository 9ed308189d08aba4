"""What A/A sittings have shown of machines, on every ledger."""

from __future__ import annotations

from dataclasses import replace

import ledger_samples as samples
import pytest
from ledger_samples import Clock

from qsearch.contracts.errors import DataError
from qsearch.contracts.ledger import Ledger

KEY = samples.machine().key


def test_it_comes_back_as_it_was_with_its_time(ledger: Ledger) -> None:
    ledger.save_noise(samples.noise())
    (found,) = ledger.noise(KEY)
    assert found.taken is not None
    assert replace(found, taken=None) == samples.noise()


def test_the_newest_come_first_and_each_source_is_one_series(ledger: Ledger, clock: Clock) -> None:
    for source in ("self-test", "J/0", "J/final:laptop"):
        ledger.save_noise(samples.noise(source))
        clock.seconds += 60
    assert [floor.source for floor in ledger.noise(KEY)] == ["J/final:laptop", "J/0", "self-test"]
    ledger.save_noise(samples.noise("self-test", sd=0.009))
    again = ledger.noise(KEY)
    assert [floor.source for floor in again] == ["self-test", "J/final:laptop", "J/0"]
    assert again[0].session_sd == 0.009
    assert again[0].taken > again[1].taken  # type: ignore[operator]


def test_machines_and_runtimes_are_kept_apart(ledger: Ledger) -> None:
    ledger.save_noise(samples.noise())
    ledger.save_noise(samples.noise(runtime_key="fedcba9876543210"))
    ledger.save_noise(replace(samples.noise(), machine_key="another"))
    assert [floor.runtime_key for floor in ledger.noise(KEY, "fedcba9876543210")] == ["fedcba9876543210"]
    assert {floor.runtime_key for floor in ledger.noise(KEY)} == {"fedcba9876543210", "0123456789abcdef"}
    assert len(ledger.noise("another")) == 1
    assert list(ledger.noise("unknown")) == list(ledger.noise(KEY, "unknown")) == []


def test_what_is_no_number_is_refused_and_nothing_is_kept(ledger: Ledger) -> None:
    with pytest.raises(DataError):
        ledger.save_noise(replace(samples.noise(), floor=float("nan")))
    assert list(ledger.noise(KEY)) == []
