"""run, resume: drive a job here, to its end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qsearch.cli.concluding import conclude
from qsearch.cli.options import (
    ChoicesOption,
    FastOption,
    FormatOption,
    JobArgument,
    JsonOption,
    PoolOption,
    RacingOption,
    RecordOption,
    SamplerOption,
    SpecArgument,
    TargetsOption,
    TimeOption,
    TrialsOption,
    chosen_choices,
    chosen_form,
)


def run(  # noqa: PLR0913, PLR0917 a command's parameters are its options
    context: typer.Context,
    spec: SpecArgument,
    fast: FastOption = False,
    trials: TrialsOption = None,
    time: TimeOption = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Same seed, same proposals.")] = None,
    sampler: SamplerOption = None,
    racing: RacingOption = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Name of the job.")] = None,
    pool: PoolOption = "local",
    record: RecordOption = "",
    target: TargetsOption = None,
    choice: ChoicesOption = None,
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
        racing=racing,
        quick=fast,
        pool=pool,
        record=record,
        targets=tuple(target or ()),
        choices=chosen_choices(choice),
    )
    conclude(context, chosen_form(form, as_json), lambda desk, watch: desk.run(Path(spec), overrides, watch))


def resume(
    context: typer.Context,
    job: JobArgument,
    pool: PoolOption = "local",
    record: RecordOption = "",
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go on with an unfinished job from what the database holds."""
    from qsearch.contracts.views import Overrides

    overrides = Overrides(pool=pool, record=record)
    conclude(context, chosen_form(form, as_json), lambda desk, watch: desk.resume(job, overrides, watch))
