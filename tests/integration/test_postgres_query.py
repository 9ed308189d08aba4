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
from tests.integration.postgres_attacks import ATTACKS, TRAPS
from tests.postgres import PostgresServer


@pytest.fixture(scope="module")
def url(postgres: PostgresServer) -> Iterator[str]:
    """A ledger with one finished job, and things of others beside it that nobody may reach."""
    made = postgres.fresh_url()
    ledger = open_ledger(made)
    fill(ledger)
    ledger.close()
    database = made.rsplit("/", 1)[1]
    for statement in TRAPS:
        postgres.administer(statement, database)
    return made


def fill(ledger: Ledger) -> None:
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
    views = "v_jobs, v_trials, v_trial_layers, v_pareto, v_measurements, v_machines, v_noise"
    return isinstance(answer, UsageError) and views in answer.hint


def _state(url: str) -> object:
    ledger: SqlLedger = open_ledger(url)
    try:
        job = ledger.jobs()[0].id
        return ledger.jobs(), ledger.events(job), ledger.trials(job), ledger.history(job), ledger.uuid
    finally:
        ledger.close()
