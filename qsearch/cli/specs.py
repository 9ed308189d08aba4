"""init, validate, plan: from a model to a job spec that can run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qsearch.cli.options import (
    ChoicesOption,
    DataOption,
    FastOption,
    FormatOption,
    JsonOption,
    PoolOption,
    RacingOption,
    SamplerOption,
    SpecArgument,
    TargetsOption,
    TimeOption,
    TrialsOption,
    chosen_choices,
    chosen_form,
)
from qsearch.cli.program import shell_line
from qsearch.cli.session import note, session_of


def init(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="[MODEL]", help="An .onnx file.", show_default=False)] = "",
    data: DataOption = "",
    metric: Annotated[
        str,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="A built-in one: top1, f1-macro, cer, perplexity, mrr, …; default: top1 with labels, else fidelity.",
        ),
    ] = "",
    example: Annotated[
        str, typer.Option("--example", metavar="NAME", help="Write a packaged example instead: minilm.")
    ] = "",
    out: Annotated[
        str, typer.Option("-o", "--output", metavar="FILE", help="The spec to write; default: the model's name, .yaml.")
    ] = "",
) -> None:
    """Write a runnable, commented job spec for a model.

    Prints the path of the spec. No Python is needed; without labels the metric is fidelity to fp32."""
    from qsearch.contracts.errors import UsageError

    if bool(model) == bool(example):
        raise UsageError("init needs a MODEL or --example NAME, and not both", "Example: qsearch init model.onnx")
    target = Path(out or f"{Path(model).stem if model else example}.yaml")
    if target.exists():
        raise UsageError(f"{target} exists and is not overwritten", "Name another file with -o.")
    with session_of(context).desk() as desk:
        written = desk.init(model, data=data, metric=metric, example=example, out=target)
    from qsearch.cli.output import print_lines

    print_lines([str(written)])
    note(f"Next: {shell_line('plan', str(written))}")


def validate(
    context: typer.Context, spec: SpecArgument, form: FormatOption = None, as_json: JsonOption = False
) -> None:
    """Check a job spec: every problem with its file, line and column."""
    chosen = chosen_form(form, as_json)
    session = session_of(context)
    with session.desk() as desk:
        resolved = desk.validate(Path(spec))
    from qsearch.cli.output import answer
    from qsearch.report.plans import spec_answer

    answer(session, spec_answer(resolved), chosen)


def plan(  # noqa: PLR0913, PLR0917 a command's parameters are its options
    context: typer.Context,
    spec: SpecArgument,
    fast: FastOption = False,
    trials: TrialsOption = None,
    time: TimeOption = None,
    sampler: SamplerOption = None,
    racing: RacingOption = None,
    pool: PoolOption = "local",
    target: TargetsOption = None,
    choice: ChoicesOption = None,
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a job would do, and start nothing.

    Layers, choices, the size of the space, which machine serves which target, time; the options mean
    what they mean to run. Exits with 3 when the job is impossible."""
    chosen = chosen_form(form, as_json)
    session = session_of(context)
    from qsearch.contracts.views import Overrides

    overrides = Overrides(
        trials=trials,
        time=time,
        sampler=sampler,
        racing=racing,
        quick=fast,
        pool=pool,
        targets=tuple(target or ()),
        choices=chosen_choices(choice),
    )
    with session.desk() as desk:
        planned = desk.plan(Path(spec), overrides)
    from qsearch.cli.exit_codes import UNUSABLE
    from qsearch.cli.output import answer
    from qsearch.report.plans import plan_answer, possible

    answer(session, plan_answer(planned), chosen)
    if not possible(planned):
        raise typer.Exit(UNUSABLE)
