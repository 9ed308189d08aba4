"""Options that several commands share, described once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qsearch.contracts.choices import Choice

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
ChoicesOption = Annotated[
    list[str] | None,
    typer.Option("--choice", metavar="CHOICE", help="Instead of the spec's choices: int8-dynamic, …; may be repeated."),
]
FastOption = Annotated[bool, typer.Option("--fast", help="Quick tier: one session, numbers are indicative.")]
TrialsOption = Annotated[int | None, typer.Option("--trials", min=1, help="Budget: candidates to measure.")]
TimeOption = Annotated[str | None, typer.Option("--time", metavar="TIME", help="Budget of searching: 90s, 10m, 2h.")]
SamplerOption = Annotated[str | None, typer.Option("--sampler", metavar="NAME", help="tpe, nsga2 or random.")]
RacingOption = Annotated[
    bool | None,
    typer.Option("--racing/--no-racing", help="Stop scoring candidates that surely break the drop limit; the spec's."),
]
PoolOption = Annotated[str, typer.Option("--pool", metavar="POOL", help="local, ray, or replay:FILE.")]
RecordOption = Annotated[
    str, typer.Option("--record", metavar="FILE", help="Keep all work and outcomes, for --pool replay:FILE.")
]
ConfidentOption = Annotated[
    bool, typer.Option("--confident", help="Judge by the upper ends of the intervals of drop and latency.")
]
YesOption = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")]
TimeoutOption = Annotated[
    str | None, typer.Option("--timeout", metavar="TIME", help="Wait no longer than this, then exit 124: 90s, 2h.")
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


def chosen_timeout(text: str | None) -> float | None:
    """Seconds of `--timeout`; None when it was not given.

    Raises:
        UsageError: it is no time.
    """
    from qsearch.spec.units import parse_time

    return None if text is None else parse_time(text)


def chosen_choices(words: Sequence[str] | None) -> tuple[Choice, ...]:
    """The choices named by `--choice`.

    Raises:
        UsageError: a word that is no choice; names the nearest.
    """
    return tuple(_choice(word) for word in words or ())


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
