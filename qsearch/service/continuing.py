"""Whether what was just prepared is what the job's earlier trials were measured on."""

from __future__ import annotations

from qsearch.contracts.errors import Incomparable
from qsearch.contracts.job import Job
from qsearch.contracts.ledger import Ledger
from qsearch.contracts.machine import Scored
from qsearch.contracts.measurement import Measurement
from qsearch.contracts.trial import TrialState
from qsearch.service.preparing import Ready


def must_continue(ledger: Ledger, job: Job, ready: Ready) -> None:
    """Refuse to go on with a job whose model, data, machine class or runtime has changed.

    Trials before and after would stand on one front and be told apart by nothing.

    Raises:
        Incomparable: names what differs, with both values; nothing was measured or written.
    """
    then = ledger.prepared(job.id, ready.target.name)
    done = [t for t in ledger.trials(job.id, [TrialState.DONE]) if t.target == ready.target.name]
    if then is None or not done:
        return
    pairs = (
        ("the model", then[1].inspection.digest, ready.prepared.inspection.digest),
        ("the data", then[0].digest, ready.materialized.digest),
        ("the scoring", then[0].score, ready.materialized.score),
        ("the prepared tensors", then[1].digest, ready.prepared.digest),
    )
    for what, before, now in pairs:
        if before != now:
            raise Incomparable(
                f"job {job.id} cannot go on: {what} was {before[:16]} when it began and is {now[:16]} now",
                "Put back what it began with, or start a new job with qsearch run.",
            )
    then[1].circumstances.must_agree(ready.prepared.circumstances)


def must_share_numerics(ready: Ready, found: Measurement) -> None:
    """Refuse a trial's score when its machine computes otherwise than the one that scored fp32.

    A drop pairs the two sample by sample; with other arithmetic it would be a drop of the machine.

    Raises:
        Incomparable: names both classes; nothing was written.
    """
    data, fp32 = ready.materialized.digest, ready.prepared
    mine = Scored(metric=found.accuracy.metric, data=data, circumstances=found.circumstances)
    mine.must_agree(Scored(metric=fp32.reference.metric, data=data, circumstances=fp32.circumstances))
