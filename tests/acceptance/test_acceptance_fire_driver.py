"""The driver of a job, killed with SIGKILL again and again: nothing is lost and nothing is counted twice."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from qsearch.search.rows import SAMPLERS
from tests.acceptance.checker import Books
from tests.acceptance.fire import Site, record_made_up, wait_for, write_deep_classifier

_HOURS = ('"created"', '"ended"')


@pytest.fixture(params=["sqlite", "postgresql"])
def site(project: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A project on either database."""
    write_deep_classifier(project)
    url = request.getfixturevalue("postgres").fresh_url() if request.param == "postgresql" else ""
    with Site(project, url) as found:
        yield found


@pytest.mark.slow
@pytest.mark.noisy
@pytest.mark.timeout(3600)
def test_twenty_kills_among_real_measurements_lose_and_repeat_nothing(site: Site) -> None:
    trials, chance = 30, random.Random(20)
    site.write_spec(trials)
    phases, seen = Counter[str](), dict[int, tuple[str, bytes]]()
    with site.books() as books:
        for shot in range(20):
            driver = _start(site, books, shot)
            if shot % 2:
                wait_for(lambda: len(books.accepted()) > len(seen), "nothing is accepted", 900)  # noqa: B023
            time.sleep(chance.uniform(0.1, 6.0))
            phases[books.phase()] += 1
            driver.kill()
            assert driver.wait() == -signal.SIGKILL, site.log.read_text()
            seen = _kept(site, books, seen)
        for shot in range(20, 23):
            # and some more in the finals, which end at once where nothing that was measured can be judged
            driver = _start(site, books, shot)
            wait_for(lambda shot=shot: books.entered("FINALIZING", shot + 1), "no finals", 1800)
            time.sleep(chance.uniform(0.1, 6.0))
            phases[books.phase()] += 1
            driver.kill()
            driver.wait()
            seen = _kept(site, books, seen)
            if books.phase() == "DONE":
                break
        else:
            done = site.run("resume", "@last", timeout=900)
            assert done.returncode == 0, done.stderr
        assert books.complaints(trials) == []
        seen, requeued = _kept(site, books, seen), books.count("requeued")
    print(f"kills by phase: {dict(phases)}; trials requeued: {requeued}; failed attempts: {_causes(site)}")
    assert requeued >= 8, "kills that hit no measurement prove nothing"
    (front,) = json.loads(site.run("pareto", "@last", "--json").stdout)["fronts"]
    assert len(front["rows"]) == trials
    assert front["best"]["trial"]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_a_job_killed_twenty_times_has_the_front_of_an_unkilled_one(site: Site, tmp_path: Path, sampler: str) -> None:
    site.write_spec(60, sampler=sampler)
    record_made_up(site, tmp_path / "recording")
    _same_after_kills(site, tmp_path / "recording", trials=60, kills=20)


@pytest.mark.slow
@pytest.mark.noisy
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_a_recorded_job_is_replayed_with_twenty_kills_to_the_very_same_front(site: Site, tmp_path: Path) -> None:
    site.write_spec(30)
    recorded = site.run("run", "fire.yaml", "--record", str(tmp_path / "recording"), timeout=1200)
    assert recorded.returncode == 0, recorded.stderr
    front = _front(site)
    _same_after_kills(site, tmp_path / "recording", trials=30, kills=20)
    assert _front(site) == front, "with attempts that failed, and were tried again, in their places"


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_a_job_killed_three_times_has_the_front_of_an_unkilled_one(site: Site, tmp_path: Path) -> None:
    site.write_spec(16)
    record_made_up(site, tmp_path / "recording")
    _same_after_kills(site, tmp_path / "recording", trials=16, kills=3)


def _same_after_kills(site: Site, recording: Path, *, trials: int, kills: int) -> None:
    """Two jobs replay one recording; the second one's driver is killed, mostly after so many more events."""
    pool = ("--pool", f"replay:{recording}")
    whole = site.run("run", "fire.yaml", *pool)
    assert whole.returncode == 0, whole.stderr
    expected, asked, measured = _front(site), *_facts(site)
    chance, words, phases = random.Random(kills), ("run", "fire.yaml"), Counter[str]()
    with site.books() as books:
        first = books.job()
        for shot in range(kills):
            driver = site.start(*words, *pool)
            if shot == 0:
                wait_for(lambda: books.job() != first, "no second job", 60, 0.002)
            wait_for(lambda shot=shot: _is_driven(books, shot + 1), "no driver", 60, 0.002)
            # every second time while a trial runs, whose moment is short in a replay
            kind, more = ("started", 1) if shot % 2 else ("", chance.randint(0, trials // 4))
            until = books.count(kind) + more
            wait_for(lambda kind=kind, until=until: books.count(kind) >= until, "no event", 60, 0.0)
            driver.kill()
            assert driver.wait() == -signal.SIGKILL, site.log.read_text()
            phases[books.phase()] += 1
            words = ("resume", "@last")
        done = site.run("resume", "@last", *pool)
        assert done.returncode == 0, done.stderr
        assert books.complaints(trials) == []
        assert books.count("leased") == kills + 1
        requeued = books.count("requeued")
    print(f"kills by phase: {dict(phases)}; trials requeued: {requeued}")
    # so few kills may all hit the same place
    assert len(phases) > 1 or kills < 10, "kills in one phase only prove little"
    assert requeued or kills < 10, "kills that hit no trial prove nothing"
    assert _facts(site) == (asked, measured)
    assert _front(site) == expected
    site.assert_nothing_is_left()


def _start(site: Site, books: Books, shot: int) -> subprocess.Popen[bytes]:
    """The driver for this shot, once it holds the job."""
    driver = site.start(*(("resume", "@last") if shot else ("run", "fire.yaml")))
    wait_for(lambda: _is_driven(books, shot + 1), "no driver", 60)
    return driver


def _is_driven(books: Books, epoch: int) -> bool:
    job = books.job()
    return job is not None and job.epoch == epoch


def _kept(site: Site, books: Books, seen: Mapping[int, tuple[str, bytes]]) -> dict[int, tuple[str, bytes]]:
    """What is accepted now, after making sure that what was is the same to the byte, and that nobody is left."""
    site.assert_nothing_is_left()
    now = books.accepted()
    assert {number: now.get(number) for number in seen} == seen, "an accepted measurement changed"
    return now


def _facts(site: Site) -> tuple[dict[int, str], dict[int, str]]:
    """What was asked, and what was accepted, by trial."""
    with site.books() as books:
        return books.asked(), {number: digest for number, (digest, _) in books.accepted().items()}


def _front(site: Site) -> str:
    """`pareto --json`, less what names the job and the hour."""
    told = site.run("pareto", "@last", "--json").stdout
    job = json.loads(told)["fronts"][0]["job"]
    return "\n".join(line for line in told.replace(job, "JOB").splitlines() if not line.strip().startswith(_HOURS))


def _causes(site: Site) -> dict[str, int]:
    with site.books() as books:
        return dict(books.causes())
