"""Whether a job's candidates are raced, and by what terms."""

from __future__ import annotations

from qsearch.contracts.codec import digest_of
from qsearch.contracts.job import JobSpec
from qsearch.contracts.racing import Racing
from qsearch.contracts.work import Materialized


def racing_of(spec: JobSpec) -> Racing | None:
    """The terms of every trial of a job; None where nothing can be too bad, or nobody wants it.

    The order of the samples follows from the job's seed alone, so that all candidates, and those of a resumed
    job, are seen on the same samples.
    """
    if not spec.search.racing or spec.constraints.drop is None:
        return None
    return Racing(limit=spec.constraints.drop, seed=int(digest_of([spec.search.seed, "race"])[:8], 16))


def racing_note(spec: JobSpec, materialized: Materialized) -> str:
    """Why a job that asks for it is not raced; empty when it is, or does not ask."""
    if racing_of(spec) is None or materialized.per_sample:
        return ""
    why = "its score over some of the samples is no estimate of that over all"
    if ":" in materialized.score:
        why = f"the task does not say that {materialized.score} scores each sample by itself (per_sample=True)"
    return f"every candidate is scored on all samples: {materialized.metric} is not raced, because {why}"
