"""Opening a ledger on PostgreSQL: URLs, logins, the schema, and what is refused by name."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect

from qsearch.contracts.errors import InputError, NotFound, QSearchError, Unreachable, Unsupported, UsageError
from qsearch.contracts.installing import install_hint
from qsearch.store import schema, tables
from qsearch.store.opening import open_ledger
from qsearch.store.query import read_only_query
from qsearch.store.views import VIEWS
from tests.contract import ledger_samples as samples
from tests.postgres import PostgresServer

CHECKS = {"compare_type": True, "version_table": schema.VERSION_TABLE}


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.fresh_url()


def uuid(url: str) -> str:
    ledger = open_ledger(url)
    try:
        return ledger.uuid
    finally:
        ledger.close()


class TestUrls:
    @pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
    def test_the_common_spellings_mean_psycopg(self, url: str, scheme: str) -> None:
        again = url.replace("postgresql+psycopg", scheme)
        assert uuid(again) == uuid(url)
        assert read_only_query(again, "SELECT count(*) FROM v_jobs", limit=1, timeout_s=5).rows == ((0,),)

    def test_the_name_hides_the_password(self, url: str, postgres: PostgresServer) -> None:
        ledger = open_ledger(url)
        assert ledger.url == url.replace(postgres.password, "***")
        ledger.close()

    @pytest.mark.parametrize(
        ("change", "expected", "words"),
        [
            (
                ("qsearch:", "qsearch:wrong"),
                Unreachable,
                "authentication failed|See the user and the password",
            ),
            (("qsearch:", "nobody:"), Unreachable, "authentication failed|See the user and the password"),
            (("/t", "/no"), Unreachable, "does not exist|createdb"),
            (("127.0.0.1", "no.such.host.invalid"), Unreachable, "resolve|host's name"),
            (("qsearch:", "qsearch:", "?sslmode=require"), Unreachable, "SSL|sslmode"),
            (("qsearch:", "qsearch:", "?sslmode=s3cr3t"), Unreachable, "invalid sslmode|libpq's"),
            (("qsearch:", "qsearch:", "?bogus=1"), UsageError, "invalid connection option|libpq's"),
            (("qsearch:", "qsearch:", "?password=s3cr3t2"), UsageError, "password|PGPASSWORD"),
        ],
    )
    def test_who_is_not_let_in_is_told_why_and_what_to_do(
        self, url: str, postgres: PostgresServer, change: tuple[str, ...], expected: type[QSearchError], words: str
    ) -> None:
        old, new, *query = change
        wrong = url.replace(old, new, 1) + "".join(query)
        said, advice = words.split("|", 1)
        for use in (
            lambda: open_ledger(wrong, patience_s=0.2),
            lambda: read_only_query(wrong, "SELECT 1", limit=1, timeout_s=2),
        ):
            with pytest.raises(expected, match=said) as error:
                use()
            assert advice in error.value.hint
            assert postgres.password not in f"{error.value} {error.value.__cause__}"
            assert "s3cr3t2" not in str(error.value)

    def test_nobody_there(self, url: str, postgres: PostgresServer) -> None:
        wrong = url.replace(f":{postgres.port}/", ":1/")
        with pytest.raises(Unreachable, match=r"does not answer for 0\.3 s: .*Connection refused") as error:
            open_ledger(wrong, patience_s=0.3)
        assert "pg_isready" in error.value.hint

    def test_no_database_in_the_url(self) -> None:
        with pytest.raises(UsageError, match=r"postgresql://me:\*\*\*@host names no database"):
            open_ledger("postgresql://me:s3cr3t@host")

    def test_another_driver_is_refused_by_name(self) -> None:
        with pytest.raises(UsageError, match=r"found postgresql\+psycopg2 in postgresql\+psycopg2://me:\*\*\*@host/db"):
            open_ledger("postgresql+psycopg2://me:s3cr3t@host/db")

    def test_without_the_driver_the_extra_is_named(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "psycopg", None)
        for use in (lambda: open_ledger(url), lambda: read_only_query(url, "SELECT 1", limit=1, timeout_s=2)):
            with pytest.raises(Unsupported, match="needs the package psycopg") as error:
                use()
            assert error.value.hint == install_hint("postgres")


class TestSchema:
    def test_the_migrated_schema_is_the_metadata_down_and_up_again(self, url: str) -> None:
        first = uuid(url)
        engine = create_engine(url)
        with engine.begin() as connection:
            context = MigrationContext.configure(connection, opts=CHECKS)
            assert compare_metadata(context, tables.metadata) == []
            assert set(inspect(connection).get_view_names()) == set(VIEWS)
            schema.downgrade(connection, "base")
            assert inspect(connection).get_table_names() == [schema.VERSION_TABLE]
        assert uuid(url) != first
        with engine.begin() as connection:
            context = MigrationContext.configure(connection, opts=CHECKS)
            assert compare_metadata(context, tables.metadata) == []
        engine.dispose()

    def test_an_older_schema_is_brought_up_to_date_with_its_jobs(self, url: str) -> None:
        ledger = open_ledger(url)
        job = ledger.create_job(samples.spec(), "", "ada")
        ledger._database.whole(lambda connection: schema.downgrade(connection, "0001"))
        ledger.close()
        again = open_ledger(url)
        assert list(again.jobs()) == [job]
        again.close()

    def test_ids_sort_by_code_point_whatever_the_server_thinks(self, url: str) -> None:
        ledger = open_ledger(url)
        query = (
            "SELECT table_name || '.' || column_name FROM information_schema.columns WHERE data_type = 'text'"
            " AND table_schema = 'public' AND left(table_name, 2) <> 'v_' AND collation_name {} 'C'"
        )
        ours = ledger._database.whole(lambda c: c.exec_driver_sql(query.format("=")).scalars().all())
        others = ledger._database.whole(lambda c: c.exec_driver_sql(query.format("IS DISTINCT FROM")).scalars().all())
        assert {"jobs.id", "jobs.requested"} <= {*ours}
        assert others == []
        ledger.close()

    def test_a_newer_schema_is_refused(self, url: str) -> None:
        ledger = open_ledger(url)
        ledger.create_job(samples.spec(), "", "ada")
        ledger._database.whole(lambda c: c.exec_driver_sql("UPDATE alembic_version_qsearch SET version_num = '9999'"))
        with pytest.raises(Unsupported, match=f"has schema 9999, this QSearch knows up to {schema.HEAD}"):
            open_ledger(url)
        with pytest.raises(Unsupported, match="has schema 9999"):
            read_only_query(url, "SELECT 1", limit=1, timeout_s=5)
        assert len(ledger.jobs()) == 1
        ledger.close()

    @pytest.mark.parametrize("theirs", ["TABLE public.theirs (x int)", "VIEW public.v_theirs AS SELECT 1 AS x"])
    def test_somebody_elses_database_is_left_alone(self, url: str, postgres: PostgresServer, theirs: str) -> None:
        database = url.rsplit("/", 1)[1]
        postgres.administer(f"CREATE {theirs}", database)
        with pytest.raises(InputError, match="tables that are not QSearch's"):
            open_ledger(url)
        count = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        assert postgres.administer(count, database) == [(1,)]

    def test_without_create_nothing_is_made(self, url: str) -> None:
        with pytest.raises(NotFound, match="no ledger in postgresql"):
            open_ledger(url, create=False)
        uuid(url)
        open_ledger(url, create=False).close()

    def test_a_login_that_may_not_create_is_told_what_to_have_run(self, url: str, postgres: PostgresServer) -> None:
        postgres.make_login("guest")
        with pytest.raises(Unreachable, match="permission denied for schema public") as error:
            open_ledger(postgres.url(url.rsplit("/", 1)[1], "guest"))
        assert "GRANT USAGE, CREATE ON SCHEMA public" in error.value.hint

    def test_a_database_in_another_encoding_is_refused(self, url: str, postgres: PostgresServer) -> None:
        postgres.administer("CREATE DATABASE old OWNER qsearch ENCODING 'LATIN1' TEMPLATE template0")
        with pytest.raises(Unsupported, match=r"needs a database in UTF8, .*/old is in LATIN1"):
            open_ledger(postgres.url("old"))

    def test_many_open_a_new_database_at_once(self, url: str) -> None:
        with ThreadPoolExecutor(5) as pool:
            assert len(set(pool.map(uuid, [url] * 5))) == 1

    def test_opening_a_current_database_imports_no_alembic(self, url: str) -> None:
        uuid(url)
        code = (
            "import sys; from qsearch.store.opening import open_ledger; ledger = open_ledger(sys.argv[1]);"
            " ledger.jobs(); ledger.close(); sys.exit('alembic' in sys.modules)"
        )
        assert subprocess.run([sys.executable, "-c", code, url], check=False).returncode == 0
