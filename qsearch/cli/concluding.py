"""How a command ends that saw a job to its end: the front, the answer, what to type next, the exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from qsearch.cli.program import typed
from qsearch.cli.session import note, session_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from qsearch.cli.options import Form
    from qsearch.contracts.desk import Desk, Watcher
    from qsearch.contracts.views import JobStatus


def conclude(context: typer.Context, form: Form, work: Callable[[Desk, Watcher], JobStatus]) -> None:
    """Work on a job with progress on stderr, then the answer on stdout, then what to type next on stderr."""
    from qsearch.cli.exit_codes import code_of_job
    from qsearch.cli.output import answer
    from qsearch.cli.watching import watching
    from qsearch.contracts.errors import Interrupted
    from qsearch.report.jobs import status_answer
    from qsearch.report.trials import fronts_answer

    session = session_of(context)
    with session.desk() as desk:
        stopped: Interrupted | None = None
        with watching(session) as watch:
            try:
                status = work(desk, watch)
            except Interrupted as interrupted:
                if not interrupted.answered:
                    raise
                # stopped gracefully: what there is, is answered before the exit code says so
                stopped, status = interrupted, desk.status(interrupted.answered)
        views = [desk.front(status.job.id, best.target) for best in status.bests] if form == "table" else []
    if views:
        answer(session, fronts_answer(views), form)
    answer(session, status_answer(status), form)
    _next_commands(status)
    if stopped is not None:
        raise stopped
    code = code_of_job(status)
    if code:
        raise typer.Exit(code)


def _next_commands(status: JobStatus) -> None:
    job = status.job.id
    if not status.bests:
        note(f"Next: {typed(f'qsearch trials {job}')}")
        return
    several = len(status.bests) > 1
    if status.unjudged:
        note(f"Nothing quantized could be judged on {', '.join(status.unjudged)}: run it again on a quieter machine.")
        note("Next:")
        note(typed("  qsearch doctor"))
        note(typed(f"  qsearch trials {job}"))
    for best in status.bests:
        if best.target in status.unjudged:
            continue
        pick, front = f"{job}/best", f"qsearch pareto {job} --plot -"
        if several:
            pick, front = f"{pick}:{best.target}", f"{front} --target {best.target}"
        note("Next:")
        note(typed(f"  qsearch export {pick} -o out --verify"))
        note(typed(f"  {front}"))
        note(typed(f"  qsearch show {best.trial}"))
    note(typed("  qsearch query"))
