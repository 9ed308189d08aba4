from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import ledger_samples as samples
import pytest

from qsearch.contracts.errors import NotFound, QSearchError, Unreachable, Unsupported, UsageError
from qsearch.contracts.front import FrontEntry
from qsearch.contracts.views import QueryResult
from qsearch.store.opening import open_ledger
from qsearch.store.query import read_only_query
from qsearch.store.query_sqlite import FUNCTIONS
from qsearch.store.sql_ledger import SqlLedger
from qsearch.store.views import VIEWS

COLUMNS = {
    "v_jobs": "job name state owner created ended budget_trials trials_queued trials_running trials_done trials_failed"
    " trials_cancelled searched_s epoch message",
    "v_trial_layers": "job trial number target state layer choice position op parameters macs",
    "v_machines": "host machine_key cpu cores isa virtualisation labels first_seen last_seen",
    "v_noise": "machine_key runtime_key runtime host source model taken sittings sessions session_sd pair_sd floor"
    " latency_p50_ms",
}


@pytest.fixture
def filled(ledger: SqlLedger) -> Iterator[str]:
    """A ledger with one finished job; its id."""
    job = ledger.create_job(samples.spec(), "name: encoder", "ada").id
    lease = ledger.lease(job, "driver", 60)
    ledger.remember_machine(samples.machine(), {"isa": "avx2"})
    ledger.save_noise(samples.noise())
    ledger.save_prepared(lease, "laptop", *samples.prepared())
    for trial in ledger.add_trials(lease, samples.proposals(3)):
        ledger.finish(job, trial.number, ledger.start(lease, trial.number), samples.measurement(0.5))
    ledger.save_final(lease, "laptop", samples.final([1]))
    entries = [FrontEntry(number=n, rank=n, tied_with=0 if n == 1 else None, feasible=True, excess=0.0) for n in (0, 1)]
    ledger.set_front(lease, "laptop", entries)
    ledger.set_best(lease, samples.best(job, 1))
    return job


def ask(url: str, sql: str, limit: int = 100, timeout_s: float = 5.0) -> QueryResult:
    return read_only_query(url, sql, limit=limit, timeout_s=timeout_s)


