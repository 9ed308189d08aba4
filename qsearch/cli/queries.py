"""query: read-only SQL over everything that was measured."""

from __future__ import annotations

from typing import Annotated

import typer

from qsearch.cli.options import FormatOption, JsonOption, chosen_form
from qsearch.cli.session import session_of


def query(
    context: typer.Context,
    sql: Annotated[
        str, typer.Argument(metavar="[SQL]", help="One SELECT; without it the views are listed.", show_default=False)
    ] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000_000_000, help="Rows at most.")] = 1000,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.001, max=86400.0, help="Seconds the statement may take.")
    ] = 10.0,
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the database in SQL; it can only be read."""
    chosen = chosen_form(form, as_json)
    session = session_of(context)
    with session.desk() as desk:
        found = desk.query(sql.strip(), limit=limit, timeout_s=timeout)
    from qsearch.cli.output import answer
    from qsearch.report.queries import query_answer

    answer(session, query_answer(found), chosen)
