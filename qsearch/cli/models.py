"""inspect, bench: models by themselves, without a job."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from qsearch.cli.options import DataOption, FormatOption, JsonOption, chosen_form
from qsearch.cli.session import note, session_of


def inspect(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="An .onnx file.")],
    target: Annotated[
        str, typer.Option("--target", metavar="NAME", help="Whose runtime limits the choices; default: this-machine.")
    ] = "",
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """List a model's layers, their sizes and choices."""
    chosen = chosen_form(form, as_json)
    session = session_of(context)
    with session.desk() as desk:
        seen = desk.inspect(model, target=target)
    from qsearch.cli.output import answer
    from qsearch.report.models import inspection_answer

    answer(session, inspection_answer(model, seen), chosen)


def bench(  # noqa: PLR0913, PLR0917 a command's parameters are its options
    context: typer.Context,
    models: Annotated[list[str], typer.Argument(metavar="MODEL", help=".onnx files; the first is the reference.")],
    data: DataOption = "",
    spec: Annotated[
        str, typer.Option("--spec", metavar="SPEC", help="Take the search samples and the targets of a job spec.")
    ] = "",
    target: Annotated[
        list[str] | None,
        typer.Option("--target", metavar="NAME", help="Runtime, threads and batch, by name; may be repeated."),
    ] = None,
    tier: Annotated[
        Literal["quick", "screen", "final"],
        typer.Option("--tier", help="How much care to take: some seconds, half a minute, some minutes."),
    ] = "screen",
    shape: Annotated[
        list[str] | None,
        typer.Option("--shape", metavar="AXIS=SIZE[,SIZE]", help="Sizes of an input axis; may be repeated."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 9 unless each was told apart, or told equal.")
    ] = False,
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Time models and runtimes against each other, side by side.

    All in one sitting, interleaved, with intervals; every model under every target. Without --data or
    --spec the inputs are random, and said to be; --shape sizes them. Inputs of several batch sizes are timed as
    they come. Exits with 5 when one could not be measured and the others are printed, with 3 when fewer than two
    can be."""
    chosen = chosen_form(form, as_json)
    from pathlib import Path

    from qsearch.contracts.measurement import Tier

    session = session_of(context)
    if tier == "final":
        note("One sitting, tier final: some minutes.")
    with session.desk() as desk:
        found = desk.bench(
            models,
            data=data,
            target="",
            tier=Tier(tier),
            shapes=tuple(shape or ()),
            targets=tuple(target or ()),
            spec=Path(spec) if spec else None,
        )
    from qsearch.cli.exit_codes import INCONCLUSIVE, JOB_FAILED
    from qsearch.cli.output import answer
    from qsearch.report.timings import bench_answer, conclusive

    answer(session, bench_answer(found), chosen)
    if found.result.failures:
        raise typer.Exit(JOB_FAILED)
    if strict and not conclusive(found):
        raise typer.Exit(INCONCLUSIVE)
