"""The commands put together. Importing it imports Typer and nothing else that is heavy."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from qsearch.cli import (
    asking,
    comparing,
    evaluation,
    exports,
    heads,
    installation,
    jobs,
    models,
    queries,
    results,
    running,
    session,
    settings,
    specs,
    submitting,
)
from qsearch.cli.journey import JourneyGroup

_CONTEXT = {"help_option_names": ["-h", "--help"]}


def build() -> typer.Typer:
    """The root command with all its commands.

    NOTE: `rich_markup_mode=None` and no completion: with them --help takes twice as long, and the
    help would be drawn by rich.
    """
    app = typer.Typer(
        name="qsearch",
        cls=JourneyGroup,
        no_args_is_help=True,
        context_settings=_CONTEXT,
        epilog="Example: qsearch init --example minilm && qsearch run minilm.yaml",
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(root)
    for function, example in _COMMANDS:
        app.command(epilog=f"Example: {example}", context_settings=_CONTEXT)(function)
    app.command(hidden=True, epilog="Example: qsearch drive 06fbk3c1xn2q", context_settings=_CONTEXT)(submitting.drive)
    config = _group("Settings: flag, environment, files, defaults.", "qsearch config show --origin")
    config.command("show", epilog="Example: qsearch config show --origin", context_settings=_CONTEXT)(
        settings.config_show
    )
    app.add_typer(config, name="config")
    head = _group("The local Ray head that submit starts.", "qsearch head show")
    head.command("show", epilog="Example: qsearch head show", context_settings=_CONTEXT)(heads.head_show)
    head.command("stop", epilog="Example: qsearch head stop -y", context_settings=_CONTEXT)(heads.head_stop)
    head.command(
        "keep", hidden=True, epilog="Example: qsearch head keep FOLDER --idle-s 300", context_settings=_CONTEXT
    )(heads.head_keep)
    app.add_typer(head, name="head")
    return app


def _group(text: str, example: str) -> typer.Typer:
    """Commands that share their first word."""
    group = typer.Typer(
        no_args_is_help=True,
        context_settings=_CONTEXT,
        help=text,
        epilog=f"Example: {example}",
        add_completion=False,
        rich_markup_mode=None,
    )
    group.callback(help=text)(_no_options)
    return group


def root(  # noqa: PLR0913, PLR0917 a command's parameters are its options
    context: typer.Context,
    database_url: Annotated[
        str | None, typer.Option("--database-url", metavar="URL", help="Where jobs and measurements are kept.")
    ] = None,
    artifacts: Annotated[
        str | None, typer.Option("--artifacts", metavar="DIR", help="Where prepared models and exports are kept.")
    ] = None,
    ray_address: Annotated[
        str | None, typer.Option("--ray-address", metavar="ADDRESS", help="The Ray cluster.")
    ] = None,
    config: Annotated[str | None, typer.Option("--config", metavar="FILE", help="Settings, in TOML.")] = None,
    color: Annotated[
        Literal["auto", "always", "never"] | None, typer.Option("--color", help="Colours in tables.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=installation.print_version, help="Print the version."),
    ] = False,
) -> None:
    """Find which quantization each layer of a model should get, by measuring.

    Settings may also come from QSEARCH_DATABASE_URL, QSEARCH_ARTIFACTS, QSEARCH_RAY_ADDRESS and qsearch.toml.
    """
    given = _factory(context)
    context.obj = session.Session(
        open_desk=given,
        flags={
            "database_url": database_url,
            "artifacts": artifacts,
            "ray_address": ray_address,
            "config": config,
            "color": color,
        },
        debug=debug,
    )


def _factory(context: typer.Context) -> session.DeskFactory:
    """The desk factory that `main` left for the root command."""
    start = context.obj
    return start if callable(start) else session.service_desk


def _no_options() -> None:
    """The group's own words are its help."""


#: function → the runnable example its help ends with
_COMMANDS = (
    (specs.init, "qsearch init model.onnx --data samples.npz --metric top1"),
    (specs.validate, "qsearch validate model.yaml"),
    (specs.plan, "qsearch plan model.yaml"),
    (running.run, "qsearch run model.yaml --trials 30 --time 4m"),
    (submitting.submit, "qsearch submit model.yaml --trials 30 --wait"),
    (running.resume, "qsearch resume @last"),
    (jobs.jobs, "qsearch jobs --state DONE"),
    (jobs.status, "qsearch status @last --json"),
    (submitting.watch, "qsearch watch @last --timeout 1h"),
    (asking.stop, "qsearch stop @last"),
    (asking.cancel, "qsearch cancel minilm --wait"),
    (results.best, "qsearch best @last --max-drop 1% --json"),
    (results.pareto, "qsearch pareto @last --plot front.html"),
    (results.trials, "qsearch trials @last -f csv"),
    (results.show, "qsearch show @last/best"),
    (results.layers, "qsearch layers @last"),
    (comparing.compare, "qsearch compare @last/best @last/0"),
    (queries.query, 'qsearch query "select * from v_trials"'),
    (exports.export, "qsearch export @last/best -o out --verify"),
    (models.inspect, "qsearch inspect model.onnx"),
    (models.bench, "qsearch bench fp32.onnx int8.onnx"),
    (evaluation.eval, "qsearch eval int8.onnx @last/best --spec model.yaml"),
    (installation.doctor, "qsearch doctor --self-test"),
    (settings.schema, "qsearch schema spec"),
    (installation.version, "qsearch version"),
)
