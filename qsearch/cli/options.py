"""Options that several commands share, described once."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

#: how an answer is written to stdout
Form = Literal["table", "json", "jsonl", "csv", "md"]

FormatOption = Annotated[
    Form | None, typer.Option("-f", "--format", metavar="FORMAT", help="table, json, jsonl, csv or md; default: table.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="The same as -f json.")]
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="Name, id, unique start of an id, or @last.")]
TrialArgument = Annotated[
    str, typer.Argument(metavar="JOB/TRIAL", help="JOB/42, JOB/best, JOB/best:TARGET or JOB/front[2].")
]
SpecArgument = Annotated[str, typer.Argument(metavar="SPEC", help="A job spec, YAML.")]
TargetOption = Annotated[
    str, typer.Option("--target", metavar="NAME", help="Which target; needed when there are several.")
]
TargetsOption = Annotated[
    list[str] | None, typer.Option("--target", metavar="NAME", help="Instead of the spec's targets; may be repeated.")
]
DataOption = Annotated[
    str, typer.Option("--data", metavar="FILE", help="An .npz of arrays by input name, and labels if there are any.")
]


def chosen_form(form: Form | None, as_json: bool) -> Form:
    """The form asked for by `-f` and `--json` together.

    Raises:
        UsageError: they contradict each other.
    """
    if as_json and form not in (None, "json"):
        from qsearch.contracts.errors import UsageError

        raise UsageError(f"--json and -f {form} contradict each other", "Give one of them.")
    return "json" if as_json else form or "table"
