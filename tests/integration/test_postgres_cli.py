"""The real command line on PostgreSQL: a job whose server is killed under it, and what it answers afterwards."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qsearch.contracts.errors import Unsupported
from qsearch.store.query import read_only_query
from tests.acceptance.conftest import QSEARCH, environment, write_classifier
from tests.postgres import PostgresServer

TRIALS = 3


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as made:
        yield made


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "qsearch.toml").write_text("")
    write_classifier(folder / "model.onnx", folder / "samples.npz")
    return folder


class Shell:
    """Commands in a project, on a database."""

    def __init__(self, project: Path, url: str) -> None:
        self.project = project
        self.words = [QSEARCH, "--database-url", url]

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.words, *words],
            cwd=self.project,
            env=environment(self.project.parent),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, code: int = 0) -> str:
        """Standard output, or standard error where a failure is expected; checks the exit code."""
        running = self.start(*words)
        out, err = running.communicate(timeout=250)
        assert running.returncode == code, out + err
        assert "Traceback" not in err
        return err if code else out


@pytest.mark.slow
@pytest.mark.noisy
@pytest.mark.timeout(300)  # the machine measures one job at a time, and others may be waiting too
def test_a_job_outlives_a_killed_server_and_answers_every_question(project: Path, server: PostgresServer) -> None:
    url = server.fresh_url().replace("+psycopg", "")
    shell = Shell(project, url)
    shell.run("init", "model.onnx", "--data", "samples.npz")
    driver = shell.start("run", "model.yaml", "--trials", str(TRIALS), "--fast")
    _wait_for_trials(url, driver)
    server.kill()
    time.sleep(1)
    server.start_again()
    out, err = driver.communicate(timeout=250)
    assert driver.returncode == 0, out + err
    _exactly_once(url)
    _answers(shell, server)
    _refusals(shell, server, url)


def _exactly_once(url: str) -> None:
    found = read_only_query(url, "SELECT state FROM v_trials", limit=99, timeout_s=10)
    assert found.rows == (("DONE",),) * TRIALS
    roles = "SELECT count(*), count(DISTINCT digest) FROM v_measurements WHERE role = 'trial'"
    assert read_only_query(url, roles, limit=9, timeout_s=10).rows == ((TRIALS, TRIALS),)


def _answers(shell: Shell, server: PostgresServer) -> None:
    best = json.loads(shell.run("best", "@last", "--max-drop", "50%", "--json"))
    assert best["schema"] == "qsearch.best/1"
    (job,) = json.loads(shell.run("jobs", "--json"))["jobs"]
    assert job["state"] == "DONE"
    rows = json.loads(shell.run("query", "select number, state, speedup > 0 as ok from v_trials order by 1", "--json"))
    assert [tuple(row.values()) for row in rows["rows"]] == [(n, "DONE", 1) for n in range(TRIALS)]
    assert "pg_sleep" in shell.run("query", "select pg_sleep(1)", code=2)
    shell.run("export", "@last/best", "-o", "out")
    assert (shell.project / "out" / "model.onnx").exists()
    for told in (shell.run("config", "show"), shell.run("doctor")):
        assert f"qsearch:***@127.0.0.1:{server.port}" in told.replace("\n", "")
        assert server.password not in told


def _refusals(shell: Shell, server: PostgresServer, url: str) -> None:
    wrong = Shell(shell.project, url.replace(server.password, "wr0ng")).run("jobs", code=8)
    assert "authentication failed" in wrong
    assert "wr0ng" not in wrong
    server.halt()
    stopped = shell.run("jobs", code=8)
    assert "pg_isready" in stopped
    assert server.password not in stopped
    assert "found something without a scheme" in Shell(shell.project, "me:s3cr3t@host/db").run("jobs", code=2)


def _wait_for_trials(url: str, driver: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 200
    while time.monotonic() < until and driver.poll() is None:
        try:
            found = read_only_query(url, "SELECT count(*) FROM v_trials WHERE state = 'DONE'", limit=1, timeout_s=5)
        except Unsupported:  # before the first migration there is no schema
            found = None
        if found and found.rows[0][0]:
            return
        time.sleep(0.1)
    driver.kill()
    out, err = driver.communicate()
    pytest.fail(f"no trial was done: {out}{err}")
