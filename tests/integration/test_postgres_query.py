"""`query` on PostgreSQL: honest questions are answered as on SQLite, everything else is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qsearch.contracts.errors import Unreachable, Unsupported, UsageError
from qsearch.contracts.front import FrontEntry
from qsearch.contracts.ledger import Ledger
from qsearch.contracts.views import QueryResult
from qsearch.store import query_postgres
from qsearch.store.opening import open_ledger
from qsearch.store.query import read_only_query
from qsearch.store.sql_ledger import SqlLedger
from qsearch.store.views import VIEWS
from tests.contract import ledger_samples as samples
from tests.postgres import PostgresServer


@pytest.fixture(scope="module")
def url(postgres: PostgresServer) -> Iterator[str]:
    """A ledger with one finished job, and things of others beside it that nobody may reach."""
    made = postgres.fresh_url()
    ledger = open_ledger(made)
    fill(ledger)
    ledger.close()
    database = made.rsplit("/", 1)[1]
    for statement in _TRAPS:
        postgres.administer(statement, database)
    return made


def fill(ledger: Ledger) -> None:
    job = ledger.create_job(samples.spec(), "name: encoder", "ada").id
    lease = ledger.lease(job, "driver", 60)
    ledger.remember_machine(samples.machine(), {"isa": "avx2"})
    ledger.save_prepared(lease, "laptop", *samples.prepared())
    for trial in ledger.add_trials(lease, samples.proposals(3)):
        ledger.finish(job, trial.number, ledger.start(lease, trial.number), samples.measurement(0.5))
    ledger.save_final(lease, "laptop", samples.final([1]))
    entries = [FrontEntry(number=n, rank=n, tied_with=0 if n == 1 else None, feasible=True, excess=0.0) for n in (0, 1)]
    ledger.set_front(lease, "laptop", entries)
    ledger.set_best(lease, samples.best(job, 1))


def ask(url: str, sql: str, limit: int = 100, timeout_s: float = 10.0) -> QueryResult:
    return read_only_query(url, sql, limit=limit, timeout_s=timeout_s)


class TestAnswers:
    def test_every_view_answers_as_on_sqlite(self, url: str, tmp_path: Path) -> None:
        other = f"sqlite:///{tmp_path}/ledger.db"
        ledger = open_ledger(other)
        fill(ledger)
        ledger.close()
        assert ask(url, "") == ask(other, "")
        for view in VIEWS:
            here, there = (ask(found, f"SELECT * FROM {view}") for found in (url, other))
            assert here.columns == there.columns
            shapes = [[[_shape(value) for value in row] for row in found.rows] for found in (here, there)]
            assert sorted(shapes[0]) == sorted(shapes[1]), view

    @pytest.mark.parametrize(
        ("sql", "rows"),
        [
            ("SELECT count(*) FROM v_trials", ((3,),)),
            ("SELECT number FROM v_trials ORDER BY number DESC", ((2,), (1,), (0,))),
            ("SELECT trial LIKE '%/1' FROM v_trials ORDER BY number", ((0,), (1,), (0,))),
            ("WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 5) SELECT sum(x) FROM c",
             ((15,),)),
            ("SELECT rank() OVER (ORDER BY number) FROM v_trials", ((1,), (2,), (3,))),
            ("SELECT DISTINCT a.number FROM v_trials a JOIN v_trial_layers USING (trial) WHERE a.number = 1", ((1,),)),
            ("SELECT role, count(*) FROM v_measurements GROUP BY role ORDER BY role", (("final", 1), ("trial", 3))),
            ("VALUES (1), (2)", ((1,), (2,))),
            ("SELECT 1;", ((1,),)),
            ("-- a comment\nSELECT 1 -- another", ((1,),)),
            ("TABLE v_missing", None),
            ("SELECT * FROM (SELECT 1 AS x) AS jobs", ((1,),)),
            ("SELECT number FROM v_pareto WHERE pick AND feasible", ((1,),)),
            ("SELECT 1 AS a, 2 AS a, '%s %% %', 'é'", ((1, 2, "%s %% %", "é"),)),
            ("SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY number) FROM v_trials", ((1.0,),)),
            ("SELECT 1.5, 2.0, sum(number), avg(number), 10 / 4, true, NULL FROM v_trials",
             ((1.5, 2.0, 3, 1.0, 2, 1, None),)),
            ("SELECT DATE '2026-01-02', TIMESTAMPTZ '2026-01-02 03:04:05+01', '\\x00ff'::bytea, ARRAY[1, 2], 1::real",
             (("2026-01-02", "2026-01-02T02:04:05Z", "00ff", "[1, 2]", 1.0),)),
            ("SELECT '{\"a\": [1]}'::json -> 'a', '{\"a\": \"b\"}'::jsonb ->> 'a'", (("[1]", "b"),)),
            ("SELECT 1 AS \"{FUNCEXPR :funcid 1 :rtekind 0 :relid 1\", 'a :funcid 9'", ((1, "a :funcid 9"),)),
            ("SELECT current_date IS NULL, created::timestamp IS NULL FROM v_jobs", ((0, 0),)),
            ("SELECT a.number FROM v_trials a, LATERAL (SELECT max(position) AS p FROM v_trial_layers b"
             " WHERE b.trial = a.trial) c WHERE c.p = 2 AND a.number IN (SELECT number FROM v_pareto) ORDER BY 1",
             ((0,), (1,))),
        ],
    )  # fmt: skip
    def test_honest_questions_are_answered(
        self, url: str, sql: str, rows: tuple[tuple[object, ...], ...] | None
    ) -> None:
        if rows is None:
            with pytest.raises(UsageError, match='relation "v_missing" does not exist'):
                ask(url, sql)
        else:
            assert ask(url, sql).rows == rows

    def test_the_limit_cuts_and_says_so(self, url: str) -> None:
        assert ask(url, "SELECT number FROM v_trials ORDER BY number", limit=2) == QueryResult(
            columns=("number",), rows=((0,), (1,)), truncated=True
        )
        assert not ask(url, "SELECT number FROM v_trials", limit=3).truncated

    def test_an_answer_is_capped_in_bytes(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(query_postgres, "ANSWER_BYTES", 1_000)
        found = ask(
            url, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 999) SELECT x FROM c"
        )
        assert found.truncated
        assert 0 < len(found.rows) < 150

    def test_it_reads_beside_a_writer(self, url: str, postgres: PostgresServer) -> None:
        ledger = open_ledger(url)
        job = ledger.jobs()[0].id
        seen = ledger._database.write(lambda tx: (tx.job(job), ask(url, "SELECT count(*) FROM v_jobs").rows)[1])
        ledger.close()
        assert seen == ((1,),)


def _shape(value: object) -> object:
    """Jobs have ids of their own and times pass; everything else is compared as it is."""
    if isinstance(value, str) and (value[:1] == "1" or value[:2] == "20"):
        return (len(value), value[12:] if "/" in value else "")
    return repr(value)


#: what a careless administrator might leave in reach of the login
_TRAPS = (
    "CREATE TABLE public.secret AS SELECT 's3cr3t'::text AS word",
    "GRANT ALL ON public.secret TO PUBLIC",
    "CREATE VIEW public.w_secret AS SELECT * FROM public.secret",
    "GRANT ALL ON public.w_secret TO PUBLIC",
    "CREATE FUNCTION public.leak() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT word FROM public.secret'",
    "CREATE FUNCTION public.lower(int) RETURNS text LANGUAGE sql AS 'SELECT word FROM public.secret'",
    "CREATE FUNCTION public.spy(int, int) RETURNS bool LANGUAGE sql AS 'SELECT EXISTS (SELECT 1 FROM public.secret)'",
    "CREATE FUNCTION public.leak_of(public.v_jobs) RETURNS text LANGUAGE sql AS 'SELECT word FROM public.secret'",
    "CREATE OPERATOR public.<<< (LEFTARG = int, RIGHTARG = int, FUNCTION = public.spy)",
    "CREATE DOMAIN public.nosy AS int CHECK (public.leak() IS NOT NULL)",
    "CREATE TYPE public.pair AS (a int, b int)",
    "CREATE AGGREGATE public.gather(text) (SFUNC = textcat, STYPE = text, FINALFUNC = upper)",
    "CREATE EXTENSION IF NOT EXISTS plpgsql",
)
ATTACKS = {
    "insert": "INSERT INTO jobs DEFAULT VALUES",
    "update": "UPDATE jobs SET state = 'DONE' RETURNING id",
    "delete": "DELETE FROM job_events",
    "delete through a view": "DELETE FROM v_machines",
    "merge": "MERGE INTO jobs USING v_jobs v ON v.job = id WHEN MATCHED THEN DELETE",
    "truncate": "TRUNCATE job_events",
    "drop": "DROP TABLE trials CASCADE",
    "create": "CREATE TABLE t(x int)",
    "temporary table": "CREATE TEMP TABLE t AS SELECT 1",
    "select into": "SELECT 1 AS x INTO t",
    "alter role": "ALTER ROLE CURRENT_USER SUPERUSER",
    "grant": "GRANT ALL ON jobs TO PUBLIC",
    "writable CTE": "WITH x AS (DELETE FROM job_events RETURNING 1) SELECT * FROM x",
    "writable CTE in a bracket": "SELECT * FROM (WITH x AS (UPDATE jobs SET name = '' RETURNING 1) SELECT * FROM x) y",
    "lock": "LOCK TABLE jobs",
    "row lock": "SELECT * FROM v_machines FOR UPDATE",
    "row lock on a table": "SELECT 1 FROM jobs FOR UPDATE",
    "do": "DO $$ BEGIN DELETE FROM job_events; END $$",
    "copy out": "COPY jobs TO '{fresh}'",
    "copy program": "COPY (SELECT 1) TO PROGRAM 'touch {fresh}'",
    "copy to stdout": "COPY jobs TO STDOUT",
    "call": "CALL anything()",
    "prepare": "PREPARE x AS SELECT 1",
    "execute": "EXECUTE x",
    "declare": "DECLARE c CURSOR FOR SELECT * FROM jobs",
    "explain": "EXPLAIN SELECT * FROM jobs",
    "explain analyze": "EXPLAIN ANALYZE DELETE FROM job_events",
    "show": "SHOW data_directory",
    "set": "SET ROLE NONE",
    "reset": "RESET ALL",
    "begin": "BEGIN",
    "commit": "COMMIT",
    "rollback": "ROLLBACK",
    "vacuum": "VACUUM",
    "listen": "LISTEN x",
    "notify": "NOTIFY x",
    "load": "LOAD 'plpgsql'",
    "second statement": "SELECT 1; DROP TABLE jobs CASCADE",
    "second statement after a comment": "SELECT 1; -- x\n DELETE FROM job_events",
    "second statement in a dollar": "SELECT $$a$$; DELETE FROM job_events",
    "bracket breakout": "SELECT 1) AS q; DELETE FROM job_events; SELECT * FROM (SELECT 1",
    "bracket breakout to a join": "SELECT 1) AS a, (SELECT id FROM jobs",
    "bracket breakout to a union": "SELECT 1) AS q UNION SELECT id FROM (SELECT id FROM jobs",
    "bracket breakout to where": "SELECT 1) AS q WHERE EXISTS (SELECT 1 FROM jobs",
    "bracket breakout by comment": "SELECT 1) AS q /*",
    "bracket breakout by line comment": "SELECT 1) AS q --",
    "open string": "SELECT 1) AS q, (SELECT 'a",
    "open dollar": "SELECT $x$ ",
    "open identifier": 'SELECT 1 AS "',
    "parameter": "SELECT $1",
    "our table": "SELECT * FROM jobs",
    "our table, quoted": 'SELECT * FROM "jobs"',
    "our table, escaped": 'SELECT * FROM U&"\\006a\\006f\\0062\\0073"',
    "our table, qualified": "SELECT * FROM public.jobs",
    "our table, counted": "SELECT count(*) FROM jobs",
    "our table, as a command": "TABLE jobs",
    "our table in a subselect": "SELECT (SELECT spec FROM jobs LIMIT 1)",
    "our table in EXISTS": "SELECT EXISTS (SELECT 1 FROM jobs)",
    "our table under a view's name": "WITH v_jobs AS (SELECT * FROM jobs) SELECT * FROM v_jobs",
    "our table under a view's alias": "SELECT v_jobs.* FROM jobs AS v_jobs",
    "our table, lateral": "SELECT * FROM v_jobs v, LATERAL (SELECT spec FROM jobs WHERE id = v.job) x",
    "our table in ORDER BY": "SELECT 1 ORDER BY (SELECT spec FROM jobs LIMIT 1)",
    "our table in LIMIT": "SELECT 1 LIMIT (SELECT count(*) FROM jobs)",
    "our table in a window": "SELECT count(*) OVER (ORDER BY (SELECT spec FROM jobs LIMIT 1))",
    "our table in VALUES": "VALUES ((SELECT spec FROM jobs LIMIT 1))",
    "our table in GROUP BY": "SELECT 1 GROUP BY (SELECT spec FROM jobs LIMIT 1)",
    "our table in a set operation": "SELECT 'a' UNION ALL SELECT spec FROM jobs",
    "our table sampled": "SELECT * FROM jobs TABLESAMPLE SYSTEM (100)",
    "our row type": "SELECT NULL::jobs",
    "our toast": "SELECT * FROM pg_toast.pg_toast_1213",
    "our sequence": "SELECT last_value FROM finals_id_seq",
    "next of our sequence": "SELECT nextval('finals_id_seq')",
    "schema version": "SELECT * FROM alembic_version_qsearch",
    "their table": "SELECT * FROM secret",
    "their view": "SELECT * FROM w_secret",
    "their function": "SELECT leak()",
    "their function, qualified": "SELECT public.leak()",
    "their function under a good name": "SELECT lower(1)",
    "their function as a column": "SELECT p.leak_of FROM v_jobs AS p",
    "their function in FROM": "SELECT * FROM leak()",
    "their function in ROWS FROM": "SELECT * FROM ROWS FROM (leak(), json_array_elements('[1]'))",
    "their operator": "SELECT 1 OPERATOR(public.<<<) 2",
    "their operator with ANY": "SELECT 1 OPERATOR(public.<<<) ANY (ARRAY[1])",
    "their domain": "SELECT 1::public.nosy",
    "their domain, of a column": "SELECT epoch::public.nosy FROM v_jobs",
    "their type": "SELECT '(1,2)'::public.pair",
    "their aggregate": "SELECT public.gather('x')",
    "passwords": "SELECT * FROM pg_authid",
    "passwords, qualified": "SELECT * FROM pg_catalog.pg_shadow",
    "users": "SELECT * FROM pg_user",
    "catalog": "SELECT * FROM pg_class",
    "information schema": "SELECT * FROM information_schema.tables",
    "settings": "SELECT * FROM pg_settings",
    "other sessions": "SELECT query FROM pg_stat_activity",
    "large objects": "SELECT * FROM pg_largeobject",
    "name lookup": "SELECT 'jobs'::regclass",
    "name lookup by function": "SELECT to_regclass('jobs')",
    "name lookup in an array": "SELECT '{jobs}'::regclass[]",
    "name lookup of a column": "SELECT name::regclass FROM v_jobs",
    "role lookup": "SELECT 'postgres'::regrole",
    "who": "SELECT current_user",
    "where": "SELECT current_catalog",
    "version": "SELECT version()",
    "setting": "SELECT current_setting('data_directory')",
    "change a setting": "SELECT set_config('role', 'none', false)",
    "change a setting, escaped": 'SELECT U&"set\\005fconfig"(\'role\', \'none\', false)',
    "change a setting in FROM": "SELECT * FROM set_config('transaction_read_only', 'off', true)",
    "change a setting, qualified": "SELECT pg_catalog.set_config('statement_timeout', '0', false)",
    "change a setting, named": "SELECT set_config(setting_name => 'role', new_value => 'none', is_local => true)",
    "text as a query": "SELECT query_to_xml('SELECT * FROM jobs', true, false, '')",
    "text as a query, later": "SELECT set_config('role', 'none', false), query_to_xml('TABLE jobs', true, false, '')",
    "table as XML": "SELECT table_to_xml('jobs', true, false, '')",
    "database as XML": "SELECT database_to_xml(true, false, '')",
    "text as statistics": "SELECT * FROM ts_stat('SELECT to_tsvector(spec) FROM jobs')",
    "XML": "SELECT xmlparse(DOCUMENT '<a/>')",
    "XML table": "SELECT * FROM xmltable('/a' PASSING '<a/>' COLUMNS x text)",
    "XML type": "SELECT '<a/>'::xml",
    "read a file": "SELECT pg_read_file('/etc/passwd')",
    "read a binary file": "SELECT pg_read_binary_file('/etc/passwd')",
    "list a folder": "SELECT pg_ls_dir('/')",
    "stat a file": "SELECT * FROM pg_stat_file('/etc/passwd')",
    "import a file": "SELECT lo_import('/etc/passwd')",
    "export a file": "SELECT lo_export(1, '{fresh}')",
    "make a large object": "SELECT lo_from_bytea(0, 'x')",
    "other server": "SELECT * FROM dblink('host=127.0.0.1', 'SELECT 1') AS t(x int)",
    "sleep": "SELECT pg_sleep(10)",
    "sleep in FROM": "SELECT * FROM pg_sleep(10)",
    "kill": "SELECT pg_terminate_backend(1)",
    "cancel": "SELECT pg_cancel_backend(pg_backend_pid())",
    "reload": "SELECT pg_reload_conf()",
    "advisory lock": "SELECT pg_advisory_lock(1)",
    "advisory lock for ever": "SELECT pg_advisory_lock(1363367242)",
    "log": "SELECT pg_logical_emit_message(false, 'a', 'b')",
    "notify by function": "SELECT pg_notify('a', 'b')",
    "definition": "SELECT pg_get_viewdef('v_jobs'::regclass)",
    "size": "SELECT pg_database_size('postgres')",
    "random": "SELECT random()",
    "long text": "SELECT repeat('x', 1000000000)",
    "padded text": "SELECT lpad('x', 1000000000)",
    "formatted text": "SELECT format('%1000000000s', 'x')",
    "series": "SELECT * FROM generate_series(1, 10000000000)",
    "cast by function": "SELECT regclass('jobs'::text)",
    "nothing": "-- nothing",
    "words": "hello",
}  # fmt: skip


class TestRefusals:
    def test_every_attack_of_a_superuser_is_refused_and_changes_nothing(
        self, url: str, postgres: PostgresServer, tmp_path: Path
    ) -> None:
        """No grant of the server would stop this login."""
        asked = postgres.url(url.rsplit("/", 1)[1], "admin")
        fresh, before = tmp_path / "fresh", _state(url)
        answers = {name: _answer(asked, attack.replace("{fresh}", str(fresh))) for name, attack in ATTACKS.items()}
        assert {name: answer for name, answer in answers.items() if not _is_refusal(answer)} == {}
        assert "s3cr3t" not in str(answers)
        assert _state(url) == before
        assert not fresh.exists()

    def test_the_list_is_what_refuses(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without it these pass every other wall; so the attacks above do reach it."""
        monkeypatch.setattr(query_postgres.postgres_fence, "objection", lambda *_: "")
        for name in (
            "our table, escaped",
            "our table under a view's name",
            "their function as a column",
            "their operator",
            "their domain",
            "name lookup",
            "change a setting",
        ):
            assert not _is_refusal(_answer(url, ATTACKS[name])), name
        for name in ("writable CTE in a bracket", "row lock", "bracket breakout to a join", "copy out", "do"):
            assert isinstance(_answer(url, ATTACKS[name]), UsageError), name

    def test_what_is_refused_is_named(self, url: str) -> None:
        for sql, words in {
            "SELECT * FROM jobs": "reading anything else is refused",
            "SELECT pg_sleep(1)": "the function pg_sleep() is refused",
            "SELECT public.leak()": "the function of the database() is refused",
            "SELECT 'v_jobs'::regclass": "the type regclass is refused",
            "SELECT 1 FROM v_jobs FOR SHARE": "a part called rowmarkclause is refused",
            "SELECT 1 +": 'syntax error at or near ")"|syntax error at end of input',
        }.items():
            with pytest.raises(
                UsageError, match=words.replace("(", r"\(").replace(")", r"\)") if "|" not in words else None
            ):
                ask(url, sql)

    def test_the_whole_catalog_holds_no_function_that_reads_writes_or_waits(self, postgres: PostgresServer) -> None:
        """Every overload under an allowed name is the server's own, plain C, and not volatile."""
        allowed = sorted(query_postgres.postgres_fence.FUNCTIONS)
        found = postgres.administer(
            "SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_language l ON l.oid = prolang"
            f" WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = ANY(ARRAY{allowed})"
            " AND (provolatile = 'v' OR lanname NOT IN ('internal', 'sql') OR prosecdef)"
        )
        assert found == []
        by_sql = postgres.administer(
            "SELECT DISTINCT proname FROM pg_proc p JOIN pg_language l ON l.oid = prolang"
            f" WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = ANY(ARRAY{allowed}) AND lanname = 'sql'"
            " ORDER BY 1"
        )
        assert {name for (name,) in by_sql} <= {
            "age", "bpchar", "char_length", "character_length", "date_part", "date_trunc", "extract", "interval",
            "length", "log", "log10", "numeric", "position", "round", "substring", "time", "timestamp", "timestamptz",
            "trunc", "upper", "lower",
        }  # fmt: skip

    @pytest.mark.parametrize(
        "sql",
        [
            "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT (x + 1) % 1000 FROM c) SELECT count(*) FROM c",
            "SELECT count(*) FROM v_trials a, v_trials b, v_trials c, v_trials d, v_trials e, v_trials f, v_trials g,"
            " v_trials h, v_trials i, v_trials j, v_trials k, v_trials l, v_trials m, v_trials n, v_trials o",
        ],
    )
    def test_what_never_ends_is_stopped(self, url: str, sql: str) -> None:
        began = time.monotonic()
        with pytest.raises(Unreachable, match=r"longer than 0\.3 s"):
            ask(url, sql, timeout_s=0.3)
        assert time.monotonic() - began < 5

    def test_a_statement_of_a_million_signs(self, url: str) -> None:
        with pytest.raises(UsageError, match="at most 50000 characters"):
            ask(url, "SELECT " + "1+" * 500_000 + "1")

    def test_what_cannot_be_sent(self, url: str) -> None:
        for sql in ("SELECT '\0'", "SELECT '\udc80'"):
            with pytest.raises(UsageError, match="not valid"):
                ask(url, sql)


