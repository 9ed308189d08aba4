"""The schema's revision: where a database stands, and bringing it up or down.

alembic is imported only when there is something to migrate: opening a current database stays fast.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect

from qsearch.store.views import create_views, drop_views

if TYPE_CHECKING:
    from alembic.config import Config

#: the newest revision; a test holds it against the migrations folder
HEAD = "0004"
VERSION_TABLE = "alembic_version_qsearch"
MIGRATIONS = Path(__file__).parent / "migrations"


def current(connection: Connection) -> str:
    """The database's revision; empty for a database without tables of ours."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return ""
    found = connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar()  # noqa: S608 - our word
    return str(found or "")


def strangers(connection: Connection) -> list[str]:
    """Tables that are not ours in a database without a revision, and views that `upgrade` would drop."""
    found = inspect(connection)
    views = [view for view in found.get_view_names() if view.startswith("v_")]
    return [table for table in found.get_table_names() if table != VERSION_TABLE] + views


def known_revisions() -> tuple[str, ...]:
    """Every revision that this version of QSearch can read, newest first."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(configuration())
    return tuple(script.revision for script in scripts.walk_revisions())


def upgrade(connection: Connection) -> None:
    """To HEAD, inside the connection's transaction: whole or not at all."""
    from alembic import command

    drop_views(connection)
    command.upgrade(configuration(connection), HEAD)
    create_views(connection)


def downgrade(connection: Connection, revision: str) -> None:
    """Down to `revision` ("base" = nothing); data of newer tables are lost, views are dropped."""
    from alembic import command

    drop_views(connection)
    command.downgrade(configuration(connection), revision)


def configuration(connection: Connection | None = None) -> Config:
    """alembic's settings for the migrations in this package, with no file and no output."""
    from alembic.config import Config

    config = Config(stdout=io.StringIO())
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
