"""Submitted jobs and local Ray heads, as answers."""

from __future__ import annotations

from dataclasses import replace

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
    rows = [] if head is None else [_row(head)]
    return listing("heads", "head", rows, title="" if rows else "no local Ray head lives for this database")


def ended_answer(head: HeadView | None) -> Answer:
    """The local head that was ended, as it was; or that there was none."""
    said = heads_answer(head)
    if head is None:
        return said
    ran = f", and the drivers on it: {', '.join(head.drivers)}" if head.drivers else ""
    told = facts(f"the Ray head of process {head.pid} has ended{ran}", [("was on", head.address)])
    return replace(said, tables=(told,))


def _row(head: HeadView) -> Row:
    return {
        "pid": head.pid,
        "address": head.address,
        "dashboard": head.dashboard,
        "started": moment(head.started),
        "idle_s": head.idle_s,
        "drivers": ",".join(head.drivers) if head.answers else None,
        "answers": head.answers,
        "handing_in": head.handing_in,
    }
