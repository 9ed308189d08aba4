"""eval: whatever files there are, on a spec's data, beside trials."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qsearch.cli.options import FastOption, FormatOption, JsonOption, chosen_form
from qsearch.cli.session import note, session_of


def eval(  # noqa: A001 the command's name
    context: typer.Context,
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL", help="An .onnx file, or a trial: JOB/42, JOB/best, JOB/front[2].")
    ],
    spec: Annotated[str, typer.Option("--spec", metavar="SPEC", help="The job spec that names fp32 and the data.")],
    target: Annotated[
        str, typer.Option("--target", metavar="NAME", help="Which target; needed when the spec has several.")
    ] = "",
    fast: FastOption = False,
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Time and score files and trials against a spec's fp32.

    All of them in one sitting with fp32, as finalists are, and on the spec's held-out samples. Exits with 5
    when one of them could not be measured; the others are printed."""
    chosen = chosen_form(form, as_json)
    session = session_of(context)
    note("Scoring on the held-out samples, then one sitting: some minutes." if not fast else "Scoring, then timing.")
    with session.desk() as desk:
        found = desk.eval(models, Path(spec), target=target, quick=fast)
    from qsearch.cli.exit_codes import JOB_FAILED
    from qsearch.cli.output import answer
    from qsearch.report.evaluation import evaluation_answer

    answer(session, evaluation_answer(found), chosen)
    if found.result.failures:
        raise typer.Exit(JOB_FAILED)