class TestDatabases:
    def test_of_another_program(self, postgres: PostgresServer) -> None:
        with pytest.raises(Unsupported, match="schema none"):
            ask(postgres.fresh_url(), "SELECT 1")

    def test_a_login_that_may_make_no_temporary_view_is_told_what_to_have_run(
        self, url: str, postgres: PostgresServer
    ) -> None:
        database = url.rsplit("/", 1)[1]
        postgres.make_login("analyst")
        for statement in (
            f"REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC",
            "GRANT SELECT ON alembic_version_qsearch, v_jobs TO analyst",
        ):
            postgres.administer(statement, database)
        asked = postgres.url(database, "analyst")
        with pytest.raises(Unsupported, match="which analyst may not") as error:
            ask(asked, "SELECT job FROM v_jobs")
        postgres.administer(error.value.hint.partition(": ")[2], database)
        assert len(ask(asked, "SELECT job FROM v_jobs").rows) == 1
        with pytest.raises(UsageError, match="permission denied for view v_trials"):
            ask(asked, "SELECT job FROM v_trials")


def _answer(url: str, sql: str) -> QueryResult | UsageError:
    try:
        return ask(url, sql)
    except UsageError as error:
        return error


def _is_refusal(answer: QueryResult | UsageError) -> bool:
    views = "v_jobs, v_trials, v_trial_layers, v_pareto, v_measurements, v_machines"
    return isinstance(answer, UsageError) and views in answer.hint


def _state(url: str) -> object:
    ledger: SqlLedger = open_ledger(url)
    try:
        job = ledger.jobs()[0].id
        return ledger.jobs(), ledger.events(job), ledger.trials(job), ledger.history(job), ledger.uuid
    finally:
        ledger.close()
