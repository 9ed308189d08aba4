"""best, pareto, layers, trials, show: what a job found."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qsearch.cli.options import (
    ConfidentOption,
    FormatOption,
    JobArgument,
    JsonOption,
    TargetOption,
    TrialArgument,
    chosen_form,
)
from qsearch.cli.session import session_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qsearch.contracts.trial import TrialState
    from qsearch.contracts.views import FrontView


def best(  # noqa: PLR0913, PLR0917 a command's parameters are its options
    context: typer.Context,
    job: JobArgument,
    max_drop: Annotated[
        str | None, typer.Option("--max-drop", metavar="DROP", help="1% relative to fp32, or 0.5pt of the metric.")
    ] = None,
    max_latency: Annotated[
        str | None, typer.Option("--max-latency", metavar="TIME", help="Median: 5ms, 800us.")
    ] = None,
    max_size: Annotated[str | None, typer.Option("--max-size", metavar="SIZE", help="Of the file: 20MiB.")] = None,
    rule: Annotated[
        str, typer.Option("--rule", metavar="RULE", help="fastest-feasible or knee; default: the job's.")
    ] = "",
    target: TargetOption = "",
    confident: ConfidentOption = False,
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give the one answer, with its reason.

    Exits with 6 when nothing meets the limits; the closest is printed then."""
    chosen = chosen_form(form, as_json)
    from qsearch.contracts.errors import UsageError
    from qsearch.contracts.views import BestQuery

    if rule not in ("", "fastest-feasible", "knee"):
        raise UsageError(f"no such rule: {rule}", "Known are fastest-feasible and knee.")
    asked = BestQuery(
        max_drop=max_drop, max_latency=max_latency, max_size=max_size, rule=rule, target=target, confident=confident
    )
    session = session_of(context)
    with session.desk() as desk:
        found = desk.best(job, asked)
    from qsearch.cli.exit_codes import code_of_best
    from qsearch.cli.output import answer
    from qsearch.report.bests import best_answer

    answer(session, best_answer(found), chosen)
    if code_of_best(found):
        raise typer.Exit(code_of_best(found))


def pareto(  # noqa: PLR0913, PLR0917 a command's parameters are its options
    context: typer.Context,
    job: Annotated[list[str], typer.Argument(metavar="JOB", help="One or several jobs.")],
    target: TargetOption = "",
    plot: Annotated[
        str,
        typer.Option("--plot", metavar="FILE", help="Draw instead: .html, .png, .svg, .pdf; - draws in the terminal."),
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Let --plot overwrite a file.")] = False,
    confident: ConfidentOption = False,
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the front: accuracy against speed, with ties and baselines.

    With --plot FILE prints the path of the drawing."""
    chosen = chosen_form(form, as_json)
    _check_plot(plot, chosen, len(job), force=force)
    session = session_of(context)
    with session.desk() as desk:
        views = [desk.front(each, target, confident=confident) for each in job]
    if plot:
        _draw(views, plot)
        return
    from qsearch.cli.output import answer
    from qsearch.report.trials import fronts_answer

    answer(session, fronts_answer(views), chosen)


def layers(
    context: typer.Context,
    job: JobArgument,
    target: TargetOption = "",
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show each layer's sensitivity, its choices, and what really ran."""
    chosen = chosen_form(form, as_json)
    session = session_of(context)
    with session.desk() as desk:
        found = desk.layers(job, target)
    from qsearch.cli.output import answer
    from qsearch.report.layers import layers_answer

    answer(session, layers_answer(found), chosen)


def trials(
    context: typer.Context,
    job: JobArgument,
    state: Annotated[
        list[str] | None, typer.Option("--state", metavar="STATE", help="Only this state: FAILED, …; may be repeated.")
    ] = None,
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """List every trial of a job, the failed ones with their cause."""
    chosen = chosen_form(form, as_json)
    states = [_state(word) for word in state or ()]
    session = session_of(context)
    with session.desk() as desk:
        found = desk.trials(job, states=states)
    from qsearch.cli.output import answer
    from qsearch.report.trials import trials_answer

    answer(session, trials_answer(job, found), chosen)


def show(context: typer.Context, trial: TrialArgument, form: FormatOption = None, as_json: JsonOption = False) -> None:
    """Show one trial: layers, latency, accuracy, circumstances."""
    chosen = chosen_form(form, as_json)
    session = session_of(context)
    with session.desk() as desk:
        found = desk.show(trial)
    from qsearch.cli.output import answer
    from qsearch.report.trial import trial_answer

    answer(session, trial_answer(found), chosen)


def _check_plot(plot: str, form: str, jobs: int, *, force: bool) -> None:
    from qsearch.contracts.errors import UsageError

    if force and plot in ("", "-"):
        raise UsageError("--force is for the file of --plot, and none is named", "Example: --plot front.html --force")
    if plot and form != "table":
        raise UsageError(f"--plot {plot} and -f {form} contradict each other", "Give one of them.")
    if plot in ("", "-"):
        return
    if jobs > 1:
        raise UsageError(f"--plot {plot} draws one front, and {jobs} jobs are named", "Draw them one by one.")
    from qsearch.report.plot_files import check_plot

    check_plot(Path(plot), force=force)


def _draw(views: Sequence[FrontView], plot: str) -> None:
    from qsearch.cli.output import print_lines, terminal_size

    if plot != "-":
        from qsearch.report.plot_files import write_plot

        write_plot(views[0], Path(plot))
        print_lines([plot])
        return
    from qsearch.report.front_plot import front_plot

    columns, lines = terminal_size(sys.stdout)
    for view in views:
        print_lines(front_plot(view, width=min(columns, 120), height=max(14, min(lines - 8, 30))))


def _state(word: str) -> TrialState:
    from qsearch.contracts.errors import UsageError
    from qsearch.contracts.trial import TrialState

    try:
        return TrialState(word.upper())
    except ValueError as error:
        known = ", ".join(state.value for state in TrialState)
        raise UsageError(f"a trial is never {word}", f"Its states are {known}.") from error