class TestAnswers:
    def test_every_view_has_rows_and_plain_columns(self, url: str, filled: str) -> None:
        listed = ask(url, "")
        assert listed.columns == ("view", "column")
        for view in VIEWS:
            found = ask(url, f"SELECT * FROM {view}")
            assert found.rows
            assert [column for name, column in listed.rows if name == view] == list(found.columns)
            assert all(str(column).replace("_", "").isalnum() for column in found.columns)
        for view, columns in COLUMNS.items():
            assert [column for name, column in listed.rows if name == view] == columns.split()

    def test_units_and_directions(self, url: str, filled: str) -> None:
        found = ask(
            url,
            "SELECT trial, round(speedup, 6), speedup_low < speedup, latency_p50_ms, reference_p50_ms, drop_search,"
            " size_bytes, drop_heldout, round(final_speedup, 4) FROM v_trials ORDER BY number",
        )
        assert found.rows[0] == (f"{filled}/0", 2.0, 1, 5.0, 10.0, 0.004, 4_000_000, None, None)
        assert found.rows[1][-2:] == (0.006, round(1 / 0.49, 4))

    def test_jobs_layers_pareto_and_measurements(self, url: str, filled: str) -> None:
        jobs = ask(url, "SELECT job, trials_done, trials_queued, budget_trials, ended FROM v_jobs")
        assert jobs.rows == ((filled, 3, 0, 12, None),)
        (created,) = ask(url, "SELECT created FROM v_jobs").rows[0]
        assert str(created).endswith("Z")
        assert "T" in str(created)
        layers = ask(url, "SELECT layer, choice, op, macs FROM v_trial_layers WHERE number = 0 ORDER BY position")
        assert layers.rows[0] == ("layer0", "int8-dynamic", "MatMul", 64)
        assert len(layers.rows) == 3
        pareto = ask(url, "SELECT number, rank, tied_with, pick FROM v_pareto ORDER BY rank")
        assert pareto.rows == ((0, 0, None, 0), (1, 1, 0, 1))
        roles = ask(url, "SELECT role, count(*) FROM v_measurements GROUP BY role ORDER BY role")
        assert roles.rows == (("final", 1), ("trial", 3))

    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT count(*) FROM v_trials",
            "WITH mine AS (SELECT speedup FROM v_trials) SELECT count(*) FROM mine",
            "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 5) SELECT sum(x) FROM c",
            "SELECT rank() OVER (ORDER BY speedup) FROM v_trials",
            "SELECT a.trial FROM v_trials a JOIN v_trial_layers b USING (trial) WHERE b.choice LIKE 'int8%'",
            "SELECT value FROM json_each('[1, 2]')",
            "VALUES (1), (2)",
            "SELECT 1;",
            "-- a comment\nSELECT 1",
            "SELECT count(*) FROM V_JOBS",
            "SELECT * FROM (SELECT job FROM v_jobs) AS jobs",
            "SELECT EXISTS (SELECT 1 FROM v_pareto)",
            "SELECT json_extract('{\"a\": 1}', '$.a'), '{\"a\": 1}' ->> 'a'",
        ],
    )
    def test_honest_questions_are_answered(self, url: str, filled: str, sql: str) -> None:
        assert ask(url, sql).rows

    def test_the_limit_cuts_and_says_so(self, url: str, filled: str) -> None:
        assert ask(url, "SELECT number FROM v_trials ORDER BY number", limit=2) == QueryResult(
            columns=("number",), rows=((0,), (1,)), truncated=True
        )
        assert not ask(url, "SELECT number FROM v_trials", limit=3).truncated

    def test_a_limit_or_time_that_means_nothing(self, url: str, filled: str) -> None:
        with pytest.raises(UsageError, match="limit of 1"):
            ask(url, "SELECT 1", limit=0)
        with pytest.raises(UsageError, match="above 0 s"):
            ask(url, "SELECT 1", timeout_s=0)

    def test_bytes_and_broken_text_come_back_as_text(self, url: str, filled: str) -> None:
        assert ask(url, "SELECT x'00ff', CAST(x'61ff' AS TEXT)").rows == (("00ff", "a\ufffd"),)


