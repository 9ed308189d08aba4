"""Random histories of one job, against a model of dicts, on every ledger."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import ledger_samples as samples
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from ledger_samples import LEDGERS, Clock

from qsearch.contracts.causes import RETRIES, Cause
from qsearch.contracts.codec import digest_of
from qsearch.contracts.errors import Fenced, UsageError
from qsearch.contracts.job import Lease
from qsearch.contracts.measurement import Measurement
from qsearch.contracts.trial import TrialState

TTL_S = 60
#: how many histories a test run can afford; a step on PostgreSQL takes ten times one in memory
EXAMPLES = {"memory": 30, "sqlite": 20, "postgres": 5}
RATIOS = (0.4, 0.5, 0.6)
MEASURED = {ratio: samples.measurement(ratio, samples=2, n=2) for ratio in RATIOS}
DIGESTS = {ratio: digest_of(MEASURED[ratio]) for ratio in RATIOS}


def measured(ratio: float) -> Measurement:
    return MEASURED[ratio]


class LedgerMachine(RuleBasedStateMachine):
    """One job, up to three drivers, every lease and token they ever held."""

    make: Any = None

    @initialize(count=st.integers(1, 3))
    def begin(self, count: int) -> None:
        self.folder = tempfile.mkdtemp()
        self.clock = Clock()
        self.ledger = type(self).make(Path(self.folder), self.clock)
        self.job = self.ledger.create_job(samples.spec(), "", "ada").id
        self.leases: list[Lease] = []
        self.epoch = 0
        self.holder, self.until = "", 0.0
        self.trials: list[dict[str, Any]] = []
        self.fenced = 0
        self._taken(self.ledger.lease(self.job, "a", TTL_S))
        self._add(count)

    def teardown(self) -> None:
        self.ledger.close()
        shutil.rmtree(self.folder)

    @rule(holder=st.sampled_from(["a", "b", "c"]))
    def lease(self, holder: str) -> None:
        if self.holder not in ("", holder) and self.clock.seconds < self.until:
            with pytest.raises(Fenced):
                self.ledger.lease(self.job, holder, TTL_S)
            return
        self._taken(self.ledger.lease(self.job, holder, TTL_S))

    @precondition(lambda self: self.leases)
    @rule()
    def steal_after_expiry(self) -> None:
        self.clock.seconds += TTL_S + 5
        self._taken(self.ledger.lease(self.job, f"thief-{self.epoch}", TTL_S))

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        self.ledger.release(lease)
        if lease.epoch == self.epoch:
            self.holder, self.until = "", 0.0

    @precondition(lambda self: self.leases and len(self.trials) < 6)
    @rule(data=st.data(), count=st.integers(1, 2))
    def submit(self, data: st.DataObject, count: int) -> None:
        lease = self._some_lease(data)
        if lease.epoch == self.epoch:
            self._add(count)
        else:
            self._refused(lambda: self.ledger.add_trials(lease, samples.proposals(count)))

    @precondition(lambda self: self.leases and self.trials)
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        number, trial = self._some_trial(data)
        lease = self._some_lease(data)
        if lease.epoch == self.epoch and trial["state"] != "QUEUED":
            with pytest.raises(UsageError):
                self.ledger.start(lease, number)
        elif lease.epoch == self.epoch:
            self._start(number)
        else:
            self._refused(lambda: self.ledger.start(lease, number))

    @precondition(lambda self: any(trial["state"] == "QUEUED" for trial in self.trials))
    @rule()
    def start_the_next(self) -> None:
        self._start([trial["state"] for trial in self.trials].index("QUEUED"))

    @precondition(lambda self: any(trial["state"] == "RUNNING" for trial in self.trials))
    @rule(data=st.data(), ratio=st.sampled_from(RATIOS), age=st.sampled_from([-1, 1, 2]))
    def finish_stale(self, data: st.DataObject, ratio: float, age: int) -> None:
        """A running trial, under a token that is not its current one."""
        running = [number for number, trial in enumerate(self.trials) if trial["state"] == "RUNNING"]
        number = data.draw(st.sampled_from(running))
        token = self.trials[number]["token"] - age
        self._refused(lambda: self.ledger.finish(self.job, number, token, measured(ratio)))

    @precondition(lambda self: any(trial["token"] for trial in self.trials))
    @rule(data=st.data(), ratio=st.sampled_from(RATIOS), age=st.sampled_from([0, 0, 0, 1, 2, -1]))
    def finish(self, data: st.DataObject, ratio: float, age: int) -> None:
        """With the current token, an older one, or one that was never given."""
        number, trial = self._some_trial(data)
        token = trial["token"] - age
        call = lambda: self.ledger.finish(self.job, number, token, measured(ratio))  # noqa: E731
        if trial["state"] == "RUNNING" and age == 0:
            assert call() is True
            trial.update(state="DONE", accepted=(token, ratio))
        elif trial["accepted"] == (token, ratio):
            assert call() is False
        else:
            self._refused(call)

    @precondition(lambda self: self.leases and any(trial["token"] for trial in self.trials))
    @rule(data=st.data(), cause=st.sampled_from(list(Cause)), age=st.sampled_from([0, 0, 1]))
    def fail(self, data: st.DataObject, cause: Cause, age: int) -> None:
        number, trial = self._some_trial(data)
        lease = self._some_lease(data)
        call = lambda: self.ledger.fail(lease, number, trial["token"] - age, cause, "m", "t")  # noqa: E731
        if lease.epoch != self.epoch or trial["state"] != "RUNNING" or age:
            self._refused(call)
            return
        call()
        trial["failures"][cause] = trial["failures"].get(cause, 0) + 1
        trial["state"] = "QUEUED" if trial["failures"][cause] <= RETRIES[cause] else "FAILED"

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def requeue(self, data: st.DataObject) -> None:
        lost = [t for t in self.trials if t["state"] == "RUNNING" and t["epoch"] < self.epoch]
        if self._current(data, self.ledger.requeue):
            for trial in lost:
                trial["state"] = "QUEUED"

    @precondition(lambda self: self.leases and len(self.trials) > 4)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self._current(data, self.ledger.cancel_trials):
            for trial in self.trials:
                if trial["state"] in ("QUEUED", "RUNNING"):
                    trial["state"] = "CANCELLED"

    @invariant()
    def the_rows_are_the_models(self) -> None:
        found = [
            {"state": t.state.value, "token": t.token, "failures": dict(t.failures)}
            for t in self.ledger.trials(self.job)
        ]
        assert found == [{name: t[name] for name in ("state", "token", "failures")} for t in self.trials]
        assert self.ledger.job(self.job, "").epoch == self.epoch

    @invariant()
    def one_accept_per_done_trial_and_none_with_a_stale_token(self) -> None:
        events = self.ledger.events(self.job)
        accepted = [e.data for e in events if e.kind == "accepted"]
        expected = [
            {"trial": number, "token": t["accepted"][0], "digest": DIGESTS[t["accepted"][1]]}
            for number, t in enumerate(self.trials)
            if t["accepted"]
        ]
        assert sorted(accepted, key=lambda data: data["trial"]) == expected
        assert [e.seq for e in events] == list(range(1, len(events) + 1))
        assert sum(e.kind == "fenced" for e in events) == self.fenced
        given: dict[int, int] = {}
        for event in events:
            if event.kind == "started":
                given[event.data["trial"]] = event.data["token"]
            if event.kind == "accepted":
                assert event.data["token"] == given[event.data["trial"]]

    @invariant()
    def what_was_accepted_is_there_for_ever(self) -> None:
        history = {result.trial.number: result for result in self.ledger.history(self.job)}
        done = {number: t["accepted"] for number, t in enumerate(self.trials) if t["accepted"]}
        assert history.keys() == done.keys()
        for number, (_, ratio) in done.items():
            assert history[number].latency == measured(ratio).latency
            assert self.trials[number]["state"] == TrialState.DONE
            assert self.ledger.measurement(self.job, number) == measured(ratio)

    def _add(self, count: int) -> None:
        self.ledger.add_trials(self.leases[-1], samples.proposals(count))
        for _ in range(count):
            self.trials.append({"state": "QUEUED", "token": 0, "epoch": 0, "failures": {}, "accepted": None})

    def _start(self, number: int) -> None:
        trial = self.trials[number]
        trial.update(state="RUNNING", token=trial["token"] + 1, epoch=self.epoch)
        assert self.ledger.start(self.leases[-1], number) == trial["token"]

    def _taken(self, lease: Lease) -> None:
        assert lease.epoch == self.epoch + 1
        self.epoch, self.holder, self.until = lease.epoch, lease.holder, self.clock.seconds + TTL_S
        self.leases.append(lease)

    def _some_lease(self, data: st.DataObject) -> Lease:
        return data.draw(st.sampled_from([self.leases[-1], *self.leases[-3:]]))

    def _some_trial(self, data: st.DataObject) -> tuple[int, dict[str, Any]]:
        number = data.draw(st.integers(0, len(self.trials) - 1))
        return number, self.trials[number]

    def _current(self, data: st.DataObject, write: Any) -> bool:
        lease = self._some_lease(data)
        if lease.epoch == self.epoch:
            write(lease)
            return True
        self._refused(lambda: write(lease))
        return False

    def _refused(self, write: Any) -> None:
        with pytest.raises(Fenced):
            write()
        self.fenced += 1


@pytest.mark.parametrize("name", LEDGERS)
def test_random_histories(name: str) -> None:
    machine = type(f"{name.title()}Machine", (LedgerMachine,), {"make": staticmethod(LEDGERS[name])})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES[name],
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            # Shrinking a history over a real file takes longer than a test may; it is printed as found.
            phases=(Phase.generate,),
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
