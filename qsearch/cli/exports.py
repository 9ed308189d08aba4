"""export: a trial as files to deploy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qsearch.cli.options import FormatOption, JsonOption, TrialArgument, chosen_form
from qsearch.cli.session import note, session_of


def export(
    context: typer.Context,
    trial: TrialArgument,
    out: Annotated[str, typer.Option("-o", "--output", metavar="DIR", help="The folder to write.")],
    verify: Annotated[bool, typer.Option("--verify", help="Measure the written file; fail if it disagrees.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write into a folder that is not empty.")] = False,
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a trial's model with its manifest, loader and README."""
    chosen = chosen_form(form, as_json)
    session = session_of(context)
    with session.desk() as desk:
        receipt = desk.export(trial, Path(out), verify=verify, force=force)
    from qsearch.cli.exit_codes import JOB_FAILED
    from qsearch.cli.output import answer
    from qsearch.report.exports import receipt_answer, verdict

    answer(session, receipt_answer(receipt), chosen)
    if verdict(receipt) is False:
        note("error: the written file disagrees with the trial")
        for line in receipt.verification.disagreements:
            note(line)
        raise typer.Exit(JOB_FAILED)
