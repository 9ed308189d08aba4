"""head: the local Ray head that submit started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from qsearch.cli.confirming import command_line, must_be_sure
from qsearch.cli.options import FormatOption, JsonOption, YesOption, chosen_form
from qsearch.cli.session import session_of

if TYPE_CHECKING:
    from qsearch.contracts.views import HeadView


def head_show(context: typer.Context, form: FormatOption = None, as_json: JsonOption = False) -> None:
    """Show the local Ray head of this database, if one lives."""
    from qsearch.cli.output import answer
    from qsearch.report.submissions import heads_answer

    chosen = chosen_form(form, as_json)
    session = session_of(context)
    with session.desk() as desk:
        head = desk.head()
    answer(session, heads_answer(head), chosen)


def head_stop(
    context: typer.Context, yes: YesOption = False, form: FormatOption = None, as_json: JsonOption = False
) -> None:
    """End the local Ray head and the drivers on it.

    Their jobs are kept as they are; resume goes on with them."""
    from qsearch.cli.output import answer
    from qsearch.report.submissions import ended_answer

    chosen = chosen_form(form, as_json)
    session = session_of(context)
    with session.desk() as desk:
        head = desk.head()
        asks = head is not None and (head.drivers or head.handing_in or not head.answers)
        if head is not None and asks:
            must_be_sure(_question(head), command_line(session, "head", "stop", "-y"), yes=yes)
        ended = desk.end_head(cut_off=bool(yes or asks))
    answer(session, ended_answer(ended), chosen)


def head_keep(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Of the head.")],
    idle_s: Annotated[float, typer.Option("--idle-s", help="Seconds without a job after which it ends.")],
) -> None:
    """Keep a local Ray head; what submit starts beside itself."""
    from qsearch.service.heading import keep_head

    keep_head(folder, idle_s)


def _question(head: HeadView) -> str:
    if not head.answers:
        return "The Ray head does not answer; what runs on it is not known. End it, and all that runs there?"
    if not head.drivers:
        return "A job is just being handed in to the Ray head. End it all the same?"
    return f"End the Ray head with {len(head.drivers)} running ({', '.join(head.drivers)})?"
