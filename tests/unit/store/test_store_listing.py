from __future__ import annotations

import time

import ledger_samples as samples
import pytest

from qsearch.contracts.codec import canonical
from qsearch.contracts.measurement import Measurement
from qsearch.store import ids, packing
from qsearch.store.query import read_only_query
from qsearch.store.sql_ledger import SqlLedger
from qsearch.store.sql_results import _LIGHT


class TestListing:
    def test_the_history_loads_no_raw_samples(self, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch) -> None:
        job = ledger.create_job(samples.spec(), "", "ada").id
        lease = ledger.lease(job, "d", 60)
        ledger.add_trials(lease, samples.proposals(1))
        ledger.finish(job, 0, ledger.start(lease, 0), samples.measurement())

        def no(*_args: object, **_named: object) -> None:
            raise AssertionError("unpacked")

        monkeypatch.setattr("qsearch.store.sql_results.unpack", no)
        assert "record" not in {column.name for column in _LIGHT}
        assert len(ledger.history(job)) == 1

    def test_five_hundred_trials_of_sixty_layers_are_listed_quickly(self, url: str, ledger: SqlLedger) -> None:
        job = ledger.create_job(samples.spec(), "", "ada").id
        lease = ledger.lease(job, "d", 600)
        ledger.add_trials(lease, samples.proposals(500, layers=60))
        seen = samples.measurement(samples=400, n=1500)
        for number in range(500):
            ledger.finish(job, number, ledger.start(lease, number), seen)
        began = time.perf_counter()
        history = ledger.history(job)
        trials = ledger.trials(job)
        took = time.perf_counter() - began
        assert (len(history), len(trials), len(trials[0].candidate.choices)) == (500, 500, 60)
        assert history[499].accuracy == seen.accuracy
        # Generous: it takes a fraction of a second alone, and tests share their machine.
        assert took < 5
        found = read_only_query(url, "SELECT count(*) FROM v_trial_layers", limit=1, timeout_s=10)
        assert found.rows == ((30_000,),)


class TestPacking:
    def test_a_measurement_comes_back_equal_and_small(self) -> None:
        seen = samples.measurement(samples=5000)
        packed = packing.pack(Measurement, seen)
        assert packing.unpack(Measurement, packed.content, digest=packed.digest) == seen
        assert len(packed.content) < len(canonical(seen)) / 2

    def test_floats_come_back_bit_by_bit(self) -> None:
        values = (0.1, -0.0, 5e-324, 1.7976931348623157e308, 1 / 3)
        assert [value.hex() for value in packing.unpack_floats(packing.pack_floats(values))] == [
            value.hex() for value in values
        ]


class TestIds:
    def test_they_sort_by_time_and_never_repeat_the_last(self) -> None:
        first = ids.next_id(1_800_000_000_000)
        assert len(first) == ids.LENGTH
        assert ids.time_of(first) == 1_800_000_000_000
        assert set(first) <= set(ids.ALPHABET)
        last = first
        for now_ms in (1_800_000_000_000, 1_800_000_000_000, 1_700_000_000_000, 1_800_000_000_500):
            last, previous = ids.next_id(now_ms, last), last
            assert last > previous
