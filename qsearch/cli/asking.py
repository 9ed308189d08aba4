"""stop, cancel: asked of a job's driver from any terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from qsearch.cli.confirming import command_line, must_be_sure
from qsearch.cli.options import (
    FormatOption,
    JobArgument,
    JsonOption,
    TimeoutOption,
    YesOption,
    chosen_form,
    chosen_timeout,
)
from qsearch.cli.program import typed
from qsearch.cli.session import note, session_of

if TYPE_CHECKING:
    from qsearch.contracts.views import JobStatus

WaitOption = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the job has ended.")]


def stop(
    context: typer.Context,
    job: JobArgument,
    wait: WaitOption = False,
    timeout: TimeoutOption = None,
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a search early, with its answer.

    Running trials finish, the finals run, the job is DONE. Before the search has begun
    there is no answer yet: then it cancels."""
    from qsearch.contracts.job import Request

    chosen, limit = chosen_form(form, as_json), chosen_timeout(timeout)
    session = session_of(context)
    with session.desk() as desk:
        status = desk.ask(job, Request.STOP, wait=wait, timeout_s=limit)
    _answer(context, status, chosen)


def cancel(
    context: typer.Context,
    job: JobArgument,
    yes: YesOption = False,
    wait: WaitOption = False,
    timeout: TimeoutOption = None,
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Kill what a job runs; what was measured is kept."""
    from qsearch.contracts.errors import UsageError
    from qsearch.contracts.job import Request

    chosen, limit = chosen_form(form, as_json), chosen_timeout(timeout)
    session = session_of(context)
    with session.desk() as desk:
        found = desk.status(job)
        words = command_line(session, "cancel", found.job.id, *(["--wait"] if wait else []))
        if job == "@last":
            raise UsageError("cancel takes no @last: it may be another job than you think", words)
        if not found.job.state.ended:
            must_be_sure(f"Cancel job {_named(found)}?", f"{words} -y", yes=yes)
        status = desk.ask(found.job.id, Request.CANCEL, wait=wait, timeout_s=limit)
    _answer(context, status, chosen)


def _named(status: JobStatus) -> str:
    from qsearch.report.progress import states_text

    return f"{status.job.id} ({status.job.name}, {status.job.state.value}, trials: {states_text(status.progress)})"


def _answer(context: typer.Context, status: JobStatus, form: str) -> None:
    from qsearch.cli.output import answer
    from qsearch.report.jobs import status_answer

    answer(session_of(context), status_answer(status), form)  # type: ignore[arg-type]
    if not status.job.state.ended:
        note("Asked; its driver looks about each second.")
        note(typed(f"qsearch watch {status.job.id}"))
