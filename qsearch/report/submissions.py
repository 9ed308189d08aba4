"""Submitted jobs and local Ray heads, as answers."""

from __future__ import annotations

from qsearch.contracts.views import HeadView, Submission
from qsearch.report.answer import Answer, Row, facts, listing
from qsearch.report.numbers import moment


def submission_answer(submission: Submission) -> Answer:
    """A job that was handed to a cluster, and where its driver is."""
    job = submission.job
    row: Row = {
        "job": job.id,
        "name": job.name,
        "state": job.state.value,
        "submission": submission.submission,
        "address": submission.address,
        "driven": submission.driven,
        "local_head": submission.head is not None,
    }
    pairs = [
        ("state", job.state.value),
        ("Ray job", submission.submission),
        ("on", submission.address),
        ("driver", "has taken it" if submission.driven else "has not taken it yet"),
    ]
    document = {**row, "notes": list(submission.notes)}
    table = facts(f"job {job.name} ({job.id})", pairs, notes=submission.notes)
    return Answer(noun="submission", row_noun="submission", document=document, rows=(row,), tables=(table,))


def heads_answer(head: HeadView | None) -> Answer:
    """The local head, or none."""
    return listing("heads", "head", [] if head is None else [_row(head)])


def _row(head: HeadView) -> Row:
    return {
        "pid": head.pid,
        "address": head.address,
        "dashboard": head.dashboard,
        "started": moment(head.started),
        "idle_s": head.idle_s,
        "drivers": ",".join(head.drivers) if head.answers else None,
        "answers": head.answers,
    }
