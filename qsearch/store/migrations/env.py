"""alembic's entry: runs revisions on the connection, and in the transaction, that it is given."""

from __future__ import annotations

from alembic import context

from qsearch.store import tables
from qsearch.store.schema import VERSION_TABLE


def _run() -> None:
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=tables.metadata,
        version_table=VERSION_TABLE,
        render_as_batch=True,
        # SQLite can roll back its DDL; alembic assumes that it cannot, and would leave half a schema.
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


_run()
