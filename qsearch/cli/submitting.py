"""submit, watch: a job that is driven somewhere else; and the hidden command that drives it there."""

from __future__ import annotations

import os
import time as clocks
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qsearch.cli.concluding import conclude
from qsearch.cli.options import (
    ChoicesOption,
    FastOption,
    FormatOption,
    JobArgument,
    JsonOption,
    RacingOption,
    SamplerOption,
    SpecArgument,
    TargetsOption,
    TimeOption,
    TimeoutOption,
    TrialsOption,
    chosen_choices,
    chosen_form,
    chosen_timeout,
)
from qsearch.cli.program import typed
from qsearch.cli.session import note, session_of

if TYPE_CHECKING:
    from qsearch.contracts.views import HeadView, Submission

#: seconds a submit without --wait gives the driver to take the job, or to say why not
PATIENCE_S = 45.0


def submit(  # noqa: PLR0913, PLR0917 a command's parameters are its options
    context: typer.Context,
    spec: SpecArgument,
    fast: FastOption = False,
    trials: TrialsOption = None,
    time: TimeOption = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Same seed, same proposals.")] = None,
    sampler: SamplerOption = None,
    racing: RacingOption = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Name of the job.")] = None,
    target: TargetsOption = None,
    choice: ChoicesOption = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the job to its end.")] = False,
    timeout: TimeoutOption = None,
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Search on a Ray cluster; without an address on a local one.

    The job goes on when this command, or the terminal, ends."""
    from qsearch.cli.output import answer
    from qsearch.cli.watching import watching
    from qsearch.contracts.views import Overrides
    from qsearch.report.submissions import submission_answer

    chosen, limit = chosen_form(form, as_json), chosen_timeout(timeout)
    until = clocks.monotonic() + (float("inf") if limit is None else limit)
    overrides = Overrides(
        name=name,
        trials=trials,
        time=time,
        seed=seed,
        sampler=sampler,
        racing=racing,
        quick=fast,
        pool="ray",
        targets=tuple(target or ()),
        choices=chosen_choices(choice),
    )
    patience_s = (float("inf") if wait else PATIENCE_S) if limit is None else limit
    session = session_of(context)
    with session.desk() as desk, watching(session) as watch:
        submission = desk.submit(Path(spec), overrides, watch, patience_s=patience_s)
    _tell(submission)
    if wait:
        left = None if limit is None else max(0.0, until - clocks.monotonic())
        conclude(context, chosen, lambda desk, watch: desk.watch(submission.job.id, watch, timeout_s=left))
        return
    answer(session, submission_answer(submission), chosen)
    _next_commands(submission)


def watch(
    context: typer.Context,
    job: JobArgument,
    timeout: TimeoutOption = None,
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Follow a job to its end, whoever drives it. Ctrl-C ends the watching, not the job."""
    limit = chosen_timeout(timeout)
    conclude(context, chosen_form(form, as_json), lambda desk, watch: desk.watch(job, watch, timeout_s=limit))


def drive(context: typer.Context, job: JobArgument) -> None:
    """Drive a submitted job; what submit starts inside Ray."""
    folder = Path.cwd()
    # Ray starts us among files that somebody sent. Settings are those of this host: of its environment
    # and its user, never of a qsearch.toml or a database that came along.
    os.chdir("/")
    conclude(context, "json", lambda desk, watch: desk.drive(job, folder, watch))


def head_note(head: HeadView) -> str:
    """That a head lives, and how it ends."""
    from qsearch.report.numbers import duration

    return (
        f"A local Ray head serves this database (process {head.pid}, {head.dashboard}). It ends by itself"
        f" {duration(head.idle_s)} after its last job, or with: {typed('qsearch head stop')}"
    )


def _tell(submission: Submission) -> None:
    for said in submission.notes:
        note(said)
    if submission.head is not None and submission.fresh:
        note(head_note(submission.head))


def _next_commands(submission: Submission) -> None:
    job = submission.job.id
    if not submission.driven:
        note("Its driver has not taken it yet: it is still starting, or waits for its turn behind another job.")
    note("Next:")
    for command in (f"qsearch watch {job}", f"qsearch status {job}", f"qsearch cancel {job}"):
        note(typed(f"  {command}"))
    if submission.head is not None and not submission.fresh:
        note(head_note(submission.head))
