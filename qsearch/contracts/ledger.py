"""The port to the only truth: what was asked, what was accepted, who may write."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from qsearch.contracts.causes import Cause
from qsearch.contracts.front import Best, FrontEntry
from qsearch.contracts.job import Job, JobEvent, JobSpec, JobState, Lease, Request
from qsearch.contracts.layer import Layer
from qsearch.contracts.machine import Machine
from qsearch.contracts.measurement import Measurement, Tier
from qsearch.contracts.noise import NoiseFloor, Repeat
from qsearch.contracts.trial import Proposal, Result, Trial, TrialState
from qsearch.contracts.work import FinalResult, Materialized, Prepared


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A file or folder in the artifact store, found again by what it was made from."""

    #: what it is: splits, prepared, export
    kind: str
    #: hash of everything it was made from; equal keys mean equal work
    key: str
    #: SHA-256 of the content (for a folder: of its sorted names and hashes)
    sha256: str
    size_bytes: int
    #: the record that came with it (Materialized, Prepared), as data
    facts: Mapping[str, object]


class Ledger(Protocol):
    """Jobs, trials and measurements, durable.

    Promises: a finished measurement is durable when `finish` returns and never changes; one trial
    accepts one measurement. `finish` is idempotent by (trial, token, digest of the measurement): the
    same again is a no-op that returns False. A write that names a lease whose epoch is not the job's
    current one raises `Fenced` and writes nothing; so does a trial token that is not current. Records
    handed out never change. Any number of readers; the writers of one job are serialised by its lease.
    Times are the database's clock. A locked or absent database is retried for a while, then
    `Unreachable`.
    """

    # jobs
    def create_job(self, spec: JobSpec, source: str, owner: str) -> Job: ...

    def job(self, reference: str, owner: str) -> Job:
        """By name (newest), id, unique id prefix, or `@last`. Raises NotFound, naming near misses."""
        ...

    def jobs(self, *, limit: int = 50, states: Sequence[JobState] = ()) -> Sequence[Job]:
        """Newest first; no states = all."""
        ...

    def lease(
        self,
        job: str,
        holder: str,
        ttl_s: float,
        *,
        dead: Callable[[str], bool] | None = None,
        epoch: int | None = None,
    ) -> Lease:
        """Take the job with the next epoch; what the earlier driver was asked is forgotten.

        Raises Fenced while another holder's lease is live.

        Args:
            dead: asked about the present holder; True = it is known to have died (a process of this
                host that is gone), so its lease counts as lapsed and nobody waits for the clock.
            epoch: take it as this epoch or not at all. Whoever was started to drive the job under one
                epoch, and comes late, finds it taken (or cancelled) meanwhile: Fenced.
        """
        ...

    def leased(self, job: str) -> Lease | None:
        """Who drives the job; None while nobody does: never taken, given back, or lapsed."""
        ...

    def request(self, job: str, request: Request) -> Job:
        """Ask the job's driver, whoever it is; it looks about each second. A cancel outlasts a stop.

        Raises UsageError when the job has ended.
        """
        ...

    def renew(self, lease: Lease, ttl_s: float, *, searched_s: float | None = None) -> Lease:
        """Keep it; `searched_s` updates the seconds spent searching. Raises Fenced when it was lost."""
        ...

    def release(self, lease: Lease) -> None:
        """Give it up; a no-op when it was already lost."""
        ...

    def move(self, lease: Lease, state: JobState, message: str = "") -> Job:
        """Enter a state, within JOB_MOVES; a forbidden move raises UsageError and changes nothing."""
        ...

    def note(self, lease: Lease, kind: str, data: Mapping[str, object]) -> None:
        """Append a job event."""
        ...

    def events(self, job: str) -> Sequence[JobEvent]: ...

    # preparation
    def save_prepared(self, lease: Lease, target: str, materialized: Materialized, prepared: Prepared) -> None:
        """Remember what the job's model and data are for a target; replaces an equal earlier one."""
        ...

    def prepared(self, job: str, target: str) -> tuple[Materialized, Prepared] | None: ...

    def layers(self, job: str) -> Sequence[Layer]:
        """Of the first prepared target; empty before."""
        ...

    def remember_machine(self, machine: Machine, labels: Mapping[str, str]) -> None: ...

    def machines(self) -> Sequence[Machine]: ...

    def save_noise(self, noise: NoiseFloor) -> None:
        """Keep what a series of A/A sittings showed; replaces an earlier one of the same keys and source.

        Under no lease, because it belongs to a machine and not to a job: a driver that was replaced has
        measured it all the same. `taken` becomes the moment of this call.
        """
        ...

    def noise(self, machine_key: str, runtime_key: str = "") -> Sequence[NoiseFloor]:
        """Of this class of machines, newest first; an empty runtime key = of every runtime."""
        ...

    def repeats(self, machine_key: str) -> Sequence[Repeat]:
        """Files that were measured in several sittings on this class of machines, under equal runtimes and shapes.

        Of all jobs; the newest measurements only. What was polluted, or is fp32 against itself, is left out.
        """
        ...

    def keep_artifact(self, artifact: Artifact) -> None: ...

    def artifact(self, kind: str, key: str) -> Artifact | None: ...

    # trials
    def add_trials(self, lease: Lease, proposals: Sequence[Proposal]) -> Sequence[Trial]:
        """Rows in state QUEUED, numbered on from the last."""
        ...

    def start(self, lease: Lease, number: int) -> int:
        """QUEUED → RUNNING; the token of this attempt."""
        ...

    def finish(self, job: str, number: int, token: int, measurement: Measurement) -> bool:
        """Accept the measurement: RUNNING → DONE in one transaction with its event.

        Returns:
            True when it was accepted now, False when this very one had been accepted before.

        Raises:
            Fenced: the token is not current, or another measurement was accepted.
        """
        ...

    def fail(self, lease: Lease, number: int, token: int, cause: Cause, message: str, tail: str) -> Trial:
        """Count the failure; back to QUEUED while RETRIES allows another attempt, else FAILED."""
        ...

    def requeue(self, lease: Lease) -> Sequence[Trial]:
        """On resume: RUNNING trials of earlier epochs go back to QUEUED; no failure is counted."""
        ...

    def cancel_trials(self, lease: Lease) -> int:
        """QUEUED and RUNNING trials become CANCELLED; how many."""
        ...

    def trial(self, job: str, number: int) -> Trial: ...

    def trials(self, job: str, states: Sequence[TrialState] = ()) -> Sequence[Trial]:
        """By number; no states = all."""
        ...

    def measurement(self, job: str, number: int, tier: Tier = Tier.SCREEN) -> Measurement | None:
        """The accepted one with its raw samples; QUICK and SCREEN are the trial's own, FINAL the finals'."""
        ...

    def history(self, job: str, target: str = "") -> Sequence[Result]:
        """Finished trials by number, without raw samples; an empty target = all."""
        ...

    def save_final(self, lease: Lease, target: str, final: FinalResult) -> None:
        """Attach the finals to their trials; saving the same again is a no-op."""
        ...

    def final(self, job: str, target: str) -> FinalResult | None: ...

    # answers
    def set_front(self, lease: Lease, target: str, entries: Sequence[FrontEntry]) -> None: ...

    def front(self, job: str, target: str) -> Sequence[FrontEntry]:
        """All finished trials as the front sees them, by rank, then speed."""
        ...

    def set_best(self, lease: Lease, best: Best) -> None: ...

    def best(self, job: str, target: str) -> Best | None: ...

    def close(self) -> None: ...
