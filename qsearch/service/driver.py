"""The shell around the loop: takes the lease, feeds events in, carries instructions out.

One driver per job. It owns the job's lease; whatever it writes names the lease's epoch, and a driver
that was paused or replaced is refused by the ledger (`Fenced`) and stops its workers.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from qsearch.contracts.causes import RETRIES, Cause
from qsearch.contracts.codec import digest_of
from qsearch.contracts.desk import Watcher
from qsearch.contracts.errors import Fenced, Interrupted, JobFailed, QSearchError, Unreachable
from qsearch.contracts.job import Job, JobState
from qsearch.contracts.measurement import Measurement
from qsearch.contracts.proposer import Proposer
from qsearch.contracts.target import Target
from qsearch.contracts.trial import Trial, TrialState
from qsearch.contracts.verdict import Verdict
from qsearch.contracts.work import Outcome, TrialOrder, Work, WorkKind
from qsearch.search.proposing import make_proposer
from qsearch.search.stopping import plateau
from qsearch.service import loop
from qsearch.service.answers import Answers
from qsearch.service.aside import off_measuring_cpus
from qsearch.service.continuing import must_continue, must_share_numerics
from qsearch.service.disturbances import who_disturbed
from qsearch.service.failing import and_resume, error_data
from qsearch.service.finals import run_finals
from qsearch.service.holder import is_dead, this_holder
from qsearch.service.noise import keep_noise, known_luck
from qsearch.service.placing import where_for
from qsearch.service.preparing import Preparer, Ready, Where, expect
from qsearch.service.racing import racing_of
from qsearch.service.signals import StopSignals
from qsearch.service.tracking import Tracker
from qsearch.service.workplace import Workplace
from qsearch.service.workshop import Workshop, error_of
from workers.slot_lock import LOCK_WAIT_S

#: seconds a lease lives without renewal, and how often it is renewed
LEASE_S = 60.0
RENEW_S = 10.0
#: how often the driver looks whether another process has asked it to stop
LOOK_S = 1.0


class Driver:
    """Drives one job from wherever it stands to its end."""

    def __init__(self, place: Workplace, watch: Watcher, clock: Callable[[], float] = time.monotonic) -> None:
        self._place = place
        self._ledger = place.ledger
        self._pool = place.pool
        self._watch = watch
        self._clock = clock

    def drive(self, job: Job, *, epoch: int | None = None) -> Job:
        """Prepare, search, finalize.

        Args:
            job: as it stands.
            epoch: drive it under this epoch or not at all; None takes the next one, whatever it is.

        Returns:
            The job in state DONE.

        Raises:
            Interrupted: the user stopped it (DONE, with what was measured) or cancelled it (CANCELLED);
                its signal is 0 when that was asked through the ledger.
            Fenced: another driver holds or took the job.
            Unreachable: the database, a disk or the cluster; the job is as far as it could be written.
            QSearchError: the job is FAILED, for this reason.
        """
        self._lease = self._ledger.lease(job.id, this_holder(), LEASE_S, dead=is_dead, epoch=epoch)
        self._tracker = Tracker(self._ledger, job, self._watch, self._clock)
        self._deaf = False
        with StopSignals(self._tracker.told_to_stop) as signals:
            self._signals = signals
            self._renewed = self._looked = self._clock()
            workshop = Workshop(self._pool, self._place.scratch, self._heartbeat)
            try:
                with off_measuring_cpus(self._pool.capacity(), job.spec.targets):
                    return self._drive(job, workshop)
            except Fenced:
                raise
            except Interrupted as interrupted:
                self._end(JobState.CANCELLED, interrupted.message)
                raise
            except Unreachable as error:
                told = Unreachable(error.message, and_resume(error.hint, job.id))
                self._end(JobState.FAILED, told.message, told)
                raise told from error
            except QSearchError as error:
                self._end(JobState.FAILED, error.message, error)
                raise
            except Exception as error:
                self._end(JobState.FAILED, f"a bug of QSearch: {type(error).__name__}: {error}", error)
                raise
            finally:
                self._release()

    def _drive(self, job: Job, workshop: Workshop) -> Job:
        self._enter(JobState.PREPARING, "reading the model")
        self._ledger.requeue(self._lease)
        preparer = Preparer(workshop, self._place.artifacts)
        inspection, _ = preparer.inspect(job.id, job.spec)
        self._ready: dict[str, Ready] = {}
        for target in job.spec.targets:
            where = self._place_for(target, workshop)
            self._tracker.doing(f"preparing for {target.name}: samples, ranges, weights")
            ready = preparer.make_ready(job, target, inspection, where)
            self._tell_damaged()
            must_continue(self._ledger, job, ready)
            self._ledger.save_prepared(self._lease, target.name, ready.materialized, ready.prepared)
            self._ready[target.name] = ready
        self._answers = Answers(self._ledger, job, {name: r.space for name, r in self._ready.items()})
        self._enter(JobState.SEARCHING, "searching")
        why = "the search had ended" if self._had_searched(job) else self._search(job)
        if self._signals.count and not self._ledger.trials(job.id, [TrialState.DONE]):
            raise self._cancelled()
        self._must_have_results(job)
        self._enter(JobState.FINALIZING, "measuring the finalists head to head")
        for ready in self._ready.values():
            run_finals(self._ledger, self._lease, workshop, self._answers, job, ready)
            self._answers.refresh(self._lease, ready.target.name)
        ended = self._enter(JobState.DONE, "done")
        if self._signals.count:
            done = len(self._ledger.trials(job.id, [TrialState.DONE]))
            raise Interrupted(
                f"stopped as asked after {done} of {job.spec.search.trials} trials ({why}); job {job.id} is DONE",
                f"qsearch pareto {job.id}",
                self._signals.last,
                answered=job.id,
            )
        return ended

    def _had_searched(self, job: Job) -> bool:
        """Whether it was killed in its finals; more trials would change what was being finalized.

        Of the log and not of the job's state: a second kill, while it was prepared anew, leaves PREPARING.
        """
        entered = [e.data.get("to") for e in self._ledger.events(job.id) if e.kind == "state"]
        before = [state for state in entered if state not in (JobState.PREPARING, JobState.SEARCHING)]
        return bool(before) and before[-1] == JobState.FINALIZING

    def _search(self, job: Job) -> str:
        """Run the loop to its end; the reason it ended."""
        trials = [t for t in self._ledger.trials(job.id) if t.state is not TrialState.CANCELLED]
        queued = tuple(t.number for t in trials if t.state is TrialState.QUEUED)
        slots = max(1, len(self._pool.capacity()))
        state = loop.LoopState(budget=job.spec.search.trials, slots=slots, asked=len(trials), queued=queued)
        proposers = {
            name: make_proposer(ready.space, job.spec.search, name, job.spec.objectives, job.spec.constraints)
            for name, ready in self._ready.items()
        }
        self._tokens: dict[int, int] = {}
        self._stalled = False
        self._tracker.search_begins()
        events: list[loop.Event] = self._told_to_stop(job) or [loop.Tick()]
        while True:
            state, instructions = loop.decide(state, events.pop(0))
            for instruction in instructions:
                if isinstance(instruction, loop.Finish):
                    return self._finish_search(job, instruction)
                events += self._carry_out(job, instruction, proposers)
            if not events:
                events += self._wait(job)

    def _carry_out(
        self, job: Job, instruction: loop.Instruction, proposers: Mapping[str, Proposer]
    ) -> Sequence[loop.Event]:
        if isinstance(instruction, loop.Ask):
            return [self._ask(job, instruction.count, proposers)]
        if isinstance(instruction, loop.Dispatch):
            self._dispatch(job, instruction.number)
        if isinstance(instruction, loop.Kill):
            for number in instruction.numbers:
                self._pool.cancel(_key(job, number))
        return []

    def _ask(self, job: Job, count: int, proposers: Mapping[str, Proposer]) -> loop.Asked:
        rows = [t for t in self._ledger.trials(job.id) if t.state is not TrialState.CANCELLED]
        numbers: list[int] = []
        # a target whose space is exhausted leaves its turns to the others: their spaces may be larger
        asking = list(proposers)
        while asking and len(numbers) < count:
            # targets take turns, the one with the fewest rows first, so that each front gets its share
            name = min(asking, key=lambda n: (sum(t.target == n for t in rows), n))
            mine = [t for t in rows if t.target == name]
            history = self._ledger.history(job.id, name)
            done = {r.trial.number for r in history}
            pending = [t for t in mine if t.number not in done]
            proposals = proposers[name].propose(1, history, pending, number=len(mine))
            added = self._ledger.add_trials(self._lease, proposals)
            if not added:
                asking.remove(name)
            rows += added
            numbers += [t.number for t in added]
        return loop.Asked(tuple(numbers), count)

    def _dispatch(self, job: Job, number: int) -> None:
        trial = self._ledger.trial(job.id, number)
        ready = self._ready[trial.target]
        token = self._ledger.start(self._lease, number)
        self._tokens[number] = token
        reference_s = ready.prepared.seconds.get("reference", 1.0)
        scoring_s = ready.prepared.seconds.get("score", 0.0)
        key = _key(job, number)
        work = Work(
            kind=WorkKind.TRIAL,
            key=key,
            token=token,
            order=replace(_order(job, trial, ready), luck=known_luck(self._ledger, ready.prepared.machine.key)),
            scratch=str(self._trial_folder(number, token)),
            # a slow kernel can be fifty times fp32's; beyond that the candidate has answered. What it may
            # wait for the machine's lock is no fault of its own.
            deadline_s=LOCK_WAIT_S + 180.0 + 50.0 * (reference_s + scoring_s),
            failures=sum(trial.failures.values()),
        )
        self._pool.submit(work, ready.target)
        self._tracker.doing(f"trial {number}: {trial.origin}")

    def _wait(self, job: Job) -> list[loop.Event]:
        """Events of the next second or so: outcomes, signals, the clock."""
        events: list[loop.Event] = []
        for outcome in self._pool.results(timeout_s=0.5):
            event = self._absorb(job, outcome)
            if event is not None:
                events.append(event)
        self._beat()
        self._tracker.tick()
        if self._signals.count > 1:
            return [loop.Cancel()]
        return events + self._told_to_stop(job) or [loop.Tick()]

    def _told_to_stop(self, job: Job) -> list[loop.Event]:
        if self._signals.count:
            return [loop.Stop("stopped by the user")]
        if job.spec.search.time_s is not None and self._tracker.searched_s() >= job.spec.search.time_s:
            return [loop.Stop("the time is up")]
        return []

    def _absorb(self, job: Job, outcome: Outcome) -> loop.Event | None:
        """Write what became of a trial, then tell the loop."""
        number = int(outcome.key.rpartition("/")[2])
        token = self._tokens.get(number)
        if token != outcome.token:
            return None
        shutil.rmtree(self._trial_folder(number, token), ignore_errors=True)
        found = None if outcome.result is None else expect(outcome.result, Measurement)
        if found is not None:
            must_share_numerics(self._ready[self._ledger.trial(job.id, number).target], found)
        if found is not None and not self._worth_another_try(job, number, found):
            if self._ledger.finish(job.id, number, token, found):
                self._after_finish(job, number)
                keep_noise(self._ledger, [found.sitting], f"{job.id}/{number}", f"fp32 of job {job.id}")
            self._tracker.changed()
            return loop.Ended(number)
        if outcome.cause is Cause.DISK_FULL:
            # no failure is counted: the next driver finds the trial RUNNING and puts it back into the queue
            raise error_of(outcome)
        cause = Cause.POLLUTED if found is not None else outcome.cause or Cause.INFRA
        message = outcome.message or "telemetry left too few undisturbed pairs"
        message += who_disturbed(found.sitting) if found is not None else ""
        trial = self._ledger.fail(self._lease, number, token, cause, message, outcome.tail)
        self._tracker.changed()
        return loop.Ended(number, again=trial.state is TrialState.QUEUED)

    def _worth_another_try(self, job: Job, number: int, found: Measurement) -> bool:
        """A polluted sitting is measured again while its cause allows; after that it is the answer."""
        if found.latency.verdict is not Verdict.POLLUTED:
            return False
        failures = self._ledger.trial(job.id, number).failures
        return failures.get(Cause.POLLUTED, 0) < RETRIES[Cause.POLLUTED]

    def _after_finish(self, job: Job, number: int) -> None:
        target = self._ledger.trial(job.id, number).target
        history = self._answers.refresh(self._lease, target)
        if not self._stalled and plateau(history, job.spec.objectives, constraints=job.spec.constraints):
            # NOTE: noted, not obeyed: a sampler without a model cannot say whether the next proposal
            # would still gain, and a stall of the measured front alone has stopped searches too early.
            self._stalled = True
            self._ledger.note(self._lease, "stalled", {"trials": len(history), "target": target})

    def _finish_search(self, job: Job, finish: loop.Finish) -> str:
        self._ledger.renew(self._lease, LEASE_S, searched_s=self._tracker.searched_s())
        if finish.cancelled:
            self._ledger.cancel_trials(self._lease)
            raise self._cancelled()
        if self._ledger.trials(job.id, [TrialState.QUEUED]):
            self._ledger.cancel_trials(self._lease)
        return finish.reason

    def _heartbeat(self) -> None:
        """While waiting for work the job cannot go on without: a second Ctrl-C ends it."""
        self._beat()
        self._tracker.tick()
        if self._signals.count > 1 or (self._signals.count == 1 and self._tracker.state is JobState.PREPARING):
            raise self._cancelled()

    def _cancelled(self) -> Interrupted:
        job = self._lease.job
        words = f"job {job} is cancelled; what was measured is kept"
        return Interrupted(words, f"qsearch resume {job}", self._signals.last)

    def _beat(self) -> None:
        """Keep the lease; see what other processes have asked."""
        if self._clock() - self._renewed >= RENEW_S:
            self._lease = self._ledger.renew(self._lease, LEASE_S, searched_s=self._tracker.searched_s())
            self._renewed = self._clock()
        if self._clock() - self._looked >= LOOK_S:
            self._looked = self._clock()
            self._signals.heed(self._ledger.job(self._lease.job, "").requested)

    def _place_for(self, target: Target, workshop: Workshop) -> Where:
        slots = self._pool.capacity()
        for slot in slots:
            if not slot.lacks(target):
                self._ledger.remember_machine(slot.machine, slot.labels)
        return where_for(workshop, slots, target)

    def _must_have_results(self, job: Job) -> None:
        for name in self._ready:
            if self._ledger.history(job.id, name):
                continue
            failed = [t for t in self._ledger.trials(job.id, [TrialState.FAILED]) if t.target == name]
            last = f"; the last: {failed[-1].cause}, {failed[-1].message}" if failed else ""
            raise JobFailed(
                f"no trial of target {name} gave a result ({len(failed)} failed){last}", f"qsearch trials {job.id}"
            )

    def _trial_folder(self, number: int, token: int) -> Path:
        return self._place.scratch / f"trial-{number}-{token}"

    def _enter(self, state: JobState, doing: str) -> Job:
        job = self._ledger.move(self._lease, state)
        self._tracker.entered(job, doing)
        return job

    def _end(self, state: JobState, message: str, error: Exception | None = None) -> None:
        """Leave the job in a state that tells why; a lost lease means somebody else says it.

        A database that does not answer leaves it as it is: a driver that is gone is seen to be gone.
        """
        try:
            current = self._ledger.job(self._lease.job, "")
            if not current.state.ended:
                if error is not None:
                    # whoever watches from another process ends as this one does
                    self._ledger.note(self._lease, "error", error_data(error))
                self._ledger.move(self._lease, state, message)
                self._tracker.entered(replace(current, state=state, message=message), message)
        except Unreachable:
            self._deaf = True

    def _release(self) -> None:
        # A database that did not answer a moment ago is not waited for once more. The lease lapses by
        # itself, on this host as soon as this process has ended.
        if not self._deaf:
            with suppress(Unreachable):
                self._ledger.release(self._lease)

    def _tell_damaged(self) -> None:
        """Files of the store that were not what they had been; they have been made again."""
        damaged = self._place.artifacts.damaged
        while damaged:
            self._ledger.note(self._lease, "damaged", {"message": damaged.pop(0).message})


def _key(job: Job, number: int) -> str:
    return f"{job.id}/{number}"


def _order(job: Job, trial: Trial, ready: Ready) -> TrialOrder:
    return TrialOrder(
        prepared=str(ready.folder),
        splits=str(ready.splits),
        materialized=ready.materialized,
        folder=job.spec.folder,
        candidate=trial.candidate,
        target=ready.target,
        tier=job.spec.precision,
        reference=ready.prepared.reference,
        seed=int(digest_of([job.spec.search.seed, trial.number])[:8], 16),
        fp32_s=ready.prepared.seconds.get("reference", 0.0),
        scoring_s=ready.prepared.seconds.get("score", 0.0),
        limits=job.spec.limits,
        racing=racing_of(job.spec),
    )
