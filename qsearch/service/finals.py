"""The finals of one target: the front head to head, and once on the held-out split."""

from __future__ import annotations

import shutil

from qsearch.contracts.codec import digest_of
from qsearch.contracts.job import Job, Lease
from qsearch.contracts.ledger import Ledger
from qsearch.contracts.work import FinalOrder, FinalResult, WorkKind
from qsearch.search.finalists import choose
from qsearch.service.answers import Answers
from qsearch.service.noise import keep_noise, known_luck
from qsearch.service.preparing import Ready, expect
from qsearch.service.workshop import Workshop
from workers.slot_lock import LOCK_WAIT_S


def run_finals(ledger: Ledger, lease: Lease, workshop: Workshop, answers: Answers, job: Job, ready: Ready) -> None:
    """Measure the finalists of a target, unless these very ones were measured already.

    NOTE: a front selected from noisy numbers is optimistic (winner's curse), so its members are
    measured again, all in one sitting with fp32, and scored on samples that no choice was made on.
    """
    name = ready.target.name
    history = answers.history(name)
    numbers = choose(history, job.spec.constraints, job.spec.objectives, ready.space, job.spec.search.finalists)
    done = ledger.final(job.id, name)
    if not numbers or (done is not None and {f.number for f in done.finalists} == set(numbers)):
        return
    candidates = {r.trial.number: r.trial.candidate for r in history}
    reference_s = ready.prepared.seconds.get("reference", 0.0)
    order = FinalOrder(
        prepared=str(ready.folder),
        splits=str(ready.splits),
        materialized=ready.materialized,
        folder=job.spec.folder,
        finalists={n: candidates[n] for n in numbers},
        target=ready.target,
        seed=int(digest_of([job.spec.search.seed, "final"])[:8], 16),
        fp32_s=reference_s,
        limits=job.spec.limits,
        luck=known_luck(ledger, ready.prepared.machine.key),
    )
    samples = ready.materialized.samples
    share = samples.get("heldout", 1) / max(1, samples.get("search", 1))
    deadline_s = LOCK_WAIT_S + 600.0 + 20.0 * (reference_s or 1.0) * share * (len(numbers) + 1)
    result, scratch = workshop.do(WorkKind.FINAL, f"{job.id}/final:{name}", order, ready.target, deadline_s)
    shutil.rmtree(scratch, ignore_errors=True)
    found = expect(result, FinalResult)
    ledger.save_final(lease, name, found)
    keep_noise(ledger, [found.sitting], f"{job.id}/final:{name}", f"fp32 of job {job.id}")
