"""doctor, version: the installation and the machine."""

from __future__ import annotations

import platform
from typing import Annotated

import typer

from qsearch.cli.options import FormatOption, JsonOption, chosen_form
from qsearch.cli.session import session_of

_PACKAGES = ("onnx", "onnxruntime", "openvino", "optuna", "ray", "sqlalchemy", "torch")


def doctor(
    context: typer.Context,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Also measure the machine's own noise and keep it, about a minute.")
    ] = False,
    target: Annotated[
        list[str] | None, typer.Option("--target", metavar="NAME", help="Where the self-test sits; may be repeated.")
    ] = None,
    model: Annotated[
        str, typer.Option("--model", metavar="FILE", help="Self-test with this .onnx file, not the built-in one.")
    ] = "",
    sittings: Annotated[
        int | None,
        typer.Option(
            "--sittings", min=1, max=200, help="A/A sittings of the self-test, two sessions each.", show_default="6"
        ),
    ] = None,
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check versions, machine, database and pools, and say what to do.

    Exits with 8 when a check found a problem; a warning is none."""
    chosen = chosen_form(form, as_json)
    session = session_of(context)
    with session.desk() as desk:
        found = desk.doctor(self_test=self_test, targets=tuple(target or ()), model=model, sittings=sittings)
    from qsearch.cli.exit_codes import code_of_checks
    from qsearch.cli.output import answer
    from qsearch.report.checks import checks_answer

    answer(session, checks_answer(found), chosen)
    code = code_of_checks(found)
    if code:
        raise typer.Exit(code)


def print_version(asked: bool) -> None:
    """Answer `--version` with one line, and end; `version` says more."""
    from qsearch import __version__

    if asked:
        from qsearch.cli.output import print_text

        print_text(f"qsearch {__version__}\n")
        raise typer.Exit


def version(context: typer.Context, form: FormatOption = None, as_json: JsonOption = False) -> None:
    """Print the versions of QSearch and of what it stands on."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    from qsearch import __version__
    from qsearch.cli.output import answer
    from qsearch.report.answer import Row, listing

    chosen = chosen_form(form, as_json)
    rows: list[Row] = [
        {"package": "qsearch", "version": __version__},
        {"package": "python", "version": platform.python_version()},
    ]
    for name in _PACKAGES:
        try:
            rows.append({"package": name, "version": installed(name)})
        except PackageNotFoundError:
            rows.append({"package": name, "version": None})
    answer(session_of(context), listing("version", "package", rows), chosen)
