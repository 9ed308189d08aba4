"""jobs, status: what there is and where it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from qsearch.cli.options import FormatOption, JobArgument, JsonOption, chosen_form
from qsearch.cli.session import session_of

if TYPE_CHECKING:
    from qsearch.contracts.job import JobState


def jobs(
    context: typer.Context,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, max=1_000_000, help="How many, newest first.")] = 20,
    state: Annotated[
        list[str] | None, typer.Option("--state", metavar="STATE", help="Only this state: DONE, …; may be repeated.")
    ] = None,
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """List jobs, newest first."""
    chosen = chosen_form(form, as_json)
    states = [_state(word) for word in state or ()]
    session = session_of(context)
    with session.desk() as desk:
        found = desk.jobs(limit=limit, states=states)
    from qsearch.cli.output import answer
    from qsearch.report.jobs import jobs_answer

    answer(session, jobs_answer(found), chosen)


def status(context: typer.Context, job: JobArgument, form: FormatOption = None, as_json: JsonOption = False) -> None:
    """Show a job: state, progress, answers so far."""
    chosen = chosen_form(form, as_json)
    session = session_of(context)
    with session.desk() as desk:
        found = desk.status(job)
    from qsearch.cli.output import answer
    from qsearch.report.jobs import status_answer

    answer(session, status_answer(found), chosen)


def _state(word: str) -> JobState:
    from qsearch.contracts.errors import UsageError
    from qsearch.contracts.job import JobState

    try:
        return JobState(word.upper())
    except ValueError as error:
        known = ", ".join(state.value for state in JobState)
        raise UsageError(f"a job is never {word}", f"Its states are {known}.") from error
