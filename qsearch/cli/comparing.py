"""compare: two trials side by side, or one job over its targets."""

from __future__ import annotations

from typing import Annotated

import typer

from qsearch.cli.options import FastOption, FormatOption, JsonOption, chosen_form
from qsearch.cli.session import session_of


def compare(  # noqa: PLR0913, PLR0917 a command's parameters are its options
    context: typer.Context,
    first: Annotated[
        str, typer.Argument(metavar="A", help="A trial: JOB/42, JOB/best:TARGET, JOB/front[2]; with --targets a job.")
    ],
    second: Annotated[
        str, typer.Argument(metavar="[B]", help="Another trial, of the same job or not.", show_default=False)
    ] = "",
    targets: Annotated[
        bool, typer.Option("--targets", help="A is a job: its candidates on each of its targets.")
    ] = False,
    measure: Annotated[bool, typer.Option("--measure", help="Export both and put them into one sitting now.")] = False,
    fast: FastOption = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 9 unless the times were told apart, or told equal.")
    ] = False,
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two trials: layers, time, accuracy, size.

    From what is stored. Times come head to head where both were in one final sitting, else through fp32,
    which is said, and not at all where machines or runtimes differ; layers and scores are told all the same."""
    chosen = chosen_form(form, as_json)
    _check(second, targets=targets, measure=measure, fast=fast, strict=strict)
    session = session_of(context)
    from qsearch.cli.output import answer
    from qsearch.report.across import across_answer
    from qsearch.report.comparison import comparison_answer, conclusive

    if targets:
        with session.desk() as desk:
            across = desk.across(first)
        answer(session, across_answer(across), chosen)
        return
    with session.desk() as desk:
        found = desk.compare(first, second, measure=measure, quick=fast)
    answer(session, comparison_answer(found), chosen)
    if strict and not conclusive(found):
        from qsearch.cli.exit_codes import INCONCLUSIVE

        raise typer.Exit(INCONCLUSIVE)


def _check(second: str, *, targets: bool, measure: bool, fast: bool, strict: bool) -> None:
    from qsearch.contracts.errors import UsageError

    if targets and (second or measure or strict):
        raise UsageError("--targets looks at one job and measures nothing", "qsearch compare @last --targets")
    if not targets and not second:
        raise UsageError("compare needs two trials", "qsearch compare @last/best @last/front[0]")
    if fast and not measure:
        raise UsageError("--fast is for --measure; what is stored was measured with its own care", "Give both.")
