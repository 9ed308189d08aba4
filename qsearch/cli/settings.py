"""config, schema: what QSearch was told, and what it can be told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from qsearch.cli.options import FormatOption, JsonOption, chosen_form
from qsearch.cli.session import session_of


def config_show(
    context: typer.Context,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value comes from.")] = False,
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the settings in force; secrets are hidden."""
    chosen = chosen_form(form, as_json)
    from qsearch.cli.output import answer
    from qsearch.report.answer import Row, listing
    from qsearch.spec.settings import load_settings

    session = session_of(context)
    settings = load_settings(session.flags, os.environ, Path.cwd())
    rows: list[Row] = []
    for setting in settings.all():
        row: Row = {"setting": setting.name, "value": settings.shown(setting.name)}
        rows.append({**row, "origin": setting.origin} if origin else row)
    answer(session, listing("settings", "setting", rows), chosen)


def schema(
    noun: Annotated[
        str, typer.Argument(metavar="[NOUN]", help="spec or target; without it the nouns are listed.")
    ] = "",
) -> None:
    """Print the JSON Schema of a file that people write."""
    from qsearch.cli.output import print_lines, print_text
    from qsearch.spec.schema import nouns, schema_text

    if noun:
        print_text(schema_text(noun))
    else:
        print_lines(nouns())