ATTACKS = {
    "insert": "INSERT INTO jobs DEFAULT VALUES",
    "update": "UPDATE jobs SET state = 'DONE'",
    "delete": "DELETE FROM job_events",
    "delete through a view": "DELETE FROM v_jobs",
    "drop": "DROP TABLE trials",
    "writable CTE": "WITH x AS (SELECT 1) DELETE FROM jobs",
    "returning": "UPDATE jobs SET state = 'DONE' RETURNING id",
    "attach an existing database": "ATTACH '{other}' AS other",
    "attach a new file": "ATTACH '{fresh}' AS fresh",
    "attach by URI": "ATTACH 'file:{fresh}?mode=rwc' AS fresh",
    "detach": "DETACH main",
    "query_only off": "PRAGMA query_only=0",
    "writable schema": "PRAGMA writable_schema=1",
    "any pragma": "PRAGMA database_list",
    "pragma as a table": "SELECT * FROM pragma_database_list",
    "count of a pragma": "SELECT count(*) FROM pragma_table_info('jobs')",
    "vacuum into": "VACUUM INTO '{fresh}'",
    "vacuum": "VACUUM",
    "temporary table": "CREATE TEMP TABLE t(x)",
    "temporary view": "CREATE TEMP VIEW t AS SELECT * FROM jobs",
    "temporary trigger": "CREATE TEMP TRIGGER t AFTER INSERT ON jobs BEGIN SELECT 1; END",
    "reindex": "REINDEX",
    "analyze": "ANALYZE",
    "begin": "BEGIN",
    "savepoint": "SAVEPOINT s",
    "zeroblob": "SELECT zeroblob(500000000)",
    "randomblob": "SELECT randomblob(500000000)",
    "load_extension": "SELECT load_extension('/tmp/x.so')",
    "second statement": "SELECT 1; DROP TABLE jobs",
    "second statement after a comment": "SELECT 1; -- x\n DELETE FROM jobs",
    "a table": "SELECT * FROM jobs",
    "a table counted": "SELECT count(*) FROM jobs",
    "a table counted in capitals": "SELECT count(*) FROM JOBS",
    "a table by schema": "SELECT id FROM main.jobs",
    "a table in a subquery": "SELECT 1 WHERE EXISTS (SELECT id FROM jobs)",
    "a table in an alias": "SELECT * FROM (SELECT spec FROM jobs) AS v_jobs",
    "a CTE that calls itself a view": "WITH v_jobs AS (SELECT * FROM jobs) SELECT * FROM v_jobs",
    "a quoted CTE that calls itself a view": 'WITH "V_Jobs"(a) AS (SELECT spec FROM jobs) SELECT a FROM v_jobs',
    "a table joined to a view": "SELECT m.value FROM v_jobs, meta m",
    "a table in a view's filter": "SELECT job FROM v_jobs WHERE job IN (SELECT id FROM jobs)",
    "a table in ORDER BY": "SELECT job FROM v_jobs ORDER BY (SELECT spec FROM jobs)",
    "the view of main": "SELECT * FROM main.v_jobs",
    "the schema": "SELECT sql FROM sqlite_master",
    "the schema under its other name": "SELECT sql FROM sqlite_schema",
    "the schema counted": "SELECT count(*) FROM sqlite_master",
    "the temporary schema": "SELECT sql FROM sqlite_temp_master",
    "the alembic table": "SELECT * FROM alembic_version_qsearch",
    "the raw pages": "SELECT * FROM dbstat",
    "full-text tokens": "SELECT * FROM fts3tokenize('simple', 'x')",
    "a tokenizer's address": "SELECT fts3_tokenizer('simple')",
    "the database's file name": "SELECT sqlite_version(), sqlite_source_id()",
    "total changes": "SELECT total_changes()",
    "nothing": "-- nothing",
    "null byte": "SELECT 1\0; DROP TABLE jobs",
    "lone surrogate": "SELECT '\ud800'",
    "deep nesting": "SELECT " + "(" * 500 + "1" + ")" * 500,
    "ten megabytes": "SELECT '" + "x" * 10_000_000 + "'",
    "many unions": " UNION ALL ".join(["SELECT 1"] * 100),
    "a bound value": "SELECT ?",
    "a number no column has": "SELECT nothing FROM v_jobs",
    "no view": "SELECT * FROM v_secrets",
    "bad syntax": "SELEC 1",
}


