"""A database that another process holds: waited for, and named when that takes too long."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.acceptance.fire import Site, record_made_up, wait_for, write_deep_classifier

TRIALS = 14


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def site(project: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A project on either database, with a recording of its job."""
    write_deep_classifier(project)
    url = request.getfixturevalue("postgres").fresh_url() if request.param == "postgresql" else ""
    with Site(project, url) as found:
        found.write_spec(TRIALS)
        record_made_up(found, tmp_path / "recording")
        yield found


@pytest.mark.parametrize("seconds", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_a_lock_is_waited_for_and_the_job_goes_on(site: Site, tmp_path: Path, seconds: int) -> None:
    driver = site.start("run", "fire.yaml", "--pool", f"replay:{tmp_path}/recording")
    with site.books() as books:
        wait_for(lambda: books.count("accepted") >= 3, "no trial is done", pause_s=0.005)
        with _held(site):
            time.sleep(seconds)
        assert driver.wait(120) == 0, site.log.read_text()
        assert books.complaints(TRIALS) == []
        assert books.count("leased") == 1
        times = [event.at_ms for event in books.events()]
    gap = max(later - earlier for earlier, later in pairwise(times))
    assert gap >= seconds * 900, "the lock must have held the job up"
    site.assert_nothing_is_left()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_lock_that_outlasts_the_patience_is_named_and_resume_goes_on(site: Site, tmp_path: Path) -> None:
    pool = ("--pool", f"replay:{tmp_path}/recording")
    driver = site.start("run", "fire.yaml", *pool)
    with site.books() as books:
        wait_for(lambda: books.count("accepted") >= 3, "no trial is done", pause_s=0.005)
        with _held(site):
            began = time.monotonic()
            assert driver.wait(200) == 8, site.log.read_text()
            print(f"gave up after {time.monotonic() - began:.0f} s")
        said = site.log.read_text()
        assert "Traceback" not in said
        assert "lock" in said[said.rindex("error:") :], said
        before = books.accepted()
        assert 0 < len(before) < TRIALS
        assert site.run("resume", "@last", *pool).returncode == 0
        assert books.complaints(TRIALS) == []
        after = books.accepted()
    assert {number: after[number] for number in before} == before
    print(said[said.rindex("error:") :])


@contextlib.contextmanager
def _held(site: Site) -> Iterator[None]:
    """The database as another program's open transaction leaves it."""
    engine = create_engine(site.url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                connection.execute(text("PRAGMA busy_timeout = 20000"))
                connection.execute(text("BEGIN EXCLUSIVE"))
            else:
                connection.execute(text("BEGIN"))
                connection.execute(text("LOCK TABLE jobs, trials, job_events IN ACCESS EXCLUSIVE MODE"))
            yield
            connection.execute(text("ROLLBACK"))
    finally:
        engine.dispose()
