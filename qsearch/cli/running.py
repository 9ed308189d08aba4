"""run, resume: drive a job here, to its end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qsearch.cli.options import FormatOption, JobArgument, JsonOption, SpecArgument, TargetsOption, chosen_form
from qsearch.cli.session import note, session_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from qsearch.cli.options import Form
    from qsearch.contracts.choices import Choice
    from qsearch.contracts.desk import Desk, Watcher
    from qsearch.contracts.views import JobStatus

_PoolOption = Annotated[str, typer.Option("--pool", metavar="POOL", help="local, ray, or replay:FILE.")]
_TrialsOption = Annotated[int | None, typer.Option("--trials", min=1, help="Budget: candidates to measure.")]
_TimeOption = Annotated[str | None, typer.Option("--time", metavar="TIME", help="Budget of searching: 90s, 10m, 2h.")]


def run(  # noqa: PLR0913, PLR0917 a command's parameters are its options
    context: typer.Context,
    spec: SpecArgument,
    fast: Annotated[bool, typer.Option("--fast", help="Quick tier: one session, numbers are indicative.")] = False,
    trials: _TrialsOption = None,
    time: _TimeOption = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Same seed, same proposals.")] = None,
    sampler: Annotated[str | None, typer.Option("--sampler", metavar="NAME", help="tpe, nsga2 or random.")] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Name of the job.")] = None,
    pool: _PoolOption = "local",
    record: Annotated[
        str, typer.Option("--record", metavar="FILE", help="Keep all work and outcomes, for --pool replay:FILE.")
    ] = "",
    target: TargetsOption = None,
    choice: Annotated[
        list[str] | None,
        typer.Option(
            "--choice", metavar="CHOICE", help="Instead of the spec's choices: int8-dynamic, …; may be repeated."
        ),
    ] = None,
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Search: prepare, measure trials, judge the finalists.

    Ctrl-C lets the running trials finish and judges what there is; a second one cancels."""
    from qsearch.contracts.views import Overrides

    overrides = Overrides(
        name=name,
        trials=trials,
        time=time,
        seed=seed,
        sampler=sampler,
        quick=fast,
        pool=pool,
        record=record,
        targets=tuple(target or ()),
        choices=tuple(_choice(each) for each in choice or ()),
    )
    _drive(context, chosen_form(form, as_json), lambda desk, watch: desk.run(Path(spec), overrides, watch))


def resume(
    context: typer.Context,
    job: JobArgument,
    pool: _PoolOption = "local",
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go on with an unfinished job from what the database holds."""
    from qsearch.contracts.views import Overrides

    overrides = Overrides(pool=pool)
    _drive(context, chosen_form(form, as_json), lambda desk, watch: desk.resume(job, overrides, watch))


def _drive(context: typer.Context, form: Form, work: Callable[[Desk, Watcher], JobStatus]) -> None:
    """Drive with progress on stderr, then the answer on stdout, then what to type next on stderr."""
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
        note(f"Next: qsearch trials {job}")
        return
    several = len(status.bests) > 1
    for best in status.bests:
        pick, front = f"{job}/best", f"qsearch pareto {job} --plot -"
        if several:
            pick, front = f"{pick}:{best.target}", f"{front} --target {best.target}"
        note("Next:")
        note(f"  qsearch export {pick} -o out --verify")
        note(f"  {front}")
        note(f"  qsearch show {best.trial}")
    note("  qsearch query")


def _choice(word: str) -> Choice:
    from difflib import get_close_matches

    from qsearch.contracts.choices import AVAILABLE, Choice
    from qsearch.contracts.errors import UsageError

    try:
        return Choice(word)
    except ValueError as error:
        known = [choice.value for choice in AVAILABLE]
        near = get_close_matches(word, known, 1)
        hint = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(known)}."
        raise UsageError(f"no such choice: {word}", hint) from error