class TestAttacks:
    @pytest.mark.parametrize("attack", ATTACKS)
    def test_it_is_refused_names_the_views_and_leaves_no_trace(
        self, url: str, filled: str, tmp_path: Path, ledger: SqlLedger, attack: str
    ) -> None:
        other, fresh = tmp_path / "other.db", tmp_path / "fresh.db"
        with sqlite3.connect(other) as connection:
            connection.execute("CREATE TABLE secret(x)")
        connection.close()
        before = (ledger.jobs(), ledger.events(filled), sorted(tmp_path.iterdir()))
        with pytest.raises(UsageError) as error:
            ask(url, ATTACKS[attack].replace("{other}", str(other)).replace("{fresh}", str(fresh)))
        assert "v_jobs, v_trials, v_trial_layers, v_pareto, v_measurements, v_machines, v_noise" in str(error.value)
        assert (ledger.jobs(), ledger.events(filled), sorted(tmp_path.iterdir())) == before

    @pytest.mark.parametrize(
        "sql",
        [
            "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c",
            "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c ORDER BY -x",
            "SELECT count(*) FROM v_trials a, v_trials b, v_trials c, v_trials d, v_trials e, v_trials f, v_trials g,"
            " v_trials h, v_trials i, v_trials j, v_trials k, v_trials l, v_trials m, v_trials n, v_trials o",
        ],
    )
    def test_what_never_ends_is_stopped(self, url: str, filled: str, sql: str) -> None:
        began = time.monotonic()
        with pytest.raises(Unreachable, match=r"longer than 0\.2 s"):
            ask(url, sql, timeout_s=0.2)
        assert time.monotonic() - began < 5

    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT printf('%.*c', 300000000, 'x')",
            "SELECT printf('%300000000d', 1)",
            "SELECT replace(printf('%.*c', 190000, 'a'), 'a', 'aaaaaaaaaa')",
            "SELECT hex(hex(hex(printf('%.*c', 100000, 'x'))))",
            "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 90000)"
            " SELECT group_concat('0123456789') FROM c",
        ],
    )
    def test_no_value_grows_beyond_the_limit(self, url: str, filled: str, sql: str) -> None:
        if "300000000" in sql:
            assert ask(url, sql).rows == ((None,),)
        else:
            with pytest.raises(UsageError, match="too big"):
                ask(url, sql)

    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT instr(printf('%.*c', 190000, 'a'), printf('%.*c', 90000, 'a') || 'b')",
            "SELECT replace(printf('%.*c', 190000, 'a'), printf('%.*c', 90000, 'a') || 'b', '')",
            f"SELECT printf('%.*c', 190000, 'a') LIKE '{'%a' * 300}b'",
            f"SELECT printf('%.*c', 190000, 'a') GLOB '{'*a' * 300}b'",
        ],
    )
    def test_a_slow_function_cannot_outrun_the_deadline_by_much(self, url: str, filled: str, sql: str) -> None:
        began = time.monotonic()
        with contextlib.suppress(QSearchError):
            ask(url, sql, timeout_s=1)
        assert time.monotonic() - began < 10

    def test_the_lists_of_functions_and_views_hold_nothing_that_reads_or_writes(self) -> None:
        assert not FUNCTIONS & {"load_extension", "readfile", "writefile", "edit", "zeroblob", "randomblob"}
        assert not [name for name in FUNCTIONS if name.startswith(("sqlite_", "fts", "pragma"))]
        assert not [body for body in VIEWS.values() for view in VIEWS if view in body]

    def test_an_answer_is_capped_in_bytes(self, url: str, filled: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("qsearch.store.query_sqlite.ANSWER_BYTES", 1_000)
        found = ask(url, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x, 'abcdefgh' FROM c")
        assert found.truncated
        assert 0 < len(found.rows) < 100


class TestDatabases:
    def test_there_is_none(self, tmp_path: Path) -> None:
        with pytest.raises(NotFound, match="no database"):
            ask(f"sqlite:///{tmp_path}/none.db", "SELECT 1")
        assert list(tmp_path.iterdir()) == []

    def test_of_another_program(self, tmp_path: Path) -> None:
        with sqlite3.connect(tmp_path / "other.db") as connection:
            connection.execute("CREATE TABLE t(x)")
        connection.close()
        with pytest.raises(Unsupported, match="schema none"):
            ask(f"sqlite:///{tmp_path}/other.db", "SELECT 1")

    def test_no_database_at_all(self, tmp_path: Path) -> None:
        (tmp_path / "text.db").write_text("hello " * 1000)
        with pytest.raises(Unreachable, match="not a database"):
            ask(f"sqlite:///{tmp_path}/text.db", "SELECT 1")

    def test_other_dialects_are_refused_without_their_password(self) -> None:
        with pytest.raises(UsageError) as error:
            ask("mysql+pymysql://me:s3cr3t@host/db", "SELECT 1")
        assert "s3cr3t" not in str(error.value)

    def test_a_file_name_with_signs_of_its_own(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/a?mode=rwc&b #%41.db".replace("?", "%3F")
        open_ledger(url).close()
        assert ask(url, "SELECT count(*) FROM v_jobs").rows == ((0,),)

    def test_it_reads_beside_a_writer(self, url: str, filled: str) -> None:
        writer = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        assert ask(url, "SELECT count(*) FROM v_jobs").rows == ((1,),)
        writer.execute("ROLLBACK")
        writer.close()
