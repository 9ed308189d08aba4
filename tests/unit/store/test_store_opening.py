from __future__ import annotations

import contextlib
import multiprocessing
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import ledger_samples as samples
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, event, inspect

from qsearch.contracts.errors import InputError, NotFound, Unreachable, Unsupported, UsageError
from qsearch.store import filesystems, schema, tables
from qsearch.store.filesystems import network_name
from qsearch.store.opening import open_ledger
from qsearch.store.sql_ledger import SqlLedger
from qsearch.store.views import VIEWS


class TestUrls:
    def test_the_folder_is_made(self, tmp_path: Path) -> None:
        ledger = open_ledger(f"sqlite:///{tmp_path}/a/b/ledger.db")
        assert (tmp_path / "a/b/ledger.db").is_file()
        assert list(ledger.jobs()) == []
        ledger.close()

    def test_a_relative_path_stays_where_it_was_opened(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        ledger = open_ledger("sqlite:///ledger.db")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        ledger.close()
        assert list(ledger.jobs()) == []
        ledger.close()
        assert list((tmp_path / "elsewhere").iterdir()) == []

    def test_without_create_nothing_is_made(self, tmp_path: Path) -> None:
        with pytest.raises(NotFound, match="no database at"):
            open_ledger(f"sqlite:///{tmp_path}/a/ledger.db", create=False)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "url",
        [
            "postgresql+asyncpg://me:s3cr%40t@host/db",
            "postgresql+psycopg2://me:s3cr%40t@host/db",
            "mysql+pymysql://me:s3cr%40t@host/db",
            "sqlite+aiosqlite:///x.db",
            "sqlite://",
            "sqlite:///:memory:",
            "sqlite:///x.db?mode=ro",
            "sqlite:///file:x.db",
        ],
    )
    def test_what_is_no_file_and_no_server_is_refused_by_name(self, url: str) -> None:
        with pytest.raises(UsageError) as error:
            open_ledger(url)
        assert "sqlite:///path" in str(error.value)
        assert "s3cr" not in str(error.value)

    @pytest.mark.parametrize("url", ["", "x.db", "://me:s3cr@t", "sqlite:/x", "post gres://me:s3cr@t/x"])
    def test_what_is_no_url_is_not_repeated(self, url: str) -> None:
        with pytest.raises(UsageError) as error:
            open_ledger(url)
        assert "s3cr" not in str(error.value)

    def test_a_network_file_system_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert network_name(tmp_path) == ""
        monkeypatch.setattr(filesystems, "_magic", lambda _folder: 0x6969)
        with pytest.raises(Unsupported, match=r"network file system \(NFS\)"):
            open_ledger(f"sqlite:///{tmp_path}/ledger.db")
        assert list(tmp_path.iterdir()) == []

    def test_the_kernels_own_number_is_read(self) -> None:
        if not Path("/proc/self").exists():
            pytest.skip("no proc file system to recognise")
        assert filesystems._magic(Path("/proc")) == 0x9FA0
        assert filesystems._magic(Path("/nowhere/at/all")) == 0

    def test_a_file_where_the_folder_should_be(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(Unreachable, match="cannot be made"):
            open_ledger(f"sqlite:///{tmp_path}/file/ledger.db")

    def test_a_folder_where_the_file_should_be(self, tmp_path: Path) -> None:
        with pytest.raises(Unreachable, match="does not answer"):
            open_ledger(f"sqlite:///{tmp_path}", patience_s=0.1)

    def test_what_is_no_database(self, tmp_path: Path) -> None:
        (tmp_path / "ledger.db").write_text("hello " * 1000)
        with pytest.raises(Unreachable, match="not a database"):
            open_ledger(f"sqlite:///{tmp_path}/ledger.db")


class TestSchema:
    def test_head_is_the_newest_revision(self) -> None:
        scripts = ScriptDirectory.from_config(schema.configuration())
        assert scripts.get_heads() == [schema.HEAD]
        assert schema.HEAD in schema.known_revisions()

    def test_the_migrated_schema_is_the_metadata(self, url: str, ledger: SqlLedger) -> None:
        engine = create_engine(url)
        with engine.connect() as connection:
            options = {"compare_type": True, "version_table": schema.VERSION_TABLE}
            context = MigrationContext.configure(connection, opts=options)
            assert compare_metadata(context, tables.metadata) == []
            found = inspect(connection)
            assert set(found.get_table_names()) == {*tables.metadata.tables, schema.VERSION_TABLE}
            assert set(found.get_view_names()) == set(VIEWS)
        engine.dispose()

    def test_it_is_word_for_word_what_the_metadata_would_create(self, url: str, ledger: SqlLedger) -> None:
        plain = create_engine("sqlite://")
        tables.metadata.create_all(plain)
        assert _described(create_engine(url)) == _described(plain)

    def test_down_and_up_again(self, url: str, ledger: SqlLedger) -> None:
        engine = _transactional(url)
        with engine.begin() as connection:
            schema.downgrade(connection, "base")
            assert inspect(connection).get_table_names() == [schema.VERSION_TABLE]
            assert inspect(connection).get_view_names() == []
            assert schema.current(connection) == ""
        with engine.begin() as connection:
            schema.upgrade(connection)
            assert schema.current(connection) == schema.HEAD
        assert _described(engine) == _described_metadata()
        engine.dispose()

    def test_a_migration_that_dies_leaves_nothing(self, url: str) -> None:
        engine = _transactional(url)
        with contextlib.suppress(RuntimeError), engine.begin() as connection:
            schema.upgrade(connection)
            assert schema.current(connection) == schema.HEAD
            raise RuntimeError("power cut")
        with engine.connect() as connection:
            assert inspect(connection).get_table_names() == []
        engine.dispose()

    def test_a_newer_schema_is_refused(self, url: str, ledger: SqlLedger) -> None:
        ledger.create_job(samples.spec(), "", "ada")
        _execute(url, "UPDATE alembic_version_qsearch SET version_num = '9999'")
        with pytest.raises(Unsupported, match=f"has schema 9999, this QSearch knows up to {schema.HEAD}"):
            open_ledger(url)
        _execute(url, f"UPDATE alembic_version_qsearch SET version_num = '{schema.HEAD}'")
        again = open_ledger(url)
        assert len(again.jobs()) == 1
        again.close()

    def test_somebody_elses_database_is_left_alone(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/other.db"
        _execute(url, "CREATE TABLE alembic_version (version_num TEXT)")
        with pytest.raises(InputError, match="tables that are not QSearch's"):
            open_ledger(url)
        assert inspect(create_engine(url)).get_table_names() == ["alembic_version"]

    def test_the_uuid_is_given_once(self, url: str, tmp_path: Path, ledger: SqlLedger) -> None:
        again, other = open_ledger(url), open_ledger(f"sqlite:///{tmp_path}/other.db")
        assert again.uuid == ledger.uuid != other.uuid
        assert len(ledger.uuid) == 36
        again.close()
        other.close()

    def test_many_processes_open_a_new_database_at_once(self, url: str) -> None:
        with multiprocessing.get_context("spawn").Pool(4) as pool:
            found = pool.map(_uuid, [url] * 8)
        assert len(set(found)) == 1

    def test_opening_a_current_database_imports_no_alembic(self, url: str, ledger: SqlLedger) -> None:
        code = (
            "import sys; from qsearch.store.opening import open_ledger; "
            f"open_ledger({url!r}).jobs(); sys.exit('alembic' in sys.modules)"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False, cwd=os.getcwd()).returncode == 0

    def test_the_file_is_durable_and_checked(self, ledger: SqlLedger) -> None:
        def pragma(name: str) -> object:
            return ledger._database.whole(lambda c: c.exec_driver_sql(f"PRAGMA {name}").scalar())

        assert [pragma(name) for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")] == [
            "wal",
            2,
            1,
            30_000,
        ]


def _uuid(url: str) -> str:
    ledger = open_ledger(url)
    try:
        return ledger.uuid
    finally:
        ledger.close()


def _execute(url: str, statement: str) -> None:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    with connection:
        connection.execute(statement)
    connection.close()


def _transactional(url: str):  # type: ignore[no-untyped-def]
    """An engine whose transactions hold DDL too, as the store's own does."""
    engine = create_engine(url)
    event.listen(engine, "connect", lambda connection, _record: setattr(connection, "isolation_level", None))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _described_metadata() -> object:
    plain = create_engine("sqlite://")
    tables.metadata.create_all(plain)
    return _described(plain)


def _described(engine) -> object:  # type: ignore[no-untyped-def]
    """Every column, key, index and constraint, as SQLite sees it."""
    found = inspect(engine)
    described = {}
    for table in sorted(set(found.get_table_names()) - {schema.VERSION_TABLE}):
        columns = [(c["name"], str(c["type"]), c["nullable"], c["primary_key"]) for c in found.get_columns(table)]
        indexes = sorted((i["name"], i["unique"], tuple(i["column_names"])) for i in found.get_indexes(table))
        keys = sorted(
            (k["constrained_columns"], k["referred_table"], k["referred_columns"])
            for k in found.get_foreign_keys(table)
        )
        uniques = sorted(u["column_names"] for u in found.get_unique_constraints(table))
        with engine.connect() as connection:
            where = connection.exec_driver_sql(
                "SELECT name, substr(sql, instr(sql, ' WHERE ')) FROM sqlite_master"
                " WHERE type = 'index' AND tbl_name = ? AND sql LIKE '% WHERE %' ORDER BY name",
                (table,),
            ).all()
        described[table] = (columns, indexes, keys, uniques, [tuple(row) for row in where])
    engine.dispose()
    return described
